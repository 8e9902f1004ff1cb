"""Secrets in the keyring: whole or not at all, and never waited for without end."""

import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import pytest
from keyring.errors import KeyringLocked

from productive_sage.errors import KeyringUnavailable, NotConnected
from productive_sage.signin.vault import ProductiveSignIn, SageSignIn, Vault
from tests.conftest import MemoryKeyring, Psage

SIGN_IN = SageSignIn("client", "secret", "a" * 2048, 1.0, "r" * 2048, 2.0, "business", "Name", "GB")


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows Credential Manager holds 1,280 characters an entry."""
    monkeypatch.setattr("productive_sage.signin.vault._CHUNK", 1200)


def test_a_long_secret_comes_back_whole(memory_keyring: MemoryKeyring, windows: None) -> None:
    vault = Vault("default")

    vault.save(SIGN_IN)

    assert vault.sage() == SIGN_IN
    assert max(map(len, memory_keyring.entries.values())) <= 1280
    names = [service for service, _ in memory_keyring.entries]
    assert len(names) == len(set(names))


def test_profiles_and_services_do_not_mix() -> None:
    Vault("one").save(SIGN_IN)

    with pytest.raises(NotConnected):
        Vault("two").sage()
    with pytest.raises(NotConnected):
        Vault("one").productive()


def test_a_crash_between_any_two_writes_leaves_the_old_or_the_new_secret(
    windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault("default")
    newer = ProductiveSignIn("t" * 3000, "4200", "x")
    vault.save(ProductiveSignIn("old" * 1000, "4200", "x"))
    seen = set()
    set_password = MemoryKeyring.set_password
    for crash_at in range(1, 6):
        left = [crash_at]

        def limited(self: MemoryKeyring, *entry: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise RuntimeError("crash")
            set_password(self, *entry)

        monkeypatch.setattr(MemoryKeyring, "set_password", limited)
        with suppress(KeyringUnavailable):
            vault.save(newer)
        monkeypatch.setattr(MemoryKeyring, "set_password", set_password)

        token = vault.productive().token
        seen.add(token[0])
        assert token in (newer.token, "old" * 1000)
        vault.save(ProductiveSignIn("old" * 1000, "4200", "x"))
    assert seen == {"o", "t"}


class Silent(MemoryKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        threading.Event().wait()
        return None


class Locked(MemoryKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("closed")


class Broken(MemoryKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        raise ZeroDivisionError("odd")


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (Silent, "did not answer within"),
        (Locked, "is locked"),
        (Broken, "does not work: odd"),
        (keyring.backends.fail.Keyring, "no keyring on this machine"),
    ],
)
def test_a_keyring_that_does_not_answer_is_told_in_its_own_sentence(
    backend: type[keyring.backend.KeyringBackend], words: str
) -> None:
    keyring.set_keyring(backend())

    with pytest.raises(KeyringUnavailable, match=words) as caught:
        Vault("default", timeout_s=0.05).sage()

    assert "PYTHON_KEYRING_BACKEND" in str(caught.value.hint)


def test_the_old_sign_in_counts_until_the_new_one_has_been_read_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vault = Vault("default")
    vault.save(SIGN_IN)
    set_password = MemoryKeyring.set_password

    def forgetful(self: MemoryKeyring, service: str, username: str, password: str) -> None:
        if not service.endswith("/0"):
            set_password(self, service, username, password)

    monkeypatch.setattr(MemoryKeyring, "set_password", forgetful)
    with pytest.raises(KeyringUnavailable, match="does not have it"):
        vault.save(replace(SIGN_IN, access_token="new"))

    assert vault.sage() == SIGN_IN


def test_a_keyring_that_answers_too_late_is_asked_nothing_more() -> None:
    answered = threading.Event()

    class Late(MemoryKeyring):
        def get_password(self, service: str, username: str) -> str | None:
            asked.append(service)
            answered.wait(20)
            return super().get_password(service, username)

        def set_password(self, service: str, username: str, password: str) -> None:
            asked.append(service)

    asked: list[str] = []
    keyring.set_keyring(Late())
    running = threading.active_count()

    with pytest.raises(KeyringUnavailable, match="did not answer within"):
        Vault("default", timeout_s=0.05).save(SIGN_IN)
    answered.set()
    while threading.active_count() > running:
        time.sleep(0.01)

    assert len(asked) == 1


def test_a_missing_keyring_is_exit_3_before_any_call(services: object, psage: Psage) -> None:
    keyring.set_keyring(keyring.backends.fail.Keyring())  # type: ignore[no-untyped-call]  # theirs

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 3
    assert result.json["error"]["code"] == "keyring_unavailable"


def test_a_damaged_entry_counts_as_not_connected(memory_keyring: MemoryKeyring) -> None:
    vault = Vault("default")
    vault.save(SIGN_IN)
    key = next(entry for entry in memory_keyring.entries if "/A/0" in entry[0])
    memory_keyring.entries[key] = "tampered"

    with pytest.raises(NotConnected):
        vault.sage()


def test_the_encrypted_file_back_end_works_by_keyrings_own_configuration(tmp_path: Path) -> None:
    program = (
        # With a cheap way from the key to the cipher.
        "from keyrings.cryptfile.cryptfile import ArgonAESEncryption\n"
        "ArgonAESEncryption.time_cost, ArgonAESEncryption.memory_cost = 1, 64\n"
        "from productive_sage.signin.vault import Vault, ProductiveSignIn\n"
        "v = Vault('default')\n"
        "v.save(ProductiveSignIn('the-token' * 300, '4200', 'x'))\n"
        "assert v.productive().token == 'the-token' * 300\n"
        "import keyring; print(type(keyring.get_keyring()).__name__)\n"
    )
    environment = {
        "PYTHON_KEYRING_BACKEND": "keyrings.cryptfile.cryptfile.CryptFileKeyring",
        "KEYRING_PROPERTY_KEYRING_KEY": "open sesame",
        "XDG_DATA_HOME": str(tmp_path),
        "HOME": str(tmp_path),
    }

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.strip() == "CryptFileKeyring", done.stderr
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert stored
    assert b"the-token" not in stored
