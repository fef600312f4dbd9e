"""`python -m tests.bench.one_click`: how long leaving takes while an edition is being sent.

A publication with a million readers, and `newsletter serve` as an operator runs it: its schedule
sends an edition at full speed into Postfix's smtp-sink, and the same process answers. Readers
leave by one click (RFC 8058) meanwhile, each once and at even intervals, over connections that
are kept. A request that falls due while others are under way is timed from when it was due: who
waits in line waits too. SQLite, every commit on disk (`durability = "full"`). With `--idle`
nothing is sent, to compare.
"""

from __future__ import annotations

import argparse
import http.client
import json
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from newsletter.mail import Keyring
from newsletter.mail.tokens import Purpose, TokenSigner
from newsletter.store import Database, open_database
from newsletter.store.tables import deliveries, editions, subscribers
from tests.acceptance.project import KEY, Project
from tests.bench.product import store_readers
from tests.bench.sink import HOST, run_sink

CLIENTS = 8
PROMISED_SECONDS = 0.3
_PATIENCE_SECONDS = 600.0
_FORM = b"List-Unsubscribe=One-Click"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it once, print the figures as JSON, and give 0 where p99 keeps the promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.one_click", description=__doc__)
    parser.add_argument("--readers", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long readers leave (60)")
    parser.add_argument("--rate", type=float, default=20.0, help="readers who leave a second (20)")
    parser.add_argument("--idle", action="store_true", help="while nothing is sent")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, run_sink() as sink:
        project = _publication(Path(folder), sink.port, is_idle=options.idle)
        url = f"sqlite:///{project.root / 'newsletter.db'}"
        database = open_database(url)
        store_readers(database, options.readers, datetime.now(UTC))
        port = _free_port()
        env = {"NEWSLETTER_WEB__LISTEN": f"{HOST}:{port}"}
        with project.running("serve", env=env) as server:
            _await_server(port, server)
            if not options.idle:
                _await_sending(database, server)
            before = _count_accepted(database)
            began = time.perf_counter()
            waited = _leave(port, options.readers, options.seconds, options.rate)
            took = time.perf_counter() - began
            sent = _count_accepted(database) - before
            is_sending = _is_sending(database)
            left = _count_left(database)
        database.close()
    waited.sort()
    figures = {
        "readers": options.readers,
        "left": len(waited),
        "p50_ms": _at(waited, 0.50),
        "p90_ms": _at(waited, 0.90),
        "p99_ms": _at(waited, 0.99),
        "max_ms": _at(waited, 1.0),
        "messages_a_second_meanwhile": round(sent / took),
        "was_sending_to_the_end": is_sending,
    }
    print(json.dumps(figures, indent=2))
    if left != len(waited):
        sys.stderr.write(f"{len(waited)} were answered, and {left} have left.\n")
        return 1
    return 0 if figures["p99_ms"] <= PROMISED_SECONDS * 1000 else 1


def _publication(root: Path, sink_port: int, *, is_idle: bool) -> Project:
    """Make a publication whose schedule sends within a minute, or in twelve hours."""
    due = datetime.now(UTC) + (timedelta(hours=12) if is_idle else timedelta(minutes=-1))
    more = f'[schedule]\ngather_at = "{due:%H:%M}"\nsend_at = "{due:%H:%M}"\n'
    project = Project(
        root, relay=f"smtp://{HOST}:{sink_port}?tls=none", more=more, durability="full"
    )
    project.write_brief()
    return project


def _leave(port: int, readers: int, seconds: float, rate: float) -> list[float]:
    """Have readers leave at even intervals; give how many seconds each waited."""
    keyring = Keyring([KEY.encode()])
    signer = TokenSigner(
        keyring,
        keyring.newest,
        Purpose.UNSUBSCRIBE,
        list_id="daily.news.example",
        edition_id=1,
    )
    count = int(seconds * rate)
    due: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()
    began = time.perf_counter()
    for number in range(count):  # spread over the list: some have the mail, others wait for it
        due.put((began + number / rate, signer.sign(1 + number * (readers // count))))
    waited: list[float] = []
    failed: list[str] = []

    def click() -> None:
        connection = http.client.HTTPConnection(HOST, port, timeout=_PATIENCE_SECONDS)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        while job := due.get():
            moment, token = job
            time.sleep(max(0.0, moment - time.perf_counter()))
            connection.request("POST", f"/u/{token}", body=_FORM, headers=headers)
            answer = connection.getresponse()
            answer.read()
            waited.append(time.perf_counter() - moment)
            if answer.status != 200:
                failed.append(str(answer.status))
        connection.close()

    for _ in range(CLIENTS):
        due.put(None)
    clients = [threading.Thread(target=click) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if failed:
        raise RuntimeError(f"{len(failed)} were answered otherwise than by 200: {failed[:3]}")
    return waited


def _at(waited: Sequence[float], part: float) -> float:
    """Give the time within which a part of all were answered, in milliseconds."""
    return round(1000 * waited[min(len(waited) - 1, int(len(waited) * part))], 1)


def _await_server(port: int, server: subprocess.Popen[str]) -> None:
    for _ in _until("the server did not answer", server):
        try:
            with socket.create_connection((HOST, port), timeout=5):
                return
        except OSError:
            continue


def _await_sending(database: Database, server: subprocess.Popen[str]) -> None:
    for _ in _until("nothing was sent", server):
        if _is_sending(database) and _count_accepted(database, at_most=1_000) >= 1_000:
            return


def _until(complaint: str, server: subprocess.Popen[str]) -> Iterator[None]:
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < give_up and server.poll() is None:
        yield
        time.sleep(0.5)
    raise RuntimeError(complaint)


def _is_sending(database: Database) -> bool:
    with database.reading() as connection:
        return connection.scalar(select(editions.c.state)) == "sending"


def _count_accepted(database: Database, *, at_most: int = 10**9) -> int:
    accepted = select(deliveries.c.subscriber_id).where(deliveries.c.state == "accepted")
    with database.reading() as connection:
        some = accepted.limit(at_most).subquery()
        return connection.scalar(select(func.count()).select_from(some)) or 0


def _count_left(database: Database) -> int:
    query = select(func.count()).where(subscribers.c.status == "unsubscribed")
    with database.reading() as connection:
        return connection.scalar(query) or 0


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
