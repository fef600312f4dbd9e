"""What programs ask to be sent, what they are told of, and what webhooks have not taken yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from newsletter.store.tables import Document, Instant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "orders",
        sa.Column("id", _ID, nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("edition", sa.Text(), nullable=False),
        sa.Column("asked", Document(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), server_default="", nullable=False),
        sa.Column("holder", sa.Text(), server_default="", nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("look_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("key_id", "token", name=op.f("uq_orders_key_id_token")),
    )
    _index("ix_orders_open", "orders", "look_at", "state = 'waiting' OR state = 'under_way'")
    op.create_table(
        "happenings",
        sa.Column("id", _ID, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("edition_id", sa.BigInteger(), nullable=True),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=True),
        sa.Column("detail", Document(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_happenings")),
        sa.UniqueConstraint("number", name=op.f("uq_happenings_number")),
    )
    op.create_index(op.f("ix_happenings_at"), "happenings", ["at"])
    _index("ix_happenings_new", "happenings", "id", "number IS NULL")
    op.create_table(
        "posts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("hook", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("said", sa.Text(), server_default="", nullable=False),
        sa.Column("made_at", Instant(), nullable=False),
        sa.Column("look_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_posts")),
        sa.UniqueConstraint("hook", "number", name=op.f("uq_posts_hook_number")),
    )
    _index("ix_posts_open", "posts", "look_at", "state = 'waiting'")


def _index(name: str, table: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
