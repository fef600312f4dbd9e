"""Signing on by a provider's word, against one that is a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from pydantic import ValidationError
from sqlalchemy import func, select

from newsletter.settings.console import Oidc
from newsletter.store.audit import Actor, list_entries
from newsletter.store.tables import sessions
from newsletter.web.console.members import (
    Member,
    add_member,
    disable_member,
    find_member,
    list_members,
    reset_member,
)
from newsletter.web.console.proofs import Vault
from tests.acceptance.project import Project
from tests.integration.console.provider import CLIENT, SECRET, Provider, providing
from tests.integration.console.stage import PASSWORD, TEST, Person, Stage

EMAIL = "ada@news.example"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing() as opened:
        yield opened


@pytest.fixture
def only() -> str:
    """Say whether passwords are not taken any more."""
    return "false"


@pytest.fixture
def desk(
    only: str,
    provider: Provider,
    gathered: Project,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Stage:
    """A publication whose team signs on; Ada is on it, and has set nothing up."""
    assert gathered, "made without a provider"
    settings = {
        "ISSUER": provider.issuer,
        "CLIENT_ID": CLIENT,
        "CLIENT_SECRET": SECRET,
        "ALLOWED_DOMAINS": "news.example",
        "ROLES__DESK": "editor",
        "ROLES__CHIEFS": "admin",
        "ONLY": only,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"NEWSLETTER_CONSOLE__OIDC__{name}", value)
    stage: Stage = request.getfixturevalue("stage")
    stage.invite("Ada", "sender")
    provider.is_asked_by(EMAIL)
    return stage


def leave(person: Person, onward: str = "") -> str:
    answer = person.get(f"/console/sign-on?next={onward}")
    assert answer.status_code == 303
    return str(answer.headers["location"])


def sign_on(provider: Provider, person: Person, onward: str = "") -> httpx2.Response:
    return person.get(provider.send_back(leave(person, onward)))


def count_sessions(stage: Stage) -> int:
    with stage.database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(sessions)) or 0


def member(stage: Stage, name: str) -> Member:
    with stage.database.reading() as connection:
        return find_member(connection, name)


def test_a_member_signs_on_with_a_session_of_their_own(desk: Stage, provider: Provider) -> None:
    person = desk.person()
    person.web.cookies.set("newsletter-session", "fixed-by-somebody")
    person.get("/console/login?next=/console/you")
    assert person.page.xpath("//a[contains(., 'Log in with')]/@href") == [
        "/console/sign-on?next=/console/you"
    ]
    location = leave(person, "/console/you")
    asked = {name: value for name, (value,) in parse_qs(urlsplit(location).query).items()}
    assert asked["redirect_uri"] == f"{desk.address}/console/sign-on/back"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert asked["scope"] == "openid email profile"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert SECRET not in location
    answer = person.get(provider.send_back(location))
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/you")
    assert "Ada, sender" in person.get("/console/you").text.replace("<bdi>Ada</bdi>", "Ada")
    assert count_sessions(desk) == 1
    first = person.web.cookies.get("newsletter-session", domain="127.0.0.1")
    sign_on(provider, person)
    assert count_sessions(desk) == 1, "the session that was there has ended"
    assert person.web.cookies.get("newsletter-session", domain="127.0.0.1") != first
    with desk.database.reading() as connection:
        entry = list_entries(connection, 1)[0]
    assert (entry.who, entry.action, entry.detail) == ("Ada", "login", f"by {provider.issuer}")
    assert member(desk, "Ada").state == "active"


WRONG: tuple[tuple[str, dict[str, Any]], ...] = (
    ("of another sign-on", {"claims": {"nonce": "another"}}),
    ("another audience", {"claims": {"aud": "somebody else"}}),
    ("names no party", {"claims": {"aud": [CLIENT, "somebody else"]}}),
    ("another party", {"claims": {"azp": "somebody else"}}),
    ("has expired", {"claims": {"exp": 1_700_000_000}}),
    ("not made just now", {"claims": {"iat": 1_700_000_000}}),
    ("not good yet", {"claims": {"nbf": 4_000_000_000}}),
    ("another issuer", {"claims": {"iss": "https://evil.example"}}),
    ("has not verified", {"claims": {"email_verified": False}}),
    ("has not verified", {"claims": {"email_verified": "true"}}),
    ("of nobody", {"claims": {"sub": ""}}),
    ("of this domain are not let in", {"claims": {"email": "ada@evil.example"}}),
    ("not on the team", {"claims": {"email": "eve@news.example"}}),
    ("signature is wrong", {"how": "with a key of nobody"}),
    ("signature is wrong", {"how": "with the public key as a secret"}),
    ("signature is wrong", {"how": "not at all"}),
    ("nother provider answered", {"extra": {"iss": "https://evil.example"}}),
)


def test_whatever_is_wrong_lets_nobody_in(desk: Stage, provider: Provider) -> None:
    for said, wanted in WRONG:
        provider.is_asked_by(EMAIL, **wanted)
        person = desk.person()
        answer = sign_on(provider, person)
        assert (answer.status_code, said in person.text) == (400, True), (said, person.text)
        assert person.get("/console/you").status_code == 303, said
    assert count_sessions(desk) == 0
    assert member(desk, "Ada").state == "invited"


def test_an_answer_is_good_once_and_for_the_browser_that_asked(
    desk: Stage, provider: Provider
) -> None:
    person, thief = desk.person(), desk.person()
    back = provider.send_back(leave(person))
    leave(thief)
    assert thief.get(back).status_code == 400, "it is of another browser"
    assert person.get(back.replace("state=", "state=x")).status_code == 400
    assert person.get(back).status_code == 400, "a sign-on that failed is over"
    back = provider.send_back(leave(person))
    token = person.web.cookies["newsletter-flow"]
    assert person.get(back).status_code == 303
    again = desk.person()
    again.web.cookies.set("newsletter-flow", token)
    assert again.get(back).status_code == 400
    assert "used already" in again.text
    slow = desk.person()
    back = provider.send_back(leave(slow))
    desk.clock.now += timedelta(minutes=10)
    assert slow.get(back).status_code == 400
    assert count_sessions(desk) == 1


def test_new_keys_of_the_provider_are_found(desk: Stage, provider: Provider) -> None:
    assert sign_on(provider, desk.person()).status_code == 303
    provider.is_asked_by(EMAIL, rotate=True)
    desk.clock.now += timedelta(seconds=11)
    assert sign_on(provider, desk.person()).status_code == 303


def test_a_provider_that_names_itself_otherwise_is_not_asked(
    desk: Stage, provider: Provider
) -> None:
    for said in (
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ):
        provider.is_asked_by(EMAIL, said=said)
        assert desk.person().get("/console/sign-on").status_code == 422


@pytest.mark.parametrize(
    "onward", ["https://evil.example/", "//evil.example/console/", "/console//evil.example"]
)
def test_a_sign_on_leads_to_our_own_pages_only(
    desk: Stage, provider: Provider, onward: str
) -> None:
    assert sign_on(provider, desk.person(), onward).headers["location"] == "/console/"


def test_the_claim_adds_people_and_their_role_follows_it(desk: Stage, provider: Provider) -> None:
    def come(*groups: str, **more: Any) -> int:
        claims = {"sub": "7", "groups": list(groups), "name": "Ada", **more}
        provider.is_asked_by("eve@news.example", claims=claims)
        return sign_on(provider, desk.person()).status_code

    desk.enter("Root", "admin")
    assert come("else") == 400
    assert come("desk", "else") == 303
    eve = member(desk, "eve@news.example")
    assert (eve.name, eve.role, eve.state) == ("eve", "editor", "active")
    assert come("desk", "chiefs") == 303
    assert member(desk, "eve").role == "admin"
    assert come("desk", email="eve.new@news.example") == 303, "an address may change"
    assert member(desk, "eve").role == "editor"
    assert come() == 400, "who left the group is out"
    assert come("desk", sub="8") == 400, "her address is somebody else's now"
    assert come("desk") == 303
    with desk.database.writing() as connection:
        disable_member(connection, member(desk, "eve"), actor=TEST, now=desk.clock.now)
    assert come("desk") == 400
    with desk.database.reading() as connection:
        assert [each.name for each in list_members(connection)] == ["Ada", "eve", "Root"]
    provider.is_asked_by(EMAIL, claims={"groups": ["chiefs"]})
    assert sign_on(provider, desk.person()).status_code == 303
    assert member(desk, "Ada").role == "sender", "who was added by hand keeps their role"


@pytest.mark.parametrize("only", ["true"])
def test_without_passwords_only_an_admin_of_the_command_line_has_one(
    desk: Stage, provider: Provider
) -> None:
    console = Actor(who="Root", origin="127.0.0.1")
    boss = desk.enter("Root", "admin")
    assert boss.get("/console/team").status_code == 200
    desk.clock.now += timedelta(minutes=1)
    assert desk.log_in(desk.person(), "Root").status_code == 303
    with desk.database.writing() as connection:
        _, token = add_member(
            connection,
            "Carl",
            "carl@news.example",
            "admin",
            vault=Vault(desk.press.keyring),
            actor=console,
            now=desk.clock.now,
        )
    carl = desk.person()
    assert carl.get(f"/console/setup/{token}").status_code == 404
    ada = desk.person()
    with desk.database.writing() as connection:
        vault = Vault(desk.press.keyring)
        ada_member = find_member(connection, "Ada")
        token = reset_member(connection, ada_member, vault=vault, actor=TEST, now=desk.clock.now)
    assert ada.get(f"/console/setup/{token}").status_code == 404, "she is no admin"
    fields = {"password": PASSWORD, "repeated": PASSWORD, "code": desk.code("Ada")}
    answer = ada.post(f"/console/setup/{token}", form_token=ada.token("/console/login"), **fields)
    assert answer.status_code == 404
    assert desk.log_in(desk.person(), "Ada").status_code == 403
    assert sign_on(provider, ada).status_code == 303
    with desk.database.writing() as connection:
        root = find_member(connection, "Root")
        reset_member(connection, root, vault=vault, actor=console, now=desk.clock.now)
        assert not find_member(connection, "Root").by_command


def test_a_code_that_was_guessed_or_cannot_be_shown_lets_nobody_in(
    desk: Stage, provider: Provider
) -> None:
    person = desk.person()
    back = provider.send_back(leave(person))
    code = parse_qs(urlsplit(back).query)["code"][0]
    assert person.get(back.replace(code, "guessed")).status_code == 400
    assert "the provider refused" in person.text.lower()
    desk.clock.now += timedelta(hours=1)
    provider.is_asked_by(EMAIL, said={"token_endpoint": "http://127.0.0.1:9/nobody-listens"})
    answer = sign_on(provider, person)
    assert (answer.status_code, "cannot be reached" in person.text) == (503, True)
    assert count_sessions(desk) == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"issuer": "http://login.news.example"}, "issuer must be"),
        ({"client_id": ""}, "needs client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"roles": {"desk": "editor"}}, "needs allowed_domains"),
        ({"roles": {"desk": "owner"}, "allowed_domains": "news.example"}, "viewer"),
        ({"issuer": "", "only": True}, "needs issuer"),
    ],
    ids=["http", "client", "secret", "domains", "role", "only"],
)
def test_settings_that_would_let_in_whom_nobody_meant(wrong: dict[str, Any], said: str) -> None:
    right = {"issuer": "https://login.news.example", "client_id": "c", "client_secret": "s"}
    assert Oidc.model_validate(right).issuer
    with pytest.raises(ValidationError, match=said):
        Oidc.model_validate(right | wrong)
