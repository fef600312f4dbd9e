"""The templates of a single mail → its subject, HTML and plain text, with places for its own words.

A notice is laid out once for each language and filled in for each reader, as an edition is. Of
`notices/KIND.txt.j2` the first line is the subject; `notices/KIND.mjml.j2` is the same as HTML,
by the digest's head and look. What either can use stands in `notices/confirmation.mjml.j2`.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime

from newsletter.editions.model import Edition, Window
from newsletter.errors import TemplateError
from newsletter.render.columns import wrap_text
from newsletter.render.context import build_context, clean_line
from newsletter.render.inline import inline_styles
from newsletter.render.languages import read_language
from newsletter.render.markup import build_html
from newsletter.render.templates import TemplateSet
from newsletter.settings import SHIPPED_LOOK, Look, Publication, Vocabulary

# Of [A-Z0-9] alone, so that it passes escaping, MJML, premailer and addresses unchanged.
_PLACE = "NL5B1D7C0E{name}E"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_NO_EDITION = Edition(
    date=_NEVER.date(),
    window=Window(start=_NEVER, cut_off=_NEVER),
    subject="",
    preheader="",
    briefs=(),
)
"""What the digest's head takes the title of a mail from; a notice has no edition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeForm:
    """A notice laid out in one language, its reader's words still to be filled in."""

    subject: str
    html: str
    plain: str

    def fill(self, values: Mapping[str, str]) -> NoticeForm:
        """Fill in what its templates asked for; an address is left whole in either part."""
        cleaned = {_place(name): clean_line(value) for name, value in values.items()}
        if not cleaned:
            return self
        pattern = re.compile("|".join(map(re.escape, cleaned)))
        return NoticeForm(
            subject=pattern.sub(lambda found: cleaned[found[0]], self.subject),
            html=pattern.sub(lambda found: html.escape(cleaned[found[0]]), self.html),
            plain=pattern.sub(lambda found: cleaned[found[0]], self.plain),
        )


def compile_notice(
    kind: str,
    names: Sequence[str],
    *,
    publication: Publication,
    vocabulary: Vocabulary,
    templates: TemplateSet,
    look: Look = SHIPPED_LOOK,
    picture_hosts: Sequence[str] = (),
) -> dict[str, bytes]:
    """Lay out the notice `kind` in the publication's language; `names` are its own fields.

    Gives the parts of a `NoticeForm` as UTF-8, for `read_form`. Raises `TemplateError` for a
    fault in a template.
    """
    main = templates.find(f"notices/{kind}.mjml.j2")
    plain_name = f"notices/{kind}.txt.j2"
    places = {name: _place(name) for name in names}
    language = read_language(templates.directories, publication.language)

    def run(name: str, edition: Edition) -> str:
        context = build_context(edition, publication=publication, vocabulary=vocabulary, look=look)
        shared = {each.name: getattr(context, each.name) for each in fields(context)}
        return templates.render(
            name,
            {**shared, **places},
            {
                "_": lambda text: language.say(text),
                "ngettext": lambda one, many, number: language.say(one, many, number),
            },
            {"wrap": wrap_text},
        )

    subject, _, plain = run(plain_name, _NO_EDITION).strip().partition("\n")
    if not subject.strip() or not plain.strip():
        raise TemplateError(
            "says nothing",
            file=templates.find(plain_name),
            mend="write the subject into its first line, and the mail below",
        )
    preheader = " ".join(plain.strip().partition("\n\n")[0].split())
    told = replace(_NO_EDITION, subject=clean_line(subject), preheader=clean_line(preheader))
    marked = run(f"notices/{kind}.mjml.j2", told)
    laid_out = build_html(marked, main, picture_hosts=frozenset(picture_hosts))
    try:
        styled = inline_styles(laid_out)
    except ValueError as error:
        raise TemplateError(str(error), file=main) from error
    parts = {"subject": clean_line(subject), "html": styled, "plain": plain.strip() + "\n"}
    return {name: text.encode() for name, text in parts.items()}


def read_form(parts: Mapping[str, bytes]) -> NoticeForm:
    """Read what `compile_notice` gave."""
    return NoticeForm(**{name: data.decode() for name, data in parts.items()})


def _place(name: str) -> str:
    """Name the place where a field's value comes."""
    return _PLACE.format(name=hashlib.sha256(name.encode()).hexdigest()[:12].upper())
