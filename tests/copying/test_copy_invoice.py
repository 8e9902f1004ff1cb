"""copy-invoice end to end: through `cli.main`, over HTTP, into the sandbox's books."""

import io
import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer

from productive_sage.copying import drafts
from productive_sage.copying.records import CustomerResult, Outcome
from productive_sage.sandbox import Sandbox
from productive_sage.terminal import copies as copy_results
from productive_sage.terminal import failures, render
from tests.conftest import Psage, copies, first_line, forget, writes


def net_of(sandbox: Sandbox, productive_id: str) -> Decimal:
    return Decimal(sandbox.productive.invoices[productive_id]["amount"]) / 100


def configured(home: Path, *lines: str) -> None:
    """Add settings to the file, before its first table."""
    path = home / "default.toml"
    path.write_text("\n".join([*lines, path.read_text()]))


# --- the copy itself


def test_a_copy_is_correct_to_the_cent_and_carries_the_marker(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "123", "--tax-rate", "GB_STANDARD", "--json")

    assert result.code == 0
    (copy,) = copies(services, "123")
    source = services.productive.invoices["123"]
    assert copy["reference"] == "PRD-123"
    assert Decimal(copy["net_amount"]) * 100 == source["amount"]
    assert copy["date"] == source["invoiced_on"]
    assert copy["due_date"] == source["pay_on"]
    assert result.only["action"] == "created"
    assert result.only["sage_id"] == copy["id"]
    assert result.only["net"] == f"{copy['net_amount']:.2f}"
    assert result.only["total"] == f"{copy['total_amount']:.2f}"
    assert result.only["customer"]["created"] is True
    assert result.only["sage_url"] in [link["href"] for link in copy["links"]]
    assert result.json["summary"]["created"] == 1


@pytest.mark.parametrize("productive_id", ["101", "103", "104", "105", "106", "107", "112", "119"])
def test_every_kind_of_invoice_keeps_its_net_line_by_line(
    services: Sandbox, psage: Psage, productive_id: str
) -> None:
    result = psage("copy-invoice", productive_id, "--json")

    assert result.code == 0
    (copy,) = copies(services, productive_id)
    source = services.productive.invoices[productive_id]
    assert Decimal(copy["net_amount"]) * 100 == source["amount"]
    assert copy["currency"]["id"] == source["currency"]
    if not source["discount"]:
        amounts = [
            row["amount"]
            for row in services.productive.line_items.values()
            if row["invoice_id"] == productive_id
        ]
        assert [Decimal(line["net_amount"]) * 100 for line in copy["invoice_lines"]] == amounts


def test_descriptions_arrive_as_plain_text_and_never_empty(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "106")

    (copy,) = copies(services, "106")
    descriptions = [line["description"] for line in copy["invoice_lines"]]
    assert all(text.strip() for text in descriptions)
    assert "Hosting, 5 < 10 GB & mail" in descriptions
    assert any("\n- " in text for text in descriptions)  # a list keeps its lines


def test_a_long_description_is_cut_with_a_warning(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "118", "--json")

    assert "description_cut" in [warning["code"] for warning in result.only["warnings"]]
    (copy,) = copies(services, "118")
    assert len(copy["invoice_lines"][0]["description"]) == 2000


def test_a_linked_service_type_books_to_the_items_own_account(
    services: Sandbox, psage: Psage
) -> None:
    psage("configure", "--default-ledger", "4900", "--map-item", "Design=DESIGN")

    psage("copy-invoice", "101")

    (copy,) = copies(services, "101")
    design, development = copy["invoice_lines"]
    assert design["service"]["displayed_as"] == "Design work (DESIGN)"
    assert design["ledger_account"]["id"] == services.bookkeeper.ledger_account_id(4010)
    assert development["service"] is None
    assert development["ledger_account"]["id"] == services.bookkeeper.ledger_account_id(4900)


