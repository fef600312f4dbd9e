"""Every table. Times are aware UTC, kept as microseconds since 1970 in both databases.

A migration in `migrations/versions` accompanies every change here; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Turn an aware datetime into whole microseconds since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Turn microseconds since 1970 into an aware UTC datetime, exactly."""
    return _EPOCH + micros * _MICROSECOND


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime as a 64-bit integer: SQLite forgets time zones, integers do not."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Store microseconds; a naive datetime raises `TypeError`."""
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Load an aware UTC datetime."""
        return None if value is None else from_micros(value)


class Document(TypeDecorator[Any]):
    """JSON as text, written the same way every time so that equal documents are equal bytes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Store compact JSON with sorted keys."""
        return None if value is None else write_document(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Load the document."""
        return None if value is None else json.loads(value)


def write_document(value: Any) -> str:
    """Write JSON compactly with sorted keys."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only for INTEGER

# -- gathering ---------------------------------------------------------------------------------

source_states = Table(
    "source_states",
    metadata,
    Column("source", Text, primary_key=True),
    Column("validators", Document, nullable=False),  # e.g. {"etag": …, "last_modified": …}
    Column("last_success_at", Instant),
    Column("last_attempt_at", Instant),
    Column("last_error", Text, nullable=False, server_default=""),
    Column("failures", Integer, nullable=False, server_default="0"),  # since the last success
    Column("failing_since", Instant),
    Column("next_attempt_at", Instant),  # not before: its server asked (Retry-After)
    Column("newest_item_at", Instant),  # when something new was last there
    Column("usual_gap_seconds", Integer),  # between new items, as it usually is
    Column("told", Text, nullable=False, server_default=""),  # the alarm that is standing
)

gatherings = Table(  # one row a source a gathering: what came, what failed
    "gatherings",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("source", Text, nullable=False),
    Column("gathered_at", Instant, nullable=False, index=True),
    Column("status", Text, nullable=False),  # read | unchanged | partial | failed | waiting
    Column("found", Integer, nullable=False),
    Column("new", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("problems", Document, nullable=False),  # sentences about documents left out
    Column("error", Text, nullable=False, server_default=""),
)

briefs = Table(
    "briefs",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("source", Text, nullable=False),
    Column("origin", Text, nullable=False),  # file or entry it came from, for people
    Column("published_at", Instant, nullable=False),  # the document's own, else the file's
    Column("first_seen_at", Instant, nullable=False, index=True),
    Column("changed_at", Instant, nullable=False),
    Column("not_before", Instant, index=True),  # the document's embargo
    Column("document", Document, nullable=False),  # the brief in the published JSON schema
    Column("warnings", Document, nullable=False),
    Column("source_document", Document),  # as its source has it; NULL: nobody mended it since
    Index("ix_briefs_published_at", "published_at"),
)

brief_keys = Table(  # any key seen before means the same brief: id:…, link:…, hash:…, place:…
    "brief_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("brief_id", ForeignKey("briefs.id", ondelete="CASCADE"), nullable=False, index=True),
)

# -- editions ----------------------------------------------------------------------------------

editions = Table(
    "editions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("date", Date, nullable=False),
    Column("kind", Text, nullable=False, server_default="daily"),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("window_start", Instant, nullable=False),
    Column("cut_off", Instant, nullable=False),
    Column("subject", Text, nullable=False, server_default=""),
    Column("preheader", Text, nullable=False, server_default=""),
    Column("content", Document),  # the composed edition
    Column("compiled", LargeBinary),  # render.CompiledEdition, in wire form
    Column("letterhead", Document),  # mail.Letterhead: what else a message is made of
    Column("dated_at", Instant),  # Date: of every message of this edition
    Column("not_after", Instant),
    Column("created_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Column("send_at", Instant),  # its own time, where it has one: then it is sent as it stands
    Column("send_how", Document),  # with that: whose word it was, and what they said of it
    UniqueConstraint("date", "kind"),
)

stories = Table(  # what briefs of several days and outlets are about
    "stories",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("title", Text, nullable=False),  # of the brief that led it last
    Column("opened_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

edition_briefs = Table(
    "edition_briefs",
    metadata,
    Column("brief_id", ForeignKey("briefs.id"), primary_key=True),
    # news | weekly | the name of an edition that only who chose it get: each tells a brief once
    Column("series", Text, primary_key=True, server_default="news"),
    Column("edition_id", ForeignKey("editions.id", ondelete="CASCADE"), nullable=False),
    # NULL: told by the brief that leads its story, or, without a story, counted as left out
    Column("position", Integer),
    Column("story_id", ForeignKey("stories.id"), index=True),
    UniqueConstraint("edition_id", "position"),
)

story_rules = Table(  # an operator's word on what is one story; the newest of a pair counts
    "story_rules",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("kind", Text, nullable=False),  # merge | split
    Column("one_id", ForeignKey("briefs.id", ondelete="CASCADE"), nullable=False),
    Column("other_id", ForeignKey("briefs.id", ondelete="CASCADE"), nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("made_by", Text, nullable=False),
)

promises = Table(  # what an edition told readers to watch next, and what became of it
    "promises",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("edition_id", ForeignKey("editions.id", ondelete="CASCADE"), nullable=False),
    Column("brief_id", ForeignKey("briefs.id"), nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("expires_on", Date, nullable=False),
    Column("state", Text, nullable=False, index=True),  # open | moved | happened | expired
    Column("changed_at", Instant, nullable=False),
    Column("settled_by", Text, nullable=False, server_default=""),  # who, or which brief
    Column("news", Text, nullable=False, server_default=""),
    Column("shown_in", ForeignKey("editions.id", ondelete="SET NULL")),  # told to readers there
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("edition_id", ForeignKey("editions.id"), nullable=False, index=True),  # the wrong one
    Column("brief_id", ForeignKey("briefs.id")),
    Column("severity", Text, nullable=False),  # minor | normal | severe
    Column("text", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("carried_by", ForeignKey("editions.id", ondelete="SET NULL")),  # NULL: waits
)

reviews = Table(  # what was said of a brief or an edition; the newest of the same content counts
    "reviews",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("brief_id", ForeignKey("briefs.id", ondelete="CASCADE"), index=True),
    Column("edition_id", ForeignKey("editions.id", ondelete="CASCADE"), index=True),
    Column("content_hash", Text, nullable=False),  # an edit makes it another: approval is void
    Column("document", Document),  # the brief as it was read; NULL for an edition
    Column("verdict", Text, nullable=False),  # approved | rejected
    Column("note", Text, nullable=False, server_default=""),
    Column("decided_at", Instant, nullable=False),
    Column("decided_by", Text, nullable=False),
)

# -- readers -----------------------------------------------------------------------------------

subscribers = Table(
    "subscribers",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("email", Text, nullable=False),  # as mailed
    Column("email_key", Text, nullable=False, unique=True),  # as compared
    Column("name", Text, nullable=False, server_default=""),
    Column("status", Text, nullable=False),
    Column("choices", Document, nullable=False),  # audience.Choices, only what differs
    Column("fields", Document, nullable=False),  # the operator's own columns
    Column("consent_at", Instant),
    Column("consent_source", Text, nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("import_id", BigInteger),  # the import that brought them; NULL: none, or it was undone
    Column("paused_until", Date),  # the date of the first edition that they want again
    CheckConstraint(
        "status IN ('pending', 'active', 'unsubscribed', 'bounced', 'complained')", name="status"
    ),
    Index("ix_subscribers_status", "status", "id"),
    # Links in old mail and copies sent name readers by number: nobody gets an erased one's.
    sqlite_autoincrement=True,
)

imports = Table(  # what was imported, and can be taken back
    "imports",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("file", Text, nullable=False),
    Column("state", Text, nullable=False),  # running | finished | undoing | undone | closed
    Column("started_at", Instant, nullable=False),  # updated_at of every row it wrote
    Column("ended_at", Instant),
    Column("made_by", Text, nullable=False),
    Column("consent_source", Text, nullable=False, server_default=""),
    Column("counts", Document, nullable=False),  # what became of the rows, so far
)

import_changes = Table(  # what an import changed of readers who were there before
    "import_changes",
    metadata,
    Column("import_id", BigInteger, primary_key=True),
    Column("subscriber_id", BigInteger, primary_key=True),
    Column("updated_at", Instant, nullable=False),  # the reader's, before
    Column("changes", Document, nullable=False),  # {"fields.city": [before, after], …}
    sqlite_with_rowid=False,
)

suppressions = Table(  # outlives the subscriber row and every import
    "suppressions",
    metadata,
    Column("email_key", Text, primary_key=True),  # of who was erased: audience.pseudonyms
    Column("reason", Text, nullable=False),  # unsubscribed | complained | bounced | manual | erased
    Column("detail", Text, nullable=False, server_default=""),
    Column("suppressed_at", Instant, nullable=False),
)

# -- delivery ----------------------------------------------------------------------------------

OPEN_STATES = ("pending", "leased", "sending", "deferred")
"""Delivery states that still want work; partial indexes cover only these."""
TROUBLED_STATES = ("failed", "in_doubt", "suppressed", "expired", "bounced")
"""Delivery states that somebody will ask about; few, and found without reading all the others."""


def is_in(states: Iterable[str]) -> str:
    """Give the condition that a row's state is one of these, as the partial indexes have it.

    A chain of OR and not IN: for that SQLite builds a table of its own at every row written.
    """
    return " OR ".join(f"state = '{state}'" for state in states)


_OPEN, _TROUBLED = text(is_in(OPEN_STATES)), text(is_in(TROUBLED_STATES))

runs = Table(  # who sends an edition now, or did last: G6
    "runs",
    metadata,
    # Beside the edition and not in its row, which also holds all of its content: this one is
    # read by every commit of a run, which asserts that `fence` is still its own.
    Column("edition_id", ForeignKey("editions.id"), primary_key=True),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("holder", Text, nullable=False, server_default=""),
    Column("lease_until", Instant),
    Column("audience", Integer, nullable=False, server_default="0"),  # as it was frozen
    Column("progress", Document),  # delivery.progress.Progress, as of the last heartbeat
    Column("counts", Document),  # deliveries by state, from when they are forgotten
    Column("first_until", Instant),  # when its first copies were accepted: feedback.guard
)

deliveries = Table(
    "deliveries",
    metadata,
    # No foreign keys: history outlives the reader, and the edition is locked by whoever enrols,
    # so that a look-up for each of a million rows would find the same every time.
    Column("edition_id", BigInteger, primary_key=True),
    Column("subscriber_id", BigInteger, primary_key=True),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("choices", Document, nullable=False),  # frozen: reader's copy can be made again
    Column("fields", Document, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", Instant, nullable=False),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("changed_at", Instant, nullable=False),
    Column("via", Text, nullable=False, server_default=""),  # relay and connection of the intent
    Column("reply", Text, nullable=False, server_default=""),  # the relay's own words, last
    # Names of the editions that this one refers to and the reader was sent, or is to be sent,
    # with blanks between; fixed with the first attempt
    Column("had", Text, nullable=False, server_default=""),
    Index(
        "ix_deliveries_open",
        "edition_id",
        "state",
        "next_attempt_at",
        "subscriber_id",  # the order of leases: without it a database sorts all that are due
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    ),
    Index(
        "ix_deliveries_troubled",
        "edition_id",
        "state",
        sqlite_where=_TROUBLED,
        postgresql_where=_TROUBLED,
    ),
    sqlite_with_rowid=False,
)

waves = Table(  # the hours at which readers get an edition, as planned when it was approved
    "waves",
    metadata,
    Column("edition_id", BigInteger, primary_key=True),
    Column("zone", Text, primary_key=True),  # as readers chose it; "" = the publication's
    Column("clock", Text, primary_key=True),
    Column("readers", Integer, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("begins_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

attempts = Table(  # written once, with the outcome; a dead sender's by whoever takes over
    "attempts",
    metadata,
    Column("edition_id", BigInteger, primary_key=True),
    Column("subscriber_id", BigInteger, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("via", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reply", Text, nullable=False),
    sqlite_with_rowid=False,
)

reports = Table(  # what came back of copies: a bounce of each at most, and a complaint
    "reports",
    metadata,
    Column("edition_id", BigInteger, primary_key=True),
    Column("subscriber_id", BigInteger, primary_key=True),
    Column("finding", Text, primary_key=True),  # address | message | complaint
    Column("status", Text, nullable=False),  # RFC 3463; the words are the delivery's reply
    Column("accepted_at", Instant, nullable=False),  # when the relay took the copy
    Column("heard_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

decisions = Table(  # what an operator decided about an edition, or about one reader's copy of it
    "decisions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("edition_id", BigInteger, nullable=False, index=True),
    Column("subscriber_id", BigInteger),  # NULL: about the whole edition
    Column("decided_at", Instant, nullable=False),
    Column("decided_by", Text, nullable=False),
    # send | plan | pause | resume | cancel | resolve | retry_failed | override | segment |
    # count_bounces | leave_bounces
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
)

alerts = Table(  # what an operator must know and mend; told once each
    "alerts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("edition_id", BigInteger, index=True),
    Column("raised_at", Instant, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sentence", Text, nullable=False),
)

relay_states = Table(  # what was learned of a relay's pace, kept across restarts
    "relay_states",
    metadata,
    Column("relay", Text, primary_key=True),
    Column("learned", Document, nullable=False),
    Column("learned_at", Instant, nullable=False),
)

installations = Table(  # one row: which database this is, and how many runs began with it
    "installations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("runs", Integer, nullable=False),
    Column("sent_until", Date),  # no edition up to this day is begun by the schedule
)

# -- single mails, and signing up ----------------------------------------------------------------

notices = Table(  # single mails: the confirmation of a sign-up and the like
    "notices",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("dedupe", Text, nullable=False, unique=True),  # what it is about: never two of one
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False, index=True),
    Column("language", Text, nullable=False, server_default=""),
    Column("payload", Document, nullable=False),  # what its template says; emptied once settled
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("doubts", Integer, nullable=False, server_default="0"),  # attempts that ended in doubt
    Column("created_at", Instant, nullable=False),
    Column("next_attempt_at", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("holder", Text, nullable=False, server_default=""),  # the process of the last intent
    Column("reply", Text, nullable=False, server_default=""),  # the relay's own words, last
    Column("content", LargeBinary),  # the bytes of the first attempt; emptied once settled
    Index(
        "ix_notices_open",
        "state",
        "next_attempt_at",
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    ),
)

wordings = Table(  # what a form asked consent to, each text once
    "wordings",
    metadata,
    Column("version", Text, primary_key=True),  # audience.signing_up.Wording
    Column("language", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("first_used_at", Instant, nullable=False),
)

sign_ups = Table(  # who asked for the digest, and who confirmed it: the record of consent
    "sign_ups",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),  # asked | mailed | confirmed
    Column("language", Text, nullable=False, server_default=""),
    Column("asked_at", Instant, nullable=False),
    Column("asked_by", Text, nullable=False),  # page | form | api
    Column("source", Text, nullable=False, server_default=""),  # the page that it stood on
    Column("network", Text, nullable=False, server_default=""),
    Column("agent", Text, nullable=False, server_default=""),
    Column("wording", Text, nullable=False, server_default=""),  # "": another site's own
    Column("look_at", Instant, nullable=False),  # when it is decided what comes of it
    Column("confirmed_at", Instant),
    Column("confirmed_network", Text, nullable=False, server_default=""),
    Column("confirmed_agent", Text, nullable=False, server_default=""),
    Column("confirmed_wording", Text, nullable=False, server_default=""),
    Index(
        "ix_sign_ups_asked",
        "look_at",
        sqlite_where=text("state = 'asked'"),
        postgresql_where=text("state = 'asked'"),
    ),
    # A link in a mail names it by its number: nobody gets an erased one's.
    sqlite_autoincrement=True,
)

limit_hits = Table(  # what counts against a limit, until it does no more
    "limit_hits",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("key", Text, nullable=False),  # of an address: a keyed hash
    Column("at", Instant, nullable=False),
    Column("until", Instant, nullable=False, index=True),
    Index("ix_limit_hits_key", "key", "at"),
)

# -- readers' own affairs --------------------------------------------------------------------------

address_changes = Table(  # a new address that a reader asked for, and whether it was confirmed
    "address_changes",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("subscriber_id", BigInteger, nullable=False, index=True),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("former_key", Text, nullable=False, server_default=""),  # as it was until `changed_at`
    Column("asked_at", Instant, nullable=False),
    Column("mailed_at", Instant),  # NULL: it is not decided yet whether it is mailed
    Column("changed_at", Instant),  # NULL: not confirmed
    Column("undoes", BigInteger),  # the change that an old address may take back by this one
    # The link in a mail names it by its number: nobody gets an erased one's.
    sqlite_autoincrement=True,
)

link_asks = Table(  # who asked for new links, until it is decided what comes of it
    "link_asks",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("email_key", Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    sqlite_autoincrement=True,  # a notice names it by its number
)

# -- reading on: search, and what readers say ------------------------------------------------------

# Compared by code point in both databases: the words that begin with one stand together.
_Word = Text().with_variant(Text(collation="C"), "postgresql")

searched = Table(  # what can be found: a brief of an edition, or with 0 the edition itself
    "searched",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("edition_id", ForeignKey("editions.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    UniqueConstraint("edition_id", "number"),
)

searched_words = Table(  # which words it has, as `editions.searching` splits texts
    "searched_words",
    metadata,
    Column("word", _Word, primary_key=True),
    Column("searched_id", BigInteger, primary_key=True, autoincrement=False),
    Column("weight", Integer, nullable=False),
    sqlite_with_rowid=False,
)

answers = Table(  # what readers think of a brief, or of one lens of it
    "answers",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("edition_id", ForeignKey("editions.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),  # the brief's
    Column("lens", Text, nullable=False, server_default=""),  # "" for the brief as such
    Column("voice", Text),  # audience.pseudonyms: another for each brief; NULL: by no link
    Column("verdict", Text, nullable=False),  # useful | too long | unfair
    Column("sentence", Text, nullable=False, server_default=""),
    Column("said_on", Date, nullable=False, index=True),  # the hour might tell who it was
    UniqueConstraint("edition_id", "number", "lens", "voice"),
)

# -- watching over -----------------------------------------------------------------------------

alarms = Table(  # what is wrong and is told; it stands until it has ended
    "alarms",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("key", Text, nullable=False),  # what it is about: edition/2026-11-23, source/wire, …
    Column("kind", Text, nullable=False),
    Column("causes", Document, nullable=False),  # each is told once while it stands
    Column("sentence", Text, nullable=False),
    Column("raised_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Index(
        "ix_alarms_standing",
        "key",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

tellings = Table(  # one sentence by one way to those who look after the publication
    "tellings",
    metadata,
    Column("alarm_id", ForeignKey("alarms.id", ondelete="CASCADE"), primary_key=True),
    Column("what", Text, primary_key=True),  # raised/CAUSE | ended
    Column("way", Text, primary_key=True),  # mail | webhook | apprise
    Column("sentence", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("due_at", Instant, index=True),  # NULL: told, or given up
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("told_at", Instant),
    Column("error", Text, nullable=False, server_default=""),
)

beats = Table(  # that somebody keeps the schedule
    "beats",
    metadata,
    Column("name", Text, primary_key=True),
    Column("since", Instant, nullable=False),  # when it first did, ever
    Column("at", Instant, nullable=False),
)

# -- the team, and what was done -----------------------------------------------------------------

members = Table(  # who may use the console
    "members",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),  # what decisions are signed with
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("password", Text, nullable=False, server_default=""),  # Argon2id; "": not set up yet
    Column("second_factor", Text, nullable=False, server_default=""),  # TOTP secret, encrypted
    Column("last_step", BigInteger, nullable=False, server_default="0"),  # of a code taken before
    Column("setup_hash", Text, nullable=False, server_default=""),  # of the link that sets up
    Column("setup_until", Instant),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
    # let in by the command line: their password is taken where others' are not
    Column("by_command", Boolean, nullable=False, server_default=false()),
    Column("identity", Text),  # a provider and what it knows them by
    Column("is_mapped", Boolean, nullable=False, server_default=false()),  # the role is its word
    Column("handle", Text, nullable=False, server_default=""),  # what their passkeys know them by
    CheckConstraint("role IN ('viewer', 'editor', 'sender', 'admin')", name="role"),
    Index("ix_members_identity", "identity", unique=True),
    sqlite_autoincrement=True,  # what one did is never another's
)

recovery_codes = Table(  # each takes the place of a code once
    "recovery_codes",
    metadata,
    Column("member_id", ForeignKey("members.id", ondelete="CASCADE"), primary_key=True),
    Column("code_hash", Text, primary_key=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("member_id", ForeignKey("members.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("opened_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
)

login_delays = Table(  # how often somebody was wrong, by a hash of account, network or browser
    "login_delays",
    metadata,
    Column("key", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failed_at", Instant, nullable=False, index=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("key_hash", Text, nullable=False, unique=True),
    Column("scopes", Document, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("used_at", Instant),
    Column("ended_at", Instant),
)

audit = Table(  # who did what; rows are only ever added, each with the hash of the one before
    "audit",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),  # counts without a gap
    Column("at", Instant, nullable=False),
    Column("who", Text, nullable=False),
    Column("origin", Text, nullable=False),  # a network address, or the command line
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),  # never an address: erasing a reader changes no row
    Column("detail", Text, nullable=False),
    Column("before", Text, nullable=False),  # hashes of what it was and became; "" where neither
    Column("after", Text, nullable=False),
    Column("previous", Text, nullable=False, unique=True),  # of two that follow one, one fails
    Column("hash", Text, nullable=False),
    Index("ix_audit_target", "target", "id"),
)

audit_head = Table(  # one row, locked by whoever adds to the audit
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last_id", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)

manifests = Table(  # what an edition was when it was approved; its hash stands in the audit
    "manifests",
    metadata,
    Column("edition_id", ForeignKey("editions.id"), primary_key=True),
    Column("document", Document, nullable=False),
)

placements = Table(  # an editor's word on where a brief stands, before what its source says
    "placements",
    metadata,
    Column("brief_id", ForeignKey("briefs.id", ondelete="CASCADE"), primary_key=True),
    Column("rank", Integer, nullable=False),  # the highest comes first
)

# -- programs ------------------------------------------------------------------------------------

orders = Table(  # what a program asked to be sent; `serve` carries it out
    "orders",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("key_id", BigInteger, nullable=False),
    Column("token", Text, nullable=False),  # Idempotency-Key: one order for each of a key's
    Column("fingerprint", Text, nullable=False),  # of all that was asked
    Column("actor", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("kind", Text, nullable=False),  # send | test
    Column("edition", Text, nullable=False),  # its name
    Column("asked", Document, nullable=False),
    Column("state", Text, nullable=False),  # waiting | under_way | done | refused
    Column("said", Text, nullable=False, server_default=""),
    Column("holder", Text, nullable=False, server_default=""),
    Column("asked_at", Instant, nullable=False),
    Column("look_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    UniqueConstraint("key_id", "token"),
    Index(
        "ix_orders_open",
        "look_at",
        sqlite_where=text("state = 'waiting' OR state = 'under_way'"),
        postgresql_where=text("state = 'waiting' OR state = 'under_way'"),
    ),
)

happenings = Table(  # what programs are told of; never an address
    "happenings",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("number", BigInteger, unique=True),  # the order in which all are told; NULL: not yet
    Column("at", Instant, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("edition_id", BigInteger),
    Column("subscriber_id", BigInteger),
    Column("detail", Document, nullable=False),
    Index(
        "ix_happenings_new",
        "id",
        sqlite_where=text("number IS NULL"),
        postgresql_where=text("number IS NULL"),
    ),
)

posts = Table(  # what webhooks are told, until they said that they have it
    "posts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("hook", Text, nullable=False),  # settings.Webhook.label
    Column("number", BigInteger, nullable=False),
    Column("body", LargeBinary),  # emptied once settled
    Column("state", Text, nullable=False),  # waiting | taken | failed
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("said", Text, nullable=False, server_default=""),
    Column("made_at", Instant, nullable=False),
    Column("look_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    # Who tells it at this moment, until when at most, and how often it was taken to be told.
    Column("holder", Text, nullable=False, server_default=""),
    Column("leased_until", Instant),
    Column("fence", Integer, nullable=False, server_default="0"),
    UniqueConstraint("hook", "number"),
    Index(
        "ix_posts_open",
        "look_at",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
)

# -- readers' own affairs ------------------------------------------------------------------------

erasures = Table(  # what an erasure had to leave to be done: by the keeper, whatever is restarted
    "erasures",
    metadata,
    Column("pseudonym", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # its addresses, encrypted by the signing key
    Column("until", Instant, nullable=False),
)

# -- what became of editions -----------------------------------------------------------------------

results = Table(  # added up once an edition was sent; see delivery.results
    "results",
    metadata,
    Column("edition_id", ForeignKey("editions.id"), primary_key=True),
    Column("made_at", Instant, nullable=False),
    Column("document", Document, nullable=False),
)

# -- two persons ---------------------------------------------------------------------------------

asks = Table(  # a send to many that somebody asked for, and who else said yes to it
    "asks",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("edition_id", ForeignKey("editions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("content_hash", Text, nullable=False),  # an edit makes it another: both words are void
    Column("at_once", Boolean, nullable=False),  # else by the schedule
    Column("by_person", Boolean, nullable=False),
    Column("audience", BigInteger, nullable=False),  # as it was counted last
    Column("segment", Text, nullable=False),
    Column("overrides", Document, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_from", Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("confirmed_by", Text),
    Column("confirmed_from", Text),
    Column("confirmed_at", Instant),
)

sign_ons = Table(  # browsers on their way to the provider and back; each comes back once
    "sign_ons",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("onward", Text, nullable=False),
    Column("begun_at", Instant, nullable=False, index=True),
)

# -- passkeys ------------------------------------------------------------------------------------

passkeys = Table(  # keys that members' devices hold: each takes the place of password and code
    "passkeys",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("member_id", ForeignKey("members.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("site", Text, nullable=False),  # the name of a host that it is good at
    Column("credential_id", Text, nullable=False, unique=True),  # base64url, as the device names it
    Column("public_key", LargeBinary, nullable=False),  # COSE
    Column("counter", BigInteger, nullable=False),  # of its signatures, if the device counts them
    Column("made_at", Instant, nullable=False),
    Column("used_at", Instant),
)

taken_challenges = Table(  # what a passkey signed before; never what was only asked
    "taken_challenges",
    metadata,
    Column("challenge_hash", Text, primary_key=True),
    Column("taken_at", Instant, nullable=False, index=True),
)

# -- what readers follow -------------------------------------------------------------------------

clicks = Table(  # how often a link of an edition's mails was followed: nothing about anybody
    "clicks",
    metadata,
    Column("edition_id", ForeignKey("editions.id", ondelete="CASCADE"), primary_key=True),
    Column("brief", Integer, primary_key=True),  # its number in the edition, from 1
    Column("link", Text, primary_key=True),  # as render.addresses.shorten_link writes it
    Column("number", BigInteger, nullable=False),
)
