"""A backup that is restored, or a database that is moved, sends nothing before a person says so."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from newsletter import schedule
from newsletter.errors import StorageError, UnfamiliarDatabase
from newsletter.press.adopting import adopt_database, look_before
from newsletter.press.delivering import check_installation
from newsletter.store import Database, open_database
from newsletter.store.installation import Installation, Seen, judge
from tests.integration.house import SEVEN, TODAY, House, open_at_seven, said
from tests.integration.runs import Server


@pytest.fixture
def house(
    tmp_path: Path,
    database: Database,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> House:
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.05)
    caplog.set_level(logging.INFO, logger="newsletter")
    return open_at_seven(tmp_path, database, server.url)


def back_up(house: House) -> Path:
    copy = house.root / "backup.db"
    with (
        closing(sqlite3.connect(house.root / "newsletter.db")) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy


def restore(house: House, copy: Path) -> None:
    house.database.close()
    for end in ("", "-wal", "-shm"):
        (house.root / f"newsletter.db{end}").unlink(missing_ok=True)
    (house.root / "newsletter.db").write_bytes(copy.read_bytes())
    house.database = open_database(
        f"sqlite:///{house.root / 'newsletter.db'}", durability="process"
    )
    house.open()


@pytest.mark.parametrize(
    ("found", "seen", "says"),
    [
        (Installation(), None, ""),
        (Installation(), Seen("a", 9), ""),  # a new database
        (Installation(id="a", runs=3), Seen("a", 3), ""),
        (Installation(id="a", runs=4), Seen("a", 3), ""),  # killed before the file was written
        (Installation(id="a", runs=2), Seen("a", 3), "older copy: 1 run of"),
        (Installation(id="a", runs=3), Seen("b", 1), "not the one"),
        (Installation(id="a", runs=1), None, "not used on this machine"),
    ],
)
def test_what_a_database_is_taken_for(found: Installation, seen: Seen | None, says: str) -> None:
    assert (says in judge(found, seen)) if says else judge(found, seen) == ""


def test_a_restored_backup_sends_nothing_twice(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    house.now = SEVEN - timedelta(days=1)
    house.keep(lambda: said(caplog, "2026-11-22: sent: 3 accepted"))
    copy = back_up(house)
    house.now = SEVEN
    (house.root / "briefs" / "other.txt").write_text(
        (house.root / "briefs" / "quay.txt").read_text().replace("North Quay", "Old Mill Bridge")
    )
    house.keep(lambda: said(caplog, "2026-11-23: sent: 3 accepted"))
    assert set(server.kept.values()) == {2}
    restore(house, copy)
    caplog.clear()
    house.keep(lambda: said(caplog, "is an older copy: 1 run of this machine are lost"))
    with pytest.raises(UnfamiliarDatabase, match="newsletter db adopt"):
        check_installation(house.press)
    assert adopt_database(house.press, nothing_lost=False) == ()
    house.keep(lambda: said(caplog, "2026-11-23: is not begun, since it may have been sent"))
    assert set(server.kept.values()) == {2}
    assert look_before(house.press) == ""
    house.now = SEVEN + timedelta(days=1)
    (house.root / "briefs" / "third.txt").write_text(
        (house.root / "briefs" / "quay.txt").read_text().replace("North Quay", "Harbour Museum")
    )
    house.keep(lambda: said(caplog, "2026-11-24: sent: 3 accepted"))
    assert set(server.kept.values()) == {3}


def test_what_was_under_way_is_paused_when_the_copy_is_adopted(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    house.now = SEVEN - timedelta(days=1)
    server.at_rcpt = lambda _who, _try: "450 4.2.1 later"
    house.keep(lambda: len(server.times) >= 3)
    copy = back_up(house)
    server.at_rcpt = lambda _who, _try: ""
    house.now += timedelta(hours=1)
    house.keep(lambda: said(caplog, "2026-11-22: sent: 3 accepted"))
    restore(house, copy)
    caplog.clear()
    house.keep(lambda: said(caplog, "newsletter db adopt"))
    assert adopt_database(house.press, nothing_lost=False) == ("2026-11-22",)
    house.keep(lambda: said(caplog, "is paused; `newsletter resume"))
    assert set(server.kept.values()) == {1}
    assert house.state("2026-11-22") == "paused"


def test_a_database_that_was_moved_goes_on_once_a_person_says_that_nothing_is_lost(
    house: House, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    house.now = SEVEN - timedelta(days=1)
    house.keep(lambda: said(caplog, ": sent: 3 accepted"))
    (house.root / ".installation").unlink()
    house.now = SEVEN
    (house.root / "briefs" / "other.txt").write_text(
        (house.root / "briefs" / "quay.txt").read_text().replace("North Quay", "Old Mill Bridge")
    )
    house.keep(lambda: said(caplog, "was not used on this machine before"))
    assert set(server.kept.values()) == {1}
    adopt_database(house.press, nothing_lost=True)
    house.keep(lambda: said(caplog, "2026-11-23: sent: 3 accepted"))
    assert set(server.kept.values()) == {2}


def test_a_damaged_file_is_told_with_its_mend(house: House) -> None:
    house.keep(lambda: house.state(TODAY) == "sent")
    (house.root / ".installation").write_text("{")
    with pytest.raises(StorageError, match=r"\.installation: is damaged; remove it, then run"):
        check_installation(house.press)