def test_a_link_to_a_vanished_item_stops_before_anything_is_sent(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    path = home / "default.toml"
    path.write_text(path.read_text() + '[items]\n"11" = "service:00000000"\n')

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 2
    assert result.only["error"]["code"] == "config_invalid"
    assert writes(services) == []


def test_yen_are_refused_until_a_person_says_how_productive_counts_them(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    refused = psage("copy-invoice", "108", "--json")
    assert psage("configure", "--minor-digits", "jpy=0").code == 0
    copied = psage("copy-invoice", "108", "--json")

    assert refused.code == 4
    assert refused.only["error"]["code"] == "currency_unclear"
    count = services.productive.invoices["108"]["amount"]
    hint = refused.only["error"]["hint"]
    assert f"{count} JPY, `psage configure --minor-digits JPY=0`" in hint
    assert f"{Decimal(count) / 100} JPY, `psage configure --minor-digits JPY=2`" in hint
    assert copied.code == 0
    (copy,) = copies(services, "108")
    assert Decimal(copy["net_amount"]) == services.productive.invoices["108"]["amount"]


def test_yen_counted_in_hundredths_are_copied_as_whole_yen(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.jpy_digits = 2
    path = home / "default.toml"
    path.write_text(path.read_text() + "[minor_digits]\nJPY = 2\n")

    result = psage("copy-invoice", "108", "--json")

    assert result.code == 0
    (copy,) = copies(services, "108")
    assert Decimal(copy["net_amount"]) * 100 == services.productive.invoices["108"]["amount"]


def test_a_foreign_invoice_goes_without_an_invented_rate(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "119")

    (call,) = services.calls("sage", "POST", "/sales_invoices")
    sent = json.loads(call.body)["sales_invoice"]
    assert sent["currency_id"] == "EUR"
    assert not [key for key in sent if "exchange_rate" in key]


# --- which


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("102", "is_draft"),
        ("110", "is_credit_note"),
        ("113", "not_found"),
        ("99999", "not_found"),
        ("INV-2026-00X", "not_found"),
        ("115", "amounts_unclear"),
    ],
)
def test_what_cannot_be_copied_is_refused_with_a_sentence(
    services: Sandbox, psage: Psage, asked: str, code: str
) -> None:
    result = psage("copy-invoice", asked, "--json")

    assert result.code == 4
    assert result.only["action"] == "refused"
    assert result.only["error"]["code"] == code
    assert writes(services) == []


def test_a_deleted_invoice_is_said_to_be_deleted(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "113", "--json")

    assert "deleted in Productive on 20" in result.only["error"]["message"]


def test_one_refusal_in_a_batch_stops_nothing_and_exits_6(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "102", "101", "99999", "104", "--json")

    assert result.code == 6
    assert [one["action"] for one in result.results] == [
        "refused",
        "created",
        "refused",
        "created",
    ]
    assert len(copies(services, "101")) == len(copies(services, "104")) == 1


def test_the_same_id_twice_is_copied_once(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "101", "101", "--json")

    assert result.code == 0
    assert len(result.results) == 1
    assert len(copies(services, "101")) == 1


def test_numbers_are_taken_with_number(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "--number", "INV-2026-001", "--json")

    assert result.code == 0
    assert result.only["productive_id"] == "101"


@pytest.mark.parametrize(
    ("number", "code"), [("INV-2026-016", "number_ambiguous"), ("INV-NONE", "not_found")]
)
def test_a_number_that_is_not_unique_or_unknown_is_refused(
    services: Sandbox, psage: Psage, number: str, code: str
) -> None:
    result = psage("copy-invoice", "--number", number, "--json")

    assert result.code == 4
    assert result.only["error"]["code"] == code


def test_without_a_default_ledger_account_no_call_is_made(connected: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "101", "--json")

    assert result.code == 2
    assert result.json["error"]["code"] == "no_default_ledger"
    assert "configure --default-ledger" in result.json["error"]["hint"]
    assert connected.calls() == []


# --- again


def test_a_second_copy_needs_somebody_to_say_so(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "101")
    services.clear_calls()

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 4
    assert result.only["error"]["code"] == "already_copied"
    assert writes(services) == []


def test_an_unchanged_source_is_not_written_again(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "123", "--tax-rate", "GB_STANDARD")
    services.clear_calls()

    result = psage("copy-invoice", "123", "--update-existing", "--json")

    assert result.code == 0
    assert result.only["action"] == "unchanged"
    assert writes(services) == []


def test_an_update_follows_productive_and_keeps_the_tax_rate_of_the_copy(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101", "--tax-rate", "GB_LOWER")
    (before,) = copies(services, "101")
    services.agency.edit_line(first_line(services, "101"), quantity="3.25")

    result = psage("copy-invoice", "101", "--update-existing", "--json")

    assert result.code == 0
    assert result.only["action"] == "updated"
    (after,) = copies(services, "101")
    assert Decimal(after["net_amount"]) == net_of(services, "101") != before["net_amount"]
    assert {line["tax_rate"]["id"] for line in after["invoice_lines"]} == {"GB_LOWER"}
    assert [line["id"] for line in after["invoice_lines"]] == [
        line["id"] for line in before["invoice_lines"]
    ]
    assert after["invoice_number"] == before["invoice_number"]


def test_lines_added_and_removed_in_productive_follow(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "101")
    services.agency.add_line("101", unit_price="50.00", quantity="2", description="More")
    added = psage("copy-invoice", "101", "--update-existing", "--json")
    services.agency.delete_line(first_line(services, "101"))

    removed = psage("copy-invoice", "101", "--update-existing", "--json")

    assert (added.code, removed.code) == (0, 0)
    (copy,) = copies(services, "101")
    assert len(copy["invoice_lines"]) == 2
    assert Decimal(copy["net_amount"]) == net_of(services, "101")


def test_create_new_makes_a_second_copy_with_its_own_marker_and_updates_go_to_it(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101")

    result = psage("copy-invoice", "101", "--create-new", "--json")
    services.agency.edit_line(first_line(services, "101"), quantity="1")
    psage("copy-invoice", "101", "--update-existing")

    assert result.only["action"] == "created"
    first, second = sorted(copies(services, "101"), key=lambda row: str(row["reference"]))
    assert (first["reference"], second["reference"]) == ("PRD-101", "PRD-101-2")
    assert Decimal(second["net_amount"]) == net_of(services, "101") != first["net_amount"]


@pytest.mark.parametrize("way", ["void", "delete_invoice"])
@pytest.mark.parametrize("flags", [(), ("--update-existing",)])
def test_a_copy_gone_from_sage_is_said_and_never_silently_made_again(
    services: Sandbox, psage: Psage, way: str, flags: tuple[str, ...]
) -> None:
    made = psage("copy-invoice", "101", "--json").only
    getattr(services.bookkeeper, way)(made["sage_id"])
    services.clear_calls()

    result = psage("copy-invoice", "101", *flags, "--json")

    assert result.code == 4
    assert result.only["error"]["code"] == "copy_gone"
    assert "--create-new" in result.only["error"]["hint"]
    assert writes(services) == []


def test_a_void_copy_can_be_followed_by_a_new_one_on_request(
    services: Sandbox, psage: Psage
) -> None:
    made = psage("copy-invoice", "101", "--json").only
    services.bookkeeper.void(made["sage_id"])

    result = psage("copy-invoice", "101", "--create-new", "--json")

    assert result.code == 0
    assert [row["status"]["id"] for row in copies(services, "101")] == ["VOID", "UNPAID"]


@pytest.mark.parametrize("how", ["paid", "part paid", "filed", "locked"])
def test_a_copy_sage_has_locked_is_refused_before_the_put_with_two_ways_out(
    services: Sandbox, psage: Psage, how: str
) -> None:
    made = psage("copy-invoice", "101", "--json").only
    keeper = services.bookkeeper
    if how == "paid":
        keeper.pay(made["sage_id"], made["total"])
    elif how == "part paid":
        keeper.pay(made["sage_id"], "10.00")
    elif how == "filed":
        keeper.file_vat_return("2026-12-31")
    else:
        keeper.lock_period("2026-12-31")
    services.agency.edit_line(first_line(services, "101"), quantity="1")
    services.clear_calls()

    result = psage("copy-invoice", "101", "--update-existing", "--json")

    assert result.code == 4
    assert result.only["error"]["code"] == "copy_locked"
    assert "remove the receipt" in result.only["error"]["hint"]
    assert "credit the invoice" in result.only["error"]["hint"]
    assert writes(services) == []


def test_a_locked_copy_of_an_unchanged_source_is_simply_unchanged(
    services: Sandbox, psage: Psage
) -> None:
    made = psage("copy-invoice", "101", "--json").only
    services.bookkeeper.pay(made["sage_id"], made["total"])

    result = psage("copy-invoice", "101", "--update-existing", "--json")

    assert (result.code, result.only["action"]) == (0, "unchanged")


# --- no doubles


def test_a_copy_is_found_by_its_marker_when_the_store_is_gone(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("copy-invoice", "101")
    forget(home)
    services.clear_calls()

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 0
    assert result.only["action"] == "adopted"
    assert len(copies(services, "101")) == 1
    assert writes(services, "sage") == []


def test_an_adopted_copy_whose_net_differs_is_said_to_differ(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("copy-invoice", "101")
    services.agency.edit_line(first_line(services, "101"), quantity="1")
    forget(home)

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 7
    assert result.only["action"] == "differs"
    assert result.only["error"]["code"] == "totals_differ"


def test_the_latest_of_several_copies_is_adopted(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("copy-invoice", "101")
    second = psage("copy-invoice", "101", "--create-new", "--json").only
    forget(home)

    result = psage("copy-invoice", "101", "--json")

    assert result.only["sage_id"] == second["sage_id"]
    assert len(copies(services, "101")) == 2


def test_a_second_living_copy_says_that_the_first_counts_until_one_of_them_is_void(
    services: Sandbox, psage: Psage
) -> None:
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    first = psage("copy-invoice", "101", "--json").only
    assert "SI-1" not in psage("status").out

    second = psage("copy-invoice", "101", "--create-new")

    words = "SI-1 still counts in Sage beside SI-2"
    assert words in second.err
    assert "void SI-1 in Sage" in second.err
    assert waits(psage) == ["second_copy"]
    assert words in psage("status").out
    assert psage("sync-payments", "--full").code == 0
    psage("copy-invoice", "123")
    assert waits(psage) == ["second_copy"]
    services.bookkeeper.void(first["sage_id"])
    psage("sync-payments")
    assert waits(psage) == []


def test_a_copy_beside_one_that_is_void_says_nothing_of_it(services: Sandbox, psage: Psage) -> None:
    first = psage("copy-invoice", "101", "--json").only
    services.bookkeeper.void(first["sage_id"])

    second = psage("copy-invoice", "101", "--create-new", "--json").only

    assert "second_copy" not in [one["code"] for one in second["warnings"]]
    assert waits(psage) == []


def waits(psage: Psage) -> list[str]:
    return [one["code"] for one in psage("status", "--json").json["waiting"]]


def test_a_copy_made_on_another_machine_is_not_made_again(
    services: Sandbox, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    services.remember_idempotency = False
    settings = (home / "default.toml").read_text()
    psage("copy-invoice", "101", "--create-customer")
    other = tmp_path / "other"
    other.mkdir()
    (other / "default.toml").write_text(settings)
    monkeypatch.setenv("PSAGE_HOME", str(other))

    result = psage("copy-invoice", "101", "--json")

    assert result.only["action"] == "adopted"
    assert len(copies(services, "101")) == 1


def test_a_second_copy_made_elsewhere_is_linked_instead_of_a_third(
    services: Sandbox, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    psage("copy-invoice", "101")
    other = tmp_path / "other"
    other.mkdir()
    (other / "default.toml").write_text((home / "default.toml").read_text())
    monkeypatch.setenv("PSAGE_HOME", str(other))
    psage("copy-invoice", "101", "--create-new")
    monkeypatch.setenv("PSAGE_HOME", str(home))

    result = psage("copy-invoice", "101", "--create-new", "--json")

    assert result.code == 4
    assert result.only["error"]["code"] == "already_copied"
    assert len(copies(services, "101")) == 2


def test_a_marker_inside_a_contacts_name_is_no_copy(services: Sandbox, psage: Psage) -> None:
    contact = services.bookkeeper.add_contact("PRD-101 Ltd")
    psage("copy-invoice", "125", "--customer", contact)

    result = psage("copy-invoice", "101", "--json")

    assert result.only["action"] == "created"


def test_a_copy_of_another_business_is_never_touched(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    from dataclasses import replace

    from productive_sage.signin.vault import Vault

    psage("copy-invoice", "101")
    labs = next(
        key
        for key, books in services.sage.data["books"].items()
        if books["business"]["name"] == "Harbour & Pine Labs Ltd"
    )
    vault = Vault("default")
    vault.save(replace(vault.sage(), business_id=labs))
    services.clear_calls()

    result = psage("copy-invoice", "125", "--json")

    assert result.code == 4
    assert result.json["error"]["code"] == "different_business"
    assert services.calls() == []


# --- checking the answer


def test_an_answer_with_other_totals_differs_and_the_copy_stays_recorded(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _cents_off(services, monkeypatch)

    result = psage("copy-invoice", "101", "--json")
    again = psage("copy-invoice", "101", "--json")

    assert made
    assert result.code == 7
    assert result.only["action"] == "differs"
    details = result.only["error"]["details"]
    assert details["net"] == {"planned": "1775.00", "found": "1775.01"}
    assert again.only["error"]["code"] == "already_copied"
    assert len(copies(services, "101")) == 1


def _cents_off(services: Sandbox, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let Sage book a cent more than it was sent."""
    from productive_sage.sandbox.documents import create

    made: list[str] = []

    def wrong(books: Any, kind: Any, body: Any) -> Any:
        document = create(books, kind, body)
        line = document["lines"][0]
        line["net"] += Decimal("0.01")
        line["total"] += Decimal("0.01")
        document["net"] = document.get("net", 0) + Decimal("0.01")
        document["total"] = document.get("total", 0) + Decimal("0.01")
        made.append(document["id"])
        return document

    monkeypatch.setattr("productive_sage.sandbox.sage.create", wrong)
    return made


# --- numbers


def test_sage_numbers_by_default_and_its_number_is_written_back_when_wanted(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    plain = psage("copy-invoice", "101", "--json").only
    configured(home, "write_number_back = true")

    result = psage("copy-invoice", "124", "--json").only

    assert plain["sage_number"].startswith("SI-")
    assert services.productive.invoices["101"]["number"] == "INV-2026-001"
    assert services.productive.invoices["124"]["number"] == result["sage_number"]


def test_a_refused_number_is_a_warning(services: Sandbox, psage: Psage, home: Path) -> None:
    configured(home, "write_number_back = true")
    services.agency.edit_invoice("124", sent_on="2026-02-10")

    result = psage("copy-invoice", "124", "--json")

    assert result.code == 0
    assert "number_refused" in [warning["code"] for warning in result.only["warnings"]]
    assert services.productive.invoices["124"]["exported"] is True


def test_productives_number_is_kept_where_productive_numbers(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    configured(home, 'numbering = "productive"')

    result = psage("copy-invoice", "101", "--json")

    assert result.only["sage_number"] == "INV-2026-001"
    (copy,) = copies(services, "101")
    assert copy["displayed_as"] == "INV-2026-001"


def test_an_update_under_productives_number_does_not_collide_with_itself(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    configured(home, 'numbering = "productive"')
    psage("copy-invoice", "101")
    services.agency.edit_line(first_line(services, "101"), quantity="1")

    result = psage("copy-invoice", "101", "--update-existing", "--json")

    assert (result.code, result.only["action"]) == (0, "updated")
    assert result.only["sage_number"] == "INV-2026-001"


def test_a_number_used_by_another_document_in_sage_is_number_taken(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    configured(home, 'numbering = "productive"')
    services.bookkeeper.take_number("INV-2026-001")

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 4
    assert result.only["error"]["code"] == "number_taken"
    assert "did not make" in result.only["error"]["message"]
    assert copies(services, "101") == []


def test_a_number_of_another_copy_is_number_taken_before_anything_is_sent(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    configured(home, 'numbering = "productive"')
    psage("copy-invoice", "116")
    services.clear_calls()

    result = psage("copy-invoice", "117", "--json")

    assert result.only["error"]["code"] == "number_taken"
    assert result.only["error"]["details"]["productive_id"] == "116"
    assert writes(services) == []


# --- references


def test_the_productive_invoice_is_marked_and_never_exported(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "101", "--json").only

    source = services.productive.invoices["101"]
    assert source["exported"] is True
    assert source["export_id"] == result["sage_id"]
    assert source["export_invoice_url"] == result["sage_url"]
    assert services.productive.export_calls == 0


def test_a_refused_mark_is_a_warning(services: Sandbox, psage: Psage) -> None:
    services.agency.make_token_read_only()

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 0
    assert result.only["action"] == "created"
    assert "mark_refused" in [warning["code"] for warning in result.only["warnings"]]


# --- output


def test_a_dry_run_shows_exactly_what_a_real_run_sends(services: Sandbox, psage: Psage) -> None:
    planned = psage("copy-invoice", "101", "--tax-rate", "GB_STANDARD", "--dry-run", "--json")
    dry_writes = writes(services)
    psage("copy-invoice", "101", "--tax-rate", "GB_STANDARD")

    (call,) = services.calls("sage", "POST", "/sales_invoices")
    sent = json.loads(call.body)
    assert sent["sales_invoice"].pop("idempotency_id")
    assert dry_writes == []
    assert planned.code == 0
    assert planned.json["dry_run"] is True
    assert planned.only["action"] == "would_create"
    assert planned.only["would_send"] == [
        {"method": "POST", "path": "/sales_invoices", "body": sent}
    ]


def test_a_dry_run_of_an_update_shows_the_put(services: Sandbox, psage: Psage) -> None:
    made = psage("copy-invoice", "101", "--json").only
    services.agency.edit_line(first_line(services, "101"), quantity="1")
    services.clear_calls()

    planned = psage("copy-invoice", "101", "--update-existing", "--dry-run", "--json")

    assert planned.only["action"] == "would_update"
    assert planned.only["would_send"][0]["path"] == f"/sales_invoices/{made['sage_id']}"
    assert writes(services) == []


def test_an_update_sends_what_a_dry_run_shows_and_no_key(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "101")
    services.agency.edit_line(first_line(services, "101"), quantity="1")
    planned = psage("copy-invoice", "101", "--update-existing", "--dry-run", "--json").only

    psage("copy-invoice", "101", "--update-existing")

    (call,) = services.calls("sage", "PUT", "/sales_invoices")
    assert [json.loads(call.body)] == [one["body"] for one in planned["would_send"]]


@pytest.mark.parametrize("columns", [None, 120, 80, 40])
def test_people_see_each_line_of_a_dry_run_and_no_body(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, columns: int | None
) -> None:
    if columns:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")

    shown = psage("copy-invoice", "123", "--tax-rate", "GB_STANDARD", "--dry-run").out

    for words in (
        *("Juniper Street Coffee Ltd (new), dated 2026-02-09, due 2026-03-11", "Menu and signage"),
        *("12.333", "95.00", "1,171.64", "234.33", "Standard 20.00%", "4010"),
        "net 2,077.27, tax 415.46, total 2,492.73 GBP",
    ):
        assert " ".join(words.split()) in " ".join(shown.split())
    assert "{" not in shown
    verbose = psage("-v", "copy-invoice", "123", "--tax-rate", "GB_STANDARD", "--dry-run").out
    assert '"ledger_account_id"' in verbose


@pytest.mark.parametrize("columns", [120, 90, 80, 60, 40])
def test_no_number_of_a_copy_is_folded_and_no_amount_cut(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")

    lines = psage("copy-invoice", "123", "104", "--no-tax", "--no-pdf").out.splitlines()

    (at,) = [n for n, line in enumerate(lines) if line.startswith("✓ INV-2026-023")]
    shown = "\n".join(lines[at : at + (1 if columns >= 90 else 3)])
    for words in ("SI-1", "copied", "2,077.27"):
        assert words in shown


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize("columns", [120, 80, 60, 40])
def test_what_was_refused_is_in_the_table_with_a_mark_its_reason_and_one_next_step(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    assert psage("copy-invoice", "101", "124", "--no-tax", "--no-pdf").code == 0
    on_a_terminal(monkeypatch, columns)

    result = psage("copy-invoice", "102", "101", "123", "124", "--no-tax", "--no-pdf")

    lines = re.sub(r"\x1b(\[\d*m|\].*?\\)", "", result.out).splitlines()
    symbols = [line.split()[:2] for line in lines if line[0] in "✓✗"]
    assert symbols == [
        ["✓", "INV-2026-023"],
        ["✗", "102"],
        ["✗", "INV-2026-001"],
        ["✗", "INV-2026-024"],
    ]
    shown = " ".join(" ".join(lines).split())
    assert "refused is a draft next: finalise it in Productive first" in shown
    assert shown.count("--update-existing") == 1
    assert "`psage copy-invoice INV-2026-001 INV-2026-024 --update-existing`" in shown
    assert lines[-1] == "1 copied: 2,077.27 GBP; 3 refused"
    assert "error" not in result.err
    assert [one for one in lines if len(one.rstrip()) > columns and "`psage " not in one] == []


@pytest.mark.parametrize("columns", [120, 95, 90, 60, 40])
def test_long_numbers_and_amounts_are_whole_at_every_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    on_a_terminal(monkeypatch, columns)
    number, there = "INVOICE-2026-00000123", "SALES-INVOICE-000123"
    customer = CustomerResult("c1", "Northwind Traders and Sons Limited of Newcastle", created=True)
    net, tax = Decimal("1234567.89"), Decimal("246913.58")
    one = Outcome("adopted", "1", number, "s1", there, customer=customer, currency="GBP")
    one = replace(one, net=net, tax=tax, total=net + tax)

    copy_results.show([one, replace(one, productive_id="2")], dry_run=False, quiet=False)

    lines = re.sub(r"\x1b(\[\d*m|\].*?\\)", "", capsys.readouterr().out).splitlines()
    for word in (number, there, "1,234,567.89", "246,913.58", "1,481,481.47"):
        assert len([line for line in lines if word in line]) >= 2
    assert [line for line in lines if len(line.rstrip()) > columns] == []


def test_several_refused_alike_share_their_reason(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.fault("status", path="/sales_invoices", status=503, nth=1, times=100)
    on_a_terminal(monkeypatch, 80)

    result = psage("copy-invoice", "101", "123", "--no-tax", "--no-pdf")

    assert result.out.count("✗") == 2
    assert result.out.count("next: ") == 1


def test_in_a_pipe_what_was_refused_has_its_line_and_the_reason_is_on_stderr(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "102", "123", "--no-tax", "--no-pdf")

    assert "✗ 102           refused" in result.out.splitlines()
    assert "draft" not in result.out
    assert "error: invoice `102` is a draft" in result.err
    assert "hint: finalise it in Productive first" in result.err


def test_marks_have_a_plain_form_where_the_encoding_lacks_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actions = ("created", "differs", "refused")
    symbols = {}
    for encoding in ("utf-8", "cp1252"):
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        symbols[encoding] = [failures.symbol(action)[0] for action in actions]

    assert symbols == {"utf-8": ["✓", "!", "✗"], "cp1252": ["+", "!", "x"]}


def test_a_warning_that_several_documents_share_is_said_once(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "104", "109", "--no-pdf", "--dry-run")

    assert result.err.count("the customer is outside GB") == 1, result.err


def test_one_copy_is_told_with_its_address_and_its_pdf_and_several_without(
    services: Sandbox, psage: Psage
) -> None:
    one = psage("copy-invoice", "123").out
    several = psage("copy-invoice", "124", "101").out

    (copy,) = copies(services, "123")
    assert any(f"SI-1: {link['href']}" in one for link in copy["links"])
    assert "1 PDF attached in Sage" in one
    assert "https://" not in several
    assert "PDF attached in Sage" in several


def test_a_batch_ends_with_what_became_of_it_and_its_sums(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "101", "104", "123", "102", "--no-tax", "--no-pdf")

    assert result.out.splitlines()[-1] == "3 copied: 3,852.27 GBP + 414.52 EUR; 1 refused"


def test_people_get_a_table_with_the_link_and_warnings_on_stderr(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "101")

    assert "INV-2026-001" in result.out
    assert "1,775.00" in result.out
    assert "https://" in result.out
    assert "warning:" in result.err
    assert "warning:" not in result.out


def test_quiet_says_nothing_when_all_is_well(services: Sandbox, psage: Psage) -> None:
    result = psage("--quiet", "copy-invoice", "101")

    assert (result.code, result.out, result.err) == (0, "", "")


@pytest.mark.parametrize(
    "flags",
    [
        ("--update-existing", "--create-new"),
        ("--tax-rate", "GB_ZERO", "--no-tax"),
        ("--customer", "x", "--create-customer"),
    ],
)
def test_flags_that_exclude_each_other_are_a_usage_error(
    services: Sandbox, psage: Psage, flags: tuple[str, ...]
) -> None:
    result = psage("copy-invoice", "101", *flags, "--json")

    assert result.code == 2
    assert result.json["error"]["code"] == "usage"
    assert services.calls() == []


def test_ctrl_c_at_a_question_is_an_interruption_not_a_defect(
    services: Sandbox, psage: Psage, answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **kwargs: object) -> str:
        raise typer.Abort

    monkeypatch.setattr("typer.prompt", interrupt)

    result = psage("copy-invoice", "101")

    assert result.code == 130
    assert "interrupted" in result.err
    assert writes(services) == []


def test_a_defect_with_one_document_is_logged_and_the_others_go_on(
    services: Sandbox, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = drafts.sales_document

    def broken(invoice: Any, **more: Any) -> Any:
        if invoice.id == "101":
            raise ZeroDivisionError("a defect")
        return plain(invoice, **more)

    monkeypatch.setattr("productive_sage.copying.drafts.sales_document", broken)

    result = psage("copy-invoice", "101", "125", "--json")

    assert result.code == 6
    assert [one["action"] for one in result.results] == ["failed", "created"]
    assert result.results[0]["error"]["code"] == "defect"
    assert "Traceback" not in result.out + result.err
    assert "ZeroDivisionError: a defect" in (home / "logs" / "psage.log").read_text()


def test_what_people_write_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    render.line("[b]INV :rocket:")
    render.err().print("[b]INV :rocket:")

    assert capsys.readouterr() == ("[b]INV :rocket:\n", "[b]INV :rocket:\n")


def test_a_command_in_a_message_is_never_broken_in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "44")

    lines = [*render._wrapped("look at Sage first; then `psage sync-payments --full`", "", "")]

    assert lines == ["look at Sage first; then", "`psage sync-payments --full`"]


# --- the account with Sage


def test_a_dead_subscription_ends_a_batch_at_once_without_advice_to_sign_in(
    services: Sandbox, psage: Psage
) -> None:
    services.bookkeeper.end_subscription()
    services.clear_calls()

    result = psage("copy-invoice", "101", "123", "124", "--json")

    assert result.code == 4
    assert result.json["error"]["code"] == "no_subscription"
    assert "No active subscription. (MSE)" in result.json["error"]["message"]
    assert "psage connect" not in result.out
    assert writes(services) == []
    assert len(services.calls("auth", "POST", "/token")) == 1
    services.bookkeeper.renew_subscription()
    assert psage("copy-invoice", "101", "123", "124").code == 0


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ({"sales": "READ_ONLY"}, "Full or Restricted access to Sales"),
        ({"contacts": "READ_ONLY"}, "access to Contacts"),
    ],
)
def test_a_role_without_a_right_is_told_with_the_right_and_who_gives_it(
    services: Sandbox, psage: Psage, role: dict[str, str], words: str
) -> None:
    services.bookkeeper.give_role(**role)

    result = psage("copy-invoice", "123", "--json")

    assert result.code == 4
    assert result.only["error"]["code"] == "rights_missing"
    assert f"an administrator of Sage can give your user {words}" in result.only["error"]["hint"]
    assert "psage connect" not in result.out
    assert services.sage.invoices == {}
