"""The archive's search: an index of released editions, and what is found in it.

The index is two plain tables of our own, `searched` and `searched_words`, and no FTS5 or
tsvector: those split words by different rules, know nothing of languages without blanks, and
rank all that matches, so that a common word costs as much as the archive is long. Here both
databases find the same, and a query costs at most what `_CANDIDATES` allows, whatever it asks
for: the rarest of its words names the candidates, the newest first, and the other words are
looked up for those alone.

An edition is indexed when it is approved, in the same transaction, and again when something in
it is corrected; one that is cancelled before it reached anybody is taken out. What is found is
looked at again: nothing is shown but what readers may have.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar

from sqlalchemy import Connection, Row, and_, delete, exists, func, insert, select

from newsletter.editions.content import edition_from_document
from newsletter.editions.model import Edition, Kind
from newsletter.editions.released import is_released
from newsletter.editions.wording import (
    Fragment,
    build_excerpt,
    count_searched,
    is_prefix,
    list_prose,
    list_texts,
    rate,
    read_query,
    weigh_words,
)
from newsletter.store.tables import (
    corrections,
    edition_briefs,
    editions,
    searched,
    searched_words,
)

HITS_A_PAGE = 10
_CANDIDATES = 1_000
_ENDINGS = 8  # words that begin with one that is looked for
_IDS_A_QUERY = 500  # old builds of SQLite take 999 parameters
_PREFIX_WORTH = 0.6
_LAST_CHARACTER = "\U0010ffff"
_T = TypeVar("_T")

_S, _W, _E, _C = searched.c, searched_words.c, editions.c, edition_briefs.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A brief that was found, or with `number` 0 an edition."""

    day: date
    kind: Kind
    number: int
    title: str
    """The brief's; of an edition its subject."""
    lead: str
    """The title of the edition's first brief; "" where it has none."""
    excerpt: tuple[Fragment, ...]
    corrected: tuple[str, ...]
    """What was found wrong in it since, the earliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a query found: one page of it."""

    words: tuple[str, ...]
    """What was looked for."""
    total: int
    hits: tuple[Hit, ...]
    is_cut: bool
    """Whether more than the newest may have it, which were not looked at."""


# -- the index -------------------------------------------------------------------------------------


def index_edition(connection: Connection, edition_id: int) -> None:
    """Put an edition into the index as it stands, with what was corrected in it; idempotent."""
    content = connection.scalar(select(_E.content).where(_E.id == edition_id))
    if content is None:
        return
    edition = edition_from_document(content)
    corrected = _load_corrected(connection, [edition_id])
    numbers = range(count_searched(edition) + 1)
    ids = _number(connection, edition_id, numbers)
    weights = {
        number: weigh_words(list_texts(edition, number, corrected[edition_id, number]))
        for number in numbers
    }
    for number in numbers:
        _forget(connection, ids[number], weights[number])
    rows = [
        {"word": word, "searched_id": ids[number], "weight": weight}
        for number in numbers
        for word, weight in weights[number].items()
    ]
    if rows:
        connection.execute(insert(searched_words), rows)


def drop_edition(connection: Connection, edition_id: int) -> None:
    """Take an edition out of the index."""
    content = connection.scalar(select(_E.content).where(_E.id == edition_id))
    query = select(_S.id, _S.number).where(_S.edition_id == edition_id)
    for row in connection.execute(query).all():
        if content is not None:
            texts = list_texts(edition_from_document(content), row.number)
            _forget(connection, row.id, weigh_words(texts))
    connection.execute(delete(searched).where(_S.edition_id == edition_id))


def empty_index(connection: Connection) -> None:
    """Forget the whole index, so that all of it is made anew."""
    connection.execute(delete(searched_words))
    connection.execute(delete(searched))


def list_unindexed(connection: Connection) -> list[int]:
    """List released editions that are not in the index, the earliest first."""
    known = exists().where(_S.edition_id == _E.id)
    query = select(_E.id).where(is_released(), ~known).order_by(_E.date, _E.dated_at, _E.id)
    return list(connection.scalars(query))


