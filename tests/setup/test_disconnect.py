"""disconnect: revoked at Sage, forgotten here, and what was copied stays known."""

import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pexpect
import pytest
import typer

from productive_sage.cli.session import Session
from productive_sage.errors import KeyringUnavailable, NotConnected
from productive_sage.sandbox import (
    CLIENT_ID,
    CLIENT_SECRET,
    ORGANIZATION_ID,
    PRODUCTIVE_TOKEN,
    Sandbox,
)
from productive_sage.signin.vault import ProductiveSignIn, SageSignIn, Vault
from productive_sage.store import Store
from tests.conftest import MemoryKeyring, Psage, copies, sage_sign_in
from tests.harness.browser import LABS, allow, browser_of, free_port
from tests.harness.processes import Hold, end, kill, run, share_the_keyring, started

COPY = ("copy-invoice", "123", "--no-tax", "--json")


@pytest.fixture
def shared(sandbox: Sandbox, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share_the_keyring(sandbox, tmp_path, monkeypatch)


@pytest.fixture
def confirms(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> list[bool]:
    """Somebody at a terminal says these to each yes-or-no question."""
    said: list[bool] = []
    monkeypatch.setattr("typer.confirm", lambda *args, **kwargs: said.pop(0))
    return said


def is_connected(read: Callable[[], object]) -> bool:
    try:
        read()
    except NotConnected:
        return False
    return True


# --- forgetting


def test_both_are_forgotten_and_sage_hears_of_it(
    connected: Sandbox, psage: Psage, memory_keyring: MemoryKeyring
) -> None:
    sign_in = Vault("default").sage()

    result = psage("disconnect", "--yes", "--json")

    assert result.code == 0
    assert result.json["disconnected"] == ["productive", "sage"]
    assert result.json["removed"] == []
    assert result.json["warnings"] == []
    assert memory_keyring.entries == {}
    (revocation,) = connected.calls("auth", "POST", "/revoke")
    assert revocation.status == 200
    assert sign_in.refresh_token.encode() in revocation.body
    assert connected.sign_in.scope_of(sign_in.access_token) is None


@pytest.mark.parametrize("service", ["productive", "sage"])
def test_one_service_is_forgotten_and_the_other_stays(
    connected: Sandbox, psage: Psage, service: str
) -> None:
    result = psage("disconnect", service, "--yes")

    vault = Vault("default")
    assert result.code == 0
    assert f"Disconnected from {service.capitalize()}" in result.out
    assert is_connected(vault.productive) == (service == "sage")
    assert is_connected(vault.sage) == (service == "productive")
    assert bool(connected.calls("auth", path="/revoke")) == (service == "sage")


def test_that_productives_token_lives_on_is_said(connected: Sandbox, psage: Psage) -> None:
    result = psage("disconnect", "productive", "--yes")

    assert "Its API token stays valid until you delete it there" in result.err


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 400, "body": {"error": "invalid_request"}},
        {"kind": "status", "status": 401, "body": {"error": "invalid_client"}},
        {"kind": "status", "status": 429, "headers": {"Retry-After": "999"}},
        {"kind": "status", "status": 200, "body": {"success": "no"}},
        {"kind": "status", "status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
        {"kind": "cut_before"},
        {"kind": "cut_after"},
        {"kind": "html"},
    ],
    ids=lambda fault: f"{fault['kind']} {fault.get('status', '')}",
)
def test_a_revoke_that_fails_still_forgets_and_says_where_to_remove_the_access(
    connected: Sandbox, psage: Psage, memory_keyring: MemoryKeyring, fault: dict[str, Any]
) -> None:
    connected.fault(service="auth", path="/revoke", **fault)

    result = psage("disconnect", "sage", "--yes", "--json")

    assert result.code == 0
    assert result.json["disconnected"] == ["sage"]
    (warning,) = result.json["warnings"]
    assert warning["code"] == "not_revoked"
    assert "may be removed in Sage" in warning["message"]
    assert not [entry for entry, _ in memory_keyring.entries if "/sage" in entry]


