"""The figures at /metrics over real sockets, who may see them, and health and readiness."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from newsletter.delivery.lifecycle import State
from newsletter.press.composing import gather
from newsletter.store import Database, open_database
from newsletter.watch.figures import Figures
from newsletter.web.app import running, serving
from newsletter.web.watching import build_metrics_app
from tests.integration.runs import Server
from tests.integration.watch.stage import DAY, SEVEN, Ward
from tests.postgres import Server as Postgres
from tests.postgres import open_schema

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def ask(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def read(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_a_day_is_counted(tmp_path: Path, database: Database) -> None:
    with Server() as server:
        server.at_rcpt = lambda recipient, _: "550 5.1.1 no" if recipient < "reader2" else ""
        ward = Ward(tmp_path, database, relay=server.url)
        figures = Figures(ward.press, ward.pulse)
        ward.watchdog().look()
        ward.keep(lambda: ward.pulse.outcomes.get(State.ACCEPTED) == 2 and is_sent(ward))
        relay = server.url.partition("?")[0]
        with serving(ward.press, "127.0.0.1:0", ward.pulse, figures) as address:
            assert ask(f"{address}/healthz") == (200, "alive\n")
            assert ask(f"{address}/u/damaged")[0] == 404
            ask(f"{address}/console/login")
            status, text = ask(f"{address}/metrics")
    assert status == 200
    samples = read(text)
    assert of(samples, "newsletter_deliveries_total", state="accepted") == 2
    assert of(samples, "newsletter_deliveries_total", state="failed") == 1
    assert of(samples, "newsletter_relay_replies_total", **{"relay": relay, "class": "2xx"}) == 2
    assert of(samples, "newsletter_relay_replies_total", **{"relay": relay, "class": "5xx"}) == 1
    of_day = {"edition": f"{DAY}", "state": "accepted"}
    assert of(samples, "newsletter_edition_deliveries", **of_day) == 2
    assert of(samples, "newsletter_queue") == 0
    assert of(samples, "newsletter_gatherings", status="read") >= 1
    assert of(samples, "newsletter_source_up", source="briefs") == 1
    assert of(samples, "newsletter_database_up") == 1
    for what in ("gather", "send", "schedule"):
        at = of(samples, "newsletter_last_success_timestamp_seconds", what=what)
        assert abs(at - SEVEN.timestamp()) < 60
    route = {"route": "/u/{token}", "method": "GET", "status": "4xx"}
    assert of(samples, "newsletter_http_request_seconds_count", **route) == 1
    assert 'route="/console/login"' in text
    assert "damaged" not in text  # a path may be a token


def is_sent(ward: Ward) -> bool:
    return ward.pulse.stirred.is_set()


def test_on_the_public_address_they_are_for_this_machine_alone(
    tmp_path: Path, database: Database
) -> None:
    ward = Ward(tmp_path, database, relay="eml:outbox")
    figures = Figures(ward.press, ward.pulse)
    with serving(ward.press, "127.0.0.1:0", ward.pulse, figures) as address:
        url = f"{address}/metrics"
        assert ask(url)[0] == 200
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            assert ask(url, {header: "203.0.113.5"})[0] == 404
        assert ask(url, {"Host": "evil.example"})[0] == 404
        assert ask(url, {"Host": "localhost:8000"})[0] == 200


@pytest.mark.parametrize("listen", ["off", "127.0.0.1:0"])
def test_elsewhere_or_off_they_are_not_on_the_public_address(
    tmp_path: Path, database: Database, listen: str
) -> None:
    ward = Ward(tmp_path, database, relay="eml:outbox", metrics={"listen": listen})
    figures = Figures(ward.press, ward.pulse)
    with serving(ward.press, "127.0.0.1:0", ward.pulse, figures) as address:
        assert ask(f"{address}/metrics")[0] == 404
    with running(build_metrics_app(figures), "127.0.0.1:0", field="metrics.listen") as address:
        assert ask(f"{address}/metrics", {"Host": "watcher.example"})[0] == 200
        assert ask(f"{address}/healthz")[0] == 404


def test_it_is_ready_while_the_schedule_turns(tmp_path: Path, database: Database) -> None:
    ward = Ward(tmp_path, database, relay="eml:outbox")
    with serving(ward.press, "127.0.0.1:0", ward.pulse) as address:
        status, text = ask(f"{address}/readyz")
        assert (status, json.loads(text)) == (503, {"database": "ready", "schedule": "not ready"})
        ward.pulse.beat()
        assert ask(f"{address}/readyz")[0] == 200


@pytest.mark.postgres
def test_it_is_not_ready_without_its_database_and_says_so_in_its_figures(tmp_path: Path) -> None:
    with Postgres() as postgres, open_schema(postgres.url) as url:
        database = open_database(url)
        ward = Ward(tmp_path, database, relay="eml:outbox")
        ward.pulse.beat()
        figures = Figures(ward.press, ward.pulse)
        with serving(ward.press, "127.0.0.1:0", ward.pulse, figures) as address:
            assert ask(f"{address}/readyz")[0] == 200
            postgres.kill()
            status, text = ask(f"{address}/readyz")
            assert (status, json.loads(text)["database"]) == (503, "not ready")
            assert ask(f"{address}/healthz")[0] == 200
            assert of(read(ask(f"{address}/metrics")[1]), "newsletter_database_up") == 0
            postgres.start()
            assert ask(f"{address}/readyz")[0] == 200
        database.close()


def test_every_figure_of_the_dashboard_exists(tmp_path: Path, database: Database) -> None:
    with Server() as server:
        ward = Ward(tmp_path, database, relay=server.url)
        figures = Figures(ward.press, ward.pulse)
        ward.watchdog().look()
        ward.keep(lambda: is_sent(ward))
        figures.requests.labels("/u/{token}", "GET", "2xx").observe(0.01)
        gather(ward.press)
        written = read(figures.write().decode())
    names = {name for name, _ in written}
    labels: dict[str, set[str]] = {}
    for name, pairs in written:
        labels.setdefault(name, set()).update(label for label, _ in pairs)
    dashboard = json.loads((files("newsletter.watch") / "dashboard.json").read_text())
    used = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for expression in used for name in re.findall(r"newsletter_\w+", expression)}
    assert len(used) >= 15
    assert asked <= names, asked - names
    bare = {name.removesuffix("_bucket").removesuffix("_count") for name in asked}
    written_families = text_string_to_metric_families(figures.write().decode())
    families = {each.name for each in written_families if not each.name.endswith("_created")}
    assert families == {name.removesuffix("_total") for name in bare}  # and none is left out
    for expression in used:
        (name,) = set(re.findall(r"newsletter_\w+", expression))
        grouped = re.findall(r"by \(([^)]*)\)", expression)
        wanted = {label.strip() for group in grouped for label in group.split(",")}
        assert wanted <= labels[name], expression


def test_figures_are_kept_for_a_moment_however_many_ask(tmp_path: Path, database: Database) -> None:
    ward = Ward(tmp_path, database, relay="eml:outbox")
    figures = Figures(ward.press, ward.pulse)
    before = read(figures.write().decode())
    ward.now += timedelta(hours=1)
    ward.watchdog().look()
    assert read(figures.write().decode()) == before
