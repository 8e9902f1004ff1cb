"""What can be known of lines that stand in Sage already: of a draft to be booked, a copy credited.

Nobody chooses their accounts and rates anew. A draft is booked as a new copy would be, so that what
refuses one refuses the other. A credit note has the rates of what it credits, whenever it is dated:
whether Sage still takes them nobody knows, so that is a warning.
"""

from collections.abc import Sequence
from datetime import date
from functools import partial

from productive_sage import tax
from productive_sage.copying import bookable, rates
from productive_sage.copying.customers import Customers
from productive_sage.copying.records import Draft, DraftLine
from productive_sage.copying.release_write import number_kept
from productive_sage.desk import Desk
from productive_sage.errors import DateInvalid, Refused, TaxRateInvalid
from productive_sage.errors.notices import Notice
from productive_sage.kept import Contact
from productive_sage.kinds import CREDIT_NOTE
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument, SageLine
from productive_sage.store import Link

Lines = Sequence[SageLine] | Sequence[DraftLine]


def check_release(
    desk: Desk,
    customers: Customers,
    numbers: bookable.Numbers,
    invoice: Invoice,
    link: Link,
    present: SageDocument,
) -> tuple[Notice, ...]:
    """What is in doubt of a draft that is to be booked. Raises a Refused where Sage would not."""
    day, notices = present.invoiced_on, list[Notice]()
    if day:
        try:
            notices += bookable.check_books(
                desk, invoice, present.currency, day, is_new_customer=False
            )
        except DateInvalid as error:
            error.hint = "change the draft's date in Sage, or open the period in its settings"
            raise
    for account in sorted({line.ledger_account_id for line in present.lines} - {""}):
        bookable.check_account(desk, invoice, account, is_chosen=False)
    number = number_kept(link)
    if number and present.number != number:
        numbers.check(invoice, number, link)
        numbers.give(invoice, number)
    billed = Contact(present.contact_id, present.contact_name, currency=present.currency)
    billed = customers.book.seen(invoice, billed)
    notices += bookable.inactive(billed)
    return (*notices, *_of_rates(desk, customers, invoice, present.lines, day, billed))


def of_credit(
    desk: Desk, customers: Customers, note: Invoice, draft: Draft, customer: Contact
) -> tuple[Notice, ...]:
    """What is in doubt of a credit note's rates. Raises a Refused where no tax can be sent."""
    return _of_rates(desk, customers, note, draft.lines, draft.invoiced_on, customer)


def _of_rates(
    desk: Desk,
    customers: Customers,
    invoice: Invoice,
    lines: Lines,
    day: date | None,
    billed: Contact,
) -> tuple[Notice, ...]:
    used = {line.tax_rate_id for line in lines if line.tax_rate_id}
    taxed = {line.tax_rate_id for line in lines if line.tax_rate_id and line.tax}
    if taxed and not any(desk.books(anew=anew).is_registered for anew in (False, True)):
        raise _not_registered(invoice)
    said = list[Notice]()
    if day and used and (wrong := _invalid(desk, used, day)):
        if invoice.kind is not CREDIT_NOTE:
            raise wrong
        said.append(Notice("tax_rate_doubtful", f"{wrong.message}: Sage may refuse it"))
    sale = tax.Sale(desk.books().country, customers.book.sold_to(invoice, billed))
    if taxed and sale.is_abroad:
        names = [rate for rate in desk.tax_rates() if rate.id in taxed]
        said += [rates.home_rate(invoice, sale, rate) for rate in names[:1]]
    return tuple(said)


def _invalid(desk: Desk, used: set[str], day: date) -> TaxRateInvalid | None:
    """What is wrong with a rate on the day; hidden ones stay where they are. Read anew before."""
    wrong = None
    for read in (desk.tax_rates, partial(desk.tax_rates, anew=True)):
        known = {rate.id: rate for rate in read()}
        wrong = None
        for key in sorted(used):
            if key not in known:
                wrong = TaxRateInvalid(f"Sage lists no tax rate `{key}`, which a line has", hint="")
                continue
            try:
                tax.percent_on(known[key], day, even_hidden=True)
            except TaxRateInvalid as error:
                wrong = error
        if wrong is None:
            return None
        wrong.hint = "choose another for the line in Sage, or mend the date in Productive"
    return wrong


def _not_registered(invoice: Invoice) -> Refused:
    what = "credits tax" if invoice.kind is CREDIT_NOTE else "carries tax"
    way = "enter it in Sage by hand"
    if invoice.kind is not CREDIT_NOTE:
        command = f"psage {invoice.kind.command} {invoice.typed} --update-existing --no-tax"
        way = f"`{command}` takes the tax off the draft"
    return Refused(
        f"the business is not registered for tax in Sage, and {invoice.label} {what}",
        code="not_registered_for_tax",
        hint=f"{way}; if the business is registered by now, say so in Sage under Settings > "
        "Financial Settings",
    )
