"""list and open: the register of what is copied and what is not, and the way to a document."""

import csv
import io
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import ORGANIZATION_ID, Sandbox
from tests.conftest import Psage, copies, forget, writes


@pytest.fixture
def copied(services: Sandbox, psage: Psage) -> Sandbox:
    """Two invoices have a copy."""
    assert psage("copy-invoice", "101", "123", "--tax-rate", "GB_STANDARD", "--no-pdf").code == 0
    services.clear_calls()
    return services


def listed(psage: Psage, *flags: str) -> dict[str, dict[str, Any]]:
    result = psage("list", *flags, "--json")
    assert result.code == 0, result.out
    return {one["productive_id"]: one for one in result.json["documents"]}


def test_every_document_is_listed_with_its_copy_and_its_amounts(
    copied: Sandbox, psage: Psage
) -> None:
    rows = listed(psage)

    (copy,) = copies(copied, "123")
    shown = copied.productive.invoices
    assert rows.keys() == {key for key, row in shown.items() if row["currency"] != "JPY"}
    one = rows["123"]
    assert one["number"] == "INV-2026-023"
    assert (one["state"], one["sage_number"]) == ("copied", copy["displayed_as"])
    assert one["sage_id"] == copy["id"]
    assert one["customer"] == "Juniper Street Coffee Ltd"
    assert (one["date"], one["due"]) == ("2026-02-09", "2026-03-11")
    assert (one["total"], one["paid"], one["open"]) == ("2492.73", "0.00", "2492.73")
    assert (rows["124"]["state"], rows["124"]["sage_number"]) == ("not_copied", None)
    assert writes(copied) == []
    assert copied.calls("sage", "GET", "/sales_invoices") == []


def test_the_totals_of_each_currency_are_those_of_the_rows(copied: Sandbox, psage: Psage) -> None:
    content = psage("list", "--json").json

    for total in content["totals"]:
        of_it = [one for one in content["documents"] if one["currency"] == total["currency"]]
        assert total["count"] == len(of_it)
        for name in ("total", "paid", "open"):
            assert Decimal(total[name]) == sum(Decimal(one[name]) for one in of_it)
    assert {one["currency"] for one in content["totals"]} > {"GBP"}


@pytest.mark.parametrize(
    ("flags", "state"),
    [(("--not-copied",), "not_copied"), (("--copied",), "copied"), (("--waiting",), "waiting")],
)
def test_a_state_is_chosen(
    copied: Sandbox, psage: Psage, flags: tuple[str, ...], state: str
) -> None:
    copied.fault("status", service="productive", method="PATCH", path="/invoices", times=9)
    assert psage("copy-invoice", "124", "--no-tax", "--no-pdf").code == 0

    rows = listed(psage, *flags)

    assert {one["state"] for one in rows.values()} == {state}
    assert ("124" in rows, "123" in rows) == (state == "waiting", state == "copied")
    assert state != "waiting" or rows["124"]["note"]


def test_a_draft_is_neither_copied_nor_to_be_copied(services: Sandbox, psage: Psage) -> None:
    bill = services.agency.add_invoice(
        company_id=507, lines=[{"unit_price": "20.00"}], finalized=False
    )

    assert listed(psage)[bill]["state"] == "draft"
    assert bill not in listed(psage, "--not-copied")


def test_a_month_a_time_and_a_company_are_chosen(services: Sandbox, psage: Psage) -> None:
    rows = listed(psage)
    days = {key: one["date"] for key, one in rows.items()}

    assert listed(psage, "--month", "2026-02").keys() == {
        key for key, day in days.items() if day and day.startswith("2026-02")
    }
    some = listed(psage, "--since", "2026-02-05", "--until", "2026-02-09")
    assert some.keys() == {
        k for k, day in days.items() if "2026-02-05" <= (day or "") <= "2026-02-09"
    }
    for company in ("507", "juniper street coffee ltd"):
        assert {one["customer"] for one in listed(psage, "--company", company).values()} == {
            "Juniper Street Coffee Ltd"
        }


