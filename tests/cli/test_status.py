"""status: what this machine's files know, without a keyring, a connection, or anything changed."""

import hashlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from productive_sage.errors import HomeUnusable
from productive_sage.kept import Finding, SignedIn
from productive_sage.sandbox import CLIENT_ID, CLIENT_SECRET, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.signin.vault import Vault
from productive_sage.store import Store, database
from productive_sage.store.begun import ContactFacts, PaymentFacts
from tests.conftest import A_COPY, MemoryKeyring, Psage, consent, copies, writes

COPY = ("copy-invoice", "123", "--no-tax")
SYNC = ("--sync-payments", "--sync-payments-from", "2026-01-01")
A_CONTACT = ContactFacts("507", "GBP", "GB")
A_NOTE = replace(A_COPY, kind="credit_note")


@pytest.fixture
def nobody_asked(memory_keyring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the keyring nor the network is there."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("status asked somebody")

    monkeypatch.setattr(MemoryKeyring, "get_password", fail)
    monkeypatch.setattr("socket.socket.connect", fail)


@pytest.fixture
def copied(beginning: Callable[..., Sandbox]) -> Sandbox:
    """Invoice 123 is copied."""
    return beginning(COPY)


def contents(home: Path) -> dict[str, str]:
    """Every file with the hash of what is in it."""
    files = [path for path in home.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def knows(home: Path, service: str, signed_in: SignedIn | None) -> None:
    with Store(home / "default.db") as store:
        store.cursors.remember_sign_in(service, signed_in)


def ends_in(**time: float) -> SignedIn:
    return SignedIn("b1", "Harbour & Pine Ltd", "GB", datetime.now(UTC) + timedelta(**time))


# --- connections


def test_nothing_is_connected_on_a_new_machine_and_nothing_is_made(
    home: Path, psage: Psage, nobody_asked: None
) -> None:
    result = psage("status")

    assert result.code == 0
    assert "not connected: `psage connect productive`" in result.out
    assert "not connected: `psage connect sage`" in result.out
    assert not home.exists()


def test_what_connecting_learned_is_told_without_asking_anybody(
    offline: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    address: list[str] = []
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", PRODUCTIVE_TOKEN)
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setattr("productive_sage.terminal.asking.Person.say", address.append)
    monkeypatch.setattr(
        "productive_sage.terminal.asking.Person.line",
        lambda *_: consent(next(line for line in address if line.startswith("http"))),
    )
    connected = psage(
        *("connect", "--organization-id", "4200", "--client-id", CLIENT_ID, "--paste"),
        *("--business", "Harbour & Pine Ltd"),
    )
    assert connected.code == 0
    request.getfixturevalue("nobody_asked")

    result = psage("status", "--json")

    assert result.code == 0
    assert result.json["productive"] == {
        "state": "connected",
        "organization_id": "4200",
        "organization_name": "Harbour & Pine",
        "sign_in_until": None,
        "days_left": None,
        "next": None,
        "asked": False,
        "error": None,
    }
    sage = result.json["sage"]
    assert (sage["state"], sage["business_name"], sage["country"]) == (
        "connected",
        "Harbour & Pine Ltd",
        "GB",
    )
    assert sage["days_left"] == 30
    assert sage["sign_in_until"].endswith("+00:00")


def test_a_run_records_how_long_the_sign_in_lasts_now(services: Sandbox, psage: Psage) -> None:
    vault = Vault("default")
    soon = replace(vault.sage(), refresh_until=(datetime.now(UTC) + timedelta(days=3)).timestamp())
    vault.save(soon)
    assert psage(*COPY).code == 0
    before = psage("status", "--json").json["sage"]
    services.sign_in.expire_access_tokens()
    assert psage("copy-invoice", "124", "--no-tax").code == 0

    after = psage("status", "--json").json["sage"]

    assert (before["days_left"], before["next"]) == (2, "psage connect sage")
    assert (after["days_left"], after["next"]) == (30, None)


def test_a_dry_run_records_it_too(services: Sandbox, psage: Psage) -> None:
    assert psage(*COPY, "--dry-run").code == 0

    assert psage("status", "--json").json["sage"]["state"] == "connected"


def test_a_sign_in_that_sage_ended_is_known_after_the_run_that_met_it(
    copied: Sandbox, psage: Psage
) -> None:
    copied.sign_in.clear()
    assert psage(*COPY).code == 3

    result = psage("status", "--json")

    assert result.code == 0
    assert (result.json["sage"]["state"], result.json["sage"]["days_left"]) == ("ended", 0)
    assert result.json["sage"]["next"] == "psage connect sage"


@pytest.mark.parametrize(
    ("left", "state", "days", "step"),
    [
        ({"days": 8, "minutes": 1}, "connected", 8, None),
        ({"days": 6, "hours": 23}, "connected", 6, "psage connect sage"),
        ({"minutes": 1}, "connected", 0, "psage connect sage"),
        ({"seconds": -1}, "ended", 0, "psage connect sage"),
    ],
)
def test_days_are_whole_ones_and_the_last_week_names_the_command(
    home: Path, psage: Psage, left: dict[str, float], state: str, days: int, step: str | None
) -> None:
    home.mkdir()
    knows(home, "Sage", ends_in(**left))

    sage = psage("status", "--json").json["sage"]

    assert (sage["state"], sage["days_left"], sage["next"]) == (state, days, step)


def test_a_store_of_an_older_psage_does_not_know_and_stays_as_it_is(
    home: Path, psage: Psage, nobody_asked: None
) -> None:
    home.mkdir()
    with sqlite3.connect(home / "default.db", isolation_level=None) as db:
        db.executescript(database.MIGRATIONS[0])
        db.execute("PRAGMA user_version = 1")
    db.close()
    before = contents(home)

    result = psage("status", "--json")

    assert result.code == 0
    assert {result.json[name]["state"] for name in ("productive", "sage")} == {"unknown"}
    assert {result.json[name]["next"] for name in ("productive", "sage")} == {
        "psage status --check"
    }
    assert contents(home) == before


def test_a_subscription_that_has_ended_is_told_without_advice_to_sign_in(
    copied: Sandbox, psage: Psage
) -> None:
    copied.bookkeeper.end_subscription()

    result = psage("status", "--check", "--json")

    assert result.code == 4
    assert result.json["error"]["code"] == "no_subscription"
    assert result.json["sage"]["state"] == "connected"
    assert "psage connect" not in result.out


def test_after_disconnecting_nothing_is_connected(copied: Sandbox, psage: Psage) -> None:
    assert psage("disconnect", "sage", "--yes").code == 0

    result = psage("status", "--json")

    assert result.json["productive"]["state"] == "connected"
    assert result.json["sage"]["state"] == "not_connected"
    assert result.json["sage"]["business_name"] is None
    assert result.json["documents"]["invoices"] == 1


# --- what there is


def test_settings_copies_and_the_last_sync_are_told(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    assert psage("configure", "--default-ledger", "4010", *SYNC).code == 0
    assert psage("sync-payments").code == 0
    assert psage("copy-invoice", "111", "--no-tax").code == 0
    assert psage("credit-note", "110").code == 0

    told, said = psage("status", "--json").json, psage("status").out

    assert told["documents"] == {"invoices": 2, "credit_notes": 1}
    assert told["settings"]["sync_payments_from"] == "2026-01-01"
    assert told["file"] == str(home / "default.toml")
    assert told["payments"]["sync"] is True
    since = datetime.now(UTC) - datetime.fromisoformat(told["payments"]["last_sync"])
    assert since < timedelta(minutes=1)
    assert told["payments"]["last_full_comparison"] == told["payments"]["last_sync"]
    assert told["waiting"] == []
    assert "2 invoices and 1 credit note" in said
    assert "sales to Sales - Services (4010)" in said
    assert "last synchronised" in said
    assert "Waiting     nothing" in said


def test_a_sign_in_that_renews_itself_is_said_to_and_one_that_ends_soon_to_end(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    knows(home, "Sage", ends_in(days=20))
    said = psage("status").out
    assert "renews itself with every run" in said
    assert "sign in again" not in said

    knows(home, "Sage", ends_in(days=6, hours=1))
    said = psage("status").out
    assert "sign in again within 6 days, by " in said
    assert "renews itself" not in said


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="no zone can be chosen here")
def test_times_are_of_the_persons_own_zone_and_utc_in_json(
    copied: Sandbox, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(home / "default.db") as store:
        store.cursors.set({"payments until": "2026-03-01T20:30:00+00:00"})
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        said, told = psage("status").out, psage("status", "--json").json
    finally:
        monkeypatch.undo()
        time.tzset()

    assert "last synchronised 2026-03-02 05:30" in said
    assert "UTC" not in said
    assert told["payments"]["last_sync"] == "2026-03-01T20:30:00+00:00"


def test_looking_changes_no_file_and_makes_none(
    copied: Sandbox, psage: Psage, home: Path, nobody_asked: None
) -> None:
    before = contents(home)

    for form in ((), ("--json",), ("--all-profiles",)):
        assert psage("status", *form).code == 0

    assert contents(home) == before
    assert copied.calls() == []


def test_a_store_that_is_only_read_refuses_to_write_and_is_not_made(
    copied: Sandbox, home: Path
) -> None:
    with Store(home / "default.db", read_only=True) as store:
        with pytest.raises(HomeUnusable, match="readonly"):
            store.cursors.set({"a": "b"})
        assert store.cursors.get("a") is None
    with pytest.raises(HomeUnusable, match="unable to open"):
        Store(home / "other.db", read_only=True)

    assert not (home / "other.db").exists()


def test_a_run_under_way_does_not_keep_anybody_from_looking(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    with Store(home / "default.db") as busy, busy.db.write():
        assert psage("status").code == 0


def test_quiet_says_nothing_where_nobody_is_needed(copied: Sandbox, psage: Psage) -> None:
    result = psage("--quiet", "status")

    assert (result.code, result.out, result.err) == (0, "", "")


def test_quiet_says_what_needs_somebody(copied: Sandbox, psage: Psage, home: Path) -> None:
    knows(home, "Sage", ends_in(days=2, hours=1))

    result = psage("--quiet", "status")

    assert len(result.out.splitlines()) == 1
    assert "sign in again within 2 days" in result.out
    assert "`psage connect sage`" in result.out


# --- what waits


def test_a_lost_answer_waits_with_the_command_that_finds_out(
    services: Sandbox, psage: Psage
) -> None:
    services.fault("cut_before", method="POST", path="/sales_invoices", times=9)
    assert psage(*COPY).code == 8

    result = psage("status", "--json")
    (waits,) = result.json["waiting"]

    assert result.code == 0
    assert (waits["code"], waits["productive_id"]) == ("outcome_unknown", "123")
    assert waits["next"] == "psage copy-invoice INV-2026-023"
    assert "INV-2026-023" in waits["message"]
    services._desk._faults.clear()
    assert psage(*waits["next"].split()[1:]).code == 0
    assert psage("status", "--json").json["waiting"] == []
    assert len(copies(services, "123")) == 1


@pytest.mark.parametrize(
    ("kind", "source", "facts", "command", "words"),
    [
        ("invoice", "7", A_COPY, "copy-invoice INV-7", "invoice INV-7: its copy was sent"),
        ("update", "7", A_COPY, "copy-invoice INV-7", "the update of its copy was sent"),
        ("credit_note", "8", A_NOTE, "credit-note INV-7", "credit note INV-7"),
        ("update", "8", A_NOTE, "credit-note INV-7", "credit note INV-7"),
        (
            "contact",
            "507 GBP",
            ContactFacts("507", "GBP", "GB"),
            "copy-invoice ID",
            "company 507 in GBP",
        ),
        ("payment", "psage r/s", PaymentFacts("9"), "sync-payments --invoice 9", "invoice 9"),
    ],
)
def test_every_kind_of_write_without_an_answer_waits(
    home: Path,
    psage: Psage,
    kind: str,
    source: str,
    facts: Any,
    command: str,
    words: str,
) -> None:
    home.mkdir()
    with Store(home / "default.db") as store:
        store.intents.begin(kind, source, "b1", payload={}, facts=facts)

    (waits,) = [one for one in psage("status", "--json").json["waiting"] if one["since"]]

    assert waits["code"] == "outcome_unknown"
    assert waits["next"] == f"psage {command}"
    assert words in waits["message"]


def test_a_credit_note_that_is_not_set_against_its_invoice_waits(
    services: Sandbox, psage: Psage
) -> None:
    assert psage("copy-invoice", "111", "--no-tax").code == 0
    services.fault("status", method="POST", path="/contact_allocations", status=403)
    assert psage("credit-note", "110").code == 0

    (waits,) = psage("status", "--json").json["waiting"]

    assert (waits["code"], waits["next"]) == ("unfinished", "psage credit-note CN-2026-001")
    assert "is not set against the invoice it credits" in waits["message"]
    assert psage(*waits["next"].split()[1:]).code == 0
    assert psage("status", "--json").json["waiting"] == []


@pytest.mark.parametrize(
    ("pending", "words"),
    [
        ({"mark"}, "is not marked as copied in Productive"),
        ({"number", "pdf"}, "Productive does not show yet, and has no PDF yet"),
        ({"created"}, None),
    ],
)
def test_what_is_left_to_do_after_a_copy_waits_but_not_what_only_was_not_told(
    copied: Sandbox, psage: Psage, home: Path, pending: set[str], words: str | None
) -> None:
    with Store(home / "default.db") as store:
        (link,) = store.copies.of("123")
        store.copies.change(link, pending=pending)

    waiting = psage("status", "--json").json["waiting"]

    assert [words in one["message"] for one in waiting if words] == ([True] if words else [])
    assert len(waiting) == (1 if words else 0)


def test_payments_that_failed_and_what_the_sync_found_wait(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    with Store(home / "default.db") as store:
        store.errands.keep_waiting("123", "service_unavailable", "invoice `INV-7`: no answer")
        overpaid = Finding("overpaid", "invoice `INV-8`: paid too much", "look at `psage open 124`")
        store.errands.replace_findings("124", [overpaid])

    result = psage("status", "--json")
    said = psage("status").out

    assert [(one["code"], one["next"]) for one in result.json["waiting"]] == [
        ("service_unavailable", "psage sync-payments --invoice INV-2026-023"),
        ("overpaid", "look at `psage open 124`"),
    ]
    assert all(one["since"] for one in result.json["waiting"])
    assert "2 things for you" in said
    assert "next: psage sync-payments --invoice INV-2026-023" in said


def test_the_missing_account_and_an_unknown_key_wait(home: Path, psage: Psage) -> None:
    home.mkdir()
    (home / "default.toml").write_text('defualt_ledger_account = "x"\n')

    result = psage("status", "--json")

    assert result.code == 0
    assert [one["code"] for one in result.json["waiting"]] == [
        "no_default_ledger",
        "unknown_setting",
    ]
    assert result.err == ""


def test_records_that_were_lost_are_missed(services: Sandbox, psage: Psage, home: Path) -> None:
    def missed() -> list[str | None]:
        waiting = psage("status", "--json").json["waiting"]
        return [one["next"] for one in waiting if one["code"] == "no_records"]

    assert missed() == []
    assert psage("copy-invoice", "101", "--no-tax", "--no-pdf").code == 0
    assert missed() == []
    for file in home.glob("default.db*"):
        file.unlink()

    assert missed() == ["psage rebuild"]
    assert psage("rebuild", "--yes").code == 0
    assert missed() == []


def test_the_commands_name_the_profile(home: Path, psage: Psage) -> None:
    home.mkdir()
    with Store(home / "labs.db") as store:
        store.errands.keep_waiting(
            "7", "copy_gone", "gone; `psage copy-invoice 7 --create-new` helps"
        )

    result = psage("--profile", "labs", "status")
    told = psage("--profile", "labs", "status", "--json").json

    assert told["waiting"][-1]["next"] == "psage --profile labs sync-payments --invoice 7"
    assert told["sage"]["next"] == "psage --profile labs connect sage"
    assert "`psage --profile labs copy-invoice 7 --create-new` helps" in result.out


def test_what_a_service_named_cannot_move_the_cursor(home: Path, psage: Psage) -> None:
    home.mkdir()
    knows(home, "Productive", SignedIn("1", "Evil\x1b[2J Ltd"))
    with Store(home / "default.db") as store:
        store.errands.keep_waiting("7", "refused_by_sage", "said \x1b[2J")

    said = psage("status").out

    assert "\x1b" not in said
    assert "Evil[2J Ltd" in said


# --- what cannot be read


def test_settings_that_cannot_be_read_hide_nothing_else(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    (home / "default.toml").write_text("numbering = 7\n")

    result = psage("status", "--json")
    said = psage("status")

    assert result.code == 2
    assert result.json["error"]["code"] == "config_invalid"
    assert result.json["settings"] is None
    assert result.json["documents"]["invoices"] == 1
    assert result.json["sage"]["state"] == "connected"
    assert (said.code, "numbering" in said.err, "1 invoice " in said.out) == (2, True, True)


def test_a_damaged_store_hides_nothing_else(services: Sandbox, psage: Psage, home: Path) -> None:
    (home / "default.db").write_bytes(b"no database at all" * 100)

    result = psage("status", "--json")

    assert result.code == 2
    assert result.json["error"]["code"] == "home_unusable"
    assert result.json["settings"]["default_ledger_account"]
    assert result.json["sage"]["state"] == "unknown"


def test_a_profile_name_that_is_none_is_refused(home: Path, psage: Psage) -> None:
    result = psage("--profile", "../other", "status", "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "usage")
    assert not home.exists()


# --- all profiles


@pytest.fixture
def two_profiles(home: Path) -> Path:
    home.mkdir()
    for profile in ("acme", "labs"):
        with Store(home / f"{profile}.db") as store:
            store.cursors.remember_sign_in("Productive", SignedIn("1", profile.upper()))
    (home / "acme.v1.db").write_bytes(b"an older store, saved")
    (home / "tax.toml").write_text('numbering = "productive"\n')
    return home


def test_every_profile_of_the_home_is_shown(two_profiles: Path, psage: Psage) -> None:
    result = psage("status", "--all-profiles", "--json")
    said = psage("status", "--all-profiles").out

    rows = result.json["profiles"]
    assert result.code == 0
    assert [(row["profile"], row["productive"]["organization_name"]) for row in rows] == [
        ("acme", "ACME"),
        ("labs", "LABS"),
        ("tax", None),
    ]
    assert rows[2]["settings"]["numbering"] == "productive"
    assert said.count("Profile ") == 3


def test_a_profile_that_cannot_be_read_hides_no_other(two_profiles: Path, psage: Psage) -> None:
    (two_profiles / "acme.db").write_bytes(b"no database at all" * 100)

    result = psage("status", "--all-profiles", "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "home_unusable")
    assert "error" in result.json["profiles"][0]
    assert "profile `acme`: psage's records" in psage("status", "--all-profiles").err
    assert result.json["profiles"][1]["productive"]["organization_name"] == "LABS"


def test_without_any_profile_the_present_one_is_shown(home: Path, psage: Psage) -> None:
    rows = psage("--profile", "new", "status", "--all-profiles", "--json").json["profiles"]

    assert [row["profile"] for row in rows] == ["new"]
    assert not home.exists()


# --- asking


def test_check_asks_both_services_and_only_reads(services: Sandbox, psage: Psage) -> None:
    result = psage("status", "--check", "--json")

    assert result.code == 0
    assert [result.json[name]["asked"] for name in ("productive", "sage")] == [True, True]
    assert services.calls("productive", path="/organization_memberships")
    assert services.calls("sage", path="/businesses/")
    assert writes(services) == []


def test_check_finds_out_what_a_store_does_not_know(connected: Sandbox, psage: Psage) -> None:
    assert psage("status", "--json").json["sage"]["state"] == "not_connected"

    asked = psage("status", "--check")
    after = psage("status", "--json").json

    assert asked.code == 0
    assert asked.out.count("it answered just now") == 2
    assert after["sage"]["business_name"] == "Harbour & Pine Ltd"
    assert after["productive"]["organization_name"] == "Harbour & Pine"


def test_check_without_a_sign_in_makes_nothing(offline: Sandbox, psage: Psage, home: Path) -> None:
    result = psage("status", "--check", "--json")

    assert (result.code, result.json["error"]["code"]) == (3, "not_connected")
    assert not home.exists()
    assert offline.calls() == []


def test_check_forgets_a_sign_in_the_keyring_lost(
    copied: Sandbox, psage: Psage, memory_keyring: MemoryKeyring
) -> None:
    memory_keyring.entries.clear()

    asked = psage("status", "--check")

    assert asked.code == 3
    assert "Sage is not connected: `psage connect sage`" in asked.out
    assert psage("status", "--json").json["sage"]["state"] == "not_connected"


@pytest.mark.parametrize(
    ("fault", "code", "state"),
    [
        ({"service": "productive", "status": 401}, 3, "ended"),
        ({"service": "productive", "status": 403}, 3, "connected"),
        ({"service": "productive", "status": 500, "times": 9}, 5, "connected"),
    ],
)
def test_check_says_what_is_wrong_with_one_service_and_asks_the_other(
    copied: Sandbox,
    psage: Psage,
    fault: dict[str, Any],
    code: int,
    state: str,
) -> None:
    copied.fault("status", path="/organization_memberships", **fault)

    result = psage("status", "--check", "--json")

    assert result.code == code
    assert result.json["productive"]["state"] == state
    assert result.json["productive"]["error"]["message"]
    assert result.json["sage"]["asked"] is True
    assert result.json["sage"]["error"] is None


def test_check_meets_a_sign_in_that_sage_ended(copied: Sandbox, psage: Psage) -> None:
    copied.sign_in.clear()

    result = psage("status", "--check", "--json")
    said = psage("status", "--check")

    assert result.code == 3
    assert result.json["sage"]["state"] == "ended"
    assert result.json["productive"]["error"] is None
    assert "the sign-in to Sage is no longer valid" in said.out
    assert said.err == ""


def test_check_without_a_network_ends_with_5_and_at_once(
    copied: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setenv("PSAGE_SAGE_API_URL", "http://127.0.0.1:9/v3.1")

    result = psage("status", "--check", "--json")

    assert (result.code, result.json["error"]["code"]) == (5, "network")
    assert result.json["sage"]["state"] == "connected"
    assert result.json["productive"]["error"] is None
    assert waits == []


def test_check_with_a_broken_keyring_says_so_for_both(
    copied: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: MemoryKeyring, service: str, username: str) -> str:
        raise OSError("locked away")

    monkeypatch.setattr(MemoryKeyring, "get_password", fail)

    result = psage("status", "--check", "--json")

    assert (result.code, result.json["error"]["code"]) == (3, "keyring_unavailable")
    assert result.json["sage"]["state"] == "connected"
    assert copied.calls() == []


def test_check_renews_the_sign_in_and_stores_it(copied: Sandbox, psage: Psage) -> None:
    before = Vault("default").sage()
    copied.sign_in.expire_access_tokens()

    assert psage("status", "--check").code == 0

    assert Vault("default").sage().refresh_token != before.refresh_token


def test_check_with_settings_that_cannot_be_read_asks_nobody(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    (home / "default.toml").write_text("numbering = 7\n")

    result = psage("status", "--check", "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "config_invalid")
    assert copied.calls() == []


def test_of_a_damaged_store_nothing_is_told_as_known(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    for file in home.glob("default.db-*"):
        file.unlink()
    (home / "default.db").write_bytes(b"no store at all" * 100)

    plain, asked, document = psage("status"), psage("status", "--check"), psage("status", "--json")

    assert "not known, since psage's records cannot be read" in plain.out
    assert "never synchronised" not in plain.out
    assert "`psage status --check`" in plain.out
    assert "not known from psage's records; it answered just now" in asked.out
    assert "status --check" not in asked.out
    assert document.json["documents"] == {"invoices": None, "credit_notes": None}
    assert (plain.code, asked.code, document.code) == (2, 2, 2)
