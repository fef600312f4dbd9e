"""What became of an edition, on its page: counts, charts with their tables, lines by domain."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import update

from newsletter.delivery import interest
from newsletter.delivery.holder import describe_self
from newsletter.delivery.inquiry import read_run
from newsletter.delivery.interest import Followed, add_clicks
from newsletter.delivery.results import add_up_editions
from newsletter.editions.shelf import load_content
from newsletter.press.delivering import deliver
from newsletter.render.context import name_section
from newsletter.store.tables import deliveries
from tests.integration.console.stage import Person, Stage
from tests.integration.console.test_day import edition, seen


def rows(person: Person, caption: str) -> list[list[str]]:
    """Give the texts of a table's body."""
    return [
        [" ".join(cell.text_content().split()) for cell in row]
        for row in person.page.xpath(f"//table[caption='{caption}']/tbody/tr")
    ]


def release(stage: Stage) -> Person:
    sue = stage.enter("Sue", "sender")
    day = stage.press.today()
    sue.get(f"/console/editions/{day}/send")
    assert sue.post(f"/console/editions/{day}/send", seen=seen(sue), sure="yes").status_code == 303
    return sue


def test_a_sent_edition_has_its_result(stage: Stage) -> None:
    sue = release(stage)
    record = edition(stage)
    asyncio.run(deliver(stage.press, record))
    sue.get(f"/console/editions/{record.name}")
    assert "Its charts are made within a few minutes" in sue.text
    with stage.database.writing() as connection:
        connection.execute(
            update(deliveries)
            .where(deliveries.c.subscriber_id == 2)
            .values(state="bounced", reply="550 5.2.1 gone")
        )
    assert add_up_editions(stage.database, stage.clock.now) == 1
    sue.get(f"/console/editions/{record.name}")
    assert rows(sue, "Readers by what became of their copy") == [
        ["accepted", "2", "The relay took it."],
        ["bounced", "1", rows(sue, "Readers by what became of their copy")[1][2]],
        ["All", "3", ""],
    ]
    assert rows(sue, "Replies by class") == [["2yz, taken", "3", "100.0 %"]]
    assert sue.page.xpath("//figure//svg[@role='img']/@aria-labelledby") == ["time-title"]
    assert len(sue.page.xpath("//figure//svg[@role='img']/*")) == 1
    (told,) = sue.page.xpath("//figure//details//tbody/tr")
    assert [cell.text_content() for cell in told[1:]] == ["3", "0", "0", "0"]


def test_a_send_tells_its_domains_while_it_runs(stage: Stage) -> None:
    sue = release(stage)
    record = edition(stage)
    run = stage.press.ledger.take(record.id, describe_self(), stage.clock.now)
    progress: dict[str, Any] = {
        "at": stage.clock.now.isoformat(),
        "replies": {"2": 1200, "4": 7},
        "domains": [["large.example", {"accepted": 1200, "deferred": 7}]],
    }
    stage.press.ledger.renew(run, stage.clock.now, progress)
    sue.get(f"/console/editions/{record.name}")
    expected = ["large.example", "1,200", "7", "0", "0"]
    assert rows(sue, "Attempts of this run by domain") == [expected]
    assert "Replies in this run: 1,200 2yz (taken), 7 4yz (not now)." in sue.text
    with sue.web.stream("GET", f"/console/editions/{record.name}/events") as answer:
        line = next(line for line in answer.iter_lines() if line.startswith("data: "))
    assert json.loads(line.removeprefix("data: "))["domains"] == [expected]


def test_a_sender_tells_what_its_domains_answer(stage: Stage) -> None:
    release(stage)
    record = edition(stage)
    asyncio.run(deliver(stage.press, record))
    with stage.database.reading() as connection:
        run = read_run(connection, record.id, stage.clock.now)
    assert run is not None
    assert run.progress is not None
    assert run.progress.replies == {"2": 3}
    ((domain, ends),) = run.progress.domains
    assert (domain, ends["accepted"], ends["failed"]) == ("example.org", 3, 0)


def test_what_readers_follow_is_told_where_they_are_many(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sue = release(stage)
    record = edition(stage)
    asyncio.run(deliver(stage.press, record))
    page = f"/console/editions/{record.name}"
    sue.get(page)
    assert "What readers follow" not in sue.text
    with stage.database.reading() as connection:
        told = load_content(connection, record.id)
    sections = [name_section(each, told.placing(n)) for n, each in enumerate(told.briefs)]
    assert sections == ["", "", ""]
    figures = {"quay.example/": 40, "/editions/x#brief-1": 12, "dock.example/": 9}
    with stage.database.writing() as connection:
        followed = {Followed(record.id, 1, link): number for link, number in figures.items()}
        add_clicks(connection, followed)
    sue.get(page)
    assert "Too few to tell" in sue.text, "three readers have it"
    monkeypatch.setattr(interest, "FEWEST", 3)
    sue.get(page)
    assert rows(sue, "Clicks by section") == [["no section", "61", "100.0 %"]]
    links = sue.page.xpath("//section[@aria-labelledby='interest']//details//tbody/tr")
    told_links = [[cell.text_content().strip() for cell in row] for row in links]
    title = told.briefs[0].title
    assert told_links == [
        [title, "https://quay.example/", "40", "65.6 %"],
        ["all others", "–", "21", "34.4 %"],
    ]
