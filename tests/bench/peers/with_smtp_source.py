"""Postfix's smtp-source: one process in C, every connection kept open."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.bench.contestants import find_program
from tests.bench.peers.measuring import SENDER, measure, read_order, report

order = read_order()
program = find_program("smtp-source")
assert program is not None


def send(lines: Path) -> int:
    subprocess.run(
        [
            str(program),
            "-d",
            *("-s", str(order.connections)),
            *("-m", str(order.messages)),
            *("-F", str(lines)),
            *("-M", "news.example", "-f", SENDER, "-t", "reader@example.org"),
            f"inet:{order.host}:{order.port}",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return order.messages


with tempfile.NamedTemporaryFile(dir=order.path.parent) as file:
    file.write(order.path.read_bytes().replace(b"\r\n", b"\n"))  # it ends each line itself
    file.flush()
    report(measure(lambda: send(Path(file.name))))
