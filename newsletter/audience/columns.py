"""The columns of a subscriber table: headings → columns → one checked `Entry` a row. Pure.

Headings are compared without regard to case, blanks, hyphens and underscores, and a few
usual other names count where the proper one is missing. Any other column is the operator's
own and is kept under its heading in snake_case ASCII: accents dropped, letters lowered, every
run of other characters one "_", "column_" before a leading digit ("Größe (cm)" → grosse_cm).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from newsletter.audience.address import format_excerpt, parse_address, split_mailbox
from newsletter.audience.cells import (
    parse_choices,
    parse_instant,
    parse_text,
    undo_defusing,
)
from newsletter.audience.entry import Entry
from newsletter.audience.reader import Status
from newsletter.errors import AudienceError

CHOICE_COLUMNS = (
    "timezone",
    "language",
    "topics",
    "lenses",
    "detail",
    "minutes",
    "format",
    "send_at",
    "days",
    "rhythm",
    "editions",
)
COLUMNS = (
    "email",
    "name",
    *CHOICE_COLUMNS,
    "consent_at",
    "consent_source",
    "status",
    "created_at",
)
"""Every column with a meaning, in the order in which they are exported."""

REJECT_COLUMNS = ("import_line", "import_reason")
"""Columns of a file of rejected rows; skipped, so that it can be mended and imported again."""

_OTHER_NAMES = {
    "email": ("mail", "emailaddress", "mailaddress"),
    "name": ("fullname", "firstname"),
    "timezone": ("tz",),
    "language": ("lang",),
}
_STATUSES: dict[str, Status] = {
    "": "active",
    **dict.fromkeys(("subscribed", "enabled", "confirmed"), "active"),
    **dict.fromkeys(("unconfirmed",), "pending"),
    **dict.fromkeys(("disabled", "blocklisted", "blacklisted", "blocked"), "unsubscribed"),
    **dict.fromkeys(("cleaned", "undeliverable"), "bounced"),
    **dict.fromkeys(("spam", "abuse"), "complained"),
    **{status: status for status in get_args(Status)},
}
"""What our own export and those of other services call them."""
_OWN_COLUMNS = 100
_NAME_CHARACTERS = 200
_FIELD_NAME_CHARACTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which cell of a row means what."""

    known: Mapping[str, int]
    """Position of each column of `COLUMNS` that the table has."""
    choices: tuple[tuple[str, int], ...]
    """Those of `CHOICE_COLUMNS` among them."""
    own: tuple[tuple[str, int], ...]
    """Name and position of each of the operator's own columns."""
    headings: tuple[str, ...]
    """Every heading, stripped; "" for a column without one."""


def build_field_name(heading: str) -> str:
    """Make the name that an own column is kept under; "" when no letter or digit is left."""
    plain = unicodedata.normalize("NFKD", heading.casefold()).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return f"column_{name}" if name[:1].isdigit() else name


def build_columns(headings: Sequence[str]) -> Columns:
    """Find out what each column means.

    Raises `AudienceError`, without file and line, for a table that must not be guessed at: no
    address column, two columns of one meaning, a heading that makes no name.
    """
    stripped = tuple(undo_defusing(heading.strip()).strip() for heading in headings)
    names = [build_field_name(heading) for heading in stripped]
    known = _find_known(stripped, names)
    taken = set(known.values())
    own: dict[str, int] = {}
    for position, (heading, name) in enumerate(zip(stripped, names, strict=True)):
        if not heading or position in taken or name in REJECT_COLUMNS:
            continue
        if not name or len(name) > _FIELD_NAME_CHARACTERS:
            raise AudienceError(
                f"the column {format_excerpt(heading)} makes no field name",
                mend=f"give it a name of at most {_FIELD_NAME_CHARACTERS} Latin letters and digits",
            )
        if name in own:
            raise _build_twins_refusal(stripped[own[name]], heading)
        own[name] = position
    if len(own) > _OWN_COLUMNS:
        raise AudienceError(
            f"there are {len(own)} columns of your own, more than {_OWN_COLUMNS}",
            mend="leave out those that no template uses",
        )
    choices = tuple((name, known[name]) for name in CHOICE_COLUMNS if name in known)
    return Columns(known=known, choices=choices, own=tuple(own.items()), headings=stripped)


def parse_row(columns: Columns, cells: Sequence[str]) -> Entry:
    """Read one row; cells that are missing at its end are empty.

    Raises `AudienceError`, without file and line: a value that cannot be read refuses the
    row, since a choice lost in silence is worse than a row to mend.
    """
    missing = len(columns.headings) - len(cells)
    if missing > 0:
        cells = [*cells, *[""] * missing]
    elif missing < 0 or "" in columns.headings:
        _refuse_unheaded(columns, cells)
    known = columns.known
    own_name, address = split_mailbox(undo_defusing(cells[known["email"]].strip()))
    name = _parse_known(columns, cells, "name") or parse_text(own_name, "name")
    if len(name) > _NAME_CHARACTERS:
        raise AudienceError(
            f"{format_excerpt(name)} is longer than {_NAME_CHARACTERS} characters",
            field="name",
            mend="shorten it",
        )
    return Entry(
        address=parse_address(address),
        name=name,
        choices=parse_choices(**{name: cells[position] for name, position in columns.choices}),
        fields={
            name: value
            for name, position in columns.own
            if (value := parse_text(cells[position], name))
        },
        consent_at=_parse_moment(columns, cells, "consent_at"),
        consent_source=_parse_known(columns, cells, "consent_source"),
        status=_parse_status(_parse_known(columns, cells, "status")),
        created_at=_parse_moment(columns, cells, "created_at"),
    )


def _find_known(headings: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """Find the columns of `COLUMNS`; each under its own name first, else under another."""
    squeezed = [name.replace("_", "") for name in names]
    found: dict[str, int] = {}
    for column in COLUMNS:
        for wanted in (column.replace("_", ""), *_OTHER_NAMES.get(column, ())):
            positions = [p for p, name in enumerate(squeezed) if name == wanted]
            if len(positions) > 1:
                raise _build_twins_refusal(headings[positions[0]], headings[positions[1]])
            if positions:
                found[column] = positions[0]
                break
    if "email" not in found:
        raise AudienceError(
            "no column is headed email",
            mend="put the names of the columns, email among them, into the first line",
        )
    return found


def _parse_known(columns: Columns, cells: Sequence[str], column: str) -> str:
    position = columns.known.get(column)
    return "" if position is None else parse_text(cells[position], column)


def _parse_moment(columns: Columns, cells: Sequence[str], column: str) -> datetime | None:
    position = columns.known.get(column)
    return None if position is None else parse_instant(cells[position], column)


def _parse_status(text: str) -> Status:
    try:
        return _STATUSES[text.lower()]
    except KeyError:
        raise AudienceError(
            f"{format_excerpt(text)} is no status",
            field="status",
            mend=f"write {', '.join(get_args(Status))}, or give the column another heading",
        ) from None


def _refuse_unheaded(columns: Columns, cells: Sequence[str]) -> None:
    headings = columns.headings
    for position, cell in enumerate(cells):
        if cell.strip() and (position >= len(headings) or not headings[position]):
            raise AudienceError(
                f"cell {position + 1}, {format_excerpt(cell)}, stands under no heading",
                mend="put a cell that holds the separator into quotation marks",
            )


def _build_twins_refusal(first: str, second: str) -> AudienceError:
    return AudienceError(
        f"the columns {format_excerpt(first)} and {format_excerpt(second)} mean the same",
        mend="rename or remove one of them",
    )
