"""All that a run of the web copy's templates makes, in one call: it may run in another process."""

from __future__ import annotations

from collections.abc import Sequence

from newsletter.render.feeds import build_entry, build_feeds
from newsletter.render.templates import TemplateSet
from newsletter.render.web import Listed, Published, build_archive, build_edition, open_site
from newsletter.settings import SHIPPED_LOOK, Look, Publication, Vocabulary


def build_pages(
    *,
    publication: Publication,
    vocabulary: Vocabulary,
    templates: TemplateSet,
    look: Look = SHIPPED_LOOK,
    picture_hosts: Sequence[str] = (),
    is_served: bool = False,
    takes_readers: bool = False,
    names_approvers: bool = False,
    editions: Sequence[Published] = (),
    listed: Sequence[Listed] = (),
    newest: Sequence[Published] = (),
) -> dict[str, bytes]:
    """Build the pages of editions, and of the newest the list of all and the feeds, by file.

    Those that are not served are files, which have no search and take no answers. Raises
    `TemplateError` for a fault in a template.
    """
    site = open_site(
        publication=publication,
        vocabulary=vocabulary,
        templates=templates,
        look=look,
        picture_hosts=picture_hosts,
        is_served=is_served,
        takes_readers=takes_readers,
        names_approvers=names_approvers,
    )
    files: dict[str, bytes] = {}
    for published in editions:
        files |= build_edition(site, published)
    if newest:
        context = site.see(newest[0].edition)
        files |= build_archive(site, context, listed)
        entries = [build_entry(site, published) for published in newest]
        files |= build_feeds(site, context.publication, entries)
    return files
