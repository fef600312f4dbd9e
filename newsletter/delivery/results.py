"""What became of an edition, added up once: over time, by the relay's answers, by domain.

Whoever looks at an edition of a million readers must not read a million rows. Its attempts and
deliveries are read once after it was sent, and what they come to is kept; again where its counts
have moved since (bounces, doubts that were settled), but not all the time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    select,
)

from newsletter.delivery.inquiry import (
    OF_EDITION,
    SAID,
    count_states,
    in_state,
    is_forgotten,
    read_run,
)
from newsletter.editions.shelf import list_editions
from newsletter.store import Database
from newsletter.store.tables import TROUBLED_STATES, attempts, deliveries, results

AGAIN = timedelta(minutes=15)
"""How old what was added up is before it is added up again."""
DOMAINS = 30
"""So many domains are kept, those with the most readers and the most trouble."""
_FEWEST = 5
"""A domain of fewer readers has no line of its own: it might name one of them."""
_EDITIONS_LOOKED_AT = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainResult:
    """What became of the readers of one domain."""

    domain: str
    """"" for all that have no line of their own."""
    readers: int
    counts: Mapping[str, int]
    """By state, but for accepted, which is all the rest."""
    words: str
    """What the relay said most often of those who did not get it."""

    @property
    def accepted(self) -> int:
        """Whose mail the relay took."""
        return self.readers - sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of an edition, as of a moment."""

    made_at: datetime
    minutes: Sequence[tuple[datetime, Mapping[str, int]]]
    """When attempts ended, by the minute, and how many with which outcome."""
    replies: Mapping[str, int]
    """Attempts by the first digit of the relay's reply; "" for what was no reply."""
    domains: Sequence[DomainResult]


def add_up_editions(database: Database, now: datetime) -> int:
    """Add up those recent editions whose result is not there or no longer true; say how many."""
    with database.reading() as connection:
        sent = [
            record.id
            for record in list_editions(connection, _EDITIONS_LOOKED_AT)
            if record.state == "sent" and _is_due(connection, record.id, record.sent_at, now)
        ]
    for edition_id in sent:
        add_up(database, edition_id, now)
    return len(sent)


def add_up(database: Database, edition_id: int, now: datetime) -> None:
    """Read all rows of an edition, and keep what they come to."""
    with database.reading() as connection:
        counts = count_states(connection, edition_id)
        ended = connection.execute(_ATTEMPTS, {"edition": edition_id}).all()
        readers = _count_readers(connection, edition_id)
        troubled = _count_troubled(connection, edition_id)
    document = {
        "counts": {state.value: count for state, count in sorted(counts.items())},
        "minutes": _by_minute(ended),
        "replies": dict(_sum(ended, "digit")),
        "domains": _by_domain(readers, troubled),
    }
    with database.writing() as connection:
        connection.execute(delete(results).where(results.c.edition_id == edition_id))
        connection.execute(
            insert(results).values(edition_id=edition_id, made_at=now, document=document)
        )


def find_result(connection: Connection, edition_id: int) -> Result | None:
    """Find what became of an edition, where it was added up."""
    row = connection.execute(select(results).where(results.c.edition_id == edition_id)).first()
    if row is None:
        return None
    return Result(
        made_at=row.made_at,
        minutes=[
            (datetime.fromtimestamp(minute * 60, tz=row.made_at.tzinfo), outcomes)
            for minute, outcomes in row.document["minutes"]
        ],
        replies=row.document["replies"],
        domains=[DomainResult(**each) for each in row.document["domains"]],
    )


def _is_due(
    connection: Connection, edition_id: int, sent_at: datetime | None, now: datetime
) -> bool:
    row = connection.execute(select(results).where(results.c.edition_id == edition_id)).first()
    run = read_run(connection, edition_id, now)
    if run is None or is_forgotten(connection, edition_id):
        return False
    if row is None or (sent_at is not None and row.made_at < sent_at):
        return True
    if now - row.made_at < AGAIN:
        return False
    counts = count_states(connection, edition_id)
    return bool({state.value: count for state, count in counts.items()} != row.document["counts"])


