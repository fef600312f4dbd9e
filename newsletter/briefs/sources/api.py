"""An HTTP API that answers in JSON, page by page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from newsletter.briefs.fetcher import Fetched, fetch, shown
from newsletter.briefs.sources.reading import Item, Reading, SourceContext
from newsletter.briefs.sources.records import Records, parse_records
from newsletter.errors import SourceError
from newsletter.settings import ApiSource

_NEXT = re.compile(r'<([^<>]*)>[^<>,]*;\s*rel="?(?:[^"<>,]*\s)?next\b', re.IGNORECASE)


def read_api(source: ApiSource, context: SourceContext) -> Reading:
    """Fetch the pages of the API and make its items briefs.

    Only an API of one page is asked conditionally: a later page can change while the first one
    stays. Raises `SourceError` if the first page cannot be read; a later one is missing then.
    """
    headers = _authorise(source, context)
    begun_at = context.validators.get("cursor", "") if source.resume else ""
    url: str | None = _first_url(source, begun_at)
    items: list[Item] = []
    problems: list[str] = []
    validators: Mapping[str, str] = dict(context.validators) if source.resume else {}
    asked: set[str] = set()
    while url:
        number = len(asked) + 1
        asked.add(url)
        try:
            fetched = _fetch(source, context, url, headers)
            if fetched.status == 304:
                return Reading(unchanged=True, validators=fetched.validators)
            page = _parse(source, context, fetched)
        except SourceError as error:
            if number == 1:
                raise
            return Reading(
                items=tuple(items),
                problems=tuple(problems),
                validators=context.validators,
                missing=f"page {number} and what follows: {error}",
                pause_seconds=error.retry_after_seconds,
            )
        items += page.items
        problems += page.problems
        if source.paging == "none":
            validators = fetched.validators
        elif source.resume and page.next:
            validators = {"cursor": page.next}
        try:
            following = _next_url(source, fetched, page, number)
        except SourceError as error:
            problems.append(str(error))
            break
        if following in asked:  # the last page leads to itself, or back
            break
        if following and number == source.max_pages:
            problems.append(
                f"{shown(source.url)}: has more than {number} pages; raise max_pages to read more."
            )
            break
        url = following
    return Reading(items=tuple(items), problems=tuple(problems), validators=validators)


def _authorise(source: ApiSource, context: SourceContext) -> Mapping[str, str]:
    if not source.authorization:
        return {}
    return {source.header: context.secret(source.authorization)}


def _fetch(
    source: ApiSource, context: SourceContext, url: str, headers: Mapping[str, str]
) -> Fetched:
    return fetch(
        url,
        headers={"Accept": "application/json", **headers},
        validators=context.validators if source.paging == "none" else {},
        allow_private=source.allow_private,
        timeout_seconds=source.timeout.total_seconds(),
        max_bytes=source.max_bytes,
        user_agent=context.user_agent,
        turns=context.turns,
    )


def _parse(source: ApiSource, context: SourceContext, fetched: Fetched) -> Records:
    place = shown(fetched.url)
    if not fetched.body.strip():
        raise SourceError("the answer is empty", file=place, mend="ask the API's owner")
    return parse_records(
        fetched.body,
        items=source.items,
        fields=source.fields,
        next_path=source.next,
        url=fetched.url,
        place=place,
        vocabulary=context.vocabulary,
    )


def _first_url(source: ApiSource, cursor: str) -> str:
    if cursor:
        return _with_parameter(source, cursor)
    if source.paging == "page":
        return _with_parameter(source, str(source.first_page))
    return source.url


def _next_url(source: ApiSource, fetched: Fetched, page: Records, number: int) -> str | None:
    """Say where the next page is; None after the last one.

    Raises `SourceError` if that is another server: ours would be told its secret.
    """
    match source.paging:
        case "page":
            return _with_parameter(source, str(source.first_page + number)) if page.count else None
        case "cursor":
            return _with_parameter(source, page.next) if page.next else None
        case "link":
            link = page.next if source.next else _linked(fetched)
            return _same_server(fetched.url, link) if link else None
    return None


def _linked(fetched: Fetched) -> str | None:
    """Read the Link header (RFC 8288)."""
    found = _NEXT.search(fetched.headers.get("link", ""))
    return found[1] if found else None


def _same_server(url: str, link: str) -> str:
    try:
        target = urljoin(url, link)
        here, there = urlsplit(url), urlsplit(target)
        same = (here.scheme, here.netloc) == (there.scheme, there.netloc)
    except ValueError:
        same, target = False, ""
    if not same:
        raise SourceError("leads to another server for more, which is not asked", file=shown(url))
    return target


def _with_parameter(source: ApiSource, value: str) -> str:
    """Set the query parameter of the cursor or page; the others stay as they are."""
    name = quote(source.parameter or source.paging, safe="")
    parts = urlsplit(source.url)
    kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] != name]
    query = "&".join([*kept, f"{name}={quote(value, safe='')}"])
    return urlunsplit(parts._replace(query=query))
