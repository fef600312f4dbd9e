"""Settings: what an operator writes, and the one sentence that answers what is wrong in it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from newsletter.errors import ConfigurationError
from newsletter.settings import (
    KINDS,
    SOURCES,
    DkimKey,
    DomainSettings,
    EditionSettings,
    FurtherEdition,
    LogoSettings,
    Publication,
    RelaySettings,
    Section,
    Settings,
    Webhook,
    describe_settings,
    is_daily,
    is_optional,
    load_settings,
    parse_clock,
    parse_command,
    parse_days,
    parse_duration,
    source_name,
)

KEY = "k" * 43
PUBLICATION = """\
[publication]
name = "AFBytes Brief"
sender = "AFBytes Brief <brief@news.example>"
list_id = "daily.news.example"
url = "https://news.example"          # public address for links
timezone = "America/New_York"
language = "en"
postal_address = "1 Example Street, Springfield"
"""
SAMPLE = (
    PUBLICATION
    + """\
[schedule]
gather_at = "06:00"
send_at = "07:00"
days = "mon-sun"
max_lateness = "6h"
[[sources]]
kind = "folder"
path = "briefs"
[[sources]]
kind = "feed"
url = "https://wire.example/feed.xml"
[delivery]
relay = "smtp://user@relay.example:587"   # password in NEWSLETTER_DELIVERY__RELAY_PASSWORD
connections = 10
rate = 0                                   # messages a second, 0 = as the relay allows
in_doubt = "hold"
[database]
url = "sqlite:///newsletter.db"
[web]
listen = "127.0.0.1:8000"
"""
)

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a configuration from text, `.env` and environment, none of it from this machine."""

    def load_text(
        text: str | bytes = SAMPLE,
        *,
        dotenv: str | bytes = f"NEWSLETTER_SECRET_KEY={KEY}\n",
        variables: dict[str, str] | None = None,
        environment: bool = True,
    ) -> Settings:
        for name, content in (("newsletter.toml", text), (".env", dotenv)):
            (tmp_path / name).write_bytes(
                content if isinstance(content, bytes) else content.encode()
            )
        for variable, value in (variables or {}).items():
            monkeypatch.setenv(variable, value)
        return load_settings(tmp_path, environment=environment)

    return load_text


