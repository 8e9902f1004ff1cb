"""From a Productive invoice to a Sage one, and whether Sage's answer is what was planned.

Pure: no input or output, no clock, no settings look-ups. The copy's net is Productive's to the
cent, line by line: through the discount, or, where Sage's arithmetic (quantity times price less
discount, rounded) cannot give a line's net, as 1 times its net, with a notice. Each line's net is
sent along, so that a Sage that rounds otherwise refuses the document instead of booking it.
"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from productive_sage import markers, money
from productive_sage.errors import AmountsUnclear, PartialCredit
from productive_sage.models import (
    CREDIT_NOTE,
    INVOICE,
    Address,
    Company,
    Contact,
    Credited,
    Draft,
    DraftLine,
    Invoice,
    InvoiceLine,
    Item,
    Kind,
    Notice,
    SageDocument,
    SageLine,
)
from productive_sage.tax import Charged, Charges, Tax, own_taxes
from productive_sage.text import clean, emails, folded, same_tax_number

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
    taxes, is_its_rate = _taxes(invoice, nets, tax)
    planned = [
        _line(
            line,
            invoice=invoice,
            position=n,
            net=net,
            own_tax=own_tax,
            tax=tax,
            default_ledger_account=default_ledger_account,
            item=items.get(line.service_type_id or ""),
        )
        for n, (line, net, own_tax) in enumerate(zip(invoice.lines, nets, taxes, strict=True), 1)
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
        is_no_tax_said=tax.is_none_said,
        is_tax_sent=tax.is_sent,
        notices=(*tax.notices, *_notices(planned)),
    )
    return retaxed(invoice, draft)


def _taxes(invoice: Invoice, nets: Sequence[Decimal], tax: Tax) -> tuple[list[Decimal], bool]:
    """The tax of each line, and whether the copy has Productive's rate.

    It comes to Productive's tax then, where rounding explains that.
    """
    charges = Charges(
        tuple(Charged(net, line.tax_parts) for line, net in zip(invoice.lines, nets, strict=True)),
        invoice.tax,
        invoice.currency,
        is_discounted=bool(invoice.discount_percent),
    )
    is_its_rate = charges.is_of_rate(tax.percent)
    mirrored = charges.mirrored(tax.percent) if is_its_rate else None
    return mirrored or own_taxes(nets, tax.percent, invoice.currency), is_its_rate


def credit_document(note: Invoice, copy: SageDocument, *, marker: str, number: str | None) -> Draft:
    """Plan the credit note for the whole of an invoice's copy, as that stands in Sage.

    Its lines are those of the copy, with the credit note's own words where the amounts are the same
    line by line. Raises PartialCredit where they do not make up the copy's total.
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
        raise PartialCredit(
            f"{note.label} must credit the whole of {copy.number}, which is "
            f"{money.said(copy.total, copy.currency)}, but the lines Sage shows of it come to "
            f"{money.said(net + tax, copy.currency)}",
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
            tax_rate_id=sage_line_tax_rate(copy.lines) or "",
        ),
    )


