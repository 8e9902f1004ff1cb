"""Another machine, or records of another day: Sage and Productive are the shared truth."""

import copy
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from productive_sage import http
from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, forget, writes


@pytest.mark.parametrize("kind", [3, None, "2", "1", True, 1.5, [], {}])
def test_only_what_is_plainly_an_invoice_is_copied(
    services: Sandbox, psage: Psage, kind: object
) -> None:
    services.productive.table("invoices")["101"]["attributes"]["invoice_type_id"] = kind

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 4
    assert result.only["error"]["code"] in ("not_an_invoice", "amounts_unclear")
    assert writes(services) == []
    services.clear_calls()  # such replies break the contract, and are meant to


def test_a_deleted_invoice_that_is_still_shown_is_not_copied(
    services: Sandbox, psage: Psage
) -> None:
    row = services.productive.table("invoices")["101"]["attributes"]
    row["deleted_at"] = "2026-02-03T05:06:32.193+01:00"

    result = psage("copy-invoice", "101", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "not_found")
    assert "2026-02-03" in result.only["error"]["message"]
    assert writes(services) == []


def test_two_machines_send_the_same_keys(services: Sandbox, psage: Psage, home: Path) -> None:
    """So where both copy at the same moment, Sage makes one document and one customer of it."""
    state = copy.deepcopy((services.sage.data, services.productive.data))
    psage("copy-invoice", "123", "--no-tax", "--no-pdf")
    services.sage.data, services.productive.data = state
    forget(home)

    psage("copy-invoice", "123", "--no-tax", "--no-pdf")

    bodies = [json.loads(call.body) for call in services.calls("sage", "POST")]
    keys = [next(iter(body.values()))["idempotency_id"] for body in bodies]
    assert keys[:2] == keys[2:]
    assert len(set(keys)) == 2


def test_an_answered_key_is_not_sent_for_what_shall_be_made_anew(
    services: Sandbox, psage: Psage
) -> None:
    services.fault("status", method="POST", path="/sales_invoices", status=422)
    refused = psage("copy-invoice", "101", "--no-tax", "--no-pdf")

    made = psage("copy-invoice", "101", "--no-tax", "--no-pdf")

    first, second = services.calls("sage", "POST", "/sales_invoices")
    assert (refused.code, made.code) == (4, 0)
    assert first.body != second.body


def test_records_that_lack_the_latest_copy_are_mended_before_an_update(
    services: Sandbox, psage: Psage, home: Path, tmp_path: Path
) -> None:
    psage("copy-invoice", "101", "--no-tax", "--no-pdf")
    backup = (home / "default.db").read_bytes()
    second = psage("copy-invoice", "101", "--create-new", "--no-tax", "--no-pdf", "--json").only
    forget(home)
    (home / "default.db").write_bytes(backup)
    services.agency.edit_invoice("101", invoiced_on="2026-02-05")

    result = psage("copy-invoice", "101", "--update-existing", "--no-pdf", "--json")

    first, latest = sorted(copies(services, "101"), key=lambda row: str(row["reference"]))
    assert (result.code, result.only["sage_id"]) == (0, second["sage_id"])
    assert (latest["date"], first["date"] == "2026-02-05") == ("2026-02-05", False)
    assert services.productive.invoices["101"]["export_id"] == second["sage_id"]


def test_a_clock_set_a_day_ahead_makes_no_second_copy(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.search_lag_s = 3600
    services.fault("cut_after", method="POST", path="/sales_invoices", times=2)
    lost = psage("copy-invoice", "101", "--no-tax", "--no-pdf")

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + timedelta(days=1, minutes=5)

    monkeypatch.setattr(http, "datetime", Ahead)
    result = psage("copy-invoice", "101", "--no-tax", "--no-pdf", "--json")

    assert lost.code == 8
    assert result.code == 0
    assert len(copies(services, "101")) == 1
