"""Whoever looks after the publication learns what is wrong, though the server is killed (-9)."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.acceptance.project import Project
from tests.receiver import Receiver
from tests.relays import ScriptedRelay

SECRET = "what-the-receiver-knows"


def project(root: Path, readers_relay: str, /, **alerts: str) -> Project:
    """Make a publication whose edition of today was due a minute ago."""
    due = datetime.now(UTC) - timedelta(minutes=1)
    lines = "\n".join(f"{name} = {value}" for name, value in alerts.items())
    more = (
        f'[schedule]\ngather_at = "{due:%H:%M}"\nsend_at = "{due:%H:%M}"\n'
        f"[alerts]\nallow_private = true\n{lines}\n"
    )
    made = Project(root, relay=readers_relay)
    made.config.write_text(made.config.read_text() + more)
    (root / ".env").write_text(f"NEWSLETTER_ALERTS__WEBHOOK_SECRET={SECRET}\n")
    made.write_brief()
    return made


def looked_at(watched: Project) -> int:
    """Give when the watchdog last looked, as the database has it."""
    with closing(sqlite3.connect(watched.root / "newsletter.db")) as connection:
        (at,) = connection.execute("SELECT at FROM beats").fetchone()
    return int(at)


def wait_for_looks(watched: Project, looks: int, seconds: float = 60) -> None:
    """Wait until the watchdog has looked so often anew."""
    end, seen = time.monotonic() + seconds, {looked_at(watched)}
    while len(seen) <= looks:
        assert time.monotonic() < end, "it never looked"
        time.sleep(0.1)
        seen.add(looked_at(watched))


def test_an_outside_service_fires_when_the_server_is_killed(tmp_path: Path) -> None:
    with Receiver() as outside:
        watched = project(
            tmp_path,
            "eml:outbox",
            heartbeat_url=f'"{outside.url}"',
            heartbeat_every='"1s"',
            look_every='"1s"',
        )
        with watched.running("serve") as process:
            assert outside.wait_for(4, seconds=60), "the heart never beat"
            process.kill()
            process.wait()
            killed_at = time.monotonic()
            assert outside.wait_for_silence(4, seconds=30), "it went on without a server"
            assert time.monotonic() - killed_at < 15
    assert {call.method for call in outside.calls} == {"GET"}


def test_a_late_edition_is_told_with_its_cause_and_not_again_after_a_restart(
    tmp_path: Path,
) -> None:
    refusal = "554 5.7.1 this address is on a list"
    with Receiver() as hook, Receiver() as outside, ScriptedRelay({"connect": refusal}) as relay:
        watched = project(
            tmp_path,
            relay.url,
            webhook_url=f'"{hook.url}"',
            heartbeat_url=f'"{outside.url}"',
            grace='"0s"',
            look_every='"1s"',
        )
        watched.import_readers(3)
        in_json = {"NEWSLETTER_LOG__FORMAT": "json"}
        with watched.running("serve", env=in_json) as process:
            assert hook.wait_for(1, seconds=60), "nobody was told"
            end = time.monotonic() + 60
            while not any(refusal in s for _, s in hook.told) and time.monotonic() < end:
                time.sleep(0.05)
            process.kill()
            _, err = process.communicate()
        told = len(hook.calls)
        with watched.running("serve", env=in_json) as process:
            wait_for_looks(watched, 2)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        assert len(hook.calls) == told, "it was told anew"
    assert any(refusal in sentence for _, sentence in hook.told), err
    assert {call.document["kind"] for call in hook.calls} == {"edition_late"}
    assert len(outside.calls) <= 1  # before the first look that found it, at most

    lines = [json.loads(line) for line in err.splitlines()]
    alerts = [line for line in lines if line["event"] == "alert_raised"]
    assert alerts
    assert alerts[0]["edition"] == f"{datetime.now(UTC) - timedelta(minutes=1):%Y-%m-%d}"
    assert all(SECRET not in line and "/hook" not in line for line in err.splitlines())

    shown = watched.run("alerts", "--json", env=in_json)
    (late,) = [each for each in shown.document["alerts"] if each["kind"] == "edition_late"]
    assert late["told_by"] == ["webhook"]
    assert late["ended_at"] is None


def test_a_trial_goes_by_every_way_and_says_which_fails(tmp_path: Path) -> None:
    with Receiver() as hook, ScriptedRelay({"RCPT": "550 5.1.1 nobody here"}) as relay:
        watched = project(
            tmp_path,
            "eml:outbox",
            webhook_url=f'"{hook.url}"',
            mail_to='"ops@desk.example"',
            relay=f'"{relay.url}"',
        )
        ran = watched.run("alerts", "--test")
    assert ran.code == 1
    assert "webhook: took the trial" in ran.out
    assert "550 5.1.1 nobody here" in ran.out
    assert "1 of 2 ways" in ran.err
    assert [state for state, _ in hook.told] == ["trial"]


def test_without_ways_that_is_said(tmp_path: Path) -> None:
    watched = project(tmp_path, "eml:outbox")
    ran = watched.run("alerts")
    assert ran.code == 0
    assert "Nothing is wrong" in ran.out
    assert "Nobody is told" in ran.out
    assert watched.run("alerts", "--test").code == 1
