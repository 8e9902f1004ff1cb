"""A document needs an address, and the country of a customer is Sage's."""

import json
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, first_line, forget_contacts, writes

PLACE = ("address", "city", "zipcode")


def sent(sandbox: Sandbox, path: str) -> dict[str, Any]:
    """The object of the one POST to a path."""
    (call,) = [c for c in sandbox.calls("sage") if (c.method, c.path) == ("POST", path)]
    (content,) = json.loads(call.body).values()
    return dict(content)


def leave_without_address(sandbox: Sandbox, company_id: int) -> None:
    """Productive knows no more than the country."""
    sandbox.agency.edit_contact_entry(company_id, **dict.fromkeys((*PLACE, "state"), None))


def test_a_new_customers_address_has_the_name_sage_wants(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "123", "--json")

    assert result.code == 0
    address = sent(services, "/contacts")["main_address"]
    assert address["name"] == "Main Address"
    assert address["address_line_1"] == "7 Juniper Street"
    assert "main_address" not in sent(services, "/sales_invoices")


def test_a_document_for_a_contact_without_address_carries_productives(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "103", "--json")

    assert result.code == 0
    assert "POST /contacts" not in writes(services)
    (copy,) = copies(services, "103")
    assert copy["main_address"]["address_line_1"] == "80 Mill Lane"
    assert copy["main_address"]["postal_code"] == copy["delivery_address"]["postal_code"]
    assert copy["main_address"]["country"]["id"] == "GB"


def test_a_credit_note_for_a_contact_without_address_carries_productives_too(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "111")
    services.bookkeeper.edit_contact(
        services.bookkeeper.contact_id("Northwind Traders Ltd"), address_line_1=None
    )
    with_old_facts = psage("credit-note", "110", "--json")
    services.clear_calls()

    result = psage("credit-note", "110", "--json")

    assert with_old_facts.code == 4  # Sage knows better than what was read earlier today
    assert "run the command again" in with_old_facts.only["error"]["hint"]
    assert result.code == 0
    assert sent(services, "/sales_credit_notes")["main_address"]["city"] == "Bristol"


def test_an_address_of_the_contact_is_left_to_sage(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "101")

    (copy,) = copies(services, "101")
    assert copy["main_address"]["address_line_1"] == "1 High Street"
    assert "main_address" not in sent(services, "/sales_invoices")


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_without_an_address_anywhere_no_customer_is_made(
    services: Sandbox, psage: Psage, dry: tuple[str, ...]
) -> None:
    leave_without_address(services, 507)

    result = psage("copy-invoice", "123", *dry, "--json")

    assert result.code == 4
    error = result.only["error"]
    assert error["code"] == "address_missing"
    assert "INV-2026-023" in error["message"]
    assert "`Juniper Street Coffee Ltd` in Productive" in error["hint"]
    assert writes(services) == []


def test_without_an_address_of_a_known_contact_both_places_to_mend_are_named(
    services: Sandbox, psage: Psage
) -> None:
    leave_without_address(services, 502)

    result = psage("copy-invoice", "103", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "address_missing")
    assert (
        "in Productive, or the contact `Northwind Trading Limited` in Sage"
        in (result.only["error"]["hint"])
    )
    assert writes(services) == []


def test_an_address_entered_in_sage_a_moment_ago_is_seen(services: Sandbox, psage: Psage) -> None:
    leave_without_address(services, 502)
    contact = services.bookkeeper.contact_id("Northwind Trading Limited")
    services.bookkeeper.edit_contact(contact, postal_code="LS1 4AB")
    psage("copy-invoice", "103")  # psage keeps that it has one
    services.bookkeeper.edit_contact(contact, postal_code=None)
    refused = psage("copy-invoice", "106", "--json")  # by Sage, which is kept too
    again = psage("copy-invoice", "106", "--json")
    services.bookkeeper.edit_contact(contact, postal_code="LS1 4AB")

    result = psage("copy-invoice", "106", "--json")

    assert refused.only["error"]["code"] == "refused_by_sage"
    assert again.only["error"]["code"] == "address_missing"
    assert result.code == 0


