"""What comes back: the mailbox of the unsubscribe address."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from newsletter.settings.values import SECOND, Duration, Line, Section


class Incoming(Section):
    """The mailbox of `publication.unsubscribe_address`, read by IMAP; or pipe it into `receive`."""

    host: Line = Field(
        default="", description="Name of the IMAP server; empty = no mailbox is read."
    )
    port: int = Field(default=0, ge=0, le=65535, description="Its port; 0 = 993, or 143.")
    tls: Literal["implicit", "starttls", "none"] = Field(
        default="implicit",
        description="How the connection is made safe; none only with allow_private.",
    )
    user: Line = Field(default="", description="Who logs in.")
    password: SecretStr = Field(
        default=SecretStr(""),
        description="The password; give it in NEWSLETTER_INCOMING__PASSWORD.",
    )
    folder: Line = Field(default="INBOX", description="The mailbox's folder.")
    every: Duration = Field(
        default=timedelta(minutes=2),
        ge=timedelta(seconds=10),
        description="How often `newsletter serve` looks into it.",
    )
    heard: Literal["mark", "delete"] = Field(
        default="mark",
        description="What becomes of a message that took a reader off the list: marked as read, "
        "or deleted; others are marked.",
    )
    ca_file: Path | None = Field(
        default=None, description="Certificates to trust instead of the system's."
    )
    allow_private: bool = Field(
        default=False, description="Allow addresses of private networks and this machine."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=60), ge=SECOND, description="Ceiling on the whole reading."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.host and not self.user:
            raise ValueError("with a host needs user, who logs in")
        if self.tls == "none" and not self.allow_private:
            raise ValueError('with tls = "none" needs allow_private = true: the password is bare')
        return self
