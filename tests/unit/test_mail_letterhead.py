"""The letterhead: frozen with the audience, the same when it is read again."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from newsletter.mail import Letterhead, build_letterhead
from newsletter.settings import Publication

PUBLICATION = Publication(
    name="Harbor Daily",
    sender='"Harbor, Daily" <daily@mail.news.example>',
    list_id="daily.news.example",
    url="https://news.example/",
)


def build(publication: Publication, moment: datetime) -> Letterhead:
    return build_letterhead(
        publication, edition_id=3, day=date(2026, 11, 23), dated_at=moment, key_id=b"\x00\xff\x10"
    )


@given(
    st.datetimes(timezones=st.timezones()).filter(lambda moment: 1990 < moment.year < 9999),
    st.text(st.characters(exclude_categories=("Cc", "Cs"))),
)
def test_a_stored_letterhead_is_read_back_equal(moment: datetime, name: str) -> None:
    publication = PUBLICATION.model_copy(update={"name": name, "reply_to": "desk@news.example"})
    letterhead = build(publication, moment)
    stored = json.loads(json.dumps(letterhead.to_document()))
    assert Letterhead.from_document(stored) == letterhead
    assert letterhead.dated_at.utcoffset() == timedelta(0)
    assert letterhead.dated_at.microsecond == 0


def test_what_is_not_set_follows_from_the_sender() -> None:
    moment = datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    letterhead = build(PUBLICATION, moment)
    assert letterhead.sender == "daily@mail.news.example"
    assert letterhead.sender_name == "Harbor, Daily"
    assert letterhead.domain == "mail.news.example"
    assert letterhead.unsubscribe_address == "unsubscribe@mail.news.example"
    assert letterhead.envelope_sender == "daily@mail.news.example"
    assert letterhead.url == "https://news.example"
    assert letterhead.key_id == "00ff10"
    assert letterhead.dated_at == datetime(2026, 11, 23, 7, tzinfo=UTC)


def test_what_is_set_stands() -> None:
    publication = PUBLICATION.model_copy(
        update={
            "bounce_address": "bounces@news.example",
            "unsubscribe_address": "leave@news.example",
            "reply_to": "desk@news.example",
        }
    )
    letterhead = build(publication, datetime(2026, 11, 23, 7, tzinfo=UTC))
    assert letterhead.envelope_sender == "bounces@news.example"
    assert letterhead.unsubscribe_address == "leave@news.example"
    assert letterhead.reply_to == "desk@news.example"
