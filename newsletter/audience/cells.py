"""One cell of a table ↔ one checked value. Used by both directions, import and export.

Every value is one line of NFC text: runs of white space, line breaks included, count as one
space. An empty cell is no value. Each `parse_` raises `AudienceError` naming the column.

Spreadsheets run a cell that begins with one of `= + - @`, tab, CR or their full-width forms
as a formula. `defuse` puts an apostrophe before such text and `undo_defusing` takes exactly
one off, also where the text itself began with apostrophes, so a round trip changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TypeVar
from zoneinfo import available_timezones

from newsletter.audience.address import find_unprintable, format_excerpt
from newsletter.audience.reader import (
    DETAILS,
    FORMATS,
    MINUTES,
    RHYTHMS,
    Choices,
    refusal,
)
from newsletter.errors import AudienceError
from newsletter.settings import KINDS, parse_clock, parse_days

VALUE_CHARACTERS = 1_000
_Word = TypeVar("_Word", bound=str)
_LIST_ITEMS = 50
_SEPARATORS = re.compile("[;,|]")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,4}")  # RFC 5646 §2.1, the usual part
_EDITION = re.compile("(?:no )?[a-z][a-z0-9]{0,19}", re.ASCII)
_FORMULA = re.compile("'*[=+\\-@\t\r＝＋－＠]")
_OPENS_EMBEDDING, _CLOSES_EMBEDDING = "\u202a\u202b\u202d\u202e", "\u202c"
_OPENS_ISOLATE, _CLOSES_ISOLATE = "\u2066\u2067\u2068", "\u2069"


def defuse(text: str) -> str:
    """Keep a spreadsheet from running `text` as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def undo_defusing(cell: str) -> str:
    """Take off the one apostrophe that `defuse` put on."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def parse_text(cell: str, column: str) -> str:
    """Read any value: one line, NFC, nothing that a terminal or a mail header would obey."""
    if not cell:
        return ""
    text = " ".join(undo_defusing(cell.strip()).split())
    if len(text) > VALUE_CHARACTERS:
        raise _refusal(
            column, text, f"is longer than {VALUE_CHARACTERS:,} characters", "shorten it"
        )
    if text.isprintable() and "\ufffd" not in text:  # nearly all: no control, no direction mark
        return text if text.isascii() else unicodedata.normalize("NFC", text)
    if found := find_unprintable(text):
        damaged = "\ufffd" in text or any("\udc80" <= c <= "\udcff" for c in text)
        problem = "has damaged characters" if damaged else f"holds the character {found}"
        mend = "save the file again as UTF-8" if damaged else "remove it"
        raise _refusal(column, text, problem, mend)
    if _has_unbalanced_bidi(text):
        raise _refusal(column, text, "turns the direction of the text after it", "remove that mark")
    return unicodedata.normalize("NFC", text)


@lru_cache(maxsize=4096)
def parse_choices(
    *,
    timezone: str = "",
    language: str = "",
    topics: str = "",
    lenses: str = "",
    detail: str = "",
    minutes: str = "",
    format: str = "",  # noqa: A002 -- the column's name
    send_at: str = "",
    days: str = "",
    rhythm: str = "",
    editions: str = "",
) -> Choices:
    """Read the cells of a reader's choices. A choice that cannot be read is refused.

    Lists are separated by `;`, `,` or `|`; days are written as in newsletter.toml.
    """
    return Choices(
        timezone=_parse_zone(parse_text(timezone, "timezone")),
        language=_parse_language(parse_text(language, "language")),
        topics=_parse_list(parse_text(topics, "topics"), "topics"),
        lenses=_parse_list(parse_text(lenses, "lenses"), "lenses"),
        detail=_parse_word(detail, "detail", DETAILS, "level of detail"),
        minutes=_parse_minutes(parse_text(minutes, "minutes")),
        format=_parse_word(format, "format", FORMATS, "format"),
        send_at=_parse_send_at(parse_text(send_at, "send_at")),
        days=_parse_days(parse_text(days, "days")),
        rhythm=_parse_word(rhythm, "rhythm", RHYTHMS, "rhythm"),
        editions=_parse_editions(parse_text(editions, "editions")),
    )


def parse_instant(cell: str, column: str) -> datetime | None:
    """Read an ISO 8601 date or time; one without an offset is UTC, a bare date its midnight."""
    text = parse_text(cell, column)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _refusal(
            column, text, "is no date", "write it as 2025-03-01 or 2025-03-01T09:30Z"
        ) from None


def format_list(items: Iterable[str]) -> str:
    """Write a list as `parse_choices` reads it."""
    return "; ".join(items)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _parse_zone(text: str) -> str:
    if text and text not in _zones():
        raise _refusal("timezone", text, "is no IANA time zone", "write one such as Europe/Berlin")
    return text


def _parse_language(text: str) -> str:
    tag = text.replace("_", "-")
    if tag and not _LANGUAGE.fullmatch(tag):
        raise _refusal("language", text, "is no language tag", "write one such as en or pt-BR")
    return tag


def _parse_list(text: str, column: str) -> tuple[str, ...]:
    """Split a list; the same item again, in any case of letters, is dropped."""
    items: dict[str, str] = {}
    for part in _SEPARATORS.split(text):
        if item := part.strip():
            items.setdefault(item.casefold(), item)
    if len(items) > _LIST_ITEMS:
        raise _refusal(column, text, f"has more than {_LIST_ITEMS} entries", "shorten it")
    return tuple(items.values())


def _parse_editions(text: str) -> tuple[str, ...]:
    """Read the further editions that are wanted, "evening", or are not, "no evening"."""
    names = _parse_list(text.lower(), "editions")
    for name in names:
        if not _EDITION.fullmatch(name) or name.removeprefix("no ") in KINDS:
            raise _refusal(
                "editions", name, "names no further edition", "write such as evening or no evening"
            )
        if refusal(name) in names:
            raise _refusal("editions", name, "is wanted, and is not", "write one of them")
    return names


def _parse_word(cell: str, column: str, words: tuple[_Word, ...], what: str) -> _Word | Literal[""]:
    """Read one of some words, however it is capitalised; "" where there is none."""
    text = parse_text(cell, column)
    if not text:
        return ""
    for word in words:
        if text.lower() == word:
            return word
    raise _refusal(column, text, f"is no {what}", f"write {_one_of(words)}")


def _parse_minutes(text: str) -> int:
    if text and text not in map(str, MINUTES):
        raise _refusal("minutes", text, "is no reading time", f"write {_one_of(MINUTES)}")
    return int(text or 0)


def _parse_send_at(text: str) -> str:
    try:
        return parse_clock(text).strftime("%H:%M") if text else ""
    except ValueError:
        raise _refusal("send_at", text, "is no time of day", "write one such as 07:30") from None


def _parse_days(text: str) -> tuple[str, ...]:
    try:
        return parse_days(_SEPARATORS.sub(",", text).strip(", ")) if text else ()
    except ValueError:
        raise _refusal("days", text, "names no weekdays", "write mon-fri or mon;wed;sat") from None


def _one_of(values: Iterable[object]) -> str:
    *others, last = map(str, values)
    return f"{', '.join(others)} or {last}"


def _has_unbalanced_bidi(text: str) -> bool:
    """Tell whether an embedding, override or isolate (UAX #9) reaches beyond the text."""
    embeddings = isolates = 0
    for character in text:
        embeddings += (character in _OPENS_EMBEDDING) - (character == _CLOSES_EMBEDDING)
        isolates += (character in _OPENS_ISOLATE) - (character == _CLOSES_ISOLATE)
        if embeddings < 0 or isolates < 0:
            return True
    return embeddings > 0 or isolates > 0


def _refusal(column: str, text: str, problem: str, mend: str) -> AudienceError:
    return AudienceError(f"{format_excerpt(text)} {problem}", field=column, mend=mend)
