"""From a Productive invoice to a Sage one, and whether Sage's answer is what was planned.

Pure: no input or output, no clock, no settings look-ups. The copy's net is Productive's to the
cent, line by line: through the discount, or, where Sage's arithmetic (quantity times price less
discount, rounded) cannot give a line's net, as 1 times its net, with a notice. Each line's net is
sent along, so that a Sage that rounds otherwise refuses the document instead of booking it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from productive_sage import money
from productive_sage.copying import in_sage, line_taxes
from productive_sage.copying.records import Draft, DraftLine
from productive_sage.errors import AmountsUnclear, Refused
from productive_sage.errors.notices import Notice
from productive_sage.kinds import CREDIT_NOTE, INVOICE
from productive_sage.productive.records import CreditedInvoice, Invoice, InvoiceLine
from productive_sage.productive.richtext import plain_text
from productive_sage.sage.records import Item, SageDocument, SageLine
from productive_sage.tax import LineTax, Tax

DESCRIPTION_LIMIT = 2000
"""Sage states no limit for a line; this is the one of the document's other texts."""


# --- the draft


def sales_document(
    invoice: Invoice,
    *,
    tax: Tax,
    marker: str,
    default_ledger_account: str,
    items: Mapping[str, Item],
    number: str | None,
) -> Draft:
    """Plan the Sage invoice for one of Productive.

    `items` maps a service type id to the Sage item it is linked to. `number` None lets Sage number.
    Raises AmountsUnclear where the figures do not add up or no Sage document can hold them.
    """
    _check(invoice)
    nets = _nets(invoice)
    taxes, is_its_rate = line_taxes.taxes(invoice, nets, tax)
    planned = [
        _line(
            line,
            invoice=invoice,
            position=n,
            net=net,
            own_tax=own_tax,
            rate=rate,
            default_ledger_account=default_ledger_account,
            item=items.get(line.service_type_id or ""),
        )
        for n, (line, net, own_tax, rate) in enumerate(
            zip(invoice.lines, nets, taxes, line_taxes.rates(invoice, tax), strict=True), 1
        )
    ]
    planned_tax = sum(taxes, money.ZERO)
    draft = Draft(
        kind=invoice.kind,
        marker=marker,
        currency=invoice.currency,
        invoiced_on=date_of(invoice),
        due_on=invoice.pay_on,
        lines=tuple(line for line, _, _ in planned),
        net=invoice.net,
        tax=planned_tax,
        total=invoice.net + planned_tax,
        mirrored_tax=invoice.tax if is_its_rate else None,
        number=number,
        tax_rate_id=tax.rate_id,
        is_tax_mapped=bool(tax.lines),
        is_tax_known=tax.is_none_asked,
        is_tax_sent=tax.is_sent,
        notices=(*tax.notices, *_notices(planned)),
    )
    return retaxed(invoice, draft)


def credit_document(note: Invoice, copy: SageDocument, *, marker: str, number: str | None) -> Draft:
    """Plan the credit note for the whole of an invoice's copy, as that stands in Sage.

    Its lines are those of the copy, with the credit note's own words where the amounts are the same
    line by line. Raises `partial_credit` where they do not make up the copy's total.
    """
    note = positive(note)
    _check(note)
    nets = _nets(note)
    by_line = nets == [line.net for line in copy.lines]
    lines = [
        _credited_line(line, note.lines[n] if by_line else None, n + 1)
        for n, line in enumerate(copy.lines)
    ]
    net, tax = (sum((getattr(line, of) for line in lines), money.ZERO) for of in ("net", "tax"))
    if (net, tax, net + tax) != (copy.net, copy.tax, copy.total):
        raise Refused(
            f"{note.label} must credit the whole of {copy.number}, which is "
            f"{money.said(copy.total, copy.currency)}, but the lines Sage shows of it come to "
            f"{money.said(net + tax, copy.currency)}",
            code="partial_credit",
            hint="something of the copy is not in its lines, such as carriage; enter this credit "
            "note in Sage by hand",
            details={"copy": str(copy.total), "lines": str(net + tax)},
        )
    return retaxed(
        note,
        Draft(
            kind=note.kind,
            marker=marker,
            currency=note.currency,
            invoiced_on=date_of(note),
            due_on=None,
            lines=tuple(lines),
            net=net,
            tax=tax,
            total=net + tax,
            number=number,
            original_on=copy.invoiced_on,
            tax_rate_id=in_sage.sage_line_tax_rate(copy.lines) or "",
        ),
    )