def refusal(load: Load, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(*args, **kwargs)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert not sentence.endswith("..")
    assert caught.value.exit_code == 78
    return sentence


def further(*lines: str) -> str:
    """Write a further edition, some lines of it otherwise."""
    written = {"name": '"evening"', "gather_at": '"16:30"', "send_at": '"17:00"'}
    written |= dict(line.split(" = ") for line in lines)
    body = "".join(f"{name} = {value}\n" for name, value in written.items())
    return f"[[editions]]\n{body}"


# -- what loads ------------------------------------------------------------------------------------


def test_the_sample_loads(load: Load, tmp_path: Path) -> None:
    settings = load()
    assert settings.publication.sender_address == "brief@news.example"
    assert settings.publication.sender_name == "AFBytes Brief"
    assert settings.publication.sender_domain == "news.example"
    assert settings.publication.zone.key == "America/New_York"
    assert settings.schedule.gather_at == time(6, 0)
    assert settings.schedule.max_lateness == timedelta(hours=6)
    assert [source_name(source) for source in settings.sources] == [
        "briefs",
        "https://wire.example/feed.xml",
    ]
    assert settings.delivery.connections == 10
    assert settings.database_url == f"sqlite:///{tmp_path}/newsletter.db"
    assert settings.path("briefs") == tmp_path / "briefs"
    assert settings.secret_keys == (KEY.encode(),)


def test_further_editions_go_by_the_rules_of_all(load: Load) -> None:
    text = SAMPLE.replace('days = "mon-sun"', 'days = "mon-sat"\nholidays = ["12-25"]')
    settings = load(text + further('for = "all"') + further('name = "noon"', 'days = "sun"'))
    assert settings.daily_kinds == ("daily", "evening", "noon")
    evening, noon = settings.find_schedule("evening"), settings.find_schedule("noon")
    assert evening is not None
    assert noon is not None
    assert (evening.send_at, evening.max_lateness) == (time(17), timedelta(hours=6))
    assert evening.days == ("mon", "tue", "wed", "thu", "fri", "sat")
    assert noon.days == ("sun",)
    assert evening.holidays == noon.holidays == ("12-25",)
    assert [settings.find_schedule(kind) for kind in ("weekly", "special", "dusk")] == [None] * 3
    assert settings.is_for_all("evening")
    assert not settings.is_for_all("noon")
    names = [settings.publication_of(kind).name for kind in ("daily", "evening")]
    assert names == ["AFBytes Brief", "AFBytes Brief Evening"]
    assert [is_daily(kind) for kind in (*settings.daily_kinds, *KINDS)] == [
        *(True, True, True),
        *(True, False, False, False),
    ]
    every = dict.fromkeys((*settings.daily_kinds, *KINDS))
    assert [kind for kind in every if is_optional(kind)] == ["evening", "noon", "weekly"]


def test_the_shipped_starter_loads(load: Load) -> None:
    starter = Path(__file__).parents[2] / "newsletter/cli/starter/newsletter.toml"
    assert load(starter.read_bytes()).delivery.relay == "eml:outbox"


def test_environment_beats_dotenv_beats_file(load: Load) -> None:
    dotenv = f"NEWSLETTER_SECRET_KEY={KEY}\nNEWSLETTER_DELIVERY__CONNECTIONS=20\n"
    assert load().delivery.connections == 10
    assert load(dotenv=dotenv).delivery.connections == 20
    variables = {"NEWSLETTER_DELIVERY__CONNECTIONS": "30"}
    settings = load(dotenv=dotenv, variables=variables)
    assert settings.delivery.connections == 30
    assert settings.delivery.relay == "smtp://user@relay.example:587", "the rest stays"


def test_without_the_environment_only_the_files_count(load: Load) -> None:
    variables = {"NEWSLETTER_DELIVERY__RELAY": "smtp://real.example", "NEWSLETTER_SECRET_KEY": "x"}
    settings = load(variables=variables, environment=False)
    assert settings.delivery.relay == "smtp://user@relay.example:587"
    assert settings.secret_keys == (KEY.encode(),)


def test_variables_speak_like_the_file(load: Load) -> None:
    settings = load(
        variables={
            "NEWSLETTER_SCHEDULE__DAYS": "mon-fri",
            "NEWSLETTER_SCHEDULE__SEND_AT": "05:30",
            "NEWSLETTER_DELIVERY__RETRY_AFTER": "90s",
            "NEWSLETTER_DELIVERY__RELAY_PASSWORD": "123",
            "NEWSLETTER_PUBLICATION__NAME": "Ünïcode",
        }
    )
    assert settings.schedule.days == ("mon", "tue", "wed", "thu", "fri")
    assert settings.schedule.send_at == time(5, 30)
    assert settings.delivery.retry_after == timedelta(seconds=90)
    assert settings.delivery.relay_password.get_secret_value() == "123"
    assert settings.publication.name == "Ünïcode"


def test_variables_of_others_are_left_alone(load: Load) -> None:
    dotenv = f"COMPOSE_PROJECT_NAME=x\nNEWSLETTER_SECRET_KEY={KEY}\n"
    assert load(dotenv=dotenv, variables={"NEWSLETTER_TEST_POSTGRES": "x"})


def test_a_byte_order_mark_is_no_fault(load: Load) -> None:
    mark = b"\xef\xbb\xbf"
    windows = SAMPLE.replace("\n", "\r\n").encode()
    assert load(mark + windows, dotenv=mark + f"NEWSLETTER_SECRET_KEY={KEY}\r\n".encode())


def test_several_keys_newest_first(load: Load) -> None:
    settings = load(dotenv=f"NEWSLETTER_SECRET_KEY={'n' * 32}, {'o' * 32},\n")
    assert settings.secret_keys == (b"n" * 32, b"o" * 32)


def test_a_dotenv_that_others_may_read_still_loads(load: Load, tmp_path: Path) -> None:
    load()
    (tmp_path / ".env").chmod(0o644)
    assert load_settings(tmp_path / "newsletter.toml").secret_keys


def test_the_file_may_be_named_or_found_here(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load()
    monkeypatch.chdir(tmp_path)
    assert load_settings().root == tmp_path
    assert load_settings(Path("newsletter.toml")).root == tmp_path
    assert load_settings(tmp_path).root == tmp_path


def test_lists_and_times_of_toml_are_understood(load: Load) -> None:
    settings = load(PUBLICATION + '[schedule]\ndays = ["wed", "mon"]\nsend_at = 05:30:00\n')
    assert settings.schedule.days == ("mon", "wed")
    assert settings.schedule.send_at == time(5, 30)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////var/lib/news.db", "sqlite:////var/lib/news.db"),
        ("sqlite://", "sqlite://"),
        ("postgresql://news@db.example/news", "postgresql://news@db.example/news"),
    ],
)
def test_other_database_addresses_stay(load: Load, url: str, expected: str) -> None:
    assert load(PUBLICATION + f'[database]\nurl = "{url}"\n').database_url == expected


