"""A kill at every named point of the code, and exactly what stands then (G1 to G5).

POINTS is the table: the place, and the fate of whom the process was busy with there. Each is
tried with one connection on SQLite and with ten on PostgreSQL;

    NEWSLETTER_TEST_POINTS=all pytest tests/proofs/test_points.py

tries each with one and with ten on both.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from newsletter.delivery.lifecycle import State
from tests.proofs.sink import Sink
from tests.proofs.snares import Answer, Call, Chunk, Content, Dot, Snare
from tests.proofs.stage import Stage

READERS = 30
EVERYWHERE = os.environ.get("NEWSLETTER_TEST_POINTS") == "all"

LEDGER = "newsletter.delivery.ledger:Ledger."
JOURNAL = "newsletter.delivery.journal:Journal."
CONNECTION = "newsletter.smtp.connection:Connection."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """How a reader stands after the kill, and after the send that followed it."""

    left: frozenset[State]
    copies: int
    became: State
    copies_in_the_end: int


UNTOUCHED = Fate(
    left=frozenset({State.PENDING, State.LEASED}),
    copies=0,
    became=State.ACCEPTED,
    copies_in_the_end=1,
)
INTENDED = Fate(
    left=frozenset({State.SENDING}), copies=0, became=State.IN_DOUBT, copies_in_the_end=0
)
"""The intent stands and no dot left: nobody can know, so it is listed as in doubt."""
HANDED_OVER = Fate(
    left=frozenset({State.SENDING}), copies=1, became=State.IN_DOUBT, copies_in_the_end=1
)
RECORDED = Fate(
    left=frozenset({State.ACCEPTED}), copies=1, became=State.ACCEPTED, copies_in_the_end=1
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place to die at."""

    snare: Snare
    fates: Mapping[str, Fate] = field(default_factory=dict)
    """By the part that readers have in the call (see `snares.Met`)."""
    all: Fate | None = None
    """Everybody's fate, where it is one."""
    after: Snare | None = None
    """Where a send before it died."""
    stopped: bool = False
    """Whether an operator has stopped the send halfway."""
    is_approved: bool = True
    window: int = 1
    """More than one: over a relay that offers CHUNKING."""


BEFORE_COMMIT = {"intents": UNTOUCHED, "outcomes": HANDED_OVER}
AFTER_COMMIT = {"intents": INTENDED, "outcomes": RECORDED}
INTENTS = Call(target=JOURNAL + "_record", when="after", having="intents", nth=2)

POINTS: dict[str, Point] = {
    # -- the audience
    "before the audience is frozen": Point(
        snare=Call(target=LEDGER + "enrol", when="before"), all=UNTOUCHED, is_approved=False
    ),
    "the audience frozen, not committed": Point(
        snare=Call(target=LEDGER + "enrol", when="after"), all=UNTOUCHED, is_approved=False
    ),
    "the edition approved, not committed": Point(
        snare=Call(target="newsletter.press.approving:approve", when="commit"),
        all=UNTOUCHED,
        is_approved=False,
    ),
    "the edition approved": Point(
        snare=Call(target="newsletter.press.approving:approve", when="after"),
        all=UNTOUCHED,
        is_approved=False,
    ),
    # -- the right to send
    "before the edition is taken": Point(
        snare=Call(target=LEDGER + "take", when="before"), all=UNTOUCHED
    ),
    "the edition taken, not committed": Point(
        snare=Call(target=LEDGER + "take", when="commit"), all=UNTOUCHED
    ),
    "the edition taken": Point(snare=Call(target=LEDGER + "take", when="after"), all=UNTOUCHED),
    "a dead run found": Point(
        snare=Call(target=LEDGER + "_recover", when="before"),
        after=INTENTS,
        fates={"intents": INTENDED, "outcomes": RECORDED},
    ),
    "a dead run judged, not committed": Point(
        snare=Call(target=LEDGER + "take", when="commit"),
        after=INTENTS,
        fates={"intents": INTENDED, "outcomes": RECORDED},
    ),
    "before the right is renewed": Point(
        snare=Call(target=LEDGER + "renew", when="before"), all=UNTOUCHED
    ),
    # -- leases
    "before a lease": Point(snare=Call(target=LEDGER + "lease", when="before"), all=UNTOUCHED),
    "leased, not committed": Point(
        snare=Call(target=LEDGER + "lease", when="commit"), all=UNTOUCHED
    ),
    "leased": Point(snare=Call(target=LEDGER + "lease", when="after"), all=UNTOUCHED),
    # -- a message
    "before a message is begun": Point(
        snare=Call(target=CONNECTION + "prepare", when="before", nth=5),
        fates={"recipient": UNTOUCHED},
    ),
    "before its content is written": Point(
        snare=Content(when="before", nth=5), fates={"recipient": UNTOUCHED}
    ),
    "its content written": Point(
        snare=Content(when="after", nth=5), fates={"recipient": UNTOUCHED}
    ),
    "handed over but for its dot": Point(
        snare=Call(target=CONNECTION + "prepare", when="after", nth=5),
        fates={"recipient": UNTOUCHED},
    ),
    "before the intents": Point(
        snare=Call(target=JOURNAL + "_record", when="before", having="intents", nth=3),
        fates=BEFORE_COMMIT,
    ),
    "the intents written, not committed": Point(
        snare=Call(target=JOURNAL + "_write", when="after", having="intents", nth=3),
        fates=BEFORE_COMMIT,
    ),
    "the intents committed": Point(
        snare=Call(target=JOURNAL + "_record", when="after", having="intents", nth=3),
        fates=AFTER_COMMIT,
    ),
    "before the dot": Point(snare=Dot(bytes_sent=0, nth=5), fates={"recipient": INTENDED}),
    "one byte of the dot": Point(snare=Dot(bytes_sent=1, nth=5), fates={"recipient": INTENDED}),
    "two bytes of the dot": Point(snare=Dot(bytes_sent=2, nth=5), fates={"recipient": INTENDED}),
    "the whole dot": Point(snare=Dot(bytes_sent=3, nth=5), fates={"recipient": HANDED_OVER}),
    "the dot and what goes with it": Point(
        snare=Dot(bytes_sent=None, nth=5), fates={"recipient": HANDED_OVER}
    ),
    # -- a message that ends with its last chunk: the intent comes before all of it
    "the intents of a window committed": Point(
        snare=Call(target=JOURNAL + "_record", when="after", having="intents", nth=2),
        fates={"intents": INTENDED},
        window=4,
    ),
    "before the last chunk": Point(
        snare=Chunk(half=False, nth=6), fates={"recipient": INTENDED}, window=4
    ),
    "half of the last chunk": Point(
        snare=Chunk(half=True, nth=6), fates={"recipient": INTENDED}, window=4
    ),
    # -- an answer
    "the answer read": Point(snare=Answer(nth=5), fates={"recipient": HANDED_OVER}),
    "before the outcomes": Point(
        snare=Call(target=JOURNAL + "_record", when="before", having="outcomes", nth=3),
        fates=BEFORE_COMMIT,
    ),
    "the outcomes written, not committed": Point(
        snare=Call(target=JOURNAL + "_write", when="after", having="outcomes", nth=3),
        fates=BEFORE_COMMIT,
    ),
    "the outcomes committed": Point(
        snare=Call(target=JOURNAL + "_record", when="after", having="outcomes", nth=3),
        fates=AFTER_COMMIT,
    ),
    # -- the end
    "before the rest is given back": Point(
        snare=Call(target=LEDGER + "give_back", when="before"), stopped=True
    ),
    "the rest given back, not committed": Point(
        snare=Call(target=LEDGER + "give_back", when="commit"), stopped=True
    ),
    "the rest given back": Point(
        snare=Call(target=LEDGER + "give_back", when="after"), stopped=True
    ),
    "a stopped send ended, not committed": Point(
        snare=Call(target=LEDGER + "release", when="commit"), stopped=True
    ),
    "before the end of a send": Point(
        snare=Call(target=LEDGER + "release", when="before"), all=RECORDED
    ),
    "the send ended, not committed": Point(
        snare=Call(target=LEDGER + "release", when="commit"), all=RECORDED
    ),
    "the send ended": Point(snare=Call(target=LEDGER + "release", when="after"), all=RECORDED),
}


