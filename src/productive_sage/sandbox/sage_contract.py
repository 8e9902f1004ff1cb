"""What Sage takes: query parameters of every list, fields of every body, and the checks.

Only what is imitated: the rest of Sage's names is refused as unknown, so that nothing is taken
and then silently left out.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, replace

from .amounts import decimal_of, is_money
from .dates import is_date
from .server import Record

_PAGED = "items_per_page page attributes"
_FEED = "updated_or_created_since deleted_since"
_DOCUMENT_LIST = (
    f"show_payments_allocations search contact_id status_id from_date to_date {_FEED} sort {_PAGED}"
)
_DOCUMENT_ONE = "show_payments_allocations nested_attributes mark_as_sent attributes"
_ITEMS = f"search active {_FEED} {_PAGED}"


def _sets(table: dict[str, str]) -> dict[str, frozenset[str]]:
    return {path: frozenset(names.split()) for path, names in table.items()}


LIST_PARAMETERS = _sets(
    {
        "attachments": f"attachment_context_id attachment_context_type_id {_FEED} {_PAGED}",
        "businesses": "",
        "contact_allocations": f"contact_id transaction_type_id {_FEED} sort {_PAGED}",
        "contact_payments": "contact_id transaction_type_id from_date to_date"
        f" {_FEED} sort {_PAGED}",
        "contacts": f"contact_type_id search email nested_attributes {_FEED} {_PAGED}",
        "countries": _PAGED,
        "currencies": _PAGED,
        "exchange_rates": _PAGED,
        "ledger_accounts": f"updated_or_created_since visible_in search {_PAGED}",
        "products": _ITEMS,
        "sales_credit_notes": _DOCUMENT_LIST,
        "sales_invoices": _DOCUMENT_LIST,
        "services": _ITEMS,
        "stock_items": _ITEMS,
        "tax_rates": f"updated_or_created_since {_PAGED}",
    }
)
ONE_PARAMETERS = _sets(
    {
        "businesses": "",
        "contacts": "nested_attributes attributes",
        "sales_credit_notes": _DOCUMENT_ONE,
        "sales_invoices": _DOCUMENT_ONE,
    }
)
FLAGS = frozenset({"active", "mark_as_sent", "show_payments_allocations"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of a refusal."""

    source: str
    message: str
    code: str = "ValidationError"


@dataclass(frozen=True)
class Field:
    """What one field of a body may hold."""

    kind: str
    limit: int | None = None
    required: bool = False
    inner: dict[str, Field] | None = None


Fields = dict[str, Field]


def _of(kind: str, names: str) -> Fields:
    """Read `name`, `name:limit` and `name*` (required) into fields of one kind."""
    fields: Fields = {}
    for word in names.split():
        name, _, limit = word.rstrip("*").partition(":")
        fields[name] = Field(kind, int(limit) if limit else None, word.endswith("*"))
    return fields


def _optional(fields: Fields) -> Fields:
    return {name: replace(field, required=False) for name, field in fields.items()}


_ADDRESS = _of(
    "text", "address_line_1:50 address_line_2:50 city:50 region:50 postal_code:10 country_id"
)
_CONTACT = (
    _of(
        "text",
        "name:100* reference:10 tax_number:255 notes:4000 locale:10 source_guid:255 currency_id"
        " idempotency_id:32",
    )
    | _of("texts", "contact_type_ids*")
    | _of("whole", "credit_days:365")
    | {
        "main_address": Field("group", inner=_ADDRESS | _of("text", "name:50")),
        "main_contact_person": Field(
            "group", inner=_of("text", "name:50 telephone:50 mobile:50 email:100")
        ),
    }
)
_LINE = _of(
    "text",
    "description* ledger_account_id* product_id service_id tax_rate_id eu_goods_services_type_id",
) | (
    _of("amount", "unit_price* quantity discount_percentage")
    | _of("money", "net_amount tax_amount total_amount discount_amount")
)
_PUT_LINE = _optional(_LINE) | _of("text", "id")
_DOCUMENT = (
    _of(
        "text",
        "contact_id* contact_name:255 contact_reference:255 reference:25 notes:2000 currency_id"
        " status_id idempotency_id:32",
    )
    | _of("date", "date*")
    | _of("money", "net_amount tax_amount total_amount")
    | _of("amount", "exchange_rate inverse_exchange_rate")
    | _of("flag", "sent")
    | dict.fromkeys(("main_address", "delivery_address"), Field("group", inner=_ADDRESS))
)
_INVOICE = (
    _DOCUMENT
    | _of("text", "invoice_number_prefix:6 invoice_number terms_and_conditions:2000")
    | _of("date", "due_date")
    | {"invoice_lines": Field("rows", required=True, inner=_LINE)}
)
_CREDIT_NOTE = (
    _DOCUMENT
    | _of("text", "credit_note_number_prefix:6 credit_note_number terms_and_conditions:65535")
    | _of("date", "original_invoice_date")
    | {"credit_note_lines": Field("rows", required=True, inner=_LINE)}
)

