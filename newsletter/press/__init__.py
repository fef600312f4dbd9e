"""The press: what an edition goes through, step by step; `publish.py` tells the whole way.

Each step leaves what it did in the database, and can be taken again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.delivery.holder import describe_operator
from newsletter.delivery.lanes import build_lanes, read_relays
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import State
from newsletter.delivery.shift import Lane
from newsletter.delivery.signing import read_signers
from newsletter.editions.model import Edition
from newsletter.editions.shelf import EditionRecord
from newsletter.mail import Keyring
from newsletter.mail.dkim import Signer
from newsletter.render.compiled import CompiledEdition
from newsletter.render.preflight import Finding
from newsletter.render.templates import TemplateSet, find_templates
from newsletter.settings import Settings
from newsletter.smtp.relay import Relay
from newsletter.store import Database
from newsletter.store.audit import Actor


@dataclass(frozen=True, slots=True)
class Press:
    """What every step works with: the settings, the database, a clock in aware UTC, and for whom.

    Unless it is said otherwise that is who runs this process.
    """

    settings: Settings
    database: Database
    now: Callable[[], datetime]
    actor: Actor = field(default_factory=lambda: Actor(who=describe_operator()))

    @property
    def keyring(self) -> Keyring:
        """The keys that sign links and Message-IDs."""
        return Keyring(self.settings.secret_keys)

    @property
    def pseudonyms(self) -> Pseudonyms:
        """What stands for readers who were erased."""
        return Pseudonyms(self.settings.secret_keys)

    @property
    def signers(self) -> tuple[Signer, ...]:
        """The DKIM keys, read and tried."""
        domain = self.settings.publication.sender_domain
        return read_signers(self.settings.dkim, root=self.settings.root, domain=domain)

    @property
    def templates(self) -> TemplateSet:
        """The templates, the operator's own ones first."""
        return find_templates(self.settings.path(self.settings.templates.path))

    @property
    def web_folder(self) -> Path | None:
        """Where the web copy goes; None if nowhere."""
        folder = self.settings.web.folder
        return self.settings.path(folder) if folder else None

    @property
    def installation(self) -> Path | None:
        """The file that says which database this machine sends from; None for no check."""
        file = self.settings.database.installation
        return self.settings.path(file) if file else None

    @property
    def ledger(self) -> Ledger:
        """Who gets what, and what became of it."""
        return Ledger(self.database, in_doubt=self.settings.delivery.in_doubt)

    @property
    def relays(self) -> tuple[Relay, ...]:
        """Where mail is handed to, `delivery.relay` first."""
        return read_relays(self.settings)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The relays as a run uses them."""
        return build_lanes(self.settings)

    def today(self) -> date:
        """Give the editorial date: today in the publication's time zone."""
        return self.now().astimezone(self.settings.publication.zone).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """An edition rendered and checked, not yet anybody's."""

    record: EditionRecord
    edition: Edition
    compiled: CompiledEdition
    findings: tuple[Finding, ...]
    is_looked_at: bool = False
    """Whether a browser showed it, or was looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """How a run ended."""

    record: EditionRecord
    counts: dict[State, int]
    """Deliveries by state; they sum to the audience."""

    @property
    def is_sent(self) -> bool:
        """Whether no delivery is left open."""
        return self.record.state == "sent"
