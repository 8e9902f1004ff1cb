"""Sage Accounting v3.1 over `Books`: routes, sign-in check, lists, errors."""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlencode

from .amounts import ZERO, decimal_of, half_up
from .books import CREDIT_NOTE, KINDS, Books, Kind, address_of, reference
from .dates import is_date
from .documents import Refusal, create, refuse, release, update, void
from .pdf import one_page
from .sage_contract import (
    BODIES,
    FLAGS,
    LIST_PARAMETERS,
    ONE_PARAMETERS,
    Problem,
    check,
)
from .server import Clock, Record, Reply, Request, Switches, Windows
from .signin import SignIn

_CALLS_A_SECOND = 15
"""On average of a day, which may have 1,296,000."""
_IDEMPOTENCY_LIFETIME_S = 7 * 86_400
_LARGEST_FILE = 2_621_440
_MIME_TYPES = frozenset({"application/pdf", "image/jpeg", "image/png", "image/gif"})
_SORTS = frozenset({"updated_at", "created_at", "date"})
_STATIC = frozenset({"countries", "currencies", "exchange_rates"})
_REFERENCE = ("id", "displayed_as", "$path")
_OWNED = frozenset({"payment_on_account"})
_SINGLE = frozenset({"user", "financial_settings", "invoice_settings"})
_AREA = {
    "sales_invoices": "sales",
    "sales_credit_notes": "sales",
    "contact_payments": "sales",
    "contacts": "contacts",
    "financial_settings": "settings",
    "invoice_settings": "settings",
}
_WITHOUT_BUSINESS = frozenset({"/businesses", "/businesses/lead", "/user"})
_GB_TAX_NUMBER = re.compile(r"^(GB)?(\d{9}|\d{12}|GD\d{3}|HA\d{3})$")
_TAX_NUMBER = re.compile(r"^[A-Z]{2}[0-9A-Z]{2,13}$")


