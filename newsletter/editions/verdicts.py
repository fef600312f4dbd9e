"""What was said of briefs and editions, kept in the table `reviews`: rows are only ever added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from newsletter.briefs.document import brief_from_document
from newsletter.briefs.model import Brief
from newsletter.editions.review import (
    Judgement,
    Rules,
    Said,
    Verdict,
    hash_brief,
    hash_edition,
    judge_brief,
)
from newsletter.editions.shelf import read_edition
from newsletter.errors import RefusedError, Untimely
from newsletter.settings import Settings, source_name
from newsletter.store.audit import Actor
from newsletter.store.audit import note as add_note
from newsletter.store.tables import briefs, edition_briefs, editions, reviews

_IDS_A_QUERY = 500  # old builds of SQLite take 999 parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """A stored brief, and how it stands with its reviewers."""

    brief_id: int
    source: str
    origin: str
    published_at: datetime
    document: Mapping[str, Any]
    source_document: Mapping[str, Any] | None
    """As its source has it, where an editor mended it."""
    warnings: Sequence[Mapping[str, Any]]
    brief: Brief
    content_hash: str
    judgement: Judgement


def read_rules(settings: Settings) -> Rules:
    """Read from the settings who must be asked."""
    trusted = frozenset(source_name(source) for source in settings.sources if source.trusted)
    return Rules(required=settings.review.required, trusted=trusted)


def load_reviewed(
    connection: Connection, brief_ids: Iterable[int], rules: Rules
) -> dict[int, Reviewed]:
    """Load briefs with how they stand; those that are not there are left out."""
    wanted = sorted(set(brief_ids))
    said = load_said(connection, wanted)
    loaded = {}
    for some in _in_parts(wanted):
        for row in connection.execute(select(briefs).where(briefs.c.id.in_(some))):
            brief = brief_from_document(row.document, file=f"{row.source}, {row.origin}")
            name = hash_brief(row.document)
            loaded[row.id] = Reviewed(
                brief_id=row.id,
                source=row.source,
                origin=row.origin,
                published_at=row.published_at,
                document=row.document,
                source_document=row.source_document,
                warnings=row.warnings,
                brief=brief,
                content_hash=name,
                judgement=judge_brief(
                    brief, name, said.get(row.id, ()), source=row.source, rules=rules
                ),
            )
    return loaded


def load_said(connection: Connection, brief_ids: Sequence[int]) -> dict[int, list[Said]]:
    """Load what was said of briefs, the oldest first."""
    said: dict[int, list[Said]] = defaultdict(list)
    for some in _in_parts(brief_ids):
        rows = connection.execute(
            select(reviews).where(reviews.c.brief_id.in_(some)).order_by(reviews.c.id)
        )
        for row in rows:
            said[row.brief_id].append(_said(row))
    return said


def find_text(connection: Connection, brief_id: int, content_hash: str) -> Mapping[str, Any] | None:
    """Find a brief's document as it was when something was said of it."""
    document: Mapping[str, Any] | None = connection.scalar(
        select(reviews.c.document)
        .where(reviews.c.brief_id == brief_id, reviews.c.content_hash == content_hash)
        .order_by(reviews.c.id.desc())
        .limit(1)
    )
    return document


def store_verdict(
    connection: Connection,
    reviewed: Iterable[Reviewed],
    verdict: Verdict,
    *,
    by: Actor,
    now: datetime,
    note: str = "",
) -> None:
    """Keep what somebody says of briefs as they stand."""
    judged = list(reviewed)
    _keep(connection, judged, verdict, by=by.who, now=now, said=note)
    for each in judged:
        add_note(
            connection,
            by,
            f"brief.{verdict}",
            f"brief {each.brief_id}",
            now=now,
            detail=f"as {each.content_hash}",
            before={"state": each.judgement.state},
            after={"state": verdict, "note": note},
        )


def store_trust(connection: Connection, reviewed: Iterable[Reviewed], now: datetime) -> None:
    """Keep that briefs go without a person's word, and which setting says so."""
    for each in reviewed:
        if each.judgement.by_trust:
            by = f"settings: source {each.source} is trusted"
            _keep(connection, [each], "approved", by=by, now=now)


def read_edition_hash(connection: Connection, edition_id: int) -> str:
    """Read the hash of what readers get of an edition; raises `RefusedError` without content."""
    return hash_edition(_read_content(connection, edition_id))


def find_said_of_edition(connection: Connection, edition_id: int) -> Said | None:
    """Find what was last said of an edition as it stands."""
    rows = connection.execute(
        select(reviews)
        .where(
            reviews.c.edition_id == edition_id,
            reviews.c.content_hash == read_edition_hash(connection, edition_id),
        )
        .order_by(reviews.c.id.desc())
        .limit(1)
    )
    row = rows.one_or_none()
    return None if row is None else _said(row)


