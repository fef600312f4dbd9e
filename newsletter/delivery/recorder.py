"""Group commit: everything that all connections have ready goes into one transaction.

A commit that must survive a power loss waits for the disk, a few milliseconds each. So while
one commit is under way the next group collects, and however many connections there are,
each waits for two commits at most.

A commit belongs to nobody's task. Whoever waits for one may be cancelled; what was handed in
is committed all the same, in the order in which it was handed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

from newsletter.delivery.entries import Grant, Intent, Outcome, Run
from newsletter.delivery.ledger import Ledger

T = TypeVar("T")


class Commit:
    """What one connection has to commit: outcomes of its last messages, intents of the next."""

    __slots__ = ("_answer", "_failure", "_grants", "intents", "outcomes")

    def __init__(self, outcomes: Sequence[Outcome], intents: Sequence[Intent]) -> None:
        self.outcomes, self.intents = outcomes, intents
        self._grants: Sequence[Grant] | None = None
        self._failure: Exception | None = None
        self._answer = asyncio.get_running_loop().create_future()

    async def settle(self) -> asyncio.CancelledError | None:
        """Wait until it is committed, or has failed, even when cancelled; tell whether that was."""
        interruption = None
        while self._grants is None and self._failure is None:
            if self._answer.done():  # a cancelled task takes the future that it waits for along
                self._answer = asyncio.get_running_loop().create_future()
            try:
                await self._answer
            except asyncio.CancelledError as cancelled:
                interruption = cancelled
        return interruption

    def grants(self) -> Sequence[Grant]:
        """Give the answer to each intent, once settled.

        Raises `LeaseLost` or `StorageError`: then nothing of the group is known to be
        committed, and no message may be ended.
        """
        if self._failure is not None:
            raise self._failure
        assert self._grants is not None
        return self._grants

    def answer(self, grants: Sequence[Grant] | None, failure: Exception | None = None) -> None:
        """Wake whoever waits."""
        self._grants, self._failure = grants, failure
        if not self._answer.done():
            self._answer.set_result(None)


async def outlast(work: asyncio.Future[Any]) -> bool:
    """Wait until work has ended, even when cancelled; tell whether that happened."""
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


class Recorder:
    """Commits for one run, from one thread of its own.

    Where a commit waits for nothing (SQLite that need not survive a power loss) it is done on
    the spot: handing it to a thread, and the interpreter with it, costs more than it does. The
    thread is for that case, too, when another process writes just then.
    """

    def __init__(self, ledger: Ledger, run: Run, clock: Callable[[], datetime]) -> None:
        self._journal, self._clock = ledger.open_journal(run), clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._group: list[Commit] = []
        self._committing: asyncio.Future[dict[int, Grant]] | None = None
        self._closed = False

    def record(self, outcomes: Sequence[Outcome], intents: Sequence[Intent]) -> Commit:
        """Commit outcomes and intents with whatever else is ready."""
        commit = Commit(outcomes, intents)
        self._group.append(commit)
        if len(self._group) == 1:  # whoever else is ready by now still gets in
            asyncio.get_running_loop().call_soon(self._commit)
        return commit

    async def call(self, work: Callable[[], T]) -> T:
        """Run other work of the ledger on the same thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def drain(self) -> None:
        """Wait until everything that was handed in is committed, or has failed."""
        while self._group or self._committing:
            if self._committing:
                await asyncio.wait([self._committing])
            else:
                await asyncio.sleep(0)

    def close(self) -> None:
        """End the thread, once everything that was handed in is committed; again does nothing."""
        if not self._closed:
            self._closed = True
            self._commit()

    def _commit(self) -> None:
        if self._committing is not None:
            return  # it ends by looking for more
        if not self._group:
            if self._closed:
                self._thread.submit(self._journal.close)
                self._thread.shutdown(wait=False)
            return
        group, self._group = self._group, []
        outcomes = [outcome for commit in group for outcome in commit.outcomes]
        intents = [intent for commit in group for intent in commit.intents]
        if self._journal.is_quick and self._write_at_once(group, outcomes, intents):
            return
        loop = asyncio.get_running_loop()
        self._committing = loop.run_in_executor(self._thread, self._write, outcomes, intents)
        self._committing.add_done_callback(lambda done: self._written(group, done))

    def _write(self, outcomes: list[Outcome], intents: list[Intent]) -> dict[int, Grant]:
        return self._journal.record(outcomes, intents, self._clock())

    def _write_at_once(
        self, group: Sequence[Commit], outcomes: list[Outcome], intents: list[Intent]
    ) -> bool:
        """Commit here and now, unless another process is at it; tell whether that was done."""
        try:
            grants = self._journal.try_record(outcomes, intents, self._clock())
        except Exception as failure:  # noqa: BLE001 - whoever waits is told
            _answer(group, None, failure)
            return True
        if grants is None:
            return False
        _answer(group, grants)
        return True

    def _written(self, group: Sequence[Commit], done: asyncio.Future[dict[int, Grant]]) -> None:
        self._committing = None
        failure = done.exception()
        assert failure is None or isinstance(failure, Exception)
        _answer(group, done.result() if failure is None else None, failure)
        self._commit()


def _answer(
    group: Sequence[Commit], grants: dict[int, Grant] | None, failure: Exception | None = None
) -> None:
    """Wake whoever waits for one of these commits."""
    for commit in group:
        told = None if grants is None else [grants[i.subscriber_id] for i in commit.intents]
        commit.answer(told, failure)
