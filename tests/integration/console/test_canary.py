"""What somebody wrote into any field is text on every page of the console, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import html as lxml_html
from sqlalchemy import Table, insert, select, update

from newsletter.editions.shelf import find_edition
from newsletter.store.audit import Actor, note
from newsletter.store.tables import (
    alerts,
    api_keys,
    attempts,
    briefs,
    decisions,
    deliveries,
    editions,
    members,
    passkeys,
    reviews,
    runs,
    source_states,
    subscribers,
    suppressions,
)
from newsletter.web.console.keys import make_key
from newsletter.web.console.members import find_member
from newsletter.web.console.passkeys import Made, add_passkey
from newsletter.web.console.roles import NEEDS
from newsletter.web.console.sessions import open_session
from tests.integration.console.stage import TEST, Stage

CANARY = "\"'><script>window.canary=1</script><img src=x onerror=alert(1)>{{7*7}}</textarea>"
MARK = "window.canary=1"

FIELDS: tuple[tuple[Table, tuple[str, ...]], ...] = (
    (subscribers, ("name", "consent_source")),
    (suppressions, ("detail",)),
    (editions, ("reason", "subject")),
    (deliveries, ("name", "via", "reply")),
    (attempts, ("via", "reply")),
    (decisions, ("decided_by", "detail")),
    (alerts, ("sentence",)),
    (source_states, ("last_error",)),
    (reviews, ("note", "decided_by")),
    (briefs, ("origin",)),
    (members, ("name",)),
    (api_keys, ("name", "made_by")),
    (passkeys, ("name", "site")),
)
"""What people, sources and relays write, and a page shows."""


@pytest.fixture
def poisoned(stage: Stage) -> Stage:
    now = stage.clock.now
    with stage.database.writing() as connection:
        record = find_edition(connection, stage.press.today())
        assert record is not None
        brief = connection.execute(select(briefs)).first()
        assert brief is not None
        of = {"edition_id": record.id, "subscriber_id": 1}
        connection.execute(insert(runs).values(edition_id=record.id, audience=1))
        connection.execute(
            insert(deliveries).values(
                **of, email="reader1@example.org", email_key="reader1@example.org", name="",
                choices={}, fields={}, state="in_doubt", next_attempt_at=now, changed_at=now,
            )
        )  # fmt: skip
        connection.execute(
            insert(attempts).values(
                **of, number=1, via="", started_at=now, ended_at=now, outcome="in_doubt", reply=""
            )
        )
        connection.execute(
            insert(decisions).values(**of, decided_at=now, decided_by="", action="resolve")
        )
        connection.execute(
            insert(alerts).values(edition_id=record.id, raised_at=now, kind="x", sentence="")
        )
        connection.execute(
            insert(reviews).values(
                brief_id=brief.id, content_hash="0", document={**brief.document, "title": CANARY},
                verdict="approved", decided_at=now, decided_by="",
            )
        )  # fmt: skip
        connection.execute(
            insert(suppressions).values(
                email_key="reader1@example.org", reason="manual", detail="", suppressed_at=now
            )
        )
        document = {**brief.document, "title": CANARY, "summary": CANARY}
        source_document = {**document, "update": CANARY}
        connection.execute(
            update(briefs)
            .where(briefs.c.id == brief.id)
            .values(document=document, source_document=source_document)
        )
        connection.execute(update(subscribers).values(fields={CANARY: CANARY}))
        make_key(connection, "k", ["send"], actor=TEST, now=now)
    stage.invite("Ada", "admin")
    with stage.database.writing() as connection:
        member = find_member(connection, "Ada")
        made = Made(credential_id="x", public_key=b"", counter=0, challenge=b"")
        add_passkey(connection, member, "k", made, site="localhost", actor=TEST, now=now)
        for table, names in FIELDS:
            connection.execute(update(table).values(dict.fromkeys(names, CANARY)))
        evil = Actor(who=CANARY, origin=CANARY)
        note(connection, evil, CANARY, f"edition {record.name}", now=now, detail=CANARY)
    return stage


def test_a_canary_is_inert_on_every_page(poisoned: Stage) -> None:
    with poisoned.database.writing() as connection:
        member = connection.execute(select(members.c.id)).scalar_one()
        token = open_session(connection, member, now=poisoned.clock.now)
    person = poisoned.person()
    person.web.cookies.set("newsletter-session", token)
    day = str(poisoned.press.today())
    shown_on = set()
    for method, path in NEEDS:
        if method != "GET" or path in (
            "/live.js",
            "/passkeys.js",
            "/style.css",
            "/icon.svg",
            "/editions/{name}/events",
        ):
            continue
        asked = path.replace("{name}", day).replace("{token}", CANARY.replace("/", ""))
        for number in ("1", "2", "3") if "_id}" in path else ("",):
            address = asked.replace("{brief_id}", number).replace("{reader_id}", number)
            query = {"q": "reader", "target": "", "reader": CANARY, "next": CANARY}
            answer = person.web.get(f"/console{address}", params=query)
            assert answer.status_code < 500, (path, answer.text)
            page: Any = lxml_html.document_fromstring(answer.text or "<p>")
            scripts = page.xpath("//script")
            assert all(each.get("src") and not each.text for each in scripts), path
            if path != "/editions/{name}/copy":
                assert page.xpath("//img") == [], path
            assert page.xpath("//@*[starts-with(name(), 'on')]") == [], path
            assert "unsafe" not in answer.headers["content-security-policy"] or "copy" in path
            if MARK in page.text_content():
                shown_on.add(path)
    assert {
        "/",
        "/audit",
        "/briefs/{brief_id}",
        "/briefs/{brief_id}/edit",
        "/editions",
        "/editions/{name}",
        "/readers",
        "/readers/{reader_id}",
        "/sources",
        "/team",
        "/you",
    } <= shown_on
