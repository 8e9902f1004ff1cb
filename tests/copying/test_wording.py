"""What people find a copy by: the words beside the marker in Sage's reference, and the notes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from productive_sage import markers
from productive_sage.copying import wording
from productive_sage.kinds import INVOICE
from productive_sage.productive.records import Address, Company, Invoice
from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, forget, writes

ALL = "{number} {purchase_order} {subject}"
UPDATE = ("copy-invoice", "101", "--update-existing", "--no-pdf")
PLAIN: Any = replace(
    Invoice(
        id="123",
        number="INV-7",
        currency="GBP",
        invoiced_on=None,
        pay_on=None,
        is_finalised=True,
        kind=INVOICE,
        company=Company("1", "Acme"),
        bill_to=Address(),
        net=None,  # type: ignore[arg-type]  # no amount is looked at
        tax=None,  # type: ignore[arg-type]
        discount_percent=None,  # type: ignore[arg-type]
    ),
    purchase_order="PO 4711",
    subject="Website",
)


@pytest.mark.parametrize(
    ("template", "values", "reference"),
    [
        ("", {}, "PRD-123"),
        ("{number}", {}, "INV-7 PRD-123"),
        ("{number}", {"number": ""}, "PRD-123"),
        ("{number} / {purchase_order}", {"purchase_order": ""}, "INV-7 PRD-123"),
        ("Agency", {}, "Agency PRD-123"),
        (ALL, {}, "INV-7 PO 4711 PRD-123"),  # the subject has no room
        ("{subject}", {"subject": "Web  site\nof <b>May</b>"}, "Web site of May PRD-123"),
        ("{subject}", {"subject": "W" * 40}, f"{'W' * 17} PRD-123"),
        ("{subject} {number}", {"subject": "{number}"}, "(number) INV-7 PRD-123"),
        ("{number}", {"id": "1" * 21}, f"PRD-{'1' * 21}"),
        ("{number}", {"number": "PRD-9"}, "PRD-9 PRD-123"),
    ],
)
def test_the_words_go_before_the_marker_and_are_shortened_first(
    template: str, values: dict[str, str], reference: str
) -> None:
    invoice = replace(PLAIN, **values)
    marker = markers.of_copy(invoice.id, 1)

    assert wording.reference(template, invoice, marker) == reference
    assert markers.in_reference(reference) == (invoice.id, 1)


@given(st.text(), st.text(), st.text(), st.integers(1, 99))
def test_whatever_stands_in_productive_the_marker_is_found_again(
    number: str, purchase_order: str, subject: str, copy: int
) -> None:
    invoice = replace(PLAIN, number=number, purchase_order=purchase_order, subject=subject)

    reference = wording.reference(ALL, invoice, markers.of_copy("123", copy))

    assert markers.in_reference(reference) == ("123", copy)
    assert len(reference) <= 25


@pytest.mark.parametrize(
    ("template", "values", "notes"),
    [
        ("Order: {purchase_order}\n{subject}", {}, "Order: PO 4711\nWebsite"),
        ("Order: {purchase_order}\n{subject}", {"purchase_order": ""}, "Website"),
        ("{subject}", {"subject": "word " * 500}, ("word " * 400).strip()),
    ],
)
def test_notes_leave_out_a_line_without_a_value(
    template: str, values: dict[str, str], notes: str
) -> None:
    assert wording.notes(template, replace(PLAIN, **values)) == notes


# --- over HTTP


@pytest.fixture
def worded(services: Sandbox, home: Path, psage: Psage) -> Sandbox:
    """Invoice 101 has a purchase order, and both templates are set."""
    services.agency.edit_invoice("101", purchase_order_number="PO 4711", subject="Website")
    assert psage("configure", "--reference", ALL, "--notes", "{subject} {purchase_order}").code == 0
    return services


def held(services: Sandbox) -> dict[str, Any]:
    (row,) = services.sage.invoice_with_reference("PRD-101")
    return services.sage.books().table("sales_invoices")[str(row["id"])]


def test_a_copy_carries_what_people_find_it_by(worded: Sandbox, psage: Psage) -> None:
    assert psage("copy-invoice", "101", "--no-pdf").code == 0

    copy = held(worded)
    assert copy["reference"] == "INV-2026-001 PRD-101"
    assert copy["notes"] == "Website PO 4711"
    assert psage(*UPDATE, "--json").only["action"] == "unchanged"


def test_without_templates_nothing_more_is_sent_than_the_marker(
    services: Sandbox, psage: Psage
) -> None:
    (request,) = psage("copy-invoice", "101", "--dry-run", "--json").only["would_send"][-1:]
    body = request["body"]["sales_invoice"]

    assert (body["reference"], "notes" in body) == ("PRD-101", False)


def test_a_lost_store_finds_the_copy_by_the_marker_behind_the_words(
    worded: Sandbox, home: Path, psage: Psage
) -> None:
    psage("copy-invoice", "101", "--no-pdf")
    worded.agency.edit_invoice("101", export_id=None, exported=False)
    forget(home)

    result = psage("copy-invoice", "101", "--no-pdf", "--json")

    assert result.only["action"] == "adopted"
    assert len(worded.sage.invoice_with_reference("PRD-101")) == 1


def test_machines_with_other_templates_send_the_same_key(
    services: Sandbox, home: Path, psage: Psage
) -> None:
    """Sage makes one document of the two, although no search and no marker shows the first."""
    psage("copy-invoice", "101", "--no-pdf")
    services.agency.edit_invoice("101", export_id=None, exported=False)
    services.search_lag_s = 3600
    forget(home)
    psage("configure", "--reference", "{number}", "--notes", "{subject}")

    psage("copy-invoice", "101", "--no-pdf")

    assert len(services.sage.invoice_with_reference("PRD-101")) == 1


def test_a_new_purchase_order_is_an_update_of_reference_and_notes(
    worded: Sandbox, psage: Psage
) -> None:
    psage("configure", "--reference", "{purchase_order}")
    psage("copy-invoice", "101", "--no-pdf")
    worded.agency.edit_invoice("101", purchase_order_number="PO 5000")

    result = psage(*UPDATE, "--json")

    changes = {one["field"]: (one["old"], one["new"]) for one in result.only["changes"]}
    assert changes == {
        "reference": ("PO 4711 PRD-101", "PO 5000 PRD-101"),
        "notes": ("Website PO 4711", "Website PO 5000"),
    }
    assert (held(worded)["reference"], held(worded)["notes"]) == (
        "PO 5000 PRD-101",
        "Website PO 5000",
    )
    worded.agency.edit_invoice("101", purchase_order_number="")
    psage(*UPDATE)
    assert held(worded)["reference"] == "PRD-101"


def test_the_bookkeepers_own_reference_and_notes_are_kept_and_said(
    worded: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101", "--no-pdf")
    held(worded).update(reference="ask Anna PRD-101", notes="disputed")
    worded.agency.edit_invoice("101", subject="Shop", pay_on="2026-04-30")

    result = psage(*UPDATE, "--json")

    said = [one["message"] for one in result.only["warnings"] if one["code"] == "kept"]
    assert result.only["action"] == "updated"
    assert any("ask Anna PRD-101" in one for one in said)
    assert any("disputed" in one for one in said)
    copy = held(worded)
    assert (copy["reference"], copy["notes"]) == ("ask Anna PRD-101", "disputed")
    assert psage(*UPDATE, "--overwrite", "--json").only["action"] == "updated"
    assert held(worded)["notes"] == "Shop PO 4711"


def test_other_templates_rewrite_no_copy_unless_that_is_asked_for(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101", "--no-pdf")
    psage("configure", "--reference", "{number}", "--notes", "{subject}")
    services.clear_calls()

    assert psage(*UPDATE, "--json").only["action"] == "unchanged"
    assert writes(services) == []
    assert psage(*UPDATE, "--overwrite", "--json").only["action"] == "updated"
    assert held(services)["reference"] == "INV-2026-001 PRD-101"


def test_notes_that_sage_refuses_are_named_with_the_way_out(worded: Sandbox, psage: Psage) -> None:
    psage("configure", "--notes", "cut &amp; print")

    result = psage("copy-invoice", "101", "--no-pdf", "--json")

    assert result.code == 4
    assert 'psage configure --notes ""' in result.only["error"]["hint"]
    worded.clear_calls()


@pytest.mark.parametrize("flag", ["--reference", "--notes"])
def test_a_tab_in_a_template_is_refused_by_its_name(
    services: Sandbox, psage: Psage, flag: str
) -> None:
    result = psage("configure", flag, "{number}\t{subject}")

    assert result.code == 2
    assert "holds a tab" in result.err


@pytest.mark.parametrize("flag", ["--reference", "--notes"])
@pytest.mark.parametrize("template", ["{numbr}", "{number", "number}", "{}", "{number!r}"])
def test_an_unknown_placeholder_is_refused_naming_the_known_ones(
    services: Sandbox, home: Path, psage: Psage, flag: str, template: str
) -> None:
    before = (home / "default.toml").read_text()

    result = psage("configure", flag, template)

    assert result.code == 2
    assert "{number}, {purchase_order}, {subject}" in " ".join(result.err.split())
    assert (home / "default.toml").read_text() == before


def test_an_empty_template_goes_back_to_the_marker_alone(
    worded: Sandbox, home: Path, psage: Psage
) -> None:
    result = psage("configure", "--reference", "", "--notes", "")

    assert result.code == 0, result.err
    assert "reference" not in (home / "default.toml").read_text()
