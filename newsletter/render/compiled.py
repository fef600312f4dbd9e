r"""An edition compiled once: static bytes in wire form, slots for readers, optional blocks.

A part (HTML or plain text) is a flat run of pieces. Each static piece is already
quoted-printable (RFC 2045 §6.7), begins at the start of a line and ends with CRLF, a soft
break (`=\r\n`) where the text goes on. So does each slot's value (`wire.encode_value`).
Any run of pieces is therefore valid, and a reader's copy is one `b"".join`. A block is the
run between its `Begin` and `End`; leaving it out leaves valid HTML, since blocks are whole
table rows inside a column. Blocks nest.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from newsletter.errors import StorageError


@dataclass(frozen=True, slots=True)
class Slot:
    """A reader's value. `name` is one of `SLOTS` or `fields.NAME`; `default` stands in for ""."""

    name: str
    default: str = ""


@dataclass(frozen=True, slots=True)
class Begin:
    """A block begins. `key` names what a reader may choose, e.g. `brief:3` or `lens:3:Name`."""

    key: str


@dataclass(frozen=True, slots=True)
class End:
    """The innermost block ends."""

    key: str


Piece = bytes | Slot | Begin | End

SLOTS = {
    "name": "the reader's name",
    "email": "the reader's address",
    "unsubscribe_url": "leaves the list with one click and one confirmation",
    "preferences_url": "the reader's own choices",
    "web_url": "this edition on the web",
    "brief_count": "how many briefs this reader gets",
    "word_count": "how many words this reader gets",
    "minutes": "how long this reader reads, at 238 words a minute",
}
"""Every slot but the operator's own `fields.NAME`, and what it says."""

WORDS_PER_MINUTE = 238


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One body part in wire form."""

    kind: Literal["html", "plain"]
    pieces: tuple[Piece, ...]

    def select(self, wanted: Callable[[str], bool]) -> tuple[bytes | Slot, ...]:
        """Drop the blocks whose key is not wanted, and join the static pieces that then meet."""
        chosen: list[bytes | Slot] = []
        skipping = 0
        for piece in self.pieces:
            if isinstance(piece, Begin):
                skipping = skipping + 1 if skipping or not wanted(piece.key) else 0
            elif isinstance(piece, End):
                skipping = max(0, skipping - 1)
            elif not skipping:
                if isinstance(piece, bytes) and chosen and isinstance(chosen[-1], bytes):
                    chosen[-1] += piece
                else:
                    chosen.append(piece)
        return tuple(chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledEdition:
    """Everything about an edition's mail but who reads it."""

    subject: str
    preheader: str
    language: str
    html: Part
    plain: Part
    words: dict[str, int] = field(default_factory=dict)
    """Words in each block of its own, inner blocks not counted; "" is what all readers get."""

    def dump(self) -> bytes:
        """Serialise for storage; `load` gives back an equal edition."""
        document = {
            "format": 1,
            "subject": self.subject,
            "preheader": self.preheader,
            "language": self.language,
            "html": [_piece_to_json(p) for p in self.html.pieces],
            "plain": [_piece_to_json(p) for p in self.plain.pieces],
            "words": self.words,
        }
        return zlib.compress(json.dumps(document, ensure_ascii=False).encode())

    @classmethod
    def load(cls, data: bytes) -> CompiledEdition:
        """Read what `dump` wrote; raises `StorageError` for anything else."""
        try:
            document = json.loads(zlib.decompress(data))
            if document["format"] != 1:
                raise ValueError(document["format"])
            return cls(
                subject=document["subject"],
                preheader=document["preheader"],
                language=document["language"],
                html=Part(kind="html", pieces=tuple(map(_piece_from_json, document["html"]))),
                plain=Part(kind="plain", pieces=tuple(map(_piece_from_json, document["plain"]))),
                words={key: int(count) for key, count in document["words"].items()},
            )
        except (zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(f"the stored edition cannot be read ({error})") from error


def _piece_to_json(piece: Piece) -> Any:
    match piece:
        case bytes():
            return base64.b64encode(piece).decode()
        case Slot(name, default):
            return {"slot": name, "default": default}
        case Begin(key):
            return {"begin": key}
        case End(key):
            return {"end": key}


def _piece_from_json(value: Any) -> Piece:
    if isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if "slot" in value:
        return Slot(value["slot"], value["default"])
    return Begin(value["begin"]) if "begin" in value else End(value["end"])
