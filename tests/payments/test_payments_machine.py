"""A bookkeeper, an agency and faults at random: after every sync both sides say the same.

Each history is a few dozen acts in Sage and Productive with syncs between them, some of which meet
faults. What must hold is worked out from the sandbox's own records, not with psage's code.
"""

import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from productive_sage import copying, payments
from productive_sage.copying.order import CopyOrder
from productive_sage.desk import Desk
from productive_sage.errors import PsageError
from productive_sage.http.pool import Pool, connect_pool
from productive_sage.kinds import CREDIT_NOTE, INVOICE
from productive_sage.payments.records import Synced
from productive_sage.productive.calls import Token
from productive_sage.productive.client import ProductiveClient
from productive_sage.sage.calls import sage_http
from productive_sage.sage.client import SageClient
from productive_sage.sandbox import ORGANIZATION_ID, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.settings import Endpoints, Settings
from productive_sage.store import Store
from tests.conftest import SEQUENCES, sage_sign_in

PARTS = 4
STEPS = 25
INVOICES = ("101", "103", "106", "111", "125")
CREDITED, NOTE = "111", "110"
BEGIN = "2026-01-01"
EARLIER = "2025-12-15"
DAYS = [str(date(2026, 3, 1) + timedelta(days=n)) for n in range(0, 60, 7)]
MARKER = re.compile(r"^psage \w+/\w+( discount)?$", re.MULTILINE)
FAULTS = (
    ("status", 500),
    ("status", 503),
    ("status", 403),
    ("status", 404),
    ("status", 429),
    ("cut_before", 0),
    ("cut_after", 0),
    ("cut_late", 0),
    ("cut_mid", 0),
    ("html", 0),
    ("html_after", 0),
    ("truncated", 0),
    ("status_after", 500),
    ("empty_page", 0),
)

Entry = tuple[str, Decimal, str | None, str | None]
"""Marker, amount, paid on, written off on."""


class _Signed:
    """Sage credentials without a keyring."""

    def __init__(self, token: str, business_id: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}", "X-Business": business_id}

    def headers(self) -> dict[str, str]:
        return self._headers

    def renew(self, refused: Mapping[str, str]) -> bool:
        return False


def copy(desk: Desk, key: str, *, again: str | None = None) -> None:
    kind = CREDIT_NOTE if key == NOTE else INVOICE
    list(copying.copy(CopyOrder((key,), kind=kind, again=again, with_pdf=False), desk))


class World:
    """Five invoices are copied; every history begins here."""

    def __init__(self, sandbox: Sandbox, pool: Pool, folder: Path) -> None:
        self.sandbox = sandbox
        self._pool = pool
        self._file = folder / "begin.db"
        sandbox.reset()
        sandbox.access_token_lifetime_s = 10**9
        self._sign_in = sage_sign_in(sandbox)
        with Store(self._file) as store:
            desk = self.desk(store)
            for key in ("101", "111", "103", "106", "125"):  # of three customers
                copy(desk, key)
        self._state = sandbox.dump()

    def begun(self, folder: Path) -> Store:
        """Put the services back to the beginning; gives a store that is there too."""
        self.sandbox.reset()
        self.sandbox.load(self._state)
        shutil.copy(self._file, folder / "default.db")
        return Store(folder / "default.db")

    def desk(self, store: Store, **more: Any) -> Desk:
        environment = self.sandbox.environment()
        endpoints = Endpoints(
            sage_api=environment["PSAGE_SAGE_API_URL"],
            productive_api=environment["PSAGE_PRODUCTIVE_API_URL"],
            productive_files=environment["PSAGE_PRODUCTIVE_FILES_URL"],
            productive_upload=environment["PSAGE_PRODUCTIVE_UPLOAD_URL"],
        )
        http = sage_http(
            self._pool,
            endpoints.sage_api,
            credentials=_Signed(self._sign_in.access_token, self._sign_in.business_id),
            calls_per_second=1000,
        )
        return Desk(
            Settings(
                default_ledger_account=self.sandbox.bookkeeper.ledger_account_id(4010),
                default_tax_rate="GB_STANDARD",
                sync_payments=True,
                sync_payments_from=date(2026, 1, 1),
                endpoints=endpoints,
                **more,
            ),
            store,
            ProductiveClient(self._pool, endpoints, Token(PRODUCTIVE_TOKEN, ORGANIZATION_ID)),
            SageClient(http, self._sign_in.business_id),
            self._file.parent,
        )


