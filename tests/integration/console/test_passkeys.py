"""Passkeys without a browser: what one opens, and everything that opens nothing.

One stage serves all of it at http://localhost; everybody who is tried is somebody new, and tries
are forgotten in between, but where they are what is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import delete, func, select, update

from newsletter.settings.console import Oidc
from newsletter.store.audit import Entry, list_entries, verify
from newsletter.store.tables import login_delays, members, passkeys, sessions, taken_challenges
from newsletter.web.console.members import disable_member, find_member, reset_member
from newsletter.web.console.passkeys import list_passkeys
from newsletter.web.console.proofs import Vault
from tests.acceptance.project import Project
from tests.integration.console.authenticator import PRESENT, VERIFIED, Authenticator, to_bytes
from tests.integration.console.conftest import open_stage
from tests.integration.console.stage import PASSWORD, TEST, Person, Stage

NUMBERS = iter(range(1_000))
LOGIN = "/console/login/passkey"


@pytest.fixture(scope="module")
def desk(gathered: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(gathered, tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_tries(desk: Stage) -> None:
    forget_tries(desk)


def forget_tries(desk: Stage) -> None:
    with desk.database.writing() as connection:
        connection.execute(delete(login_delays))


def origin(desk: Stage) -> str:
    return desk.address.replace("127.0.0.1", "localhost")


def arrive(desk: Stage) -> Person:
    """Come to the login with a browser that was never here."""
    client = httpx2.Client(base_url=origin(desk), trust_env=False, timeout=60, verify=False)
    desk.clients.append(client)
    person = Person(client)
    person.get("/console/login")
    return person


def enter(desk: Stage) -> tuple[str, Person]:
    """Have somebody set up with a link; give their name."""
    name = f"Ada{next(NUMBERS)}"
    person, link = arrive(desk), desk.invite(name, "admin")
    person.get(link)
    code = desk.code(name, steps=-1)
    assert person.post(link, password=PASSWORD, repeated=PASSWORD, code=code).status_code == 200
    person.get("/console/you")
    return name, person


def look(person: Person) -> None:
    """Look at a page with a form, unless the last answer was one."""
    is_one = person.answer is not None and person.answer.text
    if not is_one and person.get("/console/you").status_code == 303:
        person.get("/console/login")


def ask(person: Person, name: str = "Phone", current: str = PASSWORD) -> str:
    """Give what the browser is asked to make, once the password was given."""
    look(person)
    answer = person.post("/console/you/passkeys", name=name, current=current)
    assert answer.status_code == 200, person.text
    return str(person.page.xpath("//form/@data-options")[0])


def keep(person: Person, made: dict[str, Any], name: str = "Phone") -> httpx2.Response:
    look(person)
    return person.post("/console/you/passkeys/keep", name=name, answer=json.dumps(made))


def add(desk: Stage, person: Person, name: str = "Phone") -> Authenticator:
    device = Authenticator(origin(desk))
    answer = keep(person, device.make(ask(person, name)), name)
    assert answer.status_code == 303, person.text
    return device


def log_in(person: Person, said: dict[str, Any], **fields: str) -> httpx2.Response:
    look(person)
    return person.post(LOGIN, answer=json.dumps(said), **fields)


def options(person: Person) -> str:
    return person.web.get(LOGIN).text


def is_in(person: Person) -> bool:
    return person.web.get("/console/you").status_code == 200


def entries(desk: Stage, name: str) -> list[Entry]:
    with desk.database.reading() as connection:
        found = list_entries(connection, 20, target=f"member {find_member(connection, name).id}")
        assert verify(connection).fault == ""
    return [each for each in reversed(found) if not each.action.startswith("team.")]


def test_a_passkey_takes_the_place_of_password_and_code(desk: Stage) -> None:
    name, person = enter(desk)
    person.get("/console/you")
    answer = person.post("/console/you/passkeys", name="Phone", current="not the password")
    assert (answer.status_code, "not your password" in person.text) == (400, True)
    asked = json.loads(ask(person))
    assert asked["rp"]["id"] == "localhost"
    assert asked["attestation"] == "none"
    assert asked["authenticatorSelection"]["residentKey"] == "required"
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    handle = to_bytes(asked["user"]["id"])
    assert len(handle) == 32
    assert name.encode() not in handle
    device = add(desk, person)
    again = json.loads(ask(person))
    assert to_bytes(again["user"]["id"]) == handle == device.handle
    assert [to_bytes(each["id"]) for each in again["excludeCredentials"]] == [device.id]

    other = arrive(desk)
    assert json.loads(options(other))["userVerification"] == "required"
    assert json.loads(options(other))["allowCredentials"] == []
    answer = log_in(other, device.sign(options(other)), next="/console/audit")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/audit"), other.text
    assert is_in(other)
    assert "last used" in " ".join(other.get("/console/you").text.split())
    first = other.web.cookies["newsletter-session"]
    other.get("/console/you")
    assert log_in(other, device.sign(options(other))).status_code == 303
    assert other.web.cookies["newsletter-session"] != first
    thief = arrive(desk)
    thief.web.cookies.set("newsletter-session", first)
    assert not is_in(thief), "the session that was there has ended"
    done = entries(desk, name)
    assert [(each.who, each.action, each.detail, each.origin) for each in done] == [
        (name, "passkey.add", "Phone", "127.0.0.1"),
        (name, "login", "by passkey Phone", "127.0.0.1"),
        (name, "login", "by passkey Phone", "127.0.0.1"),
    ]


WRONG: dict[str, dict[str, Any]] = {
    "client data origin": {"origin": "http://localhost.evil.example"},
    'client data origin "https': {"origin": "https://localhost"},
    "Unexpected RP ID": {"site": "evil.example"},
    "user was not verified": {"flags": PRESENT},
    "not present": {"flags": VERIFIED},
    "within another site": {"cross_origin": True},
}
"""What goes wrong where a passkey is made or used, by what is said of it."""
WRONG_TO_USE: dict[str, dict[str, Any]] = {
    "of somebody else": {"handle": b"somebody else"},
    "of somebody else.": {"handle": b""},
    "Unexpected client data type": {"kind": "webauthn.create"},
    "Could not verify": {"key": ec.generate_private_key(ec.SECP256R1())},
    "not known here": {"id": b"never seen"},
}


def test_what_is_not_a_persons_own_passkey_at_our_own_page_opens_nothing(
    desk: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    name, person = enter(desk)
    device = add(desk, person)
    other = arrive(desk)
    for said, changed in (WRONG | WRONG_TO_USE).items():
        caplog.clear()
        answer = log_in(other, replace(device, **changed).sign(options(other)))
        assert answer.status_code == 403
        assert said in caplog.text + other.text
        assert "newsletter-session" not in other.web.cookies
        forget_tries(desk)
    no_text = {**device.sign(options(other)), "id": "\x00"}
    for junk in (json.dumps(no_text), "", "{}", "[" * 4_000, '{"id": 1}', "\x00"):
        assert other.post(LOGIN, answer=junk).status_code == 403
        assert "not known here" in other.text, junk[:9]
        forget_tries(desk)
    assert [each.action for each in entries(desk, name)] == ["passkey.add"]
    assert log_in(other, device.sign(options(other))).status_code == 303


def test_a_challenge_is_for_one_browser_one_use_and_five_minutes(desk: Stage) -> None:
    name, person = enter(desk)
    device = add(desk, person)
    to_make = ask(person, "Other")
    other, third = arrive(desk), arrive(desk)
    made_up = json.dumps({"challenge": "A" * 75})
    for wrong in (options(third), to_make, made_up):
        assert log_in(other, device.sign(wrong)).status_code == 403
        assert "not asked" in other.text
    late = device.sign(options(other))
    desk.clock.now += timedelta(minutes=5)
    assert log_in(other, late).status_code == 403
    assert "took too long" in other.text

    cookies = {"newsletter-form": other.web.cookies["newsletter-form"]}
    said, token = json.dumps(device.sign(options(other))), other.token()

    def play(_: int) -> int:
        sent = {"form_token": token, "answer": said}
        with httpx2.Client(
            base_url=origin(desk), trust_env=False, timeout=60, verify=False, cookies=cookies
        ) as web:
            return web.post(LOGIN, data=sent, headers={"Origin": origin(desk)}).status_code

    forget_tries(desk)
    with ThreadPoolExecutor(4) as pool:
        played = sorted(pool.map(play, range(4)))
    assert played == [303, 403, 403, 403], "of many at once one is taken"
    forget_tries(desk)
    desk.clock.now += timedelta(minutes=4)
    assert play(0) == 403
    assert [each.action for each in entries(desk, name)] == ["passkey.add", "login"]


def test_who_only_asks_leaves_nothing_behind(desk: Stage) -> None:
    def count() -> list[int | None]:
        tables = (taken_challenges, sessions, login_delays)
        with desk.database.reading() as connection:
            return [connection.scalar(select(func.count()).select_from(t)) for t in tables]

    before, stranger = count(), arrive(desk)
    asked = {json.loads(options(stranger))["challenge"] for _ in range(9)}
    assert len(asked) == 9
    assert count() == before


def test_a_counter_that_does_not_go_on_is_refused_and_kept(desk: Stage) -> None:
    name, person = enter(desk)
    device = add(desk, person)
    other = arrive(desk)

    def count_to(number: int) -> int:
        device.counter = number
        look(other)
        return log_in(other, device.sign(options(other))).status_code

    assert [count_to(number) for number in (0, 0, 7, 9)] == [303] * 4
    assert [count_to(number) for number in (9, 8, 0)] == [403] * 3
    assert "gone back" in other.text
    forged = replace(device, counter=1, key=ec.generate_private_key(ec.SECP256R1()))
    assert log_in(other, forged.sign(options(other))).status_code == 403
    forget_tries(desk)
    assert count_to(10) == 303
    refused = [each.detail for each in entries(desk, name) if each.action == "passkey.refused"]
    assert refused == [f"Phone: its counter is {n} after 9" for n in (9, 8, 0)], (
        "who has no key cannot make it look copied"
    )


def test_what_is_taken_away_opens_nothing_and_ends_sessions(desk: Stage) -> None:
    name, person = enter(desk)
    phone, laptop = add(desk, person, "Phone"), add(desk, person, "Laptop")
    other = arrive(desk)
    assert log_in(other, phone.sign(options(other))).status_code == 303
    person.get("/console/you")
    own = person.page.xpath("//input[@name='passkey']/@value")
    wrong = person.post("/console/you/passkeys/remove", passkey=own[0], current="no")
    assert wrong.status_code == 400
    for nobodys in ("999", "", "x", "9" * 40):
        fields = {"passkey": nobodys, "current": PASSWORD}
        assert person.post("/console/you/passkeys/remove", **fields).status_code == 400
    person.post("/console/you/passkeys/remove", passkey=own[0], current=PASSWORD)
    assert is_in(person)
    assert not is_in(other)
    other = arrive(desk)
    assert log_in(other, phone.sign(options(other))).status_code == 403
    assert "not known here" in other.text
    assert log_in(other, laptop.sign(options(other))).status_code == 303
    removed = [each.detail for each in entries(desk, name) if each.action == "passkey.remove"]
    assert removed == ["Phone"]


def test_nobody_takes_anothers_passkey_away(desk: Stage) -> None:
    _, person = enter(desk)
    device = add(desk, person)
    person.get("/console/you")
    of_ada = person.page.xpath("//input[@name='passkey']/@value")[0]
    _, ben = enter(desk)
    ben.get("/console/you")
    answer = ben.post("/console/you/passkeys/remove", passkey=of_ada, current=PASSWORD)
    assert answer.status_code == 400
    other = arrive(desk)
    assert log_in(other, device.sign(options(other))).status_code == 303


@pytest.mark.parametrize("how", ["disabled", "disabled behind our back", "reset", "erased"])
def test_who_is_out_has_no_passkeys(desk: Stage, how: str) -> None:
    name, person = enter(desk)
    device = add(desk, person)
    now = desk.clock.now
    with desk.database.writing() as connection:
        member = find_member(connection, name)
        of_them = members.c.id == member.id
        if how == "disabled":
            assert disable_member(connection, member, actor=TEST, now=now)
        elif how == "reset":
            reset_member(connection, member, vault=Vault(desk.press.keyring), actor=TEST, now=now)
        elif how == "erased":
            connection.execute(delete(members).where(of_them))
        else:
            connection.execute(update(members).where(of_them).values(disabled_at=now))
        if how != "disabled behind our back":
            assert list_passkeys(connection, member.id) == ()
    other = arrive(desk)
    assert log_in(other, device.sign(options(other))).status_code == 403
    assert "not known here" in other.text
    assert not is_in(other)


def test_guesses_wait_as_those_with_a_password_do(desk: Stage) -> None:
    name, person = enter(desk)
    device = add(desk, person)
    look(person)
    person.post("/console/logout")
    guesser = arrive(desk)
    forged = replace(device, key=ec.generate_private_key(ec.SECP256R1()))
    tried = [log_in(guesser, forged.sign(options(guesser))).status_code for _ in range(7)]
    assert tried == [403] * 6 + [429]
    answer = log_in(guesser, device.sign(options(guesser)))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    fields = {"email": f"{name.lower()}@news.example", "password": PASSWORD, "code": "0"}
    assert guesser.post("/console/login", **fields).status_code == 429, "they are counted together"
    person.get("/console/login")
    assert log_in(person, device.sign(options(person))).status_code == 303, "a known browser"
    desk.clock.now += timedelta(seconds=1)
    assert log_in(guesser, device.sign(options(guesser))).status_code == 303


def test_only_what_the_browser_was_asked_to_make_is_kept(
    desk: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    name, person = enter(desk)
    device = Authenticator(origin(desk))
    for said, changed in WRONG.items():
        caplog.clear()
        made = replace(device, **changed).make(ask(person))
        assert keep(person, made).status_code == 400
        assert said in caplog.text
    challenge = json.loads(ask(person))["challenge"]
    for junk in (b"\xa0", b"\x00", b"\xa2\x01\x02\x03\x26", bytes.fromhex("a301022038182001")):
        assert keep(person, device.make_with(challenge, junk)).status_code == 400, junk
    assert keep(person, {}).status_code == 400
    late = device.make(ask(person))
    desk.clock.now += timedelta(minutes=5)
    assert keep(person, late).status_code == 400
    to_log_in = json.loads(options(person))["challenge"]
    swapped = json.dumps({**json.loads(ask(person)), "challenge": to_log_in})
    assert keep(person, device.make(swapped)).status_code == 400
    made = device.make(ask(person))
    assert keep(person, made).status_code == 303
    assert keep(person, made).status_code == 400, "once"
    assert "added already" in person.text
    _, ben = enter(desk)
    assert keep(ben, device.make(ask(ben))).status_code == 400, "it is another's"
    with desk.database.reading() as connection:
        owner = find_member(connection, name).id
        kept = connection.execute(select(passkeys.c.member_id).where(passkeys.c.name == "Phone"))
        assert [row.member_id for row in kept].count(owner) == 1


def test_an_address_has_no_passkeys_and_says_why(desk: Stage) -> None:
    name, _ = enter(desk)
    person = desk.person()
    said = "A passkey is bound to a name, and 127.0.0.1 is an address: open http://localhost:"
    assert said in person.get("/console/login").text
    assert not person.page.xpath("//form[@data-passkey]")
    person.web.cookies.set("newsletter-session", desk.give_session(name))
    assert said in person.get("/console/you").text
    answer = person.post("/console/you/passkeys", name="Phone", current=PASSWORD)
    assert (answer.status_code, said in person.text) == (400, True)


def test_where_only_a_provider_lets_in_no_passkey_does(
    desk: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, person = enter(desk)
    device = add(desk, person)
    _, admin = enter(desk)
    spare = add(desk, admin)
    with desk.database.writing() as connection:
        of_them = members.c.name == name
        connection.execute(update(members).where(of_them).values(by_command=False))
    only = {"issuer": "https://login.news.example", "client_id": "x", "client_secret": "y"}
    oidc = Oidc.model_validate({**only, "only": True})
    monkeypatch.setitem(desk.press.settings.console.__dict__, "oidc", oidc)
    other = arrive(desk)
    assert log_in(other, device.sign(options(other))).status_code == 403
    assert "passkeys are not taken here" in other.text
    person.get("/console/you")
    answer = person.post("/console/you/passkeys", name="New", current=PASSWORD)
    assert (answer.status_code, "not taken here" in person.text) == (400, True)
    assert log_in(other, spare.sign(options(other))).status_code == 303, "as their password is"
