"""The schedule kept over a real database and a real relay, by a clock that can be set."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from newsletter import schedule
from newsletter.delivery import settle
from newsletter.delivery.lifecycle import State
from newsletter.editions.shelf import change_state, list_editions
from newsletter.press.approving import approve
from newsletter.publish import Prepared, make_ready, prepare, publish
from newsletter.render.templates import find_templates
from newsletter.schedule import Keeper
from newsletter.settings import FeedSource
from newsletter.store import Database, open_database
from newsletter.store.audit import Actor
from newsletter.store.tables import gatherings, runs, subscribers
from tests.acceptance.project import Project
from tests.integration.gather.conftest import ScriptedWeb
from tests.integration.house import DAY, SEVEN, TODAY, House, open_at_seven, said
from tests.integration.runs import Server


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.05)
    caplog.set_level(logging.INFO, logger="newsletter")


@pytest.fixture
def house(tmp_path: Path, database: Database, server: Server) -> House:
    return open_at_seven(tmp_path, database, server.url)


def test_a_missed_send_is_made_up_for_once(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    house.now = SEVEN + timedelta(hours=5)
    house.keep(lambda: said(caplog, ": sent: 3 accepted"))
    caplog.clear()
    house.keep(lambda: said(caplog, "is sent already"))
    assert set(server.kept.values()) == {1}
    assert len(server.kept) == 3


def test_the_round_up_is_sent_on_its_day_and_once(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with house.database.writing() as connection:
        chosen = update(subscribers).where(subscribers.c.id == 1)
        connection.execute(chosen.values(choices={"rhythm": "weekly"}))
    house.now = SEVEN + timedelta(hours=1)
    house.open(weekly={"day": "mon"})  # at 09:00
    house.keep(lambda: said(caplog, "edition 2026-11-23: sent: 2 accepted"))
    assert not said(caplog, "weekly")
    house.now = SEVEN + timedelta(hours=2)
    house.keep(lambda: said(caplog, "edition 2026-11-23-weekly: sent: 1 accepted"))
    house.keep(lambda: said(caplog, "edition 2026-11-23-weekly: is sent already"))
    assert (len(server.kept), set(server.kept.values())) == (3, {1})
    caplog.clear()
    house.now = SEVEN + timedelta(days=1, hours=2)
    house.keep(lambda: said(caplog, "edition 2026-11-24: nothing new"))
    assert not said(caplog, "2026-11-24-weekly")


def test_one_that_is_too_late_is_not(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    house.now = SEVEN + timedelta(hours=7)
    house.keep(lambda: said(caplog, "send: next at"))
    assert (house.state(TODAY), server.connections) == ("", 0)


def test_after_midnight_yesterdays_is_sent(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    house.now = datetime(2026, 11, 23, 23, 10, tzinfo=UTC)  # 00:10 on the 24th in Berlin
    house.open(schedule={"send_at": "23:30"})
    house.keep(lambda: said(caplog, "edition 2026-11-23: sent"))
    assert house.state(TODAY) == "sent"
    assert house.state("2026-11-24") == ""


def test_two_processes_send_once(
    house: House, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.slow_dot = lambda: 0.1
    other = open_database(f"sqlite:///{tmp_path / 'newsletter.db'}", durability="process")

    def both() -> bool:
        told = [record.getMessage() for record in caplog.records]
        return sum(": sent: 3" in line or "is sent already" in line for line in told) == 2

    house.keep(both, house.press, replace(house.press, database=other))
    other.close()
    assert set(server.kept.values()) == {1}
    assert house.counts() == {State.ACCEPTED: 3}
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


def test_an_interrupted_one_is_taken_up_again_whatever_the_hour(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.slow_dot = lambda: 0.2
    _, seconds = house.keep(lambda: server.kept.total() > 0)
    assert seconds < 8
    assert house.counts().keys() == {State.ACCEPTED, State.PENDING}
    assert house.counts()[State.ACCEPTED] == server.kept.total()
    house.now = SEVEN + timedelta(hours=9)
    house.keep(lambda: said(caplog, ": sent: 3 accepted"))
    assert set(server.kept.values()) == {1}


def test_stopped_while_it_sends_at_its_time_it_ends_in_order(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """APScheduler cancels what it runs when it shuts down; a send must not be cancelled."""
    server.slow_dot = lambda: 0.2
    house.now = SEVEN - timedelta(minutes=1)

    async def whole() -> None:
        keeper = Keeper(house.press)
        keeping = asyncio.create_task(keeper.keep())
        await asyncio.sleep(0.05)
        house.now = SEVEN
        scheduler = keeper._build_scheduler()
        scheduler.start()
        for job in scheduler.get_jobs():
            if job.name == "send":
                job.modify(next_run_time=datetime.now(UTC))
        while not server.kept:  # noqa: ASYNC110 - another thread counts
            await asyncio.sleep(0.01)
        scheduler.shutdown(wait=False)
        keeper.stop()
        await keeping

    asyncio.run(whole())
    assert house.counts().keys() == {State.ACCEPTED, State.PENDING}
    assert house.counts()[State.ACCEPTED] == server.kept.total()
    with house.database.reading() as connection:
        assert connection.scalars(select(runs.c.holder)).all() == [""]


def test_an_edition_that_fails_its_preflight_is_held_until_it_is_mended(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    footer = house.root / "templates" / "partials" / "footer.mjml.j2"
    footer.parent.mkdir(parents=True)
    shipped = find_templates().find("partials/footer.mjml.j2").read_text()
    footer.write_text(f'<mj-text><a href="{{{{ slot("web_url") }}}}">here</a></mj-text>{shipped}')
    house.keep(lambda: said(caplog, "held: it fails its preflight: links say where they go: a"))
    assert house.state(TODAY) == "held"
    assert not server.kept
    footer.unlink()
    house.keep(lambda: said(caplog, ": sent: 3 accepted"))
    assert set(server.kept.values()) == {1}


def test_a_held_edition_is_tried_again_until_it_is_too_late(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    (house.root / "briefs" / "quay.txt").unlink()
    (house.root / "briefs").rmdir()

    def later() -> bool:
        with house.database.reading() as connection:
            tried = connection.scalar(select(func.count()).select_from(gatherings))
        if tried and tried >= 2:
            house.now = SEVEN + timedelta(hours=6, minutes=1)
        return said(caplog, "given up")

    house.keep(later)
    assert house.state(TODAY) == "held"
    assert sum("held" in record.getMessage() for record in caplog.records) == 1, "told once"
    house.now = SEVEN + timedelta(hours=1)
    (house.root / "briefs").mkdir()
    house.write_brief()
    house.keep(lambda: said(caplog, ": sent: 3 accepted"))


@pytest.mark.parametrize(("reason", "state"), [("not today", "cancelled"), ("nothing new", "sent")])
def test_what_an_operator_cancelled_stays_cancelled(
    house: House, caplog: pytest.LogCaptureFixture, reason: str, state: str
) -> None:
    prepared = make_ready(house.press, DAY)
    assert prepared.printed
    with house.database.writing() as connection:
        record = prepared.printed.record
        change_state(connection, record.id, "cancelled", reason=reason, now=SEVEN)
    house.keep(lambda: said(caplog, f"is cancelled ({reason})") or said(caplog, ": sent: 3"))
    assert house.state(TODAY) == state


def decide(house: House, decision: Callable[..., bool]) -> None:
    """Pause or resume the newest edition."""
    with house.database.writing() as connection:
        (record,) = list_editions(connection, 1)
        assert decision(connection, record.id, by=Actor(who="anna@desk"), now=house.now)


def test_a_paused_send_waits_and_goes_on_when_it_is_resumed(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.slow_dot = lambda: 0.3
    decisions = iter((settle.pause, settle.resume))
    moments = iter(
        (lambda: server.kept.total() > 0, lambda: said(caplog, "is paused; `newsletter"))
    )
    wanted = next(moments, None)

    def over() -> bool:
        nonlocal wanted
        if wanted is not None and wanted():
            decide(house, next(decisions))
            wanted = next(moments, None)
        return said(caplog, ": sent: 3 accepted")

    house.keep(over)
    assert set(server.kept.values()) == {1}


def test_what_an_operator_sends_by_the_console_is_begun_at_once_and_nothing_else(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    house.now = SEVEN - timedelta(hours=1)
    prepared = make_ready(house.press, DAY)
    assert prepared.printed
    printed = prepared.printed
    sent_by_hand = False

    def over() -> bool:
        nonlocal sent_by_hand
        if not sent_by_hand and said(caplog, "next at"):
            approve(house.press, printed.record, by_person=True)
            with house.database.writing() as connection:
                anna = Actor(who="anna")
                settle.note_send(connection, printed.record.id, by=anna, now=house.now)
            sent_by_hand = True
        return said(caplog, ": sent: 3 accepted")

    house.keep(over)
    assert set(server.kept.values()) == {1}


def test_one_that_an_earlier_process_left_paused_is_looked_after(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.slow_dot = lambda: 0.3
    house.keep(lambda: server.kept.total() > 0)
    decide(house, settle.pause)
    house.now = SEVEN + timedelta(hours=9)
    house.keep(lambda: said(caplog, "is paused; `newsletter resume 2026-11-23` lets it go on"))
    assert server.kept.total() < 3
    decide(house, settle.resume)
    house.keep(lambda: said(caplog, ": sent: 3 accepted"))
    assert set(server.kept.values()) == {1}


def test_what_a_person_stopped_is_taken_up_only_once_it_is_resumed(
    house: House,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedule, "_LOOK_SECONDS", 0.05)
    house.now = SEVEN + timedelta(hours=7)
    looks = 0

    def over() -> bool:
        nonlocal looks
        if looks == 0 and said(caplog, "send: next at"):
            prepared = make_ready(house.press, DAY)
            assert prepared.printed
            approve(house.press, prepared.printed.record)
            with house.database.writing() as connection:
                change_state(connection, prepared.printed.record.id, "sending", now=house.now)
        looks += house.state(TODAY) == "sending"
        if looks == 50:
            assert server.connections == 0, "it is a person's to go on with"
            decide(house, settle.pause)
            decide(house, settle.resume)
        return said(caplog, ": sent: 3 accepted")

    house.keep(over)
    assert set(server.kept.values()) == {1}


def test_a_fault_of_the_program_is_one_sentence_and_the_process_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> Prepared:
        raise ZeroDivisionError("by reader9@example.org\nand more")

    monkeypatch.setattr(schedule, "make_ready", fail)
    house.keep(lambda: said(caplog, "a fault of this program"))
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert line.startswith(
        "send 2026-11-23: failed: a fault of this program: ZeroDivisionError: by r…@example.org"
        " (test_schedule.py, line "
    )
    assert said(caplog, "stopped")


def test_readers_addresses_stay_out_of_the_log(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.at_rcpt = lambda who, _n: f"554 5.7.1 <{who}>: Relay access denied"
    house.keep(lambda: said(caplog, "Relay access denied"))
    assert said(caplog, "<r…@example.org>")
    assert not said(caplog, "reader1@")


def test_a_stop_does_not_wait_for_a_slow_source(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, over = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> Any:
        begun.set()
        over.wait(10)

    monkeypatch.setattr(schedule, "make_ready", slow)
    left_behind, seconds = house.keep(begun.is_set)
    over.set()
    assert left_behind == [True]
    assert seconds < 8


def test_sigterm_ends_the_process_though_a_source_is_slow(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(60)
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/feed.xml"
        feed = f'[[sources]]\nkind = "feed"\nurl = "{url}"\nallow_private = true\n'
        project = Project(tmp_path, more=feed)
        now = datetime.now(UTC).strftime("%H:%M")
        with project.config.open("a") as config:
            config.write(f'[schedule]\nsend_at = "{now}"\n')
        with project.running("serve") as process:
            asked, _ = mute.accept()
            with asked, suppress(TimeoutError):
                process.send_signal(signal.SIGTERM)
                began = time.monotonic()
                _, err = process.communicate(timeout=15)
    assert time.monotonic() - began < 10
    assert process.returncode == 0, err
    assert "stopped" in err


def test_what_is_due_in_the_same_minute_takes_what_the_other_made(house: House) -> None:
    press = house.press
    first, second = make_ready(press, DAY), make_ready(press, DAY)
    assert first.printed
    assert second.printed
    assert first.printed.record.state == second.printed.record.state == "ready"
    assert second.composed.existing
    assert second.printed.record.window == first.printed.record.window


def test_a_person_sees_what_there_is_now_and_the_schedule_what_was_made(house: House) -> None:
    press = house.press
    make_ready(press, DAY)
    path = house.root / "briefs" / "quay.txt"
    path.write_text(path.read_text().replace("North Quay Reopens", "North Quay Reopens Today"))
    os.utime(path, (moment := (SEVEN - timedelta(minutes=50)).timestamp(), moment))

    made = make_ready(press, DAY)
    assert made.printed
    assert made.printed.edition.subject == "North Quay Reopens"
    seen = prepare(press, DAY)
    assert seen.printed
    assert seen.printed.edition.subject == "North Quay Reopens Today"


def test_what_was_made_stands_where_no_source_can_be_read(house: House) -> None:
    press = house.press
    make_ready(press, DAY)
    (house.root / "briefs" / "quay.txt").unlink()
    (house.root / "briefs").rmdir()
    seen = prepare(press, DAY)
    assert seen.printed
    assert seen.printed.record.state == "ready"
    assert [report.status for report in seen.reports] == ["failed"]


def test_an_edition_waits_for_a_source_that_is_left_alone(house: House) -> None:
    web = ScriptedWeb()
    try:
        url = web.answer("/feed", "busy", status=503, headers={"Retry-After": "90"})
        press = house.press
        source = FeedSource(kind="feed", url=url, name="wire", allow_private=True)
        press = replace(press, settings=press.settings.model_copy(update={"sources": (source,)}))
        for seconds, status in ((0, "failed"), (30, "waiting"), (89, "waiting")):
            house.now = SEVEN + timedelta(seconds=seconds)
            prepared = make_ready(press, DAY)
            assert [report.status for report in prepared.reports] == [status]
            record = prepared.composed.record
            assert record
            assert (record.state, "the only source failed" in record.reason) == ("held", True)
        assert len(web.requests) == 1
        item = "<item><guid>1</guid><title>North Quay Reopens</title><description>It is open."
        feed = f"<rss version='2.0'><channel>{item}</description></item></channel></rss>"
        web.answer("/feed", feed)
        house.now = SEVEN + timedelta(seconds=90)
        mended = make_ready(press, DAY)
        assert mended.printed
        assert mended.printed.edition.subject == "North Quay Reopens"
    finally:
        web.close()


@pytest.mark.parametrize("taken", [0, 1])
def test_whichever_made_it_its_edition_is_sent_at_once(house: House, taken: int) -> None:
    press = house.press
    made = (make_ready(press, DAY), make_ready(press, DAY))[taken].printed
    assert made
    delivered = asyncio.run(publish(press, made))
    assert delivered.is_sent
    assert delivered.counts == {State.ACCEPTED: 3}
