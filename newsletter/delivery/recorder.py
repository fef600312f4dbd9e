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
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from newsletter.delivery.ledger import Grant, Intent, Ledger, Outcome, Run

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Entry:
    outcome: Outcome | None
    intent: Intent | None
    answer: asyncio.Future[Grant] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


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
    """Commits for one run, from one thread of its own."""

    def __init__(self, ledger: Ledger, run: Run, clock: Callable[[], datetime]) -> None:
        self._ledger, self._run, self._clock = ledger, run, clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._group: list[_Entry] = []
        self._committing: asyncio.Future[list[Grant]] | None = None
        self._closed = False

    def record(self, outcome: Outcome | None, intent: Intent | None) -> asyncio.Future[Grant]:
        """Commit an outcome and an intent with whatever else is ready.

        The future tells whether the intent stands (`GIVEN` when none was asked). It raises
        `LeaseLost` or `StorageError`: then nothing of the group is known to be committed, and
        no dot may follow.
        """
        entry = _Entry(outcome, intent)
        self._group.append(entry)
        if len(self._group) == 1:  # whoever else is ready by now still gets in
            asyncio.get_running_loop().call_soon(self._commit)
        return entry.answer

    async def call(self, work: Callable[[], T]) -> T:
        """Run other work of the ledger on the same thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def drain(self) -> None:
        """Wait until everything that was handed in is committed, or has failed."""
        while self._group or self._committing:
            await asyncio.wait([self._committing or self._group[-1].answer])

    def close(self) -> None:
        """End the thread, once everything that was handed in is committed."""
        self._closed = True
        self._commit()

    def _commit(self) -> None:
        if self._committing is not None:
            return  # it ends by looking for more
        if not self._group:
            if self._closed:
                self._thread.shutdown(wait=False)
            return
        group, self._group = self._group, []
        loop = asyncio.get_running_loop()
        self._committing = loop.run_in_executor(self._thread, self._write, group)
        self._committing.add_done_callback(lambda done: self._answer(group, done))

    def _write(self, group: Sequence[_Entry]) -> list[Grant]:
        outcomes = [entry.outcome for entry in group if entry.outcome is not None]
        intents = [entry.intent for entry in group if entry.intent is not None]
        grants = self._ledger.record(self._run, outcomes, intents, self._clock())
        return [grants[e.intent.subscriber_id] if e.intent else Grant.GIVEN for e in group]

    def _answer(self, group: Sequence[_Entry], done: asyncio.Future[list[Grant]]) -> None:
        self._committing = None
        error = done.exception()
        for index, entry in enumerate(group):
            if entry.answer.cancelled():
                continue  # nobody waits for it any more
            if error is not None:
                entry.answer.set_exception(error)
            else:
                entry.answer.set_result(done.result()[index])
        self._commit()
