"""An operator's templates in a process of their own: what they may take, and what is said then."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from newsletter.briefs.model import Brief, Source
from newsletter.editions.model import Edition, Window
from newsletter.errors import (
    ConfigurationError,
    InputError,
    NewsletterError,
    Problem,
    TemplateError,
    TemporaryError,
)
from newsletter.render import apart
from newsletter.render.apart import Limits, within_limits, write_error
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import CompiledEdition
from newsletter.render.templates import TemplateSet, find_templates
from newsletter.settings import EditionSettings, Publication, Templates, Vocabulary

PUBLICATION = Publication(
    name="Morning Ledger",
    sender="Ledger <ledger@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
)
EDITION = Edition(
    date=date(2026, 11, 23),
    window=Window(
        start=datetime(2026, 11, 22, tzinfo=UTC), cut_off=datetime(2026, 11, 23, tzinfo=UTC)
    ),
    subject="Harbor vote",
    preheader="",
    briefs=(
        Brief(
            title="Harbor \ud800 <city>",
            summary="A vote was held.",
            sources=(Source(name="post.example"),),
        ),
    ),
)
SETTINGS = Templates(timeout=timedelta(seconds=60), max_memory_mb=256)
SHORT = Templates(timeout=timedelta(seconds=2), max_memory_mb=256)
LONG = "'" + "x" * 1000 + "'"


def lay_out(edition: Edition, *, templates: TemplateSet) -> CompiledEdition:
    return compile_edition(
        edition,
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=templates,
        settings=EditionSettings(),
    )


def own(folder: Path, rows: str = "", **others: str) -> TemplateSet:
    """Write templates of an operator's own; rows begin in line 2 of the digest."""
    if rows:
        text = f"<mjml><mj-body><mj-section><mj-column><mj-text>\n{rows}</mj-text></mj-column>"
        (folder / "digest.mjml.j2").write_text(f"{text}</mj-section></mj-body></mjml>")
    for name, other in others.items():
        (folder / f"{name}.j2").write_text(other)
    return find_templates(folder)


def test_apart_the_same_bytes_come_out(tmp_path: Path) -> None:
    templates = own(tmp_path, extra="{# makes the folder the operator's own #}")
    assert templates.has_own
    compiled = within_limits(lay_out, templates, Templates())(EDITION, templates=templates)
    assert compiled == lay_out(EDITION, templates=templates)


def test_shipped_templates_stay_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "README.txt").write_text("Put your templates here.")
    assert not find_templates(tmp_path).has_own
    assert within_limits(lay_out, find_templates(tmp_path), SETTINGS) is lay_out
    assert within_limits(lay_out, find_templates(), SETTINGS) is lay_out
    (tmp_path / "locale").mkdir()
    (tmp_path / "locale/xx.po").touch()
    assert within_limits(lay_out, find_templates(tmp_path), SETTINGS) is not lay_out


TIME = "takes longer than the 2 seconds that templates have; look for a loop"
MEMORY = "takes more than the 256 MB of memory that templates have; look for a text"


@pytest.mark.parametrize(
    ("rows", "line", "problem"),
    [
        pytest.param(
            "a\n" + "".join(f"{{% for a{n} in {LONG} %}}" for n in range(5)) + "{% endfor %}" * 5,
            3,
            TIME,
            id="loops in loops",
        ),
        pytest.param(
            "{% macro m(n) %}{{ m(n - 1) ~ m(n - 1) if n }}{% endmacro %}\n{{ m(60) }}",
            2,
            TIME,
            id="a macro that calls itself twice",
        ),
        pytest.param(
            "{% set t = 'x' %}\n" + "{% set t = t ~ t %}" * 40, 3, MEMORY, id="a text that doubles"
        ),
        pytest.param(
            "{% set t = 'x' %}\n" + "{% set t = t|replace('x', 'xxxxxxxx') %}" * 15,
            3,
            MEMORY,
            id="a filter that multiplies",
        ),
        pytest.param("{{ '%1000000000d'|format(1) }}", 2, MEMORY, id="a wide number"),
        pytest.param("{{ 'x'|center(10 ** 10) }}", 2, MEMORY, id="a wide text"),
    ],
)
def test_a_bomb_gives_one_error(tmp_path: Path, rows: str, line: int, problem: str) -> None:
    templates = own(tmp_path, rows)
    settings = SHORT if problem is TIME else SETTINGS
    started = time.monotonic()
    with pytest.raises(TemplateError) as caught:
        within_limits(lay_out, templates, settings)(EDITION, templates=templates)
    assert problem in str(caught.value)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "digest.mjml.j2"), line)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 30  # two seconds, and what a loaded machine adds


