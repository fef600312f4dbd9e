"""What readers think: over HTTP, on a sent edition, and what an operator hears of it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import select

from newsletter.audience.erasure import erase_reader
from newsletter.audience.holdings import read_holdings
from newsletter.delivery.retention import prune
from newsletter.mail import Keyring
from newsletter.mail.tokens import Purpose, TokenSigner
from newsletter.press import Press
from newsletter.settings import Retention, load_settings
from newsletter.store.tables import answers
from newsletter.web.app import serving
from tests.acceptance.project import KEY, Project
from tests.integration.web.stage import Stage
from tests.integration.web.test_leaving import forms

LENS = "Household Impact"


def said(stage: Stage) -> list[tuple[int, str, str, str]]:
    """Give what is kept: number, lens, verdict, sentence."""
    with stage.database.reading() as connection:
        rows = connection.execute(select(answers).order_by(answers.c.id))
        return [(row.number, row.lens, row.verdict, row.sentence) for row in rows]


def voices(stage: Stage) -> list[str | None]:
    with stage.database.reading() as connection:
        return list(connection.scalars(select(answers.c.voice).order_by(answers.c.id)))


def page_of(stage: Stage, number: int = 1) -> str:
    return f"/editions/{stage.clock.now.date()}/briefs/{number}/feedback"


def test_a_reader_says_it_by_the_link_and_changes_their_mind(stage: Stage) -> None:
    link = stage.feedback()
    before = stage.everything()
    listed = stage.web.get(link)
    assert "North Quay Reopens Early" in listed.text
    asked = stage.web.get(f"{link}/1")
    assert set(forms(asked)) == {f"{link}/1"}
    assert stage.everything() == before
    first = stage.web.post(f"{link}/1", data={"verdict": "too long", "sentence": "Half\nof it"})
    assert "Thank you" in first.text
    assert said(stage) == [(1, "", "too long", "Half of it")]
    stage.web.post(f"{link}/1", data={"verdict": "useful"})
    stage.web.post(f"{link}/1", data={"verdict": "unfair", "lens": LENS})
    stage.web.post(f"{link}/2", data={"verdict": "useful", "lens": "Made Up View"})
    kept = [(1, "", "useful", ""), (1, LENS, "unfair", ""), (2, "", "useful", "")]
    assert said(stage) == kept
    stage.web.post(f"{stage.feedback(2)}/1", data={"verdict": "useful"})
    assert len(said(stage)) == 4
    heard = voices(stage)
    assert heard[0] == heard[1], "one voice speaks of a brief and of its lenses"
    assert len({*heard}) == 3, "what was said of two briefs has nothing in common"


def test_anybody_says_it_on_the_page_and_nothing_tells_who(stage: Stage) -> None:
    page = stage.web.get(page_of(stage).removesuffix("/feedback"))
    assert page_of(stage) in page.text
    asked = stage.web.get(page_of(stage))
    assert set(forms(asked)) == {page_of(stage)}
    for _again in range(2):
        answer = stage.web.post(page_of(stage), data={"verdict": "unfair", "lens": LENS})
        assert answer.status_code == 200
    assert said(stage) == [(1, LENS, "unfair", "")] * 2
    assert voices(stage) == [None, None]


def test_what_is_no_answer_is_asked_again(stage: Stage) -> None:
    for form in (
        *({}, {"verdict": "splendid"}),
        {"verdict": "useful", "sentence": "y" * 20_000},  # more than any form has
    ):
        answer = stage.web.post(page_of(stage), data=form)
        assert answer.status_code == 200
        assert set(forms(answer)) == {page_of(stage)}
        assert said(stage) == []
    stage.web.post(page_of(stage), data={"verdict": "useful", "sentence": "x" * 5_000})
    assert [len(each[3]) for each in said(stage)] == [300]


def test_nothing_is_asked_of_what_does_not_exist(stage: Stage) -> None:
    link, day = stage.feedback(), stage.clock.now.date()
    for path in (
        *(f"{link}/3", f"{link}/0", f"{link}/x", f"{link}/00001", "/f/short", f"{link}x/1"),
        *(f"/editions/{day}/briefs/9/feedback", "/editions/2020-01-01/briefs/1/feedback"),
        *(f"/editions/{day}-weekly/briefs/1/feedback", "/editions/x/briefs/1/feedback"),
    ):
        assert stage.web.get(path).status_code == 404, path
        assert stage.web.post(path, data={"verdict": "useful"}).status_code in (404, 405), path
    assert said(stage) == []


def test_a_flood_is_not_kept_and_readers_are_heard_meanwhile(stage: Stage) -> None:
    statuses = Counter(
        stage.web.post(page_of(stage), data={"verdict": "useful"}).status_code for _ in range(40)
    )
    assert statuses == {200: 30, 429: 10}
    assert len(said(stage)) == 30
    link = stage.feedback()
    assert stage.web.post(f"{link}/1", data={"verdict": "unfair"}).status_code == 200
    stage.clock.now += timedelta(hours=1)
    assert "Thank you" in stage.web.post(page_of(stage), data={"verdict": "useful"}).text


def test_one_voice_outlives_the_key_that_made_it(
    stage: Stage, sent: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = stage.feedback()
    stage.web.post(f"{link}/1", data={"verdict": "useful"})
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", f"a-newer-key-0123456789abcdef0123456789,{KEY}")
    press = Press(load_settings(sent.config), stage.database, stage.clock)
    with serving(press, "127.0.0.1:0") as address:
        stage.web.post(f"{address}{link}/1", data={"verdict": "unfair"})
    assert said(stage) == [(1, "", "unfair", "")]


def test_what_a_reader_said_is_handed_to_them_and_goes_with_them(stage: Stage) -> None:
    stage.web.post(f"{stage.feedback(1)}/1", data={"verdict": "useful", "sentence": "Good."})
    stage.web.post(f"{stage.feedback(2)}/1", data={"verdict": "unfair"})
    stage.web.post(page_of(stage), data={"verdict": "unfair", "sentence": "reader1@example.org!"})
    pseudonyms = stage.press.pseudonyms
    with stage.database.reading() as connection:
        held = read_holdings(connection, "reader1@example.org", pseudonyms=pseudonyms)
    assert held is not None
    assert [(each["verdict"], each["sentence"]) for each in held["answers"]] == [
        ("useful", "Good.")
    ]
    link = stage.feedback(1)
    erase_reader(stage.database, "reader1@example.org", now=stage.clock, pseudonyms=pseudonyms)
    left = said(stage)
    assert [each[2] for each in left] == ["unfair", "unfair"]
    assert "reader1" not in repr(left)
    again = stage.web.post(f"{link}/1", data={"verdict": "useful"})
    assert again.status_code == 200
    assert voices(stage)[-1] is None, "whom nobody knows any more has no voice"


def test_answers_are_forgotten_in_time(stage: Stage) -> None:
    stage.web.post(page_of(stage), data={"verdict": "useful"})
    kept = Retention(answers=timedelta(days=30))
    prune(stage.database, kept, now=stage.clock.now + timedelta(days=29))
    assert len(said(stage)) == 1
    done = prune(stage.database, kept, now=stage.clock.now + timedelta(days=32))
    assert done.rows["answers"] == 1
    assert said(stage) == []


def test_links_of_other_purposes_say_nothing(stage: Stage) -> None:
    keyring, list_id = stage.press.keyring, stage.press.settings.publication.list_id
    for ring, purpose, name in (
        (keyring, Purpose.PREFERENCES, list_id),
        (keyring, Purpose.UNSUBSCRIBE, list_id),
        (keyring, Purpose.FEEDBACK, "other.news.example"),
        (Keyring([b"another secret of thirty-two bytes"]), Purpose.FEEDBACK, list_id),
    ):
        signer = TokenSigner(ring, ring.newest, purpose, list_id=name, edition_id=1)
        answer = stage.web.post(f"/f/{signer.sign(1)}/1", data={"verdict": "useful"})
        assert answer.status_code == 404
    assert said(stage) == []


def test_an_operator_hears_the_counts(stage: Stage, sent: Project) -> None:
    for number, verdict in ((1, "useful"), (2, "useful"), (3, "unfair")):
        stage.web.post(f"{stage.feedback(number)}/1", data={"verdict": verdict})
    form = {"verdict": "too long", "sentence": "Too [bold]long."}
    stage.web.post(page_of(stage), data=form)
    env = {"NEWSLETTER_DATABASE__URL": str(stage.database.engine.url)}
    ran = sent.run("feedback", "--json", env=env)
    assert ran.code == 0, ran.err
    (heard,) = json.loads(ran.out)["feedback"]
    assert heard["by_readers"] == {"useful": 2, "too long": 0, "unfair": 1}
    assert heard["by_others"] == {"useful": 0, "too long": 1, "unfair": 0}
    assert heard["sentences"] == [{"verdict": "too long", "text": "Too [bold]long."}]
    day = str(stage.clock.now.date())
    table = sent.run("feedback", "--sentences", "--date", day, env=env)
    assert table.code == 0, table.err
    for words in (heard["title"].split()[0], "1 too long", "Too [bold]long."):
        assert words in table.out
