"""Each alarm is raised by breaking what it watches, and ends when that is mended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from newsletter import schedule
from newsletter.delivery.settle import pause
from newsletter.editions.shelf import change_state, find_edition, read_edition
from newsletter.feedback.guard import settle_bounces
from newsletter.feedback.hearing import Listener
from newsletter.press.approving import approve
from newsletter.press.composing import gather
from newsletter.publish import make_ready
from newsletter.store import Database, open_database
from newsletter.store.audit import Actor
from newsletter.store.tables import editions
from newsletter.watch import looking
from tests.integration.runs import Edition, Server
from tests.integration.watch.stage import DAY, SEVEN, Ward, alerts_to
from tests.postgres import Server as Postgres
from tests.postgres import open_schema
from tests.receiver import Receiver
from tests.relays import ScriptedRelay
from tests.reports import LIST_ID, PATTERN, RING, build_bounce, build_return_path

NAME = f"edition/{DAY}"
LATER = SEVEN + timedelta(minutes=20)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.05)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def test_a_relay_that_refuses_us_is_named_and_the_end_is_told(
    tmp_path: Path, database: Database, receiver: Receiver
) -> None:
    with ScriptedRelay({"EHLO": "550 5.7.1 you are on a list"}) as relay:
        ward = Ward(tmp_path, database, relay=relay.url, alerts=alerts_to(receiver.url))
        watchdog = ward.watchdog()
        watchdog.look()
        assert receiver.told == []  # its time has only just come
        ward.keep(lambda: str(DAY) in ward.pulse.faults)
        ward.now = LATER
        watchdog.look()
        watchdog.look()
    ((state, sentence),) = receiver.told
    assert state == "raised"
    assert f"the edition of {DAY} is 20 min late" in sentence
    assert "550 5.7.1 you are on a list" in sentence
    assert ward.standing()[NAME].kind == "edition_late"

    with Server() as good:
        ward.settings = ward.settings.model_copy(
            update={"delivery": ward.settings.delivery.model_copy(update={"relay": good.url})}
        )
        ward.keep(lambda: state_of(ward) == "sent")
    watchdog.look()
    assert receiver.told[1:] == [("ended", f"Over: the edition of {DAY} is sent.")]
    assert ward.standing() == {}


def test_a_relay_that_cannot_be_reached_is_named(
    tmp_path: Path, database: Database, receiver: Receiver
) -> None:
    with ScriptedRelay() as gone:
        url = gone.url
    ward = Ward(tmp_path, database, relay=url, alerts=alerts_to(receiver.url))
    watchdog = ward.watchdog()
    watchdog.look()
    ward.keep(lambda: str(DAY) in ward.pulse.faults)
    ward.now = LATER
    watchdog.look()
    ((_, sentence),) = receiver.told
    assert "could not be reached" in sentence


def test_a_relay_that_puts_everybody_off_is_named_while_its_sender_runs(
    tmp_path: Path, database: Database, receiver: Receiver
) -> None:
    with Server() as server:
        server.at_rcpt = lambda recipient, _: f"451 4.7.1 {recipient} too much for today"
        ward = Ward(
            tmp_path,
            database,
            relay=server.url,
            readers=0,
            alerts=alerts_to(receiver.url, stuck_after="1s"),
        )
        edition = Edition(database, 4)
        seen = threading.Event()
        watchdog = ward.watchdog()

        async def send_and_watch() -> None:
            sender = edition.sender(server.url, retry_after=300)
            running = asyncio.create_task(sender.send())
            for _ in range(400):
                ward.now = datetime.now(UTC)
                await asyncio.to_thread(watchdog.look)
                if receiver.told:
                    seen.set()
                    break
                await asyncio.sleep(0.05)
            sender.stop()
            await running

        asyncio.run(send_and_watch())
        assert seen.is_set(), "it was never told"
    sentence = receiver.told[0][1]
    assert "stands still" in sentence
    assert "4 readers without it" in sentence
    assert "451 4.7.1" in sentence
    assert "reader1@" not in sentence  # an operator's chat is no place for readers' addresses


def test_an_edition_that_nobody_sends_is_told(
    tmp_path: Path, database: Database, receiver: Receiver
) -> None:
    ward = Ward(tmp_path, database, relay="eml:outbox", alerts=alerts_to(receiver.url))
    watchdog = ward.watchdog()
    watchdog.look()
    printed = make_ready(ward.press, DAY).printed
    assert printed is not None
    approve(ward.press, printed.record, ())
    ward.now = LATER
    watchdog.look()
    ((_, sentence),) = receiver.told
    assert "no process sends it" in sentence
    ward.now = LATER + timedelta(hours=3)
    watchdog.look()
    assert len(receiver.told) == 1  # it still waits, and that was told


def test_an_edition_that_waits_for_its_reviewers_is_told(
    tmp_path: Path, database: Database, receiver: Receiver
) -> None:
    ward = Ward(
        tmp_path,
        database,
        relay="eml:outbox",
        alerts=alerts_to(receiver.url),
        review={"required": True},
    )
    watchdog = ward.watchdog()
    make_ready(ward.press, DAY)
    assert state_of(ward) == "held"
    watchdog.look()
    ((_, sentence),) = receiver.told
    assert "held: not reviewed" in sentence
    assert ward.standing()[NAME].kind == "edition_held"


def test_an_edition_that_somebody_paused_is_told_with_their_name(
    tmp_path: Path, database: Database, receiver: Receiver
) -> None:
    ward = Ward(tmp_path, database, relay="eml:outbox", alerts=alerts_to(receiver.url))
    watchdog = ward.watchdog()
    watchdog.look()
    printed = make_ready(ward.press, DAY).printed
    assert printed is not None
    approve(ward.press, printed.record, ())
    with database.writing() as connection:
        change_state(connection, printed.record.id, "sending", now=ward.now)
        pause(connection, printed.record.id, by=Actor(who="ada@desk"), now=ward.now)
    ward.now = SEVEN + timedelta(minutes=5)
    watchdog.look()
    assert receiver.told == []
    ward.now = LATER
    watchdog.look()
    ((_, sentence),) = receiver.told
    assert "paused by ada on desk" in sentence
    assert "newsletter resume" in sentence


def test_sources_that_fail_and_a_gathering_that_did_not_happen_are_told(
    tmp_path: Path, database: Database, receiver: Receiver
) -> None:
    with ScriptedRelay() as gone:
        port = gone.port
    ward = Ward(
        tmp_path,
        database,
        relay="eml:outbox",
        alerts=alerts_to(receiver.url),
        sources=[
            {
                "kind": "feed",
                "name": "wire",
                "url": f"http://127.0.0.1:{port}/feed.xml",
                "allow_private": True,
            }
        ],
    )
    watchdog = ward.watchdog()
    ward.now = SEVEN - timedelta(hours=2)
    watchdog.look()
    ward.now = SEVEN - timedelta(minutes=30)
    watchdog.look()  # 06:00 has passed, and nobody gathered
    assert [sentence for _, sentence in receiver.told if "nothing was gathered" in sentence]
    for _ in range(3):
        ward.now += timedelta(minutes=40)
        gather(ward.press, patient=False)
    watchdog.look()
    kinds = {alarm.kind for alarm in ward.standing().values()}
    assert {"source", "gather"} <= kinds
    said = " ".join(sentence for _, sentence in receiver.told)
    assert "no source could be read; wire says" in said
    assert "source wire: it fails since" in said


def test_readers_who_were_not_reached_are_told(
    tmp_path: Path, database: Database, receiver: Receiver
) -> None:
    with Server() as server:
        server.at_rcpt = lambda recipient, _: "550 5.2.0 no room" if recipient < "reader5" else ""
        ward = Ward(tmp_path, database, relay=server.url, readers=0, alerts=alerts_to(receiver.url))
        ward.now = datetime.now(UTC)
        edition = Edition(database, 8)
        assert edition.run(server)
        watchdog = ward.watchdog()
        watchdog.look()
    found = [sentence for _, sentence in receiver.told if "did not reach" in sentence]
    assert found
    assert "4 of 8 readers" in found[0]
    assert "550 5.2.0 no room" in found[0]
    ward.now += timedelta(hours=25)
    with database.writing() as connection:
        connection.execute(update(editions).values(state="cancelled"))
    watchdog.look()
    assert [state for state, s in receiver.told if "did not reach" in s] == ["raised", "ended"]


def test_bounces_in_masses_are_told_until_somebody_says_what_becomes_of_them(
    tmp_path: Path, database: Database, receiver: Receiver
) -> None:
    with Server() as server:
        ward = Ward(tmp_path, database, relay=server.url, readers=0, alerts=alerts_to(receiver.url))
        ward.now = datetime.now(UTC)
        edition = Edition(database, 8)
        assert edition.run(server)
    listener = Listener(
        database=database,
        keyring=RING,
        list_id=LIST_ID,
        bounce_address=PATTERN,
        now=lambda: ward.now,
    )
    for number in range(1, 6):
        listener.hear(build_bounce(build_return_path(1, number)))
    ward.now += timedelta(days=2)
    watchdog = ward.watchdog()
    watchdog.look()
    watchdog.look()
    (sentence,) = [sentence for _, sentence in receiver.told if "came back" in sentence]
    assert "5 of 8 copies came back: " in sentence
    with database.reading() as connection:
        record = read_edition(connection, 1)
    settle_bounces(database, record, "leave", by=Actor(who="ada@desk"), now=ward.now)
    watchdog.look()
    assert [state for state, said in receiver.told if "came back" in said] == ["raised", "ended"]


@pytest.mark.postgres
def test_a_database_that_is_gone_is_told_without_it(tmp_path: Path, receiver: Receiver) -> None:
    with Postgres() as postgres, open_schema(postgres.url) as url:
        database = open_database(url)
        ward = Ward(tmp_path, database, relay="eml:outbox", alerts=alerts_to(receiver.url))
        watchdog = ward.watchdog()
        watchdog.look()
        assert receiver.told == []
        postgres.kill()
        watchdog.look()
        watchdog.look()
        ((state, sentence),) = receiver.told
        assert state == "raised"
        assert "nothing can be recorded" in sentence
        assert receiver.calls[0].document["kind"] == "database"
        postgres.start()
        watchdog.look()
        assert receiver.told[1:] == [("ended", "Over: the database can be written to again.")]
        database.close()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounts a file system")
def test_a_disk_that_is_full_is_told(tmp_path: Path, receiver: Receiver) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", small], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.decode()}")
    with contextlib.ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", "-l", str(small)], check=True)
        database = open_database(f"sqlite:///{small / 'newsletter.db'}", durability="process")
        stack.callback(database.close)
        ward = Ward(
            tmp_path,
            database,
            relay="eml:outbox",
            alerts=alerts_to(receiver.url, disk_free_mb=3),
            database={"url": f"sqlite:///{small / 'newsletter.db'}"},
        )
        watchdog = ward.watchdog()
        watchdog.look()
        assert receiver.told == []
        ballast = small / "ballast"
        fill(ballast, leave_bytes=1_000_000)
        watchdog.look()
        assert [call.document["kind"] for call in receiver.calls] == ["disk"]
        fill(ballast, leave_bytes=0)
        ward.keep(lambda: str(DAY) in ward.pulse.faults)
        ward.now = LATER
        watchdog.look()
        assert "free some space" in receiver.told[1][1]
        ballast.unlink()
        ward.keep(lambda: state_of(ward) == "sent")
        watchdog.look()
        told = Counter(state for state, _ in receiver.told)
        assert told["raised"] == told["ended"]


def fill(path: Path, *, leave_bytes: int) -> None:
    """Make a file that leaves so much of its file system."""
    with path.open("ab") as file, contextlib.suppress(OSError):
        while (free := shutil.disk_usage(path.parent).free) > leave_bytes:
            file.write(b"x" * min(free - leave_bytes, 65536))
            file.flush()


def test_a_schedule_that_stands_still_is_told(
    tmp_path: Path, database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward = Ward(tmp_path, database, relay="eml:outbox", alerts=alerts_to(receiver.url))
    watchdog = ward.watchdog()
    ward.pulse.beat()
    watchdog.look()
    assert receiver.told == []
    monkeypatch.setattr(looking, "MOST_SILENT_SECONDS", 0.2)

    async def stand_still() -> None:
        threading.Event().wait(0.5)  # what holds up the loop holds up the schedule

    asyncio.run(stand_still())
    watchdog.look()
    ((_, sentence),) = receiver.told
    assert "the schedule has stood still" in sentence
    monkeypatch.setattr(looking, "MOST_SILENT_SECONDS", 60.0)
    ward.pulse.beat()
    watchdog.look()
    assert receiver.told[1][0] == "ended"


def state_of(ward: Ward) -> str:
    with ward.database.reading() as connection:
        found = find_edition(connection, DAY)
    return found.state if found else ""
