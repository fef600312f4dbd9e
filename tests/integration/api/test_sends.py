"""Sends over the API: one order and one run for each Idempotency-Key, whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, update

from newsletter.delivery import interest
from newsletter.delivery.interest import Followed, add_clicks
from newsletter.editions.seconding import confirm_ask, list_open
from newsletter.editions.shelf import find_edition
from newsletter.orders import carry_out_due
from newsletter.press.delivering import deliver as hand_over
from newsletter.publish import make_ready
from newsletter.store.audit import Actor
from newsletter.store.tables import decisions, deliveries, editions, orders, runs
from tests.integration.api.stage import Stage


def send(stage: Stage, program: httpx2.Client, token: str = "order-1", **more: Any) -> Any:
    name = stage.press.today().isoformat()
    return program.post(f"editions/{name}/send", headers={"Idempotency-Key": token}, **more)


def state(stage: Stage, program: httpx2.Client, answer: httpx2.Response) -> dict[str, Any]:
    found: dict[str, Any] = program.get(f"sends/{answer.json()['id']}").json()
    return found


def deliver(stage: Stage) -> None:
    """Deliver what is noted as to be sent, as the schedule's process does."""
    with stage.database.reading() as connection:
        record = find_edition(connection, stage.press.today())
    assert record is not None
    asyncio.run(hand_over(stage.press, record))


def test_a_kind_that_there_is_not_is_refused_at_once(stage: Stage) -> None:
    name = f"{stage.press.today()}-dusk"
    answer = stage.program().post(f"editions/{name}/send", headers={"Idempotency-Key": "dusk"})
    assert answer.status_code == 409
    assert "is no kind of edition; there is daily, weekly, special, corr" in answer.text
    with stage.database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(orders)) == 0


def test_a_send_is_made_approved_and_delivered_once(stage: Stage) -> None:
    program = stage.program()
    answer = send(stage, program)
    assert answer.status_code == 202, answer.text
    assert state(stage, program, answer)["state"] == "waiting"
    assert stage.mails() == []
    assert stage.carry_out() == 1
    told = state(stage, program, answer)
    assert (told["state"], told["said"]) == ("done", "The edition is approved.")
    with stage.database.reading() as connection:
        sent_by = connection.execute(select(decisions.c.action, decisions.c.decided_by)).all()
    assert ("send", "key desk") in [tuple(row) for row in sent_by]
    deliver(stage)
    assert len(stage.mails()) == 3
    edition = program.get(f"editions/{stage.press.today()}").json()
    assert (edition["state"], edition["audience"]) == ("sent", 3)
    assert edition["counts"] == {"accepted": 3}
    assert send(stage, program).json() == answer.json()
    assert stage.carry_out() == 0
    assert stage.count(orders) == 1


def test_fifty_at_once_are_one_order_and_one_run(stage: Stage) -> None:
    key = stage.key("send")
    clients = [stage.client(key) for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda client: send(stage, client), clients))
        list(pool.map(lambda _: carry_out_due(stage.press), range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert stage.count(orders) == 1
    assert stage.count(runs) == 1
    deliver(stage)
    assert len(stage.mails()) == stage.count(deliveries) == 3


def test_two_keys_that_send_the_same_edition_send_it_once(stage: Stage) -> None:
    programs = [stage.program("send") for _ in range(4)]
    for program in programs:
        send(stage, program)
    assert stage.count(orders) == 4
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: carry_out_due(stage.press), range(4)))
    assert stage.count(runs) == 1
    deliver(stage)
    assert len(stage.mails()) == 3


def test_the_same_key_for_something_else_is_refused(stage: Stage) -> None:
    program = stage.program()
    assert send(stage, program).status_code == 202
    assert send(stage, program, json={"overrides": ["links"]}).status_code == 409
    other = stage.program()
    assert send(stage, other, json={"overrides": ["links"]}).status_code == 202


def test_without_a_token_nothing_is_sent(stage: Stage) -> None:
    program = stage.program()
    answer = program.post(f"editions/{stage.press.today()}/send")
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]
    assert stage.count(orders) == 0


def test_only_what_was_looked_at_is_sent(stage: Stage) -> None:
    program, name = stage.program(), stage.press.today().isoformat()
    make_ready(stage.press, stage.press.today())
    content = program.get(f"editions/{name}/content")
    assert content.status_code == 200
    headers = {"Idempotency-Key": "second", "If-Match": '"other"'}
    assert program.post(f"editions/{name}/send", headers=headers).status_code == 412
    headers["If-Match"] = content.headers["etag"]
    answer = program.post(f"editions/{name}/send", headers=headers)
    assert answer.status_code == 202
    document = {**content.json(), "subject": "Composed anew meanwhile"}
    with stage.database.writing() as connection:
        connection.execute(editions.update().values(content=document))
    stage.carry_out()
    told = state(stage, program, answer)
    assert told["state"] == "refused"
    assert "composed anew" in told["said"]
    again = program.post(f"editions/{name}/send", headers=headers)
    assert again.json() == answer.json()
    assert stage.count(runs) == 0


