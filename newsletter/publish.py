"""The way of the data, told in one file: gather, compose, render, enrol, deliver.

    gather ─▶ compose ─▶ render ─▶ enrol ─▶ deliver
    briefs    Edition    Compiled  Delivery  accepted, deferred, failed, in doubt …
              (draft)    Edition   rows      (approved ─▶ sending ─▶ sent)

A person at the command line and the clock of `newsletter serve` take the same way. Each step
leaves what it did in the database, and can be taken again: until an edition is enrolled it is
composed anew, from then on its content and its audience are fixed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from newsletter.audience.address import parse_address
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.reader import Choices, Reader
from newsletter.audience.segment import Segment
from newsletter.audience.subscribers import read_subscriber
from newsletter.audience.suppression import find_suppression
from newsletter.briefs.fetcher import probe
from newsletter.briefs.gather import SourceReport, describe_us, gather_sources
from newsletter.delivery.holder import describe_operator, describe_self
from newsletter.delivery.inquiry import (
    FORGOTTEN,
    Copy,
    find_copy,
    find_copy_at,
    is_forgotten,
    list_copies_in_doubt,
)
from newsletter.delivery.lanes import build_domain_limits, build_lanes, read_relays
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import State
from newsletter.delivery.retry import judge_reply
from newsletter.delivery.sender import Sender
from newsletter.delivery.settle import (
    PutBack,
    Verdict,
    note_override,
    note_segment,
    put_back,
    settle_doubts,
)
from newsletter.delivery.shift import Lane, Policy, Surroundings
from newsletter.delivery.signing import choose_signers, read_signers
from newsletter.editions.candidates import Barred, find_barred, is_overtaken
from newsletter.editions.corrections import (
    Wrong,
    build_correction,
    is_missing_owed,
    list_corrected,
)
from newsletter.editions.desk import Composed, Outcome, compose_edition, find_released
from newsletter.editions.explain import (
    Line,
    explain_items,
    load_claims,
    load_waiting,
    place_by_form,
)
from newsletter.editions.following import note_approved
from newsletter.editions.lifecycle import RELEASED
from newsletter.editions.model import (
    Edition,
    Kind,
    list_dates_referred_to,
    list_dates_repeated,
)
from newsletter.editions.review import WAITS_FOR_REVIEW
from newsletter.editions.shelf import (
    EditionRecord,
    change_state,
    find_edition,
    has_left,
    hold_edition,
    load_compiled,
    load_content,
    load_letterhead,
    read_edition,
    store_compiled,
    store_edition,
    store_letterhead,
)
from newsletter.editions.special import compose_special
from newsletter.editions.verdicts import (
    approve_edition,
    find_unsendable,
    is_edition_approved,
    read_rules,
)
from newsletter.editions.weekly import compose_weekly
from newsletter.errors import (
    IllegalMove,
    RefusedError,
    RelayRefusedUs,
    RelayUnavailable,
    SourceError,
    TemplateError,
    TemporaryError,
)
from newsletter.mail import (
    Addresser,
    Keyring,
    Letterhead,
    Message,
    build_letterhead,
    decode_message,
)
from newsletter.mail.dkim import Signer
from newsletter.render.addresses import edition_path
from newsletter.render.apart import within_limits
from newsletter.render.browser_checks import check_in_browser
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import CompiledEdition
from newsletter.render.preflight import (
    Answer,
    Finding,
    Link,
    check_edition,
    choose_overridden,
    join_reports,
    list_edition_links,
    list_failed,
)
from newsletter.render.selection import Selector
from newsletter.render.site import Build, Written, build_files, check_site, write_site
from newsletter.render.templates import TemplateSet, find_templates
from newsletter.render.web import Published, file_of
from newsletter.render.web_pages import build_pages
from newsletter.settings import Settings
from newsletter.smtp.protocol import Phase, Refused
from newsletter.smtp.relay import Relay
from newsletter.store import Database

TEST_MARK = "[Test] "
LINK_SECONDS = 10.0
"""How long a page may take to answer."""
_LINKS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Press:
    """What every step works with: the settings, the database, and a clock in aware UTC."""

    settings: Settings
    database: Database
    now: Callable[[], datetime]

    @property
    def keyring(self) -> Keyring:
        """The keys that sign links and Message-IDs."""
        return Keyring(self.settings.secret_keys)

    @property
    def pseudonyms(self) -> Pseudonyms:
        """What stands for readers who were erased."""
        return Pseudonyms(self.settings.secret_keys)

    @property
    def signers(self) -> tuple[Signer, ...]:
        """The DKIM keys, read and tried."""
        domain = self.settings.publication.sender_domain
        return read_signers(self.settings.dkim, root=self.settings.root, domain=domain)

    @property
    def templates(self) -> TemplateSet:
        """The templates, the operator's own ones first."""
        return find_templates(self.settings.path(self.settings.templates.path))

    @property
    def web_folder(self) -> Path | None:
        """Where the web copy goes; None if nowhere."""
        folder = self.settings.web.folder
        return self.settings.path(folder) if folder else None

    @property
    def ledger(self) -> Ledger:
        """Who gets what, and what became of it."""
        return Ledger(self.database, in_doubt=self.settings.delivery.in_doubt)

    @property
    def relays(self) -> tuple[Relay, ...]:
        """Where mail is handed to, `delivery.relay` first."""
        return read_relays(self.settings)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The relays as a run uses them."""
        return build_lanes(self.settings)

    def today(self) -> date:
        """Give the editorial date: today in the publication's time zone."""
        return self.now().astimezone(self.settings.publication.zone).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """An edition rendered and checked, not yet anybody's."""

    record: EditionRecord
    edition: Edition
    compiled: CompiledEdition
    findings: tuple[Finding, ...]
    is_looked_at: bool = False
    """Whether a browser showed it, or was looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """How a run ended."""

    record: EditionRecord
    counts: dict[State, int]
    """Deliveries by state; they sum to the audience."""

    @property
    def is_sent(self) -> bool:
        """Whether no delivery is left open."""
        return self.record.state == "sent"


# -- 1. gather and compose -------------------------------------------------------------------------


def gather(
    press: Press,
    *,
    patient: bool = False,
    on_source: Callable[[SourceReport], None] | None = None,
) -> tuple[SourceReport, ...]:
    """Read every source and store what is new. A source that fails stops no other.

    The schedule is `patient`: it leaves one that failed alone for a while.
    """
    return gather_sources(
        press.database, press.settings, now=press.now(), patient=patient, on_source=on_source
    )


def compose(
    press: Press,
    day: date,
    reports: tuple[SourceReport, ...] | None,
    *,
    kind: Kind = "daily",
    brief_ids: Sequence[int] = (),
    closed: bool = False,
) -> Composed:
    """Compose the edition of a day from what was gathered; `brief_ids` are a special one's.

    Once the review is `closed`, the daily one is made of what is approved.
    """
    now = press.now()
    if kind == "weekly":
        return compose_weekly(press.database, press.settings, day=day, now=now)
    if kind == "special":
        return compose_special(
            press.database, press.settings, day=day, now=now, brief_ids=brief_ids
        )
    return compose_edition(
        press.database, press.settings, day=day, now=now, reports=reports, closed=closed
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Where everything that was gathered went, by place."""

    day: date
    outcome: Outcome
    lines: tuple[Line, ...]
    remark: str = ""
    """Why nobody can say how much of each brief readers get; "" where that is said."""


