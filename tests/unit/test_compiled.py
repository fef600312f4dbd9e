"""The compiled edition: what is selected from its blocks, and how it is stored."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.errors import StorageError
from newsletter.render.compiled import (
    Begin,
    Block,
    CompiledEdition,
    End,
    Flow,
    Headline,
    Node,
    Part,
    Phrase,
    Slot,
    Story,
    arrange,
    build_tree,
)
from newsletter.render.languages import Language

KEYS = ("brief:1", "brief:2", "lens:1:A", "lens:2:A")


leaves = st.one_of(
    st.binary(min_size=1, max_size=4), st.builds(Slot, st.sampled_from(["name", "fields.city"]))
)
trees = st.recursive(
    leaves,
    lambda inner: st.builds(Block, st.sampled_from(KEYS), st.lists(inner, max_size=4).map(tuple)),
    max_leaves=20,
)


def flatten(nodes: Sequence[Node]) -> Iterator[Any]:
    for node in nodes:
        if isinstance(node, Block):
            yield Begin(node.key)
            yield from flatten(node.nodes)
            yield End(node.key)
        else:
            yield node


def choose(nodes: Sequence[Node], wanted: set[str]) -> Iterator[Node]:
    for node in nodes:
        if not isinstance(node, Block):
            yield node
        elif node.key in wanted:
            yield from choose(node.nodes, wanted)


@given(st.lists(trees, max_size=6).map(tuple))
def test_a_tree_is_what_the_marks_enclose(nodes: tuple[Node, ...]) -> None:
    assert build_tree(flatten(nodes)) == nodes


@given(st.lists(trees, max_size=6).map(tuple), st.sets(st.sampled_from(KEYS)))
def test_a_selection_drops_whole_blocks_and_nothing_else(
    nodes: tuple[Node, ...], wanted: set[str]
) -> None:
    selected = arrange(nodes, wanted.__contains__, {})
    assert selected == list(choose(nodes, wanted))


def test_an_unwanted_block_takes_its_inner_blocks_along() -> None:
    nodes = (b"a", Block("1", (b"b", Block("2", (b"c",)), Slot("name"))), b"d")

    def select(*wanted: str) -> list[Any]:
        return arrange(nodes, wanted.__contains__, {})

    assert select("2") == [b"a", b"d"]
    assert select("1") == [b"a", b"b", Slot("name"), b"d"]
    assert select("1", "2") == [b"a", b"b", b"c", Slot("name"), b"d"]


def test_the_blocks_of_a_run_stand_in_the_readers_order() -> None:
    nodes = (b"<", *(node for key in "abcd" for node in (Block(key, (key.encode(),)), b",")), b">")
    ranks = {"d": 0, "a": 1, "b": 2}

    def say(wanted: str) -> bytes:
        return b"".join(arrange(nodes, lambda key: key in wanted, ranks))

    assert say("abcd") == b"<d,a,c,b,>"  # and so does a block that has no rank
    assert say("ad") == b"<d,,,a,>"  # what stands between two blocks keeps its place
    assert say("") == b"<,,,,>"


pieces = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.builds(Slot, st.text(max_size=10), st.text(max_size=10)),
        st.builds(Phrase, st.text(max_size=10), st.text(max_size=10), st.text(max_size=10)),
        st.builds(Begin, st.text(max_size=10)),
        st.builds(End, st.text(max_size=10)),
        st.builds(
            Flow,
            st.lists(st.one_of(st.text(max_size=5), st.builds(Slot, st.text()))).map(tuple),
            st.text(max_size=3),
            st.text(max_size=3),
        ),
    ),
    max_size=10,
).map(tuple)
names = st.frozensets(st.sampled_from(["2026-11-23", "2026-11-23-evening"]))
editions = st.builds(
    CompiledEdition,
    subject=st.text(),
    preheader=st.text(),
    language=st.sampled_from(["en", "de"]),
    html=st.builds(Part, kind=st.just("html"), pieces=pieces),
    plain=st.builds(Part, kind=st.just("plain"), pieces=pieces),
    words=st.dictionaries(st.text(max_size=10), st.integers(0, 10_000), max_size=5),
    stories=st.lists(
        st.builds(
            Story,
            topics=st.lists(st.text(), max_size=2).map(tuple),
            has_more=st.booleans(),
            had_in=names,
        ),
        max_size=3,
    ).map(tuple),
    watched_in=st.lists(names, max_size=2).map(tuple),
    rest=st.none() | st.builds(Headline, subject=st.text(min_size=1), preheader=st.text()),
    most=st.integers(0, 60),
    closes_gaps=st.booleans(),
    lenses=st.lists(st.text(), max_size=3).map(tuple),
    left_out=st.integers(0, 99),
    minutes=st.sampled_from([0, 5]),
    languages=st.dictionaries(
        st.sampled_from(["en", "de"]),
        st.builds(
            Language,
            plural=st.just("(n > 1)"),
            group=st.text(max_size=1),
            phrases=st.dictionaries(st.text(), st.lists(st.text(), min_size=1).map(tuple)),
        ),
    ),
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
        spoil(format=1),
        spoil(html=[3]),
        spoil(html=3),
        spoil(html=["not base64!"]),
        spoil(html=[{"slot": "name"}]),
        spoil(html=[{"other": "name"}]),
        spoil(html=[None]),
        spoil(words=3),
        spoil(words={"": "many"}),
        spoil(stories=[[]]),
        spoil(languages={"de": {}}),
        spoil(languages={"de": {"plural": "import os", "group": ".", "phrases": {}}}),
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