def _credited_line(line: SageLine, source: InvoiceLine | None, position: int) -> DraftLine:
    """A line of a copy once more; quantities of a credit note are never negative."""
    sign = -1 if line.quantity < 0 else 1
    words = _description(source, position) if source else line.description
    return replace(
        line_as_it_is(line),
        id="",
        description=words[:DESCRIPTION_LIMIT],
        quantity=sign * line.quantity,
        unit_price=sign * line.unit_price,
        source_id=source.id if source else line.id,
    )


def line_as_it_is(line: SageLine) -> DraftLine:
    """A line of a copy as it would be sent to leave it as it is."""
    return DraftLine(
        id=line.id,
        description=line.description,
        ledger_account_id=line.ledger_account_id,
        quantity=line.quantity,
        unit_price=line.unit_price,
        discount=line.discount,
        net=line.net,
        tax=line.tax,
        tax_rate_id=line.tax_rate_id or None,
        item=line.item,
        goods_or_services=line.goods_or_services or None,
    )


def both_taxes(invoice: Invoice, tax: Decimal) -> str:
    """What Productive shows as the tax of a document, and what its copy has."""
    shown = abs(invoice.tax) if invoice.kind is CREDIT_NOTE else invoice.tax
    return f"Productive shows {shown} {invoice.currency} tax, the copy {tax} {invoice.currency}"


def retaxed(invoice: Invoice, draft: Draft) -> Draft:
    """The draft with what has to be said of its tax as it is now.

    It need not come to Productive's tax where a line has another rate than the one planned.
    """
    rates = {line.tax_rate_id for line in draft.lines if line.net}
    mirrored = draft.mirrored_tax if rates <= {draft.tax_rate_id} else None
    codes = ("tax_not_mirrored", "tax_differs")
    notices = [notice for notice in draft.notices if notice.code not in codes]
    tax = abs(invoice.tax) if invoice.kind is CREDIT_NOTE else invoice.tax
    said = both_taxes(invoice, draft.tax)
    if tax != draft.tax and mirrored is not None:
        notices.append(Notice("tax_differs", f"{said} at the same rate"))
    elif tax != draft.tax and not draft.is_tax_known:
        notices.append(Notice("tax_not_mirrored", said))
    return replace(draft, mirrored_tax=mirrored, notices=tuple(notices))


def date_of(invoice: Invoice) -> date:
    """The document's date; raises AmountsUnclear where it has none."""
    if invoice.invoiced_on is None:
        raise AmountsUnclear(f"{invoice.label} has no invoice date", hint="set one in Productive")
    return invoice.invoiced_on


def positive(note: Invoice) -> Invoice:
    """A credit note with the signs Sage wants, where the kind of document says that it credits."""
    lines = [replace(line, quantity=-line.quantity, amount=-line.amount) for line in note.lines]
    return replace(note, net=-note.net, tax=-note.tax, lines=tuple(lines))


def check_whole(note: Invoice) -> CreditedInvoice:
    """The invoice a credit note credits.

    Raises `partial_credit` unless it credits the whole of it: same currency, net and gross the
    exact negative.
    """
    credited = note.credited
    if credited is None:
        raise AmountsUnclear(
            f"Productive does not show which invoice {note.label} credits",
            hint="look at the credit note in Productive; the token must be allowed to see both",
        )
    gross = note.net + note.tax
    if (note.currency, note.net, gross) != (credited.currency, -credited.net, -credited.gross):
        raise Refused(
            f"{note.label} credits {-gross} {note.currency} (net {-note.net}) of "
            f"{credited.label}, which is {credited.gross} {credited.currency} "
            f"(net {credited.net}); only a credit note for the whole invoice is copied",
            code="partial_credit",
            hint="enter this credit note in Sage by hand",
            details={
                "credited": {"net": str(-note.net), "gross": str(-gross)},
                "invoice": {"net": str(credited.net), "gross": str(credited.gross)},
            },
        )
    return credited