def explain(press: Press, reports: tuple[SourceReport, ...]) -> Explained:
    """Say where each item of a gathering goes today, and why; nothing is composed for good."""
    day = press.today()
    composed = compose_edition(
        press.database, press.settings, day=day, now=press.now(), reports=reports, dry=True
    )
    fates, remark = composed.fates, ""
    if composed.edition and not composed.existing:
        try:
            compiled = _lay_out(press, composed.edition)
        except TemplateError as error:
            remark = f"The templates cannot be laid out, so full is the most of a brief: {error}"
        else:
            forms = Selector(compiled).select(Choices()).forms
            fates = place_by_form(fates, forms, compiled.minutes)
    ids = [item.brief_id for report in reports for item in report.items if item.brief_id]
    with press.database.reading() as connection:
        claims = load_claims(connection, ids)
        if composed.existing and composed.record:
            lookback = press.settings.edition.lookback
            fates = load_waiting(connection, composed.record, now=press.now(), lookback=lookback)
    lines = explain_items(reports, fates, claims)
    return Explained(day=day, outcome=composed.outcome, lines=lines, remark=remark)


# -- 2. render -------------------------------------------------------------------------------------


def render(press: Press, composed: Composed) -> Printed:
    """Render an edition once for all its readers, and store it with the edition.

    An edition that is approved already is given back as it was stored. Raises `RefusedError`
    where there is nothing to render, `TemplateError` for a fault in a template.
    """
    record, edition = composed.record, composed.edition
    if record is None or edition is None:
        reason = f": {record.reason}" if record and record.reason else ""
        raise RefusedError(f"there is no edition to render ({composed.outcome}{reason})")
    publication = press.settings.publication
    if composed.existing:
        with press.database.reading() as connection:
            compiled = CompiledEdition.load(load_compiled(connection, record.id))
    else:
        compiled = _lay_out(press, edition)
        with press.database.writing() as connection:
            record = store_compiled(connection, record.id, compiled.dump())
    findings = check_edition(
        edition,
        compiled,
        publication=publication,
        vocabulary=press.settings.vocabulary,
        picture_hosts=frozenset(press.settings.edition.picture_hosts),
        # What is approved goes on being sent, whatever became of the web templates since.
        web=None if record.state in RELEASED else _build_page(press, edition),
    )
    return Printed(record=record, edition=edition, compiled=compiled, findings=findings)


