"""Sage's contacts as one run reads them, and what a new one would be."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from productive_sage import markers
from productive_sage.copying import bodies, choosing, matching
from productive_sage.copying.new_customers import NewCustomer
from productive_sage.copying.write_once import CLOCK_SKEW
from productive_sage.desk import Desk
from productive_sage.errors import Refused
from productive_sage.errors.notices import Notice
from productive_sage.kept import Contact
from productive_sage.naming import did_you_mean
from productive_sage.productive.records import Invoice
from productive_sage.sage import parse
from productive_sage.tax import country_of


class AddressBook:
    """The contacts of one run; each is read once, and all of them where one is not enough."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._all: list[Contact] | None = None
        self._seen: dict[str, Contact] = {}
        self._has_read_one = False

    def close(self) -> None:
        """Have all contacts read anew by the next question that takes all of them."""
        self._all = None

    def every(self) -> list[Contact]:
        """All of them, once for the run: a search by name misses a marker or an e-mail address."""
        if self._all is None:
            self._all = self._desk.sage.contacts.all()
        return self._all

    def seen(self, invoice: Invoice, contact: Contact) -> Contact:
        """The contact with what Sage says of it; as given where Sage has it no more.

        What was read earlier today counts where it raises no question: on the country hangs the
        tax, and somebody may have mended it since.
        """
        if contact.id not in self._seen:
            desk, known = self._desk, contact
            if contact.has_address is None:
                elsewhere = desk.country_code(invoice.bill_to.country)
                earlier = desk.contact(contact.id)
                is_plain = (
                    earlier
                    and earlier.country
                    and elsewhere in ("", earlier.country)
                    and earlier.is_active
                    and earlier.currency in ("", invoice.currency)
                )
                known = earlier if earlier and is_plain else self.read(contact.id) or contact
            elif contact != desk.contact(contact.id):
                desk.keep_contact(contact)
            if known.has_address is None:
                known = replace(known, country=known.country or contact.country)
            self._seen[contact.id] = known
        return self._seen[contact.id]

    def read(self, contact_id: str) -> Contact | None:
        """Read a contact anew; after the first, all of them at once."""
        if self._has_read_one and contact_id not in self._seen:
            found = next((one for one in self.every() if one.id == contact_id), None)
        else:
            found = self._desk.sage.contacts.one(contact_id)
        self._has_read_one = True
        if found:
            self._desk.keep_contact(found)
        return found

    def named(self, wanted: str, currency: str, base_currency: str) -> Contact:
        """The contact of this id, name or reference that bills the currency.

        Raises `ambiguous_customer` or `customer_not_found`.
        """
        found = matching.named_customers(self.every(), wanted)
        if not found and wanted.isalnum() and (by_id := self._desk.sage.contacts.one(wanted)):
            found = [by_id]
        usable = [contact for contact in found if (contact.currency or base_currency) == currency]
        if len(usable) == 1:
            return usable[0]
        if usable:
            raise Refused(
                f"{len(usable)} contacts in Sage are called `{wanted}`: "
                + "; ".join(map(choosing.shown, usable)),
                code="ambiguous_customer",
                hint="name one by its reference or id: `--customer REFERENCE`",
            )
        if found:
            raise Refused(
                f"the contact `{found[0].name}` bills {found[0].currency or base_currency}, the "
                f"invoice is in {currency}, and a contact in Sage keeps its currency",
                code="customer_not_found",
                hint=f"name a contact in {currency}, or make one with `--create-customer`",
            )
        every = self.every()
        words = {word: one.name for one in every for word in (one.name, one.reference or "")}
        raise Refused(
            f"no customer in Sage has the id, name or reference `{wanted}`",
            code="customer_not_found",
            hint=did_you_mean(wanted, words)
            or "look up the name in Sage, or leave `--customer` out to have it found",
        )

    def made(
        self, invoice: Invoice, base_currency: str, since: datetime | None = None
    ) -> Contact | None:
        """The contact that psage has made for the company, `since` then, on whatever machine."""
        marker = markers.of_company(invoice.company.id, invoice.currency, base_currency)
        for contact in self.every():
            if contact.marker != marker:
                continue
            made_at = datetime.fromisoformat(contact.made_at) if contact.made_at else None
            if since is None or (made_at and made_at >= since - CLOCK_SKEW):
                return contact
        return None

    def country_id(self, invoice: Invoice) -> str:
        """The country of the billing address in Sage's list, or empty."""
        code = self._desk.country_code(invoice.bill_to.country)
        return code if code and self._desk.is_in_sage(code) else ""

    def new(self, invoice: Invoice, base_currency: str) -> NewCustomer:
        """The contact that would be made for the company; raises Refused where it has no name."""
        written, code = invoice.bill_to.country, self._desk.country_code(invoice.bill_to.country)
        country_id = self.country_id(invoice)
        body, notices = bodies.contact_body(
            invoice.company,
            invoice.bill_to,
            currency=invoice.currency,
            base_currency=base_currency,
            country=country_id,
        )
        if not body["name"]:
            raise Refused(
                f"the customer of {invoice.label} has no name in Productive, and Sage takes none "
                "without",
                hint="name the company, or its billing address, in Productive; or say who is "
                "billed with `--customer`",
                details={"company": invoice.company.id},
            )
        if written and not country_id:
            what = "Sage has no such country" if code else "it says nothing about tax"
            notices.append(country_unknown(written, f"the customer goes without one, and {what}"))
        return NewCustomer(invoice.company.id, invoice.currency, code, body, tuple(notices))

    def sold_to(self, invoice: Invoice, customer: Contact | NewCustomer) -> str:
        """Where the customer is: Sage's word, else Productive's, else that of the tax number."""
        number = ""
        if isinstance(customer, Contact):
            customer = self.seen(invoice, customer)
            number = customer.tax_number
        number = number or invoice.bill_to.tax_number or invoice.company.tax_number
        country = customer.country or self._desk.country_code(invoice.bill_to.country)
        return country_of(country, number, invoice.bill_to.postal_code)

    def address(
        self, invoice: Invoice, customer: Contact | NewCustomer
    ) -> Mapping[str, str] | None:
        """The address a document must carry itself: Productive's, where the contact has none.

        Raises `address_missing` where nobody has one.
        """
        where = f"the billing address of `{invoice.company.name}` in Productive"
        if isinstance(customer, NewCustomer):
            if parse.is_address(customer.body["main_address"]):
                return None
        elif self.seen(invoice, customer).has_address:
            return None
        else:
            address, _ = bodies.address_body(invoice.bill_to, self.country_id(invoice))
            if parse.is_address(address):
                return address
            # Somebody may have entered it a moment ago; where Sage does not say, Sage decides.
            found = self.read(customer.id)
            if found is None or found.has_address is not False:
                return None
            where += f", or the contact `{customer.name}` in Sage"
        raise Refused(
            f"there is no address to bill {invoice.label} to, and Sage books no "
            f"{invoice.kind.name} without one",
            code="address_missing",
            hint=f"enter it in {where}, then run the command again",
            details={"company": invoice.company.id},
        )


def country_unknown(written: str, so: str) -> Notice:
    """That Productive's country is no country psage knows, and what follows from it."""
    return Notice("country_unknown", f"the country `{written}` in Productive is not known: {so}")
