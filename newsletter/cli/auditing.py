"""What was done, by whom: audit, and the proof that nobody changed it."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from newsletter.cli.asked import EditionArgument, JsonOption, find_asked_edition
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count, shown_moment
from newsletter.editions.manifest import find_manifest
from newsletter.errors import RefusedError
from newsletter.store.audit import list_entries
from newsletter.store.audit import verify as verify_chain

audit = typer.Typer(
    help="What was done, by whom and from where; verify, edition.", invoke_without_command=True
)


@audit.callback()
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, the latest.")] = 30,
    target: Annotated[
        str, typer.Option(help='Only about one thing, such as "edition 2026-11-23".')
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List the latest entries, the last first."""
    if ctx.invoked_subcommand:
        return
    session: Session = ctx.obj
    with session.database() as database, database.reading() as connection:
        entries = list_entries(connection, limit, target=target)
    if as_json:
        session.print_json([asdict(entry) | {"at": entry.at.isoformat()} for entry in entries])
        return
    table = Table(title="Audit", title_justify="left")
    table.add_column("No.", justify="right", no_wrap=True)
    table.add_column("When", no_wrap=True)
    for heading in ("Who", "From", "What", "Of", "Detail"):
        table.add_column(heading, overflow="fold")
    zone = session.settings.publication.zone
    for entry in entries:
        said = (entry.who, entry.origin, entry.action, entry.target, entry.detail)
        table.add_row(str(entry.id), shown_moment(entry.at, zone), *map(Text, said))
    session.out.print(table if entries else "Nothing was done yet.")


@audit.command()
def verify(
    ctx: typer.Context,
    known: Annotated[
        str,
        typer.Option(metavar="NUMBER:HASH", help="An entry that was printed before; kept apart."),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Read the whole chain and say whether an entry was changed, removed or slipped in."""
    session: Session = ctx.obj
    kept = _parse_known(known)
    with session.database() as database, database.reading() as connection:
        found = verify_chain(connection, known=kept)
    if as_json:
        session.print_json(asdict(found))
    elif not found.fault:
        entries = shown_count(found.entries, "entry").replace("entrys", "entries")
        session.out.print(
            f"In order: {entries}. Keep this where nobody of this machine can change it, and give "
            f"it to --known later:\n{found.entries}:{found.hash}",
            markup=False,
            soft_wrap=True,
        )
    if found.fault:
        raise RefusedError(
            f"the audit is not in order: {found.fault}",
            mend="nothing after that proves anything; compare with a backup",
        )


@audit.command()
def edition(ctx: typer.Context, edition: EditionArgument, as_json: JsonOption = False) -> None:
    """Show what an edition was when it was approved, and whether it still is that."""
    session: Session = ctx.obj
    with session.database() as database, database.reading() as connection:
        record = find_asked_edition(connection, edition)
        manifest = find_manifest(connection, record)
    if manifest is None:
        raise RefusedError(f"the edition of {record.name} is {record.state}: it has no manifest")
    if as_json:
        session.print_json({**manifest.document, "faults": list(manifest.faults)})
    else:
        table = Table(title=f"Manifest of {record.name}", title_justify="left", show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in manifest.document.items():
            table.add_row(name.replace("_", " "), Text(_shown(value)))
        session.out.print(table)
    if manifest.faults:
        raise RefusedError(f"the edition of {record.name} was changed: {manifest.faults[0]}")
    if not as_json:
        session.out.print("The edition and the audit still agree with it.")


def _parse_known(known: str) -> tuple[int, str] | None:
    if not known:
        return None
    match = re.fullmatch(r"(\d{1,15}):([0-9a-f]{64})", known, re.ASCII)
    if match is None:
        raise typer.BadParameter(
            "write NUMBER:HASH as `audit verify` printed it", param_hint="--known"
        )
    return int(match[1]), match[2]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        lines = (
            f"{each['of']} by {each['by']} at {each['at'][:16]}Z, {each['sha256'][:12]}"
            if isinstance(each, dict)
            else str(each)
            for each in value
        )
        return "\n".join(lines) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
