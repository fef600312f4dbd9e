"""What the system says when it refuses a file, in one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from newsletter.errors import NewsletterError, RefusedError, StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn a refusal to write below `path` into one sentence about it."""
    try:
        yield
    except OSError as error:
        raise build_write_error(path, error) from None


def build_write_error(path: Path, error: OSError) -> NewsletterError:
    """Say that a path that was named cannot be written."""
    problem = f"cannot be written ({error.strerror})"
    if error.errno in _FULL:
        return StorageError(problem, file=path, mend="free some space and try again")
    return RefusedError(problem, file=path, mend="name a place that can be written")


def build_system_error(error: OSError) -> NewsletterError:
    """Say what the system refused where nobody knows more; standard output has no name."""
    problem = f"the system refused ({error.strerror or error})"
    if error.errno in _FULL:
        return StorageError(problem, file=error.filename, mend="free some space and try again")
    return NewsletterError(problem, file=error.filename)
