"""What is gone is only what the service itself says in its own words, for this business."""

from collections.abc import Callable
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, first_line, writes

GATEWAY: dict[str, Any] = {
    "status": 404,
    "body": "<html><h1>404 Not Found</h1><p>edge-7</p></html>",
}


@pytest.fixture
def made(services: Sandbox, psage: Psage) -> dict[str, Any]:
    result = psage("copy-invoice", "101", "--no-tax", "--no-pdf", "--json").only
    services.clear_calls()
    return result


@pytest.mark.parametrize("flags", [(), ("--update-existing",), ("--create-new",)])
def test_a_gateways_404_deletes_no_copy(
    services: Sandbox, psage: Psage, made: dict[str, Any], flags: tuple[str, ...]
) -> None:
    services.agency.edit_line(first_line(services, "101"), quantity="1")
    path = f"/sales_invoices/{made['sage_id']}"
    services.fault("status", service="sage", path=path, times=99, **GATEWAY)

    result = psage("copy-invoice", "101", *flags, "--json")

    assert (result.code, result.only["error"]["code"]) == (5, "service_unavailable")
    assert writes(services) == []
    assert len(copies(services, "101")) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404, "headers": {"X-Business": ""}},
        {"status": 404, "body": {}},
        {"status": 404, "body": []},
    ],
)
def test_a_404_that_names_no_business_or_no_reason_is_none(
    services: Sandbox, psage: Psage, made: dict[str, Any], answer: dict[str, Any]
) -> None:
    path = f"/sales_invoices/{made['sage_id']}"
    services.fault("status", service="sage", path=path, times=99, **answer)

    result = psage("copy-invoice", "101", "--json")

    assert (result.code, result.only["error"]["code"]) == (5, "service_unavailable")


def test_a_copy_without_a_record_of_its_deletion_is_not_called_deleted(
    services: Sandbox, psage: Psage, made: dict[str, Any]
) -> None:
    services.sage.books().table("sales_invoices").pop(made["sage_id"])

    result = psage("copy-invoice", "101", "--json")

    assert (result.code, result.only["error"]["code"]) == (5, "service_unavailable")
    assert "no record of its deletion" in result.only["error"]["message"]


def test_what_is_left_to_do_after_a_copy_outlives_a_gateways_404(
    services: Sandbox, psage: Psage
) -> None:
    services.fault("status", service="productive", method="PATCH", path="/invoices", status=503)
    made = psage("copy-invoice", "101", "--no-tax", "--no-pdf", "--json").only
    path = f"/sales_invoices/{made['sage_id']}"
    services.fault("status", service="sage", method="GET", path=path, times=5, **GATEWAY)
    psage("copy-invoice", "125", "--no-tax", "--no-pdf")

    psage("copy-invoice", "125", "--update-existing", "--no-pdf")

    assert services.productive.invoices["101"]["export_id"] == made["sage_id"]


@pytest.mark.parametrize("lost", ["a payment", "its receipt"])
def test_a_gateways_404_makes_and_removes_no_payment(
    services: Sandbox, psage: Psage, made: dict[str, Any], lost: str
) -> None:
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    receipt = services.bookkeeper.pay(made["sage_id"], "10.00")
    psage("sync-payments")
    (payment,) = services.productive.payments
    gone: dict[str, Callable[[], object]] = {
        "a payment": lambda: services.fault(
            "empty_page", service="productive", method="GET", path="/payments"
        ),
        "its receipt": lambda: services.sage.books().table("contact_payments").pop(receipt),
    }
    gone[lost]()
    path = {"a payment": f"/payments/{payment}", "its receipt": f"/contact_payments/{receipt}"}
    services.fault("status", method="GET", path=path[lost], times=99, **GATEWAY)

    psage("sync-payments", "--full", "--json")

    assert list(services.productive.payments) == [payment]
