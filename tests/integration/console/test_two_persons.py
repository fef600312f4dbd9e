"""A send to many readers needs two persons, whoever asks for it and however it is sent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from newsletter.editions.manifest import find_manifest
from newsletter.editions.shelf import EditionRecord, find_edition
from newsletter.errors import SecondPersonNeeded
from newsletter.press.approving import approve
from newsletter.press.planning import plan_edition
from newsletter.publish import make_ready, print_standing, release
from newsletter.store.audit import Actor, list_entries, verify
from newsletter.store.tables import deliveries, editions, subscribers
from newsletter.watch.alarm import Cause
from newsletter.watch.judging import explain_fault
from newsletter.web.console.keys import make_key
from newsletter.web.console.members import disable_member, find_member
from tests.acceptance.project import Project
from tests.integration.console.stage import Person, Stage

SCHEDULE = Actor(who="the schedule")


@pytest.fixture
def above() -> int:
    """Give the most readers that one person may mail alone; there are three."""
    return 2


@pytest.fixture
def two(above: int, gathered: Project, monkeypatch: pytest.MonkeyPatch, request: Any) -> Stage:
    assert gathered, "made by one person"
    monkeypatch.setenv("NEWSLETTER_REVIEW__SECOND_PERSON_ABOVE", str(above))
    stage: Stage = request.getfixturevalue("stage")
    make_ready(stage.press, stage.press.today())
    return stage


def record_of(stage: Stage) -> EditionRecord:
    with stage.database.reading() as connection:
        found = find_edition(connection, stage.press.today())
    assert found is not None
    return found


def page(stage: Stage) -> str:
    return f"/console/editions/{record_of(stage).name}"


def value(person: Person, name: str) -> str:
    return str(person.page.xpath(f"//input[@name='{name}']/@value")[0])


def send(stage: Stage, person: Person, **fields: Any) -> Any:
    person.get(page(stage) + "/send")
    seen = value(person, "seen")
    return person.post(page(stage) + "/send", **{"seen": seen, "sure": "yes", **fields})


def confirm(stage: Stage, person: Person, **changed: str) -> Any:
    person.get(page(stage) + "/send")
    fields = {name: value(person, name) for name in ("seen", "ask", "audience")}
    return person.post(page(stage) + "/confirm", **{**fields, "sure": "yes", **changed})


def enrolled(stage: Stage) -> int:
    with stage.database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(deliveries)) or 0


def test_who_asks_waits_and_somebody_else_sends_it(two: Stage) -> None:
    ada, ben = two.enter("Ada", "admin"), two.enter("Ben", "sender")
    assert "More than 2 readers" in send(two, ada).text
    assert "waits for a second person" in ada.text
    assert (record_of(two).state, enrolled(two)) == ("ready", 0)
    assert send(two, ada).status_code == 200, "asked again, it waits still"
    own = ada.page.xpath("//input[@name='ask']")
    assert own == [], "nobody is offered to confirm their own"
    ben.get("/console/")
    assert "Ada asked that it is sent at once to 3 readers" in ben.text
    fields = {"seen": value(ada, "seen"), "ask": "1", "audience": "3", "sure": "yes"}
    assert ada.post(page(two) + "/confirm", **fields).status_code == 409
    assert "you asked for this yourself".capitalize() in ada.text
    assert "Say that you are sure" in confirm(two, ben, sure="").text
    assert enrolled(two) == 0

    assert confirm(two, ben).status_code == 303
    record = record_of(two)
    assert (record.state, enrolled(two)) == ("approved", 3)
    with two.database.reading() as connection:
        manifest = find_manifest(connection, record)
        entries = list_entries(connection, 20, target=f"edition {record.name}")
        assert verify(connection).fault == ""
    assert manifest is not None
    assert manifest.faults == ()
    words = [each for each in manifest.document["approvals"] if each["of"].startswith("the send")]
    assert [(each["of"], each["by"]) for each in words] == [
        ("the send, asked for", "Ada"),
        ("the send, confirmed", "Ben"),
    ]
    assert {each["audience"] for each in words} == {3}
    assert {each["sha256"] for each in words} == {manifest.document["content_sha256"]}
    done = [(each.who, each.action) for each in reversed(entries)]
    assert done[-5:] == [
        ("Ada", "edition.ask"),
        ("Ben", "edition.confirm"),
        ("Ada", "edition.review"),
        ("Ada", "edition.approve"),
        ("Ben", "edition.send"),
    ]
    again = {**fields, "form_token": ben.token("/console/you")}
    assert ben.post(page(two) + "/confirm", **again).status_code == 409


def test_an_edit_voids_what_was_asked_and_what_was_confirmed(two: Stage) -> None:
    ada, ben = two.enter("Ada", "sender"), two.enter("Ben", "sender")
    send(two, ada)
    ben.get(page(two) + "/send")
    before = {name: value(ben, name) for name in ("seen", "ask", "audience")}
    with two.database.writing() as connection:
        content = connection.scalar(select(editions.c.content))
        changed = {**content, "subject": "Edited meanwhile"}  # type: ignore[dict-item]
        connection.execute(update(editions).values(content=changed))
    assert ben.post(page(two) + "/confirm", **before, sure="yes").status_code == 409
    ben.get(page(two) + "/send")
    fields = {**before, "seen": value(ben, "seen"), "sure": "yes"}
    assert ben.post(page(two) + "/confirm", **fields).status_code == 409
    assert "Waits for a second person" not in ben.get(page(two) + "/send").text
    assert enrolled(two) == 0


def test_more_readers_than_were_confirmed_are_not_mailed(two: Stage) -> None:
    ada, ben = two.enter("Ada", "sender"), two.enter("Ben", "sender")
    send(two, ada)
    ben.get(page(two) + "/send")
    fields = {name: value(ben, name) for name in ("seen", "ask", "audience")}
    with two.database.writing() as connection:
        row = dict(connection.execute(select(subscribers).limit(1)).mappings().one())
        more = {**row, "id": None, "email": "new@x.example", "email_key": "new@x.example"}
        connection.execute(insert(subscribers).values({k: v for k, v in more.items() if k != "id"}))
    assert ben.post(page(two) + "/confirm", **fields, sure="yes").status_code == 409
    assert enrolled(two) == 0
    assert confirm(two, ben).status_code == 303, "what is shown now is confirmed"
    assert enrolled(two) == 4


def test_who_may_not_send_any_more_asked_for_nothing(two: Stage) -> None:
    ada, ben = two.enter("Ada", "sender"), two.enter("Ben", "admin")
    send(two, ada)
    with two.database.writing() as connection:
        member = find_member(connection, "Ada")
        disable_member(connection, member, actor=SCHEDULE, now=two.clock.now)
    assert confirm(two, ben).status_code == 409
    assert enrolled(two) == 0


def test_who_made_a_key_does_not_confirm_what_it_asked_for(two: Stage) -> None:
    ben, eve = two.enter("Ben", "admin"), two.enter("Eve", "sender")
    with two.database.writing() as connection:
        actor = Actor(who="Ben")
        make_key(connection, "desk", ["send"], actor=actor, now=two.clock.now)
    program = replace(two.press, actor=Actor(who="key desk"))
    with pytest.raises(SecondPersonNeeded):
        asyncio.run(release(program, print_standing(program, record_of(two))))
    assert confirm(two, ben).status_code == 409
    assert "a key that you made".capitalize() in ben.text
    assert confirm(two, eve).status_code == 303
    assert enrolled(two) == 3


def test_the_schedule_sends_what_two_persons_let_go(two: Stage) -> None:
    keeper = replace(two.press, actor=SCHEDULE)

    def at_its_time() -> None:
        printed = print_standing(keeper, record_of(two))
        asyncio.run(release(keeper, printed, at_hours=True))

    with pytest.raises(SecondPersonNeeded) as nobody:
        at_its_time()
    assert explain_fault(nobody.value)[0] is Cause.APPROVAL
    ada, ben = two.enter("Ada", "sender"), two.enter("Ben", "sender")
    ada.get(page(two) + "/send")
    ada.post(page(two) + "/review", seen=value(ada, "seen"))
    with pytest.raises(SecondPersonNeeded):
        at_its_time()
    answer = confirm(two, ben)
    assert "the schedule sends it at its time" in answer.text
    assert "asked for by Ada and confirmed by Ben" in ben.text
    assert enrolled(two) == 0
    with pytest.raises(SecondPersonNeeded):  # what is for its time is not sent at once
        approve(two.press, record_of(two))
    at_its_time()
    assert (record_of(two).state, enrolled(two)) == ("approved", 3)


def test_what_is_planned_waits_for_a_second_person_too(two: Stage) -> None:
    keeper = replace(two.press, actor=SCHEDULE)
    midnight = two.clock.now.astimezone(two.press.settings.publication.zone).replace(hour=0)
    two.clock.now = midnight.astimezone(UTC)
    record = record_of(two)
    ada = replace(two.press, actor=Actor(who="Ada"))
    at = two.clock.now + timedelta(hours=6)
    plan_edition(ada, print_standing(ada, record), at, by_person=True)
    with pytest.raises(SecondPersonNeeded):
        asyncio.run(release(keeper, print_standing(keeper, record_of(two)), at_hours=True))
    assert confirm(two, two.enter("Ben", "sender")).status_code == 200
    asyncio.run(release(keeper, print_standing(keeper, record_of(two)), at_hours=True))
    assert enrolled(two) == 3


@pytest.mark.parametrize("above", [3])
def test_one_person_is_enough_up_to_the_number(two: Stage) -> None:
    ada = two.enter("Ada", "sender")
    assert send(two, ada).status_code == 303
    assert enrolled(two) == 3
