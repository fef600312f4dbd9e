"""What a source says of a brief that an editor mended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from newsletter.store.tables import Document

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema up."""
    op.add_column("briefs", sa.Column("source_document", Document(), nullable=True))
