"""What an operator wrote for a day, from the file to the stored edition, in a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from newsletter.briefs.document import brief_to_document
from newsletter.briefs.gather import SourceReport
from newsletter.briefs.model import Brief, Picture
from newsletter.editions.desk import Composed, compose_edition
from newsletter.editions.model import Note
from newsletter.editions.shelf import change_state, load_content, read_edition
from newsletter.settings import EditionSettings, FolderSource, Publication, Settings
from newsletter.store import Database
from newsletter.store.tables import briefs
from tests.databases import open_new_database

DAY = date(2026, 11, 25)
NOW = datetime(2026, 11, 25, 7, tzinfo=UTC)
READ = (SourceReport(name="briefs", status="read"),)
PICTURE = Picture(url="https://pictures.example/a.jpg", alt="Cranes", width=640, height=360)


class Desk:
    """A publication in a folder of its own."""

    def __init__(self, root: Path, database: Database) -> None:
        self.database = database
        self.notes = root / "notes" / f"{DAY}.md"
        self.notes.parent.mkdir()
        self.settings = Settings(
            publication=Publication(
                sender="Brief <brief@news.example>",
                list_id="daily.news.example",
                url="https://news.example",
            ),
            sources=(FolderSource(kind="folder", path=Path("briefs")),),
            root=root,
        )

    def add_brief(self, title: str, picture: Picture | None = None) -> None:
        brief = Brief(title=title, summary=f"About {title}.", picture=picture)
        with self.database.writing() as connection:
            connection.execute(
                insert(briefs).values(
                    source="briefs",
                    origin=title,
                    published_at=NOW - timedelta(hours=1),
                    first_seen_at=NOW,
                    changed_at=NOW,
                    document=brief_to_document(brief),
                    warnings=[],
                )
            )

    def compose(self, **rules: object) -> Composed:
        settings = self.settings.model_copy(
            update={"edition": EditionSettings.model_validate(rules)}
        )
        return compose_edition(self.database, settings, day=DAY, now=NOW, reports=READ)

    def stored_note(self, composed: Composed) -> Note | None:
        assert composed.record is not None
        with self.database.reading() as connection:
            return load_content(connection, composed.record.id).note


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    database = open_new_database(tmp_path / "newsletter.db")
    yield Desk(tmp_path, database)
    database.close()


def test_notes_are_stored_with_the_edition_and_made_anew_until_it_is_approved(desk: Desk) -> None:
    desk.add_brief("Ferries stop")
    assert desk.stored_note(desk.compose()) is None
    desk.notes.write_text("---\nby: Ada\n---\nGood morning.")
    assert desk.stored_note(desk.compose()) == Note(text="Good morning.", by="Ada")
    desk.notes.write_text("Good evening.")
    composed = desk.compose()
    assert desk.stored_note(composed) == Note(text="Good evening.")
    assert composed.record is not None
    with desk.database.writing() as connection:
        change_state(connection, composed.record.id, "ready", now=NOW)
        change_state(connection, composed.record.id, "approved", now=NOW)
    for later in ("Good night.", "---\nspnsor: x\n---"):
        desk.notes.write_text(later)
        again = desk.compose()
        assert (again.outcome, again.existing) == ("edition", True)
        assert desk.stored_note(again) == Note(text="Good evening.")


def test_notes_that_cannot_be_read_hold_the_edition_until_they_are_mended(desk: Desk) -> None:
    desk.add_brief("Ferries stop")
    desk.compose()
    desk.notes.write_text("---\nsponsor: {name: N, text: T, url: ftp://a}\n---\nWords.")
    held = desk.compose()
    assert (held.outcome, held.edition) == ("held", None)
    assert held.record is not None
    with desk.database.reading() as connection:
        record = read_edition(connection, held.record.id)
    assert record.state == "held"
    assert record.reason == (
        f"notes/{DAY}.md, line 2, sponsor.url: must be a web address such as "
        '"https://coffee.example/"'
    )
    desk.notes.write_text("Words.")
    mended = desk.compose()
    assert mended.edition is not None
    assert [brief.title for brief in mended.edition.briefs] == ["Ferries stop"]
    assert mended.record is not None
    assert (mended.record.id, mended.record.state) == (record.id, "draft")


def test_notes_of_a_day_without_an_edition_are_not_passed_over_silently(desk: Desk) -> None:
    assert desk.compose().remarks == ()
    for text in ("Words.", "---\nbroken"):
        desk.notes.write_text(text)
        composed = desk.compose()
        assert composed.outcome == "nothing_new"
        assert composed.remarks == (
            f"The notes of {DAY} go to nobody: there is no edition to put them into.",
        )
    assert desk.compose(quiet_day="note").outcome == "held"
    desk.notes.write_text("Words.")
    quiet = desk.compose(quiet_day="note")
    assert (quiet.outcome, quiet.remarks) == ("quiet_day", ())
    assert desk.stored_note(quiet) == Note(text="Words.")


def test_a_picture_is_shown_from_an_allowed_host_only_and_the_operator_hears_why(
    desk: Desk,
) -> None:
    desk.add_brief("Ferries stop", PICTURE)
    for hosts in ([], ["other.example"], ["s.example"]):
        composed = desk.compose(picture_hosts=hosts)
        assert composed.edition is not None
        assert composed.edition.briefs[0].picture is None
        (remark,) = composed.remarks
        assert remark == (
            'The picture of "Ferries stop" is not shown: pictures.example is not among '
            "edition.picture_hosts."
        )
    allowed = desk.compose(picture_hosts="cdn.example, Pictures.Example")
    assert allowed.edition is not None
    assert allowed.edition.briefs[0].picture == PICTURE
    assert allowed.remarks == ()
