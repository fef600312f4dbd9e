"""What an operator can ask about one reader: explain their story, show their copy."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from newsletter.audience.address import parse_address
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.reader import Choices, Subscriber
from newsletter.audience.signing_up import Told, list_sign_ups
from newsletter.audience.suppression import Suppressed
from newsletter.cli.asked import (
    AnyKindOption,
    JsonOption,
    LatestDateOption,
    find_enrolled_edition,
    list_editions_of,
)
from newsletter.cli.session import Session
from newsletter.cli.tables import decision_documents, shown_moment, shown_state
from newsletter.cli.writing import writing_to
from newsletter.delivery.inquiry import Chapter, Decision, Owed, Story, tell_story
from newsletter.delivery.lifecycle import State
from newsletter.delivery.words import explain_outcome
from newsletter.editions.shelf import list_editions
from newsletter.errors import RefusedError

_REACHES_NOBODY = (State.PENDING, State.LEASED, State.DEFERRED, State.SUPPRESSED, State.EXPIRED)
"""States in which no copy has left yet, or ever."""


def explain(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The reader's address.")],
    day: Annotated[
        datetime | None,
        typer.Option(
            "--date",
            formats=["%Y-%m-%d"],
            metavar="YYYY-MM-DD",
            help="Only the editions of this date; default the latest ones.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="How many editions.", min=1)] = 7,
    as_json: JsonOption = False,
) -> None:
    """Tell one reader's whole story: consent, choices, and what became of each edition."""
    session: Session = ctx.obj
    key = parse_address(address).key
    with session.database() as database, database.reading() as connection:
        editions = (
            list_editions_of(connection, day.date()) if day else list_editions(connection, limit)
        )
        pseudonyms = Pseudonyms(session.settings.secret_keys)
        story = tell_story(connection, key, editions, pseudonyms=pseudonyms)
        told = list_sign_ups(connection, key)
    if not (story.subscriber or story.suppressed or story.chapters or told):
        raise RefusedError(
            f"nothing is known of {key}: it is no reader, and not kept out",
            mend="see `newsletter subscribers list`",
        )
    if as_json:
        session.print_json(_story_document(story) | {"sign_ups": _sign_up_documents(told)})
        return
    zone = session.settings.publication.zone
    for part in _show_story(story, zone, [_shown_sign_up(each, zone) for each in told]):
        session.out.print(part)


def show(
    ctx: typer.Context,
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="The reader.")],
    day: LatestDateOption = None,
    kind: AnyKindOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write here; default standard output.")
    ] = None,
) -> None:
    """Give back the exact bytes that a reader was sent of an edition, or is to be sent."""
    from newsletter.press import Press
    from newsletter.press.afterwards import copy_of

    session: Session = ctx.obj
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        with database.reading() as connection:
            record = find_enrolled_edition(connection, day, kind)
        copy, message = copy_of(press, record, to)
    if out is None:
        sys.stdout.buffer.write(message.content)
        sys.stdout.buffer.flush()
    else:
        with writing_to(out):
            out.write_bytes(message.content)
    if copy.state in _REACHES_NOBODY:
        session.err.print(
            f"{copy.reader.email} has not been sent the edition of {record.name}: "
            f"it is {shown_state(copy.state)}. These bytes are what they would get.",
            markup=False,
            soft_wrap=True,
        )


# -- a story ---------------------------------------------------------------------------------------


def _shown_stranger(story: Story, zone: ZoneInfo) -> str:
    """Say in a sentence what is known of an address that is no reader's."""
    if story.suppressed is None:
        return f"{story.email_key} is no reader any more, and not kept out."
    since = shown_moment(story.suppressed.since, zone)
    if story.suppressed.reason == "erased":
        return (
            f"{story.email_key} was erased on {since}: nothing is held about it but a keyed hash, "
            "which keeps it out of every import."
        )
    why = ", ".join(filter(None, (story.suppressed.reason, story.suppressed.detail)))
    return f"{story.email_key} is no reader, and is kept out since {since} ({why})."


def _show_story(story: Story, zone: ZoneInfo, signed_up: list[str]) -> list[RenderableType]:
    parts: list[RenderableType] = [
        _show_reader(story.subscriber, story.suppressed, zone)
        if story.subscriber
        else Text(_shown_stranger(story, zone))
    ]
    parts += map(Text, signed_up)
    for chapter in story.chapters:
        parts += ["", *_show_chapter(chapter, zone)]
    if story.subscriber and not story.chapters:
        parts.append("There is no edition yet.")
    return parts


