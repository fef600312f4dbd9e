"""What an operator adds to one edition: a note to the readers, a sponsor, corrections.

`notes/2026-11-25.md` belongs to the edition of that name. All of it may be left out:

    ---
    heading: A word from the desk          # or a first line "# A word from the desk" below
    by: Ada Example
    sponsor:
      name: Harbor Coffee
      text: Roasted where the ships come in.
      url: https://coffee.example/
      picture: {url: https://pictures.example/cup.jpg, alt: A cup, width: 1024, height: 400}
    corrections:
      - Yesterday's brief on the port named the wrong pier.
      - {text: The vote was 5 to 4., date: 2026-11-24, link: https://news.example/port}
    ---
    The note, in plain paragraphs with a blank line between.

Everything is plain text. Whatever cannot be read stops the edition: a sponsor has paid, and a
correction is owed, so a mail without them is worse than one that is late.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from newsletter.briefs.front_matter import line_of, load_keys
from newsletter.briefs.model import Picture
from newsletter.briefs.normalise import decode, is_visible, normalise, plain_line, plain_text
from newsletter.briefs.picture import read_picture
from newsletter.editions.model import Correction, Note, Sponsor
from newsletter.errors import InputError
from newsletter.settings import EditionSettings, picture_host

MAX_FILE_BYTES = 100_000
MOST_CORRECTIONS = 20
MOST_CHARACTERS = {
    "note": 6_000,
    "heading": 200,
    "by": 200,
    "date": 20,
    "name": 200,
    "text": 1_000,
    "link": 2_000,
    "url": 2_000,
}

_KEYS = ("by", "corrections", "heading", "sponsor")
_FENCE = "---"
_HEADING = re.compile(r"#{1,6}\s+(.*\S)")
_TEXT_SUFFIXES = frozenset(("", ".markdown", ".text", ".txt"))
_ADDRESS = re.compile(
    r"https?://[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*(?:[/?#][^\s\\\"<>]*)?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What stands in a notes file; nothing where there is none."""

    note: Note | None = None
    sponsor: Sponsor | None = None
    corrections: tuple[Correction, ...] = ()
    remarks: tuple[str, ...] = ()
    """What is odd about the file. Whole sentences."""


def read_notes(root: Path, rules: EditionSettings, edition: str) -> Notes:
    """Read the notes of an edition, by its name; a folder or a file that is not there is none.

    Raises `InputError` for a file that cannot be read as notes.
    """
    folder, name = root / rules.notes, f"{edition}.md"
    try:
        entries = os.listdir(folder)  # noqa: PTH208 -- names are wanted, and each kind of failure
        found = next((entry for entry in entries if entry.casefold() == name), None)
        if found is None:
            _check_misnamed(entries, rules.notes, name)
            return Notes()
        with (folder / found).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return Notes()
    except NotADirectoryError:
        raise InputError(
            "is not a folder", file=rules.notes, mend="name a folder in edition.notes"
        ) from None
    except OSError as error:
        said = (error.strerror or type(error).__name__).lower()
        raise InputError(f"cannot be read ({said})", file=rules.notes / name) from None
    return parse_notes(data, file=str(rules.notes / name), picture_hosts=rules.picture_hosts)


def _check_misnamed(entries: Sequence[str], folder: Path, name: str) -> None:
    """Refuse a text file of that date under a name that would be passed over silently."""
    day = name.removesuffix(".md")
    for entry in sorted(entries):
        stem, suffix = os.path.splitext(entry)  # noqa: PTH122 -- a name, not a path
        if stem == day and suffix.casefold() in _TEXT_SUFFIXES:
            raise InputError(
                "would not be read under this name", file=folder / entry, mend=f"call it {name}"
            )


