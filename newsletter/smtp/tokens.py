"""OAuth access tokens for a login, from a command of the operator's (RFC 6750).

How a token is had differs from provider to provider and changes; a program that asks for one,
such as a provider's own or a script around its refresh token, is what stays the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from newsletter.errors import ConfigurationError, RelayUnavailable

MAX_TOKEN_BYTES = 8000  # what still fits into a line of AUTH (RFC 4954 §4)
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1
_DRAIN_SECONDS = 1.0
_FIELD = "delivery.token_command"
_LATER = "run it by hand to see why; nobody was mailed by this try"


class TokenCommand:
    """Runs the command, and keeps the token that it printed until a relay refuses it.

    Its connections share one token. Nothing of what it printed is ever shown.
    """

    def __init__(
        self, command: Sequence[str], *, directory: Path = Path(), seconds: float = 30
    ) -> None:
        """Take the program and its arguments; no shell. It is run in `directory`."""
        self._command, self._directory, self._seconds = tuple(command), directory, seconds
        self._token = ""
        self._lock = asyncio.Lock()

    async def fetch(self, *, refused: str = "") -> str:
        """Give the token at hand, or a new one if that is the one that was `refused`.

        Raises `ConfigurationError` or `RelayUnavailable`.
        """
        async with self._lock:
            if not self._token or self._token == refused:
                self._token = await self._run()
            return self._token

    async def _run(self) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, cwd=self._directory
            )
        except OSError as error:
            raise ConfigurationError(
                f"{self._command[0]} cannot be run ({os.strerror(error.errno or 0)})",
                field=_FIELD,
                mend="name a program and its arguments",
            ) from None
        try:
            async with asyncio.timeout(self._seconds):
                printed = await _read(process)
                status = await process.wait()
        except TimeoutError:
            problem = f"{self._command[0]} did not end within {self._seconds:g} s"
            raise RelayUnavailable(problem, field=_FIELD, mend=_LATER) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await _drain(process)
            await process.wait()
        if status != 0:
            problem = f"{self._command[0]} failed (exit status {status})"
            raise RelayUnavailable(problem, field=_FIELD, mend=_LATER)
        token = printed.strip()
        if not _TOKEN.fullmatch(token) or len(token) > MAX_TOKEN_BYTES:
            raise ConfigurationError(
                f"{self._command[0]} printed no access token",
                field=_FIELD,
                mend="let it print the token and nothing else",
            )
        return token.decode()


async def _read(process: Process) -> bytes:
    """Read to the end, or to what is too much in any case."""
    assert process.stdout is not None
    printed = b""
    while len(printed) <= 2 * MAX_TOKEN_BYTES and (more := await process.stdout.read(4096)):
        printed += more
    if len(printed) > 2 * MAX_TOKEN_BYTES:
        process.kill()
        await _drain(process)  # else asyncio would not tell us that it ended
    return printed


async def _drain(process: Process) -> None:
    """Read what is left: only at its end does asyncio close the pipe."""
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError):  # a child of the command's may hold it open
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await process.stdout.read(65536):
                pass
