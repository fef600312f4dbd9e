"""What every command starts from: the settings, the database, and where to print."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from newsletter.settings import Settings, load_settings
from newsletter.store import Database, open_database


class Session:
    """One run of the command line. Results go to `out`, remarks and progress to `err`."""

    def __init__(self, config: Path | None = None) -> None:
        self._config = config
        self.out = Console(highlight=False)
        self.err = Console(stderr=True, highlight=False)

    @cached_property
    def settings(self) -> Settings:
        """The settings, read when a command first asks for them."""
        return load_settings(self._config)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the database for the length of a block."""
        database = open_database(
            self.settings.database_url, durability=self.settings.delivery.durability
        )
        try:
            yield database
        finally:
            database.close()

    def now(self) -> datetime:
        """Tell the time, aware UTC."""
        return datetime.now(UTC)

    def print_json(self, value: Any) -> None:
        """Print one JSON document for a script to read."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")
