"""The relays of the configuration, as a run uses them."""

from __future__ import annotations

from pathlib import Path

from newsletter.delivery.channel import OpenChannel, build_opener
from newsletter.delivery.dispatch import DomainLimits, RelayLimits
from newsletter.delivery.private_file import read_private
from newsletter.delivery.shift import Lane
from newsletter.errors import ConfigurationError
from newsletter.settings import Settings
from newsletter.smtp.relay import Relay, parse_relay
from newsletter.smtp.tokens import TokenCommand


def read_relays(settings: Settings) -> tuple[Relay, ...]:
    """Read where mail is handed to, `delivery.relay` first. Raises `ConfigurationError`."""
    delivery = settings.delivery
    password = delivery.relay_password.get_secret_value()
    first = parse_relay(delivery.relay, password=password, root=settings.root)
    others = (
        parse_relay(
            relay.url,
            password=_read_password(settings.path(relay.password_file))
            if relay.password_file
            else "",
            root=settings.root,
        )
        for relay in settings.relays
    )
    return (first, *others)


def build_lanes(settings: Settings) -> tuple[Lane, ...]:
    """Build what a run uses of each relay. Raises `ConfigurationError`."""
    delivery = settings.delivery
    limits = [(delivery.connections, delivery.rate, 1.0)]
    limits += [(relay.connections, relay.rate, relay.weight) for relay in settings.relays]
    lanes: dict[str, Lane] = {}
    for relay, (connections, rate, weight) in zip(read_relays(settings), limits, strict=True):
        name = str(relay)
        if name in lanes:
            raise ConfigurationError(
                f"{name} is named twice", field="relays", mend="leave one of them out"
            )
        lanes[name] = Lane(
            limits=RelayLimits(name=name, connections=connections, rate=rate, weight=weight),
            open_channel=_build_opener(settings, relay),
        )
    return tuple(lanes.values())


def build_domain_limits(settings: Settings) -> tuple[DomainLimits, ...]:
    """Build what readers of single domains may be sent."""
    return tuple(
        DomainLimits(domain=each.domain, connections=each.connections, rate=each.rate)
        for each in settings.domains
    )


def _build_opener(settings: Settings, relay: Relay) -> OpenChannel:
    delivery = settings.delivery
    return build_opener(
        relay,
        ehlo_name=delivery.ehlo_name or settings.publication.sender_domain,
        ca_file=settings.path(delivery.ca_file) if delivery.ca_file else None,
        window=delivery.window,
        tokens=TokenCommand(delivery.token_command, directory=settings.root)
        if delivery.token_command
        else None,
        dsn=delivery.dsn,
    )


def _read_password(file: Path) -> str:
    return read_private(file, field="relays.password_file").decode("utf-8", "replace").strip()
