"""What a value of the settings may look like: durations, clocks, addresses, pictures. Pure."""

from __future__ import annotations

import re
import shlex
from datetime import time, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST = timedelta(days=3650)
ADDRESS = r"(?!.{255})[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
# Stricter than the web: no user, no port, nothing that two programs could split differently.
# What the mail loads must come from exactly the host that the operator allows.
_PICTURE_URL = re.compile(
    r"https://([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+)/[^\s\\\"<>]*", re.ASCII | re.IGNORECASE
)


def parse_duration(value: object) -> timedelta:
    """Read "90s", "5m", "6h" or "2d"; a bare number is seconds."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*([smhd]?)\s*", str(value), re.ASCII)
    if not match:
        raise ValueError('must be a duration such as "90s", "5m", "6h" or "2d"')
    duration = float(match[1]) * UNITS[match[2] or "s"]
    if duration > _LONGEST.total_seconds():
        raise ValueError(f"must be at most {_LONGEST.days} days")
    return timedelta(seconds=duration)


def write_duration(duration: timedelta) -> str:
    """Write a duration as `parse_duration` reads it, in the largest unit that it is whole in."""
    seconds = int(duration.total_seconds())
    unit = next(u for u in "dhms" if seconds % UNITS[u] == 0 or u == "s")
    return f"{seconds // UNITS[unit]}{unit}"


def parse_days(value: object) -> tuple[str, ...]:
    """Read "mon-fri", "mon,wed,sat", "sat-mon" or a list into weekday names in their order."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    chosen: set[str] = set()
    for part in (str(each).lower().replace(" ", "") for each in parts):
        first, _, last = part.partition("-")
        if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
            raise ValueError('must name weekdays such as "mon-fri" or "mon,wed,sat"')
        start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        chosen.update(WEEKDAYS[i % 7] for i in range(start, end + 1 if end >= start else end + 8))
    return tuple(day for day in WEEKDAYS if day in chosen)


def parse_command(value: object) -> tuple[str, ...]:
    """Read a program and its arguments: a list, or a line with quotes as a shell reads them."""
    try:
        parts = value if isinstance(value, (list, tuple)) else shlex.split(str(value))
    except ValueError:
        raise ValueError("must close its quotes") from None
    return tuple(map(str, parts))


def parse_hosts(value: object) -> tuple[str, ...]:
    """Read host names: a list, or one line with commas between."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    hosts = [str(part).strip().lower() for part in parts]
    for host in filter(None, hosts):
        if not re.fullmatch(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+", host, re.ASCII):
            raise ValueError('must be names of hosts such as "pictures.example", without https://')
    return tuple(filter(None, hosts))


def parse_clock(value: object) -> time:
    """Read "06:00" as a local time of day."""
    if isinstance(value, time):
        return value
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", str(value).strip())
    if not match:
        raise ValueError('must be a time of day such as "06:00"')
    return time(int(match[1]), int(match[2]))


def since_midnight(clock: time) -> timedelta:
    """Measure how long after midnight a time of day is."""
    return timedelta(hours=clock.hour, minutes=clock.minute)


def _check_address(value: str) -> str:
    if value and not re.fullmatch(ADDRESS, value):
        raise ValueError('must be a bare ASCII address such as "brief@news.example"')
    return value


def check_picture_url(url: str) -> str:
    """Give back the address of a picture that mail can show; raises `ValueError` for another."""
    if not _PICTURE_URL.fullmatch(url):
        raise ValueError('must be such as "https://pictures.example/harbor.jpg"')
    if re.search(r"\.svgz?(?:[?#]|$)", url, re.IGNORECASE):
        raise ValueError("leads to an SVG, which mail does not show; use PNG or JPEG")
    return url


def picture_host(url: str) -> str:
    """Give the host that an address is fetched from; it was checked when it was read."""
    match = _PICTURE_URL.fullmatch(url)
    assert match, url
    return match[1].lower()


def check_alt(alt: str) -> str:
    """Give back what a picture shows in words; raises `ValueError` where nobody said it."""
    if not alt.strip():
        raise ValueError("is missing")
    if re.search(r"\.(?:avif|bmp|gif|heic|jpe?g|png|svg|tiff?|webp)$", alt, re.IGNORECASE):
        raise ValueError("is a file name; say in it what the picture shows")
    return alt


def single_line(value: str) -> str:
    """Give back what is one line; raises `ValueError` for a control character."""
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("must be one line without control characters")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Clock = Annotated[time, BeforeValidator(parse_clock)]
Days = Annotated[tuple[str, ...], BeforeValidator(parse_days)]
Command = Annotated[tuple[str, ...], BeforeValidator(parse_command)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(parse_hosts)]
Line = Annotated[str, AfterValidator(single_line)]
Address = Annotated[str, AfterValidator(_check_address)]
PictureUrl = Annotated[Line, Field(max_length=2_000), AfterValidator(check_picture_url)]
SECOND = timedelta(seconds=1)


class Section(BaseModel):
    """A table of `newsletter.toml`: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
