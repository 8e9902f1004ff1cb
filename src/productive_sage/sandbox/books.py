"""The books of one Sage business: records, what settles what, and how a reply shows them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal

from .amounts import ZERO, half_up
from .server import Clock, Record, Switches

_WEB = "https://accounts-extra.sageone.com"
_API = "https://api.accounting.sage.com/v3.1"
_ADDRESS = ("address_line_1", "address_line_2", "city", "region", "postal_code", "country_id")


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between the two sales documents."""

    singular: str
    plural: str
    lines: str
    number: str
    counter: str
    setting: str
    web: str

    @property
    def prefix(self) -> str:
        """The field that holds the number's prefix."""
        return f"{self.number}_prefix"


INVOICE = Kind(
    "sales_invoice",
    "sales_invoices",
    "invoice_lines",
    "invoice_number",
    "next_invoice_number",
    "sales_invoice_number_prefix",
    "invoicing/sales_invoices",
)
CREDIT_NOTE = Kind(
    "sales_credit_note",
    "sales_credit_notes",
    "credit_note_lines",
    "credit_note_number",
    "next_credit_note_number",
    "sales_credit_note_number_prefix",
    "invoicing/sales_credit_notes",
)
KINDS = {kind.plural: kind for kind in (INVOICE, CREDIT_NOTE)}
# What is not booked yet, and what stands in the place of its number.
UNPOSTED = {"DRAFT": "DRAFT", "PRO_FORMA": "PRO FORMA"}


def sage_id(business: str, kind: str, number: int) -> str:
    """Give the 32 digits by which a record is known; the same after every reset."""
    return hashlib.md5(f"{business}/{kind}/{number}".encode(), usedforsecurity=False).hexdigest()


def reference(path: str, key: str, shown: str) -> Record:
    """Show a record in short, as Sage does inside others."""
    return {"id": key, "displayed_as": shown, "$path": f"/{path}/{key}"}


def address_of(given: Record | None, default: Record | None = None) -> Record:
    """Complete an address: every part present, what was not given taken from `default`."""
    base = dict.fromkeys(_ADDRESS) if default is None else {n: default[n] for n in _ADDRESS}
    return base | {name: value for name, value in (given or {}).items() if name in _ADDRESS}


def is_address(address: Record) -> bool:
    """Say whether something could be delivered there; a country alone is no address."""
    return any(address[name] for name in _ADDRESS if name not in {"region", "country_id"})


def percentage_on(rate: Record, day: str) -> Decimal | None:
    """Give a tax rate's percentage on a day; None when it is not in force."""
    if not rate["percentages"]:
        percentage: Decimal = rate["percentage"]
        return percentage
    for entry in rate["percentages"]:
        if entry["from_date"] <= day and (entry["to_date"] is None or day <= entry["to_date"]):
            return Decimal(entry["percentage"])
    return None


