"""What a copy is in Sage at the moment. Pure: no input or output, no clock."""

from collections.abc import Sequence

from productive_sage.sage.records import SageDocument, SageLine

LOCKED = "Sage has locked it (a closed period, a filed VAT return or an allocation)"
"""What can be said of a document where Sage says no more than that it cannot be edited."""


def gone(document: SageDocument | None) -> str | None:
    """What became of a document that no longer counts, in a word; None while it does."""
    if document is None:
        return "deleted"
    return "voided" if document.status == "VOID" else None


def locked_because(document: SageDocument) -> str | None:
    """Why Sage lets nobody edit the document, or None while it does."""
    if document.status in ("PAID", "PART_PAID"):
        return "it is paid" if document.status == "PAID" else "it is partly paid"
    if document.is_in_tax_return:
        return "it is in a filed VAT return"
    has_paid = document.outstanding not in (None, document.total)
    if document.outstanding is None:  # then what settles it tells
        has_paid = bool(document.settlements)
    if has_paid and not document.is_draft:  # of which nothing is open, whatever its total
        return "a payment or credit note is allocated to it"
    if not document.is_editable:
        return LOCKED
    return None


def sage_line_tax_rate(lines: Sequence[SageLine]) -> str | None:
    """The one tax rate all lines carry, or None."""
    rates = {line.tax_rate_id for line in lines}
    return next(iter(rates)) if len(rates) == 1 else None
