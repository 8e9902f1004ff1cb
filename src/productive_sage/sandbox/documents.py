"""Writing sales invoices and credit notes: every rule Sage is known to hold against them."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import NoReturn

from .amounts import ZERO, decimal_of, digits_of, half_up
from .books import (
    CREDIT_NOTE,
    INVOICE,
    UNPOSTED,
    Books,
    Kind,
    address_of,
    is_address,
    percentage_on,
    sage_id,
)
from .dates import days_after
from .sage_contract import BODIES, Problem, check
from .server import Record

_EU_TYPES = frozenset({"GOODS", "SERVICES"})
_EU = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()
)
_NO_RATE = ("tax_rate_id", "tax_rate", "currency_tax_amount")
"""What Sage's umbrella names where a line has no tax rate."""


class Refusal(Exception):
    """The service's no: a status and its rows."""

    def __init__(self, status: int, problems: list[Problem]) -> None:
        super().__init__(status)
        self.status = status
        self.problems = problems


def refuse(source: str, message: str, status: int = 422, code: str = "ValidationError") -> NoReturn:
    """Refuse with a single row."""
    raise Refusal(status, [Problem(source, message, code)])


def create(books: Books, kind: Kind, body: Record) -> Record:
    """Make a document of a posted body and store it; raise `Refusal`."""
    _check_form(kind, body, "POST")
    document = books.new(
        kind.singular,
        {
            "kind": kind.singular,
            "status": "DRAFT" if body.get("status_id") == "DRAFT" else "POSTED",
            "void_reason": None,
            "tax_reconciled": False,
            "wanted": None,
            "prefix": None,
            "number": None,
        },
    )
    _apply(books, kind, document, body)
    _raise_on(_rules(books, kind, document, body))
    _number(books, kind, document, body)
    _store(books, kind, document)
    return document


def update(books: Books, kind: Kind, document: Record, body: Record) -> Record:
    """Change a document by a PUT body; raise `Refusal` and leave it as it was."""
    _check_form(kind, body, "PUT")
    _check_editable(books, kind, document)
    changed = copy.deepcopy(document)
    _apply(books, kind, changed, body)
    _raise_on(_rules(books, kind, changed, body))
    if kind.number in body or kind.prefix in body:
        prefix = body.get(kind.prefix, document["prefix"] or "")
        whole = f"{prefix}{body.get(kind.number, document['number'])}"
        if whole != f"{document['prefix']}{document['number']}":
            _number(books, kind, changed, {kind.prefix: prefix, **body})
    books.touch(changed)
    _store(books, kind, changed)
    return changed


def _store(books: Books, kind: Kind, document: Record) -> None:
    contact = books.table("contacts")[document["contact_id"]]
    # A contact made without a currency keeps that of its first document.
    contact["currency"] = contact["currency"] or document["currency"]
    books.table(kind.plural)[document["id"]] = document


def void(books: Books, kind: Kind, document: Record, reason: str) -> Record:
    """Void a posted document, or remove a draft."""
    _check_editable(books, kind, document)
    if document["status"] in UNPOSTED:
        books.bury(kind.plural, document["id"])
        return document
    if not reason or len(reason) > 200:
        refuse("void_reason", "void_reason is required (maximum is 200 characters)")
    document["status"], document["void_reason"] = "VOID", reason
    books.touch(document)
    return document


def release(books: Books, kind: Kind, document: Record) -> Record:
    """Post a draft or pro forma under its number."""
    before = document["status"]
    if before not in UNPOSTED:
        refuse(f"{kind.singular}.status", "Only a draft can be released")
    _raise_on(_rules(books, kind, document, {}))
    document["status"] = "POSTED"
    try:
        _number(books, kind, document, document["wanted"] or {})
    except Refusal:
        document["status"] = before
        raise
    books.touch(document)
    return document


def _raise_on(problems: list[Problem]) -> None:
    if problems:
        raise Refusal(422, problems)


