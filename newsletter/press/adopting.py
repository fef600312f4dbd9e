"""Go on with a database that was restored or moved, once a person has said so."""

from __future__ import annotations

from newsletter.delivery import settle
from newsletter.editions.shelf import change_state, list_editions
from newsletter.press import Press
from newsletter.store.audit import note
from newsletter.store.installation import adopt, judge, read_installation, read_seen, write_seen

_LOOKED_AT = 50


def look_before(press: Press) -> str:
    """Say why nothing is sent from the database; "" where it is the right one."""
    if press.installation is None:
        return ""
    with press.database.reading() as connection:
        return judge(read_installation(connection), read_seen(press.installation))


def adopt_database(press: Press, *, nothing_lost: bool) -> tuple[str, ...]:
    """Take the database as the one to go on with; give the editions that are paused for it.

    Unless `nothing_lost`, what was under way is paused, and the schedule begins no edition of a
    day up to today.
    """
    assert press.installation is not None
    paused = []
    with press.database.writing() as connection:
        if not nothing_lost:
            for record in list_editions(connection, _LOOKED_AT):
                if record.state == "approved":
                    change_state(connection, record.id, "sending", now=press.now())
                if record.state in ("approved", "sending"):
                    settle.pause(connection, record.id, by=press.actor, now=press.now())
                    paused.append(record.name)
        seen = adopt(
            connection, read_seen(press.installation), None if nothing_lost else press.today()
        )
        note(
            connection,
            press.actor,
            "database.adopt",
            "the database",
            now=press.now(),
            detail="nothing is lost" if nothing_lost else "what was under way is paused",
        )
    write_seen(press.installation, seen)
    return tuple(reversed(paused))
