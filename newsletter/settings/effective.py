"""The settings as they are in effect, each with where it came from; secrets are masked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel, SecretStr

from newsletter.settings.model import Settings
from newsletter.settings.values import WEEKDAYS, Section, write_duration

MASK = "••••••"
_PREFIX = "NEWSLETTER_"
_SECRET_NAME = re.compile(r"password|secret|token|key$|credential|heartbeat|webhook", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]*@")
_QUERY_SECRET = re.compile(r"(?i)([?&][^=&\s]*(?:key|token|secret|password|sig)[^=&\s]*=)[^&\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """One setting in effect."""

    name: str
    value: str
    origin: str
    """"default", "newsletter.toml", ".env" or "environment"."""
    help: str


def list_effective(settings: Settings) -> tuple[Effective, ...]:
    """List every setting in the file's order; of a list its entries, numbered from one."""
    is_read = type(settings).reads_environment
    variables = {name.upper(): "environment" for name in os.environ} if is_read else {}
    file = settings.root / ".env"
    beside = {name.upper(): ".env" for name in dotenv_values(file)} if file.is_file() else {}
    document = type(settings).document
    return tuple(_list_of(settings, "", document, {**beside, **variables}))


def _list_of(
    model: BaseModel, prefix: str, document: Any, variables: Mapping[str, str]
) -> list[Effective]:
    listed: list[Effective] = []
    for name, field in type(model).model_fields.items():
        if field.exclude:
            continue
        value = getattr(model, name)
        written = document.get(name) if isinstance(document, Mapping) else None
        path = f"{prefix}{name}"
        if isinstance(value, Section):
            listed += _list_of(value, f"{path}.", written, variables)
            continue
        variable = _PREFIX + path.replace(".", "__").upper()
        found = next((v for k, v in variables.items() if k.startswith(variable)), "")
        origin = found or ("newsletter.toml" if written is not None else "default")
        is_secret = isinstance(value, SecretStr) or bool(_SECRET_NAME.search(name))
        shown = _show(value, is_secret=is_secret)
        if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            listed += [
                Effective(
                    name=f"{path} {number}",
                    value=_show_model(each),
                    origin=origin,
                    help=field.description or "",
                )
                for number, each in enumerate(value, 1)
            ]
        else:
            help_ = field.description or ""
            listed.append(Effective(name=path, value=shown, origin=origin, help=help_))
    return listed


def _show_model(model: BaseModel) -> str:
    """Show what differs from the defaults of an entry of a list."""
    said = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if not field.is_required() and value == field.get_default(call_default_factory=True):
            continue
        is_secret = isinstance(value, SecretStr) or bool(_SECRET_NAME.search(name))
        said.append(f"{field.alias or name} = {_show(value, is_secret=is_secret)}")
    return "; ".join(said)


def _show(value: Any, *, is_secret: bool) -> str:
    """Show a value as the file has it; of a secret only whether there is one."""
    match value:
        case SecretStr():
            return MASK if value.get_secret_value() else ""
        case None | "" | ():
            return ""
        case _ if is_secret and not isinstance(value, bool | int):
            return MASK
        case bool():
            return str(value).lower()
        case timedelta():
            return write_duration(value)
        case time():
            return value.strftime("%H:%M")
        case BaseModel():
            return _show_model(value)
        case Mapping():
            return ", ".join(
                f"{key} = {_show(each, is_secret=bool(_SECRET_NAME.search(str(key))))}"
                for key, each in value.items()
            )
        case str():
            return _QUERY_SECRET.sub(rf"\1{MASK}", _USER_INFO.sub(rf"\1:{MASK}@", value))
        case Sequence() if tuple(value) == WEEKDAYS:
            return "mon-sun"
        case Sequence() | frozenset() | set():
            return ", ".join(_show(each, is_secret=False) for each in value)
        case _:
            return str(value)
