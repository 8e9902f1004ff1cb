"""The check itself: good calls pass, and each kind of departure is found."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from .check import Contract, problems

GUID = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Call:
    """A call with the least to be a good one."""

    service: str
    method: str
    path: str
    query: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: int = 200
    reply_headers: dict[str, str] = field(default_factory=dict)
    reply_body: bytes = b""
    faulted: bool = False


def sage(method: str, path: str, body: Any = None, reply: Any = None, **more: Any) -> Call:
    """Make a call of Sage; `body` and `reply` are written as JSON."""
    headers = {"authorization": "Bearer abc", "x-business": "b1", "accept": "application/json"}
    if body is not None:
        headers["content-type"] = "application/json"
    return Call(
        service="sage",
        method=method,
        path=path,
        headers=headers | more.pop("headers", {}),
        body=b"" if body is None else json.dumps(body).encode(),
        reply_headers={"content-type": "application/json; charset=utf-8"},
        reply_body=b"" if reply is None else json.dumps(reply).encode(),
        **more,
    )


def productive(method: str, path: str, body: Any = None, reply: Any = None, **more: Any) -> Call:
    """Make a call of Productive; `body` and `reply` are written as JSON."""
    headers = {
        "x-auth-token": "abc",
        "x-organization-id": "1",
        "content-type": "application/vnd.api+json",
        "accept": "application/vnd.api+json",
    }
    return Call(
        service="productive",
        method=method,
        path=path,
        headers=headers | more.pop("headers", {}),
        body=b"" if body is None else json.dumps(body).encode(),
        reply_headers={"content-type": "application/vnd.api+json"} | more.pop("reply_headers", {}),
        reply_body=b"" if reply is None else json.dumps(reply).encode(),
        **more,
    )


def line(**more: Any) -> dict[str, Any]:
    """Make a line of a new sales invoice."""
    own = {"description": "Work", "ledger_account_id": "l1", "unit_price": "10.00"}
    return own | {"tax_rate_id": "GB_STANDARD"} | more


def invoice(**more: Any) -> dict[str, Any]:
    """Make the body of a new sales invoice."""
    document = {"contact_id": "c1", "date": "2026-03-14", "invoice_lines": [line()]}
    return {"sales_invoice": document | more}


def page(*rows: Any, **more: Any) -> dict[str, Any]:
    """Make a page of Sage."""
    envelope = {"$total": len(rows), "$page": 1, "$itemsPerPage": 20, "$next": None, "$back": None}
    return envelope | {"$items": list(rows)} | more


def record(kind: str, relations: Any = None, **attributes: Any) -> dict[str, Any]:
    """Make a record of Productive."""
    return {"id": "7", "type": kind, "attributes": attributes, "relationships": relations or {}}


def post_invoice(reply: Any = None, **more: Any) -> Call:
    """Make the creation of a sales invoice."""
    return sage("POST", "/sales_invoices", invoice(**more), reply or {"id": "1"}, status=201)


def get_invoices(**query: str) -> Call:
    """Make a look at the sales invoices."""
    asked = {name: [value] for name, value in query.items()}
    return sage("GET", "/sales_invoices", reply=page(), query=asked)


def list_invoices(query: dict[str, str], reply: Any = None) -> Call:
    """Make a look at the invoices of Productive."""
    asked = {name: [value] for name, value in query.items()}
    return productive("GET", "/invoices", reply=reply or {"data": []}, query=asked)


def post_payment(**attributes: Any) -> Call:
    """Make the creation of a payment."""
    body = {"data": {"type": "payments", "attributes": {"invoice_id": 7, "amount": 5} | attributes}}
    return productive("POST", "/payments", body, {"data": record("payments")}, status=201)


JSON = {"accept": "application/json"}
BULK = "application/vnd.api+json; ext=bulk"
PAYMENT = {"type": "payments", "attributes": {"invoice_id": 7, "amount": 500}}
BULK_CALL = productive(
    "POST",
    "/payments",
    {"data": [PAYMENT, PAYMENT]},
    {"data": [record("payments"), record("payments")]},
    headers={"content-type": BULK, "accept": BULK},
    status=201,
)
PDF = replace(
    sage("GET", "/sales_invoices/1", query={"mark_as_sent": ["false"]}),
    headers={"authorization": "Bearer abc", "accept": "application/pdf"},
    reply_headers={"content-type": "application/pdf"},
    reply_body=b"%PDF-1.7 ...",
)
LIMIT = productive(
    "GET",
    "/invoices",
    status=429,
    reply={"errors": [{"status": "429", "limit": 100, "period": 10}]},
    reply_headers={"x-ratelimit-reset": "7"},
)
RELEASE = sage("POST", "/sales_invoices/1/release", reply={"id": "1"})
GONE = sage("DELETE", "/contact_allocations/1", status=204)
REFUSAL = [{"$severity": "error", "$dataCode": "Bad", "$message": "No", "$source": ""}]

GOOD = [
    post_invoice(),
    post_invoice(idempotency_id=GUID, reference="PRD-7", notes="a", recurring_invoice={"any": 1}),
    post_invoice(invoice_lines=[line(tax_amount="2.00", unit_price=10.5) for _ in range(3)]),
    post_invoice({"id": "1", "total_amount": "12.00", "net_amount": 10, "updated_at": None}),
    post_invoice({"id": "1", "contact": {"id": "2"}, "invoice_lines": [{"product": None}]}),
    replace(post_invoice(), status=0, reply_body=b""),
    replace(post_invoice(), reply_body=b"<html>", faulted=True),
    replace(post_invoice(), status=422, reply_body=json.dumps(REFUSAL).encode()),
    replace(post_invoice(), status=401, reply_body=b'{"error": "x"}'),
    sage("PUT", "/sales_invoices/1", {"sales_invoice": {"notes": "b"}}, {"id": "1"}),
    get_invoices(page="2", items_per_page="200", attributes="all", has_attachments="true"),
    sage("GET", "/businesses/lead", reply={"id": "1"}),
    sage("GET", "/businesses", reply={"$items": [{"id": "1", "is_demo": False}]}),
    PDF,
    RELEASE,
    GONE,
    list_invoices({"filter[invoice_state]": "2", "filter[export_status][eq]": "2"}),
    list_invoices({"filter[id]": "1,2,3", "filter[invoiced_on][gt_eq]": "2026-01-01"}),
    list_invoices({"filter[custom_fields][12][contains]": "a"}),
    list_invoices({"page[after]": "", "page[size]": "200", "sort": "-invoiced_on,number"}),
    list_invoices({"include": "company,bill_to.company", "fields[invoices]": "number,company"}),
    list_invoices(
        {},
        {
            "data": [record("invoices", {"company": {"meta": {"included": False}}}, amount="10.0")],
            "included": [record("companies", custom_fields={"1": {"x": 1}}), record("people", x=1)],
            "meta": {"page_size": 30, "settings": {"any": 1}},
            "links": {"next": None},
        },
    ),
    productive("GET", "/deleted_items", reply={"data": []}, query={"sort": ["-created_at"]}),
    post_payment(paid_on="2026-03-14", note=None),
    BULK_CALL,
    LIMIT,
    Call("files", "PUT", "/whatever", body=b"x"),
    Call("auth", "POST", "/token", body=b"x", status=500),
]


@pytest.mark.parametrize("call", GOOD, ids=lambda c: f"{c.method} {c.path}")
def test_a_good_call_has_no_problems(call: Call) -> None:
    assert problems(call) == []


BAD = {
    "path": (sage("GET", "/business"), "not in the contract"),
    "path end": (sage("GET", "/sales_invoices/"), "not in the contract"),
    "method": (sage("PATCH", "/sales_invoices/1"), "not in the contract"),
    "export": (productive("PATCH", "/invoices/1/export"), "not in the contract"),
    # parameters
    "parameter": (get_invoices(reference="x"), "unknown parameter reference"),
    "deep parameter": (get_invoices(**{"page[x]": "1"}), "unknown parameter page[x]"),
    "empty parameter": (get_invoices(search=""), "search is empty"),
    "twice": (
        replace(get_invoices(), query={"search": ["a", "b"]}),
        "search is given 2 times",
    ),
    "integer": (get_invoices(page="one"), '"one" is not of type "integer"'),
    "range": (get_invoices(items_per_page="201"), "201 is greater than the maximum of 200"),
    "boolean": (get_invoices(has_attachments="True"), '"True" is not of type "boolean"'),
    "filter": (list_invoices({"filter[exported]": "1"}), "'exported' was unexpected"),
    "operator": (list_invoices({"filter[id][in]": "1"}), '"in" is not one of'),
    "fuzzy operator": (list_invoices({"filter[fuzzy_dates][lt]": "1"}), '"lt" is not one of'),
    "filter twice": (
        list_invoices({"filter[id]": "1", "filter[id][eq]": "1"}),
        "filter[id][eq] contradicts another",
    ),
    "bare filter": (list_invoices({"filter": "1"}), "unknown parameter filter"),
    "code": (list_invoices({"filter[export_status]": "0"}), '"0" does not match'),
    "list": (list_invoices({"filter[id]": "1,,2"}), '"1,,2" does not match'),
    "size": (list_invoices({"page[size]": "0"}), "0 is less than the minimum of 1"),
    "both pages": (list_invoices({"page[number]": "1", "page[after]": ""}), "is not allowed for"),
    "include": (list_invoices({"include": "line_items"}), '"line_items" is not one of'),
    "deep include": (list_invoices({"include": "company.wife"}), "no relation wife"),
    "sort": (list_invoices({"sort": "updated_at"}), '"updated_at" is not one of'),
    "no sort": (
        productive("GET", "/line_items", reply={"data": []}, query={"sort": ["position"]}),
        "unknown parameter sort",
    ),
    "fields": (list_invoices({"fields[invoices]": "state"}), "invoices have no state"),
    "fields type": (list_invoices({"fields[companies]": "name"}), "'companies' was unexpected"),
    # headers and bodies of requests
    "no token": (
        replace(get_invoices(), headers=JSON),
        "no credentials in the header authorization",
    ),
    "basic": (
        replace(get_invoices(), headers=JSON | {"authorization": "Basic abc"}),
        "no credentials in the header authorization",
    ),
    "no organization": (
        replace(LIMIT, headers=dict(LIMIT.headers, **{"x-organization-id": ""})),
        "no credentials in the header x-organization-id",
    ),
    "content type": (
        replace(
            post_invoice(),
            headers=JSON | {"authorization": "Bearer a", "content-type": "text/json"},
        ),
        "content type 'text/json', expected application/json",
    ),
    "content type of a look": (
        productive("GET", "/invoices/1", status=0, headers={"content-type": "application/json"}),
        "expected application/vnd.api+json",
    ),
    "accept": (
        replace(get_invoices(), headers={"authorization": "Bearer a", "accept": "*/*"}),
        "accepts '*/*'",
    ),
    "accept of a PDF": (
        productive("GET", "/invoices/1", status=0, headers={"accept": "application/pdf"}),
        "accepts 'application/pdf'",
    ),
    "bulk accept": (
        replace(BULK_CALL, headers=BULK_CALL.headers | {"accept": "*/*"}),
        "a bulk request has to accept",
    ),
    "bulk body": (
        replace(BULK_CALL, body=json.dumps({"data": PAYMENT}).encode()),
        'is not of type "array"',
    ),
    "bulk size": (
        replace(BULK_CALL, body=json.dumps({"data": [PAYMENT] * 101}).encode()),
        "has more than 100 items",
    ),
    "body of a look": (replace(get_invoices(), body=b"{}"), "has a body where none is expected"),
    "body of a release": (replace(RELEASE, body=b"{}"), "has a body where none is expected"),
    "no body": (replace(post_invoice(), body=b""), "request: has no body"),
    "no JSON": (replace(post_invoice(), body=b"{"), "request: is no JSON"),
    "no number": (
        replace(post_invoice(), body=post_invoice().body.replace(b'"10.00"', b"NaN")),
        "NaN is not a number of JSON",
    ),
    "field": (post_invoice(marker="x"), ".sales_invoice: Additional properties"),
    "line field": (
        post_invoice(invoice_lines=[line(), line(price=1)]),
        ".sales_invoice.invoice_lines[1]: Additional properties",
    ),
    "missing": (post_invoice(invoice_lines=[{}]), '"unit_price" is a required property'),
    "null": (post_invoice(notes=None), 'null is not of type "string"'),
    "length": (post_invoice(reference="x" * 26), "is longer than 25 characters"),
    "short": (post_invoice(idempotency_id="x"), "is shorter than 32 characters"),
    "date": (post_invoice(date="20260314"), '"20260314" is not a "date"'),
    "no date": (post_invoice(date="2026-02-30"), '"2026-02-30" is not a "date"'),
    "amount": (post_invoice(net_amount="1,000.00"), '"1,000.00" does not match'),
    "exponent": (post_invoice(net_amount="1E+3"), '"1E+3" does not match'),
    "minor": (post_payment(amount="500"), '"500" is not of type "integer"'),
    "yes": (post_payment(amount=True), 'true is not of type "integer"'),
    "read-only": (post_payment(external_id="1"), "'external_id' was unexpected"),
    "wrong type": (
        productive("PATCH", "/payments/7", {"data": {"type": "invoices", "attributes": {}}}, {}),
        '"payments" was expected',
    ),
    "around": (
        productive("PATCH", "/payments/7", {"data": PAYMENT | {"x": 1}}, {}),
        "'x' was unexpected",
    ),
    # replies
    "status": (replace(post_invoice(), status=200), "reply 200: no such status"),
    "reply type": (
        replace(get_invoices(), reply_headers={"content-type": "text/html"}),
        "content type 'text/html', expected application/json",
    ),
    "no reply": (replace(get_invoices(), reply_body=b""), "reply 200: has no body"),
    "gone with a body": (replace(GONE, reply_body=b"{}"), "has a body where none is expected"),
    "PDF": (replace(PDF, reply_body=b"<html>"), "is no PDF"),
    "envelope": (sage("GET", "/contacts", reply={"$items": []}), '"$total" is a required property'),
    "row": (sage("GET", "/contacts", reply=page({"id": 1})), ".$items[0].id: 1 is not of type"),
    "invented": (
        post_invoice({"id": "1", "contact": {"id": "2", "vat": "x"}}),
        ".contact: Additional properties are not allowed ('vat' was unexpected)",
    ),
    "instant": (post_invoice({"created_at": "2026-03-14 10:00:00Z"}), 'is not a "date-time"'),
    "no zone": (post_invoice({"created_at": "2026-03-14T10:00:00"}), 'is not a "date-time"'),
    "refusal": (
        replace(post_invoice(), status=422, reply_body=b'[{"$msg": "x"}]'),
        "reply 422: [0]: Additional properties",
    ),
    "no errors": (replace(LIMIT, status=404, reply_body=b"{}"), '"errors" is a required property'),
    "reset": (
        replace(LIMIT, reply_headers=LIMIT.reply_headers | {"x-ratelimit-reset": "soon"}),
        'header x-ratelimit-reset: "soon" is not of type "integer"',
    ),
    "attribute": (
        list_invoices({}, {"data": [record("invoices", invoice_state=2)]}),
        ".data[0].attributes: Additional properties",
    ),
    "relation": (
        list_invoices({}, {"data": [record("invoices", {"payments": {"data": []}})]}),
        ".data[0].relationships: Additional properties",
    ),
    "linkage": (
        list_invoices({}, {"data": [record("invoices", {"company": {"data": {"id": "1"}}})]}),
        '"type" is a required property',
    ),
    "kind": (list_invoices({}, {"data": [record("payments")]}), '"invoices" was expected'),
    "included": (
        list_invoices({}, {"data": [], "included": [record("companies", colour="red")]}),
        ".included[0].attributes: Additional properties",
    ),
    "code of a reply": (
        list_invoices({}, {"data": [record("invoices", invoice_type_id=3)]}),
        "3 is not one of",
    ),
    "bulk reply": (
        replace(BULK_CALL, reply_body=json.dumps({"data": record("payments")}).encode()),
        'is not of type "array"',
    ),
}


@pytest.mark.parametrize(("call", "words"), BAD.values(), ids=BAD)
def test_a_bad_call_has_just_the_problem_it_was_given(call: Call, words: str) -> None:
    found = problems(call)

    assert [p for p in found if words in p]
    sides = {"reply" if ": reply " in p else "request" for p in found}
    assert len(sides) == 1 or call.reply_body == b"{}"


@pytest.mark.parametrize("service", ["sage", "productive"])
def test_every_object_that_lists_its_fields_is_closed(service: str) -> None:
    contract = Contract(service)
    shapes = list(contract.shapes.values())
    for operation in contract.operations:
        for content in (operation.request, *operation.replies.values()):
            shapes += content.by_media.values()

    found = [s for shape in shapes for s in _objects(shape.schema)]

    assert len(found) > 50
    assert all(s["additionalProperties"] is False for s in found)


def _objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "properties" in schema:
        yield schema
    inner = [
        *schema.get("properties", {}).values(),
        *([schema["items"]] if "items" in schema else []),
    ]
    for part in inner + schema.get("anyOf", []) + schema.get("oneOf", []):
        yield from _objects(part)
