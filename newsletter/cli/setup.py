"""Starting out: init."""

from __future__ import annotations

import os
import secrets
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from newsletter.cli.session import Session
from newsletter.errors import RefusedError

_FILES = ("newsletter.toml", "subscribers.csv", "briefs/welcome.txt", "notes/example.md")
_TEMPLATES_NOTE = """\
A file here comes before the shipped template of the same name. To change one part, copy it
from the shipped templates (`partials/…`) to the same place here, and edit the copy;
`newsletter preview` shows what it does.
"""


def init(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make or to fill.")],
) -> None:
    """Make a publication to start from: settings, a key, a sample brief, one reader."""
    session: Session = ctx.obj
    taken = [name for name in (*_FILES, ".env") if (directory / name).exists()]
    if taken:
        raise RefusedError(
            f"{directory / taken[0]} exists already", mend="name an empty folder, or remove it"
        )
    try:
        for name in _FILES:
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with as_file(files("newsletter.cli") / "starter" / name) as source:
                target.write_bytes(source.read_bytes())
        (directory / "templates").mkdir(exist_ok=True)
        (directory / "templates" / "README.txt").write_text(_TEMPLATES_NOTE, encoding="utf-8")
        _write_key(directory / ".env")
    except OSError as error:
        raise RefusedError(
            f"cannot be made ({error.strerror})", file=directory, mend="name another folder"
        ) from None
    session.out.print(
        f"Made a publication in {escape(str(directory))}. Next:\n"
        f"  cd {escape(str(directory))}\n"
        "  newsletter subscribers import subscribers.csv\n"
        "  newsletter preview --open\n"
        "  newsletter send            (into the folder outbox, until you name a relay)",
        soft_wrap=True,
    )


def _write_key(path: Path) -> None:
    """Write the signing key, readable by its owner alone."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"NEWSLETTER_SECRET_KEY={secrets.token_urlsafe(32)}\n")
