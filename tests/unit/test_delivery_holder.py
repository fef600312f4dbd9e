"""Who holds a run: a process that is gone is known to be gone, any other is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from newsletter.delivery.holder import describe_self, is_gone, shown_holder

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
CHILD = """
from newsletter.delivery.holder import describe_self
print(describe_self(), flush=True)
input()
"""


@contextmanager
def child() -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def test_this_process_runs() -> None:
    assert not is_gone(describe_self())
    assert describe_self() == describe_self()


def test_a_living_child_runs_a_killed_one_is_gone() -> None:
    with child() as (process, name):
        assert name != describe_self()
        assert not is_gone(name)
        process.send_signal(signal.SIGKILL)
        # Not waited for yet: a zombie has ended, whatever the table of processes says.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(name)
        process.wait()
        assert is_gone(name)


def test_a_stopped_process_is_not_gone() -> None:
    with child() as (process, name):
        process.send_signal(signal.SIGSTOP)
        assert not is_gone(name)


def test_a_number_used_again_is_another_process() -> None:
    machine, number, started = describe_self().split("|")
    assert is_gone(f"{machine}|{number}|{int(started) - 1}")


def test_of_another_machine_or_an_earlier_boot_nothing_is_known() -> None:
    machine, number, _started = describe_self().split("|")
    host, boot, space = machine.split(" ")
    for other in (f"other {boot} {space}", f"{host} {'0' * 36} {space}", f"{host} {boot} 1"):
        assert not is_gone(f"{other}|{number}|1")


@pytest.mark.parametrize("rest", ["", "|", "|x|1", "|1", "|1|", "|-1|5", "|../../etc|5"])
def test_a_name_that_says_too_little_is_not_gone(rest: str) -> None:
    machine = describe_self().partition("|")[0]
    assert not is_gone(machine + rest)
    assert not is_gone(rest)


def test_it_is_shown_for_people() -> None:
    assert shown_holder("mill.example 1-2-3 4026|712|99") == "process 712 on mill.example"
