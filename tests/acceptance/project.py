"""A publication on disk, and the command line run on it: in this process, or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from newsletter.cli import main
from tests.acceptance.terminal import Terminal

KEY = "acceptance-test-key-0123456789abcdef"

CONFIG = """\
[publication]
name = "Harbor Daily"
sender = "Harbor Daily <daily@news.example>"
list_id = "daily.news.example"
url = "https://news.example"
timezone = "{timezone}"
postal_address = "14 Quay Street, Port Alder"
[[sources]]
kind = "folder"
path = "briefs"
{more}
[delivery]
relay = "{relay}"
connections = {connections}
durability = "{durability}"
{delivery}
"""

BRIEF = """\
{title}
AFBytes Brief
The harbor authority reopened the north quay on Monday, a week ahead of plan. Two ferries had
been moored upstream since the storm.
Why this matters
Commuters regain the shorter crossing.
Quick take
- Money Angle
- Ticket sales had fallen by a third.
- Who Benefits
- Market traders near the quay.
Perspectives on this story
AI-generated analytical lenses meant to encourage you to think across multiple frames. \
Not attributed to any individual; not presented as fact.
Household Impact
How this affects family budgets, jobs, and day-to-day life.
A crossing takes twenty minutes again instead of fifty.
AFBytes analysis is AI-assisted and generated from source metadata, article summaries, and \
topic context. It is intended to help readers think through implications, not replace the \
original reporting from quayside.example. See our AI and Summary Disclosure for details.
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Project:
    """A folder with newsletter.toml, briefs and a key."""

    def __init__(
        self,
        root: Path,
        *,
        relay: str = "eml:outbox",
        connections: int = 10,
        timezone: str = "UTC",
        more: str = "",
        durability: str = "process",
        delivery: str = "",
    ) -> None:
        self.root = root
        (root / "briefs").mkdir(parents=True, exist_ok=True)
        self.config = root / "newsletter.toml"
        self.config.write_text(
            CONFIG.format(
                relay=relay,
                connections=connections,
                timezone=timezone,
                more=more,
                durability=durability,
                delivery=delivery,
            )
        )

    def write_brief(self, name: str = "quay.txt", title: str = "North Quay Reopens Early") -> Path:
        path = self.root / "briefs" / name
        path.write_text(BRIEF.format(title=title).replace("had\nbeen", "had been"))
        return path

    def write_readers(self, count: int) -> Path:
        path = self.root / "readers.csv"
        rows = "".join(f"reader{n}@example.org,Reader {n},form\n" for n in range(1, count + 1))
        path.write_text("email,name,consent_source\n" + rows)
        return path

    def import_readers(self, count: int) -> None:
        ran = self.run("subscribers", "import", str(self.write_readers(count)))
        assert ran.code == 0, ran.err

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "newsletter", *arguments],
            cwd=self.root,
            env=self._environment(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def running(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a command for the length of a block; what still runs then is killed (-9).

        A test that fails within is told what the command had to say.
        """
        with self.start(*arguments, env=env) as process:
            try:
                yield process
            except BaseException as error:
                process.kill()
                error.add_note(process.communicate()[1])
                raise
            finally:
                process.kill()

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ran:
        """Type a command in this process, to its end: most take less than to start another."""
        out, err = BytesIO(), BytesIO()
        surroundings = self._environment(env or {})
        with (
            pytest.MonkeyPatch.context() as patch,
            Path(os.devnull).open() as nothing,
            redirect_stdout(TextIOWrapper(out, "utf-8", write_through=True)),
            redirect_stderr(TextIOWrapper(err, "utf-8", write_through=True)),
        ):
            for name in os.environ.keys() - surroundings:
                patch.delenv(name)
            for name, value in surroundings.items():
                patch.setenv(name, value)
            patch.chdir(self.root)
            patch.setattr(sys, "stdin", nothing)
            patch.setattr(sys, "argv", ["newsletter", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
            assert isinstance(ended.value.code, int)
            return Ran(ended.value.code, out.getvalue().decode(), err.getvalue().decode())

    def run_apart(
        self, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 300
    ) -> Ran:
        """Run a command to its end in a process of its own, where that is what is proved."""
        with self.start(*arguments, env=env) as process:
            try:
                out, err = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Ran(process.returncode, out, err)

    def show(self, *arguments: str) -> Terminal:
        """Start a command in a terminal."""
        command = [sys.executable, "-W", "error", "-m", "newsletter", *arguments]
        return Terminal(command, cwd=self.root, env=self._environment({}))

    def counts(self) -> dict[str, int]:
        """Give the newest edition's deliveries by state."""
        counts: dict[str, int] = self.run("status", "--json").document["editions"][0]["counts"]
        return counts

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NEWSLETTER_")}
        ours = {
            "NEWSLETTER_SECRET_KEY": KEY,
            "NEWSLETTER_EDITION__BROWSER_CHECKS": "false",
            "NEWSLETTER_WEB__LISTEN": "",
        }
        return kept | ours | {"COLUMNS": "200"} | dict(more)


def one_sentence(ran: Ran) -> str:
    """Give the error as an operator reads it; fail on a traceback or more than one line."""
    lines = [line for line in ran.err.splitlines() if line.startswith("newsletter: ")]
    assert len(lines) == 1, ran.err
    assert "Traceback" not in ran.err
    assert lines[0].endswith("."), lines[0]
    return lines[0]
