"""Whether the clients that readers use know every element, attribute and style of the mail.

What they lack comes from the data of caniemail.com, reduced to gaps (`client_gaps.json`). A
gap is no fault where something stands in: what is in a <style> block only adds to the styles on
the elements, since clients that know less drop it anyway (check 14 proves that they can); and
`_STANDS_IN` says what carries the mail where a style on an element is not obeyed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from newsletter.render.preflight.mail import Check, Mail
from newsletter.render.preflight.report import Verdict, judge, worst

_STANDS_IN = {
    "css-border-radius": "square corners",
    "css-box-shadow": "no shadow",
    "css-box-sizing": "paddings of whole cells are small beside their width",
    "css-background-image": "the background colour beside it",
    "css-background-position": "the background colour beside it",
    "css-background-repeat": "the background colour beside it",
    "css-background-size": "the background colour beside it",
    "css-cursor": "the usual pointer",
    "css-float": "one below the other, in the order of reading",
    "css-clear": "one below the other, in the order of reading",
    "css-font-kerning": "the font's own spacing",
    "css-height": "as high as what is in it",
    "css-hyphens": "whole words",
    "css-list-style-position": "marks outside",
    "css-max-height": "display:none hides the preheader",
    "css-min-width": "as wide as what is in it",
    "css-min-height": "as high as what is in it",
    "css-opacity": "display:none hides the preheader",
    "css-overflow": "display:none hides the preheader",
    "css-overflow-wrap": "word-break",
    "css-outline": "no outline",
    "css-table-layout": "columns by their content",
    "css-text-decoration-color": "a line in the text's colour",
    "css-text-decoration-line": "an underlined link",
    "css-text-decoration-skip-ink": "a line through descenders",
    "css-text-decoration-style": "a plain line",
    "css-text-decoration-thickness": "a plain line",
    "css-text-shadow": "no shadow",
    "css-text-underline-offset": "a line at its usual place",
    "css-text-wrap": "lines broken as usual",
    "css-transition": "no movement",
    "css-user-select": "text that can be selected",
    "css-white-space": "lines broken as usual",
    "css-word-break": "long words run over",
    "css-word-spacing": "the font's own spacing",
    "css-word-wrap": "word-break",
    "css-sytem-ui": "the next font in the list",
    "html-abbr": "the text in it",
    "html-acronym": "the text in it",
    "html-anchor-links": "the mail begins at its top",
    "html-aria-describedby": "the text beside it",
    "html-aria-hidden": "it is read out, and does no harm",
    "html-aria-label": "the text in it",
    "html-aria-labelledby": "the text in it",
    "html-aria-live": "nothing moves",
    "html-loading-attribute": "pictures load at once",
    "html-semantics": "the text in it",
    "html-target": "the client chooses the window",
    "html-wbr": "the word breaks elsewhere",
}
"""What a reader gets instead, by caniemail's name of the feature."""

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r"""(["'])(?:\\.|(?!\1).)*\1""")
_DECLARATION = re.compile(r"(?:^|[;{\s])(-?[a-z][a-z-]*)\s*:\s*([^;{}]+)")
_RULE = re.compile(r"([^{}@;]+)\{")
_AT_RULE = re.compile(r"@([a-z-]+)([^;{]*)")
_FUNCTION = re.compile(r"([a-z-]+)\(")
_UNIT = re.compile(r"(?<![\w#.-])-?[0-9]*\.?[0-9]+([a-z]+)\b")
_PSEUDO = re.compile(r"::?([a-z-]+)")
_OUTLOOKS_OWN = ("mso-", "-webkit-", "-ms-", "-moz-")

Use = tuple[str, str]
"""A kind of feature and its name, as in `client_gaps.json`."""


@dataclass(frozen=True, slots=True)
class _Gap:
    slug: str
    lacking: tuple[str, ...]


def check_clients(mail: Mail) -> Verdict:
    """23: what a client does not know must not carry anything."""
    gaps = _load_gaps()
    on_elements = {gap for use in _list_uses(mail) for gap in gaps.get(use, ())}
    in_blocks = {
        gap
        for css in mail.tree.xpath("//style/text()")
        for use in _list_block_uses(str(css))
        for gap in gaps.get(use, ())
    }
    missing = sorted(
        (gap for gap in on_elements if gap.slug not in _STANDS_IN), key=lambda gap: gap.slug
    )
    covered = len(on_elements) - len(missing) + len(in_blocks)
    remote = sorted(g.slug for g in in_blocks if g.slug in ("css-at-import", "css-at-font-face"))
    verdict = judge(
        [f"{_shown(gap.slug)} is unknown to {', '.join(gap.lacking)}" for gap in missing],
        f"{covered} features that some client lacks, each with something in its place",
        "do without it, or move it into an <mj-style> that only adds to what stands without it",
    )
    fetching = judge([f"{_shown(slug)} in a style" for slug in remote], "", "use system fonts")
    return worst(verdict, fetching)


@cache
def _load_gaps() -> dict[Use, tuple[_Gap, ...]]:
    text = (files("newsletter.render.preflight") / "client_gaps.json").read_text("utf-8")
    found: dict[Use, list[_Gap]] = {}
    for slug, kind, names, lacking in json.loads(text)["gaps"]:
        whole = (names,) if kind == "at" else names.split()
        for name in whole:
            found.setdefault((kind, name), []).append(_Gap(slug, tuple(lacking)))
    return {use: tuple(gaps) for use, gaps in found.items()}


def _list_uses(mail: Mail) -> Iterator[Use]:
    """List what the elements themselves use."""
    for element in mail.tree.xpath("//body/descendant-or-self::*|//head/link|//head/base"):
        yield "element", element.tag
        for name, value in element.items():
            yield "attribute", name
            if name == "style":
                yield from _list_declared(value)
            elif name in ("src", "background"):
                yield "scheme", value.partition(":")[0].lower()
                yield "file", value.partition("?")[0].rpartition(".")[2].lower()
        if element.tag == "input":
            yield "input", element.get("type", "text").lower()
        if element.tag == "a" and (element.get("href") or "").startswith("#"):
            yield "anchor", "#"


def _list_block_uses(css: str) -> Iterator[Use]:
    """List what a style block uses."""
    css = _COMMENT.sub("", css)
    for name, condition in _AT_RULE.findall(css.lower()):
        yield "at", name
        for feature in re.findall(r"\(\s*([\w-]+)", condition):
            yield "at", f"{name} {feature}"
    for selector in _RULE.findall(css):
        for pseudo in _PSEUDO.findall(selector):
            yield "pseudo", pseudo
    yield from _list_declared(css)


def _list_declared(css: str) -> Iterator[Use]:
    for name, value in _DECLARATION.findall(_STRING.sub("''", css.lower())):
        if name.startswith(_OUTLOOKS_OWN):
            continue
        said = value.replace("!important", "").strip()
        yield "property", name
        yield "pair", f"{name}:{said}"
        yield from (("value", word) for word in re.findall(r"[a-z-]+", said))
        yield from (("function", function) for function in _FUNCTION.findall(said))
        yield from (("unit", unit) for unit in _UNIT.findall(said))


def _shown(slug: str) -> str:
    kind, _, name = slug.partition("-")
    return f"<{name}>" if kind == "html" else name


CHECKS: tuple[Check, ...] = ((23, "clients know it", check_clients),)
