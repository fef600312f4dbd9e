"""What an operator can do about an edition and ask about a reader, typed as they would type it.

What sends, and what is typed while something sends, runs as a process of its own. Questions and
what is decided at rest are typed in this process: starting a second one takes longer than they.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.project import KEY, Project, Ran, one_sentence
from tests.acceptance.sink import Sink

WHO = r"\S+@\S+"


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    with Sink(tmp_path, keep_messages=True) as running:
        yield running


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", KEY)  # for what runs beside the project's own


def ask(project: Project, *words: str) -> Ran:
    return project.run(*words)


def count(project: Project) -> dict[str, int]:
    counts: dict[str, int] = ask(project, "status", "--json").document["editions"][0]["counts"]
    return counts


def build_project(folder: Path, sink: Sink, *, readers: int, delivery: str = "") -> Project:
    project = Project(folder / "publication", relay=sink.url, delivery=delivery)
    project.write_brief()
    project.import_readers(readers)
    return project


def today() -> date:
    return datetime.now(UTC).date()


def execute(project: Project, statement: str, *values: Any) -> None:
    """Change what only a misfortune changes."""
    with sqlite3.connect(project.root / "newsletter.db") as connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


def fold(text: str) -> str:
    return " ".join(text.split())


# -- pause, resume, cancel -------------------------------------------------------------------------


def test_a_paused_send_stops_at_once_and_goes_on_where_it_was(tmp_path: Path, sink: Sink) -> None:
    project = build_project(tmp_path, sink, readers=600, delivery="rate = 60")
    day = str(today())
    with project.running("send", "--yes") as sender:
        assert sink.wait_for(30, seconds=60)
        paused = project.run("pause", day)
        assert paused.code == 0, paused.err
        time.sleep(1)
        at_rest = sink.accepted.total()
        assert at_rest < 600
        _, err = sender.communicate(timeout=30)
    assert sender.returncode == 75
    assert f"the edition of {day} was paused meanwhile; `newsletter resume {day}`" in err
    assert sink.accepted.total() == at_rest, "nothing leaves a second after a pause"
    assert f"The edition of {day} is paused" in paused.out

    again = ask(project, "pause", day, "--json")
    assert (again.document["changed"], again.document["state"]) == (False, "paused")
    assert again.document["audience"] == sum(again.document["counts"].values()) == 600
    refused = project.run("send", "--yes")
    assert one_sentence(refused) == (
        f"newsletter: the edition of {day} is paused; `newsletter resume {day}` lets it be sent."
    )
    assert sink.accepted.total() == at_rest

    resumed = ask(project, "resume", day)
    assert f"or run `newsletter send --date {day}`." in fold(resumed.out)
    config = project.config.read_text()
    project.config.write_text(config.replace("rate = 60", ""))
    assert project.run("send", "--yes").code == 0
    assert sink.accepted == {f"reader{n}@example.org": 1 for n in range(1, 601)}
    late = ask(project, "pause", day)
    assert one_sentence(late) == (
        f"newsletter: the edition of {day} is sent, so there is nothing to pause."
    )


def test_a_cancelled_edition_ends_for_good_and_every_reader_is_accounted_for(
    tmp_path: Path, sink: Sink
) -> None:
    project = build_project(tmp_path, sink, readers=900, delivery="rate = 60")
    day = str(today())
    with project.running("send", "--yes") as sender:
        assert sink.wait_for(30, seconds=60)
        unasked = ask(project, "cancel", day)
        assert one_sentence(unasked) == (
            "newsletter: nobody is here to say yes; add --yes to go on without asking."
        )
        cancelled = project.run("cancel", day, "--yes", "--json")
        _, err = sender.communicate(timeout=30)
    assert cancelled.code == 0, cancelled.err
    assert sender.returncode == 1
    assert f"newsletter: the edition of {day} was cancelled meanwhile." in err
    document = cancelled.document
    assert (document["state"], document["changed"], document["open"]) == ("cancelled", True, 0)
    counts = document["counts"]
    assert sum(counts.values()) == document["audience"] == 900
    assert counts["accepted"] == sink.accepted.total() < 900
    assert counts["accepted"] + counts["expired"] == 900

    for refused in (project.run("send", "--yes"), ask(project, "resume", day)):
        assert refused.code == 1
        assert "cancelled" in one_sentence(refused)
    again = ask(project, "cancel", day)
    assert f"The edition of {day} is cancelled already" in again.out
    assert sink.accepted.total() == counts["accepted"]
    told = ask(project, "explain", "reader900@example.org").out
    assert re.search(rf"{WHO} decided: cancel, the whole edition", told)
    assert "(cancelled by an operator)" in told


def test_a_cancellation_after_a_sender_was_killed_lists_what_it_left(
    tmp_path: Path, sink: Sink
) -> None:
    project = build_project(tmp_path, sink, readers=400, delivery="rate = 60")
    with project.running("send", "--yes") as sender:
        assert sink.wait_for(30, seconds=60)
        sender.kill()
        sender.wait()
    cancelled = project.run("cancel", str(today()), "--yes", "--json").document
    assert cancelled["open"] == 0
    assert sum(cancelled["counts"].values()) == 400
    may_have_it = cancelled["counts"]["accepted"] + cancelled["counts"]["in_doubt"]
    assert cancelled["counts"]["accepted"] <= sink.accepted.total() <= may_have_it


def test_a_further_edition_of_the_day_by_hand(tmp_path: Path) -> None:
    """Each command takes it by its name, and no other name."""
    more = (
        '[[editions]]\nname = "evening"\ntitle = "Harbor Evening"\n'
        'gather_at = "16:30"\nsend_at = "17:00"\n'
    )
    project = Project(tmp_path / "publication", more=more)
    project.write_brief()
    (project.root / "readers.csv").write_text(
        "email,consent_source,editions\na@b.example,form,evening\nc@d.example,form,\n"
    )
    assert project.run("subscribers", "import", "readers.csv").code == 0
    wrong = project.run("preview", "--kind", "evenings")
    assert wrong.code == 2
    said = " ".join(wrong.err.replace("│", "").split())
    assert '"evenings" is no kind of edition; there is daily, weekly, special, corr' in said, said
    told = project.run("gather", "--explain", "--kind", "evening", "--json").document
    assert told["edition"].endswith("-evening")
    assert [item["place"] for item in told["items"]] == ["full"]
    previewed = project.run("preview", "--kind", "evening", "--no-pictures", "--json")
    assert previewed.code == 0, previewed.err
    assert previewed.document["subject"].startswith("Harbor Evening: North Quay")
    (mail,) = (project.root / "preview").glob("*.txt")
    assert mail.read_text().lstrip().startswith("Harbor Evening")
    asked = project.run("send", "--kind", "evening", "--dry-run")
    assert "1 reader" in " ".join(asked.out.split()), asked.out
    sent = project.run("send", "--kind", "evening", "--yes", "--json")
    assert sent.code == 0, sent.err
    assert len(list((project.root / "outbox").glob("*.eml"))) == 1
    daily = project.run("send", "--yes", "--json")
    assert daily.code == 0, daily.err
    assert len(list((project.root / "outbox").glob("*.eml"))) == 2, "who had it does not again"
    told = project.run("status", "--json").document["editions"]
    assert sorted((each["kind"], each["counts"]["accepted"]) for each in told) == [
        ("daily", 1),
        ("evening", 1),
    ]
    name = f"{told[0]['date']}-evening"
    shown = project.run("show", "--to", "a@b.example", "--kind", "evening")
    assert "Harbor Evening" in shown.out
    story = " ".join(project.run("explain", "c@d.example").out.split())
    assert "did not choose the evening edition" in story, story
    how = ("--brief", "1", "--severity", "normal", "--text", "It was the south quay.", "--yes")
    corrected = project.run("correct", name, *how)
    assert corrected.code == 0, corrected.err


def test_an_edition_is_planned_shown_and_withdrawn(tmp_path: Path) -> None:
    project = Project(tmp_path / "publication")
    project.write_brief()
    project.import_readers(2)
    day = (datetime.now(UTC) + timedelta(days=3)).date()
    words = ("send", "--kind", "special", "--at", f"{day} 15:00")
    refused = project.run(*words, "--yes")
    assert "no brief is named for a special edition" in refused.err
    planned = project.run(*words, "--brief", "1", "--yes", "--json")
    assert planned.code == 0, planned.err
    assert planned.document["send_at"] == f"{day}T15:00:00+00:00"
    assert planned.document["state"] == "ready"
    moved = project.run("send", "--kind", "special", "--at", f"{day} 16:30", "--yes")
    assert f"sends it at {day:%a} {day} 16:30 UTC" in " ".join(moved.out.split())
    status = project.run("status")
    told = " ".join(status.out.split())
    assert f"sends it at {day} 16:30" in told, told
    assert project.run("status", "--json").document["editions"][0]["send_at"] is not None
    assert not list((project.root / "outbox").glob("*.eml"))
    withdrawn = project.run("cancel", f"{day}-special", "--yes")
    assert withdrawn.code == 0, withdrawn.err
    late = project.run("send", "--at", "2020-01-01 10:00", "--yes")
    assert "has passed" in late.err


def test_a_draft_is_cancelled_after_a_question(tmp_path: Path) -> None:
    project = Project(tmp_path / "publication")
    project.write_brief()
    assert project.run("preview").code == 0
    with project.show("cancel", str(today())) as terminal:
        terminal.wait_for("Nobody will be mailed it. [y/N]:")
        terminal.type("n\n")
        assert terminal.end() == 1
        assert "stays as it is." in terminal.shown
    with project.show("cancel", "1") as terminal:
        terminal.wait_for("[y/N]:")
        terminal.type("y\n")
        assert terminal.end() == 0
        assert "is cancelled: nobody is mailed it." in fold(terminal.shown)


# -- show ------------------------------------------------------------------------------------------


def test_show_gives_back_what_left_whatever_changed_since(tmp_path: Path, sink: Sink) -> None:
    project = build_project(tmp_path, sink, readers=3)
    early = ask(project, "show", "--to", "reader1@example.org")
    assert one_sentence(early) == "newsletter: no edition was sent yet; see `newsletter status`."
    assert project.run("send", "--yes").code == 0
    changed = project.config.read_text().replace("Harbor Daily", "Another Name")
    project.config.write_text(changed.replace("news.example", "elsewhere.example"))
    renamed = project.root / "renamed.csv"
    renamed.write_text("email,name,minutes,lenses\nreader2@example.org,New Name,3,None\n")
    words = ("subscribers", "import", str(renamed), "--consent-source", "form")
    assert ask(project, *words).code == 0
    assert ask(project, "subscribers", "remove", "reader3@example.org").code == 0
    project.write_brief("later.txt", "Something Else Entirely")

    for email, received in sink.messages.items():
        copy = project.root / "copy.eml"
        shown = ask(project, "show", "--to", email.upper(), "--out", str(copy))
        assert (shown.code, shown.out, shown.err) == (0, "", "")
        assert copy.read_bytes() == received
        command = [sys.executable, "-m", "newsletter", "-c", str(project.config), "show"]
        command += ["--to", email, "--date", str(today())]
        assert subprocess.run(command, capture_output=True, check=True).stdout == received

    assert ask(project, "subscribers", "add", "late@example.org").code == 0
    late = ask(project, "show", "--to", "late@example.org")
    assert one_sentence(late) == (
        f"newsletter: late@example.org is not in the audience of the edition of {today()}; "
        "`newsletter explain late@example.org` says why."
    )
    another = {"NEWSLETTER_SECRET_KEY": "another-key-0123456789abcdef0123456789"}
    gone = project.run("show", "--to", "reader1@example.org", env=another)
    assert gone.code == 78
    assert "put the old key back, after a comma" in one_sentence(gone)


# -- explain ---------------------------------------------------------------------------------------


def test_explain_tells_who_was_reached_who_not_and_why(tmp_path: Path, sink: Sink) -> None:
    project = build_project(tmp_path, sink, readers=2)
    source = "sign-up form"
    ask(project, "subscribers", "add", "früh@bücher.example", "--consent-source", source)
    assert project.run("send", "--yes").code == 0
    ask(project, "subscribers", "add", "late@example.org")
    ask(project, "subscribers", "remove", "reader2@example.org")

    told = fold(ask(project, "explain", "FRÜH@Bücher.Example").out)
    assert f"“{source}”" in told
    assert f"Edition of {today()} (sent): accepted" in told
    assert re.search(
        r"try 1 through smtp://127\.0\.0\.1:\d+ #\d+, \d+\.\d s: the relay took it", told
    )
    assert "“250 2.0.0 Kept”" in told
    assert told == fold(ask(project, "explain", "früh@xn--bcher-kva.example").out)

    late = ask(project, "explain", "late@example.org", "--json").document["editions"][0]
    assert not late["in_audience"]
    assert late["absence"].startswith("joined the list only on ")
    left = ask(project, "explain", "reader2@example.org", "--date", str(today())).out
    assert "unsubscribed; on the list since" in left
    assert "unsubscribed (removed by the operator)" in left
    assert "accepted" in left
    ask(project, "subscribers", "remove", "stranger@example.org")
    stranger = ask(project, "explain", "stranger@example.org").out
    assert re.fullmatch(
        r"stranger@example\.org is no reader, and is kept out since [\d: -]+ UTC "
        r"\(unsubscribed, removed by the operator\)\.\n",
        stranger,
    )
    execute(project, "DELETE FROM subscribers WHERE email = ?", "reader1@example.org")
    gone = fold(ask(project, "explain", "reader1@example.org").out)
    assert gone.startswith("reader1@example.org is no reader any more, and not kept out. Edition")
    assert "“250 2.0.0 Kept”" in gone
    document = ask(project, "explain", "reader1@example.org", "--json").document
    assert document["reader"] is None
    assert [edition["state"] for edition in document["editions"]] == ["accepted"]
    command = ("show", "--to", "reader1@example.org", "--out", str(project.root / "copy.eml"))
    assert ask(project, *command).code == 0
    assert (project.root / "copy.eml").read_bytes() == sink.messages["reader1@example.org"]
    assert one_sentence(ask(project, "explain", "nobody@example.org")) == (
        "newsletter: nothing is known of nobody@example.org: it is no reader, and not kept out; "
        "see `newsletter subscribers list`."
    )


# -- resolve, and trying again ---------------------------------------------------------------------


def test_doubts_are_settled_by_the_relays_log_and_by_hand(tmp_path: Path, sink: Sink) -> None:
    project = build_project(tmp_path, sink, readers=4)
    assert project.run("send", "--yes").code == 0
    execute(
        project, "UPDATE deliveries SET state = 'in_doubt', reply = 'lost' WHERE subscriber_id < 4"
    )
    received = dict(sink.messages)
    listed = ask(project, "resolve", "--json").document
    ids = {doubt["email"]: doubt["message_id"] for doubt in listed["doubts"]}
    assert {email: ids[email].encode() in received[email] for email in ids} == {
        f"reader{n}@example.org": True for n in (1, 2, 3)
    }
    log = project.root / "mail.log"
    lines = (
        f"cleanup[1]: ABCDEF1234: message-id={ids['reader1@example.org']}",
        "qmgr[2]: ABCDEF1234: from=<>, size=9, nrcpt=1 (queue active)",
        f"cleanup[1]: ABCDEF5678: message-id={ids['reader2@example.org']}",
        "smtpd[3]: lost connection after DATA from localhost[127.0.0.1]",
    )
    log.write_text("".join(f"Nov 25 18:14:42 relay postfix/{line}\n" for line in lines))
    unasked = ask(project, "resolve", "--from-log", str(log))
    assert unasked.code == 1
    assert "accepted, mail.log has it as ABCDEF1234, queued" in unasked.out
    assert "add --yes" in unasked.err
    assert count(project)["in_doubt"] == 3, "nothing is settled unasked"

    settled = ask(project, "resolve", "--from-log", str(log), "--yes")
    assert "Recorded as accepted: 1 reader." in settled.out
    assert "does not name 2 messages. That proves nothing" in fold(settled.out)
    both = ask(project, "resolve", "--accepted", "Reader2@example.org", "--again", "all", "--yes")
    assert both.code == 0, both.err
    assert "Put back: 1 reader" in both.out
    assert count(project) | {"accepted": 3, "pending": 1} == count(project)
    nobody = ask(project, "resolve", "--accepted", "reader3@example.org")
    assert "reader3@example.org is not in doubt" in one_sentence(nobody)

    assert project.run("send", "--yes").code == 0
    assert sink.accepted == {f"reader{n}@example.org": 1 + (n == 3) for n in range(1, 5)}
    assert sink.messages == received, "and the same bytes"
    assert count(project)["accepted"] == 4
    told = fold(ask(project, "explain", "reader3@example.org").out)
    assert re.search(rf"{WHO} decided: resolve \(again: by hand\)", told)
    assert "try 2 through" in told
    done = ask(project, "resolve")
    assert (done.code, done.out) == (0, f"Nobody is in doubt in the edition of {today()}.\n")


def test_who_failed_is_tried_again_with_the_same_bytes(tmp_path: Path, sink: Sink) -> None:
    project = build_project(tmp_path, sink, readers=5)
    unsent = project.run("send", "--retry-failed", "--yes")
    assert "there is no edition of" in one_sentence(unsent)
    assert project.run("send", "--yes").code == 0
    received = dict(sink.messages)
    for number, state, reply in (
        (1, "failed", "552 5.2.2 mailbox full"),
        (2, "expired", "450 4.2.0 greylisted"),
        (3, "failed", "550 5.1.1 no such user"),
        (4, "failed", "554 5.7.1 spam"),
    ):
        execute(
            project,
            "UPDATE deliveries SET state = ?, reply = ? WHERE subscriber_id = ?",
            *(state, reply, number),
        )
    execute(project, "UPDATE editions SET not_after = 1")
    ask(project, "subscribers", "remove", "reader4@example.org")
    told = fold(ask(project, "status").out)
    assert f"`newsletter send --retry-failed --date {today()}` tries who failed again." in told

    dry = project.run("send", "--retry-failed", "--dry-run")
    assert (
        "2 readers to be tried again; not: 1 without a mailbox (--including-dead), 1 kept out "
        "since then."
    ) in fold(dry.out)
    assert sink.accepted.total() == 5
    again = project.run("send", "--retry-failed", "--yes", "--json")
    assert again.code == 0, again.err
    assert (again.document["state"], again.document["counts"]["accepted"]) == ("sent", 3)
    assert sink.accepted == {f"reader{n}@example.org": 1 + (n < 3) for n in range(1, 6)}
    assert sink.messages == received

    assert project.run("send", "--retry-failed", "--including-dead", "--yes").code == 0
    assert sink.accepted["reader3@example.org"] == 2
    assert sink.accepted["reader4@example.org"] == 1, "never who left the list"
    none = project.run("send", "--retry-failed", "--yes")
    assert (none.code, sink.accepted.total()) == (0, 8)
    assert "Nobody to try again; not: 1 kept out since then." in none.out


# -- status ----------------------------------------------------------------------------------------


def test_a_send_is_watched_to_its_end(tmp_path: Path, sink: Sink) -> None:
    project = build_project(tmp_path, sink, readers=900, delivery="rate = 60")
    idle = ask(project, "status", "--watch")
    assert one_sentence(idle) == (
        "newsletter: there is no terminal to watch in; leave out --watch."
    )
    with project.show("status", "--watch") as terminal:
        assert terminal.end() == 0
        assert "No edition is under way." in terminal.shown
    with project.running("send", "--yes"):
        assert sink.wait_for(10, seconds=60)
        with project.show("status", "--watch") as terminal:
            terminal.wait_for("still without it")
            document = ask(project, "status", "--json").document["editions"][0]
            assert document["run"]["sender"].startswith("process ")
            assert 0 < document["open"] < document["audience"] == 900
            assert ask(project, "cancel", str(today()), "--yes").code == 0
            assert terminal.end(seconds=60) == 0
            assert f"Edition of {today()}: cancelled" in terminal.shown
            assert "dropped: cancelled by " in fold(terminal.shown)
            assert "Traceback" not in terminal.shown
    document = ask(project, "status", "--json").document["editions"][0]
    assert (document["run"], document["open"]) == (None, 0)
    assert [decision["action"] for decision in document["decisions"]] == ["cancel"]


# -- a segment, and readers who were erased --------------------------------------------------------


def test_an_edition_for_a_segment_is_counted_asked_and_sent_once(
    tmp_path: Path, sink: Sink
) -> None:
    project = build_project(tmp_path, sink, readers=5)
    for number in (2, 4):
        words = ("subscribers", "add", f"reader{number}@example.org", "--set", "minutes=3")
        assert ask(project, *words).code == 0
    assert ask(project, "subscribers", "remove", "reader4@example.org").code == 0
    dry = project.run("send", "--dry-run", "--segment", "minutes:3")
    assert "1 of 4 readers (minutes:3)" in fold(dry.out)
    assert "1 reader would be mailed" in dry.out
    nobody = project.run("send", "--yes", "--segment", "minutes:10")
    assert one_sentence(nobody).startswith(
        "newsletter: no active reader whom the edition is for is in the segment"
    )
    assert project.run("send", "--segment", "nonsense").code == 1

    sent = project.run("send", "--yes", "--segment", "minutes:3")
    assert sent.code == 0, sent.err
    assert set(sink.messages) == {"reader2@example.org"}
    late = project.run("send", "--yes", "--segment", "minutes:5")
    assert "its readers are fixed" in one_sentence(late)
    assert project.run("send", "--yes").code == 0  # it was sent: nobody else gets it
    assert set(sink.messages) == {"reader2@example.org"}
    status = fold(ask(project, "status").out)
    assert "1 of 4 active readers: minutes:3" in status


def test_what_is_told_of_a_reader_who_was_erased(tmp_path: Path, sink: Sink) -> None:
    project = build_project(tmp_path, sink, readers=2)
    assert project.run("send", "--yes").code == 0
    assert ask(project, "subscribers", "erase", "reader1@example.org", "--yes").code == 0
    told = ask(project, "explain", "reader1@example.org")
    assert told.code == 0
    assert "reader1@example.org was erased on" in fold(told.out)
    shown = ask(project, "show", "--to", "reader1@example.org")
    assert "was erased on" in one_sentence(shown)
    assert count(project)["accepted"] == 2
    pruned = ask(project, "db", "prune", "--json")
    assert pruned.document["has_traces"] is False
    again = ask(project, "subscribers", "import", str(project.root / "readers.csv"), "--json")
    assert again.document["kept_out"] == {"erased": 1}


def test_waves_shows_the_plan_before_and_after_the_send_and_who_would_be_late(
    tmp_path: Path, sink: Sink
) -> None:
    project = Project(tmp_path / "publication", relay=sink.url)
    project.write_brief()
    (project.root / "subscribers.csv").write_text(
        "email,timezone,send_at,consent_at,consent_source\n"
        "a@example.org,Asia/Tokyo,07:00,2026-01-01T00:00:00Z,form\n"
        "b@example.org,Asia/Tokyo,07:00,2026-01-01T00:00:00Z,form\n"
        "c@example.org,,23:10,2026-01-01T00:00:00Z,form\n"
        "d@example.org,,,2026-01-01T00:00:00Z,form\n"
    )
    assert project.run("subscribers", "import", "subscribers.csv").code == 0
    before = ask(project, "waves", "--json").document
    assert before["at_once"] == 1
    found = {(w["zone"], w["clock"]): w["readers"] for w in before["waves"]}
    assert found == {("Asia/Tokyo", "07:00"): 2, ("", "23:10"): 1}
    said = ask(project, "waves").out
    assert "1 reader gets it at once. No run has measured a rate yet" in " ".join(said.split())
    assert project.run("send", "--yes").code == 0  # by hand: at once
    assert count(project)["accepted"] == 4
    assert "4 readers get it at once. Nobody chose an hour." in ask(project, "waves").out
    tomorrow = ask(project, "waves", "--date", "2099-01-01").out
    assert "Nobody would get it late" in tomorrow
    assert "Asia/Tokyo" in tomorrow


def test_a_database_of_another_machine_is_adopted_by_a_persons_word(
    tmp_path: Path, sink: Sink
) -> None:
    project = build_project(tmp_path, sink, readers=2)
    assert ask(project, "db", "adopt").out.startswith("It is the database that this machine")
    assert project.run("send", "--yes").code == 0
    (project.root / ".installation").unlink()
    project.write_brief("mill.txt", "A Second Bridge Opens At The Old Mill")
    assert project.run("gather").code == 0
    refused = project.run("send", "--yes", "--kind", "special", "--brief", "2")
    assert refused.code == 75
    assert "was not used on this machine before" in one_sentence(refused)
    adopted = ask(project, "db", "adopt", "--nothing-lost", "--yes", "--json").document
    assert adopted == {
        "adopted": True,
        "reason": "was not used on this machine before",
        "paused": [],
    }
    assert ask(project, "db", "adopt", "--json").document["adopted"] is False
