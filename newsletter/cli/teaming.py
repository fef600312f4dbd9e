"""Who may use the console: team list, add, disable, reset."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from newsletter.cli.asked import JsonOption, YesOption, confirm
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_moment
from newsletter.mail.tokens import Keyring
from newsletter.web.console.members import (
    SETUP_WITHIN,
    add_member,
    disable_member,
    find_member,
    list_members,
    reset_member,
)
from newsletter.web.console.proofs import Vault
from newsletter.web.console.roles import MEANING, ROLES

team = typer.Typer(help="Who may use the console: list, add, disable, reset.", no_args_is_help=True)

_Who = Annotated[str, typer.Argument(metavar="WHO", help="Name or address of a member.")]


@team.command("list")
def list_(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the team."""
    session: Session = ctx.obj
    with session.database() as database, database.reading() as connection:
        found = list_members(connection)
    if as_json:
        session.print_json(
            [
                {
                    "name": each.name,
                    "email": each.email,
                    "role": each.role,
                    "state": each.state,
                    "created_at": each.created_at.isoformat(),
                }
                for each in found
            ]
        )
        return
    if not found:
        session.out.print(
            "Nobody is on the team, so there is no console; "
            "`newsletter team add NAME ADDRESS --role admin` begins one.",
            markup=False,
        )
        return
    table = Table(title="Team", title_justify="left")
    for heading in ("Name", "Address", "Role", "State", "Since"):
        table.add_column(heading, overflow="fold")
    zone = session.settings.publication.zone
    for each in found:
        since = shown_moment(each.created_at, zone)
        table.add_row(*map(Text, (each.name, each.email, each.role, each.state, since)))
    session.out.print(table)


@team.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Decisions are signed with it.")],
    email: Annotated[str, typer.Argument(metavar="ADDRESS", help="What they log in with.")],
    role: Annotated[
        str, typer.Option(help="; ".join(f"{each}: {MEANING[each]}" for each in ROLES))
    ] = "viewer",
    as_json: JsonOption = False,
) -> None:
    """Add somebody, and print the link with which they set up."""
    session: Session = ctx.obj
    if role not in ROLES:
        raise typer.BadParameter(f"choose one of {', '.join(ROLES)}", param_hint="--role")
    with session.database() as database, database.writing() as connection:
        member, token = add_member(
            connection,
            name,
            email,
            role,
            vault=_vault(session),
            actor=session.actor,
            now=session.now(),
        )
    _print_link(session, member.name, token, as_json=as_json)


@team.command()
def reset(
    ctx: typer.Context, who: _Who, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Take password, codes and sessions away and print a new link; also lets in who was out."""
    session: Session = ctx.obj
    with session.database() as database:
        with database.reading() as connection:
            member = find_member(connection, who)
        if not yes:
            confirm(
                session,
                f"Take the password and the codes of {member.name} away?",
                declined="Nothing was changed.",
                as_json=as_json,
            )
        with database.writing() as connection:
            token = reset_member(
                connection,
                member,
                vault=_vault(session),
                actor=session.actor,
                now=session.now(),
            )
    _print_link(session, member.name, token, as_json=as_json)


@team.command()
def disable(ctx: typer.Context, who: _Who, as_json: JsonOption = False) -> None:
    """Keep somebody out from now on; `reset` lets them in again."""
    session: Session = ctx.obj
    with session.database() as database, database.writing() as connection:
        member = find_member(connection, who)
        changed = disable_member(connection, member, actor=session.actor, now=session.now())
    if as_json:
        session.print_json({"name": member.name, "state": "disabled", "changed": changed})
        return
    already = "" if changed else " already"
    session.out.print(f"{member.name} is disabled{already}.", markup=False)


def _vault(session: Session) -> Vault:
    return Vault(Keyring(session.settings.secret_keys))


def _print_link(session: Session, name: str, token: str, *, as_json: bool) -> None:
    settings = session.settings
    path = f"/console/setup/{token}"
    link = (settings.console.url or settings.publication.url) + path
    here = f"http://{settings.web.listen}{path}" if settings.web.listen else ""
    if as_json:
        session.print_json({"name": name, "link": link, "here": here})
        return
    session.out.print(
        f"{name} sets up a password and an app for codes with this link, once, within "
        f"{SETUP_WITHIN.days} days:\n  {link}",
        markup=False,
        soft_wrap=True,
    )
    if here:
        session.out.print(
            f"On this machine, while `newsletter serve` runs, also:\n  {here}",
            markup=False,
            soft_wrap=True,
        )