def _sum(ended: Sequence[Any], name: str) -> Counter[str]:
    summed: Counter[str] = Counter()
    for row in ended:
        summed[getattr(row, name)] += row.number
    return summed


def _by_minute(ended: Sequence[Any]) -> list[tuple[int, dict[str, int]]]:
    minutes: dict[int, Counter[str]] = defaultdict(Counter)
    for row in ended:
        minutes[int(row.minute)][row.outcome] += row.number
    return [(minute, dict(minutes[minute])) for minute in sorted(minutes)]


def _by_domain(readers: Counter[str], troubled: Sequence[Any]) -> list[dict[str, Any]]:
    """Give a line for each of the domains that matter most, and one for all others."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    words: dict[str, Counter[str]] = defaultdict(Counter)
    for row in troubled:
        counts[row.domain][row.state] += row.number
        if row.said:
            words[row.domain][row.said] += row.number
    trouble = Counter({domain: by_state.total() for domain, by_state in counts.items()})
    large = Counter({d: number for d, number in readers.items() if d and number >= _FEWEST})
    most = {d for d, _ in large.most_common(DOMAINS * 2 // 3)}
    most |= {d for d, _ in (trouble & large).most_common(DOMAINS // 3)}
    shown = sorted(most, key=lambda domain: (-readers[domain], domain))
    lines = [(domain, readers[domain], counts[domain], words[domain]) for domain in shown]
    if rest := [domain for domain in readers if domain not in most]:
        others, said = Counter[str](), Counter[str]()
        for domain in rest:
            others.update(counts[domain])
            said.update(words[domain])
        lines.append(("", sum(readers[domain] for domain in rest), others, said))
    return [
        {
            "domain": domain,
            "readers": number,
            "counts": dict(by_state),
            "words": _choose(said),
        }
        for domain, number, by_state, said in lines
    ]


def _choose(said: Counter[str]) -> str:
    """Choose what was said most often, unless it was said of one reader alone."""
    words, number = said.most_common(1)[0] if said else ("", 0)
    return words if number > 1 else ""


# -- statements ------------------------------------------------------------------------------------

_D = deliveries.c
_ENDED_IN: ColumnElement[int] = literal_column("attempts.ended_at / 60000000")
_DIGIT = case(
    *((attempts.c.reply.like(f"{digit}__%"), literal_column(f"'{digit}'")) for digit in "245"),
    else_=literal_column("''"),
)
_ATTEMPTS = (
    select(
        _ENDED_IN.label("minute"),
        attempts.c.outcome,
        _DIGIT.label("digit"),
        func.count().label("number"),
    )
    .where(attempts.c.edition_id == bindparam("edition"))
    .group_by(_ENDED_IN, attempts.c.outcome, _DIGIT)
)


def build_domain(connection: Connection) -> Any:
    """Build the domain of a delivery's address; "" for who was erased."""
    find = func.instr if connection.dialect.name == "sqlite" else func.strpos
    at = find(_D.email, literal_column("'@'"))
    domain = func.lower(func.substr(_D.email, at + literal_column("1")))
    return case((at > literal_column("0"), domain), else_=literal_column("''"))


def _count_readers(connection: Connection, edition_id: int) -> Counter[str]:
    domain = build_domain(connection)
    query = select(domain, func.count()).where(OF_EDITION).group_by(domain)
    rows = connection.execute(query, {"edition": edition_id})
    return Counter({str(name): int(number) for name, number in rows})


def _count_troubled(connection: Connection, edition_id: int) -> list[Row[Any]]:
    domain = build_domain(connection)
    query = (
        select(domain.label("domain"), _D.state, SAID, func.count().label("number"))
        .where(OF_EDITION, in_state(*TROUBLED_STATES))
        .group_by(domain, _D.state, SAID)
    )
    return list(connection.execute(query, {"edition": edition_id}))
