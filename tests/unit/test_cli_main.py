"""What happens around every command: which files load, and how faults end."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

import newsletter.cli as cli
from newsletter import __version__
from newsletter.cli.writing import build_system_error, writing_to
from newsletter.errors import ConfigurationError, NewsletterError, RefusedError, StorageError

_HEAVY = ("sqlalchemy", "alembic", "pydantic_settings", "fastapi", "premailer", "feedparser")


def _loaded_by(*words: str) -> list[str]:
    """Name the heavy packages that a command line has loaded when it ends."""
    program = (
        "import sys\nfrom newsletter.cli import main\n"
        f"sys.argv = ['newsletter', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('\\n' + ' '.join(name for name in {_HEAVY!r} if name in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return ran.stdout.decode().splitlines()[-1].split()


def test_what_needs_no_room_loads_none() -> None:
    assert _loaded_by("--version") == []
    assert _loaded_by("--help") == []
    assert _loaded_by("nonsense") == []
    assert _loaded_by("init", "--help") == []


def test_status_loads_no_parser_and_no_web_server() -> None:
    assert not set(_loaded_by("status", "--help")) & {"fastapi", "premailer", "feedparser"}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], ""),
        (["--help"], ""),
        (["nonsense"], ""),
        (["--version"], ""),
        (["send", "--version"], "send"),
        (["--config", "status", "send"], "send"),
        (["--config=status", "send"], "send"),
        (["-c", "x.toml"], ""),
    ],
)
def test_only_the_asked_command_is_built(words: list[str], asked: str) -> None:
    assert cli._find_asked(words) == asked


@pytest.mark.parametrize(
    ("words", "hoisted"),
    [
        (["send", "--config", "x.toml", "--yes"], ["--config", "x.toml", "send", "--yes"]),
        (["send", "-c", "x.toml"], ["-c", "x.toml", "send"]),
        (["send", "--config=x.toml"], ["--config=x.toml", "send"]),
        (["send", "--config"], ["send", "--config"]),
        (["x", "--", "--config", "y"], ["x", "--", "--config", "y"]),
    ],
)
def test_config_may_stand_on_either_side(words: list[str], hoisted: list[str]) -> None:
    assert cli._hoist_config(words) == hoisted


def test_the_help_of_all_says_what_that_of_each_begins_with() -> None:
    whole = get_command(cli.build_app())
    assert isinstance(whole, TyperGroup)
    begins = {
        name: " ".join((command.help or "").partition("\n\n")[0].split())
        for name, command in whole.commands.items()
    }
    assert begins == cli._HELP
    told = CliRunner().invoke(cli.build_overview(), ["--help"], env={"COLUMNS": "200"}).stdout
    shown = re.findall(r"│ (\w+) +(\S.*?) +│", told.partition("Commands")[2])
    assert shown == list(cli._HELP.items())
    assert list(cli._HELP) == list(cli._FILES)


def test_the_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["newsletter", "--version"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"newsletter {__version__}\n"


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (ConfigurationError("is wrong", file="a.toml", mend="mend it"), 78, "a.toml: is wrong"),
        (RefusedError("makes no sense"), 1, "makes no sense."),
        (OSError(errno.ENOSPC, "No space left on device"), 75, "free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 1, "x: the system refused"),
        (UnicodeEncodeError("ascii", "a…", 1, 2, "no"), 78, "PYTHONIOENCODING: the output takes"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_faults_end_in_one_sentence_and_a_code(
    fault: BaseException,
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(_names: object) -> Callable[[object], None]:
        raise fault

    monkeypatch.setattr(cli, "build_app", build)
    monkeypatch.setattr(sys, "argv", ["newsletter", "status"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == (1 if said else 0)


def test_a_full_disk_is_worth_another_try() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert isinstance(build_system_error(full), StorageError)
    assert build_system_error(OSError(errno.EIO, "I/O error")).exit_code == 1
    with (
        pytest.raises(StorageError, match="somewhere: cannot be written"),
        writing_to(Path("somewhere")),
    ):
        raise full
    with pytest.raises(NewsletterError, match="name a place"), writing_to(Path("somewhere")):
        raise FileExistsError(errno.EEXIST, "File exists")
