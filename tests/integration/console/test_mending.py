"""An editor's words in a brief: kept, void of what was said before, and never over another's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from newsletter.briefs.document import brief_from_document
from newsletter.briefs.gather import store_item
from newsletter.briefs.mending import merge_documents
from newsletter.briefs.sources.reading import Item
from newsletter.editions.review import Rules
from newsletter.editions.shelf import find_edition, load_content
from newsletter.editions.verdicts import (
    Reviewed,
    find_said_of_edition,
    load_reviewed,
    load_told,
)
from newsletter.store.audit import list_entries
from tests.acceptance.project import Project
from tests.integration.console.conftest import LIKELY, likely_one_story
from tests.integration.console.stage import Person, Stage
from tests.integration.console.test_day import edition, seen, titles

REVIEWED = Rules(required=True)


def told(stage: Stage) -> list[Reviewed]:
    with stage.database.reading() as connection:
        return load_told(connection, edition(stage).id, REVIEWED)


def fill(person: Person) -> dict[str, Any]:
    """Give what the form of the page holds, as a browser sends it."""
    fields: dict[str, Any] = {}
    for each in person.page.xpath("//form[@class='mend']//*[self::input or self::textarea]"):
        value = each.get("value") if each.tag == "input" else each.text or ""
        fields.setdefault(each.get("name"), []).append(value)
    return fields


def test_an_editors_words_last_and_need_another_approval(stage: Stage) -> None:
    ed, sue = stage.enter("Ed", "editor"), stage.enter("Sue", "sender")
    day = stage.press.today()
    sue.get(f"/console/editions/{day}/send")
    sue.post(f"/console/editions/{day}/review", seen=seen(sue))
    path = f"/console/briefs/{told(stage)[0].brief_id}"
    ed.get(path)
    ed.post(f"{path}/judge", seen=seen(ed), verdict="approved")
    first = told(stage)[0]
    assert first.judgement.state == "approved"

    ed.get(f"{path}/edit")
    words = fill(ed)
    assert words["title"] == [first.brief.title]
    assert words["point"][:-1] == [point.label for point in first.brief.quick_take]
    assert words["lens"][:-1] == [each.lens for each in first.brief.perspectives]
    words["title"] = ["A better title <b>"]
    words["point"][-1], words["point_text"][-1] = "Who Gains", "Ships.\r\n\r\nAnd shops."
    assert ed.post(f"{path}/edit", **words).status_code == 303

    mended = next(each for each in told(stage) if each.brief_id == first.brief_id)
    assert mended.brief.title == "A better title <b>"
    assert mended.brief.quick_take[-1].text == "Ships.\n\nAnd shops."
    assert mended.brief.summary == first.brief.summary
    assert mended.judgement.why == "edited since approved"
    with stage.database.reading() as connection:
        record = edition(stage)
        assert "A better title <b>" in {b.title for b in load_content(connection, record.id).briefs}
        assert find_said_of_edition(connection, record.id) is None
        (entry,) = list_entries(connection, 1)
    assert (entry.who, entry.action) == ("Ed", "brief.mend")
    assert entry.detail == "other words for title, quick take"
    assert entry.target == f"brief {first.brief_id}"
    assert entry.before != entry.after
    ed.get(path)
    assert "Mended here" in ed.text
    assert "-title: " + first.brief.title in ed.text

    ed.get("/console/")
    assert ed.post("/console/gather").status_code == 303
    ed.get("/console/")
    assert "A better title <b>" in titles(ed)
    ed.get(f"{path}/edit?from=source")
    assert ed.post(f"{path}/edit", **fill(ed)).status_code == 303
    (back,) = [each for each in told(stage) if each.brief_id == first.brief_id]
    assert (back.document, back.source_document) == (first.document, None)
    assert back.judgement.state == "approved"
    with stage.database.reading() as connection:
        mends = [each for each in list_entries(connection, 9) if each.action == "brief.mend"]
    assert mends[0].detail == "title, quick take as its source has it again"


def test_what_its_source_changes_is_taken_over_but_for_what_was_mended(stage: Stage) -> None:
    ed = stage.enter("Ed", "editor")
    first = told(stage)[0]
    path = f"/console/briefs/{first.brief_id}"
    ed.get(f"{path}/edit")
    assert ed.post(f"{path}/edit", **{**fill(ed), "title": "Ours"}).status_code == 303

    def bring(**changes: Any) -> Reviewed:
        brief = replace(first.brief, published_at=first.published_at, **changes)
        with stage.database.writing() as connection:
            store_item(
                connection,
                Item(brief=brief, origin="again"),
                source=first.source,
                now=stage.clock.now,
                brief_id=first.brief_id,
            )
            return load_reviewed(connection, [first.brief_id], REVIEWED)[first.brief_id]

    assert bring().brief.title == "Ours"
    changed = bring(summary="Another summary of theirs.", title="Theirs")
    assert (changed.brief.title, changed.brief.summary) == ("Ours", "Another summary of theirs.")
    assert changed.source_document is not None
    assert changed.source_document["title"] == "Theirs"
    same = bring(summary="Another summary of theirs.", title="Ours")
    assert (same.brief.title, same.source_document) == ("Ours", None)


def test_of_two_editors_the_second_is_told_and_loses_nothing(stage: Stage) -> None:
    ed, eva = stage.enter("Ed", "editor"), stage.enter("Eva", "editor")
    path = f"/console/briefs/{told(stage)[0].brief_id}/edit"
    ed.get(path)
    eva.get(path)
    assert ed.post(path, **{**fill(ed), "title": "The title by Ed"}).status_code == 303
    answer = eva.post(path, **{**fill(eva), "summary": "The summary by Eva."})
    assert answer.status_code == 409
    assert "Somebody changed this brief while you wrote" in eva.text
    assert "-title: The title by Ed" in eva.text
    assert "+summary: The summary by Eva." in eva.text
    both = fill(eva)
    assert both["summary"] == ["The summary by Eva."]
    assert eva.post(path, **{**both, "title": "The title by Ed"}).status_code == 303
    brief = told(stage)[0].brief
    assert (brief.title, brief.summary) == ("The title by Ed", "The summary by Eva.")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"title": " "}, "title"), ({"point": "", "point_text": "No label."}, "quick_take")],
)
def test_what_is_no_brief_comes_back_as_it_was_written(
    stage: Stage, wrong: dict[str, str], field: str
) -> None:
    ed = stage.enter("Ed", "editor")
    before = told(stage)[0]
    path = f"/console/briefs/{before.brief_id}/edit"
    ed.get(path)
    answer = ed.post(path, **{**fill(ed), **wrong, "why_it_matters": "Long work. " * 5_000})
    assert answer.status_code == 409
    assert "Nothing is stored" in ed.text
    assert field in ed.text
    assert fill(ed)["why_it_matters"][0].startswith("Long work. Long work.")
    assert told(stage)[0].document == before.document


def test_two_briefs_become_one_story_and_two_again(stage: Stage) -> None:
    ed = stage.enter("Ed", "editor")
    one, other, _ = (each.brief_id for each in told(stage))
    ed.get(f"/console/briefs/{one}")
    assert ed.post(f"/console/briefs/{one}/story", rule="merge", other=other).status_code == 303
    assert len(told(stage)) == 2
    ed.get("/console/")
    assert "With it:" in ed.text
    ed.get(f"/console/briefs/{one}")
    assert "Split: two stories" in ed.text
    assert ed.post(f"/console/briefs/{one}/story", rule="split", other=other).status_code == 303
    assert len(told(stage)) == 3
    ed.get(f"/console/briefs/{one}")
    assert ed.post(f"/console/briefs/{one}/story", rule="merge", other="x").status_code == 422
    with stage.database.reading() as connection:
        actions = [entry.action for entry in list_entries(connection, 2)]
    assert actions == ["story.split", "story.merge"]


@pytest.mark.parametrize("word", ["merge", "split"])
def test_an_editor_is_asked_once_what_may_be_one_story(
    stage: Stage, gathered: Project, word: str
) -> None:
    vera, ed = stage.enter("Vera", "viewer"), stage.enter("Ed", "editor")
    ed.get("/console/")
    assert "Maybe one story" not in ed.text
    with likely_one_story(gathered):
        assert ed.post("/console/gather").status_code == 303
    ed.get("/console/")
    assert "Maybe one story" in ed.text
    (form,) = ed.page.xpath("//section[h3[@id='maybe']]//form")
    fields = {str(each.get("name")): each.get("value") for each in form.xpath(".//input")}
    path = form.get("action")
    assert set(LIKELY.values()) <= set(titles(ed))
    vera.get("/console/")
    assert "Maybe one story" not in vera.text

    answer = ed.post(path, **fields, rule=word)
    assert answer.headers["Location"].endswith("/console/#edition")
    ed.get("/console/")
    assert "Maybe one story" not in ed.text
    assert (set(LIKELY.values()) <= set(titles(ed))) is (word == "split")


def test_what_readers_may_have_is_not_mended(stage: Stage) -> None:
    sue = stage.enter("Sue", "sender")
    day = stage.press.today()
    brief = told(stage)[0].brief_id
    sue.get(f"/console/briefs/{brief}/edit")
    words = fill(sue)
    sue.get(f"/console/editions/{day}/send")
    sue.post(f"/console/editions/{day}/send", seen=seen(sue), sure="yes")
    sue.get(f"/console/briefs/{brief}")
    assert sue.post(f"/console/briefs/{brief}/edit", **words | {"title": "New"}).status_code == 409
    assert "approved or was sent" in sue.text
    assert sue.get(f"/console/briefs/{brief}/edit").status_code == 409
    with stage.database.reading() as connection:
        record = find_edition(connection, day)
        assert record is not None
        assert "New" not in {b.title for b in load_content(connection, record.id).briefs}


def test_documents_merge_field_by_field() -> None:
    was = {"title": "a", "summary": "b", "update": "c", "link": "l"}
    mended = {"title": "A", "summary": "b", "link": "l"}
    now = {"title": "a", "summary": "B", "update": "C", "link": "m", "not_before": "n"}
    merged = merge_documents(was, mended, now)
    assert merged == {"title": "A", "summary": "B", "link": "m", "not_before": "n"}
    assert brief_from_document(merged | {"not_before": ""}, file="x").update == ""
