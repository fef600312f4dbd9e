"""Whether a brief may be sent without a person's word: pure; `verdicts` keeps what was said.

A verdict is about a text: it is bound to the hash of the document. Any edit makes another
hash, and so voids an approval; a text that comes back to what was approved is approved again. Of
several verdicts about the same text the newest counts.

A rejection outlives edits in one way: the edited text waits for a person, whatever its source
and even where no review is required. A source that mends a comma has not mended what was wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from newsletter.briefs.model import Brief
from newsletter.store.tables import write_document

Verdict = Literal["approved", "rejected"]
Why = Literal["new", "edited since approved", "edited since rejected", "drafted by AI"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Who must be asked. `trusted` are names of sources."""

    required: bool = False
    trusted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What somebody said of a text."""

    content_hash: str
    verdict: Verdict
    decided_at: datetime
    decided_by: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How a brief stands with its reviewers."""

    state: Literal["approved", "rejected", "waiting"]
    why: Why | None = None
    """Why it waits."""
    by_trust: bool = False
    """It is approved by nobody but the setting of its source."""
    said: Said | None = None
    """What counts, or for an edited text what was said of the one before."""


def judge_brief(
    brief: Brief, content_hash: str, said: Sequence[Said], *, source: str, rules: Rules
) -> Judgement:
    """Judge a brief by what was `said` of it, the oldest first."""
    of_this = [each for each in said if each.content_hash == content_hash]
    if of_this:
        return Judgement(state=of_this[-1].verdict, said=of_this[-1])
    last = said[-1] if said else None
    if last and last.verdict == "rejected":
        return Judgement(state="waiting", why="edited since rejected", said=last)
    if not rules.required:
        return Judgement(state="approved")
    is_drafted = brief.drafted_by == "ai" and brief.has_analysis
    if source in rules.trusted and not is_drafted:
        return Judgement(state="approved", by_trust=True)
    if last:
        return Judgement(state="waiting", why="edited since approved", said=last)
    return Judgement(state="waiting", why="drafted by AI" if is_drafted else "new")


def hash_brief(document: Mapping[str, Any]) -> str:
    """Name a brief, all that it says, by its SHA-256 in hexadecimal.

    But for its date: an undated document has that of its file, which is another whenever
    somebody saves it.
    """
    return _hash({key: value for key, value in document.items() if key != "published_at"})


def hash_edition(document: Mapping[str, Any]) -> str:
    """Name what readers get of an edition by its SHA-256 in hexadecimal.

    An edition that is composed anew of the same briefs is the same: only its window and the
    reasons given to operators differ, and no reader sees either.
    """
    seen = {key: value for key, value in document.items() if key != "window"}
    if "placings" in seen:
        seen["placings"] = [
            {key: value for key, value in placing.items() if key != "why"}
            for placing in seen["placings"]
        ]
    return _hash(seen)


def explain_shortfall(approved: int, waiting: int, floor: int) -> str:
    """Say why an edition waits for its reviewers; "" where enough is approved, or none waits."""
    if not waiting or approved >= floor:
        return ""
    briefs = "1 brief waits" if waiting == 1 else f"{waiting:,} briefs wait"
    return (
        f"{WAITS_FOR_REVIEW}: {briefs} and {approved:,} of at least {floor:,} {_are(approved)} "
        "approved; `newsletter review` lists them, `newsletter review approve ID` approves"
    )


WAITS_FOR_REVIEW = "not reviewed"
"""How the reason begins for which an edition is held that its reviewers can let go."""


def list_texts(document: Mapping[str, Any]) -> Iterator[str]:
    """List a brief's document line by line, as a person compares two of them."""
    for key, value in sorted(document.items(), key=lambda pair: (_rank(pair[0]), pair[0])):
        if isinstance(value, list):
            for each in value:
                yield f"{key}: {_in_line(each)}"
        elif isinstance(value, str):
            for number, paragraph in enumerate(value.split("\n\n")):
                yield f"{key}: {paragraph}" if number == 0 else f"  {paragraph}"
        else:
            yield f"{key}: {_in_line(value)}"


_ORDER = ("title", "summary", "why_it_matters", "quick_take", "perspectives", "sources")


def _rank(key: str) -> int:
    return _ORDER.index(key) if key in _ORDER else len(_ORDER)


def _in_line(value: object) -> str:
    match value:
        case {"label": label, **rest}:
            return f"{label}: {rest.get('text', '')}"
        case {"lens": lens, **rest}:
            return f"{lens}: {rest.get('text', '')}"
        case {"name": name, **rest}:
            return f"{name} {rest.get('url', '')}".rstrip()
        case str():
            return value
        case _:
            return write_document(value)


def _hash(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(write_document(document).encode()).hexdigest()


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
