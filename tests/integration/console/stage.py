"""A publication with a console, served over HTTP, and people who use it without a browser."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import httpx2
from fastapi import FastAPI
from lxml import html as lxml_html

from newsletter.press import Press
from newsletter.store import Database
from newsletter.store.audit import Actor
from newsletter.web.console.members import add_member, find_kept, find_member
from newsletter.web.console.proofs import STEP_SECONDS, Vault, make_code
from newsletter.web.console.roles import Role
from newsletter.web.console.sessions import open_session
from tests.integration.web.stage import Clock

PASSWORD = "seven quiet ferries at noon"
TEST = Actor(who="test")


@dataclass
class Person:
    """Somebody at a browser: their cookies, and the page that they look at."""

    web: httpx2.Client
    answer: httpx2.Response | None = None

    def get(self, path: str) -> httpx2.Response:
        self.answer = self.web.get(path)
        return self.answer

    @property
    def page(self) -> Any:
        assert self.answer is not None
        return lxml_html.document_fromstring(self.answer.text)

    @property
    def text(self) -> str:
        return " ".join(self.page.xpath("string(//main)").split())

    def token(self, path: str = "") -> str:
        """Give the token of the forms of the page, or of another one."""
        if path:
            self.get(path)
        found = self.page.xpath("//input[@name='form_token']/@value")
        return str(found[0]) if found else ""

    def post(self, path: str, **fields: Any) -> httpx2.Response:
        """Send a form of the page that is looked at, as a browser does."""
        fields = {"form_token": self.token(), **fields}
        origin = str(self.web.base_url).rstrip("/")
        self.answer = self.web.post(path, data=fields, headers={"Origin": origin})
        return self.answer


@dataclass
class Stage:
    """A publication whose console is served."""

    address: str
    database: Database
    clock: Clock
    press: Press
    app: FastAPI
    clients: list[httpx2.Client] = field(default_factory=list)

    def person(self) -> Person:
        client = httpx2.Client(
            base_url=self.address, trust_env=False, timeout=60, follow_redirects=False
        )
        self.clients.append(client)
        return Person(client)

    def invite(self, name: str, role: Role) -> str:
        """Add somebody; give the path of their link."""
        with self.database.writing() as connection:
            _, token = add_member(
                connection,
                name,
                f"{name.split()[0].lower()}@news.example",
                role,
                vault=Vault(self.press.keyring),
                actor=TEST,
                now=self.clock.now,
            )
        return f"/console/setup/{token}"

    def code(self, name: str, *, steps: int = 0) -> str:
        """Give the code that somebody's app shows."""
        with self.database.reading() as connection:
            member = find_member(connection, name)
            kept = find_kept(connection, member_id=member.id)
        assert kept is not None
        secret = Vault(self.press.keyring).open(kept.second_factor)
        assert secret is not None
        return make_code(secret, int(self.clock.now.timestamp()) // STEP_SECONDS + steps)

    def enter(self, name: str, role: Role) -> Person:
        """Have somebody set up with a link, and so log in."""
        person, link = self.person(), self.invite(name, role)
        person.get(link)
        answer = person.post(
            link, password=PASSWORD, repeated=PASSWORD, code=self.code(name, steps=-1)
        )
        assert answer.status_code == 200, person.text
        return person

    def log_in(self, person: Person, name: str, **wrong: str) -> httpx2.Response:
        """Have somebody fill in the login."""
        if person.answer is None or "login" not in str(person.answer.url):
            person.get("/console/login")
        fields = {
            "email": f"{name.split()[0].lower()}@news.example",
            "password": PASSWORD,
            "code": self.code(name) if "code" not in wrong else "",
            **wrong,
        }
        return person.post("/console/login", **fields)

    def give_session(self, name: str) -> str:
        """Open a session without a login; give its token."""
        with self.database.writing() as connection:
            member = find_member(connection, name)
            return open_session(connection, member.id, now=self.clock.now)


def read_recovery_codes(page: str) -> list[str]:
    return re.findall(r"<code>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</code>", page)