@pytest.mark.parametrize(
    ("sender", "name", "address"),
    [
        ("brief@news.example", "", "brief@news.example"),
        ("<brief@news.example>", "", "brief@news.example"),
        ("Brief <brief@news.example>", "Brief", "brief@news.example"),
        ("Brief, Daily <brief@news.example>", "Brief, Daily", "brief@news.example"),
        (r'"Brief \"Daily\", Inc" <b@news.example>', 'Brief "Daily", Inc', "b@news.example"),
        (" Zoë (News) <b+x@xn--e1afmkfd.example> ", "Zoë (News)", "b+x@xn--e1afmkfd.example"),
    ],
)
def test_senders(sender: str, name: str, address: str) -> None:
    publication = Publication(
        name="Fallback", sender=sender, list_id="a.b", url="https://news.example"
    )
    assert publication.sender_name == (name or "Fallback")
    assert publication.sender_address == address


# -- what is refused -------------------------------------------------------------------------------


def replaced(line: str, by: str) -> str:
    assert line in SAMPLE
    return SAMPLE.replace(line, by)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (replaced("connections", "conections"), "delivery.conections: is not a setting"),
        (replaced("[web]", "[webb]"), "webb: is not a setting"),
        ("root = '/x'\n" + SAMPLE, "root: is not a setting"),
        (replaced('list_id = "daily.news.example"\n', ""), "publication.list_id: is required"),
        (replaced('path = "briefs"\n', ""), "sources #1.path: is required"),
        (
            replaced(
                'kind = "folder"\npath = "briefs"', 'kind = "feed"\nurl = "wire.example/feed"'
            ),
            'sources #1.url: must begin with "https://" or "http://", and a host',
        ),
        (
            replaced('"6h"', '"six hours"'),
            'schedule.max_lateness: must be a duration such as "90s"',
        ),
        (replaced('"6h"', '"99999d"'), "schedule.max_lateness: must be at most 3650 days"),
        (replaced('"6h"', '"-6h"'), "schedule.max_lateness: must be a duration"),
        (replaced('"America/New_York"', '"Mars/Base"'), "publication.timezone: must be an IANA"),
        (replaced('"America/New_York"', '"../../etc"'), "publication.timezone: must be an IANA"),
        (replaced('"07:00"', '"25:00"'), 'schedule.send_at: must be a time of day such as "06:00"'),
        (replaced('"mon-sun"', '"mo-su"'), 'schedule.days: must name weekdays such as "mon-fri"'),
        (replaced('"mon-sun"', '""'), "schedule.days: must name weekdays"),
        (replaced("= 10", '= "many"'), "delivery.connections: must be a valid integer"),
        (replaced("= 10", "= 0"), "delivery.connections: must be greater than or equal to 1"),
        (replaced("rate = 0 ", "rate = nan "), "delivery.rate: must be a finite number"),
        (replaced('"hold"', '"drop"'), "delivery.in_doubt: must be 'hold' or 'retry'"),
        (replaced('"folder"', '"floder"'), 'sources #1: "floder" is no kind of source; the'),
        (SAMPLE.replace("[web]", "[[web]]"), "web: must be a table"),
        (replaced("<brief@news.example>", "<brief@nёws.example>"), "publication.sender: must be"),
        (replaced("<brief@news.example>", "brief"), "publication.sender: must be an ASCII address"),
        (replaced("AFBytes Brief <", "A\\nB <"), "publication.sender: must be one line"),
        (replaced('"daily.news.example"', '"daily news"'), "publication.list_id: must look like"),
        (replaced("https://news.example", "news.example"), "publication.url: must be a web"),
        (replaced("https://news.example", "https://новости.example"), "publication.url: must be"),
        (replaced("https://news.example", "https://a@news.example"), "publication.url: must be"),
        (replaced("https://news.example", "https://n.example/a,b"), "publication.url: must be"),
        (
            replaced('language = "en"', 'language = "e\\u0007n"'),
            "publication.language: must be one",
        ),
        (replaced('language = "en"', 'reply_to = "A <a@b.example>"'), "publication.reply_to: must"),
        (replaced('language = "en"', 'bounce_address = "a b@c"'), "publication.bounce_address: mu"),
        (
            replaced(
                'kind = "feed"\nurl = "https://wire.example/feed.xml"',
                'kind="folder"\npath="briefs"',
            ),
            'sources: two are called "briefs"; give one a name of its own',
        ),
        (
            SAMPLE + further('name = "daily"'),
            "editions #1.name: is the name of editions",
        ),
        (
            SAMPLE + further('name = "late night"'),
            "editions #1.name: must be one word of",
        ),
        (SAMPLE + further('name = "2nd"'), "editions #1.name: must be one word of"),
        (SAMPLE + further() + further(), 'editions: two are called "evening"; give one another'),
        (SAMPLE + further('for = "some"'), "editions #1.for: must be 'chosen' or 'all'"),
        (SAMPLE + further('audience = "all"'), "editions #1.audience: is not a setting"),
        (
            SAMPLE + further('gather_at = "18:00"'),
            "editions #1: send_at is before gather_at; an",
        ),
        (SAMPLE + further('days = "monday"'), "editions #1.days: must name weekdays such as"),
        (SAMPLE + '[[editions]]\nname = "dusk"\n', "editions #1.gather_at: is required"),
        (
            SAMPLE
            + further('gather_at = "00:10"', 'send_at = "00:20"')
            + '[review]\ndeadline = "30m"\n',
            "review: deadline reaches into the day before the send_at of the evening edition; cho",
        ),
        ("[publication\n" + SAMPLE, ": is not TOML (Expected ']'"),
        (SAMPLE + "[web]\n", ": is not TOML"),
        (SAMPLE.encode("utf-16"), ": is not UTF-8; save it as UTF-8."),
        (replaced("Springfield", "Köln").encode("latin-1"), ": is not UTF-8"),
        ("", "publication: is required; add it."),
        ("publication = 3", "publication: must be a table"),
    ],
)
def test_faults_in_the_file(load: Load, tmp_path: Path, text: str | bytes, said: str) -> None:
    sentence = refusal(load, text)
    assert sentence.startswith(f"{tmp_path / 'newsletter.toml'}")
    assert said in sentence


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("NEWSLETTER_DELIVERY__CONECTIONS", "5", "is not a setting"),
        ("NEWSLETTER_DELIVERY__CONNECTIONS", "five", "must be a valid integer"),
        ("NEWSLETTER_DELIVERY__RETRY_AFTER", "0s", "must be greater than or equal to 1 second"),
        ("NEWSLETTER_PUBLICATION__TIMEZONE", "Nowhere", "must be an IANA time zone"),
        ("NEWSLETTER_DELIVERY", "smtp://relay.example", "must be a table or a list"),
        ("NEWSLETTER_SOURCES", "briefs", "must be a table or a list; set it in newsletter.toml"),
    ],
)
def test_faults_in_variables(
    load: Load, tmp_path: Path, variable: str, value: str, said: str
) -> None:
    sentence = refusal(load, dotenv=f"NEWSLETTER_SECRET_KEY={KEY}\n{variable}={value}\n")
    assert sentence.startswith(f"{tmp_path / '.env'}, {variable}: ")
    assert said in sentence
    sentence = refusal(load, variables={variable: value})
    assert sentence.startswith(f"{variable}: ")
    assert said in sentence


