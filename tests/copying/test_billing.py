"""customers: which company is billed to which contact, and a person's word about it."""

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, writes


@pytest.fixture
def billed(services: Sandbox, psage: Psage) -> Sandbox:
    """One company is billed to the contact of its name, one to a contact that psage made."""
    assert psage("copy-invoice", "101", "123", "--no-pdf").code == 0
    services.clear_calls()
    return services


def whom(psage: Psage) -> dict[str, tuple[str, str]]:
    rows = psage("customers", "--json").json["customers"]
    return {one["company"]["name"]: (one["contact"]["name"], one["why"]) for one in rows}


def test_who_is_billed_is_shown_and_why(billed: Sandbox, psage: Psage) -> None:
    assert whom(psage) == {
        "Northwind Traders Ltd": ("Northwind Traders Ltd", "its name or tax number"),
        "Juniper Street Coffee Ltd": ("Juniper Street Coffee Ltd", "psage made it"),
    }
    shown = psage("customers").out
    assert "Juniper Street Coffee Ltd" in shown
    assert "psage made it" in shown


@pytest.mark.parametrize("company", ["507", "juniper street coffee ltd"])
def test_a_company_is_billed_to_another_contact_from_now_on(
    billed: Sandbox, psage: Psage, company: str
) -> None:
    other = billed.bookkeeper.contact_id("Northwind Trading Limited")

    result = psage("customers", "link", company, "NORTH002", "--json")
    psage("copy-invoice", "124", "--no-pdf")

    assert (result.code, writes(billed, "sage")[0]) == (0, "POST /sales_invoices")
    assert whom(psage)["Juniper Street Coffee Ltd"] == (
        "Northwind Trading Limited",
        "somebody said so",
    )
    assert copies(billed, "124")[0]["contact"]["id"] == other


def test_what_is_forgotten_is_looked_up_anew(billed: Sandbox, psage: Psage) -> None:
    psage("customers", "link", "507", "NORTH002")

    assert psage("customers", "forget", "507").code == 0

    assert "Juniper Street Coffee Ltd" not in whom(psage)
    psage("copy-invoice", "124", "--no-pdf")
    assert copies(billed, "124")[0]["contact"] == copies(billed, "123")[0]["contact"]


@pytest.mark.parametrize(
    ("words", "code", "near"),
    [
        (("link", "Juniper Street Cofee", "NORTH002"), "not_found", "Juniper Street Coffee Ltd"),
        (("link", "507", "Northwind Trader Ltd"), "customer_not_found", "Northwind Traders Ltd"),
        (("link", "507", "O'Brien & Sons"), "ambiguous_customer", "reference"),
        (("forget", "505"), "not_found", "psage customers"),
    ],
)
def test_a_name_nobody_has_proposes_what_comes_near(
    billed: Sandbox, psage: Psage, words: tuple[str, ...], code: str, near: str
) -> None:
    result = psage("customers", *words, "--json")

    assert (result.code, result.json["error"]["code"]) == (4, code)
    assert near in result.json["error"]["hint"]


@pytest.mark.parametrize("words", [("link", "507"), ("forget",), ("forget", "507", "X")])
def test_what_is_missing_is_a_wrong_usage(
    services: Sandbox, psage: Psage, words: tuple[str, ...]
) -> None:
    assert psage("customers", *words).code == 2
