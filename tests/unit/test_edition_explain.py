"""Every item of a gathering, and every brief that waited, has its place and a reason."""

from __future__ import annotations

from datetime import UTC, date, datetime

from newsletter.briefs.gather import ItemOutcome, ItemReport, SourceReport
from newsletter.briefs.model import Brief
from newsletter.editions.explain import PLACES, Claim, explain_items, place_by_form
from newsletter.editions.story import Candidate, Fate

MONDAY = date(2026, 3, 2)
SEVEN = datetime(2026, 3, 2, 7, tzinfo=UTC)


def fate(brief_id: int, place: str, why: str = "because") -> Fate:
    lead = Brief(title=f"Story {brief_id}", summary="s")
    candidate = Candidate(brief_id=brief_id, published_at=SEVEN, brief=lead, source="wire")
    return Fate(candidate=candidate, place=place, why=why)


def item(brief_id: int | None, outcome: ItemOutcome = "known") -> ItemReport:
    title = f"Story {brief_id}"
    return ItemReport(title=title, origin=f"{brief_id}.txt", outcome=outcome, brief_id=brief_id)


def claim(*, is_told: bool = True, is_lead: bool = True, kind: str = "daily") -> Claim:
    return Claim(day=MONDAY, kind=kind, state="sent", is_told=is_told, is_lead=is_lead)


def test_each_item_and_each_brief_that_waited_has_one_line() -> None:
    report = SourceReport(
        name="wire",
        status="read",
        items=(item(1, "new"), item(2), item(3), item(4), item(5), item(6), item(None, "repeats")),
        problems=("blank.txt: is empty.",),
    )
    failed = SourceReport(name="gone", status="failed", error="gone: no such folder.")
    fates = (fate(9, "too_old"), fate(1, "full"), fate(8, "also"))
    claims = {3: claim(), 4: claim(is_lead=False, kind="special"), 5: claim(is_told=False)}
    lines = explain_items([report, failed], fates, {**claims, 6: claim()})
    told = [(line.place, line.title, line.came, line.why) for line in lines]
    edition = "the edition of 2026-03-02, which is sent"
    special = "the special edition of 2026-03-02, which is sent"
    assert told == [
        ("full", "Story 1", "new", "because"),
        ("also", "Story 8", "", "because"),
        ("too_old", "Story 9", "", "because"),
        ("too_old", "Story 2", "known", "older than the window, and seen before it"),
        ("earlier", "Story 3", "known", f"{edition}, has it"),
        ("earlier", "Story 4", "known", f"{special}, tells it by another brief"),
        ("earlier", "Story 5", "known", f"{edition}, left it out"),
        ("earlier", "Story 6", "known", f"{edition}, has it"),
        ("repeats", "Story None", "repeats", "the same as another item of its source"),
        ("unreadable", "", "", "blank.txt: is empty"),
        ("failed", "", "", "gone: no such folder"),
    ]
    assert {line.place for line in lines} <= PLACES.keys()


def test_a_brief_that_repeats_is_known_by_its_first_item() -> None:
    report = SourceReport(name="wire", status="read", items=(item(1, "new"), item(1, "repeats")))
    lines = explain_items([report], [fate(1, "full")], {})
    assert [(line.place, line.came) for line in lines] == [("full", "new"), ("repeats", "repeats")]


def test_a_brief_stands_where_a_reader_who_chose_nothing_finds_it() -> None:
    fates = [fate(7, "late"), fate(1, "full"), fate(2, "also"), fate(3, "full"), fate(4, "full")]
    placed = place_by_form(fates, ["full", "one-line", None], 5)
    assert [(f.candidate.brief_id, f.place) for f in placed] == [
        (7, "late"),
        (1, "full"),
        (2, "also"),
        (3, "one-line"),
        (4, "web"),
    ]
    assert placed[-1].why == ("because; no room in the 5 minutes of a reader who chose nothing")
    assert place_by_form([fate(1, "full")], [None], 0)[0].why == "because; no room in a mail"
