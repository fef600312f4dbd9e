"""TLS as bytes: our layer against OpenSSL's server side, no socket between them."""

from __future__ import annotations

import contextlib
import itertools
import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.smtp.tls import TlsLayer, build_tls_context, describe_tls_failure
from tests.examples import examples
from tests.relays import Authority

NAME = "relay.example"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Server:
    """The other side."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._heard, self._said = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.done = False
        self._tls = context.wrap_bio(self._heard, self._said, server_side=True)

    def hear(self, wire: bytes) -> bytes:
        self._heard.write(wire)
        heard = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            self.done = True
            while chunk := self._tls.read():
                heard += chunk
        return heard

    def say(self, words: bytes = b"") -> bytes:
        if words:
            self._tls.write(words)
        return self._said.read()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def contexts(authority: Authority) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return build_tls_context(authority.ca_file), authority.issue(NAME)


def shake_hands(client: TlsLayer, server: Server) -> bytes:
    """Go on until the server is done and has greeted; give what the client has not seen yet."""
    while True:
        server.hear(client.pending())
        if server.done:
            return server.say(b"220 ready\r\n")
        assert list(client.take(server.say())) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_greeting_in_the_last_packet_of_the_handshake_is_heard(
    version: ssl.TLSVersion, authority: Authority
) -> None:
    context = authority.issue(NAME)
    context.maximum_version = version
    client, server = TlsLayer(build_tls_context(authority.ca_file), NAME), Server(context)
    last = shake_hands(client, server)
    assert b"".join(client.take(last)) == b"220 ready\r\n"
    assert client.established
    client.put(b"EHLO news.example\r\n")
    assert server.hear(client.pending()) == b"EHLO news.example\r\n"


@settings(max_examples=examples(40))  # each is a handshake
@given(words=st.binary(max_size=40_000), cuts=st.lists(st.integers(0, 50_000), max_size=5))
def test_packets_do_not_change_what_was_said(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], words: bytes, cuts: list[int]
) -> None:
    client, server = TlsLayer(contexts[0], NAME), Server(contexts[1])
    wire = shake_hands(client, server) + server.say(words)
    heard = b""
    edges = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        heard += b"".join(client.take(wire[start:end]))
    assert heard == b"220 ready\r\n" + words
    client.put(words)
    assert server.hear(client.pending()) == words


def test_what_was_said_before_the_session_broke_is_heard(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    client, server = TlsLayer(contexts[0], NAME), Server(contexts[1])
    wire = shake_hands(client, server) + b"\x17\x03\x03\x00\x20" + bytes(32)
    said = client.take(wire)
    assert next(said) == b"220 ready\r\n"
    with pytest.raises(ssl.SSLError):
        next(said)


@pytest.mark.parametrize("name", ["other.example", "sub.relay.example", "127.0.0.1"])
def test_another_name_is_another_relay(
    name: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    client, server = TlsLayer(contexts[0], name), Server(contexts[1])
    server.hear(client.pending())
    with pytest.raises(ssl.SSLCertVerificationError) as raised:
        list(client.take(server.say()))
    assert not client.established
    assert client.pending()  # the alert that says so
    problem, mend = describe_tls_failure(raised.value)
    assert problem.startswith("did not prove who it is (")
    assert "delivery.ca_file" in mend


def test_old_versions_and_unverified_relays_are_off() -> None:
    context = build_tls_context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