def test_a_misspelt_variable_in_dotenv(load: Load, tmp_path: Path) -> None:
    dotenv = f"NEWSLETTER_SECRET_KEY={KEY}\nNEWSLETTER_DELIVRY__RELAY=eml:x\n"
    sentence = refusal(load, dotenv=dotenv)
    assert f"{tmp_path / '.env'}, NEWSLETTER_DELIVRY__RELAY: is not a setting" in sentence


def test_a_dotenv_that_cannot_be_read(load: Load, tmp_path: Path) -> None:
    sentence = refusal(load, dotenv=b"NEWSLETTER_SECRET_KEY=\xff\xfe")
    assert sentence == f"{tmp_path / '.env'}: is not UTF-8; save it as UTF-8."


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "the signing key is missing"),
        (" , ,", "the signing key is missing"),
        ("k" * 31, "the signing key is shorter than 32 characters"),
        ("k" * 40 + ",short", "the signing key is shorter than 32 characters"),
    ],
)
def test_the_signing_key(load: Load, tmp_path: Path, key: str, said: str) -> None:
    sentence = refusal(load, dotenv=f'NEWSLETTER_SECRET_KEY="{key}"\n')
    assert sentence.startswith(f"NEWSLETTER_SECRET_KEY: {said}; put one into {tmp_path}/.env")
    assert "k" * 31 not in sentence