def _check_form(kind: Kind, body: Record, method: str) -> None:
    problems = check(body, BODIES[method, kind.singular], kind.singular)
    if body.get("status_id", "DRAFT") not in {"DRAFT", "UNPAID"}:
        problems.append(Problem(f"{kind.singular}.status_id", "status_id is not allowed here"))
    if method == "PUT" and body.get(kind.lines) == []:
        problems.append(Problem(f"{kind.singular}.{kind.lines}", "At least one line is required"))
    _raise_on(problems)


def _check_editable(books: Books, kind: Kind, document: Record) -> None:
    if not books.editable(document):
        refuse(
            f"{kind.singular}.base",
            "This document is void, paid, allocated, in a VAT return or in a locked period",
        )


def _number(books: Books, kind: Kind, document: Record, body: Record) -> None:
    """Give the document its number; numbers of void and deleted documents stay taken."""
    invoicing = books.content["invoicing"]
    taken: list[str] = books.content["numbers"].setdefault(kind.plural, [])
    prefix = body.get(kind.prefix, invoicing[kind.setting])
    number = body.get(kind.number) or ""
    if number and f"{prefix}{number}" in taken:
        refuse(f"{kind.singular}.{kind.number}", f"{kind.number} has already been used")
    if document["status"] in UNPOSTED:
        document["wanted"] = {
            name: body[name] for name in (kind.prefix, kind.number) if name in body
        }
        return
    if number.isdecimal():
        invoicing[kind.counter] = int(number) + 1
    elif not number:
        while f"{prefix}{invoicing[kind.counter]}" in taken:
            invoicing[kind.counter] += 1
        number = str(invoicing[kind.counter])
        invoicing[kind.counter] += 1
    document["prefix"], document["number"] = prefix, number
    taken.append(f"{prefix}{number}")


def _apply(books: Books, kind: Kind, document: Record, body: Record) -> None:
    """Put what was sent into the document, what was left out from defaults or as it stands."""
    simple: Record = dict.fromkeys(
        ("contact_id", "date", "reference", "notes", "terms_and_conditions")
    )
    contact = books.table("contacts").get(str(body.get("contact_id", document.get("contact_id"))))
    simple |= {
        "sent": False,
        "contact_name": contact["name"] if contact else None,
        "contact_reference": contact["reference"] if contact else None,
    }
    simple["due_date" if kind is INVOICE else "original_invoice_date"] = None
    moved = contact is not None and contact["id"] != document.get("contact_id")
    for name, default in simple.items():
        if name in body:
            document[name] = body[name]
        elif name not in document or (moved and name in {"contact_name", "contact_reference"}):
            document[name] = default
    if kind is INVOICE and not document["due_date"] and document["date"]:
        document["due_date"] = days_after(document["date"], books.content["invoicing"]["days"])
    for name in ("main_address", "delivery_address"):
        if name in body or name not in document or moved:
            document[name] = address_of(body.get(name), contact and contact["main_address"])
    if not is_address(document["delivery_address"]):
        document["delivery_address"] = dict(document["main_address"])
    document["currency"] = (
        body.get("currency_id") or document.get("currency") or books.base_currency
    )
    _apply_lines(kind, document, body)


def _apply_lines(kind: Kind, document: Record, body: Record) -> None:
    if kind.lines not in body:
        return
    known = {line["id"]: line for line in document.get("lines", [])}
    lines = []
    for sent in body[kind.lines]:
        if "id" in sent:
            if sent["id"] not in known:
                refuse(f"{kind.singular}.{kind.lines}.id", f"line {sent['id']} does not exist")
            line = known.pop(sent["id"])
        else:
            missing = [
                name
                for name in ("description", "ledger_account_id", "unit_price")
                if name not in sent
            ]
            if missing:
                refuse(f"{kind.singular}.{kind.lines}.{missing[0]}", f"{missing[0]} is required")
            document["next_line"] = document.get("next_line", 0) + 1
            line = {
                "id": sage_id(document["id"], "line", document["next_line"]),
                "quantity": Decimal(1),
                "discount_amount": ZERO,
                "discount_percentage": None,
                "tax": ZERO,
                "tax_given": False,
                "tax_rate_id": None,
                "service_id": None,
                "product_id": None,
                "eu_goods_services_type_id": None,
            }
        lines.append(_merge_line(line, sent))
    document["lines"] = lines


