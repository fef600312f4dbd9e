"""An operator's own templates are laid out in a process of their own, which may be stopped.

A template is a program. One with a slip in it (a loop around a loop around a text, a macro that
calls itself, a number too many) can take all the time and memory that there is, and neither a
thread nor the compilers of MJML and CSS can be stopped from outside. A process can: it gets
ceilings of time and memory, no secret from the environment, and no way to the network or to
other programs (see `sandbox`, which is its other end). It costs half a second an edition.

The shipped templates run in this process. They are part of the program, reviewed and tested
like the rest of it, and their data is bounded before it gets to them.

The arguments go out pickled, since they are ours; what comes back is JSON and is read as
something that a stranger wrote.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from newsletter.errors import (
    ConfigurationError,
    InputError,
    NewsletterError,
    Problem,
    StorageError,
    TemplateError,
    TemporaryError,
)
from newsletter.render.compiled import CompiledEdition
from newsletter.render.templates import TemplateSet
from newsletter.settings import Templates

P = ParamSpec("P")
Made = TypeVar("Made", CompiledEdition, dict[str, bytes])
"""A compiled edition, or files by their names."""

_CHILD = "newsletter.render.sandbox"
_START_SECONDS = 30.0  # a loaded machine may need as long to load the program's own modules
# What an interpreter needs to find itself and its modules, and no secret.
_ENVIRONMENT = frozenset(
    (
        *("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH"),
        *("SYSTEMROOT", "TZ", "VIRTUAL_ENV"),
    )
)
_FAMILIES: dict[str, type[NewsletterError]] = {
    "TemplateError": TemplateError,
    "InputError": InputError,
    "ConfigurationError": ConfigurationError,
}
_TIME_MEND = "look for a loop that grows without end, or raise templates.timeout"
_MEMORY_MEND = "look for a text or loop that grows without end, or raise templates.max_memory_mb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an operator's templates may take."""

    seconds: float
    memory_mb: int

    @classmethod
    def of(cls, settings: Templates) -> Limits:
        """Take them from the settings."""
        return cls(seconds=settings.timeout.total_seconds(), memory_mb=settings.max_memory_mb)

    def out_of_time(self, file: str | Path | None, line: int | None = None) -> TemplateError:
        """Say that templates took too long."""
        problem = f"takes longer than the {self.seconds:g} seconds that templates have"
        return TemplateError(problem, file=file, line=line, mend=_TIME_MEND)

    def out_of_memory(self, file: str | Path | None, line: int | None = None) -> TemplateError:
        """Say that templates took too much memory."""
        problem = f"takes more than the {self.memory_mb} MB of memory that templates have"
        return TemplateError(problem, file=file, line=line, mend=_MEMORY_MEND)


def within_limits(
    compile_: Callable[P, Made], templates: TemplateSet, settings: Templates
) -> Callable[P, Made]:
    """Give `compile_` as it should run for these templates: apart if any is the operator's own.

    Its arguments must be picklable, and it must be a function of a module. Called, it raises
    what `compile_` raises, and `TemplateError` where a limit was reached.
    """
    if not templates.has_own:
        return compile_
    return partial(_run_apart, Limits.of(settings), templates.directories[0], compile_)


def _run_apart(
    limits: Limits,
    own: Path,
    compile_: Callable[P, Made],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Made:
    head = json.dumps({"seconds": limits.seconds, "memory_mb": limits.memory_mb})
    task = pickle.dumps((compile_, args, kwargs))
    try:
        done = subprocess.run(  # noqa: S603 -- our own interpreter and module
            [sys.executable, "-B", "-P", "-m", _CHILD],
            input=head.encode() + b"\n" + task,
            env={key: value for key, value in os.environ.items() if key in _ENVIRONMENT},
            capture_output=True,
            timeout=limits.seconds + _START_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise limits.out_of_time(own) from None
    except OSError as error:
        raise TemporaryError(
            f"the process that lays out an edition could not be started ({error.strerror})"
        ) from error
    if done.returncode:
        raise _judge_death(done.returncode, done.stderr.decode(errors="replace"), limits, own)
    made: Made = _read_answer(done.stdout, own)
    return made


def _read_answer(answer: bytes, own: Path) -> Any:
    try:
        document: dict[str, Any] = json.loads(answer)
        if "compiled" in document:
            return CompiledEdition.load(base64.b64decode(document["compiled"], validate=True))
        if "files" in document:
            return {
                _text(name): base64.b64decode(data, validate=True)
                for name, data in document["files"].items()
            }
        error = _read_error(document["error"])
    except (ValueError, KeyError, TypeError, AttributeError, StorageError) as flaw:
        raise TemplateError(
            f"the process that lays out an edition gave no answer that can be read ({flaw!r})",
            file=own,
        ) from flaw
    error.file = error.file or own
    raise error


def write_error(error: NewsletterError) -> dict[str, Any]:
    """Write an error down; `_read_error` gives it back."""
    problems = error.problems if isinstance(error, TemplateError) else ()
    family = next(name for name, kind in _FAMILIES.items() if isinstance(error, kind))
    return {
        "family": family,
        "problem": error.problem,
        "file": None if error.file is None else str(error.file),
        "line": error.line,
        "field": error.field,
        "mend": error.mend,
        "problems": [[p.problem, p.file, p.line, p.mend] for p in problems],
    }


def _read_error(document: dict[str, Any]) -> NewsletterError:
    """Read what `write_error` wrote; raises `ValueError`, `KeyError` or `TypeError` for others."""
    problems = tuple(
        Problem(_text(problem), file=_text_or_none(file), line=_number(line), mend=_text(mend))
        for problem, file, line, mend in document["problems"]
    )
    if len(problems) > 1:
        return TemplateError.of(problems)
    return _FAMILIES[document["family"]](
        _text(document["problem"]),
        file=_text_or_none(document["file"]),
        line=_number(document["line"]),
        field=_text_or_none(document["field"]),
        mend=_text(document["mend"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _number(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise TypeError(f"{value!r} is no number")
    return value


def _judge_death(code: int, said: str, limits: Limits, own: Path) -> Exception:
    """Say what ended a process that gave no answer."""
    names = {-number.value: number.name for number in signal.Signals}
    death = names.get(code, f"signal {-code}") if code < 0 else ""
    # faulthandler prints the innermost frame first; a template's frame bears its file's name.
    frame = re.search(r'^ +File "(?P<file>[^"\n]+\.j2)"', said, re.MULTILINE)
    file = frame["file"] if frame else own
    if "Timeout (" in said or death == "SIGXCPU":
        return limits.out_of_time(file)
    starved = re.search(r"^MemoryError\b|memory allocation of \d+ bytes failed", said, re.MULTILINE)
    if starved or death == "SIGKILL":  # the system's own way of saying that memory is out
        return limits.out_of_memory(file)
    if death:
        return TemplateError(
            f"ends the process that lays out an edition ({death})",
            file=file,
            mend="take out what you changed last, and tell us what it was",
        )
    # Not a template's fault but ours: as loud as it would be in this process.
    return RuntimeError(f"the process that lays out an edition failed:\n{said}")
