from __future__ import annotations

import unicodedata
from datetime import date

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from newsletter.briefs.model import Brief, Perspective, Point
from newsletter.editions.headlines import count_graphemes, format_preheader, format_subject
from newsletter.settings import Publication

DAY = date(2026, 3, 2)
PUBLICATION = Publication(
    name="Harbour Morning",
    sender="Harbour Morning <brief@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
)


def subject(*titles: str, publication: Publication = PUBLICATION) -> str:
    briefs = [Brief(title=title, summary="A summary.") for title in titles]
    return format_subject(briefs, publication=publication, day=DAY)


def preheader(*stories: str | tuple[str, str], publication: Publication = PUBLICATION) -> str:
    pairs = [story if isinstance(story, tuple) else (story, "A summary.") for story in stories]
    briefs = [Brief(title=title, summary=summary) for title, summary in pairs]
    return format_preheader(briefs, publication=publication, day=DAY)


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        (["Ferries stop"], "Ferries stop"),
        (["Ferries stop", "Bridge opens"], "Ferries stop; Bridge opens"),
        (
            ["Ferries stop", "Bridge opens", "Rates hold", "Not a fourth"],
            "Ferries stop; Bridge opens; Rates hold",
        ),
        # What does not fit is left out whole, and a shorter one after it may still fit.
        (["Ferries stop", "B" * 60, "Rates hold"], "Ferries stop; Rates hold"),
        (["F" * 30, "B" * 28], "F" * 30 + "; " + "B" * 28),
        (["F" * 30, "B" * 29], "F" * 30),
        (["F" * 60], "F" * 60),
        # Only a first headline that is too long by itself is cut, and at a word.
        (
            ["Council votes to reopen the northern ferry route before the summer timetable"],
            "Council votes to reopen the northern ferry route before the…",
        ),
        (["Council votes " + "x" * 60], "Council votes…"),
        (["One, two, three, four, five, six, seven, eight, nine, ten, eleven"],
         "One, two, three, four, five, six, seven, eight, nine, ten…"),
        (["x" * 61], "x" * 59 + "…"),
        (["港" * 80], "港" * 59 + "…"),
        # Nothing to say, or nothing to say it with.
        ([], "Harbour Morning, 2026-03-02"),
        (["\x00\n", "Bridge opens"], "Bridge opens"),
        (["\n", "\t"], "Harbour Morning, 2026-03-02"),
        # Hostile characters.
        (["Ferries\r\nBcc: all@news.example"], "Ferries Bcc: all@news.example"),
        (["Ferries\u2028stop\x85now\x7f"], "Ferries stop now"),
        (["\u202egnp.exe\u202c \u2066x\u2069"], "gnp.exe x"),
        (["\ud800Ferries"], "Ferries"),
        (["{{7*7}} ]]> <script>"], "{{7*7}} ]]> <script>"),
    ],
)  # fmt: skip
def test_subject(titles: list[str], expected: str) -> None:
    assert subject(*titles) == expected


def test_the_subject_counts_what_a_reader_sees_not_code_points() -> None:
    family = "👨‍👩‍👧‍👦"
    assert subject(family * 60) == family * 60
    assert subject(family * 61) == family * 59 + "…"
    accented = unicodedata.normalize("NFD", "é") * 61
    assert subject(accented) == accented[: 2 * 59] + "…"


def test_a_tower_of_combining_marks_does_not_make_a_subject_of_kilobytes() -> None:
    assert len(subject("Z" + "\u0300" * 10_000)) < 20


def test_a_long_name_leaves_room_for_the_date() -> None:
    long = PUBLICATION.model_copy(update={"name": "The Harbour Morning " * 10})
    assert subject(publication=long) == "The Harbour Morning The Harbour Morning The…, 2026-03-02"


PILOTS = (
    "All ferries stopped on Monday when the pilots of the harbour walked out, and the company said "
    "that none would sail again before Wednesday."
)


@pytest.mark.parametrize(
    ("stories", "expected"),
    [
        # Other stories than the subject's: the fourth on, or the one that did not fit.
        (
            ["Ferries stop", "Bridge opens", "Rates hold", "Museum finds a lost map of the coast",
             "Bakers strike"],
            "Museum finds a lost map of the coast; Bakers strike",
        ),
        (
            ["Ferries stop", "Storm closes every school between the capes until Thursday at least",
             "Rates hold"],
            "Storm closes every school between the capes until Thursday at least",
        ),
        # A short headline is joined by summaries, the other stories' first.
        (
            ["A1", "A2", "A3", ("Bakers strike", "The bakers of three towns stopped work today.")],
            "Bakers strike – The bakers of three towns stopped work today.",
        ),
        # One story: its summary, cut at a word.
        (
            [("Ferries stop", PILOTS)],
            PILOTS[: PILOTS.index(" sail again")] + "…",
        ),
        # Next to nothing to tell.
        ([("A", "B")], "B – Harbour Morning, 2026-03-02: the news of the day in brief"),
        ([], "There is nothing new to report since the last edition."),
    ],
)  # fmt: skip
def test_preheader(stories: list[str | tuple[str, str]], expected: str) -> None:
    assert preheader(*stories) == expected
    assert 40 <= len(expected) <= 110


def test_a_long_headline_is_cut_and_a_shorter_one_is_not_squeezed_in_after_it() -> None:
    told = preheader("S" * 60, "word " * 30, "tail")
    assert told == ("word " * 22).strip() + "…"


ANY_TEXT = st.text(max_size=130)
HEADLINE = st.one_of(
    ANY_TEXT,
    st.lists(st.sampled_from(["port", "storm", "über", "港湾", "👩‍🚒"]), max_size=30).map(" ".join),
)
MARK = "ANALYSIS"
BRIEF = st.builds(
    Brief,
    title=HEADLINE,
    summary=HEADLINE,
    why_it_matters=st.just(MARK),
    quick_take=st.just((Point(label=MARK, text=MARK),)),
    perspectives=st.just((Perspective(lens=MARK, descriptor=MARK, text=MARK),)),
    disclosure=st.just(MARK),
)


@given(st.lists(BRIEF, max_size=5), ANY_TEXT)
def test_any_headlines_make_a_safe_subject_and_preheader(briefs: list[Brief], name: str) -> None:
    publication = PUBLICATION.model_copy(update={"name": name})
    made = format_subject(briefs, publication=publication, day=DAY)
    before = format_preheader(briefs, publication=publication, day=DAY)

    assert 1 <= count_graphemes(made) <= 60
    assert 40 <= len(before) <= 110
    for line in (made, before):
        assert not regex.search(r"[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]", line)
        assert line == line.strip()
        assert MARK not in line
        line.encode()


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1).map(" ".join), min_size=1))
def test_no_word_of_a_subject_is_cut(titles: list[str]) -> None:
    made = subject(*titles)
    headlines = made.split("; ")
    if made.endswith("…"):
        assert titles[0].startswith(made[:-1] + " ")
    else:
        assert all(headline in titles[:3] for headline in headlines)
