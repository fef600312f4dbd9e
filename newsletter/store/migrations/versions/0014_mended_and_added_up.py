"""What a source says of a brief that an editor mended, and what became of editions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from newsletter.store.tables import Document, Instant

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema up."""
    op.add_column("briefs", sa.Column("source_document", Document(), nullable=True))
    op.create_table(
        "results",
        sa.Column("edition_id", _ID, nullable=False),
        sa.Column("made_at", Instant(), nullable=False),
        sa.Column("document", Document(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["editions.id"], name=op.f("fk_results_edition_id")
        ),
        sa.PrimaryKeyConstraint("edition_id", name=op.f("pk_results")),
    )