def _merge_line(line: Record, sent: Record) -> Record:
    for name in (
        "description ledger_account_id tax_rate_id service_id product_id eu_goods_services_type_id"
    ).split():
        if name in sent:
            line[name] = sent[name]
    for name in ("unit_price", "quantity", "tax_amount"):
        if name in sent:
            line[name.removesuffix("_amount")] = decimal_of(sent[name])
    if line["discount_percentage"] is not None:
        line["discount_amount"] = None
    line["tax_given"] = line["tax_given"] or "tax_amount" in sent
    if "discount_percentage" in sent:
        line["discount_percentage"] = decimal_of(sent["discount_percentage"])
        line["discount_amount"] = None
    if "discount_amount" in sent:
        amount = decimal_of(sent["discount_amount"])
        if "discount_percentage" not in sent:
            line["discount_percentage"] = None
        line["discount_amount"] = amount
    # What the sender believes the line comes to, to be held against what it does come to.
    line["claimed"] = {
        name: decimal_of(sent[name]) for name in ("net_amount", "total_amount") if name in sent
    }
    return line


def _rules(books: Books, kind: Kind, document: Record, body: Record) -> list[Problem]:
    source = kind.singular
    problems = _date_rules(books, kind, document) + _contact_rules(books, kind, document)
    problems += _currency_rules(books, kind, document, body)
    if document["currency"] not in books.content["currencies"]:
        return problems
    for line in document["lines"]:
        problems += _line_rules(books, kind, document, line)
    problems += _abroad_rules(books, kind, document)
    if not is_address(document["main_address"]):
        problems += [
            Problem("base", f"{which} Address is required.") for which in ("Invoice", "Delivery")
        ]
    for name in ("main_address", "delivery_address"):
        country = document[name]["country_id"]
        if country and country not in books.content["countries"]:
            problems.append(Problem(f"{source}.{name}.country_id", "country does not exist"))
    if problems:
        return problems
    for name in ("net", "tax", "total"):
        document[name] = sum((line[name] for line in document["lines"]), ZERO)
        claimed = body.get(f"{name}_amount")
        if claimed is not None and decimal_of(claimed) != document[name]:
            problems.append(
                Problem(f"{source}.{name}_amount", f"{name}_amount does not match the lines")
            )
    if document["total"] < 0:
        problems.append(Problem(f"{source}.total_amount", "total must not be negative"))
    return problems


def _date_rules(books: Books, kind: Kind, document: Record) -> list[Problem]:
    financial = books.content["financial"]
    locked = financial["year_end_lockdown_date"]
    if document["date"] < (financial["accounts_start_date"] or ""):
        return [Problem(f"{kind.singular}.date", "date is before the accounts start date")]
    if locked and document["date"] <= locked:
        return [Problem(f"{kind.singular}.date", "date is in a locked period")]
    return []


def _contact_rules(books: Books, kind: Kind, document: Record) -> list[Problem]:
    contact = books.table("contacts").get(document["contact_id"])
    if contact is None:
        return [Problem(f"{kind.singular}.contact_id", "contact does not exist")]
    if contact["type"] != "CUSTOMER":
        return [Problem(f"{kind.singular}.contact_id", "contact is not a customer")]
    if books.switches.refuse_inactive and not contact.get("is_active", True):
        return [Problem(f"{kind.singular}.contact_id", "contact is inactive")]
    return []


