"""What can be known of a document before anything is written for it.

A refusal leaves nothing behind: no customer is made for an invoice that Sage would not book. What
was read earlier today is enough to go on, but nothing is refused by it alone, since somebody may
have mended it since. Where nobody knows whether Sage would take a document it is a warning, and
Sage decides; but no customer is made for a document that is in doubt.
"""

from collections.abc import Iterator
from datetime import date

from productive_sage.copying.new_customers import NewCustomer
from productive_sage.copying.records import Draft
from productive_sage.copying.send import number_taken
from productive_sage.desk import Desk
from productive_sage.errors import CurrencyNotEnabled, DateInvalid, Refused
from productive_sage.errors.notices import Notice
from productive_sage.kept import Contact
from productive_sage.kinds import CREDIT_NOTE, INVOICE, Kind
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import Books, SageDocument
from productive_sage.store import Link, names


def check(
    desk: Desk, invoice: Invoice, draft: Draft, customer: Contact | NewCustomer
) -> tuple[Notice, ...]:
    """What is in doubt of a new document. Raises a Refused where Sage would not book it."""
    check_due(invoice, draft)
    is_new = isinstance(customer, NewCustomer)
    notices = check_books(desk, invoice, draft.currency, draft.invoiced_on, is_new_customer=is_new)
    for account in sorted({line.ledger_account_id for line in draft.lines}):
        check_account(desk, invoice, account, is_chosen=invoice.kind is not CREDIT_NOTE)
    if isinstance(customer, Contact):
        notices += of_contact(invoice, customer)
    return tuple(notices)


def check_changed(
    desk: Desk,
    invoice: Invoice,
    draft: Draft,
    present: SageDocument,
    customer: Contact | NewCustomer | None,
) -> tuple[Notice, ...]:
    """As `check`, of what an update changes and what it sends again; `customer` who is billed."""
    is_new = isinstance(customer, NewCustomer)
    notices = check_books(desk, invoice, draft.currency, draft.invoiced_on, is_new_customer=is_new)
    there = {line.ledger_account_id for line in present.lines}
    for account in sorted({line.ledger_account_id for line in draft.lines}):
        try:
            check_account(desk, invoice, account, is_chosen=invoice.kind is not CREDIT_NOTE)
        except Refused as error:
            if account not in there:
                raise
            # Whether Sage looks at an account again that a line has already nobody knows.
            notices.append(
                Notice("ledger_account_doubtful", f"{error.message}: Sage may refuse it")
            )
    if isinstance(customer, Contact):
        notices += of_contact(invoice, customer)
    return tuple(notices)


def check_due(invoice: Invoice, draft: Draft) -> None:
    """Raises DateInvalid where a document would be due before its date."""
    if draft.due_on and draft.due_on < draft.invoiced_on and draft.kind is INVOICE:
        raise DateInvalid(
            f"{invoice.label} is dated {draft.invoiced_on}, but due on {draft.due_on}, before that",
            hint="mend the due date, or the date, in Productive",
        )


def check_books(
    desk: Desk, invoice: Invoice, currency: str, on: date, *, is_new_customer: bool
) -> list[Notice]:
    """What is in doubt. Raises DateInvalid or CurrencyNotEnabled where the books are not open."""
    try:
        said = _check_books(desk.books(), invoice, currency, on, is_new_customer=is_new_customer)
    except (CurrencyNotEnabled, DateInvalid):
        books = desk.books(anew=True)
        said = _check_books(books, invoice, currency, on, is_new_customer=is_new_customer)
    if currency != desk.books().base_currency:
        _check_currency(desk, invoice, currency)
    return [said] if said else []


def _check_books(
    books: Books, invoice: Invoice, currency: str, on: date, *, is_new_customer: bool
) -> Notice | None:
    if currency != books.base_currency and books.is_multi_currency is False:
        raise CurrencyNotEnabled(
            f"{invoice.label} is in {currency}, and this business in Sage books "
            f"{books.base_currency} alone",
            hint="enable foreign currencies in Sage's settings (it takes the Plus edition)",
        )
    day = on.isoformat()
    if day < books.begins_on:
        raise DateInvalid(
            f"{invoice.label} is dated {day}, and the accounts in Sage begin on {books.begins_on}",
            hint="change its date in Productive, or the start of the accounts in Sage's settings",
        )
    # Whether the day itself is closed too nobody knows.
    if day < books.locked_until or (day == books.locked_until and is_new_customer):
        raise DateInvalid(
            f"{invoice.label} is dated {day}, and the books in Sage are closed until "
            f"{books.locked_until}",
            hint="change its date in Productive, or open the period in Sage's settings",
        )
    if day == books.locked_until:
        return Notice(
            "date_at_lock",
            f"{invoice.label} is dated {day}, the day until which the books in Sage are closed: "
            "Sage may refuse it",
        )
    return None


