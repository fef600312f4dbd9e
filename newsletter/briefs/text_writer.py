"""Briefs → the text format: the way back of `text`, which states the rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from newsletter.briefs.attribution import sources_from_disclosure
from newsletter.briefs.boundaries import is_title_again
from newsletter.briefs.front_matter import format_front_matter, looks_like_front_matter
from newsletter.briefs.lexicon import Kind, Lexicon, Line, begins_with_how, is_label_shaped
from newsletter.briefs.model import Brief, Perspective, Point
from newsletter.settings import Vocabulary


def format_text(briefs: Sequence[Brief], *, vocabulary: Vocabulary) -> str:
    """Write briefs so that `parse_text` gives them back equal; no newline at the end."""
    writer = _Writer(vocabulary)
    documents = []
    for i, brief in enumerate(briefs):
        front = format_front_matter(
            brief, sources_in_text=sources_from_disclosure(brief.disclosure)
        )
        lines = list(writer.write(brief))
        if front:
            lines.insert(0, f"---\n{front}---")
        elif i:
            lines[0] = f"\\{lines[0]}" if looks_like_front_matter(lines[0]) else lines[0]
            lines.insert(0, "---")
        documents.append("\n".join(lines))
    return "\n".join(documents)


class _Writer:
    """Writes lines, and looks at each as the parser will."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._lexicon = Lexicon(vocabulary)

    def write(self, brief: Brief) -> Iterator[str]:
        """Write the lines of one brief, without front matter."""
        words = self._vocabulary
        yield self._text(brief.title)
        if words.brand:
            yield words.brand
        for i, paragraph in enumerate(brief.summary.split("\n\n")):
            again = i == 0 and is_title_again(self._read(paragraph), brief.title)
            yield f"\\{paragraph}" if again else self._text(paragraph)
        if brief.why_it_matters:
            yield words.why_heading
            yield from map(self._text, brief.why_it_matters.split("\n\n"))
        if brief.quick_take:
            yield words.quick_take_heading
            yield from self._points(brief.quick_take)
        if brief.perspectives:
            yield words.perspectives_heading
            if words.disclaimer:
                yield words.disclaimer
            yield from self._lenses(brief.perspectives)
        if brief.disclosure:
            yield from self._disclosure(brief.disclosure)

    def _points(self, points: Sequence[Point]) -> Iterator[str]:
        seen: set[str] = set()
        waits = False
        for point in points:
            known = self._is_known(Kind.POINT, point.label)
            guessed = bool(point.text) and not waits and self._is_guessed(point.label)
            if (known or guessed) and point.label not in seen:
                yield f"- {point.label}"
            else:
                yield f"\\ point: {point.label}"
            for paragraph in _paragraphs(point.text):
                yield self._labelled_text(paragraph, "- ")
            seen.add(point.label)
            waits = not point.text

    def _lenses(self, lenses: Sequence[Perspective]) -> Iterator[str]:
        seen: set[str] = set()
        waits = False
        for lens in lenses:
            known = self._is_known(Kind.LENS, lens.lens)
            guessed = bool(lens.text) and not waits and self._is_guessed(lens.lens)
            if (known or guessed) and lens.lens not in seen:
                yield lens.lens
            else:
                yield f"\\ lens: {lens.lens}"
            if lens.descriptor:
                yield self._descriptor(lens.descriptor)
            for i, paragraph in enumerate(_paragraphs(lens.text)):
                if i == 0 and not lens.descriptor and begins_with_how(paragraph):
                    yield f"\\{paragraph}"
                else:
                    yield self._labelled_text(paragraph)
            seen.add(lens.lens)
            waits = not lens.text

    def _descriptor(self, descriptor: str) -> str:
        line = self._read(descriptor)
        guessed = line.begins_with_how and line.text == descriptor
        known = line.kind is Kind.DESCRIPTOR and line.label == descriptor
        return descriptor if guessed or known else f"\\ descriptor: {descriptor}"

    def _disclosure(self, disclosure: str) -> Iterator[str]:
        first, *others = disclosure.split("\n\n")
        line = self._read(first)
        known = line.kind is Kind.FOOTER and not line.verbatim and line.text == first
        yield first if known else f"\\ disclosure: {first}"
        yield from map(self._text, others)

    def _text(self, paragraph: str, bullet: str = "") -> str:
        """Write a paragraph, with a backslash ahead if it looks like something else."""
        return f"{bullet}{paragraph}" if self._is_plain(paragraph) else f"\\{paragraph}"

    def _labelled_text(self, paragraph: str, bullet: str = "") -> str:
        """Write a paragraph where short ones look like labels."""
        return f"\\{paragraph}" if is_label_shaped(paragraph) else self._text(paragraph, bullet)

    def _is_plain(self, text: str) -> bool:
        line = self._read(text)
        return line.kind is Kind.TEXT and not line.verbatim and line.text == text

    def _is_known(self, kind: Kind, label: str) -> bool:
        line = self._read(label)
        return line.kind is kind and not line.verbatim and line.label == label and not line.rest

    def _is_guessed(self, label: str) -> bool:
        """Whether the parser takes an unknown label for one, followed by text."""
        plain = self._is_plain(label) and not begins_with_how(label)
        return plain and is_label_shaped(label) and not label.endswith((" ", ":", "："))

    def _read(self, text: str) -> Line:
        line = self._lexicon.read(0, text)
        assert line  # no part of a brief is blank
        return line


def _paragraphs(text: str) -> list[str]:
    return text.split("\n\n") if text else []
