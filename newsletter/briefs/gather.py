"""Gather the sources: read them side by side, store them one after the other.

What one source gave is stored in one transaction: its briefs, the keys they are known by, the
row about this gathering, and the validators that make the next fetch conditional. So after a
crash either all of it is there or the source is simply read again. A source that fails leaves
everything as it was, except for the row that says so. One that is left alone for now (see
`patience`) is not asked, and counts as not read.

A brief belongs to the source that brought it first; the same brief from another source adds
only keys. Its own source may change it until an edition with it is approved, but for what an
editor mended (see `mending`). From then on it stays as readers got it, and a change is mentioned
once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, delete, exists, insert, or_, select, update

from newsletter import __version__
from newsletter.briefs.document import brief_from_document, brief_to_document
from newsletter.briefs.health import Alarm
from newsletter.briefs.mending import list_changed, merge_documents
from newsletter.briefs.model import Brief, BriefWarning
from newsletter.briefs.patience import build_spread, decide_next_attempt
from newsletter.briefs.sources.identity import Known, Match, build_keys, decide_matches
from newsletter.briefs.sources.read import read_source
from newsletter.briefs.sources.reading import Item, Reading, SourceContext
from newsletter.briefs.turns import Turns
from newsletter.briefs.watch import watch_sources
from newsletter.errors import RefusedError, SourceError
from newsletter.settings import Settings, SourceSettings, read_environment, source_name
from newsletter.store import tables
from newsletter.store.database import Database

_log = logging.getLogger(__name__)
_MOST_AT_ONCE = 8
_KEYS_A_QUERY = 500  # old builds of SQLite take 999 parameters

Status = Literal["read", "unchanged", "partial", "failed", "waiting"]
ItemOutcome = Literal["new", "changed", "known", "elsewhere", "fixed", "repeats"]

ITEM_OUTCOMES: Mapping[ItemOutcome, str] = {
    "new": "new",
    "changed": "changed",
    "known": "known, and unchanged",
    "elsewhere": "known from another source",
    "fixed": "changed after an edition took it up",
    "repeats": "the same as another item of its source",
}
"""Every outcome of an item, and how it is said to a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemReport:
    """What came of one item that a source holds."""

    title: str
    origin: str
    """The file or entry that it came from."""
    outcome: ItemOutcome
    brief_id: int | None
    """What it is stored under; None for one that repeats another new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What came of one source. Problems, warnings and error are whole sentences."""

    name: str
    status: Status
    found: int = 0
    """Briefs that the source holds now."""
    new: int = 0
    changed: int = 0
    problems: tuple[str, ...] = ()
    """Documents that were left out."""
    warnings: tuple[str, ...] = ()
    """What is odd about new and changed briefs, and changes that came too late."""
    error: str = ""
    """Why the source was not read, or what is missing if only a part could be."""
    alarm: str = ""
    """What is told of it now for the first time: that it lastingly fails, is stale, is back."""
    is_known: bool = False
    """Whether its trouble was told before."""
    items: tuple[ItemReport, ...] = ()

    @property
    def is_read(self) -> bool:
        """Whether the source gave what it has, or a part of it."""
        return self.status not in ("failed", "waiting")


def gather_sources(
    database: Database,
    settings: Settings,
    *,
    now: datetime,
    patient: bool = False,
    on_source: Callable[[SourceReport], None] | None = None,
) -> tuple[SourceReport, ...]:
    """Read every source of the settings and store what is new; `on_source` hears of each.

    `patient` is how the schedule asks: it leaves a source that failed alone for a while, where a
    person leaves it alone only if its server asked for that. No source stops another. Raises
    `StorageError` if the database refuses; what was stored until then stays.
    """
    if not settings.sources:
        return ()
    states = _load_states(database)
    environment = read_environment(settings.root)
    names = [source_name(source) for source in settings.sources]
    turns = Turns(settings.gathering.gap.total_seconds())
    contexts = [
        SourceContext(
            root=settings.root,
            vocabulary=settings.vocabulary,
            user_agent=describe_us(settings),
            validators=states[name].validators if name in states else {},
            turns=turns,
            environment=environment,
        )
        for name in names
    ]
    reports: list[SourceReport] = []
    with ThreadPoolExecutor(min(_MOST_AT_ONCE, len(names)), thread_name_prefix="source") as pool:
        outcomes: dict[int, Future[Reading | _Failure | _Waiting]] = {}
        for number in _take_hosts_in_turn(settings.sources):
            source, context = settings.sources[number], contexts[number]
            spares = patient and source.kind != "folder"  # which is nobody's server
            waiting = _decide_waiting(names[number], states, now, patient=spares)
            outcomes[number] = pool.submit(_read, source, context, waiting)
        for number, name in enumerate(names):
            report = _store_outcome(database, name, outcomes.pop(number).result(), now)
            reports.append(report)
            if on_source:
                on_source(report)
    alarms = watch_sources(database, settings, now=now)
    return tuple(_with_alarm(report, alarms) for report in reports)


