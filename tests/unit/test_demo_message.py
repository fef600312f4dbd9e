import time
from email.message import EmailMessage

import html5lib
from hypothesis import given
from hypothesis import strategies as st

from newsletter.demo.message import (
    format_inert_html,
    format_source,
    format_visible,
    parse_message,
)


def test_reads_headers_and_both_parts() -> None:
    message = EmailMessage()
    message["Subject"] = "Straße, naïve, 東京"
    message["From"] = "Härbor <daily@news.example>"
    message["To"] = "Ada <ada@reader.example>"
    message.set_content("Grüße\n")
    message.add_alternative("<p>Grüße</p>\n", subtype="html")
    opened = parse_message(message.as_bytes())
    assert opened.subject == "Straße, naïve, 東京"
    assert opened.sender == "Härbor <daily@news.example>"
    assert opened.recipient == "Ada <ada@reader.example>"
    assert opened.plain == "Grüße\n"
    assert opened.html == "<p>Grüße</p>\n"


def test_missing_parts_are_empty() -> None:
    opened = parse_message(b"Subject: Only text\r\n\r\nHello\r\n")
    assert (opened.html, opened.plain) == ("", "Hello\n")
    assert parse_message(b"").subject == ""


def test_a_part_in_an_unknown_charset_says_so() -> None:
    raw = b"Content-Type: text/plain; charset=klingon-7\r\nSubject: x\r\n\r\nqapla\r\n"
    opened = parse_message(raw)
    assert opened.subject == "x"
    assert "cannot be decoded" in opened.plain


def test_stray_bytes_in_headers_and_bodies_become_text() -> None:
    raw = b"Subject: caf\xe9 \xff\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>\xff</p>\r\n"
    opened = parse_message(raw)
    assert opened.subject.startswith("caf")
    assert "<p>\ufffd</p>" in opened.html
    for text in (opened.subject, opened.html):
        text.encode()


def test_a_header_of_a_megabyte_costs_no_time_and_is_cut() -> None:
    raw = b"Subject: " + b"=?utf-8?q?a?= \r\n " * 60_000 + b"\r\n\r\nbody\r\n"
    begun = time.monotonic()
    opened = parse_message(raw)
    assert time.monotonic() - begun < 2
    assert len(opened.subject) <= 2_000


def test_parts_nested_a_thousand_deep_do_not_end_the_program() -> None:
    level = b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n'
    raw = b"Subject: deep\r\n" + b"".join(level % (i, i) for i in range(1_000))
    parse_message(raw)


HEADER = st.binary(max_size=120).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b""))
HOSTILE = st.lists(
    st.sampled_from(
        [
            "=?",
            "?=",
            "?q?",
            "?b?",
            "utf-8",
            "utf-7",
            "idna",
            "rot13",
            "unknown",
            ":",
            ";",
            "<",
            ">",
            "@",
            ",",
            '"',
            "(",
            "\\",
            "charset*0*=",
            "multipart/",
            "text/html",
            "boundary=",
            "+2AA-",
            "=ED=A0=80",
            " ",
            "a",
            "\x00",
        ]
    ),
    max_size=12,
).map(lambda words: "".join(words).encode())


@given(HEADER | HOSTILE, HEADER | HOSTILE, HEADER | HOSTILE, st.binary(max_size=60))
def test_any_message_gives_text_that_can_be_written(
    subject: bytes, sender: bytes, content_type: bytes, body: bytes
) -> None:
    raw = b"Subject: %b\r\nFrom: %b\r\nContent-Type: %b\r\n\r\n%b" % (
        subject,
        sender,
        content_type,
        body,
    )
    opened = parse_message(raw)
    for text in (opened.subject, opened.sender, opened.recipient, opened.html, opened.plain):
        text.encode()
    assert not any(c in opened.subject + opened.sender for c in "\r\n\x00\x1b")


@given(st.binary(max_size=200))
def test_the_source_shows_every_byte_string(raw: bytes) -> None:
    shown = format_source(raw)
    shown.encode()
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)


def test_bytes_that_are_not_utf8_are_shown_as_escapes() -> None:
    assert format_source(b"a\xff\r\nb\x00\r\n") == "a\\xff\nb\u2400\n"
    assert format_visible("\x1b[31m\x7f") == "\u241b[31m\u2421"


def test_the_guard_is_the_first_thing_in_the_head() -> None:
    for html in (
        "<!doctype html><html lang=en><head><title>t</title><script>x()</script></head></html>",
        "<!-- <head> --><script>x()</script>",
        "<head data-x='<head>'><script>x()</script>",
        "\n <!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0 Strict//EN'><p>text</p>",
        "",
    ):
        tree = html5lib.parse(format_inert_html(html), namespaceHTMLElements=False)
        head = tree.find("head")
        assert head is not None
        assert head[1].attrib["http-equiv"] == "Content-Security-Policy"
        assert head[1].attrib["content"].startswith("default-src 'none'")


def test_the_guard_keeps_standards_mode_and_the_language() -> None:
    html = format_inert_html('<!doctype html>\n<html lang="de"><head></head><p>Hallo</p></html>')
    assert html.startswith("<!doctype html><meta")
    assert html5lib.parse(html, namespaceHTMLElements=False).attrib["lang"] == "de"
