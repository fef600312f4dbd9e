"""The guarded fetcher against real servers on loopback."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from newsletter.briefs.fetcher import Fetched, Probed, Resolve, fetch, probe, shown
from newsletter.briefs.turns import Turns
from newsletter.errors import SourceError
from tests.integration.gather.conftest import ScriptedWeb as ScriptedServer

if TYPE_CHECKING:
    from tests.integration.gather.conftest import ScriptedWeb

PUBLIC = "93.184.215.14"


def get(
    url: str,
    *,
    validators: Mapping[str, str] | None = None,
    allow_private: bool = True,
    timeout_seconds: float = 5,
    max_bytes: int = 100_000,
    headers: Mapping[str, str] | None = None,
    turns: Turns | None = None,
    resolve: Resolve = socket.getaddrinfo,
) -> Fetched:
    return fetch(
        url,
        validators=validators or {},
        allow_private=allow_private,
        timeout_seconds=timeout_seconds,
        max_bytes=max_bytes,
        user_agent="newsletter/0 (+https://news.example)",
        headers=headers or {},
        turns=turns,
        resolve=resolve,
    )


def resolving(*addresses: str) -> Resolve:
    """Answer with one of the addresses a time, the last one from then on."""
    left = list(addresses)

    def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        address = left.pop(0) if len(left) > 1 else left[0]
        return socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)

    return resolve


def resolve_offline(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
    """Resolve as the system does, but ask no name server."""
    here = "127.0.0.1" if host.lower().rstrip(".") == "localhost" else host
    return socket.getaddrinfo(here, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Record where connections go, and make none."""
    made: list[tuple[str, int]] = []

    def refuse(_: object, host: str, port: int, **__: Any) -> None:
        made.append((host, port))
        raise httpcore2.ConnectError("not in this test")

    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", refuse)
    return made


def test_a_document_comes_with_its_validators(web: ScriptedWeb) -> None:
    url = web.answer(
        "/feed", b"hello", headers={"ETag": '"v1"', "Content-Type": "application/rss+xml"}
    )
    fetched = get(url)
    assert fetched == Fetched(
        status=200,
        body=b"hello",
        content_type="application/rss+xml",
        validators={"url": url, "etag": '"v1"'},
        url=url,
        headers=fetched.headers,
    )
    assert fetched.headers["etag"] == '"v1"'
    assert web.requests[0].headers["User-Agent"] == "newsletter/0 (+https://news.example)"
    assert web.requests[0].headers["Host"] == f"127.0.0.1:{web.port}"


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": 'W/"weak, \xe9 and opaque"'},
        {"Last-Modified": "Mon, 02 Nov 2026 06:00:00 GMT"},
        {"Last-Modified": "yesterday, or so"},
        {"ETag": "unquoted", "Last-Modified": "Mon, 02 Nov 2026 06:00:00 GMT"},
    ],
)
def test_a_second_fetch_is_conditional(web: ScriptedWeb, headers: dict[str, str]) -> None:
    url = web.answer("/feed", b"hello", headers=headers)
    first = get(url)
    second = get(url, validators=first.validators)
    assert (second.status, second.body, second.validators) == (304, b"", first.validators)


def test_validators_go_only_where_they_came_from(web: ScriptedWeb) -> None:
    known = get(web.answer("/old", b"old", headers={"ETag": '"1"'})).validators
    moved = web.answer("/new", b"new", headers={"ETag": '"1"'})
    assert get(moved, validators=known).body == b"new"
    assert get(web.redirect("/old", moved), validators=known).body == b"new"


def test_a_304_that_nobody_asked_for_is_an_error(web: ScriptedWeb) -> None:
    with pytest.raises(SourceError, match="answers 304"):
        get(web.answer("/feed", status=304))


def test_redirects_are_followed(web: ScriptedWeb) -> None:
    web.answer("/deep/feed", b"here")
    web.redirect("/b", "deep/feed", status=308)
    fetched = get(web.redirect("/a", "/b", status=301))
    assert (fetched.body, fetched.url) == (b"here", web.url("/deep/feed"))