def test_no_file_at_all(tmp_path: Path) -> None:
    for given_path in (tmp_path, tmp_path / "newsletter.toml"):
        with pytest.raises(ConfigurationError, match=r"no such file; run `newsletter init DIR`"):
            load_settings(given_path)


def test_several_faults_are_counted(load: Load) -> None:
    text = replaced("= 10", "= 0").replace('"6h"', '"x"')
    assert "(and 1 more)" in refusal(load, text)


# -- secrets ---------------------------------------------------------------------------------------

SECRET = "hunter2-" * 6


def test_no_secret_is_shown(load: Load) -> None:
    settings = load(
        replaced("sqlite:///newsletter.db", f"postgresql://news:{SECRET}@db.example/news"),
        variables={
            "NEWSLETTER_SECRET_KEY": SECRET,
            "NEWSLETTER_DELIVERY__RELAY_PASSWORD": SECRET,
            "NEWSLETTER_DELIVERY__RELAY": f"smtp://user:{SECRET}@relay.example",
        },
    )
    parts = (settings, settings.delivery, settings.database)
    for shown in (form(part) for form in (repr, str) for part in parts):
        assert "hunter2" not in shown
    assert "hunter2" not in json.dumps(settings.model_dump(include={"secret_key"}), default=str)


def test_no_error_shows_a_secret(load: Load) -> None:
    for variables in (
        {"NEWSLETTER_SECRET_KEY": "hunter2"},
        {"NEWSLETTER_SECRET_KEY": SECRET, "NEWSLETTER_DELIVERY__RATE": "x"},
        {"NEWSLETTER_DELIVERY__RELAY_PASSWORD__X": SECRET},
        {"NEWSLETTER_DELIVERY__RELAY_PASSWROD": SECRET},
        {"NEWSLETTER_DELIVERY__RELAY": f"smtp://{SECRET}\n@relay.example"},
        {"NEWSLETTER_DELIVERY": SECRET},
    ):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            assert "hunter2" not in refusal(load)


# -- the table -------------------------------------------------------------------------------------


def names_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found |= names_of(field.annotation, f"{prefix}{name}.")
        else:
            found.add(prefix + (field.alias or name))
    return found


def test_every_setting_is_described() -> None:
    rows = list(describe_settings())
    names = [row.name for row in rows]
    assert len(names) == len(set(names))
    expected = names_of(Settings) - {"root", "sources"}
    for kind, model in SOURCES.items():
        expected |= names_of(model, f"sources[{kind}].")
    expected -= {"dkim", "relays", "domains", "webhooks", "look.logo", "editions"}
    expected |= names_of(Webhook, "webhooks[].")
    expected |= names_of(FurtherEdition, "editions[].")
    expected |= names_of(DkimKey, "dkim[].") | names_of(LogoSettings, "look.logo.")
    expected |= names_of(RelaySettings, "relays[].") | names_of(DomainSettings, "domains[].")
    expected |= {f"vocabulary.lenses[].{name}" for name in ("name", "descriptor", "caveat")}
    assert set(names) == expected
    for row in rows:
        assert row.help.endswith("."), row.name
        assert "Undefined" not in row.default