def test_a_test_copy_is_mailed_once_and_to_nobody_else(stage: Stage) -> None:
    program, name = stage.program(), stage.press.today().isoformat()
    asked = {"email": "editor@news.example"}
    headers = {"Idempotency-Key": "t"}
    assert program.post(f"editions/{name}/test", json=asked, headers=headers).status_code == 404
    make_ready(stage.press, stage.press.today())
    answers = [program.post(f"editions/{name}/test", json=asked, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert stage.carry_out() == 1
    (mail,) = stage.mails()
    assert b"editor@news.example" in mail.read_bytes()
    assert state(stage, program, answers[0])["state"] == "done"
    with stage.database.reading() as connection:
        kept = connection.scalars(select(orders.c.asked)).all()
    assert "editor" not in repr(kept)


def test_a_special_is_planned_and_planned_once(stage: Stage) -> None:
    program = stage.program()
    at = (stage.clock.now + timedelta(days=2)).replace(microsecond=0)
    name = f"{at:%Y-%m-%d}-special"
    (first, *_) = program.get("briefs").json()["briefs"]
    asked = {"at": at.isoformat(), "briefs": [first["id"]]}
    answer = program.post(f"editions/{name}/send", headers={"Idempotency-Key": "1"}, json=asked)
    assert answer.status_code == 202, answer.text
    assert stage.carry_out() == 1
    done = state(stage, program, answer)
    assert (done["state"], done["said"]) == (
        "done",
        f"The edition is planned, to be sent at {at:%Y-%m-%d %H:%M} UTC.",
    )
    with stage.database.writing() as connection:  # its process died before it said so
        again = {"state": "waiting", "asked": asked, "look_at": stage.clock.now}
        connection.execute(update(orders).values(again))
    assert stage.carry_out() == 1
    assert state(stage, program, answer)["state"] == "done"
    edition = program.get(f"editions/{name}").json()
    assert datetime.fromisoformat(edition["send_at"]) == at
    assert edition["state"] == "ready"
    assert stage.count(deliveries) == 0


def test_a_moment_that_has_passed_is_no_order(stage: Stage) -> None:
    program = stage.program()
    for asked, status in (
        ({"at": (stage.clock.now - timedelta(minutes=1)).isoformat()}, 409),
        ({"at": "9999-12-31T23:59:59-12:00"}, 409),
        ({"at": "2026-11-27T15:00:00"}, 422),  # by whose clock?
        ({"briefs": [1]}, 409),
    ):
        name = f"{stage.clock.now:%Y-%m-%d}"
        headers = {"Idempotency-Key": "1"}
        answer = program.post(f"editions/{name}/send", headers=headers, json=asked)
        assert answer.status_code == status, answer.text
    assert stage.count(orders) == 0


def test_what_waits_for_review_is_not_sent_by_a_program(stage: Stage) -> None:
    review = stage.press.settings.review.model_copy(update={"required": True})
    settings = stage.press.settings.model_copy(update={"review": review})
    object.__setattr__(stage.press, "settings", settings)
    program = stage.program()
    answer = send(stage, program)
    stage.carry_out()
    told = state(stage, program, answer)
    assert told["state"] == "refused"
    assert "review" in told["said"]
    assert stage.count(runs) == 0


def test_what_needs_a_second_person_waits_for_one_as_it_was_asked_for(stage: Stage) -> None:
    review = stage.press.settings.review.model_copy(update={"second_person_above": 2})
    settings = stage.press.settings.model_copy(update={"review": review})
    object.__setattr__(stage.press, "settings", settings)
    program, other = stage.program(), stage.program()
    first, second = send(stage, program), send(stage, other)
    assert stage.carry_out() == 0
    told = state(stage, program, first)
    assert told["state"] == "waiting"
    assert "waits for a second person" in told["said"]
    day = stage.press.today()  # which may be over when the clock has been moved
    stage.clock.now += 2 * settings.api.send_within
    assert stage.carry_out() == 0, "a person takes the time that they take"
    assert stage.count(runs) == 0
    with stage.database.writing() as connection:
        record = find_edition(connection, day)
        assert record is not None
        ask = list_open(connection, record.id)[0]
        confirm_ask(
            connection,
            ask.id,
            record.id,
            seen=ask.content_hash,
            seen_audience=3,
            audience=3,
            by=Actor(who="Ben"),
            now=stage.clock.now,
        )
    stage.clock.now += timedelta(minutes=1)
    assert stage.carry_out() == 2
    assert state(stage, program, first)["state"] == "done"
    assert state(stage, other, second)["state"] == "done"
    assert stage.count(runs) == 1


def test_pausing_and_cancelling_are_told_and_change_nothing_twice(stage: Stage) -> None:
    program, name = stage.program(), stage.press.today().isoformat()
    assert program.post(f"editions/{name}/pause").status_code == 404
    send(stage, program)
    stage.carry_out()
    assert program.post(f"editions/{name}/pause").status_code == 409
    with stage.database.writing() as connection:
        connection.execute(editions.update().values(state="sending"))
    changes = [
        program.post(f"editions/{name}/{what}").json()
        for what in ("pause", "pause", "resume", "resume", "cancel", "cancel")
    ]
    assert [each["changed"] for each in changes] == [True, False] * 3
    assert [each["state"] for each in changes[::2]] == ["paused", "sending", "cancelled"]
    counts = program.get(f"editions/{name}").json()["counts"]
    assert counts == {"expired": 3}
    assert [each["copies"] for each in program.get(f"editions/{name}/failures").json()["failures"]]
    assert program.get(f"editions/{name}/waves").json() == {"waves": []}


def test_what_readers_follow_is_told_as_the_console_tells_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, name = stage.program("editions:read"), stage.press.today().isoformat()
    assert program.get(f"editions/{name}/interest").status_code == 404
    send(stage, stage.program())
    stage.carry_out()
    deliver(stage)
    nothing = {"clicks": 0, "sections": [], "others": 0}
    assert program.get(f"editions/{name}/interest").json() == nothing
    monkeypatch.setattr(interest, "FEWEST", 3)
    with stage.database.writing() as connection:
        number = connection.scalar(select(editions.c.id))
        assert number is not None
        add_clicks(connection, {Followed(number, 1, "quay.example/"): 41})
    told = program.get(f"editions/{name}/interest").json()
    (section,) = told["sections"]
    (link,) = section["links"]
    assert (told["clicks"], section["clicks"], link["clicks"], link["brief"]) == (41, 41, 41, 1)
    assert link["address"] == "https://quay.example/"
    assert stage.program("send").get(f"editions/{name}/interest").status_code == 403


PLACES: tuple[str, ...] = ("answer", "note_send")
"""Where a process is killed: before it answers, and between approving and noting that."""
if os.environ.get("NEWSLETTER_TEST_API") == "all":
    PLACES += ("_send", "_end")  # before anything is made, and before the order is over

DIES = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import newsletter.orders as made
from newsletter.press import Press
from newsletter.settings import load_settings
from newsletter.store import open_database
from newsletter.web.app import serving

settings = load_settings(Path(sys.argv[1]))
delivery = settings.delivery.model_copy(update={"relay": f"eml:{sys.argv[3]}"})
machine = settings.database.model_copy(update={"installation": ""})
settings = settings.model_copy(update={"delivery": delivery, "database": machine})
press = Press(settings, open_database(sys.argv[2]), lambda: datetime.now(UTC))

def die(*_args, **_keywords):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[4] == "answer":
    import newsletter.web.api.editions as editions
    editions.show_order = die
    with serving(press, "127.0.0.1:0") as address:
        print(address, flush=True)
        signal.pause()
else:
    setattr(made, sys.argv[4], die)
    made.carry_out_due(press)
"""


@pytest.mark.parametrize("where", PLACES)
def test_a_process_killed_on_the_way_changes_nothing_about_that(
    stage: Stage, gathered: Any, tmp_path: Path, where: str
) -> None:
    url = str(stage.database.engine.url)
    arguments = [str(gathered.config), url, str(stage.outbox), where]
    key = stage.key()
    program = stage.client(key)
    if where != "answer":
        first = send(stage, program)
        assert first.status_code == 202
    with subprocess.Popen(
        [sys.executable, "-c", DIES, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as process:
        assert process.stdout is not None
        if where == "answer":
            address = process.stdout.readline().strip()
            with httpx2.Client(base_url=f"{address}/api/v1/", trust_env=False, timeout=60) as lost:
                lost.headers["Authorization"] = f"Bearer {key}"
                with pytest.raises(httpx2.HTTPError):
                    send(stage, lost)
        process.wait(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert stage.count(orders) == 1
    answer = send(stage, program)
    assert answer.status_code == 202
    if where != "answer":
        assert answer.json() == first.json()
    stage.clock.now = datetime.now(UTC)
    stage.carry_out()
    assert state(stage, program, answer)["state"] == "done"
    assert stage.count(orders) == 1
    deliver(stage)
    assert len(stage.mails()) == 3
    with stage.database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(deliveries)) == 3
