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

from newsletter.render.context import BriefView, Context
from newsletter.render.languages import Language
from newsletter.render.words import count_words

ENGLISH = Language()

_UNSEEN = "//script|//style|//template|//title|//head"


class Fact(NamedTuple):
    """A piece of text, and the number of the brief that says it."""

    brief: int
    text: str


def list_facts(context: Context, language: Language = ENGLISH) -> frozenset[Fact]:
    """Give everything that the briefs of an edition say, their sources' names among it.

    Labels are the publication's words, and are said in the language of the interface.
    """
    return frozenset(
        Fact(brief.number, text)
        for brief in context.edition.briefs
        for text in (*_read(brief, language), *(source.name for source in brief.sources))
        if text
    )


def count_edition_words(briefs: Iterable[BriefView]) -> int:
    """Count what there is to read in briefs; mastheads, sources and footers are not reading."""
    return sum(count_words(text) for brief in briefs for text in _read(brief, ENGLISH))


def find_facts(facts: frozenset[Fact], text: str) -> frozenset[Fact]:
    """Find the facts that a document's text shows; how its lines are broken does not matter."""
    shown = _squeeze(text)
    return frozenset(fact for fact in facts if _squeeze(fact.text) in shown)


def find_facts_on_page(facts: frozenset[Fact], html: str) -> frozenset[Fact]:
    """Find the facts that a page of the web copy shows, each in the article of its own brief."""
    shown: set[Fact] = set()
    for article in _parse(html).xpath("//article[starts-with(@id, 'brief-')]"):
        number = int(article.get("id").removeprefix("brief-"))
        own = frozenset(fact for fact in facts if fact.brief == number)
        shown |= find_facts(own, str(article.text_content()))
    return frozenset(shown)


def read_text(html: str) -> str:
    """Give the text that a browser shows of an HTML document."""
    tree = _parse(html)
    for element in tree.xpath(_UNSEEN):
        element.drop_tree()
    return str(tree.text_content())


def _read(brief: BriefView, language: Language) -> Iterable[str]:
    yield from (brief.title, *brief.summary, *brief.why)
    for point in brief.points:
        yield from (language.say(point.label), *point.text)
    for lens in (*brief.lenses, *brief.silent):
        yield from (language.say(lens.name), *lens.text, language.say(lens.caveat))


def _parse(html: str) -> lxml_html.HtmlElement:
    parser = lxml_html.HTMLParser(encoding="utf-8")
    return lxml_html.document_fromstring(html.encode(), parser=parser)


def _squeeze(text: str) -> str:
    """Drop all white space: wrapping must not matter to a comparison."""
    return re.sub(r"\s+", "", text)