def _number(connection: Connection, edition_id: int, numbers: Iterable[int]) -> dict[int, int]:
    """Give the number in the index of each brief of an edition; new ones where there are none."""
    query = select(_S.number, _S.id).where(_S.edition_id == edition_id)
    ids: dict[int, int] = {row.number: row.id for row in connection.execute(query)}
    for number in numbers:
        if number not in ids:
            row = insert(searched).values(edition_id=edition_id, number=number).returning(_S.id)
            ids[number] = connection.execute(row).scalar_one()
    return ids


def _forget(connection: Connection, searched_id: int, words: Iterable[str]) -> None:
    """Take words off a brief. They are named, so that no second index has to find them."""
    for some in _in_parts(sorted(words)):
        connection.execute(
            delete(searched_words).where(_W.word.in_(some), _W.searched_id == searched_id)
        )


# -- a query ---------------------------------------------------------------------------------------


def find(connection: Connection, query: str, page: int = 1) -> Found:
    """Find what has all words of a query, the best first; give one page, from 1."""
    words = read_query(query)
    if not words:
        return Found(words=(), total=0, hits=(), is_cut=False)
    endings = {word: _list_endings(connection, word) for word in words}
    counts = {word: _count(connection, endings[word]) for word in words}
    rarest = min(words, key=lambda word: counts[word])
    weights = {rarest: _load_candidates(connection, rarest, endings[rarest])}
    ids = list(weights[rarest])
    for word in words:
        if word != rarest:
            weights[word] = _load_weights(connection, word, endings[word], ids)
            ids = [each for each in ids if each in weights[word]]
    rarity = {word: math.log(1 + _CANDIDATES / max(1, counts[word])) for word in words}
    rated = {each: rate({w: weights[w][each] for w in words}, rarity) for each in ids}
    places = _load_places(connection, ids)
    best = sorted(places, key=lambda each: (-round(rated[each], 6), -each))
    shown = best[(page - 1) * HITS_A_PAGE : page * HITS_A_PAGE]
    return Found(
        words=words,
        total=len(best),
        hits=_load_hits(connection, [places[each] for each in shown], words),
        is_cut=counts[rarest] > _CANDIDATES,
    )


def _list_endings(connection: Connection, word: str) -> list[str]:
    """List the words of the index that answer one: itself, and some that begin with it."""
    listed = [word]
    while is_prefix(word) and len(listed) <= _ENDINGS:
        # One step to the next word, however many briefs have it.
        following = connection.scalar(
            select(func.min(_W.word)).where(_W.word > listed[-1], _W.word < word + _LAST_CHARACTER)
        )
        if following is None:
            break
        listed.append(following)
    return listed


def _count(connection: Connection, endings: Sequence[str]) -> int:
    """Count who has one of the words, up to a little more than the candidates there may be."""
    total = 0
    for word in endings:
        some = select(_W.searched_id).where(_W.word == word).limit(_CANDIDATES + 1).subquery()
        total += connection.scalar(select(func.count()).select_from(some)) or 0
        if total > _CANDIDATES:
            break
    return total


def _load_candidates(connection: Connection, word: str, endings: Sequence[str]) -> dict[int, float]:
    """Load the newest that have one of the words, each with how much."""
    weights: defaultdict[int, float] = defaultdict(float)
    for each in endings:
        rows = connection.execute(
            select(_W.searched_id, _W.weight)
            .where(_W.word == each)
            .order_by(_W.word.desc(), _W.searched_id.desc())
            .limit(_CANDIDATES)
        )
        for searched_id, weight in rows:
            weights[searched_id] += weight * (1 if each == word else _PREFIX_WORTH)
    return {each: weights[each] for each in sorted(weights, reverse=True)[:_CANDIDATES]}


