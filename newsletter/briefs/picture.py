"""What is said of a picture → `Picture`: the same rules in front matter, JSON and notes.

A picture stands beside text and never for it: whoever sees none must miss nothing. So it has
words of its own (`alt`), and its size, so that the page keeps its shape while it is loading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from newsletter.briefs.model import Picture
from newsletter.briefs.normalise import plain_line

MOST_PIXELS = 10_000
_MOST_CHARACTERS = {"url": 2_000, "alt": 500, "caption": 500, "credit": 200}

# Stricter than the web: no user, no port, nothing that two programs could split differently.
# What the mail loads must come from exactly the host that the operator allows.
_URL = re.compile(r"https://([a-z0-9-]+(?:\.[a-z0-9-]+)+)/[^\s\\\"<>]*", re.ASCII | re.IGNORECASE)
_VECTOR = re.compile(r"\.svgz?(?:[?#]|$)", re.IGNORECASE)
_FILE_NAME = re.compile(r"\.(?:avif|bmp|gif|heic|jpe?g|png|svg|tiff?|webp)$", re.IGNORECASE)
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
        url=check_picture_url(_line(value, "url")),
        alt=_alt(value),
        width=_pixels(value, "width"),
        height=_pixels(value, "height"),
        caption=_line(value, "caption"),
        credit=_line(value, "credit"),
    )


def picture_to_document(picture: Picture) -> dict[str, Any]:
    """Write a picture so that `read_picture` gives it back; what is empty is left out."""
    document = {name: getattr(picture, name) for name in _KNOWN}
    return {name: value for name, value in document.items() if value}


def check_picture_url(url: str) -> str:
    """Give back the address of a picture that mail can show; raises `ValueError` for another."""
    if not _URL.fullmatch(url):
        raise ValueError('url must be such as "https://pictures.example/harbor.jpg"')
    if _VECTOR.search(url):
        raise ValueError("url leads to an SVG, which mail does not show; use PNG or JPEG")
    return url


def picture_host(url: str) -> str:
    """Give the host that a checked address is fetched from."""
    match = _URL.fullmatch(url)
    assert match, "checked when the picture was read"
    return match[1].lower()


def _line(value: Mapping[str, Any], key: str) -> str:
    match value.get(key, ""):
        case str(text):
            line = plain_line(text)
        case _:
            raise ValueError(f"{key} must be text")
    if len(line) > _MOST_CHARACTERS[key]:
        raise ValueError(f"{key} is longer than {_MOST_CHARACTERS[key]:,} characters")
    return line


def _alt(value: Mapping[str, Any]) -> str:
    alt = _line(value, "alt")
    if not alt:
        raise ValueError("alt is missing")
    if _FILE_NAME.search(alt):
        raise ValueError("alt is a file name; say in it what the picture shows")
    return alt


def _pixels(value: Mapping[str, Any], key: str) -> int:
    # True is a number to Python, and 640.0 a whole one to JSON.
    number = str(value[key]).removesuffix(".0")
    if not _PIXELS.fullmatch(number) or not 1 <= int(number) <= MOST_PIXELS:
        raise ValueError(f"{key} must be a number of pixels from 1 to {MOST_PIXELS:,}")
    return int(number)
