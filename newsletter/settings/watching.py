"""How an operator learns what goes on: alerts, the log, figures."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from newsletter.settings.values import SECOND, Address, Duration, Line, Section


def parse_addresses(value: object) -> object:
    """Read mailboxes: a list, or one line with commas between."""
    if isinstance(value, str):
        return tuple(filter(None, (part.strip() for part in value.split(","))))
    return value


class Alerts(Section):
    """Whom `newsletter serve` tells when something is wrong, and what it takes for wrong."""

    mail_to: Annotated[tuple[Address, ...], BeforeValidator(parse_addresses)] = Field(
        default=(), description="Mailboxes of those who are told, over alerts.relay."
    )
    relay: Line = Field(
        default="",
        repr=False,
        description="Relay for alerts alone, as in delivery.relay: another one than the readers' "
        "mail takes, since that one may be what is wrong.",
    )
    relay_password: SecretStr = Field(
        default=SecretStr(""),
        description="Its password; give it in NEWSLETTER_ALERTS__RELAY_PASSWORD.",
    )
    mail_from: Address = Field(
        default="", description="Sender of alerts; default the publication's sender."
    )
    webhook_url: Line = Field(
        default="", repr=False, description="Address that each alert is posted to, as JSON."
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Signs what is posted; give it in NEWSLETTER_ALERTS__WEBHOOK_SECRET.",
    )
    apprise: SecretStr = Field(
        default=SecretStr(""),
        description="Chat services, as addresses of Apprise with blanks between; give them in "
        "NEWSLETTER_ALERTS__APPRISE, and install the extra alerts.",
    )
    heartbeat_url: Line = Field(
        default="",
        repr=False,
        description="Address of an outside service that is called while all is well, and raises "
        "the alarm when the calls stop.",
    )
    heartbeat_every: Duration = Field(
        default=timedelta(minutes=5), ge=SECOND, description="How often it is called."
    )
    allow_private: bool = Field(
        default=False,
        description="Whether webhook_url and heartbeat_url may be on a private address, or on a "
        "port other than 80 and 443.",
    )
    look_every: Duration = Field(
        default=timedelta(minutes=1),
        ge=SECOND,
        description="How often serve looks for what is wrong.",
    )
    grace: Duration = Field(
        default=timedelta(minutes=15),
        description="How long after its time an edition may begin before it counts as late.",
    )
    stuck_after: Duration = Field(
        default=timedelta(minutes=10),
        ge=SECOND,
        description="How long an edition may stand still while readers are due.",
    )
    failure_share: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="Share of an edition's readers that was not reached, above which it is told.",
    )
    disk_free_mb: int = Field(
        default=512, ge=0, description="Free disk space below which it is told, in MB."
    )

    @model_validator(mode="after")
    def _mail_has_a_relay(self) -> Alerts:
        if self.mail_to and not self.relay:
            raise ValueError(
                "mail_to needs relay: name a relay for alerts, other than the readers' one"
            )
        if self.webhook_url and not self.webhook_secret.get_secret_value():
            raise ValueError(
                "webhook_url needs webhook_secret, so that its receiver can tell who posts"
            )
        return self


class Log(Section):
    """What `newsletter serve` writes to standard error."""

    format: Literal["text", "json"] = Field(
        default="text", description="Lines for people, or JSON lines for a collector."
    )


class Metrics(Section):
    """Figures for Prometheus."""

    listen: Line = Field(
        default="",
        description="Address and port for /metrics alone; empty = on web.listen, for this machine "
        "only; off = nowhere.",
    )
