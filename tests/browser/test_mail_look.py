"""The digest in Chromium: a mail with one of everything, and what only eyes would notice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from newsletter.render.browser import Look, Viewer, open_viewer
from newsletter.render.browser_checks import judge_views, take_views
from newsletter.render.survey import take_survey
from tests.browser.chromium import NEEDS_CHROMIUM, make_html

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def html() -> str:
    return make_html()


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    with open_viewer() as viewer:
        yield viewer


def test_every_check_passes(viewer: Viewer, html: str) -> None:
    views = take_views(viewer, html)
    assert len(views.plain.texts) > 40
    assert [finding for finding in judge_views(views) if finding.status != "pass"] == []


def test_it_is_laid_out_by_the_standard(viewer: Viewer, html: str) -> None:
    with viewer.show(html, Look()) as shown:
        assert take_survey(shown).mode == "CSS1Compat"


@pytest.mark.parametrize("look", [Look(), Look(scheme="dark"), Look(outlook_dark=True)])
def test_dark_has_a_ground_of_its_own(viewer: Viewer, html: str, look: Look) -> None:
    with viewer.show(html, look) as shown:
        ground = shown.page.evaluate(
            "getComputedStyle(document.querySelector('.page')).backgroundColor"
        )
    assert (ground == "rgb(22, 21, 19)") == (look != Look())


def test_without_its_styles_it_reads_in_order(viewer: Viewer, html: str) -> None:
    with viewer.show(html, Look(width=320, styles=False)) as shown:
        text = shown.page.inner_text("body")
    order = ["Morning Ledger", "In this edition", "Original reporting", "AI-assisted analysis"]
    order += ["You are up to date", "Unsubscribe"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
