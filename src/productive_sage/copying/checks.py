"""What can be known of a document before anything is written for it.

A refusal leaves nothing behind: no customer is made for an invoice that Sage would not book. What
was read earlier today is enough to go on, but nothing is refused by it alone, since somebody may
have mended it since.
"""

from productive_sage.basics import INVOICE
from productive_sage.copying import drafts
from productive_sage.copying.records import Draft
from productive_sage.copying.send import number_taken
from productive_sage.desk import Desk
from productive_sage.errors import CurrencyNotEnabled, DateInvalid, Refused
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import Books


def check(desk: Desk, invoice: Invoice, draft: Draft, *, is_new_customer: bool) -> None:
    """Raises a Refused where Sage would not book the document, whoever is billed."""
    check_dates(desk, invoice, draft)
    for account in sorted({line.ledger_account_id for line in draft.lines}):
        _check_account(desk, invoice, account)
    # Else Sage itself may say so: to read all numbers each time would be too much.
    if draft.number and is_new_customer and draft.number in desk.sage.numbers(draft.kind):
        raise number_taken(str(draft.number), None)


def check_dates(desk: Desk, invoice: Invoice, draft: Draft) -> None:
    """Raises DateInvalid or CurrencyNotEnabled where Sage's books are not open to the document."""
    if draft.due_on and draft.due_on < draft.invoiced_on and draft.kind is INVOICE:
        raise DateInvalid(
            f"{invoice.label} is dated {draft.invoiced_on}, but due on {draft.due_on}, before that",
            hint="mend the due date, or the date, in Productive",
        )
    try:
        _check_books(desk.books(), invoice)
    except (CurrencyNotEnabled, DateInvalid):
        _check_books(desk.books(anew=True), invoice)


def _check_books(books: Books, invoice: Invoice) -> None:
    if invoice.currency != books.base_currency and books.is_multi_currency is False:
        raise CurrencyNotEnabled(
            f"{invoice.label} is in {invoice.currency}, and this business in Sage books "
            f"{books.base_currency} alone",
            hint="enable foreign currencies in Sage's settings (it takes the Plus edition)",
        )
    day = drafts.date_of(invoice).isoformat()
    if day < books.begins_on:
        raise DateInvalid(
            f"{invoice.label} is dated {day}, and the accounts in Sage begin on {books.begins_on}",
            hint="change its date in Productive, or the start of the accounts in Sage's settings",
        )
    if day < books.locked_until:
        raise DateInvalid(
            f"{invoice.label} is dated {day}, and the books in Sage are closed until "
            f"{books.locked_until}",
            hint="change its date in Productive, or open the period in Sage's settings",
        )


def _check_account(desk: Desk, invoice: Invoice, account: str) -> None:
    if account in desk.sales_accounts() or account in desk.sales_accounts(anew=True):
        return
    if account == desk.settings.default_ledger_account:
        hint = "choose another with `psage configure --default-ledger CODE`"
    else:
        hint = "give the item that names it another sales ledger account in Sage"
    raise Refused(
        f"the ledger account `{account}`, to which {invoice.label} would be booked, is not for "
        "sales in Sage, or not there",
        code="ledger_account_invalid",
        hint=hint,
        details={"ledger_account_id": account},
    )
