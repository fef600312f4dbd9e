"""The lines of one brief → its parts. The rules stand in `text`.

A line goes to the part that the last heading or label opened; a text goes there too, unless it
is a descriptor or a label that the vocabulary does not know. What the document says twice is
merged at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from newsletter.briefs.attribution import source_from_furniture, sources_from_disclosure
from newsletter.briefs.boundaries import is_title_again
from newsletter.briefs.front_matter import FrontMatter, parse_front_matter
from newsletter.briefs.lexicon import HEADINGS, LABELS, Kind, Line, is_label_shaped, names_a_lens
from newsletter.briefs.model import Brief, BriefWarning, Perspective, Point, Source
from newsletter.briefs.oddities import Oddity
from newsletter.errors import BriefError
from newsletter.settings import Vocabulary


def assemble_brief(
    lines: Sequence[Line], *, vocabulary: Vocabulary, file: str, title: str = "", wrapped: bool
) -> tuple[Brief, tuple[BriefWarning, ...]]:
    """Put the lines of one brief together; raises `BriefError` if title or summary is missing.

    `title` is a headline known from elsewhere. `wrapped` says that text lines without a blank
    line between are one paragraph.
    """
    assembly = _Assembly(vocabulary=vocabulary, file=file, wrapped=wrapped)
    brief = assembly.build(lines, title=title)
    return brief, tuple(assembly.warnings)


_ENDS_TEXT = LABELS | {Kind.FOOTER, Kind.BRAND, Kind.FRONT}
_POINT_ODDITIES = (Oddity.UNKNOWN_POINT, Oddity.POINT_WITHOUT_TEXT)
_LENS_ODDITIES = (Oddity.UNKNOWN_LENS, Oddity.LENS_WITHOUT_TEXT)

_Paragraphs = list[list[str]]
"""Paragraphs, each as the lines that it was wrapped into."""


def _join(paragraphs: _Paragraphs) -> str:
    return "\n\n".join(map(" ".join, paragraphs))


@dataclass(slots=True, kw_only=True)
class _Item:
    """A point or lens while its lines come in."""

    line: Line
    descriptor: str = ""
    paragraphs: _Paragraphs = field(default_factory=list)

    @property
    def label(self) -> str:
        """The vocabulary's spelling, else the document's."""
        if self.line.verbatim and not self.line.label:
            return self.line.text
        return self.line.label or self.line.text.rstrip(" :：")


@dataclass(slots=True, kw_only=True)
class _Assembly:
    """One brief while its lines come in."""

    vocabulary: Vocabulary
    file: str
    wrapped: bool
    warnings: list[BriefWarning] = field(default_factory=list)
    summary: _Paragraphs = field(default_factory=list)
    whys: list[_Paragraphs] = field(default_factory=list)
    points: list[_Item] = field(default_factory=list)
    lenses: list[_Item] = field(default_factory=list)
    footers: list[_Paragraphs] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    section: Kind = Kind.TEXT
    """The part that lines go to: TEXT is the summary."""
    item: _Item | None = None
    last_text: int | None = None
    """The number of the line just placed, if it was text that a wrapped line may go on."""

    def build(self, chunk: Sequence[Line], *, title: str) -> Brief:
        """Assemble the brief; raises `BriefError` if it has no title or summary."""
        front = FrontMatter(fields={})
        if chunk[0].kind is Kind.FRONT:
            below = chunk[0].number + 1
            front = parse_front_matter(chunk[0].text, file=self.file, line=below)
            self.warnings.extend(front.warnings)
        lines = [line for line in chunk if line.kind is not Kind.FRONT]
        at = next((line.number for line in lines if line.kind is not Kind.RULE), chunk[0].number)
        title, body = self._take_title(lines, title or front.fields.get("title", ""))
        if not title:
            mend = f'put the headline ahead of "{self.vocabulary.brand}" and the summary'
            raise BriefError("has no title", file=self.file, line=at, mend=mend)
        alone = {line.kind for line in body if line.kind in HEADINGS and not line.rest}
        for i, line in enumerate(body):
            following = body[i + 1] if i + 1 < len(body) else None
            self._place(line, following, title=title, alone=alone)
        if not self.summary:
            mend = "write the facts below the headline"
            raise BriefError("has no summary", file=self.file, line=at, mend=mend)
        return self._finish(title, front.fields)

    def _take_title(self, lines: list[Line], given: str) -> tuple[str, list[Line]]:
        """Find the title, and the lines below it and its brand line."""
        label = next((i for i, k in enumerate(lines) if k.kind in LABELS | {Kind.FOOTER}), None)
        opening = lines[:label]
        texts = [i for i, line in enumerate(opening) if line.kind is Kind.TEXT]
        brand = next((i for i, line in enumerate(lines) if line.kind is Kind.BRAND), None)
        if brand is not None and brand < len(opening):
            texts = [i for i in texts if i < brand]
            below = brand + 1
            title = given or (opening[texts[-1]].text if texts else "")
        else:
            if brand is None and self.vocabulary.brand:
                self._warn(Oddity.NO_BRAND, f'has no line "{self.vocabulary.brand}"')
            if given:
                again = (i + 1 for i in texts if is_title_again(opening[i], given))
                below = next(again, 0)
                title = given
            else:
                below = texts[0] + 1 if texts else 0
                title = opening[texts[0]].text if texts else ""
        for line in lines[:below]:
            if line.kind is Kind.FURNITURE:
                self.sources.extend(source_from_furniture(line.text))
            elif line.kind is Kind.TEXT and line.text != title and not is_title_again(line, title):
                self._warn(Oddity.TEXT_LEFT_OUT, "stands ahead of the brief and was left out", line)
        return title, lines[below:]

    def _place(self, line: Line, following: Line | None, *, title: str, alone: set[Kind]) -> None:
        """Put one line where it belongs."""
        match line.kind:
            case Kind.WHY | Kind.QUICK | Kind.PERSPECTIVES if not (
                line.rest and line.kind in alone
            ):
                self._open(line.kind)
            case Kind.POINT:
                self._open_item(Kind.QUICK, line)
            case Kind.LENS:
                self._open_item(Kind.PERSPECTIVES, line)
            case Kind.FOOTER:
                self._open(Kind.FOOTER)
                self._add(line)
            case Kind.DISCLAIMER | Kind.BRAND | Kind.RULE | Kind.ORNAMENT:
                self.last_text = None
            case Kind.FURNITURE if self._is_furniture(line):
                self.sources.extend(source_from_furniture(line.text))
                self.last_text = None
            case Kind.DESCRIPTOR if self._waits_for_descriptor():
                self._describe(line)
            case _:
                self._place_text(line, following, title=title)
                return
        if line.rest:
            rest = Line(number=line.number, kind=Kind.TEXT, text=line.rest, verbatim=True)
            self._place_text(rest, following, title=title)

    def _place_text(self, line: Line, following: Line | None, *, title: str) -> None:
        if self.section is Kind.TEXT and not self.summary and is_title_again(line, title):
            return
        if line.begins_with_how and self._waits_for_descriptor():
            self._describe(line)
        elif self.section is Kind.QUICK and self._is_new_label(line, following):
            self._open_item(Kind.QUICK, line)
        elif self.section is Kind.PERSPECTIVES and self._is_new_label(line, following):
            self._open_item(Kind.PERSPECTIVES, line)
        elif self.section is Kind.QUICK and self.item is None:
            self._warn(Oddity.TEXT_WITHOUT_LABEL, "has no label of the quick take", line)
            self.item = _Item(line=replace(line, label=self.vocabulary.quick_take_heading))
            self.points.append(self.item)
            self._add(line)
        elif self.section is Kind.PERSPECTIVES and self.item is None:
            self._warn(Oddity.TEXT_LEFT_OUT, "belongs to no lens and was left out", line)
        else:
            self._add(line)

    def _open(self, section: Kind) -> None:
        self.section, self.item, self.last_text = section, None, None
        if section is Kind.WHY:
            self.whys.append([])
        elif section is Kind.FOOTER:
            self.footers.append([])

    def _open_item(self, section: Kind, line: Line) -> None:
        self._open(section)
        self.item = _Item(line=line)
        if section is Kind.QUICK:
            self.points.append(self.item)
        else:
            self.lenses.append(self.item)

    def _add(self, line: Line) -> None:
        """Add a line of text to the present part."""
        if self.item:
            paragraphs = self.item.paragraphs
        elif self.section is Kind.WHY:
            paragraphs = self.whys[-1]
        elif self.section is Kind.FOOTER:
            paragraphs = self.footers[-1]
        else:
            paragraphs = self.summary
        if self._goes_on(line):
            paragraphs[-1].append(line.text)
        else:
            paragraphs.append([line.text])
        self.last_text = line.number

    def _goes_on(self, line: Line) -> bool:
        """Whether a line is the wrapped rest of the one above."""
        below_text = self.last_text == line.number - 1
        return self.wrapped and below_text and not line.decorated and not line.verbatim

    def _waits_for_descriptor(self) -> bool:
        return (
            self.section is Kind.PERSPECTIVES
            and self.item is not None
            and not self.item.descriptor
            and len(self.item.paragraphs) <= bool(self.item.line.rest)
        )

    def _describe(self, line: Line) -> None:
        assert self.item
        self.item.descriptor = line.label or line.text
        self.last_text = None

    def _is_furniture(self, line: Line) -> bool:
        early = self.section is Kind.TEXT and not self.summary
        return early or self.section is Kind.FOOTER or bool(source_from_furniture(line.text))

    def _is_new_label(self, line: Line, following: Line | None) -> bool:
        """Whether a line of text is a label that the vocabulary does not know."""
        if line.kind is not Kind.TEXT or line.verbatim or not is_label_shaped(line.text):
            return False
        if self.section is Kind.PERSPECTIVES:
            described = following is not None and (
                following.kind is Kind.DESCRIPTOR or following.begins_with_how
            )
            if described or names_a_lens(line.text):
                return True
        waits = self.item is not None and not self.item.paragraphs
        text_follows = following is not None and following.kind not in _ENDS_TEXT
        return text_follows and not waits and not self._goes_on(line)

    def _finish(self, title: str, fields: Mapping[str, Any]) -> Brief:
        """Make the brief of what came in, and warn of what did not."""
        points, lenses = self._merge(self.points), self._merge(self.lenses)
        for item in points:
            self._check(item, known=self.vocabulary.points, codes=_POINT_ODDITIES)
        names = [lens.name for lens in self.vocabulary.lenses]
        for item in lenses:
            self._check(item, known=names, codes=_LENS_ODDITIES)
        if not lenses:
            self._warn(Oddity.NO_PERSPECTIVES, "has no perspectives")
        if not self.footers:
            self._warn(Oddity.NO_FOOTER, "has no disclosure")
        disclosure = self._merge_texts(self.footers, "the disclosure")
        named = (*self.sources, *sources_from_disclosure(disclosure))
        brief = Brief(
            title=title,
            summary=_join(self.summary),
            why_it_matters=self._merge_texts(self.whys, f'"{self.vocabulary.why_heading}"'),
            quick_take=tuple(Point(label=i.label, text=_join(i.paragraphs)) for i in points),
            perspectives=tuple(
                Perspective(lens=i.label, descriptor=i.descriptor, text=_join(i.paragraphs))
                for i in lenses
            ),
            disclosure=disclosure,
            sources=tuple({source.name.casefold(): source for source in named}.values()),
        )
        return replace(brief, **{**fields, "title": title})

    def _merge(self, items: list[_Item]) -> list[_Item]:
        """Merge items of one label that say the same, or of which one says nothing."""
        kept: list[_Item] = []
        same: dict[tuple[str, str], _Item] = {}
        first: dict[str, _Item] = {}
        for item in items:
            label, text = item.label, _join(item.paragraphs)
            twin = same.get((label, text))
            if twin is None and label in first and not (text and first[label].paragraphs):
                twin = first[label]  # only the label stood there, as in a list of contents
            if twin and twin.descriptor and item.descriptor not in {"", twin.descriptor}:
                twin = None
            if twin and not item.line.verbatim:
                twin.descriptor = twin.descriptor or item.descriptor
                if not twin.paragraphs:
                    twin.paragraphs = item.paragraphs
                    same[label, text] = twin
                continue
            if label in first:
                message = f'"{label}" stands here again with another text; both are kept'
                self._warn(Oddity.DUPLICATE_LABEL, message, item.line)
            kept.append(item)
            same[label, text] = item
            first.setdefault(label, item)
        return kept

    def _merge_texts(self, blocks: list[_Paragraphs], name: str) -> str:
        """Join the texts of a part that stands more than once; equal ones merge."""
        texts = dict.fromkeys(filter(None, map(_join, blocks)))
        if len(texts) > 1:
            message = f"{name} stands more than once with different texts; all are kept"
            self._warn(Oddity.DUPLICATE_LABEL, message)
        return "\n\n".join(texts)

    def _check(self, item: _Item, *, known: Sequence[str], codes: tuple[Oddity, Oddity]) -> None:
        unknown, without_text = codes
        if not item.line.label and item.label not in known:
            self._warn(unknown, f'"{item.label}" is no label of the publication', item.line)
        if not item.paragraphs:
            self._warn(without_text, f'"{item.label}" has no text', item.line)

    def _warn(self, code: Oddity, message: str, line: Line | None = None) -> None:
        self.warnings.append(
            BriefWarning(code=code, message=message, line=line.number if line else None)
        )
