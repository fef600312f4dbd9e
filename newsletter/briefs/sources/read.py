"""The kinds of sources, in one table."""

from __future__ import annotations

from typing import assert_never

from newsletter.briefs.sources.feed import read_feed
from newsletter.briefs.sources.folder import read_folder
from newsletter.briefs.sources.reading import Reading, SourceContext
from newsletter.settings import FeedSource, FolderSource, SourceSettings


def read_source(source: SourceSettings, context: SourceContext) -> Reading:
    """Read everything that a source holds now.

    Raises `SourceError` when it cannot be read at all; a document that cannot is a problem in
    the reading. A reader touches no database, so sources may be read side by side.
    """
    match source:
        case FolderSource():
            return read_folder(source, context)
        case FeedSource():
            return read_feed(source, context)
        case _:
            assert_never(source)
