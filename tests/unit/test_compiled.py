"""The compiled edition: what is selected from its blocks, and how it is stored."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.errors import StorageError
from newsletter.render.compiled import Begin, CompiledEdition, End, Part, Piece, Slot

KEYS = ("brief:1", "brief:2", "lens:1:A", "lens:2:A")


@dataclass(frozen=True)
class Block:
    """A block as a tree: what `Part` keeps flat."""

    key: str
    inner: tuple[bytes | Slot | Block, ...]


leaves = st.one_of(
    st.binary(min_size=1, max_size=4), st.builds(Slot, st.sampled_from(["name", "fields.city"]))
)
trees = st.recursive(
    leaves,
    lambda inner: st.builds(Block, st.sampled_from(KEYS), st.lists(inner, max_size=4).map(tuple)),
    max_leaves=20,
)


def flatten(nodes: tuple[bytes | Slot | Block, ...]) -> Iterator[Piece]:
    for node in nodes:
        if isinstance(node, Block):
            yield Begin(node.key)
            yield from flatten(node.inner)
            yield End(node.key)
        else:
            yield node


def choose(nodes: tuple[bytes | Slot | Block, ...], wanted: set[str]) -> Iterator[bytes | Slot]:
    for node in nodes:
        if not isinstance(node, Block):
            yield node
        elif node.key in wanted:
            yield from choose(node.inner, wanted)


def spell(pieces: Iterator[bytes | Slot]) -> list[object]:
    """Give the bytes one by one and the slots, so that joined pieces compare equal."""
    spelled: list[object] = []
    for piece in pieces:
        spelled.extend(piece if isinstance(piece, bytes) else [piece])
    return spelled


@given(st.lists(trees, max_size=6).map(tuple), st.sets(st.sampled_from(KEYS)))
def test_a_selection_drops_whole_blocks_and_nothing_else(
    nodes: tuple[bytes | Slot | Block, ...], wanted: set[str]
) -> None:
    part = Part(kind="html", pieces=tuple(flatten(nodes)))
    selected = part.select(wanted.__contains__)
    assert spell(iter(selected)) == spell(choose(nodes, wanted))
    for before, after in pairwise(selected):
        assert isinstance(before, Slot) or isinstance(after, Slot), "static pieces are joined"


def test_an_unwanted_block_takes_its_inner_blocks_along() -> None:
    part = Part(
        kind="plain",
        pieces=(
            b"a",
            Begin("brief:1"),
            b"b",
            Begin("lens:1:A"),
            b"c",
            End("lens:1:A"),
            Slot("name"),
            End("brief:1"),
            b"d",
        ),
    )
    assert part.select(lambda key: key == "lens:1:A") == (b"ad",)
    assert part.select(lambda key: key == "brief:1") == (b"ab", Slot("name"), b"d")
    assert part.select(lambda _key: True) == (b"abc", Slot("name"), b"d")


pieces = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.builds(Slot, st.text(max_size=10), st.text(max_size=10)),
        st.builds(Begin, st.text(max_size=10)),
        st.builds(End, st.text(max_size=10)),
    ),
    max_size=10,
).map(tuple)
editions = st.builds(
    CompiledEdition,
    subject=st.text(),
    preheader=st.text(),
    language=st.sampled_from(["en", "de"]),
    html=st.builds(Part, kind=st.just("html"), pieces=pieces),
    plain=st.builds(Part, kind=st.just("plain"), pieces=pieces),
    words=st.dictionaries(st.text(max_size=10), st.integers(0, 10_000), max_size=5),
)


@given(editions)
def test_a_stored_edition_is_read_back_equal(edition: CompiledEdition) -> None:
    stored = edition.dump()
    assert CompiledEdition.load(stored) == edition
    assert CompiledEdition.load(stored).dump() == stored


EMPTY = CompiledEdition(
    subject="s",
    preheader="p",
    language="en",
    html=Part(kind="html", pieces=()),
    plain=Part(kind="plain", pieces=()),
)


def spoil(**changed: object) -> bytes:
    document = json.loads(zlib.decompress(EMPTY.dump())) | changed
    return zlib.compress(json.dumps(document).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not compressed",
        EMPTY.dump()[:-3],
        zlib.compress(b"\xff\xfe"),
        zlib.compress(b"{}"),
        zlib.compress(b"[]"),
        zlib.compress(b"3"),
        zlib.compress(b"{"),
        spoil(format=2),
        spoil(html=[3]),
        spoil(html=3),
        spoil(html=["not base64!"]),
        spoil(html=[{"slot": "name"}]),
        spoil(html=[{"other": "name"}]),
        spoil(html=[None]),
        spoil(words=3),
        spoil(words={"": "many"}),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(StorageError, match="stored edition"):
        CompiledEdition.load(data)


@given(st.binary(max_size=60))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(StorageError):
        CompiledEdition.load(data)


def test_pieces_are_kept_byte_for_byte() -> None:
    every = bytes(range(256))
    part = Part(kind="html", pieces=(every, Slot("name", "reader"), every))
    edition = CompiledEdition(
        subject="s", preheader="p", language="en", html=part, plain=EMPTY.plain, words={"": 3}
    )
    assert CompiledEdition.load(edition.dump()).html == part
    assert base64.b64encode(every) in zlib.decompress(edition.dump())
