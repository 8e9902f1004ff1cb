"""Many documents at once: selected, planned, agreed to, reported, and tried again."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, forget, writes
from tests.harness.processes import Hold, kill, share_the_keyring, started

OTHERS = ("--no-tax", "--no-pdf")
YES = ("copy-invoice", "--all-uncopied", "--yes", *OTHERS)


def posted(sandbox: Sandbox, path: str) -> int:
    return sum(call == f"POST {path}" for call in writes(sandbox))


def uncopied(psage: Psage, *more: str) -> set[str]:
    """What the register says is not copied, of invoices."""
    rows = psage("list", "--not-copied", "--json", *more).json["documents"]
    return {str(row["productive_id"]) for row in rows if row["kind"] == "invoice"}


@pytest.fixture
def consenting(answers: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody at a terminal who says yes; what they were asked."""
    asked: list[str] = []

    def confirm(question: str, **_more: Any) -> bool:
        asked.append(question)
        return True

    monkeypatch.setattr(typer, "confirm", confirm)
    return asked


# --- what is selected


def test_every_invoice_without_a_copy_is_copied_once(services: Sandbox, psage: Psage) -> None:
    open_ones = uncopied(psage)

    first = psage(*YES, "--json")
    again = psage(*YES, "--json")

    created = {one["productive_id"] for one in first.results if one["action"] == "created"}
    refused = {one["productive_id"] for one in first.results if one["action"] == "refused"}
    assert created | refused == open_ones | {"108"}  # in yen, which the list cannot show
    assert len(created) > 5
    for key in created:
        assert len(copies(services, key)) == 1
    assert {one["productive_id"] for one in again.results} == refused


def test_a_month_and_a_company_narrow_it(services: Sandbox, psage: Psage) -> None:
    wanted = uncopied(psage, "--month", "2026-02", "--company", "Juniper Street Coffee Ltd")

    result = psage(
        *YES, "--month", "2026-02", "--company", "juniper street coffee ltd", "--dry-run", "--json"
    )

    assert {one["productive_id"] for one in result.results} == wanted != set()
    assert writes(services) == []


def test_the_oldest_come_first_and_no_more_than_the_limit(services: Sandbox, psage: Psage) -> None:
    rows = psage("list", "--not-copied", "--json").json["documents"]
    oldest = sorted(row["date"] for row in rows if row["kind"] == "invoice" and row["date"])[:2]

    result = psage(*YES, "--limit", "2", "--dry-run", "--json")

    dates = {row["productive_id"]: row["date"] for row in rows}
    assert [dates[one["productive_id"]] for one in result.results] == oldest


def test_what_is_copied_already_is_not_selected(services: Sandbox, psage: Psage) -> None:
    assert psage("copy-invoice", "123", *OTHERS).code == 0
    services.clear_calls()

    psage(*YES, "--company", "Juniper Street Coffee Ltd")

    assert len(copies(services, "123")) == 1


def test_nothing_left_is_said_and_is_no_failure(services: Sandbox, psage: Psage) -> None:
    result = psage(*YES, "--month", "2020-01")

    assert (result.code, result.out) == (0, "no invoice of these is left to copy\n")


def test_credit_notes_are_selected_by_their_own_command(services: Sandbox, psage: Psage) -> None:
    assert psage("copy-invoice", "111", *OTHERS).code == 0

    result = psage("credit-note", "--all-uncopied", "--yes", "--no-pdf", "--json")

    assert "110" in {one["productive_id"] for one in result.results if one["action"] == "created"}
    assert {call for call in writes(services) if call == "POST /sales_invoices"} == {
        "POST /sales_invoices"
    }
    assert posted(services, "/sales_invoices") == 1


# --- who agrees


