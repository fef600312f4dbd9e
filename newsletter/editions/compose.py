"""Candidates in, an edition out: stories, their order and places, and where each candidate went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from newsletter.briefs.model import Brief
from newsletter.editions.headlines import format_preheader, format_subject
from newsletter.editions.model import Edition, Kind, Placing, Window
from newsletter.editions.notes import Notes
from newsletter.editions.ranking import (
    LeftOut,
    Ranked,
    choose_stories,
    decide_prominence,
    find_section,
    list_reports,
    rank_stories,
)
from newsletter.editions.stories import Rule, group_stories
from newsletter.editions.story import Candidate, Earlier, Fate, Story
from newsletter.settings import EditionSettings, Publication, picture_host


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An edition as composed, and which stored briefs it is made of."""

    edition: Edition
    brief_ids: tuple[int, ...]
    """In the order of `edition.briefs`."""
    also_ids: tuple[tuple[int, ...], ...] = ()
    """The briefs that each of these tells as well: they are taken up with it."""
    story_ids: tuple[int | None, ...] = ()
    """The stories that return; None for a new one."""
    fates: tuple[Fate, ...] = ()
    """Where every candidate went."""
    remarks: tuple[str, ...] = ()
    """What an operator gave and the edition does not show. Whole sentences."""


_NO_NOTES = Notes()
_NO_WEIGHTS: Mapping[str, float] = {}
_LOST = "no later edition has it, since this one could have had it"


def compose(
    candidates: Sequence[Candidate],
    *,
    day: date,
    kind: Kind = "daily",
    window: Window,
    publication: Publication,
    settings: EditionSettings,
    notes: Notes = _NO_NOTES,
    weights: Mapping[str, float] = _NO_WEIGHTS,
    rules: Sequence[Rule] = (),
    earlier: Sequence[Earlier] = (),
    is_grouped: bool = True,
) -> Draft:
    """Compose the edition of `day`: the same for the same candidates in whatever order.

    `weights` are those of the sources, by name; 1 where there is none. `rules` are an operator's
    about stories, `earlier` what editions told before. Unless `is_grouped` each candidate is a
    story of its own. A candidate that another series told returns to nothing by itself.
    """
    ids = {each.brief_id for each in candidates}
    before = [each for each in earlier if each.brief_id not in ids]
    stories = (
        [_lead_with_news(story) for story in group_stories(candidates, rules=rules, earlier=before)]
        if is_grouped
        else [Story(lead=candidate) for candidate in candidates]
    )
    ranked = rank_stories(stories, cut_off=window.cut_off, weights=weights)
    choice = choose_stories(ranked, settings)
    remarks: list[str] = []
    briefs = tuple(
        _without_strange_picture(each.story.lead.brief, settings.picture_hosts, remarks)
        for each in choice.chosen
    )
    placings = tuple(_place(each, n, settings) for n, each in enumerate(choice.chosen))
    used = {placing.section for placing in placings}
    edition = Edition(
        date=day,
        kind=kind,
        window=window,
        subject=format_subject(briefs, publication=publication, day=day, kind=kind),
        preheader=format_preheader(briefs, publication=publication, day=day, kind=kind),
        briefs=briefs,
        left_out=len(choice.left_out),
        note=notes.note,
        sponsor=notes.sponsor,
        corrections=notes.corrections,
        placings=placings,
        sections=tuple(heading for heading, _ in settings.sections if heading in used),
    )
    chosen = [each.story for each in choice.chosen]
    return Draft(
        edition=edition,
        brief_ids=tuple(story.lead.brief_id for story in chosen),
        also_ids=tuple(tuple(each.brief_id for each in story.others) for story in chosen),
        story_ids=tuple(_find_story_id(story) for story in chosen),
        fates=(
            *(
                fate
                for each, placing in zip(choice.chosen, placings, strict=True)
                for fate in _tell_placed(each.story, placing)
            ),
            *(fate for left in choice.left_out for fate in _tell_left_out(left)),
        ),
        remarks=(*notes.remarks, *remarks, *_remark_on_shares(choice.left_out)),
    )


def _lead_with_news(story: Story) -> Story:
    """Have a piece lead that nobody was sent, if there is one: it is for all readers."""
    if not story.lead.had_in:
        return story
    new = next((each for each in story.others if not each.had_in), None)
    if new is None:
        return story
    others = (story.lead, *(each for each in story.others if each is not new))
    return replace(story, lead=new, others=others)


def _find_story_id(story: Story) -> int | None:
    """Find the story that goes on: as another series told it, else as an earlier edition did."""
    told = (each.story_id for each in (story.lead, *story.others) if each.story_id is not None)
    return next(told, story.earlier.story_id if story.earlier else None)


def _place(ranked: Ranked, position: int, settings: EditionSettings) -> Placing:
    story = ranked.story
    had_in = story.lead.had_in
    but_for = f"; not for who was sent {' or '.join(had_in)}" if had_in else ""
    return Placing(
        section=find_section(story.lead.brief, settings),
        prominence=decide_prominence(position, settings),
        also=list_reports(story),
        why=ranked.why + but_for,
        had_in=had_in,
        is_late=story.lead.standing == "late",
        had_on=story.earlier.day if story.earlier else None,
        had_kind=story.earlier.kind if story.earlier else "daily",
    )


def _tell_placed(story: Story, placing: Placing) -> Iterator[Fate]:
    under = f'under "{placing.section}"; ' if placing.section else ""
    yield Fate(candidate=story.lead, place=placing.prominence, why=under + placing.why)
    because = f" ({story.why})" if story.why else ""
    for other in story.others:
        why = f'it is told by "{story.lead.brief.title}"{because}'
        yield Fate(candidate=other, place="also", why=why)


def _tell_left_out(left: LeftOut) -> Iterator[Fate]:
    """Say why a story is left out, and that this is for good: its window passes with the day."""
    lead = left.ranked.story.lead
    yield Fate(candidate=lead, place="left out", why=f"{left.why}; {_LOST}")
    for other in left.ranked.story.others:
        why = f'its story is left out with "{lead.brief.title}"; {_LOST}'
        yield Fate(candidate=other, place="left out", why=why)


def _remark_on_shares(left_out: Sequence[LeftOut]) -> Iterator[str]:
    """Say how many stories were left out for a rule, and not for want of room."""
    for rule in ("max_outlet_share", "max_per_topic"):
        if count := sum(rule in left.why for left in left_out):
            stories = "1 story was" if count == 1 else f"{count} stories were"
            yield (
                f"{stories} left out by edition.{rule}; `newsletter gather --explain` says which."
            )


def _without_strange_picture(brief: Brief, hosts: Sequence[str], remarks: list[str]) -> Brief:
    """Take a picture out that is not where the operator said pictures are, and say so."""
    if brief.picture is None or (host := picture_host(brief.picture.url)) in hosts:
        return brief
    remarks.append(
        f'The picture of "{brief.title[:60]}" is not shown: {host} is not among '
        "edition.picture_hosts."
    )
    return replace(brief, picture=None)
