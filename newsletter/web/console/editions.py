"""Editions: all of them, one with what became of it, and what an operator decides about it.

What is for good, or mails anybody, is asked on a page of its own first, with what it will do
spelled out; the form of that page carries the hash of the content that was looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from fastapi import FastAPI, Request
from sqlalchemy import Connection
from starlette.responses import Response

from newsletter.audience.address import parse_address
from newsletter.audience.segment import parse_segment
from newsletter.delivery import settle
from newsletter.delivery.holder import shown_holder
from newsletter.delivery.inquiry import (
    RunView,
    Unreached,
    count_states,
    count_unreached,
    decide_finish,
    list_alerts,
    list_decisions,
    list_doubts,
    list_reasons,
    read_run,
)
from newsletter.delivery.interest import FEWEST, read_interest
from newsletter.delivery.lifecycle import State, count_open
from newsletter.delivery.results import Result, find_result
from newsletter.delivery.words import explain_outcome
from newsletter.editions.lifecycle import RELEASED, UNSENT
from newsletter.editions.manifest import find_manifest
from newsletter.editions.model import parse_edition_name
from newsletter.editions.seconding import confirm_ask, find_confirmed, list_open
from newsletter.editions.shelf import EditionRecord, find_edition, list_editions, read_edition
from newsletter.editions.verdicts import (
    approve_edition,
    find_said_of_edition,
    read_edition_hash,
    read_rules,
)
from newsletter.errors import InputError, RefusedError, SecondPersonNeeded, Untimely
from newsletter.feedback.guard import Word, read_returns, settle_bounces
from newsletter.press import Press, Printed
from newsletter.press.afterwards import retry_unreached
from newsletter.press.afterwards import settle as settle_doubts
from newsletter.press.checking import look_at
from newsletter.press.delivering import send_test
from newsletter.press.planning import plan_edition
from newsletter.press.seconding import ask_for_its_time
from newsletter.press.site import write_web
from newsletter.publish import print_standing, release
from newsletter.render.preflight import list_failed
from newsletter.store.audit import Actor, list_entries, note
from newsletter.web.console.charts import ENDS, build_time_chart, list_classes
from newsletter.web.console.counting import Audiences, Kept
from newsletter.web.console.gate import Visit
from newsletter.web.console.keys import is_behind
from newsletter.web.console.members import is_sender
from newsletter.web.console.pages import Frame
from newsletter.web.forms import read_number

_LISTED = 60
_DOUBTS_SHOWN = 200
_SMOOTH = (State.PENDING, State.LEASED, State.SENDING, State.ACCEPTED)

Reasons = list[tuple[State, str, int]]
Trouble = tuple[int, bool, tuple[tuple[State, int], ...]]
"""An edition, whether it is being sent, and how many of it are in trouble of which kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many of an audience have an edition, wait for it, or get none."""

    audience: int = 0
    counts: Mapping[State, int]

    @property
    def accepted(self) -> int:
        """Whose mail the relay took."""
        return self.counts.get(State.ACCEPTED, 0)

    @property
    def still_open(self) -> int:
        """Who waits."""
        return count_open(self.counts)

    @property
    def trouble(self) -> tuple[tuple[State, int], ...]:
        """Whom it did not reach so far; while no number changes, the reasons hardly do."""
        return tuple(each for each in sorted(self.counts.items()) if each[0] not in _SMOOTH)

    @property
    def others(self) -> list[tuple[str, str, int]]:
        """What became of the rest: state, what it means, how many."""
        return [
            (state.value.replace("_", " "), explain_outcome(state, ""), count)
            for state, count in self.counts.items()
            if count and state is not State.ACCEPTED
        ]


def add_editions(app: FastAPI, press: Press, frame: Frame) -> None:
    """Add the pages of editions."""
    database = press.database
    audiences = Audiences(press)
    troubles = Kept[Trouble, tuple[Reasons, Unreached | None]]()

    def whose(visit: Visit) -> Press:
        return replace(press, actor=visit.actor)

    @app.get("/editions")
    def show_all(request: Request) -> Response:
        with database.reading() as connection:
            listed = [
                (record, read_tally(connection, record))
                for record in list_editions(connection, _LISTED)
            ]
        return frame.show("editions.html.j2", request.state.visit, listed=listed)

    @app.get("/editions/{name}")
    def show_one(request: Request, name: str) -> Response:
        return show(request.state.visit, name)

    def show(visit: Visit, name: str, *, done: str = "") -> Response:
        now = press.now()
        with database.reading() as connection:
            record = find_named(connection, name)
            run = read_run(connection, record.id, now)
            tally = read_tally(connection, record)
            doubts = list_doubts(connection, record.id)
            # Who sends it tries again by itself; whom that leaves is offered afterwards.
            is_sent_now = bool(run and run.is_alive)
            (reasons, unreached), _ = troubles.show(
                (record.id, is_sent_now, tally.trouble),
                lambda: (
                    list_reasons(connection, record.id),
                    None if is_sent_now else count_unreached(connection, record.id),
                ),
            )
            shown: dict[str, Any] = {
                "record": record,
                "tally": tally,
                "run": run,
                "live": describe_live(record, run, tally),
                "reasons": [
                    (state.value.replace("_", " "), words, count, explain_outcome(state, words))
                    for state, words, count in reasons
                ],
                "doubts": doubts[:_DOUBTS_SHOWN],
                "doubts_more": max(0, len(doubts) - _DOUBTS_SHOWN),
                "alerts": list_alerts(connection, record.id),
                "decisions": list_decisions(connection, record.id),
                "unreached": unreached,
                "result": find_result(connection, record.id),
                "interest": read_interest(
                    connection, record.id, url=press.settings.publication.url
                ),
                "fewest": FEWEST,
                "manifest": find_manifest(connection, record),
                "entries": list_entries(connection, 30, target=f"edition {record.name}"),
                "returns": read_returns(connection, record.id),
                "done": done,
            }
        result: Result | None = shown["result"]
        shown["over_time"] = build_time_chart(result.minutes) if result else None
        shown["classes"] = list_classes(result.replies) if result else []
        return frame.show("edition.html.j2", visit, **shown)

    # -- before it is sent -------------------------------------------------------------------------

    def show_send(visit: Visit, name: str, *, said: str = "", kind: str = "problem") -> Response:
        with database.reading() as connection:
            record = find_named(connection, name)
            if record.state not in UNSENT or not record.has_compiled:
                raise RefusedError(
                    f"the edition of {record.name} is {record.state}: it cannot be sent by this "
                    "page",
                    mend="look at the edition for what can be done",
                )
            seen = read_edition_hash(connection, record.id)
            review = find_said_of_edition(connection, record.id)
            asked = list_open(connection, record.id)
        printed = print_standing(press, record)
        failed = list_failed(printed.findings)
        counted = audiences.show(printed, seen)
        audience = counted.readers
        above = press.settings.review.second_person_above
        with database.reading() as connection:
            confirmed = find_confirmed(
                connection, record.id, at_once=False, audience=audience, segment="", overrides=()
            )
        return frame.show(
            "send.html.j2",
            visit,
            status=409 if said and kind == "problem" else 200,
            record=record,
            seen=seen,
            review=review,
            asked=[
                (each, audiences.show(printed, seen, parse_segment(each.segment)).readers)
                if each.segment
                else (each, audience)
                for each in asked
            ],
            two_above=above if 0 < above < audience else 0,
            confirmed=confirmed,
            is_asked=any(not each.at_once for each in asked),
            audience=audience,
            counted_at=counted.at if counted.is_kept else None,
            zone=press.settings.publication.timezone,
            relays=[str(relay) for relay in press.relays],
            findings=[f for f in printed.findings if f.status in ("fail", "warn")],
            passed=sum(f.status == "pass" for f in printed.findings),
            skipped=sum(f.status == "skip" for f in printed.findings),
            failed=[finding.name for finding in failed],
            said=said,
            said_kind=kind,
        )

    def take_printed(visit: Visit, name: str) -> Printed:
        """Give the edition as the visitor saw it; raises where it is another by now."""
        with database.reading() as connection:
            record = find_named(connection, name)
            if read_edition_hash(connection, record.id) != visit.form.get("seen"):
                raise Untimely(
                    "the edition was composed anew since you looked at it", mend="look at it again"
                )
        return print_standing(press, record)

    @app.get("/editions/{name}/send")
    def ask_to_send(request: Request, name: str) -> Response:
        return show_send(request.state.visit, name)

    @app.post("/editions/{name}/send")
    def send_now(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        printed = take_printed(visit, name)
        if printed.record.state in RELEASED:
            return frame.lead(f"/editions/{name}")
        if visit.form.get("sure") != "yes":
            return show_send(visit, name, said="Say that you are sure; nobody was mailed.")
        overrides = [value for key, value in visit.pairs if key == "override"]
        mine = whose(visit)
        try:
            asyncio.run(release(mine, printed, overrides=overrides, by_person=True))
        except RefusedError as error:
            return show_send(visit, name, said=str(error))
        except SecondPersonNeeded as error:
            return show_send(visit, name, said=str(error), kind="done")
        with database.writing() as connection:
            settle.note_send(connection, printed.record.id, by=visit.actor, now=press.now())
        return frame.lead(f"/editions/{name}")

    @app.post("/editions/{name}/plan")
    def plan(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        printed = take_printed(visit, name)
        try:
            local = datetime.fromisoformat(visit.form.get("at", ""))
            at = local.replace(tzinfo=press.settings.publication.zone).astimezone(UTC)
        except (ValueError, OverflowError):
            raise InputError("nothing was planned", mend="say when, by date and time") from None
        overrides = [value for key, value in visit.pairs if key == "override"]
        try:
            plan_edition(whose(visit), printed, at, overrides=overrides, by_person=True)
        except RefusedError as error:
            return show_send(visit, name, said=str(error))
        return frame.lead(f"/editions/{name}")

    @app.post("/editions/{name}/review")
    def approve(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        with database.writing() as connection:
            record = find_named(connection, name)
            if record.state not in UNSENT:
                raise RefusedError(f"the edition of {record.name} is {record.state}")
            approve_edition(
                connection,
                record.id,
                read_rules(press.settings),
                by=visit.actor,
                now=press.now(),
                seen=visit.form.get("seen", "-"),
            )
        ask_for_its_time(whose(visit), print_standing(press, record))
        return frame.lead(f"/editions/{name}/send")

    @app.post("/editions/{name}/confirm")
    def confirm(request: Request, name: str) -> Response:
        """Be the second person: what was asked for at once is sent by this."""
        visit: Visit = request.state.visit
        printed = take_printed(visit, name)
        if visit.form.get("sure") != "yes":
            return show_send(visit, name, said="Say that you are sure; nobody was mailed.")
        number, seen_audience = (
            read_number(value)
            for value in (visit.form.get("ask", ""), visit.form.get("audience", ""))
        )
        with database.reading() as connection:
            asked = list_open(connection, printed.record.id)
            found = next((each for each in asked if each.id == number), None)
            if found and is_behind(connection, found.asked_by, visit.member.name):
                raise RefusedError(
                    "a key that you made asked for this", mend="somebody else has to confirm it"
                )
            if found and not is_sender(connection, found.asked_by):
                raise RefusedError(f"{found.asked_by} may not send any more")
        segment = parse_segment(found.segment) if found and found.segment else None
        audience = audiences.count(printed, visit.form.get("seen", "-"), segment).readers
        with database.writing() as connection:
            ask = confirm_ask(
                connection,
                number,
                printed.record.id,
                seen=visit.form.get("seen", "-"),
                seen_audience=seen_audience,
                audience=audience,
                by=visit.actor,
                now=press.now(),
            )
        if not ask.at_once:
            said = "Confirmed: the schedule sends it at its time."
            return show_send(visit, name, said=said, kind="done")
        asker = Actor(who=ask.asked_by, origin=ask.asked_from)
        mine = replace(press, actor=asker)
        asyncio.run(
            release(
                mine, printed, overrides=ask.overrides, segment=segment, by_person=ask.by_person
            )
        )
        with database.writing() as connection:
            settle.note_send(connection, printed.record.id, by=visit.actor, now=press.now())
        return frame.lead(f"/editions/{name}")

    @app.post("/editions/{name}/test")
    def test(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        printed = take_printed(visit, name)
        email = parse_address(visit.form.get("email", "")).email
        words = asyncio.run(send_test(whose(visit), printed, email))
        with database.writing() as connection:
            target = f"edition {printed.record.name}"
            note(connection, visit.actor, "edition.test", target, now=press.now())
        said = f"Mailed one test copy to {email}, and nobody else: {words}"
        return show_send(visit, name, said=said, kind="done")

    @app.post("/editions/{name}/check")
    def check_in_browser(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        printed = look_at(press, take_printed(visit, name))
        return frame.show("preflight.html.j2", visit, record=printed.record, printed=printed)

    @app.get("/editions/{name}/preflight")
    def show_preflight(request: Request, name: str) -> Response:
        with database.reading() as connection:
            record = find_named(connection, name)
            seen = read_edition_hash(connection, record.id)
        printed = print_standing(press, record)
        visit: Visit = request.state.visit
        return frame.show("preflight.html.j2", visit, record=record, printed=printed, seen=seen)

    # -- while it is sent --------------------------------------------------------------------------

    @app.post("/editions/{name}/pause")
    def pause(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        with database.writing() as connection:
            record = find_named(connection, name)
            settle.pause(connection, record.id, by=visit.actor, now=press.now())
        return frame.lead(f"/editions/{name}")

    @app.post("/editions/{name}/resume")
    def resume(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        with database.writing() as connection:
            record = find_named(connection, name)
            settle.resume(connection, record.id, by=visit.actor, now=press.now())
        return frame.lead(f"/editions/{name}")

    @app.get("/editions/{name}/cancel")
    def ask_to_cancel(request: Request, name: str) -> Response:
        with database.reading() as connection:
            record = find_named(connection, name)
            tally = read_tally(connection, record)
        return frame.show("cancel.html.j2", request.state.visit, record=record, tally=tally)

    @app.post("/editions/{name}/cancel")
    def cancel(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        if visit.form.get("sure") != "yes":
            raise InputError("nothing was cancelled", mend="say that you are sure")
        with database.writing() as connection:
            record = find_named(connection, name)
            settle.cancel(connection, record.id, by=visit.actor, now=press.now())
        if press.web_folder is not None:  # an edition that nobody has is taken down
            write_web(press, press.web_folder)
        return frame.lead(f"/editions/{name}")

    # -- afterwards --------------------------------------------------------------------------------

    @app.post("/editions/{name}/settle")
    def settle_some(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        verdict = visit.form.get("verdict", "")
        if verdict not in ("accepted", "again"):
            raise InputError("nothing was settled", mend="say whether the relay took it")
        with database.reading() as connection:
            record = find_named(connection, name)
            doubted = {doubt.subscriber_id for doubt in list_doubts(connection, record.id)}
        named = {read_number(value) for key, value in visit.pairs if key == "reader"}
        evidence = dict.fromkeys(sorted(doubted & named), "by hand")
        settle_doubts(whose(visit), record, cast("settle.Verdict", verdict), evidence)
        return frame.lead(f"/editions/{name}")

    @app.post("/editions/{name}/retry")
    def retry(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        with database.reading() as connection:
            record = find_named(connection, name)
        retry_unreached(
            whose(visit), record, including_dead=visit.form.get("including_dead") == "yes"
        )
        with database.writing() as connection:
            settle.take_up(connection, record.id, by=visit.actor, now=press.now())
        return frame.lead(f"/editions/{name}")

    @app.post("/editions/{name}/bounces")
    def settle_returned(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        word = visit.form.get("word", "")
        if word not in ("count", "leave"):
            raise InputError("nothing was changed", mend="say whether the bounces count")
        with database.reading() as connection:
            record = find_named(connection, name)
        settle_bounces(database, record, cast("Word", word), by=visit.actor, now=press.now())
        return frame.lead(f"/editions/{name}")


def find_named(connection: Connection, name: str) -> EditionRecord:
    """Find the edition of a name: its date, and its kind where that is not daily."""
    named = parse_edition_name(name)
    record = find_edition(connection, *named) if named else None
    if record is None:
        raise RefusedError(f"there is no edition {name[:40]}", mend="see the list of editions")
    return record


def read_tally(connection: Connection, record: EditionRecord) -> Tally:
    """Count an edition's deliveries by state, quickly."""
    counts = count_states(connection, record.id)
    return Tally(audience=sum(counts.values()), counts=counts)


