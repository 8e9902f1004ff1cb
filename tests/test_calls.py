"""What a copy costs: the calls to Sage, counted."""

from pathlib import Path

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage


def sage_calls(sandbox: Sandbox) -> list[str]:
    """The calls to Sage, those about PDFs apart."""
    return [
        f"{call.method} {call.path}"
        for call in sandbox.calls("sage")
        if not call.path.startswith("/attachments")
    ]


@pytest.fixture
def warm(services: Sandbox, psage: Psage) -> Sandbox:
    """An earlier copy has filled the caches and linked a customer."""
    psage("copy-invoice", "124")
    services.clear_calls()
    return services


def test_a_warm_copy_takes_two_calls(warm: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "125")

    assert result.code == 0
    assert sage_calls(warm) == ["GET /sales_invoices", "POST /sales_invoices"]


def test_a_customer_new_to_psage_takes_a_third(warm: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "101")

    assert result.code == 0
    assert sage_calls(warm) == ["GET /sales_invoices", "GET /contacts", "POST /sales_invoices"]


def test_a_customer_new_to_sage_is_one_write_more(warm: Sandbox, psage: Psage) -> None:
    """The marker is searched even then: only Sage knows what other machines have copied."""
    result = psage("copy-invoice", "109")

    assert result.code == 0
    assert sage_calls(warm) == [
        "GET /sales_invoices",
        "GET /contacts",
        "POST /contacts",
        "POST /sales_invoices",
    ]


def test_an_update_takes_two_calls(warm: Sandbox, psage: Psage) -> None:
    warm.agency.add_line("124", unit_price="10.00")

    psage("copy-invoice", "124", "--update-existing")

    assert [call.split("/")[0] for call in sage_calls(warm)] == ["GET ", "PUT "]


def test_a_batch_of_100_takes_at_most_1_1_calls_each_even_with_cold_caches(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    path = home / "default.toml"
    path.write_text("sage_calls_per_second = 100\n" + path.read_text())
    ids = [
        services.agency.add_invoice(company_id=507, lines=[{"unit_price": "10.00"}])
        for _ in range(100)
    ]

    result = psage("copy-invoice", *ids, "--json")

    assert result.code == 0
    assert result.json["summary"]["created"] == 100
    assert len(sage_calls(services)) <= 110
    assert services.concurrent_posts == 0
