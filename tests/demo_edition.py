"""The demo's edition, gathered and composed as `newsletter demo` does it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from newsletter.demo.newsroom import FeedServer, write_newsroom
from newsletter.press import Press, Printed
from newsletter.publish import prepare
from newsletter.settings import Settings, load_settings
from newsletter.store import open_database

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def print_demo(directory: Path) -> tuple[Settings, Printed]:
    """Gather the demo's folder and feeds into a database of its own, and print its edition."""
    with FeedServer(now=NOW) as feeds:
        config = write_newsroom(
            directory, now=NOW, smtp_port=2525, feed_port=feeds.port, secret_key="k" * 43
        )
        settings = load_settings(config)
        database = open_database(settings.database_url, durability="process")
        try:
            printed = prepare(Press(settings, database, lambda: NOW), NOW.date()).printed
        finally:
            database.close()
    assert printed is not None
    return settings, printed
