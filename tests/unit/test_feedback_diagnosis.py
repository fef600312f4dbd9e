"""Whether a mail server's words say that an address is dead: measured on a labelled set.

`refusals.txt` holds the words. A dead address that is missed costs a little mail, a living one
that is taken for dead costs a reader: so the one may happen, the other may not.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.feedback.diagnosis import find_answer, find_code, is_dead


class Refusal(NamedTuple):
    """A server's answer, and what it means."""

    is_dead: bool
    status: str
    words: str


def read_refusals() -> dict[str, list[Refusal]]:
    sections: dict[str, list[Refusal]] = {}
    for line in Path(__file__).with_name("refusals.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = sections.setdefault(line[1 : line.index("]")], [])
        elif line and not line.startswith("#"):
            meaning, status, words = [*line.split(" ", 2), "-"][:3]
            assert meaning in ("dead", "alive"), line
            section.append(Refusal(meaning == "dead", status.strip("-"), words.removeprefix("-")))
    return sections


REFUSALS = read_refusals()
HELD_OUT, KNOWN = REFUSALS["held out"], REFUSALS["known"]
VAGUE = (
    "",
    "554 Transaction failed",
    "550 Requested action not taken: mailbox unavailable",
    "550 Rule imposed mailbox access for ada@post.example refused",
)
LIVING = [refusal for refusal in HELD_OUT + KNOWN if not refusal.is_dead]


@pytest.mark.parametrize("refusal", KNOWN, ids=str)
def test_a_known_phrasing_is_understood(refusal: Refusal) -> None:
    assert is_dead(refusal.status, refusal.words) == refusal.is_dead


def test_no_living_reader_is_taken_for_dead_by_words_the_rules_were_not_made_for() -> None:
    taken = [one for one in HELD_OUT if is_dead(one.status, one.words) and not one.is_dead]
    assert taken == []


def test_most_of_the_dead_are_found_by_words_the_rules_were_not_made_for() -> None:
    dead = [one for one in HELD_OUT if one.is_dead]
    found = [one for one in dead if is_dead(one.status, one.words)]
    assert len(dead) >= 20
    assert len(found) >= 0.9 * len(dead)


@pytest.mark.parametrize("refusal", LIVING, ids=str)
def test_words_that_say_what_the_trouble_is_overrule_the_code(refusal: Refusal) -> None:
    assert is_dead("5.1.1", refusal.words) == (refusal.words in VAGUE)


@pytest.mark.parametrize("words", VAGUE)
def test_words_that_say_nothing_leave_it_to_the_code(words: str) -> None:
    assert is_dead("5.1.1", words)
    assert not is_dead("5.0.0", words)
    assert not is_dead("4.1.1", words)


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        ("5.1.1", "", "5.1.1"),
        ("5.1.1 (bad mailbox)", "550 5.7.1 no", "5.1.1"),
        ("5.0.0", "550 5.1.1 no such user", "5.1.1"),
        ("5.0.0", "no such user", "5.0.0"),
        ("", "550-5.2.1 disabled", "5.2.1"),
        ("", "host mx[5.1.1.7] said no", ""),
        ("", "release 2.1.1", ""),
        ("nonsense", "nothing", ""),
        ("", "(#5.1.10)", "5.1.10"),
    ],
)
def test_the_code_that_says_most_counts(status: str, words: str, code: str) -> None:
    assert find_code(status, words) == code


@pytest.mark.parametrize(
    "words",
    [
        "550 5.1.1 <spam@post.example>: no such user",
        "550 5.1.1 policy@post.example: no such user",
        "host quota.rate.spamhost.example[192.0.2.7] said: 550 5.1.1 no such user",
        "550 5.1.1 no such user, see https://spam.example/blocked/quota",
    ],
)
def test_names_are_no_words(words: str) -> None:
    assert is_dead("", words)


def test_an_answer_is_found_in_a_letter() -> None:
    letter = (
        "Sorry.\n\nWe tried:\n  <ada@post.example>:\n  550 no such user,\n  really\n\nBye 2026\n"
    )
    assert find_answer(letter) == "550 no such user, really"
    assert find_answer("Thank you for the newsletter!\n") == ""


@given(status=st.text(max_size=20), words=st.text(max_size=5_000))
def test_any_words_are_judged(status: str, words: str) -> None:
    is_dead(status, words)
    find_answer(words)
