"""No form of an address that may not be fetched makes a connection.

Connections are counted by the interpreter itself: it announces each one that any code makes
("socket.connect" of PEP 578), whatever the fetcher and its libraries think that they did.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpcore2
import pytest

from newsletter.errors import SourceError
from tests.integration.gather.test_gather_fetcher import PUBLIC, get, resolve_offline

if TYPE_CHECKING:
    from tests.integration.gather.conftest import ScriptedWeb

REFUSED_HOSTS = [
    # Loopback, in every way of writing it that some resolver reads
    *("127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "0177.0.0.1", "2130706433"),
    *("017700000001", "0x7F.0x0.0x0.0x1", "00000177.0.0.1", "127.255.255.254", "127.0.0.1."),
    *("2130706433.", "127。0。0。1", "１２７.０.０.１", "①②⑦.⓪.⓪.①"),
    *("localhost", "LOCALHOST", "localhost."),
    # This network, private ones, carrier-grade NAT
    *("0", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "0xa.1", "012.0.0.1", "167772161"),
    *("172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "192.168.257"),
    *("100.64.0.1", "100.127.255.255"),
    # Link-local, where clouds keep credentials
    *("169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.169.254."),
    *("169.254.43518", "169.254.1.1"),
    # Special purposes, multicast, broadcast
    *("192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.7", "192.88.99.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "4294967295"),
    # IPv6: loopback, and IPv4 inside of it (mapped, compatible, translated, NAT64, 6to4, Teredo)
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]"),
    *("[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]"),
    *("[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:a00:1::1]"),
    *("[2002:a9fe:a9fe::]", "[2001::1]", "[2001:0:7f00:1::5601:5601]"),
    # IPv6: link-local with and without a zone, site-local, unique local, multicast, the rest
    *("[fe80::1]", "[febf::1]", "[fe80::1%25eth0]", "[fe80::1%25lo]", "[fe80::1%lo]", "[fec0::1]"),
    *("[fc00::1]", "[fd12:3456::1]", "[fd00:ec2::254]", "[ff02::1]", "[ff02::fb]", "[ff0e::1]"),
    *("[100::1]", "[2001:db8::1]", "[2001:10::1]", "[3fff::1]", "[5f00::1]"),
]
REFUSED_URLS = [
    # Other schemes
    *("file:///etc/passwd", "FILE:///etc/passwd", "ftp://h.example/", "gopher://127.0.0.1:70/_x"),
    *("data:text/xml,x", "javascript:alert(1)", "ldap://127.0.0.1/", "dict://127.0.0.1:11211/"),
    *("ws://h.example/", "unix:/run/x.sock", "jar:http://h.example!/"),
    # Users, ports, and hosts that two readers may read in two ways
    *("http://me@h.example/", "http://me:pass@h.example/", "http://93.184.215.14@127.0.0.1/"),
    *("http://127.0.0.1@h.example/", "http://h.example:80@127.0.0.1/", "http://@127.0.0.1/"),
    *("http://h.example\\@127.0.0.1/", "http://127.0.0.1%00.h.example/", "http://127.0.0.1%2f/"),
    *("http://h.example:22/", "http://h.example:8080/", "http://h.example:0/"),
    *("http://h.example:99999/", "http://h.example:port/", "http://h.example:-80/"),
    *(
        "http://%31%32%37.0.0.1/",
        "http://[::1",
        "http://::1/",
        "http://a b/",
        "http://[127.0.0.1]/",
    ),
    *("http://x..example/", "https://" + "a" * 64 + ".example/"),
    "http://h.example\r\nX-Evil: 1/",
]
RELATIVE_URLS = ["", "h.example/feed", "//h.example/feed", "/etc/passwd", "http://", "http:///feed"]
"""No address at all to begin with; after a redirect they lead somewhere."""

_heard: list[list[Any]] = []


def _hear(event: str, details: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _heard:
        _heard[-1].append(details[1])


@pytest.fixture(scope="session")
def _listening() -> None:
    sys.addaudithook(_hear)  # there is no way to take it back


@pytest.fixture
def connections(_listening: None) -> Iterator[list[Any]]:
    """Count every connection that this process makes."""
    _heard.append([])
    yield _heard[-1]
    _heard.pop()


def resolve(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
    """Resolve as the system does, and know one public name."""
    return resolve_offline(PUBLIC if host == "public.example" else host, port, **more)


@pytest.fixture
def public(web: ScriptedWeb, monkeypatch: pytest.MonkeyPatch) -> ScriptedWeb:
    """Have the server on loopback stand where the public name is."""
    connect_tcp = httpcore2.SyncBackend.connect_tcp

    def reach(backend: Any, host: str, port: int, **more: Any) -> httpcore2.NetworkStream:
        if host == PUBLIC:
            host, port = "127.0.0.1", web.port
        return connect_tcp(backend, host, port, **more)

    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", reach)
    return web


def test_a_connection_is_seen_where_there_is_one(web: ScriptedWeb, connections: list[Any]) -> None:
    assert get(web.answer("/feed", b"hello")).body == b"hello"
    assert connections == [("127.0.0.1", web.port)]


def test_there_are_enough_forms() -> None:
    forms = [*REFUSED_HOSTS, *REFUSED_URLS]
    assert len(forms) == len(set(forms)) >= 60


@pytest.mark.parametrize("host", REFUSED_HOSTS)
def test_no_form_of_an_inner_address_is_connected_to(host: str, connections: list[Any]) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(SourceError) as caught:
            get(f"{scheme}://{host}/feed", allow_private=False, resolve=resolve)
        assert "\n" not in str(caught.value)
    assert connections == []


@pytest.mark.parametrize("url", [*REFUSED_URLS, *RELATIVE_URLS])
def test_what_is_no_web_address_is_not_connected_to(url: str, connections: list[Any]) -> None:
    with pytest.raises(SourceError) as caught:
        get(url, allow_private=False, resolve=resolve)
    assert connections == []
    assert "pass" not in str(caught.value).replace("password", "").replace("passwd", "")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "target", [*(f"http://{host}/feed" for host in REFUSED_HOSTS), *REFUSED_URLS[:-1]]
)
def test_no_redirect_leads_there(public: ScriptedWeb, target: str, connections: list[Any]) -> None:
    def lead_away(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: " + target.encode() + b"\r\n\r\n")

    public.script("/feed", lead_away)
    with pytest.raises(SourceError):
        get("http://public.example/feed", allow_private=False, resolve=resolve)
    assert connections == [("127.0.0.1", public.port)], "the public server, and no other"


def test_a_name_that_changes_its_address_gains_nothing(
    public: ScriptedWeb, connections: list[Any]
) -> None:
    """One answer of the resolver serves the check and the connection; the next is checked anew."""
    answers = [PUBLIC, "127.0.0.1"]
    asked: list[str] = []

    def rebind(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        return resolve_offline(answers[min(len(asked), 2) - 1], port, **more)

    public.answer("/feed", b"public")
    url = "http://rebinding.example/feed"
    assert get(url, allow_private=False, resolve=rebind).body == b"public"
    assert (asked, len(connections)) == (["rebinding.example"], 1)
    with pytest.raises(SourceError, match=r"rebinding\.example is at 127\.0\.0\.1"):
        get(url, allow_private=False, resolve=rebind)
    assert len(connections) == 1


def test_one_inner_address_among_public_ones_spoils_the_name(connections: list[Any]) -> None:
    def both(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
        return [*resolve_offline(PUBLIC, port, **more), *resolve_offline("10.0.0.1", port, **more)]

    with pytest.raises(SourceError, match=r"h\.example is at 10\.0\.0\.1"):
        get("http://h.example/", allow_private=False, resolve=both)
    assert connections == []


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_leave_for_private_networks_is_none_for_these(host: str, connections: list[Any]) -> None:
    with pytest.raises(SourceError, match="is not a public address"):
        get(f"http://{host}/", allow_private=True, resolve=socket.getaddrinfo)
    assert connections == []
