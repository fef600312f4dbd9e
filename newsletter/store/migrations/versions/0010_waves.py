"""The hours at which readers get an edition."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from newsletter.store.tables import Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "waves",
        sa.Column("edition_id", sa.BigInteger(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("clock", sa.Text(), nullable=False),
        sa.Column("readers", sa.Integer(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("begins_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("edition_id", "zone", "clock", name=op.f("pk_waves")),
        sqlite_with_rowid=False,
    )
