"""Fetch one document from the web without being led astray (long: the whole guard in one place).

An address in a feed, or the place that it redirects to, may point into our own network, and
a name may resolve to one address when it is checked and to another when it is used. So a
name is resolved once a connection, every address that it has is checked, and the connection
goes to one of those very addresses, while Host and the certificate stay those of the name.
Ceilings hold for the whole fetch: time (a server that drips a byte a second included), bytes
on the wire and bytes unpacked. No proxy, no cookie, no netrc.

`httpcore2` is the engine of httpx2; it is used bare because only there may a caller own the
sockets.
"""

from __future__ import annotations

import math
import queue
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import responses
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType
from typing import Any, TypeVar

import httpcore2
from httpx2 import URL, InvalidURL

from newsletter.briefs.addresses import is_allowed
from newsletter.briefs.turns import Turns
from newsletter.errors import SourceError

Resolve = Callable[..., Iterable[tuple[Any, Any, Any, Any, Any]]]
"""As `socket.getaddrinfo`."""

_MAX_REDIRECTS = 5
_LONGEST_PAUSE_SECONDS = 86_400  # no server may silence a source for longer by one answer
_REDIRECTS = {301, 302, 303, 307, 308}
_PORTS = {"http": 80, "https": 443}
_MAX_VALIDATOR_CHARS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An answer: 200 with a body, or 304 when nothing changed since `validators`."""

    status: int
    body: bytes = b""
    """Unpacked, within the ceiling."""
    content_type: str = ""
    validators: Mapping[str, str] = field(default_factory=dict)
    """What to hand to the next fetch; opaque to everyone else."""
    url: str
    """Where the answer came from, after redirects."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The answer's, by names in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """How an address answers: HTTP's status, and where that came from after redirects."""

    status: int
    url: str
    date: str = ""
    """The server's clock, as its Date says; only where `call` asked."""


_T = TypeVar("_T")


def fetch(
    url: str,
    *,
    validators: Mapping[str, str],
    allow_private: bool,
    timeout_seconds: float,
    max_bytes: int,
    user_agent: str,
    headers: Mapping[str, str] = MappingProxyType({}),
    turns: Turns | None = None,
    resolve: Resolve = socket.getaddrinfo,
) -> Fetched:
    """Fetch `url` with GET, conditionally if `validators` of an earlier fetch are given.

    `headers` may hold a secret: no other server than the one of `url` gets them, nor that one
    once another has chosen what it is asked. With `turns` it waits for its turn at that host
    first; a redirect is part of the same turn. Raises `SourceError`, and nothing else, whatever
    the server does.
    """
    origin, own = _origin(url), headers
    if turns:
        turns.wait(origin[1])

    def ask(pool: httpcore2.ConnectionPool, target: URL) -> Fetched | str:
        nonlocal own
        if _origin(str(target)) != origin:
            own = {}
        return _ask(pool, target, validators, max_bytes, user_agent, own)

    return _follow(
        url,
        ask,
        allow_private=allow_private,
        timeout_seconds=timeout_seconds,
        resolve=resolve,
    )


def probe(
    url: str,
    *,
    allow_private: bool,
    timeout_seconds: float,
    user_agent: str,
    resolve: Resolve = socket.getaddrinfo,
) -> Probed:
    """Ask whether a page is there: with HEAD, and with GET where that is answered badly.

    No body is read. Raises `SourceError`, and nothing else, if there is no answer at all.
    """

    def ask(pool: httpcore2.ConnectionPool, target: URL) -> Probed | str:
        answer = _knock(pool, "HEAD", target, user_agent)
        if isinstance(answer, Probed) and answer.status >= 400:
            answer = _knock(pool, "GET", target, user_agent)
        return answer

    return _follow(
        url,
        ask,
        allow_private=allow_private,
        timeout_seconds=timeout_seconds,
        resolve=resolve,
    )


