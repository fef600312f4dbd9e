"""Senders that are doubled, frozen and starved, and readers who leave meanwhile (G6 and G7).

NEWSLETTER_TEST_SENDS, NEWSLETTER_TEST_LEAVERS and NEWSLETTER_TEST_PAUSES make the long forms:

    NEWSLETTER_TEST_SENDS=100 NEWSLETTER_TEST_LEAVERS=1000 NEWSLETTER_TEST_PAUSES=200 \\
        pytest -s tests/proofs/test_chaos.py
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import which

import pytest
from sqlalchemy import Connection, func, select, text

from newsletter.audience.subscribers import remove_subscriber
from newsletter.delivery.lifecycle import State
from newsletter.store.tables import runs
from tests.audience import PSEUDONYMS
from tests.postgres import Server, connect
from tests.proofs.driver import Driver
from tests.proofs.sink import Sink
from tests.proofs.snares import Call
from tests.proofs.stage import Stage, open_stage

SENDS = int(os.environ.get("NEWSLETTER_TEST_SENDS", "12"))
LEAVERS = int(os.environ.get("NEWSLETTER_TEST_LEAVERS", "100"))
PAUSES = int(os.environ.get("NEWSLETTER_TEST_PAUSES", "3"))
CONNECTIONS = 10
LEASE_SECONDS = 1.5


def run_to_the_end(stage: Stage, seconds: float = 120) -> None:
    with stage.start() as sender:
        assert sender.wait(seconds) == {"is_sent": True}


def fence_of(stage: Stage) -> int:
    with stage.database.reading() as connection:
        return int(connection.scalar(select(func.max(runs.c.fence))) or 0)


def has_begun(stage: Stage, fence: int) -> bool:
    return fence_of(stage) >= fence


# -- several senders -------------------------------------------------------------------------------


def test_a_second_sender_is_refused_while_the_first_sends(stage: Stage, tmp_path: Path) -> None:
    with Sink(tmp_path, thinks_seconds=0.02) as sink:
        stage.begin(sink, readers=300, connections=CONNECTIONS)
        with stage.start() as first:
            assert sink.wait_for(20)
            with stage.start() as second:
                assert second.wait()["error"] == "AlreadyRunning"
            assert first.wait() == {"is_sent": True}
        assert stage.check_end() == {State.ACCEPTED: 300}
    assert fence_of(stage) == 1


def test_of_many_sends_at_once_one_sends(stage: Stage, tmp_path: Path) -> None:
    readers = 100 + 3 * SENDS
    with Sink(tmp_path, thinks_seconds=0.02) as sink:
        stage.begin(sink, readers=readers, connections=2)
        senders = [stage.start() for _ in range(SENDS)]
        try:
            said = [sender.wait() for sender in senders]
        finally:
            for sender in senders:
                sender.kill()
        assert stage.check_end() == {State.ACCEPTED: readers}
    refused = sum(one.get("error") == "AlreadyRunning" for one in said)
    sent = sum(one == {"is_sent": True} for one in said)  # or came when all was sent
    assert refused + sent == SENDS, said
    assert sent >= 1
    assert fence_of(stage) == 1
    assert max(sink.kept.values()) == 1
    print(f"\n{SENDS} sends at once: 1 run, {refused} refused, nobody twice")


RECORD = "newsletter.delivery.journal:Journal._record"
WRITE = "newsletter.delivery.journal:Journal._write"
FREEZES: dict[str, Call | None] = {
    "anywhere": None,
    "between the intent and the dot": Call(
        target=RECORD, when="after", having="intents", nth=6, signal=signal.SIGSTOP
    ),
    "in a transaction": Call(
        target=WRITE, when="after", having="intents", nth=6, signal=signal.SIGSTOP
    ),
}


@pytest.mark.parametrize("where", FREEZES)
def test_a_sender_that_was_frozen_past_its_lease_says_no_more_dots(
    stage: Stage, tmp_path: Path, where: str
) -> None:
    if where == "in a transaction" and stage.database.is_sqlite:
        pytest.skip("SQLite has one lock, and a frozen process keeps it: nobody sends or is lost")
    snare = FREEZES[where]
    readers = 400 if snare else 2000  # enough that it is still sending when it is caught
    with Sink(tmp_path, thinks_seconds=0.01) as sink:
        stage.begin(sink, readers=readers, connections=CONNECTIONS)
        with stage.start(snare=snare, lease_seconds=LEASE_SECONDS) as frozen:
            if snare is None:
                assert sink.wait_for(30)
                freeze(stage, frozen)
            wait_until(lambda: is_frozen(frozen), "it is not frozen")
            began = time.monotonic()
            last = f"reader{readers}@example.org"
            assert remove_subscriber(stage.database, last, now=moment(), pseudonyms=PSEUDONYMS)
            assert time.monotonic() - began < 30, "nobody can unsubscribe meanwhile"
            take_over(stage)
            before = len(sink.copies)
            frozen.send_signal(signal.SIGCONT)
            said = frozen.wait()
        counts = stage.check_end()
        assert len(sink.copies) == before, "a dot after another had taken over"
    # One that was ended in its transaction learns of that before it learns of the other.
    assert said["error"] in ("LeaseLost", "StorageError"), said
    assert max(sink.kept.values()) == 1
    assert counts[State.IN_DOUBT] <= CONNECTIONS
    assert counts[State.SUPPRESSED] == 1
    assert fence_of(stage) == 2


def moment() -> datetime:
    return datetime.now(UTC)


def freeze(stage: Stage, sender: Driver) -> None:
    """Freeze a sender where it does not keep SQLite's only lock."""
    while True:
        sender.send_signal(signal.SIGSTOP)
        wait_until(lambda: is_frozen(sender), "it is not frozen")
        if not stage.database.is_sqlite:
            return
        with closing(sqlite3.connect(stage.url.removeprefix("sqlite:///"), timeout=0)) as asking:
            try:
                asking.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                sender.send_signal(signal.SIGCONT)
                time.sleep(0.003)
            else:
                return


