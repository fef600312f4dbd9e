"""Where pages stand on the web: paths from the publication's address, which are permanent."""

from __future__ import annotations

from datetime import date

from newsletter.editions.model import Kind, name_edition

ARCHIVE_PATH = "/editions"
SEARCH_PATH = "/search"
SUBSCRIBE_PATH = "/subscribe"
FEEDBACK_STEP = "/feedback"
"""Behind a brief's path: where it is said what one thinks of it."""


def edition_path(day: date, kind: Kind = "daily") -> str:
    """Give the path of an edition's page, as the mail links to it."""
    return f"{ARCHIVE_PATH}/{name_edition(day, kind)}"


def brief_path(day: date, number: int, kind: Kind = "daily") -> str:
    """Give the path of a brief's page; briefs are counted from 1."""
    return f"{edition_path(day, kind)}/briefs/{number}"