def call(
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    allow_private: bool,
    timeout_seconds: float,
    user_agent: str,
    resolve: Resolve = socket.getaddrinfo,
) -> Probed:
    """Make one request, POST where there is a `body` and else GET; a redirect is not followed.

    What is said there is not read. Raises `SourceError`, and nothing else, if there is no answer.
    """
    sent = {"User-Agent": user_agent, "Connection": "close", **headers}
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in sent.items()]

    def ask(pool: httpcore2.ConnectionPool, target: URL) -> Probed | str:
        method = "GET" if body is None else "POST"
        with pool.stream(method, _bare(target), headers=raw, content=body) as response:
            dated = (value for name, value in response.headers if name.lower() == b"date")
            date = next(dated, b"").decode("latin-1")
            return Probed(status=response.status, url=str(target), date=date)

    return _follow(
        url, ask, allow_private=allow_private, timeout_seconds=timeout_seconds, resolve=resolve
    )


def _follow(
    url: str,
    ask: Callable[[httpcore2.ConnectionPool, URL], _T | str],
    *,
    allow_private: bool,
    timeout_seconds: float,
    resolve: Resolve,
) -> _T:
    """Ask at an address, and where it redirects to, until there is an answer."""
    guard = _Guard(
        allow_private=allow_private,
        deadline=time.monotonic() + timeout_seconds,
        resolve=resolve,
    )
    place = shown(url)
    try:
        with httpcore2.ConnectionPool(network_backend=guard) as pool:
            target = _parse_url(url, allow_private=allow_private)
            for _ in range(_MAX_REDIRECTS + 1):
                answer = ask(pool, target)
                if not isinstance(answer, str):
                    return answer
                target = _parse_url(
                    _join(target, answer), allow_private=allow_private, redirected_from=target
                )
    except httpcore2.TimeoutException:
        raise SourceError(
            f"did not answer in full within {timeout_seconds:g} seconds", file=place
        ) from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise SourceError(_explain(error), file=place) from None
    except SourceError as error:
        error.file = error.file or place
        raise
    raise SourceError(f"redirects more than {_MAX_REDIRECTS} times", file=place)


def connect(
    host: str,
    port: int,
    *,
    allow_private: bool,
    timeout_seconds: float,
    resolve: Resolve = socket.getaddrinfo,
) -> socket.socket:
    """Connect to an address of `host` that was checked, for what speaks another protocol.

    Raises `SourceError` for one that may not be, `TimeoutError` and `OSError` where it fails.
    """
    deadline = time.monotonic() + timeout_seconds
    guard = _Guard(allow_private=allow_private, deadline=deadline, resolve=resolve)
    try:
        stream = guard.connect_tcp(host, port)
    except httpcore2.TimeoutException:
        raise TimeoutError from None
    except httpcore2.NetworkError as error:
        cause = error.__cause__ or error.__context__
        raise (cause if isinstance(cause, OSError) else OSError(0, "it fails")) from None
    bare = stream.get_extra_info("socket")
    assert isinstance(bare, socket.socket), "a connection over TCP has one"
    return bare


def shown(url: str) -> str:
    """Give an address for reports: without user, password, query and fragment."""
    bare = url.partition("#")[0].partition("?")[0]
    scheme, slashes, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    text = scheme + slashes + host.rpartition("@")[2] + slash + path if slashes else bare
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def _parse_url(url: str, *, allow_private: bool, redirected_from: URL | None = None) -> URL:
    how = f"redirects to {shown(url)}, which" if redirected_from else "the address"
    try:
        parsed = URL(url)
    except (InvalidURL, UnicodeError):
        raise SourceError(f"{how} cannot be read", mend="correct it") from None
    if parsed.scheme not in _PORTS:
        raise SourceError(f"{how} is neither http nor https")
    if parsed.userinfo:
        raise SourceError(f"{how} carries a user name or a password", mend="leave it out")
    if not parsed.host:
        raise SourceError(f"{how} names no host", mend="correct it")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise SourceError(f"{how} asks for port {parsed.port}, which does not exist")
    if not allow_private and parsed.port not in {None, *_PORTS.values()}:
        raise SourceError(
            f"{how} asks for port {parsed.port}; only 80 and 443 are allowed",
            mend="set allow_private = true if it is a server of your own",
        )
    return parsed


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parsed = URL(url)
    except (InvalidURL, UnicodeError):
        return "", "", None
    return parsed.scheme, parsed.host.lower(), parsed.port or _PORTS.get(parsed.scheme)


