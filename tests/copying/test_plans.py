"""A plan is saved, read, and carried out later: exactly as it is, or not at all."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer

from productive_sage.copying.plan import Planner
from productive_sage.sandbox import Sandbox
from productive_sage.signin.vault import Vault
from tests.conftest import (
    MemoryKeyring,
    Psage,
    Result,
    copies,
    first_line,
    forget,
    sage_sign_in,
    writes,
)
from tests.harness import oracle
from tests.harness.interrupts import interrupted_in

PLAIN = ("--no-tax", "--no-pdf")
RATE = ("--tax-rate", "GB_STANDARD", "--no-pdf")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the plan is put; the working folder is not the test's."""
    return tmp_path / "march.json"


@pytest.fixture
def plan(psage: Psage, services: Sandbox, file: Path) -> Callable[..., Result]:
    """Save a plan, which sends nothing."""

    def save(*args: str) -> Result:
        services.clear_calls()
        result = psage(*args, "--plan", str(file), "--json")
        assert writes(services) == []
        return result

    return save


@pytest.fixture
def apply(psage: Psage, services: Sandbox, file: Path) -> Callable[..., Result]:
    def carry_out(*args: str) -> Result:
        services.clear_calls()
        return psage("apply", str(file), "--yes", "--json", *args)

    return carry_out


Run = Callable[..., Result]


def sent(services: Sandbox) -> list[dict[str, Any]]:
    """What psage sent to Sage of documents, as a plan holds it: without the key of a POST."""
    made = []
    for call in services.calls("sage"):
        if call.method != "GET" and call.path.startswith("/sales_"):
            body = json.loads(call.body)
            for content in body.values():
                content.pop("idempotency_id", None)
            made.append({"method": call.method, "path": call.path, "body": body})
    return made


# --- saved, and carried out


def test_a_plan_sends_nothing_and_is_carried_out_exactly(
    services: Sandbox, plan: Run, apply: Run, file: Path
) -> None:
    planned = plan("copy-invoice", "101", "124", *RATE)

    result = apply()

    assert (planned.code, planned.json["plan"]) == (0, str(file))
    assert result.code == 0
    assert [one["action"] for one in result.results] == ["created", "created"]
    made = sent(services)
    would = [one["would_send"][-1] for one in planned.results]
    customer = services.bookkeeper.contact_id("Juniper Street Coffee Ltd")
    would[1]["body"]["sales_invoice"]["contact_id"] = customer  # made by this run
    assert made == would
    assert result.json["command"] == "apply"


def test_the_file_is_for_its_owner_alone(plan: Run, file: Path) -> None:
    plan("copy-invoice", "101", *PLAIN)

    assert file.stat().st_mode & 0o777 == 0o600


def test_a_second_apply_sends_nothing_and_is_no_failure(
    services: Sandbox, plan: Run, apply: Run
) -> None:
    plan("copy-invoice", "101", "123", *PLAIN)
    assert apply().code == 0

    again = apply()

    assert again.code == 0
    assert [one["action"] for one in again.results] == ["unchanged", "unchanged"]
    assert writes(services) == []


def test_what_is_selected_is_planned_too(services: Sandbox, plan: Run, apply: Run) -> None:
    planned = plan("copy-invoice", "--all-uncopied", "--month", "2026-02", *PLAIN)

    result = apply()

    would = {o["productive_id"] for o in planned.results if o["action"] == "would_create"}
    done = {one["productive_id"] for one in result.results if one["action"] == "created"}
    assert would == done != set()


def test_what_the_plan_refused_stays_refused_as_it_was_told(
    services: Sandbox, plan: Run, apply: Run
) -> None:
    planned = plan("copy-invoice", "101", "110", "999999", *PLAIN)
    services.agency.add_invoice(
        id=999999, company_id=501, lines=[{"unit_price": "10.00"}], number="INV-X"
    )

    result = apply()

    assert (planned.code, result.code) == (6, 6)
    errors = {o["productive_id"] or o["number"]: o["error"] for o in planned.results if o["error"]}
    told = {o["productive_id"] or o["number"]: o["error"] for o in result.results if o["error"]}
    assert told == errors
    assert copies(services, "999999") == []


def test_a_plan_of_nothing_is_carried_out_by_doing_nothing(
    services: Sandbox, plan: Run, apply: Run
) -> None:
    plan("copy-invoice", "--all-uncopied", "--month", "2020-01", *PLAIN)

    assert apply().code == 0
    assert writes(services) == []


def test_a_dry_run_says_whether_the_plan_still_holds(
    services: Sandbox, plan: Run, apply: Run
) -> None:
    plan("copy-invoice", "101", "123", *PLAIN)
    services.agency.edit_line(first_line(services, "101"), quantity="99")

    result = apply("--dry-run")

    assert result.code == 6
    assert [one["action"] for one in result.results] == ["refused", "would_create"]
    assert writes(services) == []


