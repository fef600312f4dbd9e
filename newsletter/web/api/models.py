"""What programs send, and are answered. A field that is not known is an error."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from newsletter.web.forms import Number

TEXT = r"^[^\x00]*$"
"""PostgreSQL keeps no NUL in a text."""
Cursor = Annotated[
    str | None,
    Query(
        max_length=400,
        pattern=TEXT,
        description="`next` of the page before; leave it out for the first.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=100, description="How many a page has at most.")]
Word = Annotated[str, Field(max_length=100)]


class Sent(BaseModel):
    """What programs send."""

    model_config = ConfigDict(extra="forbid")


class Page(BaseModel):
    """A page of a list."""

    next: str | None = Field(
        default=None, description="The cursor of the page behind it; null on the last one."
    )


# -- briefs ----------------------------------------------------------------------------------------


class Brief(BaseModel):
    """A brief as it is stored."""

    id: int
    source: str
    origin: str
    published_at: datetime
    changed_at: datetime
    not_before: datetime | None
    review: Literal["approved", "rejected", "waiting"]
    brief: dict[str, JsonValue] = Field(description="By the published schema of briefs.")


class BriefPage(Page):
    """Briefs, the latest to come first."""

    briefs: list[Brief]


class BriefStored(Brief):
    """A brief that was brought, and what it turned out to be."""

    outcome: Literal["new", "changed", "known", "elsewhere"]


# -- editions --------------------------------------------------------------------------------------


class Edition(BaseModel):
    """An edition, and how its copies stand."""

    name: str
    date: date
    kind: str
    state: str
    reason: str
    subject: str
    window_start: datetime
    cut_off: datetime
    dated_at: datetime | None
    send_at: datetime | None = Field(description="Its own time, where somebody planned it.")
    sent_at: datetime | None
    content_hash: str = Field(description="Of what readers get; If-Match of a send takes it.")
    audience: int
    counts: dict[str, int] = Field(description="Copies by state; they sum to the audience.")


class EditionPage(Page):
    """Editions, the latest first."""

    editions: list[Edition]


class Failure(BaseModel):
    """Copies that did not arrive, and why."""

    state: str
    reply: str = Field(description="The relay's words, with READER for the address.")
    copies: int
    meaning: str


class Failures(BaseModel):
    """Why copies did not arrive, the most frequent first."""

    failures: list[Failure]


class Wave(BaseModel):
    """The readers of one hour."""

    timezone: str
    clock: str
    readers: int
    due_at: datetime
    begins_at: datetime


class Waves(BaseModel):
    """When an edition's readers are due, the first first."""

    waves: list[Wave]


class LinkInterest(BaseModel):
    """How often a link of a brief was followed."""

    brief: int = Field(description="The number of its brief in the edition, from 1.")
    title: str
    address: str
    clicks: int


class SectionInterest(BaseModel):
    """How often the links of a section were followed."""

    section: str
    clicks: int
    links: list[LinkInterest]
    others: int = Field(description="Clicks on all its other links together.")


class Interest(BaseModel):
    """What readers followed, as far as groups of 20 and more tell it, the most followed first."""

    clicks: int = Field(description="All clicks; 0 where nothing was counted, or may be told.")
    sections: list[SectionInterest]
    others: int = Field(description="Clicks on the links of all other sections together.")


class SendAsked(Sent):
    """Asks for an edition to be sent."""

    overrides: Annotated[list[Word], Field(max_length=50)] = Field(
        default=[], description="Failed checks, by name, that whoever asks answers for."
    )
    segment: Annotated[str, Field(max_length=500)] = Field(
        default="", description="Only these readers, as `newsletter send --segment` has it."
    )
    at: AwareDatetime | None = Field(
        default=None, description="When it is sent, on its own date, as it stands; null: at once."
    )
    briefs: Annotated[list[Number], Field(max_length=60)] = Field(
        default=[], description="The briefs that a special edition is made of, by number."
    )


class TestAsked(Sent):
    """Asks for one marked copy, mailed to one address and nobody else."""

    email: Annotated[str, Field(max_length=320, examples=["editor@news.example"])]


class OrderTaken(BaseModel):
    """What was asked for is written down; the same for every request with one Idempotency-Key."""

    id: int
    kind: Literal["send", "test"]
    edition: str
    asked_at: datetime


class Order(OrderTaken):
    """Something that was asked to be sent, and what became of that."""

    state: Literal["waiting", "under_way", "done", "refused"]
    said: str
    changed_at: datetime


class EditionChanged(BaseModel):
    """How an edition stands now."""

    name: str
    state: str
    changed: bool = Field(description="False where it was so before.")


# -- the audience ----------------------------------------------------------------------------------


class Choices(Sent):
    """What a reader chose; what is empty is the publication's own default."""

    language: Word = ""
    timezone: Word = ""
    topics: Annotated[list[Word], Field(max_length=50)] = []
    lenses: Annotated[list[Word], Field(max_length=50)] = []
    detail: Literal["", "one-line", "standard", "full"] = ""
    minutes: Literal[0, 3, 5, 10] = 0
    format: Literal["", "html", "text"] = ""
    send_at: Word = ""
    days: Annotated[list[Word], Field(max_length=7)] = []
    rhythm: Literal["", "daily", "weekly", "both"] = ""
    editions: Annotated[list[Word], Field(max_length=50)] = Field(
        default=[],
        description='Further daily editions that they want, "evening", or do not, "no evening".',
    )


class ReaderAdded(Sent):
    """Somebody who is to be a reader, and where they said so."""

    email: Annotated[str, Field(max_length=320, examples=["reader@example.org"])]
    name: Annotated[str, Field(max_length=200)] = ""
    choices: Choices = Choices()
    consent_source: Annotated[str, Field(min_length=1, max_length=500)]
    consent_at: datetime | None = None


class ReaderChanged(Sent):
    """What is to be changed of a reader; what is left out stays."""

    name: Annotated[str, Field(max_length=200)] | None = None
    choices: Choices | None = Field(default=None, description="All of them, anew.")
    paused_until: date | None = Field(
        default=None, description="The first edition that they want again; null ends a pause."
    )


class Reader(BaseModel):
    """A reader as the list knows them."""

    id: int
    email: str
    name: str
    status: str
    choices: dict[str, JsonValue]
    fields: dict[str, str]
    consent_at: datetime | None
    consent_source: str
    created_at: datetime
    paused_until: date | None


class ReaderPage(Page):
    """Readers, in the order in which they came."""

    readers: list[Reader]


class Story(BaseModel):
    """What the latest editions were to one reader."""

    reader: Reader
    suppressed: str
    chapters: list[dict[str, Any]]


class Suppressed(BaseModel):
    """An address that must not be mailed, and why."""

    email: str
    reason: str
    detail: str
    since: datetime


class SuppressedPage(Page):
    """Addresses that must not be mailed, by the alphabet; without those that were erased."""

    suppressions: list[Suppressed]


class SuppressionAsked(Sent):
    """An address that is not to be mailed any more."""

    email: Annotated[str, Field(max_length=320)]
    detail: Annotated[str, Field(max_length=200)] = ""


# -- events ----------------------------------------------------------------------------------------


class Event(BaseModel):
    """One thing that happened."""

    id: int
    at: datetime
    kind: str
    edition: str = ""
    reader: int | None = None
    email: str = Field(default="", description="Only for keys with the scope audience:read.")
    detail: dict[str, JsonValue] = {}


class EventPage(BaseModel):
    """What happened, the earliest first."""

    events: list[Event]
    next: str = Field(description="The cursor of what comes later, if nothing came yet too.")
