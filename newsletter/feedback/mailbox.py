"""The mailbox of the unsubscribe address, read over IMAP: heard first, marked afterwards.

A message is marked as read, or deleted, only once what it asks for is committed. Whatever fails
before that, it is there at the next look, and leaving twice is leaving once. What asks for
nothing is marked as read and stays, for a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from newsletter.briefs.sources.imap import Folder, build_access, open_folder
from newsletter.errors import SourceError, TemporaryError
from newsletter.feedback.leaving import Heard
from newsletter.settings import Incoming, Settings

_MAX_BYTES = 5_000_000
MOST_MESSAGES = 500
"""Most messages a visit; what is more waits for the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a visit to the mailbox came to."""

    messages: int
    left: int
    """How many readers are off the list."""
    passed_over: Counter[str]
    """Messages that took nobody off, by the reason."""
    waiting: int
    """Messages that wait for the next visit."""


def read_feedback(settings: Settings, hear: Callable[[bytes], Heard]) -> Visit:
    """Hear every message that is not marked as read. Raises `TemporaryError`, and `hear`'s."""
    incoming = settings.incoming
    password = incoming.password.get_secret_value()
    access = build_access(incoming, password, settings.root)
    try:
        with open_folder(access, incoming.folder, max_bytes=_MAX_BYTES, writable=True) as folder:
            return _hear_all(folder, incoming, hear)
    except SourceError as error:
        raise TemporaryError(error.problem, file=incoming.place, mend=error.mend) from None


def _hear_all(folder: Folder, incoming: Incoming, hear: Callable[[bytes], Heard]) -> Visit:
    found = folder.search_unseen()
    left, passed_over = 0, Counter[str]()
    for uid in found[:MOST_MESSAGES]:
        outline = folder.outline(uid)
        if outline is None:  # gone by now
            continue
        heard = hear(outline.header)
        left += heard.left
        if heard.left and incoming.heard == "delete":
            folder.delete(uid)
        else:
            folder.mark_seen(uid)
        if heard.reason:
            passed_over[heard.reason] += 1
    return Visit(
        messages=min(len(found), MOST_MESSAGES),
        left=left,
        passed_over=passed_over,
        waiting=max(len(found) - MOST_MESSAGES, 0),
    )
