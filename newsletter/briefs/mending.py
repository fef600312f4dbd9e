"""What an editor mends in a brief that a source brought, and how it lasts. Pure.

Editions are made of the stored document. Where an editor mended it, the source's own stands
beside it, and the next gathering merges field by field: what the editor changed stays, all else
is as the source has it now, an embargo and an expiry among it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from newsletter.briefs.document import brief_from_document, brief_to_document

MENDABLE = ("title", "update", "summary", "why_it_matters", "quick_take", "perspectives")
"""The fields of a brief's document that are words for readers."""


def mend_document(document: Mapping[str, Any], mends: Mapping[str, Any]) -> dict[str, Any]:
    """Give a brief's document with other words in it; what is empty is left out.

    Raises `BriefError` naming the field where that is no brief any more.
    """
    kept = {field: value for field, value in document.items() if field not in MENDABLE}
    words = {field: value for field, value in mends.items() if field in MENDABLE and value}
    return brief_to_document(brief_from_document(kept | words, file="the brief"))


def list_changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """List the mendable fields in which two documents differ."""
    return tuple(field for field in MENDABLE if one.get(field) != other.get(field))


def merge_documents(
    was: Mapping[str, Any], mended: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, Any]:
    """Give what a source has now, with what an editor changed in what it had before."""
    mends = {field: mended.get(field) for field in list_changed(was, mended)}
    merged = {**now, **mends}
    return {field: value for field, value in merged.items() if value}
