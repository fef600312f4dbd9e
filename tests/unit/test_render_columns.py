import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from newsletter.render.columns import COLUMNS, count_columns, wrap_text
from newsletter.render.words import count_words

TEXT = st.text(st.one_of(st.characters(categories=("L", "N", "P", "Zs", "Mn")), st.just(" ")))


def squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_wide_characters_take_two_columns_and_marks_none() -> None:
    assert count_columns("abc") == 3
    assert count_columns("東京") == 4
    assert count_columns("e\u0301") == 1


@given(TEXT)
def test_no_line_is_too_wide_and_nothing_is_lost(text: str) -> None:
    wrapped = wrap_text(text, "- ", "  ")
    assert all(count_columns(line) <= COLUMNS for line in wrapped.split("\n"))
    assert squeeze(wrapped) == squeeze("- " + text)


@given(st.lists(st.text("abcdef", min_size=1, max_size=12), max_size=60))
def test_words_stay_whole_and_lines_are_filled(words: list[str]) -> None:
    lines = wrap_text(" ".join(words), width=30).split("\n")
    assert " ".join(lines).split() == words
    for line, after in pairwise(lines):
        assert len(line) + 1 + len(after.split()[0]) > 30


def test_a_link_is_never_broken() -> None:
    link = "https://news.example/" + "a" * 200
    lines = wrap_text(f"See {link} for more of this").split("\n")
    assert lines == ["See", link, "for more of this"]


def test_japanese_breaks_between_characters_but_not_before_a_full_stop() -> None:
    lines = wrap_text("港" * 39 + "。" + "港" * 5).split("\n")
    assert lines == ["港" * 38, "港。" + "港" * 5]


def test_a_word_longer_than_a_line_is_cut() -> None:
    assert wrap_text("x" * 100).split("\n") == ["x" * 78, "x" * 22]


def test_marks_take_no_room_and_stay_whole() -> None:
    text = " ".join(f"<<{n}>>ab" for n in range(26))
    assert wrap_text(text, mark="<<([0-9])+>>") == text


def test_words_are_counted_in_scripts_with_and_without_spaces() -> None:
    assert count_words("Two services a week, from 49.50: that's all -- really.") == 9
    assert count_words("港の船") == 2
    assert count_words("") == 0
