"""Whose word a brief needs, by what was said of its texts so far."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from newsletter.briefs.document import brief_to_document
from newsletter.briefs.model import Brief
from newsletter.editions.content import edition_to_document
from newsletter.editions.model import Edition, Placing, Window
from newsletter.editions.review import (
    Rules,
    Said,
    Verdict,
    explain_shortfall,
    hash_brief,
    hash_edition,
    judge_brief,
)

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
BRIEF = Brief(title="Port reopens", summary="Ships are back.", why_it_matters="Trade.")
DRAFTED = replace(BRIEF, drafted_by="ai")
BARE = replace(DRAFTED, why_it_matters="")
RULES = Rules(required=True, trusted=frozenset({"desk"}))


def said(content_hash: str, verdict: Verdict) -> Said:
    return Said(content_hash=content_hash, verdict=verdict, decided_at=NOW, decided_by="ann")


OK_A, NO_A, OK_B, NO_B = (
    said("a", "approved"),
    said("a", "rejected"),
    said("b", "approved"),
    said("b", "rejected"),
)


@pytest.mark.parametrize(
    ("so_far", "state", "why"),
    [
        ([], "waiting", "new"),
        ([OK_A], "approved", None),
        ([NO_A], "rejected", None),
        ([OK_A, NO_A], "rejected", None),
        ([NO_A, OK_A], "approved", None),
        ([OK_B], "waiting", "edited since approved"),
        ([NO_B], "waiting", "edited since rejected"),
        ([OK_A, OK_B], "approved", None),
        ([OK_A, NO_B], "approved", None),
        ([OK_B, NO_B], "waiting", "edited since rejected"),
    ],
)
def test_the_newest_verdict_on_the_same_text_counts(
    so_far: list[Said], state: str, why: str | None
) -> None:
    judgement = judge_brief(BRIEF, "a", so_far, source="wire", rules=RULES)
    assert (judgement.state, judgement.why) == (state, why)


@pytest.mark.parametrize(
    ("brief", "so_far", "state", "by_trust"),
    [
        (BRIEF, [], "approved", True),
        (BARE, [], "approved", True),
        (DRAFTED, [], "waiting", False),
        (BRIEF, [OK_B], "approved", True),
        (BRIEF, [NO_B], "waiting", False),
        (BRIEF, [NO_A], "rejected", False),
        (DRAFTED, [OK_A], "approved", False),
    ],
)
def test_trust_covers_what_no_machine_drafted_and_nobody_rejected(
    brief: Brief, so_far: list[Said], state: str, by_trust: bool
) -> None:
    judgement = judge_brief(brief, "a", so_far, source="desk", rules=RULES)
    assert (judgement.state, judgement.by_trust) == (state, by_trust)


def test_where_no_review_is_required_only_a_rejection_matters() -> None:
    def state(*so_far: Said) -> str:
        return judge_brief(DRAFTED, "a", so_far, source="wire", rules=Rules()).state

    assert [state(), state(OK_B), state(NO_A), state(NO_B)] == [
        "approved",
        "approved",
        "rejected",
        "waiting",
    ]


@pytest.mark.parametrize(
    "other",
    [
        replace(BRIEF, title="Port reopens!"),
        replace(BRIEF, topics=("Trade",)),
        replace(BRIEF, drafted_by="ai"),
        replace(BRIEF, not_before=NOW),
        replace(BRIEF, pinned=True),
    ],
)
def test_any_edit_makes_another_hash(other: Brief) -> None:
    assert hash_brief(brief_to_document(other)) != hash_brief(brief_to_document(BRIEF))


def test_the_time_of_an_undated_file_is_no_edit() -> None:
    one = brief_to_document(replace(BRIEF, published_at=NOW))
    assert hash_brief(one) == hash_brief(
        brief_to_document(replace(BRIEF, published_at=NOW + timedelta(hours=1)))
    )


def test_an_edition_is_the_same_while_readers_would_see_the_same() -> None:
    edition = Edition(
        date=date(2026, 11, 23),
        window=Window(start=NOW - timedelta(days=1), cut_off=NOW),
        subject="Port reopens",
        preheader="",
        briefs=(BRIEF,),
        placings=(Placing(why="2 hours old"),),
    )

    def name(edition: Edition) -> str:
        return hash_edition(edition_to_document(edition))

    later = Window(start=NOW - timedelta(days=1), cut_off=NOW + timedelta(hours=1))
    assert name(replace(edition, window=later, placings=(Placing(why="3 hours old"),))) == name(
        edition
    )
    assert name(replace(edition, subject="Port")) != name(edition)
    assert name(replace(edition, placings=(Placing(section="Trade"),))) != name(edition)
    assert name(replace(edition, briefs=(DRAFTED,))) != name(edition)


def test_an_edition_waits_only_for_what_can_still_be_approved() -> None:
    assert explain_shortfall(0, 0, 1) == ""
    assert explain_shortfall(1, 5, 1) == ""
    reason = explain_shortfall(1, 2, 3)
    assert "2 briefs wait and 1 of at least 3" in reason
    assert "`newsletter review approve ID`" in reason
