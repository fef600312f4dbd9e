"""Each kind of source with a real server behind it, set up so that all can be asked the same.

Long: a stage a kind, side by side, so that what a kind does in another way can be seen.
"""

from __future__ import annotations

import html
import imaplib
import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import parse_qs, urlsplit

from tests import postgres
from tests.contract.sources.stories import Story
from tests.integration.gather.conftest import Script, ScriptedWeb
from tests.integration.servers.dovecot import Dovecot

NAME = "the source"
TOKEN = "token-3f9a1c77"
PASSWORD = "pass word-8d2e!"


class Stage(Protocol):
    """One source of one kind."""

    most: int
    """Most stories that it can hold at a time."""
    table: dict[str, Any]
    """Its table in newsletter.toml."""

    def put(self, stories: Sequence[Story]) -> None:
        """Make the source hold these stories, in this order."""

    def break_down(self) -> None:
        """Make the source fail as a whole."""

    def mend(self) -> None:
        """Make it work again."""


class FolderStage:
    most = 100

    def __init__(self, root: Path) -> None:
        self._folder = root / "briefs"
        self._folder.mkdir()
        self.table = {"kind": "folder", "path": "briefs"}

    def put(self, stories: Sequence[Story]) -> None:
        for file in self._folder.iterdir():
            file.unlink()
        for number, story in enumerate(stories):
            document = {
                "id": story.id,
                "title": story.title,
                "summary": story.summary,
                "link": f"https://wire.example{story.path}",
            }
            (self._folder / f"{number}.json").write_text(json.dumps(document))

    def break_down(self) -> None:
        self._folder.rename(self._folder.with_name("away"))

    def mend(self) -> None:
        self._folder.with_name("away").rename(self._folder)


class HttpStage:
    """What the kinds have in common that are fetched from a web server."""

    most = 100
    kind: ClassVar[str]
    path: ClassVar[str]
    more: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, web: ScriptedWeb) -> None:
        self.web = web
        self._script: Script | None = None
        self.table: dict[str, Any] = {
            "kind": self.kind,
            "url": web.url(self.path),
            "allow_private": True,
            **self.more,
        }

    def put(self, stories: Sequence[Story]) -> None:
        raise NotImplementedError

    def break_down(self) -> None:
        self.fail_with(lambda handler: handler.send_error(500))

    def fail_with(self, script: Script) -> None:
        self._script = self._script or self.web.scripts[self.path]
        self.web.script(self.path, script)

    def mend(self) -> None:
        assert self._script is not None
        self.web.script(self.path, self._script)
        self._script = None


class FeedStage(HttpStage):
    kind, path = "feed", "/feed.xml"

    def put(self, stories: Sequence[Story]) -> None:
        items = "".join(
            f'<item><guid isPermaLink="false">{_xml(story.id)}</guid><title>{_xml(story.title)}'
            f"</title><link>https://wire.example{_xml(story.path)}</link>"
            f"<description>{_xml(story.summary)}</description></item>"
            for story in stories
        )
        self.web.answer(
            self.path, f'<rss version="2.0"><channel><title>Wire</title>{items}</channel></rss>'
        )


