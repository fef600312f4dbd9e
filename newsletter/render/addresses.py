"""Where pages stand on the web: paths from the publication's address, which are permanent."""

from __future__ import annotations

import re
from datetime import date
from urllib.parse import quote, unquote

from newsletter.editions.model import Kind, name_edition

ARCHIVE_PATH = "/editions"
SEARCH_PATH = "/search"
SUBSCRIBE_PATH = "/subscribe"
FEEDBACK_STEP = "/feedback"
"""Behind a brief's path: where it is said what one thinks of it."""

COUNTED_PATH = "/go"
"""Where a link leads through that is counted."""
_SECURE = "https://"
_COUNTED = r"{root}/go/[\w-]+\?to=([\w%/:@?=~.-]+)"


def edition_path(day: date, kind: Kind = "daily") -> str:
    """Give the path of an edition's page, as the mail links to it."""
    return f"{ARCHIVE_PATH}/{name_edition(day, kind)}"


def brief_path(day: date, number: int, kind: Kind = "daily") -> str:
    """Give the path of a brief's page; briefs are counted from 1."""
    return f"{edition_path(day, kind)}/briefs/{number}"


def shorten_link(address: str, root: str) -> str:
    """Write an address as a counted link carries it: one of ours, under `root`, by its path."""
    return address.removeprefix(root if address.startswith(f"{root}/") else _SECURE)


def expand_link(link: str, root: str) -> str:
    """Give the address that `shorten_link` wrote."""
    if link.startswith("/"):
        return root + link
    return link if link.startswith("http://") else _SECURE + link


def build_counted(token: str, link: str, root: str) -> str:
    """Give the address that leads to a link and counts it; `token` signs the link.

    It says where it leads, and a program that appends a parameter of its own breaks nothing.
    """
    return f"{root}{COUNTED_PATH}/{token}?to={quote(link, safe='/:@?=~')}"


def read_directly(text: str, root: str) -> str:
    """Give a text with what its counted links lead to in their place."""
    counted = _COUNTED.format(root=re.escape(root))
    return re.sub(counted, lambda found: expand_link(unquote(found[1]), root), text, flags=re.ASCII)
