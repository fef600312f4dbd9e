"""What an edition says, as a set: HTML, plain text and web pages must all say the same.

A fact is a piece of text that a template shows whole: a title, a paragraph, a label, a caveat.
Which of them a document shows is read from the document, never from what its templates were
meant to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from lxml import html as lxml_html

from newsletter.render.context import BriefView, Context, EditionView, PictureView
from newsletter.render.languages import Language
from newsletter.render.words import count_words

ENGLISH = Language()

WHOLE = 0
"""What stands for a brief's number in a fact that the edition says, and no brief of it."""

_UNSEEN = (
    "//script|//style|//template|//title|//head|//*[@hidden]"
    "|//*[contains(translate(@style, ' ', ''), 'display:none')]"
)


class Fact(NamedTuple):
    """A piece of text, and the number of the brief that says it; `WHOLE` for what none says."""

    brief: int
    text: str


def list_facts(context: Context, language: Language = ENGLISH) -> frozenset[Fact]:
    """Give everything that an edition says: note, corrections and sponsor, and the briefs.

    Their sources' names are among it, those of who else reported it, and what pictures show in
    words.

    Labels are the publication's words, and are said in the language of the interface.
    """
    facts = {
        Fact(brief.number, text)
        for brief in context.edition.briefs
        for text in (
            *_read(brief, language),
            *(source.name for source in brief.sources),
            *(report.name for report in brief.also),
            *_read_picture(brief.picture),
        )
    }
    facts |= {Fact(WHOLE, text) for text in _read_whole(context.edition)}
    return frozenset(fact for fact in facts if fact.text)


def count_edition_words(briefs: Iterable[BriefView]) -> int:
    """Count what there is to read in briefs; mastheads, sources and footers are not reading."""
    return sum(count_words(text) for brief in briefs for text in _read(brief, ENGLISH))


def find_facts(facts: frozenset[Fact], text: str) -> frozenset[Fact]:
    """Find the facts that a document's text shows; how its lines are broken does not matter."""
    shown = _squeeze(text)
    return frozenset(fact for fact in facts if _squeeze(fact.text) in shown)


def find_facts_on_page(facts: frozenset[Fact], html: str) -> frozenset[Fact]:
    """Find the facts that a page of the web copy shows, each in the article of its own brief.

    What no brief says is looked for outside of them.
    """
    tree = _parse_seen(html)
    shown: set[Fact] = set()
    for article in tree.xpath("//article[starts-with(@id, 'brief-')]"):
        number = int(article.get("id").removeprefix("brief-"))
        own = frozenset(fact for fact in facts if fact.brief == number)
        shown |= find_facts(own, str(article.text_content()))
        article.drop_tree()
    whole = frozenset(fact for fact in facts if fact.brief == WHOLE)
    return frozenset(shown) | find_facts(whole, str(tree.text_content()))


def read_text(html: str) -> str:
    """Give the text that a browser shows of an HTML document, with the words for its pictures."""
    return str(_parse_seen(html).text_content())


def _read(brief: BriefView, language: Language) -> Iterable[str]:
    yield from (brief.title, *brief.summary, *brief.why)
    if brief.since:
        yield brief.since.text or brief.since.title
    for point in brief.points:
        yield from (language.say(point.label), *point.text)
    for lens in (*brief.lenses, *brief.silent):
        yield from (language.say(lens.name), *lens.text, language.say(lens.caveat))


def _read_whole(edition: EditionView) -> Iterable[str]:
    if note := edition.note:
        yield from (note.heading, *note.text, note.by)
    if sponsor := edition.sponsor:
        yield from (sponsor.name, *sponsor.text, *_read_picture(sponsor.picture))
    for correction in edition.corrections:
        yield from (correction.title, *correction.text)
    for watched in edition.watching:
        yield from (watched.title, *watched.text, watched.news)


def _read_picture(picture: PictureView | None) -> Iterable[str]:
    if picture:
        yield from (picture.alt, picture.caption, picture.credit)


def _parse_seen(html: str) -> lxml_html.HtmlElement:
    """Parse a document without what is not seen; pictures are their words."""
    tree = _parse(html)
    for element in tree.xpath(_UNSEEN):
        if element.getparent() is not None:
            element.drop_tree()
    for image in tree.iter("img"):
        image.tail = f" {image.get('alt', '')} {image.tail or ''}"
    return tree


def _parse(html: str) -> lxml_html.HtmlElement:
    parser = lxml_html.HTMLParser(encoding="utf-8")
    return lxml_html.document_fromstring(html.encode(), parser=parser)


def _squeeze(text: str) -> str:
    """Drop all white space: wrapping must not matter to a comparison."""
    return re.sub(r"\s+", "", text)
