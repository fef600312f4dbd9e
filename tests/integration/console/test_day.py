"""A whole day by the console, as each role: gather, order, judge, approve, send, pause, settle."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from newsletter.delivery.inquiry import list_decisions
from newsletter.editions.manifest import find_manifest
from newsletter.editions.shelf import EditionRecord, change_state, find_edition
from newsletter.press.delivering import deliver
from newsletter.settings import FurtherEdition
from newsletter.store.audit import Actor, list_entries, verify
from newsletter.store.tables import deliveries
from tests.acceptance.project import Project
from tests.integration.console.conftest import open_stage
from tests.integration.console.stage import Person, Stage


def titles(person: Person) -> list[str]:
    return [str(t) for t in person.page.xpath("//ol[@class='told']/li/h3/a/bdi/text()")]


def seen(person: Person) -> str:
    return str(person.page.xpath("//input[@name='seen']/@value")[0])


def edition(stage: Stage) -> EditionRecord:
    with stage.database.reading() as connection:
        found = find_edition(connection, stage.press.today())
    assert found is not None
    return found


def gather(stage: Stage, person: Person) -> date:
    """Look at the day, whose edition is made."""
    person.get("/console/")
    return stage.press.today()


def test_each_edition_of_the_day_has_its_page(gathered: Project, tmp_path: Path) -> None:
    evening = FurtherEdition.model_validate(
        {"name": "evening", "gather_at": "16:30", "send_at": "17:00", "topics": ["Ports"]}
    )
    with open_stage(gathered, tmp_path, further=(evening,)) as stage:
        ed = stage.enter("Ed", "editor")
        brief = gathered.root / "briefs" / "port.txt"
        brief.write_text("---\ntopics: [ports]\n---\nHarbor Bell Rings\n\nA bell was cast anew.\n")
        try:
            ed.get("/console/?kind=evening")
            assert titles(ed) == []
            assert ed.post("/console/gather?kind=evening").headers["Location"].endswith(
                "?kind=evening"
            )  # fmt: skip
        finally:
            brief.unlink()
        ed.get("/console/?kind=evening")
        assert titles(ed) == ["Harbor Bell Rings"]
        assert "The evening edition" in ed.text
        assert "Set for 17:00" in ed.text
        (number,) = ed.page.xpath("//ol[@class='told']/li/@id")
        number = number.removeprefix("brief-")
        moved = ed.post(f"/console/briefs/{number}/move", move="first")
        assert moved.headers["Location"].endswith(f"?kind=evening#brief-{number}")
        ed.get("/console/")
        assert len(titles(ed)) == 3
        assert ed.page.xpath("//a[.='evening']/@href")
        assert ed.get("/console/?kind=dusk").status_code == 409


def test_an_edition_is_planned_as_it_stands(stage: Stage) -> None:
    ed, sue = stage.enter("Ed", "editor"), stage.enter("Sue", "sender")
    ed.get("/console/")
    assert ed.post("/console/gather").status_code == 303
    day = gather(stage, ed)
    later = stage.clock.now.astimezone(stage.press.settings.publication.zone) + timedelta(minutes=9)
    at = f"{later:%Y-%m-%dT%H:%M}"
    first = ed.page.xpath("//ol[@class='told']/li/@id")[0].removeprefix("brief-")
    path = f"/console/editions/{day}/plan"
    assert ed.post(path, at=at).status_code == 403
    sue.get(f"/console/editions/{day}/send")
    token = seen(sue)
    assert sue.post(path, at="soon", seen=token).status_code == 422
    sue.get(f"/console/editions/{day}/send")
    assert sue.post(path, at="2020-01-01T10:00", seen=token).status_code == 409
    assert "has passed" in sue.text
    assert sue.post(path, at=at, seen="0" * 64).status_code == 409
    sue.get(f"/console/editions/{day}/send")
    assert sue.post(path, at=at, seen=token).status_code == 303
    send_at = edition(stage).send_at
    assert send_at is not None
    assert f"{send_at.astimezone(later.tzinfo):%Y-%m-%dT%H:%M}" == at
    sue.get(f"/console/editions/{day}")
    assert "as it stands" in sue.text
    ed.get("/console/")
    assert ed.post(f"/console/briefs/{first}/move", move="down").status_code == 409
    assert "is planned, and stands as it is" in ed.text
    assert edition(stage).is_planned


def test_a_day_from_the_gathering_to_the_result(stage: Stage) -> None:
    ed, sue = stage.enter("Ed", "editor"), stage.enter("Sue", "sender")
    ed.get("/console/")
    assert ed.post("/console/gather").status_code == 303
    day = gather(stage, ed)
    before = titles(ed)
    assert len(before) == 3
    moved = ed.page.xpath("//ol[@class='told']/li/@id")[2].removeprefix("brief-")
    assert ed.post(f"/console/briefs/{moved}/move", move="first").status_code == 303
    ed.get("/console/")
    assert titles(ed) == [before[2], before[0], before[1]]
    ed.post(f"/console/briefs/{moved}/move", move="down")
    ed.get("/console/")
    assert titles(ed) == [before[0], before[2], before[1]]

    dropped = ed.page.xpath("//ol[@class='told']/li/@id")[2].removeprefix("brief-")
    ed.get(f"/console/briefs/{dropped}")
    assert (
        ed.post(f"/console/briefs/{dropped}/judge", seen=seen(ed), verdict="rejected").status_code
        == 422
    )
    ed.get(f"/console/briefs/{dropped}")
    said = {"seen": seen(ed), "verdict": "rejected", "note": "not ours"}
    assert ed.post(f"/console/briefs/{dropped}/judge", **said).status_code == 303
    ed.get("/console/")
    assert titles(ed) == [before[0], before[2]]
    assert ed.get(f"/console/editions/{day}/send").status_code == 403

    sue.get(f"/console/editions/{day}/send")
    assert "mails 3 readers at once" in sue.text
    token = seen(sue)
    assert sue.post(f"/console/editions/{day}/review", seen="0" * 64).status_code == 409
    sue.get(f"/console/editions/{day}/send")
    assert (
        sue.post(f"/console/editions/{day}/test", seen=token, email="sue@news.example").status_code
        == 200
    )
    assert "Mailed one test copy" in sue.text
    assert sue.post(f"/console/editions/{day}/send", seen=token).status_code == 409
    assert "nobody was mailed" in sue.text
    assert sue.post(f"/console/editions/{day}/send", seen=token, sure="yes").status_code == 303
    record = edition(stage)
    assert record.state == "approved"
    with stage.database.reading() as connection:
        assert [d.action for d in list_decisions(connection, record.id)] == ["send"]
    asyncio.run(deliver(stage.press, record))  # what a running `serve` does then
    sue.get(f"/console/editions/{day}")
    assert "3 of 3 readers have it; 0 wait" in sue.text

    with stage.database.reading() as connection:
        manifest = find_manifest(connection, edition(stage))
        assert verify(connection).fault == ""
        entries = list_entries(connection, 99)
    assert manifest is not None
    assert manifest.faults == ()
    assert (manifest.document["approved_by"], manifest.document["audience"]) == ("Sue", 3)
    told = [(e.who, e.action) for e in reversed(entries) if e.who in ("Ed", "Sue")]
    assert told == [
        ("Ed", "team.set-up"),
        ("Sue", "team.set-up"),
        ("Ed", "brief.move"),
        ("Ed", "brief.move"),
        ("Ed", "brief.rejected"),
        ("Sue", "edition.test"),
        ("Sue", "edition.review"),
        ("Sue", "edition.approve"),
        ("Sue", "edition.send"),
    ]
    assert {e.origin for e in entries if e.who == "Sue"} == {"127.0.0.1"}


def test_an_edition_that_was_made_anew_is_not_sent_by_an_old_page(stage: Stage) -> None:
    sue = stage.enter("Sue", "sender")
    day = gather(stage, sue)
    sue.get(f"/console/editions/{day}/send")
    old = seen(sue)
    sue.get("/console/")
    first = sue.page.xpath("//ol[@class='told']/li/@id")[1]
    sue.post(f"/console/briefs/{first.removeprefix('brief-')}/move", move="first")
    sue.get(f"/console/editions/{day}/send")
    answer = sue.post(f"/console/editions/{day}/send", seen=old, sure="yes")
    assert answer.status_code == 409
    assert "composed anew" in sue.text
    assert edition(stage).state == "draft"


def test_pause_resume_cancel_say_what_they_do(stage: Stage) -> None:
    sue = stage.enter("Sue", "sender")
    day = gather(stage, sue)
    sue.get(f"/console/editions/{day}/send")
    sue.post(f"/console/editions/{day}/send", seen=seen(sue), sure="yes")
    record = edition(stage)
    with stage.database.writing() as connection:
        change_state(connection, record.id, "sending", now=stage.clock.now)
    sue.get(f"/console/editions/{day}")
    assert sue.post(f"/console/editions/{day}/pause").status_code == 303
    assert edition(stage).state == "paused"
    sue.get(f"/console/editions/{day}")
    assert "3 readers wait" in sue.text
    assert sue.post(f"/console/editions/{day}/resume").status_code == 303
    assert edition(stage).state == "sending"
    sue.get(f"/console/editions/{day}/cancel")
    assert "3 of 3 readers have not been sent it and never will be" in sue.text
    assert sue.post(f"/console/editions/{day}/cancel").status_code == 422
    assert edition(stage).state == "sending"
    sue.get(f"/console/editions/{day}/cancel")
    assert sue.post(f"/console/editions/{day}/cancel", sure="yes").status_code == 303
    assert edition(stage).state == "cancelled"
    assert edition(stage).reason == "cancelled by Sue"


@pytest.mark.parametrize(("verdict", "state"), [("accepted", "accepted"), ("again", "pending")])
def test_who_is_in_doubt_is_settled(stage: Stage, verdict: str, state: str) -> None:
    sue = stage.enter("Sue", "sender")
    day = gather(stage, sue)
    sue.get(f"/console/editions/{day}/send")
    sue.post(f"/console/editions/{day}/send", seen=seen(sue), sure="yes")
    record = edition(stage)
    asyncio.run(deliver(stage.press, record))
    with stage.database.writing() as connection:
        connection.execute(
            update(deliveries)
            .where(deliveries.c.subscriber_id.in_([1, 2]))
            .values(state="in_doubt", reply="<script>alert(1)</script>")
        )
    sue.get(f"/console/editions/{day}")
    assert "In doubt: 2" in sue.text
    assert "<script>alert" not in str(sue.answer and sue.answer.text)
    sue.post(f"/console/editions/{day}/settle", reader="1", verdict=verdict)
    with stage.database.reading() as connection:
        rows = connection.execute(
            select(deliveries.c.state).order_by(deliveries.c.subscriber_id)
        ).scalars()
        assert list(rows) == [state, "in_doubt", "accepted"]
        assert list_decisions(connection, record.id, 1)[-1].decided_by == "Sue"


def test_a_preview_is_of_any_reader_and_of_nobody(stage: Stage) -> None:
    viewer = stage.enter("Vera", "viewer")
    gather(stage, stage.enter("Ed", "editor"))
    day = stage.press.today()
    viewer.get(
        f"/console/editions/{day}/preview?reader=reader2@example.org&width=phone&scheme=dark"
    )
    (source,) = viewer.page.xpath("//iframe/@src")
    assert viewer.page.xpath("//iframe/@sandbox") == [""]
    copy = viewer.get(source)
    policy = copy.headers["content-security-policy"]
    assert "sandbox;" in policy
    assert "script" not in policy
    assert "frame-ancestors 'self'" in policy
    assert "prefers-color-scheme: dark" not in copy.text
    light = viewer.get(source.replace("dark", "light"))
    assert light.text != copy.text
    viewer.get(f"/console/editions/{day}/preview?form=plain")
    assert "North Quay Reopens Early" in viewer.text


def test_a_reader_is_found_and_their_story_told(stage: Stage) -> None:
    viewer = stage.enter("Vera", "viewer")
    viewer.get("/console/readers?q=reader")
    assert len(viewer.page.xpath("//tbody/tr")) == 3
    viewer.get("/console/readers?q=READER2@")
    (link,) = viewer.page.xpath("//tbody//a/@href")
    viewer.get(link)
    assert "reader2@example.org" in viewer.text
    assert "Consent– form" in viewer.text
    assert viewer.get("/console/readers/999").status_code == 409


def test_settings_show_where_each_came_from_and_no_secret(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEWSLETTER_DELIVERY__RELAY_PASSWORD", "hunter2-canary")
    viewer = stage.enter("Vera", "viewer")
    answer = viewer.get("/console/settings")
    rows = {
        row.xpath("string(th)"): [" ".join(td.text_content().split()) for td in row.xpath("td")]
        for row in viewer.page.xpath("//tbody/tr")
    }
    assert rows["publication.name"][:2] == ["Harbor Daily", "newsletter.toml"]
    assert rows["schedule.send_at"][:2] == ["07:00", "default"]
    assert rows["secret_key"][:2] == ["••••••", "environment"]
    assert rows["sources 1"][0].startswith("kind = folder")
    for secret in stage.press.settings.secret_keys:
        assert secret.decode() not in answer.text
    assert "hunter2" not in answer.text


def test_the_audit_is_read_and_proved_on_its_page(stage: Stage) -> None:
    viewer = stage.enter("Vera", "viewer")
    viewer.get("/console/audit?verify=1")
    assert "In order: 3 entries" in viewer.text
    viewer.get("/console/audit?target=member%201")
    assert len(viewer.page.xpath("//tbody/tr")) == 2


def test_a_send_is_told_as_it_moves(stage: Stage) -> None:
    sue = stage.enter("Sue", "sender")
    day = gather(stage, sue)
    sue.get(f"/console/editions/{day}/send")
    sue.post(f"/console/editions/{day}/send", seen=seen(sue), sure="yes")
    record = edition(stage)
    asyncio.run(deliver(replace(stage.press, actor=Actor(who="the schedule")), record))
    with sue.web.stream("GET", f"/console/editions/{day}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = "".join(answer.iter_text())  # a send that is over ends its stream
    assert told.count("data: ") == 1
    assert '"accepted": 3' in told
    assert '"state": "sent"' in told
