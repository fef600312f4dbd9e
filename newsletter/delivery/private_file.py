"""Files that hold a secret: read only where nobody else can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from newsletter.errors import ConfigurationError


def read_private(file: Path, *, field: str) -> bytes:
    """Read a file that its owner alone may read; `field` is the setting that names it.

    Raises `ConfigurationError` for one that cannot be read, or can be by others.
    """
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            data = opened.read()
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read ({error.strerror})", file=file, field=field
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            "can be read by others", file=file, field=field, mend=f"run `chmod 600 {file}`"
        )
    return data