def parse_notes(data: bytes, *, file: str, picture_hosts: Sequence[str]) -> Notes:
    """Read a notes file. Raises `InputError` naming file, line and field."""
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"is larger than {MAX_FILE_BYTES:,} bytes", file=file, mend="shorten it")
    text, _ = decode(data, file=file)
    if not is_visible(text):
        raise InputError("is empty", file=file, mend="write the note into it, or remove the file")
    normalised = normalise(data, file=file)
    block, at, body = _split(normalised.lines, file)
    reader = _Reader(file=file, block=block, line=at, picture_hosts=picture_hosts)
    keys = reader.keys()
    notes = Notes(
        note=reader.note(keys, body),
        sponsor=reader.sponsor(keys["sponsor"]) if "sponsor" in keys else None,
        corrections=reader.corrections(keys.get("corrections", [])),
        remarks=tuple(f"{file}: {w.message.rstrip('.')}." for w in normalised.warnings),
    )
    if not (notes.note or notes.sponsor or notes.corrections):
        raise InputError("says nothing", file=file, mend="write the note, or remove the file")
    return notes


def _split(lines: Sequence[str], file: str) -> tuple[str, int, Sequence[str]]:
    """Split a file into its block of keys, the number of that one's first line, and the body."""
    start = next(i for i, line in enumerate(lines) if line)
    if lines[start] != _FENCE:
        return "", 1, lines[start:]
    for end in range(start + 1, len(lines)):
        if lines[end] == _FENCE:
            return "\n".join(lines[start + 1 : end]), start + 2, lines[end + 1 :]
    raise InputError(
        "the front matter has no end", file=file, line=start + 1, mend='close it with "---"'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads one file, and knows where in it each key stands."""

    file: str
    block: str
    line: int
    """The number of the block's first line."""
    picture_hosts: Sequence[str]

    def refuse(self, field: str, problem: str, mend: str = "") -> InputError:
        """Say what is wrong with a field such as `sponsor.url`."""
        line = self.line + line_of(self.block, field.partition(".")[0].partition(" ")[0])
        return InputError(problem, file=self.file, line=line, field=field, mend=mend)

    def keys(self) -> dict[str, Any]:
        """Load the keys, in lower case; those without a value are not there."""
        loaded = load_keys(self.block, file=self.file, line=self.line)
        keys = {str(key).casefold(): value for key, value in loaded.items()}
        for key in keys:
            if key not in _KEYS:
                known = f"a notes file has {', '.join(_KEYS[:-1])} and {_KEYS[-1]}"
                raise self.refuse(plain_line(key)[:60], "means nothing here", known)
        return {key: value for key, value in keys.items() if value not in ("", [])}

    def note(self, keys: Mapping[str, Any], body: Sequence[str]) -> Note | None:
        """Read the note; one that has a heading or a signature has a text as well."""
        heading, rest = self.line_of_text(keys, "heading", ""), list(body)
        first = next((i for i, line in enumerate(rest) if line.strip()), None)
        if first is not None and (found := _HEADING.fullmatch(rest[first].strip())):
            if heading:
                raise self.refuse("heading", "stands above the note as well", "keep one of them")
            heading = self.line_of_text({"heading": found[1].rstrip("# ")}, "heading", "")
            del rest[first]
        by, text = self.line_of_text(keys, "by", ""), _paragraphs(rest)
        if not text:
            if heading or by:
                raise self.refuse(
                    "heading" if heading else "by",
                    "belongs to a note, and there is none",
                    "write it below the front matter",
                )
            return None
        self.check_length("note", text, "note")
        return Note(text=text, heading=heading, by=by)

    def sponsor(self, value: Any) -> Sponsor:
        """Read the sponsor's block."""
        fields = self.fields(value, "sponsor", needed=("name", "text", "url"), more=("picture",))
        picture = self.picture(fields["picture"]) if fields.get("picture") else None
        return Sponsor(
            name=self.line_of_text(fields, "name", "sponsor."),
            text=self.text(fields, "sponsor."),
            url=self.address(fields, "url", "sponsor."),
            picture=picture,
        )

    def picture(self, value: Any) -> Picture:
        """Read the sponsor's picture, which must be shown if it is there."""
        try:
            picture = read_picture(value)
        except ValueError as error:
            raise self.refuse("sponsor.picture", str(error)) from None
        host = picture_host(picture.url)
        if host not in self.picture_hosts:
            raise self.refuse(
                "sponsor.picture",
                f"its host {host} is not one that mail may load pictures from",
                f'add "{host}" to edition.picture_hosts',
            )
        return picture

    def corrections(self, value: Any) -> tuple[Correction, ...]:
        """Read a list of corrections: each a text, or a text with a date and a link."""
        if not isinstance(value, list):
            raise self.refuse("corrections", "must be a list", 'write "- " ahead of each')
        if len(value) > MOST_CORRECTIONS:
            raise self.refuse("corrections", f"has more than {MOST_CORRECTIONS} entries")
        return tuple(self.correction(item, n) for n, item in enumerate(value, 1))

    def correction(self, item: Any, number: int) -> Correction:
        """Read one correction."""
        place = f"corrections #{number}"
        value = {"text": item} if isinstance(item, str) else item
        fields = self.fields(value, place, needed=("text",), more=("date", "link"))
        return Correction(
            text=self.text(fields, f"{place}."),
            day=self.day(fields, f"{place}."),
            link=self.address(fields, "link", f"{place}."),
        )

    def fields(
        self, value: Any, place: str, *, needed: Sequence[str], more: Sequence[str]
    ) -> dict[str, Any]:
        """Check which keys a table has."""
        known = (*needed, *more)
        if not isinstance(value, dict):
            raise self.refuse(place, f"must have {' and '.join(needed)}")
        fields = {str(key).casefold(): part for key, part in value.items()}
        for key in fields:
            if key not in known:
                name = f"{place}.{plain_line(key)[:60]}"
                raise self.refuse(name, "means nothing here", f"it may have {', '.join(known)}")
        for key in needed:
            if not fields.get(key):
                raise self.refuse(f"{place}.{key}", "is missing")
        return fields

    def line_of_text(self, fields: Mapping[str, Any], key: str, place: str) -> str:
        """Read a text of one line; "" for none."""
        return self._checked(fields, key, place, plain_line)

    def text(self, fields: Mapping[str, Any], place: str) -> str:
        """Read a text of paragraphs."""
        return self._checked(fields, "text", place, plain_text)

    def address(self, fields: Mapping[str, Any], key: str, place: str) -> str:
        """Read a web address; "" for none."""
        address = self.line_of_text(fields, key, place)
        if address and not _ADDRESS.fullmatch(address):
            raise self.refuse(
                f"{place}{key}", 'must be a web address such as "https://coffee.example/"'
            )
        return address

    def day(self, fields: Mapping[str, Any], place: str) -> date | None:
        """Read a date; None for none."""
        text = self.line_of_text(fields, "date", place)
        try:
            return date.fromisoformat(text) if text else None
        except ValueError:
            raise self.refuse(f"{place}date", 'must be a date such as "2026-11-24"') from None

    def check_length(self, name: str, text: str, field: str) -> None:
        """Refuse what would crowd out the news."""
        if len(text) > MOST_CHARACTERS[name]:
            raise self.refuse(
                field,
                f"has {len(text):,} characters, and there is room for {MOST_CHARACTERS[name]:,}",
                "shorten it",
            )

    def _checked(
        self, fields: Mapping[str, Any], key: str, place: str, clean: Callable[[str], str]
    ) -> str:
        value = fields.get(key, "")
        if not isinstance(value, str):
            raise self.refuse(f"{place}{key}", "must be text")
        text = clean(value)
        if value and not text:
            raise self.refuse(f"{place}{key}", "has no text that can be seen")
        self.check_length(key, text, f"{place}{key}")
        return text


def _paragraphs(lines: Sequence[str]) -> str:
    """Join lines into paragraphs at the blank ones between."""
    text = "\n".join(line.strip() for line in lines)
    paragraphs = (" ".join(part.split("\n")) for part in re.split(r"\n{2,}", text.strip("\n")))
    return "\n\n".join(filter(is_visible, paragraphs))
