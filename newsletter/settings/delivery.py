"""How mail leaves: relays, limits, signatures."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from newsletter.settings.values import SECOND, Command, Duration, Line, Section


class DkimKey(Section):
    """A key that signs the mail (RFC 6376); leave it out where the relay signs."""

    selector: Line = Field(description="Its selector: SELECTOR._domainkey.DOMAIN in the DNS.")
    key_file: Path = Field(
        description="PEM file of the private key, RSA of 2048 bits or Ed25519; mode 0600."
    )
    domain: Line = Field(default="", description="Signing domain; default the sender's.")


class Delivery(Section):
    """How mail leaves."""

    relay: Line = Field(
        default="",
        repr=False,  # it may hold a password before anybody has refused that
        description="smtp://, smtps:// or lmtp:// with user@host:port and "
        "?tls=none|starttls|implicit and ?auth=xoauth2|oauthbearer; or maildir:DIR or eml:DIR.",
    )
    relay_password: SecretStr = Field(
        default=SecretStr(""),
        description="The relay's password; give it in NEWSLETTER_DELIVERY__RELAY_PASSWORD.",
    )
    token_command: Command = Field(
        default=(),
        description="Program and arguments, no shell, that prints the access token for "
        "?auth=xoauth2 or oauthbearer; run beside newsletter.toml.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust for the relay, if private."
    )
    ehlo_name: Line = Field(
        default="", description="Name given in EHLO; default the sender's domain."
    )
    connections: int = Field(
        default=10, ge=1, le=1000, description="Connections to the relay at once."
    )
    rate: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="Messages a second, all connections; 0 = as the relay allows.",
    )
    in_doubt: Literal["hold", "retry"] = Field(
        default="hold",
        description="A message that the relay took without answering: hold it, or try again.",
    )
    durability: Literal["full", "process"] = Field(
        default="full",
        description="What the ledger survives: full = power loss, process = a killed process.",
    )
    not_after: Duration = Field(
        default=timedelta(hours=16),
        ge=SECOND,
        description="An edition's mail is given up this long after the send began.",
    )
    retry_after: Duration = Field(
        default=timedelta(minutes=5),
        ge=SECOND,
        description="First pause before deferred mail is tried again; it grows from there.",
    )
    window: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Messages under way at once over a connection, where the relay offers "
        "CHUNKING; as many may be in doubt when it breaks.",
    )
    dsn: bool = Field(
        default=False,
        description="Ask for notifications of failures (DSN, RFC 3461) where they are offered.",
    )


class RelaySettings(Section):
    """One more relay, beside `delivery.relay`: it shares the mail, or stands by."""

    url: Line = Field(
        repr=False, description="Where it is, as in delivery.relay: smtp://user@host:587."
    )
    password_file: Path | None = Field(
        default=None, description="File that holds the relay's password; mode 0600."
    )
    connections: int = Field(default=10, ge=1, le=1000, description="Connections to it at once.")
    rate: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="Messages a second; 0 = as the relay allows.",
    )
    weight: float = Field(
        default=1,
        ge=0,
        allow_inf_nan=False,
        description="Its share, where delivery.relay has 1; 0 = only while no other is well.",
    )


class DomainSettings(Section):
    """How much the readers of one domain may be sent, over all relays."""

    domain: Line = Field(description='Domain of recipients, or "*" for every other one.')
    connections: int = Field(
        default=0, ge=0, le=1000, description="Messages under way at once; 0 = no limit."
    )
    rate: float = Field(
        default=0, ge=0, allow_inf_nan=False, description="Messages a second; 0 = no limit."
    )