def _lay_out(press: Press, edition: Edition) -> CompiledEdition:
    settings, templates = press.settings, press.templates
    return within_limits(compile_edition, templates, settings.templates)(
        edition,
        publication=settings.publication,
        vocabulary=settings.vocabulary,
        templates=templates,
        settings=settings.edition,
        look=settings.look,
    )


def look_at(
    press: Press, printed: Printed, *, on_look: Callable[[str], None] = lambda _name: None
) -> Printed:
    """Add to the preflight what a browser shows of the mail; once, and not of what is approved.

    Where there is none its checks are skipped, and say so.
    """
    if printed.is_looked_at or printed.record.state in RELEASED:
        return printed
    reader = Reader(subscriber_id=0, email="reader@example.org", choices=Choices())
    _, html = decode_message(sample_message(press, printed, reader).content)
    seen = check_in_browser(
        html, picture_hosts=press.settings.edition.picture_hosts, on_look=on_look
    )
    return replace(printed, findings=join_reports(printed.findings, seen), is_looked_at=True)


def list_links(press: Press, printed: Printed) -> tuple[Link, ...]:
    """List the pages that an edition's mail leads to, and from where."""
    return list_edition_links(
        printed.edition,
        printed.compiled,
        publication=press.settings.publication,
        vocabulary=press.settings.vocabulary,
    )


def ask_links(
    press: Press,
    links: Sequence[Link],
    *,
    allow_private: bool = False,
    on_answer: Callable[[Answer], None] = lambda _answer: None,
) -> tuple[Answer, ...]:
    """Ask each page whether it is there, a few at a time; the order is that of `links`."""

    def ask(link: Link) -> Answer:
        try:
            probed = probe(
                link.url,
                allow_private=allow_private,
                timeout_seconds=LINK_SECONDS,
                user_agent=describe_us(press.settings),
            )
        except SourceError as error:
            return Answer(link=link, status=0, problem=error.problem)
        return Answer(
            link=link,
            status=probed.status,
            ended_at="" if probed.url == link.url else probed.url,
        )

    with ThreadPoolExecutor(max_workers=_LINKS_AT_ONCE) as pool:
        answers = []
        for answer in pool.map(ask, links):
            answers.append(answer)
            on_answer(answer)
    return tuple(answers)


# -- 3. enrol --------------------------------------------------------------------------------------


