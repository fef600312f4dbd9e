"""The product as a contestant: its own sender over an edition in a database made beforehand.

    python -m tests.bench.product HOST PORT CONNECTIONS MESSAGES FILE [--durability process]

Everything that knows the product's own interface is in this file. The readers and the
enrolled edition are there before the clock starts; what is timed begins with taking the
edition and ends when every outcome is committed, the edition closed and each connection quit.

Without `--database` it is SQLite in a new file; with the URL of a PostgreSQL server it is a
new schema there. `--standing` sends what is enrolled in the database already. A line
`{"first_accepted_at": …}` is printed as soon as the first acceptance is committed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert, text

from newsletter.audience.reader import Reader
from newsletter.delivery.channel import build_opener
from newsletter.delivery.dispatch import RelayLimits
from newsletter.delivery.holder import describe_self
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import State
from newsletter.delivery.sender import Sender
from newsletter.delivery.shift import Lane, Policy, Surroundings
from newsletter.mail import Addresser, Keyring, build_letterhead
from newsletter.mail.dkim import Signer
from newsletter.render.compiled import Begin, CompiledEdition, End, Part, Piece, Slot
from newsletter.render.wire import encode_text
from newsletter.settings import Publication
from newsletter.smtp.relay import parse_relay
from newsletter.store import Database, open_database
from newsletter.store.tables import editions, to_micros
from tests.bench.peers.measuring import Order, measure, parse_order, report
from tests.bench.signing import KINDS, build_signer
from tests.postgres import open_schema

BRIEFS = 12
DATED_AT = datetime(2026, 11, 23, 7, tzinfo=UTC)
EDITION_ID = 1
_WORDS = [
    *("harbor", "ferry", "council", "library", "budget", "tide", "market", "railway", "orchard"),
    *("bridge", "winter", "school", "measure", "report", "quiet", "morning", "signal", "river"),
    *("window", "station"),
]


def build_addresser(size_bytes: int, signers: Sequence[Signer] = ()) -> Addresser:
    """Build what makes messages of about that size: twelve briefs in two parts, with slots."""
    few, many = (_size(_build_addresser(words)) for words in (1, 101))
    words = 1 + round(100 * (size_bytes - few) / (many - few))
    return _build_addresser(max(1, words), signers)


def build_message(size_bytes: int) -> bytes:
    """Build the first reader's message, which every peer sends as well."""
    return build_addresser(size_bytes).address(_reader()).content


def _reader() -> Reader:
    return Reader(subscriber_id=1, email="reader1@example.org", name="Reader 1")


def _size(addresser: Addresser) -> int:
    return len(addresser.address(_reader()).content)


