"""What was read of the services' set-up, kept for a day; and what ids are called, kept for good."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from productive_sage.store.database import Database, as_text

_PUT = "INSERT OR REPLACE INTO cache (key, value, fetched_at) VALUES (?, ?, ?)"


class CachedFacts:
    """Facts by key, as JSON."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def today(self, key: str, max_age: timedelta = timedelta(days=1)) -> Any:
        """A fact read not long ago, or None."""
        rows = self._db.rows("SELECT value, fetched_at FROM cache WHERE key = ?", key)
        for row in rows:
            age = self._db.now() - datetime.fromisoformat(row["fetched_at"])
            return json.loads(row["value"]) if timedelta(0) <= age < max_age else None
        return None

    def newest(self, beginning: str) -> Any:
        """The newest fact under a key that begins so, however old; or None."""
        rows = self._db.rows(
            "SELECT value FROM cache WHERE instr(key, ?) = 1 ORDER BY fetched_at DESC LIMIT 1",
            beginning,
        )
        return json.loads(rows[0]["value"]) if rows else None

    def keep(self, key: str, value: Any) -> None:
        """Keep a fact for a day."""
        with self._db.write():
            self._db.run(_PUT, key, json.dumps(value), as_text(self._db.now()))

    def doubt(self) -> None:
        """Take every fact for an old one, to be read again; what ids are called stays."""
        with self._db.write():
            self._db.run(
                "UPDATE cache SET fetched_at = ? WHERE key NOT LIKE 'name %'",
                as_text(datetime.fromtimestamp(0, UTC)),
            )

    def keep_names(self, names: Mapping[str, str]) -> None:
        """Remember what ids are called, for as long as nobody says otherwise."""
        with self._db.write():
            now = as_text(self._db.now())
            self._db.run_each(
                _PUT, [(f"name {key}", json.dumps(name), now) for key, name in names.items()]
            )

    def names(self, keys: Sequence[str]) -> dict[str, str]:
        """What `keep_names` was last told, by key; what is not known is left out."""
        found = {
            key: self._db.rows("SELECT value FROM cache WHERE key = ?", f"name {key}")
            for key in keys
        }
        return {key: str(json.loads(rows[0]["value"])) for key, rows in found.items() if rows}