def approve(
    press: Press,
    record: EditionRecord,
    overridden: Sequence[Finding] = (),
    *,
    segment: Segment | None = None,
    approved_by: str = "",
) -> int:
    """Approve an edition and freeze its audience, in one transaction; return its size.

    The audience is every active reader, or those in a `segment`, which is noted then. Failed
    checks that are `overridden` are noted with it: who answers for them, and what they said.

    From here on content, readers, choices, Date and signing key of every message are fixed:
    all attempts to one reader are the same bytes. Raises `TemporaryError` if another process
    composed the edition anew since `record` was read: nobody has said yes to that one; and where
    it holds a brief that is under embargo by now, has expired, or is rejected: made again it has
    it no more. `approved_by` is the person whose yes this is, which is kept as their review; the
    schedule, which is nobody, sends no brief that waits for one.
    """
    now = press.now()
    letterhead = _letterhead_of(press, record, now)
    with press.database.writing(in_bulk=True) as connection:
        if record.state == "draft":
            change_state(connection, record.id, "ready", now=now)
        approved = change_state(connection, record.id, "approved", now=now)
        if not approved.has_compiled or approved.window != record.window:
            raise TemporaryError(
                f"the edition of {record.date} was composed anew meanwhile",
                mend="look at it again, then send it",
            )
        if barred := find_barred(connection, record.id, now):
            raise TemporaryError(
                f"the edition of {record.date} cannot be sent: {_describe_barred(press, barred)}",
                mend="make it again, which leaves that out, and look at it before you send it",
            )
        _check_reviewed(connection, press, record, approved_by)
        store_letterhead(
            connection,
            record.id,
            letterhead.to_document(),
            dated_at=letterhead.dated_at,
            not_after=now + press.settings.delivery.not_after,
        )
        content = load_content(connection, record.id)
        repeats = list_dates_repeated(content)
        audience = press.ledger.enrol(
            connection,
            record.id,
            now,
            refers_to=list_dates_referred_to(content),
            repeats=repeats,
            only_had=list_corrected(connection, content),
            segment=segment,
        )
        if not audience:
            raise nobody_to_mail(record.kind, segment)
        if segment:
            everybody = press.ledger.count_audience(connection, record.id, now, repeats=repeats)
            said = f"{audience:,} of {everybody:,} active readers: {segment}"
            note_segment(connection, record.id, said, by=describe_operator(), now=now)
        note_approved(
            connection, record.id, content, press.settings, by=describe_operator(), now=now
        )
        told = [f"{finding.number} {finding.name}: {finding.detail}" for finding in overridden]
        note_override(connection, record.id, told, by=describe_operator(), now=now)
    return audience


def _check_reviewed(
    connection: Connection, press: Press, record: EditionRecord, approved_by: str
) -> None:
    """Refuse an edition that its reviewers do not let go, and keep a person's yes to it."""
    if record.kind == "weekly":  # it tells what was told, and so approved, before
        return
    rules = read_rules(press.settings)
    left = find_unsendable(connection, record.id, rules, by_person=bool(approved_by))
    if left is not None:
        said = left.judgement.said
        rejected = left.judgement.state == "rejected" and said is not None
        why = f"was rejected by {said.decided_by}" if rejected and said else "is not reviewed"
        raise TemporaryError(
            f'the edition of {record.date} cannot be sent: "{left.brief.title[:60]}" {why}',
            mend="make it again, which leaves that out, and look at it before you send it",
        )
    if approved_by:
        approve_edition(connection, record.id, rules, by=approved_by, now=press.now())


def count_audience(press: Press, printed: Printed, segment: Segment | None = None) -> int:
    """Count who would be mailed, were an edition approved now."""
    edition = printed.edition
    with press.database.reading() as connection:
        return press.ledger.count_audience(
            connection,
            printed.record.id,
            press.now(),
            repeats=list_dates_repeated(edition),
            only_had=list_corrected(connection, edition),
            segment=segment,
        )


def nobody_to_mail(kind: Kind, segment: Segment | None = None) -> RefusedError:
    """Say that an edition has no audience, and what would give it one."""
    if segment:
        return RefusedError(
            f"no active reader whom the edition is for is in the segment {segment}",
            mend="`newsletter subscribers list --segment` shows who is in one",
        )
    if kind == "weekly":
        return RefusedError(
            "the round-up has no reader who chose it and was not sent all of it before",
            mend='readers choose it by "weekly" or "both" in the column rhythm',
        )
    if kind == "correction":
        return RefusedError(
            "nobody who was sent the wrong edition is an active reader any more",
            mend="make the correction minor, for its pages",
        )
    return RefusedError(
        "there is no active reader", mend="add some with `newsletter subscribers import FILE`"
    )


def _check_allowed(press: Press, record: EditionRecord) -> None:
    """Refuse to begin with an approved edition that holds what may not be sent now.

    Once a message has left, others of the same edition harm nobody any more.
    """
    with press.database.reading() as connection:
        if has_left(connection, record.id):
            return
        barred = find_barred(connection, record.id, press.now())
    if barred is None:
        return
    problem = f"the edition of {record.date} cannot be sent: {_describe_barred(press, barred)}"
    if barred.not_before is not None:
        raise TemporaryError(problem, mend="send it after that")
    raise RefusedError(
        problem,
        mend=f"`newsletter cancel {record.name}` gives its other briefs to the next edition",
    )


