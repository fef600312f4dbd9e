"""After an erasure no byte of the address is left in the database's files, sends or no sends."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from newsletter.audience import erasure
from newsletter.audience.erasure import Erasure, erase_reader, wipe_traces
from newsletter.audience.exporter import export_subscribers
from newsletter.audience.importer import import_subscribers
from newsletter.delivery.lifecycle import State
from newsletter.delivery.sender import Sender
from newsletter.store import Database
from newsletter.store.tables import subscribers
from tests.audience import PSEUDONYMS
from tests.databases import open_new_database
from tests.integration.runs import Edition, Server

READERS = 40
ACCEPTED, REFUSED, WAITING = (f"reader{number}@example.org" for number in (2, 3, 40))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_new_database(tmp_path / "newsletter.db")
    yield opened
    opened.close()


def now() -> datetime:
    return datetime.now(UTC)


def erase(database: Database, email: str) -> Erasure:
    return erase_reader(database, email, now=now, pseudonyms=PSEUDONYMS)


def places(folder: Path, address: str) -> list[str]:
    """Name the database's files that hold an address, in any capitals and in UTF-8 or UTF-16."""
    return [
        f"{path.name} in {encoding}"
        for path in sorted(folder.glob("newsletter.db*"))
        for encoding in ("utf-8", "utf-16-le", "utf-16-be")
        if address.lower().encode(encoding) in path.read_bytes().lower()
    ]


def refuse(recipient: str, _attempt: int) -> str:
    return f"550 5.1.1 <{recipient}> unknown" if recipient == REFUSED else ""


class Half:
    """A run that is stopped in the middle: most readers have their copy, the last ones wait."""

    def __init__(self, database: Database, server: Server) -> None:
        self.edition = Edition(database, READERS)
        server.at_rcpt = refuse
        # The connections take the readers in their order, so the last one is never begun.
        server.slow_dot = lambda: 0.02
        ended, _ = self.edition.run_until(
            server, lambda: server.kept.total() > 10, Sender.stop, connections=2, per_second=200
        )
        assert not ended
        assert self.edition.counts[State.PENDING] > 0
        assert self.edition.is_free


@pytest.mark.parametrize("email", [ACCEPTED, REFUSED, WAITING])
def test_no_byte_is_left_of_a_reader_of_an_unfinished_edition(
    database: Database, tmp_path: Path, email: str
) -> None:
    with Server() as server:
        half = Half(database, server)
        with database.writing() as connection:  # rows that move leave their old place behind
            for name in ("A" * 500, "B" * 3000, "C"):
                connection.execute(
                    update(subscribers).where(subscribers.c.email == email).values(name=name)
                )
        before = half.edition.counts
        assert places(tmp_path, email)
        done = erase(database, email)
        assert (done.was_reader, done.copies, done.has_traces) == (True, 1, False)
        assert places(tmp_path, email) == []
        assert half.edition.counts == before
        mailed = server.kept[email]

        assert half.edition.run(server)
        assert server.kept[email] == mailed
        others = {f"reader{n}@example.org" for n in range(1, READERS + 1)} - {email, REFUSED}
        assert {reader: server.kept[reader] for reader in others} == dict.fromkeys(others, 1)
    counts = half.edition.counts
    assert sum(counts.values()) == READERS
    assert counts[State.FAILED] == 1
    assert counts.get(State.SUPPRESSED, 0) == (1 if email == WAITING else 0)
    assert half.edition.state == "sent"
    assert places(tmp_path, email) == []
    exported = io.StringIO(newline="")
    export_subscribers(database, exported)
    assert email not in exported.getvalue().lower()


def test_the_file_must_be_written_anew_for_that(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "email,name\n" + "".join(f"n{n}@b.example,{n}\n" for n in range(500))
    import_subscribers(database, io.BytesIO(text.encode()), now=now(), pseudonyms=PSEUDONYMS)
    with monkeypatch.context() as patch:
        patch.setattr(erasure, "_rewrite_sqlite", lambda *_: False)
        assert erase(database, "n77@b.example").has_traces
    assert places(tmp_path, "n77@b.example")
    assert wipe_traces(database, now=now())
    assert places(tmp_path, "n77@b.example") == []
    assert places(tmp_path, "n78@b.example")


def test_somebody_who_reads_on_is_waited_for(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "email\nada@b.example\nbo@b.example\n"
    import_subscribers(database, io.BytesIO(text.encode()), now=now(), pseudonyms=PSEUDONYMS)
    monkeypatch.setattr(erasure, "_PATIENCE_SECONDS", 0.5)
    with database.reading() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 10")
        connection.execute(subscribers.select()).all()
        done = erase_reader(
            database,
            "ada@b.example",
            now=now,
            pseudonyms=PSEUDONYMS,
            sleep=lambda _seconds: None,
        )
        assert done.has_traces  # an old page is still being read
    assert wipe_traces(database, now=now())
    assert places(tmp_path, "ada@b.example") == []


def test_erased_in_the_middle_of_a_send(database: Database, tmp_path: Path) -> None:
    with Server() as server:
        edition = Edition(database, READERS)
        server.slow_dot = lambda: 0.02
        erased: list[Erasure] = []

        # Aside, as another process would: the sender goes on meanwhile.
        aside = threading.Thread(target=lambda: erased.append(erase(database, WAITING)))
        ended, _ = edition.run_until(
            server,
            lambda: server.kept.total() > 5,
            lambda _sender: aside.start(),
            connections=2,
            per_second=100,
        )
        aside.join(60)
        assert ended
        (done,) = erased
        assert server.kept[WAITING] == 0
    assert edition.counts == {State.ACCEPTED: READERS - 1, State.SUPPRESSED: 1}
    deadline = time.monotonic() + 30
    while not wipe_traces(database, now=now()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert places(tmp_path, WAITING) == []
    assert done.copies == 1
