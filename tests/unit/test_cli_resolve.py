"""Who is settled how: by name before the log, by the log before `all`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import typer

from newsletter.cli.resolving import _Plan, _plan, shown_plan
from newsletter.delivery.inquiry import Doubt
from newsletter.delivery.relay_log import Taken
from newsletter.editions.model import Window
from newsletter.editions.shelf import EditionRecord
from newsletter.errors import AudienceError, RefusedError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RECORD = EditionRecord(
    id=1,
    date=date(2026, 11, 23),
    kind="daily",
    state="sent",
    reason="",
    subject="",
    preheader="",
    window=Window(start=NOW, cut_off=NOW),
    dated_at=NOW,
    not_after=NOW,
    created_at=NOW,
    sent_at=NOW,
    has_compiled=True,
)
DOUBTS = [
    Doubt(subscriber_id=n, email=f"reader{n}@example.org", via="r #1", reply="lost", since=NOW)
    for n in range(1, 5)
]
LOG = Path("mail.log")
BY_LOG = "mail.log has it as QUEUE, queued"


def plan(accepted: list[str], again: list[str], *logged: int) -> _Plan:
    taken = {number: Taken(queue_id="QUEUE", said="queued") for number in logged}
    return _plan(RECORD, DOUBTS, accepted, again, taken, LOG)


def test_nothing_is_settled_unasked() -> None:
    assert plan([], []) == _Plan(accepted={}, again={})
    assert shown_plan(plan([], [])) == ""


def test_names_may_be_repeated_joined_by_commas_and_written_anyhow() -> None:
    found = plan(["Reader1@EXAMPLE.org, reader2@example.org"], ["reader3@example.org"])
    assert found == _Plan(accepted={1: "by hand", 2: "by hand"}, again={3: "by hand"})
    assert shown_plan(found) == (
        "Record 2 readers as accepted and send again to 1 reader, who may then have it twice"
    )


@pytest.mark.parametrize("option", ["accepted", "again"])
def test_all_are_those_whom_nothing_else_names(option: str) -> None:
    """Evidence goes before a sweeping word: who is in the log is not sent a second copy."""
    sweeping = ["reader4@example.org", "all"]
    found = plan(*((sweeping, []) if option == "accepted" else ([], sweeping)), 1, 2)
    rest = {3: "by hand", 4: "by hand"}
    logged = {1: BY_LOG, 2: BY_LOG}
    wanted = (logged | rest, {}) if option == "accepted" else (logged, rest)
    assert found == _Plan(accepted=wanted[0], again=wanted[1])


def test_who_is_named_goes_before_the_log() -> None:
    found = plan([], ["reader1@example.org"], 1, 2)
    assert found == _Plan(accepted={2: BY_LOG}, again={1: "by hand"})


def test_contradictions_are_refused() -> None:
    with pytest.raises(typer.BadParameter, match="is named in --accepted too"):
        plan(["reader1@example.org"], ["reader1@example.org"])
    with pytest.raises(typer.BadParameter, match="all of them are --accepted already"):
        plan(["all"], ["all"])


def test_who_is_not_in_doubt_is_refused_by_name() -> None:
    with pytest.raises(RefusedError) as refused:
        plan(["reader1@example.org", "reader9@example.org"], [])
    assert str(refused.value) == (
        "reader9@example.org is not in doubt in the edition of 2026-11-23; "
        "`newsletter explain reader9@example.org` tells how it stands."
    )
    with pytest.raises(AudienceError):
        plan(["nobody"], [])
