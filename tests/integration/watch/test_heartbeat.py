"""The heartbeat beats while all is well, and stops while an edition is late or held."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from newsletter import schedule
from newsletter.publish import make_ready
from newsletter.store import Database
from tests.integration.runs import Server
from tests.integration.watch.stage import DAY, SEVEN, Ward
from tests.receiver import Receiver
from tests.relays import ScriptedRelay


def beating(receiver: Receiver) -> dict[str, object]:
    return {"heartbeat_url": receiver.url, "allow_private": True}


def test_it_is_called_every_few_minutes_and_at_once_when_an_edition_is_sent(
    tmp_path: Path, database: Database
) -> None:
    with Receiver() as service, Server() as server:
        ward = Ward(tmp_path, database, relay=server.url, alerts=beating(service))
        watchdog = ward.watchdog()
        for minutes in (0, 1, 4, 5, 6, 10):
            ward.now = SEVEN - timedelta(minutes=30 - minutes)
            watchdog.look()
        assert len(service.calls) == 3
        ward.now = SEVEN - timedelta(minutes=19)
        watchdog.look(is_stirred=True)
        assert len(service.calls) == 4
        ward.now = SEVEN - timedelta(days=1)  # a clock that was set back silences nobody
        watchdog.look()
        assert len(service.calls) == 5
        assert {call.method for call in service.calls} == {"GET"}


def test_the_schedule_stirs_it_when_an_edition_is_sent(tmp_path: Path, database: Database) -> None:
    with Server() as server:
        ward = Ward(tmp_path, database, relay=server.url)
        ward.pulse.stirred.clear()
        ward.keep(ward.pulse.stirred.is_set)
        assert len(server.kept) == 3


def test_it_stops_while_an_edition_is_late_and_goes_on_afterwards(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.05)
    with Receiver() as service, ScriptedRelay({"connect": "554 5.7.1 no"}) as relay:
        ward = Ward(tmp_path, database, relay=relay.url, alerts=beating(service))
        watchdog = ward.watchdog()
        watchdog.look()
        assert len(service.calls) == 1
        ward.keep(lambda: str(DAY) in ward.pulse.faults)
        ward.now = SEVEN + timedelta(minutes=20)
        watchdog.look(is_stirred=True)
        ward.now = SEVEN + timedelta(minutes=30)
        watchdog.look()
        assert len(service.calls) == 1


def test_it_stops_while_an_edition_is_held(tmp_path: Path, database: Database) -> None:
    with Receiver() as service:
        ward = Ward(
            tmp_path,
            database,
            relay="eml:outbox",
            alerts=beating(service),
            review={"required": True},
        )
        watchdog = ward.watchdog()
        make_ready(ward.press, DAY)
        watchdog.look()
        assert service.calls == []


def test_a_service_that_fails_is_tried_at_the_next_look(
    tmp_path: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with Receiver(lambda before: 500 if before == 0 else 200) as service:
        ward = Ward(tmp_path, database, relay="eml:outbox", alerts=beating(service))
        watchdog = ward.watchdog()
        ward.now = SEVEN - timedelta(minutes=30)
        watchdog.look()
        ward.now += timedelta(minutes=1)
        watchdog.look()
        assert len(service.calls) == 2
    assert any("heartbeat at 127.0.0.1 answered 500" in r.getMessage() for r in caplog.records)
