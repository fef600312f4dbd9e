"""The doctor's round: look at one thing after the other, whatever the one before came to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from newsletter.briefs.fetcher import call
from newsletter.briefs.model import Brief, Perspective, Point, Source
from newsletter.delivery.channel import OpenChannel
from newsletter.delivery.lanes import build_lanes, read_relays
from newsletter.delivery.signing import read_signers
from newsletter.doctor.check import Check, skipped, wanting, well, wrong
from newsletter.doctor.dmarc import check_dmarc
from newsletter.doctor.keys import check_keys
from newsletter.doctor.machine import (
    check_clock,
    check_database,
    check_disk,
    check_installation,
    check_python,
    check_schedule,
    check_secrets,
    measure_offset,
)
from newsletter.doctor.names import Names, Unanswered
from newsletter.doctor.spf import check_spf
from newsletter.editions.model import Edition, Window
from newsletter.errors import NewsletterError, SourceError
from newsletter.mail.dkim import Signer
from newsletter.mail.verp import PLACE
from newsletter.press import Press
from newsletter.press.composing import lay_out
from newsletter.settings import Settings
from newsletter.smtp.relay import Relay, is_loopback
from newsletter.store import Database
from newsletter.watch.ways import build_ways, open_alert_relay

_PATIENCE_SECONDS = 10.0


def look_at(
    settings: Settings,
    config: Path,
    *,
    open_database: Callable[[], Database],
    name_server: str = "",
    now: Callable[[], datetime],
) -> Iterator[Check]:
    """Look at everything; yield each check when it is done. Raises `ValueError` for a bad address.

    `name_server` is whom to ask the DNS; "" for this machine's own.
    """
    yield check_python()
    yield from check_secrets(settings, config)
    yield check_disk(settings)
    database: Database | None = None
    refusal: NewsletterError | None = None
    try:
        database = open_database()
    except NewsletterError as error:
        refusal = error
    with contextlib.closing(database) if database else contextlib.nullcontext():
        yield check_database(database, refusal)
        if database is not None:
            press = Press(settings, database, now)
            yield check_installation(press)
            yield check_schedule(press)
            yield check_templates(press)
    yield from check_relays(settings)
    signers, unread = _read_signers(settings)
    yield from unread
    yield from check_names(settings, signers, name_server)
    yield from check_alerts(settings)
    yield from check_web(settings, now)


def check_templates(press: Press) -> Check:
    """Lay a small edition out with the templates in use."""
    try:
        lay_out(press, build_sample(press))
    except NewsletterError as error:
        return wrong("templates", f"{error}", "`newsletter preview` shows each fault")
    own = press.settings.path(press.settings.templates.path)
    has_own = press.templates.has_own
    return well("templates", f"{'those in ' + str(own) if has_own else 'the shipped ones'} parse.")


def build_sample(press: Press) -> Edition:
    """Build an edition of one brief that has everything; nobody sees it."""
    now = press.now()
    brief = Brief(
        title="A sample",
        summary="It is laid out and thrown away.",
        why_it_matters="So that a fault shows before the morning.",
        quick_take=(Point(label="Watch Next", text="Nothing."),),
        perspectives=(Perspective(lens="Household Impact", text="None."),),
        sources=(Source(name="example.org"),),
        topics=("Sample",),
    )
    return Edition(
        date=press.today(),
        window=Window(start=now - timedelta(days=1), cut_off=now),
        subject="A sample",
        preheader="",
        briefs=(brief,),
    )


# -- relays ----------------------------------------------------------------------------------------


def check_relays(settings: Settings) -> Iterator[Check]:
    """Open a connection to each relay, log in, and leave."""
    try:
        pairs = list(zip(read_relays(settings), build_lanes(settings), strict=True))
    except NewsletterError as error:
        yield wrong("relay", error.finding, error.mend)
        return
    for relay, lane in pairs:
        yield check_relay("relay", relay, lane.open_channel)


def check_relay(name: str, relay: Relay, open_channel: OpenChannel) -> Check:
    """Check that a relay lets us in; a folder is only looked at."""
    if relay.kind in ("eml", "maildir"):
        return wanting(
            name, f"mail goes into {relay}, and to nobody.", "name a relay when you mean it"
        )
    try:
        asyncio.run(_come_and_go(open_channel))
    except NewsletterError as error:
        return wrong(name, error.finding, error.mend)
    how = {"none": "in the clear", "starttls": "with STARTTLS", "implicit": "over TLS"}[relay.tls]
    login = f" and takes the login of {relay.user}" if relay.user else ""
    if relay.tls == "none" and not relay.is_local:
        return wanting(name, f"{relay} lets us in {how}{login}.", "drop ?tls=none")
    return well(name, f"{relay} lets us in {how}{login}.")


async def _come_and_go(open_channel: OpenChannel) -> None:
    channel = await open_channel()
    await channel.close()


def check_alerts(settings: Settings) -> Iterator[Check]:
    """Check that somebody is told when something is wrong, by a way that does not fail with it."""
    rules = settings.alerts
    try:
        ways = build_ways(settings)
    except NewsletterError as error:
        yield wrong("alerts", error.finding, error.mend)
        return
    if not ways:
        yield wanting("alerts", "nobody is told when something is wrong.", "name a way in [alerts]")
    elif "mail" in ways:
        relay, opener = open_alert_relay(settings)
        readers = settings.delivery.relay.partition("?")[0]
        if rules.relay.partition("?")[0] == readers:
            yield wanting(
                "alerts",
                "alerts take the relay of the readers' mail: when it fails nobody is told.",
                "name another in alerts.relay",
            )
        else:
            yield check_relay("alerts", relay, opener)
    else:
        yield well(
            "alerts", f"told by {' and '.join(ways)}; `newsletter alerts --test` sends a trial."
        )
    if not rules.heartbeat_url:
        yield wanting(
            "heartbeat",
            "when this machine is gone nobody is told.",
            "name an outside service in alerts.heartbeat_url",
        )


# -- names -----------------------------------------------------------------------------------------


def _read_signers(settings: Settings) -> tuple[Sequence[Signer], list[Check]]:
    domain = settings.publication.sender_domain
    try:
        return read_signers(settings.dkim, root=settings.root, domain=domain), []
    except NewsletterError as error:
        return (), [wrong("dkim", error.finding, error.mend)]


def check_names(settings: Settings, signers: Sequence[Signer], name_server: str) -> Iterator[Check]:
    """Check what the DNS says of the sender's domains."""
    publication = settings.publication
    author = publication.sender_domain
    envelope = (publication.bounce_address or publication.sender_address).rpartition("@")[2]
    try:
        names = Names(name_server)
    except Unanswered as error:
        yield skipped("dns", f"{error}: SPF, DKIM, DMARC and the bounce domain are not looked at.")
        return
    parts = urlsplit(settings.delivery.relay)
    host = parts.hostname or "" if parts.scheme in ("smtp", "smtps", "lmtp") else ""
    is_local = is_loopback(host)
    rounds: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        (
            "spf",
            lambda: iter([check_spf(names, envelope, relay_host=host, relay_is_local=is_local)]),
        ),
        ("dkim", lambda: check_keys(names, signers)),
        (
            "dmarc",
            lambda: iter(
                [
                    check_dmarc(
                        author,
                        envelope=envelope,
                        signing=[signer.domain for signer in signers],
                        look_up=names.texts,
                    )
                ]
            ),
        ),
        (
            "bounces",
            lambda: iter(
                [check_bounces(names, envelope, is_of_copy=PLACE in publication.bounce_address)]
            ),
        ),
    ]
    for name, look in rounds:
        try:
            yield from list(look())
        except Unanswered as error:
            yield skipped(name, f"{error}.")


