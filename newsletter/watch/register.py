"""The register of alarms: which stand, and what of them was told by which way.

An alarm is told once by each way while it stands, and once more where another cause is found;
then that it has ended. Which, and how often it was tried, is kept: a process that is started
again does not begin anew, and of two that watch one database one tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection, Row, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from newsletter.store.tables import alarms, tellings
from newsletter.watch.alarm import Alarm
from newsletter.watch.telling import CLAIMED_FOR, Telling, Way, decide_next_try

_A, _T = alarms.c, tellings.c
_AT_ONCE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alarm that stands, or stood, and which ways know of it."""

    key: str
    kind: str
    sentence: str
    raised_at: datetime
    ended_at: datetime | None
    told: tuple[Way, ...]
    untold: tuple[tuple[Way, str], ...]
    """Ways that it could not be told by yet, and the last error; "" where none was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is new since the last look."""

    alarm_key: str
    is_end: bool
    sentence: str


def note_alarms(
    connection: Connection,
    found: Sequence[Alarm],
    ways: Sequence[Way],
    *,
    end: Callable[[str, str], str],
    now: datetime,
) -> list[Change]:
    """Bring the register to what stands now; give what changed.

    `end` gives the sentence that an alarm ends with, from its key and its last sentence.
    """
    standing = {row.key: row for row in connection.execute(_STANDING)}
    changes: list[Change] = []
    for alarm in found:
        row = standing.pop(alarm.key, None)
        if row is None:
            added = _raise(connection, alarm, now)
            if added is None:
                continue  # another process was quicker
            _queue(connection, added, f"raised/{alarm.cause}", alarm.sentence, ways, now)
        elif alarm.cause not in row.causes:
            causes = [*row.causes, alarm.cause.value]
            _change(connection, row.id, alarm, causes)
            _queue(connection, row.id, f"raised/{alarm.cause}", alarm.sentence, ways, now)
        else:
            if alarm.sentence != row.sentence:
                _change(connection, row.id, alarm, row.causes)
            continue
        changes.append(Change(alarm_key=alarm.key, is_end=False, sentence=alarm.sentence))
    for key, row in standing.items():
        sentence = end(key, row.sentence)
        ended = update(alarms).where(_A.id == row.id, _A.ended_at.is_(None))
        if connection.execute(ended.values(ended_at=now, sentence=sentence)).rowcount:
            _queue(connection, row.id, "ended", sentence, ways, now)
            changes.append(Change(alarm_key=key, is_end=True, sentence=sentence))
    return changes


def claim_tellings(
    connection: Connection, ways: Sequence[Way], now: datetime
) -> tuple[Telling, ...]:
    """Take what is due to be told, in order; for a while nobody else gets it."""
    rows = connection.execute(
        select(tellings, _A.key, _A.kind)
        .join(alarms, _A.id == _T.alarm_id)
        .where(_T.due_at <= now, _T.way.in_(ways))
        .order_by(_T.made_at, _T.alarm_id, _T.what)
        .limit(_AT_ONCE)
    ).all()
    claimed = []
    for row in rows:
        mine = update(tellings).where(
            _T.alarm_id == row.alarm_id,
            _T.what == row.what,
            _T.way == row.way,
            _T.due_at == row.due_at,
        )
        if connection.execute(mine.values(due_at=now + CLAIMED_FOR)).rowcount:
            claimed.append(_read_telling(row))
    return tuple(claimed)


def settle_telling(connection: Connection, telling: Telling, error: str, now: datetime) -> None:
    """Record that a telling was told, or why not and when it is tried again."""
    due_at = decide_next_try(telling, now) if error else None
    connection.execute(
        update(tellings)
        .where(_T.alarm_id == telling.alarm_id, _T.what == telling.what, _T.way == telling.way)
        .values(
            attempts=telling.attempts + 1,
            error=error,
            told_at=None if error else now,
            due_at=due_at,
        )
    )


