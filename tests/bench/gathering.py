"""How long a day's gathering takes: `python -m tests.bench.gathering [ITEMS …]`.

Feeds of 50 items each are served on loopback by a process of its own; the gathering runs in
another, with the parsers it starts. Printed is the wall-clock time, the processor time and the
most memory of that whole tree, for the first gathering and for one that finds nothing new.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

from newsletter.briefs.gather import gather_sources
from newsletter.briefs.sources.apart import end_parsers
from newsletter.settings import FeedSource, Publication, Settings
from newsletter.store import open_database
from tests.bench.machine import read_machine

ITEMS_A_FEED = 50
SIZES = (1_000, 10_000, 100_000)
BEGUN = datetime(2026, 11, 23, 6, tzinfo=UTC)
_WORDS = """
    harbor council budget storm ferry library school bridge market wheat grain river police strike
    union wage border treaty court judge senate vote mayor hospital clinic vaccine
"""
_WORD_LIST = tuple(_WORDS.split())


def build_feed(number: int) -> bytes:
    """Write a feed whose items share words, and no item twice."""
    items = []
    for n in range(ITEMS_A_FEED):
        words = [_WORD_LIST[(number * 7 + n * k) % len(_WORD_LIST)] for k in range(3, 33)]
        title = f"{words[0].title()} {words[1]} {words[2]} {number}-{n}"
        when = (BEGUN - timedelta(minutes=n)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        items.append(
            f"<item><title>{title}</title><guid>urn:feed:{number}:{n}</guid>"
            f"<link>https://outlet{number}.example/{n}</link><pubDate>{when}</pubDate>"
            f"<description>{' '.join(words)}. {number} {n}.</description></item>"
        )
    channel = f"<title>Outlet {number}</title>{''.join(items)}"
    return f'<rss version="2.0"><channel>{channel}</channel></rss>'.encode()


def serve(feeds: int, ready: Connection) -> None:
    """Serve feeds at /0, /1 … until killed."""
    bodies = [build_feed(number) for number in range(feeds)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies[int(self.path[1:])]
            self.send_response(200)
            self.send_header("Content-Type", "application/rss+xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("", 0), Handler)
    ready.send(server.server_port)
    server.serve_forever()


@contextmanager
def served(feeds: int) -> Iterator[int]:
    """Serve feeds for the length of a block; give the port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(feeds, theirs))
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def watch_memory(stop: threading.Event, most: list[int]) -> None:
    """Note the most resident memory of this process and its children, in kB."""
    while not stop.wait(0.1):
        pids = [os.getpid(), *_children(os.getpid())]
        most[0] = max(most[0], sum(map(_resident_kb, pids)))


def _children(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(each) for each in listed]


def _resident_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def gather(items: int, port: int, folder: Path) -> None:
    """Gather twice, and print what it took: one line of JSON each."""
    settings = Settings(
        publication=Publication(
            sender="brief@news.example", list_id="daily.news.example", url="https://news.example"
        ),
        sources=tuple(
            FeedSource(
                kind="feed",
                name=f"feed {n}",
                url=f"http://127.1.{n // 250}.{n % 250 + 1}:{port}/{n}",  # hosts of their own
                allow_private=True,
            )
            for n in range(items // ITEMS_A_FEED)
        ),
        root=folder,
    )
    database = open_database(f"sqlite:///{folder / 'news.db'}")
    for which in ("first", "again"):
        stop, most = threading.Event(), [0]
        watcher = threading.Thread(target=watch_memory, args=(stop, most))
        watcher.start()
        before = _processor_seconds()
        started = time.monotonic()
        reports = gather_sources(database, settings, now=BEGUN + timedelta(minutes=1))
        seconds = time.monotonic() - started
        end_parsers()  # their processor time is counted once they have ended
        stop.set()
        watcher.join()
        print(
            json.dumps(
                {
                    "gathering": which,
                    "items": items,
                    "new": sum(report.new for report in reports),
                    "failed": sum(report.status == "failed" for report in reports),
                    "seconds": round(seconds, 2),
                    "processor_seconds": round(_processor_seconds() - before, 2),
                    "most_memory_mb": round(most[0] / 1000),
                    "items_a_second": round(items / seconds),
                }
            ),
            flush=True,
        )
    database.close()


def _processor_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Measure each size in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        print(read_machine(Path(folder)))
    for items in [int(size) for size in sys.argv[1:]] or SIZES:
        with served(items // ITEMS_A_FEED) as port, tempfile.TemporaryDirectory() as folder:
            context = multiprocessing.get_context("spawn")
            process = context.Process(target=gather, args=(items, port, Path(folder)))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
