"""The machine: settings, secrets, database, disk, Python and its packages."""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from newsletter.doctor.check import Check, skipped, wanting, well, wrong
from newsletter.errors import NewsletterError, StorageError, UnfamiliarDatabase
from newsletter.press import Press
from newsletter.settings import Settings
from newsletter.store import Database
from newsletter.store.installation import check_familiar
from newsletter.watch.looking import measure_disks, read_beat

_PYTHONS = ((3, 11), (3, 13))
_SECRET = re.compile(
    r"""(?im)^\s*(?:\w*password|\w*secret|secret_key|apprise|token)\s*=\s*["'](?!["'])"""
)
_LONGEST_SILENCE = timedelta(minutes=5)
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?(?P<rest>[^;]*)(?P<marker>;.*)?"
)


def check_secrets(settings: Settings, config: Path) -> Iterator[Check]:
    """Check who may read the files that hold secrets, the one with the settings among them."""
    yield well("settings", f"{config} can be read and is whole.")
    exposed = []
    for file in (settings.root / ".env", config):
        try:
            mode = file.stat().st_mode
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            continue
        holds = file.name == ".env" or bool(_SECRET.search(text))
        if holds and mode & (stat.S_IRWXG | stat.S_IRWXO):
            exposed.append(str(file))
    if exposed:
        yield wrong(
            "secrets",
            f"others on this machine can read {' and '.join(exposed)}, which holds secrets.",
            f"run chmod 600 {' '.join(exposed)}",
        )
    else:
        yield well("secrets", "the files with secrets can be read by their owner alone.")


def check_database(database: Database | None, error: NewsletterError | None) -> Check:
    """Check that the database can be reached, is of this version, and can be written to."""
    if database is None:
        assert error is not None
        return wrong("database", error.finding, error.mend or "see the README on databases")
    try:
        with database.writing(discarded=True) as connection:
            connection.exec_driver_sql("DELETE FROM beats WHERE name = ''")
    except StorageError as refusal:
        return wrong("database", refusal.finding, refusal.mend)
    kind = "SQLite" if database.is_sqlite else "PostgreSQL"
    return well("database", f"the database ({kind}) is of this version and can be written to.")


def check_installation(press: Press) -> Check:
    """Check that the database is the one that this machine sent from last."""
    if press.installation is None:
        return skipped("installation", "database.installation is empty: a restored copy is sent.")
    try:
        with press.database.reading() as connection:
            found = check_familiar(connection, press.installation)
    except (UnfamiliarDatabase, StorageError) as error:
        return wrong("installation", error.finding, error.mend)
    if not found.id:
        return skipped("installation", "nothing was sent from this database yet.")
    return well("installation", "the database is the one that this machine sent from last.")


def check_disk(settings: Settings) -> Check:
    """Check the space that is left where the publication writes."""
    free = measure_disks(settings)
    least = settings.alerts.disk_free_mb
    said = ", ".join(f"{mb:,} MB at {place}" for place, mb in free.items())
    if any(mb < least for mb in free.values()):
        return wrong("disk", f"free are {said}; wanted are {least:,} MB.", "make room")
    return well("disk", f"free are {said}.")


def check_schedule(press: Press) -> Check:
    """Check that somebody keeps the schedule."""
    with press.database.reading() as connection:
        at = read_beat(connection)
    if at is None:
        return skipped("schedule", "newsletter serve was never started.")
    if press.now() - at > _LONGEST_SILENCE:
        return wanting(
            "schedule",
            f"newsletter serve last looked at {at:%Y-%m-%d %H:%M} UTC.",
            "start it, unless you send by hand",
        )
    return well("schedule", "newsletter serve runs.")


def check_python() -> Check:
    """Check Python and the packages that the program needs."""
    found = sys.version_info[:2]
    shown = f"Python {found[0]}.{found[1]}"
    missing = sorted(_list_missing())
    if missing:
        return wrong(
            "python", f"{', '.join(missing)} is missing or too old.", "install the program anew"
        )
    if not _PYTHONS[0] <= found <= _PYTHONS[1]:
        return wanting(
            "python", f"{shown} is not one that this version was tried with.", "use 3.11 to 3.13"
        )
    return well("python", f"{shown}, and every package that is needed.")


def _list_missing() -> Iterator[str]:
    try:
        needed = requires("newsletter") or []
    except PackageNotFoundError:  # run from a checkout that was never installed
        return
    for requirement in needed:
        matched = _REQUIREMENT.match(requirement)
        if matched is None or "extra" in (matched["marker"] or ""):
            continue
        least = re.search(r">=\s*([0-9][0-9.]*)", matched["rest"])
        try:
            is_old = least is not None and _read(version(matched["name"])) < _read(least[1])
        except PackageNotFoundError:
            yield matched["name"]
        else:
            if is_old:
                yield matched["name"]


def _read(number: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", number.partition("+")[0])[:4])


def check_clock(offset_seconds: float | None, whose: str) -> Check:
    """Check this machine's clock against another's; None where no other could be asked."""
    if offset_seconds is None:
        return skipped("clock", "no other clock could be asked.")
    seconds = abs(offset_seconds)
    said = (
        f"this machine's clock is {seconds:,.0f} s {'ahead of' if offset_seconds > 0 else 'behind'}"
    )
    if seconds > 300:
        return wrong("clock", f"{said} {whose}'s.", "have the system keep time (NTP)")
    if seconds > 30:
        return wanting("clock", f"{said} {whose}'s.", "have the system keep time (NTP)")
    return well("clock", f"this machine's clock agrees with {whose}'s.")


def measure_offset(date: str, now: datetime) -> float | None:
    """Measure how far `now` is ahead of an HTTP date, in seconds; None for what is no date."""
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(date)
        return (now - moment).total_seconds() if moment.tzinfo else None
    except (TypeError, ValueError):
        return None
