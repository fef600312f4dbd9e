"""What a person sees of a mail in one look, as Chromium tells it: texts, links, pictures.

The scripts beside this look and measure; judging is for `browser_checks`. Lengths are CSS
pixels, colours (red, green, blue) from 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from newsletter.render.browser import Shown, Viewer

Colour = tuple[float, float, float]

_SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A place in the mail, as a report names it."""

    mark: str
    """The opening tag."""
    text: str

    def __str__(self) -> str:
        if not self.text:
            return self.mark
        short = self.text if len(self.text) <= 40 else f"{self.text[:40].rstrip()}…"
        return f"{self.mark} {short!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenText(Spot):
    """One run of text that is seen, with the colours that its style gives it."""

    size: float
    bold: bool
    colour: Colour
    ground: Colour
    sample: tuple[float, float, float, float]
    """Left, top, width and height of the beginning of its first line, on the whole page."""
    cut: str
    """What cuts some of it off; "" if nothing does."""

    @property
    def contrast_needed(self) -> float:
        """The least contrast (WCAG 2.2, 1.4.3): large letters need less."""
        return 3 if self.size >= 24 or (self.bold and self.size >= 18.66) else 4.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenLink(Spot):
    """One link that is seen."""

    href: str
    underlined: bool
    borders: tuple[Colour, ...]
    """Colours of the lines under it."""
    around: Colour
    """The ground that it stands on."""
    button: bool
    sentence: bool
    """Whether it stands among other words that are no link."""
    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPicture:
    """One picture, or the place where it would be."""

    mark: str
    alt: str | None
    source: str
    width: float
    height: float
    link: str
    """Where it leads, if it alone does: a link without words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond(Spot):
    """What reaches beyond the page's right edge."""

    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All that is seen of a mail in one look."""

    texts: tuple[SeenText, ...]
    overlaps: tuple[tuple[int, int], ...]
    """Numbers of texts that cover each other."""
    links: tuple[SeenLink, ...]
    pictures: tuple[SeenPicture, ...]
    culprits: tuple[Beyond, ...]
    width: int
    scroll_width: int
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation(Spot):
    """One serious or critical finding of axe-core."""

    rule: str
    help: str
    reason: str


def take_survey(shown: Shown) -> Survey:
    """Look at what is shown."""
    seen = shown.page.evaluate(_read_script("survey.js"))
    return Survey(
        texts=tuple(
            SeenText(
                **text
                | {
                    "colour": tuple(text["colour"]),
                    "ground": tuple(text["ground"]),
                    "sample": tuple(text["sample"]),
                }
            )
            for text in seen["texts"]
        ),
        overlaps=tuple((first, second) for first, second in seen["overlaps"]),
        links=tuple(
            SeenLink(
                **link
                | {"borders": tuple(map(tuple, link["borders"])), "around": tuple(link["around"])}
            )
            for link in seen["links"]
        ),
        pictures=tuple(SeenPicture(**picture) for picture in seen["pictures"]),
        culprits=tuple(Beyond(**culprit) for culprit in seen["culprits"]),
        width=seen["width"],
        scroll_width=seen["scrollWidth"],
        mode=seen["mode"],
    )


def run_axe(shown: Shown) -> tuple[Violation, ...]:
    """Let axe-core judge what is shown; give what is serious or critical."""
    shown.page.evaluate(_read_axe())
    found = shown.page.evaluate(_read_script("axe_run.js"))
    return tuple(Violation(**violation) for violation in found)


def read_outlook_rules(shown: Shown) -> Any:
    """Say which rules for Outlook.com's dark mode are missing, and which lose."""
    return shown.page.evaluate(_read_script("outlook_rules.js"))


def sample_colours(
    viewer: Viewer, shown: Shown, texts: tuple[SeenText, ...]
) -> tuple[tuple[Colour, Colour], ...]:
    """Give ground and ink of each text as they are painted, whatever its style says."""
    pictures = [shown.take_detail(*text.sample) for text in texts]
    found = viewer.evaluate(_read_script("colours.js"), pictures)
    return tuple((tuple(colours["ground"]), tuple(colours["ink"])) for colours in found)


def measure_contrast(one: Colour, other: Colour) -> float:
    """Measure the contrast of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((_measure_light(one), _measure_light(other)))
    return (high + 0.05) / (low + 0.05)


def _measure_light(colour: Colour) -> float:
    red, green, blue = (
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
        for v in (channel / 255 for channel in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@cache
def _read_script(name: str) -> str:
    return (_SCRIPTS / name).read_text(encoding="utf-8")


@cache
def _read_axe() -> str:
    """Read axe-core from the package that brings it, whose own reader is bound to a locale."""
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
