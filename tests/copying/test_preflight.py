"""What is known before anything is sent: every kind of it, alone, in a dry run and in a batch."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, writes
from tests.harness.preflight import (
    BILL,
    PRODUCTIVE_NUMBERS,
    UPDATE,
    bill,
    known,
    refused,
    setting,
    the_next_day,
)

BATCH = ("copy-invoice", "--all-uncopied", "--company", "Copper Kettle", "--no-pdf", "--json")
HOW = {
    "real": ("copy-invoice", BILL, "--no-pdf", "--json"),
    "dry": ("copy-invoice", BILL, "--no-pdf", "--dry-run", "--json"),
    "batch": (*BATCH, "--yes"),
    "plan": (*BATCH, "--dry-run"),
}
Arrange = Callable[[Sandbox, Path], tuple[str, ...] | None]
"""Makes the obstacle, and gives what is added to the command."""


# --- a new copy


def _lock(until: str) -> Arrange:
    def arrange(services: Sandbox, _: Path) -> None:
        bill(services)
        services.bookkeeper.lock_period(until)

    return arrange


def _before_the_start(services: Sandbox, _: Path) -> None:
    bill(services)
    services.sage.books().content["financial"]["accounts_start_date"] = "2026-03-01"


def _taken(services: Sandbox, home: Path) -> None:
    bill(services)
    setting(home, PRODUCTIVE_NUMBERS)
    services.bookkeeper.take_number("INV-900")


def _one_currency(services: Sandbox, _: Path) -> None:
    bill(services, currency="EUR")
    services.sage.books().content["financial"]["multi_currency_enabled"] = False


def _strange_currency(services: Sandbox, _: Path) -> None:
    bill(services, currency="CHF")


def _account_hidden(services: Sandbox, _: Path) -> None:
    bill(services)
    services.bookkeeper.hide_ledger_account(services.bookkeeper.ledger_account_id(4010))


def _account_gone(services: Sandbox, home: Path) -> None:
    bill(services)
    (home / "default.toml").write_text('default_ledger_account = "1234"\n')


def _items(services: Sandbox) -> dict[str, Any]:
    items: dict[str, Any] = services.sage.books().table("services")
    return items


def _item(services: Sandbox, home: Path) -> str:
    key = next(key for key, row in _items(services).items() if row["item_code"] == "DEV")
    kind = next(iter(services.productive.table("service_types")))
    bill(services, lines=[{"unit_price": "100.00", "service_type_id": kind}])
    with (home / "default.toml").open("a") as file:
        file.write(f'[items]\n{kind} = "service:{key}"\n')
    return key


def _item_inactive(services: Sandbox, home: Path) -> None:
    _items(services)[_item(services, home)]["active"] = False


def _item_gone(services: Sandbox, home: Path) -> None:
    del _items(services)[_item(services, home)]


def _rate(name: str) -> Arrange:
    def arrange(services: Sandbox, _: Path) -> tuple[str, ...]:
        bill(services)
        return ("--tax-rate", name)

    return arrange


def _not_registered(services: Sandbox, _: Path) -> tuple[str, ...]:
    bill(services)
    services.bookkeeper.set_tax_scheme("NOT_REGISTERED")
    return ("--tax-rate", "GB_STANDARD")


def _abroad(services: Sandbox, _: Path) -> tuple[str, ...]:
    bill(services, country="France")
    return ("--tax-rate", "GB_STANDARD")


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("arrange", "code", "exit_code"),
    [
        pytest.param(_lock("2026-03-01"), "date_invalid", 4, id="in the locked period"),
        pytest.param(_lock("2026-02-09"), "date_invalid", 4, id="on the last day of it"),
        pytest.param(_before_the_start, "date_invalid", 4, id="before the start"),
        pytest.param(_taken, "number_taken", 4, id="number taken"),
        pytest.param(_one_currency, "currency_not_enabled", 4, id="no foreign currency"),
        pytest.param(_strange_currency, "currency_not_enabled", 4, id="no such currency"),
        pytest.param(_account_hidden, "ledger_account_invalid", 4, id="account hidden"),
        pytest.param(_account_gone, "ledger_account_invalid", 4, id="account gone"),
        pytest.param(_item_inactive, "config_invalid", 2, id="item hidden"),
        pytest.param(_item_gone, "config_invalid", 2, id="item gone"),
        pytest.param(_rate("GB_REDUCED_2020"), "tax_rate_invalid", 4, id="rate ended"),
        pytest.param(_rate("GB_HIDDEN"), "tax_rate_invalid", 4, id="rate hidden"),
        pytest.param(_not_registered, "not_registered_for_tax", 4, id="no VAT"),
        pytest.param(_abroad, "tax_rate_invalid", 4, id="abroad with a rate for home"),
    ],
)
def test_what_sage_would_not_book_is_refused_before_a_customer_is_made(
    services: Sandbox,
    psage: Psage,
    home: Path,
    arrange: Arrange,
    code: str,
    exit_code: int,
    how: str,
) -> None:
    more = arrange(services, home) or ()

    refused(psage(*HOW[how], *more), code, exit_code)

    assert writes(services) == []


@pytest.mark.parametrize("how", HOW)
def test_a_customer_that_bills_another_currency_is_refused(
    services: Sandbox, psage: Psage, home: Path, how: str
) -> None:
    known(services, psage)
    key = services.bookkeeper.contact_id("Copper Kettle")
    services.bookkeeper.edit_contact(key, currency="EUR")
    the_next_day(home)

    error = refused(psage(*HOW[how]), "customer_currency")

    assert "EUR" in error["message"]
    assert "--create-customer" in error["hint"]
    assert writes(services) == []


@pytest.mark.parametrize("how", ["batch", "plan"])
def test_a_number_that_two_documents_of_one_run_have_is_given_to_the_first(
    services: Sandbox, psage: Psage, home: Path, how: str
) -> None:
    first = bill(services)
    company = services.productive.invoices[first]["company_id"]
    services.agency.add_invoice(
        company_id=company, id="901", number="INV-900", lines=[{"unit_price": "1"}], tax_percent=0
    )
    setting(home, PRODUCTIVE_NUMBERS)

    result = psage(*HOW[how])

    codes = sorted(str(one["error"] and one["error"]["code"]) for one in result.results)
    assert (result.code, codes) == (6, ["None", "number_taken"])
    assert len(copies(services, "900")) + len(copies(services, "901")) == (how == "batch")


def test_the_numbers_of_a_batch_are_read_once(services: Sandbox, psage: Psage, home: Path) -> None:
    company = services.agency.add_company("Copper Kettle", country="United Kingdom")
    for _ in range(12):
        services.agency.add_invoice(company_id=company, lines=[{"unit_price": "10.00"}])
    setting(home, PRODUCTIVE_NUMBERS)

    assert psage(*HOW["batch"]).code == 0

    asked = [call.query.get("attributes") for call in services.calls("sage")]
    assert asked.count(NUMBERS) == 1


NUMBERS = ["invoice_number,invoice_number_prefix"]


def test_a_later_run_reads_the_numbers_that_are_new(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    bill(services)
    setting(home, PRODUCTIVE_NUMBERS)
    assert psage(*HOW["dry"]).code == 0
    services.bookkeeper.take_number("INV-900")
    services.clear_calls()

    refused(psage(*HOW["dry"]), "number_taken")

    asked = [one.query for one in services.calls("sage") if one.query.get("attributes") == NUMBERS]
    assert ["updated_or_created_since" in query for query in asked] == [True, False]


def test_a_number_that_was_given_up_in_sage_is_free_at_once(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    bill(services)
    setting(home, PRODUCTIVE_NUMBERS)
    other = services.bookkeeper.take_number("INV-900")
    refused(psage(*HOW["dry"]), "number_taken")
    services.bookkeeper.edit_invoice(other, number="ANOTHER")
    services.sage.books().content["numbers"]["sales_invoices"].remove("INV-900")

    assert psage(*HOW["real"]).code == 0


@pytest.mark.parametrize(
    ("arrange", "most"),
    [
        pytest.param(_lock("2026-03-01"), 2, id="locked period"),
        pytest.param(_account_hidden, 1, id="account hidden"),
        pytest.param(_item_inactive, 1, id="item hidden"),
        pytest.param(_item_gone, 1, id="item gone"),
        pytest.param(_one_currency, 2, id="no foreign currency"),
        pytest.param(_strange_currency, 1, id="no such currency"),
        pytest.param(_taken, 2, id="number taken"),
    ],
)
def test_however_many_are_refused_each_list_is_read_once(
    services: Sandbox, psage: Psage, home: Path, arrange: Arrange, most: int
) -> None:
    arrange(services, home)
    row = services.productive.table("invoices")[BILL]
    said = row["attributes"]
    kind = services.productive.table("line_items")[f"{BILL}001"]["rel"]["service_type"]
    line = {"unit_price": "100.00", "service_type_id": kind}
    for _ in range(11):
        services.agency.add_invoice(
            company_id=row["rel"]["company"],
            number=said["number"],
            currency=said["currency"],
            invoiced_on=said["invoiced_on"],
            lines=[line],
        )
    psage(*HOW["plan"])  # so that some is known of earlier today
    services.clear_calls()

    result = psage(*HOW["plan"])

    reads = Counter(
        call.path
        for call in services.calls("sage")
        if "reference" not in str(call.query) and call.path != "/contacts"
    )
    assert len(result.results) == 12
    assert len({one["error"]["message"][-12:] for one in result.results}) == 1
    assert set(reads.values()) <= set(range(most + 1)), reads
    assert writes(services) == []


# --- what may be refused is a warning, and Sage decides


def _inactive(services: Sandbox, _: Path) -> None:
    key = services.bookkeeper.contact_id("Copper Kettle")
    services.bookkeeper.edit_contact(key, is_active=False)


def _last_day(services: Sandbox, _: Path) -> None:
    services.bookkeeper.lock_period("2026-02-09")


def _moved_abroad(services: Sandbox, _: Path) -> tuple[str, ...]:
    key = services.bookkeeper.contact_id("Copper Kettle")
    services.bookkeeper.edit_contact(key, country_id="FR")
    return ("--tax-rate", "GB_STANDARD")


def _no_vat(services: Sandbox, home: Path) -> None:
    setting(home, 'default_tax_rate = "GB_STANDARD"\n')
    services.bookkeeper.set_tax_scheme("NOT_REGISTERED")


@pytest.mark.parametrize(
    ("arrange", "code", "is_refused"),
    [
        pytest.param(_inactive, "customer_inactive", True, id="customer inactive"),
        pytest.param(_last_day, "date_at_lock", True, id="last day of the locked period"),
        pytest.param(_moved_abroad, "home_rate_abroad", True, id="abroad with a rate for home"),
        pytest.param(lambda _, __: None, "tax_not_mirrored", False, id="tax left out"),
        pytest.param(_no_vat, "default_tax_rate_left_out", False, id="no VAT"),
    ],
)
@pytest.mark.parametrize("how", HOW)
def test_what_is_in_doubt_is_said_and_sage_decides(
    services: Sandbox,
    psage: Psage,
    home: Path,
    arrange: Arrange,
    code: str,
    is_refused: bool,
    how: str,
) -> None:
    known(services, psage)
    more = arrange(services, home) or ()
    the_next_day(home)

    result = psage(*HOW[how], *more)

    sent = how in ("real", "batch")
    assert result.only["action"] == (
        ("refused" if is_refused else "created") if sent else "would_create"
    )
    if not (sent and is_refused):
        assert code in [warning["code"] for warning in result.only["warnings"]]
    assert "POST /contacts" not in writes(services)
    assert len(copies(services, BILL)) == (sent and not is_refused)


def test_an_inactive_customer_is_billed_where_sage_takes_it(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.refuse_inactive = False
    known(services, psage)
    _inactive(services, home)
    the_next_day(home)

    result = psage(*HOW["real"])

    assert (result.code, result.only["action"]) == (0, "created")
    assert "customer_inactive" in [warning["code"] for warning in result.only["warnings"]]
    assert writes(services).count("POST /contacts") == 0


def test_a_customer_mended_in_sage_is_believed_at_once(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    known(services, psage)
    key = services.bookkeeper.contact_id("Copper Kettle")
    services.bookkeeper.edit_contact(key, currency="EUR", is_active=False)
    the_next_day(home)
    refused(psage(*HOW["dry"]), "customer_currency")
    services.bookkeeper.edit_contact(key, currency="GBP")
    (warned,) = [w for w in psage(*HOW["dry"]).only["warnings"] if w["code"].startswith("customer")]
    services.bookkeeper.edit_contact(key, is_active=True)

    result = psage(*HOW["real"])

    assert warned["code"] == "customer_inactive"
    assert (result.code, result.only["action"]) == (0, "created")
    assert "customer_inactive" not in [warning["code"] for warning in result.only["warnings"]]


def test_a_rate_that_was_shown_again_in_sage_is_taken_at_once(
    services: Sandbox, psage: Psage
) -> None:
    bill(services)
    assert psage(*HOW["real"], "--tax-rate", "GB_HIDDEN").code == 4
    services.sage.books().table("tax_rates")["GB_HIDDEN"]["is_visible"] = True

    assert psage(*HOW["real"], "--tax-rate", "GB_HIDDEN").code == 0


# --- an update


def _pay(amount: str) -> Callable[[Sandbox, str], object]:
    return lambda services, copy: services.bookkeeper.pay(copy, amount)


def _allocated(services: Sandbox, copy: str) -> None:
    contact = services.sage.invoices[copy]["contact"]["id"]
    receipt = services.bookkeeper.pay_on_account(contact, "5.00")
    on_account = services.sage.receipts[receipt]["payment_on_account"]["id"]
    services.bookkeeper.allocate(copy, on_account, "5.00")


def _filed(services: Sandbox, _: str) -> None:
    services.bookkeeper.file_vat_return("2026-12-31")


def _closed(services: Sandbox, _: str) -> None:
    services.bookkeeper.lock_period("2026-03-01")


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["real", "dry"])
@pytest.mark.parametrize(
    "arrange",
    [
        pytest.param(_pay("100.00"), id="paid"),
        pytest.param(_pay("1.00"), id="part paid"),
        pytest.param(_allocated, id="allocated"),
        pytest.param(_filed, id="in a filed return"),
        pytest.param(_closed, id="in a closed period"),
    ],
)
def test_a_copy_that_cannot_be_changed_is_refused_before_the_put(
    services: Sandbox,
    psage: Psage,
    arrange: Callable[[Sandbox, str], object],
    flags: tuple[str, ...],
) -> None:
    bill(services)
    assert psage("copy-invoice", BILL, "--no-tax", "--no-pdf").code == 0
    arrange(services, copies(services, BILL)[0]["id"])
    services.agency.add_line(BILL, unit_price="10.00")
    services.clear_calls()

    error = refused(
        psage("copy-invoice", BILL, "--update-existing", "--no-pdf", "--json", *flags),
        "copy_locked",
    )

    assert "either" in error["hint"]
    assert writes(services) == []


def test_an_allocated_credit_note_in_a_closed_period_keeps_its_allocation(
    services: Sandbox, psage: Psage
) -> None:
    assert psage("copy-invoice", "111", "--tax-rate", "GB_STANDARD").code == 0
    assert psage("credit-note", "110").code == 0
    services.bookkeeper.lock_period("2026-12-31")
    lines = services.productive.line_items
    key = next(key for key, row in lines.items() if row["invoice_id"] == "110")
    services.agency.edit_line(key, description="Credited in full")
    services.clear_calls()

    error = refused(psage("credit-note", "110", "--update-existing", "--json"), "copy_locked")

    assert "closed period" in error["message"]
    assert "open the period" in error["hint"]
    assert writes(services) == []


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["real", "dry"])
def test_an_update_to_a_date_the_books_do_not_take_is_refused(
    services: Sandbox, psage: Psage, home: Path, flags: tuple[str, ...]
) -> None:
    bill(services)
    assert psage("copy-invoice", BILL, "--no-tax", "--no-pdf").code == 0
    services.bookkeeper.lock_period("2026-01-31")
    the_next_day(home)
    services.agency.edit_invoice(BILL, invoiced_on="2026-01-20")
    services.clear_calls()

    refused(psage(*UPDATE, *flags), "date_invalid")

    assert writes(services) == []


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["real", "dry"])
def test_an_update_to_an_account_that_is_hidden_is_refused(
    services: Sandbox, psage: Psage, home: Path, flags: tuple[str, ...]
) -> None:
    key = _item(services, home)
    settings = (home / "default.toml").read_text()
    (home / "default.toml").write_text(settings.partition("[items]")[0])
    assert psage("copy-invoice", BILL, "--no-tax", "--no-pdf").code == 0
    (home / "default.toml").write_text(settings)
    account = _items(services)[key]["ledger_account_id"]
    services.bookkeeper.hide_ledger_account(account)
    kind = settings.rpartition("[items]")[2].split()[0]
    services.agency.add_line(BILL, unit_price="10.00", service_type_id=kind)
    the_next_day(home)
    services.clear_calls()

    refused(psage(*UPDATE, *flags), "ledger_account_invalid")

    assert writes(services) == []
