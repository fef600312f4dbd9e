"""The process that an operator's templates run in: `python -m newsletter.render.sandbox`.

It reads its limits and one pickled call, makes the call, and writes one JSON document: the
compiled edition, or the error. The limits, in the order in which they bite:

- a timer raises in the middle of whatever template is running, so that its file and line can
  be told; a second later a watchdog that needs no interpreter ends the process, if it was
  in C meanwhile (a power, a compiler);
- memory: an allocation beyond the limit fails, which Python raises and Rust dies of;
- nothing may be written to a file, no socket opened, no program started: Jinja's sandbox does
  not let a template get there, and should it ever, here is a second wall.
"""

from __future__ import annotations

import base64
import faulthandler
import json
import math
import os
import pickle
import signal
import sys
from traceback import walk_tb
from typing import Any

from newsletter.errors import NewsletterError, TemplateError
from newsletter.render.apart import Limits, write_error
from newsletter.render.compiled import CompiledEdition

MAX_STATIC_BYTES = 5_000_000
"""Of both parts of a mail together, or of one page. Forty briefs in each of their forms make a
tenth of it."""

_GRACE_SECONDS = 1.0
_SPARE_CPU_SECONDS = 10  # to load our own modules
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_REFUSED_EVENTS = (
    *("ctypes.", "ftplib.", "http.", "os.exec", "os.fork", "os.kill", "os.posix_spawn"),
    *("os.putenv", "os.remove", "os.rename", "os.rmdir", "os.spawn", "os.system", "pty."),
    *("shutil.", "smtplib.", "socket.", "subprocess.", "urllib."),
)


class _OutOfTimeError(Exception):
    """The timer has run out."""


def _main() -> None:
    answer = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whoever prints does not print into the answer
    head = json.loads(sys.stdin.buffer.readline())
    limits = Limits(seconds=head["seconds"], memory_mb=head["memory_mb"])
    _limit_ourselves(limits)
    faulthandler.enable()  # a crash names the template that was running
    # The parent's own words: nothing that a template says gets in here.
    function, args, kwargs = pickle.load(sys.stdin.buffer)  # noqa: S301 -- see above
    sys.addaudithook(_refuse)
    _start_timer(limits.seconds)
    document: dict[str, Any]
    try:
        document = _encode(function(*args, **kwargs))
    except _OutOfTimeError as error:
        _stop_timer()
        document = {"error": write_error(limits.out_of_time(*_find_place(error)))}
    except MemoryError as error:
        _stop_timer()
        document = {"error": write_error(limits.out_of_memory(*_find_place(error)))}
    except NewsletterError as error:
        _stop_timer()
        document = {"error": write_error(error)}
    _stop_timer()
    json.dump(document, answer)
    answer.close()


def _encode(made: CompiledEdition | dict[str, bytes]) -> dict[str, Any]:
    if isinstance(made, CompiledEdition):
        return {"compiled": _encode_compiled(made)}
    for data in made.values():
        _check_size(len(data))
    return {"files": {name: base64.b64encode(data).decode() for name, data in made.items()}}


def _encode_compiled(compiled: CompiledEdition) -> str:
    size = sum(
        len(piece)
        for part in (compiled.html, compiled.plain)
        for piece in part.pieces
        if isinstance(piece, bytes)
    )
    _check_size(size)
    return base64.b64encode(compiled.dump()).decode()


def _check_size(size: int) -> None:
    if size > MAX_STATIC_BYTES:
        raise TemplateError(
            f"the templates make {size:,} bytes, and may make {MAX_STATIC_BYTES:,}",
            mend="look for a text or loop that grows without end",
        )


def _limit_ourselves(limits: Limits) -> None:
    try:
        import resource  # not on Windows, where only the clocks limit us
    except ImportError:
        return
    for limit, value in (
        (resource.RLIMIT_AS, limits.memory_mb * 1_000_000),
        (resource.RLIMIT_CPU, math.ceil(limits.seconds) + _SPARE_CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(limit, (value, value))
        except (ValueError, OSError):  # a lower limit is in force already
            continue


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    """Refuse what laying out an edition never needs (PEP 578)."""
    writes = event == "open" and isinstance(args[2], int) and args[2] & _WRITES
    if writes or event.startswith(_REFUSED_EVENTS):
        raise PermissionError(f"{event} is not for templates")


def _start_timer(seconds: float) -> None:
    faulthandler.dump_traceback_later(seconds + _GRACE_SECONDS, exit=True)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _raise_out_of_time)
        # Again and again, in case somebody in between swallows the first one.
        signal.setitimer(signal.ITIMER_REAL, seconds, _GRACE_SECONDS / 2)


def _stop_timer() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()


def _raise_out_of_time(_signal: int, _frame: object) -> None:
    raise _OutOfTimeError


def _find_place(error: BaseException) -> tuple[str | None, int | None]:
    """Find the innermost template line that the error passed through."""
    place: tuple[str | None, int | None] = (None, None)
    for frame, line in walk_tb(error.__traceback__):
        if frame.f_code.co_filename.endswith(".j2"):
            # Jinja corrects the lines of what passes through it; this may not have, all the way.
            template = frame.f_globals.get("__jinja_template__")
            corrected = template.get_corresponding_lineno(line) if template else line
            place = (frame.f_code.co_filename, corrected)
    return place


if __name__ == "__main__":
    _main()
