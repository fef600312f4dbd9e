"""What must hold of a mail before anyone gets it; long because it is a list, a function a check.

The numbers are those of the preflight report; a number that is missing needs a browser.
Each check decodes what will be mailed and says what it found, never what the templates were
meant to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from lxml import html as lxml_html

from newsletter.audience.reader import Choices, Detail
from newsletter.editions.model import Edition
from newsletter.render.columns import COLUMNS, count_columns
from newsletter.render.compiled import SLOTS, Begin, CompiledEdition, End, Part
from newsletter.render.context import BriefView, Context, build_context
from newsletter.render.preview import decode_part
from newsletter.render.selection import MAX_HTML_BYTES, Selection, Selector
from newsletter.settings import Publication, Vocabulary

Status = Literal["pass", "warn", "fail", "skip"]

LARGE_HTML_BYTES = 80_000
MAX_STYLE_BYTES = 12_000
PREHEADER_LENGTH = (40, 110)

_EMPTY_LINKS = frozenset(
    ("", "click", "click here", "continue", "here", "link", "more", "read more", "read on", "this")
)
_ACTIVE = "//script|//iframe|//object|//embed|//form|//input|//applet|//base|//svg"
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LOADING = ("src", "srcset", "background", "poster", "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check. `mend` says what to do about it, "" if nothing."""

    number: int
    name: str
    status: Status
    detail: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class _Verdict:
    status: Status
    detail: str
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mail:
    """A mail to a made-up reader, decoded, and the data that it was laid out from."""

    context: Context
    compiled: CompiledEdition
    selection: Selection
    source: str
    tree: lxml_html.HtmlElement
    plain: str
    values: dict[str, str]


_Check = Callable[[_Mail], _Verdict]
_CHECKS: list[tuple[int, str, _Check]] = []


def check_edition(
    edition: Edition,
    compiled: CompiledEdition,
    *,
    publication: Publication,
    vocabulary: Vocabulary,
) -> tuple[Finding, ...]:
    """Check a compiled edition against the edition as printed; reads nothing but its arguments."""
    values = {name: f"{publication.url}/{name}" if "url" in name else "9" for name in SLOTS}
    values |= {"name": "Reader", "email": "reader@example.com"}
    selection = Selector(compiled).select(Choices())
    source = decode_part(compiled.html, values, selection)
    mail = _Mail(
        context=build_context(edition, publication=publication, vocabulary=vocabulary),
        compiled=compiled,
        selection=selection,
        source=source,
        tree=lxml_html.document_fromstring(source.encode(), parser=_parser()),
        plain=decode_part(compiled.plain, values, selection),
        values=values,
    )
    findings = []
    for number, name, check in _CHECKS:
        verdict = check(mail)
        findings.append(
            Finding(
                number=number,
                name=name,
                status=verdict.status,
                detail=verdict.detail,
                mend=verdict.mend,
            )
        )
    return tuple(findings)


def _parser() -> lxml_html.HTMLParser:
    return lxml_html.HTMLParser(encoding="utf-8")


def _check(number: int, name: str) -> Callable[[_Check], _Check]:
    def register(check: _Check) -> _Check:
        _CHECKS.append((number, name, check))
        return check

    return register


def _judge(faults: list[str], good: str, mend: str, *, status: Status = "fail") -> _Verdict:
    """Pass without faults, else name the first few of them."""
    if not faults:
        return _Verdict("pass", good)
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    return _Verdict(status, "; ".join(faults[:3]) + more, mend)


def _squeeze(text: str) -> str:
    """Drop all white space: wrapping must not matter to a comparison."""
    return re.sub(r"\s+", "", text)


def _wrapper(mail: _Mail) -> lxml_html.HtmlElement | None:
    found = mail.tree.xpath("//body/*[@role='article']")
    return found[0] if found else None


@_check(1, "doctype")
def _doctype(mail: _Mail) -> _Verdict:
    faults = [] if mail.source[:15].lower() == "<!doctype html>" else ["it is missing"]
    return _judge(faults, "standards mode", "begin digest.mjml.j2 with <mjml>")


