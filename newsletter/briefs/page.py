"""An HTML page of a brief, or an HTML fragment → lines → the text format's own parser.

Only the text counts: scripts, styles, navigation and hidden parts are dropped, every block
element begins a line, and nothing is fetched. What the page says about itself (title, canonical
link, time, author) comes from its meta tags.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from lxml import etree, html

from newsletter.briefs.attribution import parse_outlets, source_from_furniture
from newsletter.briefs.front_matter import parse_moment
from newsletter.briefs.lexicon import Kind, Lexicon, Line
from newsletter.briefs.model import Brief, Parsed, Source
from newsletter.briefs.normalise import clean_line, decode, fold, plain_line
from newsletter.briefs.text import parse_lines
from newsletter.errors import BriefError
from newsletter.settings import Vocabulary

# fmt: off
_DROPPED = frozenset({
    "script", "style", "noscript", "template", "head", "nav", "aside", "svg", "math", "iframe",
    "object", "embed", "button", "select", "textarea", "canvas", "audio", "video",
})
_BLOCKS = frozenset({
    "address", "article", "blockquote", "body", "br", "caption", "center", "dd", "details",
    "dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "h1", "h2", "h3",
    "h4", "h5", "h6", "header", "hr", "html", "li", "main", "ol", "p", "pre", "section",
    "summary", "table", "tbody", "td", "tfoot", "th", "thead", "title", "tr", "ul",
})
# fmt: on
_MARKUP = re.compile(
    r"\s*<(?:!doctype\s+html|!--|/?(?:html|head|body|article|main|section|div|p|h[1-6]|ul|ol|table"
    r"|script|style)\b[^<>]*>)",
    re.IGNORECASE,
)
_DECLARED = re.compile(rb"<meta[^>]{1,200}?charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_LONGEST_NAME = 1_000
_WEB = re.compile(r"https?://\S+", re.IGNORECASE)


def looks_like_html(text: str) -> bool:
    """Whether a text begins as an HTML document or fragment does."""
    return bool(_MARKUP.match(text))


def parse_page(data: bytes | str, *, vocabulary: Vocabulary, file: str) -> Parsed:
    """Read the brief of a web page.

    Raises `BriefError` for a page that holds none. Line numbers are those of the HTML.
    """
    text = _decode_page(data, file=file) if isinstance(data, bytes) else data
    root = _parse(text, file=file)
    content = _content(root)
    lines = read_html_lines(content, Lexicon(vocabulary))
    if not lines:
        raise BriefError("shows no text", file=file)
    title = _title(root, content, lines)
    parsed = parse_lines(lines, vocabulary=vocabulary, file=file, title=title)
    if len(parsed.briefs) != 1:
        return parsed
    brief = _with_addresses(parsed.briefs[0], content)
    return replace(
        parsed,
        briefs=(
            replace(
                brief,
                link=brief.link or _link(root),
                author=brief.author or _meta(root, "author", "article:author"),
                published_at=brief.published_at or _published_at(root),
            ),
        ),
    )


def parse_fragment(text: str) -> html.HtmlElement:
    """Parse a piece of HTML, such as a feed entry's; raises `BriefError` if it is none."""
    return _content(_parse(text, file="entry"))


def read_html_lines(content: html.HtmlElement, lexicon: Lexicon) -> list[Line]:
    """Read the lines that a browser would show."""
    lines = []
    for number, raw in _shown_lines(content):
        text = clean_line(" ".join(raw.split()))[0]
        # A page has no use for our backslash: there it is a character like any other.
        if line := lexicon.read(number, "\\" + text if text.startswith("\\") else text):
            lines.append(line)
    return lines


def _decode_page(data: bytes, *, file: str) -> str:
    """Decode by byte order mark and UTF-8 as ever, else as the page declares."""
    text, warnings = decode(data, file=file)
    declared = _DECLARED.search(data, 0, 4096)
    if warnings and declared:
        try:
            return data.decode(declared[1].decode("ascii"), errors="replace")
        except (LookupError, UnicodeError):
            return text
    return text