@pytest.fixture(scope="module")
def sinks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[bool, Sink]]:
    """Sinks, by whether they think before they answer."""
    offers = ("PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8")
    quick, slow = tmp_path_factory.mktemp("quick"), tmp_path_factory.mktemp("slow")
    with Sink(quick, offers=offers) as one, Sink(slow, thinks_seconds=0.02) as other:
        yield {False: one, True: other}


@pytest.mark.parametrize("connections", [1, 10])
@pytest.mark.parametrize("name", POINTS)
def test_a_kill_leaves_exactly_what_is_promised(
    stage: Stage, sinks: Mapping[bool, Sink], name: str, connections: int
) -> None:
    if stage.database.is_sqlite is not (connections == 1) and not EVERYWHERE:
        pytest.skip("NEWSLETTER_TEST_POINTS=all tries each point with 1 and 10 on both databases")
    point = POINTS[name]
    sink = sinks[point.stopped]  # a stopped send must have something left to give back
    sink.forget()
    stage.begin(
        sink,
        readers=READERS,
        connections=connections,
        durability="process" if connections == 1 else "full",
        window=point.window,
        is_approved=point.is_approved,
    )
    fates: dict[str, Fate] = {}
    if point.after is not None:
        fates = fall_into(stage, point.after, point)
    fates |= fall_into(stage, point.snare, point)
    if point.is_approved or stage.rows():
        stage.check()
    else:
        assert stage.edition_state == "ready"
    check_left(stage, fates)
    with stage.start() as sender:
        assert sender.wait() == {"is_sent": True}
    assert stage.check_end()[State.IN_DOUBT] <= connections * point.window
    check_became(stage, fates)


def fall_into(stage: Stage, snare: Snare, point: Point) -> dict[str, Fate]:
    """Send until the snare kills the sender; give the fate of each that it met."""
    with stage.start(snare=snare) as sender:
        if point.stopped:
            assert stage.sink.wait_for(5)
            sender.send_signal(signal.SIGTERM)
        assert sender.wait() == {}, "it went past the snare"
        met = sender.met
    assert met is not None
    everyone = [f"reader{n}@example.org" for n in range(1, READERS + 1)]
    if point.all is not None:
        return dict.fromkeys(everyone, point.all)
    found = {a: fate for part, fate in point.fates.items() for a in met.get(part, ())}
    assert found or not point.fates or point.after is not None, met
    return found


def check_left(stage: Stage, fates: Mapping[str, Fate]) -> None:
    rows, kept = stage.rows(), stage.sink.kept
    for address, fate in fates.items():
        if rows or fate is not UNTOUCHED:
            assert rows[address].state in fate.left, (address, rows[address])
        assert kept[address] == fate.copies, address


def check_became(stage: Stage, fates: Mapping[str, Fate]) -> None:
    rows, kept = stage.rows(), stage.sink.kept
    for address, fate in fates.items():
        assert rows[address].state is fate.became, (address, rows[address])
        assert kept[address] == fate.copies_in_the_end, address
