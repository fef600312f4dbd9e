"""One reader's copy, decoded: what every check looks at, from the very bytes that are mailed.

Checks are functions over a `Mail`, and judge what a client would get of it, never what the
templates were meant to do. Outlook on Windows reads another document than everybody else,
since Word obeys conditional comments; `outlook` is that one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from lxml import html as lxml_html

from newsletter.audience.reader import Detail
from newsletter.render.addresses import read_directly
from newsletter.render.compiled import SLOTS, CompiledEdition
from newsletter.render.context import BriefView, Context
from newsletter.render.preflight.conditional import show_to_outlook
from newsletter.render.preflight.report import Verdict
from newsletter.render.preview import decode_part
from newsletter.render.selection import Selection

_TOKEN_CHARACTERS = 43  # as long as a signed link's token really is
_NOT_SAID = frozenset(
    (
        *("date", "date_text", "subject", "preheader", "briefs", "sections", "left_out"),
        "disclosure",
        *("url", "link", "alt", "width", "height"),
        *("key", "kind", "outcome", "topics"),
    )
)
"""Fields of an edition, and of what stands in one, that are no text to be shown as it is."""
_UNSEEN = (
    ".//*[self::style or self::script or self::title or self::head or self::template]"
    "|.//*[contains(translate(@style, ' ', ''), 'display:none')]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A copy for a made-up reader, and the data that it was laid out from."""

    context: Context
    compiled: CompiledEdition
    values: Mapping[str, str]
    """What its slots say."""
    selection: Selection
    """Which briefs it has and how much of each."""
    minutes: int
    """The reading time that this reader asked for; 0: as long as it takes."""
    source: str
    """The HTML."""
    tree: lxml_html.HtmlElement
    """The HTML as most clients read it; a link that is counted is judged by where it leads."""
    seen: str
    """Its text that is shown, without white space: wrapping must not matter to a comparison."""
    outlook: str
    """The HTML as Outlook on Windows reads it; "" if its conditions cannot be told apart."""
    plain: str
    """The plain text."""
    picture_hosts: frozenset[str]
    """Where the publication has its pictures; a mail loads nothing else."""
    web: str | None
    """The edition's page on the web as HTML, where there is one."""

    @property
    def shown(self) -> tuple[tuple[BriefView, Detail], ...]:
        """The briefs that this copy has, in order, and how much of each."""
        pairs = zip(self.context.edition.briefs, self.selection.forms, strict=True)
        return tuple((brief, form) for brief, form in pairs if form)

    @property
    def briefs(self) -> tuple[BriefView, ...]:
        """The briefs that this copy has in some form, in order."""
        return tuple(brief for brief, _ in self.shown)

    def say(self, text: str) -> str:
        """Say words of the interface in this copy's language."""
        return self.selection.language.say(text) if text else ""


Check = tuple[int, str, Callable[[Mail], Verdict]]
"""Number, name, function."""


def read_mail(
    context: Context,
    compiled: CompiledEdition,
    *,
    values: Mapping[str, str],
    selection: Selection,
    minutes: int = 0,
    picture_hosts: frozenset[str] = frozenset(),
    web: str | None = None,
) -> Mail:
    """Decode a copy."""
    return build_mail(
        context,
        compiled,
        source=decode_part(compiled.html, values, selection),
        plain=decode_part(compiled.plain, values, selection),
        values=values,
        selection=selection,
        minutes=minutes,
        picture_hosts=picture_hosts,
        web=web,
    )


def build_mail(
    context: Context,
    compiled: CompiledEdition,
    *,
    source: str,
    plain: str,
    values: Mapping[str, str],
    selection: Selection,
    minutes: int = 0,
    picture_hosts: frozenset[str] = frozenset(),
    web: str | None = None,
) -> Mail:
    """Read what was decoded in every way that the checks need."""
    root = context.publication.url
    tree = parse_html(read_directly(source, root))
    return Mail(
        context=context,
        compiled=compiled,
        values=values,
        selection=selection,
        minutes=minutes,
        source=source,
        tree=tree,
        seen=squeeze(read_seen(tree)),
        outlook=show_to_outlook(source),
        plain=read_directly(plain, root),
        picture_hosts=picture_hosts,
        web=web,
    )


def sample_values(url: str, edition: str) -> dict[str, str]:
    """Make up what the slots of a reader of an edition say, links as long as real ones."""
    token = "x" * _TOKEN_CHARACTERS
    values = {name: f"{url}/{name}/{token}" for name in SLOTS if name.endswith("_url")}
    reader = {"name": "Reader", "email": "reader@example.com"}
    return values | reader | {"web_url": f"{url}/editions/{edition}"}


def parse_html(source: str) -> lxml_html.HtmlElement:
    """Parse a document, whatever it says about its own encoding."""
    parser = lxml_html.HTMLParser(encoding="utf-8")
    return lxml_html.document_fromstring(source.encode(), parser=parser)


def read_seen(tree: lxml_html.HtmlElement) -> str:
    """Read the text that is shown: no styles, no title, nothing hidden."""
    hidden = set(tree.xpath(_UNSEEN))

    def read(element: lxml_html.HtmlElement) -> Iterator[str]:
        if isinstance(element.tag, str) and element not in hidden:
            yield element.text or ""
            for child in element:
                yield from read(child)
                yield child.tail or ""

    return "".join(read(tree))


def squeeze(text: str) -> str:
    """Drop all white space."""
    return re.sub(r"\s+", "", text)


def list_facts(mail: Mail) -> Iterator[str]:
    """List everything that this copy has to say, whatever the format.

    What an edition has besides its briefs (a note, corrections and the like) is said, unless it
    stands in a block that this reader does not get.
    """
    for field in fields(mail.context.edition):
        if field.name not in _NOT_SAID:
            yield from _list_texts(getattr(mail.context.edition, field.name), mail.selection)
    for brief, form in mail.shown:
        yield from (source.name for source in brief.sources)
        if form != "one-line":
            yield from (report.name for report in brief.also_named)
    yield from list_reading(mail)


def list_beside(mail: Mail) -> Iterator[str]:
    """List what there is to read in this copy besides briefs; what is paid for is no reading."""
    edition = mail.context.edition
    yield from _list_texts((edition.note, edition.corrections, edition.watching), mail.selection)


def list_reading(mail: Mail) -> Iterator[str]:
    """List what there is to read in this copy's briefs; whose reporting it is is no reading."""
    for brief, form in mail.shown:
        yield brief.title
        if form == "one-line":
            yield brief.gist
            continue
        if brief.since:
            yield brief.since.text or brief.since.title
        yield from (*brief.summary, *brief.why)
        points = brief.points if form == "full" else filter(None, (brief.watch,))
        for point in points:
            yield from (mail.say(point.label), *point.text)
        if form == "full":
            for lens in (*brief.lenses, *brief.silent):
                if mail.selection.wants(lens.key):
                    yield from (mail.say(lens.name), *lens.text, mail.say(lens.caveat))


def _list_texts(value: Any, selection: Selection) -> Iterator[str]:
    """List the texts in a field, and in what stands in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _list_texts(each, selection)
    elif is_dataclass(value) and selection.wants(getattr(value, "key", "")):
        for inner in fields(value):
            if inner.name not in _NOT_SAID:
                yield from _list_texts(getattr(value, inner.name), selection)
