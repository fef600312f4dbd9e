"""Whole messages: read back by Python's email package as a receiver would read them."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.audience.reader import Reader
from newsletter.errors import ConfigurationError, InputError
from newsletter.mail import Addresser, Keyring, Letterhead, Message, decode_message, header_names
from newsletter.mail.headers import clean_text
from newsletter.mail.message import HEADER_NAMES
from newsletter.mail.tokens import Claim, Purpose, read_token
from newsletter.render.compiled import Begin, CompiledEdition, End, Part, Slot, Story
from newsletter.render.wire import encode_text

RING = Keyring([b"k" * 40])
MOMENT = datetime(2026, 11, 23, 7, 0, 0, tzinfo=UTC)
PAYLOAD = "=?utf-8?q?a=0D=0ABcc:_evil@x?="
LETTERHEAD = Letterhead(
    edition_id=3,
    day=date(2026, 11, 23),
    dated_at=MOMENT,
    name="Harbor Daily",
    sender="daily@news.example",
    sender_name="Harbor Daily",
    reply_to="",
    list_id="daily.news.example",
    url="https://news.example",
    unsubscribe_address="unsubscribe@news.example",
    envelope_sender="bounces@news.example",
    key_id=RING.newest.hex(),
)


def build_part(kind: str, slots: tuple[Slot, ...]) -> Part:
    pieces: list[bytes | Slot | Begin | End] = [encode_text("<body>\n.start\nFrom here\n")]
    for slot in slots:
        pieces += [encode_text(f"[{slot.name} "), slot, encode_text("]\n")]
    pieces += [
        Begin("full:0"),
        encode_text("One.\n"),
        Begin("lens:0:A"),
        encode_text("Lens.\n"),
        End("lens:0:A"),
        End("full:0"),
        Begin("full:1"),
        encode_text("Two.\n"),
        End("full:1"),
        encode_text("the end", ends=True),
    ]
    return Part(kind="html" if kind == "html" else "plain", pieces=tuple(pieces))


SLOTS = (
    Slot("name", "reader"),
    Slot("email"),
    Slot("unsubscribe_url"),
    Slot("preferences_url"),
    Slot("web_url"),
    Slot("brief_count"),
    Slot("word_count"),
    Slot("minutes"),
    Slot("fields.city", "your town"),
    Slot("fields.unheard_of", "<the default>"),
)
COMPILED = CompiledEdition(
    subject="Port reopens; Library open on Sundays",
    preheader="Other stories",
    language="en",
    html=build_part("html", SLOTS),
    plain=build_part("plain", SLOTS),
    stories=(Story(topics=("Port",), has_more=True), Story(topics=("Library",), has_more=True)),
    words={"": 476, "full:0": 700, "lens:0:A": 14, "full:1": 238},
)
READER = Reader(
    subscriber_id=7, email="ada@example.org", name="Ada O'Neill", fields={"city": "Köln & Umland"}
)
ADDRESSER = Addresser(COMPILED, LETTERHEAD, RING)


def parse(message: Message) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(message.content)


def check_whole(message: Message, *, names: tuple[str, ...] = HEADER_NAMES) -> EmailMessage:
    """Check what holds for every message, whoever reads it; give it parsed."""
    content = bytes(message.content)
    assert content.endswith(b"\r\n")
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert b"\0" not in content
    head, _, body = content.partition(b"\r\n\r\n")
    lines = content.split(b"\r\n")
    assert not any(line.startswith((b".", b"From ")) for line in lines)
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert content.isascii() or message.envelope.smtputf8
    for parser in (policy.default, policy.compat32):
        read = BytesParser(policy=parser).parsebytes(content)
        assert sorted(read.keys()) == sorted(names)
        assert not read.defects
        _whole, first, second = read.walk()
        for part, kind in ((first, "text/plain"), (second, "text/html")):
            assert part.get_content_type() == kind
            assert part.get_content_charset() == "utf-8"
            assert part["Content-Transfer-Encoding"] == "quoted-printable"
            assert part.keys() == ["Content-Type", "Content-Transfer-Encoding"]
            assert not part.defects
    return parse(message)


def read_slots(body: str) -> dict[str, str]:
    return dict(re.findall(r"^\[(\S+) (.*)\]\r?$", body, re.MULTILINE))


def test_a_message_is_what_a_receiver_expects() -> None:
    message = ADDRESSER.address(READER)
    read = check_whole(message)
    assert read["From"] == "Harbor Daily <daily@news.example>"
    assert read["To"].addresses[0].display_name == "Ada O'Neill"
    assert read["Subject"] == COMPILED.subject
    assert parsedate_to_datetime(read["Date"]) == MOMENT
    assert read["Date"].endswith("+0000")
    assert read["Message-ID"] == message.message_id
    assert re.fullmatch(r"<[0-9a-f]{40}@news\.example>", message.message_id)
    assert read["List-Id"] == "Harbor Daily <daily.news.example>"
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert read["List-Owner"] == "<mailto:daily@news.example>"
    assert read["Feedback-ID"] == "20261123:daily.news.example:daily:newsexample"
    assert read["Precedence"] == "bulk"
    assert read["Auto-Submitted"] == "auto-generated"
    assert read.get_content_type() == "multipart/alternative"
    assert message.envelope.sender == "bounces@news.example"
    assert message.envelope.recipient == "ada@example.org"
    assert not message.envelope.smtputf8
    assert header_names(message.content) == read.keys()


def test_list_unsubscribe_is_one_logical_line_with_two_addresses() -> None:
    for subscriber_id in (0, 7, 2**62):
        message = ADDRESSER.address(replace(READER, subscriber_id=subscriber_id))
        raw = re.search(rb"^List-Unsubscribe: (.*(?:\r\n .*)*)\r\n", message.content, re.MULTILINE)
        assert raw
        assert b"=?" not in raw[1]
        web, mail = re.findall(r"<([^<>]*)>", raw[1].decode().replace("\r\n", ""))
        assert raw[1].decode().replace("\r\n", "") == f"<{web}>, <{mail}>"
        token = web.removeprefix("https://news.example/u/")
        claim = read_token(token, Purpose.UNSUBSCRIBE, keyring=RING, list_id=LETTERHEAD.list_id)
        assert claim == Claim(subscriber_id, 3)
        assert mail == f"mailto:unsubscribe@news.example?subject=unsubscribe%20{token}"


def test_addresses_in_mailto_links_are_percent_encoded() -> None:
    letterhead = replace(
        LETTERHEAD, unsubscribe_address="a?b&c%d#e@news.example", reply_to="x+y@z.example"
    )
    read = check_whole(
        Addresser(COMPILED, letterhead, RING).address(READER), names=(*HEADER_NAMES, "Reply-To")
    )
    assert "<mailto:a%3Fb%26c%25d%23e@news.example?subject=" in read["List-Unsubscribe"]
    assert read["List-Owner"] == "<mailto:x%2By@z.example>"
    assert read["Reply-To"] == "x+y@z.example"


def test_both_parts_decode_to_what_was_compiled_with_the_readers_values() -> None:
    plain, html_text = decode_message(ADDRESSER.address(READER).content)
    expected = {
        "name": "Ada O'Neill",
        "email": "ada@example.org",
        "web_url": "https://news.example/editions/2026-11-23",
        "brief_count": "2",
        "word_count": "1,428",
        "minutes": "6",
        "fields.city": "Köln & Umland",
        "fields.unheard_of": "<the default>",
    }
    for body, is_html in ((plain, False), (html_text, True)):
        slots = read_slots(body)
        links = {key: slots.pop(key) for key in ("unsubscribe_url", "preferences_url")}
        assert slots == {k: html.escape(v) if is_html else v for k, v in expected.items()}
        for key, prefix, purpose in (
            ("unsubscribe_url", "u", Purpose.UNSUBSCRIBE),
            ("preferences_url", "p", Purpose.PREFERENCES),
        ):
            token = links[key].removeprefix(f"https://news.example/{prefix}/")
            claim = read_token(token, purpose, keyring=RING, list_id=LETTERHEAD.list_id)
            assert claim.subscriber_id == 7
        assert body.splitlines()[:3] == ["<body>", ".start", "From here"]
        assert body.splitlines()[-4:] == ["One.", "Lens.", "Two.", "the end"]


def test_without_a_value_the_slots_default_stands() -> None:
    anonymous = Reader(subscriber_id=8, email="x@example.org", fields={"city": "  "})
    message = ADDRESSER.address(anonymous)
    plain, _ = decode_message(message.content)
    assert read_slots(plain)["name"] == "reader"
    assert read_slots(plain)["fields.city"] == "your town"
    assert check_whole(message)["To"] == "x@example.org"


def test_attempts_are_byte_identical() -> None:
    again = Addresser(
        CompiledEdition.load(COMPILED.dump()),
        Letterhead.from_document(LETTERHEAD.to_document()),
        Keyring([b"newer" * 8, b"k" * 40]),
    )
    assert again.address(READER) == ADDRESSER.address(READER)
    assert ADDRESSER.address(READER) == ADDRESSER.address(READER)


def test_readers_and_editions_differ_in_message_id() -> None:
    other = Addresser(COMPILED, replace(LETTERHEAD, edition_id=4), RING)
    ids = {
        addresser.address(replace(READER, subscriber_id=number)).message_id
        for addresser in (ADDRESSER, other)
        for number in range(100)
    }
    assert len(ids) == 200


def test_a_key_that_is_gone_stops_the_edition() -> None:
    with pytest.raises(ConfigurationError, match="NEWSLETTER_SECRET_KEY"):
        Addresser(COMPILED, LETTERHEAD, Keyring([b"other" * 8]))


def test_a_test_copy_is_marked() -> None:
    marked = Addresser(COMPILED, LETTERHEAD, RING, subject_mark="[Test] ").address(READER)
    assert parse(marked)["Subject"] == f"[Test] {COMPILED.subject}"


foreign = st.one_of(
    st.text(max_size=80),
    st.text(alphabet=st.sampled_from("=?utf-8q\r\n\0<>\"',:;@. é\u2028\u202e😀"), max_size=60),
    st.sampled_from([PAYLOAD, "a\r\nBcc: evil@x.example\r\n\r\nbody", "<script>", "." * 200]),
)


@given(name=foreign, city=foreign, subject=foreign, publication=foreign, sender=foreign)
@example(name=PAYLOAD, city=PAYLOAD, subject=PAYLOAD, publication=PAYLOAD, sender=PAYLOAD)
def test_no_text_adds_a_header_or_breaks_a_line(
    name: str, city: str, subject: str, publication: str, sender: str
) -> None:
    letterhead = replace(
        LETTERHEAD, name=publication, sender_name=sender, reply_to="desk@news.example"
    )
    message = Addresser(replace(COMPILED, subject=subject), letterhead, RING).address(
        replace(READER, name=name, fields={"city": city})
    )
    read = check_whole(message, names=(*HEADER_NAMES, "Reply-To"))
    assert str(read["Subject"]).strip() == clean_text(subject)
    plain, html_text = decode_message(message.content)
    expected = clean_text(city) or "your town"
    assert read_slots(plain)["fields.city"] == expected
    assert html.unescape(read_slots(html_text)["fields.city"]) == expected
    assert "<script>" not in html_text
    assert message.envelope.recipient == "ada@example.org"


def test_a_local_part_beyond_ascii_asks_for_smtputf8() -> None:
    message = ADDRESSER.address(replace(READER, email="zoë@example.org"))
    assert message.envelope.smtputf8
    assert message.envelope.recipient == "zoë@example.org"
    check_whole(message)


def test_an_international_domain_becomes_a_labels() -> None:
    message = ADDRESSER.address(replace(READER, email="ada@münchen.example"))
    assert message.envelope.recipient == "ada@xn--mnchen-3ya.example"
    assert not message.envelope.smtputf8
    assert check_whole(message)["To"].addresses[0].addr_spec == "ada@xn--mnchen-3ya.example"


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "ada@",
        "@example.org",
        "ada@example.org\r\nBcc: evil@x.example",
        "ada>@example.org",
        "a b@example.org",
        "ada@exa mple.org",
        "ada@example.org>, <evil@x.example",
        "ada@" + "d" * 300 + ".org",
        "l" * 65 + "@example.org",
        "ada@" + "ü" * 80 + ".example",
        "ada@\ud800.example",
        "ada@ex\0ample.org",
    ],
)
def test_an_address_that_cannot_be_mailed_is_refused_for_that_reader(email: str) -> None:
    with pytest.raises(InputError):
        ADDRESSER.address(replace(READER, email=email))


@given(st.text(max_size=40))
def test_any_text_as_an_address_is_mailed_safely_or_refused(email: str) -> None:
    try:
        message = ADDRESSER.address(replace(READER, email=email))
    except InputError:
        return
    check_whole(message)


def test_an_edition_without_text_is_still_a_message() -> None:
    empty = replace(
        COMPILED, html=Part(kind="html", pieces=()), plain=Part(kind="plain", pieces=()), words={}
    )
    message = Addresser(empty, LETTERHEAD, RING).address(READER)
    check_whole(message)
    assert decode_message(message.content) == ("", "")
