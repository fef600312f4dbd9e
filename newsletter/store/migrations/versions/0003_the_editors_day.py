"""Stories, reviews, promises, corrections; how sources fare; what readers had before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from newsletter.store.tables import Document, Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema up."""
    for column in (
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing_since", Instant(), nullable=True),
        sa.Column("next_attempt_at", Instant(), nullable=True),
        sa.Column("newest_item_at", Instant(), nullable=True),
        sa.Column("usual_gap_seconds", sa.Integer(), nullable=True),
        sa.Column("told", sa.Text(), server_default="", nullable=False),
    ):
        op.add_column("source_states", column)
    # Text that is never long: PostgreSQL and SQLite both add it without writing the rows anew.
    op.add_column("deliveries", sa.Column("had", sa.Text(), server_default="", nullable=False))

    op.add_column("briefs", sa.Column("not_before", Instant(), nullable=True))
    op.create_index(op.f("ix_briefs_first_seen_at"), "briefs", ["first_seen_at"])
    op.create_index(op.f("ix_briefs_not_before"), "briefs", ["not_before"])

    op.create_table(
        "stories",
        sa.Column("id", _ID, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("opened_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stories")),
    )
    _rebuild_edition_briefs()
    op.create_table(
        "story_rules",
        sa.Column("id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("one_id", _ID, nullable=False),
        sa.Column("other_id", _ID, nullable=False),
        sa.Column("made_at", Instant(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        _refers("story_rules", "one_id", "briefs", "CASCADE"),
        _refers("story_rules", "other_id", "briefs", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_story_rules")),
    )
    op.create_table(
        "promises",
        sa.Column("id", _ID, nullable=False),
        sa.Column("edition_id", _ID, nullable=False),
        sa.Column("brief_id", _ID, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("settled_by", sa.Text(), server_default="", nullable=False),
        sa.Column("news", sa.Text(), server_default="", nullable=False),
        sa.Column("shown_in", _ID, nullable=True),
        _refers("promises", "edition_id", "editions", "CASCADE"),
        _refers("promises", "brief_id", "briefs"),
        _refers("promises", "shown_in", "editions", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promises")),
    )
    op.create_index(op.f("ix_promises_brief_id"), "promises", ["brief_id"])
    op.create_index(op.f("ix_promises_state"), "promises", ["state"])
    op.create_table(
        "corrections",
        sa.Column("id", _ID, nullable=False),
        sa.Column("edition_id", _ID, nullable=False),
        sa.Column("brief_id", _ID, nullable=True),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("made_at", Instant(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("carried_by", _ID, nullable=True),
        _refers("corrections", "edition_id", "editions"),
        _refers("corrections", "brief_id", "briefs"),
        _refers("corrections", "carried_by", "editions", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corrections")),
    )
    op.create_index(op.f("ix_corrections_edition_id"), "corrections", ["edition_id"])
    op.create_table(
        "reviews",
        sa.Column("id", _ID, nullable=False),
        sa.Column("brief_id", _ID, nullable=True),
        sa.Column("edition_id", _ID, nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("document", Document(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("decided_at", Instant(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        _refers("reviews", "brief_id", "briefs", "CASCADE"),
        _refers("reviews", "edition_id", "editions", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
    )
    op.create_index(op.f("ix_reviews_brief_id"), "reviews", ["brief_id"])
    op.create_index(op.f("ix_reviews_edition_id"), "reviews", ["edition_id"])


def _rebuild_edition_briefs() -> None:
    """Give the table another key: a brief may be in the news and in a round-up."""
    op.rename_table("edition_briefs", "edition_briefs_before")
    if op.get_bind().dialect.name == "postgresql":  # there the names of keys are taken
        for name in ("pk_edition_briefs", "uq_edition_briefs_edition_id_position"):
            op.execute(f"ALTER INDEX {name} RENAME TO {name}_before")
    op.create_table(
        "edition_briefs",
        sa.Column("brief_id", _ID, nullable=False),
        sa.Column("series", sa.Text(), server_default="news", nullable=False),
        sa.Column("edition_id", _ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("story_id", _ID, nullable=True),
        _refers("edition_briefs", "brief_id", "briefs"),
        _refers("edition_briefs", "edition_id", "editions", "CASCADE"),
        _refers("edition_briefs", "story_id", "stories"),
        sa.PrimaryKeyConstraint("brief_id", "series", name=op.f("pk_edition_briefs")),
        sa.UniqueConstraint(
            "edition_id", "position", name=op.f("uq_edition_briefs_edition_id_position")
        ),
    )
    op.execute(
        "INSERT INTO edition_briefs (brief_id, edition_id, position) "
        "SELECT brief_id, edition_id, position FROM edition_briefs_before"
    )
    op.drop_table("edition_briefs_before")
    op.create_index(op.f("ix_edition_briefs_story_id"), "edition_briefs", ["story_id"])
    # What found no room is claimed too from now on: else it would count as never offered.
    op.execute(
        "INSERT INTO edition_briefs (brief_id, edition_id) "
        "SELECT briefs.id, (SELECT max(e.id) FROM editions e WHERE e.state = 'sent') FROM briefs "
        "WHERE EXISTS (SELECT 1 FROM editions e WHERE e.state NOT IN ('held', 'cancelled') "
        "AND e.window_start <= briefs.published_at AND e.cut_off > briefs.published_at "
        "AND e.cut_off > briefs.first_seen_at) "
        "AND EXISTS (SELECT 1 FROM editions e WHERE e.state = 'sent') "
        "AND NOT EXISTS (SELECT 1 FROM edition_briefs c WHERE c.brief_id = briefs.id)"
    )


def _refers(
    table: str, column: str, to: str, on_delete: str | None = None
) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=name, ondelete=on_delete)
