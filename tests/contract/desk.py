"""A ledger with everything around it that its contract speaks of: readers, editions, rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Row, event, insert, select, update

from newsletter.delivery.holder import describe_self
from newsletter.delivery.ledger import Job, Ledger, Run
from newsletter.delivery.lifecycle import State
from newsletter.store import Database
from newsletter.store.tables import attempts, deliveries, editions, runs, subscribers, suppressions


@dataclass
class Desk:
    """One database at one moment."""

    database: Database
    now: datetime

    def ledger(self, in_doubt: Literal["hold", "retry"] = "hold") -> Ledger:
        return Ledger(self.database, in_doubt=in_doubt)

    # -- what stands before --------------------------------------------------------------------

    def store_reader(self, number: int, **changed: Any) -> None:
        row = {
            "id": number,
            "email": f"reader{number}@example.org",
            "email_key": f"reader{number}@example.org",
            "status": "active",
            "choices": {},
            "fields": {},
            "created_at": self.now,
            "updated_at": self.now,
        }
        with self.database.writing() as connection:
            connection.execute(insert(subscribers).values(row | changed))

    def store_readers(self, count: int) -> None:
        for number in range(1, count + 1):
            self.store_reader(number)

    def suppress(self, number: int) -> None:
        with self.database.writing() as connection:
            connection.execute(
                insert(suppressions).values(
                    email_key=f"reader{number}@example.org",
                    reason="unsubscribed",
                    suppressed_at=self.now,
                )
            )

    def store_edition(self) -> int:
        with self.database.writing() as connection:
            found = connection.execute(select(editions.c.id)).all()
            edition_id: int = connection.execute(
                insert(editions)
                .values(
                    date=self.now.date() + timedelta(days=len(found)),
                    state="approved",
                    window_start=self.now,
                    cut_off=self.now,
                    created_at=self.now,
                )
                .returning(editions.c.id)
            ).scalar_one()
        return edition_id

    def approve(self) -> tuple[int, int]:
        """Store an approved edition and freeze its audience: its id, and how many they are."""
        edition_id = self.store_edition()
        with self.database.writing() as connection:
            return edition_id, Ledger.enrol(connection, edition_id, self.now)

    def set_edition(self, edition_id: int, **values: Any) -> None:
        with self.database.writing() as connection:
            connection.execute(update(editions).where(editions.c.id == edition_id).values(**values))

    def set_delivery(self, edition_id: int, number: int, **values: Any) -> None:
        _d = deliveries.c
        with self.database.writing() as connection:
            connection.execute(
                update(deliveries)
                .where(_d.edition_id == edition_id, _d.subscriber_id == number)
                .values(**values)
            )

    # -- what a run does -----------------------------------------------------------------------

    def take(self, edition_id: int, *, after: timedelta = timedelta(0)) -> Run:
        return self.ledger().take(edition_id, describe_self(), self.now + after)

    def lease_all(self, run: Run, *, after: timedelta = timedelta(0)) -> tuple[Job, ...]:
        return self.ledger().lease(run, 1000, self.now + after).jobs

    # -- what stands after ---------------------------------------------------------------------

    def edition(self, edition_id: int) -> Row[Any]:
        with self.database.reading() as connection:
            return connection.execute(
                select(editions, runs.c.fence, runs.c.holder, runs.c.lease_until)
                .outerjoin_from(editions, runs)
                .where(editions.c.id == edition_id)
            ).one()

    def rows(self, edition_id: int) -> list[Row[Any]]:
        with self.database.reading() as connection:
            return list(
                connection.execute(
                    select(deliveries)
                    .where(deliveries.c.edition_id == edition_id)
                    .order_by(deliveries.c.subscriber_id)
                )
            )

    def states(self, edition_id: int) -> dict[int, State]:
        return {row.subscriber_id: State(row.state) for row in self.rows(edition_id)}

    def attempts(self, edition_id: int) -> list[Row[Any]]:
        _a = attempts.c
        with self.database.reading() as connection:
            return list(
                connection.execute(
                    select(attempts)
                    .where(_a.edition_id == edition_id)
                    .order_by(_a.number, _a.subscriber_id)
                )
            )

    def snapshot(self) -> list[list[Any]]:
        """Give all that a ledger writes, to see that nothing of it changed."""
        with self.database.reading() as connection:
            return [
                [tuple(row) for row in connection.execute(select(table).order_by(*order))]
                for table, order in (
                    (editions, (editions.c.id,)),
                    (runs, (runs.c.edition_id,)),
                    (deliveries, (deliveries.c.edition_id, deliveries.c.subscriber_id)),
                    (attempts, (attempts.c.subscriber_id, attempts.c.number)),
                )
            ]

    @contextmanager
    def watch_plans(self) -> Iterator[list[list[str]]]:
        """Collect SQLite's query plan of every statement that searches deliveries."""
        plans: list[list[str]] = []

        def explain(
            _connection: Any, cursor: Any, statement: str, parameters: Any, *_rest: Any
        ) -> None:
            if "FROM deliveries" in statement or statement.startswith("UPDATE deliveries"):
                probe = cursor.connection.cursor()
                first = parameters[0] if isinstance(parameters, list) else parameters
                probe.execute(f"EXPLAIN QUERY PLAN {statement}", first)
                plans.append([row[3] for row in probe.fetchall()])

        event.listen(self.database.engine, "before_cursor_execute", explain)
        try:
            yield plans
        finally:
            event.remove(self.database.engine, "before_cursor_execute", explain)
