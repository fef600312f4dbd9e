"""Whether hostile text is inert, in both parts and in what becomes a header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from lxml import html as lxml_html

from newsletter.render.preflight.mail import Check, Mail, list_facts, parse_html, squeeze
from newsletter.render.preflight.report import Verdict, judge

_ACTIVE = (
    *("script", "iframe", "frame", "frameset", "object", "embed", "applet", "form", "input"),
    *("button", "select", "textarea", "base", "svg", "math", "template", "audio", "video"),
    "portal",
)
_ACTIVE_PATH = "|".join(f"//{tag}" for tag in _ACTIVE)
_ACTIVE_CSS = re.compile(
    r"expression\s*\(|javascript\s*:|-moz-binding|behavior\s*:\s*url", re.IGNORECASE
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LINE_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LINKING = ("href", "action", "formaction", "xlink:href", "src", "background")
_TEMPLATE = re.compile(r"\{\{.{0,60}?\}\}|\{%.{0,60}?%\}|NL[0-9A-F]{16}[A-Z][0-9]+E")


def check_active(mail: Mail) -> Verdict:
    """30: whatever a brief says is text, and stays text."""
    faults = list(_list_active(mail.tree))
    if mail.outlook:
        faults += [f"{fault} for Word" for fault in _list_active(parse_html(mail.outlook))]
    faults += [
        f"the character U+{ord(c):04X}"
        for c in sorted({*mail.source, *mail.plain})
        if _CONTROL.match(c)
    ]
    headers = (("subject", mail.compiled.subject), ("preheader", mail.compiled.preheader))
    faults += [
        f"the character U+{ord(control[0]):04X} in the {name}"
        for name, text in headers
        if (control := _LINE_CONTROL.search(text))
    ]
    faults += [f"{left!r} was left over from a template" for left in _list_left_over(mail)]
    return judge(list(dict.fromkeys(faults)), "text and links only", "take it out of the template")


def _list_active(tree: lxml_html.HtmlElement) -> Iterator[str]:
    for element in tree.xpath(_ACTIVE_PATH):
        yield f"<{element.tag}>"
    for element in tree.iter():
        if not isinstance(element.tag, str):
            continue
        for name, value in element.items():
            if name.startswith("on") or name == "srcdoc":
                yield f"{name} on <{element.tag}>"
            elif name in _LINKING and not _is_plain_link(element, name, value):
                yield f"a link to {value[:40]!r}"
            elif name == "style" and _ACTIVE_CSS.search(value):
                yield f"active style on <{element.tag}>"
    for meta in tree.xpath("//meta[@http-equiv]"):
        if meta.get("http-equiv", "").lower() in ("refresh", "set-cookie"):
            yield f"<meta http-equiv={meta.get('http-equiv')}>"
    if _ACTIVE_CSS.search(" ".join(tree.xpath("//style/text()"))):
        yield "active rules in <style>"


def _is_plain_link(element: lxml_html.HtmlElement, name: str, value: str) -> bool:
    scheme = urlsplit(value.strip()).scheme
    if name in ("src", "background"):
        return scheme in ("http", "https", "cid")
    return scheme in ("http", "https", "mailto")


def _list_left_over(mail: Mail) -> Iterator[str]:
    """List what looks like a template's own text and is none of the edition's."""
    said = squeeze(" ".join((*list_facts(mail), *_own_words(mail))))
    texts = (str(text) for text in mail.tree.xpath("//body//text()|//@href"))
    for text in (*texts, *mail.plain.split("\n")):
        for left in _TEMPLATE.findall(text):
            if squeeze(left) not in said:
                yield left


def _own_words(mail: Mail) -> tuple[str, ...]:
    edition, publication = mail.context.edition, mail.context.publication
    words = (brief.section for brief in edition.briefs)
    return (
        *(edition.subject, edition.preheader, edition.disclosure),
        *(publication.name, publication.postal_address),
        *words,
        *mail.values.values(),
    )


CHECKS: tuple[Check, ...] = ((30, "nothing active", check_active),)
