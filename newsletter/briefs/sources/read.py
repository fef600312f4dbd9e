"""The kinds of sources, in one table."""

from __future__ import annotations

from collections.abc import Mapping

from newsletter.briefs.sources.api import read_api
from newsletter.briefs.sources.feed import read_feed
from newsletter.briefs.sources.folder import read_folder
from newsletter.briefs.sources.mailbox import read_mailbox
from newsletter.briefs.sources.pages import read_page, read_sitemap
from newsletter.briefs.sources.query import read_query
from newsletter.briefs.sources.reading import Reading, SourceContext, SourceKind
from newsletter.errors import SourceError
from newsletter.settings import (
    ApiSource,
    FeedSource,
    FolderSource,
    MailboxSource,
    PageSource,
    QuerySource,
    SitemapSource,
    SourceSettings,
    load_foreign_kind,
)

KINDS: Mapping[str, SourceKind] = {
    "folder": SourceKind(settings=FolderSource, read=read_folder),
    "feed": SourceKind(settings=FeedSource, read=read_feed),
    "api": SourceKind(settings=ApiSource, read=read_api),
    "page": SourceKind(settings=PageSource, read=read_page),
    "sitemap": SourceKind(settings=SitemapSource, read=read_sitemap),
    "mailbox": SourceKind(settings=MailboxSource, read=read_mailbox),
    "query": SourceKind(settings=QuerySource, read=read_query),
}


def read_source(source: SourceSettings, context: SourceContext) -> Reading:
    """Read everything that a source holds now.

    Raises `SourceError` when it cannot be read at all; a document that cannot is a problem in
    the reading. A reader touches no database of ours, so sources may be read side by side.
    """
    return find_kind(source.kind).read(source, context)


def find_kind(name: str) -> SourceKind:
    """Find a kind by its name; raises `SourceError` for one of a package that is gone."""
    if name in KINDS:
        return KINDS[name]
    try:
        kind: SourceKind = load_foreign_kind(name)
    except ValueError as error:
        raise SourceError(str(error)) from None
    return kind
