"""Bounces and complaints by a mail server's pipe, and what an operator sees and says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from newsletter.mail import Keyring
from tests.acceptance.project import KEY, Project, one_sentence
from tests.acceptance.test_leaving_by_mail import pipe, statuses
from tests.reports import FULL, build_bounce, build_complaint, build_return_path, sign_leaving

RING = Keyring([KEY.encode()])
BOUNCES = {"NEWSLETTER_PUBLICATION__BOUNCE_ADDRESS": "bounce+*@news.example"}


@pytest.fixture
def sent(tmp_path: Path) -> Project:
    """A publication that was mailed once, to six readers."""
    project = Project(tmp_path)
    project.write_brief()
    project.import_readers(6)
    assert project.run("send", "--yes", env=BOUNCES).code == 0
    return project


def test_a_mass_of_bounces_waits_for_an_operators_word(sent: Project) -> None:
    day = sent.run("status", "--json").document["editions"][0]["date"]
    for number in range(1, 5):
        content = build_bounce(build_return_path(1, number, ring=RING))
        assert pipe(sent, content, **BOUNCES) == (0, "The bounce is taken.\n")
    told = sent.run("bounces").out
    assert re.search(rf"{day} +6 +4 +0 +66\.7% +0 +example\.org 4 +believed", told)
    path = build_return_path(1, 5, ring=RING)
    by_option = build_bounce("postmaster@news.example", *FULL)
    assert pipe(sent, by_option, RECIPIENT=path, **BOUNCES) == (0, "The bounce is taken.\n")

    told = " ".join(sent.run("bounces", day).out.split())
    assert "doubted" in told
    assert f"{day}: 5 of 6 copies came back" in told
    assert f"newsletter bounces {day} --leave" in told
    assert "5 of 6 copies came back" in sent.run("status").out
    nobody = sent.run("bounces", day, "--count")
    assert nobody.code == 1
    assert "add --yes" in one_sentence(nobody)
    done = sent.run("bounces", day, "--count", "--yes", "--json")
    assert done.document["changed"] == 0, "one edition alone takes nobody off"
    (told,) = done.document["editions"]
    assert (told["guard"], told["dead"], told["other"]) == ("counted", 4, 1)
    assert sent.run("bounces", day, "--leave", "--yes").out == "0 readers back on the list.\n"
    assert sent.run("bounces", "--json").document["editions"][0]["guard"] == "left"
    audited = sent.run("audit", "--json").out
    assert "edition.doubt_bounces" in audited
    assert "@example.org" not in audited


def test_a_complaint_by_a_pipe(sent: Project) -> None:
    content = build_complaint(token=sign_leaving(1, 2, ring=RING))
    said = (0, "The complaint is taken: the reader is off the list for good.\n")
    assert pipe(sent, content) == said
    assert statuses(sent)["reader2"] == "complained"
    assert sent.run("bounces", "--json").document["editions"][0]["complaints"] == 1
    back = sent.run("subscribers", "add", "reader2@example.org", "--again", "--consent", "form")
    assert back.code != 0
    forged = build_complaint(token=sign_leaving(1, 3))
    assert pipe(sent, forged) == (0, "Nothing was done: it comes back from no copy of ours.\n")
    assert statuses(sent)["reader3"] == "active"


def test_what_is_not_asked_well_is_told(sent: Project) -> None:
    day = sent.run("status", "--json").document["editions"][0]["date"]
    assert sent.run("bounces", day, "--count", "--leave").code == 2
    assert sent.run("bounces", "--count").code == 2
    nothing = sent.run("bounces", day, "--count", "--yes")
    assert nothing.code == 1
    assert "nothing came back of the edition" in one_sentence(nothing)
