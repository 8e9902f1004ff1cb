"""What Productive answers, as records; an answer that is no such thing raises ValueError."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from productive_sage import money
from productive_sage.errors import AmountsUnclear, NotFound, Refused
from productive_sage.kinds import CREDIT_NOTE, INVOICE, Kind
from productive_sage.productive.records import Address, ChargedTax, Company, InvoiceLine
from productive_sage.text import day, identity, quoted, text_of, tidy

_KINDS: Mapping[Any, Kind] = {1: INVOICE, 2: CREDIT_NOTE}
Included = Mapping[tuple[str, str], dict[str, Any]]


def kind(row: Mapping[str, Any]) -> Kind:
    """What a row plainly is; raises NotFound where it was deleted, else `not_an_invoice`."""
    said, name = row["attributes"], names(row)[-1]
    if day(said.get("deleted_at")):
        raise NotFound(f"`{name}` was deleted in Productive on {day(said['deleted_at'])}")
    kind = said.get("invoice_type_id")
    if isinstance(kind, bool) or kind not in _KINDS:
        raise Refused(
            f"Productive does not say plainly whether `{name}` is an invoice or a credit note "
            f"(`invoice_type_id` {quoted(repr(kind))})",
            code="not_an_invoice",
            hint="look at it in Productive; if it is an invoice, report this to psage",
        )
    return _KINDS[kind]


def is_finalised(said: Mapping[str, Any]) -> bool:
    """Whether a document is one, and no draft."""
    return bool(day(said.get("finalized_on")) or day(said.get("finalized_at")))


def related(row: Mapping[str, Any], name: str, included: Included) -> dict[str, Any] | None:
    """The record a relation points to; just type and id where it was not included."""
    pointer = (row.get("relationships", {}).get(name) or {}).get("data")
    if not pointer:
        return None
    key = (str(pointer["type"]), identity_of(pointer["id"]))
    return included.get(key, {"type": key[0], "id": key[1], "attributes": {}})


def invoice_of(row: Mapping[str, Any], included: Included) -> str:
    """The invoice a payment is for."""
    invoice = related(row, "invoice", included)
    if invoice is None:
        raise TypeError(f"payment {row['id']} has no invoice")
    return identity_of(invoice["id"])


def names(row: Mapping[str, Any]) -> list[str]:
    """The invoice's id and, where it has one, its number."""
    return [identity_of(row["id"]), *map(str, filter(None, [row["attributes"].get("number")]))]


def identity_of(value: Any) -> str:
    """An id of Productive: digits alone. Raises ValueError for anything else."""
    found = identity(value)
    if not (found.isascii() and found.isdigit()):
        raise ValueError(f"`{quoted(found)}` is no id")
    return found


def number(value: Any) -> Decimal:
    """A number, exactly."""
    return money.parse(value) if value not in (None, "") else money.ZERO


def minor(
    said: Mapping[str, Any], name: str, digits: int, *, missing: int | None = None
) -> Decimal:
    """An amount in major units; AmountsUnclear names it."""
    value = said.get(name)
    try:
        return money.from_minor(missing if value in (None, "") else value, digits)
    except AmountsUnclear as error:
        raise AmountsUnclear(
            f"what Productive says as `{name}` is unclear: {error.message}",
            hint="look at the document in Productive; if it is right, report this to psage",
        ) from None


def company(row: Mapping[str, Any]) -> Company:
    """A company."""
    said = row["attributes"]
    return Company(
        id=identity_of(row["id"]),
        name=tidy(text_of(said.get("billing_name"))) or tidy(text_of(said.get("name"))),
        tax_number=tidy(text_of(said.get("vat"))),
    )


def address(row: Mapping[str, Any] | None) -> Address:
    """A billing address; empty where there is none."""
    said = row["attributes"] if row else {}

    def part(name: str) -> str:
        return tidy(text_of(said.get(name)))

    return Address(
        name=part("name"),
        email=part("email"),
        street=part("address"),
        city=part("city"),
        region=part("state"),
        postal_code=part("zipcode"),
        country=part("country"),
        tax_number=part("vat"),
    )


_COMPONENTS = ("primary_component_value", "secondary_component_value")
"""The percentages of a tax rate."""


def _parts(said: Mapping[str, Any], *names: str) -> tuple[Decimal, ...]:
    """The percentages of a tax rate that are not zero."""
    return tuple(part for name in names if (part := number(said.get(name))))


def charged_tax(row: Mapping[str, Any]) -> ChargedTax:
    """A tax rate that lines may have."""
    said = row["attributes"]
    parts = _parts(said, *_COMPONENTS)
    return ChargedTax(tidy(text_of(said.get("name"))), sum(parts, Decimal(0)))


def _tax_parts(row: Mapping[str, Any], included: Included) -> tuple[Decimal, ...] | None:
    """The percentages of a line's tax rate; None where Productive does not show it.

    Its own `tax_value` may be null although tax is charged.
    """
    rate = related(row, "tax_rate", included)
    if rate and rate["attributes"]:
        return _parts(rate["attributes"], *_COMPONENTS)
    has_none = "data" in (row.get("relationships", {}).get("tax_rate") or {}) and rate is None
    return _parts(row["attributes"], "tax_value") or (() if has_none else None)


def _tax_name(row: Mapping[str, Any], included: Included) -> str:
    """The name of a line's tax rate; its own word for it is often missing, and often shorter."""
    rate = related(row, "tax_rate", included)
    shown = rate["attributes"].get("name") if rate else None
    return tidy(text_of(shown or row["attributes"].get("tax_name")))


def line(row: Mapping[str, Any], included: Included, digits: int) -> InvoiceLine:
    """A line of a document, its amounts in major units."""
    said = row["attributes"]
    service = related(row, "service", included)
    service_type = related(row, "service_type", included)
    return InvoiceLine(
        id=identity_of(row["id"]),
        description=text_of(said.get("description")),
        quantity=number(said.get("quantity")),
        unit_price=minor(said, "unit_price", digits, missing=0),
        discount_percent=number(said.get("discount")),
        amount=minor(said, "amount", digits),
        service_type_id=identity_of(service_type["id"]) if service_type else None,
        service_type_name=text_of(service_type["attributes"].get("name")) if service_type else "",
        service_name=text_of(service["attributes"].get("name")) if service else "",
        tax_parts=_tax_parts(row, included),
        tax_name=_tax_name(row, included),
    )