def _check_currency(desk: Desk, invoice: Invoice, currency: str) -> None:
    for anew in (False, True):
        known = desk.currencies(anew=anew)
        if currency in known or not known:
            return
    raise CurrencyNotEnabled(
        f"{invoice.label} is in {currency}, and Sage has no such currency",
        hint="mend its currency in Productive, or enter it in Sage by hand in another",
    )


def check_account(desk: Desk, invoice: Invoice, account: str, *, is_chosen: bool) -> None:
    """Raises `ledger_account_invalid`; `is_chosen` by the settings, or else the line's in Sage."""
    if account in desk.sales_accounts() or account in desk.sales_accounts(anew=True):
        return
    if not is_chosen:
        hint = "show the account for sales in Sage again, or enter this there by hand"
        if invoice.kind is INVOICE:
            hint = "show the account for sales in Sage again, or give the line another there"
    elif account == desk.settings.default_ledger_account:
        hint = "choose another with `psage configure --default-ledger CODE`"
    else:
        hint = "give the item that names it another sales ledger account in Sage"
    key = f"{names.ACCOUNT} {account}"
    shown = desk.store.facts.names([key]).get(key, account)
    raise Refused(
        f"the ledger account `{shown}`, to which {invoice.label} would be booked, is not for "
        "sales in Sage, or not there",
        code="ledger_account_invalid",
        hint=hint,
        details={"ledger_account_id": account},
    )


def of_contact(invoice: Invoice, contact: Contact) -> Iterator[Notice]:
    """What is in doubt of who is billed. Raises `customer_currency` for one in another."""
    if contact.currency and contact.currency != invoice.currency:
        hint = (
            f"name a contact in {invoice.currency} with `--customer`, or make one with "
            "`--create-customer`"
        )
        if invoice.kind is CREDIT_NOTE:
            hint = "it is for the customer of its invoice's copy: enter it in Sage by hand"
        raise Refused(
            f"{invoice.label} is in {invoice.currency}, and the contact `{contact.name}` in Sage "
            f"bills {contact.currency}, which a contact keeps",
            code="customer_currency",
            hint=hint,
            details={"contact_id": contact.id, "currency": contact.currency},
        )
    yield from inactive(contact)


def inactive(contact: Contact) -> Iterator[Notice]:
    """What is in doubt where the contact is not active."""
    if not contact.is_active:
        yield Notice(
            "customer_inactive",
            f"the contact `{contact.name}` is inactive in Sage, which may refuse a document for "
            "it: make it active there, or name another with `--customer`",
        )


class Numbers:
    """The numbers that are taken, in Sage and by the documents of this run."""

    def __init__(self, desk: Desk, *, is_alone: bool) -> None:
        """For a run of one document (`is_alone`) or several."""
        self._desk = desk
        self._is_alone = is_alone
        self._given: dict[tuple[Kind, str], Invoice] = {}

    def check(
        self,
        invoice: Invoice,
        number: str | None,
        own: Link | None,
        *,
        is_new_customer: bool = False,
    ) -> None:
        """Raises `number_taken`: a number cannot be used again, not even after a void.

        To read all of Sage's is dear, so they are for a batch, a dry run, and before a customer is
        made. One document alone Sage itself refuses, which leaves nothing behind.
        """
        kind, desk = invoice.kind, self._desk
        if number is None:
            return
        for other in desk.store.copies.numbered(kind, number, desk.sage.business_id):
            if own is None or other.id != own.id:
                raise number_taken(number, other)
        first = self._given.get((kind, number), invoice)
        if first.id != invoice.id:
            raise _given_twice(number, first)
        reads_all = is_new_customer or desk.dry_run or not self._is_alone
        if reads_all and number in desk.numbers(kind) and number in desk.numbers(kind, anew=True):
            raise number_taken(number, None)

    def give(self, invoice: Invoice, number: str | None) -> None:
        """Take the number for a document of this run, whose plan is whole."""
        if number is not None:
            self._given.setdefault((invoice.kind, number), invoice)


def _given_twice(number: str, first: Invoice) -> Refused:
    return Refused(
        f"the number `{number}` is taken by {first.kind.name} {first.id} of the same run",
        code="number_taken",
        hint="a number cannot be used twice: change one of both in Productive, or let Sage number "
        "(`psage configure --numbering sage`)",
        details={"number": number, "productive_id": first.id},
    )