def test_one_document_without_address_stops_no_other(services: Sandbox, psage: Psage) -> None:
    leave_without_address(services, 507)

    result = psage("copy-invoice", "123", "101", "--json")

    assert [one["action"] for one in result.results] == ["refused", "created"]
    assert result.code == 6


def test_an_update_for_another_customer_carries_the_address_it_needs(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101")

    psage("copy-invoice", "101", "--update-existing", "--customer", "NORTH002")

    (copy,) = copies(services, "101")
    assert copy["main_address"]["address_line_1"] == "12 Quayside"


# --- the country of a contact


@pytest.fixture
def moved(services: Sandbox) -> Sandbox:
    """In Sage the first customer is in Ireland; Productive still says United Kingdom."""
    contact = services.bookkeeper.contact_id("Northwind Traders Ltd")
    services.bookkeeper.edit_contact(contact, country_id="IE")
    return services


def test_sages_country_goes_before_productives_and_the_difference_is_said(
    moved: Sandbox, psage: Psage
) -> None:
    first = psage("copy-invoice", "101", "--json")
    linked = psage("copy-invoice", "105", "--json")

    for result, invoice in ((first, "101"), (linked, "105")):
        assert result.code == 0
        (copy,) = copies(moved, invoice)
        assert {line["tax_rate"]["id"] for line in copy["invoice_lines"]} == {"GB_ZERO"}
        (warning,) = [w for w in result.only["warnings"] if w["code"] == "country_differs"]
        assert "IE" in warning["message"]
        assert "United Kingdom" in warning["message"]


def test_a_country_mended_in_sage_counts_at_once(moved: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "101")
    contact = moved.bookkeeper.contact_id("Northwind Traders Ltd")
    moved.bookkeeper.edit_contact(contact, country_id="GB")

    result = psage("copy-invoice", "105", "--json")

    (copy,) = copies(moved, "105")
    assert {line["tax_rate"]["id"] for line in copy["invoice_lines"]} == {"GB_NO_TAX"}
    assert "country_differs" not in [w["code"] for w in result.only["warnings"]]


@pytest.mark.parametrize(
    ("then", "now", "rates"),
    [
        (("GB", "United Kingdom"), ("FR", "France"), ["GB_STANDARD", "GB_ZERO"]),
        (("FR", "France"), ("GB", "United Kingdom"), ["GB_ZERO", "GB_STANDARD"]),
        (("FR", "France"), ("DE", "Germany"), ["GB_ZERO", "GB_ZERO"]),
    ],
    ids=["abroad", "home", "from one to another"],
)
def test_an_update_after_the_customer_moved_has_the_tax_of_the_new_country(
    services: Sandbox,
    psage: Psage,
    home: Path,
    then: tuple[str, str],
    now: tuple[str, str],
    rates: list[str],
) -> None:
    psage("configure", "--default-tax-rate", "GB_STANDARD")
    contact, seen = services.bookkeeper.contact_id("Northwind Traders Ltd"), list[str]()
    for (in_sage, in_productive), flags in ((then, ()), (now, ("--update-existing",))):
        services.bookkeeper.edit_contact(contact, country_id=in_sage)
        services.agency.edit_contact_entry(501, country=in_productive)
        result = psage("copy-invoice", "101", *flags, "--json")
        (copy,) = copies(services, "101")
        seen += {line["tax_rate"]["id"] for line in copy["invoice_lines"]}

    assert seen == rates
    assert ("tax rate of line 1" in str(result.only)) is (rates[0] != rates[1])


def test_an_update_keeps_a_rate_that_was_asked_for_where_the_country_was_not_known(
    services: Sandbox, psage: Psage
) -> None:
    psage("configure", "--default-tax-rate", "GB_STANDARD")
    contact = services.bookkeeper.contact_id("Northwind Traders Ltd")
    services.bookkeeper.edit_contact(contact, country_id=None)
    services.agency.edit_contact_entry(501, country=None, vat=None)
    psage("copy-invoice", "101", "--no-tax")
    services.bookkeeper.edit_contact(contact, country_id="GB")

    result = psage("copy-invoice", "101", "--update-existing", "--json")

    assert (result.only["action"], result.only["tax"]) == ("unchanged", "0.00")


def test_an_update_keeps_the_rate_where_the_country_is_known_no_more(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    company = services.agency.add_company("Rivoli Ltd", country=None)
    bill = services.agency.add_invoice(company_id=company, lines=[{"unit_price": "10.00"}])
    contact = services.bookkeeper.add_contact("Rivoli Ltd")
    psage("copy-invoice", bill, "--tax-rate", "GB_STANDARD")
    services.bookkeeper.edit_contact(contact, country_id=None)
    forget_contacts(home)

    result = psage("copy-invoice", bill, "--update-existing", "--json")

    assert (result.code, result.only["tax"]) == (0, "2.00")


def test_an_update_for_another_customer_has_the_tax_of_that_ones_country(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("configure", "--default-tax-rate", "GB_STANDARD")
    keeper, new = services.bookkeeper, services.bookkeeper.add_contact("Bee Ltd")
    old = keeper.contact_id("Northwind Traders Ltd")
    keeper.edit_contact(old, country_id="FR")
    services.agency.edit_contact_entry(501, country="France")
    psage("copy-invoice", "101")
    keeper.edit_contact(old, country_id="GB")
    services.agency.edit_contact_entry(501, country="United Kingdom")
    forget_contacts(home)

    result = psage("copy-invoice", "101", "--update-existing", "--customer", new, "--json")

    assert (result.code, result.only["tax"]) == (0, "355.00")


def test_what_is_sold_follows_the_customer_to_another_country(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    """A business in IE says it for customers in the EU alone."""
    services.bookkeeper.move_business("IE", "EUR")
    company = services.agency.add_company("Comp", country="US")
    bill = services.agency.add_invoice(
        company_id=company, lines=[{"unit_price": "10.00"}], tax_percent=None, currency="EUR"
    )
    psage("copy-invoice", bill)
    services.bookkeeper.edit_contact(services.bookkeeper.contact_id("Comp"), country_id="FR")
    services.agency.edit_contact_entry(company, country="France")
    forget_contacts(home)

    assert psage("copy-invoice", bill, "--update-existing").code == 0

    (line,) = copies(services, bill)[0]["invoice_lines"]
    assert line["eu_goods_services_type"]["id"] == "SERVICES"


def test_an_update_of_a_copy_linked_on_another_machine_knows_sages_country(
    moved: Sandbox, psage: Psage, home: Path
) -> None:
    psage("copy-invoice", "101")
    for file in home.glob("default.db*"):
        file.unlink()
    moved.agency.edit_line(first_line(moved, "101"), quantity="11")

    result = psage("copy-invoice", "101", "--update-existing", "--no-tax", "--json")

    assert result.only["action"] == "updated"
    (copy,) = copies(moved, "101")
    assert {line["tax_rate"]["id"] for line in copy["invoice_lines"]} == {"GB_ZERO"}


def test_where_sage_has_no_country_productives_counts(services: Sandbox, psage: Psage) -> None:
    services.bookkeeper.add_contact("Blue Fjord Studios AS", country=None)

    result = psage("copy-invoice", "109", "--json")

    assert result.code == 0
    assert "sold_abroad" in [warning["code"] for warning in result.only["warnings"]]
    assert "POST /contacts" not in writes(services)


def test_many_known_contacts_are_read_at_once(services: Sandbox, psage: Psage, home: Path) -> None:
    def invoices() -> list[str]:
        line = {"unit_price": "10.00"}
        return [services.agency.add_invoice(company_id=one, lines=[line]) for one in companies]

    companies = [services.agency.add_company(f"Client {n} Ltd") for n in range(8)]
    psage("copy-invoice", *invoices())
    forget_contacts(home)
    ids = invoices()
    services.clear_calls()

    result = psage("copy-invoice", *ids, "--json")

    assert result.code == 0
    reads = [call.path for call in services.calls("sage") if call.path.startswith("/contacts")]
    assert len(reads) == 2
