"""All settings together, as one frozen model."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from newsletter.errors import RefusedError
from newsletter.settings.api import Api, Webhook
from newsletter.settings.console import Console
from newsletter.settings.day import (
    EditionSettings,
    FurtherEdition,
    Gathering,
    Review,
    Schedule,
    Weekly,
)
from newsletter.settings.delivery import Delivery, DkimKey, DomainSettings, RelaySettings
from newsletter.settings.incoming import Incoming
from newsletter.settings.kinds import KINDS
from newsletter.settings.look import Look
from newsletter.settings.machine import Database, Retention, Templates, Web
from newsletter.settings.publication import Publication, Vocabulary
from newsletter.settings.signup import SignUp
from newsletter.settings.sources import AnySource, SourceSettings, source_name
from newsletter.settings.values import picture_host, since_midnight
from newsletter.settings.watching import Alerts, Log, Metrics


class Settings(BaseSettings):
    """Everything an operator can set, read once at start and frozen."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="NEWSLETTER_",
        env_nested_delimiter="__",
        enable_decoding=False,  # NEWSLETTER_SCHEDULE__DAYS=mon-fri is no JSON
        env_file_encoding="utf-8-sig",
        dotenv_filtering="match_prefix",
        hide_input_in_errors=True,
    )

    publication: Publication
    vocabulary: Vocabulary = Vocabulary()
    sources: tuple[AnySource, ...] = ()
    gathering: Gathering = Gathering()
    schedule: Schedule = Schedule()
    editions: tuple[FurtherEdition, ...] = ()
    weekly: Weekly = Weekly()
    review: Review = Review()
    edition: EditionSettings = EditionSettings()
    look: Look = Look()
    delivery: Delivery = Delivery()
    relays: tuple[RelaySettings, ...] = ()
    domains: tuple[DomainSettings, ...] = ()
    dkim: tuple[DkimKey, ...] = ()
    incoming: Incoming = Incoming()
    database: Database = Database()
    retention: Retention = Retention()
    web: Web = Web()
    alerts: Alerts = Alerts()
    log: Log = Log()
    metrics: Metrics = Metrics()
    signup: SignUp = SignUp()
    console: Console = Console()
    api: Api = Api()
    webhooks: tuple[Webhook, ...] = ()
    templates: Templates = Templates()
    secret_key: SecretStr = Field(
        default=SecretStr(""),
        description="Signs links and Message-IDs; NEWSLETTER_SECRET_KEY, newest first, "
        "old ones after commas.",
    )
    root: Path = Field(default=Path(), exclude=True, repr=False)
    """Directory of `newsletter.toml`; relative paths start there. Not a setting."""

    @field_validator("sources")
    @classmethod
    def _names_are_unique(cls, sources: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
        names = [source_name(source) for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two are called "{name}"; give one a name of its own')
        return sources

    @field_validator("editions")
    @classmethod
    def _kinds_are_unique(cls, further: tuple[FurtherEdition, ...]) -> tuple[FurtherEdition, ...]:
        names = [each.name for each in further]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two are called "{name}"; give one another name')
        return further

    @field_validator("webhooks")
    @classmethod
    def _hooks_are_unique(cls, webhooks: tuple[Webhook, ...]) -> tuple[Webhook, ...]:
        urls = [webhook.url for webhook in webhooks]
        if len(set(urls)) < len(urls):
            raise ValueError("two have the same url; name all their events in one")
        return webhooks

    @field_validator("review")
    @classmethod
    def _review_ends_on_its_day(cls, review: Review, info: ValidationInfo) -> Review:
        times = {"schedule.send_at": info.data.get("schedule")}  # None if it is wrong itself
        for each in info.data.get("editions", ()):
            times[f"the send_at of the {each.name} edition"] = each
        for name, each in times.items():
            if each and since_midnight(each.send_at) < review.deadline:
                raise ValueError(f"deadline reaches into the day before {name}; choose less")
        return review

    @field_validator("look")
    @classmethod
    def _logo_is_allowed(cls, look: Look, info: ValidationInfo) -> Look:
        edition = info.data.get("edition")  # not there if it is wrong itself
        if look.logo and edition:
            for url in filter(None, (look.logo.url, look.logo.url_dark)):
                if (host := picture_host(url)) not in edition.picture_hosts:
                    raise ValueError(
                        f'the logo is on {host}; add "{host}" to edition.picture_hosts'
                    )
        return look

    @property
    def daily_kinds(self) -> tuple[str, ...]:
        """The kinds that tell the news of a day: the daily edition, then the further ones."""
        return ("daily", *(each.name for each in self.editions))

    def find_further(self, kind: str) -> FurtherEdition | None:
        """Find what is set for a further daily edition; None for every other kind."""
        return next((each for each in self.editions if each.name == kind), None)

    def is_for_all(self, kind: str) -> bool:
        """Tell whether a further daily edition goes to all who take the daily one."""
        further = self.find_further(kind)
        return further is not None and further.audience == "all"

    def series_of(self, kind: str) -> str:
        """Name the series that editions of a kind belong to: what tells a brief once.

        Those that only who chose them get are one by themselves, and so is the round-up: what one
        series told the others tell too, to who was not sent it.
        """
        if kind == "weekly" or (self.find_further(kind) and not self.is_for_all(kind)):
            return kind
        return "news"

    def check_kind(self, kind: str) -> str:
        """Give back the name of a kind of edition; raises `RefusedError` where there is none."""
        if kind in KINDS or self.find_further(kind):
            return kind
        known = ", ".join((*KINDS, *(each.name for each in self.editions)))
        raise RefusedError(f'"{kind[:40]}" is no kind of edition', mend=f"there is {known}")

    def find_schedule(self, kind: str) -> Schedule | None:
        """Find when editions of a kind are due, by the rules of all; None for one that is not."""
        if kind == "daily":
            return self.schedule
        own: dict[str, object] = {}
        if kind == "weekly" and self.weekly.day:
            own = {"days": (self.weekly.day,), "send_at": self.weekly.send_at}
        elif further := self.find_further(kind):
            own = {"gather_at": further.gather_at, "send_at": further.send_at}
            own["days"] = self.schedule.days if further.days is None else further.days
        return self.schedule.model_copy(update=own) if own else None

    def list_schedules(self) -> tuple[tuple[str, Schedule], ...]:
        """List the kinds of edition that are due by themselves, the daily ones first, and when."""
        found = ((kind, self.find_schedule(kind)) for kind in (*self.daily_kinds, "weekly"))
        return tuple((kind, schedule) for kind, schedule in found if schedule)

    def review_ends_at(self, kind: str) -> time:
        """Say when the review of a daily edition ends, in the publication's time zone."""
        schedule = self.find_schedule(kind) or self.schedule
        left = since_midnight(schedule.send_at) - self.review.deadline
        return time(*divmod(int(left.total_seconds()) // 60, 60))

    def publication_of(self, kind: str) -> Publication:
        """Give the publication as the readers of a kind of edition see it: with its title."""
        further = self.find_further(kind)
        if further is None:
            return self.publication
        title = further.title or f"{self.publication.name} {further.name.capitalize()}"
        return self.publication.model_copy(update={"name": title})

    document: ClassVar[dict[str, Any]] = {}
    reads_environment: ClassVar[bool] = True

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the document read by `load_settings` below the environment."""
        toml = InitSettingsSource(settings_cls, cls.document)
        if not cls.reads_environment:
            return init_settings, dotenv_settings, toml
        return init_settings, env_settings, dotenv_settings, toml

    def path(self, path: str | Path) -> Path:
        """Resolve a path of the configuration against the configuration's own directory."""
        return self.root / path

    @property
    def database_url(self) -> str:
        """The database URL with a relative SQLite path made absolute."""
        prefix = "sqlite:///"
        url = self.database.url
        if url.startswith(prefix) and url != prefix and not url.startswith(prefix + ":memory:"):
            return prefix + str(self.path(url.removeprefix(prefix)).absolute())
        return url

    @property
    def secret_keys(self) -> tuple[bytes, ...]:
        """The signing keys, newest first."""
        keys = [key.strip() for key in self.secret_key.get_secret_value().split(",")]
        return tuple(key.encode() for key in keys if key)
