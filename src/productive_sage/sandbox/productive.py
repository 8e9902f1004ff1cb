"""Productive's API v2: JSON:API reads and writes over plain tables."""

from __future__ import annotations

import base64
import json
import re
import threading
from datetime import timedelta, timezone
from decimal import Decimal
from typing import NoReturn
from urllib.parse import urlencode
from zlib import crc32

from .amounts import ZERO, decimal_of, half_up
from .dates import is_date
from .productive_contract import REQUIRED, RESOURCES, TWINS, WRITABLE, Resource
from .server import Clock, Record, Reply, Request, Switches, Windows

MEDIA_TYPE = "application/vnd.api+json"
_BULK = "application/vnd.api+json; ext=bulk"
_LIMITS = [(100, 10), (4000, 1800)]
_LARGEST_PAGE = 200
# A list of more ids than this in one filter is refused, as nobody has seen it work.
_MOST_VALUES = 50
_FILTER = re.compile(r"^filter\[(\w+)\](?:\[(\w+)\])?(?:\[(\w+)\])?$")
_MOMENT = re.compile(r"^\d{4}-\d\d-\d\dT")
_COMPUTED = frozenset(
    "invoice_type invoice_state invoice_status payment_status sent_status export_status".split()
)
_ORDERED = frozenset({"gt", "gt_eq", "lt", "lt_eq"})
_OPERATORS = frozenset({"eq", "not_eq", "contains", "not_contain"}) | _ORDERED
_CONVERTED = {"_default": Decimal("1.17"), "_normalized": Decimal("0.79")}


