"""How far things have got, and what is known of the sign-ins."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from productive_sage.kept import SignedIn
from productive_sage.store.database import SIGN_IN, Database, as_text


class Cursors:
    """Texts by name."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, name: str) -> str | None:
        """How far something has got."""
        rows = self._db.rows("SELECT value FROM mark WHERE name = ?", name)
        return str(rows[0]["value"]) if rows else None

    def set(self, cursors: Mapping[str, str]) -> None:
        """Remember how far things have got, all at once."""
        with self._db.write():
            self._db.run_each(
                "INSERT OR REPLACE INTO mark (name, value) VALUES (?, ?)", [*cursors.items()]
            )

    def sign_ins(self) -> dict[str, SignedIn | None]:
        """What is known of the sign-ins, by service; None for one that is not connected.

        A service is missing where a psage that did not record it made this store.
        """
        rows = self._db.rows(
            "SELECT name, value FROM mark WHERE substr(name, 1, ?) = ?", len(SIGN_IN), SIGN_IN
        )
        return {row["name"].removeprefix(SIGN_IN): _signed_in(row["value"]) for row in rows}

    def remember_sign_in(self, service: str, signed_in: SignedIn | None) -> None:
        """Record a sign-in to `Productive` or `Sage` where it changed; None for none."""
        value = "null"
        if signed_in:
            until = as_text(signed_in.until) if signed_in.until else None
            value = json.dumps({**asdict(signed_in), "until": until})
        if self.get(f"{SIGN_IN}{service}") != value:
            self.set({f"{SIGN_IN}{service}": value})

    def set_sign_ins(self, known: Mapping[str, SignedIn | None]) -> None:
        """Know of these sign-ins alone: a file put back tells of those of its time."""
        with self._db.write():
            self._db.run("DELETE FROM mark WHERE substr(name, 1, ?) = ?", len(SIGN_IN), SIGN_IN)
            for service, signed_in in known.items():
                self.remember_sign_in(service, signed_in)


def _signed_in(value: str) -> SignedIn | None:
    known = json.loads(value)
    if known is None:
        return None
    until = known.pop("until")
    return SignedIn(**known, until=datetime.fromisoformat(until) if until else None)