def _currency_rules(books: Books, kind: Kind, document: Record, body: Record) -> list[Problem]:
    currency, source = document["currency"], kind.singular
    known = books.content["currencies"].get(currency)
    if known is None:
        return [Problem(f"{source}.currency_id", "currency does not exist")]
    foreign = currency != books.base_currency
    if foreign and not books.content["financial"]["multi_currency_enabled"]:
        return [Problem(f"{source}.currency_id", "multi-currency is not enabled")]
    contact = books.table("contacts").get(document["contact_id"])
    if contact is not None and contact["currency"] not in {None, currency}:
        return [Problem(f"{source}.currency_id", "currency must be the currency of the contact")]
    rate = decimal_of(body["exchange_rate"]) if "exchange_rate" in body else None
    inverse = decimal_of(body["inverse_exchange_rate"]) if "inverse_exchange_rate" in body else None
    if rate is None and inverse:
        rate = half_up(1 / inverse, 10)
    if (rate is not None and rate <= 0) or (inverse is not None and inverse <= 0):
        return [Problem(f"{source}.exchange_rate", "exchange_rate must be greater than 0")]
    if not foreign and rate not in {None, Decimal(1)}:
        return [Problem(f"{source}.exchange_rate", "exchange_rate must be 1 for base currency")]
    if "rate_of" not in document or document["rate_of"] != currency:
        document["exchange_rate"] = known["rate"]
    document["exchange_rate"] = rate or document["exchange_rate"]
    document["rate_of"] = currency
    return []


def _line_rules(books: Books, kind: Kind, document: Record, line: Record) -> list[Problem]:
    source = f"{kind.singular}.{kind.lines}"
    problems = []
    account = books.table("ledger_accounts").get(line["ledger_account_id"])
    if account is None:
        problems.append(Problem(f"{source}.ledger_account_id", "ledger account does not exist"))
    elif "sales" not in account["scopes"]:
        problems.append(
            Problem(f"{source}.ledger_account_id", "ledger account is not available for sales")
        )
    for name, plural in (("service_id", "services"), ("product_id", "products")):
        if line[name] is not None:
            entry = books.table(plural).get(line[name])
            if entry is None or not entry["active"]:
                problems.append(Problem(f"{source}.{name}", f"{name} does not exist"))
    if line["service_id"] and line["product_id"]:
        problems.append(Problem(f"{source}.service_id", "a line is a service or a product"))
    if kind is CREDIT_NOTE and line["quantity"] < 0:
        problems.append(Problem(f"{source}.quantity", "quantity must not be negative"))
    goods = line["eu_goods_services_type_id"]
    if goods is not None and goods not in _EU_TYPES:
        problems.append(Problem(f"{source}.eu_goods_services_type_id", "type does not exist"))
    return problems + _amount_rules(books, document, line, source)


def _amount_rules(books: Books, document: Record, line: Record, source: str) -> list[Problem]:
    digits = digits_of(document["currency"])
    gross = line["quantity"] * line["unit_price"]
    discount = _discount(line, gross, digits)
    if isinstance(discount, str):
        return [Problem(f"{source}.discount_amount", discount)]
    line["discount_amount"] = discount
    # A percentage of a fraction of a cent may round to more than the line: never below nothing.
    line["net"] = half_up(gross - min(discount, max(gross, ZERO)), digits)
    if problems := _tax_rules(books, document, line, source):
        return problems
    line["total"] = line["net"] + line["tax"]
    for name in ("net", "total"):
        claimed = line["claimed"].get(f"{name}_amount")
        if claimed is not None and claimed != line[name]:
            problems.append(Problem(f"{source}.{name}_amount", f"{name}_amount does not match"))
    return problems


