"""What came back of an edition, on its page, and what a sender says of it."""

from __future__ import annotations

import asyncio

from newsletter.feedback.guard import read_guard
from newsletter.feedback.hearing import Listener
from newsletter.press.delivering import deliver
from newsletter.store.audit import list_entries
from tests.integration.console.stage import Stage
from tests.integration.console.test_day import edition
from tests.integration.console.test_results import release
from tests.reports import LIST_ID, PATTERN, RING, build_bounce, build_complaint, build_return_path


def test_the_page_tells_what_came_back_and_takes_a_senders_word(stage: Stage) -> None:
    sue = release(stage)
    record = edition(stage)
    asyncio.run(deliver(stage.press, record))
    page = f"/console/editions/{record.name}"
    sue.get(page)
    assert "What came back" not in sue.text
    listener = Listener(
        database=stage.database,
        keyring=RING,
        list_id=LIST_ID,
        bounce_address=PATTERN,
        now=lambda: stage.clock.now,
    )
    listener.hear(build_bounce(build_return_path(record.id, 1)))
    listener.hear(build_complaint(path=build_return_path(record.id, 2)))
    sue.get(page)
    told = " ".join(sue.page.xpath("//section[@aria-labelledby='returned']")[0].itertext())
    told = " ".join(told.split())
    assert "1 of 3 copies that the relay took came back (33.3 %): 1 as to no such mailbox" in told
    assert "Complaints: 1." in told
    assert not sue.page.xpath("//form[contains(@action, '/bounces')]"), "nothing is to be said"

    assert sue.post(f"{page}/bounces", word="perhaps").status_code == 422
    assert sue.post(f"{page}/bounces", word="leave").status_code == 303
    with stage.database.reading() as connection:
        guard = read_guard(connection, record.id)
        noted = list_entries(connection, 5, target=f"edition {record.name}")
    assert (guard.state, guard.decided_by) == ("left", "Sue")
    assert "edition.bounces" in [entry.action for entry in noted]
    sue.get(page)
    assert "Its bounces do not count" in sue.text
