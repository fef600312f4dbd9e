"""Tokens: each does what it was made for, for as long as its key is kept, and nothing else.

Every bit of a token of every purpose is flipped, and every token is taken to every place that
takes one. In its short form flipped tokens are read by the program, and a few over HTTP; the long
form takes each of them to each place by each method, and says how many it were:

    NEWSLETTER_TEST_TOKENS=all pytest -s tests/proofs/readers/test_tokens.py
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus

import pytest

from newsletter.errors import InputError
from newsletter.mail.tokens import Purpose, TokenSigner, read_token
from newsletter.press import Press
from newsletter.settings import load_settings
from newsletter.web.app import serving
from tests.acceptance.project import KEY, Project
from tests.integration.web.stage import Stage
from tests.proofs.readers.links import Client, list_links, list_token_routes

LONG = os.environ.get("NEWSLETTER_TEST_TOKENS") == "all"
STEP = 1 if LONG else 37  # of the bits that go over HTTP; 37 meets every field of a token
BITS = 32 * 8
NEWER_KEY = "a-newer-key-0123456789abcdef0123456789"
REFUSED = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
FORM = {"List-Unsubscribe": "One-Click", "verdict": "useful", "detail": "one-line"}


def sign(press: Press, purpose: Purpose, *, edition_id: int = 1) -> str:
    ring, list_id = press.keyring, press.settings.publication.list_id
    signer = TokenSigner(ring, ring.newest, purpose, list_id=list_id, edition_id=edition_id)
    return signer.sign(1)


def flip(token: str, bit: int) -> str:
    raw = bytearray(base64.urlsafe_b64decode(token + "="))
    raw[bit // 8] ^= 1 << bit % 8
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@contextmanager
def client_of(stage: Stage) -> Iterator[Client]:
    client = Client(str(stage.web.base_url))
    yield client
    client.close()


@pytest.mark.parametrize("purpose", Purpose)
def test_no_bit_of_a_token_can_be_another(stage: Stage, purpose: Purpose) -> None:
    press = stage.press
    list_id, token = press.settings.publication.list_id, sign(press, purpose)
    read_token(token, purpose, keyring=press.keyring, list_id=list_id)
    for bit in range(BITS):
        with pytest.raises(InputError):
            read_token(flip(token, bit), purpose, keyring=press.keyring, list_id=list_id)
    before, asked = stage.everything(), 0
    with client_of(stage) as client:
        for method, path in list_token_routes(press):
            for bit in range(0, BITS, STEP):
                place = path.replace("{token}", flip(token, bit)).replace("{number}", "1")
                form = FORM if method == "POST" else None
                status, _ = client.ask(method, place, form)
                assert status in REFUSED, (method, path, bit)
                asked += 1
    assert stage.everything() == before
    print(f"\n{purpose.name}: {BITS} bits, {asked:,} requests, all refused")


def test_each_place_takes_tokens_of_one_purpose(stage: Stage) -> None:
    press = stage.press
    takes: dict[str, set[Purpose]] = {}
    with client_of(stage) as client:
        for method, path in list_token_routes(press):
            for purpose in Purpose:
                before = stage.everything()
                place = path.replace("{token}", sign(press, purpose)).replace("{number}", "1")
                form: dict[str, str] | None = {} if method == "POST" else None
                status, _ = client.ask(method, place, form)
                if status not in REFUSED:
                    takes.setdefault(path, set()).add(purpose)
                else:
                    assert stage.everything() == before
    assert {path: len(purposes) for path, purposes in takes.items()} == dict.fromkeys(takes, 1)
    first = {"u": Purpose.UNSUBSCRIBE, "p": Purpose.PREFERENCES, "f": Purpose.FEEDBACK}
    for beginning, purpose in first.items():
        of_it = [found for path, found in takes.items() if path.startswith(f"/{beginning}/")]
        assert of_it
        assert all(found == {purpose} for found in of_it), beginning


@pytest.mark.parametrize(
    ("keys", "works"), [(f"{NEWER_KEY},{KEY}", True), (NEWER_KEY, False), (KEY, True)]
)
def test_links_a_year_old_work_as_long_as_their_key_is_kept(
    stage: Stage,
    sent: Project,
    monkeypatch: pytest.MonkeyPatch,
    keys: str,
    works: bool,
) -> None:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", keys)
    stage.clock.now += timedelta(days=366)
    press = Press(load_settings(sent.config), stage.database, stage.clock)
    before = stage.everything()
    links = [link for link in list_links(stage.mails) if link[:3] in ("/u/", "/p/", "/f/")]
    assert len(links) == 15, "three readers have three links each, and one more for each brief"
    with serving(press, "127.0.0.1:0") as address:
        client = Client(address)
        for link in links:
            status, _ = client.ask("GET", link)
            assert status == (200 if works else 404), link
        status, _ = client.ask("POST", stage.link(), {"List-Unsubscribe": "One-Click"})
        client.close()
    assert status == (200 if works else 404)
    assert (stage.everything() != before) == works
    assert stage.status() == ("unsubscribed" if works else "active")


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """Hear whatever any logger says, uvicorn's too, with its tracebacks."""
    said: list[str] = []
    formatter = logging.Formatter("%(name)s %(message)s %(args)s")

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(formatter.format(record))

    names = [*logging.root.manager.loggerDict, "uvicorn", "uvicorn.error", "uvicorn.access"]
    loggers = [logging.root, *(logging.getLogger(name) for name in names)]
    kept = [(each, each.level, each.propagate, each.disabled) for each in loggers]
    ear = Ear(logging.DEBUG)
    for each in loggers:
        each.setLevel(logging.DEBUG)
        each.propagate = True
    logging.root.addHandler(ear)
    yield said
    logging.root.removeHandler(ear)
    for each, level, propagate, is_disabled in kept:
        each.level, each.propagate, each.disabled = level, propagate, is_disabled


def test_no_token_is_in_any_log_not_even_when_all_fails(
    stage: Stage,
    heard: list[str],
) -> None:
    press = stage.press
    tokens = {sign(press, purpose, edition_id=1) for purpose in Purpose}
    assert {f"/u/{token}" for token in tokens} & set(list_links(stage.mails)), "those of a mail"
    asked = 0

    def ask_all(client: Client) -> set[int]:
        nonlocal asked
        statuses = set()
        for method, path in list_token_routes(press):
            for token in sorted(tokens):
                for shown in (token, token[:-2]):
                    place = path.replace("{token}", shown).replace("{number}", "1")
                    status, _ = client.ask(method, place, {} if method == "POST" else None)
                    statuses.add(status)
                    asked += 1
        return statuses

    with serving(press, "127.0.0.1:0") as address:
        client = Client(address)
        assert 200 in ask_all(client)
        with stage.database.writing() as connection:
            connection.exec_driver_sql("ALTER TABLE subscribers RENAME TO gone")
        assert 503 in ask_all(client), "every page that needs the table fails"
        client.close()
    logging.getLogger("uvicorn.error").debug("the ear hears uvicorn")
    text = "\n".join(heard)
    assert "the ear hears uvicorn" in text
    assert "a page failed" in text
    assert [token for token in tokens if token[:20] in text] == []
    print(f"\n{asked:,} requests, {len(heard):,} lines of logs, no token in them")