def _tax_rules(books: Books, document: Record, line: Record, source: str) -> list[Problem]:
    """Give the line its tax."""
    digits = digits_of(document["currency"])
    if line["tax_rate_id"] is None:
        return [
            Problem(f"line_items.{name}", "This field is required", "UnexpectedError")
            for name in _NO_RATE
        ]
    exact = _exact_tax(books, document, line)
    if isinstance(exact, str):
        return [Problem(f"{source}.tax_rate_id", exact)]
    scheme = books.content["financial"]["tax_scheme"]
    if scheme == "NOT_REGISTERED" and (exact or line["tax"]):
        said = "You cannot add tax, your business is not registered for tax"
        return [Problem("line_items.tax_rate", said, "RecordInvalid")]
    own = half_up(exact, digits)
    country = books.content["business"]["country"]
    if line["tax_given"] and country == "ES":
        return [Problem(f"{source}.tax_amount", "tax_amount is not allowed")]
    rule, unit = books.switches.line_taxes, Decimal(1).scaleb(-digits)
    is_off = abs(line["tax"] - exact) > unit if rule == "near" else line["tax"] != own
    if line["tax_given"] and is_off and rule != "own":
        return [Problem(f"{source}.tax_amount", f"tax_amount must be {own}")]
    # Left out, it counts as nothing: the caller computes the tax.
    is_computed = country == "ES" or rule == "own"
    line["tax"] = own if is_computed else half_up(line["tax"], digits)
    return []


def _discount(line: Record, gross: Decimal, digits: int) -> Decimal | str:
    """Give the discount of a line as an amount, or why it cannot be."""
    percentage: Decimal | None = line["discount_percentage"]
    discount: Decimal | None = line["discount_amount"]
    if percentage is not None:
        if not 0 <= percentage <= 100:
            return "discount_percentage must be between 0 and 100"
        computed = half_up(gross * percentage / 100, digits)
        if discount not in {None, computed}:
            return "discount_amount does not match discount_percentage"
        discount = computed
    elif discount is not None and discount > max(gross, ZERO):
        return "discount_amount is more than the line"
    discount = discount or ZERO
    if discount < 0:
        return "discount_amount must not be negative"
    if discount != half_up(discount, digits):
        return "discount_amount has too many decimals"
    return discount


def _exact_tax(books: Books, document: Record, line: Record) -> Decimal | str:
    """Give the rate on the line's net, not rounded, or why the rate cannot be used."""
    rate = books.table("tax_rates").get(line["tax_rate_id"])
    if rate is None:
        return "tax rate does not exist"
    percentage = percentage_on(rate, document["date"])
    if percentage is None:
        return "tax rate is not in force on this date"
    return line["net"] * percentage / 100  # type: ignore[no-any-return]  # records hold anything


def _abroad_rules(books: Books, kind: Kind, document: Record) -> list[Problem]:
    contact = books.table("contacts").get(document["contact_id"])
    home = books.content["business"]["country"]
    scheme = books.content["financial"]["tax_scheme"]
    if contact is None or home not in {"GB", "IE"} or scheme == "NOT_REGISTERED":
        return []
    country = contact["main_address"]["country_id"]
    is_northern_irish = country == "XI" or str(contact["tax_number"] or "").startswith("XI")
    if country in {None, home} or (home == "GB" and is_northern_irish):
        return []
    source = f"{kind.singular}.{kind.lines}"
    problems = []
    if any(line["tax_rate_id"] != f"{home}_ZERO" for line in document["lines"]):
        problems.append(
            Problem(f"{source}.tax_rate_id", f"a contact outside {home} needs the zero rate")
        )
    types = {line["eu_goods_services_type_id"] for line in document["lines"]}
    if home == "IE" and country not in _EU and not is_northern_irish:
        if types != {None}:
            problems.append(
                Problem(f"{source}.eu_goods_services_type_id", "only for customers in the EU")
            )
    elif len(types) != 1 or None in types:
        problems.append(
            Problem(
                f"{source}.eu_goods_services_type_id",
                "goods or services must be given, the same on all lines",
            )
        )
    return problems