class Books:
    """One business; `content` is plain data and all of the state."""

    def __init__(self, content: Record, switches: Switches, clock: Clock) -> None:
        self.content = content
        self.switches = switches
        self.clock = clock

    def table(self, plural: str) -> dict[str, Record]:
        """Give the living records of one kind by id."""
        table: dict[str, Record] = self.content[plural]
        return table

    @property
    def business_id(self) -> str:
        """The id that `X-Business` names."""
        return str(self.content["business"]["id"])

    @property
    def base_currency(self) -> str:
        """The currency the accounts are kept in."""
        return str(self.content["financial"]["base_currency"])

    def new(self, kind: str, fields: Record) -> Record:
        """Make a record of the next id with fresh timestamps; the caller stores it."""
        counters = self.content["counters"]
        counters[kind] = counters.get(kind, 0) + 1
        stamp = self.clock.stamp()
        return {
            "id": sage_id(self.business_id, kind, counters[kind]),
            "created_at": stamp,
            "updated_at": stamp,
            # To the microsecond, for `search`, whose index lags.
            "born": self.clock.now().timestamp(),
            **fields,
        }

    def new_contact(self) -> Record:
        """Make an empty customer; the caller fills it in and adds it."""
        fields = "name reference tax_number notes source_guid credit_days currency"
        return self.new(
            "contact",
            dict.fromkeys(fields.split())
            | {
                "type": "CUSTOMER",
                "locale": "en-GB",
                "main_address": address_of(None),
                "address_name": None,
                "main_contact_person": dict.fromkeys(("name", "email", "telephone", "mobile")),
            },
        )

    def add_contact(self, contact: Record) -> None:
        """Store a contact; its reference is taken for good."""
        if contact["reference"] not in self.content["references"]:
            self.content["references"].append(contact["reference"])
        self.table("contacts")[contact["id"]] = contact

    def touch(self, record: Record) -> None:
        """Move a record's `updated_at`."""
        record["updated_at"] = self.clock.stamp()

    def bury(self, plural: str, key: str) -> None:
        """Remove a record and remember it for the deletion feed."""
        record = self.table(plural).pop(key)
        shown = self.view(plural, record)["displayed_as"]
        self.content["deleted"].setdefault(plural, {})[key] = {
            "id": key,
            "displayed_as": shown,
            "deleted_at": self.clock.stamp(),
        }

    # -- settlement -------------------------------------------------------------------------

    def document(self, key: str) -> tuple[Kind, Record] | None:
        """Find a sales document of either kind."""
        for kind in KINDS.values():
            record = self.table(kind.plural).get(key)
            if record:
                return kind, record
        return None

    def transaction(self, key: str) -> Record | None:
        """Find the document that was booked as this transaction."""
        for kind in KINDS.values():
            for record in self.table(kind.plural).values():
                if key == _transaction_id(record):
                    return record
        return None

    def artefact(self, key: str) -> tuple[str, Record] | None:
        """Find what can be allocated, with its path: documents, and payments on account."""
        found = self.document(key)
        if found:
            return found[0].plural, found[1]
        for receipt in self.table("contact_payments").values():
            if receipt["on_account"] and receipt["on_account"]["id"] == key:
                return "payments_on_account", receipt
        return None

    def unallocated(self, key: str) -> Decimal:
        """Give what is left to allocate of an artefact."""
        found = self.artefact(key)
        if found is None:
            return ZERO
        path, record = found
        if path in KINDS:
            return self.outstanding(record)
        return Decimal(record["on_account"]["amount"]) - self._allocated(key)

    def _allocated(self, key: str) -> Decimal:
        return sum(
            (
                abs(part["amount"])
                for allocation in self.table("contact_allocations").values()
                for part in allocation["artefacts"]
                if part["artefact_id"] == key
            ),
            ZERO,
        )

    def outstanding(self, document: Record) -> Decimal:
        """Give what is still open on a document; nothing on drafts and void ones."""
        if document["status"] != "POSTED":
            return ZERO
        settled: Decimal = sum(
            (row["amount"] + row["discount"] for row in self.settlements(document["id"])), ZERO
        )
        return Decimal(document["total"]) - settled

    def status(self, document: Record) -> str:
        """Give the status as Sage names it."""
        if document["status"] != "POSTED":
            return str(document["status"])
        if document.get("marked"):
            return str(document["marked"])
        if not self.settlements(document["id"]):
            return "UNPAID"
        return "PART_PAID" if self.outstanding(document) else "PAID"

    def editable(self, document: Record) -> bool:
        """Say whether the document may be changed or voided."""
        locked = self.content["financial"]["year_end_lockdown_date"]
        return (
            document["status"] != "VOID"
            and not document["tax_reconciled"]
            and not (locked and document["date"] <= locked)
            and not self.settlements(document["id"])
        )

    def settlements(self, key: str) -> list[Record]:
        """List what was paid or allocated against a document, in the order of entry."""
        rows = []
        for receipt in self.table("contact_payments").values():
            shares = [share for share in receipt["allocated"] if share["artefact_id"] == key]
            if not shares:
                continue
            shown = reference("contact_payments", receipt["id"], self._receipt_name(receipt))
            rows += [
                _settlement(receipt, share["amount"], "Customer Receipt", contact_payment=shown)
                | {"discount": share["discount"]}
                for share in shares
            ]
        for allocation in self.table("contact_allocations").values():
            own = [part for part in allocation["artefacts"] if part["artefact_id"] == key]
            if not own:
                continue
            others = {part["artefact_id"] for part in allocation["artefacts"]} - {key}
            shown = reference("contact_allocations", allocation["id"], "Customer Allocation")
            # Among several, which one settled this document cannot be said.
            artefact = self._artefact_reference(others.pop()) if len(others) == 1 else None
            rows += [
                _settlement(
                    allocation, abs(part["amount"]), "Customer Allocation", contact_allocation=shown
                )
                | {"artefact": artefact}
                for part in own
            ]
        return rows

    def _artefact_reference(self, key: str) -> Record:
        found = self.artefact(key)
        if found is None:
            return reference("artefacts", key, "")
        path, record = found
        kind = KINDS.get(path)
        shown = self.shown_number(kind, record) if kind else self._receipt_name(record)
        return reference(path, key, shown)

    def touch_artefacts(self, keys: list[str]) -> None:
        """Move `updated_at` of settled documents, where the service is set to do so."""
        if self.switches.payments_touch_invoices:
            for key in keys:
                found = self.document(key)
                if found:
                    self.touch(found[1])

    @staticmethod
    def _receipt_name(receipt: Record) -> str:
        return str(receipt["reference"] or "Customer Receipt")

    # -- views ------------------------------------------------------------------------------

    def shown_number(self, kind: Kind, document: Record) -> str:
        """Give the number as a person reads it, prefix included."""
        if document["status"] in UNPOSTED:
            return f"{self.content['invoicing'][kind.setting]}{UNPOSTED[document['status']]}"
        return f"{document['prefix']}{document['number']}"

    def view(self, plural: str, record: Record) -> Record:  # noqa: PLR0911 - one for each kind
        """Show all of a record, amounts as Decimal."""
        kind = KINDS.get(plural)
        if kind:
            return self._document_view(kind, record)
        match plural:
            case "contacts":
                return self._contact_view(record)
            case "contact_payments":
                return self._receipt_view(record)
            case "contact_allocations":
                return self._allocation_view(record)
            case "attachments":
                return _attachment_view(record)
            case "tax_rates":
                return _tax_rate_view(record, self.clock.today())
            case "ledger_accounts":
                return _ledger_view(record)
            case "services" | "products" | "stock_items":
                return self._catalogue_view(plural, record)
        return {key: value for key, value in record.items() if key != "born"}

    def currency_reference(self, code: str) -> Record:
        """Show a currency in short."""
        return reference("currencies", code, self.content["currencies"][code]["displayed_as"])

    def _contact_reference(self, key: str) -> Record:
        contact = self.table("contacts").get(key)
        return reference("contacts", key, self._contact_name(contact) if contact else "")

    @staticmethod
    def _contact_name(contact: Record) -> str:
        return f"{contact['name']} ({contact['reference']})"

    def _ledger_reference(self, key: str) -> Record:
        account = self.table("ledger_accounts")[key]
        return reference("ledger_accounts", key, f"{account['name']} ({account['nominal_code']})")

    def _rate_reference(self, key: str | None) -> Record | None:
        return reference("tax_rates", key, self.table("tax_rates")[key]["shown"]) if key else None

    def _address_view(self, address: Record, key: str, path: str) -> Record:
        shown = ", ".join(
            str(address[name]) for name in ("address_line_1", "city") if address[name]
        )
        country = address["country_id"]
        view = reference(path, key, shown) | {
            name: address[name] for name in _ADDRESS if name != "country_id"
        }
        view["country"] = (
            reference("countries", country, self.content["countries"][country]["displayed_as"])
            if country
            else None
        )
        return view

    def _contact_view(self, contact: Record) -> Record:
        key = contact["id"]
        person = contact["main_contact_person"]
        view = reference("contacts", key, self._contact_name(contact)) | {
            name: contact[name]
            for name in (
                "created_at updated_at name reference tax_number notes locale source_guid"
                " credit_days"
            ).split()
        }
        return view | {
            "links": [_link("contacts", key), _web(f"contacts/{contact['type'].lower()}s", key)],
            "contact_types": [
                reference("contact_types", contact["type"], contact["type"].capitalize())
            ],
            "main_address": self._address_view(
                contact["main_address"], f"{key[:-2]}a1", "addresses"
            )
            | {"name": contact["address_name"]},
            "main_contact_person": reference(
                "contact_persons", f"{key[:-2]}b1", person["name"] or "Main Contact"
            )
            | {
                "name": person["name"] or "Main Contact",
                "telephone": person["telephone"],
                "mobile": person["mobile"],
                "email": person["email"],
                "is_main_contact": True,
            },
            "email": person["email"],
            "currency": self.currency_reference(contact["currency"] or self.base_currency),
            "is_active": contact.get("is_active", True),
            "deleted_at": contact.get("deleted_at"),
        }

    def _document_view(self, kind: Kind, document: Record) -> Record:
        key, rate = document["id"], document["exchange_rate"]
        settlements = self.settlements(key)
        paid: Decimal = sum((row["amount"] for row in settlements), ZERO)
        outstanding = self.outstanding(document)
        transaction = _transaction_id(document)
        unposted = transaction is None
        view = reference(kind.plural, key, self.shown_number(kind, document)) | {
            name: document[name]
            for name in (
                "created_at updated_at contact_name contact_reference date reference notes"
                " terms_and_conditions sent void_reason tax_reconciled exchange_rate"
            ).split()
        }
        if kind is INVOICE:
            view["due_date"] = document["due_date"]
        else:
            view["original_invoice_date"] = document["original_invoice_date"]
        return view | {
            "links": [_link(kind.plural, key), _web(kind.web, key)],
            "editable": self.editable(document),
            "transaction": (
                reference("transactions", transaction, self.shown_number(kind, document))
                if transaction
                else None
            ),
            "transaction_type": reference(
                "transaction_types", kind.singular.upper(), kind.singular.replace("_", " ").title()
            ),
            "contact": self._contact_reference(document["contact_id"]),
            kind.prefix: None if unposted else document["prefix"],
            kind.number: (self.shown_number(kind, document) if unposted else document["number"]),
            "main_address": self._address_view(
                document["main_address"], f"{key[:-2]}a1", "sales_addresses"
            ),
            "delivery_address": self._address_view(
                document["delivery_address"], f"{key[:-2]}a2", "sales_addresses"
            ),
            "net_amount": document["net"],
            "tax_amount": document["tax"],
            "total_amount": document["total"],
            "total_quantity": sum((line["quantity"] for line in document["lines"]), ZERO),
            "total_discount_amount": sum(
                (line["discount_amount"] for line in document["lines"]), ZERO
            ),
            "total_paid": paid,
            "outstanding_amount": outstanding,
            "currency": self.currency_reference(document["currency"]),
            "inverse_exchange_rate": half_up(1 / rate, 10),
            "base_currency_net_amount": half_up(document["net"] * rate),
            "base_currency_tax_amount": half_up(document["tax"] * rate),
            "base_currency_total_amount": half_up(document["total"] * rate),
            "base_currency_outstanding_amount": half_up(outstanding * rate),
            "status": reference(
                "artefact_statuses", self.status(document), self.status(document).capitalize()
            ),
            kind.lines: [self._line_view(line) for line in document["lines"]],
            "payments_allocations": settlements,
        }

    def _line_view(self, line: Record) -> Record:
        def item(plural: str, key: str | None) -> Record | None:
            if not key:
                return None
            entry = self.table(plural)[key]
            return reference(plural, key, f"{entry['description']} ({entry['item_code']})")

        goods = line["eu_goods_services_type_id"]
        return {
            "id": line["id"],
            "displayed_as": line["description"],
            "description": line["description"],
            "product": item("products", line["product_id"]),
            "service": item("services", line["service_id"]),
            "ledger_account": self._ledger_reference(line["ledger_account_id"]),
            "quantity": line["quantity"],
            "unit_price": line["unit_price"],
            "net_amount": line["net"],
            "tax_rate": self._rate_reference(line["tax_rate_id"]),
            "tax_amount": line["tax"],
            "total_amount": line["total"],
            "eu_goods_services_type": (
                reference("eu_goods_services_types", goods, goods.title()) if goods else None
            ),
            "discount_amount": line["discount_amount"],
            "discount_percentage": line["discount_percentage"] or ZERO,
        }

    def _receipt_view(self, receipt: Record) -> Record:
        key, on_account = receipt["id"], receipt["on_account"]
        return reference("contact_payments", key, self._receipt_name(receipt)) | {
            "created_at": receipt["created_at"],
            "updated_at": receipt["updated_at"],
            "links": [_link("contact_payments", key), _web("contact_payments", key)],
            "transaction_type": reference(
                "transaction_types", "CUSTOMER_RECEIPT", "Customer Receipt"
            ),
            "contact": self._contact_reference(receipt["contact_id"]),
            "date": receipt["date"],
            "total_amount": receipt["amount"],
            "currency": self.currency_reference(receipt["currency"]),
            "exchange_rate": receipt["exchange_rate"],
            "base_currency_total_amount": half_up(receipt["amount"] * receipt["exchange_rate"]),
            "reference": receipt["reference"],
            "allocated_artefacts": [
                {
                    "id": f"{key[:-2]}e{number}",
                    "artefact": self._artefact_reference(share["artefact_id"]),
                    "amount": share["amount"],
                    "discount": share["discount"],
                }
                for number, share in enumerate(receipt["allocated"])
            ],
            "payment_on_account": (
                reference("payments_on_account", on_account["id"], self._receipt_name(receipt))
                | {
                    "date": receipt["date"],
                    "total_amount": on_account["amount"],
                    "outstanding_amount": on_account["amount"] - self._allocated(on_account["id"]),
                }
                if on_account
                else None
            ),
        }

    def _allocation_view(self, allocation: Record) -> Record:
        key = allocation["id"]
        return reference("contact_allocations", key, "Customer Allocation") | {
            "created_at": allocation["created_at"],
            "updated_at": allocation["updated_at"],
            "links": [_link("contact_allocations", key)],
            "transaction_type": reference(
                "transaction_types", "CUSTOMER_ALLOCATION", "Customer Allocation"
            ),
            "date": allocation["date"],
            "contact": self._contact_reference(allocation["contact_id"]),
            "allocated_artefacts": [
                {
                    "id": f"{key[:-2]}e{number}",
                    "artefact": self._artefact_reference(part["artefact_id"]),
                    "amount": part["amount"],
                }
                for number, part in enumerate(allocation["artefacts"])
            ],
        }

    def _catalogue_view(self, plural: str, item: Record) -> Record:
        shown = f"{item['description']} ({item['item_code']})"
        return reference(plural, item["id"], shown) | {
            "created_at": item["created_at"],
            "updated_at": item["updated_at"],
            "item_code": item["item_code"],
            "description": item["description"],
            "sales_ledger_account": item["ledger_account_id"]
            and self._ledger_reference(item["ledger_account_id"]),
            "sales_tax_rate": self._rate_reference(item["tax_rate_id"]),
            "active": item["active"],
            "deleted_at": item.get("deleted_at"),
        }


