"""Requests to one server keep a gap; those to others do not wait for them."""

from __future__ import annotations

import threading
import time

from newsletter.briefs.turns import Turns


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_one_server_is_asked_at_a_gap_and_others_at_once() -> None:
    clock = Clock()
    turns = Turns(2.0, monotonic=lambda: clock.now, sleep=clock.sleep)
    for server in ("a", "a", "b", "a"):
        turns.wait(server)
    assert clock.slept == [2.0, 2.0]
    clock.now += 10
    turns.wait("a")
    assert clock.slept == [2.0, 2.0], "nobody waits for a turn that has passed"


def test_side_by_side_each_has_a_turn_of_its_own() -> None:
    turns = Turns(0.05)
    taken: list[float] = []

    def ask() -> None:
        turns.wait("wire.example")
        taken.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(taken) - min(taken) >= 0.19