def test_an_unknown_company_proposes_what_comes_near(services: Sandbox, psage: Psage) -> None:
    result = psage("list", "--company", "Juniper Street Cofee", "--json")

    assert (result.code, result.json["error"]["code"]) == (4, "not_found")
    assert "`Juniper Street Coffee Ltd`" in result.json["error"]["hint"]


@pytest.mark.parametrize(
    "flags",
    [
        ("--month", "2026-13"),
        ("--month", "March"),
        ("--month", "2026-02", "--since", "2026-02-01"),
        ("--since", "2026-03-01", "--until", "2026-02-01"),
        ("--copied", "--waiting"),
        ("--json", "--format", "csv"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_chosen_is_a_wrong_usage(
    services: Sandbox, psage: Psage, flags: tuple[str, ...]
) -> None:
    result = psage("list", *flags)

    assert (result.code, result.out) == (2, "") or "--json" in flags


def test_a_sheet_has_the_same_rows_as_numbers(copied: Sandbox, psage: Psage) -> None:
    result = psage("list", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(result.out.lstrip("\ufeff"))))
    (one,) = [row for row in rows if row["number"] == "INV-2026-023"]
    assert (one["total"], one["currency"], one["state"]) == ("2492.73", "GBP", "copied")
    assert len(rows) == len(listed(psage))


def test_sage_is_asked_where_somebody_wants_to_know(copied: Sandbox, psage: Psage) -> None:
    (copy,), (gone,) = copies(copied, "123"), copies(copied, "101")
    copied.bookkeeper.pay(copy["id"], "100.00", "2026-03-01")
    copied.bookkeeper.void(gone["id"])

    rows = listed(psage, "--check")

    assert rows["123"]["sage"] == {"total": "2492.73", "open": "2392.73", "state": "part paid"}
    assert rows["101"]["sage"]["state"] == "void"
    assert rows["124"]["sage"] is None


def test_a_document_that_is_in_sage_twice_is_said(copied: Sandbox, psage: Psage) -> None:
    more = ("--create-new", "--no-tax", "--no-pdf", "--customer", "Juniper Street Coffee Ltd")
    assert psage("copy-invoice", "123", *more).code == 0
    first, second = copies(copied, "123")

    told = psage("list", "--check", "--json").json["warnings"]

    (one,) = [one["message"] for one in told if one["code"] == "copied_twice"]
    assert f"{second['displayed_as']} and {first['displayed_as']}" in one
    assert "`psage reconcile` says which to void" in psage("list", "--check").err
    assert "copied_twice" not in psage("list", "--json").out
    copied.bookkeeper.void(first["id"])
    assert "copied_twice" not in psage("list", "--check", "--json").out


def test_credit_notes_are_looked_at_by_pages_too(services: Sandbox, psage: Psage) -> None:
    assert psage("copy-invoice", "111", "--no-tax", "--no-pdf").code == 0
    assert psage("credit-note", "110", "--no-pdf").code == 0
    services.clear_calls()

    rows = listed(psage, "--check")

    assert rows["110"]["sage"]["open"] == "0.00"
    paths = [call.path for call in services.calls("sage")]
    assert sorted(paths) == ["/sales_credit_notes", "/sales_invoices"]


@pytest.mark.parametrize(
    ("month", "said"),
    [("2026-01", "credited, "), ("2026-02", "credited to invoices not listed, ")],
)
def test_what_is_credited_stands_in_the_totals(
    services: Sandbox, psage: Psage, month: str, said: str
) -> None:
    result = psage("list", "--month", month)
    content = psage("list", "--month", month, "--json").json

    (total,) = [one for one in content["totals"] if one["currency"] == "GBP"]
    figures = {name: Decimal(total[name]) for name in ("total", "paid", "open", "credited")}
    assert figures["total"] == figures["paid"] + figures["open"] + figures["credited"]
    assert abs(figures["credited"]) == Decimal("2130.00")
    assert f"2,130.00 {said}" in result.out


def test_what_is_no_copy_any_more_is_said_once(copied: Sandbox, psage: Psage, home: Path) -> None:
    (gone,) = copies(copied, "123")
    copied.bookkeeper.void(gone["id"])
    forget(home)
    psage("list")

    told = psage("list", "--check", "--json").json["warnings"]

    (one,) = [one["message"] for one in told]
    assert "was voided in Sage" in one


@pytest.mark.parametrize("flags", [(), ("--check",)], ids=["plain", "check"])
def test_the_other_of_two_is_the_copy_where_the_one_that_productive_names_is_void(
    copied: Sandbox, psage: Psage, home: Path, flags: tuple[str, ...]
) -> None:
    (first,) = copies(copied, "123")
    books = copied.sage.books()
    record = {**books.table("sales_invoices")[first["id"]], "number": "99"}
    other = books.new("sales_invoice", {k: v for k, v in record.items() if k != "id"})
    books.table("sales_invoices")[other["id"]] = other
    copied.productive.table("invoices")["123"]["attributes"]["export_id"] = other["id"]
    copied.bookkeeper.void(other["id"])
    forget(home)

    result = psage("list", *flags, "--json")

    (row,) = [one for one in result.json["documents"] if one["productive_id"] == "123"]
    assert (row["state"], row["sage_id"]) == ("copied", first["id"])
    assert result.json["warnings"] == []


def test_one_document_that_cannot_be_read_is_named_and_hides_no_other(
    copied: Sandbox, psage: Psage
) -> None:
    copied.agency.edit_invoice("124", currency="JPY")

    result, shown = psage("list", "--json"), psage("list")

    assert result.code == 0
    assert "INV-2026-024" in [one["document"] for one in result.json["unreadable"]]
    assert "123" in {one["productive_id"] for one in result.json["documents"]}
    assert "warning: not listed: invoice `INV-2026-024`" in shown.err


@pytest.mark.parametrize("columns", [120, 100, 80, 60, 40])
def test_no_number_is_folded_and_no_amount_is_cut(
    copied: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")

    lines = re.sub(r"\x1b\[[0-9;]*m", "", psage("list").out).splitlines()

    (at,) = [n for n, line in enumerate(lines) if line.startswith("INV-2026-023")]
    there = "\n".join(lines[at : at + (1 if columns >= 90 else 4)])
    for words in ("SI-", "copied", "2,492.73"):
        assert words in there
    assert all(len(line.rstrip()) <= columns for line in lines)
    narrow = psage("list", "--check").out
    assert "unpaid" in narrow


def test_nothing_to_list_is_said(services: Sandbox, psage: Psage) -> None:
    assert psage("list", "--month", "1999-01").out == "no documents\n"
    assert psage("list", "--month", "9999-12").out == "no documents\n"  # the last there is


# --- open


@pytest.mark.parametrize("word", ["123", "inv-2026-023"])
def test_the_address_of_a_copy_is_given(copied: Sandbox, psage: Psage, word: str) -> None:
    (copy,) = copies(copied, "123")

    result = psage("open", word)

    assert (result.code, result.out.count("\n")) == (0, 1)
    assert copy["id"] in result.out


def test_the_address_in_productive_is_given(copied: Sandbox, psage: Psage) -> None:
    result = psage("open", "INV-2026-024", "--productive", "--json")

    expected = f"https://app.productive.io/{ORGANIZATION_ID}/invoices/124"
    assert result.json["address"] == expected


@pytest.mark.parametrize(
    ("word", "code"), [("INV-2026-024", "invoice_not_copied"), ("INV-1", "not_found")]
)
def test_what_has_no_copy_cannot_be_opened(
    copied: Sandbox, psage: Psage, word: str, code: str
) -> None:
    result = psage("open", word, "--json")

    assert (result.code, result.json["error"]["code"]) == (4, code)
    assert result.json["error"]["hint"]
