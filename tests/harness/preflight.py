"""An invoice for a company that Sage does not know, and what is looked at before it is sent."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, Result

BILL = "900"
UPDATE = ("copy-invoice", BILL, "--update-existing", "--no-pdf", "--json")
PRODUCTIVE_NUMBERS = 'numbering = "productive"\n'


def bill(services: Sandbox, *, country: str = "United Kingdom", **more: Any) -> str:
    """An invoice for a company that Sage does not know."""
    company = services.agency.add_company("Copper Kettle", country=country)
    line = {"unit_price": "100.00", "description": "Work"}
    more = {"id": BILL, "number": "INV-900", "invoiced_on": "2026-02-09", "lines": [line], **more}
    return services.agency.add_invoice(company_id=company, **more)


def setting(home: Path, line: str) -> None:
    path = home / "default.toml"
    path.write_text(line + path.read_text())


def known(services: Sandbox, psage: Psage) -> None:
    """Sage and psage know the company by an earlier copy."""
    first = bill(services, id="899", number="INV-899")
    assert psage("copy-invoice", first, "--no-tax", "--no-pdf").code == 0
    company = services.productive.invoices[first]["company_id"]
    line = {"unit_price": "100.00", "description": "Work"}
    services.agency.add_invoice(
        company_id=company, id=BILL, number="INV-900", invoiced_on="2026-02-09", lines=[line]
    )
    services.clear_calls()


def the_next_day(home: Path) -> None:
    """What was read of the services' set-up is to be read again."""
    with closing(sqlite3.connect(home / "default.db")) as db, db:
        db.execute("DELETE FROM cache WHERE key NOT LIKE 'name %'")


def refused(result: Result, code: str, exit_code: int = 4) -> dict[str, Any]:
    error: dict[str, Any] = result.only["error"]
    assert (result.code, error["code"]) == (exit_code, code)
    assert error["hint"]
    return error
