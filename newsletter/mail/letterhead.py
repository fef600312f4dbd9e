"""What a message is made of besides the edition's content, frozen when its audience is.

All attempts to one reader are byte-identical (G5), also when an operator edits the
configuration between a killed send and its resumption: so the sender's name, the addresses
and the signing key's id are kept with the edition and not read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from newsletter.editions.model import Kind, name_edition
from newsletter.settings import Publication


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterhead:
    """The publication's side of every message of one edition."""

    edition_id: int
    day: date
    kind: Kind = "daily"
    dated_at: datetime
    """The Date field of every message: one per edition, not per attempt."""
    name: str
    """The publication's name."""
    sender: str
    sender_name: str
    """Bare address and display name of the From field."""
    reply_to: str
    list_id: str
    url: str
    unsubscribe_address: str
    envelope_sender: str
    """The envelope's sender, or its pattern with a `*` for each copy's own token."""
    key_id: str
    """Hexadecimal id of the key that signs this edition's links and Message-IDs."""
    dkim: tuple[tuple[str, str], ...] = ()
    """Name (`SELECTOR._domainkey.DOMAIN`) and fingerprint of each DKIM key that signs this
    edition, in order."""

    @property
    def web_url(self) -> str:
        """Where the edition's page stands."""
        return f"{self.url}/editions/{name_edition(self.day, self.kind)}"

    @property
    def domain(self) -> str:
        """The domain that our Message-IDs end with."""
        return self.sender.rpartition("@")[2]

    def to_document(self) -> dict[str, Any]:
        """Give the letterhead as JSON."""
        return asdict(self) | {
            "day": self.day.isoformat(),
            "dated_at": self.dated_at.isoformat(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Letterhead:
        """Read what `to_document` wrote."""
        return cls(
            **dict(document)
            | {
                "day": date.fromisoformat(document["day"]),
                "dated_at": datetime.fromisoformat(document["dated_at"]),
                "dkim": tuple(tuple(key) for key in document.get("dkim", ())),
            }
        )


def build_letterhead(
    publication: Publication,
    *,
    edition_id: int,
    day: date,
    kind: Kind = "daily",
    dated_at: datetime,
    key_id: bytes,
    dkim: tuple[tuple[str, str], ...] = (),
) -> Letterhead:
    """Freeze the publication's side of an edition."""
    address = publication.sender_address
    return Letterhead(
        edition_id=edition_id,
        day=day,
        kind=kind,
        dated_at=dated_at.astimezone(UTC).replace(microsecond=0),
        name=publication.name,
        sender=address,
        sender_name=publication.sender_name,
        reply_to=publication.reply_to,
        list_id=publication.list_id,
        url=publication.url,
        unsubscribe_address=publication.unsubscribe_address
        or f"unsubscribe@{publication.sender_domain}",
        envelope_sender=publication.bounce_address or address,
        key_id=key_id.hex(),
        dkim=dkim,
    )
