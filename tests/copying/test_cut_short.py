"""Ctrl-C twice: what was sent by then is told, be its answer there or not."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import copies
from tests.harness.kills import fresh, shared
from tests.harness.processes import Hold, end, run, started

__all__ = ["fresh", "shared"]

OTHERS = ("--no-tax", "--no-pdf")


@pytest.fixture
def keys(fresh: Sandbox) -> list[str]:
    company = fresh.agency.add_company("Harbour Lights Ltd")
    return [
        fresh.agency.add_invoice(company_id=company, lines=[{"unit_price": "10.00"}])
        for _ in range(4)
    ]


def impatient(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C, and once more."""
    process.send_signal(signal.SIGINT)
    time.sleep(0.4)  # two at once would be one
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_copy_whose_answer_is_not_waited_for_is_unknown_and_never_not_tried(
    fresh: Sandbox, keys: list[str], tmp_path: Path, when: str
) -> None:
    command = ("copy-invoice", "--id", *keys, *OTHERS, "--json")
    report = tmp_path / "march.csv"
    with (
        Hold(fresh, 2, when=when, method="POST", path="/sales_invoices") as hold,
        started(*command, "--report", str(report)) as process,
    ):
        hold.reached(process)
        impatient(process)
        stopped = end(process)
        hold.lose()

    assert stopped.code == 130
    assert [one["action"] for one in stopped.results] == ["created", "unknown"]
    assert stopped.results[1]["error"]["code"] == "outcome_unknown"
    assert stopped.json["not_reached"] == keys[2:]
    assert report.read_text(encoding="utf-8-sig").count("was not tried") == 2

    again = run("copy-invoice", "--retry-failed", str(report), "--yes", *OTHERS, "--json")
    assert again.code == 0
    assert [len(copies(fresh, key)) for key in keys] == [1] * 4


def test_what_is_in_sage_and_not_followed_up_is_told_as_copied(
    fresh: Sandbox, keys: list[str]
) -> None:
    command = ("copy-invoice", "--id", *keys, *OTHERS)
    with (
        Hold(fresh, 1, when="before", method="PATCH", path="/invoices") as hold,
        started(*command, "--json") as process,
    ):
        hold.reached(process)
        until = time.monotonic() + 20
        while not all(copies(fresh, key) for key in keys) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)  # the last answer is recorded
        impatient(process)
        stopped = end(process)
        hold.lose()

    assert stopped.code == 130
    told = {one["productive_id"]: one for one in stopped.results}
    assert [told[key]["action"] for key in keys] == ["created"] * 4
    assert {one["code"] for one in told[keys[0]]["warnings"]} == {"left_to_do"}
    assert (told[keys[0]]["total"], told[keys[0]]["sage_number"]) == ("10.00", "SI-1")
    assert "not_reached" not in stopped.json
    assert run("copy-invoice", "--all-uncopied", "--limit", "1", "--yes", *OTHERS).code == 0
    assert all(fresh.productive.invoices[key]["exported"] for key in keys)


def test_a_release_whose_answer_is_not_waited_for_is_unknown(
    fresh: Sandbox, keys: list[str]
) -> None:
    assert run("copy-invoice", "--id", *keys, "--draft", *OTHERS).code == 0
    with (
        Hold(fresh, 2, when="after", method="POST", path="/sales_invoices/") as hold,
        started("release", "--all", "--yes", "--json") as process,
    ):
        hold.reached(process)
        impatient(process)
        stopped = end(process)
        hold.lose()

    assert stopped.code == 130
    assert [one["action"] for one in stopped.results] == ["released", "unknown"]
    assert stopped.json["not_reached"] == keys[2:]
    assert run("release", "--all", "--yes").code == 0
    assert {copies(fresh, key)[0]["status"]["id"] for key in keys} == {"UNPAID"}
