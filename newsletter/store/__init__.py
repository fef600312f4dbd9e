"""Tables, migrations, and the database opened. No other room knows how it is kept."""

from newsletter.store.database import Database, open_database

__all__ = ["Database", "open_database"]