def _join(base: URL, location: str) -> str:
    try:
        return str(base.join(location))
    except (InvalidURL, UnicodeError, ValueError):
        raise SourceError("redirects to an address that cannot be read") from None


def _ask(
    pool: httpcore2.ConnectionPool,
    url: URL,
    validators: Mapping[str, str],
    max_bytes: int,
    user_agent: str,
    own_headers: Mapping[str, str],
) -> Fetched | str:
    """Make one request; give the answer, or where it redirects to."""
    headers = {
        "User-Agent": user_agent,
        "Accept": "application/atom+xml, application/rss+xml, application/feed+json, "
        "application/xml;q=0.9, application/json;q=0.9, */*;q=0.5",
        "Accept-Encoding": "gzip",
        "Connection": "close",
        **own_headers,
    }
    known = validators if validators.get("url") == str(url) else {}
    if "etag" in known:
        headers["If-None-Match"] = known["etag"]
    if "last_modified" in known:
        headers["If-Modified-Since"] = known["last_modified"]
    raw_headers = [(k.encode(), v.encode("latin-1", "replace")) for k, v in headers.items()]
    with pool.stream("GET", _bare(url), headers=raw_headers) as response:
        received = {k.lower().decode("latin-1"): v.decode("latin-1") for k, v in response.headers}
        if response.status in _REDIRECTS and "location" in received:
            return received["location"]
        if response.status == 304 and known:
            return Fetched(status=304, validators=known, url=str(url))
        if response.status != 200:
            raise _refusal(response.status, received.get("retry-after", ""))
        if received.get("content-length", "").isdecimal():
            _check_size(int(received["content-length"]), max_bytes)
        body = _read_body(response, received.get("content-encoding", ""), max_bytes)
    fresh = {"etag": received.get("etag", ""), "last_modified": received.get("last-modified", "")}
    kept = {name: value for name, value in fresh.items() if 0 < len(value) <= _MAX_VALIDATOR_CHARS}
    return Fetched(
        status=200,
        body=body,
        content_type=received.get("content-type", ""),
        validators={"url": str(url), **kept} if kept else {},
        url=str(url),
        headers=received,
    )


def _knock(pool: httpcore2.ConnectionPool, method: str, url: URL, user_agent: str) -> Probed | str:
    """Make one request and leave its body; give the status, or where it redirects to."""
    headers = [
        (b"User-Agent", user_agent.encode("latin-1", "replace")),
        (b"Accept", b"text/html, */*;q=0.5"),
        (b"Connection", b"close"),
    ]
    with pool.stream(method, _bare(url), headers=headers) as response:
        if response.status in _REDIRECTS:
            for name, value in response.headers:
                if name.lower() == b"location":
                    return str(value.decode("latin-1"))
        return Probed(status=response.status, url=str(url))


def _bare(url: URL) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _read_body(response: httpcore2.Response, encoding: str, max_bytes: int) -> bytes:
    packed = encoding.strip().lower() in {"gzip", "x-gzip"}
    if not packed and encoding.strip().lower() not in {"", "identity"}:
        raise SourceError(f"answers in an encoding that was not asked for ({encoding[:40]!r})")
    body = bytearray()
    received = 0
    gunzip = zlib.decompressobj(wbits=31)
    try:
        for chunk in response.iter_stream():
            received += len(chunk)
            _check_size(received, max_bytes)
            if not packed:
                body += chunk
                continue
            rest = chunk
            while rest:
                body += gunzip.decompress(rest, max_bytes + 1 - len(body))
                _check_size(len(body), max_bytes)
                rest = gunzip.unconsumed_tail
                if gunzip.eof and gunzip.unused_data.startswith(b"\x1f\x8b"):  # one more member
                    rest, gunzip = gunzip.unused_data, zlib.decompressobj(wbits=31)
    except zlib.error:
        raise SourceError("answers with gzip that cannot be unpacked") from None
    if packed and received and not gunzip.eof:
        raise SourceError("the answer ends too early")
    return bytes(body)