def list_alarms(
    connection: Connection, *, ended_since: datetime | None = None
) -> tuple[Standing, ...]:
    """List the alarms that stand, and those that ended since a moment; the latest first."""
    stands = _A.ended_at.is_(None)
    wanted = stands if ended_since is None else or_(stands, _A.ended_at >= ended_since)
    rows = connection.execute(
        select(alarms).where(wanted).order_by(_A.raised_at.desc(), _A.id.desc())
    ).all()
    told: dict[int, list[Row[tuple[object, ...]]]] = {row.id: [] for row in rows}
    for each in connection.execute(
        select(tellings).where(_T.alarm_id.in_(told)).order_by(_T.alarm_id, _T.way, _T.made_at)
    ):
        told[each.alarm_id].append(each)
    return tuple(
        Standing(
            key=row.key,
            kind=row.kind,
            sentence=row.sentence,
            raised_at=row.raised_at,
            ended_at=row.ended_at,
            told=tuple(dict.fromkeys(t.way for t in told[row.id] if t.told_at)),
            untold=tuple({t.way: t.error for t in told[row.id] if not t.told_at}.items()),
        )
        for row in rows
    )


def list_standing_keys(connection: Connection) -> frozenset[str]:
    """List what the alarms that stand are about."""
    return frozenset(connection.scalars(select(_A.key).where(_A.ended_at.is_(None))))


def forget_alarms(connection: Connection, before: datetime) -> int:
    """Forget alarms that ended before a moment; give their number."""
    old = select(_A.id).where(_A.ended_at < before)
    connection.execute(delete(tellings).where(_T.alarm_id.in_(old)))
    return connection.execute(delete(alarms).where(_A.ended_at < before)).rowcount


_STANDING = select(alarms).where(_A.ended_at.is_(None))


def _raise(connection: Connection, alarm: Alarm, now: datetime) -> int | None:
    values = {
        "key": alarm.key,
        "kind": alarm.kind.value,
        "causes": [alarm.cause.value],
        "sentence": alarm.sentence,
        "raised_at": now,
    }
    try:
        with connection.begin_nested():
            added = connection.execute(insert(alarms).values(values).returning(_A.id))
            return int(added.scalar_one())
    except IntegrityError:
        return None


def _change(connection: Connection, alarm_id: int, alarm: Alarm, causes: Sequence[str]) -> None:
    connection.execute(
        update(alarms)
        .where(_A.id == alarm_id)
        .values(kind=alarm.kind.value, sentence=alarm.sentence, causes=list(causes))
    )


def _queue(
    connection: Connection,
    alarm_id: int,
    what: str,
    sentence: str,
    ways: Iterable[Way],
    now: datetime,
) -> None:
    rows = [
        {
            "alarm_id": alarm_id,
            "what": what,
            "way": way,
            "sentence": sentence,
            "made_at": now,
            "due_at": now,
        }
        for way in ways
    ]
    if rows:
        connection.execute(insert(tellings), rows)


def _read_telling(row: Row[tuple[object, ...]]) -> Telling:
    return Telling(
        alarm_id=row.alarm_id,
        key=row.key,
        kind=row.kind,
        what=row.what,
        way=row.way,
        sentence=row.sentence,
        made_at=row.made_at,
        attempts=row.attempts,
    )


@dataclass(slots=True)
class Aside:
    """What must be told while the database cannot keep it: in memory, by the same rules."""

    alarm: Alarm | None = None
    _due: list[tuple[datetime, Telling]] = field(default_factory=list)

    def raise_alarm(self, alarm: Alarm, ways: Sequence[Way], now: datetime) -> bool:
        """Raise it unless it stands; tell whether it is new."""
        if self.alarm is not None and self.alarm.cause is alarm.cause:
            return False
        self.alarm = alarm
        self._put(alarm, f"raised/{alarm.cause}", alarm.sentence, ways, now)
        return True

    def end_alarm(self, sentence: str, ways: Sequence[Way], now: datetime) -> None:
        """Say that it has ended."""
        alarm, self.alarm = self.alarm, None
        assert alarm is not None
        self._put(alarm, "ended", sentence, ways, now)

    def take_due(self, now: datetime) -> list[Telling]:
        """Take what is due."""
        due = [telling for at, telling in self._due if at <= now]
        self._due = [(at, telling) for at, telling in self._due if at > now]
        return due

    def put_back(self, telling: Telling, now: datetime) -> None:
        """Take back what could not be told."""
        due_at = decide_next_try(telling, now)
        if due_at is not None:
            again = replace(telling, attempts=telling.attempts + 1)
            self._due.append((due_at, again))

    def _put(
        self, alarm: Alarm, what: str, sentence: str, ways: Sequence[Way], now: datetime
    ) -> None:
        more = [
            (
                now,
                Telling(
                    alarm_id=0,
                    key=alarm.key,
                    kind=alarm.kind.value,
                    what=what,
                    way=way,
                    sentence=sentence,
                    made_at=now,
                ),
            )
            for way in ways
        ]
        self._due += more
