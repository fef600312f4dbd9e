"""Group commit: everything that all connections have ready goes into one transaction.

A commit that must survive a power loss waits for the disk, a few milliseconds each. So while
one commit is under way the next group collects, and however many connections there are,
each waits for two commits at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from newsletter.delivery.ledger import Grant, Intent, Ledger, Outcome, Run

T = TypeVar("T")


@dataclass(slots=True)
class _Group:
    outcomes: list[Outcome] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    done: asyncio.Future[dict[int, Grant]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Recorder:
    """Commits for one run, from one thread of its own. Use as an async context manager."""

    def __init__(self, ledger: Ledger, run: Run, clock: Callable[[], datetime]) -> None:
        self._ledger, self._run, self._clock = ledger, run, clock
        self._group: _Group | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._busy = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Recorder:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._thread.shutdown()

    async def record(self, outcome: Outcome | None, intent: Intent | None) -> Grant:
        """Commit an outcome and an intent with whatever else is ready.

        Tells whether the intent stands (`GIVEN` when none was asked). Raises `LeaseLost` or
        `StorageError`: then nothing of the group was committed, and no dot may follow.
        """
        if self._group is None:
            self._group = _Group()
            task = asyncio.create_task(self._commit())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        group = self._group
        if outcome is not None:
            group.outcomes.append(outcome)
        if intent is not None:
            group.intents.append(intent)
        grants = await asyncio.shield(group.done)
        return Grant.GIVEN if intent is None else grants[intent.subscriber_id]

    async def call(self, work: Callable[[], T]) -> T:
        """Run other work of the ledger on the same thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _commit(self) -> None:
        async with self._busy:
            group, self._group = self._group, None
            assert group is not None
            try:
                grants = await self.call(
                    lambda: self._ledger.record(
                        self._run, group.outcomes, group.intents, self._clock()
                    )
                )
            except BaseException as error:  # noqa: BLE001 - handed to every waiting connection
                if not group.done.cancelled():
                    group.done.set_exception(error)
                    group.done.exception()  # seen: a waiter may have been cancelled
            else:
                group.done.set_result(grants)
