"""What stands before every page of the console.

In this order, each with an answer of its own:

1. nobody is on the team: there is no console (404);
2. the way: https at our own host, as the address in the settings has it, or plain http between
   this machine and itself; cookies of either are never those of the other;
3. the table of roles: a route that it does not name is refused (403), whoever asks;
4. what changes something (POST) comes from a page of ours: `Origin` is our own, and the form
   carries the token that belongs to the browser's cookie (403);
5. the session: without one a page leads to the login (303), and a change is refused (401);
6. the role (403).

What X-Forwarded-Proto and X-Forwarded-For say is believed of one's own proxies, as many as
`web.proxies` says, and of nobody else.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from newsletter.press import Press
from newsletter.smtp.relay import is_loopback
from newsletter.store.audit import Actor
from newsletter.web.console.members import Member, has_team
from newsletter.web.console.proofs import make_token
from newsletter.web.console.roles import NEEDS, may
from newsletter.web.console.sessions import Session, build_form_token, find_session
from newsletter.web.forms import read_pairs
from newsletter.web.visitor import choose_address

FORM_FIELD = "form_token"
_YEAR_SECONDS = 365 * 86_400
_COOKIES = ("session", "form", "known", "flow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request that was let through: whose it is, and what it sends."""

    is_https: bool
    origin: str
    """Ours, as this browser asked for it: scheme and host."""
    address: str
    """Where it asks from."""
    cookies: Mapping[str, str]
    """Ours, by what each is for."""
    session: Session | None
    form_token: str
    """What a form of this browser has to carry."""
    pairs: tuple[tuple[str, str], ...] = ()
    new_form_cookie: str = ""

    @property
    def member(self) -> Member:
        """Who is logged in; only where the table asks for a role."""
        assert self.session is not None
        return self.session.member

    @property
    def form(self) -> dict[str, str]:
        """What a form sends; the last of each name."""
        return dict(self.pairs)

    @property
    def actor(self) -> Actor:
        """Who is noted for what is done."""
        return Actor(who=self.member.name, origin=self.address)

    def keep(self, response: Response, name: str, value: str, *, lasting: bool = False) -> None:
        """Have the browser keep a cookie, or forget one whose value is ""."""
        response.set_cookie(
            _cookie_name(name, is_https=self.is_https),
            value,
            max_age=_YEAR_SECONDS if lasting else (None if value else 0),
            path="/",
            secure=self.is_https,
            httponly=True,
            samesite="lax",
        )


class Gate:
    """Lets a request through, or not."""

    def __init__(self, press: Press, root: str) -> None:
        self._press = press
        self._root = root
        address = urlsplit(press.settings.console.url or press.settings.publication.url)
        self._own = f"{address.scheme}://{address.netloc}".lower()
        self._has_team = False

    async def admit(self, request: Request) -> None:
        """Judge a request; what was let through is its `request.state.visit`."""
        if not self._has_team:
            self._has_team = await run_in_threadpool(self._look_for_team)
            if not self._has_team:
                raise HTTPException(HTTPStatus.NOT_FOUND)
        is_https, own, address = self._check_way(request)
        need = NEEDS.get((request.method, request.scope["route"].path))
        if need is None:
            raise HTTPException(HTTPStatus.FORBIDDEN, "This page is for nobody.")
        cookies = {
            name: request.cookies.get(_cookie_name(name, is_https=is_https), "")
            for name in _COOKIES
        }
        session = None
        if token := cookies["session"]:
            session = await run_in_threadpool(
                find_session,
                self._press.database,
                token,
                settings=self._press.settings.console,
                now=self._press.now(),
            )
        new_cookie = ""
        if session is None and not cookies["form"]:
            new_cookie = make_token()
        form_token = build_form_token(
            cookies["session"] if session else cookies["form"] or new_cookie
        )
        pairs: tuple[tuple[str, str], ...] = ()
        if request.method != "GET":
            pairs = tuple(await read_pairs(request, by_team=session is not None))
            if request.headers.get("origin", "").lower() != own:
                raise HTTPException(
                    HTTPStatus.FORBIDDEN,
                    f"This came from another page than ours; ours is {own}.",
                )
            if need != "anyone" and session is None:
                raise HTTPException(HTTPStatus.UNAUTHORIZED, "Nobody is logged in here.")
            sent = dict(pairs).get(FORM_FIELD, "")
            if not hmac.compare_digest(sent.encode(), form_token.encode()):
                raise HTTPException(
                    HTTPStatus.FORBIDDEN, "This form is of another login; load the page again."
                )
        if need != "anyone":
            if session is None:
                raise HTTPException(
                    HTTPStatus.SEE_OTHER, headers={"Location": self._login_address(request)}
                )
            if not may(session.member.role, need):
                raise HTTPException(
                    HTTPStatus.FORBIDDEN,
                    f"This is for the role {need}; yours is {session.member.role}.",
                )
        request.state.visit = Visit(
            is_https=is_https,
            origin=own,
            address=address,
            cookies=cookies,
            session=session,
            form_token=form_token,
            pairs=pairs,
            new_form_cookie=new_cookie,
        )

    def _look_for_team(self) -> bool:
        with self._press.database.reading() as connection:
            return has_team(connection)

    def _check_way(self, request: Request) -> tuple[bool, str, str]:
        """Tell whether a request came over https, which origin is ours for it, and from where."""
        headers, proxies = request.headers, self._press.settings.web.proxies
        forwarded = ",".join(headers.getlist("x-forwarded-for"))
        said = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
        is_https = request.url.scheme == "https" or bool(proxies and said == "https")
        peer = request.client.host if request.client else ""
        address = choose_address(peer, forwarded, proxies)
        host = headers.get("host", "").lower()
        if is_https and self._own == f"https://{host}":
            return True, self._own, address
        if is_loopback(urlsplit(f"//{host}").hostname or "") and is_loopback(peer):
            if is_https:  # a proxy on this machine that names another host than it was asked at
                return True, self._own, address
            if not forwarded and not said:
                return False, f"http://{host}", address
        raise HTTPException(
            HTTPStatus.MISDIRECTED_REQUEST,
            f"The console is served at {self._own} over https, and on this machine. A proxy in "
            "front has to send Host, X-Forwarded-Proto and X-Forwarded-For, and to be counted in "
            "web.proxies.",
        )

    def _login_address(self, request: Request) -> str:
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return f"{self._root}/login?next={quote(path, safe='')}"


def _cookie_name(name: str, *, is_https: bool) -> str:
    return f"__Host-newsletter-{name}" if is_https else f"newsletter-{name}"