def test_a_script_has_to_say_yes(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "--all-uncopied", *OTHERS, "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "input_needed")
    assert "--yes" in result.json["error"]["hint"]
    assert writes(services) == []


def test_a_person_sees_the_plan_and_agrees_before_anything_is_sent(
    services: Sandbox, psage: Psage, consenting: list[str]
) -> None:
    command = ("copy-invoice", "--all-uncopied", "--month", "2026-02", "--create-customer")

    result = psage(*command, *OTHERS)

    assert len(consenting) == 1
    assert consenting[0].startswith("Copy ")
    plan = result.err
    assert "INV-2026-023" in plan
    assert "(new)" in plan
    assert "would be copied" in plan
    assert "; takes about 1 minute\n" in plan
    assert posted(services, "/sales_invoices") > 1


def _many(services: Sandbox, count: int) -> None:
    company = services.agency.add_company("Copper Kettle")
    for n in range(count):
        services.agency.add_invoice(company_id=company, lines=[{"unit_price": f"{n + 10}.00"}])


DRY = ("copy-invoice", "--all-uncopied", "--company", "Copper Kettle", "--dry-run")


@pytest.mark.parametrize(("count", "more"), [(3, ()), (4, ("--verbose",))])
def test_a_dry_run_of_a_few_shows_every_line(
    services: Sandbox, psage: Psage, count: int, more: tuple[str, ...]
) -> None:
    _many(services, count)

    result = psage(*DRY, *more)

    assert result.out.count("Sales - Services (4010)") >= count
    assert "the lines of each" not in result.err
    assert result.err.count("Productive shows") == count


def test_a_dry_run_of_many_has_a_row_for_each_and_says_how_to_see_the_lines(
    services: Sandbox, psage: Psage
) -> None:
    _many(services, 12)

    result = psage(*DRY)
    told = psage(*DRY, "--json")

    assert result.out.count("would be copied") == 13  # and once in the sum
    assert "Sales - Services" not in result.out
    assert "the lines of each: `--verbose`, or a dry run of 3 or fewer by name" in result.err
    (warned,) = [one for one in result.err.splitlines() if one.startswith("warning")]
    assert warned.endswith("Productive shows … GBP tax, the copy … GBP")
    # A script is told all of it.
    assert all(len(one["would_send"]) >= 1 for one in told.results)
    assert {one["warnings"][0]["message"] for one in told.results} >= {
        "Productive shows 2.00 GBP tax, the copy 0.00 GBP"
    }


def test_a_person_who_says_no_sends_nothing(
    services: Sandbox, psage: Psage, answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typer, "confirm", lambda *_args, **_more: False)

    result = psage("copy-invoice", "--all-uncopied", "--create-customer", *OTHERS)

    assert result.code == 4
    assert writes(services) == []


def test_what_was_asked_for_the_plan_is_not_asked_again(
    services: Sandbox, psage: Psage, answers: list[str], consenting: list[str]
) -> None:
    answers += ["1", "1"]  # the customer, and the tax rate

    result = psage(
        "copy-invoice", "--all-uncopied", "--company", "Northwind Traders Ltd", "--no-pdf"
    )

    assert answers == []
    assert result.err.count("Who is billed in Sage for Northwind Traders Ltd?") == 1
    assert posted(services, "/sales_invoices") >= 1


def test_a_customer_two_plans_make_is_made_once(
    services: Sandbox, psage: Psage, consenting: list[str]
) -> None:
    company = services.agency.add_company("Harbour Lights Ltd")
    bills = [
        services.agency.add_invoice(company_id=company, lines=[{"unit_price": "10.00"}])
        for _ in range(3)
    ]

    result = psage(
        "copy-invoice",
        "--all-uncopied",
        "--company",
        "Harbour Lights Ltd",
        "--create-customer",
        *OTHERS,
        "--json",
    )

    assert [len(copies(services, bill)) for bill in bills] == [1, 1, 1]
    assert posted(services, "/contacts") == 1
    assert [one["customer"]["created"] for one in result.results] == [True, False, False]


@pytest.mark.parametrize("is_forgotten", [False, True], ids=["known", "by its marker"])
def test_a_batch_makes_no_second_customer_for_a_company_that_has_one(
    services: Sandbox, psage: Psage, home: Path, is_forgotten: bool
) -> None:
    company, other = map(services.agency.add_company, ("Harbour Lights Ltd", "Pier Two Ltd"))
    first, second, third = (
        services.agency.add_invoice(company_id=one, lines=[{"unit_price": "10.00"}])
        for one in (company, company, other)
    )
    assert psage("copy-invoice", "--id", first, *OTHERS).code == 0
    if is_forgotten:
        forget(home)

    result = psage(*YES, "--create-customer", "--since", "2026-02-02", "--json")

    made = {one["productive_id"]: one["customer"] for one in result.results if one["customer"]}
    assert (made[second]["created"], made[third]["created"]) == (False, True)
    (copy,), (again,) = copies(services, first), copies(services, second)
    assert copy["contact"]["id"] == again["contact"]["id"]


# --- the report


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_report_tells_of_every_document_and_its_failures_are_tried_again(
    services: Sandbox, psage: Psage, tmp_path: Path, ending: str
) -> None:
    report = tmp_path / f"march.{ending}"
    services.fault("status", method="POST", path="/sales_invoices", nth=2, status=422)

    first = psage("copy-invoice", "101", "123", "124", *OTHERS, "--report", str(report), "--json")
    told = read(report)
    again = psage("copy-invoice", "--retry-failed", str(report), "--yes", *OTHERS, "--json")

    assert first.code == 6
    assert [one["productive_id"] for one in told] == ["101", "123", "124"]
    (failed,) = [one["productive_id"] for one in told if one["action"] == "refused"]
    assert [one["productive_id"] for one in again.results] == [failed]
    assert again.code == 0
    for key in ("101", "123", "124"):
        assert len(copies(services, key)) == 1


def read(report: Path) -> list[dict[str, Any]]:
    text = report.read_text(encoding="utf-8-sig")
    if report.suffix == ".csv":
        return list(csv.DictReader(text.splitlines()))
    results: list[dict[str, Any]] = json.loads(text)["results"]
    return results


def test_an_interrupted_run_is_reported_too(
    services: Sandbox, psage: Psage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "march.json"
    services.fault("status", method="POST", path="/sales_invoices", nth=2, times=99, status=401)

    psage("copy-invoice", "101", "123", "124", *OTHERS, "--report", str(report))

    assert [one["action"] for one in read(report)][:1] == ["created"]
    assert len(read(report)) == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [("report.txt", "ends neither"), ("nowhere/report.csv", "cannot be written")],
)
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_sent(
    services: Sandbox, psage: Psage, tmp_path: Path, name: str, words: str
) -> None:
    result = psage("copy-invoice", "123", *OTHERS, "--report", str(tmp_path / name))

    assert result.code == 2
    assert words in result.err
    assert writes(services) == []


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"results": [1]}', "a,b\n1,2\n"])
@pytest.mark.parametrize("ending", ["csv", "json"])
def test_what_is_no_report_is_refused(
    services: Sandbox, psage: Psage, tmp_path: Path, content: str, ending: str
) -> None:
    report = tmp_path / f"x.{ending}"
    report.write_text(content)

    result = psage("copy-invoice", "--retry-failed", str(report), "--yes", *OTHERS)

    assert (result.code, "is no report of psage" in result.err) == (2, True)
    assert writes(services) == []


