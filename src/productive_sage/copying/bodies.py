"""What Sage is sent: the bodies of its documents, contacts and allocations. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from productive_sage import markers, money
from productive_sage.copying.records import Draft, DraftLine
from productive_sage.errors.notices import Notice
from productive_sage.kinds import INVOICE, Kind
from productive_sage.productive.records import Address, Company
from productive_sage.productive.richtext import plain_text
from productive_sage.sage.records import SageDocument
from productive_sage.text import emails


def document_body(draft: Draft, contact_id: str) -> dict[str, Any]:
    """The object of a POST, without the key that makes it repeatable."""
    kind = draft.kind
    body: dict[str, Any] = {
        "contact_id": contact_id,
        "date": draft.invoiced_on.isoformat(),
        "reference": draft.reference or draft.marker,
        "currency_id": draft.currency,
        kind.lines: [_line_body(line, is_tax_sent=draft.is_tax_sent) for line in draft.lines],
    }
    if draft.is_unbooked:  # said with each update too: what Sage makes of a PUT without is unknown
        body["status_id"] = "DRAFT"
    if draft.due_on and kind is INVOICE:
        body["due_date"] = draft.due_on.isoformat()
    if draft.original_on:
        body["original_invoice_date"] = draft.original_on.isoformat()
    if draft.notes is not None:
        body["notes"] = draft.notes
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
    them in place. A number, reference or note that is right already is left alone.
    """
    changed = dict(body)
    for name, there in (("reference", present.reference), ("notes", present.notes)):
        if changed.get(name) == there:
            del changed[name]
    if changed.get(kind.number) == present.number:
        del changed[kind.number], changed[f"{kind.number}_prefix"]
    ids = [line.id for line in present.lines]
    kept = {line.get("id") for line in body[kind.lines]}
    free = (key for key in ids if key not in kept)
    changed[kind.lines] = [_addressed(line, ids, free) for line in body[kind.lines]]
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
