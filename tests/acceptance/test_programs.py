"""A program has an edition sent by a running `newsletter serve`, which is killed on the way."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from newsletter.orders import find_order, store_order
from newsletter.store import open_database
from newsletter.store.audit import Actor
from newsletter.web.console.keys import make_key
from tests.acceptance.project import Project
from tests.receiver import Receiver


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_up(web: httpx2.Client) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            web.get("openapi.json")
        except httpx2.HTTPError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


def test_an_order_is_carried_out_by_serve_though_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    other_day = (now + timedelta(days=3)).strftime("%a").lower()
    port = free_port()
    with Receiver() as receiver:
        project = Project(tmp_path / "publication")
        project.config.write_text(
            project.config.read_text() + f'[schedule]\ndays = "{other_day}"\n'
            f'[[webhooks]]\nurl = "{receiver.url}"\nevents = ["edition.*"]\n'
            'secret = "{HOOK_SECRET}"\nallow_private = true\n'
        )
        project.write_brief()
        project.import_readers(3)
        database = open_database(f"sqlite:///{project.root / 'newsletter.db'}")
        with database.writing() as connection:
            key = make_key(
                connection,
                "desk",
                ["send", "editions:read"],
                actor=Actor(who="test"),
                now=now,
            )
        database.close()
        env = {
            "HOOK_SECRET": "a secret of the desk",
            "NEWSLETTER_WEB__LISTEN": f"127.0.0.1:{port}",
        }
        path = f"editions/{now:%Y-%m-%d}/send"
        with httpx2.Client(
            base_url=f"http://127.0.0.1:{port}/api/v1/",
            headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "once"},
            trust_env=False,
            timeout=60,
        ) as web:
            with project.running("serve", env=env):  # killed (-9) as soon as it answered
                wait_until_up(web)
                first = web.post(path)
                assert first.status_code == 202, first.text
            with project.running("serve", env=env):
                wait_until_up(web)
                assert web.post(path).json() == first.json()
                assert receiver.wait_for(4, seconds=120), [c.body for c in receiver.calls]
                order = web.get(f"sends/{first.json()['id']}").json()
                edition = web.get(f"editions/{now:%Y-%m-%d}").json()
        assert order["state"] == "done", order
        assert (edition["state"], edition["counts"]) == ("sent", {"accepted": 3})
        kinds = {call.document["id"]: call.document["kind"] for call in receiver.calls}
        assert [kinds[number] for number in sorted(kinds)] == [
            "edition.ready",
            "edition.approved",
            "edition.sending",
            "edition.sent",
        ]
        assert receiver.calls[-1].document["detail"] == {"counts": {"accepted": 3}}
    assert len(list((project.root / "outbox").glob("*.eml"))) == 3
    ran = project.run("webhooks", "--json")
    (counts,) = ran.document["counts"].values()
    assert counts == {"taken": len(kinds)}
    assert ran.document["posts"] == []


def test_an_order_is_carried_out_by_a_serve_that_does_not_listen(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    other_day = (now + timedelta(days=3)).strftime("%a").lower()
    project = Project(tmp_path / "publication")
    project.config.write_text(project.config.read_text() + f'[schedule]\ndays = "{other_day}"\n')
    project.write_brief()
    project.import_readers(2)
    with closing(open_database(f"sqlite:///{project.root / 'newsletter.db'}")) as database:
        order = store_order(
            database,
            1,
            "once",
            "send",
            f"{now:%Y-%m-%d}",
            {},
            {},
            actor=Actor(who="test"),
            check=lambda _: None,
            now=now,
        )
        with project.running("serve", env={"NEWSLETTER_WEB__LISTEN": ""}):
            end = time.monotonic() + 120
            while len(list((project.root / "outbox").glob("*.eml"))) < 2:
                found = find_order(database, 1, order.id)
                assert time.monotonic() < end, found
                assert found is not None
                assert found.state != "refused", found
                time.sleep(0.1)
