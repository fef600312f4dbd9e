"""Export the readers as CSV that a spreadsheet opens safely and that imports to the same readers.

Every cell is quoted (RFC 4180, CRLF), formulas are defused (`cells.defuse`), times are ISO
8601 in UTC. Columns are `columns.COLUMNS`, then the operator's own by name. A reader who must
not be mailed is exported with that status, and an import elsewhere keeps it.

A file wants a UTF-8 byte order mark ("utf-8-sig"), or Excel shows mojibake; a pipe does not.
Which it is to be is the caller's choice when opening the stream; the import takes both.
"""

from __future__ import annotations

import csv
from typing import TextIO

from newsletter.audience.cells import defuse, format_list
from newsletter.audience.columns import COLUMNS
from newsletter.audience.reader import Subscriber
from newsletter.audience.subscribers import (
    ALL,
    Selection,
    read_field_names,
    read_subscribers,
)
from newsletter.store import Database


def export_subscribers(database: Database, stream: TextIO, which: Selection = ALL) -> int:
    """Write all readers, or some, to `stream`; give their number.

    `stream` is to be opened with `newline=""`.
    """
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
    count = 0
    with database.reading() as connection:
        own = read_field_names(connection, which)
        writer.writerow([*COLUMNS, *own])
        for subscriber in read_subscribers(connection, which):
            cells = _format_cells(subscriber)
            fields = subscriber.fields
            writer.writerow(map(defuse, (*cells, *[fields.get(name, "") for name in own])))
            count += 1
    return count


def _format_cells(subscriber: Subscriber) -> tuple[str, ...]:
    """Give a reader's cells in the order of `COLUMNS`."""
    choices = subscriber.choices
    consent_at = subscriber.consent_at
    return (
        subscriber.email,
        subscriber.name,
        choices.timezone,
        choices.language,
        format_list(choices.topics),
        format_list(choices.lenses),
        choices.detail,
        str(choices.minutes or ""),
        choices.format,
        choices.send_at,
        format_list(choices.days),
        choices.rhythm,
        format_list(choices.editions),
        "" if consent_at is None else consent_at.isoformat(),
        subscriber.consent_source,
        subscriber.status,
        subscriber.created_at.isoformat(),
    )
