"""The exports of other mail services → the columns of `columns.py`. Pure.

A service is known by headings that only its export has. What we have a column for is renamed,
what describes the service's own machinery is left out, and all else stays the operator's own.
Above all their word on who must not be mailed is kept: whoever left, bounced or complained
there is never taken for a reader here.

    Mailchimp  one file each of subscribed, unsubscribed, cleaned and nonsubscribed contacts;
               UNSUB_TIME and CLEAN_TIME tell the second and third, only the name the last
    Substack   email_disabled: they want no mail
    Ghost      subscribed_to_emails; deleted_at
    listmonk   status enabled, disabled or blocklisted; fields of its own as JSON
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from zoneinfo import available_timezones

from newsletter.audience.address import format_excerpt
from newsletter.audience.columns import COLUMNS, build_field_name
from newsletter.errors import AudienceError

Cells = Mapping[str, str]
"""A row's cells by heading, as `build_field_name` writes it."""

_YES, _NO = frozenset({"true", "t", "yes", "1"}), frozenset({"false", "f", "no", "0"})
_GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)? ([+-]\d{4}) \S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How one service's export is to be read."""

    name: str
    signature: tuple[frozenset[str], ...]
    """The export has all headings of one of these."""
    makes: Mapping[str, Callable[[Cells], str]]
    """Our columns, and what each is made of."""
    takes: frozenset[str]
    """Headings that this is made of: they are no columns of their own then."""
    leaves: frozenset[str] = frozenset()
    """Headings that say nothing about the reader."""
    fields: Callable[[Cells], Mapping[str, str]] = lambda _cells: {}
    """Own columns that stand within a cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How the rows of a file are to be read: recognised, renamed, or as they are."""

    headings: tuple[str, ...]
    service: Service | None = None
    names: tuple[str, ...] = ()
    """The file's own headings, as `Cells` has them; for a recognised export."""
    kept: tuple[int, ...] = ()
    made: tuple[Callable[[Cells], str], ...] = ()
    nobody_agrees: bool = False
    """Whether the file is a list of those who must not be mailed."""
    status: str = ""
    """The status of all rows, where the file's name tells it."""

    def read(self, cells: Sequence[str]) -> tuple[Sequence[str], Mapping[str, str]]:
        """Give a row's cells under `headings`, and own columns that stood within one.

        Raises `AudienceError` for what the service cannot have meant.
        """
        if self.service is None:
            return cells, {}
        missing = len(self.names) - len(cells)
        cells = [*cells, *[""] * missing] if missing > 0 else cells
        named = dict(zip(self.names, (cell.strip() for cell in cells), strict=False))
        if self.status:
            named["status"] = self.status
        own = [make(named) for make in self.made]
        kept = [cells[position] for position in self.kept]
        return [*own, *kept, *cells[len(self.names) :]], self.service.fields(named)


def read_table(
    headings: Sequence[str], *, file: str = "", renamed: Mapping[str, str] | None = None
) -> Table:
    """Find out whose export this is; `renamed` are columns that an operator names otherwise.

    Raises `AudienceError` for a file of people who never subscribed, and for a name in
    `renamed` that is no column of the file.
    """
    names = tuple(map(build_field_name, headings))
    service = next((s for s in _SERVICES if any(one <= set(names) for one in s.signature)), None)
    if service is None:
        return Table(headings=_rename(headings, renamed or {}, "the file"))
    hint = PurePath(file).name.lower()
    if service.name == "Mailchimp" and hint.startswith("nonsubscribed"):
        raise AudienceError(
            "holds Mailchimp's nonsubscribed contacts, who never asked for mail",
            mend="import the file of subscribed ones",
        )
    status = ""
    if service.name == "Mailchimp":
        cleaned = "clean_time" in names or hint.startswith("cleaned")
        left = hint.startswith("unsubscribed")
        status = "bounced" if cleaned else "unsubscribed" if left else ""
    # What is made of headings that are not there would be empty in every row.
    makes = {
        column: make for column, make in service.makes.items() if column not in ("name", "timezone")
    } | {
        column: service.makes[column]
        for column in ("name", "timezone")
        if column in service.makes and service.takes & set(names) & _PARTS[column]
    }
    consumed = service.takes | service.leaves | makes.keys()
    kept = tuple(p for p, name in enumerate(names) if name not in consumed)
    left_over = _rename(
        [headings[p] for p in kept],
        renamed or {},
        f"this {service.name} export that is left",
    )
    return Table(
        headings=(*makes, *left_over),
        service=service,
        names=names,
        kept=kept,
        made=tuple(makes.values()),
        nobody_agrees=bool(status),
        status=status,
    )


def parse_renaming(text: str) -> tuple[str, str]:
    """Read "Their Column=email" as an operator types it; raises `AudienceError`."""
    theirs, equals, ours = text.rpartition("=")
    if not equals or not theirs.strip() or not ours.strip():
        raise AudienceError(
            f"{format_excerpt(text)} does not say which column is which",
            field="--map",
            mend='write it as "Their Column=email"',
        )
    return theirs.strip(), ours.strip()


def _rename(headings: Sequence[str], renamed: Mapping[str, str], where: str) -> tuple[str, ...]:
    wanted = {build_field_name(theirs): ours for theirs, ours in renamed.items()}
    there = {build_field_name(heading) for heading in headings}
    for theirs in renamed:
        if build_field_name(theirs) not in there:
            raise AudienceError(
                f"{format_excerpt(theirs)} is no column of {where}",
                field="--map",
                mend=f"it has {', '.join(map(format_excerpt, headings))}",
            )
    taken = {build_field_name(ours) for ours in renamed.values()} & set(COLUMNS)
    return tuple(
        wanted.get(name) or (f"their {heading}" if name in taken else heading)
        for heading, name in ((heading, build_field_name(heading)) for heading in headings)
    )


