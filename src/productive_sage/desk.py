"""What a use case works with: the settings, the memory, both services and somebody to ask."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from productive_sage.errors import ItemInvalid, Refused, RefusedBySage
from productive_sage.kept import Contact
from productive_sage.kinds import Kind
from productive_sage.productive.client import ProductiveClient
from productive_sage.productive.records import Invoice
from productive_sage.sage import countries
from productive_sage.sage.client import SageClient
from productive_sage.sage.records import TAX_RATES, Books, Item, LedgerAccount, TaxRate
from productive_sage.settings import Settings
from productive_sage.store import Store, names
from productive_sage.text import one_line


class Ask(Protocol):
    """Somebody at a terminal, who can be asked."""

    def __call__(
        self,
        question: str,
        answers: Sequence[str],
        default: int | None,
        keys: Sequence[tuple[str, str]] = (),
    ) -> int:
        """Put a question with its possible answers; the index of the one that is given.

        `default` is the index that Enter alone means; None where a slip could cost something.
        `keys` are more answers, each called by a letter; their indexes follow.
        """

    def typed(self, question: str) -> str:
        """What is typed at a question; empty for Enter alone."""

    def say(self, text: str = "", first: str = "") -> None:
        """Tell the person something, with `first` before its first line."""

    def show(self, invoice: Invoice) -> None:
        """Show a document before it is asked about."""


Step = Callable[[str, int, int], None]
"""Told how far a task is: what, how many of how many."""
_OVERLAP = timedelta(hours=1)
"""What is new is asked for from so long before the last look on: clocks and lists lag."""
HandedPdf = Callable[[Invoice], bytes | None]
"""The PDF that a person hands over for a document, or None."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything open during one run. Facts of Sage's set-up are read once a day."""

    settings: Settings
    store: Store
    productive: ProductiveClient
    sage: SageClient
    pdf_folder: Path
    ask: Ask | None = None
    """None where nobody can answer."""
    dry_run: bool = False
    handed_pdf: HandedPdf = lambda _invoice: None
    step: Step = lambda _task, _done, _total: None
    fresh: set[str] = field(default_factory=set)
    """The facts that this run has read, so that `anew` reads them once however many ask."""

    def check_business(self) -> None:
        """Raises `different_business` where the store's links belong to another business."""
        others = self.store.copies.businesses() - {self.sage.business_id}
        if others:
            raise Refused(
                "this profile holds copies in another Sage business than the one connected",
                code="different_business",
                hint="connect the former business again, or use another `--profile` for this one",
                details={"connected": self.sage.business_id, "links": sorted(others)},
            )

    def books(self, *, anew: bool = False) -> Books:
        """Country, currencies, open period and VAT of the business, read today or `anew`."""
        key = f"business {self.sage.business_id}"
        if known := self._known(key, anew=anew):
            return Books(**known)
        books = self.sage.books()
        self.store.facts.keep(key, asdict(books))
        return books

    def ledger_accounts(self) -> list[LedgerAccount]:
        """Every ledger account, read anew; what is for sales is kept for the shell's completion."""
        accounts = self.sage.ledger_accounts()
        known = [[one.nominal_code or one.id, one.name] for one in accounts if one.is_for_sales]
        self.store.facts.keep(f"ledger accounts {self.sage.business_id}", sorted(known))
        names.keep(self.store, names.ACCOUNT, {one.id: one.shown for one in accounts})
        ids = sorted(one.id for one in accounts if one.is_for_sales)
        self.store.facts.keep(f"sales accounts {self.sage.business_id}", ids)
        return accounts

    def sales_accounts(self, *, anew: bool = False) -> set[str]:
        """The ids of the ledger accounts a line can be booked to, read today or `anew`."""
        known = self._known(f"sales accounts {self.sage.business_id}", anew=anew)
        if known is None:
            known = [one.id for one in self.ledger_accounts() if one.is_for_sales]
        return set(known)

    def tax_rates(self, *, anew: bool = False) -> list[TaxRate]:
        """The tax rates of the business, read today or `anew`."""
        key = f"{TAX_RATES} {self.sage.business_id}"
        known = self._known(key, anew=anew)
        if known is None:
            known = [rate.as_row() for rate in self.sage.tax_rates()]
            self.store.facts.keep(key, known)
            rates = map(TaxRate.from_row, known)
            names.keep(self.store, names.TAX_RATE, {one.id: one_line(one.name) for one in rates})
        return [TaxRate.from_row(row) for row in known]

    def contact(self, contact_id: str) -> Contact | None:
        """What Sage said today of a contact, or None where that is not known."""
        known = self.store.facts.today(f"contact {self.sage.business_id} {contact_id}")
        return Contact(**known) if known else None

    def keep_contact(self, contact: Contact) -> None:
        """Keep what Sage says of a contact, so that its next invoices need not ask again."""
        self.store.facts.keep(f"contact {self.sage.business_id} {contact.id}", asdict(contact))

    def currencies(self, *, anew: bool = False) -> set[str]:
        """The currencies Sage knows, read today or `anew`; none where it does not say."""
        key = f"currencies {self.sage.business_id}"
        known = self._known(key, anew=anew)
        if known is None:
            try:
                known = sorted(self.sage.currencies())
            except RefusedBySage:
                known = []
            self.store.facts.keep(key, known)
        return set(known)

    def numbers(self, kind: Kind, *, anew: bool = False) -> set[str]:
        """The numbers of Sage's documents, void ones too.

        Read once in a run: what is new since the last time, or `anew` the whole list.
        """
        key, at = f"numbers {kind.code} {self.sage.business_id}", self.sage.now()
        is_read = bool(self.fresh & {key, f"{key} since"})
        known = self._known(key, anew=anew)
        if known and is_read:
            return set(known["numbers"])
        self.fresh.add(f"{key} since")
        since = datetime.fromisoformat(known["until"]) - _OVERLAP if known else None
        found = self.sage.documents.numbers(kind, since) | set(known["numbers"] if known else ())
        self.store.facts.keep(key, {"until": at.isoformat(), "numbers": sorted(found)})
        return found

    def doubt_facts(self) -> None:
        """Read everything anew the next time: Sage contradicts what was kept for the day."""
        self.store.facts.doubt()
        self.fresh.clear()

    def _known(self, key: str, *, anew: bool) -> Any:
        """A fact of today, or `anew` of this run; None for one that is to be read now."""
        known = None if anew and key not in self.fresh else self.store.facts.today(key)
        if known is None:
            self.fresh.add(key)
        return known

    def country_code(self, written: str) -> str:
        """The two-letter code of a country as a person wrote it; empty where nobody knows it."""
        if not written.strip():
            return ""
        key = f"country {written}"
        code = self.store.facts.today(key)
        if code is None:
            code = countries.code_of(written) or self._countries().get(written.strip().lower(), "")
            self.store.facts.keep(key, code)
        return str(code)

    def is_in_sage(self, country: str) -> bool:
        """Whether an address in Sage can have this country."""
        return country.lower() in self._countries()

    def _countries(self) -> dict[str, str]:
        codes: dict[str, str] | None = self.store.facts.today("countries")
        if codes is None:
            codes = self.sage.countries()
            self.store.facts.keep("countries", codes)
        return codes

    def items(self, invoice: Invoice) -> dict[str, Item]:
        """The linked Sage item by Productive service type id, of those on the invoice's lines.

        Raises ItemInvalid where one is gone or inactive: booking its lines to the default account
        instead would hide the mistake.
        """
        linked = self.settings.items
        wanted = {line.service_type_id: line.service_type_name for line in invoice.lines}
        return {
            key: self._item(invoice, name, linked[key])
            for key, name in wanted.items()
            if key is not None and key in linked
        }

    def item_names(self) -> dict[str, str]:
        """The names of the linked Sage items by their ids, of those that are there."""
        found = map(self._item_today, self.settings.items.values())
        return {item.id: item.name for item in found if item}

    def _item(self, invoice: Invoice, service_type: str, reference: str) -> Item:
        item = self._item_today(reference)
        if item is None or not item.is_active:
            raise ItemInvalid(
                f"{invoice.label} has lines of the service type `{service_type}`, and the item "
                f"`{item.shown if item else reference}` linked to that is "
                + ("not active in Sage" if item else "gone from Sage"),
                hint="make it active in Sage, or link another with "
                f'`psage configure --map-item "{service_type}=ITEM"`',
            )
        return item

    def _item_today(self, reference: str) -> Item | None:
        """As read today; one that is not active is read anew, in case it was mended."""
        key = f"item {self.sage.business_id} {reference.replace(':', ' ', 1)}"
        known = self.store.facts.today(key)
        if known and (known["is_active"] or key in self.fresh):
            return Item(**known)
        if key in self.fresh:
            return None
        self.fresh.add(key)
        item = self.read_item(reference)
        if item:
            self.store.facts.keep(key, asdict(item))
        return item

    def learn_names(self) -> None:
        """Read what the ids in the settings are called, as far as nobody knows it any more."""
        settings, known = self.settings, names.of(self.settings, self.store)
        with suppress(RefusedBySage):
            if settings.default_ledger_account and "default_ledger_account" not in known:
                self.ledger_accounts()
            rates = [f"tax.map.{key}" for key in settings.tax_map]
            rates += ["default_tax_rate"] if settings.default_tax_rate else []
            if {*rates} - known.keys():
                self.tax_rates(anew=True)
            if {f"items.{key}" for key in settings.items} - known.keys():
                for reference in settings.items.values():
                    self.read_item(reference)
                self.service_types()

    def search_items(self, text: str) -> list[Item]:
        """What is sold in Sage whose code or description holds the text, active or not."""
        items = self.sage.items(text)
        self._keep_names(*items)
        return items

    def read_item(self, reference: str) -> Item | None:
        """An item as Sage has it now, by its reference in the settings; None where it is gone."""
        item = self.sage.item(*reference.split(":", 1))
        self._keep_names(*filter(None, (item,)))
        return item

    def _keep_names(self, *items: Item) -> None:
        names.keep(self.store, names.ITEM, {one.reference: one.shown for one in items})

    def service_types(self) -> dict[str, str]:
        """Name by id of the service types in use in Productive."""
        types = {key: one_line(name) for key, name in self.productive.service_types().items()}
        names.keep(self.store, names.SERVICE_TYPE, types)
        return types