def _show_reader(subscriber: Subscriber, suppressed: Suppressed | None, zone: ZoneInfo) -> Table:
    table = _grid()
    table.add_row("Address", Text(subscriber.email))
    if subscriber.name:
        table.add_row("Name", Text(subscriber.name))
    joined = shown_moment(subscriber.created_at, zone)
    table.add_row("Reader", f"{subscriber.status}; on the list since {joined}")
    table.add_row("Consent", Text(_shown_consent(subscriber, zone)))
    table.add_row("Choices", Text(_shown_choices(subscriber.choices)))
    if suppressed is None:
        table.add_row("Kept out", "no")
    else:
        why = f" ({suppressed.detail})" if suppressed.detail else ""
        since = shown_moment(suppressed.since, zone)
        table.add_row("Kept out", Text(f"since {since}: {suppressed.reason}{why}"))
    return table


def _shown_sign_up(told: Told, zone: ZoneInfo) -> str:
    """Say in a sentence how an address was signed up, and what became of it."""
    ways = {"page": "by our form", "form": "by a form", "api": "by a program"}
    said = f"Signed up {ways.get(told.way, told.way)} at {shown_moment(told.asked_at, zone)}"
    if told.source:
        said += f" on {told.source}"
    if told.network:
        said += f" from {told.network}"
    if told.confirmed_at is None:
        return f"{said}; not confirmed."
    words = f", to the words “{told.wording}”" if told.wording else ""
    return f"{said}; confirmed at {shown_moment(told.confirmed_at, zone)}{words}."


def _shown_consent(subscriber: Subscriber, zone: ZoneInfo) -> str:
    source = f"“{subscriber.consent_source}”" if subscriber.consent_source else ""
    when = shown_moment(subscriber.consent_at, zone) if subscriber.consent_at else ""
    return ", ".join(filter(None, (when, source))) or "none is recorded"


def _shown_choices(choices: Choices) -> str:
    chosen = (
        f"{name} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in choices.to_document().items()
    )
    return "; ".join(chosen) or "none: the publication's own"


def _show_chapter(chapter: Chapter, zone: ZoneInfo) -> list[RenderableType]:
    record, copy = chapter.edition, chapter.copy
    title = f"Edition of {record.name} ({record.state})"
    if copy is None:
        return [Text(f"{title}: not in the audience"), _indented(Text(chapter.absence))]
    parts: list[RenderableType] = [Text(f"{title}: {shown_state(copy.state)}")]
    told = _grid()
    for moment, what in sorted(_events(chapter), key=lambda event: event[0]):
        told.add_row(f"{moment.astimezone(zone):%m-%d %H:%M:%S}", Text(what))
    if told.row_count:
        parts.append(_indented(told))
    parts.append(_indented(Text(_shown_standing(chapter, zone))))
    parts += [_indented(Text(_shown_owed(owed, zone))) for owed in chapter.corrections]
    return parts


def _events(chapter: Chapter) -> list[tuple[datetime, str]]:
    """Give what happened to a copy, and when."""
    events = []
    for attempt in chapter.attempts:
        seconds = (attempt.ended_at - attempt.started_at).total_seconds()
        meaning = explain_outcome(attempt.outcome, attempt.reply)
        told = f"try {attempt.number} through {attempt.via}, {seconds:.1f} s: {meaning}"
        events.append((attempt.started_at, f"{told}\n“{attempt.reply}”"))
    events += [(decision.decided_at, _shown_decision(decision)) for decision in chapter.decisions]
    return events


def _shown_decision(decision: Decision) -> str:
    action = decision.action.replace("_", " ")
    about = "" if decision.subscriber_id is not None else ", the whole edition"
    detail = f" ({decision.detail})" if decision.detail else ""
    return f"{decision.decided_by} decided: {action}{about}{detail}"


def _shown_owed(owed: Owed, zone: ZoneInfo) -> str:
    """Say that a reader is owed a correction, and what became of it."""
    made = f"Owed a correction ({owed.severity}, {shown_moment(owed.made_at, zone)})"
    if not owed.carried_in:
        became = "it waits for the next edition"
    elif owed.state is None:
        became = f"not in the audience of the edition of {owed.carried_in}, which told of it"
    else:
        became = f"told in the edition of {owed.carried_in}, {shown_state(owed.state)}"
    return f"{made}: “{owed.text}”; {became}."


