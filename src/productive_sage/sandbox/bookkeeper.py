"""Acts as the person who works in Sage: pays, corrects, voids, locks."""

from __future__ import annotations

from decimal import Decimal

from .amounts import ZERO, digits_of, half_up
from .books import (
    CREDIT_NOTE,
    INVOICE,
    KINDS,
    UNPOSTED,
    Books,
    Kind,
    address_of,
    percentage_on,
    sage_id,
)
from .documents import create, release, void
from .sage import Sage, allocate
from .seed import AREAS, empty_books, tax_rates
from .server import Clock, Record

Money = Decimal | str | int
_SALE_TYPE = "eu_goods_services_type_id"


def _money(amount: Money) -> Decimal:
    return Decimal(str(amount))


class Bookkeeper:
    """Works in the lead business; nothing here is logged as a call or bound by the API's rules."""

    def __init__(self, sage: Sage, clock: Clock) -> None:
        self._sage = sage
        self._clock = clock

    @property
    def _books(self) -> Books:
        return self._sage.books()

    # -- money ------------------------------------------------------------------------------

    def pay(
        self,
        invoice_id: str,
        amount: Money,
        date: str | None = None,
        reference: str = "",
        discount: Money = "0.00",
    ) -> str:
        """Record a receipt for one invoice and give its id; an excess stays on account."""
        return self._receive([(invoice_id, amount, discount)], date, reference)

    def pay_many(
        self, shares: list[tuple[str, Money]], date: str | None = None, reference: str = ""
    ) -> str:
        """Record one receipt that pays several invoices of one customer."""
        return self._receive([(key, amount, ZERO) for key, amount in shares], date, reference)

    def _receive(
        self, shares: list[tuple[str, Money, Money]], date: str | None, reference: str
    ) -> str:
        with self._sage.lock:
            books, excess, allocated = self._books, ZERO, []
            for invoice_id, amount, discount in shares:
                invoice = books.table("sales_invoices")[invoice_id]
                if invoice["status"] in UNPOSTED:
                    message = "a draft or pro forma cannot be paid"
                    raise ValueError(message)
                left = books.outstanding(invoice) - _money(discount)
                share = min(_money(amount), left)
                excess += _money(amount) - share
                allocated.append(
                    {
                        "artefact_id": invoice_id,
                        "amount": half_up(share),
                        "discount": half_up(_money(discount)),
                    }
                )
            first = books.table("sales_invoices")[shares[0][0]]
            return self._store(first["contact_id"], first, allocated, excess, date, reference)

    def pay_on_account(
        self, contact_id: str, amount: Money, date: str | None = None, reference: str = ""
    ) -> str:
        """Record a receipt that pays nothing yet; give the receipt's id."""
        with self._sage.lock:
            contact = self._books.table("contacts")[contact_id]
            currency = contact["currency"] or self._books.base_currency
            like = {"currency": currency, "exchange_rate": Decimal(1)}
            return self._store(contact_id, like, [], _money(amount), date, reference)

    def _store(
        self,
        contact_id: str,
        like: Record,
        allocated: list[Record],
        excess: Decimal,
        date: str | None,
        reference: str,
    ) -> str:
        books = self._books
        receipt = books.new(
            "contact_payment",
            {
                "contact_id": contact_id,
                "date": date or self._clock.today(),
                "reference": reference,
                "currency": like["currency"],
                "exchange_rate": like["exchange_rate"],
                "allocated": allocated,
                "on_account": None,
            },
        )
        if excess > 0:
            receipt["on_account"] = {
                "id": f"{receipt['id'][:-2]}aa",
                "amount": half_up(excess),
            }
        _total(receipt)
        books.table("contact_payments")[receipt["id"]] = receipt
        books.touch_artefacts([share["artefact_id"] for share in allocated])
        return str(receipt["id"])

    def allocate(
        self, invoice_id: str, artefact_id: str, amount: Money, date: str | None = None
    ) -> str:
        """Set a credit note or payment on account (by its own id) against an invoice."""
        with self._sage.lock:
            books = self._books
            body: Record = {
                "transaction_type_id": "CUSTOMER_ALLOCATION",
                "contact_id": books.table("sales_invoices")[invoice_id]["contact_id"],
                "date": date or self._clock.today(),
                "allocated_artefacts": [
                    {"artefact_id": invoice_id, "amount": _money(amount)},
                    {"artefact_id": artefact_id, "amount": -_money(amount)},
                ],
            }
            return str(allocate(books, body)["id"])

    def delete_allocation(self, allocation_id: str) -> None:
        """Undo an allocation."""
        with self._sage.lock:
            parts = self._books.table("contact_allocations")[allocation_id]["artefacts"]
            self._books.bury("contact_allocations", allocation_id)
            self._books.touch_artefacts([part["artefact_id"] for part in parts])

    def edit_receipt(
        self,
        receipt_id: str,
        amount: Money | None = None,
        date: str | None = None,
        reference: str | None = None,
    ) -> None:
        """Correct a receipt; `amount` is that of its first share, or what is on account."""
        with self._sage.lock:
            receipt = self._books.table("contact_payments")[receipt_id]
            if amount is not None:
                share = receipt["allocated"][0] if receipt["allocated"] else receipt["on_account"]
                share["amount"] = half_up(_money(amount))
                _total(receipt)
            if date is not None:
                receipt["date"] = date
            if reference is not None:
                receipt["reference"] = reference
            self._books.touch(receipt)
            self._books.touch_artefacts([share["artefact_id"] for share in receipt["allocated"]])

    def move_receipt(self, receipt_id: str, from_id: str, to_id: str) -> None:
        """Let a receipt's share pay another invoice of the customer instead."""
        with self._sage.lock:
            receipt = self._books.table("contact_payments")[receipt_id]
            for share in receipt["allocated"]:
                if share["artefact_id"] == from_id:
                    share["artefact_id"] = to_id
            self._books.touch(receipt)
            self._books.touch_artefacts([from_id, to_id])

    def delete_receipt(self, receipt_id: str) -> None:
        """Remove a receipt; its shares, and what was allocated of it, vanish from the invoices."""
        with self._sage.lock:
            receipt = self._books.table("contact_payments")[receipt_id]
            if receipt["on_account"]:
                for key, entry in list(self._books.table("contact_allocations").items()):
                    used = {part["artefact_id"] for part in entry["artefacts"]}
                    if receipt["on_account"]["id"] in used:
                        self.delete_allocation(key)
            self._books.bury("contact_payments", receipt_id)
            self._books.touch_artefacts([share["artefact_id"] for share in receipt["allocated"]])

    # -- documents --------------------------------------------------------------------------

    def _document(self, key: str) -> tuple[Kind, Record]:
        found = self._books.document(key)
        if found is None:
            raise KeyError(key)
        return found

    def void(self, document_id: str, reason: str = "entered twice") -> None:
        """Void an invoice or credit note; its number stays taken."""
        with self._sage.lock:
            void(self._books, *self._document(document_id), reason)

    def enter_draft(
        self,
        reference: str,
        *,
        customer: str = "Northwind Traders Ltd",
        amount: Money = "10.00",
        status: str = "DRAFT",
        credit_note: bool = False,
    ) -> str:
        """Enter a draft, or a `PRO_FORMA`, of one line under a reference; give its id."""
        with self._sage.lock:
            kind = CREDIT_NOTE if credit_note else INVOICE
            line = {
                "description": "Entered by hand",
                "ledger_account_id": self.ledger_account_id(4010),
                "unit_price": str(amount),
                "tax_rate_id": "GB_NO_TAX",
                "tax_amount": "0.00",
            }
            body: Record = {
                "contact_id": self.contact_id(customer),
                "date": self._clock.today(),
                "reference": reference,
                "status_id": "DRAFT",
                kind.lines: [line],
            }
            document = create(self._books, kind, body)
            document["status"] = status
            return str(document["id"])

    def release(self, document_id: str) -> None:
        """Book a draft or pro forma."""
        with self._sage.lock:
            release(self._books, *self._document(document_id))

    def mark(self, document_id: str, status: str | None) -> None:
        """Give a booked document a status of people's own, such as `DISPUTED`; None takes it."""
        with self._sage.lock:
            _, document = self._document(document_id)
            document["marked"] = status
            self._books.touch(document)

    def delete_invoice(self, document_id: str) -> None:
        """Make a document vanish: 404 from now on, and a row in the deletion feed."""
        with self._sage.lock:
            self._books.bury(self._document(document_id)[0].plural, document_id)

    def edit_invoice(self, document_id: str, *, line: int = 0, **fields: object) -> None:
        """Change a document by hand.

        `description`, `unit_price`, `quantity`, `discount_amount`, `ledger_account_id`,
        `tax_rate_id` and `eu_goods_services_type_id` go to the line of this index and the totals
        follow; any other field goes to the document.
        """
        with self._sage.lock:
            _, document = self._document(document_id)
            row = document["lines"][line]
            for name, value in fields.items():
                if name in {"unit_price", "quantity", "discount_amount"}:
                    row[name] = _money(str(value))
                elif name in {"description", "ledger_account_id", "tax_rate_id", _SALE_TYPE}:
                    row[name] = value
                else:
                    document[name] = value
            self._recompute(document)
            self._books.touch(document)

    def _recompute(self, document: Record) -> None:
        digits = digits_of(document["currency"])
        for row in document["lines"]:
            row["net"] = half_up(
                row["quantity"] * row["unit_price"] - row["discount_amount"], digits
            )
            rate = self._books.table("tax_rates").get(row["tax_rate_id"] or "")
            percentage = (percentage_on(rate, document["date"]) if rate else None) or ZERO
            row["tax"] = half_up(row["net"] * percentage / 100, digits)
            row["total"] = row["net"] + row["tax"]
        for name in ("net", "tax", "total"):
            document[name] = sum((row[name] for row in document["lines"]), ZERO)

    def take_number(self, number: str) -> str:
        """Enter an invoice of one's own under this number; give its id."""
        with self._sage.lock:
            books = self._books
            body: Record = {
                "contact_id": self.contact_id("Northwind Traders Ltd"),
                "date": self._clock.today(),
                "invoice_number_prefix": "",
                "invoice_number": number,
                "invoice_lines": [
                    {
                        "description": "Entered by hand",
                        "ledger_account_id": self.ledger_account_id(4010),
                        "unit_price": "10.00",
                        "tax_rate_id": next(
                            key
                            for key, rate in books.table("tax_rates").items()
                            if rate["name"] == "NO_TAX"
                        ),
                    }
                ],
            }
            return str(create(books, INVOICE, body)["id"])

    def lock_period(self, until: str | None) -> None:
        """Set the year-end lockdown date; None lifts it."""
        with self._sage.lock:
            self._books.content["financial"]["year_end_lockdown_date"] = until

    def file_vat_return(self, until: str) -> None:
        """File the VAT return for every document dated up to this day."""
        with self._sage.lock:
            for plural in KINDS:
                for document in self._books.table(plural).values():
                    if document["date"] <= until:
                        document["tax_reconciled"] = True

    # -- contacts and settings --------------------------------------------------------------

    def set_tax_scheme(self, scheme: str) -> None:
        """Choose how the business pays its taxes: `NOT_REGISTERED` not at all."""
        with self._sage.lock:
            self._books.content["financial"]["tax_scheme"] = scheme

    def move_business(self, country: str, currency: str = "EUR") -> None:
        """Keep these books in another country: its tax rates, its currency."""
        with self._sage.lock:
            content = self._books.content
            content["business"]["country"] = country
            content["financial"] |= {
                "base_currency": currency,
                "tax_scheme": f"{country}_STANDARD",
            }
            content["tax_rates"] = tax_rates(country)
            for plural in ("services", "products", "stock_items"):
                for item in content[plural].values():
                    item["tax_rate_id"] = f"{country}_STANDARD"

    def add_tax_rate(
        self, key: str, name: str, shown: str, percent: Money, *, is_visible: bool = True
    ) -> None:
        """Enter a tax rate, or put another in its place; without a history."""
        with self._sage.lock:
            stamp = self._clock.stamp()
            self._books.table("tax_rates")[key] = {
                "id": key,
                "created_at": stamp,
                "updated_at": stamp,
                "name": name,
                "shown": shown,
                "percentage": _money(percent),
                "percentages": [],
                "is_visible": is_visible,
            }

    def remove_tax_rate(self, key: str) -> None:
        """Take a tax rate away that no document uses."""
        with self._sage.lock:
            self._books.table("tax_rates").pop(key)

    def contact_id(self, name: str) -> str:
        """Find a contact by its name, the first of several."""
        for contact in self._books.table("contacts").values():
            if contact["name"] == name:
                return str(contact["id"])
        raise KeyError(name)

    def ledger_account_id(self, code: int) -> str:
        """Find a ledger account by its nominal code."""
        for account in self._books.table("ledger_accounts").values():
            if account["nominal_code"] == code:
                return str(account["id"])
        raise KeyError(code)

    def add_contact(
        self,
        name: str,
        *,
        currency: str = "GBP",
        email: str | None = None,
        country: str | None = "GB",
        reference: str | None = None,
        source_guid: str | None = None,
        tax_number: str | None = None,
        street: str | None = "1 High Street",
    ) -> str:
        """Enter a customer; give its id. Without a street it has no address."""
        with self._sage.lock:
            books = self._books
            contact = books.new_contact() | {
                "name": name,
                "reference": reference or f"H{len(books.content['references']):05d}",
                "source_guid": source_guid,
                "currency": currency,
                "tax_number": tax_number,
                "main_address": address_of({"address_line_1": street, "country_id": country}),
            }
            contact["main_contact_person"] |= {"name": name[:50], "email": email}
            books.add_contact(contact)
            return str(contact["id"])

    def rename_contact(self, contact_id: str, name: str) -> None:
        """Give a contact another name."""
        with self._sage.lock:
            contact = self._books.table("contacts")[contact_id]
            contact["name"] = name
            self._books.touch(contact)

    def edit_contact(self, contact_id: str, **fields: object) -> None:
        """Change a contact's own fields, or parts of its address: `address_line_1`, `city`, ..."""
        with self._sage.lock:
            contact = self._books.table("contacts")[contact_id]
            for name, value in fields.items():
                place = contact["main_address"] if name in contact["main_address"] else contact
                place[name] = value
            self._books.touch(contact)

    def delete_contact(self, contact_id: str) -> None:
        """Remove a contact; its reference stays taken."""
        with self._sage.lock:
            self._books.bury("contacts", contact_id)

    def hide_ledger_account(self, ledger_account_id: str) -> None:
        """Take an account out of sales."""
        with self._sage.lock:
            account = self._books.table("ledger_accounts")[ledger_account_id]
            account["scopes"] = [scope for scope in account["scopes"] if scope != "sales"]
            self._books.touch(account)

    # -- the account with Sage --------------------------------------------------------------

    def add_business(self, name: str, country: str = "GB", edition: str = "ACCOUNTING") -> str:
        """Let the login see one more business, of whatever name; give its id."""
        with self._sage.lock:
            books = self._sage.data["books"]
            key = sage_id("sandbox", "business", len(books) + 1)
            books[key] = empty_books(key, key, name, country=country, edition=edition)
            return key

    def end_subscription(self, business_id: str | None = None, *, shown: bool = False) -> None:
        """Let a business's subscription end: 401 to every call, whatever the token.

        `shown`: the business itself may still be looked at, and says so.
        """
        with self._sage.lock:
            business = self._sage.books(business_id).content["business"]
            business["subscription"] = "SHOWN" if shown else "ENDED"

    def renew_subscription(self, business_id: str | None = None) -> None:
        """Pay for it again."""
        with self._sage.lock:
            self._sage.books(business_id).content["business"]["subscription"] = "ACTIVE"

    def give_role(self, **areas: str) -> None:
        """Give the person who signed in a role, full in every area that is not named."""
        with self._sage.lock:
            self._sage.data["role"] = dict.fromkeys(AREAS, "FULL") | areas


def _total(receipt: Record) -> None:
    on_account = receipt["on_account"]
    receipt["amount"] = sum((share["amount"] for share in receipt["allocated"]), ZERO) + (
        on_account["amount"] if on_account else ZERO
    )
