"""Which Sage contact an invoice is billed to: named, linked, recognised, asked for, or new."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from productive_sage.copying import choosing, matching, new_customers
from productive_sage.copying.address_book import AddressBook, country_unknown
from productive_sage.copying.new_customers import NewCustomer
from productive_sage.copying.records import CustomerResult
from productive_sage.desk import Ask, Desk
from productive_sage.errors import Refused
from productive_sage.errors.notices import Notice
from productive_sage.kept import Contact
from productive_sage.productive.records import Invoice


class Customers:
    """The customers of one run; each is looked up and made once, however many invoices it has."""

    def __init__(
        self,
        desk: Desk,
        *,
        wanted: str | None,
        always_new: bool,
        remember: bool = False,
        is_alone: bool = False,
        keeps_known: bool = False,
        new_since: Mapping[tuple[str, str], datetime] | None = None,
    ) -> None:
        """`wanted` names the contact to bill; `remember` keeps it for later invoices.

        Of a document that `is_alone` a person is asked even where the customer is known.
        `always_new` makes one for each company, or where it `keeps_known` only for those without.
        `new_since`: as `CopyOrder` has it.
        """
        self._desk = desk
        self._wanted = wanted
        self._always_new = always_new
        self._remember = remember
        self._is_alone = is_alone
        self._keeps_known = keeps_known
        self._new_since = new_since or {}
        self._was_asked: set[tuple[str, str]] = set()
        self._agreed: set[tuple[str, str]] = set()
        self._known: dict[tuple[str, str], Contact | NewCustomer] = {}
        self._made: dict[str, Contact] = {}
        self.book = AddressBook(desk)
        self._left: dict[tuple[str, str], Contact] = {}
        """The contacts billed until now that carry another company's marker or tax number."""

    def find(self, invoice: Invoice) -> Contact | NewCustomer:
        """Say who is billed, without writing anything.

        Raises `customer_not_found` or `ambiguous_customer` where a person has to decide.
        """
        key = (invoice.company.id, invoice.currency)
        if key not in self._known:
            found = self._look_up(invoice)
            known = self.book.seen(invoice, found) if isinstance(found, Contact) else found
            self._known.setdefault(key, known)  # another document may have been quicker
        return self._known[key]

    def fits(self, invoice: Invoice, contact_id: str, name: str) -> bool:
        """Whether a document for this contact can be a copy of the invoice."""
        if self._is_linked(invoice, contact_id):
            return True
        contact = self.book.seen(invoice, Contact(contact_id, name, currency=invoice.currency))
        if self._wanted is not None and matching.named_customers([contact], self._wanted):
            return True
        return any(self._matching(invoice, [contact]))

    def remembers(self, invoice: Invoice, contact: Contact) -> bool:
        """Whether later invoices of the company go to this contact too.

        So they do where marker, tax number or name say that it is the company, or a person did.
        """
        return self.is_agreed(invoice, contact) or self._is_theirs(invoice, contact)

    def is_agreed(self, invoice: Invoice, contact: Contact) -> bool:
        """Whether a person said, now or earlier, that the company is billed to this contact."""
        if (invoice.company.id, contact.id) in self._agreed:
            return True
        return self._is_linked(invoice, contact.id) and self._desk.store.customers.is_agreed(
            invoice.company.id, invoice.currency, self._desk.sage.business_id
        )

    def _is_theirs(self, invoice: Invoice, contact: Contact) -> bool:
        return self._is_linked(invoice, contact.id) or matching.is_company(
            self.book.seen(invoice, contact), invoice.company, invoice.bill_to
        )

    def _is_linked(self, invoice: Invoice, contact_id: str) -> bool:
        linked = self._linked(invoice)
        return linked is not None and linked.id == contact_id

    def _linked(self, invoice: Invoice, *, only_unused: bool = False) -> Contact | None:
        """The contact billed until now, unless it has become another company's by what Sage says.

        What a person agreed to stays. `only_unused`: as `customers.of` of the store has it.
        """
        desk, key = self._desk, (invoice.company.id, invoice.currency)
        linked = desk.store.customers.of(*key, desk.sage.business_id, only_unused=only_unused)
        if linked is None or desk.store.customers.is_agreed(*key, desk.sage.business_id):
            return linked
        if matching.is_another(self.book.seen(invoice, linked), invoice.company, invoice.bill_to):
            self._left[key] = linked
            return None
        return linked

    def billed(self, invoice: Invoice, customer: Contact | NewCustomer) -> Contact:
        """The contact to bill, created in Sage now if it has to be; at most once."""
        if isinstance(customer, Contact):
            return customer
        # Planned before another document of the company had it made.
        known = self._known.get((customer.company_id, customer.currency))
        if isinstance(known, Contact):
            return known
        contact = new_customers.make(self._desk, customer)
        self._known[customer.company_id, customer.currency] = contact
        self._made[invoice.id] = contact
        return contact

    def forget_missing(self, invoice: Invoice) -> Contact | None:
        """Forget the contact to bill, and give it, where Sage has it no more."""
        desk, key = self._desk, (invoice.company.id, invoice.currency)
        contact = self._known.get(key)
        if not isinstance(contact, Contact) or desk.sage.contacts.one(contact.id):
            return None
        desk.store.customers.forget(*key, desk.sage.business_id)
        del self._known[key]
        self._made.pop(invoice.id, None)
        self.book.close()
        return contact

    def made(self, invoice: Invoice) -> CustomerResult | None:
        """The contact this run created for the invoice, whatever came after."""
        contact = self._made.get(invoice.id)
        return CustomerResult(contact.id, contact.name, created=True) if contact else None

    def remember(self, invoice: Invoice, contact_id: str, name: str) -> None:
        """Bill this company to this contact from now on, where it is the company."""
        contact = Contact(contact_id, name, currency=invoice.currency)
        if not self.remembers(invoice, contact):
            return
        self._desk.store.customers.remember(
            invoice.company.id,
            invoice.currency,
            self._desk.sage.business_id,
            contact,
            is_agreed=self.is_agreed(invoice, contact),
        )

    def notices(self, invoice: Invoice, customer: Contact | NewCustomer) -> tuple[Notice, ...]:
        """What a person should know of the customer."""
        said: list[Notice] = []
        left = self._left.get((invoice.company.id, invoice.currency))
        if left and not (isinstance(customer, Contact) and customer.id == left.id):
            said.append(
                Notice(
                    "customer_differs",
                    f"the contact `{left.name}`, which was billed for {invoice.company.name} until "
                    "now, carries another company's marker or tax number in Sage, so it is billed "
                    "no more",
                )
            )
        if isinstance(customer, NewCustomer):
            return (*said, *customer.notices)
        if not self._is_theirs(invoice, customer):
            kept = self.remembers(invoice, customer)
            said.append(
                Notice(
                    "customer_differs",
                    f"the contact `{customer.name}` in Sage is not `{invoice.company.name}` by any "
                    "marker, tax number or name; "
                    + ("it is billed from now on" if kept else "it is billed this once"),
                )
            )
        in_sage, written = self.book.seen(invoice, customer).country, invoice.bill_to.country
        elsewhere = self._desk.country_code(written)
        if not in_sage and written and not elsewhere:
            said.append(country_unknown(written, "it says nothing about tax"))
        elif in_sage and elsewhere and not _is_same_country(in_sage, elsewhere):
            said.append(
                Notice(
                    "country_differs",
                    f"the contact `{customer.name}` is in {in_sage} in Sage, but in `{written}` in "
                    "Productive; Sage's country counts",
                )
            )
        return tuple(said)

    def _look_up(self, invoice: Invoice) -> Contact | NewCustomer:
        base_currency = self._desk.books().base_currency
        since = self._new_since.get((invoice.company.id, invoice.currency))
        if since and (made := self.book.made(invoice, base_currency, since)):
            return made
        if self._wanted is not None:
            contact = self.book.named(self._wanted, invoice.currency, base_currency)
            if self._remember:
                self._agreed.add((invoice.company.id, contact.id))
            return contact
        # One made on request for an invoice that then failed is not made again.
        only_unused = self._always_new and not self._keeps_known
        if linked := self._linked(invoice, only_unused=only_unused):
            if self._desk.ask and self._is_alone and not self._always_new:
                seen = self.book.seen(invoice, linked)
                return self._picked(self._desk.ask, invoice, [seen], is_sure=True)
            return linked
        if self._always_new:
            known = self.book.made(invoice, base_currency) if self._keeps_known else None
            return known or self.book.new(invoice, base_currency)
        return self._recognised(invoice)

    def _recognised(self, invoice: Invoice) -> Contact | NewCustomer:
        """The one contact that is the company, what a person picks, or a new one.

        Raises `ambiguous_customer` where nobody can be asked.
        """
        matches, proposals = self._matching(invoice, self.book.every())
        possible, is_sure = [*matches, *proposals], len(matches) == 1
        left = self._left.get((invoice.company.id, invoice.currency))
        if left and not matching.is_of_another(self.book.seen(invoice, left), invoice.company):
            # Its tax number may have been mended in one of the two services alone.
            possible = [
                self.book.seen(invoice, left),
                *(one for one in possible if one.id != left.id),
            ]
            is_sure = False
        elif is_sure:
            possible = matches
        if self._desk.ask:
            is_sure = is_sure or not possible
            return self._picked(self._desk.ask, invoice, possible, is_sure=is_sure)
        if possible and not is_sure:
            raise _unclear(invoice, possible)
        return possible[0] if is_sure else self.book.new(invoice, self._desk.books().base_currency)

    def _picked(
        self, ask: Ask, invoice: Invoice, possible: Sequence[Contact], *, is_sure: bool
    ) -> Contact | NewCustomer:
        """Whom a person at the terminal picks; remembered where it is the company, or they say."""
        base_currency = self._desk.books().base_currency

        def usable() -> list[Contact]:
            return [
                one
                for one in self.book.every()
                if (one.currency or base_currency) == invoice.currency
            ]

        self._was_asked.add((invoice.company.id, invoice.currency))
        contact = choosing.customer(ask, invoice, possible, usable, is_sure=is_sure)
        if contact is None:
            return self.book.new(invoice, base_currency)
        is_theirs = self._is_theirs(invoice, contact)
        answers_doubt = not is_sure and contact in possible
        if answers_doubt or (not is_theirs and choosing.shall_stay(ask, invoice, contact)):
            self._agreed.add((invoice.company.id, contact.id))
        return contact

    def was_asked(self, invoice: Invoice) -> bool:
        """Whether a person picked who is billed."""
        return (invoice.company.id, invoice.currency) in self._was_asked

    def ask_again(self, invoice: Invoice) -> None:
        """Have the person pick anew who is billed."""
        del self._known[invoice.company.id, invoice.currency]

    def _matching(
        self, invoice: Invoice, candidates: list[Contact]
    ) -> tuple[list[Contact], list[Contact]]:
        return matching.matching_customers(
            candidates,
            invoice.company,
            invoice.bill_to,
            currency=invoice.currency,
            base_currency=self._desk.books().base_currency,
        )


def _is_same_country(one: str, other: str) -> bool:
    """Northern Ireland is `XI` in some lists."""
    return one == other or {one, other} == {"GB", "XI"}


def _unclear(invoice: Invoice, possible: Sequence[Contact]) -> Refused:
    count = "1 contact" if len(possible) == 1 else f"{len(possible)} contacts"
    return Refused(
        f"{count} in Sage may be `{invoice.company.name}`: "
        + "; ".join(map(choosing.shown, possible)),
        code="ambiguous_customer",
        hint=f"choose one: `psage copy-invoice {invoice.typed} --customer REFERENCE` (with "
        "`--remember` also for later invoices), or make a new one with `--create-customer`",
        details={
            "customers": [
                {"id": c.id, "name": c.name, "reference": c.reference, "email": c.email}
                for c in possible
            ]
        },
    )
