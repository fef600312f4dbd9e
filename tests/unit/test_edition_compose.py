from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from newsletter.briefs.model import Brief
from newsletter.editions.compose import Draft, compose
from newsletter.editions.content import edition_from_document, edition_to_document
from newsletter.editions.model import Window
from newsletter.editions.story import Candidate
from newsletter.settings import EditionSettings, Publication

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WINDOW = Window(start=NOON - timedelta(days=1), cut_off=NOON)
PUBLICATION = Publication(
    name="Harbour Morning",
    sender="Harbour Morning <brief@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
)


def candidate(
    brief_id: int,
    title: str,
    *,
    hours_ago: float = 1,
    summary: str = "A summary.",
    why: str = "",
) -> Candidate:
    return Candidate(
        brief_id=brief_id,
        published_at=NOON - timedelta(hours=hours_ago),
        brief=Brief(title=title, summary=summary, why_it_matters=why),
    )


def draft(*candidates: Candidate, max_briefs: int = 20, is_grouped: bool = False) -> Draft:
    """Compose; what is one story is another test's, and these short briefs are alike."""
    return compose(
        candidates,
        day=date(2026, 3, 2),
        window=WINDOW,
        publication=PUBLICATION,
        settings=EditionSettings(max_briefs=max_briefs),
        is_grouped=is_grouped,
    )


def test_briefs_with_analysis_come_first_then_the_newest() -> None:
    made = draft(
        candidate(1, "Old", hours_ago=9),
        candidate(2, "New", hours_ago=1),
        candidate(3, "Old and analysed", hours_ago=8, why="It matters."),
        candidate(4, "New and analysed", hours_ago=2, why="It matters."),
    )
    assert made.brief_ids == (4, 3, 2, 1)
    titles = [brief.title for brief in made.edition.briefs]
    assert titles == ["New and analysed", "Old and analysed", "New", "Old"]
    assert made.edition.subject == "New and analysed; Old and analysed; New"


def test_briefs_of_one_moment_stand_by_title_whatever_their_numbers() -> None:
    made = draft(candidate(1, "Bridge opens"), candidate(2, "A bakery closes"))
    assert made.brief_ids == (2, 1)


FERRIES = "All ferries of the Alder line stop at noon, says the harbor authority."
BRIDGE = "Dunmere council opens a footbridge across the Wren for 4,000 walkers."


def test_the_same_story_told_twice_stands_once_the_analysed_one() -> None:
    made = draft(
        candidate(1, "Ferries stop", summary=FERRIES),
        candidate(2, "FERRIES\u00a0 STOP", summary=FERRIES, hours_ago=9, why="It matters."),
        candidate(3, "Footbridge opens", summary=BRIDGE),
        is_grouped=True,
    )
    assert (made.brief_ids, made.also_ids) == ((2, 3), ((1,), ()))
    assert made.edition.left_out == 0


EVENING = ("2026-03-01-evening",)


def test_what_another_edition_told_takes_no_room_from_what_is_new() -> None:
    told = [
        replace(candidate(n, f"Told {n}", why="It matters."), had_in=EVENING) for n in (1, 2, 3)
    ]
    new = [candidate(n, f"New {n}", hours_ago=n) for n in (4, 5, 6)]
    made = draft(*told, *new, max_briefs=2)
    assert made.brief_ids == (1, 2, 4, 5)
    assert [placing.had_in for placing in made.edition.placings] == [EVENING, EVENING, (), ()]
    assert "not for who was sent 2026-03-01-evening" in made.edition.placings[0].why
    assert made.edition.left_out == 2


def test_a_piece_that_nobody_was_sent_leads_a_story_that_was_told() -> None:
    told = replace(
        candidate(1, "Ferries stop", summary=FERRIES, why="It matters."),
        had_in=EVENING,
        story_id=7,
    )
    new = candidate(2, "FERRIES STOP", summary=FERRIES)
    made = draft(told, new, is_grouped=True)
    assert (made.brief_ids, made.also_ids, made.story_ids) == ((2,), ((1,),), (7,))
    assert made.edition.placing(0).had_in == ()


