from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.errors import ConfigurationError
from newsletter.smtp.relay import Relay, parse_relay


@pytest.mark.parametrize(
    ("url", "relay"),
    [
        (
            "smtp://relay.example",
            Relay(kind="smtp", host="relay.example", port=587, tls="starttls"),
        ),
        (
            " SMTP://Relay.Example:25?tls=none ",
            Relay(kind="smtp", host="relay.example", port=25, tls="none"),
        ),
        (
            "smtp://user%40news.example@relay.example?tls=implicit",
            Relay(
                kind="smtp",
                host="relay.example",
                port=587,
                user="user@news.example",
                password="secret",
                tls="implicit",
            ),
        ),
        (
            "smtps://user@news.example@relay.example",
            Relay(
                kind="smtp",
                host="relay.example",
                port=465,
                user="user@news.example",
                password="secret",
                tls="implicit",
            ),
        ),
        ("smtp://[::1]:2525?tls=none", Relay(kind="smtp", host="::1", port=2525, tls="none")),
        (
            "smtp://user@127.0.0.1:25?tls=none",
            Relay(
                kind="smtp", host="127.0.0.1", port=25, user="user", password="secret", tls="none"
            ),
        ),
        (
            "smtp://bücher.example",
            Relay(kind="smtp", host="xn--bcher-kva.example", port=587, tls="starttls"),
        ),
        (
            "smtp://user@relay.example?auth=xoauth2",
            Relay(
                kind="smtp",
                host="relay.example",
                port=587,
                user="user",
                tls="starttls",
                auth="xoauth2",
            ),
        ),
        (
            "smtps://user@relay.example?auth=oauthbearer",
            Relay(
                kind="smtp",
                host="relay.example",
                port=465,
                user="user",
                tls="implicit",
                auth="oauthbearer",
            ),
        ),
        ("smtp://mail_relay", Relay(kind="smtp", host="mail_relay", port=587, tls="starttls")),
        ("lmtp://store.example", Relay(kind="lmtp", host="store.example", port=24)),
        ("lmtp:///run/lmtp%20in", Relay(kind="lmtp", path=Path("/run/lmtp in"))),
        ("maildir:/var/mail/x", Relay(kind="maildir", path=Path("/var/mail/x"))),
        ("maildir:///var/mail/x", Relay(kind="maildir", path=Path("/var/mail/x"))),
        ("eml:out/box", Relay(kind="eml", path=Path("/etc/digest/out/box"))),
        ("eml://outbox", Relay(kind="eml", path=Path("/etc/digest/outbox"))),
    ],
)
def test_urls_that_can_be_read(url: str, relay: Relay) -> None:
    password = relay.password
    assert parse_relay(url, password=password, root=Path("/etc/digest")) == relay


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "is missing; write for example"),
        ("relay.example", "'relay.example' is no relay URL; write for example"),
        ("relay.example:587", "does not begin with a kind of relay"),
        ("http://relay.example", "there are smtp://, smtps:// and lmtp://, maildir: and eml:"),
        ("smtp:relay.example", "does not begin with a kind of relay"),
        ("eml:", "names no folder after eml:"),
        ("maildir://", "names no folder after maildir:"),
        ("smtp://", "names no host"),
        ("smtp://user@", "names no host"),
        ("smtp://a..b", "'a..b' is no host name"),
        ("smtp://-a.example", "is no host name"),
        ("smtp://.example", "is no host name"),
        ("smtp://re lay.example", "is no host name"),
        (f"smtp://{'a' * 64}.example", "is no host name"),
        ("smtp://relay.example:port", "cannot be read as a URL"),
        ("smtp://relay.example:99999", "cannot be read as a URL"),
        ("smtp://[::1", "cannot be read as a URL"),
        ("smtp://relay.example?tls", "cannot be read as a URL"),
        ("smtp://relay.example#x", "cannot be read as a URL"),
        ("smtp://relay.example/inbox", "has a path after its host"),
        ("lmtp://store.example/run/lmtp", "has a path after its host"),
        ("lmtp:///run/lmtp?tls=starttls", "asks for TLS on a socket of this machine"),
        (
            "smtp://relay.example?tsl=none",
            "has an unknown option 'tsl'; there are ?tls= and ?auth=",
        ),
        ("smtp://relay.example?tls=", "says tls=; smtp:// takes ?tls=starttls or none or implicit"),
        ("smtp://relay.example?tls=no", "says tls=no; smtp:// takes"),
        ("smtps://relay.example?tls=none", "says tls=none; smtps:// takes ?tls=implicit"),
        ("smtp://user@relay.example?tls=none", "would send the password in the clear; drop"),
        (
            "smtp://user@relay.example?tls=none&auth=xoauth2",
            "would send the access token in the clear; drop ?tls=none",
        ),
        ("smtp://user@relay.example?auth=gssapi", "says auth=gssapi; there are ?auth=password and"),
        ("smtp://relay.example?auth=xoauth2", "says auth=xoauth2 and names no user; write smtp://"),
        ("lmtp://user@store.example", "would send the password in the clear"),
        ("smtp://us%0Aer@relay.example", "holds a character that no login can say"),
    ],
)
def test_urls_that_cannot_be_used_are_explained_in_one_sentence(url: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_relay(url, password="secret")
    said = str(raised.value)
    assert said.startswith("delivery.relay: ")
    assert sentence in said
    assert "secret" not in said


@pytest.mark.parametrize(
    "url",
    [
        "smtp://user:hunter@relay.example",
        "smtp://user:hun#ter@relay.example",
        "smtp://user:hun/ter@relay.example",
        "smtp://user:hun?ter@relay.example",
        "smtp://user:hun?ter=x@relay.example",
        "smtp://user:hun%ter@relay.example",
        "smtp://user:hun[ter@relay.example",
    ],
)
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_relay(url)
    assert "hun" not in str(raised.value)
    assert "password" in str(raised.value)


@pytest.mark.parametrize("password", ["line end\n", "nul\0", "byte\udcff"])
def test_a_password_that_no_login_can_say(password: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_relay("smtp://user@relay.example", password=password)
    assert str(raised.value).startswith("NEWSLETTER_DELIVERY__RELAY_PASSWORD: ")
    assert password not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown", "local"),
    [
        ("smtp://user@relay.example", "smtp://relay.example:587", False),
        ("smtps://user@relay.example", "smtps://relay.example:465", False),
        ("smtp://localhost:25?tls=none", "smtp://localhost:25", True),
        ("smtp://127.8.0.1:25?tls=none", "smtp://127.8.0.1:25", True),
        ("smtp://[::1]:25?tls=none", "smtp://[::1]:25", True),
        ("smtp://10.0.0.1", "smtp://10.0.0.1:587", False),
        ("smtp://localhost.example", "smtp://localhost.example:587", False),
        ("lmtp:///run/lmtp", "lmtp:///run/lmtp", True),
        ("maildir:/m", "maildir:/m", True),
    ],
)
def test_a_relay_is_shown_without_its_user_and_knows_whether_it_is_here(
    url: str, shown: str, local: bool
) -> None:
    relay = parse_relay(url, password="secret")
    assert str(relay) == shown
    assert relay.is_local is local
    assert "secret" not in repr(relay)


@given(st.text(max_size=40) | st.text("smtp:/@?=[]#%tls.1", max_size=40).map("smtp://".__add__))
def test_any_text_is_a_relay_or_the_named_error(url: str) -> None:
    try:
        relay = parse_relay(url, password="secret")
    except ConfigurationError as error:
        assert str(error).endswith(".")  # noqa: PT017 - either way is right
    else:
        assert relay.path is not None or relay.host
