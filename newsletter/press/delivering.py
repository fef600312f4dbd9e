"""Step 6: hand the messages of an approved edition to the relays."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable

from newsletter.audience.reader import Choices, Reader
from newsletter.delivery.channel import hand_over
from newsletter.delivery.holder import describe_self
from newsletter.delivery.lanes import build_domain_limits
from newsletter.delivery.lifecycle import State
from newsletter.delivery.retry import judge_reply
from newsletter.delivery.sender import Sender
from newsletter.delivery.shift import Policy, Surroundings
from newsletter.editions.shelf import EditionRecord, read_edition
from newsletter.errors import RefusedError, RelayRefusedUs, RelayUnavailable
from newsletter.press import Delivered, Press, Printed
from newsletter.press.addressing import addresser, build_addresser, letterhead_of
from newsletter.store.installation import begin_run, check_familiar

TEST_MARK = "[Test] "


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
    if press.installation:
        begin_run(press.database, press.installation)
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


def check_installation(press: Press) -> None:
    """See that the database knows what was sent last, while nobody has an edition yet."""
    if press.installation:
        with press.database.reading() as connection:
            check_familiar(connection, press.installation)


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
    letterhead = letterhead_of(press, printed.record, press.now())
    maker = build_addresser(press, printed.compiled, letterhead, subject_mark=TEST_MARK)
    message = maker.address(Reader(subscriber_id=0, email=email, choices=Choices()))
    lane = press.lanes[0]
    channel = await lane.open_channel()
    try:
        phase, reply = await hand_over(channel, message.envelope, message.content)
    finally:
        await channel.close()
    if judge_reply(phase, reply).state is not State.ACCEPTED:
        raise RelayRefusedUs(f"{lane.name} refused the test message at {phase.value} ({reply})")
    return str(reply)
