"""Evidence from a relay's log: which of our messages it took over.

Postfix names a message's own Message-ID in one line and what became of its queue file in
others; the queue id joins them:

    postfix/cleanup[17712]: 2512599451B: message-id=<…@news.example>
    postfix/qmgr[17664]: 2512599451B: from=<…>, size=20338, nrcpt=1 (queue active)
    postfix/smtp[17713]: 2512599451B: to=<…>, …, status=sent (250 2.0.0 Ok)

The first line proves nothing: it is written while the content still comes in, so a message
that was cut off before its end, or refused there, has it as well. Only one that was taken over
is ever seen by qmgr or by a delivery agent. The other way round a log that does not name a
message proves nothing either: it may be another relay's, or begin too late.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

# "Nov 25 18:14:42 relay postfix/qmgr[17664]: 2512599451B: from=<…": the host stands before the
# program, whatever form the time has; queue ids are short (hexadecimal) or long (base 52).
_LINE = re.compile(
    r"(?P<host>\S+) postfix(?:-[^/\s]+)?/(?P<part>[\w/-]+)\[\d+\]: (?P<queue>[0-9A-Za-z]{6,20}): "
    r"(?P<said>.*)"
)
_MESSAGE_ID = re.compile(r"(?:resent-)?message-id=(?P<id><[^>]*>)")
_QUEUED = re.compile(r"from=<[^>]*>, size=\d+, nrcpt=\d+ \(queue active\)")
_STATUS = re.compile(r"to=<[^>]*>.*\bstatus=\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message that the relay took over."""

    queue_id: str
    said: str
    """What the log said last of where it went: its delivery status, else that it is queued."""


def find_taken(lines: Iterable[str], message_ids: Collection[str]) -> dict[str, Taken]:
    """Find which of these messages (Message-IDs in angle brackets) a Postfix log shows as taken.

    Queue ids are used again once their message has left, so lines are read in the order of time.
    """
    wanted = frozenset(message_ids)
    named: dict[tuple[str, str], str] = {}
    taken: dict[str, Taken] = {}
    for line in lines:
        found = _LINE.search(line)
        if found is None:
            continue
        queue, said = (found["host"], found["queue"]), found["said"].strip()
        if (id_ := _MESSAGE_ID.match(said)) and found["part"].endswith("cleanup"):
            named.pop(queue, None)
            if id_["id"] in wanted:
                named[queue] = id_["id"]
        elif queue not in named:
            continue
        elif said == "removed":
            del named[queue]
        elif status := _STATUS.match(said):
            shown = status[0].rpartition("status=")[2] + said[status.end() :]
            taken[named[queue]] = Taken(queue_id=queue[1], said=shown)
        elif _QUEUED.match(said):
            taken.setdefault(named[queue], Taken(queue_id=queue[1], said="queued"))
    return taken
