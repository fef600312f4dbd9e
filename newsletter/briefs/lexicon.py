"""One line → what it is, by a publication's vocabulary. Knows single lines, never their order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from newsletter.briefs.attribution import source_from_furniture
from newsletter.briefs.normalise import fold
from newsletter.settings import Vocabulary


class Kind(Enum):
    """What a line is."""

    FRONT = auto()  # a whole block of front matter
    RULE = auto()  # "---"
    ORNAMENT = auto()  # an underline, a lone bullet
    BRAND = auto()
    FURNITURE = auto()  # what a copied web page brings along
    WHY = auto()
    QUICK = auto()
    PERSPECTIVES = auto()
    POINT = auto()
    LENS = auto()
    DESCRIPTOR = auto()
    DISCLAIMER = auto()
    FOOTER = auto()
    TEXT = auto()


HEADINGS = frozenset({Kind.WHY, Kind.QUICK, Kind.PERSPECTIVES})
LABELS = HEADINGS | {Kind.POINT, Kind.LENS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line that is not blank, read but not yet placed."""

    number: int
    kind: Kind
    text: str
    """Without bullet, `#` and whole-line bold."""
    label: str = ""
    """The vocabulary's own spelling of what the line says, if it is one of its words."""
    rest: str = ""
    """What stands behind the colon of a label."""
    verbatim: bool = False
    """It began with a backslash: it is what it says, and is never matched, merged or guessed."""
    decorated: bool = False
    """It had a bullet, a `#` or whole-line bold."""

    @property
    def begins_with_how(self) -> bool:
        """Whether it may be a descriptor that the vocabulary does not know."""
        return self.kind is Kind.TEXT and not self.verbatim and begins_with_how(self.text)


MARKS = {
    "point": Kind.POINT,
    "lens": Kind.LENS,
    "descriptor": Kind.DESCRIPTOR,
    "disclosure": Kind.FOOTER,
}
"""`\\ point: X` makes X a label whatever it looks like, and so on."""

_MARK = re.compile(rf"\\ ({'|'.join(MARKS)}): (.+)")
_BULLETS = "-*+•‣⁃∙◦●○▪▫■□·–—"
_RULE = re.compile(r"([-*_–—])(?:\s*\1){2,}")
_ORNAMENT = re.compile(rf"[\s#=_\\{re.escape(_BULLETS)}]+")
_PREFIX = re.compile(rf"(#{{1,6}}\s+)?(?:[{re.escape(_BULLETS)}]\s+)?(#{{1,6}}\s+)?")
_BOLD = re.compile(r"(\*\*|__)(?=\S)(?P<text>(?:(?!\1).)+?)(?<=\S)\1(?P<colon>\s*[:：])?")
_BOLD_LABEL = re.compile(r"(\*\*|__)(?P<label>[^*_]{1,200})\1(?P<rest>.*)")
_SENTENCE_END = (".", "!", "?", "…", "。", "！", "？")
_CLOSING = "\"'”’»)]"
_FURNITURE = ("Share", "AI disclosure")
_LONGEST_MATCHED = 1_000
_LONGEST_INLINE_LABEL = 200


def begins_with_how(text: str) -> bool:
    """Whether a line begins like a lens's descriptor."""
    return text[:4].casefold() == "how "


def is_label_shaped(text: str) -> bool:
    """Whether a line could be a label that the vocabulary does not know."""
    if len(text) > 48 or len(text.split()) > 7:
        return False
    return not text.rstrip(_CLOSING).endswith(_SENTENCE_END)


def names_a_lens(text: str) -> bool:
    """Whether a label ends as lenses do."""
    return fold(text).endswith((" view", " impact", " lens", " perspective"))


class Lexicon:
    """A vocabulary, indexed for matching."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._known: dict[str, tuple[Kind, str]] = {}
        self._add(Kind.BRAND, vocabulary.brand)
        self._add(Kind.WHY, vocabulary.why_heading)
        self._add(Kind.QUICK, vocabulary.quick_take_heading)
        self._add(Kind.PERSPECTIVES, vocabulary.perspectives_heading)
        self._add(Kind.POINT, *vocabulary.points)
        self._add(Kind.LENS, *(lens.name for lens in vocabulary.lenses))
        self._add(Kind.DESCRIPTOR, *(lens.descriptor for lens in vocabulary.lenses))
        self._add(Kind.DISCLAIMER, vocabulary.disclaimer)
        self._add(Kind.FURNITURE, *_FURNITURE)
        self._disclosure = fold(vocabulary.disclosure.partition("{sources}")[0])
        words = self._disclosure.split()
        self._disclosure_opening = " ".join(words[:4]) if len(words) > 1 else ""

    def _add(self, kind: Kind, *texts: str) -> None:
        for text in texts:
            if fold(text):
                self._known.setdefault(fold(text), (kind, text))

    def read(self, number: int, raw: str) -> Line | None:
        """Say what a line is; None for a blank one."""
        raw = raw.strip()
        if not raw:
            return None
        if raw[0] == "\\" and len(raw) > 1:
            return _read_verbatim(number, raw)
        if _ORNAMENT.fullmatch(raw):
            kind = Kind.RULE if _RULE.fullmatch(raw) else Kind.ORNAMENT
            return Line(number=number, kind=kind, text=raw)
        text = _peel(raw)
        kind, label, rest = self._match(text)
        return Line(
            number=number, kind=kind, text=text, label=label, rest=rest, decorated=text != raw
        )

    def _match(self, text: str) -> tuple[Kind, str, str]:
        """Give kind, label and what stands behind the label's colon."""
        if known := self._look_up(text):
            return *known, ""
        beginning = text[:_LONGEST_INLINE_LABEL]
        if bold := _BOLD_LABEL.fullmatch(text):
            known = self._look_up(bold["label"])
            if known and known[0] in LABELS:
                return *known, bold["rest"].lstrip(" :：")
        for colon in re.finditer("[:：]", beginning):
            known = self._look_up(beginning[: colon.start()])
            if known and known[0] in LABELS:
                return *known, text[colon.end() :].strip()
        if self._opens_disclosure(beginning):
            return Kind.FOOTER, "", ""
        if len(text) <= _LONGEST_INLINE_LABEL and source_from_furniture(text):
            return Kind.FURNITURE, "", ""
        return Kind.TEXT, "", ""

    def _look_up(self, text: str) -> tuple[Kind, str] | None:
        return self._known.get(fold(text)) if len(text) <= _LONGEST_MATCHED else None

    def _opens_disclosure(self, beginning: str) -> bool:
        folded = fold(beginning)
        if self._disclosure_opening:
            if folded.startswith(self._disclosure_opening):
                return True
            if " " in folded and self._disclosure.startswith(folded):  # the file stops here
                return True
        return "ai-assisted" in folded and "generated from" in folded


def _read_verbatim(number: int, raw: str) -> Line:
    mark = _MARK.fullmatch(raw)
    kind, text = (MARKS[mark[1]], mark[2]) if mark else (Kind.TEXT, raw[1:])
    return Line(number=number, kind=kind, text=text.strip(), verbatim=True)


def _peel(raw: str) -> str:
    """Take off `#`, bullet and whole-line bold."""
    prefix = _PREFIX.match(raw)
    assert prefix  # every part of it is optional
    text = raw[prefix.end() :]
    if (prefix[1] or prefix[2]) and text.endswith("#"):
        closed = text.rstrip("#")
        text = closed if closed[-1:].isspace() else text  # "## Quick take ##", not "# C#"
    if bold := _BOLD.fullmatch(text):
        text = bold["text"] + (":" if bold["colon"] else "")
    return text.strip()
