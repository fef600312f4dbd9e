"""Webhooks, told over HTTP on loopback: signed, tried again, nothing lost, one hook for itself."""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from newsletter.delivery.posting import TRIED_FOR, count_posts, decide_pause, list_posts
from newsletter.errors import ConfigurationError
from newsletter.press import Press
from newsletter.press.webhooks import Teller, telling
from newsletter.settings import Webhook
from newsletter.store.tables import posts
from tests.integration.api.stage import Stage
from tests.receiver import Call, Receiver

SECRET = "a secret of the desk"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)


def with_hooks(stage: Stage, *urls: str, **more: Any) -> Press:
    given = {"secret": "{HOOK_SECRET}", "allow_private": True, **more}
    hooks = tuple(Webhook.model_validate({"url": url, **given}) for url in urls)
    settings = stage.press.settings.model_copy(update={"webhooks": hooks})
    return replace(stage.press, settings=settings)


def leave(stage: Stage, *readers: int) -> None:
    program = stage.program("audience:write")
    for number in readers:
        assert program.delete(f"audience/{number}").status_code == 204


def is_signed(call: Call, secret: str = SECRET) -> bool:
    signed = f"{call.headers['webhook-timestamp']}.".encode() + call.body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return call.headers["webhook-signature"] == f"v1={expected}"


def counts(stage: Stage) -> dict[str, int]:
    with stage.database.reading() as connection:
        found = list(count_posts(connection).values())
    return found[0] if found else {}


def test_a_hook_is_told_once_with_a_signature_and_an_id(stage: Stage) -> None:
    with Receiver() as receiver:
        teller = Teller(with_hooks(stage, receiver.url))
        assert teller.tell_due() == 0
        leave(stage, 1, 2)
        while teller.tell_due():
            pass
        assert [call.headers["webhook-id"] for call in receiver.calls] == ["1", "2"]
        assert all(map(is_signed, receiver.calls))
        assert not is_signed(receiver.calls[0], "another")
        first = receiver.calls[0].document
        assert (first["id"], first["kind"], first["reader"]) == (1, "reader.unsubscribed", 1)
        assert b"@" not in receiver.calls[0].body
    assert counts(stage) == {"taken": 2}


def test_a_hook_is_told_of_what_it_wants(stage: Stage) -> None:
    with Receiver() as all_of_it, Receiver() as some:
        press = with_hooks(stage, all_of_it.url)
        wanted = with_hooks(stage, some.url, events="edition.*").settings.webhooks
        both = press.settings.model_copy(update={"webhooks": (*press.settings.webhooks, *wanted)})
        teller = Teller(replace(press, settings=both))
        leave(stage, 1)
        while teller.tell_due():
            pass
        assert (len(all_of_it.calls), len(some.calls)) == (1, 0)


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_is_not_taken_is_told_again_later_with_the_same_id(stage: Stage, status: int) -> None:
    with Receiver(says=lambda before: status if before < 2 else 200) as receiver:
        teller = Teller(with_hooks(stage, receiver.url))
        leave(stage, 1)
        teller.tell_due()
        assert teller.tell_due() == 0
        assert len(receiver.calls) == 1, "it has a pause first"
        assert counts(stage) == {"waiting": 1}
        for pause in (10, 20):
            stage.clock.now += timedelta(seconds=pause)
            teller.tell_due()
        assert [call.headers["webhook-id"] for call in receiver.calls] == ["1"] * 3
        assert len({call.body for call in receiver.calls}) == 1
        assert len({call.headers["webhook-timestamp"] for call in receiver.calls}) == 3
        assert all(map(is_signed, receiver.calls))
    assert counts(stage) == {"taken": 1}


def test_a_hook_that_stays_silent_is_given_up_after_a_day(stage: Stage) -> None:
    with Receiver(says=lambda _: 503) as receiver:
        teller = Teller(with_hooks(stage, receiver.url))
        leave(stage, 1)
        began = stage.clock.now
        while stage.clock.now - began <= TRIED_FOR + timedelta(hours=3):
            teller.tell_due()
            stage.clock.now += timedelta(minutes=5)
        with stage.database.reading() as connection:
            (post,) = list_posts(connection, 10)
        assert (post.state, post.said) == ("failed", "it answered 503")
        assert 15 < post.attempts == len(receiver.calls) < 30


