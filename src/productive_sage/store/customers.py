"""Which Sage contact a Productive company is billed to."""

from dataclasses import dataclass

from productive_sage.kept import Contact
from productive_sage.store.database import Database


@dataclass(frozen=True, slots=True)
class Billing:
    """Whose documents go to which contact."""

    company_id: str
    currency: str
    contact_id: str
    contact_name: str
    is_agreed: bool
    """Whether a person said so."""


class CustomerRecords:
    """The contacts that are known, by company, currency and business."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of(
        self, company_id: str, currency: str, business_id: str, *, only_unused: bool = False
    ) -> Contact | None:
        """The contact an earlier copy for this company and currency was billed to.

        `only_unused`: just one that was created for a copy that then did not come about.
        """
        rows = self._db.rows(
            "SELECT contact_id, name, country FROM customer "
            "WHERE company_id = ? AND currency = ? AND business_id = ? AND is_unused >= ?",
            company_id,
            currency,
            business_id,
            int(only_unused),
        )
        for row in rows:
            return Contact(
                row["contact_id"], row["name"], currency=currency, country=row["country"]
            )
        return None

    def all(self, business_id: str) -> list[Billing]:
        """Of every company."""
        rows = self._db.rows(
            "SELECT company_id, currency, contact_id, name, is_agreed FROM customer "
            "WHERE business_id = ? ORDER BY CAST(company_id AS INTEGER), currency",
            business_id,
        )
        return [
            Billing(
                row["company_id"],
                row["currency"],
                row["contact_id"],
                row["name"],
                bool(row["is_agreed"]),
            )
            for row in rows
        ]

    def is_agreed(self, company_id: str, currency: str, business_id: str) -> bool:
        """Whether a person said that the company is billed to the contact that is known."""
        rows = self._db.rows(
            "SELECT is_agreed FROM customer "
            "WHERE company_id = ? AND currency = ? AND business_id = ?",
            company_id,
            currency,
            business_id,
        )
        return bool(rows and rows[0]["is_agreed"])

    def remember(
        self,
        company_id: str,
        currency: str,
        business_id: str,
        contact: Contact,
        *,
        is_agreed: bool = False,
        is_unused: bool = False,
    ) -> None:
        """Bill this company to this contact from now on.

        What a person agreed to gives way to another word of theirs alone (`is_agreed`), or to a
        contact that was made anew (`is_unused`, until a copy is billed to it).
        """
        with self._db.write():
            is_kept = self.is_agreed(company_id, currency, business_id)
            if is_kept and not is_agreed and not is_unused:
                return
            self._db.run(
                "INSERT OR REPLACE INTO customer "
                "(company_id, currency, business_id, contact_id, name, country, is_unused, "
                "is_agreed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                company_id,
                currency,
                business_id,
                contact.id,
                contact.name,
                contact.country,
                int(is_unused),
                int(is_agreed),
            )

    def forget(self, company_id: str, currency: str, business_id: str) -> None:
        """Bill this company to no contact that is known."""
        with self._db.write():
            self._db.run(
                "DELETE FROM customer WHERE company_id = ? AND currency = ? AND business_id = ?",
                company_id,
                currency,
                business_id,
            )