class Sage:
    """The service; `data` is plain data and all of its state, besides the tokens of `SignIn`."""

    def __init__(self, switches: Switches, clock: Clock, sign_in: SignIn) -> None:
        self._switches = switches
        self._clock = clock
        self._sign_in = sign_in
        self._windows = Windows(clock)
        self.lock = threading.RLock()
        self.data: Record = {}
        self._replies = 0
        self._refusals = 0

    def load(self, data: Record) -> None:
        """Take over a state."""
        with self.lock:
            self.data = data
            self._replies = self._refusals = 0
            self._windows.clear()

    def books(self, business_id: str | None = None) -> Books:
        """Give the books of a business, by default the lead business."""
        content = self.data["books"][business_id or self.data["lead"]]
        return Books(content, self._switches, self._clock)

    # What tests look at in the lead business: as the API shows it, amounts as Decimal.

    def _shown(self, plural: str) -> dict[str, Record]:
        with self.lock:
            books = self.books()
            return {key: books.view(plural, row) for key, row in books.table(plural).items()}

    @property
    def invoices(self) -> dict[str, Record]:
        """Show the sales invoices by id."""
        return self._shown("sales_invoices")

    @property
    def credit_notes(self) -> dict[str, Record]:
        """Show the credit notes by id."""
        return self._shown("sales_credit_notes")

    @property
    def contacts(self) -> dict[str, Record]:
        """Show the contacts by id."""
        return self._shown("contacts")

    @property
    def attachments(self) -> dict[str, Record]:
        """Show the attachments by id; `file` is their bytes."""
        held = self.books().table("attachments")
        return {
            key: view | {"file": held[key]["file"]}
            for key, view in self._shown("attachments").items()
        }

    @property
    def receipts(self) -> dict[str, Record]:
        """Show the receipts by id."""
        return self._shown("contact_payments")

    @property
    def allocations(self) -> dict[str, Record]:
        """Show the allocations by id."""
        return self._shown("contact_allocations")

    def invoice_with_reference(self, text: str) -> list[Record]:
        """Show the invoices, void ones too, whose reference contains `text`."""
        return [row for row in self.invoices.values() if text in (row["reference"] or "")]

    # -- the way in -------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer one request below `/v3.1`."""
        books: Books | None = None
        with self.lock:
            try:
                self._check_caller(request)
                books = self._business(request)
                self._check_subscription(books, request)
                self._check_role(request)
                _check_accept(request)
                reply = self._route(books, request)
            except Refusal as refusal:
                reply = self._refused(refusal)
            self._replies += 1
            reply.headers["X-Request-Id"] = f"sandbox-{self._replies:06d}"
        if books is not None:
            reply.headers["X-Business"] = books.business_id
        return reply

    def _check_caller(self, request: Request) -> None:
        day_s = self._switches.sage_day_s
        full = self._windows.hit([(_CALLS_A_SECOND * day_s, day_s)], self._switches.limits)
        if full:
            raise Refusal(429, [Problem("", f"retry after {full[2]}", "TooManyRequests")])
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        scope = self._sign_in.scope_of(token) if scheme.lower() == "bearer" else None
        if scope is None:
            refuse("", "The access token is missing, invalid or expired", 401, "Unauthorized")
        if scope == "readonly" and request.method != "GET":
            refuse("", "The token may only read", 403, "Forbidden")

    def _business(self, request: Request) -> Books:
        key = request.headers.get("x-business", "")
        if key and key not in self.data["books"]:
            refuse("", "The business does not exist", 404, "RecordNotFound")
        return self.books(key or None)

    def _check_subscription(self, books: Books, request: Request) -> None:
        """Refuse every call about a business whose subscription has ended, whatever the token."""
        state = books.content["business"]["subscription"]
        own = state == "SHOWN" and request.path == f"/businesses/{books.business_id}"
        if state != "ACTIVE" and request.path not in _WITHOUT_BUSINESS and not own:
            refuse("", "No active subscription. (MSE)", 401, "Unauthorized")

    def _check_role(self, request: Request) -> None:
        role, plural = self.data["role"], request.path.strip("/").split("/")[0]
        if plural == "contact_allocations":
            may = all(role[area] == "FULL" for area in ("sales", "purchases", "contacts"))
        elif plural in _AREA:
            given = role[_AREA[plural]]
            may = given in {"FULL", "RESTRICTED"} or (
                given == "READ_ONLY" and request.method == "GET"
            )
        else:
            may = True
        if not may:
            refuse("", "You do not have permission to do this", 403, "Forbidden")

    def _refused(self, refusal: Refusal) -> Reply:
        self._refusals += 1
        rows = []
        if refusal.status == 422 and self._refusals % 2:
            rows.append(_row(Problem("", "The record could not be saved", "RecordInvalid")))
        # Some replies of the live service say `message` instead of `$message`.
        plain = self._refusals % 3 == 0
        rows += [_row(problem, plain=plain) for problem in refusal.problems]
        reply = Reply.of(refusal.status, _worn(rows, self._refusals))
        if refusal.status == 429 and self._switches.retry_after:
            reply.headers["Retry-After"] = refusal.problems[0].message.rpartition(" ")[2]
        return reply

    def _route(  # noqa: C901, PLR0911, PLR0912 - the route table
        self, books: Books, request: Request
    ) -> Reply:
        parts = request.path.strip("/").split("/")
        plural, key = parts[0], parts[1] if len(parts) > 1 else ""
        kind = KINDS.get(plural)
        match (request.method, *parts[1:]):
            case ("GET",) if plural in _SINGLE:
                self._check_query(request, frozenset())
                return self._show(200, self._single(books, plural))
            case ("GET",) if plural in LIST_PARAMETERS:
                self._check_query(request, LIST_PARAMETERS[plural])
                return self._list(books, plural, request)
            case ("GET", _) if plural in LIST_PARAMETERS:
                allowed = ONE_PARAMETERS.get(plural, frozenset({"attributes"}))
                self._check_query(request, allowed)
                return self._one(books, plural, key, request)
            case ("GET", _, "file") if plural == "attachments":
                self._check_query(request, frozenset())
                return self._file(books, key)
            case ("POST",) if kind:
                return self._post(books, kind.singular, request, _create_document(books, kind))
            case ("POST",) if plural == "contacts":
                return self._post(books, "contact", request, _create_contact(books))
            case ("POST",) if plural == "contact_allocations":
                return self._post(books, "contact_allocation", request, _create_allocation(books))
            case ("POST",) if plural == "attachments":
                return self._post(books, "attachment", request, self._create_attachment(books))
            case ("PUT", _) if kind:
                _check_edition(books, kind)
                record = self._find(books, plural, key)
                body = self._body(request, kind.singular)
                return self._whole(200, books.view(plural, update(books, kind, record, body)))
            case ("PUT", _) if plural == "contacts":
                record = self._find(books, plural, key)
                self._change_contact(books, record, self._body(request, "contact"))
                return self._whole(200, books.view(plural, record))
            case ("DELETE", _) if kind:
                self._check_query(request, frozenset({"void_reason"}))
                record = self._find(books, plural, key)
                voided = void(books, kind, record, request.first("void_reason"))
                return self._whole(200, books.view(plural, voided))
            case ("DELETE", _) if plural in {"attachments", "contact_allocations"}:
                self._check_query(request, frozenset())
                return self._delete(books, plural, key)
            case ("POST", _, "release") if kind:
                self._check_query(request, frozenset())
                _check_edition(books, kind)
                record = release(books, kind, self._find(books, plural, key))
                status = 200 if kind.plural == "sales_invoices" else 201
                return self._whole(status, books.view(plural, record))
        known = (plural in LIST_PARAMETERS and len(parts) <= 2) or plural in _SINGLE
        if known:
            refuse("", "The method is not allowed here", 405, "MethodNotAllowed")
        raise Refusal(404, [Problem("", "The address does not exist", "NotFound")])

    def _check_query(self, request: Request, allowed: frozenset[str]) -> None:
        for name, values in request.query.items():
            if name not in allowed:
                refuse(name, f"{name} is not a valid parameter", 400, "BadRequest")
            value = values[0]
            wrong = len(values) > 1 or (name in FLAGS and value not in {"true", "false"})
            if name in {"from_date", "to_date"}:
                wrong = wrong or not is_date(value)
            if name in {"updated_or_created_since", "deleted_since"}:
                wrong = wrong or _instant(value) is None
            if name in {"items_per_page", "page"}:
                wrong = wrong or not value.isdecimal() or int(value) < 1
                wrong = wrong or (name == "items_per_page" and int(value) > 200)
            if name == "sort":
                field, _, way = value.partition(":")
                wrong = wrong or field not in _SORTS or way not in {"", "asc", "desc"}
            if wrong:
                refuse(name, f"{name} has an invalid value", 400, "BadRequest")

    def _body(self, request: Request, singular: str) -> Record:
        self._check_query(request, frozenset())
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            refuse("", "The body must be application/json", 415, "UnsupportedMediaType")
        try:
            # Numbers come as Decimal, so that 0.1 is what was written.
            body = json.loads(request.body, parse_float=Decimal)
        except ValueError:
            refuse("", "The body is not JSON", 400, "BadRequest")
        if not isinstance(body, dict) or not isinstance(body.get(singular), dict):
            refuse(singular, f"{singular} is required")
        for name in body:
            if name != singular:
                refuse(name, f"{name} is not a known attribute", code="UnknownAttribute")
        inner: Record = body[singular]
        return inner

    @staticmethod
    def _find(books: Books, plural: str, key: str) -> Record:
        record = books.table(plural).get(key)
        if record is None:
            refuse("", "The record does not exist", 404, "RecordNotFound")
        return record

    # -- reading ----------------------------------------------------------------------------

    def _show(self, status: int, content: Record) -> Reply:
        return Reply.of(status, self._amounts(content))

    def _whole(self, status: int, view: Record) -> Reply:
        """Show all of a record; what it refers to stays a reference, after a write as well."""
        return self._show(status, _select(view, "all", ""))

    def _amounts(self, content: Record) -> object:
        # Strings, numbers, or both by turns: all three are seen live.
        if self._switches.receipts_say_nothing:
            content = _without_artefacts(content)
        return _plain(content, self._replies % 3, [0])

    def _single(self, books: Books, name: str) -> Record:
        financial, invoicing = books.content["financial"], books.content["invoicing"]
        match name:
            case "user":
                return dict(self.data["user"])
            case "financial_settings":
                scheme = financial["tax_scheme"]
                return {
                    **financial,
                    "$path": "/financial_settings",
                    "base_currency": books.currency_reference(books.base_currency),
                    "tax_scheme": reference("tax_schemes", scheme, scheme),
                }
            case _:
                own = {name: value for name, value in invoicing.items() if name != "days"}
                days = invoicing["days"]
                return {"$path": "/invoice_settings", "customer_credit_days": days, **own}

    def _one(self, books: Books, plural: str, key: str, request: Request) -> Reply:
        if plural == "businesses":
            wanted = self.data["lead"] if key == "lead" else key
            if wanted in self.data["books"]:
                return self._show(200, _business_view(self.books(wanted)))
            refuse("", "The business does not exist", 404, "RecordNotFound")
        if plural in _STATIC:
            for row in _static(books, plural):
                if row["$path"] == f"/{plural}/{key}":
                    return self._show(200, row)
            refuse("", "The record does not exist", 404, "RecordNotFound")
        record = self._find(books, plural, key)
        kind = KINDS.get(plural)
        accept = request.headers.get("accept", "*/*")
        if kind and "application/pdf" in accept:
            return self._pdf(books, kind, record, request)
        attributes = request.first("attributes") or "all"
        view = books.view(plural, record)
        return self._show(200, _select(view, attributes, request.first("nested_attributes")))

    def _pdf(self, books: Books, kind: Kind, record: Record, request: Request) -> Reply:
        if request.first("mark_as_sent", "true") == "true":
            record["sent"] = True
            books.touch(record)
        lines = [
            f"{books.content['business']['name']}: {kind.singular.replace('_', ' ')}",
            books.shown_number(kind, record),
            f"{record['contact_name']}, {record['date']}",
            f"Total {record['total']} {record['currency']}",
        ]
        return Reply(200, one_page(lines), {"Content-Type": "application/pdf"})

    def _file(self, books: Books, key: str) -> Reply:
        record = self._find(books, "attachments", key)
        return Reply(200, record["file"], {"Content-Type": "application/octet-stream"})

    def _list(self, books: Books, plural: str, request: Request) -> Reply:
        if plural == "businesses":
            # All on one page, with a key of its own for its size, and no names.
            rows = [
                reference("businesses", key, content["business"]["name"])
                for key, content in self.data["books"].items()
            ]
            page = {"$total": len(rows), "$page": 1, "$next": None, "$back": None}
            return self._show(200, page | {"$items_per_page": 2_147_483_647, "$items": rows})
        if "deleted_since" in request.query:
            since = _instant(request.first("deleted_since"))
            gone = books.content["deleted"].get(plural, {}).values()
            views = [
                reference(plural, row["id"], row["displayed_as"])
                | {"deleted_at": row["deleted_at"]}
                for row in gone
                if since and (_instant(row["deleted_at"]) or since) > since
            ]
            return self._page(request, views, lambda view: view)
        if plural in _STATIC:
            return self._page(request, _static(books, plural), lambda view: view)
        records = [
            record
            for record in books.table(plural).values()
            if self._wanted(books, plural, record, request)
        ]
        field, _, way = request.first("sort").partition(":")
        if field:
            records.sort(key=lambda record: str(record[field]), reverse=way == "desc")
        return self._page(
            request, records, lambda record: self._row(books, plural, record, request)
        )

    def _row(self, books: Books, plural: str, record: Record, request: Request) -> Record:
        view = books.view(plural, record)
        settlements = view.pop("payments_allocations", [])
        row = _select(view, request.first("attributes"), request.first("nested_attributes"))
        shown = request.first("show_payments_allocations") == "true"
        if shown and self._switches.lists_carry_allocations:
            row["payments_allocations"] = settlements
        return row

    def _page(
        self, request: Request, records: list[Record], row: Callable[[Record], Record]
    ) -> Reply:
        size = int(request.first("items_per_page", "20"))
        if 0 < self._switches.heavy_rows < size and request.first("attributes"):
            refuse("", "An unexpected error has occurred", 500, "UnexpectedError")
        last = max(1, -(-len(records) // size))
        # Beyond the end the live service repeats the last page instead of an empty one.
        number = min(int(request.first("page", "1")), last)
        chosen = records[(number - 1) * size : number * size]
        return self._show(
            200,
            {
                "$total": len(records),
                "$page": number,
                "$itemsPerPage": size,
                "$next": _page_path(request, number + 1, size) if number < last else None,
                "$back": _page_path(request, number - 1, size) if number > 1 else None,
                "$items": [row(record) for record in chosen],
            },
        )

    def _wanted(self, books: Books, plural: str, record: Record, request: Request) -> bool:
        query = {name: values[0] for name, values in request.query.items()}
        since = query.get("updated_or_created_since")
        if since:
            moment, changed = _instant(since), _instant(record["updated_at"])
            if moment and changed and changed < moment:
                return False
            if plural in KINDS and self._age_s(record) < self._switches.list_lag_s:
                return False
        search = query.get("search")
        if search and not self._matches(plural, record, search.casefold()):
            return False
        if "from_date" in query and "date" in record and record["date"] < query["from_date"]:
            return False
        if "to_date" in query and "date" in record and record["date"] > query["to_date"]:
            return False
        return all(_meets(books, plural, record, name, value) for name, value in query.items())

    def _age_s(self, record: Record) -> float:
        return float(self._clock.now().timestamp() - record["born"])

    def _matches(self, plural: str, record: Record, search: str) -> bool:
        if plural in {"contacts", *KINDS} and self._age_s(record) < self._switches.search_lag_s:
            return False
        names = {
            "contacts": ("name", "reference"),
            "sales_invoices": ("reference", "contact_name"),
            "sales_credit_notes": ("reference", "contact_name"),
            "ledger_accounts": ("name", "nominal_code"),
        }.get(plural, ("item_code", "description"))
        return any(search in str(record[name] or "").casefold() for name in names)

    # -- writing ----------------------------------------------------------------------------

    def _post(
        self, books: Books, singular: str, request: Request, make: Callable[[Record], Record]
    ) -> Reply:
        """Create once per idempotency key; a repeat gets the first answer, letter for letter."""
        body = self._body(request, singular)
        key = body.get("idempotency_id")
        place = f"{books.business_id}/{singular}/{key}"
        remembered = self.data["idempotency"].get(place)
        now = self._clock.now().timestamp()
        known = key and remembered and remembered["at"] > now - _IDEMPOTENCY_LIFETIME_S
        if known and self._switches.remember_idempotency:
            return Reply(201, remembered["body"].encode(), {"Content-Type": "application/json"})
        problems = check(body, BODIES["POST", singular], singular)
        if problems:
            raise Refusal(422, problems)
        reply = self._whole(201, make(body))
        if key:
            self.data["idempotency"][place] = {"at": now, "body": reply.body.decode()}
        return reply

    def _change_contact(self, books: Books, contact: Record, body: Record) -> None:
        problems = check(body, BODIES["PUT", "contact"], "contact")
        if problems:
            raise Refusal(422, problems)
        _check_contact(books, contact, body)
        _apply_contact(contact, body)
        books.add_contact(contact)
        books.touch(contact)

    def _create_attachment(self, books: Books) -> Callable[[Record], Record]:
        def make(body: Record) -> Record:
            try:
                content = base64.b64decode(body["file"], validate=True)
            except binascii.Error:
                refuse("attachment.file", "file is not valid base64")
            if not content or len(content) > _LARGEST_FILE:
                refuse("attachment.file", f"file must be 1 to {_LARGEST_FILE} bytes")
            if body["mime_type"] not in _MIME_TYPES:
                refuse("attachment.mime_type", "mime_type is not supported")
            if body.get("file_size", len(content)) != len(content):
                refuse("attachment.file_size", "file_size does not match the file")
            context = self._context(books, body)
            transaction = body.get("transaction_id")
            if transaction and books.transaction(transaction) is None:
                refuse("attachment.transaction_id", "transaction does not exist")
            if self._switches.attachments == "unlinked":
                transaction = None
            attachment = books.new(
                "attachment",
                {
                    "file": content,
                    "file_name": body["file_name"],
                    "mime_type": body["mime_type"],
                    "description": body.get("description"),
                    "context_type": context[0],
                    "context_id": context[1],
                    "transaction_id": transaction,
                },
            )
            books.table("attachments")[attachment["id"]] = attachment
            return books.view("attachments", attachment)

        return make

    def _context(self, books: Books, body: Record) -> tuple[str | None, str | None]:
        """Give the type and id of the document an attachment is linked to by its context."""
        kinds = {kind.singular.upper(): kind.plural for kind in KINDS.values()}
        context, key = (body.get(f"attachment_context_{name}") for name in ("type_id", "id"))
        if context is None and key is None:
            return None, None
        if context not in kinds or self._switches.attachments == "refused":
            refuse("attachment.attachment_context_type_id", "context type is not supported")
        if key not in books.table(kinds[context]):
            refuse("attachment.attachment_context_id", "context does not exist")
        return (context, key) if self._switches.attachments == "either" else (None, None)

    def _delete(self, books: Books, plural: str, key: str) -> Reply:
        record = self._find(books, plural, key)
        books.bury(plural, key)
        if plural == "contact_allocations":
            books.touch_artefacts([part["artefact_id"] for part in record["artefacts"]])
        return Reply(204)


def _check_edition(books: Books, kind: Kind) -> None:
    if kind is CREDIT_NOTE and books.content["business"]["edition"] != "ACCOUNTING":
        refuse("", "Changing or releasing a credit note needs the Plus edition", 403, "Forbidden")


def _static(books: Books, plural: str) -> list[Record]:
    if plural in {"countries", "currencies"}:
        return [
            reference(plural, code, entry["displayed_as"])
            for code, entry in books.content[plural].items()
        ]
    return [
        {
            "displayed_as": entry["displayed_as"],
            "$path": f"/exchange_rates/{code}",
            "rate": entry["rate"],
            "inverse_rate": half_up(1 / entry["rate"], 10),
            "base_currency": books.currency_reference(books.base_currency),
            "currency": books.currency_reference(code),
        }
        for code, entry in books.content["currencies"].items()
        if code != books.base_currency
    ]


def _create_document(books: Books, kind: Kind) -> Callable[[Record], Record]:
    return lambda body: books.view(kind.plural, create(books, kind, body))


def _create_allocation(books: Books) -> Callable[[Record], Record]:
    return lambda body: books.view("contact_allocations", allocate(books, body))


def _create_contact(books: Books) -> Callable[[Record], Record]:
    def make(body: Record) -> Record:
        contact = books.new_contact()
        _check_contact(books, contact, body)
        _apply_contact(contact, body)
        if not contact["reference"]:
            contact["reference"] = _fresh_reference(books, contact["name"])
        books.add_contact(contact)
        return books.view("contacts", contact)

    return make


def allocate(books: Books, body: Record) -> Record:
    """Set artefacts of one contact against each other; raise `Refusal`."""
    source = "contact_allocation"
    if body["transaction_type_id"] != "CUSTOMER_ALLOCATION":
        refuse(f"{source}.transaction_type_id", "transaction type is not supported")
    if body["contact_id"] not in books.table("contacts"):
        refuse(f"{source}.contact_id", "contact does not exist")
    parts = [
        {"artefact_id": row["artefact_id"], "amount": decimal_of(row["amount"]) or ZERO}
        for row in body["allocated_artefacts"]
    ]
    if sum((part["amount"] for part in parts), ZERO) != 0 or len(parts) < 2:
        refuse(f"{source}.allocated_artefacts", "amounts must add up to zero")
    if len({part["artefact_id"] for part in parts}) != len(parts):
        refuse(f"{source}.allocated_artefacts", "an artefact is named twice")
    currencies = set()
    for part in parts:
        found = books.artefact(part["artefact_id"])
        if found is None or found[1]["contact_id"] != body["contact_id"]:
            refuse(f"{source}.allocated_artefacts", "artefact does not exist for this contact")
        path, record = found
        left = books.unallocated(part["artefact_id"])
        currencies.add(record["currency"])
        sign = 1 if path == "sales_invoices" else -1
        # The live service does not say which of the artefacts it minds.
        if not 0 < part["amount"] * sign <= left:
            refuse("", "Amount allocated is more than the outstanding amount")
    if len(currencies) != 1:
        refuse(f"{source}.allocated_artefacts", "artefacts must have one currency")
    allocation = books.new(
        "contact_allocation",
        {
            "contact_id": body["contact_id"],
            "date": body.get("date") or books.clock.today(),
            "artefacts": parts,
        },
    )
    books.table("contact_allocations")[allocation["id"]] = allocation
    books.touch_artefacts([part["artefact_id"] for part in parts])
    return allocation


def _row(problem: Problem, *, plain: bool = False) -> Record:
    return {
        "$severity": "error",
        "$dataCode": problem.code,
        ("message" if plain else "$message"): problem.message,
        "$source": problem.source,
    }


def _worn(rows: list[Record], turn: int) -> object:
    """Put reasons as the live service does by turns: mostly an array, one alone, `errors`."""
    match turn % 4:
        case 0 if len(rows) == 1:
            return rows[0]
        case 2:
            return {"errors": rows}
    return rows


def _instant(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_accept(request: Request) -> None:
    """Refuse what wants something else than the address gives: JSON, a file, a document's PDF."""
    accept = request.headers.get("accept", "*/*")
    parts = request.path.strip("/").split("/")
    available = ["*/*", "application/*", "application/json"]
    if parts[0] == "attachments" and parts[2:] == ["file"]:
        available = ["application/octet-stream"]
    elif request.method == "GET" and parts[0] in KINDS and len(parts) == 2:
        available.append("application/pdf")
    if not any(kind in accept for kind in available):
        refuse("", f"Only {available[-1]} is available", 406, "NotAcceptable")


def _page_path(request: Request, number: int, size: int) -> str:
    query = {name: values[0] for name, values in request.query.items()}
    query |= {"page": str(number), "items_per_page": str(size)}
    return f"{request.path}?{urlencode(query)}"


def _plain(content: object, style: int, seen: list[int]) -> object:
    """Turn amounts into JSON: strings (0), numbers (1), or one and the other in turn (2).

    A missing date is null (0), empty (1) or blank (2).
    """
    if isinstance(content, dict):
        blank = dict.fromkeys(
            (name for name, value in content.items() if name.endswith("_date") and value is None),
            (None, "", "   ")[style],
        )
        return {name: _plain(value, style, seen) for name, value in (content | blank).items()}
    if isinstance(content, list):
        return [_plain(value, style, seen) for value in content]
    if not isinstance(content, Decimal):
        return content
    seen[0] += 1
    if style == 0 or (style == 2 and seen[0] % 2):
        return f"{content:f}"
    return int(content) if content == content.to_integral_value() else float(content)


def _without_artefacts(content: Record) -> Record:
    """Turn the rows of what a receipt or an allocation settles into bare references."""
    rows = content.get("allocated_artefacts")
    if rows is not None:
        content = content | {
            "allocated_artefacts": [
                reference("allocated_artefacts", row["id"], row["artefact"]["displayed_as"])
                for row in rows
            ]
        }
    if "$items" in content:
        content = content | {"$items": [_without_artefacts(row) for row in content["$items"]]}
    return content


def _select(view: Record, attributes: str, nested: str) -> Record:
    """Cut a view down to what was asked for.

    What a record refers to has three fields, unless `nested` names it: that opens one level. Owned
    rows, such as lines, come whole.
    """
    wanted = set(view) if attributes == "all" else {*attributes.split(","), *_REFERENCE}
    opened = set(view) if nested == "all" else set(nested.split(","))
    return {
        name: {inner: value[inner] for inner in _REFERENCE}
        if isinstance(value, dict) and "$path" in value and name not in opened | _OWNED
        else value
        for name, value in view.items()
        if name in wanted
    }


def _meets(  # noqa: PLR0911 - one for each filter
    books: Books, plural: str, record: Record, name: str, value: str
) -> bool:
    """Say whether a record passes one filter; parameters that filter nothing always pass."""
    match name:
        case "contact_id":
            return bool(record["contact_id"] == value)
        case "status_id":
            return books.status(record) == value
        case "contact_type_id":
            return bool(record["type"] == value)
        case "email":
            email = record["main_contact_person"]["email"] or ""
            return bool(email.casefold() == value.casefold())
        case "attachment_context_id":
            return value in {record["context_id"], record["transaction_id"]}
        case "attachment_context_type_id":
            return record["context_type"] in {None, value}
        case "transaction_type_id":
            of = {"contact_payments": "CUSTOMER_RECEIPT"}.get(plural, "CUSTOMER_ALLOCATION")
            return value == of
        case "visible_in":
            return value in record["scopes"]
        case "active":
            return bool(record["active"]) == (value == "true")
    return True


def _business_view(books: Books) -> Record:
    business = books.content["business"]
    country, active = business["country"], business["subscription"] == "ACTIVE"
    return reference("businesses", business["id"], business["name"]) | {
        "name": business["name"],
        "country": reference(
            "countries", country, books.content["countries"][country]["displayed_as"]
        ),
        "created_at": "2019-04-01T09:00:00Z",
        "updated_at": "2026-01-01T09:00:00Z",
        "subscriptions": [
            {
                "id": business["edition"],
                "displayed_as": business["edition"].title(),
                "status": "ACTIVE" if active else "CANCELLED",
                "active": active,
            }
        ],
    }


def _check_contact(books: Books, contact: Record, body: Record) -> None:
    problems = []
    types = body.get("contact_type_ids")
    if types is not None and (len(types) != 1 or types[0] not in {"CUSTOMER", "VENDOR"}):
        problems.append(Problem("contact.contact_type_ids", "exactly one known type is needed"))
    given = body.get("reference")
    # References of deleted contacts stay taken.
    if given and given != contact["reference"] and given in books.content["references"]:
        problems.append(Problem("contact.reference", "reference has already been taken"))
    currency = body.get("currency_id")
    if currency is not None and currency not in books.content["currencies"]:
        problems.append(Problem("contact.currency_id", "currency does not exist"))
    elif currency not in {None, contact["currency"]} and any(
        document["contact_id"] == contact["id"]
        for kind in KINDS
        for document in books.table(kind).values()
    ):
        problems.append(Problem("contact.currency_id", "currency cannot be changed any more"))
    if "main_address" in body and not body["main_address"].get("name"):
        problems.append(Problem("addresses.name", "This field is required."))
    country = body.get("main_address", {}).get("country_id")
    if country is not None and country not in books.content["countries"]:
        problems.append(Problem("contact.main_address.country_id", "country does not exist"))
    number = body.get("tax_number")
    home = address_of(body.get("main_address"), contact["main_address"])["country_id"]
    form = _GB_TAX_NUMBER if home in {None, "GB"} else _TAX_NUMBER
    if number and not form.match(number.replace(" ", "")):
        problems.append(Problem("contact.tax_number", "tax_number is not valid"))
    email = body.get("main_contact_person", {}).get("email")
    if email and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email):
        problems.append(Problem("contact.main_contact_person.email", "email is not valid"))
    if problems:
        raise Refusal(422, problems)


def _apply_contact(contact: Record, body: Record) -> None:
    for name in contact.keys() & body.keys() - {"main_address", "main_contact_person"}:
        contact[name] = body[name]
    if "contact_type_ids" in body:
        contact["type"] = body["contact_type_ids"][0]
    if "currency_id" in body:
        contact["currency"] = body["currency_id"]
    if "main_address" in body:
        contact["main_address"] = address_of(body["main_address"], contact["main_address"])
        contact["address_name"] = body["main_address"]["name"]
    contact["main_contact_person"] |= body.get("main_contact_person", {})


def _fresh_reference(books: Books, name: str) -> str:
    stem = re.sub(r"[^A-Z]", "", name.upper())[:5] or "C"
    number = 1
    while f"{stem}{number:03d}" in books.content["references"]:
        number += 1
    return f"{stem}{number:03d}"
