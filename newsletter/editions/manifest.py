"""The manifest of an edition: what it was, to the byte, when somebody approved it.

It is stored with the approval and its hash stands in the audit, so that what an edition was sent
from, to how many, by whose word, can be shown later and not be changed unseen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from newsletter.editions.review import hash_edition
from newsletter.editions.seconding import Ask
from newsletter.editions.shelf import EditionRecord
from newsletter.store.audit import Actor, hash_document, note
from newsletter.store.tables import audit, edition_briefs, editions, manifests, reviews

APPROVED = "edition.approve"
"""The action under which the audit has a manifest's hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest as it is stored, and whether the edition and the audit still agree with it."""

    document: Mapping[str, Any]
    faults: tuple[str, ...]


def seal_edition(
    connection: Connection,
    record: EditionRecord,
    by: Actor,
    *,
    now: datetime,
    templates: str,
    audience: int,
    overridden: Sequence[str],
    segment: str,
    seconded: Ask | None = None,
) -> None:
    """Store the manifest of an edition and note its approval; to be called last with that.

    `templates` is the hash of the templates, `overridden` are checks that somebody answers for,
    `seconded` is whose two words a send to many has.
    """
    document = {
        "edition": record.name,
        "subject": record.subject,
        "approved_at": now.isoformat(),
        "approved_by": by.who,
        "approved_from": by.origin,
        "audience": audience,
        "segment": segment,
        "templates_sha256": templates,
        "checks_overridden": list(overridden),
        "approvals": [*_list_approvals(connection, record.id), *_list_words(seconded)],
        **_hash_edition(connection, record.id),
    }
    if connection.scalar(select(manifests.c.edition_id).where(_of(record.id))) is None:
        connection.execute(insert(manifests).values(edition_id=record.id, document=document))
    else:  # made again after it was cancelled
        connection.execute(update(manifests).where(_of(record.id)).values(document=document))
    note(
        connection,
        by,
        APPROVED,
        f"edition {record.name}",
        now=now,
        detail=f"for {audience:,} readers",
        before={"state": record.state},
        after=document,
    )


def find_manifest(connection: Connection, record: EditionRecord) -> Manifest | None:
    """Find an edition's manifest; None for one that was never approved."""
    document = connection.scalar(select(manifests.c.document).where(_of(record.id)))
    if document is None:
        return None
    now_hashed = _hash_edition(connection, record.id)
    faults = [
        f"the {name.removesuffix('_sha256')} is not what was approved"
        for name, found in now_hashed.items()
        if document.get(name) != found
    ]
    kept = connection.scalar(
        select(audit.c.after)
        .where(audit.c.target == f"edition {record.name}", audit.c.action == APPROVED)
        .order_by(audit.c.id.desc())
        .limit(1)
    )
    if kept != hash_document(document):
        faults.append("the audit has another manifest")
    return Manifest(document=document, faults=tuple(faults))


def _hash_edition(connection: Connection, edition_id: int) -> dict[str, str]:
    row = connection.execute(
        select(editions.c.content, editions.c.compiled, editions.c.letterhead).where(
            editions.c.id == edition_id
        )
    ).one()
    return {
        "content_sha256": hash_edition(row.content) if row.content else "",
        "compiled_sha256": hashlib.sha256(row.compiled or b"").hexdigest(),
        "letterhead_sha256": hash_document(row.letterhead),
    }


def _list_approvals(connection: Connection, edition_id: int) -> list[dict[str, Any]]:
    """List whose yes the edition and the briefs that it tells have, the latest of each."""
    told = select(edition_briefs.c.brief_id).where(
        edition_briefs.c.edition_id == edition_id, edition_briefs.c.position.is_not(None)
    )
    rows = connection.execute(
        select(reviews)
        .where(
            or_(reviews.c.edition_id == edition_id, reviews.c.brief_id.in_(told)),
            reviews.c.verdict == "approved",
        )
        .order_by(reviews.c.id)
    )
    latest = {(row.edition_id, row.brief_id): row for row in rows}
    return [
        {
            "of": "edition" if row.edition_id else f"brief {row.brief_id}",
            "by": row.decided_by,
            "at": row.decided_at.isoformat(),
            "sha256": row.content_hash,
        }
        for row in latest.values()
    ]


def _list_words(ask: Ask | None) -> list[dict[str, Any]]:
    """List who asked for a send and who confirmed it; nobody where one was enough."""
    if ask is None or ask.confirmed_at is None:
        return []
    words = (
        ("the send, asked for", ask.asked_by, ask.asked_from, ask.asked_at),
        ("the send, confirmed", ask.confirmed_by, ask.confirmed_from, ask.confirmed_at),
    )
    return [
        {
            "of": what,
            "by": who,
            "from": origin,
            "at": at.isoformat(),
            "audience": ask.audience,
            "sha256": ask.content_hash,
        }
        for what, who, origin, at in words
    ]


def _of(edition_id: int) -> Any:
    return manifests.c.edition_id == edition_id