def approve_edition(
    connection: Connection,
    edition_id: int,
    rules: Rules,
    *,
    by: Actor,
    now: datetime,
    seen: str = "",
) -> None:
    """Keep that somebody approves an edition as it stands, and with it the briefs it tells.

    `seen` is the hash of what they saw: raises `Untimely` where the edition is another by
    now. A brief whose source has changed it since is approved only as the edition tells it.
    """
    content_hash = read_edition_hash(connection, edition_id)
    if seen and seen != content_hash:
        raise Untimely(
            "the edition was composed anew meanwhile", mend="look at it again, then approve it"
        )
    connection.execute(
        insert(reviews).values(
            edition_id=edition_id,
            content_hash=content_hash,
            verdict="approved",
            decided_at=now,
            decided_by=by.who,
        )
    )
    shown = _read_content(connection, edition_id)
    told = load_told(connection, edition_id, rules)
    waiting = [
        each
        for each, document in zip(told, shown["briefs"], strict=True)
        if each.judgement.state == "waiting" and _says_the_same(each.document, document)
    ]
    store_verdict(connection, waiting, "approved", by=by, now=now)
    name = read_edition(connection, edition_id).name
    detail = f"as {content_hash}"
    add_note(connection, by, "edition.review", f"edition {name}", now=now, detail=detail)


def load_told(connection: Connection, edition_id: int, rules: Rules) -> list[Reviewed]:
    """Load the briefs that an edition tells, in its order, as their sources have them now."""
    claims = edition_briefs.c
    told = connection.scalars(
        select(claims.brief_id)
        .where(claims.edition_id == edition_id, claims.position.is_not(None))
        .order_by(claims.position)
    ).all()
    loaded = load_reviewed(connection, told, rules)
    return [loaded[brief_id] for brief_id in told]


def load_said_as_told(connection: Connection, edition_id: int) -> dict[int, Said | None]:
    """Load what was last said of each brief as an edition tells it, by its number there."""
    told = _read_content(connection, edition_id)["briefs"]
    claims = edition_briefs.c
    claimed = connection.execute(
        select(claims.brief_id, claims.position).where(
            claims.edition_id == edition_id, claims.position.is_not(None)
        )
    )
    numbers = {brief_id: position + 1 for brief_id, position in claimed}
    said: dict[int, Said | None] = dict.fromkeys(range(1, len(told) + 1))
    for some in _in_parts(sorted(numbers)):
        rows = connection.execute(
            select(reviews).where(reviews.c.brief_id.in_(some)).order_by(reviews.c.id)
        )
        for row in rows:
            number = numbers[row.brief_id]
            if row.document and _says_the_same(row.document, told[number - 1]):
                said[number] = _said(row)
    return said


def find_unsendable(
    connection: Connection, edition_id: int, rules: Rules, *, by_person: bool = False
) -> Reviewed | None:
    """Find a brief of an edition, told or named beside another, that its reviewers do not let go.

    What was rejected never goes. What waits for a reviewer goes where a person says yes to the
    edition (`by_person`), or has approved it as it stands.
    """
    placed = connection.scalars(
        select(edition_briefs.c.brief_id)
        .where(
            edition_briefs.c.edition_id == edition_id,
            edition_briefs.c.story_id.is_not(None) | edition_briefs.c.position.is_not(None),
        )
        .order_by(edition_briefs.c.position)
    )
    loaded = load_reviewed(connection, placed, rules).values()
    rejected = next((each for each in loaded if each.judgement.state == "rejected"), None)
    if rejected or by_person or is_edition_approved(connection, edition_id):
        return rejected
    return next((each for each in loaded if each.judgement.state == "waiting"), None)


def is_edition_approved(connection: Connection, edition_id: int) -> bool:
    """Tell whether somebody has approved an edition as it stands."""
    said = find_said_of_edition(connection, edition_id)
    return said is not None and said.verdict == "approved"


def _keep(
    connection: Connection,
    reviewed: Iterable[Reviewed],
    verdict: Verdict,
    *,
    by: str,
    now: datetime,
    said: str = "",
) -> None:
    rows = [
        {
            "brief_id": each.brief_id,
            "content_hash": each.content_hash,
            "document": each.document,
            "verdict": verdict,
            "note": said,
            "decided_at": now,
            "decided_by": by,
        }
        for each in reviewed
    ]
    if rows:
        connection.execute(insert(reviews), rows)


def _read_content(connection: Connection, edition_id: int) -> Mapping[str, Any]:
    document: Mapping[str, Any] | None = connection.scalar(
        select(editions.c.content).where(editions.c.id == edition_id)
    )
    if document is None:
        raise RefusedError("this edition has no content yet", mend="`newsletter preview` makes it")
    return document


def _says_the_same(stored: Mapping[str, Any], shown: Mapping[str, Any]) -> bool:
    """Tell whether an edition shows a brief as it is stored; it may leave the picture out."""
    return hash_brief({**stored, "picture": {}}) == hash_brief({**shown, "picture": {}})


def _said(row: Any) -> Said:
    return Said(
        content_hash=row.content_hash,
        verdict=row.verdict,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        note=row.note,
    )


def _in_parts(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[start : start + _IDS_A_QUERY] for start in range(0, len(ids), _IDS_A_QUERY))
