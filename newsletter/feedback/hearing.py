"""What readers and their mail servers send back: a message is read, and what it says is done.

Who is meant is told by what only we can have made, never by who wrote or what a report claims:

    a word to leave by    the token of that mail's List-Unsubscribe, in the subject
    a bounce              the return path that it was sent to (`mail.verp`), under our MAC
    a complaint           that return path or that token, in the copy that it brings back

So nobody takes another off the list by a letter that looks like a bounce.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from newsletter.audience.leaving import leave
from newsletter.errors import InputError
from newsletter.events import Event, about
from newsletter.feedback.bounces import judge_reader, record_report, take_complaint
from newsletter.feedback.guard import check_edition
from newsletter.feedback.report import Finding, Report, parse_report
from newsletter.feedback.request import parse_request
from newsletter.mail import Keyring
from newsletter.mail.tokens import Claim, Purpose, read_token
from newsletter.mail.verp import read_return_path
from newsletter.store import Database

log = logging.getLogger("newsletter.hearing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What became of a message."""

    left: int = 0
    """How many readers left the list by it: mostly one."""
    bounced: int = 0
    """1 for the bounce of a copy."""
    complained: int = 0
    """1 for a complaint about a copy."""
    reason: str = ""
    """Why it did nothing."""
    is_early: bool = False
    """Whether it is to be heard again: its copy's own outcome is still to be recorded."""

    @property
    def is_done(self) -> bool:
        """Whether it did what it is for."""
        return bool(self.left or self.bounced or self.complained) and not self.is_early


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Hears messages."""

    database: Database
    keyring: Keyring
    list_id: str
    bounce_address: str
    """The pattern of return paths; without a `*` no bounce can be told from a forged one."""
    now: Callable[[], datetime]

    def hear(self, content: bytes, recipient: str = "") -> Heard:
        """Do what a message says; committed once it returns, and idempotent.

        `recipient` is who the mail server says that it is for, where it says so. Raises
        `StorageError` where the database cannot be written; then it is to be heard again.
        """
        report = parse_report(content)
        if report is None:
            return self._hear_request(content)
        if report.finding is Finding.DELAYED:
            return Heard(reason="it tells of a delay, and the copy may arrive yet")
        claim = self._identify(report, recipient)
        if claim is None:
            return Heard(reason="it comes back from no copy of ours")
        if report.finding is Finding.COMPLAINT:
            return self._hear_complaint(claim, report)
        return self._hear_bounce(claim, report)

    def _hear_request(self, content: bytes) -> Heard:
        request = parse_request(content)
        if request.refusal:
            return Heard(reason=request.refusal)
        left = {claim.subscriber_id for claim in self._read_tokens(request.words)}
        for subscriber_id in sorted(left):
            leave(self.database, subscriber_id, "mail", now=self.now())
        return Heard(left=len(left), reason="" if left else "its word is damaged, or not ours")

    def _hear_bounce(self, claim: Claim, report: Report) -> Heard:
        now = self.now()
        with self.database.writing() as connection:
            recorded = record_report(connection, claim, report, now=now)
        if recorded.is_early or recorded.refusal:
            return Heard(is_early=recorded.is_early, reason=recorded.refusal)
        dead_email = recorded.email if report.finding is Finding.ADDRESS else ""
        if doubt := check_edition(self.database, claim.edition_id, dead_email, now=now):
            extra = about(Event.RELAY_ALERT, edition=str(claim.edition_id))
            log.warning("edition %d: %s", claim.edition_id, doubt, extra=extra)
        with self.database.writing() as connection:
            judge_reader(connection, claim.subscriber_id, now=now)
        return Heard(bounced=1)

    def _hear_complaint(self, claim: Claim, report: Report) -> Heard:
        now = self.now()
        with self.database.writing() as connection:
            take_complaint(connection, claim, now=now)
        with self.database.writing() as connection:
            recorded = record_report(connection, claim, report, now=now)
        return Heard(complained=1, is_early=recorded.is_early)

    def _identify(self, report: Report, recipient: str) -> Claim | None:
        """Tell which copy a report is about; None where it bears no sign of ours."""
        is_complaint = report.finding is Finding.COMPLAINT
        returned = report.returned if is_complaint else ()
        for address in (recipient, *report.addressed, *returned):
            with suppress(InputError):
                return read_return_path(
                    address, self.bounce_address, keyring=self.keyring, list_id=self.list_id
                )
        tokens = report.tokens if is_complaint else ()
        return next(iter(self._read_tokens(tokens)), None)

    def _read_tokens(self, words: Iterable[str]) -> list[Claim]:
        """Read those of the words that are tokens to leave by."""
        claims = []
        for word in words:
            with suppress(InputError):
                claims.append(
                    read_token(
                        word, Purpose.UNSUBSCRIBE, keyring=self.keyring, list_id=self.list_id
                    )
                )
        return claims