@_check(2, "language and direction")
def _language(mail: _Mail) -> _Verdict:
    wanted = (mail.context.publication.language, mail.context.publication.direction)
    faults = [
        f"{place} has lang={element.get('lang')} dir={element.get('dir')}"
        for place, element in (("html", mail.tree), ("the wrapper", _wrapper(mail)))
        if element is not None and (element.get("lang"), element.get("dir")) != wanted
    ]
    return _judge(faults, " ".join(wanted), "set lang and dir on <mjml>")


@_check(3, "title and label")
def _title(mail: _Mail) -> _Verdict:
    wrapper = _wrapper(mail)
    faults = []
    if (mail.tree.findtext(".//title") or "").strip() != mail.compiled.subject:
        faults.append("the title is not the subject")
    if wrapper is None or not wrapper.get("aria-label"):
        faults.append("no element with role=article and a label")
    return _judge(faults, mail.compiled.subject, "put the subject into <mj-title>")


@_check(4, "headings")
def _headings(mail: _Mail) -> _Verdict:
    found = [
        (int(heading.tag[1]), _squeeze(heading.text_content()))
        for heading in mail.tree.xpath("//h1|//h2|//h3|//h4|//h5|//h6")
    ]
    levels = [level for level, _ in found]
    faults = [] if levels.count(1) == 1 else [f"{levels.count(1)} headings of level 1"]
    faults += [
        f"level {after} follows level {before}"
        for before, after in zip([0, *levels], levels, strict=False)
        if after > before + 1
    ]
    titles = {text for level, text in found if level == 2}
    faults += [
        f"no heading for {brief.title[:40]!r}"
        for brief, form in _shown(mail)
        if form != "one-line" and _squeeze(brief.title) not in titles
    ]
    return _judge(faults, f"{len(found)} headings in order", "one h1, and an h2 for each brief")


@_check(5, "layout tables")
def _tables(mail: _Mail) -> _Verdict:
    tables = mail.tree.xpath("//table")
    bare = [t for t in tables if t.get("role") != "presentation"]
    faults = [f"{len(bare)} of {len(tables)} tables without role=presentation"] if bare else []
    return _judge(faults, f"{len(tables)} tables", 'write <table role="presentation">')


@_check(6, "pictures have words")
def _pictures(mail: _Mail) -> _Verdict:
    pictures = mail.tree.xpath("//img")
    faults = [
        f"a picture with alt={picture.get('alt')!r}"
        for picture in pictures
        if picture.get("alt") is None
        or re.search(r"\.(?:png|jpe?g|gif|webp)$", picture.get("alt", ""), re.IGNORECASE)
    ]
    return _judge(faults, f"{len(pictures)} pictures", "say in alt what the picture says")


@_check(11, "light and dark")
def _schemes(mail: _Mail) -> _Verdict:
    metas = {meta.get("name"): meta.get("content") for meta in mail.tree.xpath("//meta[@name]")}
    style = "".join(mail.tree.xpath("//style/text()"))
    faults = [
        f"no meta {name}"
        for name in ("color-scheme", "supported-color-schemes")
        if metas.get(name) != "light dark"
    ]
    if not re.search(r":root\s*{[^}]*color-scheme:\s*light dark", style):
        faults.append("no :root rule")
    if "prefers-color-scheme: dark" not in style or "[data-ogsc]" not in style:
        faults.append("no dark rules")
    return _judge(faults, "declared and designed", "keep partials/head.mjml.j2", status="warn")


@_check(16, "size of the HTML")
def _size(mail: _Mail) -> _Verdict:
    size = len(mail.source.encode())
    detail = f"{size:,} bytes of {MAX_HTML_BYTES:,}"
    if size > LARGE_HTML_BYTES:
        mend = "lower edition.max_briefs, or shorten the briefs"
        return _Verdict("fail" if size > MAX_HTML_BYTES else "warn", detail, mend)
    return _Verdict("pass", detail)


