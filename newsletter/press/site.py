"""The copy of the editions on the web."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

from newsletter.editions.model import Edition
from newsletter.press import Press, Printed
from newsletter.render.addresses import edition_path
from newsletter.render.apart import within_limits
from newsletter.render.site import Build, Written, build_files, check_site, write_site
from newsletter.render.web import Published, file_of
from newsletter.render.web_pages import build_pages


def write_web(
    press: Press,
    folder: Path,
    *,
    day: date | None = None,
    on_edition: Callable[[int, int], None] = lambda _done, _total: None,
) -> Written:
    """Write the pages of every edition that readers may have, or of one day's, and the feeds."""
    return write_site(press.database, folder, _builder(press), day=day, on_edition=on_edition)


def check_web(press: Press, printed: Printed) -> None:
    """See that the pages of an edition can be written, while nobody has it yet."""
    if press.web_folder is not None:
        published = Published(edition=printed.edition, published_at=press.now())
        check_site(press.web_folder, _builder(press), published)


def build_web(press: Press, day: date | None) -> dict[str, bytes]:
    """Build the pages of a day's edition, or those of all, as `serve` shows them: by file.

    Empty where there are none.
    """
    return build_files(press.database, _builder(press, is_served=True), day)


def build_page(press: Press, edition: Edition) -> str:
    """Build an edition's page on the web, to be compared with its mail."""
    files = _builder(press)(editions=[Published(edition=edition, published_at=press.now())])
    return files[file_of(edition_path(edition.date, edition.kind))].decode()


def _builder(press: Press, *, is_served: bool = False) -> Build:
    templates = press.templates
    return partial(
        within_limits(build_pages, templates, press.settings.templates),
        publication=press.settings.publication,
        vocabulary=press.settings.vocabulary,
        templates=templates,
        look=press.settings.look,
        picture_hosts=press.settings.edition.picture_hosts,
        is_served=is_served,
        takes_readers=is_served and press.settings.signup.enabled,
        names_approvers=press.settings.review.name_approvers,
    )
