"""Stories that a source can hold, and what their texts have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A story as its publisher has it."""

    id: str
    title: str
    summary: str
    link: str = ""
    """On the publisher's own site; empty = the one that follows from the id."""
    changed: str = ""
    """What tells this text from an earlier one of the same story."""

    @property
    def path(self) -> str:
        return self.link or f"/news/{self.id}"

    def with_text(self, summary: str) -> Story:
        return replace(self, summary=summary, changed="again")


PORT = Story(
    id="s-1",
    title="Port of Kilm reopens",
    summary="Ships are back in the port of Kilm after three days of repairs to its outer lock. "
    "The harbour master expects the queue of forty freighters to be gone by Friday.",
)
BUDGET = Story(
    id="s-2",
    title="Council passes a budget of 40 million",
    summary="The city council of Venn passed next year's budget with a majority of one vote. "
    "Libraries keep their opening hours, and the swimming pool closes for the winter.",
)
CHIPS = Story(
    id="s-3",
    title="A plant for chip packaging in Arden",
    summary="A maker of semiconductors will build its second packaging plant near Arden airport. "
    "The company names 900 jobs and asks the region for a road to the site.",
)
STORIES = (PORT, BUDGET, CHIPS)