def test_time_that_goes_by_in_c_is_time_all_the_same(tmp_path: Path) -> None:
    """No signal gets through to Python here; the watchdog does."""
    templates = own(tmp_path, extra="a")
    with pytest.raises(TemplateError, match="takes longer than the 2 seconds") as caught:
        within_limits(burn_in_c, templates, SHORT)(templates=templates)
    assert caught.value.file == tmp_path  # no template was running


def burn_in_c(*, templates: TemplateSet) -> CompiledEdition:
    raise AssertionError(templates, pow(7, int("10000000000")))


def test_what_kills_the_process_kills_no_other(tmp_path: Path) -> None:
    templates = own(tmp_path, extra="a")
    with pytest.raises(TemplateError, match=r"ends the process .*\(SIGABRT\)") as caught:
        within_limits(abort, templates, SETTINGS)(templates=templates)
    assert caught.value.file == tmp_path


def abort(*, templates: TemplateSet) -> CompiledEdition:
    raise AssertionError(templates, os.abort())


def test_more_than_can_be_mailed_is_not_handed_on(tmp_path: Path) -> None:
    text = "{% for a in " + LONG + " %}" + "x" * 6_000 + "\n{% endfor %}"
    (tmp_path / "digest.txt.j2").write_text(text)
    templates = find_templates(tmp_path)
    with pytest.raises(TemplateError, match=r"make [67],\d+,\d+ bytes, and may make 5,000,000"):
        within_limits(lay_out, templates, Templates())(EDITION, templates=templates)


def test_every_problem_of_a_template_comes_through(tmp_path: Path) -> None:
    templates = own(tmp_path, '<img src="//spy.example/a" />\n<script></script>')
    run = within_limits(lay_out, templates, SETTINGS)
    with pytest.raises(TemplateError) as apart_error:
        run(EDITION, templates=templates)
    with pytest.raises(TemplateError) as here:
        lay_out(EDITION, templates=templates)
    assert str(apart_error.value) == str(here.value)
    assert apart_error.value.problems == here.value.problems
    assert len(here.value.problems) == 3


def try_everything(*, templates: TemplateSet) -> CompiledEdition:
    """Run in the child: tell, in the error's sentence, what was there and what was refused."""
    attempts: dict[str, Callable[[], object]] = {
        "network": lambda: socket.create_connection(("127.0.0.1", 9)),
        "names": lambda: socket.getaddrinfo("news.example", 80),
        "programs": lambda: os.system("true"),
        "files": lambda: (templates.directories[0] / "x").write_text("x"),
    }
    told: dict[str, object] = {"environment": sorted(os.environ)}
    for name, attempt in attempts.items():
        try:
            told[name] = f"got {attempt()}"
        except OSError as error:
            told[name] = str(error)
    raise TemplateError(json.dumps(told))


def test_there_is_no_secret_and_no_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEWSLETTER_SECRET_KEY", "PGPASSWORD", "SOME_API_KEY"):
        monkeypatch.setenv(name, "hush")
    templates = own(tmp_path, extra="a")
    with pytest.raises(TemplateError) as caught:
        within_limits(try_everything, templates, SETTINGS)(templates=templates)
    told = json.loads(caught.value.problem)
    assert set(told.pop("environment")) <= apart._ENVIRONMENT | {"LC_CTYPE"}  # Python's own
    assert told.keys() == {"network", "names", "programs", "files"}
    assert {said.partition(" ")[2] for said in told.values()} == {"is not for templates"}
    assert not (tmp_path / "x").exists()


