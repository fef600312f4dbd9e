"""What readers follow, without following readers: how often each link of an edition was followed.

One figure is kept for each brief and link of an edition, and nothing about anybody. Even so a
small one might tell of one person, so figures below `FEWEST` are never given, and nor is what
they could be reckoned from:

- Small figures are given as one sum, and only where that is of at least two of them and itself
  not small. Where it is not, the next larger figures are added to it until it is.
- Figures that are equal go into the sum together: which of them did would tell something.
- A sum that is as high as small figures can be would give all of them away, so it is not given
  either.

An edition that fewer readers than that were sent has no figures at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.delivery.inquiry import count_states, is_forgotten
from newsletter.delivery.lifecycle import State
from newsletter.editions.shelf import load_content
from newsletter.render.addresses import expand_link
from newsletter.render.context import clean_line, clean_url, name_section
from newsletter.store.tables import attempts, clicks, editions

Key = TypeVar("Key", bound=Hashable)

FEWEST = 20
"""The least that is ever given: clicks of a group, and readers of an edition."""
_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Followed:
    """A link of an edition's mail."""

    edition_id: int
    brief: int
    """Its number in the edition, from 1."""
    link: str
    """As `shorten_link` writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInterest:
    """How often one link of a brief was followed."""

    brief: int
    title: str
    address: str
    clicks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionInterest:
    """How often the links of a section were followed."""

    section: str
    """"" for briefs that are under no heading and have no topic."""
    clicks: int
    links: tuple[LinkInterest, ...]
    """The most followed first."""
    others: int
    """How often all its other links together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """How often the links of an edition were followed, as far as that may be told."""

    sections: tuple[SectionInterest, ...] = ()
    """The most followed first."""
    others: int = 0
    """How often the links of all other sections together."""

    @property
    def clicks(self) -> int:
        """All of them; 0 where nothing may be told."""
        return sum(each.clicks for each in self.sections) + self.others


def hide_small(figures: Mapping[Key, int], fewest: int = FEWEST) -> tuple[dict[Key, int], int]:
    """Give the figures that may be told, the largest first, and the sum of all others. Pure.

    The sum is 0, or at least `fewest`; where even that of all figures is less, nothing is given.
    """
    told = {key: number for key, number in figures.items() if number >= fewest}
    hidden = [number for number in figures.values() if 0 < number < fewest]
    if not hidden:
        return _sort(told), 0
    while told and (
        len(hidden) < 2 or sum(hidden) < fewest or sum(hidden) == (fewest - 1) * len(hidden)
    ):
        smallest = min(told.values())
        hidden += [number for number in told.values() if number == smallest]
        told = {key: number for key, number in told.items() if number > smallest}
    return _sort(told), sum(hidden) if sum(hidden) >= fewest else 0


def _sort(figures: Mapping[Key, int]) -> dict[Key, int]:
    return dict(sorted(figures.items(), key=lambda pair: -pair[1]))


def add_clicks(connection: Connection, counted: Mapping[Followed, int]) -> None:
    """Add to the figures of links, of editions that are there."""
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    # In the same order everywhere: two processes that add at once do not wait for each other.
    in_order = sorted(counted, key=lambda each: (each.edition_id, each.brief, each.link))
    for start in range(0, len(in_order), _ROWS_AT_ONCE):
        statement = make(clicks).values(
            [
                {
                    "edition_id": each.edition_id,
                    "brief": each.brief,
                    "link": each.link,
                    "number": counted[each],
                }
                for each in in_order[start : start + _ROWS_AT_ONCE]
            ]
        )
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[clicks.c.edition_id, clicks.c.brief, clicks.c.link],
                set_={"number": clicks.c.number + statement.excluded.number},
            )
        )


def find_first_tried(connection: Connection, edition_id: int) -> datetime | None:
    """Find when the first copy of an edition was handed over; None where none was, or it is gone.

    Of one whose deliveries are forgotten it is only known that it is long past.
    """
    found: datetime | None = connection.scalar(
        select(func.min(attempts.c.ended_at))
        .join_from(editions, attempts, attempts.c.edition_id == editions.c.id)
        .where(editions.c.id == edition_id)
    )
    if found is None and is_forgotten(connection, edition_id):
        return datetime.min.replace(tzinfo=UTC)
    return found


def read_interest(connection: Connection, edition_id: int, *, url: str) -> Interest | None:
    """Read what was followed of an edition; None where nothing was counted.

    `url` is the publication's. What may not be told is left out.
    """
    rows = connection.execute(select(clicks).where(clicks.c.edition_id == edition_id)).all()
    if not rows:
        return None
    if count_states(connection, edition_id).get(State.ACCEPTED, 0) < FEWEST:
        return Interest()
    edition = load_content(connection, edition_id)
    root = clean_url(url)
    of_sections = Counter[str]()
    of_links: dict[str, dict[LinkInterest, int]] = defaultdict(dict)
    for row in rows:
        if not 0 < row.brief <= len(edition.briefs):
            continue
        brief = edition.briefs[row.brief - 1]
        section = name_section(brief, edition.placing(row.brief - 1))
        link = LinkInterest(
            brief=row.brief,
            title=clean_line(brief.title),
            address=expand_link(row.link, root),
            clicks=row.number,
        )
        of_sections[section] += row.number
        of_links[section][link] = row.number
    shown, others = hide_small(of_sections)
    sections = []
    for section, number in shown.items():
        links, rest = hide_small(of_links[section])
        sections.append(
            SectionInterest(section=section, clicks=number, links=tuple(links), others=rest)
        )
    return Interest(sections=tuple(sections), others=others)
