"""One report out of several copies and several examiners; overrides; how links answered."""

from __future__ import annotations

import pytest

from newsletter.errors import RefusedError
from newsletter.render.preflight import (
    Answer,
    Finding,
    Link,
    Status,
    choose_overridden,
    join_reports,
    judge_answers,
    merge_copies,
)
from newsletter.render.preflight.conditional import (
    evaluate,
    list_table_faults,
    show_to_outlook,
    split_passages,
)
from newsletter.render.preflight.report import judge


def finding(number: int, status: Status, detail: str = "") -> Finding:
    return Finding(number=number, name=f"check {number}", status=status, detail=detail)


def test_the_gravest_copy_speaks_and_is_named() -> None:
    merged = merge_copies(
        [
            ("A", [finding(2, "pass", "fine"), finding(1, "skip"), finding(3, "fail")]),
            ("B", [finding(2, "warn", "long"), finding(1, "pass"), finding(3, "fail")]),
            ("C", [finding(2, "fail", "too long"), finding(1, "pass"), finding(3, "fail")]),
        ]
    )
    assert [(f.number, f.status, f.detail, f.copies) for f in merged] == [
        (1, "pass", "", ()),
        (2, "fail", "too long", ("C",)),
        (3, "fail", "", ()),
    ]


def test_two_examiners_of_one_number_and_the_graver_word_stands() -> None:
    parser = [finding(28, "pass", "no address in it"), finding(1, "pass")]
    browser = [finding(28, "fail", "it asked a host"), finding(7, "skip", "no Chromium")]
    joined = join_reports(parser, browser)
    assert [(f.number, f.detail) for f in joined] == [
        (1, ""),
        (7, "no Chromium"),
        (28, "it asked a host"),
    ]
    assert join_reports(browser, parser)[2].status == "fail"


def test_faults_are_named_and_the_rest_counted() -> None:
    assert judge([], "fine", "mend").status == "pass"
    verdict = judge(["a", "b", "c", "d", "e"], "fine", "mend it")
    assert (verdict.status, verdict.detail, verdict.mend) == (
        "fail",
        "a; b; c and 2 more",
        "mend it",
    )


FINDINGS = (finding(1, "pass"), finding(4, "warn"), finding(16, "fail"), finding(25, "fail"))


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        (["16"], [16]),
        (["Check-16", "check 25"], [16, 25]),
        (["check_16", "16"], [16]),
        ([], []),
    ],
)
def test_overrides_go_by_name_or_number(asked: list[str], numbers: list[int]) -> None:
    assert [f.number for f in choose_overridden(FINDINGS, asked)] == numbers


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ("4", "the check 'check 4' does not fail"),
        ("check 1", "the check 'check 1' does not fail"),
        ("99", "there is no check '99'"),
        ("", "there is no check ''"),
    ],
)
def test_an_override_that_fits_nothing_is_refused(asked: str, problem: str) -> None:
    with pytest.raises(RefusedError, match=problem) as refused:
        choose_overridden(FINDINGS, ["16", asked])
    assert refused.value.mend == "what fails is 16 'check 16', 25 'check 25'"


def answer(status: int, problem: str = "") -> Answer:
    link = Link(url=f"https://a.example/{status}", places=("A story",))
    return Answer(link=link, status=status, problem=problem)


def test_dead_links_warn_and_withheld_ones_do_not() -> None:
    good = judge_answers([answer(200), answer(204), answer(403), answer(429)])
    assert (good.number, good.status) == (38, "pass")
    assert good.detail == "4 links, 2 of them answer people only"
    bad = judge_answers([answer(200), answer(404), answer(0, "cannot be reached"), answer(503)])
    assert bad.status == "warn"
    assert bad.detail == (
        "https://a.example/404 (404) in 'A story'; "
        "https://a.example/0 (cannot be reached) in 'A story'; "
        "https://a.example/503 (503) in 'A story'"
    )


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        ("mso", True),
        ("!mso", False),
        ("mso | IE", True),
        ("(mso)|(IE)", True),
        ("IE", False),
        ("lte mso 11", False),
        ("gte mso 9", True),
        ("mso 16", True),
        ("mso & !mso", False),
        ("(gte mso 9)|(IE)", True),
        ("outlook", None),
        ("", None),
    ],
)
def test_what_word_makes_of_a_condition(condition: str, shown: bool | None) -> None:
    assert evaluate(condition) is shown


def test_word_reads_another_document() -> None:
    source = (
        "<p>all</p><!--[if mso]><p>Word</p><![endif]-->"
        "<!--[if !mso]><!--><p>others</p><!--<![endif]--><!--[if IE]>IE<![endif]-->"
    )
    assert show_to_outlook(source) == "<p>all</p><p>Word</p>"
    passages, faults = split_passages(source)
    assert faults == []
    assert "".join(p.text for p in passages if p.to_others) == "<p>all</p><p>others</p>"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("<!--[if mso]>a", "<!--[if mso]> is never closed"),
        ("a<![endif]-->", "<![endif]--> closes nothing (line 1)"),
        ("\n<!--[if mso]>a<!--<![endif]-->", "<!--<![endif]--> closes nothing (line 2)"),
        ("<!--[if !mso]><!-->a<![endif]-->", "<![endif]--> closes nothing (line 1)"),
        (
            "<!--[if mso]><!--[if IE]>a<![endif]-->",
            "<!--[if IE]> stands within <!--[if mso]> (line 1)",
        ),
        (
            "<!--[if mso]><!-- a --><![endif]-->",
            "--> ends the comment of <!--[if mso]> too early (line 1)",
        ),
        ("<![if !mso]>a", "<![if !mso]> stands in no comment (line 1)"),
    ],
)
def test_conditional_comments_that_are_out_of_balance(source: str, fault: str) -> None:
    assert split_passages(source)[1][0] == fault
    assert show_to_outlook(source) == ""


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("<table><tr><td></td></tr></table>", None),
        ("<table><tbody><tr><td><table><tr><td></td></tr></table></td></tr></tbody></table>", None),
        ("<table><tr></tr>", "<table> is never closed"),
        ("<tr><td></td></tr>", "<tr> stands in no table"),
        ("<table><td></td></table>", "<td> stands in <table>"),
        ("<table><tr><td></tr></td></table>", "</tr> closes nothing"),
        ("<!-- <table> --><table></table>", None),
    ],
)
def test_tables_that_do_not_nest(source: str, fault: str | None) -> None:
    assert next(iter(list_table_faults(source)), None) == fault
