"""Runs beside editions, attempts in the order of their key, and what operators decide.

The columns of a run move out of the edition's row, which holds all of its content and was
written anew at every heartbeat. Attempts lose a number of their own that nothing used. The
index of open deliveries says OR instead of IN, which costs SQLite less at every row, and
deliveries lose a foreign key that cost PostgreSQL half of an enrolment.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from newsletter.store.tables import Document, Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OPEN = sa.text("state = 'pending' OR state = 'leased' OR state = 'sending' OR state = 'deferred'")
_TROUBLED = sa.text(
    "state = 'failed' OR state = 'in_doubt' OR state = 'suppressed' OR state = 'expired' "
    "OR state = 'bounced'"
)


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "runs",
        sa.Column("edition_id", _ID, nullable=False),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("holder", sa.Text(), server_default="", nullable=False),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("audience", sa.Integer(), server_default="0", nullable=False),
        sa.Column("progress", Document(), nullable=True),
        sa.ForeignKeyConstraint(["edition_id"], ["editions.id"], name=op.f("fk_runs_edition_id")),
        sa.PrimaryKeyConstraint("edition_id", name=op.f("pk_runs")),
    )
    op.execute(
        "INSERT INTO runs (edition_id, fence, holder, lease_until, audience) "
        "SELECT id, fence, holder, lease_until, "
        "(SELECT count(*) FROM deliveries WHERE edition_id = editions.id) FROM editions "
        "WHERE EXISTS (SELECT 1 FROM deliveries WHERE edition_id = editions.id)"
    )
    for column in ("fence", "holder", "lease_until"):
        # Not as a batch: that would drop and rebuild a table that others refer to.
        op.execute(f"ALTER TABLE editions DROP COLUMN {column}")

    op.rename_table("attempts", "attempts_before")
    if op.get_bind().dialect.name == "postgresql":  # there a key's name is taken, renamed or not
        op.execute("ALTER INDEX pk_attempts RENAME TO pk_attempts_before")
    op.create_table(
        "attempts",
        sa.Column("edition_id", sa.BigInteger(), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("edition_id", "subscriber_id", "number", name=op.f("pk_attempts")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO attempts SELECT edition_id, subscriber_id, number, via, started_at, "
        "ended_at, outcome, reply FROM attempts_before "
        "ORDER BY edition_id, subscriber_id, number"
    )
    op.drop_table("attempts_before")
    op.rename_table("deliveries", "deliveries_before")
    op.drop_index("ix_deliveries_open", "deliveries_before")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER INDEX pk_deliveries RENAME TO pk_deliveries_before")
    op.create_table(
        "deliveries",
        sa.Column("edition_id", sa.BigInteger(), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("choices", Document(), nullable=False),
        sa.Column("fields", Document(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", Instant(), nullable=False),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("via", sa.Text(), server_default="", nullable=False),
        sa.Column("reply", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("edition_id", "subscriber_id", name=op.f("pk_deliveries")),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO deliveries SELECT * FROM deliveries_before ORDER BY 1, 2")
    op.drop_table("deliveries_before")
    op.create_index(
        "ix_deliveries_open",
        "deliveries",
        ["edition_id", "state", "next_attempt_at", "subscriber_id"],
        unique=False,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_index(
        "ix_deliveries_troubled",
        "deliveries",
        ["edition_id", "state"],
        unique=False,
        sqlite_where=_TROUBLED,
        postgresql_where=_TROUBLED,
    )

    op.create_table(
        "decisions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("edition_id", sa.BigInteger(), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", Instant(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_edition_id"), "decisions", ["edition_id"])
    op.create_table(
        "alerts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("edition_id", sa.BigInteger(), nullable=True),
        sa.Column("raised_at", Instant(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_edition_id"), "alerts", ["edition_id"])
    op.create_table(
        "relay_states",
        sa.Column("relay", sa.Text(), nullable=False),
        sa.Column("learned", Document(), nullable=False),
        sa.Column("learned_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("relay", name=op.f("pk_relay_states")),
    )