class Denied(Exception):
    """The service's no."""

    def __init__(self, status: int, code: str, detail: str, pointer: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.pointer = pointer


def _deny(status: int, code: str, detail: str, pointer: str = "") -> NoReturn:
    raise Denied(status, code, detail, pointer)


class Productive:
    """The service; `data` is plain data and all of its state."""

    def __init__(
        self, switches: Switches, clock: Clock, *, token: str, organization_id: str
    ) -> None:
        self._switches = switches
        self._clock = clock
        self._token = token
        self._organization_id = organization_id
        self._windows = Windows(clock)
        self.lock = threading.RLock()
        self.data: Record = {}
        self.base_url = ""
        self.files_url = ""
        self.export_calls = 0
        self._refusals = 0

    def load(self, data: Record) -> None:
        """Take over a state."""
        with self.lock:
            self.data = data
            self.export_calls = self._refusals = 0
            self._windows.clear()

    def table(self, kind: str) -> dict[str, Record]:
        """Give the living records of one type by id."""
        table: dict[str, Record] = self.data["tables"][kind]
        return table

    # What tests look at: copies, money in minor units, relations as `<name>_id`.

    @property
    def invoices(self) -> dict[str, Record]:
        """Show the living invoices by id."""
        return self._flat("invoices")

    @property
    def line_items(self) -> dict[str, Record]:
        """Show the lines by id."""
        return self._flat("line_items")

    @property
    def attachments(self) -> dict[str, Record]:
        """Show the attachments by id; `file` is their bytes, or None."""
        rows = self._flat("attachments")
        return {key: row | {"file": self.files.get(key)} for key, row in rows.items()}

    @property
    def payments(self) -> dict[str, Record]:
        """Show the payments by id."""
        return self._flat("payments")

    def _flat(self, kind: str) -> dict[str, Record]:
        with self.lock:
            rows = {}
            for key, record in self.table(kind).items():
                held = record["attributes"]
                row = {"id": key, **held}
                row |= {f"{name}_id": other for name, other in record["rel"].items()}
                for name in RESOURCES[kind].money:
                    row[name] = self._minor(held.get(name), held.get("currency"), 0)
                rows[key] = row
            return rows

    @property
    def files(self) -> dict[str, bytes]:
        """What the file store holds, by attachment id."""
        files: dict[str, bytes] = self.data["files"]
        return files

    def stamp(self) -> str:
        """Tell the time as Productive writes it: milliseconds and an offset of its own."""
        here = timezone(timedelta(hours=1))
        return self._clock.now().astimezone(here).isoformat(timespec="milliseconds")

    def new_id(self, kind: str) -> str:
        """Give the next free id of a type."""
        counters = self.data["counters"]
        counters[kind] = (
            max(counters.get(kind, 0), *(int(key) for key in self.table(kind)), 900) + 1
        )
        return str(counters[kind])

    # -- arithmetic -------------------------------------------------------------------------

    def digits(self, currency: str | None) -> int:
        """Decimals of a currency's minor unit, as this account counts it."""
        return self._switches.jpy_digits if currency == "JPY" else 2

    def lines_of(self, invoice_id: str) -> list[Record]:
        """List an invoice's lines."""
        return [
            line
            for line in self.table("line_items").values()
            if line["rel"]["invoice"] == invoice_id
        ]

    def recompute(self, invoice_id: str) -> None:
        """Compute an invoice's lines, totals and what is paid, as Productive would."""
        invoice = self.table("invoices")[invoice_id]
        own, currency = invoice["attributes"], invoice["attributes"]["currency"]
        digits = 0 if currency == "JPY" else 2
        keep = 1 - (own.get("discount") or ZERO) / 100
        net = tax = exact_tax = ZERO
        bases: dict[tuple[Decimal, ...], Decimal] = {}
        for line in self.lines_of(invoice_id):
            row, parts = line["attributes"], self._rate(line)
            share = 1 - (row["discount"] or ZERO) / 100
            row["amount"] = half_up(row["unit_price"] * row["quantity"] * share, digits)
            row["amount_tax"] = self._tax(row["amount"], parts, digits)
            row["amount_with_tax"] = row["amount"] + row["amount_tax"]
            net, tax = net + row["amount"], tax + row["amount_tax"]
            exact_tax += row["amount"] * keep * sum(parts) / 100
            bases[parts] = bases.get(parts, ZERO) + row["amount"] * keep
        own["amount"] = half_up(net * keep, digits)
        own["amount_tax"] = tax if keep == 1 else half_up(exact_tax, digits)
        if self._switches.taxes_on_subtotal:
            taxes = (self._tax(base, parts, digits) for parts, base in bases.items())
            own["amount_tax"] = sum(taxes, ZERO)
        own["amount_with_tax"] = own["amount"] + own["amount_tax"]
        self._settle(invoice_id)
        parent = invoice["rel"].get("parent_invoice")
        if parent in self.table("invoices"):
            self._settle(parent)

    def _settle(self, invoice_id: str) -> None:
        own = self.table("invoices")[invoice_id]["attributes"]
        paid = written_off = ZERO
        days = []
        for payment in self.table("payments").values():
            if payment["rel"]["invoice"] != invoice_id:
                continue
            row = payment["attributes"]
            if row["written_off_on"]:
                written_off += row["amount"]
            else:
                paid += row["amount"]
                days.append(row["paid_on"] or "")
        notes = [
            note["attributes"]
            for note in self.table("invoices").values()
            if note["rel"].get("parent_invoice") == invoice_id and _finalised(note["attributes"])
        ]
        own["credited"] = bool(notes)
        own["amount_credited"] = -sum((note["amount"] for note in notes), ZERO)
        own["amount_credited_with_tax"] = -sum((note["amount_with_tax"] for note in notes), ZERO)
        own["amount_paid"], own["amount_written_off"] = paid, written_off
        own["amount_unpaid"] = (
            own["amount_with_tax"] - paid - written_off - own["amount_credited_with_tax"]
        )
        if own["invoice_type_id"] == 2:
            own["amount_unpaid"] = ZERO
        own["paid_on"] = max(days) or None if days and own["amount_unpaid"] <= 0 else None

    def _tax(self, base: Decimal, parts: tuple[Decimal, ...], digits: int) -> Decimal:
        rates = parts if self._switches.components_apart else (sum(parts, ZERO),)
        return sum((half_up(base * rate / 100, digits) for rate in rates), ZERO)

    def _rate(self, line: Record) -> tuple[Decimal, ...]:
        """Give the percentages of a line's tax rate, one for each part."""
        rate = self.table("tax_rates").get(line["rel"].get("tax_rate") or "")
        if rate is None:
            return ()
        values = rate["attributes"]
        parts = (values["primary_component_value"], values["secondary_component_value"])
        return tuple(Decimal(part) for part in parts if part)

    def remove_invoice(self, invoice_id: str) -> None:
        """Delete softly: gone from every list, kept among the deleted items."""
        invoice = self.table("invoices").pop(invoice_id)
        invoice["attributes"]["deleted_at"] = self.stamp()
        self.data["deleted_invoices"][invoice_id] = invoice
        key = self.new_id("deleted_items")
        self.table("deleted_items")[key] = {
            "id": key,
            "attributes": {
                "item_type": "invoice",
                "item_id": int(invoice_id),
                "name": invoice["attributes"]["number"],
                "location": None,
                "private": False,
                "deleter_id": 801,
                "created_at": invoice["attributes"]["deleted_at"],
                "recovered_at": None,
            },
            "rel": {"deleter": "801", "organization": self._organization_id},
        }
        for kind in ("line_items", "payments"):
            table = self.table(kind)
            for key in [k for k, row in table.items() if row["rel"]["invoice"] == invoice_id]:
                del table[key]
        parent = invoice["rel"].get("parent_invoice")
        if parent in self.table("invoices"):
            self._settle(parent)

    # -- the way in -------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer one request below `/api/v2`."""
        with self.lock:
            full = self._windows.hit(_LIMITS, self._switches.limits)
            if full:
                return _too_many(*full)
            try:
                self._check_caller(request)
                return self._route(request)
            except Denied as denied:
                return self._denied(denied)

    def _denied(self, denied: Denied) -> Reply:
        self._refusals += 1
        # Both forms of `status` are seen live, and `source` may lack.
        status: object = denied.status if self._refusals % 2 else str(denied.status)
        error = {
            "status": status,
            "code": denied.code,
            "title": denied.code.replace("_", " ").capitalize(),
            "detail": denied.detail,
        }
        if denied.pointer:
            error["source"] = {"pointer": denied.pointer}
        return Reply.of(denied.status, {"errors": [error]}, f"{MEDIA_TYPE}; charset=utf-8")

    def _check_caller(self, request: Request) -> None:
        headers = request.headers
        if headers.get("x-auth-token") != self._token:
            _deny(401, "unauthorized", "The token is missing or wrong")
        if headers.get("x-organization-id") != self._organization_id:
            _deny(403, "forbidden", "The token has no access to this organization")
        kind = headers.get("content-type", "")
        if re.sub(r"\s", "", kind) not in {MEDIA_TYPE, re.sub(r"\s", "", _BULK)}:
            _deny(415, "unsupported_media_type", f"Content-Type must be {MEDIA_TYPE}")
        accept = headers.get("accept", "*/*")
        if not any(kind in accept for kind in ("*/*", MEDIA_TYPE)):
            _deny(406, "not_acceptable", f"Only {MEDIA_TYPE} is available")
        if "ext=bulk" in kind and "ext=bulk" not in accept:
            _deny(404, "not_found", "The address does not exist")
        if self._switches.productive_read_only and request.method != "GET":
            _deny(403, "forbidden", "The token may only read")

    def _route(self, request: Request) -> Reply:
        kind, *rest = request.path.strip("/").split("/")
        if kind not in RESOURCES:
            _deny(404, "not_found", "The address does not exist")
        match (request.method, *rest):
            case ("GET",):
                return self._list(kind, request)
            case ("GET", key):
                includes, fields = self._shape(kind, request, frozenset())
                return self._one(200, kind, self._find(kind, key), includes, fields)
            case ("POST",) if kind in {"payments", "attachments"}:
                return self._create(kind, request)
            case ("PATCH", key) if kind in WRITABLE:
                record = self._find(kind, key)
                self._change(kind, record, self._attributes(kind, request, key))
                return self._one(200, kind, record)
            case ("DELETE", key) if kind in {"payments", "attachments"}:
                return self._delete(kind, self._find(kind, key))
            case ("PATCH", key, "export" | "export_update") if kind == "invoices":
                self._find(kind, key)
                self.export_calls += 1
                _deny(422, "feature_unavailable", "feature unavailable")
        if len(rest) <= 1:
            _deny(405, "method_not_allowed", "The method is not allowed here")
        raise Denied(404, "not_found", "The address does not exist")

    def _find(self, kind: str, key: str) -> Record:
        record = self.table(kind).get(key)
        if record is None:
            _deny(404, "record_not_found", "The record does not exist")
        return record

    def _bad_query(self, code: str, detail: str) -> Denied:
        return Denied(self._switches.bad_query_status, code, detail)

    # -- reading ----------------------------------------------------------------------------

    def _shape(
        self, kind: str, request: Request, other: frozenset[str]
    ) -> tuple[list[str], frozenset[str] | None]:
        """Read `include` and `fields`, and refuse every parameter nobody knows."""
        resource = RESOURCES[kind]
        for name, values in request.query.items():
            known = name in {"include", f"fields[{kind}]", *other} or _FILTER.match(name)
            if not known or (_FILTER.match(name) and not other) or len(values) > 1:
                raise self._bad_query("unsupported_parameter", f"{name} is not supported")
        includes = [name for name in request.first("include").split(",") if name]
        for name in includes:
            if name not in resource.to_one:
                raise self._bad_query("unsupported_include", f"{name} cannot be included")
        if f"fields[{kind}]" not in request.query:
            return includes, None
        fields = frozenset(request.first(f"fields[{kind}]").split(",")) - {""}
        if fields - resource.attributes - resource.to_one.keys():
            raise self._bad_query("unsupported_field", "an unknown field was asked for")
        return includes, fields

    def _list(self, kind: str, request: Request) -> Reply:
        paging = frozenset({"page[number]", "page[after]", "page[size]", "sort"})
        includes, fields = self._shape(kind, request, paging)
        size_text = request.first("page[size]", "30")
        if not size_text.isdecimal() or not 1 <= int(size_text) <= _LARGEST_PAGE:
            raise self._bad_query("invalid_page", "page[size] must be 1 to 200")
        size = int(size_text)
        filters = self._filters(kind, request)
        records = [
            row
            for row in self.table(kind).values()
            if all(self._passes(kind, row, *parts) for parts in filters)
        ]
        # Lines come newest first: whoever wants them in order has `position`.
        backwards = kind == "line_items"
        records.sort(key=lambda row: int(row["id"]), reverse=backwards)
        self._sort(kind, records, request)
        if "page[after]" in request.query and not self._switches.pages_by_number:
            chosen, meta, links = self._after(records, request, size)
        else:
            chosen, meta, links = self._numbered(records, request, size)
            links = {} if self._switches.pages_by_number else links
        document: Record = {
            "data": [self._view(kind, row, includes, fields) for row in chosen],
            "links": links,
            "meta": meta,
        }
        if includes:
            document["included"] = self._included(kind, chosen, includes)
        return Reply.of(200, document, f"{MEDIA_TYPE}; charset=utf-8")

    def _sort(self, kind: str, records: list[Record], request: Request) -> None:
        for word in reversed([w for w in request.first("sort").split(",") if w]):
            name = word.lstrip("-")
            if name not in RESOURCES[kind].sorts:
                raise self._bad_query("unsupported_sort", f"{word} is not a sort")
            records.sort(
                key=lambda row: _order(self._values(kind, row, name)),
                reverse=word.startswith("-"),
            )

    def _after(
        self, records: list[Record], request: Request, size: int
    ) -> tuple[list[Record], Record, Record]:
        if "page[number]" in request.query:
            raise self._bad_query("invalid_page", "page[after] cannot go with page[number]")
        if request.first("sort") not in {"", "id"}:
            raise self._bad_query("keyset_unsupported_sort", "this sort cannot be paged by cursor")
        cursor = request.first("page[after]")
        if cursor:
            try:
                last = int(base64.urlsafe_b64decode(cursor).decode())
            except ValueError:
                words = "page[after] is not a cursor of this service"
                raise self._bad_query("invalid_page", words) from None
            rest = [row for row in records if int(row["id"]) > last]
            if records and int(records[0]["id"]) > int(records[-1]["id"]):
                rest = [row for row in records if int(row["id"]) < last]
            records = rest
        chosen = records[:size]
        links = {}
        if len(records) > size:
            key = base64.urlsafe_b64encode(chosen[-1]["id"].encode()).decode()
            links["next"] = self._link(request, {"page[after]": key})
        return chosen, {"page_size": size, "max_page_size": _LARGEST_PAGE}, links

    def _numbered(
        self, records: list[Record], request: Request, size: int
    ) -> tuple[list[Record], Record, Record]:
        text = request.first("page[number]", "1")
        if not text.isdecimal() or int(text) < 1:
            raise self._bad_query("invalid_page", "page[number] must be 1 or more")
        number, last = int(text), -(-len(records) // size)
        meta = {
            "current_page": number,
            "total_pages": last,
            "total_count": len(records),
            "page_size": size,
            "max_page_size": _LARGEST_PAGE,
        }
        pages = {"first": 1, "prev": number - 1, "next": number + 1, "last": last}
        links = {
            name: self._link(request, {"page[number]": str(page)})
            for name, page in pages.items()
            if 1 <= page <= last and (name != "prev" or number > 1)
        }
        return records[(number - 1) * size : number * size], meta, links

    def _link(self, request: Request, change: dict[str, str]) -> str:
        query = {name: values[0] for name, values in request.query.items()} | change
        return f"{self.base_url}/api/v2{request.path}?{urlencode(query)}"

    def _one(
        self,
        status: int,
        kind: str,
        record: Record,
        includes: list[str] | None = None,
        fields: frozenset[str] | None = None,
    ) -> Reply:
        document: Record = {"data": self._view(kind, record, includes or [], fields)}
        if includes:
            document["included"] = self._included(kind, [record], includes)
        return Reply.of(status, document, f"{MEDIA_TYPE}; charset=utf-8")

    def _included(self, kind: str, records: list[Record], includes: list[str]) -> list[Record]:
        found: dict[tuple[str, str], Record] = {}
        for name in includes:
            target = RESOURCES[kind].to_one.get(name, "")
            for record in records:
                key = record["rel"].get(name)
                if key and key in self.data["tables"].get(target, {}):
                    found[target, key] = self._view(target, self.table(target)[key], [], None)
        return list(found.values())

    def _view(
        self, kind: str, record: Record, includes: list[str], fields: frozenset[str] | None
    ) -> Record:
        resource = RESOURCES[kind]
        attributes = self._attribute_view(kind, resource, record)
        if kind == "attachments":
            attributes["url"] = self._file_url(record)
        relations: Record = {}
        for name, target in resource.to_one.items():
            if name not in includes:
                relations[name] = {"meta": {"included": False}}
                continue
            key = record["rel"].get(name)
            known = key and key in self.data["tables"].get(target, {})
            relations[name] = {"data": {"type": target, "id": key} if known else None}
        if fields is not None:
            attributes = {name: value for name, value in attributes.items() if name in fields}
            relations = {name: value for name, value in relations.items() if name in fields}
        return {
            "id": record["id"],
            "type": kind,
            "attributes": attributes,
            "relationships": relations,
        }

    def _attribute_view(self, kind: str, resource: Resource, record: Record) -> Record:
        held = record["attributes"]
        view = {name: held.get(name) for name in resource.plain}
        currency = held.get("currency")
        if "currency" in resource.plain:
            view |= {"currency_default": "USD", "currency_normalized": "EUR"}
        for name in resource.numbers:
            value = held.get(name)
            view[name] = None if value is None else _number(value, _style(kind, record, name))
        for name in resource.money:
            value = held.get(name)
            view[name] = self._minor(value, currency, _style(kind, record, name))
            for twin in TWINS if resource.twins else ():
                other = None if value is None else value * _CONVERTED[twin]
                view[f"{name}{twin}"] = self._minor(other, currency, 0)
        return view

    def _minor(self, amount: Decimal | None, currency: str | None, style: int) -> object:
        """Show money in minor units: mostly an integer, sometimes one of the two strings."""
        if amount is None:
            return None
        minor = int(half_up(amount.scaleb(self.digits(currency)), 0))
        return {1: str(minor), 2: f"{minor}.0"}.get(style % 6, minor)

    def _file_url(self, attachment: Record) -> str | None:
        if attachment["id"] not in self.files:
            return None
        key, name = int(attachment["id"]), attachment["attributes"]["name"]
        return f"{self.files_url}/attachments/files/{key:09d}/original/{name.replace(' ', '_')}"

    # -- filters ----------------------------------------------------------------------------

    def _filters(self, kind: str, request: Request) -> list[tuple[str, str, str]]:
        """Read the filters as (name, operator, value), and refuse those nobody knows."""
        filters = []
        for name, values in request.query.items():
            match = _FILTER.match(name)
            if not match:
                continue
            field, operator, inner = match.groups()
            known = field in RESOURCES[kind].filters and bool(inner) == (field == "custom_fields")
            if inner:
                # filter[custom_fields][<id>][<operator>]
                field, operator = f"{field}.{operator}", inner
            operator = operator or "eq"
            if not known or operator not in _OPERATORS:
                raise self._bad_query("unsupported_filter", f"{name} is not supported")
            if values[0].count(",") >= _MOST_VALUES:
                words = f"at most {_MOST_VALUES} values can be given"
                raise self._bad_query("too_many_values", words)
            filters.append((field, operator, values[0]))
        return filters

    def _passes(self, kind: str, record: Record, field: str, operator: str, text: str) -> bool:
        if _MOMENT.match(text):
            # Times are cut to dates before they are compared.
            text = text[:10]
        if field in {"paid_after", "paid_before"}:
            operator = "gt_eq" if field == "paid_after" else "lt_eq"
            field = "paid_on"
        held = self._values(kind, record, field)
        if operator in _ORDERED:
            return any(_compare(value, operator, text) for value in held)
        if operator in {"contains", "not_contain"}:
            found = any(text.casefold() in value.casefold() for value in held)
            return found == (operator == "contains")
        wanted = text.split(",")
        found = any(_same(value, want) for value in held for want in wanted)
        return found == (operator == "eq")

    def _values(self, kind: str, record: Record, field: str) -> list[str]:
        """List what a filter or sort of this name looks at, as text."""
        held, rel = record["attributes"], record["rel"]
        if kind == "invoices" and field in _COMPUTED:
            return [str(self._computed(held, field))]
        if field == "status":
            value: object = 2 if held.get("archived_at") else 1
        elif field == "id":
            value = record["id"]
        elif field.startswith("custom_fields."):
            value = (held.get("custom_fields") or {}).get(field.partition(".")[2])
        elif (kind, field) == ("payments", "number"):
            value = self.table("invoices")[rel["invoice"]]["attributes"]["number"]
        elif field in RESOURCES[kind].money:
            value = self._minor(held.get(field), held.get("currency"), 0)
        elif field in RESOURCES[kind].attributes:
            value = held.get(field)
        else:
            value = rel.get(field.removesuffix("_id"))
        if isinstance(value, list):
            return [str(one) for one in value]
        return (
            [] if value is None else [str(value).lower() if value in {True, False} else str(value)]
        )

    def _computed(self, held: Record, field: str) -> int:
        """Give what a filter of invoices looks at that is no attribute."""
        match field:
            case "invoice_type":
                return int(held["invoice_type_id"])
            case "invoice_state":
                return 2 if _finalised(held) else 1
            case "invoice_status":
                return self._invoice_status(held)
            case "payment_status":
                return _payment_status(held)
            case "sent_status":
                return 1 if held["sent_on"] else 2
        return 1 if held["exported"] else 2

    def _invoice_status(self, held: Record) -> int:
        if not _finalised(held):
            return 4
        if _payment_status(held) == 1:
            return 1
        if not held["sent_on"]:
            return 0
        return 2 if (held["pay_on"] or "9999") < self._clock.today() else 3

    # -- writing ----------------------------------------------------------------------------

    def _attributes(self, kind: str, request: Request, key: str = "") -> Record:
        if request.query:
            raise self._bad_query("unsupported_parameter", "no parameter is supported here")
        document = _json(request)
        return self._resource_attributes(kind, document.get("data"), key)

    def _resource_attributes(self, kind: str, data: object, key: str) -> Record:
        if not isinstance(data, dict) or data.get("type") != kind:
            _deny(422, "invalid_type", f"data must be a resource of type {kind}", "/data/type")
        if key and data.get("id", key) != key:
            _deny(422, "invalid_id", "data/id differs from the address", "/data/id")
        attributes = data.get("attributes")
        if not isinstance(attributes, dict):
            _deny(422, "invalid_attributes", "attributes are missing", "/data/attributes")
        attributes = dict(attributes)
        linked = data.get("relationships", {}).get("invoice", {}).get("data")
        if kind == "payments" and isinstance(linked, dict):
            # The ids of relations are strings, those of attributes are numbers.
            linked_id = str(linked.get("id"))
            attributes["invoice_id"] = int(linked_id) if linked_id.isdecimal() else None
        for name, value in attributes.items():
            form = WRITABLE[kind].get(name)
            pointer = f"/data/attributes/{name}"
            if form is None:
                _deny(422, "unsupported_attribute", f"{name} cannot be written", pointer)
            if not _fits(value, form):
                _deny(422, "invalid_attribute", f"{name} is invalid", pointer)
        for name in REQUIRED.get(kind, ()):
            if not key and attributes.get(name) is None:
                _deny(422, "blank", f"{name} can't be blank", f"/data/attributes/{name}")
        return attributes

    def _create(self, kind: str, request: Request) -> Reply:
        make = self._new_payment if kind == "payments" else self._new_attachment
        if "ext=bulk" not in request.headers["content-type"]:
            return self._one(201, kind, make(self._attributes(kind, request)))
        rows = _json(request).get("data")
        if kind != "payments" or not isinstance(rows, list) or len(rows) > 100:
            _deny(422, "invalid_bulk", "data must be an array of at most 100 payments", "/data")
        # All or nothing: every row is checked before the first is made.
        checked = [self._resource_attributes(kind, row, "") for row in rows]
        for attributes in checked:
            self._check_payment(attributes)
        made = [self._view(kind, make(attributes), [], None) for attributes in checked]
        return Reply.of(201, {"data": made}, f"{_BULK}; charset=utf-8")

    def _check_payment(self, attributes: Record, record: Record | None = None) -> None:
        key = str(attributes.get("invoice_id") or (record and record["rel"]["invoice"]))
        invoice = self.table("invoices").get(key)
        if invoice is None or not _finalised(invoice["attributes"]):
            _deny(422, "invalid_invoice", "invoice must exist", "/data/attributes/invoice_id")
        if attributes.get("amount") == 0:
            _deny(422, "invalid_amount", "amount must not be 0", "/data/attributes/amount")
        if self._switches.refuse_overpaying and "amount" in attributes:
            own = invoice["attributes"]
            unpaid = own["amount_unpaid"] + (record["attributes"]["amount"] if record else ZERO)
            if self._major(attributes["amount"], own["currency"]) > unpaid:
                _deny(422, "overpaid", "amount is too high", "/data/attributes/amount")

    def _major(self, minor: int, currency: str) -> Decimal:
        return Decimal(minor).scaleb(-self.digits(currency))

    def _new_payment(self, attributes: Record) -> Record:
        self._check_payment(attributes)
        key = str(attributes["invoice_id"])
        currency = self.table("invoices")[key]["attributes"]["currency"]
        amount = self._major(attributes["amount"], currency)
        return self.table("payments")[self.add_payment(key, amount, attributes)]

    def add_payment(self, invoice_id: str, amount: Decimal, attributes: Record) -> str:
        """Enter a payment and give its id."""
        key = self.new_id("payments")
        self.table("payments")[key] = {
            "id": key,
            "attributes": {
                "amount": amount,
                "currency": self.table("invoices")[invoice_id]["attributes"]["currency"],
                "paid_on": attributes.get("paid_on"),
                "written_off_on": attributes.get("written_off_on"),
                "note": attributes.get("note"),
            },
            "rel": {"invoice": invoice_id, "organization": self._organization_id},
        }
        self._settle(invoice_id)
        return key

    def _new_attachment(self, attributes: Record) -> Record:
        key = self.new_id("attachments")
        size = attributes.get("size")
        record = {
            "id": key,
            "attributes": {
                "size": None if size is None else int(size),
                "attachment_type": "attachment",
                "created_at": self.stamp(),
                "aws_policy": {
                    "key": f"temp/{key}/${{filename}}",
                    "acl": "private",
                    "policy": base64.b64encode(f"sandbox policy {key}".encode()).decode(),
                    "success_action_status": "201",
                    "x-amz-algorithm": "AWS4-HMAC-SHA256",
                    "x-amz-credential": "SANDBOX/20260101/eu-west-1/s3/aws4_request",
                    "x-amz-signature": f"{crc32(key.encode()):08x}" * 8,
                },
            },
            "rel": {"organization": self._organization_id, "creator": "801"},
        }
        self._change("attachments", record, attributes)
        self.table("attachments")[key] = record
        return record

    def _change(self, kind: str, record: Record, attributes: Record) -> None:
        if kind == "payments":
            self._change_payment(record, attributes)
            return
        if kind == "invoices":
            self._check_invoice_change(record, attributes)
        # All is looked at before anything is changed.
        self._check_links(kind, attributes)
        for name, value in attributes.items():
            relation = name.removesuffix("_id")
            if name == "temp_url":
                self._take_upload(record, value)
            elif relation in RESOURCES[kind].to_one:
                self._link_to(kind, record, relation, None if value is None else str(value))
            elif name in RESOURCES[kind].numbers:
                record["attributes"][name] = decimal_of(value)
            elif name in RESOURCES[kind].plain:
                record["attributes"][name] = value
        if kind == "invoices":
            self._invoice_changed(record, attributes)

    def _invoice_changed(self, record: Record, attributes: Record) -> None:
        if attributes.get("exported"):
            record["attributes"]["exported_at"] = self.stamp()
        record["attributes"]["updated_at"] = self.stamp()
        if {"discount", "currency"} & attributes.keys():
            self.recompute(record["id"])

    def _change_payment(self, record: Record, attributes: Record) -> None:
        self._check_payment(attributes, record)
        before = record["rel"]["invoice"]
        record["rel"]["invoice"] = str(attributes.get("invoice_id", before))
        for name in ("paid_on", "written_off_on", "note"):
            if name in attributes:
                record["attributes"][name] = attributes[name]
        if "amount" in attributes:
            record["attributes"]["amount"] = self._major(
                attributes["amount"], record["attributes"]["currency"]
            )
        for key in {before, record["rel"]["invoice"]}:
            self._settle(key)

    @staticmethod
    def _check_invoice_change(record: Record, attributes: Record) -> None:
        held = record["attributes"]
        changed = {name for name, value in attributes.items() if held.get(name) != value}
        if "number" in changed and held["sent_on"]:
            _deny(422, "sent", "number of a sent invoice is fixed", "/data/attributes/number")
        if attributes.get("invoice_type_id", 1) not in {1, 2}:
            _deny(422, "inclusion", "is not in the list", "/data/attributes/invoice_type_id")

    def _check_links(self, kind: str, attributes: Record) -> None:
        for name, value in attributes.items():
            relation = name.removesuffix("_id")
            target = RESOURCES[kind].to_one.get(relation)
            if name == relation or target is None or value is None:
                continue
            if str(value) not in self.data["tables"].get(target, {}):
                pointer = f"/data/attributes/{name}"
                _deny(422, "invalid_relation", f"{relation} must exist", pointer)
        if "temp_url" in attributes and attributes["temp_url"] not in self.data["uploads"]:
            _deny(422, "invalid_file", "nothing was uploaded", "/data/attributes/temp_url")

    def _link_to(self, kind: str, record: Record, relation: str, key: str | None) -> None:
        record["rel"][relation] = key
        if (kind, relation) == ("attachments", "invoice") and key is not None:
            self.table("invoices")[key]["rel"]["attachment"] = record["id"]
        if (kind, relation) == ("invoices", "attachment") and key is not None:
            self.table("attachments")[key]["rel"]["invoice"] = record["id"]

    def _take_upload(self, record: Record, address: str) -> None:
        content = self.files[record["id"]] = self.data["uploads"][address]
        record["attributes"] |= {"size": len(content), "aws_policy": None, "temp_url": None}

    def _delete(self, kind: str, record: Record) -> Reply:
        del self.table(kind)[record["id"]]
        if kind == "payments":
            self._settle(record["rel"]["invoice"])
        else:
            self.files.pop(record["id"], None)
            for invoice in self.table("invoices").values():
                if invoice["rel"].get("attachment") == record["id"]:
                    invoice["rel"]["attachment"] = None
        return Reply(204)


def _finalised(held: Record) -> bool:
    return bool(held.get("finalized_on") or held.get("finalized_at"))


def _payment_status(held: Record) -> int:
    if held["amount_unpaid"] <= 0 < held["amount_with_tax"]:
        return 1
    return 3 if held["amount_paid"] else 2


def _style(kind: str, record: Record, name: str) -> int:
    # By record and name, so that a value always comes in the same form.
    return crc32(f"{kind}/{record['id']}/{name}".encode())


def _number(value: Decimal, style: int) -> object:
    if style % 2:
        return f"{value:f}" if "." in f"{value:f}" else f"{value:f}.0"
    return int(value) if value == value.to_integral_value() else float(value)


def _order(values: list[str]) -> tuple[int, Decimal, str]:
    if not values:
        return 0, ZERO, ""
    number = decimal_of(values[0])
    return (1, number, "") if number is not None else (2, ZERO, values[0].casefold())


def _compare(held: str, operator: str, text: str) -> bool:
    left, right = decimal_of(held), decimal_of(text)
    if left is not None and right is not None:
        order = (left > right) - (left < right)
    else:
        a, b = held[: len(text)], text
        order = (a > b) - (a < b)
    return {"gt": order > 0, "gt_eq": order >= 0, "lt": order < 0, "lt_eq": order <= 0}[operator]


def _same(held: str, want: str) -> bool:
    if held == want:
        return True
    if held.isdecimal() and want.isdecimal():
        return False
    left = decimal_of(held)
    if left is not None and left == decimal_of(want):
        return True
    return is_date(want) and held.startswith(f"{want}T")


def _fits(value: object, form: str) -> bool:  # noqa: PLR0911 - one for each form
    if value is None:
        return form.endswith("?") or form == "any"
    match form.rstrip("?"):
        case "text":
            return isinstance(value, str)
        case "flag":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "id":
            return isinstance(value, int) and not isinstance(value, bool) and value > 0
        case "number":
            return not isinstance(value, str) and decimal_of(value) is not None
        case "date":
            return is_date(value)
        case "object":
            return isinstance(value, dict)
    return True


def _json(request: Request) -> Record:
    try:
        document = json.loads(request.body, parse_float=Decimal)
    except ValueError:
        _deny(400, "invalid_json", "The body is not JSON")
    if not isinstance(document, dict):
        _deny(400, "invalid_json", "The body must be an object")
    return document


def _too_many(limit: int, period: int, wait_s: int) -> Reply:
    error = {
        "status": "429",
        "code": "rate_limit_exceeded",
        "title": "Too many requests",
        "detail": f"The limit of {limit} requests in {period} seconds was reached",
        "limit": limit,
        "period": period,
    }
    reply = Reply.of(429, {"errors": [error]}, f"{MEDIA_TYPE}; charset=utf-8")
    reply.headers["X-RateLimit-Reset"] = str(wait_s)
    return reply
