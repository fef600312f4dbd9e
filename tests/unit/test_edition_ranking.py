"""Which stories an edition tells, in what order, and why: the same for any order of input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.briefs.model import Brief, Source
from newsletter.editions.ranking import (
    Choice,
    choose_stories,
    count_outlets,
    decide_prominence,
    find_section,
    has_news,
    list_reports,
    outlet_of,
    rank_stories,
)
from newsletter.editions.story import Candidate, Earlier, Story
from newsletter.settings import EditionSettings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def candidate(
    brief_id: int,
    *,
    title: str = "",
    hours_ago: float = 1,
    outlet: str = "",
    topic: str = "",
    why: str = "",
    priority: int = 0,
    pinned: bool = False,
    source: str = "",
    summary: str = "",
    link: str = "",
) -> Candidate:
    return Candidate(
        brief_id=brief_id,
        published_at=NOON - timedelta(hours=hours_ago),
        source=source,
        brief=Brief(
            title=title or f"Story {brief_id:02}",
            summary=summary or f"What {brief_id} is about and {brief_id * 7919} more of it.",
            why_it_matters=why,
            sources=(Source(name=outlet, url=f"https://{outlet}/{brief_id}"),) if outlet else (),
            topics=(topic,) if topic else (),
            priority=priority,
            pinned=pinned,
            link=link,
        ),
    )


def story(lead: Candidate, *others: Candidate, earlier: Earlier | None = None) -> Story:
    return Story(lead=lead, others=others, earlier=earlier)


def ranks(*stories: Story, **weights: float) -> list[int]:
    ranked = rank_stories(stories, cut_off=NOON, weights=weights)
    return [each.story.lead.brief_id for each in ranked]


def choose(stories: Sequence[Story], **rules: object) -> Choice:
    settings = EditionSettings.model_validate(rules)
    return choose_stories(rank_stories(stories, cut_off=NOON, weights={}), settings)


def ids(choice: Choice) -> list[int]:
    return [each.story.lead.brief_id for each in choice.chosen]


# -- rank ------------------------------------------------------------------------------------------


def test_pinned_ones_come_first_by_priority_whatever_the_others_weigh() -> None:
    loud = [candidate(9, outlet="a.example", priority=9, why="It matters.")]
    loud += [candidate(20 + n, outlet=f"o{n}.example") for n in range(8)]
    assert ranks(
        story(loud[0], *loud[1:]),
        story(candidate(1, pinned=True, hours_ago=90)),
        story(candidate(2, pinned=True, priority=3, hours_ago=99)),
    ) == [2, 1, 9]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (story(candidate(2, priority=1)), story(candidate(1))),
        (story(candidate(2)), story(candidate(1, priority=-1))),
        (story(candidate(2, why="It matters.")), story(candidate(1, hours_ago=0))),
        (story(candidate(2, hours_ago=1)), story(candidate(1, hours_ago=2))),
        (story(candidate(2, source="good")), story(candidate(1))),
        (
            story(candidate(2, outlet="a.example"), candidate(3, outlet="b.example")),
            story(candidate(1, outlet="a.example")),
        ),
        (
            story(candidate(2), candidate(3, hours_ago=0)),  # somebody reports on it right now
            story(candidate(1)),
        ),
    ],
)
def test_what_weighs_more_comes_first(better: Story, worse: Story) -> None:
    assert ranks(worse, better, good=2.0) == [2, 1]


def test_a_repeat_comes_last_unless_there_is_news_of_it() -> None:
    told = candidate(1, why="It matters.", summary="The bridge at Alder is closed to lorries.")
    before = Earlier(story_id=5, day=date(2026, 3, 1), brief=told.brief, brief_id=77)
    moved = candidate(2, why="It matters.", summary="The bridge at Alder reopens on Friday night.")
    fresh = story(candidate(3, hours_ago=20))
    assert ranks(story(told, earlier=before), fresh) == [3, 1]
    assert ranks(story(moved, earlier=before), fresh) == [2, 3]
    (ranked,) = rank_stories([story(told, earlier=before)], cut_off=NOON, weights={})
    assert "nothing new since the edition that had it" in ranked.why


def test_the_same_facts_in_another_order_are_no_news() -> None:
    one = Brief(title="Bridge closed", summary="The bridge at Alder is closed to lorries.")
    assert not has_news(Brief(title="Closed: bridge", summary=one.summary), one)
    assert has_news(Brief(title="Bridge closed", summary="It opens for 4,000 lorries."), one)


def test_each_rank_is_explained_in_a_sentence() -> None:
    lead = candidate(
        1, outlet="a.example", pinned=True, priority=3, hours_ago=2, why="x", source="wire"
    )
    others = [candidate(n, outlet=f"o{n}.example", hours_ago=5) for n in (2, 3, 4)]
    (ranked,) = rank_stories([story(lead, *others)], cut_off=NOON, weights={"wire": 1.5})
    said = "pinned; priority 3; 4 outlets; 2 h old; has analysis; source weight 1.5"
    assert ranked.why == said
    (plain,) = rank_stories([story(candidate(1, hours_ago=0))], cut_off=NOON, weights={})
    assert plain.why == "less than an hour old"


@pytest.mark.parametrize(
    ("name", "url", "outlet"),
    [
        ("Harbor Post", "https://www.harborpost.example/a", "harborpost.example"),
        ("harborpost.example", "", "harborpost.example"),
        ("WWW.HarborPost.example", "", "harborpost.example"),
        ("x", "https://m.harborpost.example/a", "harborpost.example"),
        ("Harbor  POST", "", "harbor post"),
        ("x", "https://www.example/", "www.example"),
        ("x", "http://[broken", "x"),
    ],
)
def test_an_outlet_is_the_same_under_all_its_names(name: str, url: str, outlet: str) -> None:
    assert outlet_of(Source(name=name, url=url)) == outlet


def test_outlets_are_counted_and_who_copies_is_not() -> None:
    text = "The port of Alder opens three berths to ships that draw power from the shore grid."
    lead = candidate(1, outlet="a.example", summary=text)
    copied = candidate(2, outlet="b.example", summary=text.replace("three", "3"))
    own = candidate(3, outlet="c.example", summary="Ships may now plug in, says the harbor board.")
    again = candidate(4, outlet="www.c.example", summary="A second piece by the same newspaper.")
    assert count_outlets(story(lead, copied)) == 1
    assert count_outlets(story(lead, copied, own, again)) == 2
    assert count_outlets(story(candidate(1))) == 1


def test_who_else_reported_it_is_listed_once_each_and_never_the_lead() -> None:
    lead = candidate(1, outlet="a.example")
    others = [
        candidate(2, outlet="www.a.example"),
        candidate(3, outlet="b.example", title="B's own", hours_ago=3),
        candidate(4, outlet="www.b.example"),
        candidate(5, link="https://www.c.example/story", hours_ago=4),
        candidate(6),
    ]
    reports = list_reports(story(lead, *others))
    assert [(r.outlet, r.title, r.url) for r in reports] == [
        ("c.example", "Story 05", "https://www.c.example/story"),
        ("b.example", "B's own", "https://b.example/3"),
    ]


# -- variety ---------------------------------------------------------------------------------------


def test_one_outlet_tells_no_more_than_its_share() -> None:
    wire = [story(candidate(n, outlet="wire.example")) for n in range(1, 11)]
    rest = [story(candidate(50 + n, outlet=f"o{n}.example", hours_ago=9)) for n in range(6)]
    choice = choose(wire + rest)
    told = Counter(each.outlet for each in choice.chosen)
    assert (len(choice.chosen), told["wire.example"]) == (10, 4)
    assert len(choice.left_out) == 6
    assert {left.ranked.outlet for left in choice.left_out} == {"wire.example"}
    assert "wire.example has 4 of 10 briefs already (edition.max_outlet_share = 0.4)" in (
        choice.left_out[0].why
    )
    assert len(choose(wire + rest, max_outlet_share=1).chosen) == 16


def test_a_share_is_not_asked_of_few_briefs_nor_of_few_outlets() -> None:
    wire = [story(candidate(n, outlet="wire.example")) for n in range(1, 11)]
    other = [story(candidate(50, outlet="b.example"))]
    third = [story(candidate(51, outlet="c.example"))]
    assert len(choose(wire).chosen) == 10
    assert len(choose(wire + other).chosen) == 11
    assert len(choose(wire[:2] + other + third).chosen) == 4
    assert len(choose([story(candidate(n)) for n in range(9)] + other + third).chosen) == 11


def test_what_is_pinned_is_exempt() -> None:
    pinned = [story(candidate(n, outlet="w.example", topic="Sea", pinned=True)) for n in range(6)]
    rest = [story(candidate(50 + n, outlet=f"o{n}.example", topic="Sea")) for n in range(4)]
    choice = choose(pinned + rest, max_per_topic=7)
    assert ids(choice)[:6] == [0, 1, 2, 3, 4, 5]
    assert len(choice.chosen) == 7
    assert "7 on Sea come before it (edition.max_per_topic = 7)" in choice.left_out[0].why


def test_what_finds_no_room_says_which_rank_it_had() -> None:
    choice = choose([story(candidate(n, hours_ago=n)) for n in range(1, 6)], max_briefs=3)
    assert ids(choice) == [1, 2, 3]
    assert choice.left_out[1].why == "no room: it ranks 5, and edition.max_briefs is 3"
    alone = [story(candidate(n, outlet="a.example", hours_ago=n)) for n in range(1, 7)]
    for share in (0.4, 1):
        choice = choose(alone, max_briefs=3, max_outlet_share=share)
        assert {left.why.partition(":")[0] for left in choice.left_out} == {"no room"}


def test_a_topic_does_not_come_a_third_time_in_a_row_where_another_is_at_hand() -> None:
    seas = [story(candidate(n, topic="Sea", hours_ago=n)) for n in range(1, 6)]
    land = [story(candidate(9, topic="Land", hours_ago=9)), story(candidate(10, hours_ago=10))]
    assert ids(choose(seas + land)) == [1, 2, 9, 3, 4, 10, 5]
    assert ids(choose(seas)) == [1, 2, 3, 4, 5]
    assert ids(choose(seas + land, sections=["Sea"])) == [1, 2, 3, 4, 5, 9, 10]


CANDIDATES = st.builds(
    candidate,
    brief_id=st.integers(1, 10**9),
    title=st.sampled_from(["Ferries stop", "Bridge opens", "Rates hold"]),
    hours_ago=st.sampled_from([0, 1, 1.5, 30]),
    outlet=st.sampled_from(["", "a.example", "b.example", "c.example", "www.c.example"]),
    topic=st.sampled_from(["", "Sea", "sea", "Land"]),
    why=st.sampled_from(["", "It matters."]),
    priority=st.integers(-2, 2),
    pinned=st.booleans(),
    source=st.sampled_from(["", "wire"]),
)
STORIES = st.lists(
    st.lists(CANDIDATES, min_size=1, max_size=3), max_size=14, unique_by=lambda s: s[0].brief_id
)


@given(
    STORIES.flatmap(lambda made: st.tuples(st.just(made), st.permutations(made))),
    st.integers(1, 12),
    st.sampled_from([0.2, 0.4, 0.5, 1]),
    st.integers(0, 3),
)
def test_the_laws_of_a_choice(
    orders: tuple[list[list[Candidate]], list[list[Candidate]]],
    max_briefs: int,
    share: float,
    per_topic: int,
) -> None:
    rules = {"max_briefs": max_briefs, "max_outlet_share": share, "max_per_topic": per_topic}
    one, other = ([story(*members) for members in order] for order in orders)
    choice = choose(one, **rules)
    assert choice == choose(other, **rules)  # the order of input changes nothing
    chosen, left_out = choice.chosen, choice.left_out
    assert len(chosen) + len(left_out) == len(one)
    assert len(chosen) <= max_briefs
    assert all(left.why for left in left_out)
    pins = [each.is_pinned for each in chosen]
    assert pins == sorted(pins, reverse=True)
    topics = Counter(each.topic for each in chosen if each.topic)
    pinned_topics = Counter(each.topic for each in chosen if each.is_pinned)
    for topic, count in topics.items():
        assert not per_topic or count <= max(per_topic, pinned_topics[topic])
    outlets = {each.outlet for each in (*chosen, *(left.ranked for left in left_out))} - {""}
    if len(one) >= 5 and len(outlets) >= 1 / share:
        told = Counter(each.outlet for each in chosen if each.outlet)
        pinned = Counter(each.outlet for each in chosen if each.is_pinned)
        for outlet, count in told.items():
            most = max(1, int(share * max(5, len(chosen))))
            assert count <= max(most, pinned[outlet])


# -- places ----------------------------------------------------------------------------------------


def test_prominence_is_a_ceiling_that_the_settings_set() -> None:
    open_ended = EditionSettings()
    assert {decide_prominence(n, open_ended) for n in range(60)} == {"full"}
    two = EditionSettings(full_briefs=2)
    assert [decide_prominence(n, two) for n in (0, 1, 2, 50)] == [
        *("full", "full", "standard", "standard")
    ]
    both = EditionSettings(full_briefs=1, standard_briefs=2)
    assert [decide_prominence(n, both) for n in range(5)] == [
        *("full", "standard", "standard", "one-line", "one-line")
    ]


def test_a_brief_stands_under_the_first_heading_that_has_one_of_its_topics() -> None:
    rules = EditionSettings.model_validate(
        {"sections": {"Money": ["Markets", "Jobs"], "Politics": ["Politics"]}}
    )
    both = Brief(title="a", summary="b", topics=("politics", "JOBS"))
    assert find_section(both, rules) == "Money"
    assert find_section(Brief(title="a", summary="b", topics=("Sport",)), rules) == ""
    listed = EditionSettings.model_validate({"sections": ["Politics", "Jobs"]})
    assert find_section(both, listed) == "Politics"
    assert find_section(both, EditionSettings()) == ""