@_check(17, "size of the styles")
def _styles(mail: _Mail) -> _Verdict:
    size = sum(len(css.encode()) for css in mail.tree.xpath("//style/text()"))
    detail = f"{size:,} bytes of {MAX_STYLE_BYTES:,}"
    if size > MAX_STYLE_BYTES:
        return _Verdict("fail", detail, "shorten the rules in <mj-style>")
    return _Verdict("pass", detail)


@_check(18, "links say where they go")
def _link_texts(mail: _Mail) -> _Verdict:
    links = mail.tree.xpath("//a")
    texts = (" ".join(link.text_content().split()).strip(" .…>→").lower() for link in links)
    faults = [f"a link says {text!r}" for text in texts if text in _EMPTY_LINKS]
    return _judge(faults, f"{len(links)} links", "name the page that the link leads to")


@_check(24, "preheader")
def _preheader(mail: _Mail) -> _Verdict:
    text = mail.compiled.preheader
    hidden = mail.tree.xpath("//body/*[1][contains(@style, 'display:none')]")
    if not hidden or not hidden[0].text_content().startswith(text):
        return _Verdict("fail", "it is not the first thing in the body", "keep <mj-preview>")
    shortest, longest = PREHEADER_LENGTH
    faults = []
    if not shortest <= len(text) <= longest:
        faults.append(f"it has {len(text)} characters, not {shortest} to {longest}")
    subject = mail.compiled.subject.casefold()
    if text and (text.casefold() in subject or subject in text.casefold()):
        faults.append("it repeats the subject")
    return _judge(faults, text, "more briefs make a better one", status="warn")


@_check(25, "plain text says the same")
def _plain(mail: _Mail) -> _Verdict:
    text = _squeeze(mail.plain)
    faults = [f"{fact[:40]!r} is missing" for fact in _facts(mail) if _squeeze(fact) not in text]
    links = {str(href) for href in mail.tree.xpath("//a/@href")}
    here = f"{mail.values['web_url']}#"  # the contents list; in text the briefs follow directly
    faults += [
        f"the link {link[:60]} is missing"
        for link in sorted(links)
        if link not in mail.plain and not link.startswith(here)
    ]
    faults += [
        f"a line of {count_columns(line)} columns"
        for line in mail.plain.split("\n")
        if count_columns(line) > COLUMNS and not re.search(r"https?://", line)
    ]
    return _judge(faults, f"at most {COLUMNS} columns", "mend digest.txt.j2")


@_check(26, "HTML says it all")
def _complete(mail: _Mail) -> _Verdict:
    text = _squeeze(mail.tree.text_content())
    faults = [f"{fact[:40]!r} is missing" for fact in _facts(mail) if _squeeze(fact) not in text]
    return _judge(faults, "every fact and caveat", "mend digest.mjml.j2")


def _shown(mail: _Mail) -> Iterator[tuple[BriefView, Detail]]:
    """Yield the briefs that this reader gets, and how much of each."""
    for brief, form in zip(mail.context.edition.briefs, mail.selection.forms, strict=True):
        if form:
            yield brief, form


def _facts(mail: _Mail) -> Iterator[str]:
    for brief, form in _shown(mail):
        yield brief.title
        yield from (source.name for source in brief.sources)
        if form == "one-line":
            yield brief.gist
            continue
        yield from (*brief.summary, *brief.why)
        points = brief.points if form == "full" else filter(None, (brief.watch,))
        for point in points:
            yield from (point.label, *point.text)
        if form == "full":
            for lens in (*brief.lenses, *brief.silent):
                yield from (lens.name, *lens.text, lens.caveat)


@_check(28, "nothing is loaded")
def _loads(mail: _Mail) -> _Verdict:
    found = {
        urlsplit(str(value)).hostname or str(value)[:40]
        for name in _LOADING
        for value in mail.tree.xpath(f"//*[not(self::a)]/@{name}")
    }
    found |= {str(link) for link in mail.tree.xpath("//link/@href")}
    css = " ".join(mail.tree.xpath("//style/text()|//@style"))
    found |= set(re.findall(r"(?:url\(|@import)\s*['\"]?([^'\")\s;]*)", css))
    return _judge(
        [f"it loads from {host}" for host in sorted(found)],
        "no picture, font or style from anywhere",
        "a mail that loads something tells who read it and when; take it out",
    )


