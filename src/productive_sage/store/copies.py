"""Every copy of a Productive document in Sage."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from productive_sage.kinds import KINDS, Kind
from productive_sage.store.database import Database, Row, as_text
from productive_sage.store.facts import CachedFacts

if TYPE_CHECKING:
    from productive_sage.sage.records import SageDocument

_DOCUMENT = "document"
"""What the number of one is kept under, beside what other ids are called."""
_COLUMNS = (
    "id, productive_id, copy AS copy_number, business_id, sage_id, sage_number, tax_rate_id, "
    "number_sent, written, pending, pdf_sha256, pdf_attachment_id, kind, credited_sage_id"
)


@dataclass(frozen=True, slots=True)
class Link:
    """One copy of a Productive invoice or credit note in Sage."""

    id: int
    productive_id: str
    copy_number: int
    """1 for the first copy of a document."""
    business_id: str
    sage_id: str
    sage_number: str
    tax_rate_id: str | None
    """The rate of the copy, empty for none; None where psage adopted the copy."""
    number_sent: bool
    """Whether psage gave the number; Sage's own is never changed."""
    written: str | None
    """What psage last wrote, as `versions.Written` reads it; None where that is not known."""
    pending: frozenset[str]
    """What is left to do after the copy: `release`, `allocate`, `mark`, `number`, `pdf` (and
    `pdf-again` at its last try); and one of `after.UNTOLD` until the run that did it has said so.
    """
    pdf_sha256: str | None
    pdf_attachment_id: str | None
    kind: Kind
    credited_sage_id: str | None
    """The copy of the invoice a credit note credits."""

    @property
    def waits_for_release(self) -> bool:
        """Whether it was made a draft on purpose, and is one still as far as is known."""
        return "release" in self.pending

    @classmethod
    def found(
        cls,
        kind: Kind,
        productive_id: str,
        copy_number: int,
        business_id: str,
        document: "SageDocument",
        *,
        credited_sage_id: str | None,
        written: str | None,
    ) -> Self:
        """A copy seen in Sage, not recorded yet."""
        return cls(
            id=0,
            productive_id=productive_id,
            copy_number=copy_number,
            business_id=business_id,
            sage_id=document.id,
            sage_number=document.number,
            tax_rate_id=None,
            number_sent=False,
            written=written,
            pending=frozenset(
                {
                    "mark",
                    *(["allocate"] if credited_sage_id else []),
                    *(["release"] if document.is_draft else []),
                }
            ),
            pdf_sha256=None,
            pdf_attachment_id=None,
            kind=kind,
            credited_sage_id=credited_sage_id,
        )


