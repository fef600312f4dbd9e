"""One table of every setting: name, default, help."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time, timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel, SecretStr

from newsletter.settings.api import Webhook
from newsletter.settings.day import FurtherEdition
from newsletter.settings.delivery import DkimKey, DomainSettings, RelaySettings
from newsletter.settings.look import LogoSettings
from newsletter.settings.model import Settings
from newsletter.settings.publication import LensSettings
from newsletter.settings.sources import SOURCES
from newsletter.settings.values import WEEKDAYS, Section, write_duration

_LISTS = ("sources", "editions", "dkim", "relays", "domains", "webhooks", "logo")
"""What has rows of its own below the others."""


class SettingRow(NamedTuple):
    """One row of the table of settings."""

    name: str
    default: str
    help: str


def describe_settings() -> Iterator[SettingRow]:
    """Yield every setting, dotted, with its default and help, in the file's order."""
    yield from _describe(Settings, "")
    yield from _describe(LensSettings, "vocabulary.lenses[].")
    yield from _describe(LogoSettings, "look.logo.")
    for kind, model in SOURCES.items():
        yield from _describe(model, f"sources[{kind}].")
    yield from _describe(FurtherEdition, "editions[].")
    yield from _describe(RelaySettings, "relays[].")
    yield from _describe(DomainSettings, "domains[].")
    yield from _describe(DkimKey, "dkim[].")
    yield from _describe(Webhook, "webhooks[].")


def _describe(model: type[BaseModel], prefix: str) -> Iterator[SettingRow]:
    for name, field in model.model_fields.items():
        if field.exclude or name in _LISTS:
            continue
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _describe(kind, f"{prefix}{name}.")
        else:
            default = "required" if field.is_required() else _shown(field.get_default())
            yield SettingRow(prefix + (field.alias or name), default, field.description or "")


def _shown(value: Any) -> str:
    if isinstance(value, timedelta):
        return write_duration(value)
    if isinstance(value, time):
        return value.strftime("%H:%M")
    if value == WEEKDAYS:
        return "mon-sun"
    if isinstance(value, tuple):
        return ", ".join(v.name if isinstance(v, LensSettings) else str(v) for v in value)
    if isinstance(value, SecretStr) or value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