def _with_alarm(report: SourceReport, alarms: Mapping[str, Alarm]) -> SourceReport:
    alarm = alarms.get(report.name)
    if alarm is None:
        return report
    return replace(report, alarm=alarm.sentence if alarm.is_new else "", is_known=not alarm.is_new)


def describe_us(settings: Settings) -> str:
    """Say who asks, for the log of the server that is asked: User-Agent."""
    return f"newsletter/{__version__} (+{settings.publication.url})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """Why a source could not be read, and how long its server wants to be left alone."""

    sentence: str
    pause_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """Why a source is not asked now."""

    sentence: str


def _take_hosts_in_turn(sources: Sequence[SourceSettings]) -> list[int]:
    """Give the order in which sources are begun: many of one server do not keep the rest waiting.

    They wait for their turns there (see `turns`), and would wait in all the threads there are.
    """
    of_host: Counter[str] = Counter()
    turns = []
    for number, source in enumerate(sources):
        host = urlsplit(str(getattr(source, "url", ""))).hostname or f"source {number}"
        turns.append((of_host[host], number))
        of_host[host] += 1
    return [number for _, number in sorted(turns)]


def _decide_waiting(
    name: str, states: Mapping[str, _State], now: datetime, *, patient: bool
) -> _Waiting | None:
    """Decide whether a source is left alone for now; None if it is asked."""
    state = states.get(name)
    if state is None:
        return None
    if state.next_attempt_at and now < state.next_attempt_at:
        return _Waiting(
            sentence=f"{name}: its server asked to be left alone until "
            f"{state.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC; nothing is lost."
        )
    if patient and state.failures and state.last_attempt_at:
        spread = build_spread(name, state.failures)
        if now < decide_next_attempt(state.failures, state.last_attempt_at, spread):
            return _Waiting(sentence=state.last_error)
    return None


def _read(
    source: SourceSettings, context: SourceContext, waiting: _Waiting | None
) -> Reading | _Failure | _Waiting:
    """Read a source, or say why that failed; one that is waiting is not asked."""
    if waiting:
        return waiting
    try:
        return read_source(source, context)
    except SourceError as error:
        return _Failure(sentence=str(error), pause_seconds=error.retry_after_seconds)
    except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the other sources
        _log.exception("source %s failed in an unexpected way", source_name(source))
        name = type(error).__name__
        return _Failure(sentence=f"{source_name(source)}: failed in an unexpected way ({name}).")


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What is remembered of a source that was read before."""

    validators: Mapping[str, str]
    last_attempt_at: datetime | None
    last_error: str
    failures: int
    next_attempt_at: datetime | None
    """Until when its server asked to be left alone."""


def _load_states(database: Database) -> dict[str, _State]:
    """Load what is remembered of each source, by name."""
    c = tables.source_states.c
    columns = (c.validators, c.last_attempt_at, c.last_error, c.failures, c.next_attempt_at)
    with database.reading() as connection:
        rows = connection.execute(select(c.source, *columns)).mappings().all()
    return {row["source"]: _State(**{c.name: row[c.name] for c in columns}) for row in rows}


def _store_outcome(
    database: Database, name: str, outcome: Reading | _Failure | _Waiting, now: datetime
) -> SourceReport:
    with database.writing() as connection:
        if isinstance(outcome, _Waiting):
            report = SourceReport(name=name, status="waiting", error=outcome.sentence)
        elif isinstance(outcome, _Failure):
            report = SourceReport(name=name, status="failed", error=outcome.sentence)
            state: dict[str, Any] = {
                "last_error": outcome.sentence,
                "failures": tables.source_states.c.failures + 1,
                "next_attempt_at": _end_pause(outcome.pause_seconds, now),
                "last_attempt_at": now,
            }
            _store_state(connection, name, state)
        else:
            report = _store_reading(connection, name, outcome, now)
            state = {
                "last_error": outcome.missing,
                "validators": dict(outcome.validators),
                "failures": 0,
                "next_attempt_at": _end_pause(outcome.pause_seconds, now),
                "last_attempt_at": now,
            }
            if not outcome.missing:
                state["last_success_at"] = now
            _store_state(connection, name, state)
        connection.execute(
            insert(tables.gatherings).values(
                source=name,
                gathered_at=now,
                status=report.status,
                found=report.found,
                new=report.new,
                changed=report.changed,
                problems=list(report.problems),
                error=report.error,
            )
        )
    return report


def _end_pause(seconds: int, now: datetime) -> datetime | None:
    return now + timedelta(seconds=seconds) if seconds else None


