"""`newsletter subscribers erase`: forget a reader for good."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from newsletter.audience.address import parse_address
from newsletter.audience.erasure import Erasure, erase_reader
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.cli.asked import JsonOption, YesOption, confirm
from newsletter.cli.session import Session
from newsletter.errors import TemporaryError


def erase(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The reader's address.")],
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Erase all that is held about a reader, and keep them erased at every later import.

    There is no way back. A keyed hash of the address stays, and the counts do.
    """
    session: Session = ctx.obj
    key = parse_address(address).key
    if not yes:
        confirm(
            session,
            f"Erase all that is held about {key}? There is no way back.",
            declined="Nothing was erased.",
            as_json=as_json,
        )
    with session.database() as database:
        done = erase_reader(
            database,
            key,
            now=session.now,
            pseudonyms=Pseudonyms(session.settings.secret_keys),
            by=session.actor,
        )
    if as_json:
        session.print_json(
            {
                "was_reader": done.was_reader,
                "copies": done.copies,
                "mentions": done.mentions,
                "is_under_way": done.is_under_way,
                "has_traces": done.has_traces,
            }
        )
    else:
        session.out.print(Text(_shown_erasure(key, done)))
    if done.is_under_way:
        raise TemporaryError(
            "a message to this reader is under way, and the relay's answer may name them",
            mend="run the same command again in a minute",
        )
    if done.has_traces:
        raise TemporaryError(
            "the database's file may hold traces while an edition is being sent",
            mend="run the same command, or `newsletter db prune`, once it is sent",
        )


def _shown_erasure(key: str, done: Erasure) -> str:
    if not done.was_reader and not done.copies and not done.mentions:
        return f"{key} was no reader; it is kept out from now on."
    copies = f"; {done.copies:,} copies of editions are nobody's now" if done.copies else ""
    return f"{key} is erased{copies}."
