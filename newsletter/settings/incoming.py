"""What comes back by mail: the mailbox of the unsubscribe address and of bounces."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from newsletter.settings.mailbox import Mailbox
from newsletter.settings.values import Duration, Line


class Incoming(Mailbox):
    """The mailbox of what comes back, read by IMAP; or pipe its mail into `receive`.

    Both `publication.unsubscribe_address` and `publication.bounce_address` lead into it.
    """

    host: Line = Field(
        default="", description="Name of the IMAP server; empty = no mailbox is read."
    )
    user: Line = Field(default="", description="Who logs in.")
    password: SecretStr = Field(
        default=SecretStr(""),
        description="The password; give it in NEWSLETTER_INCOMING__PASSWORD.",
    )
    every: Duration = Field(
        default=timedelta(minutes=2),
        ge=timedelta(seconds=10),
        description="How often `newsletter serve` looks into it.",
    )
    heard: Literal["mark", "delete"] = Field(
        default="mark",
        description="What becomes of a message that did what it is for (a reader left, a copy "
        "came back): marked as read, or deleted; others are marked.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.host and not self.user:
            raise ValueError("with a host needs user, who logs in")
        return self
