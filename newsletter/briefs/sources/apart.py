"""Parse what strangers wrote in a process of its own, which can be stopped.

Whoever writes a document can make any parser of XML, HTML, JSON or MIME burn minutes or
gigabytes, and a thread cannot be stopped. A process can: for each document it has a ceiling of
processor time and of memory, and it knows nothing of our environment. One that has done its
work waits a while for the next document, since starting costs more than most documents; one
that failed is ended, and one that a document made fat ends itself.

A parser is a module with `if __name__ == "__main__": serve(parse)`. Over the pipe go one line
of JSON about the document, then its bytes; back comes one line of JSON.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from newsletter.errors import SourceError

CPU_SECONDS = 10
MEMORY_BYTES = 1_000_000_000
PARSER_SECONDS = 20.0
_IDLE_SECONDS = 30.0
_FAT_BYTES = 150_000_000
_MOST_AT_ONCE = 4
"""Parsers of all kinds that work at a time: each takes some 35 MB, and most machines few cores."""
_NEEDED = ("PATH", "PYTHONPATH", "PYTHONHOME", "HOME", "TMPDIR", "SYSTEMROOT")
"""All that a parser gets to know of the environment: secrets are in there, too."""


def parse_apart(module: str, about: Mapping[str, Any], body: bytes, *, place: str) -> Any:
    """Have `module` parse `body`; `place` names the document.

    Raises `SourceError` if it fails or goes beyond a ceiling.
    """
    with _room:
        return _parse(module, about, body, place)


def _parse(module: str, about: Mapping[str, Any], body: bytes, place: str) -> Any:
    while True:
        parser, is_fresh = _take(module), False
        if parser is None:
            parser, is_fresh = _Parser(module), True
        try:
            answer = parser.parse(about, body)
        except (OSError, ValueError):
            parser.end()
            if is_fresh:
                raise SourceError(
                    "could not be read within the ceilings of time and memory", file=place
                ) from None
            continue  # it may have ended while it waited; a fresh one decides
        except BaseException:
            parser.end()
            raise
        _put(module, parser)
        return answer


class _Parser:
    """A process that parses one document after the other."""

    def __init__(self, module: str) -> None:
        environment = {name: os.environ[name] for name in _NEEDED if name in os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise SourceError(f"the parser could not be started ({error.strerror})") from None

    def parse(self, about: Mapping[str, Any], body: bytes) -> Any:
        """Have one document parsed; raises `OSError` or `ValueError` if there is no answer."""
        assert self._process.stdin, "it was made with pipes"
        assert self._process.stdout, "it was made with pipes"
        clock = threading.Timer(PARSER_SECONDS, self._process.kill)
        clock.daemon = True
        clock.start()
        try:
            head = json.dumps({"about": dict(about), "size": len(body)}).encode()
            self._process.stdin.write(head + b"\n" + body)
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        finally:
            clock.cancel()

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        try:
            self._process.communicate()
        except (OSError, ValueError):  # what was not written yet has no reader now
            self._process.wait()


_idle: list[tuple[str, _Parser]] = []
_lock = threading.Lock()
_room = threading.BoundedSemaphore(_MOST_AT_ONCE)


def _take(module: str) -> _Parser | None:
    with _lock:
        for at in range(len(_idle) - 1, -1, -1):
            if _idle[at][0] == module:
                return _idle.pop(at)[1]
    return None


def _put(module: str, parser: _Parser) -> None:
    with _lock:
        _idle.append((module, parser))
        superfluous = _idle.pop(0)[1] if len(_idle) > _MOST_AT_ONCE else None
    if superfluous:
        superfluous.end()


@atexit.register
def end_parsers() -> None:
    """End the parsers that wait for work."""
    while _idle:
        _idle.pop()[1].end()


def serve(parse: Callable[[Mapping[str, Any], bytes], Any]) -> None:
    """Be the parser: limit this process, and parse what comes until nothing does."""
    pipe = sys.stdin.buffer
    while select.select([pipe], [], [], _IDLE_SECONDS)[0] and (line := pipe.readline()):
        _limit_ourselves()
        head = json.loads(line)
        answer = parse(head["about"], pipe.read(head["size"]))
        sys.stdout.write(json.dumps(answer) + "\n")  # ASCII, lone surrogates and all
        sys.stdout.flush()
        if _most_memory_bytes() > _FAT_BYTES:  # Python hardly gives any back
            return


def _most_memory_bytes() -> int:
    """Give the most memory that this process ever had; 0 where nobody can say."""
    try:
        import resource  # not on Windows
    except ImportError:
        return 0
    most: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _limit_ourselves() -> None:
    """Set the ceilings for the next document."""
    try:
        import resource  # not on Windows, where only the parent's clock limits us
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = int(usage.ru_utime + usage.ru_stime) + 1 + CPU_SECONDS
    for limit, value in ((resource.RLIMIT_CPU, cpu_seconds), (resource.RLIMIT_AS, MEMORY_BYTES)):
        try:
            resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
        except (ValueError, OSError):  # a lower limit is in force already
            continue
