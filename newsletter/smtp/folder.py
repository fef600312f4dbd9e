"""Relays that are a folder on this machine: a Maildir, or .eml files.

They keep the two steps of a connection: `prepare` writes the message aside and syncs it,
`finish` renames it into place. The name is made from the Message-ID, so a message that is
handed over twice stands there once.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Literal

from newsletter.errors import ConnectionLost, RelayUnavailable
from newsletter.smtp.protocol import Envelope, Phase, Refused, Reply


class Folder:
    """A Maildir (maildir(5)) or a folder of .eml files, taken as a relay."""

    def __init__(self, path: Path, kind: Literal["maildir", "eml"]) -> None:
        self._kind = kind
        self._aside = path / "tmp" if kind == "maildir" else path
        self._final = path / "new" if kind == "maildir" else path
        self._prepared: tuple[Path, Path] | None = None
        wanted = ("cur", "new", "tmp") if kind == "maildir" else ("",)
        try:
            for name in wanted:
                (path / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RelayUnavailable(f"{kind}:{path} cannot be made ({error.strerror})") from None

    @property
    def usable(self) -> bool:
        """A folder is always ready."""
        return True

    async def prepare(self, envelope: Envelope, content: bytes) -> Refused | None:
        """Write the message aside and sync it."""
        identity = hashlib.sha256(_message_id(content) or content).hexdigest()[:24]
        if self._kind == "maildir":
            name, aside = f"{identity}.newsletter", f"{identity}.newsletter"
        else:
            who = re.sub(r"[^A-Za-z0-9@._+-]", "_", envelope.recipient)[:100]
            name, aside = f"{who}-{identity[:8]}.eml", f".{who}-{identity[:8]}.part"
        self._prepared = (self._aside / aside, self._final / name)
        try:
            with self._prepared[0].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RelayUnavailable(
                f"{self._kind}:{self._aside} refused a message ({error.strerror})",
                mend="mend the folder and run the same command again; nobody gets a second copy",
            ) from None
        return None

    async def finish(self) -> Reply:
        """Put the message in its place."""
        if self._prepared is None:
            raise ConnectionLost("nothing is prepared", phase=Phase.DOT.value, in_doubt=False)
        aside, final = self._prepared
        self._prepared = None
        try:
            aside.replace(final)
            _sync_directory(final.parent)
        except OSError as error:
            raise ConnectionLost(
                f"{self._kind}:{self._final} refused a message ({error.strerror})",
                phase=Phase.DOT.value,
                in_doubt=False,
            ) from None
        return Reply(250, (f"2.0.0 {final.name}",))

    async def close(self) -> None:
        """Remove what was prepared and never finished."""
        self.abort()

    def abort(self) -> None:
        """Remove what was prepared and never finished."""
        if self._prepared is not None:
            self._prepared[0].unlink(missing_ok=True)
            self._prepared = None


def _message_id(content: bytes) -> bytes:
    found = re.search(rb"^Message-ID:[ \t]*(<[^>\r\n]*>)", content, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else b""


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
