"""Acts as the agency that works in Productive: bills, corrects, deletes."""

from __future__ import annotations

import base64
from decimal import Decimal

from .dates import days_after
from .productive import Productive
from .server import Record, Switches

_RELATIONS = frozenset({"company", "bill_to", "bill_from", "subsidiary", "parent_invoice"})
_MONEY_LIKE = frozenset({"unit_price", "quantity", "discount", "tax_value"})


def _decimal(value: object) -> Decimal:
    return Decimal(str(value))


class Agency:
    """Amounts are in major units (`"95.00"`); totals are computed as Productive would."""

    def __init__(self, productive: Productive, switches: Switches, organization_id: str) -> None:
        self._productive = productive
        self._switches = switches
        self._organization_id = organization_id

    def add_company(self, name: str, **address: object) -> str:
        """Enter a company in London with its billing address; give its id."""
        productive = self._productive
        with productive.lock:
            key = productive.new_id("companies")
            entry = productive.new_id("contact_entries")
            organization = {"organization": self._organization_id}
            productive.table("companies")[key] = {
                "id": key,
                "attributes": {"name": name, "billing_name": None, "vat": address.get("vat")},
                "rel": organization,
            }
            productive.table("contact_entries")[entry] = {
                "id": entry,
                "attributes": {
                    "type": "billing",
                    "name": name,
                    "address": "2 Low Street",
                    "city": "London",
                    "country": "United Kingdom",
                    "billing_address": True,
                    "contactable_type": "Client",
                    **address,
                },
                "rel": {"company": key, **organization},
            }
            return key

    def add_invoice(
        self,
        *,
        company_id: int | str,
        lines: list[Record],
        id: int | str | None = None,  # noqa: A002
        currency: str = "GBP",
        number: str | None = None,
        discount: object = None,
        finalized: bool = True,
        tax_percent: object = 20,
        invoiced_on: str = "2026-02-02",
        credits_invoice: int | str | None = None,
        **attributes: object,
    ) -> str:
        """Bill a company and give the invoice's id.

        A line holds `unit_price` and, as wanted, `quantity`, `discount` (percent),
        `description`, `service_type_id`, `service_id`, `unit_id`, `tax_percent` (a number, a
        list of two for a rate of two parts, or None).
        `credits_invoice` makes it a credit note of that invoice.
        """
        productive = self._productive
        with productive.lock:
            key = str(id) if id is not None else productive.new_id("invoices")
            if number is None and finalized:
                number = f"INV-2026-{int(key) - 100:03d}"
            productive.table("invoices")[key] = {
                "id": key,
                "attributes": {
                    "number": number,
                    "subject": f"Work for {company_id}",
                    "invoiced_on": invoiced_on,
                    "pay_on": days_after(invoiced_on, 30),
                    "sent_on": None,
                    "finalized_on": invoiced_on if finalized else None,
                    # Invoices finalised through the API carry one of the two only.
                    "finalized_at": (
                        f"{invoiced_on}T11:12:13.456+01:00" if finalized and int(key) % 2 else None
                    ),
                    "created_at": f"{invoiced_on}T10:01:02.193+01:00",
                    "updated_at": f"{invoiced_on}T11:12:13.456+01:00",
                    "last_activity_at": f"{invoiced_on}T11:12:13.456+01:00",
                    "currency": currency,
                    "discount": None if discount is None else _decimal(discount),
                    "invoice_type_id": 1 if credits_invoice is None else 2,
                    "line_item_tax": True,
                    "credited": False,
                    "payment_terms": 30,
                    "payment_terms_days": 30,
                    "payment_terms_type": "days_after_invoice_date",
                    "tag_list": [],
                    "sample_data": False,
                    "exported": False,
                    **attributes,
                },
                "rel": {
                    "company": str(company_id),
                    "bill_to": self._entry_of(str(company_id)),
                    "bill_from": "1071",
                    "subsidiary": "71",
                    "creator": "801",
                    "issuer": "801",
                    "organization": self._organization_id,
                    "attachment": None,
                    "parent_invoice": None if credits_invoice is None else str(credits_invoice),
                },
            }
            if (
                productive.table("invoices")[key]["attributes"]["finalized_at"]
                and int(key) % 5 == 0
            ):
                productive.table("invoices")[key]["attributes"]["finalized_on"] = None
            for position, line in enumerate(lines, 1):
                self._add_line(key, position, currency, {"tax_percent": tax_percent, **line})
            productive.recompute(key)
            return key

    def _entry_of(self, company_id: str) -> str | None:
        for key, entry in self._productive.table("contact_entries").items():
            if entry["rel"].get("company") == company_id:
                return key
        return None

    def _add_line(self, invoice_id: str, position: int, currency: str, line: Record) -> str:
        key = f"{invoice_id}{position:03d}"
        rate = self._tax_rate(line["tax_percent"])
        named = rate and position % 2
        self._productive.table("line_items")[key] = {
            "id": key,
            "attributes": {
                "description": line.get("description"),
                "quantity": _decimal(line.get("quantity", 1)),
                "unit_id": line.get("unit_id", 1),
                "unit_price": _decimal(line["unit_price"]),
                "discount": _decimal(line["discount"]) if line.get("discount") else None,
                "position": position,
                # Often null although tax is charged: the relation is what counts.
                **_named(line["tax_percent"] if named else None),
                "currency": currency,
            },
            "rel": {
                "invoice": invoice_id,
                "service_type": _text(line.get("service_type_id")),
                "service": _text(line.get("service_id")),
                "tax_rate": rate,
                "organization": self._organization_id,
            },
        }
        return key

    def _tax_rate(self, percent: object) -> str | None:
        if percent is None:
            return None
        rates = self._productive.table("tax_rates")
        first, *more = _parts(percent)
        second = more[0] if more else None
        for key, rate in rates.items():
            own = rate["attributes"]
            held = (own["primary_component_value"], own["secondary_component_value"] or None)
            if held == (first, second):
                return key
        key = self._productive.new_id("tax_rates")
        rates[key] = {
            "id": key,
            "attributes": {
                "name": " + ".join(f"VAT {part}%" for part in (first, *more)),
                "primary_component_name": "VAT",
                "primary_component_value": first,
                "secondary_component_name": "Local" if second else None,
                "secondary_component_value": second,
                "archived_at": None,
            },
            "rel": {"subsidiary": "71", "organization": self._organization_id},
        }
        return key

    def add_line(self, invoice_id: int | str, **line: object) -> str:
        """Add a line at the end of an invoice; give its id."""
        with self._productive.lock:
            key = str(invoice_id)
            positions = [
                int(row["attributes"]["position"]) for row in self._productive.lines_of(key)
            ]
            currency = self._productive.table("invoices")[key]["attributes"]["currency"]
            position = max(positions, default=0) + 1
            line_id = self._add_line(key, position, currency, {"tax_percent": 20, **line})
            self._changed(key)
            return line_id

    def edit_line(self, line_id: int | str, **fields: object) -> None:
        """Change a line: attributes, or `service_type_id`, `service_id`, `tax_percent`."""
        with self._productive.lock:
            line = self._productive.table("line_items")[str(line_id)]
            for name, value in fields.items():
                if name == "tax_percent":
                    line["rel"]["tax_rate"] = self._tax_rate(value)
                    if line["attributes"]["tax_name"]:
                        line["attributes"] |= _named(value)
                elif name in {"service_type_id", "service_id"}:
                    line["rel"][name.removesuffix("_id")] = _text(value)
                elif name in _MONEY_LIKE and value is not None:
                    line["attributes"][name] = _decimal(value)
                else:
                    line["attributes"][name] = value
            self._changed(line["rel"]["invoice"])

    def delete_line(self, line_id: int | str) -> None:
        """Remove a line."""
        with self._productive.lock:
            line = self._productive.table("line_items").pop(str(line_id))
            self._changed(line["rel"]["invoice"])

    def edit_invoice(self, invoice_id: int | str, **fields: object) -> None:
        """Change an invoice: attributes, or `company_id` and other relations by id."""
        with self._productive.lock:
            key = str(invoice_id)
            invoice = self._productive.table("invoices")[key]
            for name, value in fields.items():
                if name.removesuffix("_id") in _RELATIONS:
                    invoice["rel"][name.removesuffix("_id")] = _text(value)
                    if name == "company_id":
                        invoice["rel"]["bill_to"] = self._entry_of(str(value))
                elif name == "discount" and value is not None:
                    invoice["attributes"][name] = _decimal(value)
                else:
                    invoice["attributes"][name] = value
            self._changed(key)

    def _changed(self, invoice_id: str) -> None:
        own = self._productive.table("invoices")[invoice_id]["attributes"]
        own["updated_at"] = own["last_activity_at"] = self._productive.stamp()
        self._productive.recompute(invoice_id)

    def edit_company(self, company_id: int | str, **fields: object) -> None:
        """Change a company's attributes."""
        with self._productive.lock:
            self._productive.table("companies")[str(company_id)]["attributes"] |= fields

    def edit_contact_entry(self, company_id: int | str, **fields: object) -> None:
        """Change the billing address of a company."""
        with self._productive.lock:
            key = self._entry_of(str(company_id))
            if key is None:
                raise KeyError(company_id)
            self._productive.table("contact_entries")[key]["attributes"] |= fields

    def delete_invoice(self, invoice_id: int | str) -> None:
        """Delete an invoice: 404 from now on, and a row among the deleted items."""
        with self._productive.lock:
            self._productive.remove_invoice(str(invoice_id))

    def add_payment(
        self,
        invoice_id: int | str,
        amount: object,
        paid_on: str | None = None,
        note: str | None = None,
        written_off_on: str | None = None,
    ) -> str:
        """Enter a payment by hand; give its id."""
        with self._productive.lock:
            attributes = {"paid_on": paid_on, "note": note, "written_off_on": written_off_on}
            return self._productive.add_payment(str(invoice_id), _decimal(amount), attributes)

    def edit_payment(self, payment_id: int | str, **fields: object) -> None:
        """Change a payment by hand: `amount`, `paid_on`, `written_off_on`, `note`."""
        with self._productive.lock:
            payment = self._productive.table("payments")[str(payment_id)]
            for name, value in fields.items():
                payment["attributes"][name] = _decimal(value) if name == "amount" else value
            self._productive.recompute(payment["rel"]["invoice"])

    def delete_payment(self, payment_id: int | str) -> None:
        """Remove a payment by hand."""
        with self._productive.lock:
            payment = self._productive.table("payments").pop(str(payment_id))
            self._productive.recompute(payment["rel"]["invoice"])

    def set_pdf(self, invoice_id: int | str, content: bytes | str) -> str:
        """Attach this PDF to an invoice (text is taken as base64); give the attachment's id."""
        if isinstance(content, str):
            content = base64.b64decode(content)
        productive = self._productive
        with productive.lock:
            invoice = productive.table("invoices")[str(invoice_id)]
            key = invoice["rel"].get("attachment")
            if key is None:
                key = str(9000 + int(invoice_id))
            name = f"{invoice['attributes']['number'] or 'draft'}.pdf".replace("/", "-")
            productive.table("attachments")[key] = {
                "id": key,
                "attributes": {
                    "name": name,
                    "content_type": "application/pdf",
                    "size": len(content),
                    "attachment_type": "attachment",
                    "attachable_type": "invoice",
                    "created_at": invoice["attributes"]["updated_at"],
                },
                "rel": {
                    "invoice": str(invoice_id),
                    "organization": self._organization_id,
                    "creator": "801",
                },
            }
            productive.files[key] = content
            invoice["rel"]["attachment"] = key
            return str(key)

    def remove_pdf(self, invoice_id: int | str) -> None:
        """Take the PDF off an invoice."""
        with self._productive.lock:
            key = self._productive.table("invoices")[str(invoice_id)]["rel"].pop("attachment", None)
            self._productive.table("attachments").pop(str(key), None)
            self._productive.files.pop(str(key), None)

    def make_token_read_only(self, read_only: bool = True) -> None:  # noqa: FBT001, FBT002
        """Let the token read only, or write again."""
        self._switches.productive_read_only = read_only


def _named(percent: object) -> Record:
    """What a line itself says of its tax."""
    is_none = percent is None
    return {
        "tax_name": None if is_none else "VAT",
        "tax_value": None if is_none else sum(_parts(percent)),
    }


def _parts(percent: object) -> list[Decimal]:
    return [_decimal(part) for part in (percent if isinstance(percent, list) else [percent])]


def _text(value: object) -> str | None:
    return None if value is None else str(value)
