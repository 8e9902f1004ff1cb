"""What a person should look at about an invoice's payments, and what to do about it. Pure."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from productive_sage import markers, money
from productive_sage.kept import Finding
from productive_sage.payments import shares
from productive_sage.payments.records import ReceiptShare
from productive_sage.productive.records import Balance, Payment
from productive_sage.sage.records import SageDocument


def ids(payments: Sequence[Payment]) -> str:
    """How a sentence names payments."""
    return "payment " + ", ".join(one.id for one in payments) + " in Productive"


def either(payments: Sequence[Payment]) -> str:
    """The next step where a receipt and a person's payments may be the same."""
    return (
        f"remove {ids(payments)}, and the next run copies the receipt; if it is the same and "
        "shall stay, there is nothing to do"
    )


def other_currency(document: SageDocument, balance: Balance) -> Finding:
    """The invoice and its copy are not in one currency."""
    return Finding(
        "currency_differs",
        f"it is in {balance.currency} in Productive, its copy in {document.currency}; no payment "
        "is copied",
        f"put the currency right in Productive; or void {document.number} in Sage, and run `psage "
        f"copy-invoice {balance.typed} --create-new`",
    )


def granted(share: ReceiptShare, document: SageDocument) -> Finding:
    """A settlement discount that stays without a write-off."""
    amount = money.said(share.amount, document.currency)
    return Finding(
        "settlement_discount",
        f"a settlement discount of {amount} was granted on {share.on}; it is no payment, and the "
        "settings do not make it a write-off",
        f"write the {amount} off in Productive, or have psage do so from now on: `psage configure "
        "--settlement-discount write_off`",
    )


def overpaid(document: SageDocument, balance: Balance, amount: Decimal) -> Finding:
    """Productive has less due than is paid."""
    said = f"what is paid is {money.said(amount, document.currency)} more than Productive has due"
    step = (
        "remove the payment in Productive that is one too many; or correct the receipt of "
        f"{document.number} in Sage"
    )
    if why := _other_total(document, balance):
        said, step = f"{said}: {why}", _same_total(document, balance)
    return Finding("overpaid", said, step)


def _other_total(document: SageDocument, balance: Balance) -> str:
    """Which figures of the two sides are not the same; empty where their totals are."""
    if balance.total == document.total:
        return ""
    name, asked, copied = "tax", balance.tax, document.tax
    if balance.net != document.net:
        name, asked, copied = "total", balance.total, document.total
    currency = document.currency
    return (
        f"the {name} is {money.said(asked, currency)} in Productive and "
        f"{money.said(copied, currency)} in Sage"
    )


def _same_total(document: SageDocument, balance: Balance) -> str:
    """How the two sides come to the same total."""
    return (
        "if Sage is right, give the invoice the same tax and amounts in Productive; if Productive "
        f"is, take its receipt off {document.number} in Sage, run `psage copy-invoice "
        f"{balance.typed} --update-existing --tax-rate RATE`, and enter the receipt again"
    )


def open_in_sage(document: SageDocument, balance: Balance) -> Finding:
    """Nothing is open in Productive, and Sage asks the customer for more."""
    left = money.said(document.outstanding or money.ZERO, document.currency)
    why = _other_total(document, balance)
    step = (
        "if it was credited in Productive, copy the credit note with `psage credit-note`; if "
        f"{left} are owed, open them in Productive; else credit {document.number} in Sage"
    )
    return Finding(
        "open_in_sage",
        f"nothing of it is open in Productive, but {left} of its copy are open in Sage"
        + (f": {why}" if why else ""),
        _same_total(document, balance) if why else step,
    )


def still_open(document: SageDocument, balance: Balance, amount: Decimal) -> Finding:
    """The copy is paid, and Productive's invoice is not, as it asks for more."""
    left = money.said(amount, document.currency)
    why, step = _other_total(document, balance), f"write the {left} off in Productive"
    if not why:
        why, step = "what settles its copy there is no payment", f"credit the {left} in Productive"
    return Finding(
        "open_in_productive",
        f"its copy is paid in full in Sage, but {left} stay open in Productive: {why}",
        f"{step}, or enter there how they were paid; if the copy has to change, take its receipt "
        f"off {document.number} in Sage, run `psage copy-invoice {balance.typed} "
        "--update-existing --tax-rate RATE`, and enter the receipt again",
    )


def doubled(own: Payment, other: Payment) -> Finding:
    """A person's copy of psage's own payment stands beside it."""
    return Finding(
        "doubled",
        f"the payments {own.id} and {other.id} in Productive stand for the same receipt",
        f"look at both, and remove {other.id} in Productive if it is one too many",
    )


