"""A mailbox that is read by IMAP, whoever writes to it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from newsletter.settings.values import SECOND, Duration, Line, Section


class Mailbox(Section):
    """Where a mailbox is and how it is read; who may read it differs."""

    host: Line = Field(description="Name of the IMAP server.")
    port: int = Field(default=0, ge=0, le=65535, description="Its port; 0 = 993, or 143.")
    tls: Literal["implicit", "starttls", "none"] = Field(
        default="implicit",
        description="How the connection is made safe; none only with allow_private.",
    )
    user: Line = Field(description="Who logs in.")
    folder: Line = Field(default="INBOX", description="The mailbox's folder.")
    ca_file: Path | None = Field(
        default=None, description="Certificates to trust instead of the system's."
    )
    allow_private: bool = Field(
        default=False, description="Allow addresses of private networks and this machine."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=60), ge=SECOND, description="Ceiling on the whole reading."
    )

    @property
    def place(self) -> str:
        """Who reads which folder where."""
        return f"{self.user}@{self.host}/{self.folder}"

    @model_validator(mode="after")
    def _password_is_safe(self) -> Self:
        if self.tls == "none" and not self.allow_private:
            raise ValueError('with tls = "none" needs allow_private = true: the password is bare')
        return self
