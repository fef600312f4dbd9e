"""What a reader can check a brief by: from what was sent, what was reviewed and what was wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lxml import html as lxml_html
from sqlalchemy import delete, insert, select, update

from newsletter.delivery.holder import describe_operator
from newsletter.editions.corrections import find_wrong, store_correction
from newsletter.editions.receipts import Approval, load_approvals
from newsletter.press import Press
from newsletter.press.site import build_web
from newsletter.settings import load_settings
from newsletter.store.audit import Actor
from newsletter.store.tables import edition_briefs, editions, reviews
from tests.acceptance.project import Project
from tests.integration.web.stage import Stage

LIBRARY, QUAY = 1, 2  # their places in the edition


def receipts(stage: Stage, number: int, press: Press | None = None) -> str:
    """Read the receipts of a brief's page, as text."""
    day = stage.clock.now.date()
    files = build_web(press or stage.press, day)
    tree = lxml_html.document_fromstring(files[f"editions/{day}/briefs/{number}/index.html"])
    return " ".join(str(tree.xpath("string(//section[@class='receipts'])")).split())


def approvals(stage: Stage) -> dict[int, Approval]:
    with stage.database.reading() as connection:
        edition_id = connection.scalar(select(editions.c.id))
        assert edition_id is not None
        return load_approvals(connection, edition_id)


def test_a_brief_says_where_it_comes_from_and_who_let_it_go(stage: Stage, sent: Project) -> None:
    told = receipts(stage, QUAY)
    assert "Original reporting: quayside.example" in told
    assert "AI-assisted: Why this matters Quick take Perspectives on this story" in told
    assert "Approved:" in told
    assert "with the whole edition, by an editor" in told
    assert "Corrected:" not in told
    assert "Also reported by:" not in told
    user = describe_operator().partition("@")
    settings = load_settings(sent.config)
    named = settings.model_copy(
        update={"review": settings.review.model_copy(update={"name_approvers": True})}
    )
    shown = receipts(stage, QUAY, replace(stage.press, settings=named))
    assert f"with the whole edition, {user[0]}" in shown
    assert user[2] not in shown, "the name of the machine is nobody's business"


def test_a_yes_to_the_very_text_counts_before_one_to_the_edition(stage: Stage) -> None:
    earlier = stage.clock.now - timedelta(hours=2)
    with stage.database.writing() as connection:
        (claim,) = connection.execute(
            select(edition_briefs).where(edition_briefs.c.position == QUAY - 1)
        )
        content = connection.scalar(select(editions.c.content))
        assert content is not None
        told = content["briefs"][QUAY - 1]

        def say(document: object, verdict: str, by: str) -> None:
            connection.execute(
                insert(reviews).values(
                    brief_id=claim.brief_id,
                    content_hash="of that text",
                    document=document,
                    verdict=verdict,
                    decided_at=earlier,
                    decided_by=by,
                )
            )

        say({**told, "title": "What it was before"}, "approved", "bob@desk")
        say({**told, "picture": {"url": "left out"}}, "approved", "ann@desk")
    assert approvals(stage)[QUAY] == Approval(at=earlier, by="ann@desk", of_edition=False)
    assert approvals(stage)[LIBRARY].of_edition
    with stage.database.writing() as connection:
        say_by_setting = {"decided_by": "settings: source briefs is trusted"}
        connection.execute(
            update(reviews).where(reviews.c.decided_by == "ann@desk").values(say_by_setting)
        )
    assert "by a rule: its source is trusted" in receipts(stage, QUAY)


def test_nothing_is_said_of_who_is_not_known(stage: Stage) -> None:
    with stage.database.writing() as connection:
        connection.execute(delete(reviews))
    assert approvals(stage) == {}
    assert "Approved:" not in receipts(stage, QUAY)


def test_a_correction_stands_in_the_receipts_with_its_date(stage: Stage, tmp_path: Path) -> None:
    day = stage.clock.now.date()
    with stage.database.writing() as connection:
        wrong = find_wrong(connection, day, "daily", QUAY)
        made = datetime(2026, 12, 24, 12, tzinfo=UTC)
        store_correction(
            connection, wrong, "minor", "It was Tuesday.", by=Actor(who="ada"), now=made
        )
    assert "Corrected: Thursday, December 24, 2026" in receipts(stage, QUAY)
    assert "Corrected:" not in receipts(stage, LIBRARY)
    found = stage.web.get("/search", params={"q": "tuesday"}).text
    assert "It was Tuesday." in found, "what was wrong is not shown without what is right"