def test_without_a_network_the_sign_in_is_forgotten_and_that_is_said(
    connected: Sandbox,
    psage: Psage,
    monkeypatch: pytest.MonkeyPatch,
    memory_keyring: MemoryKeyring,
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv(
            "PSAGE_SAGE_REVOKE_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}/revoke"
        )

        result = psage("disconnect", "--yes")

    assert result.code == 0
    assert "warning: psage has forgotten its sign-in to Sage" in result.err
    assert "cannot be reached" in result.err
    assert memory_keyring.entries == {}


def test_nothing_connected_is_said_and_is_no_error(
    offline: Sandbox, psage: Psage, memory_keyring: MemoryKeyring
) -> None:
    for_people, for_scripts = psage("disconnect"), psage("disconnect", "--json")

    assert (for_people.code, for_scripts.code) == (0, 0)
    assert for_people.out == "Nothing is connected; nothing was changed\n"
    assert for_scripts.json["disconnected"] == []
    assert offline.calls() == []


def test_a_damaged_entry_is_forgotten_too(
    connected: Sandbox, psage: Psage, memory_keyring: MemoryKeyring
) -> None:
    (key,) = [entry for entry in memory_keyring.entries if "/sage/A/0" in entry[0]]
    memory_keyring.entries[key] = "tampered"

    result = psage("disconnect", "sage", "--yes", "--json")

    assert result.code == 0
    assert "damaged" in result.json["warnings"][0]["message"]
    assert not [entry for entry, _ in memory_keyring.entries if "/sage" in entry]


def test_a_keyring_that_does_not_answer_is_exit_3_and_nothing_is_revoked(
    connected: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: MemoryKeyring, *entry: str) -> str | None:
        raise OSError("the keyring is gone")

    monkeypatch.setattr(MemoryKeyring, "get_password", fail)

    result = psage("disconnect", "--yes", "--json")

    assert result.code == 3
    assert result.json["error"]["code"] == "keyring_unavailable"
    assert connected.calls("auth") == []


def test_a_keyring_that_keeps_what_it_is_told_to_delete_is_said(
    connected: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryKeyring, "delete_password", lambda *entry: None)

    result = psage("disconnect", "productive", "--yes", "--json")

    assert result.code == 3
    assert "still has it" in result.json["error"]["message"]


# --- asking


def test_a_person_is_asked_and_may_say_no(
    connected: Sandbox, psage: Psage, confirms: list[bool], memory_keyring: MemoryKeyring
) -> None:
    before = dict(memory_keyring.entries)
    confirms += [False, True]

    no, yes = psage("disconnect"), psage("disconnect")

    assert no.code == 4
    assert "not confirmed, so nothing was changed" in no.err
    assert before
    assert yes.code == 0
    assert memory_keyring.entries == {}


@pytest.mark.parametrize("flags", [(), ("--purge",)], ids=["", "purge"])
def test_with_nobody_to_ask_the_flag_is_named(
    connected: Sandbox, psage: Psage, memory_keyring: MemoryKeyring, flags: tuple[str, ...]
) -> None:
    before = dict(memory_keyring.entries)

    result = psage("--no-input", "disconnect", *flags, "--json")

    assert result.code == 2
    assert result.json["error"]["code"] == "input_needed"
    assert "--yes" in result.json["error"]["hint"]
    assert memory_keyring.entries == before
    assert connected.calls() == []


# --- what stays


def test_connecting_again_makes_no_doubles(services: Sandbox, psage: Psage) -> None:
    assert psage(*COPY).code == 0
    assert psage("disconnect", "--yes").code == 0
    assert psage(*COPY).code == 3
    vault = Vault("default")
    vault.save(ProductiveSignIn(PRODUCTIVE_TOKEN, ORGANIZATION_ID, "Harbour & Pine"))
    vault.save(sage_sign_in(services))

    again = psage(*COPY)

    assert again.code == 4
    assert again.only["error"]["code"] == "already_copied"
    assert len(copies(services, "123")) == 1


def test_links_history_and_settings_stay(services: Sandbox, psage: Psage, home: Path) -> None:
    psage(*COPY)
    settings = (home / "default.toml").read_bytes()

    result = psage("disconnect", "--yes")

    assert "Removed" not in result.out
    assert (home / "default.toml").read_bytes() == settings
    with Store(home / "default.db") as store:
        assert store.copies.latest("123")


def test_another_business_is_refused_after_a_disconnect_too(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    psage(*COPY)
    psage("disconnect", "--yes")
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)
    browser_of(monkeypatch)(allow)

    result = psage(
        *("connect", "sage", "--client-id", CLIENT_ID, "--port", str(free_port())),
        *("--business", LABS, "--json"),
    )

    assert result.code == 4
    assert result.json["error"]["code"] == "different_business"
    assert not is_connected(Vault("default").sage)


def test_another_organisation_is_refused_after_a_disconnect_too(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", PRODUCTIVE_TOKEN)
    psage("connect", "productive", "--organization-id", ORGANIZATION_ID)
    psage(*COPY)
    psage("disconnect", "--yes")

    result = psage("connect", "productive", "--organization-id", "4300", "--json")

    assert result.code == 4
    assert result.json["error"]["code"] == "different_organization"


# --- purging


def test_purge_removes_links_history_and_settings_of_this_profile_alone(
    services: Sandbox, psage: Psage, home: Path, memory_keyring: MemoryKeyring
) -> None:
    psage(*COPY)
    for name in ("default.v2.db", "default-2.db", "default-2.toml", "default2.db"):
        (home / name).touch()

    result = psage("disconnect", "--purge", "--yes", "--json")

    assert result.code == 0
    removed = {Path(path).name for path in result.json["removed"]}
    assert {"default.db", "default.v2.db", "default.toml"} <= removed
    left = {path.name for path in home.iterdir() if path.is_file()}
    assert left == {
        "default.lock",
        *("default-2.db", "default-2.toml", "default2.db"),
    }
    assert memory_keyring.entries == {}


def test_purge_asks_for_the_name_of_the_profile(
    services: Sandbox, psage: Psage, home: Path, answers: list[str]
) -> None:
    answers += ["yes", "default"]

    wrong = psage("disconnect", "--purge")
    assert wrong.code == 4
    assert is_connected(Vault("default").sage)
    assert (home / "default.toml").exists()
    right = psage("disconnect", "--purge")

    assert "profile `default`" in wrong.err
    assert right.code == 0
    assert not (home / "default.toml").exists()
    assert not is_connected(Vault("default").sage)


def test_purge_works_where_nothing_is_connected(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("disconnect", "--yes")

    result = psage("disconnect", "--purge", "--yes")

    assert result.code == 0
    assert f"Removed {home / 'default.toml'}" in result.out
    assert psage("disconnect", "--purge", "--yes").out.startswith("Nothing is connected")


def test_purge_leaves_a_settings_file_named_by_hand(
    services: Sandbox, psage: Psage, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('numbering = "sage"\n')

    result = psage("--config", str(own), "disconnect", "--purge", "--yes")

    assert result.code == 0
    assert own.exists()


def test_purge_of_one_service_makes_no_sense(connected: Sandbox, psage: Psage) -> None:
    result = psage("disconnect", "sage", "--purge", "--yes")

    assert result.code == 2
    assert is_connected(Vault("default").sage)


def test_a_purged_profile_finds_its_copies_again_in_sage(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    settings = (home / "default.toml").read_text()
    psage(*COPY)
    psage("disconnect", "--purge", "--yes")
    vault = Vault("default")
    vault.save(ProductiveSignIn(PRODUCTIVE_TOKEN, ORGANIZATION_ID, "Harbour & Pine"))
    vault.save(sage_sign_in(services))
    (home / "default.toml").write_text(settings)

    again = psage(*COPY)

    assert again.only["action"] == "adopted" or again.only["error"]["code"] == "already_copied"
    assert len(copies(services, "123")) == 1


# --- killed in between, and others at work


def test_a_deletion_that_is_cut_short_leaves_no_half_sign_in_and_nothing_out_of_reach(
    memory_keyring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("productive_sage.signin.vault._CHUNK", 1200)
    vault = Vault("default")
    long = SageSignIn("id", "secret", "a" * 2048, 1.0, "r" * 2048, 2.0, "business", "Name", "GB")
    short = SageSignIn("id", "secret", "b" * 900, 1.0, "s" * 900, 2.0, "business", "Name", "GB")
    delete = MemoryKeyring.delete_password
    seen = set()
    for crash_at in range(12):
        vault.save(long)
        vault.save(long)
        vault.save(short)  # its slot holds more chunks than it needs
        left = [crash_at]

        def limited(self: MemoryKeyring, *entry: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise RuntimeError("crash")
            delete(self, *entry)

        monkeypatch.setattr(MemoryKeyring, "delete_password", limited)
        with suppress(KeyringUnavailable):
            vault.forget("sage")
        monkeypatch.setattr(MemoryKeyring, "delete_password", delete)
        state = "whole" if is_connected(vault.sage) else "gone"
        if state == "whole":
            assert vault.sage() == short
        assert vault.holds("sage") == bool(memory_keyring.entries)
        seen.add((state, bool(memory_keyring.entries)))

        vault.forget("sage")
        assert memory_keyring.entries == {}
    assert seen == {("whole", True), ("gone", True), ("gone", False)}


def test_a_first_sign_in_whose_storing_was_cut_short_is_forgotten_too(
    memory_keyring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault("default")
    vault.save(ProductiveSignIn("token", "4200", "x"))
    del memory_keyring.entries["psage/default/productive", "psage"]

    assert vault.holds("productive")
    vault.forget("productive")

    assert memory_keyring.entries == {}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_disconnect_killed_at_the_revocation_can_be_run_again(
    shared: None, services: Sandbox, tmp_path: Path, when: str
) -> None:
    with (
        Hold(services, path="/revoke", when=when) as hold,
        started("disconnect", "sage", "--yes") as process,
    ):
        hold.reached(process)
        kill(process)
        hold.lose()
    assert is_connected(Vault("default").sage)

    result = run("disconnect", "sage", "--yes", "--json")

    assert result.code == 0
    assert result.json["disconnected"] == ["sage"]
    assert result.json["warnings"] == []
    assert "/sage" not in (tmp_path / "keyring.json").read_text()


def test_a_run_at_work_is_not_disconnected_under_its_hands(
    shared: None, services: Sandbox, psage: Psage
) -> None:
    with Hold(services, when="before") as hold, started(*COPY) as process:
        hold.reached(process)
        result = psage("disconnect", "--yes", "--json")
        hold.let_go()
        finished = end(process)

    assert result.code == 5
    assert result.json["error"]["code"] == "locked"
    assert finished.code == 0
    assert is_connected(Vault("default").sage)


def test_a_renewal_under_way_does_not_bring_the_sign_in_back(
    shared: None, services: Sandbox, psage: Psage
) -> None:
    services.sign_in.expire_access_tokens()
    peek = ("copy-invoice", "101", "--dry-run", "--json")  # takes no lock but the token's

    with Hold(services, path="/token", when="after") as hold, started(*peek) as renewing:
        hold.reached(renewing)
        with started("disconnect", "sage", "--yes") as leaving:
            with suppress(subprocess.TimeoutExpired):
                leaving.wait(3)  # it would be done by now, but for the lock
            waits = leaving.poll() is None
            hold.let_go()
            done = end(leaving)
        end(renewing)

    assert waits
    assert done.code == 0
    assert not is_connected(Vault("default").sage)


def test_at_a_terminal_the_question_names_what_goes_and_what_stays(
    shared: None, connected: Sandbox
) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "productive_sage", "disconnect"],
        dimensions=(24, 100),
        encoding="utf-8",
        timeout=30,
    )
    try:
        child.expect_exact(
            "Disconnect Productive and Sage? psage's records and settings stay [y/N]: "
        )
        child.sendline("y")
        child.expect_exact("Disconnected from Sage")
        child.expect(pexpect.EOF)
        child.close()
    finally:
        child.close(force=True)

    assert child.exitstatus == 0
    assert not is_connected(Vault("default").sage)


@pytest.mark.parametrize("text", ["numbering = ", 'pdf = "fax"'])
def test_settings_that_cannot_be_understood_keep_nobody_from_leaving(
    connected: Sandbox, psage: Psage, home: Path, text: str
) -> None:
    (home / "default.toml").write_text(text)

    result = psage("disconnect", "--yes")

    assert result.code == 0
    assert "could not revoke it (the settings" in result.err
    assert not is_connected(Vault("default").sage)
    assert not is_connected(Vault("default").productive)
    assert connected.calls("auth", path="/revoke") == []  # who knows whose address that is


@pytest.mark.parametrize("flags", [(), ("--purge",)], ids=["", "purge"])
def test_ctrl_c_at_the_question_says_that_nothing_was_done(
    connected: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise typer.Abort

    monkeypatch.setattr(Session, "can_ask", property(lambda self: True))
    monkeypatch.setattr("typer.confirm", interrupted)
    monkeypatch.setattr("typer.prompt", interrupted)

    result = psage("disconnect", *flags)

    assert result.code == 130
    assert "interrupted; nothing was changed" in result.err
    assert is_connected(Vault("default").sage)