def is_frozen(sender: Driver) -> bool:
    assert sender.is_running, sender.wait()
    stat = Path(f"/proc/{sender.number}/stat").read_text(errors="replace")
    return stat.rpartition(")")[2].split()[0] == "T"


def take_over(stage: Stage) -> None:
    """Send to the end, having been refused as long as the other's lease lasted."""
    patience = time.monotonic() + 60
    while True:
        with stage.start(lease_seconds=LEASE_SECONDS) as second:
            said = second.wait()
        if said == {"is_sent": True}:
            return
        assert said["error"] == "AlreadyRunning", said
        assert time.monotonic() < patience
        time.sleep(0.1)


def wait_until(happened: Callable[[], bool], otherwise: str) -> None:
    patience = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < patience, otherwise
        time.sleep(0.01)


# -- an operator pauses ----------------------------------------------------------------------------


def test_a_send_that_is_paused_again_and_again_reaches_everybody_once(
    stage: Stage, tmp_path: Path
) -> None:
    readers, moments = 40 * PAUSES, random.Random(20261123)
    with Sink(tmp_path, thinks_seconds=0.005) as sink:
        stage.begin(sink, readers=readers, connections=CONNECTIONS)
        for run in range(1, PAUSES + 1):
            goal = len(sink.copies) + moments.randrange(30)
            with stage.start() as sender:
                wait_until(partial(has_begun, stage, run), "it does not begin")
                while len(sink.copies) < goal and sender.is_running:
                    time.sleep(0.001)
                if stage.edition_state == "sent":
                    break
                stage.set_state("paused")
                assert sender.wait() == {"is_sent": False}
                counts = stage.check()
                assert not counts[State.SENDING] + counts[State.LEASED] + counts[State.IN_DOUBT]
            with stage.start() as another:
                assert another.wait()["error"] == "RefusedError"
            stage.set_state("sending")
        run_to_the_end(stage)
        assert stage.check_end() == {State.ACCEPTED: readers}
    assert max(sink.kept.values()) == 1


