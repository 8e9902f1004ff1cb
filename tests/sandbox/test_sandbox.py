"""The sandbox is as strict as the services are known to be; over real HTTP, refusal by refusal."""

import base64
import copy
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from productive_sage.sandbox import (
    CLIENT_ID,
    CLIENT_SECRET,
    ORGANIZATION_ID,
    PRODUCTIVE_TOKEN,
    Sandbox,
)
from productive_sage.sandbox.pdf import one_page
from productive_sage.sandbox.seed import LABS_BUSINESS_ID, MAIN_BUSINESS_ID
from productive_sage.signin import oauth
from tests.conftest import consent, sage_sign_in

Body = dict[str, Any]
PDF = one_page(["Hello"])
JSON = "application/json"
JSON_API = "application/vnd.api+json"
BULK = f"{JSON_API}; ext=bulk"
CALLBACK = "http://127.0.0.1:8765/callback"
MISSING: Any = "(left out)"
ADDRESS = {"name": "Main Address", "address_line_1": "7 Juniper Street", "country_id": "GB"}
REFERENCE = {"id", "displayed_as", "$path"}
# Made once: each client makes its own store of certificates, which takes longer than a call.
HTTP = httpx.Client(trust_env=False, verify=False)


class Service:
    """One service: the base address and what every call carries."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        self.base = base
        self.headers = headers

    def __call__(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in {**self.headers, **names}.items() if value}
        return HTTP.request(method, f"{self.base}{path}", headers=sent, json=body)


@pytest.fixture
def sage(sandbox: Sandbox) -> Service:
    token = f"Bearer {sage_sign_in(sandbox).access_token}"
    return Service(f"{sandbox.sage_url}/v3.1", {"Authorization": token, "Accept": JSON})


@pytest.fixture
def productive(sandbox: Sandbox) -> Service:
    headers = {
        "X-Auth-Token": PRODUCTIVE_TOKEN,
        "X-Organization-Id": ORGANIZATION_ID,
        "Content-Type": JSON_API,
        "Accept": JSON_API,
    }
    return Service(f"{sandbox.productive_url}/api/v2", headers)


def draft(sandbox: Sandbox, **changes: object) -> Body:
    """Ten hours at 95.00 with 20% VAT for Northwind Traders; `a__0__b=v` reaches inside."""
    clerk = sandbox.bookkeeper
    line = {
        "description": "Design",
        "ledger_account_id": clerk.ledger_account_id(4010),
        "quantity": "10",
        "unit_price": "95.00",
        "tax_rate_id": "GB_STANDARD",
        "tax_amount": "190.00",
    }
    contact = clerk.contact_id("Northwind Traders Ltd")
    body = {"contact_id": contact, "date": "2026-02-02", "invoice_lines": [line]}
    for path, value in changes.items():
        *way, last = path.split("__")
        place: Any = body
        for step in way:
            place = place[int(step) if step.isdecimal() else step]
        if value is MISSING:
            del place[last]
        else:
            place[last] = value
    return body


def credit(sandbox: Sandbox, **changes: object) -> Body:
    body = draft(sandbox)
    body["credit_note_lines"] = body.pop("invoice_lines")
    return body | changes


def invoice(sage: Service, sandbox: Sandbox, **changes: object) -> Body:
    return made(sage("POST", "/sales_invoices", {"sales_invoice": draft(sandbox, **changes)}))


def credit_note(sage: Service, sandbox: Sandbox) -> Body:
    return made(sage("POST", "/sales_credit_notes", {"sales_credit_note": credit(sandbox)}))


def made(reply: httpx.Response) -> Body:
    assert reply.status_code in (200, 201), reply.text
    document: Body = reply.json()
    return document


def money(value: object) -> Any:
    """Read an amount, which comes as a string or a number."""
    return Decimal(str(value))


def rows(reply: httpx.Response) -> list[Body]:
    """The reasons of a refusal, in whatever form it comes."""
    document = reply.json()
    if isinstance(document, dict):
        document = document.get("errors", [document])
    found: list[Body] = document
    return found


def sources(reply: httpx.Response) -> list[str]:
    assert reply.status_code == 422, reply.text
    return [row["$source"] for row in rows(reply)]


def ids(reply: httpx.Response) -> list[str]:
    assert reply.status_code == 200, reply.text
    document = reply.json()
    return [row["id"] for row in document.get("data", document.get("$items"))]


def resource(kind: str, key: str | None = None, **attributes: object) -> Body:
    own = {"type": kind, "attributes": attributes}
    return {"data": own if key is None else own | {"id": key}}


# --- signing in to Sage


def granted(sandbox: Sandbox, scope: str = "full_access", **changes: str) -> Body:
    """The form that redeems a fresh code."""
    address = sandbox.environment()["PSAGE_SAGE_AUTHORIZE_URL"]
    request = oauth.begin(address, CLIENT_ID, 8765)
    there = httpx.URL(consent(request.url.replace("full_access", scope)))
    return {
        "grant_type": "authorization_code",
        "code": there.params["code"],
        "redirect_uri": request.redirect_uri,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "code_verifier": request.verifier,
    } | changes


def token(sandbox: Sandbox, form: Body) -> httpx.Response:
    return HTTP.post(f"{sandbox.sage_url}/token", data=form)


def refresh(sandbox: Sandbox, refresh_token: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return token(sandbox, form | {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})


def opens(sandbox: Sandbox, answer: httpx.Response) -> bool:
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}", "Accept": JSON}
    return HTTP.get(f"{sandbox.sage_url}/v3.1/user", headers=headers).status_code == 200


def test_a_code_becomes_tokens_that_open_the_api(sandbox: Sandbox) -> None:
    answer = token(sandbox, granted(sandbox))

    assert answer.json()["expires_in"] == 300
    assert answer.json()["refresh_token_expires_in"] == 2678400
    assert opens(sandbox, answer)


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"code": "GB/never-given"}, 400, "invalid_grant"),
        ({"redirect_uri": f"{CALLBACK}/"}, 400, "invalid_grant"),
        ({"redirect_uri": CALLBACK.replace("127.0.0.1", "localhost")}, 400, "invalid_grant"),
        ({"redirect_uri": CALLBACK.replace("callback", "Callback")}, 400, "invalid_grant"),
        ({"code_verifier": "x" * 43}, 400, "invalid_grant"),
        ({"code_verifier": ""}, 400, "invalid_grant"),
        ({"client_id": "somebody"}, 401, "invalid_client"),
        ({"client_secret": "guessed"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_code_is_redeemed_only_as_it_was_asked_for(
    sandbox: Sandbox, changes: dict[str, str], status: int, error: str
) -> None:
    answer = token(sandbox, granted(sandbox, **changes))

    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_a_code_serves_once_even_where_the_first_attempt_failed(sandbox: Sandbox) -> None:
    form = granted(sandbox)
    token(sandbox, form | {"code_verifier": "x" * 43})

    answer = token(sandbox, form)

    assert answer.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(("after_s", "status"), [(57, 200), (60, 400)])
def test_a_code_lives_for_a_minute(sandbox: Sandbox, after_s: int, status: int) -> None:
    form = granted(sandbox)
    sandbox.advance(after_s)

    assert token(sandbox, form).status_code == status


@pytest.mark.parametrize(("after_s", "is_open"), [(297, True), (300, False)])
def test_an_access_token_lives_for_five_minutes(
    sandbox: Sandbox, after_s: int, is_open: bool
) -> None:
    answer = token(sandbox, granted(sandbox))
    sandbox.advance(after_s)

    assert opens(sandbox, answer) is is_open


def test_a_refresh_token_serves_once_and_for_31_days(sandbox: Sandbox) -> None:
    first = token(sandbox, granted(sandbox)).json()["refresh_token"]

    second = refresh(sandbox, first)
    again = refresh(sandbox, first)
    sandbox.advance(31 * 86_400)
    late = refresh(sandbox, second.json()["refresh_token"])

    assert [second.status_code, again.status_code, late.status_code] == [200, 400, 400]
    assert again.json()["error"] == late.json()["error"] == "invalid_grant"


def test_revoking_ends_the_whole_grant(sandbox: Sandbox) -> None:
    answer = token(sandbox, granted(sandbox))
    form = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    form["token"] = answer.json()["refresh_token"]

    reply = HTTP.post(f"{sandbox.sage_url}/revoke", data=form)

    assert reply.json() == {"success": "ok"}
    assert not opens(sandbox, answer)
    assert refresh(sandbox, form["token"]).status_code == 400


def test_a_form_in_json_is_refused(sandbox: Sandbox) -> None:
    assert HTTP.post(f"{sandbox.sage_url}/token", json=granted(sandbox)).status_code == 415


def test_a_person_may_refuse(sandbox: Sandbox) -> None:
    address = sandbox.environment()["PSAGE_SAGE_AUTHORIZE_URL"]

    there = httpx.URL(consent(oauth.begin(address, CLIENT_ID, 8765).url, "refuse"))

    assert there.params["error"] == "access_denied"
    assert "code" not in there.params


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("client_id=sandbox-client", "client_id=x"),
        ("127.0.0.1%3A8765", "example.com"),
        ("apiv3.1", "apiv3"),
    ],
)
def test_nobody_is_sent_to_an_address_that_was_not_checked(
    sandbox: Sandbox, old: str, new: str
) -> None:
    address = sandbox.environment()["PSAGE_SAGE_AUTHORIZE_URL"]
    url = oauth.begin(address, CLIENT_ID, 8765).url
    assert old in url

    reply = HTTP.get(f"{url.replace(old, new)}&consent=allow")

    assert reply.status_code == 400


def test_a_token_for_reading_may_not_write(sandbox: Sandbox, sage: Service) -> None:
    answer = token(sandbox, granted(sandbox, "readonly")).json()
    sage.headers["Authorization"] = f"Bearer {answer['access_token']}"

    read = sage("GET", "/contacts")
    write = sage("POST", "/sales_invoices", {"sales_invoice": draft(sandbox)})

    assert [read.status_code, write.status_code] == [200, 403]


def test_without_a_token_sage_answers_nothing(sage: Service) -> None:
    assert sage("GET", "/user", Authorization="Bearer guessed").status_code == 401
    assert sage("GET", "/user", Authorization="").status_code == 401


# --- which business


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("", MAIN_BUSINESS_ID),
        (MAIN_BUSINESS_ID, MAIN_BUSINESS_ID),
        (LABS_BUSINESS_ID, LABS_BUSINESS_ID),
    ],
)
def test_a_reply_names_its_business(sage: Service, asked: str, answered: str) -> None:
    assert sage("GET", "/contacts", X_Business=asked).headers["X-Business"] == answered


def test_another_business_has_other_books(sandbox: Sandbox, sage: Service) -> None:
    invoice(sage, sandbox)

    assert ids(sage("GET", "/sales_invoices", X_Business=LABS_BUSINESS_ID)) == []
    assert sage("GET", "/contacts", X_Business="0" * 32).status_code == 404
    assert made(sage("GET", "/businesses/lead"))["id"] == MAIN_BUSINESS_ID
    assert sage("GET", "/business").status_code == 404


def test_the_plain_edition_has_neither_currencies_nor_changed_credit_notes(
    sandbox: Sandbox, sage: Service
) -> None:
    sage.headers["X-Business"] = LABS_BUSINESS_ID
    contact = {"name": "Lab Rats", "contact_type_ids": ["CUSTOMER"], "main_address": ADDRESS}
    account = ids(sage("GET", "/ledger_accounts?visible_in=sales"))[0]
    changes = {
        "contact_id": made(sage("POST", "/contacts", {"contact": contact}))["id"],
        "invoice_lines__0__ledger_account_id": account,
    }
    body = draft(sandbox, **changes)
    abroad = sage("POST", "/sales_invoices", {"sales_invoice": {**body, "currency_id": "EUR"}})
    body["credit_note_lines"] = body.pop("invoice_lines")
    note = made(sage("POST", "/sales_credit_notes", {"sales_credit_note": body}))
    path = f"/sales_credit_notes/{note['id']}"

    changed = sage("PUT", path, {"sales_credit_note": {"notes": "x"}})

    assert "sales_invoice.currency_id" in sources(abroad)
    assert changed.status_code == 403


def test_the_list_of_businesses_is_one_page_of_references(sage: Service, sandbox: Sandbox) -> None:
    ids = [sandbox.bookkeeper.add_business("Example Ltd", country="IE") for _ in range(250)]

    page = made(sage("GET", "/businesses"))

    assert page["$total"] == len(page["$items"]) == 252
    assert page["$items_per_page"] > 10**9
    assert "$itemsPerPage" not in page
    assert all(row.keys() == {"id", "displayed_as", "$path"} for row in page["$items"])
    assert [row["id"] for row in page["$items"][2:]] == ids
    one = made(sage("GET", f"/businesses/{ids[0]}"))
    assert (one["name"], one["country"]["id"]) == ("Example Ltd", "IE")


@pytest.mark.parametrize("shown", [True, False])
def test_without_subscription_every_call_about_a_business_is_401(
    sage: Service, sandbox: Sandbox, shown: bool
) -> None:
    sandbox.bookkeeper.end_subscription(shown=shown)

    statuses = [
        sage("GET", path).status_code
        for path in ("/sales_invoices", "/contacts", f"/businesses/{MAIN_BUSINESS_ID}")
    ]

    assert statuses == [401, 401, 200 if shown else 401]
    assert "No active subscription. (MSE)" in sage("GET", "/contacts").text
    assert sage("GET", "/businesses").status_code == 200
    assert sage("GET", "/contacts", X_Business=LABS_BUSINESS_ID).status_code == 200
    sandbox.bookkeeper.renew_subscription()
    assert sage("GET", "/contacts").status_code == 200


@pytest.mark.parametrize(
    ("role", "path", "read", "write"),
    [
        ({"sales": "READ_ONLY"}, "/sales_invoices", 200, 403),
        ({"sales": "RESTRICTED"}, "/sales_invoices", 200, 422),
        ({"sales": "NO_ACCESS"}, "/sales_credit_notes", 403, 403),
        ({"contacts": "READ_ONLY"}, "/contacts", 200, 403),
        ({"purchases": "READ_ONLY"}, "/contact_allocations", 403, 403),
        ({"sales": "RESTRICTED"}, "/contact_allocations", 403, 403),
        ({"settings": "NO_ACCESS"}, "/financial_settings", 403, 403),
        ({"settings": "READ_ONLY"}, "/financial_settings", 200, 403),
    ],
)
def test_a_role_opens_what_it_names(
    sage: Service, sandbox: Sandbox, role: dict[str, str], path: str, read: int, write: int
) -> None:
    sandbox.bookkeeper.give_role(**role)

    assert sage("GET", path).status_code == read
    assert sage("POST", path, {path.strip("/").removesuffix("s"): {}}).status_code == write


# --- what Sage refuses

LINE = "invoice_lines__0__"


@pytest.mark.parametrize(
    ("path", "value", "source"),
    [
        ("colour", "red", "colour"),
        (f"{LINE}colour", "red", "invoice_lines.colour"),
        ("main_address", {"town": "Leeds"}, "main_address.town"),
        ("contact_id", MISSING, "contact_id"),
        ("date", MISSING, "date"),
        ("invoice_lines", MISSING, "invoice_lines"),
        ("invoice_lines", [], "invoice_lines"),
        (f"{LINE}description", MISSING, "description"),
        (f"{LINE}description", "  ", "description"),
        (f"{LINE}ledger_account_id", MISSING, "ledger_account_id"),
        (f"{LINE}unit_price", MISSING, "unit_price"),
        (f"{LINE}unit_price", "95,00", "unit_price"),
        (f"{LINE}unit_price", True, "unit_price"),
        (f"{LINE}quantity", None, "quantity"),
        (f"{LINE}net_amount", "950.01", "net_amount"),
        (f"{LINE}total_amount", "950.00", "total_amount"),
        (f"{LINE}tax_amount", "189.98", "tax_amount"),
        (f"{LINE}tax_amount", "190.000", "tax_amount"),
        (f"{LINE}net_amount", "950.000", "net_amount"),
        (f"{LINE}discount_amount", "0.10", "tax_amount"),
        (f"{LINE}discount_amount", "950.01", "discount_amount"),
        (f"{LINE}discount_amount", "1.005", "discount_amount"),
        (f"{LINE}discount_percentage", "101", "discount_amount"),
        ("net_amount", "949.99", "net_amount"),
        ("tax_amount", "190.01", "tax_amount"),
        ("total_amount", "1139.00", "total_amount"),
        (f"{LINE}unit_price", "-95.00", "tax_amount"),
        ("reference", "R" * 26, "reference"),
        ("notes", "n" * 2001, "notes"),
        ("contact_name", "n" * 256, "contact_name"),
        ("invoice_number_prefix", "PREFIX-", "invoice_number_prefix"),
        ("main_address", {"postal_code": "p" * 11}, "postal_code"),
        ("contact_id", "0" * 32, "contact_id"),
        (f"{LINE}ledger_account_id", "0" * 32, "ledger_account_id"),
        (f"{LINE}tax_rate_id", MISSING, "line_items.tax_rate_id"),
        (f"{LINE}tax_rate_id", MISSING, "line_items.tax_rate"),
        (f"{LINE}tax_rate_id", MISSING, "line_items.currency_tax_amount"),
        (f"{LINE}tax_rate_id", "GB_NONE", "tax_rate_id"),
        (f"{LINE}tax_rate_id", "GB_REDUCED_2020", "tax_rate_id"),
        (f"{LINE}service_id", "0" * 32, "service_id"),
        (f"{LINE}product_id", "0" * 32, "product_id"),
        (f"{LINE}description", "<b>Design</b>", "line_items.description"),
        (f"{LINE}description", "Design &amp; code", "line_items.description"),
        ("notes", "see <br>", "notes"),
        ("date", "2019-03-31", "date"),
        ("date", "2026-02-30", "date"),
        ("date", "02/02/2026", "date"),
        ("currency_id", "EUR", "currency_id"),
        ("currency_id", "XXX", "currency_id"),
        ("exchange_rate", "1.2", "exchange_rate"),
        ("status_id", "PAID", "status_id"),
        ("idempotency_id", "0b3f3bd0-aaaa-bbbb-cccc-121212121212", "idempotency_id"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_invoice_that_is_wrong_in_one_thing_is_refused_for_it(
    sandbox: Sandbox, sage: Service, path: str, value: object, source: str
) -> None:
    body = draft(sandbox, **{path: value})

    reply = sage("POST", "/sales_invoices", {"sales_invoice": body})

    assert any(found.endswith(source) for found in sources(reply))
    assert sandbox.sage.invoices == {}


def test_only_accounts_of_sales_customers_and_living_items_are_taken(
    sandbox: Sandbox, sage: Service
) -> None:
    clerk = sandbox.bookkeeper
    hidden = clerk.ledger_account_id(4900)
    clerk.hide_ledger_account(hidden)
    old = ids(sage("GET", "/services?active=false"))[0]
    wrong = {
        "contact_id": {"contact_id": clerk.contact_id("Paper & Ink Supplies Ltd")},
        "ledger_account_id": {f"{LINE}ledger_account_id": clerk.ledger_account_id(7500)},
        "invoice_lines.ledger_account_id": {f"{LINE}ledger_account_id": hidden},
        "service_id": {f"{LINE}service_id": old},
    }

    for source, changes in wrong.items():
        reply = sage("POST", "/sales_invoices", {"sales_invoice": draft(sandbox, **changes)})

        assert any(found.endswith(source) for found in sources(reply))


@pytest.mark.parametrize(
    ("changes", "net", "total"),
    [
        ({}, "950.00", "1140.00"),
        ({f"{LINE}tax_amount": MISSING}, "950.00", "950.00"),
        ({f"{LINE}tax_amount": "189.99"}, "950.00", "1139.99"),
        ({f"{LINE}unit_price": "0.0049", f"{LINE}tax_amount": "0.01"}, "0.05", "0.06"),
        ({f"{LINE}discount_percentage": "50", f"{LINE}tax_amount": "95"}, "475.00", "570.00"),
        ({f"{LINE}quantity": "0", f"{LINE}tax_amount": "0"}, "0.00", "0.00"),
        ({f"{LINE}quantity": 10, f"{LINE}unit_price": 95.0}, "950.00", "1140.00"),
        ({f"{LINE}description": "A & B, 3 < 4"}, "950.00", "1140.00"),
        ({"reference": "R" * 25, "net_amount": "950", "total_amount": 1140}, "950.00", "1140.00"),
    ],
    ids=str,
)
def test_an_invoice_that_adds_up_is_booked(
    sandbox: Sandbox, sage: Service, changes: Body, net: str, total: str
) -> None:
    row = invoice(sage, sandbox, **changes)

    assert [money(row["net_amount"]), money(row["total_amount"])] == [money(net), money(total)]
    assert (row["status"]["id"], row["due_date"]) == ("UNPAID", "2026-03-04")


def test_a_total_below_zero_is_refused_and_a_negative_line_is_not(
    sandbox: Sandbox, sage: Service
) -> None:
    body = draft(sandbox)
    less = {**body["invoice_lines"][0], "unit_price": "-50.00", "tax_amount": "-100.00"}
    body["invoice_lines"].append(less)
    fine = sage("POST", "/sales_invoices", {"sales_invoice": body})
    body["invoice_lines"].append(less)

    below = sage("POST", "/sales_invoices", {"sales_invoice": body})

    assert money(made(fine)["total_amount"]) == 540
    assert "sales_invoice.total_amount" in sources(below)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/sales_invoices", {"invoice": {}}, {}, 422),
        ("/sales_invoices", {"sales_invoice": {}, "contact": {}}, {}, 422),
        ("/sales_invoices", ["sales_invoice"], {}, 422),
        ("/sales_invoices?notify=true", {"sales_invoice": {}}, {}, 400),
        ("/sales_invoices", {"sales_invoice": {}}, {"Content_Type": "text/plain"}, 415),
        ("/sales_invoices", {"sales_invoice": {}}, {"Content_Type": JSON_API}, 415),
        ("/sales_quotes", {"sales_quote": {}}, {}, 404),
    ],
)
def test_a_post_of_another_form_is_refused(
    sage: Service, path: str, body: object, headers: dict[str, str], status: int
) -> None:
    assert sage("POST", path, body, **headers).status_code == status


def test_a_body_that_is_no_json_is_refused(sandbox: Sandbox, sage: Service) -> None:
    headers = {**sage.headers, "Content-Type": "application/json"}

    reply = HTTP.post(f"{sage.base}/sales_invoices", headers=headers, content=b"{")

    assert reply.status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "status=UNPAID",
        "items_per_page=201",
        "items_per_page=0",
        "page=0",
        "page=x",
        "sort=reference",
        "sort=date:down",
        "from_date=yesterday",
        "updated_or_created_since=yesterday",
        "show_payments_allocations=1",
        "page=1&page=2",
    ],
)
def test_a_list_refuses_what_it_does_not_know(sage: Service, query: str) -> None:
    assert sage("GET", f"/sales_invoices?{query}").status_code == 400


def test_refusals_come_in_every_form_that_is_seen(sandbox: Sandbox, sage: Service) -> None:
    body = {"sales_invoice": draft(sandbox, reference="R" * 26)}

    replies = [sage("POST", "/sales_invoices", body) for _ in range(8)]

    said = [row for reply in replies for row in rows(reply)]
    assert {"$message", "message"} <= {name for row in said for name in row}
    assert all(row["$severity"] == "error" for row in said)
    forms = [reply.json() for reply in replies]
    assert any(isinstance(form, list) for form in forms)
    assert any("errors" in form for form in forms if isinstance(form, dict))
    assert any("$source" in form for form in forms if isinstance(form, dict))


# --- a document that may not be changed


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (lambda clerk, key: clerk.pay(key, "1140.00"), "PAID"),
        (lambda clerk, key: clerk.pay(key, "0.01"), "PART_PAID"),
        (lambda clerk, key: clerk.file_vat_return("2026-02-02"), "UNPAID"),
        (lambda clerk, key: clerk.lock_period("2026-02-02"), "UNPAID"),
        (lambda clerk, key: clerk.void(key), "VOID"),
    ],
    ids=["paid", "part paid", "in a VAT return", "locked", "void"],
)
def test_a_settled_document_can_be_neither_changed_nor_voided(
    sandbox: Sandbox, sage: Service, act: Callable[[Any, str], object], status: str
) -> None:
    path = f"/sales_invoices/{invoice(sage, sandbox)['id']}"
    act(sandbox.bookkeeper, path.rpartition("/")[2])

    changed = sage("PUT", path, {"sales_invoice": {"notes": "late"}})
    voided = sage("DELETE", f"{path}?void_reason=twice")

    row = made(sage("GET", path))
    assert sources(changed)
    assert sources(voided)
    assert (row["status"]["id"], row["editable"], row["notes"]) == (status, False, None)


def test_the_day_after_the_lock_is_open(sandbox: Sandbox, sage: Service) -> None:
    sandbox.bookkeeper.lock_period("2026-02-02")

    locked = sage("POST", "/sales_invoices", {"sales_invoice": draft(sandbox)})

    assert "sales_invoice.date" in sources(locked)
    assert invoice(sage, sandbox, date="2026-02-03")["editable"] is True


def test_a_change_keeps_what_is_not_sent(sandbox: Sandbox, sage: Service) -> None:
    row = invoice(sage, sandbox, reference="PRD-1")
    path, line = f"/sales_invoices/{row['id']}", row["invoice_lines"][0]["id"]
    change = {"invoice_lines": [{"id": line, "quantity": "1", "tax_amount": "19.00"}]}

    changed = made(sage("PUT", path, {"sales_invoice": change}))

    assert (changed["reference"], money(changed["total_amount"])) == ("PRD-1", 114)
    assert changed["invoice_lines"][0]["id"] == line
    assert changed["displayed_as"] == row["displayed_as"]


@pytest.mark.parametrize(
    "change",
    [
        {"invoice_lines": []},
        {"invoice_lines": [{"id": "0" * 32}]},
        {"invoice_lines": [{"description": "without its account"}]},
        {"reference": "R" * 26},
        {"contact_id": "0" * 32},
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_refused_change_leaves_the_document_as_it_was(
    sandbox: Sandbox, sage: Service, change: Body
) -> None:
    row = invoice(sage, sandbox)
    before = copy.deepcopy(sandbox.sage.invoices)

    reply = sage("PUT", f"/sales_invoices/{row['id']}", {"sales_invoice": change})

    assert sources(reply)
    assert sandbox.sage.invoices == before


# --- numbers, drafts


def test_a_number_serves_once_even_after_a_void(sandbox: Sandbox, sage: Service) -> None:
    own = {"invoice_number": "77", "invoice_number_prefix": ""}
    first = invoice(sage, sandbox, **own)
    body = {"sales_invoice": draft(sandbox, **own)}

    again = sage("POST", "/sales_invoices", body)
    voided = sage("DELETE", f"/sales_invoices/{first['id']}?void_reason=twice")
    after_void = sage("POST", "/sales_invoices", body)

    assert "sales_invoice.invoice_number" in sources(again)
    assert made(voided)["status"]["id"] == "VOID"
    assert "sales_invoice.invoice_number" in sources(after_void)
    sandbox.clear_calls()  # psage never voids, so the check of the contract does not know it


def test_automatic_numbers_go_on_from_one_that_was_given(sandbox: Sandbox, sage: Service) -> None:
    given = {"invoice_number": "77", "invoice_number_prefix": ""}

    shown = [invoice(sage, sandbox, **own)["displayed_as"] for own in ({}, given, {})]

    assert shown == ["SI-1", "77", "SI-78"]


def test_a_number_the_bookkeeper_took_is_taken(sandbox: Sandbox, sage: Service) -> None:
    sandbox.bookkeeper.take_number("INV-1")
    body = draft(sandbox, invoice_number="INV-1", invoice_number_prefix="")

    reply = sage("POST", "/sales_invoices", {"sales_invoice": body})

    assert "sales_invoice.invoice_number" in sources(reply)


@pytest.mark.parametrize("reason", ["", "r" * 201])
def test_a_void_needs_a_reason(sandbox: Sandbox, sage: Service, reason: str) -> None:
    path = f"/sales_invoices/{invoice(sage, sandbox)['id']}"

    assert sources(sage("DELETE", f"{path}?void_reason={reason}"))
    assert made(sage("GET", path))["status"]["id"] == "UNPAID"


def test_a_draft_is_released_under_the_next_number_or_removed(
    sandbox: Sandbox, sage: Service
) -> None:
    one, two = (invoice(sage, sandbox, status_id="DRAFT") for _ in range(2))

    released = made(sage("POST", f"/sales_invoices/{one['id']}/release"))
    again = sage("POST", f"/sales_invoices/{one['id']}/release")
    removed = made(sage("DELETE", f"/sales_invoices/{two['id']}"))

    assert one["displayed_as"] == removed["displayed_as"] == "SI-DRAFT"
    assert (released["displayed_as"], released["status"]["id"]) == ("SI-1", "UNPAID")
    assert sources(again)
    assert sage("GET", f"/sales_invoices/{two['id']}").status_code == 404
    sandbox.clear_calls()  # as after a void


@pytest.mark.parametrize(
    ("status", "number"), [("DRAFT", "SI-DRAFT"), ("PRO_FORMA", "SI-PRO FORMA")]
)
def test_what_is_not_posted_is_not_booked(
    sandbox: Sandbox, sage: Service, status: str, number: str
) -> None:
    clerk = sandbox.bookkeeper
    key = clerk.enter_draft("PRD-7", status=status, amount="321.20")

    row = made(sage("GET", f"/sales_invoices/{key}"))
    with pytest.raises(ValueError, match="cannot be paid"):
        clerk.pay(key, "1.00")
    clerk.release(key)
    released = made(sage("GET", f"/sales_invoices/{key}"))

    assert (row["status"]["id"], row["invoice_number"], row["transaction"]) == (
        status,
        number,
        None,
    )
    assert (money(row["total_amount"]), money(row["outstanding_amount"])) == (Decimal("321.2"), 0)
    assert (released["status"]["id"], released["displayed_as"]) == ("UNPAID", "SI-1")
    assert released["transaction"]["id"]


# --- customers


@pytest.mark.parametrize(
    ("change", "source"),
    [
        ({"name": MISSING}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"contact_type_ids": MISSING}, "contact_type_ids"),
        ({"contact_type_ids": []}, "contact_type_ids"),
        ({"contact_type_ids": ["CUSTOMER", "VENDOR"]}, "contact_type_ids"),
        ({"reference": "R" * 11}, "reference"),
        ({"reference": "NORTH001"}, "reference"),
        ({"reference": "GONE"}, "reference"),
        ({"email": "a@b.example"}, "email"),
        ({"tax_number": "no number"}, "tax_number"),
        ({"source_guid": "g" * 256}, "source_guid"),
        ({"currency_id": "XXX"}, "currency_id"),
        ({"main_address": {**ADDRESS, "city": "c" * 51}}, "main_address.city"),
        ({"main_address": {**ADDRESS, "country_id": "XX"}}, "country_id"),
        ({"main_address": {"city": "Leeds"}}, "addresses.name"),
        ({"main_address": {"name": "", "city": "Leeds"}}, "addresses.name"),
        ({"main_contact_person": {"email": "nobody"}}, "email"),
        ({"main_contact_person": {"name": "n" * 51}}, "main_contact_person.name"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_contact_that_is_wrong_in_one_thing_is_refused_for_it(
    sandbox: Sandbox, sage: Service, change: Body, source: str
) -> None:
    sandbox.bookkeeper.delete_contact(sandbox.bookkeeper.add_contact("Gone", reference="GONE"))
    before = len(sandbox.sage.contacts)
    body = {"name": "Juniper", "contact_type_ids": ["CUSTOMER"], **change}
    body = {name: value for name, value in body.items() if value is not MISSING}

    reply = sage("POST", "/contacts", {"contact": body})

    assert any(found.endswith(source) for found in sources(reply))
    assert len(sandbox.sage.contacts) == before


def test_a_contact_gets_a_reference_and_keeps_its_first_currency(
    sandbox: Sandbox, sage: Service
) -> None:
    body = {"name": "Juniper", "contact_type_ids": ["CUSTOMER"], "main_address": ADDRESS}
    contact = made(sage("POST", "/contacts", {"contact": body}))
    changes = {"contact_id": contact["id"], f"{LINE}tax_amount": "190.00", "currency_id": "EUR"}
    first = invoice(sage, sandbox, **changes)
    second = draft(sandbox, **{**changes, "currency_id": "GBP"})

    reply = sage("POST", "/sales_invoices", {"sales_invoice": second})

    assert contact["reference"]
    assert first["currency"]["id"] == "EUR"
    assert "sales_invoice.currency_id" in sources(reply)


def test_without_a_rate_todays_is_taken(sandbox: Sandbox, sage: Service) -> None:
    contact = sandbox.bookkeeper.add_contact("Euro", currency="EUR")
    (euro,) = (
        row
        for row in made(sage("GET", "/exchange_rates"))["$items"]
        if row["currency"]["id"] == "EUR"
    )

    row = invoice(sage, sandbox, contact_id=contact, currency_id="EUR")

    assert money(str(row["exchange_rate"])) == money(str(euro["rate"])) != 1
    assert money(row["base_currency_total_amount"]) == Decimal("981.77")


@pytest.mark.parametrize(
    ("rates", "kinds", "source"),
    [
        (["GB_ZERO", "GB_ZERO"], ["SERVICES", "SERVICES"], None),
        (["GB_NO_TAX", "GB_ZERO"], ["SERVICES", "SERVICES"], "tax_rate_id"),
        (["GB_ZERO", "GB_ZERO"], ["SERVICES", "GOODS"], "eu_goods_services_type_id"),
        (["GB_ZERO", "GB_ZERO"], ["SERVICES", None], "eu_goods_services_type_id"),
        (["GB_ZERO", "GB_ZERO"], ["IDEAS", "IDEAS"], "eu_goods_services_type_id"),
    ],
)
def test_a_customer_abroad_is_invoiced_at_zero_for_goods_or_services(
    sandbox: Sandbox, sage: Service, rates: list[str], kinds: list[str | None], source: str | None
) -> None:
    contact = sandbox.bookkeeper.add_contact("Fjord", country="NO")
    body = draft(sandbox, contact_id=contact, **{f"{LINE}tax_amount": "0.00"})
    (line,) = body["invoice_lines"]
    body["invoice_lines"] = [
        {**line, "tax_rate_id": rate, **({"eu_goods_services_type_id": kind} if kind else {})}
        for rate, kind in zip(rates, kinds, strict=True)
    ]

    reply = sage("POST", "/sales_invoices", {"sales_invoice": body})

    if source is None:
        assert made(reply)["invoice_lines"][0]["eu_goods_services_type"]["id"] == kinds[0]
    else:
        assert any(found.endswith(source) for found in sources(reply))


@pytest.mark.parametrize(
    ("country", "tax_number", "kind", "source"),
    [
        ("DE", None, "SERVICES", None),
        ("DE", None, None, "eu_goods_services_type_id"),
        ("GB", "XI123456789", "GOODS", None),
        ("GB", None, None, None),
        ("US", None, None, None),
        ("US", None, "SERVICES", "eu_goods_services_type_id"),
    ],
)
def test_an_irish_business_says_goods_or_services_within_the_eu_alone(
    sandbox: Sandbox,
    sage: Service,
    country: str,
    tax_number: str | None,
    kind: str | None,
    source: str | None,
) -> None:
    clerk = sandbox.bookkeeper
    clerk.move_business("IE")
    contact = clerk.add_contact("Abroad", currency="EUR", country=country, tax_number=tax_number)
    sent = {"contact_id": contact, f"{LINE}tax_rate_id": "IE_ZERO", f"{LINE}tax_amount": "0.00"}
    if kind:
        sent[f"{LINE}eu_goods_services_type_id"] = kind

    reply = sage("POST", "/sales_invoices", {"sales_invoice": draft(sandbox, **sent)})

    if source is None:
        made(reply)
    else:
        assert any(found.endswith(source) for found in sources(reply))


@pytest.mark.parametrize("sent", [{}, {f"{LINE}tax_amount": "0.00"}], ids=str)
def test_a_business_not_registered_for_tax_can_add_none(
    sandbox: Sandbox, sage: Service, sent: Body
) -> None:
    sandbox.bookkeeper.set_tax_scheme("NOT_REGISTERED")

    taxed = sage("POST", "/sales_invoices", {"sales_invoice": draft(sandbox, **sent)})
    untaxed = {f"{LINE}tax_rate_id": "GB_NO_TAX", f"{LINE}tax_amount": "0.00"}

    assert made(sage("GET", "/financial_settings"))["tax_scheme"]["id"] == "NOT_REGISTERED"
    assert "your business is not registered for tax" in taxed.text
    assert invoice(sage, sandbox, **untaxed)


def test_a_spanish_business_computes_the_tax_itself(sandbox: Sandbox, sage: Service) -> None:
    clerk = sandbox.bookkeeper
    clerk.move_business("ES")
    rate = {
        "contact_id": clerk.add_contact("Cliente", currency="EUR"),
        f"{LINE}tax_rate_id": "ES_STANDARD",
    }

    sent = sage("POST", "/sales_invoices", {"sales_invoice": draft(sandbox, **rate)})
    row = invoice(sage, sandbox, **rate, **{f"{LINE}tax_amount": MISSING})

    assert any(found.endswith("tax_amount") for found in sources(sent))
    assert money(row["tax_amount"]) == Decimal("199.50")


def test_which_tax_of_a_line_sage_takes_is_a_switch(sandbox: Sandbox, sage: Service) -> None:
    off = {f"{LINE}tax_amount": "189.99"}

    sandbox.line_taxes = "exact"
    refused = sage("POST", "/sales_invoices", {"sales_invoice": draft(sandbox, **off)})
    sandbox.line_taxes = "own"
    booked = invoice(sage, sandbox, **off)

    assert any(found.endswith("tax_amount") for found in sources(refused))
    assert money(booked["tax_amount"]) == 190


@pytest.mark.parametrize(
    ("rounding", "prices", "percent", "tax"),
    [
        ({}, ["2.53", "3.68", "10.03"], 20, 326),
        ({"taxes_on_subtotal": True}, ["2.53", "3.68", "10.03"], 20, 325),
        ({}, ["10.10"], ["5", "9.975"], 151),
        ({"components_apart": True}, ["10.10"], ["5", "9.975"], 152),
    ],
)
def test_how_productive_rounds_taxes_is_a_switch(
    sandbox: Sandbox, rounding: dict[str, bool], prices: list[str], percent: object, tax: int
) -> None:
    for switch, value in rounding.items():
        setattr(sandbox, switch, value)
    lines = [{"unit_price": price, "tax_percent": percent} for price in prices]

    key = sandbox.agency.add_invoice(company_id=501, lines=lines)

    assert sandbox.productive.invoices[key]["amount_tax"] == tax


# --- idempotency, search


@pytest.mark.parametrize("singular", ["sales_invoice", "sales_credit_note", "contact"])
def test_a_repeat_with_the_same_key_gets_the_same_answer_and_makes_nothing_new(
    sandbox: Sandbox, sage: Service, singular: str
) -> None:
    body = {
        "sales_invoice": draft(sandbox),
        "sales_credit_note": credit(sandbox),
        "contact": {"name": "Juniper", "contact_type_ids": ["CUSTOMER"]},
    }[singular]
    sent = {singular: body | {"idempotency_id": "0123456789abcdef" * 2}}

    first, second = (sage("POST", f"/{singular}s", sent) for _ in range(2))
    sandbox.advance(7 * 86_400 - 5)
    sage.headers["Authorization"] = f"Bearer {sage_sign_in(sandbox).access_token}"
    late = sage("POST", f"/{singular}s", sent)
    sandbox.advance(6)
    forgotten = sage("POST", f"/{singular}s", sent)

    assert first.status_code == second.status_code == late.status_code == 201
    assert first.content == second.content == late.content
    assert made(forgotten)["id"] != made(first)["id"]


def test_a_forgotten_key_makes_a_second_invoice(sandbox: Sandbox, sage: Service) -> None:
    sandbox.remember_idempotency = False

    for _ in range(2):
        invoice(sage, sandbox, idempotency_id="0123456789abcdef" * 2)

    assert len(sandbox.sage.invoices) == 2


def test_a_refused_post_does_not_use_up_its_key(sandbox: Sandbox, sage: Service) -> None:
    key = "0123456789abcdef" * 2
    wrong = draft(sandbox, idempotency_id=key, reference="R" * 26)

    refused = sage("POST", "/sales_invoices", {"sales_invoice": wrong})

    assert sources(refused)
    assert invoice(sage, sandbox, idempotency_id=key)["reference"] is None


def test_search_may_miss_a_fresh_record_for_a_while(sandbox: Sandbox, sage: Service) -> None:
    sandbox.search_lag_s = 5
    key = invoice(sage, sandbox, reference="PRD-7")["id"]

    early = sage("GET", "/sales_invoices?search=PRD-7")
    listed = sage("GET", "/sales_invoices")
    sandbox.advance(5)
    late = sage("GET", "/sales_invoices?search=prd-7")

    assert (ids(early), ids(listed), ids(late)) == ([], [key], [key])


# --- reading lists of Sage


def test_a_row_holds_three_fields_unless_more_are_asked_for(sage: Service) -> None:
    def fields(query: str) -> Body:
        row: Body = made(sage("GET", f"/contacts?{query}"))["$items"][0]
        return row

    assert fields("").keys() == {"id", "displayed_as", "$path"}
    assert fields("attributes=name,email").keys() == {
        "id", "displayed_as", "$path", "name", "email",
    }  # fmt: skip
    assert fields("attributes=all").keys() >= {"main_address", "currency", "source_guid"}
    assert "city" not in fields("attributes=all")["main_address"]


@pytest.mark.parametrize("asked", ["main_address", "all", "main_contact_person,main_address"])
def test_a_reference_is_opened_one_level_where_it_is_asked_for(
    sandbox: Sandbox, sage: Service, asked: str
) -> None:
    key = sandbox.bookkeeper.contact_id("Northwind Traders Ltd")
    query = f"nested_attributes={asked}"

    row = made(sage("GET", f"/contacts?attributes=all&{query}"))["$items"][0]
    whole = made(sage("GET", f"/contacts/{key}?{query}"))

    for contact in (row, whole):
        assert contact["main_address"]["address_line_1"] == "1 High Street"
        assert contact["main_address"]["country"].keys() == REFERENCE
        assert contact["currency"].keys() >= REFERENCE


def test_what_a_record_refers_to_has_three_fields_in_every_reply(
    sandbox: Sandbox, sage: Service
) -> None:
    contact = {"name": "Juniper", "contact_type_ids": ["CUSTOMER"], "main_address": ADDRESS}
    posted = made(sage("POST", "/contacts", {"contact": contact}))
    path = f"/contacts/{posted['id']}"
    changed = made(sage("PUT", path, {"contact": {"notes": "Pays on Fridays"}}))
    bill = invoice(sage, sandbox, contact_id=posted["id"])
    path = f"/sales_invoices/{bill['id']}"
    again = made(sage("PUT", path, {"sales_invoice": {"notes": "By post"}}))

    for reply in (posted, changed, made(sage("GET", f"/contacts/{posted['id']}"))):
        assert reply["main_address"].keys() == REFERENCE
        assert reply["main_contact_person"].keys() == REFERENCE
    for reply in (bill, again, made(sage("GET", path))):
        assert reply["contact"].keys() == reply["main_address"].keys() == REFERENCE
        (line,) = reply["invoice_lines"]
        assert line["ledger_account"].keys() == REFERENCE
        assert line["description"] == "Design"  # a line is the invoice's own


def test_a_document_needs_an_address_of_its_own_or_of_its_contact(
    sandbox: Sandbox, sage: Service
) -> None:
    clerk = sandbox.bookkeeper
    nowhere = clerk.add_contact("Nowhere Ltd", street=None)

    def post(**changes: object) -> httpx.Response:
        body = draft(sandbox, contact_id=nowhere, **changes)
        return sage("POST", "/sales_invoices", {"sales_invoice": body})

    for refused in (post(), post(main_address={"country_id": "GB"})):
        assert sources(refused).count("base") == 2
        assert "Invoice Address is required." in refused.text
        assert "Delivery Address is required." in refused.text
    own = made(post(main_address={"city": "Leeds"}))

    shown = sandbox.sage.invoices[own["id"]]
    assert shown["main_address"]["city"] == shown["delivery_address"]["city"] == "Leeds"


def test_pages_are_followed_by_a_path_without_the_version(sage: Service) -> None:
    first = made(sage("GET", "/contacts?contact_type_id=CUSTOMER"))

    second = made(sage("GET", first["$next"]))
    beyond = made(sage("GET", "/contacts?contact_type_id=CUSTOMER&page=9"))

    assert first["$next"].startswith("/contacts?")
    assert (first["$itemsPerPage"], first["$total"], len(second["$items"])) == (20, 30, 10)
    assert second["$next"] is None
    assert beyond["$items"] == second["$items"]
    assert beyond["$next"] is None
    assert made(sage("GET", second["$back"]))["$items"] == first["$items"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("search=north", ["Northwind Traders Ltd", "Northwind Trading Limited"]),
        ("search=OBRIEN1", ["O'Brien & Sons"]),
        ("email=PAY@northwind-trading.example", ["Northwind Trading Limited"]),
        ("contact_type_id=VENDOR", ["Paper & Ink Supplies Ltd"]),
    ],
)
def test_contacts_are_filtered(sage: Service, query: str, names: list[str]) -> None:
    rows = made(sage("GET", f"/contacts?attributes=name&{query}"))["$items"]

    assert [row["name"] for row in rows] == names


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "abc"),
        ("search=prd-1", "ac"),
        ("search=northwind", "ac"),
        ("status_id=PART_PAID", "b"),
        ("from_date=2026-02-03", "bc"),
        ("to_date=2026-02-03", "ab"),
        ("sort=date:desc", "cba"),
        ("sort=date", "abc"),
    ],
)
def test_invoices_are_filtered_and_sorted(
    sandbox: Sandbox, sage: Service, query: str, found: str
) -> None:
    other = sandbox.bookkeeper.add_contact("Juniper")
    keys = [
        invoice(sage, sandbox, date="2026-02-02", reference="PRD-1")["id"],
        invoice(sage, sandbox, date="2026-02-03", reference="PRD-2", contact_id=other)["id"],
        invoice(sage, sandbox, date="2026-02-04", reference="PRD-11")["id"],
    ]
    sandbox.bookkeeper.pay(keys[1], "1")

    rows = ids(sage("GET", f"/sales_invoices?{query}"))

    assert [rows, ids(sage("GET", f"/sales_invoices?contact_id={other}"))] == [
        [keys["abc".index(letter)] for letter in found],
        [keys[1]],
    ]


def test_amounts_come_as_strings_and_as_numbers(sandbox: Sandbox, sage: Service) -> None:
    path = f"/sales_invoices/{invoice(sage, sandbox)['id']}"

    totals = [made(sage("GET", path))["total_amount"] for _ in range(6)]

    assert {type(total) for total in totals} == {str, int}
    assert {Decimal(total) for total in totals} == {Decimal(1140)}


def test_a_look_at_the_pdf_marks_as_sent_unless_told_not_to(
    sandbox: Sandbox, sage: Service
) -> None:
    path = f"/sales_invoices/{invoice(sage, sandbox)['id']}"

    quiet = sage("GET", f"{path}?mark_as_sent=false", Accept="application/pdf")
    before = made(sage("GET", path))["sent"]
    sage("GET", path, Accept="application/pdf")

    assert quiet.content.startswith(b"%PDF-")
    assert (before, made(sage("GET", path))["sent"]) == (False, True)


def stamp(sandbox: Sandbox, seconds: int = 0) -> str:
    return (sandbox.clock.now() + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_feed_of_changes_includes_its_moment(sandbox: Sandbox, sage: Service) -> None:
    row = invoice(sage, sandbox)
    at = datetime.fromisoformat(row["updated_at"])
    later = (at + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    feed = "/sales_invoices?updated_or_created_since="

    assert ids(sage("GET", f"{feed}{row['updated_at']}")) == [row["id"]]
    assert ids(sage("GET", f"{feed}{later}")) == []


@pytest.mark.parametrize("touches", [True, False])
def test_a_receipt_moves_its_invoice_where_the_service_does_so(
    sandbox: Sandbox, sage: Service, touches: bool
) -> None:
    key = invoice(sage, sandbox)["id"]
    sandbox.advance(60)
    sandbox.payments_touch_invoices = touches
    since = stamp(sandbox)

    sandbox.bookkeeper.pay(key, "1.00")

    rows = ids(sage("GET", f"/sales_invoices?updated_or_created_since={since}"))
    assert rows == ([key] if touches else [])
    assert len(ids(sage("GET", f"/contact_payments?updated_or_created_since={since}"))) == 1


def test_settings_and_fixed_lists_are_there(sage: Service) -> None:
    financial = made(sage("GET", "/financial_settings"))
    invoicing = made(sage("GET", "/invoice_settings"))
    rates = {row["id"]: row for row in made(sage("GET", "/tax_rates?attributes=all"))["$items"]}

    assert (financial["base_currency"]["id"], financial["multi_currency_enabled"]) == ("GBP", True)
    assert (invoicing["next_invoice_number"], invoicing["customer_credit_days"]) == (1, 30)
    assert rates["GB_STANDARD"]["percentage"] is None
    assert len(rates["GB_STANDARD"]["percentages"]) == 2
    assert rates["GB_HIDDEN"]["is_visible"] is False
    names = {key: (row["name"], row["displayed_as"]) for key, row in rates.items()}
    assert names["GB_STANDARD"] == ("STANDARD", "Standard 20.00%")
    assert names["GB_NO_TAX"] == ("NO_TAX", "No VAT")
    assert made(sage("GET", "/user"))["displayed_as"] == "Robin Pine"
    assert "NO" in ids(sage("GET", "/countries?items_per_page=200"))


# --- credit notes and receipts


def allocation(*parts: tuple[Body, str], contact: str = "") -> Body:
    return {
        "contact_allocation": {
            "transaction_type_id": "CUSTOMER_ALLOCATION",
            "contact_id": contact or parts[0][0]["contact"]["id"],
            "date": "2026-02-10",
            "allocated_artefacts": [
                {"artefact_id": row["id"], "amount": amount} for row, amount in parts
            ],
        }
    }


def settled(sage: Service, row: Body) -> tuple[str, Any, list[Body]]:
    """Status, what is outstanding, and how it came to be settled."""
    now = made(sage("GET", row["$path"]))
    return now["status"]["id"], money(now["outstanding_amount"]), now["payments_allocations"]


def test_a_credit_note_settles_an_invoice_by_an_allocation(sandbox: Sandbox, sage: Service) -> None:
    bill, note = invoice(sage, sandbox), credit_note(sage, sandbox)
    since = stamp(sandbox, -1)

    made_allocation = made(
        sage("POST", "/contact_allocations", allocation((bill, "140.00"), (note, "-140.00")))
    )
    during = settled(sage, bill), settled(sage, note)
    changed = sage("PUT", note["$path"], {"sales_credit_note": {"notes": "late"}})
    undone = sage("DELETE", made_allocation["$path"])
    gone = sage("GET", f"/contact_allocations?deleted_since={since}")

    for status, outstanding, (share,) in during:
        assert (status, outstanding) == ("PART_PAID", 1000)
        assert share["contact_allocation"]["id"] == made_allocation["id"]
        assert share["contact_payment"] is None
    assert [rows[0]["artefact"]["id"] for _, _, rows in during] == [note["id"], bill["id"]]
    assert sources(changed)
    assert undone.status_code == 204
    assert ids(gone) == [made_allocation["id"]]
    assert settled(sage, bill) == ("UNPAID", Decimal(1140), [])


@pytest.mark.parametrize(
    "amounts",
    [
        ("1140.01", "-1140.01"),
        ("10.00", "-9.00"),
        ("-10.00", "10.00"),
        ("0.00", "0.00"),
    ],
)
def test_an_allocation_that_does_not_fit_is_refused(
    sandbox: Sandbox, sage: Service, amounts: tuple[str, str]
) -> None:
    bill, note = invoice(sage, sandbox), credit_note(sage, sandbox)
    sent = allocation((bill, amounts[0]), (note, amounts[1]))

    assert sources(sage("POST", "/contact_allocations", sent))
    assert settled(sage, bill)[0] == "UNPAID"


def test_nothing_is_allocated_twice_or_for_another_contact(sandbox: Sandbox, sage: Service) -> None:
    other = sandbox.bookkeeper.contact_id("Alder & Co")
    small = {f"{LINE}quantity": "1", f"{LINE}tax_amount": "19.00"}
    bill, note = invoice(sage, sandbox, **small), credit_note(sage, sandbox)
    foreign = invoice(sage, sandbox, contact_id=other)
    path = "/contact_allocations"
    twice = allocation((bill, "60.00"), (bill, "60.00"), (note, "-120.00"))

    assert sources(sage("POST", path, twice))
    assert sources(sage("POST", path, allocation((foreign, "1.00"), (note, "-1.00"))))
    made(sage("POST", path, allocation((bill, "114.00"), (note, "-114.00"))))
    assert sources(sage("POST", path, allocation((bill, "0.01"), (note, "-0.01"))))


@pytest.mark.parametrize(
    ("change", "source"),
    [
        ({"quantity": "-10", "tax_amount": "-190.00"}, "quantity"),
        ({"tax_amount": "1.00"}, "tax_amount"),
    ],
)
def test_a_credit_note_is_positive_and_adds_up(
    sandbox: Sandbox, sage: Service, change: Body, source: str
) -> None:
    body = credit(sandbox)
    body["credit_note_lines"][0] |= change

    reply = sage("POST", "/sales_credit_notes", {"sales_credit_note": body})

    assert any(found.endswith(source) for found in sources(reply))


def test_a_receipt_may_pay_several_invoices_with_a_discount_and_leave_a_rest(
    sandbox: Sandbox, sage: Service
) -> None:
    clerk = sandbox.bookkeeper
    one, two = invoice(sage, sandbox), invoice(sage, sandbox)
    clerk.pay(one["id"], "100.00", "2026-02-05", discount="40.00")

    both = clerk.pay_many([(one["id"], "1000.00"), (two["id"], "1200.00")], "2026-02-06", "BACS 7")

    status, outstanding, shares = settled(sage, one)
    receipt = made(sage("GET", f"/contact_payments/{both}"))
    assert (status, outstanding) == ("PAID", 0)
    assert [(money(s["amount"]), money(s["discount"]), s["date"]) for s in shares] == [
        (100, 40, "2026-02-05"),
        (1000, 0, "2026-02-06"),
    ]
    assert shares[1]["contact_payment"]["id"] == both
    assert (receipt["reference"], money(receipt["total_amount"])) == ("BACS 7", 2200)
    assert money(receipt["payment_on_account"]["outstanding_amount"]) == 60
    assert settled(sage, two)[0] == "PAID"


def test_a_payment_on_account_settles_when_it_is_allocated(sandbox: Sandbox, sage: Service) -> None:
    clerk, bill = sandbox.bookkeeper, invoice(sage, sandbox)
    receipt = clerk.pay_on_account(bill["contact"]["id"], "500.00", "2026-02-01")
    on_account = made(sage("GET", f"/contact_payments/{receipt}"))["payment_on_account"]

    clerk.allocate(bill["id"], on_account["id"], "500.00", "2026-02-08")

    status, outstanding, (share,) = settled(sage, bill)
    assert (status, outstanding, share["date"]) == ("PART_PAID", 640, "2026-02-08")
    assert share["artefact"]["$path"].startswith("/payments_on_account/")
    clerk.delete_receipt(receipt)
    assert settled(sage, bill) == ("UNPAID", Decimal(1140), [])


def test_a_receipt_is_edited_and_deleted(sandbox: Sandbox, sage: Service) -> None:
    clerk, bill = sandbox.bookkeeper, invoice(sage, sandbox)
    receipt = clerk.pay(bill["id"], "1140.00")
    since = stamp(sandbox)

    clerk.edit_receipt(receipt, amount="140.00", date="2026-02-09", reference="BACS")
    status, outstanding, (share,) = settled(sage, bill)
    sandbox.advance(1)
    clerk.delete_receipt(receipt)

    assert (status, outstanding) == ("PART_PAID", 1000)
    assert (share["date"], share["reference"]) == ("2026-02-09", "BACS")
    assert settled(sage, bill) == ("UNPAID", Decimal(1140), [])
    (gone,) = made(sage("GET", f"/contact_payments?deleted_since={since}"))["$items"]
    assert gone["id"] == receipt
    assert ids(sage("GET", f"/contact_payments?deleted_since={gone['deleted_at']}")) == []


@pytest.mark.parametrize("carried", [True, False])
def test_rows_carry_allocations_where_asked_and_where_the_service_does_so(
    sandbox: Sandbox, sage: Service, carried: bool
) -> None:
    sandbox.lists_carry_allocations = carried
    sandbox.bookkeeper.pay(invoice(sage, sandbox)["id"], "1.00")

    (plain,) = made(sage("GET", "/sales_invoices?attributes=all"))["$items"]
    (row,) = made(sage("GET", "/sales_invoices?show_payments_allocations=true"))["$items"]

    assert "payments_allocations" not in plain
    assert ("payments_allocations" in row) is carried


def test_the_bookkeeper_corrects_and_removes_documents(sandbox: Sandbox, sage: Service) -> None:
    clerk, bill = sandbox.bookkeeper, invoice(sage, sandbox)
    since = stamp(sandbox, -1)

    clerk.edit_invoice(bill["id"], quantity="1", notes="by hand")
    row = made(sage("GET", bill["$path"]))
    clerk.delete_invoice(bill["id"])

    assert (money(row["total_amount"]), row["notes"]) == (114, "by hand")
    assert sage("GET", bill["$path"]).status_code == 404
    assert ids(sage("GET", f"/sales_invoices?deleted_since={since}")) == [bill["id"]]


# --- attachments of Sage


def attachment(bill: Body, **changes: object) -> Body:
    return {
        "attachment": {
            "file": base64.b64encode(PDF).decode(),
            "file_name": "a.pdf",
            "mime_type": "application/pdf",
            "attachment_context_type_id": "SALES_INVOICE",
            "attachment_context_id": bill["id"],
            "transaction_id": bill["transaction"]["id"],
        }
        | changes
    }


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({"file": "not base64"}, "file"),
        ({"file": ""}, "file"),
        ({"file": base64.b64encode(bytes(2_621_441)).decode()}, "file"),
        ({"mime_type": "text/plain"}, "mime_type"),
        ({"file_size": 7}, "file_size"),
        ({"attachment_context_type_id": "BANK"}, "attachment_context_type_id"),
        ({"attachment_context_id": "0" * 32}, "attachment_context_id"),
        ({"transaction_id": "0" * 32}, "transaction_id"),
        ({"idempotency_id": "0" * 32}, "idempotency_id"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_an_attachment_that_is_wrong_in_one_thing_is_refused_for_it(
    sandbox: Sandbox, sage: Service, changes: Body, source: str
) -> None:
    sent = attachment(invoice(sage, sandbox), **changes)

    reply = sage("POST", "/attachments", sent)

    assert any(found.endswith(source) for found in sources(reply))
    assert sandbox.sage.attachments == {}


def test_an_attachment_is_found_read_and_removed(sandbox: Sandbox, sage: Service) -> None:
    bill = invoice(sage, sandbox)
    row = made(sage("POST", "/attachments", attachment(bill)))
    context = f"attachment_context_id={bill['transaction']['id']}"

    found = ids(sage("GET", f"/attachments?{context}&attachment_context_type_id=SALES_INVOICE"))
    content = sage("GET", f"{row['$path']}/file", Accept="application/octet-stream")
    as_json = sage("GET", f"{row['$path']}/file", Accept="application/json")
    removed = sage("DELETE", row["$path"])

    assert (found, content.content) == ([row["id"]], PDF)
    assert (as_json.status_code, removed.status_code) == (406, 204)
    assert sage("GET", row["$path"]).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "accept"),
    [
        ("GET", "/user", "text/html"),
        ("GET", "/sales_invoices", "application/pdf"),
        ("POST", "/sales_invoices", "application/pdf"),
        ("PUT", "/sales_invoices/*", "application/vnd.api+json"),
        ("DELETE", "/attachments/*", "application/octet-stream"),
        ("GET", "/attachments/*/file", "*/*"),
    ],
)
def test_what_an_address_does_not_give_is_refused_before_anything_is_done(
    sandbox: Sandbox, sage: Service, method: str, path: str, accept: str
) -> None:
    bill = invoice(sage, sandbox)
    file = made(sage("POST", "/attachments", attachment(bill)))
    path = path.replace("*", (file if "attach" in path else bill)["id"])
    body = {"sales_invoice": draft(sandbox)} if method in {"POST", "PUT"} else None

    reply = sage(method, path, body, Accept=accept)

    assert reply.status_code == 406
    assert (len(sandbox.sage.invoices), len(sandbox.sage.attachments)) == (1, 1)
    sandbox.clear_calls()  # the contract lists no 406


@pytest.mark.parametrize(
    ("by", "context", "transaction"),
    [("either", True, True), ("transaction", False, True), ("unlinked", False, False)],
)
def test_a_201_may_be_an_attachment_that_is_linked_to_nothing(
    sandbox: Sandbox, sage: Service, by: str, context: bool, transaction: bool
) -> None:
    sandbox.attachments = by
    bill = invoice(sage, sandbox)
    alone = attachment(bill)
    del alone["attachment"]["transaction_id"]

    row = made(sage("POST", "/attachments", alone))
    both = made(sage("POST", "/attachments", attachment(bill)))

    assert (row["attachment_context"] is not None, row["transaction"]) == (context, None)
    assert (both["transaction"] is not None) is transaction
    listed = ids(sage("GET", f"/attachments?attachment_context_id={bill['id']}"))
    assert bool(listed) is context


def test_sage_may_take_no_attachments_on_sales(sandbox: Sandbox, sage: Service) -> None:
    sandbox.attachments = "refused"

    reply = sage("POST", "/attachments", attachment(invoice(sage, sandbox)))

    assert "attachment.attachment_context_type_id" in sources(reply)


# --- Productive: the way in and lists


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": ""}, 415),
        ({"Content_Type": "application/json"}, 415),
        ({"X_Auth_Token": ""}, 401),
        ({"X_Auth_Token": "guessed"}, 401),
        ({"X_Organization_Id": "1"}, 403),
        ({"Content_Type": BULK}, 404),
        ({}, 200),
    ],
    ids=str,
)
def test_productive_looks_at_the_headers_first(
    productive: Service, headers: dict[str, str], status: int
) -> None:
    assert productive("GET", "/organizations", **headers).status_code == status


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    "query",
    [
        "filter[before]=2026-01-01",
        "filter[updated_at]=2026-01-01",
        "filter[invoiced_on][newer]=2026-01-01",
        "filter[custom_fields]=1",
        "filter[custom_fields][9]=red",
        "filter[number][eq][eq]=1",
        "sort=updated_at",
        "include=line_items",
        "include=payments",
        "fields[invoices]=colour",
        "colour=red",
        "page[size]=201",
        "page[number]=0",
        "page[number]=1&page[after]=",
        "page[after]=&sort=number",
        "page[after]=nonsense",
        f"filter[id]={','.join('1' * 51)}",
    ],
)
def test_a_list_of_productive_refuses_what_it_does_not_know(
    sandbox: Sandbox, productive: Service, query: str, status: int
) -> None:
    sandbox.bad_query_status = status

    reply = productive("GET", f"/invoices?{query}")

    assert reply.status_code == status
    assert reply.json()["errors"][0]["detail"]


def test_the_status_of_an_error_is_a_number_or_a_string(productive: Service) -> None:
    rows = [productive("GET", "/invoices/1").json()["errors"][0] for _ in range(2)]

    assert {type(row["status"]) for row in rows} == {int, str}


def test_lists_are_paged_by_cursor_and_by_number(productive: Service) -> None:
    everything = ids(productive("GET", "/invoices?page[size]=200"))
    by_cursor: list[str] = []
    path: str | None = "/invoices?page[size]=7&page[after]="
    while path:
        page = productive("GET", path)
        by_cursor += ids(page)
        following = page.json()["links"].get("next")
        path = following and following.removeprefix(productive.base)
        assert page.json()["meta"].keys() == {"page_size", "max_page_size"}

    third = productive("GET", "/invoices?page[size]=7&page[number]=3").json()

    assert by_cursor == everything
    assert [row["id"] for row in third["data"]] == everything[14:21]
    assert third["meta"] == {
        "current_page": 3,
        "total_pages": 3,
        "total_count": 21,
        "page_size": 7,
        "max_page_size": 200,
    }
    assert productive("GET", "/invoices?page[number]=9").json()["data"] == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("filter[id]=101,103", "101 103"),
        ("filter[number]=INV-2026-016", "116 117"),
        ("filter[number][contains]=cn-", "110"),
        ("filter[invoice_state]=1", "102"),
        ("filter[invoice_type]=2", "110"),
        ("filter[company_id]=503", "104 119"),
        ("filter[currency]=JPY", "108"),
        ("filter[sent_status]=1", "123"),
        ("filter[export_status]=1", "124"),
        ("filter[invoiced_on][gt_eq]=2026-02-16", "124 125"),
        ("filter[invoiced_on][gt]=2026-02-16", "125"),
        ("filter[invoiced_on][lt]=2026-01-18", "101"),
        ("filter[invoiced_on][lt_eq]=2026-01-18", "101 103"),
        ("filter[created_at]=2026-01-18T23:00:00.000Z", "103"),
        ("filter[payment_status]=1", "111 125"),
        ("filter[payment_status]=3", "124"),
        ("filter[amount_paid]=10050", "124"),
        ("filter[custom_fields][9][eq]=red", "101"),
        ("filter[custom_fields][9][contains]=re", "101 103"),
        ("filter[custom_fields][9][eq]=green", "103"),
        ("filter[custom_fields][8][eq]=red", ""),
        ("filter[id]=101,103&sort=-number", "103 101"),
    ],
)
def test_invoices_of_productive_are_filtered(
    sandbox: Sandbox, productive: Service, query: str, found: str
) -> None:
    agency = sandbox.agency
    agency.edit_invoice(101, custom_fields={"9": "red"})
    agency.edit_invoice(103, custom_fields={"9": ["green", "blue"]})
    agency.add_payment(124, "100.50", "2026-03-01")
    agency.add_payment(125, Decimal(sandbox.productive.invoices["125"]["amount_unpaid"]) / 100)
    productive("PATCH", "/invoices/124", resource("invoices", exported=True))

    assert ids(productive("GET", f"/invoices?{query}")) == found.split()


def test_a_relation_is_shown_only_where_it_is_included(productive: Service) -> None:
    row = productive("GET", "/invoices/123?include=company,bill_to").json()

    relations = row["data"]["relationships"]
    assert relations["company"] == {"data": {"type": "companies", "id": "507"}}
    assert relations["subsidiary"] == {"meta": {"included": False}}
    assert {(r["type"], r["id"]) for r in row["included"]} == {
        ("companies", "507"),
        ("contact_entries", "1507"),
    }
    assert not {"line_items", "payments"} & relations.keys()


def test_lines_of_several_invoices_come_in_one_call_without_an_order(productive: Service) -> None:
    path = "/line_items?filter[invoice_id]=101,123&include=invoice,service_type,tax_rate"

    rows = productive("GET", path).json()["data"]

    positions = [row["attributes"]["position"] for row in rows]
    assert len(rows) == 5
    assert positions != sorted(positions)
    assert productive("GET", f"{path}&sort=position").status_code == 400


def test_money_is_in_minor_units_as_numbers_and_strings(productive: Service) -> None:
    rows = productive("GET", "/line_items?filter[invoice_id]=105&page[size]=200").json()["data"]

    forms = {type(row["attributes"]["amount"]) for row in rows}
    assert forms == {int, str}
    assert sum(money(row["attributes"]["amount"]) for row in rows) == 4082179


@pytest.mark.parametrize(("digits", "shown"), [(0, 132617), (2, 13261700)])
def test_yen_are_whole_or_hundredths(
    sandbox: Sandbox, productive: Service, digits: int, shown: int
) -> None:
    sandbox.jpy_digits = digits

    row = productive("GET", "/invoices/108").json()["data"]["attributes"]

    assert money(row["amount"]) == shown


def test_a_deleted_invoice_is_gone_but_among_the_deleted_items(
    sandbox: Sandbox, productive: Service
) -> None:
    sandbox.agency.delete_invoice(124)

    query = "filter[item_type]=invoice&sort=-created_at"
    rows = productive("GET", f"/deleted_items?{query}").json()["data"]

    assert productive("GET", "/invoices/124").status_code == 404
    assert "124" not in ids(productive("GET", "/invoices?page[size]=200"))
    assert [row["attributes"]["item_id"] for row in rows] == [124, 113]


def test_the_token_is_tried_out_by_its_memberships(productive: Service) -> None:
    reply = productive("GET", "/organization_memberships?include=organization").json()

    (organization,) = reply["included"]
    assert organization["attributes"]["name"] == "Harbour & Pine"


# --- Productive: writing


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({"footer": "x"}, "footer"),
        ({"paid_on": "2026-03-01"}, "paid_on"),
        ({"exported_at": "2026-03-01T00:00:00Z"}, "exported_at"),
        ({"export_integration_type_id": 1}, "export_integration_type_id"),
        ({"amount": 100}, "amount"),
        ({"finalized_on": "2026-03-01"}, "finalized_on"),
        ({"exported": "yes"}, "exported"),
        ({"invoiced_on": None}, "invoiced_on"),
        ({"sent_on": "today"}, "sent_on"),
        ({"exported": True, "attachment_id": 1}, "attachment_id"),
        ({"attachment_id": "9123"}, "attachment_id"),
        ({"number": "INV-1", "exported": True}, "number"),
    ],
    ids=str,
)
def test_what_may_not_be_written_is_refused_and_nothing_changes(
    sandbox: Sandbox, productive: Service, attributes: Body, pointer: str
) -> None:
    before = copy.deepcopy(sandbox.productive.invoices)

    reply = productive("PATCH", "/invoices/123", resource("invoices", None, **attributes))

    assert reply.status_code == 422
    assert reply.json()["errors"][0]["source"]["pointer"].endswith(pointer)
    assert sandbox.productive.invoices == before


def test_an_invoice_is_marked_as_copied(sandbox: Sandbox, productive: Service) -> None:
    mark = {"exported": True, "export_id": "abc", "export_invoice_url": "https://x.example"}

    reply = productive("PATCH", "/invoices/123", resource("invoices", "123", **mark))

    row = reply.json()["data"]["attributes"]
    assert {name: row[name] for name in mark} == mark
    assert row["exported_at"]
    assert sandbox.productive.invoices["123"]["export_id"] == "abc"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (resource("invoice", note="x"), 422),
        (resource("invoices", "124", note="x"), 422),
        ({"data": {"type": "invoices"}}, 422),
        ({"note": "x"}, 422),
        ([], 400),
    ],
    ids=str,
)
def test_a_patch_of_another_form_is_refused(productive: Service, body: object, status: int) -> None:
    assert productive("PATCH", "/invoices/123", body).status_code == status


def test_export_is_no_marker(sandbox: Sandbox, productive: Service) -> None:
    reply = productive("PATCH", "/invoices/123/export")

    assert reply.status_code == 422
    assert reply.json()["errors"][0]["detail"] == "feature unavailable"
    assert (sandbox.productive.export_calls, sandbox.productive.invoices["123"]["exported"]) == (
        1,
        False,
    )


def test_a_token_may_be_for_reading_only(sandbox: Sandbox, productive: Service) -> None:
    sandbox.agency.make_token_read_only()

    write = productive("PATCH", "/invoices/123", resource("invoices", note="x"))

    assert (write.status_code, productive("GET", "/invoices/123").status_code) == (403, 200)


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({"amount": 100}, "invoice_id"),
        ({"invoice_id": 124}, "amount"),
        ({"invoice_id": 124, "amount": 0}, "amount"),
        ({"invoice_id": 124, "amount": "1.00"}, "amount"),
        ({"invoice_id": 102, "amount": 100}, "invoice_id"),
        ({"invoice_id": 1, "amount": 100}, "invoice_id"),
        ({"invoice_id": 124, "amount": 100, "external_id": "x"}, "external_id"),
        ({"invoice_id": 124, "amount": 100, "currency": "GBP"}, "currency"),
        ({"invoice_id": 124, "amount": 100, "paid_on": "today"}, "paid_on"),
        ({"invoice_id": 124, "amount": 91201}, "amount"),
    ],
    ids=str,
)
def test_a_payment_that_is_wrong_in_one_thing_is_refused_for_it(
    sandbox: Sandbox, productive: Service, attributes: Body, pointer: str
) -> None:
    sandbox.refuse_overpaying = True

    reply = productive("POST", "/payments", resource("payments", None, **attributes))

    assert reply.status_code == 422
    assert reply.json()["errors"][0]["source"]["pointer"].endswith(pointer)
    assert sandbox.productive.payments == {}


def test_a_payment_pays_is_changed_and_deleted(sandbox: Sandbox, productive: Service) -> None:
    def unpaid() -> tuple[int, str | None]:
        row = sandbox.productive.invoices["124"]
        return row["amount_unpaid"], row["paid_on"]

    sent = resource("payments", amount=91200, paid_on="2026-03-01", note="psage r/i")
    sent["data"]["relationships"] = {"invoice": {"data": {"type": "invoices", "id": "124"}}}
    key = productive("POST", "/payments", sent).json()["data"]["id"]
    full = unpaid()
    listed = productive("GET", "/payments?filter[invoice_id]=124,125").json()["data"]
    productive("PATCH", f"/payments/{key}", resource("payments", key, amount=1200))
    part = unpaid()
    deleted = productive("DELETE", f"/payments/{key}")

    assert [full, part, unpaid()] == [(0, "2026-03-01"), (90000, None), (91200, None)]
    assert [row["attributes"]["note"] for row in listed] == ["psage r/i"]
    assert not {"created_at", "updated_at", "number"} & listed[0]["attributes"].keys()
    assert deleted.status_code == 204
    sandbox.clear_calls()  # clients use the relation, though the contract wants `invoice_id`


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("filter[paid_after]=2026-03-02", 2),
        ("filter[paid_before]=2026-03-02", 2),
        ("filter[paid_on]=2026-03-02", 1),
        ("filter[written_off_on]=2026-03-04", 1),
        ("filter[number]=INV-2026-024", 4),
        ("filter[number]=INV-2026-025", 0),
    ],
)
def test_payments_are_filtered(
    sandbox: Sandbox, productive: Service, query: str, found: int
) -> None:
    for day in ("2026-03-01", "2026-03-02", "2026-03-03"):
        sandbox.agency.add_payment(124, "1.00", day)
    sandbox.agency.add_payment(124, "1.00", written_off_on="2026-03-04")

    assert len(ids(productive("GET", f"/payments?{query}"))) == found


def test_ids_in_attributes_are_numbers(sandbox: Sandbox, productive: Service) -> None:
    as_text = productive("POST", "/payments", resource("payments", invoice_id="124", amount=100))
    as_number = productive("POST", "/payments", resource("payments", invoice_id=124, amount=100))

    assert as_text.json()["errors"][0]["source"]["pointer"] == "/data/attributes/invoice_id"
    assert (as_text.status_code, as_number.status_code) == (422, 201)


def test_payments_are_made_in_bulk_all_or_none(sandbox: Sandbox, productive: Service) -> None:
    good = resource("payments", invoice_id=124, amount=100)["data"]
    bad = resource("payments", invoice_id=102, amount=100)["data"]
    bulk = {"Content_Type": BULK, "Accept": BULK}

    refused = productive("POST", "/payments", {"data": [good, bad]}, **bulk)
    too_many = productive("POST", "/payments", {"data": [good] * 101}, **bulk)
    unasked = productive("POST", "/payments", {"data": [good]}, Content_Type=BULK)
    none_made = sandbox.productive.payments == {}
    fine = productive("POST", "/payments", {"data": [good, good]}, **bulk)

    assert [r.status_code for r in (refused, too_many, unasked)] == [422, 422, 404]
    assert none_made
    assert len(fine.json()["data"]) == len(sandbox.productive.payments) == 2


def test_the_agency_bills_and_corrects(sandbox: Sandbox, productive: Service) -> None:
    agency = sandbox.agency
    key = agency.add_invoice(company_id=501, lines=[{"unit_price": "10.00", "quantity": 2}])
    line = agency.add_line(key, unit_price="5.00")
    agency.edit_line(line, quantity="3", tax_percent=5)
    note = agency.add_invoice(company_id=501, lines=[{"unit_price": "-10.00"}], credits_invoice=key)
    payment = agency.add_payment(key, "1.00", "2026-03-01")
    agency.edit_payment(payment, amount="2.00", note="by hand")

    row = productive("GET", f"/invoices/{key}?fields[invoices]=amount,amount_unpaid").json()

    # 20.00 + 20% and 15.00 + 5%, less 12.00 credited and 2.00 paid
    shown = {name: money(v) for name, v in row["data"]["attributes"].items()}
    assert shown == {"amount": 3500, "amount_unpaid": 2575}
    assert sandbox.productive.invoices[note]["parent_invoice_id"] == key
    agency.delete_payment(payment)
    agency.delete_line(line)
    assert sandbox.productive.invoices[key]["amount_unpaid"] == 1200


# --- Productive: files


def pdf_of(productive: Service, key: str) -> str:
    document = productive("GET", f"/invoices/{key}?include=attachment").json()
    return str(document["included"][0]["attributes"]["url"])


@pytest.mark.parametrize(
    ("query", "status"), [("", 401), ("?token=guessed", 403), (f"?token={PRODUCTIVE_TOKEN}", 200)]
)
def test_a_file_needs_the_token(productive: Service, query: str, status: int) -> None:
    reply = HTTP.get(pdf_of(productive, "123") + query)

    assert reply.status_code == status
    assert reply.content.startswith(b"%PDF-") is (status == 200)


def test_a_file_may_have_moved_to_another_host(sandbox: Sandbox, productive: Service) -> None:
    sandbox.files_redirect = True

    reply = HTTP.get(f"{pdf_of(productive, '123')}?token={PRODUCTIVE_TOKEN}")

    assert reply.status_code == 302
    assert reply.headers["Location"].startswith(sandbox.sage_url)


def started_upload(productive: Service) -> tuple[str, dict[str, str]]:
    attributes = {"name": "a.pdf", "content_type": "application/pdf", "size": len(PDF)}
    reply = productive("POST", "/attachments", resource("attachments", None, **attributes)).json()
    return reply["data"]["id"], reply["data"]["attributes"]["aws_policy"]


@pytest.mark.parametrize(
    ("leave_out", "content", "headers", "status"),
    [
        ("x-amz-signature", PDF, {}, 403),
        ("policy", PDF, {}, 403),
        ("key", PDF, {}, 403),
        ("", PDF + b"more", {}, 400),
        ("", PDF, {"X-Auth-Token": PRODUCTIVE_TOKEN}, 400),
    ],
)
def test_the_store_takes_only_what_the_policy_allows(
    sandbox: Sandbox,
    productive: Service,
    leave_out: str,
    content: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    _, policy = started_upload(productive)
    policy.pop(leave_out, None)

    reply = HTTP.post(
        f"{sandbox.files_url}/upload", data=policy, files={"file": content}, headers=headers
    )

    assert reply.status_code == status
    assert sandbox.productive.data["uploads"] == {}


def test_an_upload_is_stored_and_linked_to_the_invoice(
    sandbox: Sandbox, productive: Service
) -> None:
    key, policy = started_upload(productive)
    path = f"/attachments/{key}"
    too_early = productive("PATCH", path, resource("attachments", temp_url="http://no.example"))

    stored = HTTP.post(f"{sandbox.files_url}/upload", data=policy, files={"file": PDF})
    there = stored.headers["Location"]
    productive("PATCH", path, resource("attachments", temp_url=there))
    productive("PATCH", "/invoices/124", resource("invoices", attachment_id=int(key)))

    assert (too_early.status_code, stored.status_code) == (422, 201)
    url = pdf_of(productive, "124")
    assert HTTP.get(f"{url}?token={PRODUCTIVE_TOKEN}").content == PDF


# --- limits


def test_productive_allows_so_many_calls_in_ten_seconds(
    sandbox: Sandbox, productive: Service
) -> None:
    sandbox.limits = 0.03

    replies = [productive("GET", "/organizations") for _ in range(4)]
    sandbox.advance(10)
    later = productive("GET", "/organizations")

    assert [reply.status_code for reply in (*replies, later)] == [200, 200, 200, 429, 200]
    assert 8 <= int(replies[3].headers["X-RateLimit-Reset"]) <= 10
    error = replies[3].json()["errors"][0]
    assert (error["limit"], error["period"]) == (3, 10)


def test_productive_allows_so_many_calls_in_half_an_hour(
    sandbox: Sandbox, productive: Service
) -> None:
    sandbox.limits = 0.001

    replies = []
    for _ in range(5):
        replies.append(productive("GET", "/organizations"))
        sandbox.advance(10)

    assert [reply.status_code for reply in replies] == [200] * 4 + [429]
    assert replies[4].json()["errors"][0]["period"] == 1800
    assert int(replies[4].headers["X-RateLimit-Reset"]) > 1700


@pytest.mark.parametrize("says_when", [True, False])
def test_sage_allows_so_many_calls_a_day(sandbox: Sandbox, sage: Service, says_when: bool) -> None:
    sandbox.limits = 3.1 / 1_296_000
    sandbox.retry_after = says_when

    replies = [sage("GET", "/user") for _ in range(4)]

    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    assert replies[3].json()[0]["$dataCode"] == "TooManyRequests"
    assert ("Retry-After" in replies[3].headers) is says_when


def at_once(*calls: Callable[[], httpx.Response]) -> list[int]:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda call=call: found.append(call().status_code))
        for call in calls
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found)


def test_sage_serves_only_so_many_calls_at_once(sandbox: Sandbox, sage: Service) -> None:
    sandbox.limits = 1.5 / 150
    sandbox.latency_ms = 100

    # The day's calls are then many enough for two.
    assert at_once(*[lambda: sage("GET", "/user")] * 2) == [200, 429]


def test_two_posts_at_once_are_one_too_many(sandbox: Sandbox, sage: Service) -> None:
    sandbox.latency_ms = 100
    body = {"sales_invoice": draft(sandbox)}

    codes = at_once(*[lambda: sage("POST", "/sales_invoices", body)] * 2)

    assert codes == [201, 409]
    assert sandbox.concurrent_posts == len(sandbox.sage.invoices) == 1


# --- faults


@pytest.mark.parametrize(
    ("kind", "status", "booked"),
    [
        ("status", 500, 0),
        ("cut_before", 0, 0),
        ("html", 200, 0),
        ("empty_page", 200, 0),
        ("status_after", 500, 1),
        ("cut_after", 0, 1),
        ("cut_mid", 0, 1),
        ("html_after", 200, 1),
        ("truncated", 201, 1),
        ("slow", 201, 1),
    ],
)
def test_a_fault_spoils_one_call_with_or_without_its_work(
    sandbox: Sandbox, sage: Service, kind: str, status: int, booked: int
) -> None:
    sandbox.fault(kind, method="POST", path="/sales_invoices", seconds=0.1)
    body = {"sales_invoice": draft(sandbox)}
    began = time.monotonic()

    try:
        reply = sage("POST", "/sales_invoices", body)
    except httpx.TransportError:
        reply = httpx.Response(0)

    took_s = time.monotonic() - began
    assert (reply.status_code, len(sandbox.sage.invoices)) == (status, booked)
    assert ("html" in reply.headers.get("Content-Type", "")) is kind.startswith("html")
    assert kind != "slow" or took_s >= 0.1
    if kind == "truncated":
        with pytest.raises(ValueError, match=r"column \d+"):
            reply.json()
    assert [call.faulted for call in sandbox.calls("sage", "POST")] == [True]
    invoice(sage, sandbox)


def test_an_empty_page_looks_right_in_every_other_way(
    sandbox: Sandbox, sage: Service, productive: Service
) -> None:
    sandbox.fault("empty_page", path="/contacts")
    sandbox.fault("empty_page", service="productive", path="/invoices")

    contacts = sage("GET", "/contacts", X_Business=MAIN_BUSINESS_ID)

    assert (ids(contacts), contacts.headers["X-Business"]) == ([], MAIN_BUSINESS_ID)
    assert ids(productive("GET", "/invoices?page[after]=")) == []
    assert ids(sage("GET", "/contacts"))


def test_a_fault_waits_for_its_turn_and_says_what_it_is_told(
    sandbox: Sandbox, sage: Service
) -> None:
    headers = {"Retry-After": "7"}
    sandbox.fault("status", path="/use*", nth=2, times=2, status=503, headers=headers, body="busy")

    replies = [sage("GET", "/user") for _ in range(4)]

    assert [reply.status_code for reply in replies] == [200, 503, 503, 200]
    assert (replies[1].headers["Retry-After"], replies[1].text) == ("7", "busy")


@pytest.mark.parametrize("service", ["auth", "files", "productive", "sage"])
def test_every_service_can_be_down(sandbox: Sandbox, service: str) -> None:
    address = {
        "auth": f"{sandbox.sage_url}/token",
        "files": f"{sandbox.files_url}/attachments/files/1",
        "productive": f"{sandbox.productive_url}/api/v2/invoices",
        "sage": f"{sandbox.sage_url}/v3.1/user",
    }[service]
    sandbox.fault("status", service=service, status=503)

    # Without credentials too: a service that is down does not look at them.
    headers = {"X-Auth-Token": "x", "X-Organization-Id": "x", "Authorization": "Bearer x"}
    headers |= {"Content-Type": JSON_API, "Accept": JSON if service == "sage" else JSON_API}

    assert HTTP.get(address, headers=headers).status_code == 503


def test_an_unknown_fault_is_an_error_of_the_test(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="no such fault"):
        sandbox.fault("explode")


# --- the handle


def test_calls_are_logged_and_found_again(
    sandbox: Sandbox, sage: Service, productive: Service
) -> None:
    sandbox.clear_calls()
    sage("GET", "/contacts?search=x")
    sage("GET", "/user")
    productive("GET", "/invoices/123")

    found = sandbox.calls("sage", path="/con*")

    assert [(call.path, call.query, call.status) for call in found] == [
        ("/contacts", {"search": ["x"]}, 200)
    ]
    assert [call.path for call in sandbox.calls()] == ["/contacts", "/user", "/invoices/123"]


def control(sandbox: Sandbox, order: object, header: str = "1") -> httpx.Response:
    headers = {"X-Sandbox-Control": header}
    return HTTP.post(f"{sandbox.sage_url}/_control", json=order, headers=headers)


def test_the_control_endpoint_needs_its_header(sandbox: Sandbox) -> None:
    before = sandbox.clock.offset_s

    assert control(sandbox, {"do": "advance", "args": [60]}, "0").status_code == 403
    assert HTTP.get(f"{sandbox.sage_url}/_control").status_code == 403
    assert sandbox.clock.offset_s == before
    assert control(sandbox, {"do": "advance", "args": [60]}).status_code == 200
    assert sandbox.clock.offset_s == before + 60


def test_another_process_can_do_what_a_test_can(sandbox: Sandbox, sage: Service) -> None:
    key = invoice(sage, sandbox)["id"]
    orders = [
        {"do": "bookkeeper.pay", "args": {"invoice_id": key, "amount": "1140.00"}},
        {"do": "agency.delete_invoice", "args": [124]},
        {"do": "set", "args": {"search_lag_s": 3}},
        {"do": "fault", "args": {"kind": "status", "path": "/user", "status": 503}},
        {"do": "calls", "args": {"method": "POST", "service": "sage"}},
        {"do": "state"},
    ]

    replies = [control(sandbox, order) for order in orders]

    assert [reply.status_code for reply in replies] == [200] * len(orders)
    assert sandbox.sage.invoices[key]["status"]["id"] == "PAID"
    assert "124" not in sandbox.productive.invoices
    assert sandbox.search_lag_s == 3
    assert sage("GET", "/user").status_code == 503
    assert [call["path"] for call in replies[4].json()["result"]] == ["/sales_invoices"]
    assert replies[5].json()["result"]["sage"]["lead"] == MAIN_BUSINESS_ID


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"do": "explode"}, 400),
        ({"do": "bookkeeper._document", "args": ["x"]}, 400),
        ({"do": "bookkeeper.explode"}, 400),
        ({"do": "set", "args": {"explode": 1}}, 400),
        ({"do": "fault", "args": {"kind": "explode"}}, 400),
        ({}, 400),
        ([], 400),
    ],
    ids=str,
)
def test_an_order_nobody_knows_is_refused(sandbox: Sandbox, order: object, status: int) -> None:
    assert control(sandbox, order).status_code == status


def test_the_state_is_saved_and_found_again(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    with Sandbox(state=file) as sandbox:
        signed_in = f"Bearer {sage_sign_in(sandbox).access_token}"
        sage = Service(f"{sandbox.sage_url}/v3.1", {"Authorization": signed_in})
        row = invoice(sage, sandbox, idempotency_id="0123456789abcdef" * 2)
        sandbox.bookkeeper.pay(row["id"], "0.50")
        sandbox.agency.set_pdf(124, PDF)
        sandbox.advance(100)
        held = sandbox.sage.invoices, sandbox.productive.invoices, sandbox.productive.files

    with Sandbox(state=file) as sandbox:
        sage.base = f"{sandbox.sage_url}/v3.1"
        again = invoice(sage, sandbox, idempotency_id="0123456789abcdef" * 2)
        another = invoice(sage, sandbox)
        found = sandbox.sage.invoices, sandbox.productive.invoices, sandbox.productive.files
        offset_s = sandbox.clock.offset_s

    assert (again["id"], another["displayed_as"]) == (row["id"], "SI-2")
    assert found[0].pop(another["id"])
    assert found == held
    assert offset_s == 100
    assert b"Bearer" not in file.read_bytes()
    assert signed_in.removeprefix("Bearer ") not in file.read_text()


def test_a_reset_forgets_everything(sandbox: Sandbox, sage: Service) -> None:
    seed = copy.deepcopy((sandbox.sage.contacts, sandbox.productive.invoices))
    invoice(sage, sandbox)
    sandbox.agency.delete_invoice(124)
    sandbox.search_lag_s = 9
    sandbox.advance(60)
    sandbox.fault("status", path="/user")

    sandbox.reset()

    assert (sandbox.sage.contacts, sandbox.productive.invoices) == seed
    assert sandbox.sage.invoices == {}
    assert (sandbox.search_lag_s, sandbox.clock.offset_s, sandbox.calls()) == (0, 0, [])
    assert sage("GET", "/user").status_code == 401
