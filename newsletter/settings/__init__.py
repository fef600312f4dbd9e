"""`newsletter.toml` and the environment → frozen settings. One table of name, default, unit, help.

The rooms of the table, each a file: `publication`, `sources`, `day`, `look`, `delivery`,
`incoming`, `machine`, `signup`, `api`, `watching`; their values are of the kinds in `values`, and
`kinds` has those of editions; `model` is all of it together. Every field carries its help, and
the README's table is made from it (`describe_settings`), so an undocumented setting fails a test.
Order of precedence: environment (`NEWSLETTER_DELIVERY__RELAY`), then a `.env` file beside
`newsletter.toml`, then `newsletter.toml`, then the default.
"""

from newsletter.settings.api import Webhook
from newsletter.settings.day import EditionSettings, FurtherEdition, Gathering, Schedule
from newsletter.settings.delivery import Delivery, DkimKey, DomainSettings, RelaySettings
from newsletter.settings.incoming import Incoming
from newsletter.settings.kinds import KINDS, NOT_DAILY, is_daily, is_optional
from newsletter.settings.load import list_secrets, load_settings, read_environment
from newsletter.settings.look import SHIPPED_LOOK, LogoSettings, Look, contrast
from newsletter.settings.machine import Retention, Templates
from newsletter.settings.model import Settings
from newsletter.settings.publication import LensSettings, Publication, Vocabulary
from newsletter.settings.signup import SignUp
from newsletter.settings.sources import (
    BRIEF_PARTS,
    SOURCES,
    VARIABLE,
    ApiSource,
    FeedSource,
    FolderSource,
    MailboxSource,
    PageSource,
    QuerySource,
    SitemapSource,
    SourceSettings,
    load_foreign_kind,
    source_name,
)
from newsletter.settings.table import describe_settings
from newsletter.settings.values import (
    WEEKDAYS,
    Section,
    check_alt,
    check_picture_url,
    parse_clock,
    parse_command,
    parse_days,
    parse_duration,
    picture_host,
)
from newsletter.settings.watching import Alerts

__all__ = [
    "BRIEF_PARTS",
    "KINDS",
    "NOT_DAILY",
    "SHIPPED_LOOK",
    "SOURCES",
    "VARIABLE",
    "WEEKDAYS",
    "Alerts",
    "ApiSource",
    "Delivery",
    "DkimKey",
    "DomainSettings",
    "EditionSettings",
    "FeedSource",
    "FolderSource",
    "FurtherEdition",
    "Gathering",
    "Incoming",
    "LensSettings",
    "LogoSettings",
    "Look",
    "MailboxSource",
    "PageSource",
    "Publication",
    "QuerySource",
    "RelaySettings",
    "Retention",
    "Schedule",
    "Section",
    "Settings",
    "SignUp",
    "SitemapSource",
    "SourceSettings",
    "Templates",
    "Vocabulary",
    "Webhook",
    "check_alt",
    "check_picture_url",
    "contrast",
    "describe_settings",
    "is_daily",
    "is_optional",
    "list_secrets",
    "load_foreign_kind",
    "load_settings",
    "parse_clock",
    "parse_command",
    "parse_days",
    "parse_duration",
    "picture_host",
    "read_environment",
    "source_name",
]
