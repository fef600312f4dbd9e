"""The web copy as an operator and a reader meet it: there before the mail, on any web server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import httpx2
import pytest
from aiosmtpd.controller import Controller
from lxml import html as lxml_html

from newsletter.delivery.lifecycle import State
from newsletter.errors import StorageError
from newsletter.mail import decode_message
from newsletter.press import Press
from newsletter.press.approving import approve
from newsletter.press.site import write_web
from newsletter.publish import prepare, publish
from newsletter.settings import load_settings
from newsletter.store import open_database
from tests.acceptance.project import KEY, Project, one_sentence

WEB = '[web]\nfolder = "public"\n'


def today() -> str:
    return datetime.now(UTC).date().isoformat()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path, more=WEB)
    made.write_brief()
    made.write_brief("second.txt", "Library Opens on Sundays")
    made.import_readers(3)
    return made


@contextmanager
def opened(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Press]:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", KEY)
    settings = load_settings(project.config)
    database = open_database(settings.database_url, durability="process")
    try:
        yield Press(settings, database, lambda: datetime.now(UTC))
    finally:
        database.close()


@contextmanager
def serving(folder: Path) -> Iterator[httpx2.Client]:
    """Serve a folder with the plainest server there is: it has no rules."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        with httpx2.Client(
            base_url=base, trust_env=False, timeout=60, follow_redirects=True
        ) as client:
            yield client
        server.shutdown()
        thread.join()


def links(html: str) -> list[str]:
    parser = lxml_html.HTMLParser(encoding="utf-8")
    tree = lxml_html.document_fromstring(html.encode(), parser=parser)
    elements = (*tree.iter("a"), *tree.iter("link"))
    return [href for element in elements if (href := element.get("href"))]


def test_every_link_of_the_mail_and_of_the_pages_leads_somewhere(project: Project) -> None:
    assert project.run("send", "--yes").code == 0
    (first, *_) = (project.root / "outbox").glob("*.eml")
    plain, html = decode_message(first.read_bytes())
    home = "https://news.example"
    wanted = {link.removeprefix(home) for link in links(html) if f"{home}/editions" in link}
    archive = str(message_from_bytes(first.read_bytes(), policy=policy.default)["List-Archive"])
    wanted.add(archive.strip("<>").removeprefix(home))
    day = f"/editions/{today()}"
    assert wanted >= {day, f"{day}#brief-1", f"{day}#brief-2", "/editions"}
    assert f"{home}{day}" in plain
    with serving(project.root / "public") as client:
        seen: set[str] = set()
        while wanted:
            path, fragment = urldefrag(wanted.pop())
            answer = client.get(path)
            assert answer.status_code == 200, path
            if fragment:
                assert f'id="{fragment}"' in answer.text, (path, fragment)
            if path in seen or not answer.headers["content-type"].startswith("text/html"):
                continue
            seen.add(path)
            own = (urljoin(path, link.removeprefix(home)) for link in links(answer.text))
            wanted |= {link for link in own if link.startswith("/")}
    assert seen == {"/editions", day, f"{day}/briefs/1", f"{day}/briefs/2"}


def test_the_page_is_there_when_the_first_mail_arrives(tmp_path: Path) -> None:
    page = tmp_path / f"public/editions/{today()}/index.html"
    was_there: list[bool] = []

    class Handler:
        async def handle_DATA(self, *_: Any) -> str:  # noqa: N802 - aiosmtpd's name
            was_there.append(page.is_file())
            return "250 Kept"

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        made = Project(tmp_path, relay=f"smtp://127.0.0.1:{port}?tls=none", more=WEB)
        made.write_brief()
        made.import_readers(2)
        assert made.run("preview").code == 0
        assert made.run("send", "--dry-run").code == 0
        assert not (tmp_path / "public").exists()  # nobody said yes yet
        assert made.run("send", "--yes").code == 0
    finally:
        controller.stop()
    assert was_there == [True, True]


