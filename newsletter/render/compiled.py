r"""An edition compiled once: static bytes in wire form, optional blocks, and holes to fill.

A part (HTML or plain text) is a flat run of pieces. Each static piece is already
quoted-printable (RFC 2045 §6.7), begins at the start of a line and ends with CRLF, a soft
break (`=\r\n`) where the text goes on. So does whatever fills a hole (`wire.encode_value`).
Any run of pieces is therefore valid, and a reader's copy is one `b"".join`.

Three kinds of holes: a `Slot` takes a reader's value, a `Phrase` words of the interface in the
reader's language, a `Flow` a paragraph of plain text that has such holes in it and is wrapped
once they are filled. A block is the run between its `Begin` and `End`; leaving it out leaves
valid HTML, since blocks are whole table rows inside a column, or whole elements within a row.
Blocks nest.

Each brief stands in both parts in three forms, at each level of detail in a block of its own,
and a reader gets at most one of them (`selection.Selector`).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from newsletter.audience.reader import Detail
from newsletter.errors import StorageError
from newsletter.render.languages import Language

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """A reader's value. `name` is one of `SLOTS` or `fields.NAME`; `default` stands in for ""."""

    name: str
    default: str = ""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words of the interface, by their English text (a catalogue's msgid).

    Where `count` names one of `COUNTS`, or is a number in digits, that stands for `{n}` and
    chooses the plural.
    """

    text: str
    plural: str = ""
    count: str = ""


@dataclass(frozen=True, slots=True)
class Begin:
    """A block begins. `key` names what a reader may choose, e.g. `full:3` or `lens:3:Name`."""

    key: str


@dataclass(frozen=True, slots=True)
class End:
    """The innermost block ends."""

    key: str


@dataclass(frozen=True, slots=True)
class Flow:
    """A paragraph of plain text, wrapped when its holes are filled; `first`, `rest` indent it."""

    parts: tuple[str | Slot | Phrase | Begin | End, ...]
    first: str = ""
    rest: str = ""


Piece = bytes | Slot | Phrase | Flow | Begin | End

HEADLINE_SLOTS = ("subject", "preheader")
"""Slots that stand in place of these where they are not the same for all readers."""

COUNTS = {
    "brief_count": "how many briefs this reader gets",
    "word_count": "how many words this reader gets",
    "minutes": "how long this reader reads, at 238 words a minute",
    "left_out": "how many briefs this reader finds on the web alone",
}
"""Slots that a reader's selection fills, and what they say."""

SLOTS = {
    "name": "the reader's name",
    "email": "the reader's address",
    "unsubscribe_url": "leaves the list with one click and one confirmation",
    "preferences_url": "the reader's own choices",
    "feedback_url": "what the reader thinks of the edition's briefs",
    "web_url": "this edition on the web",
    **COUNTS,
}
"""Every slot but the operator's own `fields.NAME`, and what it says."""

WORDS_PER_MINUTE = 238


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between a `Begin` and its `End`."""

    key: str
    nodes: tuple[Node, ...]


Node = bytes | str | Slot | Phrase | Flow | Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One body part in wire form."""

    kind: Literal["html", "plain"]
    pieces: tuple[Piece, ...]


def build_tree(pieces: Iterable[Piece | str]) -> tuple[Node, ...]:
    """Give pieces with each block as one node."""
    levels: list[list[Node]] = [[]]
    for piece in pieces:
        if isinstance(piece, Begin):
            levels.append([])
        elif isinstance(piece, End):
            nodes = tuple(levels.pop())
            levels[-1].append(Block(piece.key, nodes))
        else:
            levels[-1].append(piece)
    return tuple(levels[0])


def arrange(
    nodes: Sequence[Node], wanted: Callable[[str], bool], ranks: Mapping[str, int]
) -> list[Any]:
    """Drop the blocks that are not wanted, and put those beside each other in order of `ranks`.

    A block without a rank keeps its place, and so does what stands between two blocks. Gives
    nodes without a block among them.
    """
    ranked = ranks and [
        n for n in nodes if isinstance(n, Block) and n.key in ranks and wanted(n.key)
    ]
    in_order = iter(sorted(ranked or (), key=lambda block: ranks[block.key]))
    chosen: list[Any] = []
    for node in nodes:
        if not isinstance(node, Block):
            chosen.append(node)
        elif wanted(node.key):
            block = next(in_order) if node.key in ranks else node
            chosen += arrange(block.nodes, wanted, ranks)
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a reader's choices need to know of a brief."""

    topics: tuple[str, ...]
    has_more: bool
    """Whether its full form says more than its standard one."""
    prominence: Detail = "full"
    """The most that a reader gets of it who was sent nothing of the edition before."""
    had_in: frozenset[str] = frozenset()
    """The names of editions: who was sent one of them does not get it again."""
    heading: str = ""
    """The key of the heading that its full form stands under; "" for none."""
    story_id: int = 0
    """The story that it goes on with, whose readers may mute it; 0 where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """What a reader sees of an edition before opening it."""

    subject: str
    preheader: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledEdition:
    """Everything about an edition's mail but who reads it."""

    subject: str
    preheader: str
    language: str
    html: Part
    plain: Part
    words: Mapping[str, int] = field(default_factory=dict)
    """Words in each block of its own, inner blocks not counted; "" is what all readers get."""
    stories: tuple[Story, ...] = ()
    """The briefs, in order."""
    owed: tuple[str, ...] = ()
    """For each correction the edition of which it is for the readers; "": it is for everybody."""
    watched: tuple[tuple[str, ...], ...] = ()
    """For each thing that is still watched its topics: who wants none of them does not get it."""
    watched_in: tuple[frozenset[str], ...] = ()
    """And the names of editions that told it, as `Story.had_in`; none where no other told any."""
    rest: Headline | None = None
    """What stands in place of subject and preheader for who was sent some of it before: it names
    nothing but what is new to all. None where all of it is."""
    most: int = 0
    """The most briefs that any reader gets; 0 = any number."""
    closes_gaps: bool = False
    """Whether what a reader was sent before takes no place: the briefs behind it move up, and have
    the prominence of where they stand then. In an edition of an earlier version they do not."""
    lenses: tuple[str, ...] = ()
    """The publication's lenses, in its order."""
    left_out: int = 0
    """How many briefs no reader gets."""
    detail: Detail = "full"
    minutes: int = 0
    """What readers get who chose nothing; 0 minutes are as many as it takes."""
    languages: Mapping[str, Language] = field(default_factory=dict)
    """The interface in each language that there is a catalogue for; `language` is among them."""

    def dump(self) -> bytes:
        """Serialise for storage; `load` gives back an equal edition."""
        document = {
            "format": _FORMAT,
            "subject": self.subject,
            "preheader": self.preheader,
            "language": self.language,
            "html": [_piece_to_json(p) for p in self.html.pieces],
            "plain": [_piece_to_json(p) for p in self.plain.pieces],
            "words": dict(self.words),
            "stories": [
                [
                    *(list(s.topics), s.has_more, s.prominence, " ".join(sorted(s.had_in))),
                    *(s.heading, s.story_id),
                ]
                for s in self.stories
            ],
            "owed": list(self.owed),
            "watched": [list(topics) for topics in self.watched],
            "watched_in": [" ".join(sorted(names)) for names in self.watched_in],
            "rest": [self.rest.subject, self.rest.preheader] if self.rest else [],
            "most": self.most,
            "closes_gaps": self.closes_gaps,
            "lenses": self.lenses,
            "left_out": self.left_out,
            "detail": self.detail,
            "minutes": self.minutes,
            "languages": {code: each.to_document() for code, each in self.languages.items()},
        }
        return zlib.compress(json.dumps(document, ensure_ascii=False).encode())

    @classmethod
    def load(cls, data: bytes) -> CompiledEdition:
        """Read what `dump` wrote; raises `StorageError` for anything else."""
        try:
            document = json.loads(zlib.decompress(data))
            if document["format"] != _FORMAT:
                raise ValueError(f"format {document['format']}")
            return cls(
                subject=document["subject"],
                preheader=document["preheader"],
                language=document["language"],
                html=Part(kind="html", pieces=tuple(map(_piece_from_json, document["html"]))),
                plain=Part(kind="plain", pieces=tuple(map(_piece_from_json, document["plain"]))),
                words={key: int(count) for key, count in document["words"].items()},
                stories=tuple(_story_from_json(*values) for values in document["stories"]),
                owed=tuple(map(str, document.get("owed", ()))),
                watched=tuple(map(tuple, document.get("watched", ()))),
                watched_in=tuple(
                    frozenset(names.split()) for names in document.get("watched_in", ())
                ),
                rest=_headline_from_json(*document.get("rest", ())),
                most=int(document.get("most", 0)),
                closes_gaps=bool(document.get("closes_gaps", False)),
                lenses=tuple(document["lenses"]),
                left_out=int(document["left_out"]),
                detail=document["detail"],
                minutes=int(document["minutes"]),
                languages={
                    code: Language.from_document(each)
                    for code, each in document["languages"].items()
                },
            )
        except (zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(f"the stored edition cannot be read ({error})") from error


def _headline_from_json(subject: str = "", preheader: str = "") -> Headline | None:
    return Headline(subject=subject, preheader=preheader) if subject else None


def _story_from_json(
    topics: list[str],
    has_more: bool,
    prominence: Detail = "full",
    had_in: str = "",
    heading: str = "",
    story_id: int = 0,
) -> Story:
    return Story(
        topics=tuple(topics),
        has_more=has_more,
        prominence=prominence,
        had_in=frozenset(had_in.split()),
        heading=heading,
        story_id=int(story_id),
    )


def _piece_to_json(piece: Piece | str) -> Any:
    match piece:
        case bytes():
            return base64.b64encode(piece).decode()
        case str():
            return {"text": piece}
        case Slot(name, default):
            return {"slot": name, "default": default}
        case Phrase(text, plural, count):
            return {"phrase": text, "plural": plural, "count": count}
        case Flow(parts, first, rest):
            return {"flow": [_piece_to_json(part) for part in parts], "indents": [first, rest]}
        case Begin(key):
            return {"begin": key}
        case End(key):
            return {"end": key}


def _piece_from_json(value: Any) -> Any:
    if isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if "text" in value:
        return str(value["text"])
    if "slot" in value:
        return Slot(value["slot"], value["default"])
    if "phrase" in value:
        return Phrase(value["phrase"], value["plural"], value["count"])
    if "flow" in value:
        return Flow(tuple(map(_piece_from_json, value["flow"])), *value["indents"])
    return Begin(value["begin"]) if "begin" in value else End(value["end"])