class ApiStage(HttpStage):
    """An API whose names are not ours, in one answer."""

    kind, path = "api", "/v1/stories"
    more: ClassVar[Mapping[str, Any]] = {
        "items": "data.stories",
        "fields": {"title": "headline", "summary": "abstract.text", "link": "/web/href"},
        "authorization": "Bearer {WIRE_TOKEN}",
    }

    def put(self, stories: Sequence[Story]) -> None:
        self.records = [
            {
                "id": story.id,
                "headline": story.title,
                "abstract": {"text": story.summary},
                "web": {"href": f"https://wire.example{story.path}"},
            }
            for story in stories
        ]
        self.web.script(self.path, self._answer)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.headers["Authorization"] != f"Bearer {TOKEN}":
            handler.send_error(401)
            return
        asked = {k: v[0] for k, v in parse_qs(urlsplit(handler.path).query).items()}
        document, headers = self.page(asked)
        body = json.dumps(document).encode()
        handler.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def page(self, asked: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
        return {"data": {"stories": self.records}}, {}


class ApiCursorStage(ApiStage):
    """One story a page; where the next is, a cursor says."""

    more: ClassVar[Mapping[str, Any]] = {
        **ApiStage.more,
        "paging": "cursor",
        "next": "meta.next",
        "parameter": "after",
    }

    def page(self, asked: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
        at = int(asked.get("after", "n-0").removeprefix("n-"))
        following = f"n-{at + 1}" if at + 1 < len(self.records) else None
        return {"data": {"stories": self.records[at : at + 1]}, "meta": {"next": following}}, {}


class ApiNumberStage(ApiStage):
    """One story a page, and an empty page after the last."""

    more: ClassVar[Mapping[str, Any]] = {**ApiStage.more, "paging": "page"}

    def page(self, asked: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
        at = int(asked["page"]) - 1
        return {"data": {"stories": self.records[at : at + 1]}}, {}


class ApiLinkStage(ApiStage):
    """One story a page; the Link header leads to the next."""

    more: ClassVar[Mapping[str, Any]] = {**ApiStage.more, "paging": "link"}

    def page(self, asked: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
        at = int(asked.get("p", "0"))
        links = f'<{self.path}?p=0>; rel="first"'
        if at + 1 < len(self.records):
            links += f', <{self.path}?p={at + 1}>; rel="next"'
        return {"data": {"stories": self.records[at : at + 1]}}, {"Link": links}


class ApiAddressStage(ApiStage):
    """One story a page; the answer names the address of the next."""

    more: ClassVar[Mapping[str, Any]] = {**ApiStage.more, "paging": "link", "next": "next_url"}

    def page(self, asked: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
        at = int(asked.get("p", "0"))
        following = f"{self.table['url']}?p={at + 1}" if at + 1 < len(self.records) else ""
        return {"data": {"stories": self.records[at : at + 1]}, "next_url": following}, {}


class PageStage(HttpStage):
    """A page that is one story."""

    most = 1
    kind, path = "page", "/today.html"

    def put(self, stories: Sequence[Story]) -> None:
        (story,) = stories
        self.web.answer(self.path, page_of(story), headers=_HTML)


class LinksStage(HttpStage):
    """A page that links to stories."""

    kind, path = "page", "/latest"
    more: ClassVar[Mapping[str, Any]] = {"links": "/news/*", "gap": 0}

    def put(self, stories: Sequence[Story]) -> None:
        for story in stories:
            self.web.answer(story.path, page_of(story), headers=_HTML)
        links = "".join(
            f'<li><a href="{_xml(story.path)}">{_xml(story.title)}</a></li>' for story in stories
        )
        self.web.answer(
            self.path,
            f'<html><body><a href="/about">About</a><ul>{links}</ul></body></html>',
            headers=_HTML,
        )


class SitemapStage(HttpStage):
    kind, path = "sitemap", "/news.xml"
    more: ClassVar[Mapping[str, Any]] = {"gap": 0}

    def put(self, stories: Sequence[Story]) -> None:
        for story in stories:
            self.web.answer(story.path, page_of(story), headers=_HTML)
        self.web.answer(self.path, self.sitemap(stories))

    def sitemap(self, stories: Sequence[Story]) -> str:
        now = datetime.now(UTC).isoformat()
        urls = "".join(
            f"<url><loc>{_xml(self.web.url(story.path))}</loc>"
            + (f"<lastmod>{now}</lastmod>" if story.changed else "")
            + "<news:news><news:publication><news:name>Wire</news:name></news:publication>"
            f"<news:title>{_xml(story.title)}</news:title></news:news></url>"
            for story in stories
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" '
            f'xmlns:news="http://www.google.com/schemas/sitemap-news/0.9">{urls}</urlset>'
        )


class SitemapIndexStage(SitemapStage):
    """An index of one sitemap."""

    path = "/sitemaps.xml"

    def put(self, stories: Sequence[Story]) -> None:
        super().put(stories)
        self.web.answer("/news-1.xml", self.sitemap(stories))
        self.web.answer(
            self.path,
            '<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>'
            f"{self.web.url('/news-1.xml')}</loc></sitemap></sitemapindex>",
        )


class MailboxStage:
    """A folder of a Dovecot; a story that is put there is a mail, which nobody takes away."""

    most = 100
    sender = "desk@wire.example"

    def __init__(self, dovecot: Dovecot, user: str, authority: Path) -> None:
        self.dovecot, self.user = dovecot, user
        self._put: set[Story] = set()
        self.table: dict[str, Any] = {
            "kind": "mailbox",
            "host": "localhost",
            "port": dovecot.imaps_port,
            "user": user,
            "password": "{MAIL_PASSWORD}",
            "folder": "Briefs",
            "senders": ["@wire.example"],
            "ca_file": str(authority),
            "allow_private": True,
        }
        self.do(lambda mail: mail.create("Briefs"))

    def do(self, deed: Callable[[imaplib.IMAP4], Any]) -> Any:
        """Do something in the mailbox as its owner's own program."""
        with imaplib.IMAP4("127.0.0.1", self.dovecot.imap_port, timeout=60) as mail:
            mail.login(self.user, PASSWORD)
            return deed(mail)

    def put(self, stories: Sequence[Story]) -> None:
        for story in stories:
            if story not in self._put:
                self._put.add(story)
                self.deliver(mail_of(story, self.sender))

    def deliver(self, raw: bytes) -> None:
        now = imaplib.Time2Internaldate(time.time())
        self.do(lambda mail: mail.append("Briefs", "", now, raw))

    def break_down(self) -> None:
        self._folder.rename(self._folder.with_name("away"))

    def mend(self) -> None:
        self._folder.with_name("away").rename(self._folder)

    @property
    def _folder(self) -> Path:
        return self.dovecot.home(self.user) / "Maildir/.Briefs"


class QueryStage:
    """What both databases have in common."""

    most = 100
    table: dict[str, Any]
    sql = (
        "SELECT number AS id, headline AS title, lead AS summary, address AS link "
        "FROM stories WHERE headline NOT LIKE '%draft%' ORDER BY position"
    )

    def run(self, sql: str, *values: Any) -> None:
        raise NotImplementedError

    def put(self, stories: Sequence[Story]) -> None:
        self.run("DELETE FROM stories")
        for position, story in enumerate(stories):
            self.run(
                "INSERT INTO stories VALUES (?, ?, ?, ?, ?)",
                *(position, story.id, story.title, story.summary),
                f"https://wire.example{story.path}",
            )

    def break_down(self) -> None:
        self.run("ALTER TABLE stories RENAME TO away")

    def mend(self) -> None:
        self.run("ALTER TABLE away RENAME TO stories")


_TABLE = (
    "CREATE TABLE stories (position integer, number text, headline text, lead text, address text)"
)


class SqliteStage(QueryStage):
    def __init__(self, root: Path) -> None:
        self.file = root / "newsroom.db"
        self.table = {"kind": "query", "url": "sqlite:///newsroom.db", "sql": self.sql}
        self.run(_TABLE)

    def run(self, sql: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            connection.execute(sql, values)


class PostgresStage(QueryStage):
    def __init__(self, url: str) -> None:
        self.url = url
        self.table = {"kind": "query", "url": url, "sql": self.sql}
        self.run(_TABLE)

    def run(self, sql: str, *values: Any) -> None:
        with postgres.connect(self.url) as connection:
            texts = [v.replace("\0", "") if isinstance(v, str) else v for v in values]
            connection.execute(sql.replace("?", "%s").encode(), texts)


def page_of(story: Story) -> str:
    """Lay out a story as a site does, with what stands around it."""
    body = "".join(f"<p>{_xml(part)}</p>" for part in story.summary.split("\n\n"))
    return (
        f"<!doctype html><html lang=en><head><title>{_xml(story.title)} | Wire</title>"
        f'<meta property="og:title" content="{_xml(story.title)}"></head><body><nav><ul>'
        "<li><a href=/>Home</a></li><li><a href=/sport>Sport</a></li></ul></nav><main><article>"
        f"<h1>{_xml(story.title)}</h1>{body}</article></main><footer>All rights reserved.</footer>"
        "</body></html>"
    )


def mail_of(story: Story, sender: str) -> bytes:
    message = EmailMessage()
    message["From"] = f"Wire desk <{sender}>"
    message["To"] = "briefs@news.example"
    message["Subject"] = _header(story.title)
    message["Message-ID"] = f"<{_header(story.id)}@wire.example>"
    message.set_content(story.summary)
    message.add_alternative(f"<p>{_xml(story.summary)}</p>", subtype="html")
    return message.as_bytes()


def _header(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:400]


def _xml(text: str) -> str:
    return html.escape("".join(c for c in text if c >= " " or c == "\n"))


_HTML = {"Content-Type": "text/html; charset=utf-8"}
