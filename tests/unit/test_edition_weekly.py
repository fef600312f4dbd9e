"""The round-up: its span, its choice, and a story that moved within the week."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from newsletter.briefs.model import Brief
from newsletter.editions.model import Edition, Placing, list_repeated, name_edition
from newsletter.editions.weekly import Told, compose_week, decide_week
from newsletter.settings import Publication

DAY = timedelta(days=1)
SATURDAY = date(2026, 11, 28)
NINE = datetime(2026, 11, 28, 9, tzinfo=UTC)
PUBLICATION = Publication(
    sender="Brief <brief@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
)


def told(
    number: int,
    *,
    days_ago: int = 1,
    kind: str = "daily",
    position: int = 0,
    story_id: int | None = None,
    placing: Placing | None = None,
    **said: object,
) -> Told:
    fields = {"title": f"Brief {number}", "summary": f"What {number} says."} | said
    return Told(
        brief_id=number,
        story_id=story_id,
        brief=Brief(**fields),  # type: ignore[arg-type]  # each test knows what it says
        placing=placing or Placing(),
        day=SATURDAY - days_ago * DAY,
        kind=kind,
        position=position,
        had_in=(name_edition(SATURDAY - days_ago * DAY, kind),),
    )


def compose(*week: Told, max_briefs: int = 10) -> tuple[Edition, tuple[int, ...]]:
    draft = compose_week(
        week,
        day=SATURDAY,
        window=decide_week(NINE, None),
        publication=PUBLICATION,
        max_briefs=max_briefs,
        headings=("Money", "World"),
    )
    assert len(draft.edition.placings) == len(draft.edition.briefs) == len(draft.brief_ids)
    return draft.edition, draft.brief_ids


def test_a_round_up_goes_on_where_the_last_one_ended_unless_that_is_long_ago() -> None:
    assert decide_week(NINE, None).start == NINE - 7 * DAY
    for previous in (NINE - 6 * DAY, NINE - 7 * DAY - timedelta(hours=1), NINE - 8 * DAY):
        assert decide_week(NINE, previous).start == previous
    assert decide_week(NINE, NINE - 9 * DAY).start == NINE - 7 * DAY
    assert decide_week(NINE, NINE + DAY).start == NINE - 7 * DAY  # a clock set back


def test_what_was_pinned_comes_first_then_by_priority_prominence_place_and_day() -> None:
    short = Placing(prominence="one-line")
    _, order = compose(
        told(1, position=1, days_ago=3),
        told(2, position=0, days_ago=3),
        told(3, position=0, days_ago=2),
        told(4, position=0, placing=short),
        told(5, position=7, priority=2),
        told(6, position=9, pinned=True),
    )
    assert order == (6, 5, 3, 2, 1, 4)


def test_there_are_as_many_as_the_settings_say_and_the_rest_is_counted() -> None:
    edition, order = compose(*(told(n, position=n) for n in range(5)), max_briefs=3)
    assert (order, edition.left_out) == ((0, 1, 2), 2)


def test_of_a_story_that_moved_the_newest_piece_is_shown_to_who_had_not_that_one() -> None:
    edition, order = compose(
        told(1, days_ago=4, story_id=7),
        told(2, days_ago=4),
        told(7, days_ago=3),  # a brief of the story's number is another thing
        told(3, days_ago=2, story_id=7, placing=Placing(moved="It was signed.")),
    )
    assert set(order) == {2, 3, 7}
    placing = edition.placing(order.index(3))
    assert placing.had_in == ("2026-11-26",)
    assert placing.moved == "It was signed."
    assert edition.kind == "weekly"


def test_what_expired_during_the_week_is_not_told_again() -> None:
    _, order = compose(told(1, expires_at=NINE), told(2, expires_at=NINE + DAY))
    assert order == (2,)


def test_headings_stand_where_a_brief_stands_under_them() -> None:
    edition, _ = compose(told(1, placing=Placing(section="World", is_late=True)), told(2))
    assert edition.sections == ("World",)
    assert not any(placing.is_late for placing in edition.placings)


def test_an_edition_repeats_only_if_all_of_it_was_told_before() -> None:
    edition, _ = compose(
        told(1, days_ago=3), told(2, days_ago=2), told(3, days_ago=2, kind="evening")
    )
    assert list_repeated(edition) == (("2026-11-25",), ("2026-11-26",), ("2026-11-26-evening",))
    plain = Edition(
        date=SATURDAY,
        window=edition.window,
        subject="",
        preheader="",
        briefs=edition.briefs,
        placings=(*edition.placings[:2], Placing()),
    )
    assert list_repeated(plain) == ()