# -- nothing to write on ---------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    if os.geteuid() != 0 or which("mount") is None:
        pytest.skip("a small disk is mounted as root only: run the tests as root for this one")
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount: run the tests on one that does")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_ends_the_send_before_the_dot(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "32m") as disk, Sink(tmp_path) as sink:
        url = f"sqlite:///{disk / 'newsletter.db'}"
        with open_stage(tmp_path / "stage", url) as stage:
            stage.begin(sink, readers=2000, connections=CONNECTIONS)
            filler = disk / "filler"
            filler.write_bytes(b"x" * (os.statvfs(disk).f_bavail - 40) * 4096)
            with stage.start() as sender:
                said = sender.wait()
            assert said["error"] == "StorageError", said
            assert "free some space" in said["words"]
            assert len(sink.copies) < 2000, "the disk was not full enough"
            filler.unlink()
            counts = stage.check()
            assert not counts[State.ACCEPTED] + counts[State.SENDING] - len(sink.copies)
            run_to_the_end(stage)
            assert stage.check_end()[State.IN_DOUBT] <= CONNECTIONS
    assert max(sink.kept.values()) == 1


def test_a_write_that_fails_ends_the_send_before_the_dot(tmp_path: Path) -> None:
    if which("strace") is None:
        pytest.skip("no strace to make writes fail: apt-get install strace")
    with Sink(tmp_path, thinks_seconds=0.01) as sink:
        url = f"sqlite:///{tmp_path / 'newsletter.db'}"
        with open_stage(tmp_path / "stage", url) as stage:
            stage.begin(sink, readers=1500, connections=CONNECTIONS)
            with stage.start() as sender:
                assert sink.wait_for(30)
                with writes_failing(sender):
                    said = sender.wait()
            assert said["error"] == "StorageError", said
            assert len(sink.copies) < 1500
            stage.check()
            run_to_the_end(stage)
            assert stage.check_end()[State.IN_DOUBT] <= CONNECTIONS
    assert max(sink.kept.values()) == 1


@contextmanager
def writes_failing(sender: Driver) -> Iterator[None]:
    fault = "inject=pwrite64:error=ENOSPC"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", fault]
    with subprocess.Popen([*command, "-p", str(sender.number)], stderr=subprocess.PIPE) as tracing:
        try:
            yield
        finally:
            tracing.kill()


# -- the database goes -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(durable=True) as running:
        yield running


@pytest.fixture(scope="module")
def fragile(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("fragile"), server.url) as opened:
        yield opened


def kill_server(server: Server) -> None:
    server.kill()


def end_connections(server: Server) -> None:
    with connect(server.url) as operator:
        operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )


@pytest.mark.postgres
@pytest.mark.parametrize("disaster", [kill_server, end_connections])
def test_a_database_that_goes_ends_the_send_before_the_dot(
    fragile: Stage, server: Server, tmp_path: Path, disaster: Callable[[Server], None]
) -> None:
    with Sink(tmp_path, thinks_seconds=0.01) as sink:
        fragile.begin(sink, readers=1000, connections=CONNECTIONS)
        fragile.database.engine.dispose()  # our own connections are not what this is about
        with fragile.start() as sender:
            assert sink.wait_for(100)
            disaster(server)
            said = sender.wait(60)
        assert said.get("error") == "StorageError" or said == {"is_sent": True}, said
        if disaster is kill_server:
            assert "error" in said
            server.start()
        fragile.check()
        run_to_the_end(fragile)
        assert fragile.check_end()[State.IN_DOUBT] <= CONNECTIONS
    assert max(sink.kept.values()) == 1


# -- readers leave ---------------------------------------------------------------------------------

