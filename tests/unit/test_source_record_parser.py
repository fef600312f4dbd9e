"""What the parser of records reads, and what it does without."""

from __future__ import annotations

import subprocess
import sys

from newsletter.briefs.sources.record_parser import PARTS
from newsletter.settings import BRIEF_PARTS


def test_every_part_of_a_brief_is_read() -> None:
    assert PARTS == BRIEF_PARTS


def test_it_starts_without_what_takes_longer_than_a_record() -> None:
    code = (
        "import sys, newsletter.briefs.sources.record_parser as _\n"
        "slow = {'feedparser', 'newsletter.settings', 'pydantic'}\n"
        "sys.exit(', '.join(slow & {*sys.modules}) or 0)"
    )
    started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (started.returncode, started.stderr) == (0, "")