def _store_state(connection: Connection, name: str, state: Mapping[str, Any]) -> None:
    states = tables.source_states
    updated = connection.execute(update(states).where(states.c.source == name).values(**state))
    if updated.rowcount == 0:
        first = {"source": name, "validators": {}, **state}
        if "failures" in first:  # an insert has nothing to count on from
            first["failures"] = int(first["last_error"] != "")
        connection.execute(insert(states).values(**first))


def _store_reading(
    connection: Connection, name: str, reading: Reading, now: datetime
) -> SourceReport:
    keys = [build_keys(item, source=name) for item in reading.items]
    shelf = _Shelf(connection, name, now)
    shelf.load({key for keys_of_item in keys for key in keys_of_item})
    matches = decide_matches(reading.items, keys, source=name, known=shelf.known)
    items = tuple(
        shelf.put(item, match) for item, match in zip(reading.items, matches, strict=True)
    )
    return SourceReport(
        name=name,
        status="partial" if reading.missing else "unchanged" if reading.unchanged else "read",
        found=len(reading.items),
        new=shelf.new,
        changed=shelf.changed,
        problems=reading.problems,
        warnings=(*shelf.warnings, *_remark_on_emptiness(connection, name, reading)),
        error=reading.missing,
        items=items,
    )


def _remark_on_emptiness(connection: Connection, name: str, reading: Reading) -> tuple[str, ...]:
    """Say that a source which held briefs holds none now: once, when it begins."""
    if reading.items or reading.problems or not reading.is_all:
        return ()
    rows = tables.gatherings.c
    found = connection.execute(
        select(rows.found)
        .where(rows.source == name, rows.status.in_(("read", "partial")))
        .order_by(rows.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    if not found:
        return ()
    return (f"{name}: holds nothing now, where it held {found} before; look whether that is so.",)


def store_item(
    connection: Connection,
    item: Item,
    *,
    source: str,
    now: datetime,
    brief_id: int | None = None,
) -> ItemReport:
    """Store one item that somebody brought, by the rules of all sources.

    With `brief_id` it is a new text for that brief, which `source` brought. Raises `RefusedError`
    where it is another stored brief by its keys.
    """
    keys = build_keys(item, source=source)
    shelf = _Shelf(connection, source, now)
    rows = tables.brief_keys.c
    own = select(rows.key).where(rows.brief_id == (brief_id or 0))
    shelf.load({*keys, *connection.scalars(own)})
    (match,) = decide_matches([item], [keys], source=source, known=shelf.known)
    if brief_id is not None:
        if match.known and match.known.brief_id != brief_id:
            raise RefusedError(f"that is the text of brief {match.known.brief_id}")
        of_this = (known for known in shelf.known.values() if known.brief_id == brief_id)
        match = replace(match, known=next(of_this, None))
        assert match.known is not None, "every brief has keys"
    return shelf.put(item, match)


class _Shelf:
    """The stored briefs that one reading may be about, within its transaction."""

    def __init__(self, connection: Connection, source: str, now: datetime) -> None:
        self._connection = connection
        self._source = source
        self._now = now
        self._rows: dict[int, Row[Any]] = {}
        self._briefs: dict[int, Known] = {}
        self.known: dict[str, Known] = {}
        self.new = 0
        self.changed = 0
        self.warnings: list[str] = []

    def load(self, keys: Iterable[str]) -> None:
        """Load every brief that is known by one of the keys."""
        rows, briefs = tables.brief_keys, tables.briefs
        fixed = is_fixed()
        wanted = sorted(keys)
        for start in range(0, len(wanted), _KEYS_A_QUERY):
            query = (
                select(rows.c.key, briefs, fixed.label("in_edition"))
                .select_from(rows.join(briefs))
                .where(rows.c.key.in_(wanted[start : start + _KEYS_A_QUERY]))
            )
            for row in self._connection.execute(query):
                if row.id not in self._rows:
                    self._rows[row.id] = row
                    self._briefs[row.id] = Known(
                        brief_id=row.id,
                        source=row.source,
                        brief=brief_from_document(_of_source(row), file=row.origin),
                        in_edition=row.in_edition,
                    )
                self.known[row.key] = self._briefs[row.id]

    def put(self, item: Item, match: Match) -> ItemReport:
        """Store an item as a new brief, or what is new about a known one; say which it was."""
        outcome, brief_id = self._put(item, match)
        return ItemReport(
            title=item.brief.title, origin=item.origin, outcome=outcome, brief_id=brief_id
        )

    def _put(self, item: Item, match: Match) -> tuple[ItemOutcome, int | None]:
        if match.repeats:
            return "repeats", match.known.brief_id if match.known else None
        lasting = {key for key in match.keys if not key.startswith("text:")}
        if match.known is None:
            brief_id = self._insert(item)
            self._add_keys(brief_id, lasting)
            return "new", brief_id
        known, row = match.known, self._rows[match.known.brief_id]
        if match.replaces:
            self._forget_keys(known.brief_id)
        self._add_keys(known.brief_id, lasting)
        same = _of_source(row) == _to_document(item.brief, published_at=row.published_at)
        if known.source != self._source:
            return "elsewhere", known.brief_id
        if same:
            return "known", known.brief_id
        if not known.in_edition:
            self._update(item, row, is_other=match.replaces)
            return "changed", known.brief_id
        if not any(key in self.known for key in match.keys if key not in lasting):
            self._add_keys(known.brief_id, set(match.keys) - lasting)
            self.warnings.append(
                f"{item.origin}: was changed after an edition took it up; readers have the "
                "earlier text."
            )
        return "fixed", known.brief_id

    def _insert(self, item: Item) -> int:
        values = self._values(item, otherwise=self._now)
        added = (
            insert(tables.briefs)
            .values(source=self._source, first_seen_at=self._now, **values)
            .returning(tables.briefs.c.id)
        )
        self.new += 1
        return int(self._connection.execute(added).scalar_one())

    def _update(self, item: Item, row: Row[Any], *, is_other: bool) -> None:
        """Store what a source says now; `is_other` is a story in the place of another."""
        briefs = tables.briefs
        values = self._values(item, otherwise=row.published_at)
        if is_other:
            values["source_document"] = None
        elif row.source_document is not None:
            values |= self._keep_mends(item, row, values["document"])
        self._connection.execute(update(briefs).where(briefs.c.id == row.id).values(**values))
        self.changed += 1

    def _keep_mends(self, item: Item, row: Row[Any], document: Any) -> dict[str, Any]:
        """Give the documents of a mended brief whose source has changed it."""
        was = row.source_document
        merged = merge_documents(was, row.document, document)
        mended, changed = list_changed(was, row.document), list_changed(was, document)
        if both := [field for field in mended if field in changed]:
            self.warnings.append(
                f"{item.origin}: was changed after an editor mended it; the editor's words stay in "
                f"{', '.join(both)}."
            )
        return {"document": merged, "source_document": None if merged == document else document}

    def _values(self, item: Item, *, otherwise: datetime) -> dict[str, Any]:
        """Give the columns of a brief; an undated one is dated by its file, or `otherwise`."""
        of_file = min(item.dated_at, self._now) if item.dated_at else otherwise
        published_at = item.brief.published_at or of_file
        self.warnings += (_say(item, warning) for warning in item.warnings)
        return {
            "origin": item.origin,
            "published_at": published_at,
            "changed_at": self._now,
            "not_before": item.brief.not_before,
            "document": _to_document(item.brief, published_at=published_at),
            "warnings": [asdict(warning) for warning in item.warnings],
        }

    def _add_keys(self, brief_id: int, keys: Set[str]) -> None:
        """Make the brief known by the keys that are free; a place goes to its new holder."""
        rows = tables.brief_keys
        free = keys - self.known.keys()
        moved = {
            key
            for key in keys & self.known.keys()
            if key.startswith("place:") and self.known[key].brief_id != brief_id
        }
        if moved:
            self._connection.execute(delete(rows).where(rows.c.key.in_(moved)))
        if free or moved:
            self._connection.execute(
                insert(rows), [{"key": key, "brief_id": brief_id} for key in sorted(free | moved)]
            )

    def _forget_keys(self, brief_id: int) -> None:
        rows = tables.brief_keys
        self._connection.execute(delete(rows).where(rows.c.brief_id == brief_id))
        for key in [key for key, known in self.known.items() if known.brief_id == brief_id]:
            del self.known[key]


def is_fixed() -> Any:
    """Build the condition that an edition has a brief which is not made anew any more.

    A draft can still be composed anew, and then with the text as it stands by then. So can the
    daily edition that has yet to tell what one told that only some readers get: they are not
    sent a mistake that is mended by then.
    """
    briefs, taken = tables.briefs, tables.edition_briefs
    return exists().where(
        taken.c.brief_id == briefs.c.id,
        taken.c.series == "news",
        or_(taken.c.position.is_not(None), taken.c.story_id.is_not(None)),  # not left out
        taken.c.edition_id == tables.editions.c.id,
        tables.editions.c.state.not_in(("draft", "ready", "held")),
    )


def _to_document(brief: Brief, *, published_at: datetime) -> Any:
    return brief_to_document(replace(brief, published_at=brief.published_at or published_at))


def _of_source(row: Row[Any]) -> Any:
    """Give a stored brief as its source brought it, whatever an editor mended since."""
    return row.document if row.source_document is None else row.source_document


def _say(item: Item, warning: BriefWarning) -> str:
    line = f", line {warning.line}" if warning.line is not None else ""
    return f"{item.origin}{line}: {warning.message.rstrip('.')}."
