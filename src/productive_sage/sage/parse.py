"""What Sage answers, as records; an answer that is no such thing raises ValueError."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from productive_sage import money
from productive_sage.errors import (
    AmountsUnclear,
)
from productive_sage.kept import Contact
from productive_sage.kinds import Kind
from productive_sage.sage.records import Item, Receipt, SageDocument, SageLine, Settlement, TaxRate
from productive_sage.text import day, identity, quoted, text_of, web_address


def reference_id(reference: Any) -> str:
    """The id of a reference object, or empty where there is none."""
    found = reference.get("id") if isinstance(reference, dict) else None
    return "" if found is None else identity(found)


def moment(value: Any) -> datetime | None:
    """A moment as Sage writes it, or None."""
    return datetime.fromisoformat(str(value)) if value else None


def exact(value: Any) -> Decimal:
    """An amount with two decimals at least, also where JSON has it as `2130.0`."""
    try:
        return (money.parse(value) if value not in (None, "") else money.ZERO) + Decimal("0.00")
    except AmountsUnclear as error:
        raise ValueError(error.message) from None


def check_about(found: str, sent: str) -> None:
    """Raises ValueError where an answer carries another marker than was sent: of another."""
    if sent and " ".join(found.split()) != " ".join(sent.split()):
        raise ValueError(f"it is about `{quoted(found)}`, not `{quoted(sent)}`")


def number(kind: Kind, row: Mapping[str, Any]) -> str:
    """The number as people see it; whether Sage repeats the prefix in it is not documented."""
    prefix, number = text_of(row.get(f"{kind.number}_prefix")), text_of(row[kind.number])
    return number if number.startswith(prefix) else prefix + number


def contact(row: Mapping[str, Any]) -> Contact:
    """A contact."""
    person, address = row.get("main_contact_person"), row.get("main_address")
    email = row.get("email") or (person.get("email") if isinstance(person, dict) else "")
    address = address if isinstance(address, dict) else {}
    return Contact(
        id=identity(row["id"]),
        name=text_of(row.get("name") or row.get("displayed_as")),
        reference=text_of(row.get("reference")),
        currency=reference_id(row.get("currency")),
        email=text_of(email),
        country=reference_id(address.get("country")),
        marker=text_of(row.get("source_guid")),
        tax_number=text_of(row.get("tax_number")).strip(),
        made_at=text_of(row.get("created_at")),
        is_active=row.get("is_active") is not False,
        # A mere reference does not say what is in it.
        has_address=is_address(address) if "city" in address else None,
    )


_PERCENT_IN_NAME = re.compile(r"[1-9]\d*(?:[.,]\d+)?\s*%|0?[.,]\d*[1-9]\d*\s*%")


def tax_rate(row: Mapping[str, Any]) -> TaxRate:
    """A tax rate with its percentages by day.

    A percentage that is missing is none to be booked with; it is 0 where the name says no other,
    as of a rate for no tax.
    """
    name = text_of(row.get("displayed_as") or row.get("name") or row["id"]).strip()
    is_named = bool(_PERCENT_IN_NAME.search(name))
    dated = [
        (exact(entry.get("percentage")), day(entry.get("from_date")), day(entry.get("to_date")))
        for entry in row.get("percentages") or []
        if not (is_named and entry.get("percentage") in (None, ""))
    ]
    if not row.get("percentages") and row.get("percentage") is not None:
        dated = [(exact(row["percentage"]), None, None)]
    return TaxRate(
        id=identity(row["id"]),
        code=text_of(row.get("name")),
        name=name,
        is_visible=row.get("is_visible") is not False,
        percentages=tuple(dated),
    )


def item(kind: str, row: Mapping[str, Any]) -> Item:
    """A product, stock item or service."""
    return Item(
        kind=kind,
        id=identity(row["id"]),
        code=text_of(row.get("item_code")),
        name=text_of(row.get("description") or row.get("displayed_as")),
        ledger_account_id=reference_id(row.get("sales_ledger_account")) or None,
        is_active=row.get("active") is not False,
    )


def instant(moment: datetime) -> str:
    """A moment as Sage reads it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def receipt(row: Mapping[str, Any]) -> Receipt:
    """A receipt, refund or allocation."""
    settled = row.get("allocated_artefacts")
    if settled is None or not all(reference_id(one.get("artefact")) for one in settled):
        return Receipt(identity(row["id"]), None)  # a row that names no artefact may settle any
    artefacts = [(one["artefact"], exact(one.get("amount"))) for one in settled]
    return Receipt(
        id=identity(row["id"]),
        document_ids=frozenset(reference_id(artefact) for artefact, _ in artefacts),
        from_paths=frozenset(
            text_of(artefact.get("$path")) for artefact, amount in artefacts if amount < 0
        ),
    )


