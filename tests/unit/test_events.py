"""The log: lines that a program can read, events of a closed list, no address, no secret."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from newsletter.events import Event, about, mask_addresses, write_log
from newsletter.settings import Settings, list_secrets

ROOT = Path(__file__).parents[2] / "newsletter"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    logger, root = logging.getLogger("newsletter"), logging.getLogger()
    before, level = list(root.handlers), logger.level
    yield io.StringIO()
    root.handlers, logger.level = before, level


def test_a_line_says_what_it_is_about(stream: io.StringIO) -> None:
    logger = write_log(stream, as_json=True, secrets=["hunter-and-gatherer"])
    logger.getChild("delivery").warning(
        "reader1@example.org said\nhunter-and-gatherer",
        extra=about(Event.DELIVERY_IN_DOUBT, edition="2026-11-23", delivery=7),
    )
    logger.getChild("smtp").info("a sentence")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 2
    at = lines[0].pop("at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", at)
    assert lines[0] == {
        "level": "warning",
        "logger": "newsletter.delivery",
        "event": "delivery_in_doubt",
        "message": "r…@example.org said\n***",
        "edition": "2026-11-23",
        "delivery": 7,
    }
    assert lines[1]["event"] == "note"


def test_what_failed_is_masked_too(stream: io.StringIO) -> None:
    logger = write_log(stream, as_json=True, secrets=["hunter-and-gatherer"])
    try:
        raise ValueError("hunter-and-gatherer for ada@example.org")
    except ValueError:
        logger.exception("it failed")
    (line,) = stream.getvalue().splitlines()
    assert "hunter-and-gatherer" not in line
    assert "ada@" not in line
    assert json.loads(line)["trace"].endswith("ValueError: *** for a…@example.org")


def test_what_a_library_warns_of_is_a_line_like_any_other(stream: io.StringIO) -> None:
    write_log(stream, as_json=True, secrets=["hunter-and-gatherer"])
    library = logging.getLogger("some.library")
    library.warning("ada@example.org said hunter-and-gatherer")
    library.info("a detail")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == "a…@example.org said ***"
    assert json.loads(line)["logger"] == "some.library"


def test_text_is_for_people(stream: io.StringIO) -> None:
    write_log(stream, as_json=False, secrets=[]).error("it failed", extra=about(Event.JOB_FAILED))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S+ ERROR it failed\n", stream.getvalue())


def test_every_secret_of_the_settings_is_known() -> None:
    settings = Settings.model_validate(
        {
            "publication": {
                "sender": "a@news.example",
                "list_id": "daily.news.example",
                "url": "https://news.example",
            },
            "delivery": {"relay": "eml:outbox", "relay_password": "relay-secret"},
            "alerts": {
                "relay": "eml:alerts",
                "relay_password": "alert-secret",
                "webhook_url": "https://hooks.example/secret-path",
                "webhook_secret": "hook-secret",
                "apprise": "json://one.example/token tgram://two/token",
                "heartbeat_url": "https://beat.example/uuid",
            },
            "database": {"url": "postgresql://user:base-secret@host/name"},
            "secret_key": "k" * 32 + ", " + "o" * 32,
        }
    )
    assert {
        *("relay-secret", "alert-secret", "hook-secret", "base-secret", "k" * 32, "o" * 32),
        *("https://hooks.example/secret-path", "https://beat.example/uuid"),
        *("json://one.example/token", "tgram://two/token"),
    } <= set(list_secrets(settings))


def test_each_event_is_said_somewhere_and_no_other_is() -> None:
    sources = [path.read_text() for path in ROOT.rglob("*.py") if path.name != "events.py"]
    said = {name for text in sources for name in re.findall(r"Event\.([A-Z_]+)", text)}
    assert said | {"NOTE"} == set(Event.__members__)


def test_masking_leaves_what_is_no_address() -> None:
    assert mask_addresses("at 07:00 @ noon, ada@example.org!") == "at 07:00 @ noon, a…@example.org!"
