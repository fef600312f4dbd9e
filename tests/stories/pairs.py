"""The labelled pairs: pieces about invented events, by hand, and which tell the same event.

Two sets, a file each, with a piece a line. `pieces` is the older one: its pieces say again what
happened, and most of its pairs are meant to mislead. `fresh` was written by two others who did not
know the program: outlets tell an event as outlets do, each from a side of its own.

Pieces of one `subject` are alike (a strike and its end, two quakes of one day, rivals' results);
those with the same letter as `event` tell the same. Every two pieces of a subject are a pair. A
subject belongs to the half for tuning or to the one that is held out, by a hash of its name, so
that no event is in both.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

from newsletter.briefs.model import Brief, Source
from newsletter.editions.likeness import Corpus, Described

SETS = ("pieces", "fresh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    subject: str
    event: str
    brief: Brief
    at: datetime

    @property
    def is_held_out(self) -> bool:
        return hashlib.sha256(self.subject.encode()).digest()[0] % 2 == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    one: Piece
    other: Piece
    described: tuple[Described, Described]

    @property
    def is_same(self) -> bool:
        return self.one.event == self.other.event


def read_pieces(name: str) -> list[Piece]:
    """Read one of the sets, both its halves."""
    pieces = []
    for line in Path(__file__).with_name(f"{name}.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        at = datetime.fromisoformat(row["published"]).astimezone(UTC)
        brief = Brief(
            title=row["title"],
            summary=row["summary"],
            sources=(Source(name=row["outlet"]),),
            published_at=at,
        )
        pieces.append(Piece(subject=row["subject"], event=row["event"], brief=brief, at=at))
    return pieces


def build_pairs(name: str, *, held_out: bool) -> tuple[Corpus, list[Pair]]:
    """Give the pairs of one half of a set, and the corpus of that half alone."""
    pieces = [piece for piece in read_pieces(name) if piece.is_held_out is held_out]
    corpus = Corpus((piece.brief, piece.at) for piece in pieces)
    described = dict(zip(map(id, pieces), corpus.described, strict=True))
    return corpus, [
        Pair(one=one, other=other, described=(described[id(one)], described[id(other)]))
        for one, other in combinations(pieces, 2)
        if one.subject == other.subject
    ]
