"""Many processes, several profiles and homes, and one keyring in one file.

The real encrypted file of `docs/cron.md`, with a cheap way from key to cipher. Every process
finds its access token at its end and has to renew it.
"""

import itertools
import os
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import filelock
import keyring
import pytest
from keyring.core import load_keyring

from productive_sage.errors import KeyringUnavailable, Locked
from productive_sage.sandbox import ORGANIZATION_ID, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.signin.vault import ProductiveSignIn, Vault
from tests.conftest import Result, sage_sign_in

PEEK = ("copy-invoice", "101", "--dry-run", "--json")
"""Asks Sage, and takes no lock of the home."""
CRYPTFILE = "keyrings.cryptfile.cryptfile.CryptFileKeyring"
PROGRAM = textwrap.dedent("""\
    import sys
    from keyrings.cryptfile.cryptfile import ArgonAESEncryption
    ArgonAESEncryption.time_cost, ArgonAESEncryption.memory_cost = 1, 64
    from productive_sage.cli import main
    sys.exit(main(sys.argv[1:]))
    """)


@pytest.fixture
def file(offline: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The encrypted file, open to this process and to those it starts."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", CRYPTFILE)
    monkeypatch.setenv("KEYRING_PROPERTY_KEYRING_KEY", "correct horse battery staple")
    backend = load_keyring(CRYPTFILE)
    monkeypatch.setattr(type(backend), "time_cost", 1)
    monkeypatch.setattr(type(backend), "memory_cost", 64)
    keyring.set_keyring(backend)
    return tmp_path / "python_keyring" / "cryptfile_pass.cfg"


def sign_in(sandbox: Sandbox, *profiles: str) -> None:
    for profile in profiles:
        vault = Vault(profile)
        vault.save(ProductiveSignIn(PRODUCTIVE_TOKEN, ORGANIZATION_ID, "Harbour & Pine"))
        vault.save(sage_sign_in(sandbox))


def configure(sandbox: Sandbox, home: Path, *profiles: str) -> None:
    home.mkdir(mode=0o700, exist_ok=True)
    account = sandbox.bookkeeper.ledger_account_id(4010)
    for profile in profiles:
        (home / f"{profile}.toml").write_text(f'default_ledger_account = "{account}"\n')


def at_once(runs: list[tuple[Path, str]]) -> list[Result]:
    """Run one process for each home and profile, all at the same time."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROGRAM, "--profile", profile, *PEEK],
                    env={**os.environ, "PSAGE_HOME": str(home)},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for home, profile in runs
        ]
        for process in processes:
            stack.callback(process.kill)
        said = [process.communicate(timeout=900) for process in processes]
    return [
        Result(process.returncode, out, err)
        for process, (out, err) in zip(processes, said, strict=True)
    ]


@pytest.mark.parametrize(
    ("homes", "profiles"),
    [(("a",), ("one", "two")), (("a", "b"), ("one",))],
    ids=["two profiles", "two homes"],
)
@pytest.mark.parametrize("count", [4, pytest.param(64, marks=pytest.mark.torture)])
def test_nobody_loses_a_sign_in_where_many_renew_at_once(
    file: Path,
    offline: Sandbox,
    tmp_path: Path,
    homes: tuple[str, ...],
    profiles: tuple[str, ...],
    count: int,
) -> None:
    offline.access_token_lifetime_s = 19  # less than the margin psage keeps: everybody renews
    sign_in(offline, *profiles)
    places = [(tmp_path / home, profile) for home in homes for profile in profiles]
    for home, profile in places:
        configure(offline, home, profile)

    results = at_once([places[n % len(places)] for n in range(count)])
    offline.access_token_lifetime_s = 300
    after = at_once(places)

    assert [result for result in results + after if result.code] == []
    for profile in profiles:
        assert Vault(profile).productive().token == PRODUCTIVE_TOKEN
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []
    assert file.stat().st_mode & 0o777 == 0o600


# --- a file that is rewritten as a whole


def test_a_rewrite_that_is_cut_off_costs_no_sign_in(
    file: Path, offline: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(offline, "one", "two")
    before = file.read_bytes()
    vault = Vault("one")

    def cut(self: object, service: str, *_: str) -> None:
        Path(self.file_path).write_text("")  # type: ignore[attr-defined]  # the library's own
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(keyring.get_keyring()), "_write_config_value", cut)
    with pytest.raises(KeyringUnavailable, match="No space left"):
        vault.save(replace(vault.sage(), refresh_token="new"))

    assert file.read_bytes() == before
    assert Vault("two").productive().token == PRODUCTIVE_TOKEN
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


def test_a_file_that_is_a_link_stays_one(file: Path, offline: Sandbox, tmp_path: Path) -> None:
    sign_in(offline, "one")
    elsewhere = tmp_path / "elsewhere.cfg"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)

    sign_in(offline, "two")

    assert file.is_symlink()
    assert Vault("one").productive() == Vault("two").productive()


def test_who_keeps_the_keyring_to_itself_is_waited_for_no_longer_than_a_minute(
    file: Path, offline: Sandbox
) -> None:
    sign_in(offline, "one")
    taken = filelock.FileLock(f"{file}.lock", mode=0o600)

    with taken, pytest.raises(Locked, match="has kept the keyring to itself") as caught:
        Vault("two", turn_s=0.2).productive()

    assert caught.value.exit_code == 5
    assert "unlock the keyring" in str(caught.value.hint)
    assert Vault("one").productive().token == PRODUCTIVE_TOKEN


def test_who_waits_goes_on_where_the_keyring_is_passed_on(
    file: Path, offline: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(offline, "one")
    taken = filelock.FileLock(f"{file}.lock", mode=0o600, thread_local=False)
    go_on, turns = Vault._go_on, itertools.count()

    def passed_on(self: Vault) -> None:
        go_on(self)
        turn = next(turns)
        os.utime(taken.lock_file, ns=(turn, turn))  # another one has it now
        if turn == 5:
            taken.release()

    monkeypatch.setattr(Vault, "_go_on", passed_on)
    taken.acquire()

    assert Vault("one").productive().token == PRODUCTIVE_TOKEN
