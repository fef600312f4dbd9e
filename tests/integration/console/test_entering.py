"""Setting up, logging in, guessing, and what ends a session."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from newsletter.store.audit import list_entries, verify
from newsletter.store.tables import metadata
from newsletter.web.console.members import (
    add_member,
    change_role,
    disable_member,
    find_member,
    reset_member,
)
from newsletter.web.console.proofs import Vault
from tests.integration.console.stage import PASSWORD, TEST, Stage, read_recovery_codes


def test_a_link_sets_up_once_and_what_it_gave_logs_in(stage: Stage) -> None:
    link = stage.invite("Ada", "admin")
    person = stage.person()
    page = person.get(link)
    assert page.text.count("<svg") == 1
    assert PASSWORD not in page.text
    for fields, said in (
        ({"password": PASSWORD, "repeated": PASSWORD + "!", "code": ""}, "differ"),
        ({"password": "short", "repeated": "short", "code": ""}, "shorter than 12"),
        ({"password": "ada@news.example", "repeated": "ada@news.example"}, "easily guessed"),
        ({"password": PASSWORD, "repeated": PASSWORD, "code": "000000"}, "not the one"),
    ):
        answer = person.post(link, **fields)
        assert answer.status_code == 400
        assert said in person.text
    answer = person.post(link, password=PASSWORD, repeated=PASSWORD, code=stage.code("Ada"))
    codes = read_recovery_codes(answer.text)
    assert len(set(codes)) == 10
    assert person.get("/console/you").status_code == 200

    other = stage.person()
    assert other.get(link).status_code == 404
    assert stage.log_in(other, "Ada").status_code == 403, "the code of setting up was taken"
    stage.clock.now += timedelta(seconds=30)
    answer = stage.log_in(other, "Ada")
    assert answer.status_code == 303, other.text
    assert other.get("/console/you").status_code == 200
    third = stage.person()
    assert stage.log_in(third, "Ada", code=codes[0].replace("-", " ").upper()).status_code == 303
    fourth = stage.person()
    assert stage.log_in(fourth, "Ada", code=codes[0]).status_code == 403, "a code is good once"

    with stage.database.reading() as connection:
        kept = repr([connection.execute(select(t)).all() for t in metadata.sorted_tables])
    for secret in (
        PASSWORD,
        *codes,
        link.rpartition("/")[2],
        third.web.cookies["newsletter-session"],
    ):
        assert secret not in kept


def test_an_address_of_an_international_domain_logs_in_as_it_was_given(stage: Stage) -> None:
    given = "ada@bücher.example"
    with stage.database.writing() as connection:
        _, token = add_member(
            connection,
            "Ada",
            given,
            "admin",
            vault=Vault(stage.press.keyring),
            actor=TEST,
            now=stage.clock.now,
        )
    with stage.database.reading() as connection:
        assert find_member(connection, given).name == "Ada"
    person = stage.person()
    link = f"/console/setup/{token}"
    person.get(link)
    person.post(link, password=PASSWORD, repeated=PASSWORD, code=stage.code("Ada", steps=-1))
    other = stage.person()
    for _ in range(6):  # one account, however its address is written
        stage.log_in(other, "Ada", email="ADA@xn--bcher-kva.example", password="wrong")
    assert stage.log_in(other, "Ada", email=given).status_code == 429
    stage.clock.now += timedelta(minutes=15)
    assert stage.log_in(other, "Ada", email=given).status_code == 303


def test_a_link_is_good_for_two_days(stage: Stage) -> None:
    link = stage.invite("Ada", "admin")
    stage.clock.now += timedelta(days=2)
    assert stage.person().get(link).status_code == 404


def test_each_wrong_thing_is_answered_alike(stage: Stage) -> None:
    stage.enter("Ada", "admin")
    stage.clock.now += timedelta(minutes=1)
    texts = set()
    for wrong in (
        {"email": "nobody@news.example"},
        {"password": "not the password at all"},
        {"code": "000000"},
        {"code": ""},
    ):
        person = stage.person()
        answer = stage.log_in(person, "Ada", **wrong)
        assert answer.status_code == 403
        texts.add(person.text)
    assert len(texts) == 1


def test_guessing_slows_down_and_whoever_logged_in_before_is_not_in_its_way(stage: Stage) -> None:
    ada = stage.enter("Ada", "admin")
    guesser = stage.person()
    stage.clock.now += timedelta(minutes=1)
    statuses = [
        stage.log_in(guesser, "Ada", password=f"guess number {n}").status_code for n in range(8)
    ]
    assert statuses == [403] * 6 + [429] * 2
    assert guesser.answer is not None
    assert int(guesser.answer.headers["retry-after"]) == 1
    assert stage.log_in(guesser, "Ada").status_code == 429, "even the right one has to wait"

    stage.clock.now += timedelta(seconds=1)
    assert stage.log_in(guesser, "Ada", password="again wrong").status_code == 403
    assert stage.log_in(guesser, "Ada", password="again wrong").status_code == 429
    stage.clock.now += timedelta(seconds=1)
    assert stage.log_in(guesser, "Ada").status_code == 429, "the wait has doubled"

    ada.post("/console/logout", form_token=ada.token("/console/you"))
    ada.get("/console/login")
    assert stage.log_in(ada, "Ada").status_code == 303, "her browser is known"
    stage.clock.now += timedelta(minutes=16)
    assert stage.log_in(guesser, "Ada").status_code == 303, "nobody is locked out"


def test_a_session_ends_by_itself_idle_or_old(stage: Stage) -> None:
    idle, longest = stage.press.settings.console.idle, stage.press.settings.console.longest
    person = stage.enter("Ada", "admin")
    stage.clock.now += idle - timedelta(seconds=1)
    assert person.get("/console/you").status_code == 200
    stage.clock.now += idle
    assert person.get("/console/you").status_code == 303
    stage.log_in(person, "Ada")
    since = stage.clock.now
    while stage.clock.now < since + longest - timedelta(hours=10):
        stage.clock.now += timedelta(hours=10)
        assert person.get("/console/you").status_code == 200
    stage.clock.now = since + longest
    assert person.get("/console/you").status_code == 303


def test_a_login_never_goes_on_with_the_session_that_was_there(stage: Stage) -> None:
    person = stage.enter("Ada", "admin")
    before = person.web.cookies["newsletter-session"]
    person.get("/console/you")
    person.post(
        "/console/you/password", current=PASSWORD, password=PASSWORD * 2, repeated=PASSWORD * 2
    )
    after = person.web.cookies["newsletter-session"]
    assert after != before
    assert person.get("/console/you").status_code == 200
    thief = stage.person()
    thief.web.cookies.set("newsletter-session", before)
    assert thief.get("/console/you").status_code == 303
    thief.web.cookies.set("newsletter-session", "fixed-by-somebody")
    assert thief.get("/console/you").status_code == 303


def test_a_wrong_password_changes_no_password(stage: Stage) -> None:
    person = stage.enter("Ada", "admin")
    person.get("/console/you")
    for _ in range(8):
        person.post(
            "/console/you/password", current="wrong", password=PASSWORD * 2, repeated=PASSWORD * 2
        )
        assert person.answer is not None
        assert person.answer.status_code == 400
    assert stage.log_in(stage.person(), "Ada").status_code == 303


@pytest.mark.parametrize("what", ["role", "disable", "reset"])
def test_what_is_changed_about_somebody_ends_their_sessions(stage: Stage, what: str) -> None:
    person = stage.enter("Ada", "admin")
    stage.enter("Berta", "admin")
    with stage.database.writing() as connection:
        ada = find_member(connection, "Ada")
        now = stage.clock.now
        if what == "role":
            assert change_role(connection, ada, "viewer", actor=TEST, now=now)
        elif what == "disable":
            assert disable_member(connection, ada, actor=TEST, now=now)
        else:
            reset_member(connection, ada, vault=Vault(stage.press.keyring), actor=TEST, now=now)
    assert person.get("/console/you").status_code == 303
    stage.clock.now += timedelta(minutes=1)
    answer = stage.log_in(stage.person(), "Ada")
    assert answer.status_code == (303 if what == "role" else 403)


def test_the_last_admin_cannot_be_put_out(stage: Stage) -> None:
    person = stage.enter("Ada", "admin")
    person.get("/console/team")
    for path, fields in (("/disable", {}), ("/role", {"role": "viewer"})):
        answer = person.post(f"/console/team/1{path}", **fields)
        assert answer.status_code == 409
        assert "last admin" in person.text
        person.get("/console/team")


def test_an_admin_adds_somebody_and_all_of_it_is_in_the_audit(stage: Stage) -> None:
    ada = stage.enter("Ada", "admin")
    ada.get("/console/team")
    ada.post("/console/team", name="Ben <b>", email="ben@news.example", role="sender")
    assert "<b>" not in ada.page.text_content().replace("Ben <b>", "")
    link = ada.page.xpath("//code[@class='secret']/text()")[0]
    assert link.startswith("https://news.example/console/setup/")
    ben = stage.person()
    path = link.removeprefix("https://news.example")
    ben.get(path)
    ben.post(path, password=PASSWORD, repeated=PASSWORD, code=stage.code("Ben <b>"))
    assert ben.get("/console/team").status_code == 403
    with stage.database.reading() as connection:
        entries = [e for e in list_entries(connection, 10) if e.action.startswith("team.")]
        assert [(e.who, e.action, e.target) for e in reversed(entries)] == [
            ("test", "team.add", "member 1"),
            ("Ada", "team.set-up", "member 1"),
            ("Ada", "team.add", "member 2"),
            ("Ben <b>", "team.set-up", "member 2"),
        ]
        assert {e.origin for e in entries} == {"127.0.0.1", "command line"}
        assert verify(connection).fault == ""


def test_where_a_login_leads_is_ours(stage: Stage) -> None:
    stage.enter("Ada", "admin")
    for asked, led in (
        ("/console/you", "/console/you"),
        ("https://evil.example/", "/console/"),
        ("//evil.example/console/", "/console/"),
        ("/console//evil.example", "/console/"),
        ("/console/\\evil.example", "/console/"),
    ):
        stage.clock.now += timedelta(seconds=60)
        person = stage.person()
        answer = stage.log_in(person, "Ada", next=asked)
        assert answer.headers["location"] == led
