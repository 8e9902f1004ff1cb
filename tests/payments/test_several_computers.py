"""Three laptops copy, a server without any record brings the payments: each of them once."""

from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Result, copies, writes
from tests.harness import oracle
from tests.harness.fast import Machine
from tests.harness.payments import productive_says, sage_says

COPY = ("--no-pdf", "--json")
HOME = ("--tax-rate", "GB_STANDARD", *COPY)
NIGHT = ("sync-payments", "--json")


class Office:
    """The machines of an agency, which share nothing but the two services."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.ann, self.ben, self.cas, self.server = (
            Machine(sandbox, folder / name) for name in ("ann", "ben", "cas", "server")
        )

    def night(self, machine: Machine | None = None) -> dict[str, Any]:
        """A sync, after which Productive holds each payment of Sage once."""
        result = (machine or self.server).run(*NIGHT)
        assert result.code == 0, result
        credited = {"111"}  # whose allocation is a credit note's, and no payment
        due = {key: one for key, one in sage_says(self.sandbox).items() if one[0] not in credited}
        assert productive_says(self.sandbox) == due
        answer: dict[str, Any] = result.json
        assert (answer["failed"], answer["skipped"]) == ([], [])
        return answer

    def pay(self, key: str, amount: str, on: str = "2026-03-02") -> str:
        copy = copies(self.sandbox, key)[0]["id"]
        return self.sandbox.bookkeeper.pay(copy, amount, on, f"BACS {key}")

    def together(self, *runs: tuple[Machine, tuple[str, ...]]) -> list[Result]:
        """What becomes of runs that are started at once."""
        started = [machine.start(*args) for machine, args in runs]
        return [run.end() for run in started]


@pytest.fixture
def office(sandbox: Sandbox, tmp_path: Path) -> Office:
    sandbox.access_token_lifetime_s = 86_400
    return Office(sandbox, tmp_path)


def found(answer: dict[str, Any]) -> set[str]:
    return {one["productive_id"] for one in answer["adopted"]}


def changed(answer: dict[str, Any]) -> tuple[int, int, int]:
    return len(answer["created"]), len(answer["updated"]), len(answer["deleted"])


@pytest.mark.torture
def test_a_server_does_the_nights_for_three_laptops(office: Office) -> None:
    sandbox, books = office.sandbox, office.sandbox.bookkeeper
    ann, ben, cas, server = office.ann, office.ben, office.cas, office.server

    # The day: some of the same documents, at the same moment; one is edited where it was not made.
    copied = office.together(
        (ann, ("copy-invoice", "101", "105", "123", *HOME)),
        (ben, ("copy-invoice", "123", "124", *HOME)),
        (cas, ("copy-invoice", "105", "111", *HOME)),
    )
    assert {one.code for one in copied} <= {0, 4}, copied  # 4: another one just made it
    assert cas.run("credit-note", "110", *COPY).code == 0
    sandbox.agency.edit_invoice("101", invoiced_on="2026-02-05")
    assert ben.run("copy-invoice", "101", "--update-existing", *COPY).only["action"] == "updated"
    assert oracle.doubled_documents(sandbox) == set()

    # The first night knows nothing, and finds everything.
    tranche, edited, removed = (office.pay(key, "20.00") for key in ("101", "105", "123"))
    first = office.night()
    assert found(first) == {"101", "105", "111", "123", "124"}
    assert changed(first) == (3, 0, 0)

    # The second has a tranche, an edit and a deletion in Sage.
    office.pay("101", "30.00", "2026-03-09")
    books.edit_receipt(edited, amount="15.00", date="2026-03-03")
    books.delete_receipt(removed)
    second = office.night()
    assert (found(second), changed(second)) == (set(), (1, 1, 1))

    # A laptop goes on, the server finds what it made.
    assert cas.run("copy-invoice", "112", *HOME).code == 0
    office.pay("112", "5.00")
    third = office.night()
    assert (found(third), changed(third)) == ({"112"}, (1, 0, 0))

    # A laptop runs a sync of its own: it knows the server's payments as psage's, and makes none.
    sandbox.clear_calls()
    own = office.night(ann)
    assert found(own) == {"111", "124", "112"}
    assert changed(own) == (0, 0, 0)
    assert writes(sandbox) == []
    books.edit_receipt(tranche, amount="18.00")
    assert changed(office.night(ann)) == (0, 1, 0)
    assert changed(office.night()) == (0, 0, 0)

    # Both at once.
    for key in ("101", "105", "123", "124", "112"):
        office.pay(key, "7.00", "2026-03-20")
    results = office.together((ann, NIGHT), (server, NIGHT))
    # 6: what one of them read while the other wrote does not add up, and is left to the next.
    assert {one.code for one in results} <= {0, 6}, results
    office.night()
    office.night(ann)

    # What the server says of all this is so.
    register = server.run("list", "--json").json
    states = {one["productive_id"]: one["state"] for one in register["documents"]}
    assert {key for key, state in states.items() if state == "copied"} == {
        *("101", "105", "110", "111", "123", "124", "112")
    }
    assert found(register) == {"110"}
    status = server.run("status", "--json").json
    assert status["documents"] == {"invoices": 6, "credit_notes": 1}
    assert status["waiting"] == []
    oracle.check_books(sandbox)
    findings = server.run("reconcile", "--json").json["findings"]
    assert {one["code"] for one in findings} == {"never_copied"}


def test_a_payment_that_another_computer_wrote_is_psages_own_here(office: Office) -> None:
    ann, sandbox = office.ann, office.sandbox
    assert ann.run("copy-invoice", "101", *HOME).code == 0
    receipt = office.pay("101", "20.00")
    office.night(ann)
    sandbox.clear_calls()

    assert changed(office.night()) == (0, 0, 0)

    assert writes(sandbox) == []
    sandbox.bookkeeper.edit_receipt(receipt, amount="15.00")
    assert changed(office.night()) == (0, 1, 0)
    sandbox.bookkeeper.delete_receipt(receipt)
    assert changed(office.night()) == (0, 0, 1)
    assert changed(office.night(ann)) == (0, 0, 0)


def test_a_payment_that_changed_in_sage_before_this_computer_saw_it_is_neither_doubled_nor_removed(
    office: Office,
) -> None:
    """People copy notes: a marker alone makes no payment psage's, so it is said which it may be."""
    ann, sandbox = office.ann, office.sandbox
    assert ann.run("copy-invoice", "101", *HOME).code == 0
    receipt = office.pay("101", "20.00")
    office.night(ann)
    sandbox.bookkeeper.edit_receipt(receipt, amount="15.00")
    sandbox.clear_calls()

    (said,) = office.server.run(*NIGHT).json["skipped"]

    assert writes(sandbox) == []
    assert said["code"] == "paid_in_productive"
    assert "another computer" in said["next"]
    assert changed(office.night(ann)) == (0, 1, 0)
    assert changed(office.night()) == (0, 0, 0)
