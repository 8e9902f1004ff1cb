"""reconcile: both books side by side, over real HTTP."""

import csv
import io
import shlex
import sys
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import filelock
import pytest

from productive_sage import __version__, history
from productive_sage.reconcile import reading
from productive_sage.sandbox import Sandbox
from productive_sage.sandbox.books import Books
from tests.conftest import Psage, Result, forget, writes
from tests.harness.multiply import Plan, World, quick_settlements
from tests.harness.planting import PLANTS, Book, fill, filled


@pytest.fixture
def book(services: Sandbox, home: Path, psage: Psage) -> Book:
    """Thirty documents that agree."""
    return filled(services, home, psage, 30)


def found(result: Result) -> dict[str, set[str]]:
    codes: dict[str, set[str]] = {}
    for one in result.json["findings"]:
        codes.setdefault(one["productive_id"], set()).add(one["code"])
    return codes


def proven(content: dict[str, Any]) -> bool:
    """Whether what is said of both sides adds up, by what is shown alone."""
    for total in content["totals"]:
        steps = sum(Decimal(step["amount"]) for step in total["steps"])
        here, there = (Decimal(total[side]["total"]) for side in ("productive", "sage"))
        rows = [row["productive"] for row in content["documents"] if row["productive"]]
        of_it = [
            row
            for row in rows
            if row["currency"] == total["currency"] and row["state"] == "finalised"
        ]
        if here + steps != there or here != sum(Decimal(row["total"]) for row in of_it):
            return False
    return True


def test_books_that_agree_are_said_to_and_nothing_is_written(book: Book, psage: Psage) -> None:
    before = book.sandbox.dump()

    result = psage("reconcile", "--json")

    assert (result.code, result.json["findings"]) == (0, [])
    assert len(result.json["documents"]) == 30
    assert proven(result.json)
    assert writes(book.sandbox) == []
    assert book.sandbox.dump() == before
    assert "both books agree" in psage("reconcile").out


def plant_all(book: Book) -> None:
    for name in PLANTS:
        book.plant(name)


def test_every_kind_of_difference_is_found_three_times_each(
    services: Sandbox, home: Path, psage: Psage
) -> None:
    book = fill(services, home, psage, 140)
    plant_all(book)

    result = psage("reconcile", "--json")

    assert [
        one for one in result.json["findings"] if one["productive_id"] not in book.planted
    ] == []
    assert found(result) == book.planted
    assert len(book.planted) == 3 * len(PLANTS)
    assert proven(result.json)
    for one in result.json["findings"]:
        assert one["figures"]
        assert one["command"].startswith("psage ")


