"""The preflight of a rendered edition: its findings, what a browser shows, its links."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from newsletter.audience.reader import Choices, Reader
from newsletter.briefs.fetcher import probe
from newsletter.briefs.gather import describe_us
from newsletter.editions.lifecycle import RELEASED
from newsletter.errors import RefusedError, SourceError
from newsletter.mail import decode_message
from newsletter.press import Press, Printed
from newsletter.press.addressing import sample_message
from newsletter.render.browser_checks import check_in_browser
from newsletter.render.preflight import (
    Answer,
    Finding,
    Link,
    choose_overridden,
    join_reports,
    list_edition_links,
    list_failed,
)

LINK_SECONDS = 10.0
"""How long a page may take to answer."""
_LINKS_AT_ONCE = 4


def look_at(
    press: Press, printed: Printed, *, on_look: Callable[[str], None] = lambda _name: None
) -> Printed:
    """Add to the preflight what a browser shows of the mail; once, and not of what is approved.

    Where there is none its checks are skipped, and say so.
    """
    if printed.is_looked_at or printed.record.state in RELEASED:
        return printed
    reader = Reader(subscriber_id=0, email="reader@example.org", choices=Choices())
    _, html = decode_message(sample_message(press, printed, reader).content)
    seen = check_in_browser(
        html, picture_hosts=press.settings.edition.picture_hosts, on_look=on_look
    )
    return replace(printed, findings=join_reports(printed.findings, seen), is_looked_at=True)


def list_links(press: Press, printed: Printed) -> tuple[Link, ...]:
    """List the pages that an edition's mail leads to, and from where."""
    return list_edition_links(
        printed.edition,
        printed.compiled,
        publication=press.settings.publication,
        vocabulary=press.settings.vocabulary,
    )


def ask_links(
    press: Press,
    links: Sequence[Link],
    *,
    allow_private: bool = False,
    on_answer: Callable[[Answer], None] = lambda _answer: None,
) -> tuple[Answer, ...]:
    """Ask each page whether it is there, a few at a time; the order is that of `links`."""

    def ask(link: Link) -> Answer:
        try:
            probed = probe(
                link.url,
                allow_private=allow_private,
                timeout_seconds=LINK_SECONDS,
                user_agent=describe_us(press.settings),
            )
        except SourceError as error:
            return Answer(link=link, status=0, problem=error.problem)
        return Answer(
            link=link,
            status=probed.status,
            ended_at="" if probed.url == link.url else probed.url,
        )

    with ThreadPoolExecutor(max_workers=_LINKS_AT_ONCE) as pool:
        answers = []
        for answer in pool.map(ask, links):
            answers.append(answer)
            on_answer(answer)
    return tuple(answers)


def check_fit_to_send(printed: Printed, overrides: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Give the failed checks that are overridden, each by name or number.

    Raises `RefusedError` where another one fails, or where an override fits none; what was said
    of an edition when it was planned may have been mended since.
    """
    is_planned = printed.record.is_planned
    overridden = choose_overridden(printed.findings, overrides, may_pass=is_planned)
    failed = [finding for finding in list_failed(printed.findings) if finding not in overridden]
    if failed:
        raise RefusedError(
            f"the edition of {printed.record.name} fails its preflight: {describe_failed(failed)}",
            mend=f"{failed[0].mend or 'see `newsletter check`'}, or send it all the same with "
            + " ".join(f"--override {finding.name.replace(' ', '-')}" for finding in failed),
        )
    return overridden


def describe_failed(failed: Sequence[Finding]) -> str:
    """Say in one line which checks failed, and what they found."""
    return "; ".join(f"{finding.name}: {finding.detail}" for finding in failed)
