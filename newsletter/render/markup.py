"""MJML into HTML: judged first (`lint`), since the compiler says little about what it drops."""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

from mjml import mjml2html

from newsletter.errors import TemplateError
from newsletter.render.lint import lint
from newsletter.render.origin import Source

_TAG = re.compile(r"<[A-Za-z][^<>]*>")
_RISKY = re.compile(r"[\\\x7f-\U0010ffff]")
_REFERENCE = re.compile(r"&#\d+;")


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
        text = re.sub(r"(?<=>)[ \t](?=\s*</?mj)", "\n", _spell_out(source.text))
        html: str = mjml2html(text, fonts={}, disable_comments=False)
    except ValueError as error:
        file, line = main, None
        if at := re.search(r"position (\d+)", str(error)):
            before = text.encode()[: int(at[1])].decode(errors="ignore")  # it counts bytes
            place = source.place(len(_REFERENCE.sub("&", before)))
            file, line = place.file, place.line
        raise TemplateError(f"MJML cannot be compiled ({error})", file=file, line=line) from error
    return html


def _spell_out(markup: str) -> str:
    """Write what is not plain ASCII in attributes as references.

    The compiler prints attributes as Rust prints strings for programmers: a backslash twice, and
    accents that combine, vowel signs and what it knows no glyph for by their numbers.
    """

    def spell(tag: re.Match[str]) -> str:
        return _RISKY.sub(lambda found: f"&#{ord(found[0])};", tag[0])

    return _TAG.sub(spell, markup)