def test_defaults_are_shown_as_they_are_written() -> None:
    shown = {row.name: row.default for row in describe_settings()}
    assert shown["schedule.days"] == "mon-sun"
    assert shown["schedule.gather_at"] == "06:00"
    assert shown["schedule.max_lateness"] == "6h"
    assert shown["delivery.retry_after"] == "5m"
    assert shown["sources[feed].timeout"] == "20s"
    assert shown["sources[feed].allow_private"] == "false"
    assert shown["publication.list_id"] == "required"
    assert shown["secret_key"] == ""
    assert shown["delivery.ca_file"] == ""


# -- small grammars --------------------------------------------------------------------------------


@given(st.integers(0, 3600), st.sampled_from("smhd"))
def test_durations(number: int, unit: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    assert parse_duration(f" {number} {unit} ") == timedelta(seconds=number * seconds)


def test_a_bare_number_is_seconds() -> None:
    assert parse_duration(90) == parse_duration("90") == timedelta(seconds=90)
    assert parse_duration(1.5) == timedelta(seconds=1.5)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none()))
def test_any_other_duration_is_a_value_error(value: object) -> None:
    for parse in (parse_duration, parse_clock, parse_days, parse_command):
        with contextlib.suppress(ValueError):  # and nothing else: pydantic reports only that
            parse(value)


def test_a_command_is_a_list_or_a_line_with_quotes() -> None:
    assert parse_command(["token", "--for", "a b"]) == ("token", "--for", "a b")
    assert parse_command("token --for 'a b'") == ("token", "--for", "a b")
    assert parse_command("") == ()
    with pytest.raises(ValueError, match="must close its quotes"):
        parse_command("token 'a")


def test_weekdays_may_go_over_the_weekend() -> None:
    assert parse_days("sat-mon") == ("mon", "sat", "sun")
    assert parse_days("Sun, tue") == ("tue", "sun")
    assert parse_days("wed-wed") == ("wed",)
    assert parse_days(("mon", "fri")) == ("mon", "fri")


def test_sections_are_a_list_of_topics_or_a_table_of_them() -> None:
    def read(sections: object) -> object:
        return EditionSettings.model_validate({"sections": sections}).sections

    assert read(["Markets", "Sport"]) == (("Markets", ("Markets",)), ("Sport", ("Sport",)))
    assert read("Markets, Sport") == read(["Markets", "Sport"])
    table = {"Money": ["Markets", "Jobs"], "Sport": ["Sport"]}
    assert read(table) == (("Money", ("Markets", "Jobs")), ("Sport", ("Sport",)))
    assert read([]) == ()
    for wrong, problem in (
        (["Sport", "sport"], "has a heading twice"),
        ({"Money": []}, "has a heading, or a topic, that is empty"),
        ([""], "has a heading, or a topic, that is empty"),
        (7, "tuple"),
        ([7], "tuple"),
    ):
        with pytest.raises(ValidationError, match=problem):
            read(wrong)


def test_standard_briefs_count_on_from_the_full_ones() -> None:
    with pytest.raises(ValidationError, match="standard_briefs needs full_briefs"):
        EditionSettings(standard_briefs=3)
    assert EditionSettings(standard_briefs=3, full_briefs=0).standard_briefs == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"events": "edition.gone"}, "edition.gone"),
        ({"url": "ftp://desk.example/"}, "https://desk.example/hook"),
        ({"secret": "written out"}, "variable in braces"),
    ],
)
def test_a_webhook_that_could_not_work_is_refused(wrong: dict[str, str], said: str) -> None:
    given = {"url": "https://desk.example/hook", "secret": "{HOOK}", "events": "edition.* "}
    assert Webhook.model_validate(given).wants("edition.sent")
    assert not Webhook.model_validate(given).wants("reader.bounced")
    with pytest.raises(ValidationError, match=re.escape(said)):
        Webhook.model_validate(given | wrong)
