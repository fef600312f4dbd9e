r"""The text format of briefs, both directions: its grammar, its rules, and how it is read.

A brief is a plain text file that a person can write without a manual:

    Port of Example reopens after the storm
    AFBytes Brief
    The port took ships again on Monday. Three berths stay shut until June.
    Why this matters
    A third of the country's grain passes through it.
    Quick take
    - Money Angle
    - Freight rates fall within days.
    Perspectives on this story
    Household Impact
    How this affects family budgets, jobs, and day-to-day life.
    Bread prices rise less than feared.
    AFBytes analysis is AI-assisted … the original reporting from wire.example. See …

Brand line, headings, labels, descriptors and disclosure are the publication's `Vocabulary`.
The grammar, over lines that are not blank:

    file   = brief , { [SEP] , brief } ;
    brief  = [front-matter] , title , [furniture] , [BRAND] , summary ,
             { why | quick | perspectives } , [footer] ;
    title  = LINE ;    summary = TEXT , {TEXT} ;    why = H_WHY , TEXT , {TEXT} ;
    quick  = H_QUICK , { [BULLET] QLABEL , ( ":" text | { [BULLET] TEXT } ) } ;
    perspectives = H_PERSP , [DISCLAIMER] ,
                   { [BULLET] LLABEL , [":" text] , [DESCRIPTOR] , {TEXT} } ;
    footer = FOOTER , {TEXT} ;

- Blank lines, indentation, bullets, `#` and whole-line bold do not matter. Every line of text is
  a paragraph (in Markdown, lines without a blank line between are one).
- A label of the vocabulary ends whatever came before, so parts come in any order. It is the whole
  line or stands before a colon; case, dashes, quotes and punctuation around it do not matter.
- Another label is at most 7 words and 48 characters, ends no sentence, and is followed by a line
  that is no label; among the perspectives also if the next line begins "How " or it ends in View,
  Impact, Lens or Perspective. It is kept, with a warning. Directly below a label that still waits
  for its text only this second kind counts: "None" is what the quick take says, not a new label.
- The descriptor is the first "How …" line below a lens; a later one is text.
- "Quick take: …" on one line is a heading only if the same heading does not also stand alone.
- Each brand line begins a brief at the title line ahead of it; `---` between briefs is optional.
- A label twice: equal texts merge, different ones are both kept, with a warning.
- A leading backslash says what a line is when its looks would mislead: `\Who Loses` is text,
  `\ point: Who Won.` a label (also `lens`, `descriptor`, `disclosure`). `format_text` writes it
  where it must, so that reading gives back every brief there is.
- What the text cannot say (id, link, topics, picture, time) stands in front matter, ahead of it.

How it is read, in linear time: `normalise` (bytes → clean lines), `lexicon` (line → kind, without
context), `boundaries` (kinds → briefs), `assembly` (the lines of one brief → its parts). Every line
that is not blank ends in a field, is structure, or is named in a warning. Only a missing title or
summary, or unreadable front matter, stops a brief, and never the others of the file. `text_writer`
is the way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from newsletter.briefs.assembly import assemble_brief
from newsletter.briefs.boundaries import split_briefs
from newsletter.briefs.front_matter import find_front_matter
from newsletter.briefs.lexicon import HEADINGS, Kind, Lexicon, Line
from newsletter.briefs.model import Brief, BriefWarning, Parsed
from newsletter.briefs.normalise import normalise
from newsletter.briefs.text_writer import format_text
from newsletter.errors import BriefError
from newsletter.settings import Vocabulary

__all__ = ["format_text", "parse_lines", "parse_text", "read_lines"]


def parse_text(data: bytes | str, *, vocabulary: Vocabulary, file: str = "text") -> Parsed:
    """Read every brief of a text file.

    Raises `BriefError` for a file that is empty, binary or holds one brief that cannot be
    imported; among several, such a one is a problem and the others are there.
    """
    normalised = normalise(data, file=file)
    lines = read_lines(normalised.lines, Lexicon(vocabulary), file=file)
    return parse_lines(lines, vocabulary=vocabulary, file=file, warnings=normalised.warnings)


def read_lines(raw_lines: Sequence[str], lexicon: Lexicon, *, file: str) -> list[Line]:
    """Read each line that is not blank; a block of front matter becomes one line."""

    def is_part(raw: str) -> bool:
        line = lexicon.read(0, raw)
        return line is not None and line.kind in HEADINGS | {Kind.BRAND} and not line.rest

    lines = []
    i = 0
    while i < len(raw_lines):
        end = None
        if raw_lines[i].startswith("---"):
            end = find_front_matter(raw_lines, i, is_part=is_part, file=file)
        if end is not None:
            block = "\n".join(raw_lines[i + 1 : end])
            lines.append(Line(number=i + 1, kind=Kind.FRONT, text=block))
            i = end
        elif line := lexicon.read(i + 1, raw_lines[i]):
            lines.append(line)
        i += 1
    return lines


def parse_lines(
    lines: Sequence[Line],
    *,
    vocabulary: Vocabulary,
    file: str,
    title: str = "",
    wrapped: bool = False,
    warnings: Iterable[BriefWarning] = (),
) -> Parsed:
    """Put lines together into briefs.

    `title` is a headline known from elsewhere, which the lines may or may not repeat.
    `wrapped` says that text lines without a blank line between are one paragraph. `warnings`
    are about the document; each goes to the brief that holds its line.
    """
    chunks = split_briefs(lines)
    briefs: list[Brief] = []
    warned: list[tuple[BriefWarning, ...]] = []
    problems: list[BriefError] = []
    ahead = list(warnings)
    for i, chunk in enumerate(chunks):
        limit = chunks[i + 1][0].number if i + 1 < len(chunks) else float("inf")
        own = [w for w in ahead if w.line is None or w.line < limit]
        ahead = [w for w in ahead if w.line is None or w.line >= limit]
        try:
            brief, odd = assemble_brief(
                chunk, vocabulary=vocabulary, file=file, title=title, wrapped=wrapped
            )
        except BriefError as problem:
            problems.append(problem)
        else:
            briefs.append(brief)
            warned.append((*own, *odd))
    if len(problems) == 1 and not briefs:
        raise problems[0]
    return Parsed(briefs=tuple(briefs), warnings=tuple(warned), problems=tuple(problems))
