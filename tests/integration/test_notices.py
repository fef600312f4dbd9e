"""Single mails through a real SMTP server: their bytes, their doubts, editions before them."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from sqlalchemy import insert, select, update

from newsletter.audience.address import parse_address
from newsletter.delivery.channel import build_opener
from newsletter.delivery.courier import Clocks, Courier
from newsletter.delivery.dispatch import RelayLimits
from newsletter.delivery.lifecycle import State
from newsletter.delivery.notices import Due, Notice, count_notices, enqueue
from newsletter.delivery.shift import Lane
from newsletter.errors import RelayUnavailable
from newsletter.mail import Message, decode_message, header_names
from newsletter.press import Press
from newsletter.press.notices import NoticeMaker, couriering, send_notices
from newsletter.settings import DkimKey, Settings, load_settings
from newsletter.smtp.relay import parse_relay
from newsletter.store import Database
from newsletter.store.tables import deliveries, editions, notices, runs
from tests.acceptance.project import KEY, Project
from tests.integration.runs import Edition, Server
from tests.relays import ScriptedRelay, drop

LINK = "https://news.example/c/AbC-_&x"
HOUR = timedelta(hours=1)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", KEY)
    return load_settings(Project(tmp_path / "project").config)


def put(database: Database, now: datetime, count: int = 1, *, language: str = "") -> None:
    with database.writing() as connection:
        for number in range(1, count + 1):
            notice = Notice(
                kind="confirmation",
                address=parse_address(f"asker{number}@example.org"),
                dedupe=f"confirmation {number}",
                not_after=now + timedelta(days=1),
                language=language,
                fields={"confirm_url": LINK},
            )
            enqueue(connection, notice, now)


class Moment:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def courier(
    database: Database, settings: Settings, url: str, now: Callable[[], datetime]
) -> Courier:
    lane = Lane(
        limits=RelayLimits(name="relay", connections=1),
        open_channel=build_opener(parse_relay(url), ehlo_name="news.example"),
    )
    press = Press(settings, database, now)
    return Courier(
        database,
        [lane],
        NoticeMaker(press).make,
        retry_after=timedelta(minutes=5),
        clocks=Clocks(now=now, spread=lambda: 0.5),
    )


def send(
    database: Database, settings: Settings, url: str, now: Callable[[], datetime]
) -> Counter[State]:
    return asyncio.run(courier(database, settings, url, now).send_due())


def counts(database: Database) -> dict[State, int]:
    with database.reading() as connection:
        return count_notices(connection)


def test_each_gets_one_over_one_connection(
    database: Database, settings: Settings, now: datetime
) -> None:
    put(database, now, 5)
    with Server() as server:
        assert send(database, settings, server.url, Moment(now)) == {State.ACCEPTED: 5}
        assert send(database, settings, server.url, Moment(now)) == {}
    assert server.kept == {f"asker{n}@example.org": 1 for n in range(1, 6)}
    assert server.connections == 1
    assert counts(database) == {State.ACCEPTED: 5}


def test_the_mail_is_whole_and_is_no_list_mail(
    database: Database, settings: Settings, now: datetime
) -> None:
    put(database, now)
    with Server() as server:
        send(database, settings, server.url, Moment(now))
    (content,) = server.contents["asker1@example.org"]
    message = message_from_bytes(content, policy=policy.default)
    assert message["To"] == "asker1@example.org"
    assert message["Subject"] == "Please confirm: Harbor Daily"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == now
    assert re.fullmatch(r"<[0-9a-f]{40}@news\.example>", str(message["Message-ID"]))
    names = header_names(content)
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith("List-")]
    plain, html = decode_message(content)
    assert LINK in plain
    assert 'href="https://news.example/c/AbC-_&amp;x"' in html
    assert "14 Quay Street" in plain
    assert "asker1" not in plain + html
    assert max(map(len, content.split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    ("language", "subject"),
    [("de", "Bitte bestätigen"), ("es", "Confirme"), ("he", "נא לאשר")],
)
def test_it_is_said_in_its_readers_language(
    database: Database, settings: Settings, now: datetime, language: str, subject: str
) -> None:
    put(database, now, language=language)
    with Server() as server:
        send(database, settings, server.url, Moment(now))
    (content,) = server.contents["asker1@example.org"]
    message = message_from_bytes(content, policy=policy.default)
    assert str(message["Subject"]).startswith(subject)
    assert f'lang="{language}"' in decode_message(content)[1]


def write_key(folder: Path) -> tuple[Path, bytes]:
    """Write a key; give its file's name, and what the DNS says of it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "one.pem").write_bytes(pem)
    (folder / "one.pem").chmod(0o600)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Path("one.pem"), b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


def test_it_is_signed_as_editions_are(
    database: Database, now: datetime, settings: Settings
) -> None:
    name, record = write_key(settings.root)
    signed = settings.model_copy(update={"dkim": (DkimKey(selector="one", key_file=name),)})
    maker = NoticeMaker(Press(signed, database, Moment(now)))
    due = Due(
        id=7,
        kind="confirmation",
        email="reader@example.org",
        email_key="reader@example.org",
        language="",
        fields={"confirm_url": LINK},
        attempts=0,
        created_at=now,
        not_after=now,
        content=None,
    )
    message = maker.make(due)
    assert maker.make(due).content == message.content
    assert dkim.verify(message.content, dnsfunc=lambda *_args, **_more: record)