@pytest.mark.parametrize("obstacle", ["file", "foreign page"])
def test_nobody_is_mailed_while_the_pages_cannot_be_written(
    project: Project, obstacle: str
) -> None:
    top = project.root / "public/editions"
    top.mkdir(parents=True)
    wrong = top / (today() if obstacle == "file" else "index.html")
    wrong.write_text("something else")
    ran = project.run("send", "--yes")
    assert ran.code == (75 if obstacle == "file" else 1)
    assert "public/editions" in one_sentence(ran)
    assert not list((project.root / "outbox").glob("*.eml"))
    assert project.run("status", "--json").document["editions"][0]["state"] == "draft"
    assert wrong.read_text() == "something else"
    wrong.unlink()
    assert project.run("send", "--yes").code == 0
    assert len(list((project.root / "outbox").glob("*.eml"))) == 3


def test_a_template_of_the_pages_that_is_wrong_shows_before_anybody_is_mailed(
    project: Project,
) -> None:
    own = project.root / "templates/web"
    own.mkdir(parents=True)
    (own / "brief.html.j2").write_text("{{ nothing }}")
    ran = project.run("send", "--yes")
    assert ran.code == 78
    assert "brief.html.j2, line 1" in one_sentence(ran)
    assert not list((project.root / "outbox").glob("*.eml"))


def test_a_template_of_the_pages_that_breaks_later_stops_no_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    project.write_brief()
    project.import_readers(3)
    with opened(project, monkeypatch) as press:
        printed = prepare(press, press.today()).printed
        assert printed is not None
        approve(press, printed.record)
    own = project.root / "templates/web"
    own.mkdir(parents=True)
    (own / "brief.html.j2").write_text("{{ nothing }}")
    ran = project.run("send", "--yes")
    assert ran.code == 0, ran.err
    assert len(list((project.root / "outbox").glob("*.eml"))) == 3


def test_a_disk_that_fails_after_the_approval_stops_the_send_until_it_is_mended(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(project, monkeypatch) as press:
        printed = prepare(press, press.today()).printed
        assert printed is not None
        with monkeypatch.context() as patch:
            patch.setattr(
                "newsletter.press.site.write_site",
                lambda *_, **__: (_ for _ in ()).throw(StorageError("the disk is full")),
            )
            with pytest.raises(StorageError, match="the disk is full"):
                asyncio.run(publish(press, printed))
        assert press.ledger.counts(printed.record.id) == {State.PENDING: 3}
        again = prepare(press, press.today()).printed
        assert again is not None
        assert again.record.state == "approved"
        assert asyncio.run(publish(press, again)).counts == {State.ACCEPTED: 3}
    assert (project.root / f"public/editions/{today()}/index.html").is_file()


def test_cancelling_an_edition_that_nobody_has_takes_its_pages_down(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(project, monkeypatch) as press:
        printed = prepare(press, press.today()).printed
        assert printed is not None
        approve(press, printed.record)
        write_web(press, project.root / "public")
    page = project.root / f"public/editions/{today()}/index.html"
    assert page.is_file()
    ran = project.run("cancel", today(), "--yes")
    assert ran.code == 0, ran.err
    assert not page.parent.exists()


def test_the_command(project: Project, tmp_path: Path) -> None:
    ran = project.run("web", "elsewhere")
    assert (ran.code, "No edition was approved yet" in ran.out) == (0, True)
    ran = project.run("web", "elsewhere", "--date", today())
    assert ran.code == 1
    assert "is not approved" in one_sentence(ran)
    assert project.run("send", "--yes", env={"NEWSLETTER_WEB__FOLDER": ""}).code == 0
    assert not (project.root / "public").exists()
    ran = project.run("web", env={"NEWSLETTER_WEB__FOLDER": ""})
    assert (ran.code, "no folder is named" in one_sentence(ran)) == (1, True)

    ran = project.run("web")  # the folder of the settings
    assert ran.code == 0
    assert "1 edition in" in ran.out
    assert "7 files written, 0 as before." in ran.out
    assert f"https://news.example/editions/{today()}" in ran.out
    document = project.run("web", "elsewhere", "--json").document
    assert document["editions"] == [today()]
    assert len(document["written"]) == 7
    assert document["written"][0] == f"editions/{today()}/index.html"
    again = project.run("web", "elsewhere", "--json", "--date", today()).document
    assert (again["written"], again["unchanged"], again["removed"]) == ([], 7, [])
    assert (project.root / "elsewhere/editions/feed.json").is_file()
