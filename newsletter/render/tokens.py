"""The tags of rendered markup, one at a time, as the linter reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

from newsletter.render.origin import Place

TOKEN = re.compile(
    r"""<!--(?P<comment>.*?)-->
      | <(?P<close>/?)(?P<tag>[A-Za-z][\w:-]*)
        (?P<attributes>(?:[^<>"']|"[^"]*"|'[^']*')*+) >""",
    re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(
    r"""(?P<name>[^\s=<>"'/]+)
        (?: \s*=\s* (?: "(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<bare>[^\s"'>]+) ) )?""",
    re.VERBOSE,
)
_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True)
class Tag:
    """A start tag. Attributes without a value have None; MJML's names keep their case."""

    name: str
    place: Place
    attributes: tuple[tuple[str, str | None], ...]
    unquoted: tuple[str, ...]

    def get(self, name: str) -> str | None:
        """Give an attribute's value, its name in lower case; None if it is not there."""
        return next((value for key, value in self.attributes if key.lower() == name), None)


def read_tag(name: str, attributes: str, place: Place) -> Tag:
    """Read a start tag's attributes from what stands between its name and its `>`."""
    found = list(_ATTRIBUTE.finditer(attributes))
    values = (
        a["double"] or a["single"] or a["bare"] or ("" if "=" in a[0] else None) for a in found
    )
    return Tag(
        name,
        place,
        tuple(
            (a["name"], None if value is None else unescape(value))
            for a, value in zip(found, values, strict=True)
        ),
        tuple(a["name"] for a in found if a["bare"] is not None),
    )


def quote(text: str) -> str:
    """Shorten what a template says to what one sentence can hold."""
    line = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())
    return line if len(line) <= _LONGEST_QUOTE else line[: _LONGEST_QUOTE - 1] + "…"
