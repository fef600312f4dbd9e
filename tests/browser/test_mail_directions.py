"""The digest in Chromium where its words run from right to left, and where they are long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache

import pytest

from newsletter.audience.reader import Choices
from newsletter.briefs.model import Brief, Perspective, Point, Source
from newsletter.editions.model import Edition, Window
from newsletter.render.browser import Look, Shown, Viewer, open_viewer
from newsletter.render.browser_checks import judge_views, take_views
from newsletter.render.compile import compile_edition
from newsletter.render.preview import decode_part
from newsletter.render.selection import Selector
from newsletter.render.templates import find_templates
from newsletter.settings import EditionSettings, Publication, Vocabulary
from tests.browser.chromium import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM

PUBLICATION = Publication(
    name="Morning Ledger",
    sender="Ledger <ledger@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
    postal_address="1 Example Street, Springfield",
)
VALUES = {
    "email": "a-reader-with-quite-a-long-address@reader.example",
    "web_url": "https://news.example/e/1",
    "preferences_url": "https://news.example/p/1",
    "unsubscribe_url": "https://news.example/u/1",
}
SILENT = Perspective(
    lens="Civil Liberties View", text="No direct civil-liberties issue is implicated."
)

HEBREW_PORT = Brief(
    title="נמל חיפה בוחר ב־OpenPort 2.0 לניהול הרציפים",
    summary="מועצת הנמל אישרה ברוב של שבעה קולות את המעבר למערכת OpenPort 2.0. "
    "ההטמעה תחל במרץ ותעלה 12.5 מיליון שקל.",
    why_it_matters="נמל שאינו יודע מתי תגיע אונייה משלם על כל שעה של המתנה.",
    quick_take=(
        Point(label="Money Angle", text="רוב העלות תמומן באיגרות חוב לעשרים שנה."),
        Point(label="What to Watch Next", text="האם משרד התחבורה יאשר את החוזה לפני מרץ."),
    ),
    perspectives=(
        Perspective(lens="Household Impact", text="מחירי הסחורות המיובאות עשויים לרדת מעט."),
        Perspective(lens="Adversary View", text="תקשורת זרה עשויה להציג זאת כסבסוד ממשלתי."),
        SILENT,
    ),
    sources=(Source(name="harborpost.example", url="https://harborpost.example/1"),),
    topics=("כלכלה",),
    link="https://news.example/news/1",
)
HEBREW = (
    HEBREW_PORT,
    replace(HEBREW_PORT, title="הגשם הראשון הקדים, והמאגרים התמלאו ב־40%", topics=("סביבה",)),
    Brief(
        title="רכבות הלילה חוזרות",
        summary="הקו לבאר שבע ייפתח שוב ביום ראשון.",
        sources=(Source(name="עיתון הנגב"),),
        topics=("תחבורה",),
    ),
)
ENGLISH = (
    Brief(
        title="Harbor city approves a deeper port",
        summary="The council voted on a berth, and the first ships are expected in spring.",
        why_it_matters="A port that cannot take large ships loses its routes to the next one.",
        quick_take=(Point(label="Money Angle", text="Bonds carry most of it over twenty years."),),
        perspectives=(
            Perspective(lens="National Security View", text="Deep berths can take naval ships."),
            Perspective(lens="Adversary View", text="State media may call it a subsidy."),
            SILENT,
        ),
        sources=(Source(name="harborpost.example", url="https://harborpost.example/1"),),
        topics=("Economy",),
    ),
    Brief(title="Night trains return", summary="The line reopens on Sunday."),
)
CASES = {
    "a Hebrew publication": (HEBREW, "he", ""),
    "a Hebrew publication, read in English": (HEBREW, "he", "en"),
    "an English publication, read in Hebrew": (ENGLISH, "en", "he"),
    "a German publication": (ENGLISH, "de", ""),
}


@cache
def lay_out(case: str) -> str:
    briefs, language, chosen = CASES[case]
    edition = Edition(
        date=date(2026, 11, 23),
        window=Window(
            start=datetime(2026, 11, 22, tzinfo=UTC), cut_off=datetime(2026, 11, 23, tzinfo=UTC)
        ),
        subject=briefs[0].title,
        preheader=f"{briefs[1].title} – {briefs[1].summary}"[:110],
        briefs=briefs,
        left_out=3,
    )
    name = "עיתון הנמל" if language == "he" else "Morning Ledger"
    compiled = compile_edition(
        edition,
        publication=PUBLICATION.model_copy(update={"language": language, "name": name}),
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(),
    )
    selection = Selector(compiled).select(Choices(language=chosen))
    return decode_part(compiled.html, VALUES, selection)


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    with open_viewer() as viewer:
        yield viewer


def find_left(shown: Shown, text: str) -> float:
    """Say how far from the left edge the first sign of a text stands."""
    left = shown.page.evaluate(
        """text => {
          const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          for (let node; (node = nodes.nextNode()); ) {
            const at = node.data.indexOf(text);
            if (at < 0) continue;
            const range = document.createRange();
            range.setStart(node, at);
            range.setEnd(node, at + 1);
            const box = range.getBoundingClientRect();
            if (box.width) return box.left;  // the preview of the mail is not shown
          }
        }""",
        text,
    )
    assert left is not None, text
    return float(left)


def find_style(shown: Shown, selector: str, name: str) -> str:
    script = "([s, n]) => getComputedStyle(document.querySelector(s)).getPropertyValue(n)"
    return str(shown.page.evaluate(script, [selector, name]))


@pytest.mark.parametrize("case", CASES)
def test_every_check_passes(viewer: Viewer, case: str) -> None:
    """At 320 pixels too, in light and dark, with and without the styles."""
    findings = judge_views(take_views(viewer, lay_out(case)))
    assert [finding for finding in findings if finding.status != "pass"] == []


def test_hebrew_is_mirrored(viewer: Viewer) -> None:
    with viewer.show(lay_out("a Hebrew publication"), Look(width=640)) as shown:
        assert find_left(shown, "הצד הכספי") > find_left(shown, "רוב העלות") + 100
        for selector, name in (("ol", "padding-%s"), (".box", "border-%s-width")):
            right = find_style(shown, selector, name % "right")
            left = find_style(shown, selector, name % "left")
            assert float(right.removesuffix("px")) > float(left.removesuffix("px"))
        assert find_style(shown, "h2", "text-align") == "right"
        assert find_left(shown, "לבחירת") > find_left(shown, "להסרה")


def test_latin_within_hebrew_reads_on_in_order(viewer: Viewer) -> None:
    with viewer.show(lay_out("a Hebrew publication"), Look(width=640)) as shown:
        assert find_left(shown, "OpenPort") < find_left(shown, "2.0")
        assert find_left(shown, "1 Example") < find_left(shown, "Springfield")


def test_hebrew_words_leave_an_english_page_as_it_is(viewer: Viewer) -> None:
    with viewer.show(lay_out("an English publication, read in Hebrew"), Look(width=640)) as shown:
        assert find_left(shown, "לבחירת") < find_left(shown, "להסרה")
        assert find_left(shown, "ידיעות") < find_left(shown, "מילים")
        assert find_left(shown, "הצד הכספי") + 100 < find_left(shown, "Bonds carry")
        assert find_style(shown, ".row", "direction") == "ltr"
        colon = find_left(shown, ":\u2069")  # of what the sources are named after
        assert colon < find_left(shown, "המקורי") < find_left(shown, "harborpost.example")
