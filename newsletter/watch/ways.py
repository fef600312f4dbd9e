"""The ways to tell somebody: mail over a relay of its own, a webhook, chat services.

Each takes one telling and either has told it when it returns or raises `NewsletterError`. None
of them names its address: those hold secrets, and what is raised here is logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from newsletter.briefs.fetcher import call
from newsletter.delivery.channel import OpenChannel, build_opener
from newsletter.delivery.lifecycle import State
from newsletter.delivery.retry import judge_reply
from newsletter.errors import ConfigurationError, NewsletterError, RelayRefusedUs, SourceError
from newsletter.events import mask_addresses
from newsletter.mail.headers import build_address_header, build_text_header
from newsletter.render.wire import encode_text
from newsletter.settings import Settings
from newsletter.smtp.protocol import Envelope, Phase, Refused, WireLines
from newsletter.smtp.relay import Relay, parse_relay
from newsletter.smtp.wire import Timeouts
from newsletter.watch.telling import Telling, Way, build_document, build_subject

Tell = Callable[[Telling], None]

PATIENCE_SECONDS = 20.0
AGENT = "newsletter-alerts"
SIGNATURE = "Newsletter-Signature"


class NotTold(NewsletterError):
    """A way did not take a telling; it is tried again."""


def build_ways(settings: Settings) -> Mapping[Way, Tell]:
    """Build the ways that the settings name. Raises `ConfigurationError` for one that is wrong."""
    rules = settings.alerts
    ways: dict[Way, Tell] = {}
    if rules.mail_to:
        ways["mail"] = _build_mail(settings)
    if rules.webhook_url:
        ways["webhook"] = _build_webhook(settings)
    if urls := rules.apprise.get_secret_value().split():
        ways["apprise"] = _build_apprise(settings, urls)
    return ways


# -- mail ------------------------------------------------------------------------------------------


def open_alert_relay(settings: Settings) -> tuple[Relay, OpenChannel]:
    """Give the relay of alerts and what opens channels to it. Raises `ConfigurationError`."""
    rules, delivery = settings.alerts, settings.delivery
    try:
        relay = parse_relay(
            rules.relay, password=rules.relay_password.get_secret_value(), root=settings.root
        )
    except ConfigurationError as error:  # it says delivery.relay, whose words these are
        raise ConfigurationError(error.problem, field="alerts.relay", mend=error.mend) from None
    opener = build_opener(
        relay,
        ehlo_name=delivery.ehlo_name or settings.publication.sender_domain,
        ca_file=settings.path(delivery.ca_file) if delivery.ca_file else None,
        timeouts=Timeouts(connect=PATIENCE_SECONDS, greeting=PATIENCE_SECONDS),
    )
    return relay, opener


def _build_mail(settings: Settings) -> Tell:
    rules, publication = settings.alerts, settings.publication
    relay, opener = open_alert_relay(settings)
    sender = rules.mail_from or publication.sender_address

    told: dict[str, set[str]] = {}

    async def hand_over(telling: Telling) -> None:
        done = told.setdefault(telling.id, set())  # nobody gets it twice since another refuses it
        channel = await opener()
        try:
            for recipient in (each for each in rules.mail_to if each not in done):
                content = build_mail(
                    telling,
                    publication=publication.name,
                    sender=sender,
                    recipient=recipient,
                    now=datetime.now(UTC),
                )
                envelope = Envelope(sender=sender, recipient=recipient)
                answer = await channel.prepare(envelope, content)
                phase, reply = (
                    (answer.phase, answer.reply)
                    if isinstance(answer, Refused)
                    else (Phase.DOT, await channel.finish())
                )
                if judge_reply(phase, reply).state is not State.ACCEPTED:
                    raise RelayRefusedUs(f"{relay} refused an alert ({reply})")
                done.add(recipient)
        finally:
            await channel.close()
        told.pop(telling.id)

    def tell(telling: Telling) -> None:
        try:
            asyncio.run(asyncio.wait_for(hand_over(telling), 3 * PATIENCE_SECONDS))
        except TimeoutError:
            raise NotTold(f"{relay} did not take an alert in time") from None

    return tell


def build_mail(
    telling: Telling, *, publication: str, sender: str, recipient: str, now: datetime
) -> WireLines:
    """Build the mail of a telling, in wire form."""
    text = (
        f"{telling.sentence}\n\n"
        f"{telling.made_at:%Y-%m-%d %H:%M} UTC, {telling.kind.replace('_', ' ')}, {telling.key}\n"
        "`newsletter alerts` shows what stands, `newsletter status` how the editions are.\n"
    )
    domain = sender.rpartition("@")[2]
    unique = hashlib.sha256(f"{telling.id} {recipient}".encode()).hexdigest()[:24]
    fields = [
        build_address_header("From", publication, sender),
        build_address_header("To", "", recipient),
        build_text_header("Subject", build_subject(telling, publication)),
        f"Date: {format_datetime(now)}\r\n".encode(),
        f"Message-ID: <alert-{unique}@{domain}>\r\n".encode(),
        b"Auto-Submitted: auto-generated\r\n",
        b"MIME-Version: 1.0\r\n",
        b"Content-Type: text/plain; charset=utf-8\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"\r\n",
        encode_text(text, ends=True),
    ]
    return WireLines(b"".join(fields))


# -- a webhook -------------------------------------------------------------------------------------


def _build_webhook(settings: Settings) -> Tell:
    rules = settings.alerts
    url, secret = rules.webhook_url, rules.webhook_secret.get_secret_value().encode()
    place = name_place(url, "alerts.webhook_url")

    def tell(telling: Telling) -> None:
        document = build_document(telling, settings.publication.name)
        body = json.dumps(document, ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            SIGNATURE: sign_post(body, secret, int(datetime.now(UTC).timestamp())),
        }
        try:
            answer = call(
                url,
                body=body,
                headers=headers,
                allow_private=rules.allow_private,
                timeout_seconds=PATIENCE_SECONDS,
                user_agent=AGENT,
            )
        except SourceError as error:
            raise NotTold(f"{place} {error.problem}", mend=say_mend(error)) from None
        if not 200 <= answer.status < 300:
            raise NotTold(f"{place} answered {answer.status}")

    return tell


def sign_post(body: bytes, secret: bytes, at: int) -> str:
    """Sign what is posted at a moment, in seconds since 1970: "t=…,v1=…", HMAC with SHA-256.

    Signed is "TIME.BODY", so that a receiver can refuse what was posted long ago.
    """
    signed = hmac.new(secret, f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


# -- chat services ---------------------------------------------------------------------------------


def _build_apprise(settings: Settings, urls: list[str]) -> Tell:
    with warnings.catch_warnings():
        # A module of Python that is to go is imported by one of the services, not by us.
        warnings.simplefilter("ignore", DeprecationWarning)
        services = _load_services(urls)
    told: dict[str, set[int]] = {}
    import apprise

    def tell(telling: Telling) -> None:
        done = told.setdefault(telling.id, set())
        failed = []
        for number, (scheme, service) in enumerate(services):
            if number in done:
                continue
            ok = service.notify(
                body=telling.sentence,
                title=build_subject(telling, settings.publication.name),
                notify_type=apprise.NotifyType.SUCCESS
                if telling.state == "ended"
                else apprise.NotifyType.WARNING,
                body_format=apprise.NotifyFormat.TEXT,
            )
            if ok:
                done.add(number)
            else:
                failed.append(scheme)
        if failed:
            raise NotTold(f"{' and '.join(failed)} did not take it")
        told.pop(telling.id)

    return tell


def _load_services(urls: list[str]) -> list[tuple[str, Any]]:
    """Load Apprise, and give each address's kind and service."""
    try:
        import apprise
    except ModuleNotFoundError:
        raise ConfigurationError(
            "needs Apprise, which is not installed",
            field="alerts.apprise",
            mend="pip install 'newsletter[alerts]'",
        ) from None
    # Without plugins of a folder, and without a store of its own in the user's home.
    asset = apprise.AppriseAsset(plugin_paths=[], storage_mode="memory")
    services = []
    for number, url in enumerate(urls, 1):
        service = apprise.Apprise(asset=asset)
        if not service.add(url):  # it says no and does not raise
            raise ConfigurationError(
                f"the {number}. address is none that Apprise knows",
                field="alerts.apprise",
                mend="see its list of services",
            )
        services.append((url.partition("://")[0], service))
    return services


def name_place(url: str, field: str) -> str:
    """Give the host of an address, to be named; the rest of it may be a secret."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            "is no web address", field=field, mend='write one such as "https://hooks.example/…"'
        )
    return parts.hostname


def say_mend(error: SourceError) -> str:
    """Give the mend of a fault of the guard, by the name that the setting has here."""
    return error.mend.replace("allow_private", "alerts.allow_private")


def describe_failure(error: Exception) -> str:
    """Say why a way did not take a telling, for the register and the log."""
    said = str(error) if isinstance(error, NewsletterError) else f"{type(error).__name__}: {error}"
    return mask_addresses(said)[:500]
