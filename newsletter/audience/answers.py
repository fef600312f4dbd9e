"""What readers think of a brief: useful, too long, unfair, and a sentence if they like.

Nobody is followed by it. A reader's answer is kept under a voice, a keyed hash of their number
and of the brief (`pseudonyms`): one who changes their mind is heard once, and what somebody said
of two briefs has nothing in common. The day is kept, and not the hour. Who holds the signing key
could try every reader's number, so what a voice said goes when its reader is erased, and is
handed to them when they ask what is held. An answer by no link of a mail has no voice at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from sqlalchemy import Connection, delete, func, insert, select

from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.store.tables import answers

Verdict = Literal["useful", "too long", "unfair"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
SENTENCE_CHARACTERS = 300

_A = answers.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody says of brief `number`, or of one lens of it."""

    edition_id: int
    number: int
    lens: str = ""
    verdict: Verdict
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was said of a brief, or of one lens of it."""

    edition_id: int
    number: int
    lens: str
    by_readers: Counter[str]
    """By verdict: each reader counts once."""
    by_others: Counter[str]
    """By verdict: answers without a link of a mail, of which nobody knows whose they are."""
    sentences: tuple[tuple[str, str], ...]
    """Verdict and sentence, the latest first."""


def read_verdict(text: str) -> Verdict | None:
    """Read a verdict as a form says it; None for anything else."""
    return next((verdict for verdict in VERDICTS if verdict == text), None)


def store_answer(
    connection: Connection, answer: Answer, *, voices: Sequence[str] = (), day: date
) -> None:
    """Keep an answer, in the place of what the same voice said before.

    `voices` are those of one reader for this brief, by each key, the newest first; none where it
    is not known whose the answer is.
    """
    of_lens = (
        _A.edition_id == answer.edition_id,
        _A.number == answer.number,
        _A.lens == answer.lens,
    )
    if voices:
        connection.execute(delete(answers).where(*of_lens, _A.voice.in_(voices)))
    connection.execute(
        insert(answers).values(
            edition_id=answer.edition_id,
            number=answer.number,
            lens=answer.lens,
            voice=voices[0] if voices else None,
            verdict=answer.verdict,
            sentence=answer.sentence,
            said_on=day,
        )
    )


def count_answers(connection: Connection, edition_ids: Sequence[int]) -> tuple[Counted, ...]:
    """Count what was said of editions, by brief and lens; what nobody spoke of is left out."""
    voiced = _A.voice.is_not(None)
    of_these = _A.edition_id.in_(edition_ids)
    key = (_A.edition_id, _A.number, _A.lens)
    counts: dict[tuple[int, int, str], tuple[Counter[str], Counter[str]]] = {}
    query = select(*key, voiced, _A.verdict, func.count()).where(of_these)
    grouped = query.group_by(*key, voiced, _A.verdict).order_by(*key)
    for edition_id, number, lens, has_voice, verdict, count in connection.execute(grouped):
        both = counts.setdefault((edition_id, number, lens), (Counter(), Counter()))
        both[0 if has_voice else 1][verdict] += count
    said: dict[tuple[int, int, str], list[tuple[str, str]]] = {}
    told = select(*key, _A.verdict, _A.sentence).where(of_these, _A.sentence != "")
    for *place, verdict, sentence in connection.execute(told.order_by(_A.id.desc())):
        edition_id, number, lens = place
        said.setdefault((edition_id, number, lens), []).append((verdict, sentence))
    return tuple(
        Counted(
            edition_id=place[0],
            number=place[1],
            lens=place[2],
            by_readers=by_readers,
            by_others=by_others,
            sentences=tuple(said.get(place, ())),
        )
        for place, (by_readers, by_others) in counts.items()
    )


def list_answers_of(
    connection: Connection, subscriber_id: int, pseudonyms: Pseudonyms
) -> list[dict[str, Any]]:
    """List what a reader said, by trying their voice for every brief that was spoken of."""
    rows = connection.execute(select(answers).where(_A.voice.is_not(None)).order_by(_A.id))
    return [
        row._asdict() | {"said_on": row.said_on.isoformat()}
        for row in rows
        if row.voice in pseudonyms.list_voices(subscriber_id, row.edition_id, row.number)
    ]


def delete_answers_of(connection: Connection, subscriber_id: int, pseudonyms: Pseudonyms) -> int:
    """Delete what a reader said; return how much it was."""
    ids = [each["id"] for each in list_answers_of(connection, subscriber_id, pseudonyms)]
    for each in ids:
        connection.execute(delete(answers).where(_A.id == each))
    return len(ids)
