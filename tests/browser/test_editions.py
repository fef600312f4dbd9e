"""The shipped templates pass all thirty checks, whatever an edition is made of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from newsletter.audience.reader import Choices
from newsletter.briefs.model import Brief, Perspective, Point, Source
from newsletter.editions.headlines import format_preheader, format_subject
from newsletter.editions.model import Edition, Placing, Report, Window
from newsletter.render.browser import Viewer, open_viewer
from newsletter.render.browser_checks import judge_views, take_views
from newsletter.render.compile import compile_edition
from newsletter.render.preflight import check_edition, join_reports
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
POINTS = ("Money Angle", "Market Impact", "Who Benefits", "Who Loses", "What to Watch Next")
LENSES = [lens.name for lens in Vocabulary().lenses]
EVIL = (
    "<script>alert(1)</script> {{7*7}} {% x %} ]]> --> <!-- \"q\" 's' &lt; &amp; \u202eabc\u202c "
    "</td></table> \x00\x02f:9\x03 NL0123456789ABCDEFB0E\r\nBcc: x@y.example"
)


def brief(title: str, text: str, number: int = 0, *, topic: str = "Economy") -> Brief:
    return Brief(
        title=title,
        summary=text,
        why_it_matters=text,
        quick_take=tuple(Point(label=label, text=text) for label in POINTS),
        perspectives=tuple(Perspective(lens=lens, text=text) for lens in LENSES),
        sources=(Source(name="post.example", url=f"https://post.example/{number}"),),
        topics=(topic,),
    )


def english(number: int = 0, *, times: int = 1) -> Brief:
    text = f"The council voted on berth {number}, and the first ships come in spring. "
    return brief(f"Harbor city approves port number {number}", (text * times).strip(), number)


HEBREW = (
    brief(
        "עיריית הנמל אישרה את הרחבת המזח",
        "המועצה הצביעה בעד הרחבת המזח, והאוניות הראשונות צפויות באביב.",
        1,
        topic="כלכלה",
    ),
    brief(
        "חברת Harbor Power תחבר את 3 המזחים לחשמל",
        "שלושה מזחים יחוברו לרשת החשמל עד סוף השנה, כך הודיעה החברה.",
        2,
        topic="אנרגיה",
    ),
)
JAPANESE = (
    brief(
        "東京湾の新しい水素フェリーが就航",
        "初日の便はすべて満席だった。料金は大人二千円で、来年から増便する。",
        1,
        topic="交通",
    ),
    brief("港の拡張計画を市議会が承認", "市議会は賛成多数で可決した。春に最初の船が入る。", 2),
)
EDITIONS: dict[str, tuple[str, tuple[Brief, ...]]] = {
    "hostile text": ("en", (brief(EVIL + " A", EVIL + " text"), english(1))),
    "Hebrew": ("he", HEBREW),
    "one brief": ("en", (english(),)),
    "forty briefs": ("en", tuple(english(number, times=3) for number in range(40))),
    "the longest brief": ("en", (english(0, times=40), english(1))),
    "Japanese": ("ja", JAPANESE),
}
PLACINGS: dict[str, tuple[Placing, ...]] = {
    "sections and other outlets": tuple(
        Placing(section=section, also=also, is_late=not section)
        for section, also in (
            (
                "Economy",
                (Report(outlet="The Alder Post", title="Its own", url="https://a.example/"),),
            ),
            ("City & state", ()),
            ("", tuple(Report(outlet=f"Outlet {n}", title="x", url="") for n in range(6))),
            ("Economy", ()),
        )
    )
}
EDITIONS["sections and other outlets"] = ("en", tuple(english(number) for number in range(4)))
CHOSEN = (
    [*EDITIONS]
    if os.environ.get("NEWSLETTER_TEST_EDITIONS") == "all"
    else [*[*EDITIONS][:2], *PLACINGS]
)


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    with open_viewer() as viewer:
        yield viewer


@pytest.mark.parametrize("name", CHOSEN)
def test_all_thirty_checks_pass(viewer: Viewer, name: str) -> None:
    language, briefs = EDITIONS[name]
    day = date(2026, 11, 23)
    publication = PUBLICATION.model_copy(update={"language": language})
    edition = Edition(
        date=day,
        window=Window(
            start=datetime(2026, 11, 22, tzinfo=UTC), cut_off=datetime(2026, 11, 23, tzinfo=UTC)
        ),
        subject=format_subject(briefs, publication=publication, day=day),
        preheader=format_preheader(briefs, publication=publication, day=day),
        briefs=briefs,
        placings=PLACINGS.get(name, ()),
        sections=("Economy", "City & state") if name in PLACINGS else (),
    )
    compiled = compile_edition(
        edition,
        publication=publication,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(),
    )
    parsed = check_edition(edition, compiled, publication=publication, vocabulary=Vocabulary())
    values = {
        "email": "a-reader-with-quite-a-long-address@reader.example",
        "web_url": "https://news.example/editions/2026-11-23",
        "unsubscribe_url": "https://news.example/u/" + "x" * 60,
        "preferences_url": "https://news.example/p/" + "x" * 60,
    }
    html = decode_part(compiled.html, values, Selector(compiled).select(Choices()))
    findings = {f.number: f for f in join_reports(parsed, judge_views(take_views(viewer, html)))}
    assert set(range(1, 31)) <= set(findings)
    assert [findings[n] for n in range(1, 31) if findings[n].status != "pass"] == []
