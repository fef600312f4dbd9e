"""Bounces that follow no standard: what flufl.bounce knows of fifty servers' forms, kept in bounds.

Its patterns look through the whole message, a returned newsletter included, are quadratic in the
length of a line, and raise on what they do not expect. So it gets a letter of its own to read:
the head's few fields and so much decoded text, in short lines, without the copy.
"""

from __future__ import annotations

import logging
import re
from email.message import Message

from flufl.bounce import all_failures

_MAX_LINES = 100
_MAX_LINE = 320
_FIELDS = ("From", "Subject", "X-Mailer", "X-Failed-Recipients", "X-Loop", "Message-ID")
_DAEMONS = re.compile(
    r"\b(?:mailer[-_.]?daemon|mail[-_.]?daemon|postmaster|mdaemon|mail[- ]?delivery[- ]?"
    r"(?:sub)?system|mmdf|smtp[-_.]?gateway|mail[- ]administrator|email[-_ ]?daemon)",
    re.IGNORECASE,
)
_SUBJECTS = re.compile(
    r"undeliver|delivery (?:status|fail|problem|report|notif|error|incomplete|delay|has)"
    r"|(?:non|not|un)[- ]?deliver|returned (?:mail|to sender|e-?mail)|return to sender"
    r"|fail(?:ed|ure).{0,20}(?:mail|deliver|notice)|(?:mail|message|system).{0,20}"
    r"(?:fail|error|return|delay|warning|was not sent)|could ?n[o']t be (?:delivered|sent)"
    r"|unzustellbar|nicht zugestellt|zustellung|non (?:remis|distribu)|échec|[eé]chou"
    r"|no (?:se )?(?:ha )?(?:podido )?entregad|devuelto|devolvid|não entregue"
    r"|mancat[ao] (?:recapito|consegna)|недоставлен|не доставлен|onbestelbaar|退信|配信不能",
    re.IGNORECASE,
)
_NO_FAILURES = re.compile(
    r"(?:verify|confirm|prove)[^.]{0,40}(?:that )?you(?:r (?:message|e-?mail|address|identity)"
    r"|(?:'re| are) (?:a )?(?:real |human)|rself)|spam ?arrest|boxbe|\btmda\b|bluebottle"
    r"|challenge[-/ ]response|\bcaptcha\b|approved senders? list|guest list"
    r"|(?:click|reply)[^.]{0,60}(?:so that|in order|to have|to get|for) [^.]{0,40}delivered"
    r"|\bsuccessfully (?:been )?(?:deliver|relay)|(?:deliver|relay)(?:y|ed) success",
    re.IGNORECASE,
)
_WARNINGS = re.compile(
    r"not yet been delivered|(?:has|have) been delayed|delivery (?:is |has been )?delay"
    r"|warning message only|do not need to (?:resend|take any action)|will (?:be retried|retry"
    r"|keep trying|continue|try again)|no action is required|still (?:being )?tr(?:y|ied)",
    re.IGNORECASE,
)

logging.getLogger("flufl.bounce").disabled = True  # it logs what it raises, foreign text included


def is_by_daemon(message: Message) -> bool:
    """Tell whether a mail server signed a message, by its From or as Exim does."""
    return "X-Failed-Recipients" in message or _DAEMONS.search(_field(message, "From")) is not None


def is_titled_bounce(title: str) -> bool:
    """Tell whether a subject announces that mail did not arrive."""
    return _SUBJECTS.search(title) is not None


def is_null_path(message: Message) -> bool:
    """Tell whether a message has no one to answer to: `<>`, or what sendmail makes of it."""
    paths = [
        re.sub(r"\s", "", str(path)[:_MAX_LINE]) for path in message.get_all("Return-Path", [])
    ]
    return any(path == "<>" or path.lower().startswith("<mailer-daemon") for path in paths)


def is_no_failure(text: str) -> bool:
    """Tell whether a message asks its sender to prove that there is one, or tells of a success."""
    return _NO_FAILURES.search(text) is not None


def is_warning(text: str) -> bool:
    """Tell whether a message says that a copy is late, and still on its way."""
    return _WARNINGS.search(text) is not None


def find_failures(message: Message, text: str) -> tuple[bool, bool]:
    """Tell whether anybody's copy is late, and whether anybody's failed, as flufl.bounce reads it.

    `text` is what stands before the returned copy.
    """
    try:
        late, failed = all_failures(_copy_for_scan(message, text))
    except Exception:  # noqa: BLE001 - the patterns of seventeen authors, on any bytes
        return False, False
    return bool(late), bool(failed)


def _copy_for_scan(message: Message, text: str) -> Message:
    lines = [line[:_MAX_LINE] for line in text.splitlines()[:_MAX_LINES]]
    body = "".join(f"{line}\n" for line in lines).encode("ascii", "replace").decode()
    whole, part = Message(), Message()
    for name in _FIELDS:
        for value in message.get_all(name, [])[:1]:
            whole[name] = re.sub(r"[\r\n]+", " ", str(value))[:_MAX_LINE]
    kind = message.get_content_maintype()
    if kind != "multipart":
        whole["Content-Type"] = "text/plain"
        whole.set_payload(body)
        return whole
    whole["Content-Type"] = message.get_content_type()
    part["Content-Type"] = "text/plain"
    part["Content-Description"] = "Notification"
    part.set_payload(body)
    whole.attach(part)
    return whole


def _field(message: Message, name: str) -> str:
    return str(message.get(name, ""))[:_MAX_LINE]