class CopyRecords:
    """The copies that are known."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._facts = CachedFacts(db)

    def of(self, productive_id: str) -> list[Link]:
        """Every copy of a document, the latest last."""
        return self._found("WHERE productive_id = ? ORDER BY copy", productive_id)

    def latest(self, productive_id: str) -> Link | None:
        """The copy that counts: the one with the highest number."""
        links = self.of(productive_id)
        return links[-1] if links else None

    def at(self, sage_id: str) -> Link | None:
        """The link of a document in Sage."""
        links = self._found("WHERE sage_id = ?", sage_id)
        return links[0] if links else None

    def numbered(self, kind: Kind, number: str, business_id: str) -> list[Link]:
        """The copies of a kind that carry a Sage number."""
        condition = "WHERE kind = ? AND sage_number = ? AND business_id = ?"
        return self._found(condition, kind.code, number, business_id)

    def crediting(self, sage_id: str) -> list[Link]:
        """The copies of credit notes for a copy of an invoice."""
        return self._found("WHERE credited_sage_id = ? ORDER BY id", sage_id)

    def of_invoices(self, *, since: datetime | None = None) -> list[Link]:
        """Every copy of an invoice, or those recorded since, by invoice, the latest last."""
        condition = "WHERE kind = 'invoice' AND copied_at >= ? ORDER BY productive_id, copy"
        return self._found(condition, as_text(since) if since else "")

    def unfinished(self) -> list[Link]:
        """The copies with something left to do."""
        return self._found("WHERE pending <> '' ORDER BY id")

    def drafts(self) -> list[Link]:
        """The copies that wait, as drafts in Sage, to be released; the oldest first."""
        return [link for link in self.unfinished() if link.waits_for_release]

    def names(self, kind: str = "") -> list[tuple[str, str, str]]:
        """(Productive id, number there, number in Sage) of every copy, the newest first."""
        rows = self._db.rows(
            "SELECT productive_id, number, value, sage_number FROM link LEFT JOIN "
            "(SELECT document, max(number) AS number FROM event GROUP BY document) "
            f"ON document = productive_id LEFT JOIN cache ON key = 'name {_DOCUMENT} ' || "
            "productive_id WHERE ? IN ('', kind) ORDER BY id DESC",
            kind,
        )
        return [(row[0], row[1] or json.loads(row[2] or '""'), row[3]) for row in rows]

    def number_of(self, productive_id: str) -> str:
        """The number of a document in Productive when it was last copied or found, or empty."""
        rows = self._db.rows(
            "SELECT context FROM intent WHERE source_id = ? ORDER BY id DESC LIMIT 1", productive_id
        )
        known = json.loads(rows[0]["context"]) if rows else {}
        found = f"{_DOCUMENT} {productive_id}"
        return str(known.get("number") or self._facts.names([found]).get(found, ""))

    def each(self) -> Iterator[Link]:
        """Every copy of every document, one by one: what was written of many takes much memory."""
        statement = f"SELECT {_COLUMNS} FROM link ORDER BY productive_id, copy"
        yield from map(_link, self._db.each(statement))

    def count(self, kind: Kind) -> int:
        """How many copies of a kind there are."""
        rows = self._db.rows("SELECT count(*) FROM link WHERE kind = ?", kind.code)
        return int(rows[0][0])

    def documents(self) -> dict[str, int]:
        """How many documents have a copy, by the code of their kind."""
        rows = self._db.rows(
            "SELECT kind, count(DISTINCT productive_id) AS copied FROM link GROUP BY kind"
        )
        return dict.fromkeys(KINDS, 0) | {row["kind"]: row["copied"] for row in rows}

    def businesses(self) -> set[str]:
        """The Sage businesses that copies and open intents belong to."""
        rows = self._db.rows(
            "SELECT business_id FROM link "
            "UNION SELECT business_id FROM intent WHERE state = 'sending'"
        )
        return {row["business_id"] for row in rows}

    def adopt(self, link: Link, number: str) -> Link:
        """Record a copy found in Sage by its marker (see `Link.found`).

        `number` is that of its document in Productive, which no write tells here.
        """
        with self._db.write():
            if number:
                self._facts.keep_names({f"{_DOCUMENT} {link.productive_id}": number})
            return self.record(
                productive_id=link.productive_id,
                copy=link.copy_number,
                business_id=link.business_id,
                sage_id=link.sage_id,
                sage_number=link.sage_number,
                tax_rate_id=None,
                number_sent=False,
                written=link.written,
                pending=link.pending,
                kind=link.kind.code,
                credited_sage_id=link.credited_sage_id,
            )

    def record(self, **columns: Any) -> Link:
        """Record a copy by its columns, `pending` as a set; one that is known is changed."""
        columns = _stored(columns)
        productive_id, copy = columns["productive_id"], columns["copy"]
        with self._db.write():
            same = self._db.rows(
                "SELECT id FROM link WHERE sage_id = ? AND productive_id = ? AND copy = ?",
                columns["sage_id"],
                productive_id,
                copy,
            )
            if same:  # adopted by its marker in the meantime
                self._change(same[0]["id"], columns)
            else:
                columns["copied_at"] = as_text(self._db.now())
                names, places = ", ".join(columns), ", ".join("?" * len(columns))
                self._db.run(f"INSERT INTO link ({names}) VALUES ({places})", *columns.values())
        return next(one for one in self.of(productive_id) if one.copy_number == copy)

    def change(self, link: Link, **columns: Any) -> None:
        """Set columns of a link; `pending` as a set."""
        with self._db.write():
            self._change(link.id, _stored(columns))

    def _change(self, link_id: int, columns: Mapping[str, Any]) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        self._db.run(f"UPDATE link SET {names} WHERE id = ?", *columns.values(), link_id)

    def _found(self, condition: str, *values: str) -> list[Link]:
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM link {condition}", *values)
        return [_link(row) for row in rows]


def _link(row: Row) -> Link:
    read = {
        "number_sent": bool(row["number_sent"]),
        "pending": frozenset(row["pending"].split()),
        "kind": KINDS[row["kind"]],
    }
    return Link(**{**dict(row), **read})


def _stored(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as the file holds them: `pending` is a list of words there."""
    stored = dict(columns)
    if "pending" in stored:
        stored["pending"] = " ".join(sorted(stored["pending"]))
    return stored