def test_a_redirect_loop_ends(web: ScriptedWeb) -> None:
    with pytest.raises(SourceError, match="redirects more than 5 times"):
        get(web.redirect("/a", "/a"))
    assert len(web.requests) == 6


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("file:///etc/passwd", "neither http nor https"),
        ("gopher://127.0.0.1/", "neither http nor https"),
        ("javascript:alert(1)", "neither http nor https"),
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254, which is not a public"),
        ("//169.254.169.254/", "not a public address"),
        ("http://[::ffff:169.254.169.254]/", "not a public address"),
        ("http://user:secret@127.0.0.1/", "user name or a password"),
        ("http://[::1/", "cannot be read"),
        ("http://127.0.0.1:99999/", "port"),
        ("https://127.0.0.1:port/", "cannot be read"),
    ],
)
def test_a_redirect_is_checked_like_any_address(
    web: ScriptedWeb, location: str, problem: str
) -> None:
    with pytest.raises(SourceError, match=problem) as caught:
        get(web.redirect("/a", location))
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith(web.url("/a"))


def test_a_redirect_may_not_lead_from_outside_to_a_port_inside(
    web: ScriptedWeb, connections: list[tuple[str, int]]
) -> None:
    with pytest.raises(SourceError, match="only 80 and 443 are allowed"):
        get(web.url("/"), allow_private=False, resolve=resolving(PUBLIC))
    assert connections == []


def test_a_public_name_is_connected_at_the_address_that_was_checked(
    connections: list[tuple[str, int]],
) -> None:
    # A name that changes to an inner address right after the check gains nothing by it.
    resolve = resolving(PUBLIC, "127.0.0.1")
    with pytest.raises(SourceError, match="cannot be reached"):
        get("http://h.example/", allow_private=False, resolve=resolve)
    assert connections == [(PUBLIC, 80)]


def test_what_a_secret_is_for_does_not_come_back_from_elsewhere(web: ScriptedWeb) -> None:
    """A server that we were sent to must not choose what ours is asked with our secret."""
    other = ScriptedServer()
    try:
        web.answer("/delete-everything", b"done")
        web.redirect("/a", "/b")
        web.redirect("/b", other.redirect("/", web.url("/delete-everything")))
        get(web.url("/a"), headers={"Authorization": "Bearer secret"})
    finally:
        other.close()
    told = [request.headers["Authorization"] for request in (*web.requests, *other.requests)]
    assert told == ["Bearer secret", "Bearer secret", None, None]


def test_a_redirect_takes_no_turn_of_its_own(web: ScriptedWeb) -> None:
    waited: list[float] = []
    turns = Turns(60, monotonic=lambda: 0.0, sleep=waited.append)
    web.answer("/b", b"here")
    url = web.redirect("/a", "/b")
    for _ in range(2):
        assert get(url, turns=turns).body == b"here"
    assert waited == [60]