def _check_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise SourceError(
            f"is larger than the ceiling of {max_bytes} bytes", mend="raise max_bytes if it may be"
        )


def _refusal(status: int, retry_after: str) -> SourceError:
    mend = "check the address"
    if status == 410:
        mend = "it is gone for good: remove the source"
    elif status in {401, 403, 407}:
        mend = "ask its owner for a feed that needs no login"
    elif status == 429 or status >= 500:
        mend = "nothing is lost: it is tried again at the next gathering"
    error = SourceError(
        f"the server answers {status} {responses.get(status, '')}".rstrip(), mend=mend
    )
    if status in {429, 503}:
        error.retry_after_seconds = read_retry_after(retry_after, datetime.now(UTC))
    return error


def read_retry_after(value: str, now: datetime) -> int:
    """Read Retry-After, seconds or a date (RFC 9110 §10.2.3): seconds from `now`, a day at most.

    0 for anything else.
    """
    if value.strip().isascii() and value.strip().isdigit():
        return min(int(value.strip()[:9]), _LONGEST_PAUSE_SECONDS)
    try:
        moment = parsedate_to_datetime(value)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (TypeError, ValueError, OverflowError):
        return 0
    return max(0, min(math.ceil(seconds.total_seconds()), _LONGEST_PAUSE_SECONDS))


def _explain(error: Exception) -> str:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({cause.verify_message})"
    if isinstance(cause, ssl.SSLError):
        return f"no secure connection could be made ({cause.reason or 'TLS failed'})"
    if isinstance(cause, OSError) and cause.strerror:
        return f"cannot be reached ({cause.strerror.lower()})"
    if isinstance(error, httpcore2.RemoteProtocolError):
        return "the answer breaks off or is not HTTP"
    return "cannot be reached"


class _Guard(httpcore2.NetworkBackend):
    """Connect only to addresses that were checked, and only until the deadline."""

    def __init__(self, *, allow_private: bool, deadline: float, resolve: Resolve) -> None:
        self._allow_private = allow_private
        self._deadline = deadline
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Resolve `host`, check every address it has, connect to one of them."""
        addresses = self._look_up(host, port)
        for address in addresses:
            if not is_allowed(address, allow_private=self._allow_private):
                raise SourceError(
                    f"{host} is at {address}, which is not a public address",
                    mend=""
                    if self._allow_private
                    else "set allow_private = true if it is a server of your own",
                )
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                stream = httpcore2.SyncBackend().connect_tcp(
                    str(address),
                    port,
                    timeout=_time_left(self._deadline) / left,  # a dead address must not take all
                    socket_options=socket_options,
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if left == 1:
                    raise
            else:
                return _TimedStream(stream, self._deadline)
        raise SourceError(f"the name {host} has no address")

    def _look_up(self, host: str, port: int) -> list[IPv4Address | IPv6Address]:
        # The system's resolver knows no deadline, so it is asked in a thread that may be left.
        answers: queue.SimpleQueue[list[tuple[Any, ...]] | None] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(list(self._resolve(host, port, type=socket.SOCK_STREAM)))
            except (OSError, UnicodeError):
                answers.put(None)

        threading.Thread(target=ask, name="name look-up", daemon=True).start()
        try:
            found = answers.get(timeout=_time_left(self._deadline))
        except queue.Empty:
            raise httpcore2.ConnectTimeout from None
        if found is None:
            raise SourceError(f"the name {host} cannot be resolved", mend="check its spelling")
        return [ip_address(row[4][0]) for row in found]


class _TimedStream(httpcore2.NetworkStream):
    """A connection whose every read and write ends at one deadline."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _time_left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _time_left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        left = _time_left(self._deadline)
        return _TimedStream(
            self._stream.start_tls(ssl_context, server_hostname, left), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _time_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout
    return left