def _credited_line(line: SageLine, source: InvoiceLine | None, position: int) -> DraftLine:
    """A line of a copy once more; quantities of a credit note are never negative."""
    sign = -1 if line.quantity < 0 else 1
    words = _description(source, position) if source else line.description
    return DraftLine(
        description=words[:DESCRIPTION_LIMIT],
        ledger_account_id=line.ledger_account_id,
        quantity=sign * line.quantity,
        unit_price=sign * line.unit_price,
        discount=line.discount,
        net=line.net,
        tax=line.tax,
        tax_rate_id=line.tax_rate_id or None,
        item=line.item,
        goods_or_services=line.goods_or_services or None,
        source_id=source.id if source else line.id,
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
    elif tax != draft.tax and not draft.is_no_tax_said:
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


def check_whole(note: Invoice) -> Credited:
    """The invoice a credit note credits.

    Raises PartialCredit unless it credits the whole of it: same currency, net and gross the exact
    negative.
    """
    credited = note.credited
    if credited is None:
        raise AmountsUnclear(
            f"Productive does not show which invoice {note.label} credits",
            hint="look at the credit note in Productive; the token must be allowed to see both",
        )
    gross = note.net + note.tax
    if (note.currency, note.net, gross) != (credited.currency, -credited.net, -credited.gross):
        raise PartialCredit(
            f"{note.label} credits {-gross} {note.currency} (net {-note.net}) of "
            f"{credited.label}, which is {credited.gross} {credited.currency} "
            f"(net {credited.net}); only a credit note for the whole invoice is copied",
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
            hint = "check `[minor_digits]` in the settings file"
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
    tax: Tax,
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
        tax_rate_id=tax.rate_id,
        # Sage's lines name a service or a product; a stock item is a product there.
        item=("service_id" if item.kind == "service" else "product_id", item.id) if item else None,
        goods_or_services=tax.goods_or_services,
        source_id=line.id,
        service_type_id=line.service_type_id or "",
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


# --- text


_BLOCKS = frozenset(
    "address article aside blockquote br center dd details div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section summary table tbody "
    "tfoot thead tr ul caption".split()
)
_CELLS = frozenset(("td", "th"))
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big body button cite code col colgroup data datalist del dfn em font "
    "head html i iframe img input ins kbd label legend link map mark meta meter noscript object "
    "option output picture progress q rp rt ruby s samp script select small source span strike "
    "strong style sub sup svg template textarea time title tt u var video wbr".split()
)
_WITHOUT_END = frozenset("! br hr wbr".split())
"""Elements that are markup without an end as well; any other alone is a word: `<address> field`."""
_OPEN = frozenset("dd dt li p tbody td tfoot th thead tr".split())
"""Elements whose end may be left out, among other markup: one alone is a word: `<tr> rows`."""
_HIDDEN = frozenset(("script", "style", "!--"))
_TAG = re.compile(
    r"""<!--|-->|<[!?][A-Za-z\[][^<>]*>|<(/?)([A-Za-z][\w:.-]*)"""
    r"""((?:\s+[\w:@.-]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>=]+))*)\s*/?>"""
)
_REFERENCE = re.compile(r"&(?:#[0-9xX][0-9A-Fa-f]*|[A-Za-z][A-Za-z0-9]*);?")


def _name(tag: re.Match[str]) -> str:
    return "!--" if tag[0] in ("<!--", "-->") else (tag[2] or "!").lower()


def _markup(tags: Sequence[re.Match[str]]) -> dict[int, int]:
    """Which tags are markup, not words in angle brackets: those known, and with their other half.

    Each with the last tag of what is left out with it: the end of a comment or a script.
    """
    markup: dict[int, int] = {}
    begun: dict[str, list[int]] = {}
    for at, tag in enumerate(tags):
        name = _name(tag)
        if not (":" in name or name in _BLOCKS | _CELLS | _INLINE | _HIDDEN | {"!"}):
            continue
        if name in _WITHOUT_END or tag[3] or ":" in name:
            markup[at] = at
        if not (tag[1] or tag[0] == "-->"):
            begun.setdefault(name, []).append(at)
        elif begun.get(name):
            start = begun[name].pop()
            markup |= {start: at if name in _HIDDEN else start, at: at}
    open_ = [at for at, tag in enumerate(tags) if _name(tag) in _OPEN]
    if markup or len(open_) > 1:
        markup |= {at: at for at in open_ if at not in markup}
    return markup


def _stands_for(tag: re.Match[str]) -> str:
    """Blocks and breaks stand for line breaks, list items get a dash."""
    name = _name(tag)
    if name in _BLOCKS:
        return "\n- " if name == "li" and not tag[1] else "\n"
    return " " if name in _CELLS and not tag[1] else ""


def plain_text(value: str) -> str:
    """Text without markup: entities resolved, line breaks kept, spaces folded.

    What only looks like markup stays as it was typed (`<joe@example.com>`, `a<b and c>d`, `R&D;`),
    but for `<` before a word and for what is an entity: Sage refuses those, so they are put in
    characters that look like them.
    """
    tags = list(_TAG.finditer(value))
    markup = _markup(tags)
    parts, done = [], 0
    for at, tag in enumerate(tags):
        if at in markup and tag.start() >= done:
            parts += [value[done : tag.start()], _stands_for(tag)]
            done = tags[markup[at]].end()
    parts.append(value[done:])
    lines = clean("".join(map(html.unescape, parts)).replace("\xa0", " ")).splitlines()
    folded = [re.sub(r"[^\S\n]+", " ", line).strip() for line in lines]
    text = "\n".join(line for line in folded if line and line != "-")
    text = re.sub(r"<(?=[A-Za-z/!?])", "‹", text)
    return _REFERENCE.sub(_as_typed, text)


def _as_typed(reference: re.Match[str]) -> str:
    """What looks like an entity: as it is where it is none (`R&D;`), else so that it stays."""
    said = reference[0]
    return said if html.unescape(said) == said else f"＆{said[1:]}"


# --- request bodies


def document_body(draft: Draft, contact_id: str) -> dict[str, Any]:
    """The object of a POST, without the key that makes it repeatable."""
    kind = draft.kind
    body: dict[str, Any] = {
        "contact_id": contact_id,
        "date": draft.invoiced_on.isoformat(),
        "reference": draft.marker,
        "currency_id": draft.currency,
        kind.lines: [_line_body(line, is_tax_sent=draft.is_tax_sent) for line in draft.lines],
    }
    if draft.due_on and kind is INVOICE:
        body["due_date"] = draft.due_on.isoformat()
    if draft.original_on:
        body["original_invoice_date"] = draft.original_on.isoformat()
    if draft.address:
        # Sage asks for both, and takes either from the contact where that has one.
        body |= {"main_address": dict(draft.address), "delivery_address": dict(draft.address)}
    if draft.number is not None:
        # Productive's number carries its own prefix; Sage's would be put before it.
        body |= {kind.number: draft.number, f"{kind.number}_prefix": ""}
    return body


def _line_body(line: DraftLine, *, is_tax_sent: bool) -> dict[str, Any]:
    body = {
        **({"id": line.id} if line.id else {}),
        "description": line.description,
        "ledger_account_id": line.ledger_account_id,
        "quantity": money.text(line.quantity.normalize()),
        "unit_price": _price(line.unit_price),
        "discount_amount": money.for_sage(line.discount),
        "net_amount": money.for_sage(line.net),
    }
    if is_tax_sent:
        body["tax_amount"] = money.for_sage(line.tax)
    if line.tax_rate_id:
        body["tax_rate_id"] = line.tax_rate_id
    if line.item:
        body[line.item[0]] = line.item[1]
    if line.goods_or_services:
        body["eu_goods_services_type_id"] = line.goods_or_services
    return body


def _price(value: Decimal) -> str:
    """A price in one form, whoever it was read from: two decimals, or all where it has more."""
    plain = value.normalize()
    cents = Decimal("0.01")
    return money.text(plain.quantize(cents) if plain == plain.quantize(cents) else plain)


def allocation_body(invoice: SageDocument, note: SageDocument, amount: Decimal) -> dict[str, Any]:
    """The `contact_allocation` that sets `amount` of a credit note against an invoice."""
    days = [day for day in (invoice.invoiced_on, note.invoiced_on) if day]
    value = money.for_sage(amount)
    return {
        "transaction_type_id": "CUSTOMER_ALLOCATION",
        "contact_id": note.contact_id,
        "date": max(days).isoformat(),
        "allocated_artefacts": [
            {"artefact_id": invoice.id, "amount": value},
            {"artefact_id": note.id, "amount": f"-{value}"},
        ],
    }


def update_body(kind: Kind, body: Mapping[str, Any], present: SageDocument) -> dict[str, Any]:
    """Turn a POST body into that of a PUT on `present`.

    Its lines keep their ids, and new ones take those of lines that are to go, so that Sage changes
    them in place. A number or reference that is right already is left alone: people add to
    references.
    """
    changed = dict(body)
    if markers.in_reference(present.reference) == markers.in_reference(str(body["reference"])):
        del changed["reference"]
    if changed.get(kind.number) == present.number:
        del changed[kind.number], changed[f"{kind.number}_prefix"]
    there = [line.id for line in present.lines]
    kept = {line.get("id") for line in body[kind.lines]}
    free = (key for key in there if key not in kept)
    changed[kind.lines] = [_addressed(line, there, free) for line in body[kind.lines]]
    return changed


def _addressed(
    line: Mapping[str, Any], there: Sequence[str], free: Iterator[str]
) -> dict[str, Any]:
    key = line["id"] if line.get("id") in there else next(free, None)
    unaddressed = {name: value for name, value in line.items() if name != "id"}
    return {"id": key, **unaddressed} if key else unaddressed


def contact_body(
    company: Company, bill_to: Address, *, currency: str, base_currency: str, country: str
) -> tuple[dict[str, Any], list[Notice]]:
    """The `contact` object of a new customer, cut to Sage's lengths, with what was cut."""
    address, notices = address_body(bill_to, country)
    body: dict[str, Any] = {
        "name": _fit(company.name or bill_to.name, 100, "name", notices),
        "contact_type_ids": ["CUSTOMER"],
        "currency_id": currency,
        "source_guid": markers.of_company(company.id, currency, base_currency),
        "main_address": {"name": "Main Address", **address},
    }
    if tax_number := bill_to.tax_number or company.tax_number:
        body["tax_number"] = tax_number
    found, rest = emails(bill_to.email)
    usable = [one for one in found if len(one) <= 100]
    if usable:
        person = _fit(bill_to.name or company.name, 50, "contact person", notices)
        body["main_contact_person"] = {"name": person, "email": usable[0]}
    if unused := [*rest, *(one for one in found if one not in usable[:1])]:
        taken = f"takes `{usable[0]}`" if usable else "has no e-mail address"
        said = f"the new customer {taken}; left out of what Productive has: {', '.join(unused)}"
        notices.append(Notice("email_left_out", said))
    return body, notices


def address_body(bill_to: Address, country: str) -> tuple[dict[str, str], list[Notice]]:
    """An address in Sage's fields, cut to their lengths, with what was cut; empty parts left out.

    `country` is the two-letter code, or empty where Sage has none for it.
    """
    notices: list[Notice] = []
    street = [part.strip() for part in re.split(r"[\n,]+", plain_text(bill_to.street))]
    first, *more = [part for part in street if part] or [""]
    address = {
        "address_line_1": _fit(first, 50, "street", notices),
        "address_line_2": _fit(", ".join(more), 50, "street", notices),
        "city": _fit(bill_to.city, 50, "city", notices),
        "region": _fit(bill_to.region, 50, "region", notices),
        "postal_code": _fit(bill_to.postal_code, 10, "postal code", notices),
        "country_id": country,
    }
    return {key: value for key, value in address.items() if value}, notices


def is_address(fields: Mapping[str, Any]) -> bool:
    """Whether a letter could be sent there: Sage wants an address, and a country alone is none."""
    return any(
        fields.get(name) for name in ("address_line_1", "address_line_2", "city", "postal_code")
    )


def _fit(value: str, limit: int, field: str, notices: list[Notice]) -> str:
    if len(value) > limit:
        notices.append(
            Notice("customer_cut", f"the customer's {field} is cut to {limit} characters")
        )
    return value[:limit].strip()


_IN_WORDS = (
    (r"e-?mail", "e-mail address", ("main_contact_person", "email")),
    (r"(tax|vat)[ _](number|registration)", "tax number", ("tax_number",)),
    (r"post(al)?[ _]?code", "postal code", ("main_address", "postal_code")),
    (r"address[ _]line[ _]?1", "street", ("main_address", "address_line_1")),
    (r"address[ _]line[ _]?2", "street", ("main_address", "address_line_2")),
    (r"\bcity\b", "city", ("main_address", "city")),
    (r"\bregion\b", "region", ("main_address", "region")),
    (r"country", "country", ("main_address", "country_id")),
    (r"contact\.name\b", "name", ("name",)),
    (r"due[ _]date", "due date", ("due_date",)),
    (r"\.date\b", "date", ("date",)),
)


def blamed(said: str, sent: Mapping[str, Any]) -> list[str]:
    """What a service's refusal is about, of the values that Productive gave: `the date `…``.

    `said` are its words and the fields it names, `sent` is the object it refused.
    """
    found = []
    for pattern, name, path in _IN_WORDS:
        value: Any = sent
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value and re.search(pattern, said, re.IGNORECASE):
            found.append(f"the {name} `{value}`")
    return found


# --- customers


def matching_customers(
    contacts: Sequence[Contact],
    company: Company,
    bill_to: Address,
    *,
    currency: str,
    base_currency: str,
) -> tuple[list[Contact], list[Contact]]:
    """The contacts that are this company in this currency, and those only a person can tell.

    psage's own mark decides; else the tax number and the name. An e-mail address alone is a
    question, and so is a contact of psage's own that has got another tax number.
    """
    usable = [
        contact
        for contact in contacts
        if (contact.currency or base_currency) == currency and not _is_of_another(contact, company)
    ]
    ours: list[Contact] = []
    odd: list[Contact] = []
    for contact in usable:
        if markers.in_guid(contact.mark) == company.id:
            (odd if _has_other_tax_number(contact, company, bill_to) else ours).append(contact)
    if ours:
        return ours, []
    alike = [contact for contact in usable if is_company(contact, company, bill_to)]
    if odd:
        return [], [*odd, *alike]
    if alike:
        sure = [one for one in alike if _has_name(one, company) and _has_tax(one, company, bill_to)]
        return sure or alike, []
    known = {email.casefold() for email in emails(bill_to.email)[0]}
    return [], [
        contact
        for contact in usable
        if known & {email.casefold() for email in emails(contact.email)[0]}
        and not _has_other_tax_number(contact, company, bill_to)
    ]


def is_company(contact: Contact, company: Company, bill_to: Address) -> bool:
    """Whether psage's mark, the tax number or the name says so, and none of them otherwise."""
    if is_another(contact, company, bill_to):
        return False
    return (
        markers.in_guid(contact.mark) == company.id
        or _has_tax(contact, company, bill_to)
        or _has_name(contact, company)
    )


def is_another(contact: Contact, company: Company, bill_to: Address) -> bool:
    """Whether psage's mark or the tax number says that the contact is another company."""
    return _is_of_another(contact, company) or _has_other_tax_number(contact, company, bill_to)


def _is_of_another(contact: Contact, company: Company) -> bool:
    return markers.in_guid(contact.mark) not in (None, company.id)


def _has_name(contact: Contact, company: Company) -> bool:
    return bool(company.name) and folded(contact.name) == folded(company.name)


def _has_tax(contact: Contact, company: Company, bill_to: Address) -> bool:
    return True in _tax_numbers(contact, company, bill_to)


def _has_other_tax_number(contact: Contact, company: Company, bill_to: Address) -> bool:
    """Whether both have tax numbers, and no two of them are one."""
    same = _tax_numbers(contact, company, bill_to)
    return False in same and True not in same


def _tax_numbers(contact: Contact, company: Company, bill_to: Address) -> set[bool | None]:
    numbers = (company.tax_number, bill_to.tax_number)
    return {same_tax_number(contact.tax_number, number) for number in numbers}


def named_customers(contacts: Sequence[Contact], wanted: str) -> list[Contact]:
    """The contacts a person means by an id, an exact name or a reference."""
    word = folded(wanted)
    by_id = [contact for contact in contacts if contact.id == wanted.strip()]
    return by_id or [
        contact
        for contact in contacts
        if word and word in (folded(contact.name), folded(contact.reference))
    ]


# --- checking


def expectation(draft: Draft) -> dict[str, Any]:
    """What Sage must answer, as plain text for the ledger.

    Productive's tax, where the copy has its rate: a cent that no rounding explains is a difference.
    """
    due = draft.tax if draft.mirrored_tax is None else draft.mirrored_tax
    return {
        "currency": draft.currency,
        "net": money.text(draft.net),
        "tax": money.text(due),
        "total": money.text(draft.net + due),
        "number": draft.number,
        "line_nets": [money.text(line.net) for line in draft.lines],
    }


def differences(expected: Mapping[str, Any], found: SageDocument) -> dict[str, tuple[str, str]]:
    """What Sage holds that is not as planned: name to (planned, found); empty when all is right.

    Amounts are compared exactly.
    """
    differ: dict[str, tuple[str, str]] = {}
    if found.is_draft:
        differ["status"] = ("booked", found.status)
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
    if document.outstanding is not None and document.outstanding != document.total:
        return "a payment or credit note is allocated to it"
    if not document.is_editable:
        return "Sage has locked it (a closed period, a filed VAT return or an allocation)"
    return None


def sage_line_tax_rate(lines: Sequence[SageLine]) -> str | None:
    """The one tax rate all lines carry, or None."""
    rates = {line.tax_rate_id for line in lines}
    return next(iter(rates)) if len(rates) == 1 else None
