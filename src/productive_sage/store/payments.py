"""The payments in Productive that psage wrote."""

from productive_sage.kept import OwnPayment
from productive_sage.store.begun import PaymentIntent
from productive_sage.store.database import Database
from productive_sage.store.intents import Intents


class OwnPayments:
    """Own payments by their markers."""

    def __init__(self, db: Database, intents: Intents) -> None:
        self._db = db
        self._intents = intents

    def of(self, productive_id: str) -> list[OwnPayment]:
        """The payments psage wrote for an invoice."""
        return self._found("productive_id", productive_id)

    def from_source(self, source_id: str) -> list[OwnPayment]:
        """The payments psage wrote for a receipt or an allocation."""
        return self._found("source_id", source_id)

    def is_own(self, payment_id: str) -> bool:
        """Whether psage wrote a payment, on whatever invoice."""
        return bool(self._db.rows("SELECT 1 FROM mirrored WHERE payment_id = ?", payment_id))

    def _found(self, column: str, value: str) -> list[OwnPayment]:
        rows = self._db.rows(
            f"SELECT marker, productive_id, payment_id, reference FROM mirrored "
            f"WHERE {column} = ? ORDER BY marker",
            value,
        )
        return [OwnPayment(**dict(row)) for row in rows]

    def record(self, payment: OwnPayment, intent: PaymentIntent | None = None) -> None:
        """Record a payment psage wrote, together with the end of the intent that made it."""
        with self._db.write():
            if intent:
                made = payment.payment_id
                self._intents.end(intent, "done", path=f"/payments/{made}", answer={"id": made})
            self._db.run(
                "INSERT OR REPLACE INTO mirrored "
                "(marker, productive_id, payment_id, reference, source_id) VALUES (?, ?, ?, ?, ?)",
                payment.marker,
                payment.productive_id,
                payment.payment_id,
                payment.reference,
                payment.source_id,
            )

    def forget(self, marker: str) -> None:
        """Forget a payment that is gone from Productive."""
        with self._db.write():
            self._db.run("DELETE FROM mirrored WHERE marker = ?", marker)