BODIES: dict[tuple[str, str], Fields] = {
    ("POST", "contact"): _CONTACT,
    ("PUT", "contact"): _optional(_CONTACT),
    ("POST", "sales_invoice"): _INVOICE,
    ("PUT", "sales_invoice"): _optional(_INVOICE)
    | {"invoice_lines": Field("rows", inner=_PUT_LINE)},
    ("POST", "sales_credit_note"): _CREDIT_NOTE,
    ("PUT", "sales_credit_note"): _optional(_CREDIT_NOTE)
    | {"credit_note_lines": Field("rows", inner=_PUT_LINE)},
    ("POST", "contact_allocation"): _of(
        "text", "transaction_type_id* contact_id* idempotency_id:32"
    )
    | _of("date", "date")
    | {
        "allocated_artefacts": Field(
            "rows", required=True, inner=_of("text", "artefact_id*") | _of("money", "amount*")
        )
    },
    ("POST", "attachment"): _of(
        "text",
        "file* file_name* mime_type* description attachment_context_type_id attachment_context_id"
        " transaction_id",
    )
    | _of("whole", "file_size:2621440"),
}

_GUID = re.compile(r"^[0-9a-f]{32}$")
_MARKUP = re.compile(r"<[A-Za-z/!]")
_PLAIN_TEXT = frozenset({"notes", "description"})


def check(body: Record, fields: Fields, source: str) -> list[Problem]:
    """List everything wrong with the form of `body`: names, presence, kinds, lengths, markup."""
    problems = [
        Problem(f"{source}.{name}", f"{name} is not a known attribute", "UnknownAttribute")
        for name in body
        if name not in fields
    ]
    for name, field in fields.items():
        path = f"{source}.{name}"
        value = body.get(name)
        if name not in body or value is None:
            if field.required:
                problems.append(Problem(path, f"{name} is required"))
            elif name in body:
                problems.append(Problem(path, f"{name} has the wrong type"))
            continue
        problems += _check_one(value, name, field, path)
    return problems


def _check_one(  # noqa: C901, PLR0911, PLR0912 - one for each kind
    value: object, name: str, field: Field, path: str
) -> list[Problem]:
    wrong = [Problem(path, f"{name} has the wrong type")]
    match field.kind:
        case "text":
            if not isinstance(value, str):
                return wrong
            return _check_text(value, name, field, path)
        case "date":
            return [] if is_date(value) else [Problem(path, f"{name} is not a date")]
        case "amount":
            return [] if decimal_of(value) is not None else [Problem(path, f"{name} is no number")]
        case "money":
            return [] if is_money(value) else [Problem(path, f"{name} must have two decimals")]
        case "flag":
            return [] if isinstance(value, bool) else wrong
        case "whole":
            if isinstance(value, bool) or not isinstance(value, int):
                return wrong
            if not 0 <= value <= (field.limit or 0):
                return [Problem(path, f"{name} must be less than or equal to {field.limit}")]
        case "texts":
            if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
                return wrong
            if field.required and not value:
                return [Problem(path, f"{name} is required")]
        case "group":
            return check(value, field.inner or {}, path) if isinstance(value, dict) else wrong
        case "rows":
            return _check_rows(value, name, field, path)
    return []


def _check_text(value: str, name: str, field: Field, path: str) -> list[Problem]:
    if field.required and not value.strip():
        return [Problem(path, f"{name} is required")]
    if field.limit is not None and len(value) > field.limit:
        return [Problem(path, f"{name} is too long (maximum is {field.limit} characters)")]
    if name == "idempotency_id" and not _GUID.match(value):
        return [Problem(path, "idempotency_id must be 32 hexadecimal digits")]
    if name in _PLAIN_TEXT and (_MARKUP.search(value) or html.unescape(value) != value):
        # The live service names its own inner model here, for whichever line it was.
        inner = "line_items.description" if name == "description" else path
        return [Problem(inner, f"{name} contains invalid characters")]
    return []


def _check_rows(value: object, name: str, field: Field, path: str) -> list[Problem]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        return [Problem(path, f"{name} has the wrong type")]
    if field.required and not value:
        return [Problem(path, f"{name} is required")]
    return [problem for row in value for problem in check(row, field.inner or {}, path)]
