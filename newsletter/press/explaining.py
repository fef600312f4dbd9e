"""Say where each item of a gathering goes today, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from newsletter.audience.reader import Choices
from newsletter.briefs.gather import SourceReport
from newsletter.editions.desk import Outcome, compose_edition
from newsletter.editions.explain import (
    Line,
    explain_items,
    load_claims,
    load_waiting,
    place_by_form,
)
from newsletter.editions.model import Kind, name_edition
from newsletter.errors import TemplateError
from newsletter.press import Press
from newsletter.press.composing import lay_out
from newsletter.render.selection import Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Where everything that was gathered went, by place."""

    day: date
    edition: str
    """Its name."""
    outcome: Outcome
    lines: tuple[Line, ...]
    remark: str = ""
    """Why nobody can say how much of each brief readers get; "" where that is said."""


def explain(press: Press, reports: tuple[SourceReport, ...], kind: Kind = "daily") -> Explained:
    """Say where each item of a gathering goes today, and why; nothing is composed for good.

    It is asked of a daily edition of today.
    """
    day = press.today()
    composed = compose_edition(
        press.database,
        press.settings,
        day=day,
        now=press.now(),
        reports=reports,
        kind=kind,
        dry=True,
    )
    fates, remark = composed.fates, ""
    if composed.edition and not composed.existing:
        try:
            compiled = lay_out(press, composed.edition)
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
            fates = load_waiting(
                connection,
                composed.record,
                now=press.now(),
                lookback=lookback,
                series=press.settings.series_of(kind),
            )
    lines = explain_items(reports, fates, claims)
    name = name_edition(day, kind)
    return Explained(day=day, edition=name, outcome=composed.outcome, lines=lines, remark=remark)
