"""Relays that are a folder on this machine: a Maildir, or .eml files.

They keep the two steps of a connection: `prepare` writes the message aside and syncs it,
`finish` renames it into place. The name is made from the Message-ID, so a message that is
handed over twice stands there once, and nothing here is ever in doubt.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path
from typing import Literal

from newsletter.errors import ConfigurationError, ConnectionLost, RelayUnavailable
from newsletter.smtp.protocol import Envelope, LocalProtocolError, Phase, Refused, Reply

_MISCONFIGURED = (PermissionError, FileExistsError, NotADirectoryError)


class Folder:
    """A Maildir (maildir(5)) or a folder of .eml files, taken as a relay."""

    def __init__(self, path: Path, kind: Literal["maildir", "eml"]) -> None:
        self._kind = kind
        self._path = path
        self._aside = path / "tmp" if kind == "maildir" else path
        self._final = path / "new" if kind == "maildir" else path
        self._prepared: tuple[Path, Path] | None = None
        wanted = ("cur", "new", "tmp") if kind == "maildir" else ("",)
        try:
            for name in wanted:
                (path / name).mkdir(parents=True, exist_ok=True)
        except _MISCONFIGURED as error:
            raise ConfigurationError(
                f"{kind}:{path} cannot be made ({error.strerror})",
                field="delivery.relay",
                mend="name a folder that this user may write to",
            ) from None
        except OSError as error:
            raise RelayUnavailable(
                f"{kind}:{path} cannot be made ({error.strerror})",
                mend="mend the disk and run the same command again; nobody was mailed by this try",
            ) from None

    @property
    def usable(self) -> bool:
        """A folder is always ready."""
        return True

    @property
    def window(self) -> int:
        """One at a time: `post` is not for folders."""
        return 1

    @property
    def under_way(self) -> int:
        """None, ever."""
        return 0

    @property
    def answered(self) -> int:
        """None, ever."""
        return 0

    def post(self, envelope: Envelope, content: bytes) -> Refused | None:
        """Refuse: nothing is put into place without `finish`."""
        raise LocalProtocolError("there is no room for another message")

    async def collect(self) -> Reply | Refused:
        """Refuse: nothing is ever under way."""
        raise LocalProtocolError("no message is under way")

    async def prepare(self, envelope: Envelope, content: bytes) -> Refused | None:
        """Write the message aside and sync it."""
        identity = hashlib.sha256(_read_message_id(content) or content).hexdigest()[:24]
        if self._kind == "maildir":
            name = aside = f"{identity}.newsletter"
        else:
            who = re.sub(r"[^A-Za-z0-9@._+-]", "_", envelope.recipient)[:100].lstrip(".")
            name, aside = f"{who}-{identity[:8]}.eml", f".{who}-{identity[:8]}.part"
        self._prepared = (self._aside / aside, self._final / name)
        try:
            with self._prepared[0].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.abort()
            raise RelayUnavailable(
                f"{self._kind}:{self._path} took no message ({error.strerror})",
                mend="mend the folder and run the same command again; nobody gets a second copy",
            ) from None
        return None

    async def finish(
        self, then: Envelope | None = None, *, size_bytes: int = 0, is_last: bool = False
    ) -> Reply:
        """Put the message in its place."""
        if self._prepared is None:
            raise LocalProtocolError("there is no message to end")
        aside, final = self._prepared
        try:
            aside.replace(final)
            _sync_directory(final.parent)
        except OSError as error:
            self.abort()
            raise ConnectionLost(
                f"{self._kind}:{self._path} took no message ({error.strerror})",
                phase=Phase.DOT.value,
                in_doubt=False,  # the next try has the same name, so two copies cannot be
            ) from None
        self._prepared = None
        return Reply(250, (f"2.0.0 {final.name}",))

    async def close(self) -> None:
        """Remove what was prepared and never finished."""
        self.abort()

    def abort(self) -> None:
        """Remove what was prepared and never finished."""
        if self._prepared is not None:
            with contextlib.suppress(OSError):  # the next try overwrites it
                self._prepared[0].unlink()
            self._prepared = None


def _read_message_id(content: bytes) -> bytes:
    headers = content.partition(b"\r\n\r\n")[0]
    found = re.search(rb"^Message-ID:\s*(<[^>\r\n]*>)", headers, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else b""


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