def _describe_barred(press: Press, barred: Barred) -> str:
    title = barred.title[:60]
    if barred.not_before is None:
        return f'"{title}" has expired'
    until = barred.not_before.astimezone(press.settings.publication.zone)
    return f'"{title}" is under embargo until {until:%Y-%m-%d %H:%M %Z}'


# -- 4. the web copy -------------------------------------------------------------------------------


def write_web(
    press: Press,
    folder: Path,
    *,
    day: date | None = None,
    on_edition: Callable[[int, int], None] = lambda _done, _total: None,
) -> Written:
    """Write the pages of every edition that readers may have, or of one day's, and the feeds."""
    return write_site(press.database, folder, _builder(press), day=day, on_edition=on_edition)


def check_web(press: Press, printed: Printed) -> None:
    """See that the pages of an edition can be written, while nobody has it yet."""
    if press.web_folder is not None:
        published = Published(edition=printed.edition, published_at=press.now())
        check_site(press.web_folder, _builder(press), published)


def build_web(press: Press, day: date | None) -> dict[str, bytes]:
    """Build the pages of a day's edition, or those of all: by file; empty where there are none."""
    return build_files(press.database, _builder(press), day)


def _build_page(press: Press, edition: Edition) -> str:
    """Build an edition's page on the web, to be compared with its mail."""
    files = _builder(press)(editions=[Published(edition=edition, published_at=press.now())])
    return files[file_of(edition_path(edition.date, edition.kind))].decode()


def _builder(press: Press) -> Build:
    templates = press.templates
    return partial(
        within_limits(build_pages, templates, press.settings.templates),
        publication=press.settings.publication,
        vocabulary=press.settings.vocabulary,
        templates=templates,
        look=press.settings.look,
        picture_hosts=press.settings.edition.picture_hosts,
    )


# -- 5. deliver ------------------------------------------------------------------------------------


async def deliver(
    press: Press,
    record: EditionRecord,
    *,
    on_start: Callable[[Sender], None] = lambda _sender: None,
    on_progress: Callable[[Counter[State]], None] = lambda _tally: None,
) -> Delivered:
    """Send an approved edition, or go on with one that was stopped or killed.

    Nobody gets a second copy, whoever calls this, wherever and however often. `on_start` is
    given the sender, whose `stop` ends the run in order.
    """
    settings = press.settings.delivery
    ledger = press.ledger
    maker = addresser(press, record.id)
    lanes = press.lanes
    with press.database.reading() as connection:
        record = read_edition(connection, record.id)
    if record.state == "sent":
        return Delivered(record=record, counts=ledger.counts(record.id))
    if record.state == "paused":
        raise paused(record)
    assert record.not_after is not None, "set together with the approval"
    run = ledger.take(record.id, describe_self(), press.now())
    sender = Sender(
        ledger=ledger,
        run=run,
        lanes=lanes,
        address=maker.address,
        is_slow=maker.is_slow,
        policy=Policy(
            not_after=record.not_after,
            retry_after=settings.retry_after,
            domains=build_domain_limits(press.settings),
        ),
        around=Surroundings(
            now=press.now,
            monotonic=time.monotonic,
            spread=random.random,
        ),
        on_progress=on_progress,
    )
    on_start(sender)
    await sender.send()
    with press.database.reading() as connection:
        record = read_edition(connection, record.id)
    return Delivered(record=record, counts=ledger.counts(record.id))


def paused(record: EditionRecord) -> RefusedError:
    """Say that an edition is paused, and how it goes on."""
    return RefusedError(
        f"the edition of {record.name} is paused",
        mend=f"`newsletter resume {record.name}` lets it be sent",
    )


async def check_relay(press: Press) -> None:
    """Open a channel and close it: what an operator must mend shows before anybody is mailed.

    Of several relays one that can be used is enough; a configuration that is wrong is not.
    """
    unavailable: RelayUnavailable | None = None
    for lane in press.lanes:
        try:
            channel = await lane.open_channel()
        except RelayUnavailable as error:
            unavailable = unavailable or error
        else:
            await channel.close()
            return
    assert unavailable is not None
    raise unavailable


