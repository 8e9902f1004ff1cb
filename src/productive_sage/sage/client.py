"""The Sage Accounting API v3.1 as psage uses it: answers become records, bodies are sent as given.

Amounts arrive as strings or numbers and are read into `Decimal` either way (`parse`). What holds
for every call is in `calls`; each of the other modules has the calls of one subject.
"""

from datetime import date, datetime

from productive_sage.errors import RefusedBySage
from productive_sage.http import Http
from productive_sage.http.documented import understood
from productive_sage.sage import parse
from productive_sage.sage.calls import Calls
from productive_sage.sage.contacts import Contacts
from productive_sage.sage.documents import Documents
from productive_sage.sage.pdfs import Pdfs
from productive_sage.sage.receipts import Receipts
from productive_sage.sage.records import Books, Item, LedgerAccount, TaxRate
from productive_sage.text import day, identity, text_of

ITEM_LISTS = {"service": "services", "product": "products", "stock_item": "stock_items"}


class SageClient:
    """Calls about one business and its set-up; none is chosen yet where `business_id` is empty."""

    service = "Sage"

    def __init__(self, http: Http, business_id: str) -> None:
        self._http = http
        self._calls = Calls(http, business_id)
        self.business_id = business_id
        self.contacts = Contacts(self._calls)
        self.documents = Documents(self._calls)
        self.receipts = Receipts(self._calls)
        self.pdfs = Pdfs(self._calls)

    def now(self) -> datetime:
        """Sage's time, by its last answer: the clock of this machine may be set meanwhile."""
        return self._http.now()

    def deleted(self, path: str, since: datetime) -> set[str]:
        """The ids of what was deleted after an instant, of one list."""
        return self._calls.deleted(path, since)

    # --- the business

    @understood
    def businesses(self) -> list[tuple[str, str]]:
        """(id, name) of every business this sign-in sees, on one page; there can be hundreds."""
        rows = self._http.get("/businesses").document["$items"]
        return [
            (identity(row["id"]), text_of(row.get("name") or row["displayed_as"])) for row in rows
        ]

    @understood
    def traits(self, business_id: str) -> tuple[str, list[str]]:
        """(country, editions) of a business, as far as Sage shows them."""
        row = self._calls.get(f"/businesses/{business_id}")
        editions = [identity(one["id"]) for one in row.get("subscriptions") or []]
        return parse.reference_id(row.get("country")), editions

    @understood
    def country(self, business_id: str) -> tuple[str, str]:
        """(name, two-letter country) of a business."""
        row = self._calls.get(f"/businesses/{business_id}")
        return text_of(row["name"]), identity(row["country"]["id"])

    @understood
    def books(self) -> Books:
        """The facts every copy needs: country, currencies, which days can be booked, and VAT."""
        _, country = self.country(self.business_id)
        row = self._calls.get("/financial_settings")
        return Books(
            self.business_id,
            country,
            identity(row["base_currency"]["id"]),
            is_multi_currency=row.get("multi_currency_enabled"),
            begins_on=str(day(row.get("accounts_start_date")) or ""),
            locked_until=str(day(row.get("year_end_lockdown_date")) or ""),
            tax_scheme=parse.reference_id(row.get("tax_scheme")),
        )

    @understood
    def subscriptions(self) -> list[tuple[str, bool]]:
        """(edition, whether it is active) of the business: START, ACCOUNTS, ACCOUNTING or older."""
        rows = self._calls.get(f"/businesses/{self.business_id}").get("subscriptions") or []
        return [(identity(row["id"]), row.get("active") is not False) for row in rows]

    @understood
    def lock_date(self) -> date | None:
        """The last day of the period that is closed, or None where none is."""
        return day(self._calls.get("/financial_settings").get("year_end_lockdown_date"))

    @understood
    def refusal(self, path: str) -> str | None:
        """Sage's words where this sign-in may not read a list or the settings, else None."""
        try:
            self._calls.get(
                path, None if path == "/financial_settings" else {"items_per_page": "1"}
            )
        except RefusedBySage as error:
            if error.status != 403:
                raise
            return error.words
        return None

    # --- its lists

    @understood
    def tax_rates(self) -> list[TaxRate]:
        """Every tax rate, hidden ones too."""
        return [
            parse.tax_rate(row) for row in self._calls.rows("/tax_rates", {"attributes": "all"})
        ]

    @understood
    def ledger_accounts(self) -> list[LedgerAccount]:
        """Every ledger account, those not for sales too, so that a refusal can say why."""
        fields = "name,display_name,nominal_code,visible_in_sales"
        rows = self._calls.rows("/ledger_accounts", {"attributes": fields})
        return [
            LedgerAccount(
                id=identity(row["id"]),
                name=text_of(row.get("display_name") or row.get("name") or row["displayed_as"]),
                nominal_code=str(row.get("nominal_code") or ""),
                is_for_sales=row.get("visible_in_sales") is True,
            )
            for row in rows
        ]

    @understood
    def currencies(self) -> list[str]:
        """The currencies Sage knows, as ISO codes."""
        return [identity(row["id"]) for row in self._calls.rows("/currencies", {})]

    @understood
    def countries(self) -> dict[str, str]:
        """Country code by lower-case name and by lower-case code; Sage shows `France (FR)`."""
        codes: dict[str, str] = {}
        for row in self._calls.rows("/countries", {}):
            code, name = identity(row["id"]), text_of(row["displayed_as"])
            if not name:
                raise ValueError(f"the country {code} has no name")
            codes |= dict.fromkeys((code.lower(), name.removesuffix(f" ({code})").lower()), code)
        return codes

    @understood
    def items(self, search: str) -> list[Item]:
        """Services, products and stock items whose code or description holds the text."""
        return [
            parse.item(kind, row)
            for kind, path in ITEM_LISTS.items()
            for row in self._calls.rows(f"/{path}", {"search": search, "attributes": "all"})
            if not day(row.get("deleted_at"))
        ]

    @understood
    def item(self, kind: str, item_id: str) -> Item | None:
        """One item, or None where Sage has no such id."""
        try:
            identity(item_id)
        except ValueError:
            return None  # somebody wrote it into the settings
        row = self._calls.one(f"/{ITEM_LISTS[kind]}", item_id)
        return None if row is None or day(row.get("deleted_at")) else parse.item(kind, row)
