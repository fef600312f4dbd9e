"""What others say of the demo's mail: a spam filter, and the W3C's checker of HTML."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from newsletter.mail import decode_message

MOST_POINTS = 0.0
"""SpamAssassin calls spam what has five; lists of its own rules want less than none."""


def find_checker() -> Path | None:
    """Find the W3C's checker: where VNU_JAR says, or among the packages of npm here."""
    named = os.environ.get("VNU_JAR")
    root = Path(__file__).parents[2]
    found = Path(named) if named else root / "node_modules/vnu-jar/build/dist/vnu.jar"
    return found if found.is_file() else None


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Sequence[bytes]:
    """Send the demo, and give every message of it."""
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "newsletter", "demo", "--no-serve", "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    return [path.read_bytes() for path in sorted(out.glob("*.eml"))]


def ask_checker(jar: Path, files: Sequence[Path]) -> list[Any]:
    """Run the checker; its Java needs more stack than it has by default."""
    command = ["java", "-Xss8m", "-jar", str(jar), "--format", "json", "--exit-zero-always"]
    ran = subprocess.run(
        [*command, *map(str, files)], capture_output=True, text=True, check=True, timeout=300
    )
    found: list[Any] = json.loads(ran.stderr)["messages"]
    return found


@pytest.mark.skipif(
    shutil.which("spamassassin") is None, reason="needs SpamAssassin: apt-get install spamassassin"
)
def test_a_spam_filter_has_nothing_against_it(messages: Sequence[bytes], tmp_path: Path) -> None:
    ran = subprocess.run(
        ["spamassassin", "-t", "-L"],  # by its rules alone, without asking the network
        input=messages[0],
        capture_output=True,
        check=True,
        timeout=120,
        env=os.environ | {"HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
    )
    verdict = message_from_bytes(ran.stdout, policy=policy.default)["X-Spam-Status"]
    score = re.search(r"score=(-?[\d.]+)", verdict)
    assert score, verdict
    assert float(score[1]) <= MOST_POINTS, verdict


@pytest.mark.skipif(
    shutil.which("java") is None or find_checker() is None,
    reason="needs the W3C's checker: apt-get install default-jre-headless; npm install vnu-jar",
)
def test_the_w3c_finds_no_error(messages: Sequence[bytes], tmp_path: Path) -> None:
    jar = find_checker()
    assert jar is not None
    files = []
    for number, (_, html) in enumerate(map(decode_message, messages)):
        if html:  # some readers want plain text
            files.append(tmp_path / f"{number}.html")
            files[-1].write_text(html, encoding="utf-8")
    wrong = tmp_path / "wrong.html"
    wrong.write_text(files[0].read_text(encoding="utf-8").replace("<h1", '<h1 align="x"><p', 1))
    found = ask_checker(jar, [*files, wrong])
    errors = [message for message in found if message["type"] == "error"]
    assert any(message["url"].endswith("wrong.html") for message in errors), "it looks at nothing"
    assert [e for e in errors if not e["url"].endswith("wrong.html")] == []
