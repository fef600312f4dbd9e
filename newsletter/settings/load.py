"""Read `newsletter.toml`, `.env` and the environment; say in one sentence what is wrong."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from newsletter.errors import ConfigurationError
from newsletter.settings.model import Settings

CONFIG_NAME = "newsletter.toml"
_SHORTEST_SECRET = 6
"""A shorter one, replaced in every line, would leave holes in other words."""


def read_environment(root: Path) -> Mapping[str, str]:
    """Read the variables that a source's secrets may be in: the environment's, then `.env`'s.

    Raises `ConfigurationError` for a `.env` that cannot be read.
    """
    file = root / ".env"
    try:
        beside = dotenv_values(file, encoding="utf-8-sig", interpolate=False)
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("cannot be read", file=file, mend="save it as UTF-8") from None
    return {**{name: value or "" for name, value in beside.items()}, **os.environ}


def list_secrets(settings: Settings) -> list[str]:
    """List the values of the settings that no log may show."""
    alerts = settings.alerts
    found = [part for value in _find_secrets(settings) for part in re.split(r"[\s,]+", value)]
    found += [alerts.webhook_url, alerts.heartbeat_url, _find_password(settings.database.url)]
    return [secret for secret in found if len(secret) >= _SHORTEST_SECRET]


def _find_secrets(value: object) -> Iterator[str]:
    """Yield every value that the settings hold as a secret; a list of them is one value."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for _, each in value:
            yield from _find_secrets(each)
    elif isinstance(value, tuple):
        for each in value:
            yield from _find_secrets(each)


def _find_password(url: str) -> str:
    """Give the password within a URL, as it stands there; "" for none."""
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


def load_settings(config: Path | None = None, *, environment: bool = True) -> Settings:
    """Read the configuration at `config`, or `newsletter.toml` here.

    Without `environment` only the files count: a demo must not be led astray to a real relay.
    Raises `ConfigurationError` naming file, field and mend.
    """
    path = config or Path(CONFIG_NAME)
    if path.is_dir():
        path /= CONFIG_NAME
    if not path.is_file():
        raise ConfigurationError(
            "there is no such file",
            file=path,
            mend="run `newsletter init DIR` to make one, or name it with --config",
        )
    root = path.absolute().parent
    env_file = root / ".env"
    toml = _read_toml(path)

    class _Located(Settings):
        model_config = SettingsConfigDict(env_file=env_file)
        document = toml
        reads_environment = environment

    try:
        found = _Located(root=root)  # type: ignore[call-arg]  # the rest comes from the sources
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror})", file=env_file) from None
    except UnicodeDecodeError:
        raise ConfigurationError("is not UTF-8", file=env_file, mend="save it as UTF-8") from None
    except ValidationError as error:
        variables: dict[str, Path | None] = {}
        variables |= dict.fromkeys(map(str.lower, dotenv_values(env_file)), env_file)
        if environment:
            variables |= dict.fromkeys(map(str.lower, os.environ))
        raise _explain(error, path, variables) from None
    if len(found.secret_keys) == 0 or min(len(key) for key in found.secret_keys) < 32:
        problem = "is missing" if not found.secret_keys else "is shorter than 32 characters"
        raise ConfigurationError(
            f"the signing key {problem}",
            field="NEWSLETTER_SECRET_KEY",
            mend=f'put one into {env_file}; `python -c "import secrets; '
            'print(secrets.token_urlsafe(32))"` makes one',
        )
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror})", file=path) from None
    except UnicodeDecodeError:
        raise ConfigurationError("is not UTF-8", file=path, mend="save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"is not TOML ({error})", file=path, mend="correct it there"
        ) from None
    if "root" in document:  # a field, but not a setting
        raise ConfigurationError("is not a setting", file=path, field="root", mend="remove it")
    return document


def _explain(
    error: ValidationError, path: Path, variables: Mapping[str, Path | None]
) -> ConfigurationError:
    """Turn pydantic's list into one sentence about its first entry.

    `variables` are those of `.env` and of the environment, in lower case: where a value came
    from one of them, the configuration file is not the place to mend it.
    """
    found = error.errors(include_url=False, include_input=False)
    # A misspelt key shows up twice: as unknown and as missing. Its spelling is the news.
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
    file: Path | None = path
    field = _format_place(first["loc"])
    variable = "newsletter_" + "__".join(map(str, first["loc"]))
    if variable.lower() in variables:
        file, field = variables[variable.lower()], variable.upper()
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    mend = ""
    if first["type"] == "extra_forbidden":
        message, mend = "is not a setting", "see the README's table of settings for its spelling"
    elif first["type"] == "missing":
        message, mend = "is required", "add it"
    elif first["type"] in {"model_type", "tuple_type"}:
        message, mend = "must be a table or a list", f"set it in {path.name}"
    return ConfigurationError(message + more, file=file, field=field, mend=mend)


def _format_place(loc: tuple[int | str, ...]) -> str:
    """Write `("sources", 0, "url")` as `sources #1.url`."""
    place = ""
    for part in loc:
        if isinstance(part, int):
            place += f" #{part + 1}"
        else:
            place += f".{part}" if place else part
    return place