def _build_addresser(words_a_brief: int, signers: Sequence[Signer] = ()) -> Addresser:
    html: list[Piece] = [encode_text("<!DOCTYPE html><html><body><table><tr><td>Dear ")]
    html += [Slot("name", "reader"), encode_text(", today in "), Slot("minutes")]
    plain: list[Piece] = [encode_text("Dear "), Slot("name", "reader"), encode_text("\n")]
    for number in range(1, BRIEFS + 1):
        story = " ".join(_WORDS[(number * 7 + n * n) % len(_WORDS)] for n in range(words_a_brief))
        rows = f"<tr><td style='padding:16px;color:#1d2433'>Story {number} – {story}</td></tr>\n"
        key = f"brief:{number}"
        html += [Begin(key), encode_text(rows, ends=True), End(key)]
        short = story[: len(story) // 3]
        plain += [Begin(key), encode_text(f"{number}. {short}\n", ends=True), End(key)]
    for part in (html, plain):
        part += [encode_text("Leave: "), Slot("unsubscribe_url"), encode_text("\n")]
        part += [encode_text("Choose: "), Slot("preferences_url"), encode_text("\n", ends=True)]
    compiled = CompiledEdition(
        subject="Port reopens; Library open on Sundays",
        preheader="Other stories of the day",
        language="en",
        html=Part(kind="html", pieces=tuple(html)),
        plain=Part(kind="plain", pieces=tuple(plain)),
        words={f"brief:{number}": words_a_brief for number in range(1, BRIEFS + 1)},
    )
    keyring = Keyring([b"k" * 40])
    letterhead = build_letterhead(
        Publication(
            name="Harbor Daily",
            sender="Harbor Daily <daily@news.example>",
            list_id="daily.news.example",
            url="https://news.example",
        ),
        edition_id=1,
        day=DATED_AT.date(),
        dated_at=DATED_AT,
        key_id=keyring.newest,
        dkim=tuple((signer.name, signer.fingerprint) for signer in signers),
    )
    return Addresser(compiled, letterhead, keyring, signers=signers)


def store_readers(database: Database, count: int, now: datetime) -> None:
    """Store active readers reader1@example.org, reader2@example.org, …"""
    with database.writing() as connection:
        connection.execute(
            text(
                """
                WITH RECURSIVE numbers (n) AS (
                    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count
                )
                INSERT INTO subscribers
                    (email, email_key, name, status, choices, fields, created_at, updated_at)
                SELECT
                    'reader' || n || '@example.org', 'reader' || n || '@example.org',
                    'Reader ' || n, 'active', '{}', '{}', :now, :now
                FROM numbers ORDER BY n
                """
            ),
            {"count": count, "now": to_micros(now)},
        )


def enrol(database: Database, now: datetime) -> float:
    """Store an approved edition and freeze its audience; tell how many seconds that took."""
    began = time.perf_counter()
    with database.writing(in_bulk=True) as connection:
        connection.execute(
            insert(editions).values(
                id=EDITION_ID,
                date=now.date(),
                state="approved",
                window_start=now - timedelta(days=1),
                cut_off=now,
                created_at=now,
                dated_at=now,
                not_after=now + timedelta(hours=16),
            )
        )
        Ledger.enrol(connection, EDITION_ID, now)
    return time.perf_counter() - began


def send(database: Database, order: Order, addresser: Addresser, *, window: int) -> int:
    """Send until so many are accepted; tell how many were.

    With a larger audience the run is stopped in order, so a few more may be accepted.
    """
    accepted = 0

    def watch(tally: Counter[State]) -> None:
        nonlocal accepted
        if not accepted and tally[State.ACCEPTED]:
            print(json.dumps({"first_accepted_at": time.time()}), flush=True)
        accepted = tally[State.ACCEPTED]
        if accepted >= order.messages:
            sender.stop()

    relay = parse_relay(f"smtp://{order.host}:{order.port}?tls=none")
    ledger = Ledger(database)
    now = datetime.now(UTC)
    sender = Sender(
        ledger=ledger,
        run=ledger.take(EDITION_ID, describe_self(), now),
        lanes=[
            Lane(
                limits=RelayLimits(name=str(relay), connections=order.connections),
                open_channel=build_opener(relay, ehlo_name="news.example", window=window),
            )
        ],
        address=addresser.address,
        is_slow=addresser.is_slow,
        policy=Policy(
            not_after=now + timedelta(hours=16),
            retry_after=timedelta(seconds=1),
        ),
        around=Surroundings(
            now=lambda: datetime.now(UTC), monotonic=time.monotonic, spread=random.random
        ),
        on_progress=watch,
    )
    asyncio.run(sender.send())
    return accepted


def read_peak_mb() -> float:
    """Read the most memory this process has had at once, where the system tells."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


@contextlib.contextmanager
def new_database(server: str, folder: Path) -> Iterator[str]:
    """Give the URL of a new, empty database: a schema of that server's, or a file."""
    if server:
        with open_schema(server) as url:
            yield url
    else:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            yield f"sqlite:///{own}/newsletter.db"


def main() -> None:
    """Prepare, send, and print what was measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--durability", choices=("process", "full"), default="full")
    parser.add_argument("--database", default="")
    parser.add_argument("--standing", action="store_true")
    parser.add_argument("--dkim", choices=tuple(KINDS))
    parser.add_argument("--window", type=int, default=1)
    options, arguments = parser.parse_known_args()
    order = parse_order(arguments)
    signers = (build_signer(options.dkim),) if options.dkim else ()
    addresser = build_addresser(order.path.stat().st_size, signers)
    with contextlib.ExitStack() as stack:
        url = options.database
        if not options.standing:
            url = stack.enter_context(new_database(url, order.path.parent))
        database = open_database(url, durability=options.durability)
        stack.callback(database.close)
        if not options.standing:
            now = datetime.now(UTC)
            store_readers(database, order.messages, now)
            enrol(database, now)
        figures = measure(lambda: send(database, order, addresser, window=options.window))
        if not options.standing:
            counted = Ledger(database).counts(EDITION_ID)
            assert counted == {State.ACCEPTED: figures["messages"]}, counted
    report(figures | {"peak_mb": read_peak_mb()})


if __name__ == "__main__":
    main()
