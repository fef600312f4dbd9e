"""What readers think of the briefs: feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from newsletter.audience.answers import VERDICTS, Counted, count_answers
from newsletter.cli.asked import RECENT_EDITIONS, AnyKindOption, JsonOption, LatestDateOption
from newsletter.cli.session import Session
from newsletter.editions.model import Edition
from newsletter.editions.shelf import (
    EditionRecord,
    find_edition,
    find_released_content,
    list_editions,
)
from newsletter.errors import RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """What was said of a brief, or a lens of it, and what that is called."""

    edition: str
    title: str
    counted: Counted


def feedback(
    ctx: typer.Context,
    day: LatestDateOption = None,
    kind: AnyKindOption = None,
    sentences: Annotated[
        bool, typer.Option("--sentences", help="Also the sentences that came with it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what readers think of the briefs of recent editions, or of one day's."""
    session: Session = ctx.obj
    with session.database() as database, database.reading() as connection:
        if day:
            record = find_edition(connection, day.date(), kind or "daily")
            if record is None:
                raise RefusedError(
                    f"there is no edition of {day.date()}", mend="`newsletter status` lists them"
                )
            records: Sequence[EditionRecord] = (record,)
        else:
            recent = list_editions(connection, RECENT_EDITIONS)
            records = [each for each in recent if kind in (None, each.kind)]
        by_id = {record.id: record for record in records}
        counted = count_answers(connection, list(by_id))
        editions = {
            edition_id: edition
            for edition_id in {each.edition_id for each in counted}
            if (edition := find_released_content(connection, edition_id))
        }
    order = list(by_id)
    heard = [
        _Heard(
            edition=by_id[each.edition_id].name,
            title=_title(editions[each.edition_id], each.number),
            counted=each,
        )
        for each in sorted(counted, key=lambda c: (order.index(c.edition_id), c.number, c.lens))
        if each.edition_id in editions
    ]
    if as_json:
        session.print_json({"feedback": [_document(each) for each in heard]})
    elif heard:
        session.out.print(_table(heard))
        if sentences:
            for each in heard:
                for verdict, sentence in each.counted.sentences:
                    said = f"{each.edition}, brief {each.counted.number}, {verdict}: {sentence}"
                    session.out.print(said, markup=False, soft_wrap=True)
    else:
        session.out.print("No reader has said what they think yet.")


def _title(edition: Edition, number: int) -> str:
    return edition.briefs[number - 1].title if number <= len(edition.briefs) else ""


def _table(heard: Sequence[_Heard]) -> Table:
    table = Table(title="What readers think", title_justify="left")
    table.add_column("Edition", no_wrap=True)
    table.add_column("Brief", justify="right", no_wrap=True)
    table.add_column("Title", overflow="fold")
    for verdict in VERDICTS:
        table.add_column(verdict.capitalize(), justify="right")
    table.add_column("Without a link", overflow="fold")
    for each in heard:
        counted = each.counted
        lens = f"\n└ {escape(counted.lens)}" if counted.lens else ""
        others = ", ".join(f"{n:,} {v}" for v in VERDICTS if (n := counted.by_others[v]))
        table.add_row(
            each.edition,
            str(counted.number),
            escape(each.title) + lens,
            *(f"{counted.by_readers[verdict]:,}" for verdict in VERDICTS),
            others or "–",
        )
    return table


def _document(heard: _Heard) -> dict[str, Any]:
    counted = heard.counted
    return {
        "edition": heard.edition,
        "brief": counted.number,
        "title": heard.title,
        "lens": counted.lens,
        "by_readers": _counts(counted.by_readers),
        "by_others": _counts(counted.by_others),
        "sentences": [{"verdict": v, "text": text} for v, text in counted.sentences],
    }


def _counts(counts: Mapping[str, int]) -> dict[str, int]:
    return {verdict: counts.get(verdict, 0) for verdict in VERDICTS}
