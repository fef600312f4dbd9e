"""Every exception the newsletter raises on purpose.

    NewsletterError                  one sentence for a person, one exit code for a script
    ├── ConfigurationError      78   the operator's files or environment; retrying cannot help
    │   ├── TemplateError            a template, with file and line
    │   ├── BrowserError             Chromium or its driver is missing, or does not start
    │   ├── DatabaseVersionError     the database is of another version
    │   └── RelayRefusedUs           the relay refuses *us*: password, identity, certificate
    ├── InputError               1   a document or table from outside; the rest goes on
    │   ├── BriefError               a text that is no brief, with file and line
    │   └── AudienceError            a subscriber file or address that cannot be used
    ├── SourceError              1   one source could not be read; the others go on
    ├── RefusedError             1   the request makes no sense in the present state
    │   └── IllegalMove              a state machine was asked for a move it does not have
    └── TemporaryError          75   try again later; nothing is lost
        ├── RelayUnavailable         no relay could be reached
        ├── ConnectionLost           a connection ended; it knows whether the final dot had left
        ├── AlreadyRunning           another process sends this edition
        ├── LeaseLost                another process took this edition over
        ├── SecondPersonNeeded       nobody but the one who asked has said yes
        ├── UnfamiliarDatabase       the database may be an older copy; a person must say
        └── StorageError             the database or the disk refused a write

Configuration errors stand apart from `TemporaryError`, the family that retry code may
swallow. The refusal of one recipient is a value (`smtp.protocol.Refused`), not an exception;
protocol violations have their own two classes in `smtp.protocol`, one for local misuse and
one for the other side's.

Exit codes follow sysexits(3): 1 failed, 75 EX_TEMPFAIL, 78 EX_CONFIG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class NewsletterError(Exception):
    """Say in one sentence what is wrong, where, and how to mend it."""

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        field: str | None = None,
        mend: str = "",
    ) -> None:
        self.problem, self.file, self.line, self.field, self.mend = problem, file, line, field, mend
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self._find()}; {self.mend}." if self.mend else self.finding

    @property
    def finding(self) -> str:
        """What is wrong and where, in one sentence without the mend."""
        return f"{self._find().rstrip('.')}."

    def _find(self) -> str:
        place = f"{self.file}" if self.file is not None else ""
        if self.line is not None:
            place = f"{place}, line {self.line}" if place else f"line {self.line}"
        if self.field:
            place = f"{place}, {self.field}" if place else self.field
        return f"{place}: {self.problem}" if place else self.problem


class ConfigurationError(NewsletterError):
    """The operator's files or environment are wrong."""

    exit_code = 78


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in an operator's file: a line of a list of all of them."""

    problem: str
    file: str | None = None
    line: int | None = None
    mend: str = ""

    def __str__(self) -> str:
        return str(NewsletterError(self.problem, file=self.file, line=self.line, mend=self.mend))


class TemplateError(ConfigurationError):
    """A template is wrong; `file` and `line` say where, `problems` all that was found."""

    _problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> TemplateError:
        """Say the first of several problems, and how many more there are."""
        first, *rest = problems
        more = f" (and {len(rest)} more)" if rest else ""
        error = cls(first.problem + more, file=first.file, line=first.line, mend=first.mend)
        error._problems = tuple(problems)
        return error

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that was found wrong, at least one thing."""
        if self._problems:
            return self._problems
        file = None if self.file is None else str(self.file)
        return (Problem(self.problem, file=file, line=self.line, mend=self.mend),)


class BrowserError(ConfigurationError):
    """There is no Chromium to look at mail with; what needs it is skipped, never the mail."""


class DatabaseVersionError(ConfigurationError):
    """The database was made by another version of the program."""


class RelayRefusedUs(ConfigurationError):
    """The relay refuses the sender itself: never a reader's fault, never a reader's loss."""


class InputError(NewsletterError):
    """Something that came from outside cannot be used."""


class BriefError(InputError):
    """A document that cannot be imported as a brief."""


class AudienceError(InputError):
    """A subscriber file or address that cannot be used."""


class SourceError(NewsletterError):
    """A source could not be read; what counts as seen is unchanged."""

    retry_after_seconds = 0
    """How long its server wants to be left alone (RFC 9110 §10.2.3); 0 where it did not say."""


class RefusedError(NewsletterError):
    """The request makes no sense in the present state."""


class IllegalMove(RefusedError):
    """A lifecycle was asked for a move that its table does not have; nothing changed."""

    def __init__(self, lifecycle: str, state: str, to: str) -> None:
        self.lifecycle, self.state, self.to = lifecycle, state, to
        super().__init__(f"{lifecycle} cannot go from {state} to {to}")


class TemporaryError(NewsletterError):
    """Try again later: nothing is lost."""

    exit_code = 75


class Untimely(TemporaryError):
    """What somebody looked at is another by now, or its time has not come: look again."""


class SecondPersonNeeded(Untimely):
    """A send to so many waits for the word of somebody other than the one who asks."""


class UnfamiliarDatabase(TemporaryError):
    """The database may not know what was sent; nothing is, before a person has said so."""


class RelayUnavailable(TemporaryError):
    """No relay could be reached."""


class ConnectionLost(TemporaryError):
    """A connection ended before the expected reply.

    `in_doubt` tells whether the final dot had been handed over: if so the relay may have the
    message, and trying again may make a second copy.
    """

    def __init__(self, problem: str, *, phase: str, in_doubt: bool) -> None:
        super().__init__(problem)
        self.phase, self.in_doubt = phase, in_doubt


class AlreadyRunning(TemporaryError):
    """Another process is sending this edition."""


class LeaseLost(TemporaryError):
    """Another process took this edition over."""


class StorageError(TemporaryError):
    """The database or the disk refused a write."""
