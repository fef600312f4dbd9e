"""Editions with a time of their own; what webhooks are told is leased to one process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from newsletter.store.tables import Document, Instant

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema up."""
    op.add_column("editions", sa.Column("send_at", Instant(), nullable=True))
    op.add_column("editions", sa.Column("send_how", Document(), nullable=True))
    op.add_column("posts", sa.Column("holder", sa.Text(), server_default="", nullable=False))
    op.add_column("posts", sa.Column("leased_until", Instant(), nullable=True))
    op.add_column("posts", sa.Column("fence", sa.Integer(), server_default="0", nullable=False))
