"""What every contestant does around its work: arguments in, one line of JSON out.

Run as `python -m tests.bench.peers.NAME HOST PORT CONNECTIONS MESSAGES FILE` by the Python
that has the peer. The clock and the CPU time begin when everything is loaded and end when
the last message is accepted; the CPU time covers threads, and child processes that ended.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SENDER = "daily@news.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a contestant is told to send, and where to."""

    host: str
    port: int
    connections: int
    messages: int
    path: Path
    """The message, RFC 5322 bytes with CRLF."""

    def recipients(self, connection: int) -> list[str]:
        """Give those whom one of the connections, counted from 0, sends to."""
        numbers = range(connection + 1, self.messages + 1, self.connections)
        return [f"reader{number}@example.org" for number in numbers]


def parse_order(arguments: list[str]) -> Order:
    """Read the five arguments."""
    host, port, connections, messages, path = arguments[:5]
    return Order(
        host=host,
        port=int(port),
        connections=int(connections),
        messages=int(messages),
        path=Path(path),
    )


def read_order() -> Order:
    """Read the order from the command line."""
    return parse_order(sys.argv[1:])


def measure(work: Callable[[], int]) -> dict[str, float]:
    """Do the work, which gives the number of messages sent, and tell what it took."""
    cpu, began = _cpu_seconds(), time.perf_counter()
    messages = work()
    seconds = time.perf_counter() - began
    return {"messages": messages, "seconds": seconds, "cpu_seconds": _cpu_seconds() - cpu}


def report(figures: dict[str, float]) -> None:
    """Print what was measured."""
    print(json.dumps(figures))


def send_in_threads(order: Order, send: Callable[[list[str]], None]) -> int:
    """Give each connection a thread; raise what the first of them raises."""
    failures: list[Exception] = []

    def run(connection: int) -> None:
        try:
            send(order.recipients(connection))
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is its result
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(order.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return order.messages


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
