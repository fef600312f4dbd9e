"""Two persons for a send to many; sign-on by another's word, and who that knows members as."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from newsletter.store.tables import Document, Instant

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "asks",
        sa.Column("id", _ID, nullable=False),
        sa.Column("edition_id", _ID, nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("at_once", sa.Boolean(), nullable=False),
        sa.Column("by_person", sa.Boolean(), nullable=False),
        sa.Column("audience", sa.BigInteger(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("overrides", Document(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_from", sa.Text(), nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("confirmed_by", sa.Text(), nullable=True),
        sa.Column("confirmed_from", sa.Text(), nullable=True),
        sa.Column("confirmed_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["edition_id"],
            ["editions.id"],
            name=op.f("fk_asks_edition_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asks")),
    )
    op.create_index(op.f("ix_asks_edition_id"), "asks", ["edition_id"])
    for name in ("by_command", "is_mapped"):
        op.add_column(
            "members", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False)
        )
    op.add_column("members", sa.Column("identity", sa.Text(), nullable=True))
    op.create_index("ix_members_identity", "members", ["identity"], unique=True)
    members = sa.table("members", sa.column("id"), sa.column("by_command"))
    audit = sa.table("audit", sa.column("action"), sa.column("target"), sa.column("origin"))
    on_the_command_line = sa.select(audit.c.target).where(
        audit.c.action.in_(("team.add", "team.reset")), audit.c.origin == "command line"
    )
    target = sa.literal("member ") + sa.cast(members.c.id, sa.Text())
    op.execute(
        sa.update(members).where(target.in_(on_the_command_line)).values(by_command=sa.true())
    )
    op.create_table(
        "sign_ons",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("onward", sa.Text(), nullable=False),
        sa.Column("begun_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sign_ons")),
    )
    op.create_index(op.f("ix_sign_ons_begun_at"), "sign_ons", ["begun_at"])
