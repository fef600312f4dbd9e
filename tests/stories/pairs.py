"""The labelled pairs: pieces about invented events, by hand, and which tell the same event.

A file has a piece a line. Pieces of one `subject` are alike (a strike and its end, two quakes of
one day, rivals' results); those with the same letter as `event` tell the same. Every two pieces of
a subject are a pair. `pieces.jsonl` is all for tuning. `fresh.jsonl`, written by two others who did
not know the program, has a half for tuning and one that is held out, by a hash of the subject's
name, so that no event is in both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

from newsletter.briefs.model import Brief, Source
from newsletter.editions.likeness import Corpus, Described

PIECES, FRESH = (Path(__file__).with_name(name) for name in ("pieces.jsonl", "fresh.jsonl"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    subject: str
    event: str
    brief: Brief
    at: datetime
    is_held_out: bool

    @property
    def told(self) -> tuple[str, str]:
        return self.subject, self.event


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    one: Piece
    other: Piece
    described: tuple[Described, Described]

    @property
    def is_same(self) -> bool:
        return self.one.event == self.other.event


def read_pieces() -> list[Piece]:
    return [
        build_piece(json.loads(line), is_fresh=file is FRESH)
        for file in (PIECES, FRESH)
        for line in file.read_text("utf-8").splitlines()
    ]


def build_piece(row: Mapping[str, str], *, is_fresh: bool) -> Piece:
    at = datetime.fromisoformat(row["published"]).astimezone(UTC)
    brief = Brief(
        title=row["title"],
        summary=row["summary"],
        sources=(Source(name=row["outlet"]),),
        published_at=at,
    )
    return Piece(
        subject=row["subject"],
        event=row["event"],
        brief=brief,
        at=at,
        is_held_out=is_fresh and hashlib.sha256(row["subject"].encode()).digest()[0] % 2 == 1,
    )


def build_pairs(*, held_out: bool) -> tuple[Corpus, list[Pair]]:
    """Give the pairs held out or those for tuning, and the corpus of these alone."""
    pieces = [piece for piece in read_pieces() if piece.is_held_out is held_out]
    corpus = Corpus((piece.brief, piece.at) for piece in pieces)
    described = dict(zip(map(id, pieces), corpus.described, strict=True))
    return corpus, [
        Pair(one=one, other=other, described=(described[id(one)], described[id(other)]))
        for one, other in combinations(pieces, 2)
        if one.subject == other.subject
    ]