def test_one_hook_does_not_wait_for_another(stage: Stage) -> None:
    with Receiver() as receiver:
        gone = "http://127.0.0.1:9/hook"
        teller = Teller(with_hooks(stage, gone, receiver.url))
        leave(stage, 1, 2, 3)
        for _ in range(4):
            teller.tell_due()
        assert len(receiver.calls) == 3
    with stage.database.reading() as connection:
        assert {post.said for post in list_posts(connection, 10)} == {
            "http://127.0.0.1:9/hook: cannot be reached (connection refused)."
        }


def test_an_address_of_our_own_network_is_not_told_unless_it_may_be(stage: Stage) -> None:
    with Receiver() as receiver:
        teller = Teller(with_hooks(stage, receiver.url, allow_private=False))
        leave(stage, 1)
        teller.tell_due()
        assert receiver.calls == []
    with stage.database.reading() as connection:
        (post,) = list_posts(connection, 10)
    assert "allow_private" in post.said


def test_a_hook_that_no_setting_names_any_more_is_given_up(stage: Stage) -> None:
    with Receiver(says=lambda _: 500) as receiver:
        teller = Teller(with_hooks(stage, receiver.url))
        leave(stage, 1)
        teller.tell_due()
    Teller(with_hooks(stage)).tidy()
    assert counts(stage) == {"failed": 1}


def test_a_secret_that_is_not_set_is_said(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK_SECRET")
    press = with_hooks(stage, "http://127.0.0.1:9/hook")
    with pytest.raises(ConfigurationError, match="HOOK_SECRET is not set"), telling(press):
        pass


def test_the_worker_tells_by_itself(stage: Stage) -> None:
    with Receiver() as receiver, telling(with_hooks(stage, receiver.url)):
        leave(stage, 1, 2, 3)
        assert receiver.wait_for(3, 60)


def test_two_that_tell_at_once_tell_each_thing_once(stage: Stage) -> None:
    def slow(_before: int) -> int:
        time.sleep(0.05)
        return 204

    with Receiver(says=slow) as receiver:
        press = with_hooks(stage, receiver.url)
        with telling(press), telling(press), telling(press):
            leave(stage, 1, 2, 3)
            end = time.monotonic() + 60
            while counts(stage) != {"taken": 3} and time.monotonic() < end:
                time.sleep(0.05)
        assert [call.headers["webhook-id"] for call in receiver.calls] == ["1", "2", "3"]


DIES = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
import newsletter.press.webhooks as hooks
from newsletter.press import Press
from newsletter.settings import Webhook, load_settings
from newsletter.store import open_database

settings = load_settings(Path(sys.argv[1]))
hook = Webhook(url=sys.argv[3], secret="{HOOK_SECRET}", allow_private=True)
settings = settings.model_copy(update={"webhooks": (hook,)})
press = Press(settings, open_database(sys.argv[2]), lambda: datetime.now(UTC))

def die(*_args, **_keywords):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(hooks, sys.argv[4], die)
hooks.Teller(press).tell_due()
"""


@pytest.mark.parametrize(("where", "told"), [("tell_hook", 1), ("record_answer", 2)])
def test_a_process_killed_while_it_tells_loses_nothing(
    stage: Stage, gathered: Any, where: str, told: int
) -> None:
    leave(stage, 1)
    with Receiver() as receiver:
        url = str(stage.database.engine.url)
        killed = subprocess.run(
            [sys.executable, "-c", DIES, str(gathered.config), url, receiver.url, where],
            env=dict(os.environ),
            timeout=120,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        stage.clock.now = datetime.now(UTC)
        Teller(with_hooks(stage, receiver.url)).tell_due()
        assert [call.headers["webhook-id"] for call in receiver.calls] == ["1"] * told
    assert stage.count(posts) == 1
    assert counts(stage) == {"taken": 1}


def test_pauses_grow_to_two_hours() -> None:
    pauses = [decide_pause(n) for n in (1, 2, 3, 11, 60)]
    assert [pause.total_seconds() for pause in pauses] == [10, 20, 40, 7200, 7200]
