"""An editor's words in a brief, kept: what was said of its text before is then of another text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from newsletter.briefs.gather import is_fixed
from newsletter.briefs.mending import list_changed, mend_document
from newsletter.editions.verdicts import Reviewed
from newsletter.errors import RefusedError
from newsletter.store.audit import Actor, note
from newsletter.store.tables import briefs


def mend_brief(
    connection: Connection,
    found: Reviewed,
    mends: Mapping[str, Any],
    *,
    by: Actor,
    now: datetime,
) -> tuple[str, ...]:
    """Keep other words for a brief; give the fields that they change.

    Raises `BriefError` for what is no brief, `RefusedError` for one that readers may have.
    """
    check_mendable(connection, found.brief_id)
    document = mend_document(found.document, mends)
    changed = list_changed(found.document, document)
    if not changed:
        return ()
    was = found.document if found.source_document is None else found.source_document
    is_ours = bool(list_changed(was, document))
    connection.execute(
        update(briefs)
        .where(briefs.c.id == found.brief_id)
        .values(
            document=document,
            source_document=was if is_ours else None,
            changed_at=now,
        )
    )
    words = ", ".join(field.replace("_", " ") for field in changed)
    note(
        connection,
        by,
        "brief.mend",
        f"brief {found.brief_id}",
        now=now,
        detail=f"other words for {words}" if is_ours else f"{words} as its source has it again",
        before=found.document,
        after=document,
    )
    return changed


def check_mendable(connection: Connection, brief_id: int) -> None:
    """Raise `RefusedError` for a brief whose edition is not made anew any more."""
    fixed = select(briefs.c.id).where(briefs.c.id == brief_id, is_fixed())
    if connection.execute(fixed).first() is not None:
        raise RefusedError(
            f"brief {brief_id} stands in an edition that is approved or was sent",
            mend="`newsletter correct DATE` tells readers what was wrong",
        )