# --- what does not go together


@pytest.mark.parametrize(
    "words",
    [
        ("123", "--all-uncopied"),
        ("123", "--month", "2026-02"),
        ("--month", "2026-02"),
        ("--all-uncopied", "--month", "2026-02", "--since", "2026-02-01"),
        ("--all-uncopied", "--since", "2026-03-01", "--until", "2026-02-01"),
        ("--all-uncopied", "--retry-failed", "x.csv"),
        ("--all-uncopied", "--month", "March"),
        (),
    ],
)
def test_a_selection_that_says_two_things_is_a_usage_error(
    services: Sandbox, psage: Psage, words: tuple[str, ...]
) -> None:
    result = psage("copy-invoice", *words, "--yes", *OTHERS, "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "usage")
    assert writes(services) == []


# --- several under way at once


def bills(services: Sandbox, psage: Psage, count: int) -> list[str]:
    """Invoices with PDFs for a customer that Sage has."""
    company = services.agency.add_company("Harbour Lights Ltd")
    wanted = [
        services.agency.add_invoice(company_id=company, lines=[{"unit_price": "10.00"}])
        for _ in range(count + 1)
    ]
    for key in wanted:
        services.agency.set_pdf(key, b"%PDF-1.4 of " + key.encode())
    first, *others = wanted
    assert psage("copy-invoice", "--id", first, "--no-tax").code == 0
    services.clear_calls()
    services.posts_at_once.clear()
    return others


@pytest.mark.parametrize("pdf", ["productive", "sage"])
def test_while_one_is_sent_others_are_followed_up_but_no_two_posts_to_one_resource_overlap(
    services: Sandbox, psage: Psage, home: Path, pdf: str
) -> None:
    keys = bills(services, psage, 8)
    with (home / "default.toml").open("a") as settings:
        settings.write(f'pdf = "{pdf}"\n')
    services.latency_ms = 20
    for side in ("sage", "productive"):
        services.fault(
            "slow", service=side, method="POST", path="/attachments", times=99, seconds=0.05
        )

    result = psage("copy-invoice", "--id", *keys, "--no-tax", "--json")

    services.latency_ms = 0
    assert result.code == 0
    assert [one["pdf"]["attached"] for one in result.results] == [True] * 8
    assert len(services.posts_at_once) > 1
    assert set(services.posts_at_once.values()) == {1}
    order = [f"{call.method} {call.path.rstrip('0123456789')}" for call in services.calls()]
    last_post = len(order) - 1 - order[::-1].index("POST /sales_invoices")
    assert order.index("POST /attachments") < last_post  # else followed up after all are sent


def test_numbers_and_outcomes_are_in_the_order_asked_for(services: Sandbox, psage: Psage) -> None:
    keys = bills(services, psage, 8)[::-1]
    services.fault("slow", service="productive", path="/invoices/", seconds=0.2)

    result = psage("copy-invoice", "--id", *keys, "--no-tax", "--json")

    numbers = [int(one["sage_number"].rpartition("-")[2]) for one in result.results]
    assert [one["productive_id"] for one in result.results] == keys
    assert numbers == sorted(numbers)


def test_a_document_named_twice_is_copied_once(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "123", "INV-2026-023", *OTHERS, "--json")

    assert [one["action"] for one in result.results] == ["created", "refused"]
    assert result.results[1]["error"]["code"] == "already_copied"
    assert len(copies(services, "123")) == 1


@pytest.mark.parametrize("is_agreed", [False, True])
def test_of_two_credit_notes_for_one_invoice_one_is_copied(
    services: Sandbox, psage: Psage, request: pytest.FixtureRequest, is_agreed: bool
) -> None:
    parent = services.agency.add_invoice(company_id=507, lines=[{"unit_price": "10.00"}])
    for _ in range(2):
        services.agency.add_invoice(
            company_id=507,
            lines=[{"unit_price": "10.00", "quantity": -1}],
            credits_invoice=parent,
        )
    assert psage("copy-invoice", "--id", parent, *OTHERS).code == 0
    if is_agreed:
        request.getfixturevalue("consenting")
    services.fault("slow", method="POST", path="/sales_credit_notes", seconds=0.5)

    result = psage(
        *("credit-note", "--all-uncopied", "--company", "507", "--no-pdf", "--json"),
        *([] if is_agreed else ["--yes"]),
    )

    assert [one["action"] for one in result.results] == ["created", "refused"]
    assert len(services.sage.credit_notes) == 1


def test_where_the_sign_in_is_lost_nothing_more_is_tried(services: Sandbox, psage: Psage) -> None:
    keys = bills(services, psage, 8)
    services.fault("status", method="POST", path="/sales_invoices", nth=3, times=99, status=401)

    result = psage("copy-invoice", "--id", *keys, "--no-tax", "--json")

    assert [one["action"] for one in result.results] == ["created"] * 2 + ["failed"] * 6
    assert all("was not tried" in one["error"]["message"] for one in result.results[3:])
    assert [len(copies(services, key)) for key in keys] == [1, 1, 0, 0, 0, 0, 0, 0]


def test_what_one_cause_stopped_is_told_in_one_sentence_that_names_each(
    services: Sandbox, psage: Psage
) -> None:
    keys = bills(services, psage, 8)
    numbers = [str(services.productive.invoices[key]["number"]) for key in keys]
    services.fault("status", method="POST", path="/sales_invoices", nth=3, times=99, status=401)

    told = psage("copy-invoice", "--id", *keys, "--no-tax")

    (said,) = [line for line in told.err.splitlines() if "was not tried" in line]
    assert said.startswith(f"error: 5 invoices ({', '.join(numbers[3:])}): each was not tried: ")
    assert sum(line.startswith("error:") for line in told.err.splitlines()) == 2


def test_what_was_not_tried_names_the_cause_and_no_other_document(
    services: Sandbox, psage: Psage
) -> None:
    keys = bills(services, psage, 3)
    number = str(services.productive.invoices[keys[0]]["number"])
    assert psage("copy-invoice", "--id", *keys, "--no-tax", "--no-pdf", "--draft").code == 0
    release = "/sales_invoices/*/release"
    services.fault("status", method="POST", path=release, times=99, status=401)

    told = psage("release", "--all", "--yes", "--json")

    assert [one["action"] for one in told.results] == ["failed"] * 3
    assert all("was not tried: the sign" in one["error"]["message"] for one in told.results[1:])
    assert not any(number in one["error"]["message"] for one in told.results[1:])


def test_one_refusal_of_several_is_told_once_although_each_request_has_a_name_of_its_own(
    services: Sandbox, psage: Psage
) -> None:
    keys = bills(services, psage, 3)
    services.fault(
        *("status",),
        service="productive",
        method="PATCH",
        times=99,
        status=429,
        headers={"Retry-After": "600"},
    )

    told = psage("copy-invoice", "--id", *keys, "--no-tax", "--no-pdf")

    (said,) = [line for line in told.err.splitlines() if "could not be marked" in line]
    assert said.startswith("warning: 3 invoices (")


def test_a_new_customer_is_marked_as_one_however_narrow_the_terminal(
    services: Sandbox, psage: Psage, consenting: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "The Very Long Harbour Lights And Rescue Company Ltd"
    company = services.agency.add_company(name)
    services.agency.add_invoice(company_id=company, lines=[{"unit_price": "10.00"}])
    monkeypatch.setenv("COLUMNS", "52")

    flags = ("--company", name, "--create-customer", *OTHERS)
    result = psage("copy-invoice", "--all-uncopied", *flags)

    (row,) = [line for line in result.err.splitlines() if "The Very" in line and "GBP" in line]
    assert "... (new)" in row


def test_what_differs_by_its_amounts_alone_is_one_warning_after_a_batch_too(
    services: Sandbox, psage: Psage, tmp_path: Path
) -> None:
    company, report = services.agency.add_company("Harbour Lights Ltd"), tmp_path / "march.csv"
    keys = [
        services.agency.add_invoice(company_id=company, lines=[{"unit_price": f"{n}.00"}])
        for n in (10, 20, 30, 40, 50, 60)
    ]
    psage("configure", "--pdf", "sage")

    told = psage("copy-invoice", "--id", *keys, "--no-pdf", "--report", str(report))

    (said,) = [line for line in told.err.splitlines() if line.startswith("warning:")]
    assert said.startswith("warning: 6 invoices (")
    figures = [f"Productive shows {n}.00 GBP tax" for n in (2, 4, 6, 8, 10, 12)]
    assert all(one in row["warnings"] for one, row in zip(figures, read(report), strict=True))


# --- killed


@pytest.fixture
def apart(sandbox: Sandbox, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share_the_keyring(sandbox, tmp_path, monkeypatch)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 3])
def test_a_batch_killed_at_a_posting_is_continued_by_the_same_command(
    apart: None, services: Sandbox, psage: Psage, nth: int, when: str
) -> None:
    command = (*YES, "--company", "Harbour Lights Ltd")
    company = services.agency.add_company("Harbour Lights Ltd")
    wanted = [
        services.agency.add_invoice(company_id=company, lines=[{"unit_price": "10.00"}])
        for _ in range(4)
    ]
    posting = Hold(services, nth, method="POST", path="/sales_invoices", when=when)
    with posting as hold, started(*command) as process:
        hold.reached(process)
        kill(process)
        hold.lose()

    result = psage(*command, "--json")

    assert result.code == 0
    assert [len(copies(services, key)) for key in wanted] == [1] * len(wanted)
