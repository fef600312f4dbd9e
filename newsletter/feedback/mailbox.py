"""The mailbox of what comes back, read over IMAP: heard first, marked afterwards.

A message is marked as read, or deleted, only once what it says is committed. Whatever fails
before that, it is there at the next look, and heard twice is heard once. What does nothing is
marked as read and stays, for a person; a bounce that is quicker than the record of its own copy
is left as it is until the next look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from newsletter.briefs.sources.imap import Folder, build_access, open_folder
from newsletter.errors import SourceError, TemporaryError
from newsletter.feedback.hearing import Heard
from newsletter.feedback.report import MAX_BYTES
from newsletter.settings import Incoming, Settings

MOST_MESSAGES = 500
"""Most messages a visit; what is more waits for the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a visit to the mailbox came to."""

    messages: int
    left: int
    """How many readers left the list."""
    bounced: int
    """How many bounces of copies there were."""
    complained: int
    """How many complaints about copies there were."""
    passed_over: Counter[str]
    """Messages that did nothing, by the reason."""
    waiting: int
    """Messages that wait for the next visit."""


def read_feedback(settings: Settings, hear: Callable[[bytes], Heard]) -> Visit:
    """Hear every message that is not marked as read. Raises `TemporaryError`, and `hear`'s."""
    incoming = settings.incoming
    password = incoming.password.get_secret_value()
    access = build_access(incoming, password, settings.root)
    try:
        with open_folder(access, incoming.folder, max_bytes=2 * MAX_BYTES, writable=True) as folder:
            return _hear_all(folder, incoming, hear)
    except SourceError as error:
        raise TemporaryError(error.problem, file=incoming.place, mend=error.mend) from None


def _hear_all(folder: Folder, incoming: Incoming, hear: Callable[[bytes], Heard]) -> Visit:
    found = folder.search_unseen()
    all_heard = []
    for uid in found[:MOST_MESSAGES]:
        content = folder.fetch(uid, most_bytes=MAX_BYTES)
        if content is None:  # gone by now
            continue
        heard = hear(content)
        all_heard.append(heard)
        if heard.is_early:
            continue
        if heard.is_done and incoming.heard == "delete":
            folder.delete(uid)
        else:
            folder.mark_seen(uid)
    return Visit(
        messages=min(len(found), MOST_MESSAGES),
        left=sum(heard.left for heard in all_heard),
        bounced=sum(heard.bounced for heard in all_heard),
        complained=sum(heard.complained for heard in all_heard),
        passed_over=Counter(heard.reason for heard in all_heard if heard.reason),
        waiting=max(len(found) - MOST_MESSAGES, 0),
    )
