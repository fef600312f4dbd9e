"""What the log tells: a closed vocabulary, addresses shortened, no secrets.

A line is a sentence for people. What a program looks for in it stands beside: the event, the
edition and the delivery that it is about. `[log] format = "json"` shows both.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO


class Event(StrEnum):
    """Everything that a line of the log can be about."""

    NOTE = "note"
    """A sentence and no more; what a library says, too."""
    STARTED = "started"
    STOPPED = "stopped"
    JOB_PLANNED = "job_planned"
    JOB_FAILED = "job_failed"
    GATHERED = "gathered"
    SOURCE_FAILED = "source_failed"
    EDITION_TAKEN_UP = "edition_taken_up"
    EDITION_REMARK = "edition_remark"
    EDITION_WAITS = "edition_waits"
    """It could not be sent now, and is tried again."""
    EDITION_PAUSED = "edition_paused"
    EDITION_CLOSED = "edition_closed"
    """Sent, cancelled, or nothing to send."""
    EDITION_GIVEN_UP = "edition_given_up"
    DELIVERY_IN_DOUBT = "delivery_in_doubt"
    RELAY_ALERT = "relay_alert"
    PAGE_FAILED = "page_failed"
    READERS_LEFT = "readers_left"
    """By mail; whoever leaves by a page is told there."""
    MAIL_CAME_BACK = "mail_came_back"
    MAILBOX_FAILED = "mailbox_failed"
    ALERT_RAISED = "alert_raised"
    ALERT_ENDED = "alert_ended"
    ALERT_NOT_TOLD = "alert_not_told"
    HEARTBEAT_FAILED = "heartbeat_failed"


def about(event: Event, *, edition: str = "", delivery: int = 0) -> dict[str, Any]:
    """Give what a line is about, as `extra` of a call of the log.

    `edition` is its name, or its number; every command takes both. `delivery` is the subscriber's
    number within the edition; 0 for none.
    """
    return {"event": event, "edition": edition, "delivery": delivery}


def mask_addresses(text: str) -> str:
    """Shorten every mailbox in a text: reader@example.org becomes r…@example.org."""
    return re.sub(r"([^\s<>()\"',;:/@])[^\s<>()\"',;:/@]*@(?=[\w\[])", r"\1…@", text)


class Masking(logging.Filter):
    """Keeps readers' addresses, which relays like to quote, and secrets out of the log."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        # The longest first: one may be the beginning of another.
        self._secrets = sorted({*filter(None, secrets)}, key=len, reverse=True)

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the line, and let it pass."""
        record.msg, record.args = self.mask(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.mask(record.exc_text)
        return True

    def mask(self, text: str) -> str:
        """Give a text without addresses and secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return mask_addresses(text)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": str(getattr(record, "event", Event.NOTE)),
            "message": record.getMessage(),
        }
        if edition := getattr(record, "edition", ""):
            line["edition"] = edition
        if delivery := getattr(record, "delivery", 0):
            line["delivery"] = delivery
        if record.exc_text:
            line["trace"] = record.exc_text
        return json.dumps(line, ensure_ascii=False)


def write_log(stream: TextIO, *, as_json: bool, secrets: Iterable[str]) -> logging.Logger:
    """Have what the program says from INFO upwards written to a stream; gives its logger.

    What a library warns of is written there as well, and masked as well.
    """
    handler = logging.StreamHandler(stream)
    handler.addFilter(Masking(secrets))
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S%z")
    handler.setFormatter(JsonLines() if as_json else text)
    logging.getLogger().addHandler(handler)
    logger = logging.getLogger("newsletter")
    logger.setLevel(logging.INFO)
    return logger
