"""What is said of a picture → `Picture`: the same rules in front matter, JSON and notes.

A picture stands beside text and never for it: whoever sees none must miss nothing. So it has
words of its own (`alt`), and its size, so that the page keeps its shape while it is loading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from newsletter.briefs.model import Picture
from newsletter.briefs.normalise import plain_line
from newsletter.settings import check_alt, check_picture_url

MOST_PIXELS = 10_000
_MOST_CHARACTERS = {"url": 2_000, "alt": 500, "caption": 500, "credit": 200}

_PIXELS = re.compile(r"[0-9]{1,5}", re.ASCII)
_NEEDED = ("url", "alt", "width", "height")
_KNOWN = (*_NEEDED, "caption", "credit")


def read_picture(value: Any) -> Picture:
    """Read a picture from a mapping; sizes may be numbers or digits.

    Raises `ValueError` with a sentence that names the part.
    """
    match value:
        case Mapping():
            return _read_parts(value)
        case _:
            raise ValueError(f"must have {', '.join(_NEEDED[:-1])} and {_NEEDED[-1]}")


def _read_parts(value: Mapping[Any, Any]) -> Picture:
    for key in value:
        if key not in _KNOWN:
            raise ValueError(f'"{plain_line(str(key))[:60]}" says nothing about a picture')
    for key in _NEEDED:
        if value.get(key, "") == "":
            raise ValueError(f"{key} is missing")
    return Picture(
        url=_checked(value, "url", check_picture_url),
        alt=_checked(value, "alt", check_alt),
        width=_pixels(value, "width"),
        height=_pixels(value, "height"),
        caption=_line(value, "caption"),
        credit=_line(value, "credit"),
    )


def picture_to_document(picture: Picture) -> dict[str, Any]:
    """Write a picture so that `read_picture` gives it back; what is empty is left out."""
    document = {name: getattr(picture, name) for name in _KNOWN}
    return {name: value for name, value in document.items() if value}


def _line(value: Mapping[str, Any], key: str) -> str:
    match value.get(key, ""):
        case str(text):
            line = plain_line(text)
        case _:
            raise ValueError(f"{key} must be text")
    if len(line) > _MOST_CHARACTERS[key]:
        raise ValueError(f"{key} is longer than {_MOST_CHARACTERS[key]:,} characters")
    return line


def _checked(value: Mapping[str, Any], key: str, check: Callable[[str], str]) -> str:
    line = _line(value, key)
    try:
        return check(line)
    except ValueError as error:
        raise ValueError(f"{key} {error}") from None


def _pixels(value: Mapping[str, Any], key: str) -> int:
    # True is a number to Python, and 640.0 a whole one to JSON.
    number = str(value[key]).removesuffix(".0")
    if not _PIXELS.fullmatch(number) or not 1 <= int(number) <= MOST_PIXELS:
        raise ValueError(f"{key} must be a number of pixels from 1 to {MOST_PIXELS:,}")
    return int(number)