def describe_live(record: EditionRecord, run: RunView | None, tally: Tally) -> dict[str, Any]:
    """Say how a send stands at this moment, for the page and for what keeps it up to date."""
    progress = run.progress if run and run.is_alive else None
    finish = decide_finish(progress, tally.still_open) if progress else None
    return {
        "state": record.state,
        "accepted": tally.accepted,
        "audience": tally.audience,
        "open": tally.still_open,
        "others": ", ".join(f"{count:,} {state}" for state, _, count in tally.others),
        "rate": f"{progress.per_second:,.1f} a second" if progress else "",
        "finish_at": finish,
        "waiting": progress.waiting if progress else "",
        "sender": shown_holder(run.holder) if run and run.is_alive else "",
        "replies": ", ".join(
            f"{count:,} {name} ({meaning})"
            for name, meaning, count, _ in list_classes(progress.replies if progress else {})
        ),
        "domains": [
            [domain, *(f"{ends.get(end, 0):,}" for end in ENDS)]
            for domain, ends in (progress.domains if progress else ())
        ],
    }


def read_live(press: Press, edition_id: int) -> dict[str, Any]:
    """Read how a send stands, as the stream of it tells."""
    with press.database.reading() as connection:
        record = read_edition(connection, edition_id)
        run = read_run(connection, edition_id, press.now())
        live = describe_live(record, run, read_tally(connection, record))
    zone = press.settings.publication.zone
    finish: datetime | None = live["finish_at"]
    shown: Sequence[str] = ("accepted", "audience", "open")
    return {
        **live,
        **{f"{name}_text": f"{live[name]:,}" for name in shown},
        "finish_at": f"{finish.astimezone(zone):%H:%M:%S}" if finish else "",
    }