async def send_test(press: Press, printed: Printed, email: str) -> str:
    """Mail one marked copy outside the ledger; return the relay's words."""
    letterhead = _letterhead_of(press, printed.record, press.now())
    maker = _build_addresser(press, printed.compiled, letterhead, subject_mark=TEST_MARK)
    message = maker.address(Reader(subscriber_id=0, email=email, choices=Choices()))
    lane = press.lanes[0]
    channel = await lane.open_channel()
    try:
        answer = await channel.prepare(message.envelope, message.content)
        phase, reply = (
            (answer.phase, answer.reply)
            if isinstance(answer, Refused)
            else (Phase.DOT, await channel.finish())
        )
    finally:
        await channel.close()
    if judge_reply(phase, reply).state is not State.ACCEPTED:
        raise RelayRefusedUs(f"{lane.name} refused the test message at {phase.value} ({reply})")
    return str(reply)


def addresser(press: Press, edition_id: int) -> Addresser:
    """Give what makes any reader's copy of an approved edition, now or months later."""
    with press.database.reading() as connection:
        compiled = CompiledEdition.load(load_compiled(connection, edition_id))
        letterhead = Letterhead.from_document(load_letterhead(connection, edition_id))
    return _build_addresser(press, compiled, letterhead)


def sample_message(press: Press, printed: Printed, reader: Reader) -> Message:
    """Give the copy that a reader would get of an edition that is not approved yet."""
    letterhead = _letterhead_of(press, printed.record, press.now())
    return _build_addresser(press, printed.compiled, letterhead).address(reader)


def _letterhead_of(press: Press, record: EditionRecord, dated_at: datetime) -> Letterhead:
    return build_letterhead(
        press.settings.publication,
        edition_id=record.id,
        day=record.date,
        kind=record.kind,
        dated_at=dated_at,
        key_id=press.keyring.newest,
        dkim=tuple((signer.name, signer.fingerprint) for signer in press.signers),
    )


def _build_addresser(
    press: Press, compiled: CompiledEdition, letterhead: Letterhead, *, subject_mark: str = ""
) -> Addresser:
    signers = choose_signers(press.signers, letterhead.dkim)
    return Addresser(
        compiled, letterhead, press.keyring, signers=signers, subject_mark=subject_mark
    )


# -- 6. what an operator asks and decides afterwards -----------------------------------------------


def copy_of(press: Press, record: EditionRecord, email: str) -> tuple[Copy, Message]:
    """Give the copy that a reader was sent, or is to be sent: the bytes that leave, or left.

    Raises `RefusedError` for who is not in the audience, `ConfigurationError` where a key that
    the edition was made with is gone.
    """
    key = parse_address(email).key
    with press.database.reading() as connection:
        subscriber = read_subscriber(connection, key)
        found = (
            find_copy(connection, record.id, subscriber.id)
            if subscriber
            else find_copy_at(connection, record.id, key)  # they may have been a reader then
        )
        suppressed = find_suppression(connection, key, pseudonyms=press.pseudonyms)
        forgotten = is_forgotten(connection, record.id)
    if found:
        return found, addresser(press, record.id).address(found.reader)
    if suppressed and suppressed.reason == "erased":
        raise RefusedError(
            f"{key} was erased on {suppressed.since:%Y-%m-%d}, so their copies cannot be made again"
        )
    if forgotten:
        raise RefusedError(f"of the edition of {record.date} {FORGOTTEN}")
    if not subscriber:
        raise RefusedError(
            f"no reader has the address {email}", mend="see `newsletter subscribers list`"
        )
    raise RefusedError(
        f"{subscriber.email} is not in the audience of the edition of {record.date}",
        mend=f"`newsletter explain {subscriber.email}` says why",
    )


def message_ids_in_doubt(press: Press, record: EditionRecord) -> dict[int, str]:
    """Give the Message-ID of each delivery in doubt, by subscriber: the relay's log has it."""
    with press.database.reading() as connection:
        copies = list_copies_in_doubt(connection, record.id)
    if not copies:
        return {}
    address = addresser(press, record.id).address
    return {copy.reader.subscriber_id: address(copy.reader).message_id for copy in copies}


def settle(
    press: Press, record: EditionRecord, verdict: Verdict, evidence: Mapping[int, str]
) -> int:
    """Settle deliveries in doubt, by subscriber and reason; return how many still were."""
    now = press.now()
    with press.database.writing() as connection:
        return settle_doubts(
            connection,
            record.id,
            verdict,
            evidence,
            by=describe_operator(),
            now=now,
            not_after=now + press.settings.delivery.not_after,
        )


def retry_unreached(press: Press, record: EditionRecord, *, including_dead: bool) -> PutBack:
    """Put failed and expired deliveries back to be sent: the same bytes, with time anew."""
    now = press.now()
    with press.database.writing() as connection:
        return put_back(
            connection,
            record.id,
            including_dead=including_dead,
            by=describe_operator(),
            now=now,
            not_after=now + press.settings.delivery.not_after,
        )


