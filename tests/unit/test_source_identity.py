"""Which brief is the same brief."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.briefs.model import Brief
from newsletter.briefs.sources.identity import (
    Known,
    Match,
    build_keys,
    canonical_link,
    decide_matches,
    is_alike,
)
from newsletter.briefs.sources.reading import Item

PORT = Brief(
    title="Port of Kilm reopens after the storm",
    summary="The port of Kilm took ships again on Monday, after three days of repairs.",
)
BUDGET = Brief(
    title="Council passes the budget",
    summary="The city council passed a budget of 40 million with a narrow majority.",
)


def item(brief: Brief, place: str = "") -> Item:
    return Item(brief=brief, origin=place or brief.title, place=place)


def decide(
    *items: Item, source: str = "desk", known: dict[str, Known] | None = None
) -> tuple[Match, ...]:
    keys = [build_keys(i, source=source) for i in items]
    return decide_matches(items, keys, source=source, known=known or {})


def stored(
    old: Item, *, brief_id: int = 1, source: str = "desk", in_edition: bool = False
) -> dict[str, Known]:
    known = Known(brief_id=brief_id, source=source, brief=old.brief, in_edition=in_edition)
    return dict.fromkeys(build_keys(old, source=source), known)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://News.Example/a/B?id=1#top", "https://news.example/a/B?id=1"),
        ("HTTPS://news.example:443/a", "https://news.example/a"),
        ("http://news.example:80", "http://news.example/"),
        ("http://news.example:8080/a", "http://news.example:8080/a"),
        ("https://n.example/a?utm_source=x&id=7&UTM_Medium=y&fbclid=z", "https://n.example/a?id=7"),
        ("https://n.example/a?gclid=1&mc_cid=2&mc_eid=3", "https://n.example/a"),
        ("https://n.example/a?b=2&a=1&a=1", "https://n.example/a?b=2&a=1&a=1"),
        ("https://n.example/a?utmost=1&xfbclid=2", "https://n.example/a?utmost=1&xfbclid=2"),
        (
            "https://news.example/news/article/rss:ab12/slug:it's",
            "https://news.example/news/article/rss:ab12/slug:it's",
        ),
        ("https://n.example/%7Euser/%2F?q=%20+", "https://n.example/%7Euser/%2F?q=%20+"),
        ("https://user:pass@n.example/a", "https://n.example/a"),
        ("https://[2001:DB8::1]:443/a", "https://[2001:db8::1]/a"),
        ("ftp://n.example/a", ""),
        ("javascript:alert(1)", ""),
        ("https://[half/a", ""),
        ("https://n.example:port/a", ""),
        ("a sentence", ""),
        ("", ""),
    ],
)
def test_a_link_is_compared_without_what_cannot_matter(link: str, expected: str) -> None:
    assert canonical_link(link) == expected


TRACKERS = (
    "utm_source utm_id fbclid gclid gbraid wbraid dclid msclkid yclid twclid ttclid igshid mc_cid "
    "mc_eid _hsenc _hsmi mkt_tok vero_id _ga _gl pk_campaign mtm_source at_medium"
)
OWN = (
    "id p page ref source s q lang story utm xutm_source my_gclid gclids pk_ pk_number hsmi mkt "
    "medium igshidden rss:fbclid"
)


@pytest.mark.parametrize("name", TRACKERS.split())
def test_a_tracker_is_no_part_of_a_link(name: str) -> None:
    for tracker in (name, name.upper()):
        link = f"https://n.example/x?a=1&{tracker}=x%20y&b=2&{tracker}&{tracker}=b=c"
        assert canonical_link(link) == "https://n.example/x?a=1&b=2"
        assert canonical_link(f"https://n.example/x?{tracker}=1") == "https://n.example/x"


@pytest.mark.parametrize("name", OWN.split())
def test_a_parameter_that_may_choose_the_page_is_kept(name: str) -> None:
    link = f"https://n.example/x?{name}=7"
    assert canonical_link(link) == link


@given(st.text())
def test_a_canonical_link_is_its_own(tail: str) -> None:
    once = canonical_link("https://News.Example/" + tail)
    assert canonical_link(once) == once


@pytest.mark.parametrize(
    ("identifier", "key"),
    [
        ("0f8c7a5e-1111-4222-8333-444455556666", "id:0f8c7a5e-1111-4222-8333-444455556666"),
        ("tag:n.example,2026:1", "id:tag:n.example,2026:1"),
        ("rss:ab12", "id:rss:ab12"),
        ("https://n.example/?p=17", "id:https://n.example/?p=17"),
        ("00112233445566778899", "id:00112233445566778899"),
        ("17", "id:desk#17"),
        ("budget-2026", "id:desk#budget-2026"),
    ],
)
def test_a_short_id_counts_only_within_its_source(identifier: str, key: str) -> None:
    assert build_keys(item(replace(PORT, id=identifier)), source="desk")[0] == key


def test_the_hash_does_not_see_case_and_spacing() -> None:
    def hash_key(brief: Brief) -> str:
        return next(k for k in build_keys(item(brief), source="s") if k.startswith("hash:"))

    loud = replace(PORT, title=PORT.title.upper().replace(" ", "  "))
    assert hash_key(loud) == hash_key(PORT)
    assert hash_key(replace(PORT, summary="Another.")) != hash_key(PORT)
    joined = Brief(title="a b", summary="c")
    assert hash_key(joined) != hash_key(Brief(title="a", summary="b c"))


def test_likeness() -> None:
    reworked = replace(PORT, title="Kilm's port is open again", summary=PORT.summary + " At last.")
    assert is_alike(PORT, reworked)
    assert not is_alike(PORT, BUDGET)
    monday = Brief(title="Morning brief: Monday", summary="Markets opened higher as oil fell.")
    tuesday = Brief(title="Morning brief: Tuesday", summary="Twelve grain ships are expected.")
    assert not is_alike(monday, tuesday)


def test_a_new_story_is_new() -> None:
    assert [m.known for m in decide(item(PORT), item(BUDGET), known={})] == [None, None]


@pytest.mark.parametrize("in_edition", [False, True])
def test_an_edited_file_is_the_same_brief(in_edition: bool) -> None:
    known = stored(item(PORT, "port.txt#0"), in_edition=in_edition)
    edited = replace(PORT, summary=PORT.summary.replace("three", "four"))
    (match,) = decide(item(edited, "port.txt#0"), known=known)
    assert match.known
    assert not match.replaces


def test_a_file_with_another_story_replaces_one_that_nobody_got() -> None:
    (match,) = decide(item(BUDGET, "day.txt#0"), known=stored(item(PORT, "day.txt#0")))
    assert match.known
    assert match.replaces


def test_a_file_with_another_story_is_new_once_the_old_one_is_out() -> None:
    known = stored(item(PORT, "day.txt#0"), in_edition=True)
    (match,) = decide(item(BUDGET, "day.txt#0"), known=known)
    assert match.known is None
    assert "place:desk#day.txt#0" in match.keys


def test_another_id_in_the_same_file_is_another_story() -> None:
    known = stored(item(replace(PORT, id="1"), "day.txt#0"))
    edited = replace(PORT, id="2", summary=PORT.summary + " More.")
    assert decide(item(edited, "day.txt#0"), known=known)[0].known is None
    assert decide(item(replace(edited, id="1"), "day.txt#0"), known=known)[0].known
    assert decide(item(replace(edited, id=""), "day.txt#0"), known=known)[0].known


def test_another_link_in_the_same_file_is_another_story_unless_the_text_stayed() -> None:
    known = stored(item(replace(PORT, link="https://n.example/port"), "day.txt#0"))
    other = item(replace(BUDGET, link="https://n.example/budget"), "day.txt#0")
    mended = item(replace(PORT, link="https://n.example/prot"), "day.txt#0")
    assert decide(other, known=known)[0].known is None
    assert decide(mended, known=known)[0].known


def test_a_story_put_in_at_the_top_replaces_none() -> None:
    known = stored(item(PORT, "all.txt#0"))
    first, second = decide(item(BUDGET, "all.txt#0"), item(PORT, "all.txt#1"), known=known)
    assert first.known is None
    assert second.known
    assert not second.replaces


def test_a_link_with_another_id_and_another_text_is_another_story() -> None:
    front = "https://n.example/"
    known = stored(item(replace(PORT, id="1", link=front)))
    assert decide(item(replace(BUDGET, id="2", link=front)), known=known)[0].known is None
    reworked = replace(PORT, id="2", link=front, summary=PORT.summary + " More.")
    assert decide(item(reworked), known=known)[0].known
    assert decide(item(replace(BUDGET, link=front)), known=known)[0].known


def test_ids_of_two_sources_do_not_contradict_each_other() -> None:
    link = "https://n.example/port"
    known = stored(item(replace(PORT, id="1", link=link)), source="wire")
    (match,) = decide(item(replace(BUDGET, id="2", link=link)), known=known)
    assert match.known


def test_an_id_on_unlike_entries_names_none_of_them() -> None:
    same = "https://n.example/"
    items = [item(replace(brief, id=same, link=same)) for brief in (PORT, BUDGET)]
    first, second = decide(*items)
    assert not first.repeats
    assert not second.repeats
    assert all(key.startswith(("text:", "hash:")) for key in first.keys + second.keys)


def test_a_brief_twice_in_one_reading_is_one() -> None:
    known = stored(item(PORT))
    for before in ({}, known):
        first, second = decide(item(PORT, "a.txt#0"), item(PORT, "b.txt#0"), known=before)
        assert (first.repeats, second.repeats) == (False, True)


def test_a_place_never_touches_the_brief_of_another_source() -> None:
    (known,) = set(stored(item(PORT), source="wire").values())
    (match,) = decide(item(BUDGET, "day.txt#0"), known={"place:desk#day.txt#0": known})
    assert match.known is None
