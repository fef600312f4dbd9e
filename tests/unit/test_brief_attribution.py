"""Who reported the story, and which lens says that nothing applies."""

import time

import pytest

from newsletter.briefs.attribution import (
    parse_outlets,
    source_from_furniture,
    sources_from_disclosure,
)
from newsletter.briefs.implication import is_no_direct_implication
from newsletter.briefs.model import Source


@pytest.mark.parametrize(
    ("named", "names"),
    [
        ("wire.example. See our Disclosure for details.", ["wire.example"]),
        ("wire.example.", ["wire.example"]),
        ("wire.example", ["wire.example"]),
        ("wire.example. Write to us.", ["wire.example"]),
        ("a.example and b.example. See it.", ["a.example", "b.example"]),
        ("a.example, b.example, and c.example. See it.", ["a.example", "b.example", "c.example"]),
        ("a.example; b.example & c.example", ["a.example", "b.example", "c.example"]),
        ("a.example, A.example. See it.", ["a.example"]),
        ("bücher.example and 例え.テスト. See it.", ["bücher.example", "例え.テスト"]),
        ("xn--bcher-kva.example, a.xn--p1ai", ["xn--bcher-kva.example", "a.xn--p1ai"]),
        ("The Daily Example. See it.", ["The Daily Example"]),
        ("Ministry of Trade and Industry. See it.", ["Ministry of Trade and Industry"]),
        ("Example News, Inc. and b.example. See", ["Example News, Inc", "b.example"]),
        ("U.S. Wire Service. See it.", ["U.S. Wire Service"]),
        ("the sources.\n\nA second paragraph.", ["the sources"]),
        ("", []),
        (". See it.", []),
    ],
)
def test_sources_are_named_by_the_disclosure(named: str, names: list[str]) -> None:
    found = sources_from_disclosure(f"It does not replace the Original Reporting from {named}")
    assert [source.name for source in found] == names


def test_a_disclosure_without_the_words_names_nobody() -> None:
    assert sources_from_disclosure("Written with the help of a.example.") == ()


def test_a_source_may_be_an_address() -> None:
    (source,) = parse_outlets("https://wire.example/2026/story")
    assert source == Source(name="wire.example", url="https://wire.example/2026/story")


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("Read full story on wire.example", ["wire.example"]),
        ("READ THE FULL STORY ON The Daily Example", ["The Daily Example"]),
        ("Read full story on", []),
        ("They read full story on wire.example", []),
    ],
)
def test_a_copied_page_names_its_source(line: str, names: list[str]) -> None:
    assert [source.name for source in source_from_furniture(line)] == names


@pytest.mark.parametrize("unit", [" ", "a.example and ", "a,", "original reporting from "])
def test_names_are_read_in_linear_time(unit: str) -> None:
    begun = time.process_time()
    sources_from_disclosure("original reporting from " + unit * 100_000)
    parse_outlets("a" + unit * 2_000 + "b")
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    "text",
    [
        "No clear adversary framing applies to this story.",
        "No national security implications are identified.",
        "No direct civil-liberties principle is centrally implicated in the commercial IP dispute.",
        "No direct civil-liberties principle is centrally implicated in the reopening.",
        "There is no direct household impact.",
        "There are no clear national security implications at this stage.",
        "This story carries no direct adversary angle.",
        "NO DIRECT IMPLICATIONS.",
        "None.",
        "N/A",
        "  Not applicable ",
    ],
)
def test_a_lens_that_says_nothing_applies_is_recognised(text: str) -> None:
    assert is_no_direct_implication(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No agreement is likely before winter, which raises prices.",
        "No clear adversary framing applies to this story, but rivals may yet use it.",
        "No direct impact is identified until the fee takes effect in May.",
        "No direct impact is identified. Prices may rise later.",
        "No one is implicated in the scandal.",
        "No troops are involved in the exercise.",
        "No price impact is expected because a subsidy covers the difference.",
        "Notable implications are identified.",
        "There is no doubt that families lose.",
        "There is no household impact if wages hold.",
        "The implications are identified.",
        "Civil liberties are directly implicated.",
        "No national security implications are identified; food prices rise.",
        "None of the families affected can move.",
    ],
)
def test_any_other_text_is_a_text(text: str) -> None:
    assert not is_no_direct_implication(text)


def test_the_outcome_is_decided_in_linear_time() -> None:
    begun = time.process_time()
    for text in ("no " * 100, "no " + "a-" * 140, "no view of a applies " + "to " * 90):
        is_no_direct_implication(text)
    assert not is_no_direct_implication("no " * 1_000_000)
    assert time.process_time() - begun < 1