@_check(29, "links go where they say")
def _hosts(mail: _Mail) -> _Verdict:
    context = mail.context
    known = {context.publication.url}
    for brief in context.edition.briefs:
        known |= {brief.link, *(source.url for source in brief.sources)}
    allowed = {urlsplit(url).hostname for url in known}
    links = [urlsplit(str(href)) for href in mail.tree.xpath("//a/@href")]
    hosts = {link.hostname for link in links if link.scheme != "mailto"}
    strange = sorted(str(host) for host in hosts - allowed)
    return _judge(
        [f"a link to {host}" for host in strange],
        ", ".join(sorted(str(host) for host in hosts if host)) or "no links",
        "only the publication's own pages and the briefs' sources are expected",
        status="warn",
    )


@_check(30, "nothing active")
def _active(mail: _Mail) -> _Verdict:
    faults = [f"<{element.tag}>" for element in mail.tree.xpath(_ACTIVE)]
    faults += [
        f"{name} on <{element.tag}>"
        for element in mail.tree.iter()
        for name in element.keys()  # noqa: SIM118 -- an element is no mapping
        if name.startswith("on")
    ]
    faults += [
        f"a link to {str(href)[:40]!r}"
        for href in mail.tree.xpath("//@href")
        if urlsplit(str(href)).scheme not in {"http", "https", "mailto"}
    ]
    faults += [
        f"the character U+{ord(c):04X}"
        for c in sorted({*mail.source, *mail.plain})
        if _CONTROL.match(c)
    ]
    return _judge(faults, "text and links only", "take it out of the template")


@_check(31, "sources are named")
def _attribution(mail: _Mail) -> _Verdict:
    faults = [
        f"{brief.title[:40]!r} names no source"
        for brief in mail.context.edition.briefs
        if not brief.sources
    ]
    return _judge(faults, "every brief", "add the source to the brief", status="warn")


@_check(32, "disclosure")
def _disclosure(mail: _Mail) -> _Verdict:
    disclosure = mail.context.edition.disclosure
    if not disclosure:
        return _Verdict("skip", "no brief carries analysis")
    formats = (("HTML", mail.tree.text_content()), ("plain text", mail.plain))
    faults = [
        f"missing in the {name}"
        for name, text in formats
        if _squeeze(disclosure) not in _squeeze(text)
    ]
    return _judge(faults, "in both formats, all sources", "show {{ edition.disclosure }}")


@_check(33, "caveats stand with their lenses")
def _caveats(mail: _Mail) -> _Verdict:
    lenses = [
        lens
        for brief in mail.context.edition.briefs
        for lens in brief.lenses
        if lens.caveat and mail.selection.wants(lens.key)
    ]
    if not lenses:
        return _Verdict("skip", "no lens with a caveat is shown")
    faults = []
    for part in (mail.compiled.html, mail.compiled.plain):
        for lens in lenses:
            blocks = [_squeeze(_text(block, mail)) for block in _blocks(part, lens.key)]
            if not blocks or any(_squeeze(lens.caveat) not in block for block in blocks):
                faults.append(f"{lens.key} in the {part.kind} part has lost its caveat")
    return _judge(faults, f"{len(lenses)} lenses", "show {{ lens.caveat }} in the lens's block")


def _blocks(part: Part, key: str) -> Iterator[Part]:
    """Yield what stands in each block of that key."""
    for start, piece in enumerate(part.pieces):
        if piece == Begin(key):
            end = part.pieces.index(End(key), start)
            yield Part(kind=part.kind, pieces=part.pieces[start + 1 : end])


def _text(part: Part, mail: _Mail) -> str:
    text = decode_part(part, mail.values, mail.selection)
    if part.kind == "plain":
        return text
    return str(lxml_html.document_fromstring(f"<div>{text}</div>").xpath("string()"))
