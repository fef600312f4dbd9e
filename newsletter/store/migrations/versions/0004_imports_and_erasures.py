"""Imports that can be undone; numbers of readers that nobody gets again; counts that outlive."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from newsletter.store.tables import Document, Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEPT = (
    "id, email, email_key, name, status, choices, fields, consent_at, consent_source, "
    "created_at, updated_at"
)


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "imports",
        sa.Column("id", _ID, nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("consent_source", sa.Text(), server_default="", nullable=False),
        sa.Column("counts", Document(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    op.create_table(
        "import_changes",
        sa.Column("import_id", sa.BigInteger(), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("changes", Document(), nullable=False),
        sa.PrimaryKeyConstraint("import_id", "subscriber_id", name=op.f("pk_import_changes")),
        sqlite_with_rowid=False,
    )
    op.add_column("runs", sa.Column("counts", Document(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_subscribers()
    else:  # its sequences never give a number twice
        op.add_column("subscribers", sa.Column("import_id", sa.BigInteger(), nullable=True))


def _rebuild_subscribers() -> None:
    """Make the table anew: SQLite takes AUTOINCREMENT only when a table is made."""
    op.drop_index("ix_subscribers_status", "subscribers")
    op.rename_table("subscribers", "subscribers_before")
    op.create_table(
        "subscribers",
        sa.Column("id", _ID, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("choices", Document(), nullable=False),
        sa.Column("fields", Document(), nullable=False),
        sa.Column("consent_at", Instant(), nullable=True),
        sa.Column("consent_source", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("import_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'active', 'unsubscribed', 'bounced', 'complained')",
            name=op.f("ck_subscribers_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscribers")),
        sa.UniqueConstraint("email_key", name=op.f("uq_subscribers_email_key")),
        sqlite_autoincrement=True,
    )
    op.execute(f"INSERT INTO subscribers ({_KEPT}) SELECT {_KEPT} FROM subscribers_before")  # noqa: S608 - literals
    op.drop_table("subscribers_before")
    op.create_index(op.f("ix_subscribers_status"), "subscribers", ["status", "id"])
