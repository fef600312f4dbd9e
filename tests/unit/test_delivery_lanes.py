"""Relays of the configuration: their passwords' files, and each of them once."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.delivery.lanes import build_lanes, read_relays
from newsletter.errors import ConfigurationError
from newsletter.settings import Delivery, Publication, RelaySettings, Settings


def configure(root: Path, second: str) -> Settings:
    relay = RelaySettings(url=second, password_file=Path("backup.secret"))
    publication = Publication(
        sender="daily@news.example", list_id="daily.news.example", url="https://news.example"
    )
    return Settings(
        publication=publication,
        delivery=Delivery(relay="smtp://relay.example:587"),
        relays=(relay,),
        root=root,
    )


def test_a_password_is_read_from_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "backup.secret"
    settings = configure(tmp_path, "smtp://daily@backup.example:587")
    with pytest.raises(ConfigurationError, match=r"backup\.secret, relays\.password_file: cannot"):
        read_relays(settings)
    secret.write_text("open sesame\n")
    secret.chmod(0o640)
    with pytest.raises(ConfigurationError, match="can be read by others; run `chmod 600"):
        read_relays(settings)
    secret.chmod(0o600)
    assert [relay.password for relay in read_relays(settings)] == ["", "open sesame"]
    assert [lane.name for lane in build_lanes(settings)] == [
        "smtp://relay.example:587",
        "smtp://backup.example:587",
    ]


def test_no_relay_is_named_twice(tmp_path: Path) -> None:
    (tmp_path / "backup.secret").touch(0o600)
    with pytest.raises(ConfigurationError, match="named twice; leave one of them out"):
        build_lanes(configure(tmp_path, "smtp://relay.example:587"))
