"""What a reader muted is left out of their copy until its day, and of nobody else's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache

import pytest

from newsletter.audience.reader import Choices, Mute, Reader
from newsletter.mail import Addresser, Keyring, build_letterhead, decode_message
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import CompiledEdition
from newsletter.render.selection import Selector
from newsletter.render.templates import find_templates
from newsletter.settings import EditionSettings, Vocabulary
from tests.unit.test_render_compile import PLAIN_BRIEF, PUBLICATION, edition, full_brief

DAY = date(2026, 11, 23)
WEEK = timedelta(days=7)


@cache
def compiled() -> CompiledEdition:
    return compile_edition(
        edition(full_brief(1), PLAIN_BRIEF),
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(minutes=0),
        story_ids=(41, 42),
    )


@cache
def addresser(day: date = DAY) -> Addresser:
    keyring = Keyring([b"k" * 40])
    letterhead = build_letterhead(
        PUBLICATION,
        edition_id=1,
        day=day,
        dated_at=datetime(2026, 11, 23, 7, tzinfo=UTC),
        key_id=keyring.newest,
    )
    return Addresser(compiled(), letterhead, keyring)


def forms(*muted: str) -> list[bool]:
    """Tell of each brief whether a reader who muted these gets it."""
    selection = Selector(compiled()).select(Choices(), muted=frozenset(muted))
    return [form is not None for form in selection.forms]


@pytest.mark.parametrize(
    ("muted", "gets"),
    [
        ((), [True, True]),
        (("story:41",), [False, True]),
        (("story:42",), [True, False]),
        (("story:4", "story:421", "topic:story:41"), [True, True]),
        (("topic:ECONOMY",), [False, True]),
        (("topic:sport",), [True, True]),
        (("topic:Economy", "story:42"), [False, False]),
    ],
)
def test_a_story_and_a_topic_are_left_out(muted: tuple[str, ...], gets: list[bool]) -> None:
    assert forms(*muted) == gets


def test_the_stories_are_kept_with_the_edition() -> None:
    assert CompiledEdition.load(compiled().dump()) == compiled()
    assert [story.story_id for story in compiled().stories] == [41, 42]


def copy(choices: Choices, day: date = DAY) -> bytes:
    reader = Reader(subscriber_id=7, email="ada@example.org", choices=choices)
    return bytes(addresser(day).address(reader).content)


def test_a_copy_follows_what_was_muted_on_the_day_of_its_edition_whenever_it_is_made() -> None:
    title = PLAIN_BRIEF.title
    until = DAY + WEEK
    muting = Choices(muted=(str(Mute(what="story:42", until=until)),))
    kept = Choices.from_document(muting.to_document())
    assert kept == muting
    first = copy(kept)
    assert title in decode_message(copy(Choices()))[1]
    assert title not in decode_message(first)[1]
    assert title not in "".join(decode_message(first)[0].split())
    assert title not in decode_message(copy(kept, until - timedelta(days=1)))[1]
    assert title in decode_message(copy(kept, until))[1], "it ends by itself"
    assert copy(kept) == first