class Payments(RuleBasedStateMachine):
    """One history; the test sets where it begins."""

    world: "World"
    part = 0

    def __init__(self) -> None:
        super().__init__()
        self.sandbox = self.world.sandbox
        self.folder = tempfile.TemporaryDirectory()
        self.store = self.world.begun(Path(self.folder.name))
        self.by_hand: dict[str, dict[str, Any]] = {}

    def teardown(self) -> None:
        try:
            self.agree(full=True)
        finally:
            self.store.__exit__()
            self.folder.cleanup()
            self.sandbox.clear_calls()

    @initialize(
        touch=st.booleans(), carry=st.booleans(), write_off=st.booleans(), slow=st.booleans()
    )
    def begin(self, touch: bool, carry: bool, write_off: bool, slow: bool) -> None:
        self.days = 3 if slow else 0  # between two syncs; more than they read back
        self.excused: Counter[str] = Counter()
        self.must_be_full = False
        sandbox = self.sandbox
        sandbox.payments_touch_invoices, sandbox.lists_carry_allocations = touch, carry
        how = "write_off" if write_off else "warn"
        self.desk = self.world.desk(self.store, settlement_discount=how)

    @rule(seed=st.integers(0, 2**32))
    def act(self, seed: int) -> None:
        """One act of somebody; all chance comes from the seed."""
        chance = random.Random(f"{self.part} {seed}")  # hypothesis plays the same in each part
        acts: dict[Callable[[random.Random], None], int] = {
            self.pay: 6,
            self.pay_several: 2,
            self.pay_on_account: 3,
            self.edit_a_receipt: 4,
            self.move_a_receipt: 3,
            self.delete_a_receipt: 4,
            self.delete_an_allocation: 2,
            self.void: 1,
            self.copy: 3,
            self.credit: 1,
            self.enter_a_payment: 2,
            self.take_a_payment_back: 1,
            self.meddle: 2,
            self.copy_a_payment: 2,
            self.delete_an_invoice: 1,
            self.sync_on_a_bad_day: 7,
            self.sync: 6,
        }
        (chosen,) = chance.choices([*acts], [*acts.values()])
        chosen(chance)

    # --- the agency copies

    def copy(self, chance: random.Random) -> None:
        key = chance.choice(INVOICES)
        again = chance.choice(["update", "update", "new"])
        copy(self.desk, key, again=again if self.store.copies.of(key) else None)

    def credit(self, chance: random.Random) -> None:
        copy(self.desk, CREDITED)
        copy(self.desk, NOTE, again="update" if self.store.copies.of(NOTE) else None)

    # --- the bookkeeper

    def _open(self) -> list[dict[str, Any]]:
        rows = self.sandbox.sage.invoices.values()
        return [row for row in rows if row["outstanding_amount"] > 1]

    def pay(self, chance: random.Random) -> None:
        if rows := self._open():
            row, percent = chance.choice(rows), chance.choice([100, 50, 33, 120])
            self.sandbox.bookkeeper.pay(
                row["id"],
                max(_part(row, percent), Decimal("0.50")),
                chance.choice(DAYS),
                f"BACS {percent}",
                chance.choice(["0.00", "0.00", "0.25"]),
            )

    def pay_several(self, chance: random.Random) -> None:
        by_contact: dict[str, list[dict[str, Any]]] = {}
        for row in self._open():
            by_contact.setdefault(row["contact"]["id"], []).append(row)
        for rows in by_contact.values():
            if len(rows) > 1:
                shares = [(row["id"], _part(row, 20)) for row in rows[:3]]
                self.sandbox.bookkeeper.pay_many([*shares], chance.choice(DAYS), "several")

    def pay_on_account(self, chance: random.Random) -> None:
        if rows := self._open():
            row, keeper = chance.choice(rows), self.sandbox.bookkeeper
            receipt = keeper.pay_on_account(row["contact"]["id"], "40.00", DAYS[0], "on account")
            on_account = self.sandbox.sage.receipts[receipt]["payment_on_account"]["id"]
            amount = min(row["outstanding_amount"], Decimal("25.00"))
            keeper.allocate(row["id"], on_account, amount, chance.choice(DAYS))

    def _receipts(self) -> list[dict[str, Any]]:
        return [r for r in self.sandbox.sage.receipts.values() if r["allocated_artefacts"]]

    def edit_a_receipt(self, chance: random.Random) -> None:
        if receipts := self._receipts():
            receipt = chance.choice(receipts)
            amount = receipt["allocated_artefacts"][0]["amount"]
            self.sandbox.bookkeeper.edit_receipt(
                receipt["id"],
                chance.choice([None, amount - Decimal("0.07")]) if amount > 1 else None,
                chance.choice([None, *DAYS, EARLIER]),
                chance.choice([None, "edited", "BACS 9"]),
            )

    def move_a_receipt(self, chance: random.Random) -> None:
        if receipts := self._receipts():
            receipt = chance.choice(receipts)
            share = receipt["allocated_artefacts"][0]
            paid = {one["artefact"]["id"] for one in receipt["allocated_artefacts"]}
            others = [
                row
                for row in self._open()
                if row["contact"]["id"] == receipt["contact"]["id"]
                and row["id"] not in paid
                and row["outstanding_amount"] >= share["amount"] + share["discount"]
            ]
            if others:
                to = chance.choice(others)["id"]
                self.sandbox.bookkeeper.move_receipt(receipt["id"], share["artefact"]["id"], to)

    def delete_a_receipt(self, chance: random.Random) -> None:
        if receipts := self._receipts():
            self.sandbox.bookkeeper.delete_receipt(chance.choice(receipts)["id"])

    def delete_an_allocation(self, chance: random.Random) -> None:
        if allocations := [*self.sandbox.sage.allocations]:
            self.sandbox.bookkeeper.delete_allocation(chance.choice(allocations))

    def void(self, chance: random.Random) -> None:
        rows = [row for row in self.sandbox.sage.invoices.values() if row["editable"]]
        if len(rows) > 2:
            self.sandbox.bookkeeper.void(chance.choice(rows)["id"])

    # --- people in Productive

    def _payments(self) -> dict[str, dict[str, Any]]:
        return dict(self.sandbox.productive.payments)

    def enter_a_payment(self, chance: random.Random) -> None:
        choices = [(key, amount) for key in INVOICES for amount in ("12.34", "500.00")]
        for row in self.sandbox.sage.invoices.values():  # what a receipt brings as well
            key = row["reference"].removeprefix("PRD-")
            choices += [(key, one["amount"]) for one in row["payments_allocations"]] * 9
        living = self.sandbox.productive.invoices
        key, amount = chance.choice([one for one in choices if one[0] in living])
        made = self.sandbox.agency.add_payment(key, amount, chance.choice(DAYS), "by hand")
        self.by_hand[made] = self._payments()[made]

    def take_a_payment_back(self, chance: random.Random) -> None:
        if self.by_hand:
            key = chance.choice([*self.by_hand])
            self.must_be_full = True  # no feed shows what people do in Productive
            self.sandbox.agency.delete_payment(key)
            del self.by_hand[key]

    def meddle(self, chance: random.Random) -> None:
        """Somebody changes what psage wrote."""
        found = self._payments().items()
        if ours := [k for k, row in found if _marker(row) and k not in self.by_hand]:
            key, how = chance.choice(ours), chance.choice(["delete", "amount", "note"])
            self.must_be_full = True
            if how == "delete":
                self.sandbox.agency.delete_payment(key)
            elif how == "amount":
                self.sandbox.agency.edit_payment(key, amount="1.23")
            else:
                note = self._payments()[key]["note"]
                self.sandbox.agency.edit_payment(key, note=f"checked by Ann\n{note}\nthanks")

    def copy_a_payment(self, chance: random.Random) -> None:
        """Somebody copies psage's, note and all: it is theirs."""
        ours = [row for key, row in self._payments().items() if _marker(row)]
        if ours:
            row = chance.choice(ours)
            amount = chance.choice([Decimal(row["amount"]) / 100, Decimal("7.77")])
            made = self.sandbox.agency.add_payment(
                row["invoice_id"], amount, chance.choice([row["paid_on"], *DAYS]), row["note"]
            )
            self.by_hand[made] = self._payments()[made]
            self.must_be_full = True

    def delete_an_invoice(self, chance: random.Random) -> None:
        if "106" in self.sandbox.productive.invoices:
            self.sandbox.agency.delete_invoice("106")
            left = self._payments()
            self.by_hand = {key: row for key, row in self.by_hand.items() if key in left}

    # --- the sync

    def sync_on_a_bad_day(self, chance: random.Random) -> None:
        kind, status = chance.choice(FAULTS)
        writes = chance.random() < 0.5
        self.sandbox.fault(
            kind,
            service="productive" if writes else chance.choice(["sage", "productive"]),
            path="/payments" if writes else "/",
            method=chance.choice(["POST", "POST", "PATCH", "DELETE"]) if writes else "GET",
            nth=chance.randint(1, 2 if writes else 6),
            times=chance.choice([1, 2, 8, 8]),
            status=status or 500,
            seconds=chance.choice([1, 30, 240]),
        )
        before = self._ours()
        self._sync(full=chance.random() < 0.3)
        self.sandbox._desk.clear()
        self._check_nothing_is_lost(before)

    def sync(self, chance: random.Random) -> None:
        self.agree(full=chance.random() < 0.3)

    def _sync(self, *, full: bool = False) -> Synced | None:
        """The synced, or None where the run was stopped."""
        synced = Synced(until=self.sandbox.clock.now())
        try:
            payments.sync(payments.SyncOrder(full=full, max_deletes=50), self.desk, synced)
        except PsageError:
            return None
        return synced

    def agree(self, *, full: bool = False) -> None:
        if self.store.intents.open_payments():
            self.sandbox.advance(600)  # nothing that broke off can arrive any more
        before = self._ours()
        synced = self._sync(full=full or self.must_be_full)

        assert synced
        assert synced.failed == []
        self._check_nothing_is_lost(before)
        self._check_equal(synced)
        self._check_not_paid_twice(synced)
        if synced.since is None:
            self._check_what_waits(synced)
        self.sandbox.clear_calls()
        again = self._sync()
        assert again
        assert [*again.failed, *again.created, *again.updated, *again.deleted] == []
        assert [c for c in self.sandbox.calls("productive") if c.method != "GET"] == []
        assert [*self.store.intents.open_payments(), *self.store.errands.waiting()] == []
        self.must_be_full = False
        self.sandbox.advance(self.days * 86_400)

    # --- what must hold, by the sandbox's own records

    def _ours(self) -> dict[str, list[Entry]]:
        """psage's payments in Productive by invoice."""
        found: dict[str, list[Entry]] = {}
        for key, row in self._payments().items():
            if key not in self.by_hand and (marker := _marker(row)):
                amount = Decimal(row["amount"]) / 100
                entry = (marker, amount, row["paid_on"], row["written_off_on"])
                found.setdefault(row["invoice_id"], []).append(entry)
        return found

    def _owed(self, sage_id: str) -> dict[str, Entry]:
        """What Productive has to hold for a copy, by marker, as Sage's records say."""
        document = self.sandbox.sage.invoices.get(sage_id)
        entries: dict[str, Entry] = {}
        for row in document["payments_allocations"] if document else ():
            source = row["contact_payment"] or row["contact_allocation"]
            if not row["contact_payment"] and "credit_note" in row["artefact"]["$path"]:
                continue
            marker = f"psage {source['id']}/{sage_id}"
            if row["amount"]:
                entries[marker] = (marker, Decimal(row["amount"]), row["date"], None)
            if row["discount"]:
                marker += " discount"
                entries[marker] = (marker, Decimal(row["discount"]), None, row["date"])
        return entries

    def _paid_in_one(self, key: str, missing: list[Entry]) -> int:
        """How many discounts a person entered in one payment with what was received.

        Of such a discount nothing is said beside its receipt.
        """
        entered = [
            Decimal(row["amount"]) / 100
            for row in self.sandbox.productive.payments.values()
            if row["invoice_id"] == key and not _marker(row)
        ]
        amounts = {entry[0]: entry[1] for entry in missing}
        return sum(
            amounts[marker] + amounts.get(marker.removesuffix(" discount"), 0) in entered
            for marker in amounts
            if marker.endswith(" discount")
        )

    def _check_equal(self, synced: Synced) -> None:
        said = Counter((one.productive_id, one.code) for one in synced.skipped)
        ours = self._ours()
        for key in INVOICES:
            links = self.store.copies.of(key)
            if not links or key not in self.sandbox.productive.invoices:
                continue
            owed = self._owed(links[-1].sage_id)
            earlier = {k: v for link in links[:-1] for k, v in self._owed(link.sage_id).items()}
            held = ours.get(key, [])
            missing = [
                entry
                for entry in owed.values()
                if entry not in held
                # Of an earlier day none is made, but one that was made is followed.
                and ((entry[2] or entry[3] or "") >= BEGIN or _is_marked(held, entry[0]))
            ]
            surplus = [entry for entry in held if entry not in owed.values()]
            excused = said[key, "paid_in_productive"] + said[key, "settlement_discount"]
            in_one = self._paid_in_one(key, missing)
            if synced.since is None:  # everything was compared, else just what changed
                told = (key, owed, held, synced.skipped)
                assert excused <= len(missing) <= excused + in_one, told
            assert len(missing) <= max(excused + in_one, self.excused[key]), (key, owed, held)
            self.excused[key] = len(missing)
            for entry in surplus:  # a payment of an older copy stays while Sage has it there
                assert entry[0] in earlier, (key, owed, held, synced.skipped)
            if surplus and synced.since is None:
                assert said[key, "not_proven"] == len(surplus)
                assert said[key, "several_copies"]

    def _check_what_waits(self, synced: Synced) -> None:
        """Where the two sides disagree it is said, and nothing of the kind where they agree."""
        said = Counter((one.productive_id, one.code) for one in synced.skipped)
        living, ours = self.sandbox.productive.invoices, self._ours()
        for key in INVOICES:
            links = self.store.copies.of(key)
            copy = self.sandbox.sage.invoices.get(links[-1].sage_id) if links else None
            if copy is None or copy["status"]["id"] == "VOID":
                assert not said[key, "open_in_productive"] + said[key, "no_receipt_in_sage"]
                continue
            is_open = copy["outstanding_amount"] > 0
            if key not in living:
                is_said = said[key, "deleted_in_productive"] + said[key, "not_found"]
                assert is_said or not is_open, (key, synced.skipped)
                continue
            unpaid = Decimal(living[key]["amount_unpaid"]) / 100
            held = ours.get(key, [])
            missing = [e for e in self._owed(links[-1].sage_id).values() if e not in held]
            left = unpaid - sum(entry[1] for entry in missing)
            by_hand = [r for r in self.by_hand.values() if r["invoice_id"] == key]
            if said[key, "open_in_productive"]:
                assert unpaid > 0
                assert not is_open
            elif not is_open:
                assert left <= 0, (key, living[key], missing, synced.skipped)
            if said[key, "no_receipt_in_sage"]:
                assert by_hand
                assert is_open
            elif is_open and not missing and not said[key, "doubled"]:
                assert not by_hand, (key, by_hand, synced.skipped)
            if said[key, "open_in_sage"]:
                assert is_open
                assert unpaid <= 0
            elif is_open and unpaid <= 0:
                told = [*("no_receipt_in_sage", "overpaid", "paid_in_productive", "doubled")]
                told += ["not_proven", "several_copies", "payment_moved"]
                assert any(said[key, code] for code in told), (key, synced.skipped)

    def _check_not_paid_twice(self, synced: Synced) -> None:
        """What a person has entered already was not created beside it."""
        ours = self._ours()
        for change in synced.created:
            key = change.productive_id
            (copy_id,) = {link.sage_id for link in self.store.copies.of(key)[-1:]}
            owed = [entry[1] for entry in self._owed(copy_id).values()]
            held = [entry[1] for entry in ours[key] if copy_id in entry[0]]
            by_hand = [
                Decimal(row["amount"]) / 100
                for row in self.by_hand.values()
                if row["invoice_id"] == key
            ]
            assert (held + by_hand).count(change.amount) <= owed.count(change.amount)

    def _check_nothing_is_lost(self, before: dict[str, list[Entry]]) -> None:
        """Hand-made payments are as they were; no marker twice; nothing that is owed went."""
        payments_now = self._payments()
        assert {key: payments_now[key] for key in self.by_hand} == self.by_hand
        ours = self._ours()
        markers = Counter(entry[0] for entries in ours.values() for entry in entries)
        assert [marker for marker, count in markers.items() if count > 1] == []
        for key, entries in before.items():
            if key not in self.sandbox.productive.invoices:
                continue
            for marker, *_ in entries:
                sage_id = marker.split("/")[1].split()[0]
                if marker in self._owed(sage_id):
                    assert marker in {entry[0] for entry in ours.get(key, [])}