# -- the whole way ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a day came to: an edition that can be sent, or why there is none."""

    composed: Composed
    printed: Printed | None = None
    reports: tuple[SourceReport, ...] = ()


def prepare(
    press: Press,
    day: date,
    *,
    kind: Kind = "daily",
    brief_ids: Sequence[int] = (),
    anew: bool = True,
    closed: bool = False,
    on_source: Callable[[SourceReport], None] | None = None,
) -> Prepared:
    """Gather, compose and render the edition of a day, unless it is approved already.

    One that is ready, made by the schedule, is made `anew` for a person: what they look at is
    what there is now. It stands as it is for the schedule itself, unless an embargo has ended or
    begun since, or a brief of it has expired; and where no source can be read. What its reviewers
    do not let go is left out of what was gathered: another gathering would bring edits that
    nobody has seen. `closed` is whether their time is over.
    """
    is_by_schedule = not anew
    with press.database.reading() as connection:
        found = find_edition(connection, day, kind)
        ready = found if found and found.has_compiled and found.state == "ready" else None
        if ready and is_overtaken(connection, ready.id, ready.window.cut_off, press.now()):
            anew = True
        if ready and is_missing_owed(connection, load_content(connection, ready.id)):
            anew = True
        is_let_go = ready is None or _is_let_go(connection, press, ready, closed=closed)
    waits = found and found.state == "held" and found.reason.startswith(WAITS_FOR_REVIEW)
    is_gathered = not anew and (waits or not is_let_go)
    fixed = found if found and found.has_compiled and found.state in RELEASED else None
    if standing := fixed or (None if anew or not is_let_go else ready):
        return _take_standing(press, standing)
    if kind == "correction":
        raise RefusedError(
            f"there is no correction of {day} that was approved",
            mend="`newsletter correct DATE --severity severe` makes one and sends it",
        )
    # A round-up tells what was told: no source has anything to add to it.
    reports: tuple[SourceReport, ...] = ()
    if not (is_gathered or kind == "weekly"):
        reports = gather(press, patient=is_by_schedule, on_source=on_source)
    if ready and reports and not any(report.is_read for report in reports):
        return _take_standing(press, ready, reports)
    composed = compose(
        press,
        day,
        None if is_gathered else reports,
        kind=kind,
        brief_ids=brief_ids,
        closed=closed,
    )
    if composed.edition is None:
        return Prepared(composed=composed, reports=reports)
    printed = render(press, composed)
    composed = replace(composed, record=printed.record, edition=printed.edition)
    return Prepared(composed=composed, printed=printed, reports=reports)


def _is_let_go(connection: Connection, press: Press, ready: EditionRecord, *, closed: bool) -> bool:
    """Tell whether the reviewers let an edition go as it stands; before their time is over, yet."""
    if ready.kind != "daily":
        return True
    rules = read_rules(press.settings)
    # One that was made before may tell a text that was changed, and approved, since then.
    is_of_before = (
        closed and rules.required and ready.window.cut_off < review_end(press, ready.date)
    )
    if is_of_before and not is_edition_approved(connection, ready.id):
        return False
    return find_unsendable(connection, ready.id, rules, by_person=not closed) is None


def review_end(press: Press, day: date) -> datetime:
    """Give the moment at which the review of a day's edition ends, aware UTC."""
    zone = press.settings.publication.zone
    return datetime.combine(day, press.settings.review_ends_at, tzinfo=zone).astimezone(UTC)


def _is_closed(press: Press, day: date, kind: Kind) -> bool:
    """Tell whether the schedule has to go by what is approved; at once where no review is."""
    review = press.settings.review
    return kind == "daily" and (not review.required or press.now() >= review_end(press, day))


def _take_standing(
    press: Press, record: EditionRecord, reports: tuple[SourceReport, ...] = ()
) -> Prepared:
    with press.database.reading() as connection:
        edition = load_content(connection, record.id)
    composed = Composed(
        outcome="edition" if edition.briefs else "quiet_day",
        record=record,
        edition=edition,
        existing=True,
    )
    return Prepared(composed=composed, printed=render(press, composed), reports=reports)


