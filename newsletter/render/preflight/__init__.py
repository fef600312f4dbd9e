"""What must hold of a mail before anyone gets it: a report of numbered checks.

    mail.py         one reader's copy, decoded; every check is a function over it
    structure.py    1-6, 11, 27    doctype, language, headings, tables, schemes, direction
    size.py         16, 17         what clients clip and drop
    links.py        18, 28, 29, 38 where links go and what is loaded
    outlook.py      21, 22         conditional comments, buttons, what Word lays out
    clients.py      23             what clients know, by the data of caniemail
    headlines.py    24, 34         preheader and subject
    content.py      25, 26, 31-33  all formats say the same, with sources and caveats
    safety.py       30             hostile text is inert
    editorial.py    35-37          balance, quiet days, reading time
    report.py       findings, merged over copies and joined over examiners

Numbers up to 30 are those of the checklist for mail; what is missing here of them needs a
browser and is joined with `join_reports`. Pure: nothing but the arguments is read.
"""

from __future__ import annotations

from newsletter.audience.reader import Choices
from newsletter.editions.model import Edition, name_edition
from newsletter.render.compiled import CompiledEdition
from newsletter.render.context import build_context
from newsletter.render.preflight import (
    clients,
    content,
    editorial,
    headlines,
    links,
    outlook,
    safety,
    size,
    structure,
)
from newsletter.render.preflight.links import Answer, Link, judge_answers, list_links
from newsletter.render.preflight.mail import Check, Mail, read_mail, sample_values
from newsletter.render.preflight.report import (
    Finding,
    Status,
    choose_overridden,
    find,
    join_reports,
    list_failed,
    merge_copies,
)
from newsletter.render.selection import Selector
from newsletter.settings import Publication, Vocabulary

__all__ = [
    "CHECKS",
    "Answer",
    "Finding",
    "Link",
    "Mail",
    "Status",
    "check_edition",
    "choose_overridden",
    "examine",
    "join_reports",
    "judge_answers",
    "list_edition_links",
    "list_failed",
    "merge_copies",
    "read_copies",
]

CHECKS: tuple[Check, ...] = tuple(
    sorted(
        check
        for examiner in (
            *(structure, size, links, outlook, clients, headlines, content, safety, editorial),
        )
        for check in examiner.CHECKS
    )
)
"""Every check that needs no browser, by its number."""


def check_edition(
    edition: Edition,
    compiled: CompiledEdition,
    *,
    publication: Publication,
    vocabulary: Vocabulary,
    picture_hosts: frozenset[str] = frozenset(),
    web: str | None = None,
) -> tuple[Finding, ...]:
    """Check a compiled edition against the edition as printed; `web` is its page as HTML.

    `picture_hosts` are the hosts, in lower case, that pictures may be loaded from. The edition is
    checked in the copies of several made-up readers, since each selection is a mail of its own:
    the worst of each check counts.
    """
    copies = read_copies(
        edition,
        compiled,
        publication=publication,
        vocabulary=vocabulary,
        picture_hosts=picture_hosts,
        web=web,
    )
    return merge_copies([(reader, examine(mail)) for reader, mail in copies.items()])


def read_copies(
    edition: Edition,
    compiled: CompiledEdition,
    *,
    publication: Publication,
    vocabulary: Vocabulary,
    picture_hosts: frozenset[str] = frozenset(),
    web: str | None = None,
) -> dict[str, Mail]:
    """Decode the copies that an edition is judged by, each with whose it is."""
    context = build_context(edition, publication=publication, vocabulary=vocabulary)
    values = sample_values(publication.url, name_edition(edition.date, edition.kind))
    selector = Selector(compiled)
    selections = {
        "who chose nothing": selector.select(Choices()),
        "who takes everything": selector.select_everything(),
        "who wants one line of each": selector.select(Choices(detail="one-line")),
    }
    copies: dict[str, Mail] = {}
    for reader, selection in selections.items():
        if all(selection is not mail.selection for mail in copies.values()):
            copies[reader] = read_mail(
                context,
                compiled,
                values=values,
                selection=selection,
                minutes=compiled.minutes if reader == "who chose nothing" else 0,
                picture_hosts=picture_hosts,
                web=web,
            )
    return copies


def list_edition_links(
    edition: Edition,
    compiled: CompiledEdition,
    *,
    publication: Publication,
    vocabulary: Vocabulary,
) -> tuple[Link, ...]:
    """List where the mail leads to, and from which brief."""
    copies = read_copies(edition, compiled, publication=publication, vocabulary=vocabulary)
    found: dict[str, Link] = {}
    for link in (link for mail in copies.values() for link in list_links(mail)):
        found.setdefault(link.url, link)
    return tuple(found.values())


def examine(mail: Mail) -> tuple[Finding, ...]:
    """Run every check on one copy."""
    return find(CHECKS, mail)
