"""Whether it is a sound document: language, headings, tables, pictures, schemes, direction."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from lxml import html as lxml_html

from newsletter.render.preflight.mail import Check, Mail, squeeze
from newsletter.render.preflight.report import Verdict, judge

_FILE_NAME = re.compile(r"^\S*\.(?:png|jpe?g|gif|webp|svg|avif|bmp)$|^https?://", re.IGNORECASE)
_DARK_RULES = {
    "prefers-color-scheme": r"@media[^{]*\(\s*prefers-color-scheme\s*:\s*dark\s*\)",
    "[data-ogsc]": r"\[data-ogsc\]",
    "[data-ogsb]": r"\[data-ogsb\]",
}
_LEFTWARD = re.compile(r"(?:^|;)\s*direction\s*:\s*ltr")


def check_doctype(mail: Mail) -> Verdict:
    """1: standards mode, also after styles were inlined."""
    faults = [] if mail.source[:15].lower() == "<!doctype html>" else ["it is missing"]
    return judge(faults, "standards mode", "begin digest.mjml.j2 with <mjml>")


def check_language(mail: Mail) -> Verdict:
    """2: screen readers and clients that drop <html> both need to know."""
    wanted = (mail.context.publication.language, mail.context.publication.direction)
    places = (("html", mail.tree), ("the wrapper in the body", _find_wrapper(mail)))
    faults = [
        f"{place} is missing"
        if element is None
        else f"{place} has lang={element.get('lang')} dir={element.get('dir')}"
        for place, element in places
        if element is None or (element.get("lang"), element.get("dir")) != wanted
    ]
    return judge(faults, " ".join(wanted), "set lang and dir on <mjml>")


def check_title(mail: Mail) -> Verdict:
    """3: the title is what a screen reader announces, the label what it calls the article."""
    wrapper = _find_wrapper(mail)
    titles = [(title.text or "").strip() for title in mail.tree.xpath("/html/head/title")]
    faults = []
    if titles != [mail.compiled.subject]:
        faults.append("the title is not the subject")
    if wrapper is None or not (wrapper.get("aria-label") or "").strip():
        faults.append("no element with role=article and a label")
    return judge(faults, mail.compiled.subject, "put the subject into <mj-title>")


def check_headings(mail: Mail) -> Verdict:
    """4: a list of headings is how many move through a mail."""
    found = [
        (int(heading.tag[1]), squeeze(heading.text_content()) or _show_words(heading))
        for heading in mail.tree.xpath("//h1|//h2|//h3|//h4|//h5|//h6")
    ]
    levels = [level for level, _ in found]
    faults = [] if levels.count(1) == 1 else [f"{levels.count(1)} headings of level 1"]
    faults += [
        f"level {after} follows level {before}"
        for before, after in zip([0, *levels], levels, strict=False)
        if after > before + 1
    ]
    faults += [f"a heading of level {level} is empty" for level, text in found if not text]
    titles = {text for level, text in found if level == 2}
    faults += [
        f"no heading for {brief.title[:40]!r}"
        for brief, form in mail.shown
        if form != "one-line" and squeeze(brief.title) not in titles
    ]
    return judge(
        faults, f"{len(found)} headings in order", "one h1, and an h2 for each brief but lines"
    )


def check_tables(mail: Mail) -> Verdict:
    """5: a layout table without that role is read out as rows and columns."""
    tables = mail.tree.xpath("//table")
    bare = [
        table
        for table in tables
        # A table of data says so by its heads; to hide that from a listener would be wrong.
        if table.get("role") != "presentation" and not table.xpath("./caption|./*/tr/th|./tr/th")
    ]
    faults = [f"{len(bare)} of {len(tables)} tables without role=presentation"] if bare else []
    return judge(faults, f"{len(tables)} tables", 'write <table role="presentation">')


def check_pictures(mail: Mail) -> Verdict:
    """6: most clients block pictures until the reader allows them."""
    pictures = mail.tree.xpath("//img")
    alts = [picture.get("alt") for picture in pictures]
    faults = [
        f"a picture with alt={alt!r}"
        for alt in alts
        if alt is None or _FILE_NAME.match(alt.strip())
    ]
    return judge(faults, f"{len(pictures)} pictures", "say in alt what the picture says")


def check_schemes(mail: Mail) -> Verdict:
    """11: a client that is not told of a dark scheme inverts the light one, badly."""
    metas = {meta.get("name"): meta.get("content") or "" for meta in mail.tree.xpath("//meta")}
    style = "".join(mail.tree.xpath("//style/text()"))
    faults = [
        f"no meta {name}"
        for name in ("color-scheme", "supported-color-schemes")
        if set(metas.get(name, "").split()) != {"light", "dark"}
    ]
    if not re.search(r":root\s*{[^}]*(?<!-)color-scheme:\s*light dark", style):
        faults.append("no :root rule")
    faults += [
        f"no rule for {of}" for of, rule in _DARK_RULES.items() if not re.search(rule, style)
    ]
    return judge(faults, "declared and designed", "keep partials/head.mjml.j2", status="warn")


def check_direction(mail: Mail) -> Verdict:
    """27: text that runs the other way turns its neighbours around unless it is set apart."""
    own = mail.context.publication.direction
    wanderers = {squeeze(text): text for text in _names(mail) if _runs_against(text, own)}
    apart = _find_apart(mail, set(wanderers))
    faults = [
        f"{text[:40]!r} is not set apart" for key, text in wanderers.items() if key not in apart
    ]
    if own == "rtl":
        leftward = [e for e in mail.tree.iter() if _LEFTWARD.search(e.get("style") or "")]
        aligned = [
            cell
            for cell in mail.tree.xpath("//td[@align='left']")
            if cell.text_content().strip() and not cell.xpath(".//td")
        ]
        faults += [f"<{element.tag}> runs from left to right" for element in leftward]
        faults += [f"{len(aligned)} cells are aligned to the left"] if aligned else []
    good = f"{len(wanderers)} texts that run the other way" if wanderers else f"all text is {own}"
    return judge(faults, good, 'put dir="auto" on the element that holds the text alone')


def _show_words(heading: lxml_html.HtmlElement) -> str:
    """Give what the pictures in a heading say: a logo may stand for the name."""
    return squeeze(" ".join(map(str, heading.xpath(".//img/@alt"))))


def _find_wrapper(mail: Mail) -> lxml_html.HtmlElement | None:
    found = mail.tree.xpath("//body/*[@role='article']")
    return found[0] if found else None


def _names(mail: Mail) -> Iterator[str]:
    """List what stands in a line with other text: titles, sections, names."""
    yield mail.context.publication.name
    for brief in mail.briefs:
        yield from (brief.title, brief.section)
        yield from (source.name for source in brief.sources)


def _runs_against(text: str, direction: str) -> bool:
    """Tell whether any letter of a text runs against the direction of the mail."""
    against = {"L"} if direction == "rtl" else {"R", "AL"}
    return any(unicodedata.bidirectional(c) in against for c in text)


def _find_apart(mail: Mail, wanted: set[str]) -> set[str]:
    """Find the texts that every element which holds just one of them isolates.

    The attribute may be on that element, or on one around it that holds nothing else.
    """
    if not wanted:
        return set()
    holders: dict[str, list[lxml_html.HtmlElement]] = {}
    for element in mail.tree.xpath("//body//*"):
        text = squeeze(element.text_content())
        if text in wanted and not any(squeeze(child.text_content()) == text for child in element):
            holders.setdefault(text, []).append(element)
    return {
        text
        for text, elements in holders.items()
        if all(_isolates(element, text) for element in elements)
    }


def _isolates(element: lxml_html.HtmlElement | None, wanted: str) -> bool:
    while element is not None and squeeze(element.text_content()) == wanted:
        if element.get("dir"):  # <bdi> would do, but half of the clients drop it
            return True
        element = element.getparent()
    return False


CHECKS: tuple[Check, ...] = (
    (1, "doctype", check_doctype),
    (2, "language and direction", check_language),
    (3, "title and label", check_title),
    (4, "headings", check_headings),
    (5, "layout tables", check_tables),
    (6, "pictures have words", check_pictures),
    (11, "light and dark", check_schemes),
    (27, "text in both directions", check_direction),
)