def _part(row: dict[str, Any], percent: int) -> Decimal:
    part: Decimal = (row["outstanding_amount"] * percent / 100).quantize(Decimal("0.01"))
    return part


def _is_marked(held: list[Entry], marker: str) -> bool:
    return marker in {entry[0] for entry in held}


def _marker(row: dict[str, Any]) -> str | None:
    found = MARKER.search(row["note"] or "")
    return found[0] if found else None


@pytest.fixture
def pool(handed_in: dict[str, Any]) -> Iterator[Pool]:
    with connect_pool(handed_in["timing"]) as opened:
        yield opened


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("is_fresh", [False, pytest.param(True, marks=pytest.mark.torture)])
def test_productive_says_what_sage_says_after_any_history(
    part: int,
    is_fresh: bool,
    running_sandbox: Sandbox,
    pool: Pool,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """The same histories each time, or some that nobody has seen."""
    if request.config.getoption("--live"):
        pytest.skip("with --live only the real services are asked")
    sequences = request.config.getoption("--sequences") if is_fresh else SEQUENCES
    Payments.world, Payments.part = World(running_sandbox, pool, tmp_path), part

    run_state_machine_as_test(
        Payments,
        settings=settings(
            max_examples=sequences // PARTS,
            derandomize=not is_fresh,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
        ),
    )
    running_sandbox.reset()