def test_each_connection_is_checked_anew(web: ScriptedWeb) -> None:
    asked: list[str] = []
    answers = resolving("127.0.0.1", "169.254.169.254")

    def resolve(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        return answers(host, port)

    web.redirect("/a", "/b")
    web.answer("/b", b"stolen")
    with pytest.raises(SourceError, match=r"rebinding\.example is at 169\.254\.169\.254"):
        get(web.url("/a", host="rebinding.example"), resolve=resolve)
    assert asked == ["rebinding.example"] * 2
    assert web.requests[0].headers["Host"] == f"rebinding.example:{web.port}"
    assert len(web.requests) == 1


def test_private_addresses_need_leave(web: ScriptedWeb) -> None:
    url = web.answer("/feed", b"hello")
    assert get(url).body == b"hello"
    with pytest.raises(SourceError, match="set allow_private = true"):
        get(url, allow_private=False)


def test_a_dead_address_does_not_take_the_time_of_the_next(web: ScriptedWeb) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [*resolving("127.0.0.2")(host, 1), *resolving("127.0.0.1")(host, port)]

    web.answer("/feed", b"hello")
    assert get(web.url("/feed", host="two.example"), resolve=resolve).body == b"hello"


def test_a_name_that_does_not_resolve() -> None:
    def resolve(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(SourceError, match=r"the name nowhere\.example cannot be resolved"):
        get("http://nowhere.example/", resolve=resolve)


def test_a_resolver_that_hangs_is_left() -> None:
    over = threading.Event()

    def resolve(*_: Any, **__: Any) -> Any:
        over.wait(10)
        return []

    started = time.monotonic()
    with pytest.raises(SourceError, match=r"within 0\.2 seconds"):
        get("http://slow.example/", resolve=resolve, timeout_seconds=0.2)
    assert time.monotonic() - started < 8
    over.set()


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        handler.wfile.write(b"X-%d: y\r\n" % number)
        time.sleep(0.05)


def silence(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(1)


@pytest.mark.parametrize("script", [drip, drip_headers, silence])
def test_slowness_ends_at_the_ceiling(web: ScriptedWeb, script: Any) -> None:
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"did not answer in full within 0\.4 seconds"):
        get(web.script("/slow", script), timeout_seconds=0.4)
    assert time.monotonic() - started < 3


def test_a_gzip_bomb_stops_at_the_ceiling(web: ScriptedWeb) -> None:
    bomb = gzip.compress(bytes(50_000_000), mtime=0)
    url = web.answer("/bomb", bomb, headers={"Content-Encoding": "gzip"})
    assert len(bomb) < 100_000
    with pytest.raises(SourceError, match="larger than the ceiling of 100000 bytes"):
        get(url)


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(10_000))


def test_an_endless_answer_stops_at_the_ceiling(web: ScriptedWeb) -> None:
    with pytest.raises(SourceError, match="larger than the ceiling"):
        get(web.script("/endless", endless))


def test_the_ceiling_itself_is_allowed(web: ScriptedWeb) -> None:
    body = bytes(100_000)
    packed = {"Content-Encoding": "gzip"}
    assert get(web.answer("/plain", body)).body == body
    assert get(web.answer("/packed", gzip.compress(body, mtime=0), headers=packed)).body == body
    with pytest.raises(SourceError, match="larger"):
        get(web.answer("/plain", body + b"x"))
    with pytest.raises(SourceError, match="larger"):
        get(web.answer("/packed", gzip.compress(body + b"x", mtime=0), headers=packed))


def test_gzip_may_have_several_members(web: ScriptedWeb) -> None:
    body = gzip.compress(b"one ", mtime=0) + gzip.compress(b"two", mtime=0) + bytes(8)
    assert get(web.answer("/g", body, headers={"Content-Encoding": "gzip"})).body == b"one two"


@pytest.mark.parametrize(
    ("body", "encoding", "problem"),
    [
        (gzip.compress(b"hello" * 100, mtime=0)[:-9], "gzip", "ends too early"),
        (b"not gzip at all", "gzip", "cannot be unpacked"),
        (zlib.compress(b"x"), "deflate", "not asked for"),
        (b"x", "br", "not asked for"),
        (gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "gzip, gzip", "not asked for"),
    ],
)
def test_what_cannot_be_unpacked(
    web: ScriptedWeb, body: bytes, encoding: str, problem: str
) -> None:
    with pytest.raises(SourceError, match=problem):
        get(web.answer("/feed", body, headers={"Content-Encoding": encoding}))


def truncated(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"only this")


def truncated_chunks(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")


def no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


@pytest.mark.parametrize("script", [truncated, truncated_chunks, no_http])
def test_an_answer_that_breaks_off_is_no_answer(web: ScriptedWeb, script: Any) -> None:
    with pytest.raises(SourceError, match="breaks off or is not HTTP"):
        get(web.script("/feed", script))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "answers 404 Not Found; check the address."),
        (410, "answers 410 Gone; it is gone for good: remove the source."),
        (403, "answers 403 Forbidden; ask its owner"),
        (500, "answers 500 Internal Server Error; nothing is lost"),
        (503, "nothing is lost"),
        (204, "answers 204 No Content"),
        (301, "answers 301 Moved Permanently"),
        (599, "answers 599; nothing is lost"),
    ],
)
def test_a_refusal_is_one_sentence_with_its_mend(web: ScriptedWeb, status: int, words: str) -> None:
    url = web.answer("/feed", b"<html>", status=status)
    with pytest.raises(SourceError) as caught:
        get(url + "?key=secret#x")
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(SourceError, match="cannot be reached"):
        get(f"http://127.0.0.1:{port}/")


