"""The payments in Productive, and what invoices say of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from productive_sage.errors import OutcomeUnknown, PsageError, RefusedByProductive
from productive_sage.http import Http, Recorder
from productive_sage.http.documented import ODD, understood
from productive_sage.productive import calls, parse
from productive_sage.productive.amounts import Reader
from productive_sage.productive.records import Balance, Payment
from productive_sage.text import quoted, text_of


class Payments:
    """The payments of one organisation."""

    service = "Productive"

    def __init__(self, http: Http, reader: Reader) -> None:
        self._http = http
        self._reader = reader

    @understood
    def of(
        self, invoice_ids: Sequence[str]
    ) -> tuple[dict[str, list[Payment]], dict[str, PsageError]]:
        """The payments of the invoices asked for in the order of their ids; why some are unclear.

        Both by invoice id.
        """
        found: dict[str, list[Payment]] = {key: [] for key in invoice_ids}
        unreadable: dict[str, PsageError] = {}
        for some in calls.chunks(invoice_ids):
            for row, included in calls.asked(
                self._http, some, "/payments", "filter[invoice_id]", include="invoice"
            ):
                invoice_id = parse.invoice_of(row, included)
                try:
                    found.setdefault(invoice_id, []).append(self._reader.payment(row, included))
                except PsageError as error:
                    unreadable[invoice_id] = error
        by_age = {key: sorted(rows, key=lambda one: int(one.id)) for key, rows in found.items()}
        return by_age, unreadable

    @understood
    def one(self, payment_id: str) -> Payment | None:
        """One payment, or None where Productive answers 404."""
        try:
            path = f"/payments/{parse.identity_of(payment_id)}"
            reply = self._http.get(path, {"include": "invoice"})
        except RefusedByProductive as error:
            if error.status != 404:
                raise
            return None
        included = {
            (r["type"], parse.identity_of(r["id"])): r for r in reply.document.get("included") or []
        }
        payment = self._reader.payment(reply.document["data"], included)
        if payment.id != payment_id:
            raise ValueError(f"payment {payment_id} was answered with {payment.id}")
        return payment

    @understood
    def balances(
        self, invoice_ids: Sequence[str]
    ) -> tuple[dict[str, Balance], dict[str, PsageError]]:
        """What the invoices say of their payments, and why some are unclear; both by invoice id.

        Those Productive does not show are in neither.
        """
        found: dict[str, Balance] = {}
        unreadable: dict[str, PsageError] = {}
        for some in calls.chunks(invoice_ids):
            for row, _ in calls.asked(self._http, some, "/invoices", "filter[id]"):
                try:
                    found[parse.identity_of(row["id"])] = self._reader.balance(row)
                except PsageError as error:
                    unreadable[parse.identity_of(row["id"])] = error
        return found, unreadable

    def create(self, attributes: Mapping[str, Any], record: Recorder) -> str:
        """POST /payments and return the id; no key makes it repeatable, so look before a second."""
        data = {"type": "payments", "attributes": dict(attributes)}
        reply = self._http.write("POST", "/payments", {"data": data}, record)
        try:
            made = reply.document["data"]
            note = text_of(made["attributes"].get("note"))
            if any(line not in note for line in str(attributes.get("note") or "").splitlines()):
                raise ValueError(f"it is about the payment noted `{quoted(note)}`")
            return parse.identity_of(made["id"])
        except ODD as error:
            raise OutcomeUnknown(
                "Productive's answer to POST /payments cannot be read "
                f"({quoted(str(error), 200)}): it may have been done or not"
            ) from None

    def change(self, payment_id: str, attributes: Mapping[str, Any], record: Recorder) -> None:
        """Change writable attributes of a payment; only these are sent."""
        calls.change(self._http, "payments", payment_id, attributes, record)

    def delete(self, payment_id: str, record: Recorder) -> bool:
        """Remove a payment psage wrote; False where Productive does not plainly say it is done."""
        try:
            reply = self._http.write("DELETE", f"/payments/{payment_id}", None, record)
        except RefusedByProductive as error:
            if error.status != 404:
                raise
            return False
        return reply.status == 204
