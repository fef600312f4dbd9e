"""What readers do about themselves: see what is held, be erased, get new links, move."""

from __future__ import annotations

import io
import logging
import re
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import select

from newsletter.audience.address import parse_address
from newsletter.audience.entry import Entry
from newsletter.audience.exporter import export_subscribers
from newsletter.audience.importer import import_subscribers
from newsletter.audience.subscribers import add_subscriber, find_subscriber, remove_subscriber
from newsletter.mail import decode_message
from newsletter.mail.tokens import Purpose, TokenSigner, sign_until_later
from newsletter.store.tables import address_changes, notices
from tests.integration.runs import Server
from tests.integration.web.stage import Stage, work
from tests.integration.web.test_preferences import link_of

READER = "reader1@example.org"
NEW = "Ada.New@example.net"
DAY = timedelta(days=1)


def mailed(relay: Server, email: str) -> tuple[str, str, str]:
    """Give the subject, the plain text and the HTML of the one mail to an address."""
    (content,) = relay.contents[email]
    message = message_from_bytes(content, policy=policy.default)
    return str(message["Subject"]), *decode_message(content)


def paths(text: str, letter: str) -> set[str]:
    return set(re.findall(rf"https://news\.example(/{letter}/[\w-]+)", text))


def sign(stage: Stage, purpose: Purpose, number: int = 1) -> str:
    ring, list_id = stage.press.keyring, stage.press.settings.publication.list_id
    if purpose in (Purpose.UNSUBSCRIBE, Purpose.PREFERENCES):
        signer = TokenSigner(ring, ring.newest, purpose, list_id=list_id, edition_id=1)
        return signer.sign(number)
    return sign_until_later(number, purpose, stage.clock.now, keyring=ring, list_id=list_id)


# -- a token does what it is for -------------------------------------------------------------------


@pytest.mark.parametrize("purpose", [p for p in Purpose if p is not Purpose.PREFERENCES])
def test_no_other_word_opens_a_readers_own_affairs(stage: Stage, purpose: Purpose) -> None:
    before, token = stage.everything(), sign(stage, purpose)
    for path in ("", "/held", "/erase", "/address", "/preview"):
        for method in ("GET", "POST"):
            answer = stage.web.request(method, f"/p/{token}{path}", data={"email": NEW})
            assert answer.status_code in (404, 405), (method, path)
            assert "reader1" not in answer.text
    assert stage.everything() == before


@pytest.mark.parametrize("purpose", [p for p in Purpose if p is not Purpose.MOVE])
def test_no_other_word_gives_a_reader_another_address(stage: Stage, purpose: Purpose) -> None:
    stage.web.post(f"{link_of(stage)}/address", data={"email": NEW})
    before, token = stage.everything(), sign(stage, purpose)
    for method in ("GET", "POST"):
        assert stage.web.request(method, f"/a/{token}").status_code == 404
    assert stage.everything() == before


def test_looking_changes_nothing(stage: Stage) -> None:
    stage.web.post(f"{link_of(stage)}/address", data={"email": NEW})
    before = stage.everything()
    for path in ("/erase", "/address", "/held"):
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = stage.web.request(method, link_of(stage) + path)
            assert answer.status_code in (200, 405)
    for method in ("GET", "HEAD", "OPTIONS"):
        stage.web.request(method, f"/a/{sign(stage, Purpose.MOVE)}")
        stage.web.request(method, "/links")
    assert stage.everything() == before


# -- what is held, and erasing it ------------------------------------------------------------------


def test_everything_that_is_held_can_be_kept(stage: Stage) -> None:
    stage.web.post(link_of(stage), data={"name": "Ada", "detail": "one-line"})
    answer = stage.web.post(f"{link_of(stage)}/held")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.headers["cache-control"] == "no-store"
    held = answer.json()
    assert (held["address"], held["reader"]["name"]) == (READER, "Ada")
    assert held["reader"]["choices"] == {"detail": "one-line"}
    assert held["reader"]["consent_source"] == "form"
    assert [copy["state"] for copy in held["copies"]] == ["accepted"]
    assert "reader2" not in answer.text