def _load_weights(
    connection: Connection, word: str, endings: Sequence[str], ids: Sequence[int]
) -> dict[int, float]:
    """Load how much of the words each candidate has; those that have none are left out."""
    weights: defaultdict[int, float] = defaultdict(float)
    for some in _in_parts(ids):
        rows = connection.execute(
            select(_W.searched_id, _W.word, _W.weight).where(
                _W.word.in_(endings), _W.searched_id.in_(some)
            )
        )
        for searched_id, found, weight in rows:
            weights[searched_id] += weight * (1 if found == word else _PREFIX_WORTH)
    return dict(weights)


def _load_places(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Load edition and number of candidates; what readers may not have is left out.

    So is an edition of which a brief was found: the brief says it better. And a brief that
    several editions told is found in the first of them.
    """
    found: list[Row[tuple[int, int, int, int | None]]] = []
    for some in _in_parts(ids):
        is_its_claim = and_(_C.edition_id == _S.edition_id, _C.position == _S.number - 1)
        query = select(_S.id, _S.edition_id, _S.number, _C.brief_id)
        found += connection.execute(
            query.outerjoin(edition_briefs, is_its_claim).where(_S.id.in_(some))
        )
    told_at: dict[int, datetime] = {}
    for part in _in_parts(sorted({row.edition_id for row in found})):
        released = select(_E.id, _E.dated_at).where(_E.id.in_(part), is_released())
        told_at |= {row.id: row.dated_at for row in connection.execute(released)}
    with_brief = {row.edition_id for row in found if row.number}
    places: dict[int, tuple[int, int]] = {}
    told: set[int] = set()
    of_readers = (row for row in found if row.edition_id in told_at)
    for row in sorted(of_readers, key=lambda row: (told_at[row.edition_id], row.edition_id)):
        if row.brief_id not in told and (row.number or row.edition_id not in with_brief):
            places[row.id] = (row.edition_id, row.number)
            if row.brief_id is not None:
                told.add(row.brief_id)
    return places


def _load_hits(
    connection: Connection, places: Sequence[tuple[int, int]], words: Sequence[str]
) -> tuple[Hit, ...]:
    ids = sorted({edition_id for edition_id, _ in places})
    rows = connection.execute(select(_E.id, _E.content).where(_E.id.in_(ids)))
    contents = {row.id: edition_from_document(row.content) for row in rows}
    corrected = _load_corrected(connection, ids)
    return tuple(
        _build_hit(contents[edition_id], number, corrected[edition_id, number], words)
        for edition_id, number in places
    )


def _build_hit(
    edition: Edition, number: int, corrected: Sequence[str], words: Sequence[str]
) -> Hit:
    return Hit(
        day=edition.date,
        kind=edition.kind,
        number=number,
        title=edition.briefs[number - 1].title if number else edition.subject,
        lead=edition.briefs[0].title if edition.briefs else "",
        excerpt=build_excerpt(list_prose(edition, number), words),
        corrected=tuple(corrected),
    )


def _load_corrected(
    connection: Connection, edition_ids: Sequence[int]
) -> Mapping[tuple[int, int], list[str]]:
    """Load what was found wrong in editions since, by edition and brief; 0 for none of them.

    Where a brief cannot be found by itself, in a round-up, its edition is.
    """
    claims = edition_briefs.c
    rows = connection.execute(
        select(corrections.c.edition_id, corrections.c.text, claims.position, _E.kind)
        .join_from(corrections, editions, _E.id == corrections.c.edition_id)
        .outerjoin(
            edition_briefs,
            (claims.brief_id == corrections.c.brief_id)
            & (claims.edition_id == corrections.c.edition_id),
        )
        .where(corrections.c.edition_id.in_(edition_ids))
        .order_by(corrections.c.id)
    )
    texts: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for row in rows:
        is_apart = row.position is not None and row.kind != "weekly"
        texts[row.edition_id, row.position + 1 if is_apart else 0].append(row.text)
    return texts


def _in_parts(values: Sequence[_T]) -> Iterable[Sequence[_T]]:
    return (values[at : at + _IDS_A_QUERY] for at in range(0, len(values), _IDS_A_QUERY))
