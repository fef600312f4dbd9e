"""What the archive's search looks into, and what readers think of briefs.

Editions that were released before are put into the index by `newsletter db upgrade`, once the
tables are there: how texts are split into words is the program's business.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "searched",
        sa.Column("id", _ID, nullable=False),
        sa.Column("edition_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edition_id"],
            ["editions.id"],
            name=op.f("fk_searched_edition_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_searched")),
        sa.UniqueConstraint("edition_id", "number", name=op.f("uq_searched_edition_id_number")),
    )
    op.create_table(
        "searched_words",
        sa.Column("word", _WORD, nullable=False),
        sa.Column("searched_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("word", "searched_id", name=op.f("pk_searched_words")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "answers",
        sa.Column("id", _ID, nullable=False),
        sa.Column("edition_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("lens", sa.Text(), server_default="", nullable=False),
        sa.Column("voice", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), server_default="", nullable=False),
        sa.Column("said_on", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edition_id"],
            ["editions.id"],
            name=op.f("fk_answers_edition_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answers")),
        sa.UniqueConstraint(
            "edition_id",
            "number",
            "lens",
            "voice",
            name=op.f("uq_answers_edition_id_number_lens_voice"),
        ),
    )
    op.create_index(op.f("ix_answers_said_on"), "answers", ["said_on"])