def _transaction_id(document: Record) -> str | None:
    return None if document["status"] in UNPOSTED else f"{document['id'][:-2]}f1"


def _settlement(entry: Record, amount: Decimal, kind: str, **by: Record) -> Record:
    return {
        "displayed_as": kind,
        "date": entry["date"],
        "type": kind,
        "reference": entry.get("reference") or "",
        "amount": amount,
        "discount": ZERO,
        "contact_payment": by.get("contact_payment"),
        "contact_allocation": by.get("contact_allocation"),
        "artefact": None,
    }


def _link(plural: str, key: str) -> Record:
    return {"href": f"{_API}/{plural}/{key}", "rel": "self", "type": "application/json"}


def _web(path: str, key: str) -> Record:
    return {"href": f"{_WEB}/{path}/{key}", "rel": "alternate", "type": "text/html"}


def _attachment_view(attachment: Record) -> Record:
    key = attachment["id"]
    context, transaction = attachment["context_type"], attachment["transaction_id"]
    return reference("attachments", key, attachment["file_name"]) | {
        "created_at": attachment["created_at"],
        "updated_at": attachment["updated_at"],
        "mime_type": attachment["mime_type"],
        "description": attachment["description"],
        "file_extension": "." + attachment["file_name"].rpartition(".")[2].lower(),
        "file_size": len(attachment["file"]),
        "file_name": attachment["file_name"],
        "transaction": reference("transactions", transaction, "") if transaction else None,
        "attachment_context_type": (
            reference("attachment_context_types", context, context.replace("_", " ").title())
            if context
            else None
        ),
        "attachment_context": (
            reference(f"{context.lower()}s", attachment["context_id"], "") if context else None
        ),
        "$file_path": f"/attachments/{key}/file",
    }


def _tax_rate_view(rate: Record, day: str) -> Record:
    return reference("tax_rates", rate["id"], rate["shown"]) | {
        "name": rate["name"],
        # A rate that changed over time carries its percentages with their dates only.
        "percentage": None if len(rate["percentages"]) > 1 else percentage_on(rate, day),
        "percentages": rate["percentages"],
        "is_visible": rate["is_visible"],
        "created_at": rate["created_at"],
        "updated_at": rate["updated_at"],
    }


def _ledger_view(account: Record) -> Record:
    shown = f"{account['name']} ({account['nominal_code']})"
    return reference("ledger_accounts", account["id"], shown) | {
        "created_at": account["created_at"],
        "updated_at": account["updated_at"],
        "name": account["name"],
        "display_name": account["name"],
        "nominal_code": account["nominal_code"],
        "visible_scopes": account["scopes"],
        "visible_in_sales": "sales" in account["scopes"],
    }
