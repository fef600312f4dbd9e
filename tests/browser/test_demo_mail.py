"""The demo's own mail, made as its readers get it, passes every check that needs a browser."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from newsletter.audience.reader import Reader
from newsletter.demo.newsroom import FeedServer, write_newsroom
from newsletter.mail import decode_message
from newsletter.press import Press
from newsletter.press.addressing import sample_message
from newsletter.publish import prepare
from newsletter.render.browser_checks import check_in_browser
from newsletter.settings import load_settings
from newsletter.store import open_database
from tests.browser.chromium import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM


def make_demo_html(root: Path) -> str:
    now = datetime.now(UTC)
    with FeedServer(now=now) as feeds:
        config = write_newsroom(
            root, now=now, smtp_port=1, feed_port=feeds.port, secret_key="k" * 40
        )
        settings = load_settings(config, environment=False)
        database = open_database(settings.database_url)
        try:
            press = Press(settings, database, lambda: now)
            printed = prepare(press, press.today()).printed
            assert printed is not None
            assert len(printed.edition.briefs) == 12
            reader = Reader(subscriber_id=1, email="reader@example.org", name="Ada")
            return decode_message(sample_message(press, printed, reader).content)[1]
        finally:
            database.close()


def test_every_check_passes(tmp_path: Path) -> None:
    looks: list[str] = []
    findings = check_in_browser(make_demo_html(tmp_path), on_look=looks.append)
    assert len(findings) == 11
    assert [finding for finding in findings if finding.status != "pass"] == []
    assert looks[:2] == ["light", "dark"]
