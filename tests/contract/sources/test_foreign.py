"""A kind of source that another package brings, installed as packages are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
[publication]
sender = "Brief <brief@news.example>"
list_id = "daily.news.example"
url = "https://news.example"

[[sources]]
kind = "{kind}"
{line}

[delivery]
relay = "eml:outbox"
"""
KINDS = "api, broken, feed, folder, mailbox, model, page, query, sitemap, weather"
MODULE = """
from pydantic import Field

from newsletter.briefs.model import Brief
from newsletter.briefs.sources.reading import Item, Reading, SourceContext, SourceKind
from newsletter.settings import SourceSettings


class WeatherSource(SourceSettings):
    station: str = Field(description="Name of the station.")

    @property
    def place(self) -> str:
        return self.station


def read_weather(source: WeatherSource, context: SourceContext) -> Reading:
    visits = int(context.validators.get("visits", "0")) + 1
    brief = Brief(title=f"Gale at {source.station}", summary="Stay inside.", id="gale")
    return Reading(
        items=(Item(brief=brief, origin=source.station),), validators={"visits": str(visits)}
    )


KIND = SourceKind(settings=WeatherSource, read=read_weather)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an installed distribution that declares kinds of sources."""
    site = tmp_path / "site"
    about = site / "weather_source-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "weather_source.py").write_text(MODULE)
    (site / "broken_source.py").write_text("raise RuntimeError('no such station')")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: weather-source\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[newsletter.sources]\nweather = weather_source:KIND\nbroken = broken_source:KIND\n"
        "model = weather_source:WeatherSource\nfolder = broken_source:KIND\n"
    )
    return site


def gather(root: Path, site: Path | None, kind: str, line: str) -> subprocess.CompletedProcess[str]:
    (root / "newsletter.toml").write_text(CONFIG.format(kind=kind, line=line))
    (root / "briefs").mkdir(exist_ok=True)
    path = [str(site)] if site else []
    return subprocess.run(
        [sys.executable, "-m", "newsletter", "gather"],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*path, *filter(None, sys.path)]),
            "NEWSLETTER_SECRET_KEY": "k" * 40,
            "COLUMNS": "400",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_kind_of_another_package_works(tmp_path: Path, site: Path) -> None:
    first = gather(tmp_path, site, "weather", 'station = "Kilm"')
    assert first.returncode == 0, first.stderr
    assert "Kilm" in first.stdout + first.stderr
    again = gather(tmp_path, site, "weather", 'station = "Kilm"')
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("kind", "line", "said"),
    [
        ("wether", "", f'"wether" is no kind of source; the kinds are {KINDS}'),
        ("broken", "", "cannot be loaded (RuntimeError: no such station)"),
        ("model", "", "gives no SourceKind (weather_source:WeatherSource)"),
        ("weather", "", "sources #1.station: is required"),
        ("weather", 'station = "Kilm"\nstaton = 1', "sources #1.staton: is not a setting"),
    ],
)
def test_a_kind_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, site: Path, kind: str, line: str, said: str
) -> None:
    ran = gather(tmp_path, site, kind, line)
    assert ran.returncode == 78
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_package_is_not_loaded_before_it_is_named(tmp_path: Path, site: Path) -> None:
    (tmp_path / "briefs").mkdir()
    ran = gather(tmp_path, site, "folder", 'path = "briefs"')  # its "folder" is not ours
    assert ran.returncode == 0, ran.stderr