def prepare_correction(press: Press, wrong: Wrong, text: str) -> Printed:
    """Make the mail that corrects an edition at once, for exactly those who were sent that one.

    It is of today, and takes the place of what nobody approved. Raises `RefusedError` where one
    of today is approved already.
    """
    now = press.now()
    edition = build_correction(
        wrong,
        text,
        day=press.today(),
        now=now,
        publication=press.settings.publication,
        vocabulary=press.settings.vocabulary,
    )
    with press.database.writing() as connection:
        if find_released(connection, edition.date, "correction"):
            raise RefusedError(
                f"a correction was mailed already on {edition.date}",
                mend="make this one normal, for the next edition, or mail it tomorrow",
            )
        record = store_edition(connection, edition, brief_ids=(), now=now)
    return render(press, Composed(outcome="edition", record=record, edition=edition))


def make_ready(press: Press, day: date, kind: Kind = "daily") -> Prepared:
    """Prepare the edition of a day and set it ready, unless it is: what the schedule does.

    One that fails its preflight is held instead: nobody is there to answer for it.
    """
    closed = _is_closed(press, day, kind)
    prepared = prepare(press, day, kind=kind, anew=False, closed=closed)
    printed = prepared.printed
    if printed is None or printed.record.state not in ("draft", "ready"):
        return prepared
    if list_failed(printed.findings):
        return _hold(press, prepared, printed)
    if printed.record.state == "ready":
        return prepared
    with press.database.writing() as connection:
        record = change_state(connection, printed.record.id, "ready", now=press.now())
    return replace(
        prepared,
        composed=replace(prepared.composed, record=record),
        printed=replace(printed, record=record),
    )


def _hold(press: Press, prepared: Prepared, printed: Printed) -> Prepared:
    """Hold an edition that fails its preflight, with what failed as the reason."""
    record = printed.record
    with press.database.writing() as connection:
        held = hold_edition(
            connection,
            record.date,
            f"it fails its preflight: {describe_failed(list_failed(printed.findings))}",
            record.window,
            press.now(),
            record.kind,
        )
    composed = replace(prepared.composed, outcome="held", record=held, edition=None)
    return replace(prepared, composed=composed, printed=None)


def check_fit_to_send(printed: Printed, overrides: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Give the failed checks that are overridden, each by name or number.

    Raises `RefusedError` where another one fails, or where an override fits none.
    """
    overridden = choose_overridden(printed.findings, overrides)
    failed = [finding for finding in list_failed(printed.findings) if finding not in overridden]
    if failed:
        raise RefusedError(
            f"the edition of {printed.record.date} fails its preflight: {describe_failed(failed)}",
            mend=f"{failed[0].mend or 'see `newsletter check`'}, or send it all the same with "
            + " ".join(f"--override {finding.name.replace(' ', '-')}" for finding in failed),
        )
    return overridden


def describe_failed(failed: Sequence[Finding]) -> str:
    """Say in one line which checks failed, and what they found."""
    return "; ".join(f"{finding.name}: {finding.detail}" for finding in failed)


async def publish(
    press: Press,
    printed: Printed,
    *,
    overrides: Sequence[str] = (),
    segment: Segment | None = None,
    approved_by: str = "",
    on_start: Callable[[Sender], None] = lambda _sender: None,
    on_progress: Callable[[Counter[State]], None] = lambda _tally: None,
) -> Delivered:
    """Approve an edition unless it is approved, and deliver it: what a person's yes sets off.

    `overrides` are failed checks that the person answers for, by name or number, and
    `approved_by` is who they are; "" for the schedule, which is nobody. Only a `segment` of the
    readers gets it, if one is given. Its pages are there before the first mail leaves, since
    every mail links to them.
    """
    if printed.record.state in ("draft", "ready"):
        if press.settings.edition.browser_checks:
            printed = await asyncio.to_thread(look_at, press, printed)
        overridden = check_fit_to_send(printed, overrides)
        await check_relay(press)
        check_web(press, printed)
        try:
            approve(press, printed.record, overridden, segment=segment, approved_by=approved_by)
        except IllegalMove:
            with press.database.reading() as connection:
                if read_edition(connection, printed.record.id).state not in RELEASED:
                    raise
            # Another process was quicker with the same edition: the ledger lets one of us send.
    elif printed.record.state == "approved":
        _check_allowed(press, printed.record)
    if printed.record.state in ("draft", "ready", "approved") and press.web_folder is not None:
        write_web(press, press.web_folder, day=printed.record.date)
    return await deliver(press, printed.record, on_start=on_start, on_progress=on_progress)
