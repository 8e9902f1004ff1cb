"""What waits for the next run or for a person, and what of it somebody has looked at."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from productive_sage.kept import Finding
from productive_sage.store.database import Database, as_text


@dataclass(frozen=True, slots=True)
class Waiting:
    """An invoice whose payments could not be synchronised, or that somebody should look at."""

    productive_id: str
    code: str
    message: str
    since: datetime
    """When this was said first, UTC."""
    next_step: str
    """What to do about it; empty where the next run does, or where an older psage recorded it."""


class Errands:
    """Invoices the next sync tries again, and what a sync found, by the invoice in Productive."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def waiting(self) -> list[Waiting]:
        """The invoices whose payments could not be synchronised, the longest wait first."""
        return self._found("waiting")

    def findings(self) -> list[Waiting]:
        """What the sync found that a person should look at, the oldest first."""
        return self._found("report")

    def _found(self, table: str) -> list[Waiting]:
        rows = self._db.rows(
            f"SELECT productive_id, code, message, since, next_step FROM {table} "
            "ORDER BY since, productive_id"
        )
        return [
            Waiting(**{**dict(row), "since": datetime.fromisoformat(row["since"])}) for row in rows
        ]

    def keep_waiting(
        self, productive_id: str, code: str, message: str, *, next_step: str = ""
    ) -> None:
        """Have the next run try an invoice again."""
        with self._db.write():
            self._db.run(
                "INSERT INTO waiting (productive_id, code, message, next_step, since) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET code = excluded.code, "
                "message = excluded.message, next_step = excluded.next_step",
                productive_id,
                code,
                message,
                next_step,
                as_text(self._db.now()),
            )

    def stop_waiting(self, productive_id: str) -> None:
        """Nothing about an invoice waits any more."""
        with self._db.write():
            self._db.run("DELETE FROM waiting WHERE productive_id = ?", productive_id)

    def replace_findings(self, productive_id: str, found: Sequence[Finding]) -> None:
        """Keep what is found now, and forget what no longer is."""
        with self._db.write():
            rows = self._db.rows(
                "SELECT code, message, since FROM report WHERE productive_id = ?", productive_id
            )
            since = {(row["code"], row["message"]): row["since"] for row in rows}
            self._db.run("DELETE FROM report WHERE productive_id = ?", productive_id)
            self._db.run_each(
                "INSERT OR IGNORE INTO report (productive_id, code, message, next_step, since) "
                "VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        *(productive_id, one.code, one.message, one.next_step),
                        since.get((one.code, one.message), as_text(self._db.now())),
                    )
                    for one in found
                ],
            )

    def seen(self) -> set[str]:
        """The waiting items that somebody has looked at; those that changed since are others."""
        return {row["item"] for row in self._db.rows("SELECT item FROM seen")}

    def see(self, items: Collection[str], *, of: Collection[str]) -> None:
        """Take items off, and forget those that are no more among all `of` what waits."""
        with self._db.write():
            left = [(item,) for item in self.seen() if item not in of]
            self._db.run_each("DELETE FROM seen WHERE item = ?", left)
            known = [(item, as_text(self._db.now())) for item in items]
            self._db.run_each("INSERT OR IGNORE INTO seen (item, at) VALUES (?, ?)", known)
