"""Briefs, readers and the feed of events over the API."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from newsletter.audience.erasure import erase_reader
from newsletter.store.tables import audit, happenings, suppressions
from tests.integration.api.stage import Stage

BRIEF = {
    "id": "ferry-1",
    "title": "Ferry to the Islands Runs Again",
    "summary": "The night ferry resumes on Friday after two weeks in the dock.",
    "sources": [{"name": "Quayside", "url": "https://quayside.example/ferry"}],
}


def walk(program: Any, path: str, name: str) -> list[dict[str, Any]]:
    """Read all pages of a list, two at a time."""
    found, cursor = [], None
    while True:
        given = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = program.get(path, params=given).json()
        assert len(page[name]) <= 2
        found += page[name]
        cursor = page["next"]
        if cursor is None:
            return found


def test_a_brief_is_brought_known_again_and_changed(stage: Stage) -> None:
    program = stage.program()
    made = program.post("briefs", json=BRIEF)
    assert (made.status_code, made.json()["outcome"]) == (201, "new")
    number, tag = made.json()["id"], made.headers["etag"]
    assert made.json()["source"] == "api: desk"
    again = program.post("briefs", json=BRIEF)
    assert (again.status_code, again.json()["outcome"]) == (200, "known")
    changed = {**BRIEF, "title": "Ferry to the Islands Runs Again on Friday"}
    assert program.put(f"briefs/{number}", json=changed).status_code == 428
    stale = program.put(f"briefs/{number}", json=changed, headers={"If-Match": '"x"'})
    assert stale.status_code == 412
    put = program.put(f"briefs/{number}", json=changed, headers={"If-Match": tag})
    assert (put.status_code, put.json()["outcome"]) == (200, "changed")
    got = program.get(f"briefs/{number}")
    assert got.json()["brief"]["title"] == changed["title"]
    assert got.headers["etag"] == put.headers["etag"] != tag
    assert len(walk(program, "briefs", "briefs")) == 3


def test_the_brief_of_a_source_is_not_a_programs_to_change(stage: Stage) -> None:
    program = stage.program()
    first = program.get("briefs/1")
    headers = {"If-Match": first.headers["etag"]}
    answer = program.put("briefs/1", json=BRIEF, headers=headers)
    assert answer.status_code == 409
    assert "source briefs" in answer.json()["detail"]


def test_two_briefs_do_not_become_one(stage: Stage) -> None:
    program = stage.program()
    program.post("briefs", json=BRIEF)
    other = {**BRIEF, "id": "tide-2", "title": "Spring Tide Closes the Quay", "sources": []}
    made = program.post("briefs", json={**other, "summary": "Water stood a foot deep on Monday."})
    headers = {"If-Match": made.headers["etag"]}
    answer = program.put(f"briefs/{made.json()['id']}", json=BRIEF, headers=headers)
    assert answer.status_code == 409


def test_what_an_edition_took_up_stays_as_readers_have_it(stage: Stage) -> None:
    program, name = stage.program(), stage.press.today().isoformat()
    made = program.post("briefs", json=BRIEF)
    program.post(f"editions/{name}/send", headers={"Idempotency-Key": "1"})
    stage.carry_out()
    told = program.get(f"editions/{name}/content").text
    assert "Ferry to the Islands Runs Again" in told
    changed = {**BRIEF, "summary": "The night ferry stays in the dock until further notice."}
    answer = program.post("briefs", json=changed)
    assert answer.status_code == 409
    assert "newsletter correct" in answer.json()["detail"]
    stored = program.get(f"briefs/{made.json()['id']}").json()
    assert stored["brief"]["summary"] == BRIEF["summary"]


def test_what_a_program_brings_waits_for_review(stage: Stage) -> None:
    review = stage.press.settings.review.model_copy(update={"required": True})
    from dataclasses import replace

    from newsletter.web.app import serving

    settings = stage.press.settings.model_copy(update={"review": review})
    with serving(replace(stage.press, settings=settings), "127.0.0.1:0") as address:
        stage.address = address
        assert stage.program().post("briefs", json=BRIEF).json()["review"] == "waiting"


def test_a_reader_is_added_changed_and_removed(stage: Stage) -> None:
    program = stage.program()
    asked = {
        "email": "New.Reader@example.org",
        "consent_source": "letter of 3 May",
        "choices": {
            "topics": ["harbor", "trains"],
            "minutes": 5,
            "timezone": "Asia/Tokyo",
            "editions": ["evening", "no noon"],
        },
    }
    made = program.post("audience", json=asked)
    assert made.status_code == 201, made.text
    reader = made.json()
    assert reader["choices"] == {
        "topics": ["harbor", "trains"],
        "minutes": 5,
        "timezone": "Asia/Tokyo",
        "editions": ["evening", "no noon"],
    }
    path, tag = f"audience/{reader['id']}", made.headers["etag"]
    change = {"name": "Nora", "paused_until": "2030-01-01"}
    assert program.patch(path, json=change).status_code == 428
    changed = program.patch(path, json=change, headers={"If-Match": tag})
    assert changed.status_code == 200
    assert changed.json()["choices"] == reader["choices"]
    assert (changed.json()["name"], changed.json()["paused_until"]) == ("Nora", "2030-01-01")
    assert program.patch(path, json=change, headers={"If-Match": tag}).status_code == 412
    wrong = {"choices": {"timezone": "Mars/Olympus"}}
    headers = {"If-Match": changed.headers["etag"]}
    assert program.patch(path, json=wrong, headers=headers).status_code == 422
    unknown = {"choices": {"editions": ["weekly"]}}
    assert program.patch(path, json=unknown, headers=headers).status_code == 422
    assert program.delete(path).status_code == 204
    assert program.get(path).json()["status"] == "unsubscribed"
    again = program.post("audience", json=asked)
    assert again.status_code == 422
    assert "kept out" in again.json()["detail"]
    story = program.get(f"{path}/story").json()
    assert story["suppressed"] == "unsubscribed"


def test_readers_are_listed_by_pages_and_each_page_is_noted(stage: Stage) -> None:
    program = stage.program("audience:read")
    listed = walk(program, "audience", "readers")
    assert [reader["email"] for reader in listed] == [f"reader{n}@example.org" for n in (1, 2, 3)]
    found = program.get("audience", params={"email": "READER2@example.org"}).json()["readers"]
    assert [reader["id"] for reader in found] == [2]
    assert program.get("audience", params={"limit": 101}).status_code == 422
    with stage.database.reading() as connection:
        noted = connection.execute(select(audit).where(audit.c.action == "audience.list")).all()
    assert [row.who for row in noted] == ["key desk"] * 3
    assert not any("@" in row.detail + row.target for row in noted)


def test_an_address_is_kept_out_and_an_erased_one_is_not_told(stage: Stage) -> None:
    program = stage.program()
    for number in (1, 2):
        asked = {"email": f"reader{number}@example.org", "detail": "asked by phone"}
        assert program.post("suppressions", json=asked).status_code == 204
    assert len(walk(program, "suppressions", "suppressions")) == 2
    erase_reader(
        stage.database,
        "reader1@example.org",
        pseudonyms=stage.press.pseudonyms,
        now=stage.press.now,
        by=stage.press.actor,
    )
    (left,) = walk(program, "suppressions", "suppressions")
    assert (left["email"], left["reason"]) == ("reader2@example.org", "manual")
    with stage.database.reading() as connection:
        assert len(connection.execute(select(suppressions)).all()) == 2


def test_the_feed_tells_all_in_order_and_addresses_only_to_whom_may_see_them(
    stage: Stage,
) -> None:
    program, name = stage.program(), stage.press.today().isoformat()
    program.post("briefs", json=BRIEF)
    program.post(f"editions/{name}/send", headers={"Idempotency-Key": "1"})
    stage.carry_out()
    program.delete("audience/2")
    seen, cursor = [], ""
    for _ in range(20):
        page = program.get("events", params={"cursor": cursor or "0", "limit": 1}).json()
        seen += page["events"]
        cursor = page["next"]
    kinds = [event["kind"] for event in seen]
    assert kinds == ["brief.stored", "edition.ready", "edition.approved", "reader.unsubscribed"]
    assert [event["id"] for event in seen] == [1, 2, 3, 4]
    assert seen[2]["edition"] == name
    assert seen[2]["detail"]["counts"] == {"pending": 3}
    assert (seen[3]["reader"], seen[3]["email"]) == (2, "reader2@example.org")
    blind = stage.program("events:read").get("events").text
    assert "@" not in blind
    program.delete("audience/3")
    later = program.get("events", params={"cursor": cursor}).json()
    assert [event["reader"] for event in later["events"]] == [3]


def test_numbers_go_on_from_the_last_one_that_is_left(stage: Stage) -> None:
    from datetime import timedelta

    from newsletter.delivery.feed import forget_old

    program = stage.program()
    for number in (1, 2):
        program.delete(f"audience/{number}")
    program.get("events")
    stage.clock.now += timedelta(days=100)
    with stage.database.writing() as connection:
        forget_old(connection, stage.clock.now - timedelta(days=90))
        assert connection.scalars(select(happenings.c.number)).all() == [2]
    program.delete("audience/3")
    events = program.get("events", params={"cursor": "2"}).json()["events"]
    assert [event["id"] for event in events] == [3]


def test_a_cursor_of_somebody_elses_making_is_refused(stage: Stage) -> None:
    program = stage.program()
    for path in ("briefs", "editions", "audience", "events"):
        for cursor in ("x", "-1", "1.5", "٣", "9" * 30):
            answer = program.get(path, params={"cursor": cursor})
            assert answer.status_code == 422, (path, cursor)