_SQLITE_ORDER = """
CREATE TABLE proof_order (number INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, who TEXT);
CREATE TRIGGER proof_intent AFTER UPDATE OF state ON deliveries WHEN NEW.state = 'sending'
    BEGIN INSERT INTO proof_order (what, who) VALUES ('intent', NEW.email_key); END;
CREATE TRIGGER proof_leaving AFTER INSERT ON suppressions
    BEGIN INSERT INTO proof_order (what, who) VALUES ('leaving', NEW.email_key); END
"""
_POSTGRES_ORDER = """
CREATE TABLE proof_order (what TEXT, who TEXT);
CREATE FUNCTION proof_note() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO proof_order VALUES (TG_ARGV[0], NEW.email_key); RETURN NULL; END';
CREATE TRIGGER proof_intent AFTER UPDATE OF state ON deliveries FOR EACH ROW
    WHEN (NEW.state = 'sending') EXECUTE FUNCTION proof_note('intent');
CREATE TRIGGER proof_leaving AFTER INSERT ON suppressions FOR EACH ROW
    EXECUTE FUNCTION proof_note('leaving')
"""


@contextmanager
def keeping_order(stage: Stage) -> Iterator[Callable[[], list[tuple[str, str]]]]:
    """Have the database itself keep the order in which intents and leavings are committed.

    SQLite commits in the order of its writes; PostgreSQL knows when each transaction was.
    """
    is_sqlite = stage.database.is_sqlite
    script = _SQLITE_ORDER if is_sqlite else _POSTGRES_ORDER

    def run(connection: Connection, statements: str) -> None:
        parts = statements.split(";\n") if not is_sqlite else statements.split(";\nCREATE ")
        for number, part in enumerate(parts):
            connection.execute(text(f"CREATE {part}" if is_sqlite and number else part))

    order = "number" if is_sqlite else "pg_xact_commit_timestamp(xmin)"
    with stage.database.writing() as connection:
        if not is_sqlite and connection.scalar(text("SHOW track_commit_timestamp")) != "on":
            pytest.skip("this PostgreSQL server does not keep commit times: set "
                        "track_commit_timestamp = on")  # fmt: skip
        run(connection, script)
    try:

        def read() -> list[tuple[str, str]]:
            with stage.database.reading() as connection:
                found = connection.execute(
                    text(f"SELECT what, who FROM proof_order ORDER BY {order}")
                )
                return [(row.what, row.who) for row in found]

        yield read
    finally:
        with stage.database.writing() as connection:
            for name, table in (("intent", "deliveries"), ("leaving", "suppressions")):
                where = "" if is_sqlite else f" ON {table}"
                connection.execute(text(f"DROP TRIGGER proof_{name}{where}"))
            connection.execute(text("DROP TABLE proof_order"))
            if not is_sqlite:
                connection.execute(text("DROP FUNCTION proof_note"))


def test_whoever_leaves_before_the_intent_gets_nothing(stage: Stage, tmp_path: Path) -> None:
    readers = 6 * LEAVERS
    with Sink(tmp_path) as sink:
        stage.begin(sink, readers=readers, connections=CONNECTIONS)
        with keeping_order(stage) as read_order, stage.start() as sender:
            assert sink.wait_for(1)
            began, left, choice = time.monotonic(), 0, random.Random(20261123)
            staying = set(range(1, readers + 1))
            while left < LEAVERS and sender.is_running:
                # Whoever is about to be sent to, where it is closest.
                ahead = len(sink.copies) + choice.randrange(100)
                number = min(staying, key=lambda n: abs(n - ahead))
                staying.remove(number)
                address = f"reader{number}@example.org"
                remove_subscriber(stage.database, address, now=moment(), pseudonyms=PSEUDONYMS)
                left += 1
                time.sleep(max(0, began + left / 100 - time.monotonic()))
            seconds = time.monotonic() - began
            assert sender.wait() == {"is_sent": True}
            order = read_order()
        counts = stage.check_end()
    gone: set[str] = set()
    intended: set[str] = set()
    for what, who in order:
        if what == "leaving":
            gone.add(who)
        else:
            assert who not in gone, f"{who} had left before the intent"
            intended.add(who)
    assert sink.kept.keys() <= intended, "a dot without an intent"
    assert len(gone) == left
    assert counts[State.SUPPRESSED] == len(gone - intended) > 0
    print(
        f"\n{left} readers left at {left / seconds:.0f} a second, {len(gone & intended)} of them "
        f"after their intent; {counts[State.ACCEPTED]} accepted, 0 against their word"
    )