def test_a_drop_after_the_dot_is_retried_once_with_the_same_bytes(
    database: Database, settings: Settings, now: datetime
) -> None:
    clock = Moment(now)
    put(database, now)
    with Server() as server:
        server.at_dot = lambda _recipient, _attempt: "drop"
        assert send(database, settings, server.url, clock) == {State.IN_DOUBT: 1}
        assert send(database, settings, server.url, clock) == {}, "not at once"
        clock.now += HOUR
        assert send(database, settings, server.url, clock) == {State.IN_DOUBT: 1}
        clock.now += HOUR
        assert send(database, settings, server.url, clock) == {}
    assert server.kept == {"asker1@example.org": 2}
    assert len(server.contents["asker1@example.org"]) == 1
    assert counts(database) == {State.IN_DOUBT: 1}


def test_what_is_refused_for_now_comes_later_and_for_good_never(
    database: Database, settings: Settings, now: datetime
) -> None:
    clock = Moment(now)
    put(database, now, 2)
    with Server() as server:
        server.at_rcpt = lambda recipient, attempt: (
            "550 5.1.1 No such user"
            if recipient.startswith("asker2")
            else "451 4.7.1 Greylisted"
            if attempt == 1
            else ""
        )
        assert send(database, settings, server.url, clock) == {State.DEFERRED: 1, State.FAILED: 1}
        clock.now += HOUR
        assert send(database, settings, server.url, clock) == {State.ACCEPTED: 1}
    assert server.kept == {"asker1@example.org": 1}


def test_a_connection_that_breaks_before_the_dot_leaves_no_doubt(
    database: Database, settings: Settings, now: datetime
) -> None:
    clock = Moment(now)
    put(database, now)
    with ScriptedRelay({"DATA": [drop]}) as relay:
        assert send(database, settings, relay.url, clock) == {State.DEFERRED: 1}
        clock.now += HOUR
        assert send(database, settings, relay.url, clock) == {State.ACCEPTED: 1}
    assert len(relay.accepted) == 1


def test_without_a_relay_nothing_is_lost(
    database: Database, settings: Settings, now: datetime
) -> None:
    put(database, now)
    with pytest.raises(RelayUnavailable):
        send(database, settings, "smtp://127.0.0.1:1?tls=none", Moment(now))
    assert counts(database) == {State.PENDING: 1}


def test_a_notice_that_is_taken_back_while_it_is_prepared_is_not_sent(
    database: Database, settings: Settings, now: datetime
) -> None:
    put(database, now)

    with Server() as server:
        one = courier(database, settings, server.url, Moment(now))
        make = one._make

        def make_and_lose(due: Due) -> Message:
            message = make(due)
            with database.writing() as connection:  # erased while it is prepared
                connection.execute(notices.delete())
            return message

        one._make = make_and_lose
        asyncio.run(one.send_due())
    assert server.kept == {}


# -- beside an edition -----------------------------------------------------------------------------


def hold_an_edition(database: Database, now: datetime) -> None:
    """Have it look as if another process were sending an edition for the next hour."""
    with database.writing() as connection:
        edition = connection.scalar(
            insert(editions)
            .values(
                date=now.date(),
                state="sending",
                window_start=now,
                cut_off=now,
                created_at=now,
            )
            .returning(editions.c.id)
        )
        connection.execute(
            insert(runs).values(edition_id=edition, holder="another", lease_until=now + HOUR)
        )


def test_beside_an_edition_one_goes_a_second_and_never_none(
    database: Database, settings: Settings, now: datetime
) -> None:
    hold_an_edition(database, now)
    put(database, now, 3)
    with Server() as server:
        began = time.monotonic()
        assert send(database, settings, server.url, Moment(now)) == {State.ACCEPTED: 3}
        took = time.monotonic() - began
    assert took > 1.9
    assert server.connections == 3, "none is kept from the edition"


def test_a_full_queue_does_not_delay_an_edition_and_is_not_starved_by_it(
    database: Database, settings: Settings
) -> None:
    """A relay that takes 20 a second, 60 readers, a thousand notices that wait."""
    edition = Edition(database, 60)
    put(database, edition.now, 1_000)
    finished: list[float] = []
    with Server() as server:
        server.slow_dot = lambda: 0.1
        press = Press(settings, database, lambda: datetime.now(UTC))
        relayed = settings.delivery.model_copy(update={"relay": server.url})
        press = replace(press, settings=settings.model_copy(update={"delivery": relayed}))

        def is_over() -> bool:
            is_sent = sum(n for to, n in server.kept.items() if to in readers) == 60
            if is_sent:
                finished.append(time.monotonic())
            return is_sent

        with database.reading() as connection:
            readers = set(connection.scalars(select(deliveries.c.email)))
        began = time.monotonic()
        with couriering(press):
            edition.run_until(server, is_over, lambda _sender: None, connections=2)
            took = finished[0] - began
            mailed = sum(server.kept.values()) - 60
    assert edition.state == "sent"
    assert 1 <= mailed <= 4 + took * 1.5, "some went beside it, about one a second"
    assert max(server.kept.values()) == 1


def test_what_was_left_by_a_dead_process_is_sent_once_more(
    database: Database, settings: Settings, now: datetime
) -> None:
    put(database, now)
    clock = Moment(now)
    with Server() as server:
        server.at_dot = lambda _recipient, _attempt: "drop"
        send(database, settings, server.url, clock)
        with database.writing() as connection:  # as if it had died before it heard of the drop
            connection.execute(update(notices).values(state="sending", doubts=0, holder="a|1|0"))
            connection.execute(update(notices).values(changed_at=now - HOUR))
        server.at_dot = lambda _recipient, _attempt: ""
        settings = settings.model_copy(
            update={"delivery": settings.delivery.model_copy(update={"relay": server.url})}
        )
        assert send_notices(Press(settings, database, clock)) == {State.ACCEPTED: 1}
    assert server.kept == {"asker1@example.org": 2}
    assert len(server.contents["asker1@example.org"]) == 1
