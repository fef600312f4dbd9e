"""A notes file: what it can say, and the one sentence that answers what is wrong in it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.briefs.model import Brief, Picture
from newsletter.briefs.normalise import plain_line, plain_text
from newsletter.editions.content import edition_from_document, edition_to_document
from newsletter.editions.model import Correction, Edition, Note, Sponsor, Window
from newsletter.editions.notes import Notes, parse_notes, read_notes
from newsletter.errors import InputError
from newsletter.settings import EditionSettings

DAY = date(2026, 11, 25)
RULES = EditionSettings(picture_hosts=("pictures.example",))
WHOLE = """\
---
By: Ada Example
sponsor:
  name: Harbor Coffee
  text: |
    Roasted where the ships come in.

    Open from six.
  url: https://coffee.example/a'b?c=1&d=2
  picture: {url: https://pictures.example/cup.jpg, alt: A cup, width: 1024, height: 400}
corrections:
  - Yesterday's brief on the port named the wrong pier.
  - text: The vote was 5 to 4.
    date: 2026-11-24
    link: https://news.example/port
---

# A word from the desk #

The port is open again,
and so are we.

Thank you: {{ for }} <reading>.
"""
PICTURE = Picture(url="https://pictures.example/cup.jpg", alt="A cup", width=1024, height=400)
SPONSOR = "sponsor:\n  name: N\n  text: T\n  url: https://coffee.example/\n"
STRANGE = "  picture: {url: 'https://x.example/a', alt: A, width: 1, height: 1}\n"


def parse(text: str) -> Notes:
    return parse_notes(text.encode(), file="notes/n.md", picture_hosts=RULES.picture_hosts)


def test_a_whole_file() -> None:
    assert parse(WHOLE) == Notes(
        note=Note(
            heading="A word from the desk",
            text="The port is open again, and so are we.\n\nThank you: {{ for }} <reading>.",
            by="Ada Example",
        ),
        sponsor=Sponsor(
            name="Harbor Coffee",
            text="Roasted where the ships come in.\n\nOpen from six.",
            url="https://coffee.example/a'b?c=1&d=2",
            picture=PICTURE,
        ),
        corrections=(
            Correction(text="Yesterday's brief on the port named the wrong pier."),
            Correction(
                text="The vote was 5 to 4.",
                day=date(2026, 11, 24),
                link="https://news.example/port",
            ),
        ),
    )


def test_each_part_may_stand_alone() -> None:
    assert parse("Only words.\n") == Notes(note=Note(text="Only words."))
    assert parse("---\nheading: H\n---\nWords.").note == Note(text="Words.", heading="H")
    assert parse(f"---\n{SPONSOR}---\n").sponsor == Sponsor(
        name="N", text="T", url="https://coffee.example/"
    )
    assert parse("---\ncorrections:\n- C\n---").corrections == (Correction(text="C"),)


def test_an_odd_encoding_is_read_and_remarked_upon() -> None:
    notes = parse_notes("Café".encode("cp1252"), file="notes/n.md", picture_hosts=())
    assert notes.note == Note(text="Café")
    assert notes.remarks == (
        "notes/n.md: is not UTF-8 and was read as Windows-1252; save it as UTF-8.",
    )


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", None, "is empty; write the note into it"),
        (" \n\u200b\n", None, "is empty"),
        ("\n---\n---\n", None, "says nothing"),
        ("---\nby: Ada\nNo end.", 1, "the front matter has no end; close it with"),
        ("---\nby: Ada\n---\n", 2, "by: belongs to a note, and there is none"),
        ("---\nheading: H\n---\n", 2, "heading: belongs to a note"),
        ("# Only a heading", 1, "heading: belongs to a note"),
        ("---\nheading: H\n---\n# I\nText.", 2, "heading: stands above the note as well"),
        ("---\nby: A\nsponser: x\n---\nT", 3, "sponser: means nothing here; a notes file has by,"),
        ("---\nby: [A]\n---\nT", 2, "by: must be text"),
        ('---\nby: "\\u202e"\n---\nT', 2, "by: has no text that can be seen"),
        ("---\nby: *a\n---\nT", 2, "aliases are not allowed"),
        ("---\nby: A\n- b\n---\nT", 3, "is not YAML"),
        ("---\nby: " + "A" * 201 + "\n---\nT", 2, "by: has 201 characters, and there is room for"),
        ("T" * 6_001, 1, "note: has 6,001 characters, and there is room for 6,000; shorten it"),
        ("T" * 100_001, None, "is larger than 100,000 bytes"),
        ("---\ncorrections: [C]\nsponsor: Harbor\n---", 3, "sponsor: must have name and text"),
        ("---\nsponsor: {name: N, text: T}\n---", 2, "sponsor.url: is missing"),
        ("---\nsponsor: {name: N, url: 'https://a'}\n---", 2, "sponsor.text: is missing"),
        (f"---\n{SPONSOR}  logo: x\n---", 2, "sponsor.logo: means nothing here; it may have name"),
        (f"---\n{SPONSOR}  picture: x\n---", 2, "sponsor.picture: must have url, alt, width"),
        (f"---\n{SPONSOR}{STRANGE}---", 2, 'x.example is not one that mail may load pictures'),
        (f"---\n{SPONSOR}{STRANGE}---", 2, 'add "x.example" to edition.picture_hosts'),
        ("---\ncorrections: All wrong\n---", 2, 'corrections: must be a list; write "- "'),
        ("---\ncorrections: [A, [B]]\n---", 2, "corrections #2: must have text"),
        ("---\ncorrections: [{date: 2026-11-24}]\n---", 2, "corrections #1.text: is missing"),
        ("---\ncorrections: [{text: A, day: 1}]\n---", 2, "corrections #1.day: means nothing"),
        ("---\ncorrections: [{text: A, date: today}]\n---", 2, 'must be a date such as "2026-'),
        ("---\ncorrections: [" + "A," * 21 + "]\n---", 2, "corrections: has more than 20 entries"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_line_and_field(
    text: str, line: int | None, sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert (str(caught.value.file), caught.value.line) == ("notes/n.md", line)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//coffee.example",
        "coffee.example",
        "https://",
        "https://a b.example/",
        "https://u:p@coffee.example/",
        'https://coffee.example/\\"x',
        "https://coffee.example/<b>",
        "mailto:a@b.example",
        "https://" + "a" * 64 + ".example/",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    for block in (f'sponsor: {{name: N, text: T, url: "{url}"}}',
                  f'corrections: [{{text: C, link: "{url}"}}]'):  # fmt: skip
        with pytest.raises(InputError, match="must be a web address such as"):
            parse(f"---\n{block}\n---\n")


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda t: f"---\n{t}\n---\n".encode()))
def test_any_bytes_are_notes_or_are_refused_in_one_sentence(data: bytes) -> None:
    try:
        notes = parse_notes(data, file="n", picture_hosts=())
    except InputError as error:
        sentence = str(error)
    else:
        assert notes != Notes()
        sentence = "".join(notes.remarks)
        if notes.note:
            assert plain_text(notes.note.text) == notes.note.text
    assert "\n" not in sentence


# -- the folder --------------------------------------------------------------------------------


def test_a_folder_or_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert read_notes(tmp_path, RULES, f"{DAY}") == Notes()
    (tmp_path / "notes").mkdir()
    for name in ("2026-11-24.md", "example.md", "2026-11-25.md~", ".2026-11-25.md.swp",
                 "2026-11-25 draft.md"):  # fmt: skip
        (tmp_path / "notes" / name).write_text("Words.")
    assert read_notes(tmp_path, RULES, f"{DAY}") == Notes()


def test_the_file_of_the_date_is_read(tmp_path: Path) -> None:
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "2026-11-25.md").write_text("Words.")
    rules = EditionSettings(notes=Path("desk"))
    assert read_notes(tmp_path, rules, f"{DAY}").note == Note(text="Words.")


@pytest.mark.parametrize("name", ["2026-11-25.txt", "2026-11-25", "2026-11-25.Markdown"])
def test_a_file_that_would_be_passed_over_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / name).write_text("Words.")
    with pytest.raises(InputError, match=f"{name}: would not be read .* call it 2026-11-25.md"):
        read_notes(tmp_path, RULES, f"{DAY}")


def test_a_place_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    with pytest.raises(InputError, match=r"notes: is not a folder; name a folder in edition\.n"):
        read_notes(tmp_path, RULES, f"{DAY}")
    (tmp_path / "notes").unlink()
    (tmp_path / "notes" / "2026-11-25.md").mkdir(parents=True)
    with pytest.raises(InputError, match=r"notes/2026-11-25\.md: cannot be read \(is a directory"):
        read_notes(tmp_path, RULES, f"{DAY}")


# -- stored ------------------------------------------------------------------------------------

WINDOW = Window(
    start=datetime(2026, 11, 24, tzinfo=UTC), cut_off=datetime(2026, 11, 25, tzinfo=UTC)
)
PLAIN = Edition(
    date=DAY,
    window=WINDOW,
    subject="S",
    preheader="P",
    briefs=(Brief(title="T", summary="S."),),
)
lines = st.text(max_size=40).map(plain_line)
links = st.sampled_from(["", "https://a.example/"])


@given(
    note=st.none() | st.builds(Note, text=lines, heading=lines, by=lines),
    sponsor=st.none()
    | st.builds(Sponsor, name=lines, text=lines, url=lines, picture=st.none() | st.just(PICTURE)),
    corrections=st.lists(
        st.builds(Correction, text=lines, day=st.none() | st.dates(), link=links), max_size=3
    ).map(tuple),
)
def test_a_stored_edition_gives_back_what_was_added(
    note: Note | None, sponsor: Sponsor | None, corrections: tuple[Correction, ...]
) -> None:
    edition = Edition(
        date=DAY,
        window=WINDOW,
        subject="S",
        preheader="P",
        briefs=(Brief(title="T", summary="S.", picture=PICTURE),),
        note=note,
        sponsor=sponsor,
        corrections=corrections,
    )
    assert edition_from_document(edition_to_document(edition)) == edition


def test_an_edition_without_additions_looks_as_it_always_did() -> None:
    document = edition_to_document(PLAIN)
    assert list(document) == [
        "format", "date", "kind", "window", "subject", "preheader", "briefs", "left_out",
    ]  # fmt: skip
    assert document["briefs"] == [{"title": "T", "summary": "S."}]
    assert edition_from_document(document) == PLAIN


def test_the_shipped_example_says_what_a_file_can_say() -> None:
    text = (Path(__file__).parents[2] / "newsletter/cli/starter/notes/example.md").read_text()
    as_it_is = parse(text)
    assert (as_it_is.sponsor, as_it_is.corrections) == (None, ())
    assert as_it_is.note is not None
    assert (as_it_is.note.heading, as_it_is.note.by) == ("A word from the desk", "Ada Example")
    front, fence, body = text.rpartition("---\n")
    notes = parse(re.sub(r"(?m)^# (?=[ a-z-]+:|  +[-{])", "", front) + fence + body)
    assert notes.sponsor is not None
    assert notes.sponsor.picture is not None
    assert [correction.day for correction in notes.corrections] == [None, date(2026, 11, 24)]
