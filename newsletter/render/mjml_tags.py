"""What MJML knows: its tags, where each may stand, its attributes and what they may say.

The tables hold what MJML 4 documents *and* the compiler (mrml) acts on; a test tries each
attribute with it. What the one documents and the other ignores (`border-top` of an image,
`title` of a button) is left out, so that nobody writes what would do nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cssutils.css.colors import COLORS

_ROWS = frozenset(("mj-column", "mj-hero"))

PARENTS: dict[str, frozenset[str]] = {
    "mjml": frozenset(("",)),
    "mj-head": frozenset(("mjml",)),
    "mj-body": frozenset(("mjml",)),
    "mj-attributes": frozenset(("mj-head",)),
    "mj-breakpoint": frozenset(("mj-head",)),
    "mj-preview": frozenset(("mj-head",)),
    "mj-style": frozenset(("mj-head",)),
    "mj-title": frozenset(("mj-head",)),
    "mj-all": frozenset(("mj-attributes",)),
    "mj-class": frozenset(("mj-attributes",)),
    "mj-wrapper": frozenset(("mj-body",)),
    "mj-section": frozenset(("mj-body", "mj-wrapper")),
    "mj-hero": frozenset(("mj-body", "mj-wrapper")),
    "mj-group": frozenset(("mj-section",)),
    "mj-column": frozenset(("mj-section", "mj-group")),
    "mj-text": _ROWS,
    "mj-button": _ROWS,
    "mj-divider": _ROWS,
    "mj-image": _ROWS,
    "mj-spacer": _ROWS,
    "mj-table": _ROWS,
    "mj-raw": frozenset(("mj-head", "mj-body", "mj-wrapper", "mj-section", "mj-group")) | _ROWS,
}
"""The tags that may enclose each tag; "" stands for none."""

HOLD_HTML = frozenset(("mj-button", "mj-raw", "mj-style", "mj-table", "mj-text"))

REFUSED = {
    "mj-accordion": "it loads pictures from another host",
    "mj-carousel": "it loads pictures from another host",
    "mj-font": "it loads a font from another host",
    "mj-html-attributes": "the compiler does not know it",
    "mj-include": 'use {% include "NAME" %}',
    "mj-social": "it loads pictures from another host",
    "applet": "no mail client runs it",
    "audio": "link to the recording",
    "base": "write each address in full",
    "embed": "no mail client runs it",
    "frame": "no mail client shows it",
    "iframe": "no mail client shows it",
    "object": "no mail client runs it",
    "script": "no mail client runs it",
    "video": "link to the film",
}
"""Tags that mail from here does without, and why or what instead."""

_PADDING = "padding padding-top padding-right padding-bottom padding-left"
_BORDERS = "border border-top border-right border-bottom border-left border-radius"
_TYPE = "color font-family font-size font-style font-weight letter-spacing line-height"
_BACKGROUND = (
    "background-color background-url background-size background-repeat background-position "
    "background-position-x background-position-y"
)
_ROW = f"align container-background-color css-class {_PADDING} vertical-align"
_BAND = f"{_BACKGROUND} {_BORDERS} css-class direction full-width {_PADDING} text-align"


def _names(*lists: str) -> frozenset[str]:
    return frozenset(" ".join(lists).split())


ATTRIBUTES: dict[str, frozenset[str]] = {
    "mjml": _names("lang dir"),
    "mj-body": _names("background-color css-class width"),
    "mj-breakpoint": _names("width"),
    "mj-wrapper": _names(_BAND),
    "mj-section": _names(_BAND),
    "mj-hero": _names(
        "background-color background-url background-position background-width background-height",
        "css-class height inner-background-color mode vertical-align",
        "inner-padding inner-padding-top inner-padding-right inner-padding-bottom",
        f"inner-padding-left {_PADDING}",
    ),
    "mj-group": _names("background-color css-class direction vertical-align width"),
    "mj-column": _names(
        "background-color css-class direction vertical-align width inner-background-color",
        "inner-border inner-border-top inner-border-right inner-border-bottom inner-border-left",
        f"inner-border-radius {_BORDERS} {_PADDING}",
    ),
    "mj-text": _names(_ROW, _TYPE, "height text-decoration text-transform"),
    "mj-button": _names(
        _ROW,
        _TYPE,
        _BORDERS,
        "background-color height href inner-padding name rel target",
        "text-align text-decoration text-transform width",
    ),
    "mj-divider": _names(_ROW, "border-color border-style border-width width"),
    "mj-image": _names(
        _ROW,
        "alt border border-left border-right border-radius fluid-on-mobile font-size height href",
        "max-height name rel src srcset target title usemap width",
    ),
    "mj-spacer": _names(_ROW, "height"),
    "mj-table": _names(
        _ROW,
        "border cellpadding cellspacing color font-family font-size line-height table-layout width",
    ),
}
"""The attributes of each tag, but for `mj-class`, which every tag of the body takes."""

ANY_ATTRIBUTE = frozenset[str]().union(*ATTRIBUTES.values())


@dataclass(frozen=True, slots=True)
class Value:
    """What an attribute may say, as a pattern and in words."""

    pattern: str
    words: str

    def takes(self, value: str) -> bool:
        """Tell whether `value` is fine."""
        return re.fullmatch(self.pattern, value.strip(), re.IGNORECASE | re.ASCII) is not None


_NUMBER = r"\d*\.?\d+"
_LENGTH = rf"(?:{_NUMBER}(?:px|%)|0)"


def _one_of(*words: str) -> Value:
    return Value("|".join(words), " or ".join(words))


_PIXELS = Value(rf"{_NUMBER}px|0", "a number of pixels such as 16px")
_SIZE = Value(_LENGTH, "a size such as 16px or 50%")
_SIZES = Value(rf"{_LENGTH}(?:\s+{_LENGTH}){{0,3}}", "one to four sizes such as 16px or 50%")
_COLOUR = Value(
    r"#[0-9a-f]{3,4}|#[0-9a-f]{6}|#[0-9a-f]{8}|(?:rgb|hsl)a?\([\d\s.,%/deg-]+\)"
    r"|transparent|inherit|currentcolor|none|" + "|".join(COLORS),
    "a colour such as #9a2617",
)
_ALIGN = _one_of("left", "center", "right")
_INTEGER = Value(r"\d+", "a whole number")

VALUES: dict[str, Value] = {
    **dict.fromkeys(
        _names(
            "background-color border-color color container-background-color",
            "inner-background-color",
        ),
        _COLOUR,
    ),
    **dict.fromkeys(
        _names(
            "padding-top padding-right padding-bottom padding-left",
            "inner-padding-top inner-padding-right inner-padding-bottom inner-padding-left",
            "background-width background-height height max-height width",
        ),
        _SIZE,
    ),
    **dict.fromkeys(_names("padding inner-padding border-radius inner-border-radius"), _SIZES),
    "align": _ALIGN,
    "border-width": _PIXELS,
    "cellpadding": _INTEGER,
    "cellspacing": _INTEGER,
    "dir": _one_of("ltr", "rtl", "auto"),
    "direction": _one_of("ltr", "rtl"),
    "fluid-on-mobile": _one_of("true", "false"),
    "font-size": _PIXELS,
    "font-weight": Value(r"normal|bold|bolder|lighter|[1-9]00", "normal, bold or 100 to 900"),
    "full-width": Value("full-width|false|", "full-width"),
    "letter-spacing": Value(rf"-?{_NUMBER}(?:px|em)|0|normal|none", "a size such as 1px or .1em"),
    "line-height": Value(rf"{_NUMBER}(?:px|%)?|normal", "a size such as 26px or 1.5"),
    "mode": _one_of("fluid", "fixed-height"),  # MJML writes fluid-height, which mrml ignores
    "table-layout": _one_of("auto", "fixed", "initial", "inherit"),
    "text-align": _ALIGN,
    "text-transform": _one_of("none", "uppercase", "lowercase", "capitalize"),
    "vertical-align": _one_of("top", "middle", "bottom"),
}
"""What each attribute may say; one that is not named here may say anything."""

VALUES_OF_TAG: dict[tuple[str, str], Value] = {
    ("mj-body", "width"): _PIXELS,
    ("mj-breakpoint", "width"): _PIXELS,
    ("mj-image", "width"): _PIXELS,
    ("mj-image", "height"): Value(rf"{_NUMBER}px|auto", "a number of pixels such as 90px, or auto"),
    ("mj-table", "width"): Value(rf"{_NUMBER}(?:px|%)?|auto", "a size such as 300px or 50%"),
    ("mj-text", "align"): _one_of("left", "center", "right", "justify"),
}
"""Where one tag takes less, or more, than the others."""
