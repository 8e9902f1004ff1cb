"""Secrets in the operating system's keyring, through the keyring library's own configuration.

A secret is stored in chunks, because Windows Credential Manager holds 1,280 characters an entry,
and in two slots in turn: the new chunks go into the free one, then one pointer entry is flipped. A
crash between any two calls leaves the old secret whole. Each entry has a service name of its own,
since the Windows back end moves entries that share one.
"""

import hashlib
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from productive_sage.errors import KeyringUnavailable, NotConnected

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_CHUNK = 1200 if sys.platform == "win32" else 16_000
"""Fewer entries elsewhere: an encrypted file takes 0.4 s for each."""
_USER = "psage"
_WAY_OUT = (
    "unlock the keyring, or choose another back end with PYTHON_KEYRING_BACKEND "
    "(see `Servers and cron` in the README)"
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ProductiveSignIn:
    """What psage needs to call Productive."""

    token: str = field(repr=False)
    organization_id: str
    organization_name: str


@dataclass(frozen=True, slots=True)
class SageSignIn:
    """What psage needs to call Sage; times are seconds since 1970 UTC."""

    client_id: str
    client_secret: str = field(repr=False)
    access_token: str = field(repr=False)
    access_until: float
    refresh_token: str = field(repr=False)
    refresh_until: float
    business_id: str = ""
    business_name: str = ""
    country: str = ""


class Vault:
    """The secrets of one profile; every call has a time limit."""

    def __init__(self, profile: str, *, timeout_s: float = 10.0) -> None:
        self._profile = profile
        self._timeout_s = timeout_s

    def productive(self) -> ProductiveSignIn:
        """Raises NotConnected where nothing is stored, KeyringUnavailable where it cannot tell."""
        return self._load("Productive", ProductiveSignIn)

    def sage(self) -> SageSignIn:
        """Raises NotConnected where nothing is stored, KeyringUnavailable where it cannot tell."""
        return self._load("Sage", SageSignIn)

    def save(self, sign_in: ProductiveSignIn | SageSignIn) -> None:
        """Store, replacing what was there.

        On failure the old one stays; only a keyring that answers after the time limit may still
        take the new one.
        """
        name = "productive" if isinstance(sign_in, ProductiveSignIn) else "sage"
        secret = json.dumps(asdict(sign_in))
        self._in_time(lambda: self._write(name, secret))

    def _load(self, service: str, kind: Callable[..., _T]) -> _T:
        secret = self._in_time(lambda: self._read(service.lower()))
        if secret is None:
            raise NotConnected(service)
        try:
            return kind(**json.loads(secret))
        except (ValueError, TypeError):
            raise NotConnected(service) from None

    @cached_property
    def _backend(self) -> "KeyringBackend":
        import keyring

        backend = keyring.get_keyring()
        # The encrypted-file back ends leave this to their user: KEYRING_PROPERTY_KEYRING_KEY.
        backend.set_properties_from_env()
        return backend

    def _get(self, *entry: str | int) -> str:
        return self._backend.get_password(self._entry(*entry), _USER) or ""

    def _set(self, value: str, *entry: str | int) -> None:
        self._backend.set_password(self._entry(*entry), _USER, value)

    def _entry(self, *parts: str | int) -> str:
        return "/".join(["psage", self._profile, *map(str, parts)])

    def _read(self, name: str) -> str | None:
        pointer = self._get(name).split()
        if len(pointer) != 3:
            return None
        slot, count, digest = pointer
        secret = "".join(self._get(name, slot, n) for n in range(int(count)))
        return secret if _digest(secret) == digest else None

    def _write(self, name: str, secret: str) -> None:
        slot = "B" if self._get(name).startswith("A") else "A"
        chunks = [secret[at : at + _CHUNK] for at in range(0, len(secret), _CHUNK)]
        for n, chunk in enumerate(chunks):
            self._set(chunk, name, slot, n)
        self._set(f"{slot} {len(chunks)} {_digest(secret)}", name)

    def _in_time(self, work: Callable[[], _T]) -> _T:
        """Run in a thread that may be left behind: a locked keyring can wait for ever."""
        results: list[Any] = []

        def run() -> None:
            try:
                results.append((work(), None))
            except Exception as error:  # noqa: BLE001 -- back ends raise whatever they like
                results.append((None, error))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(self._timeout_s)
        if not results:
            raise KeyringUnavailable(
                f"the keyring did not answer within {self._timeout_s:.0f} s; "
                "it may be waiting for someone to unlock it",
                hint=_WAY_OUT,
            )
        value, error = results[0]
        if error is not None:
            raise _unavailable(error) from error
        return value  # type: ignore[no-any-return]  # it came from work()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def _unavailable(error: Exception) -> KeyringUnavailable:
    from keyring.errors import KeyringLocked, NoKeyringError

    if isinstance(error, NoKeyringError):
        return KeyringUnavailable("there is no keyring on this machine", hint=_WAY_OUT)
    if isinstance(error, KeyringLocked):
        return KeyringUnavailable("the keyring is locked", hint=_WAY_OUT)
    return KeyringUnavailable(
        f"the keyring does not work: {error or type(error).__name__}", hint=_WAY_OUT
    )
