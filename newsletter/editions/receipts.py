"""What is known of how a brief came to readers: who let it go, and when. Nothing is inferred.

A brief's own approval is one of the very text that the edition tells; the edition's is that of
its content as it stands. Where the schedule sent what no review was asked for, there is neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from newsletter.editions.review import Said
from newsletter.editions.verdicts import find_said_of_edition, load_said_as_told

_BY_SETTING = "settings: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A yes to a brief, or to the whole edition."""

    at: datetime
    by: str
    """Who it was, as they were known to the program; "" for a setting."""
    of_edition: bool


def load_approvals(connection: Connection, edition_id: int) -> dict[int, Approval]:
    """Load who approved each brief of an edition, by its number; unknown ones are left out."""
    of_edition = find_said_of_edition(connection, edition_id)
    approvals = {}
    for number, own in load_said_as_told(connection, edition_id).items():
        if own and own.verdict == "approved":
            approvals[number] = _approval(own, of_edition=False)
        elif of_edition and of_edition.verdict == "approved":
            approvals[number] = _approval(of_edition, of_edition=True)
    return approvals


def _approval(said: Said, *, of_edition: bool) -> Approval:
    is_person = not said.decided_by.startswith(_BY_SETTING)
    return Approval(
        at=said.decided_at, by=said.decided_by if is_person else "", of_edition=of_edition
    )