@pytest.mark.torture
def test_every_kind_of_difference_is_found_among_two_thousand_documents(
    services: Sandbox, home: Path, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = fill(services, home, psage, 200)
    World(services, home, Plan(1802, 100)).fill(*book.credited[0])
    plant_all(book)
    content = services.sage.books().content
    monkeypatch.setattr(Books, "settlements", quick_settlements(content))

    result = psage("reconcile", "--json")

    assert found(result) == book.planted
    assert len(book.planted) == 3 * len(PLANTS)
    assert len(result.json["documents"]) >= 2000
    assert proven(result.json)


MENDED = (
    "changed_in_productive",
    "due_later_in_productive",
    "edited_in_sage",
    "dated_otherwise_in_sage",
    "differing_without_a_record_of_what_was_written",
    "voided",
    "deleted_in_sage",
    "never_copied",
    "for_another_customer",
    "a_part_paid_in_sage",
    "paid_in_sage_alone",
    "paid_on_another_day_in_productive",
    "less_paid_in_productive",
    "no_receipt_any_more",
    "removed_in_productive",
    "a_credit_note_never_copied",
)


def test_the_command_that_is_named_mends_what_was_found(
    services: Sandbox, home: Path, psage: Psage
) -> None:
    book = fill(services, home, psage, 60)
    for name in MENDED:
        book.plant(name, 1)
    first = psage("reconcile", "--json").json["findings"]

    for command in dict.fromkeys(one["command"] for one in first):
        done = psage(*shlex.split(command)[1:], "--json")
        assert done.code == 0, (command, done.out)

    assert psage("reconcile", "--json").json["findings"] == []


def test_a_month_is_compared_by_itself(book: Book, psage: Psage) -> None:
    book.plant("never_copied", 3)

    months = [psage("reconcile", "--month", f"2026-0{n}", "--json") for n in (1, 2, 3)]

    every = psage("reconcile", "--json").json
    assert sum(len(one.json["documents"]) for one in months) == len(every["documents"])
    assert {key for one in months for key in found(one)} == {*book.planted}
    time = psage("reconcile", "--since", "2026-01-01", "--until", "2026-01-31", "--json").json
    assert time["documents"] == months[0].json["documents"]
    assert all(proven(one.json) for one in months)


@pytest.mark.parametrize(
    "flags",
    [
        ("--month", "2026-13"),
        ("--month", "2026-02", "--until", "2026-02-01"),
        ("--since", "2026-03-01", "--until", "2026-02-01"),
        ("--json", "--format", "csv"),
        ("--format", "xml"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_asked_is_a_wrong_usage(
    services: Sandbox, psage: Psage, flags: tuple[str, ...]
) -> None:
    assert psage("reconcile", *flags).code == 2
    assert services.calls() == []


def test_people_see_both_figures_the_command_and_the_totals(book: Book, psage: Psage) -> None:
    book.plant("edited_in_sage", 1)
    ((key, _),) = book.planted.items()
    number, copy = book.sandbox.productive.invoices[key]["number"], book.copy_of(key)

    shown = psage("reconcile").out

    lines = [" ".join(line.split()) for line in shown.splitlines()]
    amount = Decimal(book.sandbox.productive.invoices[key]["amount"]) / 100
    assert f"net Productive {amount:.2f} Sage 99.00" in lines
    assert f"-> `psage copy-invoice {number} --update-existing --overwrite`" in lines
    assert any(line.startswith(f"{number} → SI-{copy['number']}") for line in lines)
    assert f"psage wrote: net {amount:.2f} GBP, tax " in " ".join(lines)
    assert "30 documents compared, 1 differs: 1 edited in Sage" in lines


def test_the_last_sentence_is_in_lines_of_whole_words_on_a_terminal(
    book: Book, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("edited_in_sage", "voided", "deleted_in_productive"):
        book.plant(kind, 1)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda stream: stream is sys.stdout)

    lines = psage("reconcile").out.splitlines()

    end = next(n for n, line in enumerate(lines) if "documents compared" in line)
    assert len(lines[end:]) > 1
    assert max(map(len, lines[end:])) <= 40


def test_a_sheet_has_a_row_for_each_document_and_computes_nothing(book: Book, psage: Psage) -> None:
    key = book.invoices[0]
    book.sandbox.agency.edit_invoice(key, number="=1+1")
    book.plant("never_copied", 1)

    result = psage("reconcile", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(result.out.lstrip("\ufeff"))))
    assert (result.code, len(rows)) == (7, 30)
    assert rows[0]["findings"] == "never_copied"
    assert rows[0]["command"] == f"psage copy-invoice {rows[0]['number']}"
    (evil,) = [row for row in rows if row["productive_id"] == key]
    assert evil["number"] == "'=1+1"
    assert Decimal(evil["total"]) == Decimal(evil["total_in_sage"])
    assert {row["state"] for row in rows} == {"finalised"}


def test_what_cannot_be_read_is_no_agreement(book: Book, psage: Psage) -> None:
    company = book.sandbox.agency.add_company("Yen KK")
    key = book.sandbox.agency.add_invoice(
        company_id=company, currency="JPY", lines=[{"unit_price": "5000"}], invoiced_on="2026-02-02"
    )

    result = psage("reconcile", "--json")

    assert result.code == 7
    (one,) = result.json["unreadable"]
    assert (one["productive_id"], one["code"]) == (key, "currency_unclear")
    assert psage("reconcile", "--month", "2026-03", "--json").code == 0


def test_a_copied_document_that_cannot_be_read_is_not_called_missing(
    book: Book, psage: Psage
) -> None:
    key = book.invoices[0]
    book.sandbox.agency.edit_invoice(key, currency="JPY")

    content = psage("reconcile", "--json").json

    assert [one["productive_id"] for one in content["unreadable"]] == [key]
    assert content["findings"] == []


def test_without_the_right_to_read_contacts_names_decide(book: Book, psage: Psage) -> None:
    book.plant("for_another_customer", 1)
    book.sandbox.fault("status", path="/contacts", status=403, times=99)

    result = psage("reconcile", "--json")

    assert found(result) == book.planted
    assert [one["code"] for one in result.json["warnings"]] == ["contacts_not_readable"]


def test_without_the_right_to_read_settings_nothing_is_told_of_closed_days(
    book: Book, psage: Psage
) -> None:
    book.plant("never_copied", 1)
    book.sandbox.bookkeeper.lock_period("2026-12-31")
    book.sql("DELETE FROM cache")
    told = psage("reconcile", "--json").json["findings"]
    book.sql("DELETE FROM cache")
    book.sandbox.fault("status", path="/financial_settings", status=403, times=9)

    (untold,) = psage("reconcile", "--json").json["findings"]

    assert [one["command"].split()[1] for one in (*told, untold)] == ["open", "copy-invoice"]
    assert "closed until 2026-12-31" in told[0]["next"]


def test_where_the_lists_do_not_say_what_settles_a_copy_it_is_read_whole(
    book: Book, psage: Psage
) -> None:
    book.sandbox.lists_carry_allocations = False
    book.plant("paid_in_sage_alone", 2)

    assert found(psage("reconcile", "--json")) == book.planted


def test_a_list_that_is_not_whole_proves_nothing(book: Book, psage: Psage) -> None:
    book.sandbox.fault("empty_page", path="/sales_invoices", method="GET")

    result = psage("reconcile", "--json")

    assert result.code in (5, 7)
    assert result.code == 5, result.json["findings"]


@pytest.mark.parametrize("odd", ["true", "12.5", "[]"])
def test_a_next_page_that_is_none_is_an_answer_that_makes_no_sense(
    book: Book, psage: Psage, odd: str
) -> None:
    body = {"at": ["$next"], "json": odd}
    book.sandbox.fault("field", path="/sales_invoices", body=body)

    result = psage("reconcile", "--json")

    expected = 0 if odd == "[]" else 5
    assert result.code == expected, result.out
    book.sandbox.clear_calls()


def test_neither_side_is_asked_more_than_once_for_a_page(book: Book, psage: Psage) -> None:
    psage("reconcile", "--json")

    paths = [call.path for call in book.sandbox.calls("sage", "GET")]
    assert sorted(paths) == ["/contacts", "/sales_credit_notes", "/sales_invoices"]
    asked = [call.path for call in book.sandbox.calls("productive", "GET")]
    assert sorted(asked) == ["/invoices", "/payments"]


# --- the page for the accountant's file


class Elements(HTMLParser):
    """The elements of a page, what they hold, and whether each is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes = list[str](), set[str]()
        self.text, self._open = "", list[str]()
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}" if self._open[-1:] != ["style"] else ""


def test_the_page_stands_by_itself_and_says_who_made_it(book: Book, psage: Psage) -> None:
    book.plant("edited_in_sage", 1)

    result = psage("reconcile", "--month", "2026-01", "--format", "html")

    page = Elements(result.out)
    assert result.code in (0, 7)
    assert result.out.isascii()
    fetching = {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert fetching & {*page.tags} == set()
    assert {"src", "href", "srcset", "onload"} & page.attributes == set()
    assert "url(" not in result.out
    assert "@import" not in result.out
    assert "default-src 'none'" in result.out
    assert "size: A4" in result.out
    assert "prefers-color-scheme: dark" in result.out
    assert "svg" in page.tags
    said = " ".join(page.text.split())
    for words in (history.user(), f"psage {__version__}", "Harbour & Pine Ltd", "2026-01-31"):
        assert words in said


def test_the_page_shows_what_differs_first_with_both_figures(book: Book, psage: Psage) -> None:
    book.plant("edited_in_sage", 1)
    ((key, _),) = book.planted.items()
    own = book.sandbox.productive.invoices[key]
    company = book.sandbox.productive.table("invoices")[key]["rel"]["company"]
    book.sandbox.agency.edit_company(company, name="Zoë & Söhne <script>alert(1)</script>")

    result = psage("reconcile", "--format", "html")

    page = Elements(result.out)
    said = " ".join(page.text.split())
    assert "1 of 30 documents differ" in said
    assert f"net {Decimal(own['amount']) / 100:.2f} 99.00" in said
    assert f"psage copy-invoice {own['number']} --update-existing --overwrite" in said
    assert "Zoë & Söhne <script>alert(1)</script>" in said
    parts = ("What differs", "What both sides come to", "By month", "All 30 documents")
    places = [said.index(part) for part in parts]
    assert places == sorted(places)
    assert said.index("differs first", places[-1]) < said.index(own["number"], places[-1])


def test_the_page_says_what_cannot_be_compared_and_each_sheet_what_it_is_of(
    book: Book, psage: Psage
) -> None:
    book.plant("changed_in_productive", 1)
    book.sandbox.agency.add_invoice(
        company_id=book.sandbox.agency.add_company("Yen KK"),
        currency="JPY",
        lines=[{"unit_price": "5000"}],
        invoiced_on="2026-03-02",
    )

    page = psage("reconcile", "--month", "2026-03", "--format", "html").out

    assert " differ, and 1 cannot be compared" in page
    assert 'content: "psage reconcile, 2026-03-01 to 2026-03-31, made 20' in page
    # An option that is broken at its dashes is another word when it is typed.
    assert "<span class=w>--update-existing</span>" in page


def test_the_page_of_books_that_agree_says_so(book: Book, psage: Psage) -> None:
    result = psage("reconcile", "--format", "html")

    said = " ".join(Elements(result.out).text.split())
    assert result.code == 0
    assert "30 documents compared: both books agree" in said
    assert "What differs" not in said


def test_the_page_of_no_document_is_a_page(services: Sandbox, psage: Psage) -> None:
    result = psage("reconcile", "--month", "1999-01", "--format", "html")

    assert result.code == 0
    assert "no documents" in Elements(result.out).text


# --- copies psage has no record of


def test_adopting_records_the_copies_and_writes_to_no_service(book: Book, psage: Psage) -> None:
    book.plant("not_in_records", 3)
    note = book.credited[0][1]
    book.sql("DELETE FROM link WHERE productive_id = ?", note)
    before = book.sandbox.dump()

    result = psage("reconcile", "--adopt", "--json")

    assert (result.code, result.json["findings"]) == (0, [])
    assert len(result.json["adopted"]) == 4
    assert book.sandbox.dump() == before
    assert writes(book.sandbox) == []
    with book.store() as store:
        for key in [*book.planted, note]:
            link = store.copies.latest(key)
            assert link
            assert link.sage_id == book.copy_of(key)["id"]
            assert link.pending == frozenset()
    assert psage("reconcile", "--adopt", "--json").json["adopted"] == []


def test_after_all_records_are_lost_they_are_back_and_nothing_is_copied_again(
    book: Book, home: Path, psage: Psage
) -> None:
    forget(home)
    book.sandbox.clear_calls()

    result = psage("reconcile", "--adopt", "--json")

    assert (result.code, len(result.json["adopted"])) == (0, 30)
    assert psage("copy-invoice", *book.invoices, "--update-existing", "--no-pdf").code == 0
    assert [one for one in writes(book.sandbox, "sage") if "/sales" in one] == []


def test_with_the_copies_the_settings_are_named_again(book: Book, home: Path, psage: Psage) -> None:
    forget(home)
    assert "Sales - Services (4010)" not in psage("status").out

    assert psage("reconcile", "--adopt", "--json").code == 0

    assert "Sales - Services (4010)" in psage("status").out


def test_what_does_not_fit_is_not_adopted_and_said(book: Book, psage: Psage) -> None:
    book.plant("not_in_records", 1)
    ((key, _),) = book.planted.items()
    own = book.copy_of(key)
    own["contact_id"] = book.sandbox.bookkeeper.contact_id("Northwind Traders Ltd")
    own["contact_name"] = "Northwind Traders Ltd"
    book.sandbox.productive.table("invoices")[key]["attributes"]["export_id"] = None

    result = psage("reconcile", "--adopt", "--json")

    assert result.code == 7
    assert result.json["adopted"] == []
    (said,) = result.json["warnings"]
    assert said["code"] == "not_adopted"
    assert "Northwind Traders Ltd" in said["message"]
    assert found(result)[key] == {"not_in_records", "customer_differs"}


def test_a_double_takes_the_place_of_a_copy_that_is_void(book: Book, psage: Psage) -> None:
    key = book.invoices.pop()
    own = book.copy_of(key)
    second = book.double(own["id"], own["reference"])
    book.sandbox.bookkeeper.void(own["id"])
    assert found(psage("reconcile", "--json")) == {key: {"not_in_records"}}

    assert psage("reconcile", "--adopt", "--json").code == 0

    with book.store() as store:
        assert [link.sage_id for link in store.copies.of(key)] == [second]


def test_adopting_waits_for_no_other_run(book: Book, home: Path, psage: Psage) -> None:
    with filelock.FileLock(home / "default.lock"):
        assert psage("reconcile", "--json").code == 0
        result = psage("reconcile", "--adopt", "--json")

    assert (result.code, result.json["error"]["code"]) == (5, "locked")


def test_payments_that_are_too_many_to_be_read_are_compared_by_their_sums(
    book: Book, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LOOKED_AT", 2)
    book.plant("paid_in_sage_alone", 2)
    book.plant("a_part_paid_in_productive", 2)

    result = psage("reconcile", "--json")

    assert found(result) == book.planted
    assert "payments_by_sum" in {one["code"] for one in result.json["warnings"]}
