"""A mailbox: mail of senders that the operator names becomes briefs, the mail stays as it is.

What was read is remembered by the messages' numbers (UID), which hold as long as the folder's
UIDVALIDITY does; when that changes, recent mail is read again, and known by its Message-ID.

Anybody can write anything into From. Where the mail server checks that (SPF, DKIM, DMARC) and
says so in Authentication-Results (RFC 8601), `authenticated_by` names that server, and only
mail that it found genuine is taken. The topmost field of that name counts: the server puts its
own above what a message brought along.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.parser import BytesHeaderParser

from newsletter.briefs.sources.apart import parse_apart
from newsletter.briefs.sources.entry import Entry
from newsletter.briefs.sources.feed import build_item
from newsletter.briefs.sources.imap import Folder, Outline, build_access, open_folder
from newsletter.briefs.sources.reading import Item, Reading, SourceContext
from newsletter.errors import BriefError, SourceError
from newsletter.settings import MailboxSource, source_name

_PARSER = "newsletter.briefs.sources.mail_parser"
_MAX_TOGETHER_BYTES = 50_000_000
_MAX_HEADER_BYTES = 200_000
_MAX_FIELD_CHARS = 4_000
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_ADDRESS = re.compile(r"(?:[^<>,]*<([^<>@\s]+@[^<>@\s]+)>|([^<>@,\s]+@[^<>@,\s]+))")
_COMMENT = re.compile(r"\([^()]*\)")


def read_mailbox(source: MailboxSource, context: SourceContext) -> Reading:
    """Fetch the new mail of the folder and make it briefs. Raises `SourceError`."""
    place = source_name(source)
    inbox = _Inbox(source, place)
    missing = ""
    try:
        access = build_access(source, context.secret(source.password), context.root)
        with open_folder(access, source.folder, max_bytes=source.max_bytes) as folder:
            inbox.take(folder, context)
    except SourceError as error:
        error.file = error.file or place
        if not inbox.has_moved:
            raise
        missing = f"the mail after that which was read: {error}"
    items = []
    for outline, raw in inbox.taken:
        try:
            items.append(_build_item(outline, raw, context, place))
        except (BriefError, SourceError) as error:
            error.file = f"{place}, message {outline.uid}"
            inbox.problems.append(str(error))
    if inbox.strangers:
        inbox.problems.append(
            f"{place}: {inbox.strangers} messages are of nobody who may send briefs, or not "
            "shown to be; they were passed over."
        )
    return Reading(
        items=tuple(items),
        problems=tuple(inbox.problems),
        validators=inbox.validators,
        missing=missing,
    )


class _Inbox:
    """What one visit to the folder brings, and how far it came."""

    def __init__(self, source: MailboxSource, place: str) -> None:
        self._source = source
        self._place = place
        self._uid_validity = 0
        self._last_uid = 0
        self.has_moved = False
        """Whether any message was looked at."""
        self.taken: list[tuple[Outline, bytes]] = []
        self.strangers = 0
        self.problems: list[str] = []

    @property
    def validators(self) -> dict[str, str]:
        """Where the next visit goes on."""
        return {"uidvalidity": str(self._uid_validity), "uid": str(self._last_uid)}

    def take(self, folder: Folder, context: SourceContext) -> None:
        """Fetch what is new, as much as one gathering may."""
        self._uid_validity = folder.uid_validity
        known = context.validators
        if known.get("uidvalidity") == str(folder.uid_validity):
            self._last_uid = int(known["uid"])
        since: datetime | None = None
        if not self._last_uid:  # a day more: the server goes by the dates of its own zone
            since = datetime.now(UTC) - self._source.look_back - timedelta(days=1)
        found = folder.search(after=self._last_uid, since=since)
        together_bytes = 0
        for uid in found[: self._source.max_messages]:
            outline = folder.outline(uid)
            if outline and self._is_wanted(outline):
                raw = folder.fetch(uid)
                if raw is not None:
                    self.taken.append((outline, raw))
                    together_bytes += len(raw)
            self._last_uid, self.has_moved = uid, True
            if together_bytes > _MAX_TOGETHER_BYTES:
                break
        waiting = sum(uid > self._last_uid for uid in found)
        if waiting:
            self.problems.append(f"{self._place}: {waiting} messages wait for the next gathering.")

    def _is_wanted(self, outline: Outline) -> bool:
        header = BytesHeaderParser().parsebytes(outline.header[:_MAX_HEADER_BYTES])
        sender = find_sender(header)
        if not is_allowed_sender(sender, self._source.senders) or not (
            is_authentic(header, sender, self._source.authenticated_by)
        ):
            self.strangers += 1
            return False
        if outline.size_bytes > self._source.max_bytes:
            self.problems.append(
                f"{self._place}, message {outline.uid}: is larger than the ceiling of "
                f"{self._source.max_bytes} bytes; raise max_bytes if it may be."
            )
            return False
        return True


def find_sender(header: Message) -> str:
    """Give the one address in From, in lower case; "" for none, several, or anything unclear."""
    fields = header.get_all("from") or []
    if len(fields) != 1:
        return ""
    bare = _QUOTED.sub("", str(fields[0])[:_MAX_FIELD_CHARS]).strip()
    found = _ADDRESS.fullmatch(" ".join(bare.split()))
    return (found[1] or found[2]).lower() if found else ""


def is_allowed_sender(sender: str, senders: tuple[str, ...]) -> bool:
    """Decide whether an address stands in the list, itself or by its domain ("@domain")."""
    domain = sender.rpartition("@")[2]
    return bool(sender) and (sender in senders or f"@{domain}" in senders)


def is_authentic(header: Message, sender: str, server: str) -> bool:
    """Decide whether `server` found the sender's domain genuine; yes if no server is named."""
    if not server:
        return True
    for field in header.get_all("authentication-results") or []:
        text = str(field)[:_MAX_FIELD_CHARS]
        while (bare := _COMMENT.sub("", text)) != text:
            text = bare
        name, _, results = text.partition(";")
        if name.split()[:1] == [server] or name.strip().casefold() == server.casefold():
            domain = sender.rpartition("@")[2]
            return any(_vouches(result, domain) for result in results.split(";"))
    return False


def _vouches(result: str, domain: str) -> bool:
    """Decide whether one result says that `domain` sent the message (RFC 8601 §2.2)."""
    pairs = re.sub(r"\s*=\s*", "=", result.lower()).split()
    said = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if said.get("dmarc") == "pass":
        return said.get("header.from", domain) == domain
    if said.get("dkim") == "pass":
        signer = said.get("header.d") or said.get("header.i", "").rpartition("@")[2]
        return bool(signer) and (domain == signer or domain.endswith(f".{signer}"))
    return False


def _build_item(outline: Outline, raw: bytes, context: SourceContext, place: str) -> Item:
    document = parse_apart(_PARSER, {}, raw, place=place)
    entry = Entry(**{**document, "topics": tuple(document["topics"])})
    item = build_item(entry, vocabulary=context.vocabulary, feed_url="")
    stated, received_at = item.brief.published_at, outline.received_at
    if received_at and stated and stated > received_at:  # it was not sent after it came
        item = replace(item, brief=replace(item.brief, published_at=received_at))
    return replace(item, dated_at=received_at)