def files(stage: Stage) -> str:
    """Read all that the database keeps on the disk, in lower case."""
    name = stage.database.engine.url.database
    assert name
    found = sorted(Path(name).parent.glob(f"{Path(name).name}*"))
    return b"".join(path.read_bytes() for path in found).decode("latin-1").lower()


def test_who_erases_themselves_is_nowhere_any_more_and_stays_so(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    link, leave = link_of(stage), stage.link()
    question = stage.web.get(f"{link}/erase")
    assert "r…@example.org" in question.text
    assert READER in files(stage)
    assert stage.status() == "active"
    done = stage.web.post(f"{link}/erase")
    assert (done.status_code, "Everything is erased" in done.text) == (200, True)
    assert READER not in done.text
    assert stage.status() == "erased"
    assert READER not in files(stage)
    logged = " ".join(r.getMessage() for r in caplog.records if not r.name.startswith("http"))
    assert READER not in logged.lower()
    assert link.removeprefix("/p/") not in logged
    exported = io.StringIO(newline="")
    export_subscribers(stage.database, exported)
    assert READER not in exported.getvalue()
    for path in (link, f"{link}/held", f"{link}/erase"):
        assert stage.web.post(path).status_code == 404
    assert stage.web.post(leave).status_code == 200, "who is erased has left"
    import_subscribers(
        stage.database,
        io.BytesIO(f"email\n{READER.upper()}\n".encode()),
        now=stage.clock.now,
        pseudonyms=stage.press.pseudonyms,
    )
    assert stage.status() == "erased"
    assert stage.status(2) == "active"


# -- new links -------------------------------------------------------------------------------------


def ask_for_links(stage: Stage, email: str, **more: str) -> httpx2.Response:
    return stage.web.post("/links", data={"email": email, **more})


def test_new_links_go_to_readers_alone_and_everybody_is_told_the_same(
    stage: Stage, relay: Server
) -> None:
    remove_subscriber(
        stage.database,
        "reader2@example.org",
        now=stage.clock.now,
        pseudonyms=stage.press.pseudonyms,
    )
    asked = ("Reader1@example.org", "reader2@example.org", "stranger@example.org")
    answers = {ask_for_links(stage, email).text for email in asked}
    assert len(answers) == 1
    assert "Look into your mailbox" in answers.pop()
    work(stage, relay)
    assert dict(relay.kept) == {READER: 1}
    subject, plain, html = mailed(relay, READER)
    assert subject == "Your new links: Harbor Daily"
    (preferences,) = paths(plain, "p")
    (leave,) = paths(plain, "u")
    assert paths(html, "p") == {preferences}
    assert stage.web.get(preferences).status_code == 200
    assert stage.web.post(leave).status_code == 200
    assert stage.status() == "unsubscribed"


def test_an_address_is_mailed_links_once_a_day_whoever_asks(stage: Stage, relay: Server) -> None:
    sent = []
    for day in range(6):
        for _ in range(3):
            assert ask_for_links(stage, READER).status_code == 200
            work(stage, relay)
            stage.clock.now += timedelta(minutes=1)
        sent.append(relay.kept[READER])
        stage.clock.now += DAY
        assert day < 6
    assert sent == [1, 2, 3, 3, 3, 3]


def test_a_network_is_heard_so_often_and_a_program_not_at_all(stage: Stage, relay: Server) -> None:
    assert ask_for_links(stage, READER, website="x").status_code == 200
    work(stage, relay)
    assert relay.kept == {}
    codes = [ask_for_links(stage, f"a{n}@example.org").status_code for n in range(21)]
    assert codes == [200] * 20 + [429]
    stage.clock.now += timedelta(hours=1, minutes=1)
    assert ask_for_links(stage, READER).status_code == 200


def test_what_is_no_address_is_said_to_be_none(stage: Stage) -> None:
    answer = ask_for_links(stage, 'no"address')
    assert answer.status_code == 422
    assert "Is it spelt right?" in answer.text
    german = stage.web.get("/links", headers={"Accept-Language": "de-AT, en"})
    assert "Neue Links schicken" in german.text


# -- another address -------------------------------------------------------------------------------


def ask_to_move(stage: Stage, email: str = NEW, number: int = 1) -> httpx2.Response:
    return stage.web.post(f"{link_of(stage, number)}/address", data={"email": email})


def test_a_reader_moves_and_all_stays_theirs(stage: Stage, relay: Server) -> None:
    link, leave = link_of(stage), stage.link()
    stage.web.post(link, data={"detail": "one-line"})
    before = find_subscriber(stage.database, READER)
    assert before
    assert "Look into your new mailbox" in ask_to_move(stage).text
    work(stage, relay)
    assert dict(relay.kept) == {NEW: 1}
    subject, plain, _ = mailed(relay, NEW)
    assert subject == "Please confirm your new address: Harbor Daily"
    assert "reader1" not in plain, "who reads at the new address may be a stranger"
    (confirm,) = paths(plain, "a")
    assert "a…@example.net" in stage.web.get(confirm).text.lower()
    assert stage.status() == "active"

    for _again in range(2):
        done = stage.web.post(confirm)
        assert (done.status_code, "Your new address is kept" in done.text) == (200, True)
    assert "Your new address is kept" in stage.web.get(confirm).text
    after = find_subscriber(stage.database, NEW)
    assert after
    assert find_subscriber(stage.database, READER) is None
    assert (after.id, after.email) == (before.id, NEW)
    assert (after.choices, after.consent_at) == (before.choices, before.consent_at)
    assert after.consent_source == before.consent_source
    work(stage, relay)
    subject, plain, _ = mailed(relay, READER)
    assert subject == "Your address was changed: Harbor Daily"
    assert "A…@example.net" in plain
    assert NEW not in plain

    held = stage.web.post(f"{link}/held").json()
    assert held["moved"][0]["former_key"] == READER
    assert len(held["copies"]) == 1
    stage.web.post(leave)
    left = find_subscriber(stage.database, NEW)
    assert left
    assert left.status == "unsubscribed", "the links of old mails still are the reader's"


def move(stage: Stage, relay: Server, email: str = NEW) -> str:
    """Move a reader; give the path by which their old address takes it back."""
    ask_to_move(stage, email)
    work(stage, relay)
    (confirm,) = paths(mailed(relay, email)[1], "a")
    assert stage.web.post(confirm).status_code == 200
    work(stage, relay)
    (back,) = re.findall(r"https://news\.example(/a/[\w-]+/back)", mailed(relay, READER)[1])
    return str(back)


def test_the_old_address_takes_a_move_back(stage: Stage, relay: Server) -> None:
    before = find_subscriber(stage.database, READER)
    assert before
    back = move(stage, relay)
    assert back in mailed(relay, READER)[2]
    # Who took the reader's link asks for yet another address, and has a wish open.
    ask_to_move(stage, "third@example.net")
    stage.clock.now += 29 * DAY
    everything = stage.everything()
    page = stage.web.get(back)
    assert "r…@example.org" in page.text
    assert NEW not in page.text
    assert stage.everything() == everything
    assert stage.web.get(back.removesuffix("/back")).status_code == 404
    assert stage.web.post(back.removesuffix("/back")).status_code == 404
    assert stage.everything() == everything
    for _again in range(2):
        assert "r…@example.org" in stage.web.post(back).text
    after = find_subscriber(stage.database, READER)
    assert after
    assert (after.id, after.choices, after.status) == (before.id, before.choices, "active")
    assert find_subscriber(stage.database, NEW) is None
    with stage.database.reading() as connection:
        wishes = connection.execute(select(address_changes)).all()
    assert all(wish.changed_at for wish in wishes), "no wish of whoever had the link is open"
    # The other address is told, and gets no link to take that back in turn.
    work(stage, relay)
    told = [decode_message(content)[0] for content in relay.contents[NEW]]
    (said,) = (plain for plain in told if "r…@example.org" in plain)
    assert "/a/" not in said


def test_a_move_is_taken_back_for_a_month_and_by_who_reads_still(
    stage: Stage, relay: Server
) -> None:
    back = move(stage, relay)
    stage.clock.now += 31 * DAY
    for method in ("GET", "POST"):
        assert stage.web.request(method, back).status_code == 404
    stage.clock.now -= 2 * DAY
    stage.web.post(stage.link())
    assert stage.web.post(back).status_code == 404
    assert find_subscriber(stage.database, READER) is None


def test_one_network_asks_for_few_of_the_dear_pages(stage: Stage) -> None:
    answers = [stage.web.post(f"{link_of(stage)}/held") for _ in range(31)]
    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    assert stage.web.post(f"{link_of(stage)}/erase").status_code == 429
    assert stage.status() == "active"
    stage.clock.now += timedelta(hours=1, minutes=1)
    assert stage.web.post(f"{link_of(stage)}/erase").status_code == 200


def test_nothing_tells_whether_a_new_address_can_be_had(stage: Stage, relay: Server) -> None:
    gone = "gone@example.org"
    remove_subscriber(stage.database, gone, now=stage.clock.now, pseudonyms=stage.press.pseudonyms)
    answers = {ask_to_move(stage, email).text for email in ("reader2@example.org", gone)}
    answers.add(ask_to_move(stage, READER).text)
    work(stage, relay)
    assert relay.kept == {}
    answers.add(ask_to_move(stage).text)
    assert len(answers) == 1
    with stage.database.reading() as connection:
        assert len(connection.execute(select(address_changes)).all()) == 1


def test_a_link_to_a_new_address_is_good_for_a_week_and_the_last_one_counts(
    stage: Stage, relay: Server
) -> None:
    ask_to_move(stage, "typo@example.net")
    work(stage, relay)
    (first,) = paths(mailed(relay, "typo@example.net")[1], "a")
    ask_to_move(stage)
    work(stage, relay)
    ask_to_move(stage)
    work(stage, relay)
    (second,) = paths(mailed(relay, NEW)[1], "a")
    assert stage.web.post(first).status_code == 404
    stage.clock.now += 8 * DAY
    assert stage.web.get(second).status_code == 404
    assert stage.web.post(second).status_code == 404
    assert stage.status() == "active"


def test_whoever_took_the_address_meanwhile_keeps_it(stage: Stage, relay: Server) -> None:
    ask_to_move(stage)
    work(stage, relay)
    (confirm,) = paths(mailed(relay, NEW)[1], "a")
    add_subscriber(
        stage.database,
        Entry(address=parse_address(NEW)),
        now=stage.clock.now,
        pseudonyms=stage.press.pseudonyms,
    )
    assert stage.web.post(confirm).status_code == 404
    assert stage.status() == "active"


def test_a_reader_who_left_moves_no_more(stage: Stage, relay: Server) -> None:
    ask_to_move(stage)
    work(stage, relay)
    (confirm,) = paths(mailed(relay, NEW)[1], "a")
    stage.web.post(stage.link())
    assert stage.web.post(confirm).status_code == 404
    assert stage.web.get(f"{link_of(stage)}/address").status_code == 404
    assert stage.status() == "unsubscribed"


def test_an_address_is_asked_once_a_day_and_a_reader_asks_for_few(
    stage: Stage, relay: Server
) -> None:
    for number in (1, 2):
        ask_to_move(stage, NEW, number)
        work(stage, relay)
    assert dict(relay.kept) == {NEW: 1}
    for n in range(8):
        ask_to_move(stage, f"n{n}@example.net", 3)
        work(stage, relay)
    assert relay.kept.total() == 1 + 5


def test_who_moved_and_is_erased_is_nowhere_at_either_address(stage: Stage, relay: Server) -> None:
    ask_to_move(stage)
    work(stage, relay)
    (confirm,) = paths(mailed(relay, NEW)[1], "a")
    stage.web.post(confirm)
    work(stage, relay)
    ask_for_links(stage, NEW)  # and one that nobody has looked at yet
    assert stage.web.post(f"{link_of(stage)}/erase").status_code == 200
    kept = files(stage)
    assert NEW.lower() not in kept
    assert READER not in kept
    with stage.database.reading() as connection:
        assert connection.execute(select(notices)).all() == []
    for email in (NEW, READER):
        import_subscribers(
            stage.database,
            io.BytesIO(f"email\n{email}\n".encode()),
            now=stage.clock.now,
            pseudonyms=stage.press.pseudonyms,
        )
        assert find_subscriber(stage.database, email) is None