def check_bounces(names: Names, domain: str, *, is_of_copy: bool = True) -> Check:
    """Check that the envelope sender's domain takes mail, and that it tells copies apart."""
    exchanges = names.exchanges(domain)
    if exchanges and not any(exchanges):
        return wrong(
            "bounces", f"{domain} takes no mail (null MX), so bounces are lost.", "give it an MX"
        )
    hosts = [host for host in exchanges if host] or [domain]
    dead = [host for host in hosts if not names.addresses(host)]
    if len(dead) == len(hosts):
        return wrong(
            "bounces",
            f"bounces to {domain} reach nobody: {', '.join(dead)} has no address.",
            f"publish an MX record at {domain}",
        )
    if not is_of_copy:
        return wanting(
            "bounces",
            f"bounces to {domain} go to {', '.join(hosts)}, but tell no copy that came back.",
            f"set publication.bounce_address to such as bounce+*@{domain}",
        )
    return well("bounces", f"bounces to {domain} go to {', '.join(hosts)}.")


# -- the web ---------------------------------------------------------------------------------------


def check_web(settings: Settings, now: Callable[[], datetime]) -> Iterator[Check]:
    """Ask the address that mails link to for a link that is nobody's, and its clock."""
    url = f"{settings.publication.url}/u/doctor"
    host = urlsplit(url).hostname or url
    try:
        answer = call(
            url,
            allow_private=True,
            timeout_seconds=_PATIENCE_SECONDS,
            user_agent="newsletter-doctor",
        )
    except SourceError as error:
        yield wanting(
            "web",
            f"{host}, which mails link to, is not reached: {error.problem}.",
            "start newsletter serve behind publication.url, or look from a machine that is online",
        )
        yield check_clock(None, "")
        return
    if 300 <= answer.status < 400:
        yield wrong(
            "web",
            f"{host} redirects the links of mails; one-click unsubscribing may not be (RFC 8058).",
            "set publication.url to the address that answers itself",
        )
    elif answer.status >= 500:
        yield wrong(
            "web",
            f"{host} answers {answer.status} to a link of a mail.",
            "start newsletter serve, and have the web server hand it /u/ and /p/",
        )
    elif not url.startswith("https:"):
        yield wanting(
            "web",
            f"{host} answers, but without TLS: mail programs ask for https to unsubscribe.",
            "set publication.url to https://",
        )
    else:
        yield well("web", f"{host} answers ({answer.status} to a link that is nobody's).")
    yield check_clock(measure_offset(answer.date, now()), host)
