"""The day: when what happens, and what an edition is made of."""

from __future__ import annotations

import re
from datetime import date, time, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from newsletter.settings.kinds import KINDS
from newsletter.settings.values import WEEKDAYS, Clock, Days, Duration, Hosts, Line, Section

_KIND_NAME = re.compile("[a-z][a-z0-9]{0,19}", re.ASCII)


def parse_sections(value: object) -> object:
    """Read sections: headings that are topics, or a table of heading = topics.

    Gives pairs of a heading and its topics, in order.
    """
    if isinstance(value, str):
        value = list(filter(None, (name.strip() for name in value.split(","))))
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list | tuple):
        return value  # pydantic says what is wrong with it
    return tuple((one, (one,)) if isinstance(one, str) else one for one in pairs)


def _check_sections(
    sections: tuple[tuple[str, tuple[str, ...]], ...],
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    headings = [heading.casefold() for heading, _ in sections]
    if not all(headings) or not all(topics and all(topics) for _, topics in sections):
        raise ValueError("has a heading, or a topic, that is empty")
    if len({*headings}) < len(headings):
        raise ValueError("has a heading twice")
    return sections


def parse_holidays(value: object) -> tuple[str, ...]:
    """Read dates, "2026-12-24" or "12-25" for every year: a list, or one line with commas."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    dates = [str(part).strip() for part in parts if str(part).strip()]
    for each in dates:
        try:
            date.fromisoformat(each if len(each) > 5 else f"2000-{each}")
        except ValueError:
            raise ValueError('must be dates such as "2026-12-24", or "12-25"') from None
    return tuple(dates)


def parse_topics(value: object) -> object:
    """Read topics: a list, or one line with commas."""
    if isinstance(value, str):
        return tuple(filter(None, (topic.strip() for topic in value.split(","))))
    return value


def _check_kind_name(name: str) -> str:
    if name in KINDS:
        raise ValueError(f'is the name of editions that there always are: "{name}"; choose another')
    if not _KIND_NAME.fullmatch(name):
        raise ValueError(
            'must be one word of at most 20 small letters and digits such as "evening"'
        )
    return name


Holidays = Annotated[tuple[str, ...], BeforeValidator(parse_holidays)]
KindName = Annotated[str, AfterValidator(_check_kind_name)]
Topics = Annotated[tuple[Line, ...], BeforeValidator(parse_topics)]
Sections = Annotated[
    tuple[tuple[Line, tuple[Line, ...]], ...],
    BeforeValidator(parse_sections),
    AfterValidator(_check_sections),
]


class Schedule(Section):
    """When `newsletter serve` acts, in the publication's time zone."""

    gather_at: Clock = Field(default=time(6, 0), description="When the day's briefs are gathered.")
    send_at: Clock = Field(default=time(7, 0), description="When the edition is sent.")
    days: Days = Field(default=WEEKDAYS, description="Weekdays with an edition, by name.")
    holidays: Holidays = Field(
        default=(),
        description='Dates without an edition: "2026-12-24", or "12-25" for every year.',
    )
    max_lateness: Duration = Field(
        default=timedelta(hours=6),
        description="How late a missed send may still start after send_at.",
    )
    reader_hours: Literal["from", "by", "off"] = Field(
        default="from",
        description="What the hour means that a reader chose, by their own clock: from = their "
        "copy leaves at it; by = it has left by then, at the rate of earlier runs; off = nothing. "
        "A further edition heeds no hour: all who take it get it at its send_at.",
    )
    follow_zones: bool = Field(
        default=False,
        description="Whether who chose no hour gets it at send_at by the clock of their own zone; "
        "as reader_hours, for no further edition.",
    )

    def has_edition(self, day: date) -> bool:
        """Tell whether there is an edition of a day: a set weekday, and no holiday."""
        is_holiday = f"{day}" in self.holidays or f"{day:%m-%d}" in self.holidays
        return WEEKDAYS[day.weekday()] in self.days and not is_holiday


class FurtherEdition(Section):
    """A daily edition beside that of `schedule`, as an evening's."""

    name: KindName = Field(
        description="One word of small letters and digits: it names the edition in commands and "
        "addresses, such as 2026-11-23-evening."
    )
    title: Line = Field(
        default="",
        description="What its readers see for it, at the head of the mail and before its subject; "
        "default the publication's name and this one's.",
    )
    gather_at: Clock = Field(description="When its briefs are gathered.")
    send_at: Clock = Field(description="When it is sent.")
    days: Days | None = Field(
        default=None,
        description="Weekdays with this edition, by name; default schedule.days. "
        "schedule.holidays and schedule.max_lateness hold for it too.",
    )
    topics: Topics = Field(
        default=(),
        description="Only briefs with one of these topics; the others are left to the next "
        "edition that wants them; none = all briefs.",
    )
    audience: Literal["chosen", "all"] = Field(
        default="chosen",
        alias="for",
        description="Who gets it: chosen = who chose it on the preference page; all = also who "
        "takes the daily edition and did not say that they want this one not.",
    )

    @model_validator(mode="after")
    def _is_sent_after_gathering(self) -> FurtherEdition:
        if self.send_at < self.gather_at:
            raise ValueError("send_at is before gather_at; an edition is sent on its own day")
        return self


class Weekly(Section):
    """The week's round-up, for readers who chose it."""

    day: Literal["", "mon", "tue", "wed", "thu", "fri", "sat", "sun"] = Field(
        default="",
        description="Weekday of the week's round-up, by name; empty = only by hand.",
    )
    send_at: Clock = Field(default=time(9, 0), description="When the round-up is sent.")
    max_briefs: int = Field(
        default=10, ge=1, le=60, description="Most briefs in a round-up; the rest is counted."
    )


class Review(Section):
    """What somebody must approve before `newsletter serve` sends it."""

    required: bool = Field(
        default=False,
        description="Whether serve sends only briefs that somebody approved; whoever types "
        "`newsletter send` and says yes approves what it shows.",
    )
    deadline: Duration = Field(
        default=timedelta(0),
        description="How long before the send_at of a daily edition its review ends: what is not "
        "approved by then is left out.",
    )
    floor: int = Field(
        default=1,
        ge=1,
        le=60,
        description="Fewest approved briefs; with fewer, and others waiting, the edition is held "
        "until somebody approves them.",
    )
    second_person_above: int = Field(
        default=0,
        ge=0,
        description="Readers above which an edition needs two persons: who sends it, by the "
        "console, the command line or the API, waits until another member of the team, a sender "
        "or admin, confirms in the console what both saw. For the schedule one approves it as it "
        "stands, or plans it, and another confirms; without both by schedule.send_at it waits, "
        "and that is told, until it is too late for it. Any edit voids both words; 0 = one is "
        "enough.",
    )
    name_approvers: bool = Field(
        default=False,
        description="Whether a brief's page names who approved it; otherwise it says an editor.",
    )


class Gathering(Section):
    """How sources are read."""

    gap: Duration = Field(
        default=timedelta(seconds=1),
        description="Least time between two requests to one server, within a gathering.",
    )


class EditionSettings(Section):
    """What goes into an edition."""

    lookback: Duration = Field(
        default=timedelta(hours=24), description="How far the first edition looks back."
    )
    quiet_day: Literal["skip", "note"] = Field(
        default="skip", description="Without briefs: send nothing, or a quiet-day note."
    )
    max_briefs: int = Field(
        default=20, ge=1, le=60, description="Most briefs in one edition; the rest is counted."
    )
    max_outlet_share: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="Most of an edition of 5 briefs and more that one outlet may tell, where there "
        "are outlets enough; 1 = all of it.",
    )
    max_per_topic: int = Field(
        default=0, ge=0, description="Most briefs with the same first topic; 0 = any number."
    )
    full_briefs: int | None = Field(
        default=None,
        ge=0,
        description="Most briefs told in full to any reader; default as many as there is room for.",
    )
    standard_briefs: int | None = Field(
        default=None,
        ge=0,
        description="Most briefs after edition.full_briefs at standard length, the others in one "
        "line; default as many as there is room for.",
    )
    sections: Sections = Field(
        default=(),
        description="Headings between the full briefs, in order: a list of topics, or a table of "
        'heading = topics, such as { Money = ["Markets", "Jobs"] }.',
    )
    browser_checks: bool = Field(
        default=True,
        description="Whether a browser looks at the mail before it is sent, where there is one.",
    )
    notes: Path = Field(
        default=Path("notes"),
        description="Folder of what you add to an edition, in a file named by its date: a note, "
        "a sponsor, corrections.",
    )
    watch_days: int = Field(
        default=21,
        ge=1,
        le=366,
        description="For how many days what a brief tells readers to watch next is waited for.",
    )
    expired_watched: int = Field(
        default=0,
        ge=0,
        le=10,
        description="Most of what came to nothing that an edition tells under Still watching.",
    )
    feedback_link: bool = Field(
        default=False,
        description="Whether the mail's link to say what one thinks leads to a page of `newsletter "
        "serve`; otherwise it begins a mail to you.",
    )
    picture_hosts: Hosts = Field(
        default=(),
        description="Hosts that the mail may load pictures from; none = no pictures are shown.",
    )
    detail: Literal["one-line", "standard", "full"] = Field(
        default="full", description="The most that readers get of a brief who chose nothing."
    )
    minutes: int = Field(
        default=5,
        ge=0,
        le=60,
        description="What readers who chose nothing have time for: the first briefs stand in "
        "full, the others shorter; 0: as long as it takes.",
    )

    @model_validator(mode="after")
    def _counts_from_full(self) -> EditionSettings:
        if self.standard_briefs is not None and self.full_briefs is None:
            raise ValueError("standard_briefs needs full_briefs, which it counts on from")
        return self