def no_receipt(document: SageDocument, payments: Sequence[Payment]) -> Finding:
    """People entered payments, and Sage has nothing that they stand for."""
    paid = money.said(shares.amount(payments), document.currency)
    left = money.said(document.outstanding or money.ZERO, document.currency)
    return Finding(
        "no_receipt_in_sage",
        f"{paid} are paid by hand in Productive ({ids(payments)}), but Sage has no receipt for "
        f"them: {left} of its copy are open there",
        f"enter the receipt for {document.number} in Sage; or remove {ids(payments)} if nothing "
        "was received",
    )


def no_invoice(document: SageDocument, gone: date | None) -> Finding:
    """Productive does not show the invoice of an open copy; `gone` is when it was deleted."""
    left = money.said(document.outstanding or money.ZERO, document.currency)
    if gone is None:
        return Finding(
            "not_found",
            f"Productive does not show it, but {left} of its copy are open in Sage",
            "see whether it was deleted in Productive, or whether the token may not see it; void "
            f"or credit {document.number} in Sage if it is not owed",
        )
    return Finding(
        "deleted_in_productive",
        f"it was deleted in Productive on {gone}, but {left} of its copy are open in Sage",
        f"void or credit {document.number} in Sage if it is not owed; else restore the invoice in "
        "Productive",
    )


# --- what is held back


def growth_held(grown: Decimal, document: SageDocument, parts: Sequence[Payment]) -> Finding:
    """A receipt grew, and people's payments may be just that."""
    more = money.said(grown, document.currency)
    said = f"the {more} by which its receipt grew is not added, since {ids(parts)}"
    return Finding("paid_in_productive", f"{said} may be the same", either(parts))


def receipt_held(share: ReceiptShare, document: SageDocument, same: Sequence[Payment]) -> Finding:
    """A receipt is not copied, since people may have entered it."""
    step = either(same)
    if any(markers.in_note(one.note) == share.marker for one in same):
        step = f"if psage on another computer wrote {ids(same)}, run the sync there; else {step}"
    return Finding(
        "paid_in_productive",
        f"the receipt of {money.said(share.amount, document.currency)} on {share.on} in "
        f"Sage is not copied, since {ids(same)} may be the same",
        step,
    )


def not_proven(payment: Payment, currency: str, sage_number: str, doubt: str) -> Finding:
    """A payment no receipt stands behind stays; `doubt` is what Sage does not say."""
    return Finding(
        "not_proven",
        f"psage's payment {payment.id} of {money.said(payment.amount, currency)} in "
        f"Productive is not removed: {doubt}",
        f"look at {sage_number} and its receipts in Sage; if the receipt is gone, remove payment "
        f"{payment.id} in Productive by hand",
    )


def moved_away(payment_id: str) -> Finding:
    """Somebody put psage's payment on another invoice."""
    return Finding(
        "payment_moved",
        f"somebody moved psage's payment {payment_id} to another invoice in Productive",
        f"move payment {payment_id} back in Productive, or remove it there",
    )


# --- what is odd of the copies, or of the invoice


def copy_is_draft(document: SageDocument, name: str) -> Finding:
    """The copy is not booked; `name` is what a command calls the invoice."""
    step = f"`psage release {name}`" if document.status == "DRAFT" else "release it in Sage"
    return Finding(
        "copy_is_draft",
        f"its copy `{document.number}` in Sage is not booked, so nothing can be paid",
        f"{step}, or delete it there",
    )


def several_copies(earlier: SageDocument, sage_number: str) -> Finding:
    """An earlier copy is paid too; `sage_number` is the latest."""
    return Finding(
        "several_copies",
        f"the latest copy is followed, but the older {earlier.number} has payments in Sage too",
        f"move the receipts of {earlier.number} to {sage_number} in Sage, and void "
        f"{earlier.number}",
    )


def copy_gone(name: str, *, was_deleted: bool) -> Finding:
    """The copy was deleted or voided in Sage; `name` is how a command names the invoice."""
    how = "deleted" if was_deleted else "voided"
    anew = f"`psage copy-invoice {name} --create-new`"
    said = f"its copy was {how} in Sage; where it is still owed, it needs a new one"
    return Finding("copy_gone", said, anew)


def no_place(document: SageDocument, sage_number: str, deleted_on: date) -> Finding:
    """The invoice was deleted in Productive, and its copy has payments that are not there."""
    said = (
        f"it was deleted in Productive on {deleted_on}, so its payments in Sage have no place there"
    )
    if document.status != "VOID" and document.outstanding:
        left = money.said(document.outstanding, document.currency)
        said += f", and {left} of its copy are open"
    step = f"restore the invoice in Productive, or take the receipts off {sage_number} in Sage"
    return Finding("not_found", said, step)
