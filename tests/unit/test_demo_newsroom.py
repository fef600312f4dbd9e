import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import feedparser
import httpx2
import pytest

from newsletter.demo.newsroom import FeedServer, write_newsroom
from newsletter.settings import FeedSource, FolderSource, Settings, load_settings

NOW = datetime(2031, 3, 9, 12, 0, 30, 123456, tzinfo=UTC)
KEY = "k" * 43


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_newsroom(
        tmp_path / "demo", now=NOW, smtp_port=2525, feed_port=8181, secret_key=KEY
    )


@pytest.fixture(scope="module")
def feeds() -> Iterator[httpx2.Client]:
    with (
        FeedServer(now=NOW) as server,
        httpx2.Client(
            base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=60
        ) as client,
    ):
        yield client


def test_the_project_can_be_loaded(config: Path) -> None:
    settings = load_settings(config)
    assert settings.publication.name == "Harbor Daily"
    assert settings.delivery.relay == "smtp://127.0.0.1:2525?tls=none"
    assert settings.secret_keys == (KEY.encode(),)
    folder, *feeds = settings.sources
    assert isinstance(folder, FolderSource)
    assert settings.path(folder.path).is_dir()
    assert [f.url for f in feeds if isinstance(f, FeedSource) and f.allow_private] == [
        "http://127.0.0.1:8181/wire.xml",
        "http://127.0.0.1:8181/islands.json",
    ]
    assert Path(settings.database_url.removeprefix("sqlite:///")).parent == config.parent


def test_the_lenses_keep_the_names_of_the_default_ones(config: Path) -> None:
    ours = load_settings(config).vocabulary.lenses
    default = Settings.model_fields["vocabulary"].default.lenses
    assert [lens.name for lens in ours] == [lens.name for lens in default]
    assert [bool(lens.caveat) for lens in ours] == [bool(lens.caveat) for lens in default]


def test_the_key_is_nobody_elses_to_read(config: Path) -> None:
    assert (config.parent / ".env").stat().st_mode & 0o777 == 0o600


def test_the_readers_come_along(config: Path) -> None:
    with (config.parent / "subscribers.csv").open(encoding="utf-8", newline="") as file:
        assert "email" in next(csv.reader(file))


def test_folder_files_are_of_the_last_hours(config: Path) -> None:
    files = sorted((config.parent / "briefs").iterdir())
    assert [file.name for file in files] == [
        "chip-packaging-plant.html",
        "chip-packaging-plant.yaml",
        "council-and-library.txt",
        "grocery-prices.md",
        "shore-power.txt",
        "shore-power.yaml",
        "weekly-pill.json",
    ]
    for file in files:
        written = datetime.fromtimestamp(file.stat().st_mtime, tz=UTC)
        assert timedelta(minutes=10) < NOW - written < timedelta(hours=8)
        text = file.read_text("utf-8")
        assert "{{" not in text
        assert "{%" not in text


def test_dates_inside_documents_are_of_the_last_hours(config: Path) -> None:
    document = json.loads((config.parent / "briefs" / "weekly-pill.json").read_text("utf-8"))
    assert_recent(datetime.fromisoformat(document["published_at"]))
    markdown = (config.parent / "briefs" / "grocery-prices.md").read_text("utf-8")
    assert_recent(datetime.fromisoformat(markdown.split('"')[1]))


def assert_recent(moment: datetime) -> None:
    assert timedelta(minutes=10) < NOW - moment < timedelta(hours=8)


def test_the_rss_feed_is_well_formed_and_fresh(feeds: httpx2.Client) -> None:
    answer = feeds.get("/wire.xml")
    parsed = feedparser.parse(answer.content)
    assert not parsed.bozo
    assert len(parsed.entries) == 3
    for entry in parsed.entries:
        assert_recent(parsedate_to_datetime(entry.published))
        assert entry.tags
        assert entry.link.startswith("https://wire.example/news/article/rss:")
    full = [entry for entry in parsed.entries if "content" in entry]
    assert all("Perspectives on this story" in entry.content[0].value for entry in full)
    assert len(full) == 2


def test_the_json_feed_is_valid_and_fresh(feeds: httpx2.Client) -> None:
    document = feeds.get("/islands.json").json()
    assert document["version"] == "https://jsonfeed.org/version/1.1"
    assert len(document["items"]) == 3
    for item in document["items"]:
        assert_recent(datetime.fromisoformat(item["date_published"]))
        assert item["tags"]
        assert item["id"] in item["url"]
    full = document["items"][0]["content_text"].splitlines()
    assert full[1] == "Harbor Daily Brief"
    assert full[0] == document["items"][0]["title"]


@pytest.mark.parametrize("path", ["/wire.xml", "/islands.json"])
def test_an_unchanged_feed_is_not_sent_again(feeds: httpx2.Client, path: str) -> None:
    etag = feeds.get(path).headers["etag"]
    again = feeds.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert feeds.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/subsea-cable.txt", "/../newsroom.py", "/wire.xml/"])
def test_nothing_but_the_feeds_is_served(feeds: httpx2.Client, path: str) -> None:
    assert feeds.get(path).status_code == 404


def test_every_address_is_under_an_example_domain(config: Path, feeds: httpx2.Client) -> None:
    texts = [file.read_text("utf-8") for file in (config.parent / "briefs").iterdir()]
    texts += [feeds.get(path).text for path in ("/wire.xml", "/islands.json")]
    hosts = {host for text in texts for host in re.findall(r"https?://([^/\s\"<]+)", text)}
    formats = {"purl.org", "jsonfeed.org"}
    assert {host for host in hosts if not host.endswith(".example")} == formats