def _check(invoice: Invoice) -> None:
    """Whether a Sage invoice can hold it at all."""
    if not invoice.lines:
        raise AmountsUnclear(
            f"{invoice.label} has no lines, and Sage needs at least one",
            hint="add one in Productive",
        )
    if invoice.net < 0:
        raise AmountsUnclear(
            f"{invoice.label} is below zero ({invoice.net} {invoice.currency}), which no "
            f"{invoice.kind.name} in Sage can be",
            hint="make it a credit note in Productive" if invoice.kind is INVOICE else None,
        )


def _notices(planned: Sequence[tuple[DraftLine, bool, int]]) -> Iterator[Notice]:
    """What a person should know of the plan; `planned` as `_line` gives it."""
    if restated := [str(n) for n, (_, is_restated, _) in enumerate(planned, 1) if is_restated]:
        yield Notice(
            "line_restated",
            f"{_lines(restated)} as 1 × the line's amount in Productive, since quantity "
            "times price less a discount does not give that amount",
        )
    if cut := [str(n) for n, (_, _, excess) in enumerate(planned, 1) if excess]:
        yield Notice(
            "description_cut",
            f"{_lines(cut)} with a description cut to {DESCRIPTION_LIMIT} characters",
        )


def _lines(numbers: Sequence[str]) -> str:
    several = len(numbers) > 1
    return f"line{'s' if several else ''} {', '.join(numbers)} {'go' if several else 'goes'}"


def _nets(invoice: Invoice) -> list[Decimal]:
    """The net of each line after its share of the document's discount; they add up to the net."""
    amounts = [line.amount for line in invoice.lines]
    whole = sum(amounts, money.ZERO)
    for amount in (*amounts, invoice.net):
        if amount != money.round_for_sage(amount, invoice.currency):
            no_such_part = f"{invoice.currency} has no such part"
            hint = (
                "look at the amount in Productive, and say how many decimals it has with "
                f"`psage configure --minor-digits {invoice.currency}=DECIMALS`"
            )
            if money.is_exact(amount, invoice.currency):
                no_such_part = "Sage keeps two decimals of every currency"
                hint = "no copy can be right to the last digit: enter it in Sage by hand"
            raise AmountsUnclear(
                f"{invoice.label} holds {amount} {invoice.currency}, and {no_such_part}", hint=hint
            )
    if whole == invoice.net:
        return amounts
    expected = whole * (100 - invoice.discount_percent) / 100
    # Productive may round the discount once or line by line: half a cent each at most.
    slack = Decimal(len(amounts) + 1) / 2 * money.sage_unit(invoice.currency)
    if whole == 0 or invoice.discount_percent == 0 or abs(invoice.net - expected) > slack:
        raise AmountsUnclear(
            f"the lines of {invoice.label} add up to {whole} {invoice.currency}"
            + (f" less {invoice.discount_percent} %" if invoice.discount_percent else "")
            + f", but the invoice says {invoice.net} {invoice.currency}",
            hint="look at the invoice in Productive; if it is right, report this to psage",
        )
    return money.spread(invoice.net, amounts, invoice.currency)


def _line(
    line: InvoiceLine,
    *,
    invoice: Invoice,
    position: int,
    net: Decimal,
    own_tax: Decimal,
    rate: LineTax,
    default_ledger_account: str,
    item: Item | None,
) -> tuple[DraftLine, bool, int]:
    """The line, whether it is restated, and how many characters of its description are cut."""
    description = _description(line, position)
    figures = _figures(line, net, invoice.currency)
    if figures is None and line.quantity:
        description += f" ({_said(line)})"
    quantity, unit_price, discount = figures or (Decimal(1), net, money.ZERO)
    shortened = description
    if len(description) > DESCRIPTION_LIMIT:
        shortened = description[: DESCRIPTION_LIMIT - 1].rstrip() + "…"
    planned = DraftLine(
        description=shortened,
        ledger_account_id=(item and item.ledger_account_id) or default_ledger_account,
        quantity=quantity,
        unit_price=unit_price,
        discount=discount,
        net=net,
        tax=own_tax,
        tax_rate_id=rate.rate_id,
        # Sage's lines name a service or a product; a stock item is a product there.
        item=("service_id" if item.kind == "service" else "product_id", item.id) if item else None,
        goods_or_services=rate.goods_or_services,
        source_id=line.id,
        service_type_id=line.service_type_id or "",
        charged=rate.charged,
    )
    return planned, figures is None, max(0, len(description) - DESCRIPTION_LIMIT)