def test_what_finds_no_room_is_counted_doubles_are_not() -> None:
    made = draft(
        candidate(1, "Ferries stop", summary=FERRIES, hours_ago=2),
        candidate(2, "Ferries stop", summary=FERRIES),
        candidate(3, "Footbridge opens", summary=BRIDGE, hours_ago=3),
        max_briefs=1,
        is_grouped=True,
    )
    assert (made.brief_ids, made.edition.left_out) == ((1,), 1)
    lone = draft(*(candidate(i, f"Story {i}", hours_ago=i) for i in range(1, 8)), max_briefs=3)
    assert (lone.brief_ids, lone.edition.left_out) == ((1, 2, 3), 4)


def test_no_briefs_make_a_quiet_edition() -> None:
    made = draft()
    assert (made.edition.briefs, made.brief_ids, made.edition.left_out) == ((), (), 0)
    assert made.edition.subject == "Harbour Morning, 2026-03-02"
    assert (made.edition.date, made.edition.window) == (date(2026, 3, 2), WINDOW)


def test_each_candidate_has_a_fate_and_each_brief_a_placing() -> None:
    rates = "The Larkmoor bank leaves its rate at 3 percent and expects no cut this year."
    told = candidate(1, "Rates hold", summary=rates, why="It matters.")
    made = compose(
        [
            replace(told, brief=replace(told.brief, topics=("Markets",)), standing="late"),
            candidate(2, "RATES hold", summary=rates, hours_ago=3),
            candidate(3, "Footbridge opens", summary=BRIDGE),
            candidate(4, "Ferries stop", summary=FERRIES, hours_ago=6),
            candidate(5, "ferries stop", summary=FERRIES, hours_ago=5),
        ],
        day=date(2026, 3, 2),
        window=WINDOW,
        publication=PUBLICATION,
        settings=EditionSettings.model_validate(
            {"max_briefs": 2, "sections": {"Money": ["Markets"], "Sport": ["Sport"]}}
        ),
    )
    assert (made.brief_ids, made.also_ids) == ((1, 3), ((2,), ()))
    assert made.edition.sections == ("Money",)
    first, second = made.edition.placings
    lost = "no later edition has it, since this one could have had it"
    assert (first.section, first.is_late, second.section) == ("Money", True, "")
    assert first.why == "1 h old; has analysis; late for an earlier edition"
    fates = [(f.candidate.brief_id, f.place, f.why) for f in made.fates]
    assert fates[0] == (1, "full", f'under "Money"; {first.why}')
    assert fates[1][:2] == (2, "also")
    assert fates[1][2].startswith('it is told by "Rates hold" (')
    assert fates[2:] == [
        (3, "full", "1 h old"),
        (4, "left out", f"no room: it ranks 3, and edition.max_briefs is 2; {lost}"),
        (5, "left out", f'its story is left out with "Ferries stop"; {lost}'),
    ]
    assert made.edition == edition_from_document(edition_to_document(made.edition))


def test_an_operator_hears_what_a_rule_left_out() -> None:
    made = [
        replace(c, brief=replace(c.brief, topics=("Sea",)))
        for c in (candidate(n, f"Story {n}") for n in range(4))
    ]
    told = compose(
        made,
        day=date(2026, 3, 2),
        window=WINDOW,
        publication=PUBLICATION,
        settings=EditionSettings(max_per_topic=1),
        is_grouped=False,
    )
    (remark,) = told.remarks
    assert remark.startswith("3 stories were left out by edition.max_per_topic; ")
    assert told.edition.left_out == 3


CANDIDATE = st.builds(
    candidate,
    brief_id=st.integers(1, 10**9),
    title=st.sampled_from(["Ferries stop", "ferries  stop", "Bridge opens", "Rates hold"]),
    hours_ago=st.integers(1, 3),
    summary=st.sampled_from(["One.", "one.", "Two."]),
    why=st.sampled_from(["", "It matters."]),
)


@given(
    st.lists(CANDIDATE, unique_by=lambda c: c.brief_id, max_size=12).flatmap(
        lambda made: st.tuples(st.just(made), st.permutations(made))
    ),
    st.integers(1, 5),
)
def test_the_order_in_which_candidates_come_changes_nothing(
    orders: tuple[list[Candidate], list[Candidate]], max_briefs: int
) -> None:
    as_made, shuffled = orders
    first = draft(*as_made, max_briefs=max_briefs)
    assert first == draft(*shuffled, max_briefs=max_briefs)
    assert len(first.edition.briefs) == len(first.brief_ids) <= max_briefs
    by_id = {c.brief_id: c.brief for c in as_made}
    assert first.edition.briefs == tuple(by_id[i] for i in first.brief_ids)
