"""An SMTP server in a process of its own that keeps the truth: what it really accepted.

It appends a line to a file, durably for a reader of the file, before it answers 250. It goes on
when a sender is killed, and knows nothing of the sender's ledger.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, Envelope


class Sink:
    """Run the sink while the `with` block lasts."""

    def __init__(self, folder: Path, *, keep_messages: bool = False) -> None:
        self._log = folder / "accepted.jsonl"
        self._messages = folder / "messages" if keep_messages else None
        self.port = 0

    def __enter__(self) -> Self:
        if self._messages:
            self._messages.mkdir()
        self._log.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.sink", self._log, self._messages or ""],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    @property
    def accepted(self) -> Counter[str]:
        """Copies accepted, by recipient."""
        lines = self._log.read_text().splitlines()
        return Counter(json.loads(line)["recipient"] for line in lines)

    @property
    def senders(self) -> list[str]:
        """The envelope senders, in order."""
        lines = self._log.read_text().splitlines()
        return [json.loads(line)["sender"] for line in lines]

    @property
    def messages(self) -> dict[str, bytes]:
        """The bytes each recipient got."""
        assert self._messages is not None
        return {path.name: path.read_bytes() for path in self._messages.iterdir()}

    def wait_for(self, count: int, seconds: float) -> bool:
        """Wait until so many were accepted; False when the time is over first."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self._log.open("rb") as file:
                if sum(1 for _ in file) >= count:
                    return True
            time.sleep(0.002)
        return False


class _Handler:
    def __init__(self, log: Path, messages: Path | None) -> None:
        self._log = log.open("a", buffering=1)
        self._messages = messages

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_DATA(  # noqa: N802 - aiosmtpd finds its hooks by the verb's name
        self, server: SMTP, session: Any, envelope: Envelope
    ) -> str:
        for recipient in envelope.rcpt_tos:
            if self._messages:
                (self._messages / recipient).write_bytes(bytes(envelope.original_content or b""))
            self._log.write(
                json.dumps({"recipient": recipient, "sender": envelope.mail_from}) + "\n"
            )
        return "250 2.0.0 Kept"


async def _serve(log: Path, messages: Path | None) -> None:
    handler = _Handler(log, messages)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, enable_SMTPUTF8=True, ident="sink"), "127.0.0.1", 0
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2] else None))