def _figures(
    line: InvoiceLine, net: Decimal, currency: str
) -> tuple[Decimal, Decimal, Decimal] | None:
    """(quantity, unit price, discount amount) that give `net` in Sage's arithmetic, if any do."""
    quantity, unit_price = line.quantity, line.unit_price
    if quantity < 0:
        quantity, unit_price = -quantity, -unit_price
    gross = quantity * unit_price
    discount = money.round_for_sage(gross, currency) - net
    # A discount above the exact product would leave less than nothing to be rounded.
    has_two_decimals = unit_price == money.round_for_sage(unit_price, currency)
    if quantity and has_two_decimals and (discount == 0 or 0 < discount <= gross):
        return quantity, unit_price, discount
    return None


def _said(line: InvoiceLine) -> str:
    """A line's figures as Productive states them."""
    said = f"{money.text(line.quantity.normalize())} × {line.unit_price}"
    if not line.discount_percent:
        return said
    return f"{said} less {money.text(line.discount_percent.normalize())} %"


def _description(line: InvoiceLine, position: int) -> str:
    return (
        plain_text(line.description)
        or plain_text(line.service_name)
        or plain_text(line.service_type_name)
        or f"Line {position}"
    )


# --- checking


def expectation(draft: Draft) -> dict[str, Any]:
    """What Sage must answer, as plain text for the store.

    Productive's tax, where the copy has its rate: a cent that no rounding explains is a difference.
    """
    due = draft.tax if draft.mirrored_tax is None else draft.mirrored_tax
    return {
        "currency": draft.currency,
        "net": money.text(draft.net),
        "tax": money.text(due),
        "total": money.text(draft.net + due),
        # A draft gets its number when it is released.
        "number": None if draft.is_unbooked else draft.number,
        "is_draft": draft.is_unbooked,
        "line_nets": [money.text(line.net) for line in draft.lines],
    }


def as_it_is(document: SageDocument, number: str | None) -> dict[str, Any]:
    """What a draft must be once it is booked: as it stands in Sage, under its number if any."""
    return {
        "currency": document.currency,
        "net": money.text(document.net),
        "tax": money.text(document.tax),
        "total": money.text(document.total),
        "number": number,
        "is_draft": False,
        "line_nets": [money.text(line.net) for line in document.lines],
    }


def differences(expected: Mapping[str, Any], found: SageDocument) -> dict[str, tuple[str, str]]:
    """What Sage holds that is not as planned: name to (planned, found); empty when all is right.

    Amounts are compared exactly.
    """
    differ: dict[str, tuple[str, str]] = {}
    is_draft = bool(expected.get("is_draft"))
    if found.is_draft != is_draft:
        differ["status"] = ("draft" if is_draft else "booked", found.status)
    for name, value in (("net", found.net), ("tax", found.tax), ("total", found.total)):
        if Decimal(expected[name]) != value:
            differ[name] = (expected[name], money.text(value))
    if found.currency and found.currency != expected["currency"]:
        differ["currency"] = (expected["currency"], found.currency)
    if expected["number"] is not None and found.number != expected["number"]:
        differ["number"] = (expected["number"], found.number)
    planned = [Decimal(net) for net in expected["line_nets"]]
    nets = [line.net for line in found.lines]
    if len(planned) != len(nets):
        differ["lines"] = (str(len(planned)), str(len(nets)))
    elif planned != nets:
        n = next(i for i, pair in enumerate(zip(planned, nets, strict=True)) if pair[0] != pair[1])
        differ[f"net of line {n + 1}"] = (str(planned[n]), money.text(nets[n]))
    return differ
