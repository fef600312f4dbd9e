"""Two persons for a send to many: who asks has to wait until somebody else confirms it.

The approval itself checks it once more, with the audience that it froze; what is looked at here
is whether there is anything to wait for, and for whom.
"""

from __future__ import annotations

from collections.abc import Collection

from newsletter.audience.segment import Segment
from newsletter.editions.seconding import find_confirmed, store_ask
from newsletter.errors import SecondPersonNeeded
from newsletter.press import Press, Printed
from newsletter.press.approving import count_audience, describe_lonely


def check_seconded(
    press: Press,
    printed: Printed,
    *,
    overrides: Collection[str] = (),
    segment: Segment | None = None,
    by_person: bool,
    at_once: bool,
) -> None:
    """Ask for a second person's word where a send needs it; raises `SecondPersonNeeded` then.

    `overrides` are names of checks. The schedule, which does not send at once, is nobody: it asks
    for nothing, and sends what two others let go.
    """
    above = press.settings.review.second_person_above
    if not above or (audience := count_audience(press, printed, segment)) <= above:
        return
    record, of_whom = printed.record, str(segment or "")
    with press.database.reading() as connection:
        if find_confirmed(
            connection,
            record.id,
            at_once=at_once,
            audience=audience,
            segment=of_whom,
            overrides=overrides,
        ):
            return
    if at_once:
        with press.database.writing() as connection:
            store_ask(
                connection,
                record.id,
                at_once=True,
                by_person=by_person,
                audience=audience,
                segment=of_whom,
                overrides=overrides,
                by=press.actor,
                now=press.now(),
            )
    raise SecondPersonNeeded(
        describe_lonely(record, audience),
        mend=f"confirmed at {_write_address(press, record.name)}, it is sent"
        if at_once
        else "the console's page of it has both words",
    )


def ask_for_its_time(
    press: Press,
    printed: Printed,
    *,
    overrides: Collection[str] = (),
    segment: Segment | None = None,
) -> bool:
    """Ask that the schedule may send an edition at its time; False where it needs no second word.

    Who approves an edition as it stands asks for that, and who plans it for a time of its own.
    """
    above = press.settings.review.second_person_above
    if not above or (audience := count_audience(press, printed, segment)) <= above:
        return False
    with press.database.writing() as connection:
        store_ask(
            connection,
            printed.record.id,
            at_once=False,
            by_person=True,
            audience=audience,
            segment=str(segment or ""),
            overrides=overrides,
            by=press.actor,
            now=press.now(),
        )
    return True


def _write_address(press: Press, name: str) -> str:
    base = press.settings.console.url or press.settings.publication.url
    return f"{base}/console/editions/{name}/send"
