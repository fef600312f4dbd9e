"""How a search sees texts: which words they have in any language, and what is shown of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.editions.wording import (
    QUERY_WORDS,
    build_excerpt,
    find_word,
    read_query,
    split_words,
    weigh_words,
)


def words(text: str) -> list[str]:
    return [place.word for place in split_words(text)]


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("The Harbor\u2019s 12 ferries, in 2026", ["the", "harbor", "12", "ferries", "in", "2026"]),
        ("Straße, CAFÉ, İstanbul", ["strasse", "cafe", "istanbul"]),
        ("ＦＵＬＬ width", ["full", "width"]),
        ("שָׁלוֹם לעולם", ["שלום", "לעולם"]),
        ("مُحَمَّد", ["محمد"]),
        ("東京都は", ["東京", "京都", "都は", "は"]),
        ("iPhone発売", ["iphone", "発売", "売"]),
        ("한국 뉴스", ["한국", "뉴스"]),
        ("किताब कु", ["किताब", "कु"]),
        ("Новости Ёлка", ["новости", "елка"]),
        ("<b>&amp;</b> … –", ["amp"]),
        ("", []),
    ],
)
def test_words_of_any_language(text: str, split: list[str]) -> None:
    assert words(text) == split


def test_a_query_is_bounded_and_has_each_word_once() -> None:
    assert read_query("Quay quay QUAY reopens") == ("quay", "reopens")
    assert read_query("東京都") == ("東京", "京都")
    assert read_query("水") == ("水",)
    assert len(read_query(" ".join(f"word{n}" for n in range(50)))) == QUERY_WORDS
    assert read_query("x" * 10_000) == ("x" * 40,)
    assert read_query("' OR 1=1 --") == ("or", "1")


def test_a_word_also_finds_those_that_begin_with_it() -> None:
    assert find_word("quays", ["quay"]) == "quay"
    assert find_word("quay", ["quays"]) == ""
    assert find_word("or", ["o"]) == ""
    assert find_word("水道", ["水"]) == "水"


def test_the_excerpt_shows_where_the_words_are() -> None:
    paragraphs = ["Nothing of it.", "Long before that. " * 20 + "The north quay reopens on Monday."]
    excerpt = build_excerpt(paragraphs, ["quay", "reopen"])
    assert [part.text for part in excerpt if part.is_hit] == ["quay", "reopens"]
    shown = "".join(part.text for part in excerpt)
    assert shown.startswith("… ")
    assert shown.endswith("on Monday.")
    assert len(shown) < 300
    dense = build_excerpt(["昨日、東京都は新しい計画を発表した。"], ["東京", "京都"])
    assert "".join(part.text for part in dense if part.is_hit) == "東京都"


@given(st.lists(st.text(max_size=400), max_size=3), st.text(max_size=60))
def test_whatever_is_asked_and_told_an_excerpt_is_part_of_the_text(
    paragraphs: list[str], query: str
) -> None:
    shown = "".join(part.text for part in build_excerpt(paragraphs, read_query(query)))
    bare = shown.removeprefix("… ").removesuffix(" …")
    assert not paragraphs or any(
        bare in paragraph or shown in paragraph for paragraph in paragraphs
    )
    assert len(shown) <= 310


@given(st.text())
def test_any_text_is_weighed(text: str) -> None:
    weights = weigh_words([(text, 3)])
    assert all(word and len(word) <= 40 and 0 < weight <= 255 for word, weight in weights.items())
