"""Web pages: one that is a story, one that links to stories, and sitemaps.

A page behind a link is fetched once: what was read is remembered with the date that the
sitemap gives it, and fetched again only when that changes. Pages come one after the other,
with a gap between and a ceiling a gathering; the rest waits for the next. A page that cannot
be read is tried three times.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from newsletter.briefs.fetcher import Fetched, fetch, shown
from newsletter.briefs.sources.apart import parse_apart
from newsletter.briefs.sources.entry import Entry
from newsletter.briefs.sources.feed import build_item
from newsletter.briefs.sources.reading import Item, Reading, SourceContext
from newsletter.errors import BriefError, SourceError
from newsletter.settings import PageSource, SitemapSource

_LEADS_PARSER = "newsletter.briefs.sources.leads_parser"
_PAGE_PARSER = "newsletter.briefs.sources.page_parser"
_TRIES = 3
_MOST_FAILURES = 3  # one after the other: the server has trouble, and more questions do not help
_CONDITIONS = ("url", "etag", "last_modified")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A page that may be a story, and what is said about it where it was found."""

    url: str
    changed: str = ""
    """When it last changed, in the words of the sitemap."""
    title: str = ""
    published_seconds: float | None = None
    dated_seconds: float | None = None
    topics: tuple[str, ...] = ()
    outlet: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is remembered of a page: how often it failed since it last changed; 0 = it was read."""

    failures: int
    changed: str

    @classmethod
    def parse(cls, text: str) -> Mark:
        """Read what `str` wrote."""
        failures, _, changed = text.partition(" ")
        return cls(failures=int(failures) if failures.isdecimal() else 0, changed=changed)

    def __str__(self) -> str:
        return f"{self.failures} {self.changed}"

    def settles(self, lead: Lead) -> bool:
        """Whether the page needs no further look."""
        return self.changed == lead.changed and self.failures in {0, _TRIES}


def read_page(source: PageSource, context: SourceContext) -> Reading:
    """Read the story of a page, or the new ones of those that it links to.

    Raises `SourceError`.
    """
    _check_extra(source.kind)
    fetched = _fetch(source, context, source.url, _conditions(context))
    if fetched.status == 304:
        return Reading(unchanged=True, validators=context.validators)
    if source.links:
        listed = _parse_leads(fetched, "page")
        host = urlsplit(fetched.url).netloc
        leads = [
            lead
            for lead in listed.leads
            if urlsplit(lead.url).netloc == host
            and lead.url != fetched.url
            and _fits(lead.url, source.links)
        ]
        if not leads:
            raise SourceError(
                f'has no link that fits "{source.links}"',
                file=shown(fetched.url),
                mend="correct links in the configuration",
            )
        return _read_leads(source, context, leads, listed.problems, fetched.validators)
    (entry,) = _parse_pages([fetched])
    if entry is None:
        raise SourceError("shows no story", file=shown(fetched.url))
    try:
        item = _build_item(Lead(url=source.url), entry, context)
    except BriefError as error:
        raise SourceError(error.problem, file=shown(fetched.url)) from None
    return Reading(items=(item,), validators=fetched.validators)


def read_sitemap(source: SitemapSource, context: SourceContext) -> Reading:
    """Read the new stories of a sitemap, or of the sitemaps of an index.

    Raises `SourceError`.
    """
    _check_extra(source.kind)
    fetched = _fetch(source, context, source.url, _conditions(context))
    if fetched.status == 304:
        return Reading(unchanged=True, validators=context.validators)
    listed = _parse_leads(fetched, "sitemap")
    leads, problems = [*listed.leads], [*listed.problems]
    conditions = fetched.validators if not (listed.sitemaps or problems) else {}
    newest = sorted(listed.sitemaps, key=lambda inner: -(inner.dated_seconds or 0))
    failure, pause_seconds = "", 0
    for inner in newest[: source.max_sitemaps]:
        try:
            found = _parse_leads(_fetch(source, context, inner.url, {}), "sitemap")
        except SourceError as error:
            failure = failure or str(error)
            pause_seconds = max(pause_seconds, error.retry_after_seconds)
            problems.append(str(error))
            continue
        leads += found.leads
        problems += found.problems
    if failure and not leads:
        raise SourceError(f"none of its sitemaps can be read ({failure})", file=shown(source.url))
    oldest = datetime.now(UTC) - source.look_back
    recent = [
        lead
        for lead in {lead.url: lead for lead in leads}.values()
        if _fits(lead.url, source.links)
        and (lead.dated_seconds is None or lead.dated_seconds >= oldest.timestamp())
    ]
    recent.sort(key=lambda lead: -(lead.dated_seconds or 0))
    return _read_leads(source, context, recent, problems, conditions, failure, pause_seconds)


def _read_leads(
    source: PageSource | SitemapSource,
    context: SourceContext,
    leads: Sequence[Lead],
    problems: Sequence[str],
    conditions: Mapping[str, str],
    missing: str = "",
    pause_seconds: int = 0,
) -> Reading:
    """Fetch the pages that are new, and make them briefs."""
    problems = list(problems)
    known = _marks(context)
    marks = {lead.url: known[lead.url] for lead in leads if lead.url in known}
    if missing:  # what the sitemap that is missing leads to stays read
        marks = {**known, **marks}
    pending = [lead for lead in leads if not (m := known.get(lead.url)) or not m.settles(lead)]
    pending.sort(key=lambda lead: _failures(known, lead))  # those that failed come last
    fetched: list[tuple[Lead, Fetched]] = []
    failed = 0
    for number, lead in enumerate(pending[: source.max_pages]):
        if number:
            time.sleep(source.gap.total_seconds())
        try:
            fetched.append((lead, _fetch(source, context, lead.url, {})))
            failed = 0
        except SourceError as error:
            problems.append(str(error))
            if error.retry_after_seconds:  # the server's word on itself, and not on this page
                missing = missing or str(error)
                pause_seconds = max(pause_seconds, error.retry_after_seconds)
                break
            marks[lead.url] = Mark(failures=_failures(known, lead) + 1, changed=lead.changed)
            failed += 1
            if failed == _MOST_FAILURES:
                missing = missing or str(error)
                break
    items = []
    for (lead, page), entry in zip(fetched, _parse_pages([p for _, p in fetched]), strict=True):
        try:
            if entry is None:
                raise BriefError("shows no story", file=shown(page.url))
            items.append(_build_item(lead, entry, context))
            marks[lead.url] = Mark(failures=0, changed=lead.changed)
        except BriefError as error:
            error.file = error.file or shown(page.url)
            problems.append(str(error))
            marks[lead.url] = Mark(failures=_TRIES, changed=lead.changed)
    open_ends = sum(not ((m := marks.get(lead.url)) and m.settles(lead)) for lead in leads)
    if len(pending) > source.max_pages:
        waiting = len(pending) - source.max_pages
        problems.append(f"{shown(source.url)}: {waiting} pages wait for the next gathering.")
    return Reading(
        items=tuple(items),
        problems=tuple(problems),
        validators={
            **({} if open_ends or missing else conditions),
            **{f"page {url}": str(mark) for url, mark in marks.items()},
        },
        missing=missing,
        pause_seconds=pause_seconds,
    )


def _build_item(lead: Lead, entry: Entry, context: SourceContext) -> Item:
    """Make a brief of a page; what the sitemap says of it comes first."""
    told = Entry(
        link=lead.url,
        title=lead.title or entry.title,
        summary=entry.summary,
        content=entry.content,
        published_seconds=entry.published_seconds
        if lead.published_seconds is None
        else lead.published_seconds,
        topics=lead.topics or entry.topics,
        author=entry.author,
        outlet=lead.outlet,
    )
    return build_item(told, vocabulary=context.vocabulary, feed_url=lead.url)


def _check_extra(kind: str) -> None:
    if find_spec("trafilatura") is None:
        raise SourceError(
            f'the kind "{kind}" needs the extra `pages`',
            mend='run: pip install "newsletter[pages]"',
        )


def _fetch(
    source: PageSource | SitemapSource,
    context: SourceContext,
    url: str,
    validators: Mapping[str, str],
) -> Fetched:
    fetched = fetch(
        url,
        headers={"Accept": "text/html, application/xml;q=0.9, */*;q=0.5"},
        validators=validators,
        allow_private=source.allow_private,
        timeout_seconds=source.timeout.total_seconds(),
        max_bytes=source.max_bytes,
        user_agent=context.user_agent,
        turns=context.turns,
    )
    if fetched.status == 200 and not fetched.body.strip():
        raise SourceError("the answer is empty", file=shown(fetched.url))
    return fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    leads: tuple[Lead, ...]
    sitemaps: tuple[Lead, ...]
    problems: tuple[str, ...]


def _parse_leads(fetched: Fetched, what: str) -> _Listed:
    place = shown(fetched.url)
    about = {"what": what, "url": fetched.url}
    answer = parse_apart(_LEADS_PARSER, about, fetched.body, place=place)
    leads, sitemaps = (tuple(map(_lead, answer.get(k, ()))) for k in ("leads", "sitemaps"))
    if answer["flaw"] and not (leads or sitemaps):
        page = re.search(rb"<html\b|<!doctype html", fetched.body[:2_000], re.IGNORECASE)
        raise SourceError(
            "is a web page, not a sitemap" if page else answer["flaw"],
            file=place,
            mend="look in the site's robots.txt for the address of its sitemap",
        )
    problems = []
    if answer["flaw"]:
        problems.append(f"{place}: is not well-formed ({answer['flaw']}).")
    if answer["left_out"]:
        problems.append(f"{place}: {answer['left_out']} addresses beyond the ceiling.")
    return _Listed(leads=leads, sitemaps=sitemaps, problems=tuple(problems))


def _lead(document: Mapping[str, Any]) -> Lead:
    return Lead(**{**document, "topics": tuple(document.get("topics", ()))})


def _parse_pages(pages: Sequence[Fetched]) -> list[Entry | None]:
    """Have pages parsed together, since starting costs most; one that burns time, by itself."""
    if not pages:
        return []
    about = {"pages": [{"url": page.url, "size": len(page.body)} for page in pages]}
    try:
        answer = parse_apart(
            _PAGE_PARSER, about, b"".join(p.body for p in pages), place=shown(pages[0].url)
        )
    except SourceError:
        if len(pages) == 1:
            return [None]
        half = len(pages) // 2
        return [*_parse_pages(pages[:half]), *_parse_pages(pages[half:])]
    return [Entry(**{**e, "topics": tuple(e["topics"])}) if e else None for e in answer]


def _conditions(context: SourceContext) -> dict[str, str]:
    return {k: v for k, v in context.validators.items() if k in _CONDITIONS}


def _marks(context: SourceContext) -> dict[str, Mark]:
    return {
        key.removeprefix("page "): Mark.parse(value)
        for key, value in context.validators.items()
        if key.startswith("page ")
    }


def _failures(known: Mapping[str, Mark], lead: Lead) -> int:
    mark = known.get(lead.url)
    return mark.failures if mark and mark.changed == lead.changed else 0


def _fits(url: str, pattern: str) -> bool:
    """Decide whether an address fits a pattern: of its path, or of all of it."""
    if not pattern:
        return True
    return fnmatchcase(url if "://" in pattern else urlsplit(url).path or "/", pattern)
