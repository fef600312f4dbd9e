"""Who may use the console: team list, add, disable, reset, passkeys."""

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
    write_setup_url,
)
from newsletter.web.console.passkeys import count_passkeys, list_passkeys, remove_passkeys
from newsletter.web.console.proofs import Vault
from newsletter.web.console.roles import MEANING, ROLES

team = typer.Typer(
    help="Who may use the console: list, add, disable, reset, passkeys.", no_args_is_help=True
)

_Who = Annotated[str, typer.Argument(metavar="WHO", help="Name or address of a member.")]


@team.command("list")
def list_(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the team."""
    session: Session = ctx.obj
    with session.database() as database, database.reading() as connection:
        found, passkeys = list_members(connection), count_passkeys(connection)
    if as_json:
        session.print_json(
            [
                {
                    "name": each.name,
                    "email": each.email,
                    "role": each.role,
                    "state": each.state,
                    "passkeys": passkeys.get(each.id, 0),
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
    for heading in ("Name", "Address", "Role", "State", "Passkeys", "Since"):
        table.add_column(heading, overflow="fold")
    zone = session.settings.publication.zone
    for each in found:
        since = shown_moment(each.created_at, zone)
        number = str(passkeys.get(each.id, 0))
        table.add_row(*map(Text, (each.name, each.email, each.role, each.state, number, since)))
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
    """Take password, codes and passkeys away and print a new link; also lets in who was out."""
    session: Session = ctx.obj
    with session.database() as database:
        with database.reading() as connection:
            member = find_member(connection, who)
        if not yes:
            confirm(
                session,
                f"Take the password, the codes and the passkeys of {member.name} away?",
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


@team.command()
def passkeys(
    ctx: typer.Context,
    who: _Who,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take all of them away, and end all sessions.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the passkeys of somebody, or take them away: a device was lost."""
    session: Session = ctx.obj
    with session.database() as database:
        with database.reading() as connection:
            member = find_member(connection, who)
            found = list_passkeys(connection, member.id)
        if remove and found:
            if not yes:
                names = ", ".join(each.name for each in found)
                confirm(
                    session,
                    f"Take the passkeys of {member.name} away ({names})?",
                    declined="Nothing was changed.",
                    as_json=as_json,
                )
            with database.writing() as connection:
                remove_passkeys(connection, member, actor=session.actor, now=session.now())
    if as_json:
        shown = [
            {
                "name": each.name,
                "site": each.site,
                "made_at": each.made_at.isoformat(),
                "used_at": each.used_at.isoformat() if each.used_at else None,
            }
            for each in found
        ]
        session.print_json({"name": member.name, "passkeys": shown, "removed": remove})
        return
    if not found:
        session.out.print(f"{member.name} has no passkeys.", markup=False)
        return
    zone = session.settings.publication.zone
    title = "Passkeys that were taken away" if remove else "Passkeys"
    table = Table(title=title, title_justify="left")
    for heading in ("Name", "For", "Made", "Last used"):
        table.add_column(heading, overflow="fold")
    for each in found:
        made = shown_moment(each.made_at, zone)
        used = shown_moment(each.used_at, zone) if each.used_at else "never"
        table.add_row(*map(Text, (each.name, each.site, made, used)))
    session.out.print(table)


def _vault(session: Session) -> Vault:
    return Vault(Keyring(session.settings.secret_keys))


def _print_link(session: Session, name: str, token: str, *, as_json: bool) -> None:
    link = write_setup_url(session.settings, token)
    here = write_setup_url(session.settings, token, here=True)
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