class TlsServer:
    """A server for https://tls.example/ whose certificate only `authority` vouches for."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tls.example")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("tls.example")]), False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .sign(key, hashes.SHA256())
        )
        self.authority = folder / "authority.pem"
        self.authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = folder / "key.pem"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(self.authority, private)
        self.names: list[str | None] = []
        self.context.sni_callback = lambda _socket, name, _context: self.names.append(name)


@pytest.fixture
def tls(web: ScriptedWeb, tmp_path: Path) -> TlsServer:
    server = TlsServer(tmp_path)
    web.server.socket = server.context.wrap_socket(web.server.socket, server_side=True)
    web.answer("/feed", b"safe")
    return server


def test_the_certificate_is_checked_against_the_name_not_the_address(
    web: ScriptedWeb, tls: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    here = resolving("127.0.0.1")
    assert get(f"https://tls.example:{web.port}/feed", resolve=here).body == b"safe"
    assert tls.names == ["tls.example"]
    with pytest.raises(SourceError, match=r"certificate is not valid .*other\.example"):
        get(f"https://other.example:{web.port}/feed", resolve=here)


def test_an_unknown_authority_is_refused(web: ScriptedWeb, tls: TlsServer) -> None:
    with pytest.raises(SourceError, match="certificate is not valid"):
        get(f"https://tls.example:{web.port}/feed", resolve=resolving("127.0.0.1"))
    assert web.requests == []


def test_no_proxy_of_the_environment_is_used(
    web: ScriptedWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(web.answer("/feed", b"direct")).body == b"direct"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:pass@h.example/feed?key=1#x", "https://h.example/feed"),
        ("https://h.example", "https://h.example"),
        ("http://h.example\x1b[31m\r\n", "http://h.example?[31m??"),
        ("just text", "just text"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, expected: str) -> None:
    assert shown(url) == expected


def knock(url: str, *, allow_private: bool = True, timeout_seconds: float = 5) -> Probed:
    return probe(
        url,
        allow_private=allow_private,
        timeout_seconds=timeout_seconds,
        user_agent="newsletter/0 (+https://news.example)",
        resolve=resolve_offline,
    )


def test_a_page_is_asked_for_its_head_alone(web: ScriptedWeb) -> None:
    url = web.answer("/story", b"x" * 100)
    web.allow_head = True
    assert knock(url) == Probed(status=200, url=url)
    assert [request.command for request in web.requests] == ["HEAD"]


@pytest.mark.parametrize("status", [200, 404, 410, 503])
def test_a_server_that_knows_no_head_is_asked_again(web: ScriptedWeb, status: int) -> None:
    url = web.answer("/story", b"x" * 1_000_000, status=status)
    assert knock(url) == Probed(status=status, url=url)
    assert [request.command for request in web.requests] == ["GET"]


def test_a_page_is_followed_to_where_it_went(web: ScriptedWeb) -> None:
    to = web.answer("/there", b"x")
    assert knock(web.redirect("/here", "/there", status=301)) == Probed(status=200, url=to)
    with pytest.raises(SourceError, match="redirects more than 5 times"):
        knock(web.redirect("/round", "/round"))


def test_a_page_may_not_lead_into_our_own_network(web: ScriptedWeb) -> None:
    with pytest.raises(SourceError, match=r"not a public address|only 80 and 443"):
        knock(web.answer("/", b"x"), allow_private=False)
    assert web.requests == []


def test_a_page_that_does_not_answer_is_given_up(web: ScriptedWeb) -> None:
    over = threading.Event()

    def wait(_handler: BaseHTTPRequestHandler) -> None:
        over.wait(10)

    url = web.script("/slow", wait)
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"did not answer in full within 0\.2 seconds"):
        knock(url, timeout_seconds=0.2)
    assert time.monotonic() - began < 8
    over.set()
