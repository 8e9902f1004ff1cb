"""What would stand in the way of the command that mends a finding, as far as the lists tell. Pure.

A command that psage would refuse is no advice: where one of these is known it is said instead, with
what has to be done before.
"""

from productive_sage import naming
from productive_sage.copying import in_sage
from productive_sage.kinds import CREDIT_NOTE, INVOICE
from productive_sage.reconcile.sides import Booked, Pair, Records


def of_copy(pair: Pair, records: Records, invoice: Pair | None = None) -> str:
    """Why the document cannot be copied as it is, and what has to be done; empty where it can.

    `invoice` is what a credit note credits.
    """
    if pair.billed is None:
        return ""
    if pair.kind is INVOICE and pair.billed.net < 0:
        return "it is below zero, which no invoice in Sage can be: make it a credit note"
    said = _of_credit(pair, invoice) or _of_currency(pair.billed.currency, records)
    return said or _of_day(pair, records) or _of_number(pair, records)


def _of_credit(note: Pair, invoice: Pair | None) -> str:
    if invoice is None or note.billed is None or invoice.billed is None:
        return ""
    if note.billed.total != -invoice.billed.total:
        return (
            "psage copies a credit note for a whole invoice alone; enter this one in Sage by hand"
        )
    if invoice.booked is None or not invoice.booked.is_booked:
        name = naming.to_type(invoice.number, invoice.productive_id)
        if invoice.booked and invoice.booked.document.is_draft:
            return f"release what it credits first: `psage release {name}`"
        anew = " --create-new" if invoice.copied or invoice.booked else ""
        return f"copy what it credits first: `psage copy-invoice {name}{anew}`"
    return ""


def _of_currency(currency: str, records: Records) -> str:
    books = records.books
    if books is None or currency == books.base_currency:
        return ""
    if books.is_multi_currency is False:
        return (
            f"this business in Sage books {books.base_currency} alone: enable foreign currencies "
            "in its settings, which takes the Plus edition"
        )
    if records.currencies and currency not in records.currencies:
        return f"Sage has no {currency}: mend the currency, or enter it in Sage in another by hand"
    return ""


def _of_day(pair: Pair, records: Records) -> str:
    on = pair.billed.invoiced_on if pair.billed else None
    if records.books is None or on is None:
        return ""
    day, books = on.isoformat(), records.books
    if day < books.begins_on:
        return f"the accounts in Sage begin on {books.begins_on}: mend its date, or that day"
    if day < books.locked_until:
        return (
            f"the books in Sage are closed until {books.locked_until}: open them, or mend its date"
        )
    return ""


def _of_number(pair: Pair, records: Records) -> str:
    if not records.keeps_numbers:
        return ""
    if not pair.number:
        return "it has no number, and Productive numbers documents: give it one"
    taken_by = records.numbers.get((pair.kind, pair.number))
    if taken_by and not (pair.billed and pair.billed.export_id == taken_by):  # its own copy, then
        return f"the number {pair.number} is used up in Sage: give it another"
    if pair.copied and pair.copied.sage_number == pair.number:
        return f"the number {pair.number} is used up in Sage: give it another"
    return ""


def of_update(pair: Pair, booked: Booked, records: Records) -> str:
    """Why Sage would not change the copy, and what has to be done; empty where it would."""
    document, number = booked.document, booked.document.number
    on = document.invoiced_on.isoformat() if document.invoiced_on else "9"
    if records.books and on < records.books.locked_until:
        return (
            f"{number} is dated {on}, in a closed period, where Sage changes nothing: open it "
            f"first, or {_difference(pair)}"
        )
    reason = in_sage.locked_because(document)
    if pair.kind is CREDIT_NOTE and not document.is_in_tax_return and not booked.shares:
        return ""  # what psage has allocated it takes back, and allocates again
    if reason is None:
        return ""
    first = f"take the receipt or allocation off {number} first, or "
    first = "" if document.is_in_tax_return else first
    return f"Sage does not change {number}, since {reason}: {first}{_difference(pair)}"


def _difference(pair: Pair) -> str:
    if pair.kind is CREDIT_NOTE:
        return "enter the difference in Sage by hand"
    return "credit it in Productive and invoice the difference"
