"""Whether Outlook on Windows shows it: Word knows no max-width, and no padding on links."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import html as lxml_html

from newsletter.render.preflight.conditional import list_table_faults, split_passages
from newsletter.render.preflight.mail import Check, Mail, parse_html
from newsletter.render.preflight.report import Verdict, judge

MAX_TABLE_PIXELS = 640
_PIXELS_PER_INCH = 96

_BACKGROUND = re.compile(
    r"(?:^|;)\s*background(?:-color)?\s*:\s*(?!none|transparent|inherit)([^;]+)"
)
_PADDING = re.compile(r"(?:^|;)\s*padding(?:-\w+)?\s*:\s*[^;]*[1-9]")
_COLOUR = re.compile(r"(?:^|;)\s*color\s*:")
_BARE_TABLE = re.compile(r"<table\b(?![^>]*\srole=\W?presentation)", re.IGNORECASE)
_WIDTH = re.compile(r"(?:^|;)\s*width\s*:\s*(\d+)(?:\.\d+)?px")


def check_conditionals(mail: Mail) -> Verdict:
    """21: a comment that is left open swallows what follows; a button must be one everywhere."""
    passages, faults = split_passages(mail.source)
    others = "".join(passage.text for passage in passages if passage.to_others)
    readings = (("outside of Word", others), ("in Word", mail.outlook))
    for where, text in readings:
        faults += [f"{fault} {where}" for fault in list_table_faults(text)]
    buttons = [link for link in mail.tree.xpath("//a[@href]") if _is_button(link)]
    for button in buttons:
        faults += _list_button_faults(button)
    faults += [f"<{element.tag}> is no button in a mail" for element in mail.tree.xpath("//button")]
    count = sum(passage.to_word and not passage.to_others for passage in passages)
    return judge(
        faults,
        f"{count} passages for Word, {len(buttons)} buttons",
        "use <mj-button>, and open and close each conditional comment in the same partial",
    )


def check_outlook(mail: Mail) -> Verdict:
    """22: what Word needs is there, and holds."""
    if not mail.outlook:
        return Verdict("skip", "its conditional comments are broken")
    tree = parse_html(mail.outlook)
    density = re.search(r"<o:PixelsPerInch>\s*(\d+)\s*</o:PixelsPerInch>", mail.outlook)
    faults = []
    if not density or int(density[1]) != _PIXELS_PER_INCH:
        faults.append(f"o:PixelsPerInch is not {_PIXELS_PER_INCH}: large fonts tear it apart")
    passages, _ = split_passages(mail.source)
    hidden = "".join(p.text for p in passages if p.to_word and not p.to_others)
    if "<table" in hidden and (
        bare := re.findall(r"<table(?![^>]*\srole=\W?presentation)", hidden)
    ):
        faults.append(f"{len(bare)} tables for Word have no role=presentation")
    widths = dict(_list_widths(tree))
    faults += [
        f"a table is {pixels} pixels wide"
        for pixels in widths.values()
        if pixels > MAX_TABLE_PIXELS
    ]
    if not widths:
        faults.append(
            "no table has a width in pixels: Word knows no max-width, and fills the window"
        )
    return judge(
        faults,
        f"{len(widths)} tables of at most {max(widths.values(), default=0)} pixels",
        f"keep <mj-body> at most {MAX_TABLE_PIXELS}px wide and <mj-section> around everything",
    )


def _is_button(link: lxml_html.HtmlElement) -> bool:
    """Tell whether a link is drawn as a box of its own."""
    style = link.get("style") or ""
    return bool(_BACKGROUND.search(style) and _PADDING.search(style))


def _list_button_faults(button: lxml_html.HtmlElement) -> Iterator[str]:
    said = " ".join(button.text_content().split())[:30]
    style = button.get("style") or ""
    cell = next(button.iterancestors("td"), None)
    around = (cell.get("style") or "") if cell is not None else ""
    if cell is None or not (cell.get("bgcolor") or _BACKGROUND.search(around)):
        yield f"the button {said!r} has no colour in Word: its cell has none"
    elif "mso-padding-alt" not in around and not _PADDING.search(around):
        yield f"the button {said!r} has no room in Word: its cell has no padding"
    if not _COLOUR.search(style):
        yield f"the button {said!r} leaves the colour of its text to the client"


def _list_widths(tree: lxml_html.HtmlElement) -> Iterator[tuple[lxml_html.HtmlElement, int]]:
    for table in tree.xpath("//table"):
        attribute, style = table.get("width") or "", _WIDTH.search(table.get("style") or "")
        if attribute.isdecimal():
            yield table, int(attribute)
        elif style:
            yield table, int(style[1])


CHECKS: tuple[Check, ...] = (
    (21, "buttons and conditional comments", check_conditionals),
    (22, "Outlook on Windows", check_outlook),
)