# -- what the services say -------------------------------------------------------------------------


def _cell(*names: str) -> Callable[[Cells], str]:
    """Take the first of these cells that is not empty."""

    def make(cells: Cells) -> str:
        return next((cells[name] for name in names if cells.get(name)), "")

    return make


def _is(cells: Cells, name: str) -> bool:
    text = cells.get(name, "").lower()
    if text in _YES or text in _NO:
        return text in _YES
    raise AudienceError(
        f"{format_excerpt(text)} is neither true nor false", field=name, mend="write one of them"
    )


def _mailchimp_status(cells: Cells) -> str:
    if cells.get("clean_time"):
        return "bounced"
    if cells.get("unsub_time"):
        reason = cells.get("unsub_reason", "").lower()
        return "complained" if "abuse" in reason or "spam" in reason else "unsubscribed"
    return cells.get("status", "")


def _mailchimp_zone(cells: Cells) -> str:
    """Take the time zone that Mailchimp guessed, where it is one."""
    zone = cells.get("timezone", "")
    return zone if zone in available_timezones() else ""


def _substack_status(cells: Cells) -> str:
    return "unsubscribed" if cells.get("email_disabled") and _is(cells, "email_disabled") else ""


def _ghost_status(cells: Cells) -> str:
    return (
        "" if _is(cells, "subscribed_to_emails") and not cells.get("deleted_at") else "unsubscribed"
    )


def _listmonk_moment(cells: Cells) -> str:
    """Turn Go's way to write a time, "2023-02-24 09:14:23.4589 +0000 UTC", into ISO 8601."""
    text = cells.get("created_at", "")
    if found := _GO_TIME.fullmatch(text):
        return f"{found[1]}.{(found[2] or '0').ljust(6, '0')}{found[3]}"
    return text


def _listmonk_fields(cells: Cells) -> Mapping[str, str]:
    text = cells.get("attributes", "")
    try:
        found = json.loads(text) if text else {}
        if not isinstance(found, dict):
            raise ValueError  # noqa: TRY004 - a value of the file, not of the program
    except ValueError:
        raise AudienceError(
            f"{format_excerpt(text)} is no JSON object", field="attributes", mend="correct it"
        ) from None
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in found.items()
        if (name := build_field_name(str(key))) and value not in (None, "")
    }


_PARTS = {
    "name": frozenset({"first_name", "last_name", "name"}),
    "timezone": frozenset({"timezone"}),
}
_SERVICES = (
    Service(
        name="Mailchimp",
        signature=(
            frozenset({"email_address", "leid", "euid"}),
            frozenset({"email_address", "member_rating", "optin_time"}),
        ),
        makes={
            "email": _cell("email_address"),
            "name": lambda cells: (
                cells.get("name")
                or " ".join(filter(None, (cells.get("first_name"), cells.get("last_name"))))
            ),
            "timezone": _mailchimp_zone,
            "consent_at": _cell("confirm_time", "optin_time"),
            "created_at": _cell("optin_time", "confirm_time"),
            "status": _mailchimp_status,
        },
        takes=frozenset(
            {
                *("email_address", "name", "first_name", "last_name", "timezone", "status"),
                *("confirm_time", "optin_time", "clean_time", "unsub_time", "unsub_reason"),
            }
        ),
        leaves=frozenset(
            {
                *("member_rating", "optin_ip", "confirm_ip", "latitude", "longitude", "gmtoff"),
                *("dstoff", "cc", "region", "last_changed", "leid", "euid"),
                *("unsub_campaign_title", "unsub_campaign_id", "unsub_reason_other"),
                *("clean_campaign_title", "clean_campaign_id"),
            }
        ),
    ),
    Service(
        name="Substack",
        signature=(frozenset({"email", "active_subscription", "email_disabled"}),),
        makes={
            "email": _cell("email"),
            "consent_at": _cell("created_at"),
            "created_at": _cell("created_at"),
            "status": _substack_status,
        },
        takes=frozenset({"email", "created_at", "email_disabled"}),
        leaves=frozenset({"digest_enabled", "prefer_digests"}),
    ),
    Service(
        name="Ghost",
        signature=(frozenset({"email", "subscribed_to_emails", "complimentary_plan"}),),
        makes={
            "email": _cell("email"),
            "name": _cell("name"),
            "consent_at": _cell("created_at"),
            "created_at": _cell("created_at"),
            "status": _ghost_status,
        },
        takes=frozenset({"email", "name", "created_at", "subscribed_to_emails", "deleted_at"}),
        leaves=frozenset({"id", "stripe_customer_id", "gift_id"}),
    ),
    Service(
        name="listmonk",
        signature=(frozenset({"uuid", "email", "attributes", "status"}),),
        makes={
            "email": _cell("email"),
            "name": _cell("name"),
            "consent_at": _listmonk_moment,
            "created_at": _listmonk_moment,
            "status": _cell("status"),
        },
        takes=frozenset({"email", "name", "created_at", "status", "attributes"}),
        leaves=frozenset({"uuid", "updated_at"}),
        fields=_listmonk_fields,
    ),
)
