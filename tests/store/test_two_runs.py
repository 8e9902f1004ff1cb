"""One writing run at a time on a profile; the second one is told who holds it."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from productive_sage.sandbox import ORGANIZATION_ID, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.signin.vault import ProductiveSignIn, Vault
from productive_sage.store import Store
from tests.conftest import Psage, copies, sage_sign_in
from tests.harness.processes import Hold, end, kill, share_the_keyring, started

COPY = ("copy-invoice", "123", "--no-tax", "--json")


@pytest.fixture
def shared(sandbox: Sandbox, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share_the_keyring(sandbox, tmp_path, monkeypatch)


@pytest.fixture
def open_books(shared: None, services: Sandbox) -> Sandbox:
    """Ready to copy, by any process."""
    return services


@pytest.fixture
def other_profile(open_books: Sandbox, home: Path) -> str:
    """A second profile, signed in by itself."""
    vault = Vault("other")
    vault.save(ProductiveSignIn(PRODUCTIVE_TOKEN, ORGANIZATION_ID, "Harbour & Pine"))
    vault.save(sage_sign_in(open_books))
    (home / "other.toml").write_text((home / "default.toml").read_text())
    return "other"


def test_the_second_run_ends_at_once_and_names_the_first(open_books: Sandbox, psage: Psage) -> None:
    with Hold(open_books, when="before") as hold, started(*COPY) as first:
        hold.reached(first)
        second = psage("copy-invoice", "124", "--no-tax", "--json")
        hold.let_go()
        finished = end(first)

    assert second.code == 5
    assert second.json["error"]["code"] == "locked"
    assert re.fullmatch(
        rf"profile `default` is in use: `psage copy-invoice` \(process {first.pid}\) "
        r"since \d{4}-\d\d-\d\d \d\d:\d\d$",
        second.json["error"]["message"],
    )
    assert second.json["error"]["hint"]
    assert finished.code == 0
    assert len(copies(open_books, "123")) == 1
    assert copies(open_books, "124") == []


def test_the_lock_also_holds_for_configure(open_books: Sandbox, home: Path, psage: Psage) -> None:
    before = (home / "default.toml").read_text()
    with Hold(open_books, when="before") as hold, started(*COPY) as first:
        hold.reached(first)
        second = psage("configure", "--default-ledger", "4000", "--json")
        hold.let_go()
        end(first)

    assert second.code == 5
    assert second.json["error"]["code"] == "locked"
    assert (home / "default.toml").read_text() == before


def test_a_dry_run_waits_for_nobody(open_books: Sandbox, psage: Psage) -> None:
    with Hold(open_books, when="before") as hold, started(*COPY) as first:
        hold.reached(first)
        second = psage(*COPY, "--dry-run")
        hold.let_go()
        finished = end(first)

    assert second.code == 0
    assert finished.code == 0


def test_a_killed_run_leaves_the_profile_free(
    open_books: Sandbox, home: Path, psage: Psage
) -> None:
    with Hold(open_books, when="before") as hold, started(*COPY) as process:
        hold.reached(process)
        kill(process)
        hold.lose()
    left_behind = (home / "default.holder").read_text()
    result = psage(*COPY)

    assert str(process.pid) in left_behind
    assert result.code == 0
    assert not (home / "default.holder").exists()
    assert len(copies(open_books, "123")) == 1


def test_the_holder_named_is_the_living_one_not_the_killed_one(
    open_books: Sandbox, home: Path, psage: Psage
) -> None:
    with Hold(open_books, when="before") as hold, started(*COPY) as process:
        hold.reached(process)
        kill(process)
        hold.lose()

    with Hold(open_books, when="before") as hold, started(*COPY) as living:
        hold.reached(living)
        result = psage(*COPY)
        hold.let_go()
        end(living)

    assert result.code == 5
    assert f"(process {living.pid})" in result.json["error"]["message"]
    assert str(os.getpid()) not in result.json["error"]["message"]


def test_another_profile_is_not_blocked(
    open_books: Sandbox, other_profile: str, psage: Psage
) -> None:
    with Hold(open_books, when="before") as hold, started(*COPY) as first:
        hold.reached(first)
        second = psage("--profile", other_profile, "copy-invoice", "124", "--no-tax", "--json")
        hold.let_go()
        finished = end(first)

    assert second.code == 0
    assert second.only["action"] == "created"
    assert finished.code == 0


def test_first_runs_that_start_together_make_one_store(home: Path) -> None:
    home.mkdir()

    def open_it(path: Path) -> None:
        with Store(path):
            pass

    with ThreadPoolExecutor(4) as pool:
        for n in range(25):
            list(pool.map(open_it, [home / f"{n}.db"] * 4))

    assert len(list(home.glob("*.db"))) == 25
