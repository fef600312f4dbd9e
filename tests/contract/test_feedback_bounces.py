"""What a bounce and a complaint do, over each backend: once, to whom they are about, if at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import select, text, update

from newsletter.audience.address import parse_address
from newsletter.audience.erasure import erase_reader
from newsletter.audience.holdings import read_holdings
from newsletter.audience.leaving import leave
from newsletter.audience.moving import ask_to_move, move
from newsletter.audience.pseudonyms import PREFIX
from newsletter.delivery import settle
from newsletter.delivery.inquiry import count_states, list_reasons
from newsletter.delivery.lifecycle import State
from newsletter.delivery.retention import prune
from newsletter.editions.shelf import read_edition
from newsletter.feedback.bounces import judge_reader, record_report
from newsletter.feedback.guard import Guard, Returns, Word, read_guard, read_returns, settle_bounces
from newsletter.feedback.hearing import Heard, Listener
from newsletter.feedback.report import parse_report
from newsletter.mail import Keyring
from newsletter.mail.tokens import Claim
from newsletter.settings import Retention
from newsletter.store import Database
from newsletter.store.audit import Actor
from newsletter.store.tables import (
    address_changes,
    alerts,
    audit,
    decisions,
    editions,
    happenings,
    reports,
    subscribers,
    suppressions,
    to_micros,
)
from tests.audience import PSEUDONYMS
from tests.contract.aside import Aside
from tests.contract.desk import Desk
from tests.reports import (
    DEAD,
    FULL,
    LIST_ID,
    PATTERN,
    RING,
    build_bounce,
    build_complaint,
    build_return_path,
    sign_leaving,
)

NOW = datetime(2026, 11, 26, 7, tzinfo=UTC)
DAY = timedelta(days=1)
ANNA = Actor(who="anna@desk")


class Office(Desk):
    """A desk that editions are sent from and that hears what comes back."""

    def hear(self, content: bytes, recipient: str = "") -> Heard:
        listener = Listener(
            database=self.database,
            keyring=RING,
            list_id=LIST_ID,
            bounce_address=PATTERN,
            now=lambda: self.now,
        )
        return listener.hear(content, recipient)

    def bounce(self, edition_id: int, number: int, why: tuple[str, str] = DEAD) -> Heard:
        return self.hear(build_bounce(build_return_path(edition_id, number), *why))

    def send(self, *, state: str = "sent") -> int:
        """Send an edition to all, a day after the last."""
        self.now += DAY
        edition_id, audience = self.approve()
        for number in range(1, audience + 1):
            self.set_delivery(edition_id, number, state="accepted", attempts=1, changed_at=self.now)
        self.set_edition(edition_id, state=state, dated_at=self.now, sent_at=self.now)
        return edition_id

    def statuses(self) -> dict[int, str]:
        with self.database.reading() as connection:
            rows = connection.execute(select(subscribers.c.id, subscribers.c.status))
            return {row.id: row.status for row in rows if row.status != "active"}

    def kept_out(self) -> dict[str, str]:
        with self.database.reading() as connection:
            rows = connection.execute(select(suppressions.c.email_key, suppressions.c.reason))
            return {row.email_key: row.reason for row in rows}

    def guard(self, edition_id: int) -> Guard:
        with self.database.reading() as connection:
            return read_guard(connection, edition_id)

    def returns(self, edition_id: int) -> Returns:
        with self.database.reading() as connection:
            return read_returns(connection, edition_id)

    def settle(self, edition_id: int, word: Word) -> int:
        with self.database.reading() as connection:
            record = read_edition(connection, edition_id)
        return settle_bounces(self.database, record, word, by=ANNA, now=self.now)


@pytest.fixture
def desk(backend: Database) -> Office:
    desk = Office(backend, NOW)
    desk.store_readers(3)
    return desk


# -- the copy --------------------------------------------------------------------------------------


def test_a_bounce_moves_its_copy_once_and_keeps_the_words(desk: Office) -> None:
    edition_id = desk.send()
    assert desk.bounce(edition_id, 2) == Heard(bounced=1)
    states = {1: State.ACCEPTED, 2: State.BOUNCED, 3: State.ACCEPTED}
    assert desk.states(edition_id) == states
    with desk.database.reading() as connection:
        assert count_states(connection, edition_id) == {State.ACCEPTED: 2, State.BOUNCED: 1}
        assert list_reasons(connection, edition_id) == [(State.BOUNCED, DEAD[1], 1)]
    before = desk.snapshot()
    desk.now += DAY
    assert desk.bounce(edition_id, 2) == Heard(bounced=1), "heard twice"
    assert desk.bounce(edition_id, 2, FULL) == Heard(bounced=1), "and in other words"
    assert desk.snapshot() == before
    found = desk.returns(edition_id)
    assert (found.accepted, found.dead, found.other, found.complaints) == (3, 1, 0, 0)
    assert found.domains == (("example.org", 1),)
    assert desk.statuses() == {}, "one bounce takes nobody off"


def test_the_mail_servers_word_of_the_recipient_is_enough(desk: Office) -> None:
    edition_id = desk.send()
    content = build_bounce("postmaster@news.example")
    assert desk.hear(content).reason == "it comes back from no copy of ours"
    assert desk.hear(content, build_return_path(edition_id, 1).upper()) == Heard(bounced=1)
    assert desk.states(edition_id)[1] is State.BOUNCED


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("550 5.1.1 gone", "550 5.1.1 gone"),
        ("user unknown", "550 5.1.1 user unknown"),
        ("5501 is our number", "550 5.1.1 5501 is our number"),
    ],
)
def test_the_words_begin_with_a_code_as_a_relays_do(desk: Office, said: str, kept: str) -> None:
    edition_id = desk.send()
    desk.bounce(edition_id, 1, ("5.1.1", said))
    assert desk.rows(edition_id)[0].reply == kept


def test_a_bounce_proves_that_the_relay_took_a_copy_in_doubt(desk: Office) -> None:
    edition_id = desk.send()
    desk.set_delivery(edition_id, 1, state="in_doubt", reply="no answer")
    assert desk.bounce(edition_id, 1, FULL) == Heard(bounced=1)
    assert desk.states(edition_id)[1] is State.BOUNCED
    with desk.database.reading() as connection:
        (row,) = connection.execute(select(decisions))
    assert (row.action, row.detail) == ("resolve", "accepted: a bounce of it came back")
    assert row.decided_by == "mail that came back"
    desk.set_delivery(edition_id, 2, state="in_doubt")
    desk.hear(build_complaint(path=build_return_path(edition_id, 2)))
    assert desk.states(edition_id)[2] is State.ACCEPTED


def test_a_bounce_that_is_quicker_than_the_record_is_heard_again(desk: Office) -> None:
    edition_id = desk.send(state="sending")
    desk.set_delivery(edition_id, 1, state="sending")
    heard = desk.bounce(edition_id, 1)
    assert (heard.is_early, heard.is_done) == (True, False)
    assert desk.states(edition_id)[1] is State.SENDING
    desk.set_delivery(edition_id, 1, state="accepted")
    assert desk.bounce(edition_id, 1) == Heard(bounced=1)


@pytest.mark.parametrize("state", ["pending", "deferred", "failed", "suppressed", "expired"])
def test_what_was_not_accepted_cannot_come_back(desk: Office, state: str) -> None:
    edition_id = desk.send()
    desk.set_delivery(edition_id, 1, state=state)
    assert desk.bounce(edition_id, 1) == Heard(reason=f"the copy that it is about is {state}")
    assert desk.states(edition_id)[1] == state
    unknown = desk.bounce(edition_id, 77)
    assert unknown.reason == "nothing is known any more of the copy that it is about"


def test_a_delay_changes_nothing(desk: Office) -> None:
    edition_id = desk.send()
    before = desk.snapshot()
    to = build_return_path(edition_id, 1)
    assert not desk.hear(build_bounce(to, "4.4.1", "timed out", action="delayed")).is_done
    assert desk.snapshot() == before


def test_a_hundred_forged_reports_take_nobody_off(desk: Office) -> None:
    numbers = [desk.send() for _ in range(3)]
    before = desk.snapshot()
    chance = Random(20261126)
    strange = Keyring([b"x" * 40])
    for _ in range(100):
        edition_id, number = chance.choice(numbers), chance.randint(1, 3)
        real = build_return_path(edition_id, number)
        at = chance.randrange(len("bounce+"), len("bounce+") + 32)
        letter = chance.choice("abcdefghijklmnopqrstuvwxyz234567".replace(real[at], ""))
        changed = real[:at] + letter + real[at + 1 :]
        foreign = build_return_path(edition_id, number, ring=strange)
        bare = "bounce+@news.example"
        for path in (changed, foreign, bare, real.replace("news.", "other.")):
            assert not desk.hear(build_bounce(path)).is_done
            assert not desk.hear(build_complaint(path=path)).is_done
        # A bounce that only its own text says to be of ours, and a complaint with a foreign word.
        quoting = build_bounce("a@b.example").replace(b"brief@news.example", real.encode())
        assert not desk.hear(quoting).is_done
        assert not desk.hear(
            build_complaint(token=sign_leaving(edition_id, number, ring=strange))
        ).is_done
    assert desk.snapshot() == before
    assert desk.kept_out() == {}


# -- the reader ------------------------------------------------------------------------------------


def test_two_bounces_as_to_no_such_mailbox_take_an_address_off(desk: Office) -> None:
    first, second = desk.send(), desk.send()
    desk.bounce(first, 1)
    assert desk.statuses() == {}
    assert desk.bounce(second, 1) == Heard(bounced=1)
    assert desk.statuses() == {1: "bounced"}
    assert desk.kept_out() == {"reader1@example.org": "bounced"}
    with desk.database.reading() as connection:
        detail = connection.scalar(select(suppressions.c.detail))
        told = connection.execute(select(happenings.c.kind, happenings.c.subscriber_id))
        assert ("reader.bounced", 1) in [tuple(row) for row in told]
    assert detail == "mail came back: 2 copies within 30 days, as to no such mailbox"
    assert desk.approve()[1] == 2, "the next edition is not for them"


def test_two_bounces_far_apart_take_nobody_off(desk: Office) -> None:
    first = desk.send()
    desk.bounce(first, 1)
    desk.now += 31 * DAY
    desk.bounce(desk.send(), 1)
    assert desk.statuses() == {}


def test_a_mailbox_that_is_full_for_two_weeks_is_taken_off(desk: Office) -> None:
    for day in range(16):
        edition_id = desk.send()
        if (day + 1) % 3:
            desk.bounce(edition_id, 1, FULL)
        if not day % 3:
            desk.bounce(edition_id, 2, FULL)
        assert not desk.statuses() or day >= 15
    assert desk.statuses() == {1: "bounced"}, "the other got most of them"


def test_who_agreed_anew_starts_anew(desk: Office) -> None:
    first = desk.send()
    desk.bounce(first, 1)
    desk.now += timedelta(hours=1)
    with desk.database.writing() as connection:
        connection.execute(
            update(subscribers).where(subscribers.c.id == 1).values(consent_at=desk.now)
        )
    second = desk.send()
    desk.bounce(second, 1)
    assert desk.statuses() == {}
    desk.bounce(desk.send(), 1)
    assert desk.statuses() == {1: "bounced"}


def test_who_has_left_stays_who_left(desk: Office) -> None:
    first, second = desk.send(), desk.send()
    leave(desk.database, 1, "link", now=desk.now)
    desk.bounce(first, 1)
    desk.bounce(second, 1)
    assert desk.kept_out() == {"reader1@example.org": "unsubscribed"}


def test_a_complaint_takes_off_at_once_and_for_good(desk: Office) -> None:
    edition_id = desk.send()
    by_path = build_complaint(path=build_return_path(edition_id, 1))
    by_token = build_complaint(token=sign_leaving(edition_id, 2))
    for content in (by_path, by_token, by_path):
        assert desk.hear(content) == Heard(complained=1)
    assert desk.statuses() == {1: "complained", 2: "complained"}
    found = desk.returns(edition_id)
    assert (found.complaints, found.dead, found.accepted) == (2, 0, 3)
    with desk.database.reading() as connection:
        kinds = connection.scalars(select(happenings.c.kind)).all()
    assert kinds.count("reader.complained") == 2
    assert desk.states(edition_id)[1] is State.ACCEPTED, "it did arrive"


def move_reader(desk: Office, number: int, email: str) -> None:
    with desk.database.writing() as connection:
        ask_to_move(connection, number, parse_address(email), desk.now)
        wish = connection.execute(
            select(address_changes.c.id).order_by(address_changes.c.id.desc())
        ).first()
        assert wish is not None
    with desk.database.writing() as connection:
        assert move(connection, wish.id, now=desk.now, pseudonyms=PSEUDONYMS)


def test_that_the_old_mailbox_is_dead_says_nothing_of_the_new(desk: Office) -> None:
    first, second = desk.send(), desk.send()
    third = desk.send(state="sending")
    desk.set_delivery(third, 1, state="deferred")
    move_reader(desk, 1, "new@example.org")
    desk.set_delivery(third, 1, state="accepted")  # begun before: it went to the old address
    for edition_id in (first, second, third):
        assert desk.bounce(edition_id, 1) == Heard(bounced=1)
    assert desk.statuses() == {}
    assert desk.kept_out() == {"reader1@example.org": "unsubscribed"}
    fourth = desk.send()
    desk.bounce(fourth, 1)
    assert desk.statuses() == {}, "one bounce of the new address"
    desk.bounce(desk.send(), 1)
    assert desk.kept_out()["new@example.org"] == "bounced"


def test_a_complaint_about_a_copy_to_the_old_address_holds_for_both(desk: Office) -> None:
    edition_id = desk.send()
    move_reader(desk, 1, "new@example.org")
    desk.hear(build_complaint(path=build_return_path(edition_id, 1)))
    assert desk.statuses() == {1: "complained"}
    assert desk.kept_out() == dict.fromkeys(
        ("reader1@example.org", "new@example.org"), "complained"
    )


def test_of_who_was_erased_only_the_codes_are_kept(desk: Office) -> None:
    edition_id = desk.send()
    key = "reader1@example.org"
    erase_reader(desk.database, key, now=lambda: desk.now, pseudonyms=PSEUDONYMS)
    assert desk.bounce(edition_id, 1, ("5.1.1", f"550 5.1.1 <{key}> is gone")).bounced == 1
    desk.hear(build_complaint(path=build_return_path(edition_id, 1)))
    row = next(row for row in desk.rows(edition_id) if row.subscriber_id == 1)
    assert (row.state, row.reply) == ("bounced", "550 5.1.1")
    assert [name for name in desk.kept_out() if not name.startswith(PREFIX)] == []


def test_who_leaves_while_a_bounce_is_heard_has_left(desk: Office) -> None:
    first, second = desk.send(), desk.send()
    desk.bounce(first, 1)
    desk.bounce(second, 2)
    leaving = Aside(lambda: leave(desk.database, 1, "link", now=NOW))
    with desk.database.writing() as connection:
        judge_reader(connection, 1, now=desk.now)
        leaving.start()
        assert leaving.waits()
    leaving.result()
    assert desk.kept_out() == {"reader1@example.org": "unsubscribed"}


def test_of_two_that_hear_the_same_bounce_at_once_one_records_it(desk: Office) -> None:
    edition_id = desk.send()
    hearing = Aside(lambda: desk.bounce(edition_id, 1))
    with desk.database.writing() as connection:
        connection.execute(update(editions).values(reason=""))  # SQLite: one writer at a time
        report = parse_report(build_bounce(build_return_path(edition_id, 1)))
        assert report is not None
        record_report(connection, Claim(1, edition_id), report, now=desk.now)
        hearing.start()
        assert hearing.waits()
    assert hearing.result() == Heard(bounced=1)
    with desk.database.reading() as connection:
        assert len(connection.execute(select(reports)).all()) == 1


def test_what_was_reported_of_a_reader_is_theirs_to_see_and_goes_with_their_copies(
    desk: Office,
) -> None:
    edition_id = desk.send()
    desk.bounce(edition_id, 1)
    with desk.database.reading() as connection:
        held = read_holdings(connection, "reader1@example.org", pseudonyms=PSEUDONYMS)
    assert held is not None
    (told,) = held["copies"][0]["reports"]
    assert (told["finding"], told["status"]) == ("address", "5.1.1")
    kept = Retention().model_copy(update={"deliveries": 30 * DAY})
    prune(desk.database, kept, now=desk.now + 40 * DAY)
    with desk.database.reading() as connection:
        assert connection.execute(select(reports)).all() == []
    found = desk.returns(edition_id)
    assert (found.accepted, found.dead, found.other) == (3, 0, 1), "the reason is forgotten"


# -- the guard -------------------------------------------------------------------------------------


@pytest.fixture
def crowd(backend: Database) -> Office:
    """Two hundred readers, forty of them at a domain of their own."""
    desk = Office(backend, NOW)
    for number in range(1, 201):
        domain = "small.example" if number > 160 else "example.org"
        email = f"reader{number}@{domain}"
        desk.store_reader(number, email=email, email_key=email)
    return desk


def test_a_mass_of_bounces_takes_nobody_off_and_pauses_the_send(crowd: Office) -> None:
    first = crowd.send()
    for number in range(1, 16):
        crowd.bounce(first, number)
    second = crowd.send(state="sending")
    for number in range(1, 20):
        crowd.bounce(second, number)
    assert len(crowd.statuses()) == 15, "fewer than twenty say nothing"
    assert crowd.guard(second).state == "believed"
    crowd.bounce(second, 20)
    guard = crowd.guard(second)
    assert guard.state == "doubted"
    assert guard.sentence.startswith("20 of 200 copies came back as to no such mailbox")
    assert crowd.statuses() == {}, "who was taken off by it is back"
    assert crowd.kept_out() == {}
    assert crowd.edition(second).state == "paused"
    assert crowd.edition(second).reason in guard.sentence
    for number in range(21, 60):
        crowd.bounce(second, number)
    assert crowd.statuses() == {}
    with crowd.database.reading() as connection:
        assert len(connection.execute(select(alerts)).all()) == 1
        noted = connection.scalars(select(audit.c.action)).all()
    assert noted == ["edition.pause", "edition.doubt_bounces"]
    with crowd.database.writing() as connection:
        settle.resume(connection, second, by=ANNA, now=crowd.now)
    crowd.bounce(second, 60)
    assert crowd.edition(second).state == "sending", "who resumes has looked"


def test_who_is_taken_off_while_the_guard_trips_is_back(crowd: Office) -> None:
    first = crowd.send()
    crowd.bounce(first, 1)
    second = crowd.send()
    with crowd.database.writing() as connection:
        for number in range(1, 20):
            report = parse_report(build_bounce(build_return_path(second, number)))
            assert report is not None
            record_report(connection, Claim(number, second), report, now=crowd.now)
    tripping = Aside(lambda: crowd.bounce(second, 20))
    with crowd.database.writing() as connection:
        assert judge_reader(connection, 1, now=crowd.now)
        tripping.start()
        assert tripping.waits()
    assert tripping.result() == Heard(bounced=1)
    assert crowd.guard(second).state == "doubted"
    assert crowd.statuses() == {}


def test_an_operator_has_the_last_word(crowd: Office) -> None:
    first = crowd.send()
    for number in range(1, 31):
        crowd.bounce(first, number)
    second = crowd.send()
    for number in range(1, 31):
        crowd.bounce(second, number)
    assert [crowd.guard(each).state for each in (first, second)] == ["doubted", "doubted"]

    assert crowd.settle(first, "count") == 0, "one edition alone"
    assert crowd.settle(second, "count") == 30
    assert len(crowd.statuses()) == 30
    assert crowd.settle(second, "count") == 0, "said twice"
    assert crowd.settle(first, "leave") == 30
    assert crowd.statuses() == {}
    assert (crowd.guard(first).state, crowd.guard(second).state) == ("left", "counted")
    assert crowd.guard(first).decided_by == "anna@desk"
    crowd.bounce(second, 31)
    assert crowd.guard(second).state == "counted", "nobody doubts what a person counted"


def test_who_is_taken_off_by_other_bounces_stays_off(crowd: Office) -> None:
    for _ in range(2):
        edition_id = crowd.send()
        crowd.bounce(edition_id, 1)
    assert crowd.statuses() == {1: "bounced"}
    crowd.set_edition(edition_id, state="sent")
    for number in range(2, 31):
        crowd.bounce(edition_id, number)
    assert crowd.guard(edition_id).state == "doubted"
    assert crowd.statuses() == {}, "of the two that took the first off one is doubted"
    third = crowd.send()
    crowd.bounce(third, 1)
    assert crowd.statuses() == {1: "bounced"}
    crowd.now += 60 * DAY
    crowd.settle(edition_id, "leave")
    assert crowd.statuses() == {1: "bounced"}, "the others are enough"


def test_of_a_large_edition_the_first_two_thousand_copies_tell(desk: Office) -> None:
    columns = "id, email, email_key, status, choices, fields, created_at, updated_at"
    numbers = [{"n": number} for number in range(4, 2401)]
    begun = to_micros(NOW)
    with desk.database.writing() as connection:
        # One domain each, so that none of them speaks for itself.
        connection.execute(
            text(
                f"INSERT INTO subscribers ({columns}) VALUES (:n, 'r@d' || :m || '.example', "
                "'r@d' || :m || '.example', 'active', '{}', '{}', 0, 0)"
            ),
            [{**each, "m": str(each["n"])} for each in numbers],
        )
    edition_id, audience = desk.approve()
    assert audience == 2_400
    at = {"at": begun}
    with desk.database.writing() as connection:
        connection.execute(
            text("UPDATE deliveries SET state = 'accepted', changed_at = :at + subscriber_id"), at
        )
        connection.execute(
            text(
                "INSERT INTO attempts SELECT edition_id, subscriber_id, 1, '', :at, changed_at, "
                "'accepted', '250' FROM deliveries"
            ),
            at,
        )

    def come_back(first: int, last: int) -> None:
        given = {"first": first, "last": last}
        of_them = "WHERE subscriber_id BETWEEN :first AND :last"
        with desk.database.writing() as connection:
            connection.execute(
                text(
                    "INSERT INTO reports SELECT edition_id, subscriber_id, 'address', '5.1.1', "
                    f"changed_at, changed_at FROM deliveries {of_them}"
                ),
                given,
            )
            connection.execute(text(f"UPDATE deliveries SET state = 'bounced' {of_them}"), given)

    come_back(2_001, 2_200)
    desk.bounce(edition_id, 2_300)
    assert desk.guard(edition_id).state == "believed", "they came after the first 2,000"
    come_back(1, 99)
    desk.bounce(edition_id, 100)
    assert desk.guard(edition_id).state == "believed"
    desk.bounce(edition_id, 2_000)
    sentence = desk.guard(edition_id).sentence
    assert sentence.startswith("101 of the first 2,000 copies came back as to no such mailbox")


def test_one_domain_that_sends_back_more_than_a_fifth_is_doubted(crowd: Office) -> None:
    edition_id = crowd.send()
    for number in (*range(1, 11), *range(161, 170)):
        crowd.bounce(edition_id, number)
    assert crowd.guard(edition_id).state == "believed", "10 of 160 are few, and 9 say nothing"
    crowd.bounce(edition_id, 170)
    sentence = crowd.guard(edition_id).sentence
    assert sentence.startswith("20 of 200"), "the whole is asked first"

    edition_id = crowd.send()
    for number in range(161, 170):
        crowd.bounce(edition_id, number)
    assert crowd.guard(edition_id).state == "believed"
    crowd.bounce(edition_id, 170)
    sentence = crowd.guard(edition_id).sentence
    assert sentence.startswith("10 of 40 copies to small.example came back as to no such mailbox")


def test_a_few_dead_addresses_at_the_beginning_of_a_send_stop_nothing(crowd: Office) -> None:
    edition_id = crowd.send(state="sending")
    for number in range(13, 201):
        crowd.set_delivery(edition_id, number, state="pending", attempts=0)
    for number in range(1, 11):
        crowd.bounce(edition_id, number)
    assert crowd.guard(edition_id).state == "believed", "ten of twelve so far, of two hundred"
    assert crowd.edition(edition_id).state == "sending"


def test_a_small_list_that_comes_back_as_a_whole_is_doubted(desk: Office) -> None:
    desk.store_reader(4)
    desk.store_reader(5)
    edition_id = desk.send()
    for number in range(1, 6):
        assert desk.guard(edition_id).state == "believed"
        desk.bounce(edition_id, number, FULL)
    assert desk.guard(edition_id).sentence.startswith("5 of 5 copies came back")
