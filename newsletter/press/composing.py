"""Steps 1 to 3: gather the day's briefs, compose an edition of them, render it once for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime

from newsletter.briefs.gather import SourceReport, gather_sources
from newsletter.editions.desk import Composed, compose_edition
from newsletter.editions.lifecycle import RELEASED
from newsletter.editions.model import Edition, Kind
from newsletter.editions.shelf import list_story_ids, load_compiled, store_compiled
from newsletter.editions.special import compose_special
from newsletter.editions.weekly import compose_weekly
from newsletter.errors import RefusedError
from newsletter.mail.tokens import Keyring, LinkClaim, sign_link
from newsletter.press import Press, Printed
from newsletter.press.site import build_page
from newsletter.render.addresses import build_counted, shorten_link
from newsletter.render.apart import within_limits
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import CompiledEdition
from newsletter.render.context import CountedLinks, clean_url, list_countable
from newsletter.render.preflight import check_edition
from newsletter.settings import Publication


def gather(
    press: Press,
    *,
    patient: bool = False,
    on_source: Callable[[SourceReport], None] | None = None,
) -> tuple[SourceReport, ...]:
    """Read every source and store what is new. A source that fails stops no other.

    The schedule is `patient`: it leaves one that failed alone for a while.
    """
    return gather_sources(
        press.database, press.settings, now=press.now(), patient=patient, on_source=on_source
    )


def compose(
    press: Press,
    day: date,
    reports: tuple[SourceReport, ...] | None,
    *,
    kind: Kind = "daily",
    brief_ids: Sequence[int] = (),
    closed: bool = False,
    at: datetime | None = None,
) -> Composed:
    """Compose the edition of a day from what was gathered; `brief_ids` are a special one's.

    That one may be made for a moment to come, `at`.

    Once the review is `closed`, a daily one is made of what is approved. Raises `RefusedError`
    for a kind that the settings do not know.
    """
    now = press.now()
    press.settings.check_kind(kind)
    if kind == "weekly":
        return compose_weekly(press.database, press.settings, day=day, now=now)
    if kind == "special":
        return compose_special(
            press.database, press.settings, day=day, now=now, at=at, brief_ids=brief_ids
        )
    return compose_edition(
        press.database,
        press.settings,
        day=day,
        now=now,
        reports=reports,
        kind=kind,
        closed=closed,
    )


def render(press: Press, composed: Composed) -> Printed:
    """Render an edition once for all its readers, and store it with the edition.

    An edition that is approved already is given back as it was stored. Raises `RefusedError`
    where there is nothing to render, `TemplateError` for a fault in a template.
    """
    record, edition = composed.record, composed.edition
    if record is None or edition is None:
        reason = f": {record.reason}" if record and record.reason else ""
        raise RefusedError(f"there is no edition to render ({composed.outcome}{reason})")
    publication = press.settings.publication_of(edition.kind)
    if composed.existing:
        with press.database.reading() as connection:
            compiled = CompiledEdition.load(load_compiled(connection, record.id))
    else:
        with press.database.reading() as connection:
            story_ids = list_story_ids(connection, record.id)
        compiled = lay_out(press, edition, story_ids, edition_id=record.id)
        with press.database.writing() as connection:
            record = store_compiled(connection, record.id, compiled.dump())
    findings = check_edition(
        edition,
        compiled,
        publication=publication,
        vocabulary=press.settings.vocabulary,
        picture_hosts=frozenset(press.settings.edition.picture_hosts),
        # What is approved goes on being sent, whatever became of the web templates since.
        web=None if record.state in RELEASED else build_page(press, edition),
    )
    return Printed(record=record, edition=edition, compiled=compiled, findings=findings)


def lay_out(
    press: Press, edition: Edition, story_ids: Sequence[int] = (), *, edition_id: int = 0
) -> CompiledEdition:
    """Render an edition within the limits that the operator's own templates have.

    One without an id is nobody's, and no click on a link of it counts.
    """
    settings, templates = press.settings, press.templates
    return within_limits(compile_edition, templates, settings.templates)(
        edition,
        publication=settings.publication_of(edition.kind),
        vocabulary=settings.vocabulary,
        templates=templates,
        settings=settings.edition,
        look=settings.look,
        story_ids=story_ids,
        has_muting=bool(settings.web.listen),
        counted=sign_links(
            edition, settings.publication, keyring=press.keyring, edition_id=edition_id
        )
        if settings.web.counts_clicks
        else None,
    )


def sign_links(
    edition: Edition, publication: Publication, *, keyring: Keyring, edition_id: int
) -> CountedLinks:
    """Sign the links of an edition's mail that are counted: the same for all its readers. Pure."""
    root = clean_url(publication.url)
    counted: dict[tuple[int, str], str] = {}
    for brief, address in list_countable(edition, publication):
        link, claim = shorten_link(address, root), LinkClaim(edition_id, brief)
        token = sign_link(link, claim, keyring=keyring, list_id=publication.list_id)
        counted[brief, address] = build_counted(token, link, root)
    return counted