def test_one_changed_document_does_not_stop_the_others(
    services: Sandbox, plan: Run, apply: Run
) -> None:
    plan("copy-invoice", "101", "123", "124", *PLAIN)
    services.agency.edit_line(first_line(services, "123"), quantity="99")

    result = apply()

    assert result.code == 6
    assert [one["action"] for one in result.results] == ["created", "refused", "created"]
    assert copies(services, "123") == []


def test_a_report_tells_what_became_of_each(
    services: Sandbox, plan: Run, apply: Run, tmp_path: Path
) -> None:
    report = tmp_path / "report.csv"
    plan("copy-invoice", "101", "110", *PLAIN)

    apply("--report", str(report))

    rows = list(csv.DictReader(report.read_text(encoding="utf-8-sig").splitlines()))
    assert {row["productive_id"]: row["action"] for row in rows} == {
        "101": "created",
        "110": "refused",
    }


# --- what changed since


def edit_first(services: Sandbox, **fields: object) -> None:
    services.agency.edit_line(first_line(services, "101"), **fields)


def the_copy(services: Sandbox, key: str = "101") -> str:
    (row,) = copies(services, key)
    return str(row["id"])


def company(services: Sandbox) -> str:
    return str(services.productive.invoices["101"]["company_id"])


def add_a_double(services: Sandbox) -> None:
    """A second contact with the customer's name: which one it is, only a person can tell."""
    services.bookkeeper.add_contact("Northwind Traders Ltd")


