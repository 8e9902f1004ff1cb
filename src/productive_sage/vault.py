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
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from productive_sage.basics import SignedIn
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

    @property
    def facts(self) -> SignedIn:
        """What of it is no secret."""
        return SignedIn(self.organization_id, self.organization_name)


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
    scope: str = ""
    """What Sage granted: `full_access` or `readonly`; empty where it did not say."""

    @property
    def facts(self) -> SignedIn:
        """What of it is no secret."""
        until = datetime.fromtimestamp(self.refresh_until, UTC)
        return SignedIn(self.business_id, self.business_name, self.country, until)


class Vault:
    """The secrets of one profile; every call has a time limit."""

    def __init__(self, profile: str, *, timeout_s: float = 10.0) -> None:
        self._profile = profile
        self._timeout_s = timeout_s
        self._beat = 0.0
        """When the keyring was last asked for an entry."""

    def productive(self) -> ProductiveSignIn:
        """Raises NotConnected where nothing is stored, KeyringUnavailable where it cannot tell."""
        return self._load("Productive", ProductiveSignIn)

    def sage(self) -> SageSignIn:
        """Raises NotConnected where nothing is stored, KeyringUnavailable where it cannot tell."""
        return self._load("Sage", SageSignIn)

    def save(self, sign_in: ProductiveSignIn | SageSignIn, *, patience: int = 1) -> None:
        """Store, replacing what was there, and see that it is there.

        On failure the old one stays; only a keyring that answers after the time limit may still
        take the new one. `patience` multiplies that limit, where the old one is of no use any more.
        """
        name = "productive" if isinstance(sign_in, ProductiveSignIn) else "sage"
        secret = json.dumps(asdict(sign_in))
        self._in_time(lambda: self._write(name, secret), patience=patience)

    def holds(self, name: str) -> bool:
        """Whether anything is stored for `productive` or `sage`, be it damaged or half deleted."""
        first = ((name,), (name, "A", 0), (name, "B", 0))
        return self._in_time(lambda: any(self._get(*entry) for entry in first))

    def forget(self, name: str) -> None:
        """Delete all that is stored for `productive` or `sage`.

        Killed in between, what is left is no sign-in any more, and the next call deletes it.
        """
        self._in_time(lambda: self._delete(name))

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
        self._beat = time.monotonic()
        return self._backend.get_password(self._entry(*entry), _USER) or ""

    def _set(self, value: str, *entry: str | int) -> None:
        self._beat = time.monotonic()
        self._backend.set_password(self._entry(*entry), _USER, value)

    def _remove(self, *entry: str | int) -> None:
        self._beat = time.monotonic()
        self._backend.delete_password(self._entry(*entry), _USER)

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
        if self._read(name) != secret:
            raise KeyringUnavailable(
                "the keyring took the sign-in but does not have it; it may be switched off",
                hint=_WAY_OUT,
            )

    def _delete(self, name: str) -> None:
        """Both slots, then the pointer: while it is there, there may be more to delete."""
        for slot in "AB":
            # A slot may hold more chunks than its pointer says, of a longer secret before or of a
            # write that was killed. From the last to the first, so that none is ever out of reach.
            count = 0
            while self._get(name, slot, count):
                count += 1
            for n in reversed(range(count)):
                self._remove(name, slot, n)
        if self._get(name):
            self._remove(name)
        if self._get(name):
            raise KeyringUnavailable(
                "the keyring was told to delete the sign-in, but still has it", hint=_WAY_OUT
            )

    def _in_time(self, work: Callable[[], _T], *, patience: int = 1) -> _T:
        """Run in a thread that may be left behind: a locked keyring can wait for ever.

        The limit is for each entry, since a slow keyring is not a silent one.
        """
        results: list[Any] = []

        def run() -> None:
            try:
                results.append((work(), None))
            except Exception as error:  # noqa: BLE001 -- back ends raise whatever they like
                results.append((None, error))

        thread = threading.Thread(target=run, daemon=True)
        self._beat, limit_s = time.monotonic(), self._timeout_s * patience
        thread.start()
        while thread.is_alive() and (left_s := self._beat + limit_s - time.monotonic()) > 0:
            thread.join(left_s)
        if not results:
            raise KeyringUnavailable(
                f"the keyring did not answer within {self._timeout_s:.0f} s; "
                "it may be waiting for someone to unlock it",
                hint=_WAY_OUT,
            )
        value, error = results[0]
        if isinstance(error, KeyringUnavailable):
            raise error
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
        f"the keyring does not work: {str(error) or type(error).__name__}", hint=_WAY_OUT
    )