def _shown_standing(chapter: Chapter, zone: ZoneInfo) -> str:
    """Say how a copy stands now, and what comes next."""
    copy, record = chapter.copy, chapter.edition
    assert copy is not None
    options = record.options
    match copy.state:
        case State.PENDING | State.DEFERRED if record.state == "paused":
            return f"Waits: the edition is paused; `newsletter resume {record.name}` lets it go on."
        case State.PENDING if not chapter.attempts and copy.next_attempt_at > copy.changed_at:
            return f"Waits for the reader's hour, {shown_moment(copy.next_attempt_at, zone)}."
        case State.PENDING if not chapter.attempts:
            return "Not tried yet."
        case State.PENDING | State.DEFERRED:
            until = shown_moment(record.not_after, zone)
            due = shown_moment(copy.next_attempt_at, zone)
            return f"Next try at {due}; given up if not taken by {until}."
        case State.LEASED | State.SENDING:
            return f"{explain_outcome(copy.state, '').capitalize()} at this moment."
        case State.IN_DOUBT:
            return f"In doubt: `newsletter resolve {options}` settles it."
        case State.SUPPRESSED:
            since = shown_moment(copy.changed_at, zone)
            return f"Left the list before it was sent: dropped at {since}."
        case State.EXPIRED:
            words = f" ({copy.reply})" if copy.reply and not chapter.attempts else ""
            return f"Given up at {shown_moment(copy.changed_at, zone)}{words}."
        case State.FAILED:
            return f"`newsletter send --retry-failed {options}` would try again."
        case State.BOUNCED:
            return f"It came back: {copy.reply}."
        case _:
            return f"`newsletter show --to {copy.reader.email} {options}` gives back the mail."


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _indented(part: RenderableType) -> Padding:
    return Padding(part, (0, 0, 0, 2))


# -- for a script ----------------------------------------------------------------------------------


def _story_document(story: Story) -> dict[str, Any]:
    subscriber, suppressed = story.subscriber, story.suppressed
    return {
        "address": story.email_key,
        "reader": subscriber
        and {
            "id": subscriber.id,
            "email": subscriber.email,
            "name": subscriber.name,
            "status": subscriber.status,
            "created_at": subscriber.created_at.isoformat(),
            "consent_at": subscriber.consent_at and subscriber.consent_at.isoformat(),
            "consent_source": subscriber.consent_source,
            "choices": subscriber.choices.to_document(),
        },
        "suppressed": suppressed
        and {
            "reason": suppressed.reason,
            "detail": suppressed.detail,
            "since": suppressed.since.isoformat(),
        },
        "editions": [_chapter_document(chapter) for chapter in story.chapters],
    }


def _sign_up_documents(told: list[Told]) -> list[dict[str, Any]]:
    return [
        {
            "state": each.state,
            "asked_at": each.asked_at.isoformat(),
            "way": each.way,
            "source": each.source,
            "network": each.network,
            "confirmed_at": each.confirmed_at and each.confirmed_at.isoformat(),
            "wording": each.wording,
        }
        for each in told
    ]


def _chapter_document(chapter: Chapter) -> dict[str, Any]:
    copy = chapter.copy
    waits = copy is not None and copy.state in (State.PENDING, State.DEFERRED)
    return {
        "date": chapter.edition.date.isoformat(),
        "kind": chapter.edition.kind,
        "edition_state": chapter.edition.state,
        "in_audience": copy is not None,
        "absence": chapter.absence,
        "state": copy and copy.state.value,
        "changed_at": copy and copy.changed_at.isoformat(),
        "next_attempt_at": copy.next_attempt_at.isoformat() if copy and waits else None,
        "attempts": [
            {
                "number": attempt.number,
                "via": attempt.via,
                "started_at": attempt.started_at.isoformat(),
                "ended_at": attempt.ended_at.isoformat(),
                "outcome": attempt.outcome.value,
                "reply": attempt.reply,
                "meaning": explain_outcome(attempt.outcome, attempt.reply),
            }
            for attempt in chapter.attempts
        ],
        "decisions": decision_documents(chapter.decisions),
        "corrections": [
            {
                "text": owed.text,
                "severity": owed.severity,
                "made_at": owed.made_at.isoformat(),
                "carried_in": owed.carried_in,
                "state": owed.state and owed.state.value,
            }
            for owed in chapter.corrections
        ],
    }
