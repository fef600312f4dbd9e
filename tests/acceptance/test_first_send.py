"""The README's first send, typed as it stands there."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from email import message_from_bytes, policy
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_first_send_works_as_it_is_written(tmp_path: Path) -> None:
    text = README.read_text()
    block = re.search(r"## Your first send.*?```\n(.*?)```", text, re.DOTALL)
    assert block is not None
    activate, *typed = block[1].splitlines()
    assert activate == ". .venv/bin/activate"
    assert typed[-1] == "newsletter send"
    typed[-1] += " --yes"  # nobody sits here to be asked

    kept = {k: v for k, v in os.environ.items() if not k.startswith("NEWSLETTER_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-e", "-c", "\n".join(typed)],
        cwd=tmp_path,
        env=kept | {"PATH": path, "BROWSER": "true", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert "Nobody was mailed. This is a draft" in ran.stdout
    assert "The relay accepted the mail of 1 reader." in ran.stdout

    made = tmp_path / "my-brief"
    assert stat.S_IMODE((made / ".env").stat().st_mode) == 0o600
    (mail,) = (made / "outbox").iterdir()
    message = message_from_bytes(mail.read_bytes(), policy=policy.default)
    assert message["Subject"] == "Town Library Opens Its Doors on Sundays"
    assert message["To"] == "You <you@example.org>"
    for line in typed[1:]:
        assert f"  {line.removesuffix(' --yes')}" in ran.stdout, "init says another next step"


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    precious = tmp_path / "newsletter.toml"
    precious.write_text("precious")
    ran = subprocess.run(
        [sys.executable, "-m", "newsletter", "init", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert precious.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["newsletter.toml"]