CHANGES: dict[str, tuple[Callable[[Sandbox], object], str]] = {
    "amount of a line": (lambda s: edit_first(s, unit_price="96.00"), "line 1 unit price"),
    "quantity": (lambda s: edit_first(s, quantity="11"), "line 1 quantity"),
    "discount of a line": (lambda s: edit_first(s, discount="10"), "line 1 discount percent"),
    "description": (lambda s: edit_first(s, description="Other work"), "line 1 description"),
    "service type": (lambda s: edit_first(s, service_type_id="302"), "line 1 service type"),
    "tax of a line": (lambda s: edit_first(s, tax_percent=5), "line 1 tax part 1"),
    "one more line": (lambda s: s.agency.add_line(101, unit_price="1.00"), "lines"),
    "a line less": (lambda s: s.agency.delete_line(first_line(s, "101")), "lines"),
    "date": (lambda s: s.agency.edit_invoice(101, invoiced_on="2026-01-16"), "date"),
    "due date": (lambda s: s.agency.edit_invoice(101, pay_on="2026-03-01"), "due date"),
    "discount": (lambda s: s.agency.edit_invoice(101, discount="5"), "discount percent"),
    "number": (lambda s: s.agency.edit_invoice(101, number="INV-2026-901"), "number"),
    "currency": (lambda s: s.agency.edit_invoice(101, currency="EUR"), "currency"),
    "draft": (
        lambda s: s.agency.edit_invoice(101, finalized_on=None, finalized_at=None),
        "finalised",
    ),
    "company": (lambda s: s.agency.edit_invoice(101, company_id="507"), "company"),
    "name": (lambda s: s.agency.edit_company(company(s), name="Northwind plc"), "company name"),
    "tax number": (lambda s: s.agency.edit_company(company(s), vat="GB123456789"), "tax number"),
    "address": (
        lambda s: s.agency.edit_contact_entry(company(s), address="9 New Street"),
        "billing address street",
    ),
    "deleted": (lambda s: s.agency.delete_invoice(101), ""),
    "name in Sage": (
        lambda s: s.bookkeeper.rename_contact(
            s.bookkeeper.contact_id("Northwind Traders Ltd"), "Northwind plc"
        ),
        "",
    ),
    "tax number in Sage": (
        lambda s: s.bookkeeper.edit_contact(
            s.bookkeeper.contact_id("Northwind Traders Ltd"), tax_number="GB123456789"
        ),
        "",
    ),
    "customer gone": (
        lambda s: s.bookkeeper.delete_contact(s.bookkeeper.contact_id("Northwind Traders Ltd")),
        "customer",
    ),
    "customer ambiguous": (add_a_double, ""),
    "rate gone": (lambda s: s.bookkeeper.remove_tax_rate("GB_STANDARD"), ""),
    "account hidden": (
        lambda s: s.bookkeeper.hide_ledger_account(s.bookkeeper.ledger_account_id(4010)),
        "",
    ),
    "period closed": (lambda s: s.bookkeeper.lock_period("2026-06-01"), ""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_named_and_nothing_is_sent(
    services: Sandbox, plan: Run, apply: Run, change: str
) -> None:
    happens, field = CHANGES[change]
    assert plan("copy-invoice", "--id", "101", *RATE).code == 0
    happens(services)

    result = apply()

    error = result.json["error"]
    if change == "deleted":
        assert (result.code, error["code"]) == (4, "not_found")
    else:
        assert (result.code, error["code"]) == (4, "plan_changed")
        assert "when the plan was made" in error["message"]
    fields = [one["field"] for one in error["details"].get("changes", [])]
    assert any(field in one for one in fields) if field else error["hint"]
    assert writes(services) == []
    assert copies(services, "101") == []


def test_both_values_of_what_changed_are_said(services: Sandbox, plan: Run, apply: Run) -> None:
    plan("copy-invoice", "101", *PLAIN)
    edit_first(services, description="Other work")

    error = apply().json["error"]

    assert error["details"]["changes"] == [
        {
            "where": "Productive",
            "field": "line 1 description",
            "then": "Design",
            "now": "Other work",
        }
    ]
    assert "line 1 description in Productive: then Design, now Other work" in error["message"]


@pytest.mark.parametrize("content", ["as planned", "otherwise"])
def test_a_copy_made_elsewhere_meanwhile_is_linked_or_told(
    services: Sandbox, psage: Psage, plan: Run, apply: Run, home: Path, content: str
) -> None:
    plan("copy-invoice", "101", *PLAIN)
    other = PLAIN if content == "as planned" else RATE
    assert psage("copy-invoice", "101", *other).code == 0
    forget(home)

    result = apply()

    if content == "as planned":
        assert (result.code, result.only["action"]) == (0, "adopted")
    else:
        assert (result.code, result.json["error"]["code"]) == (4, "plan_changed")
        assert "total" in result.json["error"]["message"]
    assert not any(call.startswith("POST /sales") for call in writes(services))
    assert len(copies(services, "101")) == 1


@pytest.mark.parametrize("what", ["customer", "date"])
def test_a_copy_made_meanwhile_for_another_customer_or_day_is_told(
    services: Sandbox, psage: Psage, plan: Run, apply: Run, what: str
) -> None:
    plan("copy-invoice", "101", *PLAIN)
    other = services.bookkeeper.add_contact("Quay Holdings", reference="QUAY")
    customer = ("--customer", other) if what == "customer" else ()
    if what == "date":
        services.agency.edit_invoice(101, invoiced_on="2026-01-16")
    assert psage("copy-invoice", "101", *PLAIN, *customer).code == 0

    result = apply()

    assert (result.code, result.json["error"]["code"]) == (4, "plan_changed")
    assert f"{what} of SI-1" in result.json["error"]["message"]


@pytest.mark.parametrize("what", ["void", "paid less"])
def test_a_copy_made_by_the_plan_and_changed_since_is_told(
    services: Sandbox, plan: Run, apply: Run, what: str
) -> None:
    plan("copy-invoice", "101", *PLAIN)
    assert apply().code == 0
    if what == "void":
        services.bookkeeper.void(the_copy(services))
    else:
        services.bookkeeper.edit_invoice(the_copy(services), unit_price="1.00")

    result = apply()

    assert (result.code, result.json["error"]["code"]) == (4, "plan_changed")
    assert writes(services) == []
    assert len(copies(services, "101")) == 1


SETTINGS = {
    "default_ledger_account": ("--default-ledger", "4000"),
    "numbering": ("--numbering", "productive"),
    "pdf": ("--pdf", "sage"),
    "default_tax_rate": ("--default-tax-rate", "GB_STANDARD"),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_other_settings_refuse_the_whole_plan(
    services: Sandbox, psage: Psage, plan: Run, apply: Run, setting: str
) -> None:
    plan("copy-invoice", "101", "123", *PLAIN)
    assert psage("configure", *SETTINGS[setting], "--no-input").code == 0

    result = apply()

    assert (result.code, result.json["error"]["code"]) == (4, "plan_changed")
    assert setting.replace("_", " ") in result.json["error"]["message"]
    assert writes(services) == []


def test_another_tax_scheme_refuses_the_whole_plan(
    services: Sandbox, plan: Run, apply: Run
) -> None:
    plan("copy-invoice", "101", "123", *PLAIN)
    services.bookkeeper.set_tax_scheme("NOT_REGISTERED")

    result = apply()

    assert (result.code, result.json["error"]["code"]) == (4, "plan_changed")
    assert "tax scheme" in result.json["error"]["message"]
    assert writes(services) == []


def test_settings_on_which_no_copy_hangs_may_change(
    services: Sandbox, psage: Psage, plan: Run, apply: Run
) -> None:
    plan("copy-invoice", "101", *PLAIN)
    command = ("configure", "--sync-payments", "--sync-payments-from", "2026-01-01", "--no-input")
    assert psage(*command).code == 0

    assert apply().code == 0


def another(services: Sandbox, company_id: str = "501") -> str:
    return services.agency.add_invoice(company_id=company_id, lines=[{"unit_price": "10.00"}])


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        ({"name": "Northwind plc"}, "customer name"),
        ({"address_line_1": ""}, ""),
        ({"country_id": "IE"}, "customer country"),
        ({"tax_number": "GB123456789"}, ""),
    ],
)
def test_a_known_customer_that_changed_in_sage_is_named(
    services: Sandbox, psage: Psage, plan: Run, apply: Run, edit: dict[str, str], field: str
) -> None:
    assert psage("copy-invoice", "101", *RATE).code == 0  # the facts of the day are known
    key = another(services)
    plan("copy-invoice", "--id", key, "--no-tax", "--no-pdf")
    services.bookkeeper.edit_contact(
        services.bookkeeper.contact_id("Northwind Traders Ltd"), **edit
    )

    result = apply()

    error = result.json["error"]
    assert (result.code, error["code"]) == (4, "plan_changed")
    assert field in [one["field"] for one in error["details"]["changes"]] or not field
    assert writes(services) == []


def test_what_changed_before_the_plan_is_in_the_plan(
    services: Sandbox, psage: Psage, plan: Run, apply: Run
) -> None:
    assert psage("copy-invoice", "101", *RATE).code == 0  # the facts of the day are known
    customer = services.bookkeeper.contact_id("Northwind Traders Ltd")
    services.bookkeeper.rename_contact(customer, "Northwind plc")

    planned = plan("copy-invoice", "--id", another(services), *RATE)

    assert planned.only["customer"]["name"] == "Northwind plc"
    assert apply().code == 0


def test_a_warning_that_the_plan_did_not_have_refuses_the_document(
    services: Sandbox, plan: Run, apply: Run
) -> None:
    plan("copy-invoice", "101", *PLAIN)
    services.bookkeeper.lock_period("2026-01-15")  # the day of the invoice itself

    result = apply()

    (change,) = result.json["error"]["details"]["changes"]
    assert (change["where"], change["now"]) == ("what is warned of", "date_at_lock")
    assert writes(services) == []


def test_a_customer_that_goes_while_the_plan_is_carried_out_is_replaced_by_no_other(
    services: Sandbox, plan: Run, apply: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plan("copy-invoice", "101", *PLAIN).code == 0

    def late(_told: object) -> None:
        customer = services.bookkeeper.contact_id("Northwind Traders Ltd")
        services.bookkeeper.delete_contact(customer)

    monkeypatch.setattr("productive_sage.cli.apply._agreed", late)

    result = apply()

    assert result.code == 4
    assert copies(services, "101") == []
    assert "POST /contacts" not in writes(services)


MAP = '[tax.map]\n"VAT 20%" = "GB_STANDARD"\n"5" = "Lower Rate 5.00%"\n'


def test_taxes_line_by_line_and_words_of_a_template_are_of_the_plan(
    services: Sandbox, plan: Run, apply: Run, home: Path
) -> None:
    with (home / "default.toml").open("a") as settings:
        settings.write(f'reference = "{{number}} {{purchase_order}}"\n{MAP}')
    services.agency.edit_line(first_line(services, "101"), tax_percent=5)
    services.agency.edit_invoice(101, purchase_order_number="PO-7")
    planned = plan("copy-invoice", "101", "--no-pdf")

    first = apply()
    made, again = sent(services), apply()

    assert (first.code, again.code) == (0, 0)
    assert made == planned.only["would_send"]
    lines = made[0]["body"]["sales_invoice"]["invoice_lines"]
    assert len({line["tax_rate_id"] for line in lines}) == 2


def test_another_map_of_taxes_refuses_the_whole_plan(
    services: Sandbox, plan: Run, apply: Run, home: Path
) -> None:
    settings = home / "default.toml"
    settings.write_text(settings.read_text() + MAP)
    plan("copy-invoice", "101", "--no-pdf")
    settings.write_text(settings.read_text().replace("GB_STANDARD", "GB_LOWER"))

    result = apply()

    assert (result.code, result.json["error"]["code"]) == (4, "plan_changed")
    assert "tax map" in result.json["error"]["message"]
    assert writes(services) == []


# --- updates


@pytest.fixture
def changed(services: Sandbox, psage: Psage) -> Sandbox:
    """Invoice 101 is copied, and changed in Productive since."""
    assert psage("copy-invoice", "101", *PLAIN).code == 0
    edit_first(services, quantity="12")
    return services


UPDATE = ("copy-invoice", "101", "--update-existing", "--no-pdf")


def test_an_update_is_carried_out_exactly_and_once(changed: Sandbox, plan: Run, apply: Run) -> None:
    planned = plan(*UPDATE)

    result = apply()
    (request,) = sent(changed)
    again = apply()

    assert (result.code, result.only["action"]) == (0, "updated")
    assert request == planned.only["would_send"][-1]
    assert (again.code, again.only["action"]) == (0, "unchanged")
    assert writes(changed) == []


COPY_CHANGES: dict[str, tuple[Callable[[Sandbox], object], str]] = {
    "paid": (lambda s: s.bookkeeper.pay(the_copy(s), "100.00", "2026-03-01"), ""),
    "edited": (lambda s: s.bookkeeper.edit_invoice(the_copy(s), description="Mine"), "description"),
    "void": (lambda s: s.bookkeeper.void(the_copy(s)), ""),
    "deleted": (lambda s: s.bookkeeper.delete_invoice(the_copy(s)), ""),
    "in productive": (lambda s: edit_first(s, quantity="13"), "quantity"),
}


@pytest.mark.parametrize("change", COPY_CHANGES)
def test_an_update_of_a_copy_that_changed_since_is_refused(
    changed: Sandbox, plan: Run, apply: Run, change: str
) -> None:
    happens, field = COPY_CHANGES[change]
    plan(*UPDATE)
    happens(changed)

    result = apply()

    error = result.json["error"]
    assert (result.code, error["code"]) == (4, "plan_changed")
    assert field in error["message"]
    assert writes(changed) == []


def test_a_new_copy_is_made_once(services: Sandbox, psage: Psage, plan: Run, apply: Run) -> None:
    assert psage("copy-invoice", "101", *PLAIN).code == 0
    plan("copy-invoice", "101", "--create-new", *PLAIN)

    first, again = apply(), apply()

    assert [first.only["action"], again.only["action"]] == ["created", "unchanged"]
    assert sorted(row["reference"] for row in copies(services, "101")) == ["PRD-101", "PRD-101-2"]


@pytest.mark.parametrize("released", [False, True])
def test_drafts_that_a_plan_leaves_for_review_are_made_once(
    services: Sandbox, psage: Psage, plan: Run, apply: Run, *, released: bool
) -> None:
    planned = plan("copy-invoice", "101", "--draft", *PLAIN)
    first = apply()
    assert sent(services) == planned.only["would_send"]
    if released:
        assert psage("release", "101").code == 0

    again = apply()

    assert [first.only["action"], again.only["action"]] == ["created", "unchanged"]
    assert writes(services) == []
    assert (copies(services, "101")[0]["status"]["id"] == "DRAFT") is not released


# --- new customers


def three_of(services: Sandbox, name: str) -> list[str]:
    key = services.agency.add_company(name)
    return [
        services.agency.add_invoice(company_id=key, lines=[{"unit_price": "10.00"}])
        for _ in range(3)
    ]


@pytest.mark.parametrize("asked", [(), ("--create-customer",)])
def test_a_customer_that_several_documents_need_is_made_once(
    services: Sandbox, plan: Run, apply: Run, asked: tuple[str, ...]
) -> None:
    bills = three_of(services, "Harbour Lights Ltd")
    plan("copy-invoice", *bills, *PLAIN, *asked)
    services.fault("status", method="POST", path="/sales_invoices", nth=2, times=9, status=401)

    first = apply()
    services.clear_faults()
    again = apply()

    assert (first.code, again.code) == (6, 0)
    assert [len(copies(services, bill)) for bill in bills] == [1, 1, 1]
    assert oracle.doubled_customers(services) == set()


def test_a_customer_made_meanwhile_and_edited_is_told(
    services: Sandbox, psage: Psage, plan: Run, apply: Run
) -> None:
    first, second, _ = three_of(services, "Harbour Lights Ltd")
    plan("copy-invoice", second, *PLAIN)
    assert psage("copy-invoice", first, *PLAIN).code == 0
    customer = services.bookkeeper.contact_id("Harbour Lights Ltd")
    services.bookkeeper.rename_contact(customer, "Harbour Lights plc")

    result = apply()

    assert (result.code, result.json["error"]["code"]) == (4, "plan_changed")
    assert "Harbour Lights Ltd (new)" in result.json["error"]["message"]
    assert writes(services) == []


# --- what a person answered


@pytest.fixture
def consenting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody at a terminal who says yes; what they were asked."""
    asked: list[str] = []

    def confirm(question: str, **_more: Any) -> bool:
        asked.append(question)
        return True

    monkeypatch.setattr(typer, "confirm", confirm)
    return asked


def test_what_was_answered_holds_for_whoever_applies_the_plan(
    services: Sandbox, psage: Psage, answers: list[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "Northwind Traders Ltd"
    other = services.bookkeeper.add_contact("Quay Holdings", reference="QUAY")
    # Search for another customer, bill it from now on, and take the second rate.
    answers += ["s", "Quay", "1", "2", "2"]
    keys = ("--id", "101", another(services))
    planned = psage("copy-invoice", *keys, "--no-pdf", "--plan", str(file), "--json")
    assert (planned.code, answers) == (0, [])
    assert {one["customer"]["name"] for one in planned.results} == {"Quay Holdings"}
    shown = psage("apply", str(file), "--show")

    result = psage("apply", str(file), "--yes", "--json")
    again = psage("apply", str(file), "--yes", "--json")

    assert result.code == 0
    assert {one["customer"]["id"] for one in result.results} == {other}
    assert {one["action"] for one in again.results} == {"unchanged"}
    assert f"Who is billed in Sage for {name}?" in shown.out


@pytest.mark.parametrize("beside", [(), ("999999",)])
def test_a_known_customer_may_be_another_for_one_document(
    services: Sandbox, psage: Psage, answers: list[str], file: Path, beside: tuple[str, ...]
) -> None:
    other = services.bookkeeper.add_contact("Quay Holdings", reference="QUAY")
    assert psage("--no-input", "copy-invoice", "101", *PLAIN, "--customer", "NORTH001").code == 0
    answers += ["s", "Quay", "1", "1", "2"] if not beside else ["2"]  # alone, it is asked anyway
    keys = ("--id", another(services), *beside)
    planned = psage("copy-invoice", *keys, "--no-pdf", "--plan", str(file), "--json")

    result = psage("apply", str(file), "--yes", "--json")

    assert answers == []
    assert result.code == planned.code == (6 if beside else 0)
    (billed,) = [one["customer"]["id"] for one in result.results if one["customer"]]
    assert (billed == other) is not bool(beside)


def test_answers_hold_after_half_of_the_plan_was_carried_out(
    services: Sandbox, psage: Psage, answers: list[str], file: Path
) -> None:
    services.bookkeeper.add_contact("Quay Holdings", reference="QUAY")
    answers += ["s", "Quay", "1", "2", "2"]
    keys = ("101", another(services))
    psage("copy-invoice", "--id", *keys, "--no-pdf", "--plan", str(file))
    services.fault("status", method="POST", path="/sales_invoices", nth=2, times=9, status=401)

    first = psage("apply", str(file), "--yes", "--json")
    services.clear_faults()
    again = psage("apply", str(file), "--yes", "--json")

    assert (first.code, again.code) == (6, 0)
    assert [len(copies(services, key)) for key in keys] == [1, 1]


def test_a_question_that_was_not_asked_refuses_the_document(
    services: Sandbox, psage: Psage, answers: list[str], file: Path
) -> None:
    answers += ["1", "1"]
    psage("copy-invoice", "101", "--no-pdf", "--plan", str(file))
    services.bookkeeper.rename_contact(
        services.bookkeeper.contact_id("Northwind Traders Ltd"), "Northwind plc"
    )
    services.clear_calls()

    result = psage("apply", str(file), "--yes", "--json")

    assert (result.code, result.json["error"]["code"]) == (4, "plan_changed")
    assert writes(services) == []


def test_a_person_sees_the_plan_and_agrees_before_it_is_sent(
    services: Sandbox,
    psage: Psage,
    plan: Run,
    answers: list[str],
    consenting: list[str],
    file: Path,
) -> None:
    answers += ["1", "1"]
    assert plan("copy-invoice", "101", "123", *PLAIN).code == 0

    result = psage("apply", str(file))

    assert consenting == ["Copy 2 invoices into Sage?"]
    assert "INV-2026-023" in result.err
    assert result.code == 0


def test_a_script_has_to_say_yes(services: Sandbox, psage: Psage, plan: Run, file: Path) -> None:
    plan("copy-invoice", "101", *PLAIN)

    result = psage("apply", str(file), "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "input_needed")
    assert writes(services) == []


# --- credit notes


def test_a_credit_note_is_carried_out_by_the_same_command(
    services: Sandbox, psage: Psage, plan: Run, apply: Run
) -> None:
    assert psage("copy-invoice", "111", *RATE).code == 0
    planned = plan("credit-note", "110", "--no-pdf")

    result, again = apply(), apply()

    assert planned.code == 0
    assert (result.code, result.only["action"]) == (0, "created")
    assert result.only["allocated"] == planned.only["allocated"]
    assert (again.code, again.only["action"]) == (0, "unchanged")
    assert len(services.sage.credit_notes) == 1


def test_a_credit_note_is_refused_where_the_invoice_was_paid_since(
    services: Sandbox, psage: Psage, plan: Run, apply: Run
) -> None:
    assert psage("copy-invoice", "111", *RATE).code == 0
    plan("credit-note", "110", "--no-pdf")
    services.bookkeeper.pay(the_copy(services, "111"), "10.00", "2026-03-01")

    result = apply()

    assert (result.code, result.json["error"]["code"]) == (4, "plan_changed")
    assert "credited copy open amount" in result.json["error"]["message"]
    assert writes(services) == []


CREDITED: dict[str, tuple[Callable[[Sandbox], object], str]] = {
    "void": (lambda s: s.bookkeeper.void(the_copy(s, "111")), "voided"),
    "deleted": (lambda s: s.bookkeeper.delete_invoice(the_copy(s, "111")), "deleted"),
    "edited": (
        lambda s: s.bookkeeper.edit_invoice(the_copy(s, "111"), description="Mine"),
        "description",
    ),
    "number": (lambda s: s.agency.edit_invoice(110, number="CN-9"), "number"),
    "line": (
        lambda s: s.agency.edit_line(first_line(s, "110"), description="Other"),
        "line 1 description",
    ),
    "date": (lambda s: s.agency.edit_invoice(110, invoiced_on="2026-03-09"), "date"),
    "customer": (
        lambda s: s.bookkeeper.rename_contact(
            str(s.sage.invoices[the_copy(s, "111")]["contact"]["id"]), "Another Ltd"
        ),
        "customer",
    ),
}


@pytest.mark.parametrize("change", CREDITED)
def test_a_credit_note_is_refused_where_it_or_what_it_credits_changed(
    services: Sandbox, psage: Psage, plan: Run, apply: Run, change: str
) -> None:
    happens, words = CREDITED[change]
    assert psage("copy-invoice", "111", *RATE).code == 0
    plan("credit-note", "--id", "110", "--no-pdf")
    happens(services)

    result = apply()

    error = result.json["error"]
    assert (result.code, error["code"]) == (4, "plan_changed")
    assert words in error["message"]
    assert writes(services) == []
    assert services.sage.credit_notes == {}


# --- the file


def spoil(file: Path, how: str) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    if how == "cut short":
        file.write_bytes(file.read_bytes()[:-40])
    elif how == "edited":
        file.write_text(file.read_text(encoding="utf-8").replace("1775.00", "1775.01"))
    elif how == "another version":
        file.write_text(json.dumps({**content, "psage_plan": 2}))
    elif how == "another profile":
        file.write_text(file.read_text(encoding="utf-8"))
    elif how == "gone":
        file.unlink()
    else:
        file.write_text(how)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cut short", "cut short"),
        ("edited", "was changed since"),
        ("another version", "another version"),
        ("gone", "cannot be read"),
        ("", "no plan"),
        ("{}", "no plan"),
        ("[1]", "no plan"),
        ('{"results": []}', "no plan"),
        ("\x00\xff", "no plan"),
    ],
)
@pytest.mark.parametrize("show", [True, False])
def test_what_is_no_plan_or_not_as_it_was_made_is_one_clear_error(
    services: Sandbox, psage: Psage, plan: Run, file: Path, how: str, words: str, show: bool
) -> None:
    plan("copy-invoice", "101", *PLAIN)
    spoil(file, how)

    result = psage("apply", str(file), "--show" if show else "--yes", "--json")

    error = result.json["error"]
    assert (result.code, error["code"]) == (2, "plan_invalid")
    assert words in error["message"]
    assert writes(services) == []


def test_a_file_that_was_only_laid_out_anew_is_the_same_plan(
    services: Sandbox, plan: Run, apply: Run, file: Path
) -> None:
    plan("copy-invoice", "101", *PLAIN)
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")), indent=4))

    assert apply().code == 0


def test_a_plan_is_for_the_profile_it_was_made_for(
    services: Sandbox, psage: Psage, plan: Run, home: Path, file: Path
) -> None:
    plan("copy-invoice", "101", *PLAIN)
    (home / "second.toml").write_bytes((home / "default.toml").read_bytes())

    result = psage("--profile", "second", "apply", str(file), "--yes", "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "plan_invalid")
    assert "profile `default`" in result.json["error"]["message"]


def test_a_plan_is_for_the_business_it_was_made_for(
    services: Sandbox, psage: Psage, plan: Run, file: Path
) -> None:
    plan("copy-invoice", "101", *PLAIN)
    services.bookkeeper.add_business("Other Ltd")
    other = next(
        key
        for key, books in services.sage.data["books"].items()
        if books["business"]["name"] == "Other Ltd"
    )

    Vault("default").save(replace(sage_sign_in(services), business_id=other))

    result = psage("apply", str(file), "--yes", "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "plan_invalid")
    assert writes(services) == []


def test_a_file_that_is_no_plan_is_not_replaced(
    services: Sandbox, psage: Psage, file: Path
) -> None:
    file.write_text("the accountant's own")

    result = psage("copy-invoice", "101", *PLAIN, "--plan", str(file))

    assert result.code == 2
    assert file.read_text() == "the accountant's own"


def test_an_earlier_plan_is_replaced(services: Sandbox, plan: Run, apply: Run) -> None:
    plan("copy-invoice", "101", *PLAIN)
    plan("copy-invoice", "124", *PLAIN)

    assert [one["productive_id"] for one in apply().results] == ["124"]


def test_a_plan_that_no_document_got_past_is_not_saved(
    services: Sandbox, plan: Run, file: Path
) -> None:
    services.fault("status", method="GET", path="/contacts", times=99, status=401)

    result = plan("copy-invoice", "101", "123", *PLAIN)

    assert result.code == 3
    assert not file.exists()


# --- shown


@pytest.mark.parametrize("form", ["table", "csv", "json", "html"])
def test_a_plan_is_shown_without_asking_any_service(
    services: Sandbox,
    psage: Psage,
    plan: Run,
    file: Path,
    form: str,
    memory_keyring: MemoryKeyring,
) -> None:
    plan("copy-invoice", "101", "123", "110", *RATE)
    memory_keyring.entries.clear()
    services.clear_calls()

    result = psage("apply", str(file), "--show", "--format", form)

    assert result.code == 0
    assert services.calls() == []
    for said in ("INV-2026-001", "Northwind Traders Ltd", "Juniper Street Coffee Ltd", "Standard"):
        assert said in result.out
    assert "Sales - Services (4010)" in result.out
    assert "is a credit note" in result.out + result.err


def test_the_page_of_a_plan_stands_by_itself(
    services: Sandbox, psage: Psage, plan: Run, file: Path
) -> None:
    services.agency.edit_line(first_line(services, "101"), description="<script>x</script>")
    plan("copy-invoice", "101", *RATE)

    page = psage("apply", str(file), "--show", "--format", "html").out

    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.isascii()


def test_the_sheet_of_a_plan_adds_up(
    services: Sandbox, psage: Psage, plan: Run, file: Path
) -> None:
    planned = plan("copy-invoice", "101", "123", *RATE)

    out = psage("apply", str(file), "--show", "--format", "csv").out

    rows = list(csv.DictReader(out.lstrip("\ufeff").splitlines()))
    for one in planned.results:
        own = [row for row in rows if row["productive_id"] == one["productive_id"]]
        assert sum(Decimal(row["net"]) + Decimal(row["tax"]) for row in own) == Decimal(
            one["total"]
        )


@pytest.mark.parametrize(
    "words",
    [
        ("--show", "--dry-run"),
        ("--show", "--json", "--format", "csv"),
        ("--format", "csv"),
        ("--show", "--report", "x.csv"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    services: Sandbox, psage: Psage, plan: Run, file: Path, words: tuple[str, ...]
) -> None:
    plan("copy-invoice", "101", *PLAIN)

    result = psage("apply", str(file), "--yes", *words)

    assert result.code == 2
    assert writes(services) == []


def test_a_plan_holds_no_file_of_a_person(
    services: Sandbox, psage: Psage, file: Path, tmp_path: Path
) -> None:
    pdf = tmp_path / "x.pdf"
    pdf.write_bytes(b"%PDF-1.4")

    result = psage("copy-invoice", "101", "--pdf-file", str(pdf), "--plan", str(file))

    assert (result.code, "exclude each other" in result.err) == (2, True)


# --- stopped while it is made


def test_a_plan_that_is_interrupted_is_not_saved_and_the_sentence_says_so(
    services: Sandbox, psage: Psage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "march.json"
    planned = ("copy-invoice", "123", "124", "--no-tax", "--no-pdf")
    interrupted_in(monkeypatch, Planner, "create")

    stopped = psage(*planned, "--plan", str(file), "--json")
    interrupted_in(monkeypatch, Planner, "create")
    dry = psage(*planned, "--dry-run", "--json")

    assert (stopped.code, dry.code) == (130, 130)
    assert (
        stopped.json["error"]["message"] == "interrupted; nothing was sent, and no plan was saved"
    )
    assert dry.json["error"]["message"] == "interrupted; nothing was sent"
    assert not file.exists()
    assert writes(services) == []
