"""A count that takes long is shown again for a minute; one that decides never is."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from newsletter.delivery.lifecycle import State
from newsletter.web.console import counting
from newsletter.web.console.counting import Audiences
from newsletter.web.console.editions import Tally

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PRINTED: Any = SimpleNamespace(record=SimpleNamespace(id=7))


class Counter:
    """A count that takes as long as it is told, and finds one more each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, takes: float) -> None:
        self.clock, self.readers, self._takes = 1000.0, 0, takes
        monkeypatch.setattr(counting, "count_audience", self._count)
        monkeypatch.setattr(counting, "time", SimpleNamespace(monotonic=lambda: self.clock))
        press: Any = SimpleNamespace(now=lambda: NOW)
        self.audiences = Audiences(press)

    def _count(self, *_given: object) -> int:
        self.clock += self._takes
        self.readers += 1
        return self.readers


def test_a_long_count_is_kept_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(monkeypatch, takes=0.6)
    first = counter.audiences.show(PRINTED, "aa")
    assert (first.readers, first.is_kept) == (1, False)
    counter.clock += 59
    again = counter.audiences.show(PRINTED, "aa")
    assert (again.readers, again.is_kept, again.at) == (1, True, NOW)
    counter.clock += 2
    assert counter.audiences.show(PRINTED, "aa").readers == 2


def test_a_short_count_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(monkeypatch, takes=0.05)
    assert [counter.audiences.show(PRINTED, "aa").readers for _ in range(3)] == [1, 2, 3]


def test_what_is_counted_to_decide_is_new_and_shown_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counter = Counter(monkeypatch, takes=0.6)
    counter.audiences.show(PRINTED, "aa")
    assert counter.audiences.count(PRINTED, "aa").readers == 2
    assert counter.audiences.show(PRINTED, "aa").readers == 2


def test_another_content_is_counted_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(monkeypatch, takes=0.6)
    counter.audiences.show(PRINTED, "aa")
    assert counter.audiences.show(PRINTED, "bb").readers == 2


def test_reasons_are_read_anew_with_each_failure_and_not_with_each_mail_that_arrives() -> None:
    """A page's reasons are kept by an edition's `trouble`."""
    counts = {State.PENDING: 90, State.SENDING: 2, State.ACCEPTED: 5, State.FAILED: 3}
    before = Tally(audience=100, counts=counts).trouble
    moved = counts | {State.PENDING: 80, State.ACCEPTED: 15}
    assert Tally(audience=100, counts=moved).trouble == before
    for state in set(State) - {State.PENDING, State.LEASED, State.SENDING, State.ACCEPTED}:
        more = counts | {state: counts.get(state, 0) + 1}
        assert Tally(audience=101, counts=more).trouble != before