def _parse(text: str, *, file: str) -> html.HtmlElement:
    cleaned = "\n".join(clean_line(line)[0] for line in text.splitlines())
    if not cleaned.strip():
        raise BriefError("is empty", file=file)
    parser = html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True)
    try:
        root = html.document_fromstring(cleaned.encode(), parser=parser)
    except (etree.LxmlError, ValueError):
        raise BriefError("is not HTML that can be read", file=file) from None
    if any(error.type_name == "ERR_RESOURCE_LIMIT" for error in parser.error_log):
        raise BriefError("nests its elements too deeply", file=file)
    return root


def _content(root: html.HtmlElement) -> html.HtmlElement:
    """Give the page's one article, else its main part, else its body, without what is hidden."""
    content = root
    for name in ("article", "main", "body"):
        found = list(root.iter(name))
        if len(found) == 1 and "".join(found[0].itertext()).strip():
            content = found[0]
            break
    content = copy.deepcopy(content)
    etree.strip_elements(
        content, etree.Comment, etree.ProcessingInstruction, *_DROPPED, with_tail=False
    )
    for element in content.xpath(".//*[@hidden]"):
        element.drop_tree()
    return content


def _shown_lines(content: html.HtmlElement) -> Iterator[tuple[int, str]]:
    """Give each run of text between block elements, with its line in the HTML."""
    pieces: list[str] = []
    number = 1
    for event, element in etree.iterwalk(content, events=("start", "end")):
        if element.tag in _BLOCKS and pieces:
            yield number, "".join(pieces)
            pieces = []
        if event == "start":
            text = element.text
        else:
            text = element.tail if element is not content else None
        if text:
            number = number if pieces else element.sourceline or number
            pieces.append(text)
    if pieces:
        yield number, "".join(pieces)


def _title(root: html.HtmlElement, content: html.HtmlElement, lines: list[Line]) -> str:
    """Choose the headline: what the page calls itself and also shows, else what it says."""
    headings = list(content.iter("h1"))
    named = [
        plain_line("".join(headings[0].itertext())) if len(headings) == 1 else "",
        _meta(root, "og:title"),
        plain_line(root.findtext(".//title") or ""),
    ]
    named = [name for name in named if 0 < len(name) <= _LONGEST_NAME]
    shown = {
        fold(line.text)
        for line in lines
        if line.kind is Kind.TEXT and len(line.text) <= _LONGEST_NAME
    }
    for name in named:
        if fold(name) in shown:
            return name
    branded = any(line.kind is Kind.BRAND for line in lines)
    return named[0] if named and not branded else ""


def _meta(root: html.HtmlElement, *names: str) -> str:
    """Give the content of the first meta tag of one of these names."""
    for name in names:
        for tag in root.iter("meta"):
            content = tag.get("content")
            if content and name in {tag.get("name"), tag.get("property"), tag.get("itemprop")}:
                return plain_line(content)
    return ""


def _link(root: html.HtmlElement) -> str:
    canonical = [tag.get("href", "") for tag in root.iter("link") if tag.get("rel") == "canonical"]
    for address in (*canonical, _meta(root, "og:url")):
        if _WEB.fullmatch(address.strip()):
            return plain_line(address)
    return ""


def _published_at(root: html.HtmlElement) -> datetime | None:
    said = [_meta(root, "article:published_time", "datePublished", "date")]
    said += [tag.get("datetime", "") for tag in root.iter("time")]
    for moment in filter(None, said):
        try:
            return parse_moment(moment)
        except ValueError:
            continue
    return None


def _with_addresses(brief: Brief, content: html.HtmlElement) -> Brief:
    """Add to each source the address that the page links its name to."""
    addresses: dict[str, str] = {}
    for anchor in content.iter("a"):
        text, address = "".join(anchor.itertext()), anchor.get("href", "").strip()
        if len(text) <= _LONGEST_NAME and _WEB.fullmatch(address):
            for outlet in source_from_furniture(plain_line(text)) or parse_outlets(text):
                addresses.setdefault(outlet.name.casefold(), plain_line(address))
    sources = (
        Source(name=source.name, url=source.url or addresses.get(source.name.casefold(), ""))
        for source in brief.sources
    )
    return replace(brief, sources=tuple(sources))