def attached(document: SageDocument, row: Mapping[str, Any]) -> tuple[str, bool]:
    """The id of an attachment, and whether it names the document or its transaction."""
    linked = {reference_id(row.get("attachment_context")), reference_id(row.get("transaction"))} - {
        ""
    }
    return identity(row["id"]), bool(linked & {document.id, document.transaction_id})


def _settlement(row: Mapping[str, Any]) -> Settlement:
    artefact = row.get("artefact") or {}
    return Settlement(
        on=day(row.get("date")),
        amount=exact(row.get("amount")),
        discount=exact(row.get("discount")),
        reference=text_of(row.get("reference")).strip(),
        receipt_id=reference_id(row.get("contact_payment")),
        allocation_id=reference_id(row.get("contact_allocation")),
        artefact_id=reference_id(artefact),
        artefact_path=text_of(artefact.get("$path")),
        is_refund=bool(row.get("negative_payment")),
    )


def document(kind: Kind, row: Mapping[str, Any]) -> SageDocument:
    """A sales invoice or credit note, with what of it the row has."""
    links = row.get("links") or []
    pages = [
        web_address(link.get("href"))
        for link in links
        if link.get("rel") == "alternate" and link.get("type") == "text/html"
    ]
    contact = row.get("contact") or {}
    outstanding, settled = row.get("outstanding_amount"), row.get("payments_allocations")
    return SageDocument(
        id=identity(row["id"]),
        number=number(kind, row),
        reference=text_of(row.get("reference")),
        status=reference_id(row.get("status")),
        currency=reference_id(row.get("currency")),
        invoiced_on=day(row.get("date")),
        contact_id=reference_id(contact),
        contact_name=text_of(row.get("contact_name") or contact.get("displayed_as")),
        net=exact(row.get("net_amount")),
        tax=exact(row.get("tax_amount")),
        total=exact(row.get("total_amount")),
        outstanding=None if outstanding is None else exact(outstanding),
        is_editable=row.get("editable") is not False,
        is_in_tax_return=bool(row.get("tax_reconciled")),
        url=pages[0] if pages else None,
        lines=tuple(_sage_line(line) for line in row.get(kind.lines) or []),
        settlements=None if settled is None else tuple(_settlement(one) for one in settled),
        transaction_id=reference_id(row.get("transaction")),
        address=_shown_address(row),
        notes=text_of(row.get("notes")),
        due_on=day(row.get("due_date")),
        original_on=day(row.get("original_invoice_date")),
        made_at=moment(row.get("created_at")),
        changed_at=moment(row.get("updated_at")),
    )


def _shown_address(row: Mapping[str, Any]) -> str:
    address = row.get("main_address")
    shown = address.get("displayed_as") if isinstance(address, dict) else None
    return text_of(row.get("main_address_free_form") or shown)


def _sage_line(row: Mapping[str, Any]) -> SageLine:
    items = [
        (name, reference_id(row.get(name.removesuffix("_id"))))
        for name in ("service_id", "product_id")
    ]
    return SageLine(
        id=identity(row["id"]),
        net=exact(row.get("net_amount")),
        tax=exact(row.get("tax_amount")),
        tax_rate_id=reference_id(row.get("tax_rate")),
        description=text_of(row.get("description")),
        quantity=exact(row.get("quantity")),
        unit_price=exact(row.get("unit_price")),
        discount=exact(row.get("discount_amount")),
        ledger_account_id=reference_id(row.get("ledger_account")),
        item=next(((name, key) for name, key in items if key), None),
        goods_or_services=reference_id(row.get("eu_goods_services_type")),
    )


def is_address(fields: Mapping[str, Any]) -> bool:
    """Whether a letter could be sent there: Sage wants an address, and a country alone is none."""
    return any(
        fields.get(name) for name in ("address_line_1", "address_line_2", "city", "postal_code")
    )
