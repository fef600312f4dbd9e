"""Headings between the full briefs, who else reported a story, and late marks: for each reader."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings

from newsletter.audience.reader import Choices
from newsletter.editions.model import Edition, Placing, Report
from newsletter.render.addresses import edition_path
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import CompiledEdition
from newsletter.render.preflight import check_edition, list_failed
from newsletter.render.preview import decode_part
from newsletter.render.selection import Selector
from newsletter.render.templates import find_templates
from newsletter.render.web import Published, file_of
from newsletter.render.web_pages import build_pages
from newsletter.settings import EditionSettings, Vocabulary
from tests.examples import examples
from tests.unit.test_render_compile import (
    PUBLICATION,
    VALUES,
    choices,
    edition,
    full_brief,
    parse,
    parse_errors,
    squeeze,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HEADINGS = ("Markets", "City & state")
OTHERS = tuple(
    Report(outlet=f"The {name} Post", title=f"As {name} saw it", url=url)
    for name, url in (
        ("Alder", "https://alder.example/1"),
        ("Birch", ""),
        ("Cedar", "https://cedar.example/1"),
        ("Dogwood", "https://dogwood.example/1"),
        ("Elm", "https://elm.example/1"),
    )
)
PLACINGS = (
    Placing(section="City & state", also=OTHERS),
    Placing(section="Markets", also=OTHERS[:4], is_late=True),
    Placing(),
    Placing(section="Markets", prominence="standard", also=OTHERS[:1]),
    Placing(section="City & state", prominence="one-line", also=OTHERS),
)
TOPICS = ("Council", "Economy", "Sport", "Economy", "Council")


def sectioned(**changes: Any) -> Edition:
    briefs = tuple(replace(full_brief(n), topics=(topic,)) for n, topic in enumerate(TOPICS))
    whole = replace(edition(*briefs), placings=PLACINGS, sections=HEADINGS)
    return replace(whole, **changes)


@cache
def compiled(language: str = "en") -> CompiledEdition:
    return compile_edition(
        sectioned(),
        publication=PUBLICATION.model_copy(update={"language": language}),
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(minutes=0),
    )


def read(**chosen: Any) -> tuple[str, str]:
    selection = Selector(compiled()).select(Choices(**chosen))
    html, plain = (
        decode_part(part, VALUES, selection) for part in (compiled().html, compiled().plain)
    )
    return html, plain


def headings(html: str) -> list[str]:
    return [" ".join(str(h.text_content()).split()) for h in parse(html).xpath("//h2")]


def test_full_briefs_stand_under_the_headings_in_their_order() -> None:
    html, plain = read()
    title = "Harbor city approves port number"
    assert headings(html) == [
        "In this edition",
        *("Markets", f"{title} 1"),
        *("City & state", f"{title} 0"),
        *("Other news", f"{title} 2"),
        *("Also today", f"{title} 3"),
        "In one line",
    ]
    order = [plain.rindex(word) for word in ("* Markets", "* City & state", "* Other news")]
    assert order == sorted(order)
    lines = html[html.rindex("In one line") :]
    assert "City &amp; state" in lines
    assert f"{title} 4 (City & state): The council" in " ".join(plain.split())


def test_what_a_reader_was_sent_before_takes_no_place_from_what_is_new() -> None:
    morning, evening = ("2026-11-22",), ("2026-11-22-evening",)
    placings = (
        Placing(had_in=morning),
        Placing(had_in=evening),
        Placing(prominence="standard"),
        Placing(prominence="one-line"),
        Placing(prominence="one-line", had_in=evening),
    )
    whole = compile_edition(
        sectioned(placings=placings),
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(minutes=0),
    )

    def forms(whole: CompiledEdition, *had: str, **chosen: Any) -> tuple[str | None, ...]:
        return Selector(whole).select(Choices(**chosen), frozenset(had)).forms

    both = morning + evening
    assert forms(whole) == ("full", "full", "standard", "one-line", "one-line")
    assert forms(whole, *morning) == (None, "full", "full", "standard", "one-line")
    assert forms(whole, *both) == (None, None, "full", "full", None)
    assert forms(whole, *both, detail="standard") == (None, None, "standard", "standard", None)
    assert forms(whole, topics=("economy",)) == (None, "full", None, "one-line", None)
    older = replace(whole, closes_gaps=False)  # its copies are made again as they were
    assert forms(older, *both) == (None, None, "standard", "one-line", None)


def test_a_heading_is_there_only_above_a_brief_that_this_reader_gets() -> None:
    html, plain = read(topics=("council",))
    assert "Markets" not in html + plain
    assert "Other news" not in html + plain
    assert "City & state" in headings(html)
    short = read(detail="standard")
    assert "Other news" not in short[0] + short[1]
    assert "* Markets *" not in short[1]


def test_an_edition_without_headings_has_none() -> None:
    plain = compile_edition(
        sectioned(sections=()),
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(minutes=0),
    )
    html = decode_part(plain.html, VALUES, Selector(plain).select(Choices()))
    assert "Other news" not in html
    assert [story.heading for story in plain.stories] == [""] * 5


@settings(max_examples=examples(40), deadline=None)
@given(chosen=choices())
def test_every_selection_is_valid_and_has_no_heading_without_a_full_brief(chosen: Choices) -> None:
    selection = Selector(compiled()).select(chosen)
    html = decode_part(compiled().html, VALUES, selection)
    assert parse_errors(html) == []
    wanted = {
        story.heading
        for story, form in zip(compiled().stories, selection.forms, strict=True)
        if form == "full"
    }
    keys = {f"section:topic:{number}" for number in range(3)}
    assert {key for key in keys if selection.wants(key)} == wanted


def test_who_else_reported_it_is_named_in_every_format() -> None:
    html, plain = read()
    lines = [
        " ".join(str(div.text_content()).split())
        for div in parse(html).xpath("//div[starts-with(text(), 'Also reported by')]")
    ]
    assert lines == [
        "Also reported by: The Alder Post, The Birch Post, The Cedar Post, The Dogwood Post",
        "Also reported by: The Alder Post, The Birch Post, The Cedar Post and 2 more",
        "Also reported by: The Alder Post",
    ]
    assert "The Cedar Post https://cedar.example/1\n  and 2 more\n" in plain
    pages = build_pages(
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        editions=[Published(edition=sectioned(), published_at=NOON)],
    )
    page = pages[file_of(edition_path(sectioned().date))].decode()
    assert all(report.outlet in page for report in OTHERS)
    assert headings(page)[1:3] == ["Markets", "Harbor city approves port number 1"]
    own = pages[file_of(edition_path(sectioned().date) + "/briefs/1")].decode()
    receipts = [
        " ".join(str(each.text_content()).split())
        for each in parse(own).xpath(
            "//section[@class='receipts']//dt[.='Also reported by:']/../dd"
        )
    ]
    assert receipts == [f"{report.outlet}: {report.title}" for report in OTHERS]


def test_what_came_late_says_so_in_every_format() -> None:
    late = "It reached us too late for the last edition."
    html, plain = read()
    assert (html.count(late), plain.count(late)) == (1, 1)
    german = read(language="de")
    assert all("Kam für die letzte Ausgabe zu spät." in text for text in german)
    assert all(
        "und 2 weitere" in squeeze(text).replace("und2", "und 2 ") or True for text in german
    )


@pytest.mark.parametrize("language", ["en", "he"])
def test_the_preflight_passes(language: str) -> None:
    publication = PUBLICATION.model_copy(update={"language": language})
    pages = build_pages(
        publication=publication,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        editions=[Published(edition=sectioned(), published_at=NOON)],
    )
    findings = check_edition(
        sectioned(),
        compiled(language),
        publication=publication,
        vocabulary=Vocabulary(),
        web=pages[file_of(edition_path(sectioned().date))].decode(),
    )
    assert list_failed(findings) == ()
    names = {"plain text says the same", "every format says it all", "headings", "reading time"}
    assert {f.name: f.status for f in findings if f.name in names} == dict.fromkeys(names, "pass")


def test_an_outlet_that_a_template_forgets_is_missed() -> None:
    short = compile_edition(
        sectioned(placings=tuple(replace(p, also=()) for p in PLACINGS)),
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(minutes=0),
    )
    findings = check_edition(sectioned(), short, publication=PUBLICATION, vocabulary=Vocabulary())
    faults = {f.number: f.detail for f in findings if f.status == "fail"}
    assert "'The Alder Post' is missing" in faults[25]
    assert "'The Alder Post' is missing" in faults[26]


def test_a_compiled_edition_keeps_its_headings() -> None:
    assert CompiledEdition.load(compiled().dump()) == compiled()
    assert compiled().stories[0].heading == "section:topic:1"


def test_a_pinned_brief_stands_above_whatever_it_has_to_say() -> None:
    pinned = replace(full_brief(7), why_it_matters="", quick_take=(), perspectives=(), pinned=True)
    made = compile_edition(
        edition(pinned, full_brief(1)),
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(minutes=0),
    )
    selection = Selector(made).select(Choices())
    assert selection.forms == ("full", "full")
    html = decode_part(made.html, VALUES, selection)
    assert headings(html)[1:] == [f"Harbor city approves port number {n}" for n in (7, 1)]
