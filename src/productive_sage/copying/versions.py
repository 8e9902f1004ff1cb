"""A document as one side has it: what psage wrote, what Sage holds, what Productive says. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from productive_sage import money
from productive_sage.copying.records import Draft, DraftLine
from productive_sage.kinds import Kind
from productive_sage.sage.records import SageDocument, SageLine

Fields = Mapping[str, str]
EXTRA = "a line only Sage has"
TYPE = "goods or services"
MAPPED = "mapped"
"""Said of the taxes of a document each line of which has the rate for its tax in Productive."""
_FIGURES = ("quantity", "unit_price", "discount_amount", "net_amount")


@dataclass(frozen=True, slots=True)
class Version:
    """A document as one side has it."""

    document: Fields
    """`customer` (an id), `date`, `due date`, `number`, `address`, `reference`, `notes`; what it
    leaves to Sage lacks.

    Productive's names the `company` as well, and `reference from`, what stands in that.
    """
    lines: tuple[Fields, ...]
    """Each with its `id` there; Productive's with the `service type`, by which it is booked.

    And with what is `charged`, where that decides on the tax rate.
    """


@dataclass(frozen=True, slots=True)
class Written:
    """What psage last wrote: as Productive said it, and as Sage then held it, line by line."""

    said: Version
    held: Version
    is_as_planned: bool = True
    """False where Sage's answer was not what was sent, so that it has to be sent again."""

    def as_text(self) -> str:
        """As the store keeps it."""
        versions = {
            name: {"document": dict(one.document), "lines": [dict(line) for line in one.lines]}
            for name, one in (("said", self.said), ("held", self.held))
        }
        return json.dumps({**versions, "is_as_planned": self.is_as_planned})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `as_text` gave."""
        known = json.loads(text)
        return cls(version(known["said"]), version(known["held"]), known["is_as_planned"])


def version(known: Mapping[str, Any]) -> Version:
    """A version out of JSON."""
    return Version(known["document"], tuple(known["lines"]))


def said_by(
    draft: Draft, customer: str, *, company: str, country: str, charged: Decimal
) -> Version:
    """What Productive says now; `customer` is the contact to bill, empty for one still to be made.

    `country` is where the customer is, on which the tax hung, `charged` Productive's own tax.
    Fields Productive leaves to Sage are not in it.
    """
    document = {
        "customer": customer,
        "company": company,
        "country": country,
        "charged": money.text(charged),
        "date": draft.invoiced_on.isoformat(),
    }
    if draft.is_tax_mapped:
        document["taxes"] = MAPPED
    if draft.due_on:
        document["due date"] = draft.due_on.isoformat()
    if draft.number is not None:
        document["number"] = draft.number
    for name, source in draft.worded_from.items():
        document |= {name: str(getattr(draft, name) or ""), f"{name} from": source}
    if draft.address:
        document["address"] = ", ".join(draft.address.values())
    return Version(document, tuple(map(of_draft, draft.lines)))


def held_in(document: SageDocument) -> Version:
    """What Sage holds."""
    fields = {
        "customer": document.contact_id,
        "date": document.invoiced_on.isoformat() if document.invoiced_on else "",
        "due date": document.due_on.isoformat() if document.due_on else "",
        "number": document.number,
        "address": document.address,
        "reference": document.reference,
        "notes": document.notes,
    }
    return Version(fields, tuple(map(of_sage, document.lines)))


def as_sent(kind: Kind, body: Mapping[str, Any], held: Version) -> Version | None:
    """What Sage was sent, by the object of a POST or PUT, with the ids of the lines it holds.

    For a write whose answer was lost: somebody may have changed the document since. None where Sage
    holds another number of lines.
    """
    if len(body[kind.lines]) != len(held.lines):
        return None
    names = {
        "customer": "contact_id",
        "date": "date",
        "due date": "due_date",
        "number": kind.number,
        "reference": "reference",
        "notes": "notes",
    }
    document = {name: str(body[key]) for name, key in names.items() if key in body}
    rows = [
        {
            **there,
            "description": sent["description"],
            "amount": _priced(*(Decimal(sent[name]) for name in _FIGURES)),
            "net": amount_text(Decimal(sent["net_amount"])),
            "tax rate": sent.get("tax_rate_id", ""),
            "tax": amount_text(Decimal(sent["tax_amount"]))
            if "tax_amount" in sent
            else there["tax"],
            "ledger account": sent["ledger_account_id"],
            "item": sent.get("service_id") or sent.get("product_id") or "",
            TYPE: sent.get("eu_goods_services_type_id", ""),
        }
        for sent, there in zip(body[kind.lines], held.lines, strict=True)
    ]
    return Version({**held.document, **document}, tuple(rows))


def has_arrived(kind: Kind, body: Mapping[str, Any], before: Version, present: Version) -> bool:
    """Whether anything that an update was to change is as it was to be."""
    sent = as_sent(kind, body, before)
    if sent is None or len(before.lines) != len(present.lines):
        return len(before.lines) != len(present.lines) == len(body[kind.lines])
    parts = [(before.document, sent.document, present.document)]
    parts += zip(before.lines, sent.lines, present.lines, strict=True)
    return any(was[name] != wanted[name] == now[name] for was, wanted, now in parts for name in was)


def of_draft(line: DraftLine) -> Fields:
    """A line as Productive says it."""
    return {
        "id": line.source_id,
        "description": line.description,
        "amount": line_amount(line),
        "net": amount_text(line.net),
        "tax rate": line.tax_rate_id or "",
        "tax": amount_text(line.tax),
        "ledger account": line.ledger_account_id,
        "item": line.item[1] if line.item else "",
        TYPE: line.goods_or_services or "",
        "service type": line.service_type_id,
        **({"charged": line.charged} if line.charged else {}),
    }


def of_sage(line: SageLine) -> Fields:
    """A line as Sage holds it."""
    return {
        "id": line.id,
        "description": line.description,
        "amount": line_amount(line),
        "net": amount_text(line.net),
        "tax rate": line.tax_rate_id,
        "tax": amount_text(line.tax),
        "ledger account": line.ledger_account_id,
        "item": line.item[1] if line.item else "",
        TYPE: line.goods_or_services,
    }


def amount_text(value: Decimal) -> str:
    """An amount as it is kept and compared: in one way only."""
    return money.text(value.normalize())


def line_amount(line: DraftLine | SageLine) -> str:
    """What a line comes to, with what leads there."""
    return _priced(line.quantity, line.unit_price, line.discount, line.net)


def _priced(quantity: Decimal, unit_price: Decimal, discount: Decimal, net: Decimal) -> str:
    less = f" less {amount_text(discount)}" if discount else ""
    return f"{amount_text(quantity)} × {amount_text(unit_price)}{less} = {amount_text(net)}"


def own_part(held: Version, kept: Sequence[Sequence[str]]) -> Version:
    """What of a document is psage's work: as it is in Sage, but for what others made of it.

    `kept` as `Merged.theirs` gives it. So their work is known as theirs the next time as well.
    """
    theirs = {(line_id, field): wrote for line_id, field, wrote in kept}
    document = {field: theirs.get(("", field), value) for field, value in held.document.items()}
    lines = [
        {field: theirs.get((line["id"], field), value) for field, value in line.items()}
        for line in held.lines
        if (line["id"], EXTRA) not in theirs
    ]
    return Version(document, tuple(lines))
