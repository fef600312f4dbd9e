"""`newsletter serve` sends by itself at its time, once, also when it is killed in that minute."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.acceptance.project import Project
from tests.acceptance.sink import Sink

READERS = 2000


def test_it_sends_once_though_it_is_killed_and_started_again(tmp_path: Path) -> None:
    with Sink(tmp_path) as sink:
        # The next minute but one if this one is nearly over: a send time is given in minutes.
        moment = datetime.now(UTC) + timedelta(seconds=65 if datetime.now(UTC).second > 50 else 60)
        project = Project(tmp_path / "publication", relay=sink.url, connections=2)
        at = moment.strftime("%H:%M")
        config = project.config.read_text() + f'[schedule]\ngather_at = "{at}"\nsend_at = "{at}"\n'
        project.config.write_text(config)
        project.write_brief()
        project.import_readers(READERS)

        with project.running("serve"):
            assert sink.wait_for(10, seconds=90)
            assert datetime.now(UTC).strftime("%H:%M") == at

        with project.running("serve"):
            assert sink.wait_for(READERS - 2, seconds=60)
            time.sleep(2)

        with project.running("serve") as process:  # and once more: nothing is left to send
            assert process.stderr is not None
            assert any("next at" in line for line in process.stderr), "it never came up"
            time.sleep(2)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=15)
            assert process.returncode == 0, err
            assert "stopped" in err
        accepted = sink.accepted

    counts = project.counts()
    assert max(accepted.values()) == 1
    assert counts["accepted"] + counts["in_doubt"] == READERS
    assert counts["in_doubt"] <= 2
    assert len(accepted) >= READERS - 2