def fail(*, templates: TemplateSet) -> CompiledEdition:
    raise KeyError(str(templates.directories))


def test_a_fault_of_the_program_is_as_loud_as_ever(tmp_path: Path) -> None:
    templates = own(tmp_path, extra="a")
    with pytest.raises(RuntimeError, match="KeyError"):
        within_limits(fail, templates, SETTINGS)(templates=templates)


def test_without_an_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    templates = own(tmp_path, extra="a")
    with pytest.raises(TemporaryError, match="could not be started"):
        within_limits(fail, templates, SETTINGS)(templates=templates)


@pytest.mark.parametrize(
    "error",
    [
        TemplateError("a", file="b", line=3, mend="c"),
        TemplateError.of((Problem("a", file="b", line=3), Problem("d", mend="e"))),
        InputError("a", field="b"),
        ConfigurationError("a"),
    ],
)
def test_errors_come_back_as_they_were(error: NewsletterError) -> None:
    answer = json.dumps({"error": write_error(error)}).encode()
    with pytest.raises(type(error)) as caught:
        apart._read_answer(answer, Path("own"))
    back = caught.value
    assert back.problem == error.problem
    assert (str(back.file), back.line) == (str(error.file or "own"), error.line)
    assert (back.field, back.mend) == (error.field, error.mend)
    if isinstance(error, TemplateError) and isinstance(back, TemplateError):
        assert back.problems == error.problems


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"compiled": 1}',
        b'{"compiled": "AAAA"}',
        b'{"compiled": "eA=="}',
        b'{"error": {"problems": 3}}',
        b'{"error": {"problems": [], "family": "SystemExit", "problem": ""}}',
        b'{"error": {"problems": [["a", "b", "3", ""]]}}',
        b'{"error": {"problems": [], "family": "InputError", "problem": ["a"]}}',
        b"\x80\x04N.",
    ],
)
def test_an_answer_of_a_stranger_is_no_answer(answer: bytes) -> None:
    with pytest.raises(TemplateError, match="no answer that can be read"):
        apart._read_answer(answer, Path("own"))


@pytest.mark.parametrize(
    ("code", "said", "problem"),
    [
        (-signal.SIGXCPU, "", "own: takes longer"),
        (-signal.SIGKILL, "", "own: takes more than the 256 MB"),
        (-signal.SIGABRT, "memory allocation of 99 bytes failed", "own: takes more than"),
        (1, "Traceback\nMemoryError", "own: takes more than"),
        (1, 'Timeout (0:00:01)!\n  File "/a/b.mjml.j2", line 9 in root\n', "/a/b.mjml.j2: takes"),
        (-signal.SIGSEGV, "", "own: ends the process that lays out an edition (SIGSEGV)"),
        (-99, "", "own: ends the process that lays out an edition (signal 99)"),
    ],
)
def test_what_a_death_says(code: int, said: str, problem: str) -> None:
    limits = Limits.of(SETTINGS)
    assert str(apart._judge_death(code, said, limits, Path("own"))).startswith(problem)


def test_the_edition_goes_out_whole(tmp_path: Path) -> None:
    """Whatever a brief may say survives the way there, lone surrogates and all."""
    templates = own(tmp_path, extra="a")
    edition = replace(EDITION, subject="\ud800 \x00 \u202e")
    with pytest.raises(TemplateError) as caught:
        within_limits(echo, templates, SETTINGS)(edition, templates=templates)
    assert caught.value.problem == ascii(edition)


def echo(edition: Edition, *, templates: TemplateSet) -> CompiledEdition:
    raise TemplateError(ascii(edition), file=templates.directories[0])
