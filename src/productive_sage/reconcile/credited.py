"""What invoices and their credit notes say together: credited twice, or not allocated. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal

from productive_sage.kinds import CREDIT_NOTE, INVOICE
from productive_sage.reconcile.rules import named
from productive_sage.reconcile.sides import BookFinding, Figure, Pair


def notes_of(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """The credit notes by the Productive id of their invoice, as either side says it."""
    copies = {one.booked.id: one for one in pairs if one.booked and one.kind is INVOICE}
    found: dict[str, list[Pair]] = {}
    for note in pairs:
        if note.kind is not CREDIT_NOTE:
            continue
        key = note.billed.credits if note.billed else ""
        if not key and note.copied and note.copied.credited_sage_id in copies:
            key = copies[note.copied.credited_sage_id].productive_id
        if key:
            found.setdefault(key, []).append(note)
    return found


def findings(pairs: Sequence[Pair], numbers: Collection[str]) -> Iterator[tuple[Pair, BookFinding]]:
    """What is to be said of invoices and credit notes that are in the books together."""
    invoices = {one.productive_id: one for one in pairs if one.kind is INVOICE}
    for key, notes in notes_of(pairs).items():
        invoice = invoices.get(key)
        if invoice is None or invoice.booked is None or not invoice.booked.is_booked:
            continue
        booked = [one for one in notes if one.booked and one.booked.is_booked]
        if twice := _twice(invoice, booked, numbers):
            yield invoice, twice
            continue
        for note in booked:
            if loose := _loose(invoice, note, numbers):
                yield note, loose


def on_account(notes: Sequence[Pair]) -> Decimal:
    """What of credit notes is set against no invoice."""
    booked = [one.booked for one in notes if one.booked and one.booked.is_booked]
    return sum((-one.open for one in booked), Decimal(0))


def credits_of(invoice: Pair, notes: Sequence[Pair]) -> Mapping[str, Decimal]:
    """What is credited of an invoice's copy in Sage, by credit note; psage's are whole."""
    found: dict[str, Decimal] = {}
    if invoice.booked:
        for key, amount in invoice.booked.credits:
            found[key] = found.get(key, Decimal(0)) + amount
    for note in notes:
        if note.booked:
            found[note.booked.id] = -note.booked.total
    return found


def _twice(invoice: Pair, notes: Sequence[Pair], numbers: Collection[str]) -> BookFinding | None:
    every = credits_of(invoice, notes)
    total = sum(every.values(), Decimal(0))
    if len(every) < 2 or invoice.booked is None or total <= invoice.booked.total:
        return None
    shown = [one.booked.document.number for one in notes if one.booked]
    unknown = len(every) - len(shown)
    others = f" and {unknown} not made by psage" if unknown else ""
    entry = invoice.billed
    here = entry.total if entry else None
    credited = entry.total - entry.paid - entry.unpaid if entry else None
    return BookFinding(
        "credited_twice",
        f"{invoice.booked.document.number} is credited more than once in Sage: by "
        f"{' and '.join(shown)}{others}",
        (Figure("total", here, invoice.booked.total), Figure("credited", credited, total)),
        f"psage open {named(notes[-1] if notes else invoice, numbers)}",
        "void the one that is too many in Sage",
    )


def _loose(invoice: Pair, note: Pair, numbers: Collection[str]) -> BookFinding | None:
    """A credit note that could be set against its invoice, and is not."""
    if not (invoice.booked and note.booked):
        return None
    open_note, open_invoice = -note.booked.open, invoice.booked.open
    is_same = note.booked.document.contact_id == invoice.booked.document.contact_id
    if min(open_note, open_invoice) <= 0 or not is_same:
        return None
    number = invoice.booked.document.number
    return BookFinding(
        "credit_note_not_allocated",
        f"{note.booked.document.number} is not set against {number}, which it credits",
        (
            Figure("open of the credit note", None, -open_note),
            Figure("open of the invoice", None, open_invoice),
        ),
        f"psage open {named(note, numbers)}",
        f"allocate it to {number} in Sage",
    )
