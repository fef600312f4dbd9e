"""What every command starts from: the settings, the database, and where to print.

Settings and database are imported when they are first asked for: `--version`, the help and a
wrong word need neither, and together they take most of the time to start.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from newsletter.settings import Settings
    from newsletter.store import Database
    from newsletter.store.audit import Actor


class Session:
    """One run of the command line. Results go to `out`, remarks and progress to `err`."""

    def __init__(self, config: Path | None = None) -> None:
        self._config = config
        self.out = Console(highlight=False)
        self.err = Console(stderr=True, highlight=False)

    @cached_property
    def settings(self) -> Settings:
        """The settings, read when a command first asks for them."""
        from newsletter.settings import load_settings

        return load_settings(self._config)

    @property
    def config_path(self) -> Path:
        """The file that the settings are read from."""
        path = self._config or Path("newsletter.toml")
        return path / "newsletter.toml" if path.is_dir() else path

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the database for the length of a block."""
        settings = self.settings  # before the import below: a wrong file is told at once

        from newsletter.store import open_database

        database = open_database(settings.database_url, durability=settings.delivery.durability)
        try:
            yield database
        finally:
            database.close()

    @property
    def actor(self) -> Actor:
        """Who runs this command, for the audit."""
        from newsletter.delivery.holder import describe_operator
        from newsletter.store.audit import Actor

        return Actor(who=describe_operator())

    def now(self) -> datetime:
        """Tell the time, aware UTC."""
        return datetime.now(UTC)

    def print_json(self, value: Any) -> None:
        """Print one JSON document for a script to read."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")
