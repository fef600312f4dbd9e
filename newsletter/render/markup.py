"""MJML into HTML: judged first (`lint`), since the compiler says little about what it drops."""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

from mjml import mjml2html

from newsletter.errors import TemplateError
from newsletter.render.lint import lint
from newsletter.render.origin import Source


def build_html(marked: str, main: Path, *, picture_hosts: Set[str] = frozenset()) -> str:
    """Compile rendered MJML that carries source marks; `main` is the template that it is of.

    Raises `TemplateError` for what `lint` finds, all of it in `problems`, and for whatever the
    compiler refuses. Pictures may come from `picture_hosts` alone.
    """
    source = Source.read(marked, main)
    if problems := lint(source, picture_hosts=picture_hosts):
        raise TemplateError.of(problems)
    try:
        # The compiler takes blanks between two tags of the head only if a newline comes first;
        # fonts={}, or it adds links to a foreign font host.
        text = re.sub(r"(?<=>)[ \t](?=\s*</?mj)", "\n", source.text)
        html: str = mjml2html(text, fonts={}, disable_comments=False)
    except ValueError as error:
        file, line = main, None
        if at := re.search(r"position (\d+)", str(error)):
            before = source.text.encode()[: int(at[1])]  # the compiler counts bytes
            place = source.place(len(before.decode(errors="ignore")))
            file, line = place.file, place.line
        raise TemplateError(f"MJML cannot be compiled ({error})", file=file, line=line) from error
    return html
