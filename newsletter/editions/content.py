"""An edition as a document and back: what is stored when it is composed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from newsletter.briefs.document import brief_from_document, brief_to_document
from newsletter.briefs.picture import picture_to_document, read_picture
from newsletter.editions.model import (
    Correction,
    Edition,
    Note,
    Placing,
    Report,
    Sponsor,
    Watched,
    Window,
    name_edition,
)
from newsletter.errors import BriefError, StorageError

_FORMAT = 1


def edition_to_document(edition: Edition) -> dict[str, Any]:
    """Write an edition as JSON; `edition_from_document` gives back an equal one."""
    return {
        "format": _FORMAT,
        "date": edition.date.isoformat(),
        "kind": edition.kind,
        "window": [edition.window.start.isoformat(), edition.window.cut_off.isoformat()],
        "subject": edition.subject,
        "preheader": edition.preheader,
        "briefs": [brief_to_document(brief) for brief in edition.briefs],
        "left_out": edition.left_out,
        **_extras_to_document(edition),
    }


def edition_from_document(document: dict[str, Any]) -> Edition:
    """Read what `edition_to_document` wrote; raises `StorageError` for anything else."""
    try:
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']}")
        start, cut_off = map(datetime.fromisoformat, document["window"])
        place = f"the stored edition of {document['date']}"
        return Edition(
            date=date.fromisoformat(document["date"]),
            kind=document["kind"],
            window=Window(start=start, cut_off=cut_off),
            subject=document["subject"],
            preheader=document["preheader"],
            briefs=tuple(brief_from_document(b, file=place) for b in document["briefs"]),
            left_out=document["left_out"],
            note=_note(document.get("note")),
            sponsor=_sponsor(document.get("sponsor")),
            corrections=tuple(map(_correction, document.get("corrections", ()))),
            placings=tuple(map(_placing, document.get("placings", ()))),
            watching=tuple(map(_watched, document.get("watching", ()))),
            sections=tuple(document.get("sections", ())),
        )
    except (ValueError, KeyError, TypeError, BriefError) as error:
        raise StorageError(f"the stored edition cannot be read ({error!r})") from error


def _extras_to_document(edition: Edition) -> dict[str, Any]:
    """Write what an operator added; an edition without it looks as one always did."""
    extras: dict[str, Any] = {}
    if note := edition.note:
        extras["note"] = {"text": note.text, "heading": note.heading, "by": note.by}
    if sponsor := edition.sponsor:
        extras["sponsor"] = {"name": sponsor.name, "text": sponsor.text, "url": sponsor.url}
        if sponsor.picture:
            extras["sponsor"]["picture"] = picture_to_document(sponsor.picture)
    if edition.corrections:
        extras["corrections"] = [
            _correction_to_document(correction) for correction in edition.corrections
        ]
    if edition.placings:
        extras["placings"] = [_placing_to_document(placing) for placing in edition.placings]
    if edition.watching:
        extras["watching"] = [asdict(w) | {"day": w.day.isoformat()} for w in edition.watching]
    if edition.sections:
        extras["sections"] = list(edition.sections)
    return extras


def _correction_to_document(correction: Correction) -> dict[str, Any]:
    """Write what was given, and of the rest what differs from a correction in a notes file."""
    plain = asdict(Correction(text=""))
    given = {name: value for name, value in asdict(correction).items() if value != plain[name]}
    day = correction.day.isoformat() if correction.day else ""
    return {"text": correction.text, "link": correction.link, **given, "day": day}


def _placing_to_document(placing: Placing) -> dict[str, Any]:
    """Write what differs from a brief that simply stands there."""
    plain = asdict(Placing())
    document = {name: value for name, value in asdict(placing).items() if value != plain[name]}
    if placing.had_on:
        document["had_on"] = placing.had_on.isoformat()
    return document


def _placing(document: dict[str, Any]) -> Placing:
    values = dict(document)
    if "also" in values:
        values["also"] = tuple(Report(**report) for report in values["also"])
    if "had_on" in values:
        values["had_on"] = date.fromisoformat(values["had_on"])
    if values.pop("is_repeat", False):  # a round-up of an earlier version
        values["had_in"] = [name_edition(values.pop("had_on"), values.pop("had_kind", "daily"))]
    values["had_in"] = tuple(values.get("had_in", ()))
    return Placing(**values)


def _watched(document: dict[str, Any]) -> Watched:
    day, topics = date.fromisoformat(document["day"]), tuple(document["topics"])
    had_in = tuple(document.get("had_in", ()))
    return Watched(**{**document, "day": day, "topics": topics, "had_in": had_in})


def _note(document: dict[str, Any] | None) -> Note | None:
    return Note(**document) if document else None


def _sponsor(document: dict[str, Any] | None) -> Sponsor | None:
    if not document:
        return None
    picture = document.get("picture")
    return Sponsor(**{**document, "picture": read_picture(picture) if picture else None})


def _correction(document: dict[str, Any]) -> Correction:
    day = document["day"]
    return Correction(**{**document, "day": date.fromisoformat(day) if day else None})
