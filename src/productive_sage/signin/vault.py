"""Secrets in the operating system's keyring, through the keyring library's own configuration.

A secret is stored in chunks, because Windows Credential Manager holds 1,280 characters an entry,
and in two slots in turn: the new chunks go into the free one, then one pointer entry is flipped. A
crash between any two calls leaves the old secret whole. Each entry has a service name of its own,
since the Windows back end moves entries that share one.

Back ends that keep a file read and write all of it, without a lock: of two that write at once one
is lost, and whoever reads in between finds nothing. So all processes of a user, in whatever profile
and home folder, ask one after the other, and such a file is replaced in one step.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import filelock

from productive_sage import redaction
from productive_sage.errors import KeyringUnavailable, Locked, NotConnected, PsageError
from productive_sage.kept import SignedIn

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_CHUNK = 1200 if sys.platform == "win32" else 16_000
"""Fewer entries elsewhere: an encrypted file takes 0.4 s for each."""
_USER = "psage"
_WORDS_LIMIT = 200
"""Of what a keyring says where it fails."""
_RENEWAL_S = 180
"""The same for a renewal, which is two turns at the keyring and one at Sage."""
_BUSY_S = 120
"""So long a back end may compute, or wait for a processor, beyond its time limit."""
_WAY_OUT = (
    "unlock the keyring, or choose another back end with PYTHON_KEYRING_BACKEND "
    "(see `psage help servers`)"
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

    def __init__(self, profile: str, *, timeout_s: float = 10.0, turn_s: float = 60.0) -> None:
        """`turn_s` is longer than any other process takes, unless it waits for somebody."""
        self._profile = profile
        self._timeout_s = timeout_s
        self._turn_s = turn_s
        self._beat = 0.0
        """When the keyring was last asked for an entry, or the lock for its turn."""
        self._left_behind: list[threading.Thread] = []
        """Threads that took too long; they go no further than the call they are in."""

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
        Raises Locked where another process keeps the keyring to itself.
        """
        name = "productive" if isinstance(sign_in, ProductiveSignIn) else "sage"
        _keep(sign_in)
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
            sign_in = kind(**json.loads(secret))
        except (ValueError, TypeError):
            raise NotConnected(service) from None
        _keep(sign_in)
        return sign_in

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Held while the sign-in to Sage is renewed, replaced or revoked: by one process at a time.

        Homes with a profile of the same name share its sign-in, and so they share this lock. Raises
        Locked where another process does not end.
        """
        busy = Locked(
            f"another psage process has been renewing the Sage sign-in for {_RENEWAL_S // 60} "
            "minutes",
            hint="run the command again",
        )
        with ExitStack() as stack:
            try:
                path = _lock_file(self._found, f".{self._profile}.lock")
                stack.enter_context(_held(path, busy, _RENEWAL_S))
            except (OSError, RuntimeError) as error:
                raise KeyringUnavailable(
                    f"no lock can be made beside the keyring: {error}", hint=_WAY_OUT
                ) from error
            yield

    @cached_property
    def _found(self) -> "KeyringBackend":
        import keyring

        return keyring.get_keyring()

    @cached_property
    def _backend(self) -> "KeyringBackend":
        # The encrypted-file back ends leave this to their user: KEYRING_PROPERTY_KEYRING_KEY. It
        # makes them open their file, and write it where there is none.
        self._found.set_properties_from_env()
        return self._found

    @contextmanager
    def _turn(self, limit_s: float) -> Iterator[None]:
        """Have the keyring to oneself; where no lock can be made, nobody can write either."""
        busy = Locked(
            f"another psage process has kept the keyring to itself for {limit_s:.0f} s",
            hint="it may be waiting for someone to unlock the keyring: see to it, or end it, and "
            "run the command again",
        )
        with ExitStack() as stack:
            with suppress(OSError, RuntimeError):  # a folder nobody can write, or no home at all
                path = _lock_file(self._found, ".lock")
                stack.enter_context(_held(path, busy, limit_s, self._go_on))
            yield

    def _go_on(self) -> None:
        """Say that something moves; end a thread that nobody waits for any more."""
        self._beat = time.monotonic()
        if threading.current_thread() in self._left_behind:
            raise KeyringUnavailable("the keyring answered too late")

    def _get(self, *entry: str | int) -> str:
        self._go_on()
        return self._backend.get_password(self._entry(*entry), _USER) or ""

    def _set(self, value: str, *entry: str | int) -> None:
        self._go_on()
        self._backend.set_password(self._entry(*entry), _USER, value)

    def _remove(self, *entry: str | int) -> None:
        self._go_on()
        self._backend.delete_password(self._entry(*entry), _USER)

    def _entry(self, *parts: str | int) -> str:
        return "/".join(["psage", self._profile, *map(str, parts)])

    def _read(self, name: str) -> str | None:
        pointer = self._get(name).split()
        if len(pointer) != 3:
            return None
        slot, count, digest = pointer
        secret = self._read_slot(name, slot, int(count))
        return secret if _digest(secret) == digest else None

    def _read_slot(self, name: str, slot: str, count: int) -> str:
        return "".join(self._get(name, slot, n) for n in range(count))

    def _write(self, name: str, secret: str) -> None:
        """Into the free slot; the old one counts until the new one has been read back."""
        slot = "B" if self._get(name).startswith("A") else "A"
        chunks = [secret[at : at + _CHUNK] for at in range(0, len(secret), _CHUNK)]
        pointer = f"{slot} {len(chunks)} {_digest(secret)}"
        with self._whole():
            for n, chunk in enumerate(chunks):
                self._set(chunk, name, slot, n)
            if self._read_slot(name, slot, len(chunks)) == secret:
                self._set(pointer, name)
            if self._get(name) != pointer:
                raise KeyringUnavailable(
                    "the keyring took the sign-in but does not have it; it may be switched off",
                    hint=_WAY_OUT,
                )

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Have a back end that rewrites its file do so in a copy, which then takes its place.

        Else a process that is killed in between, or a full disk, would cost every sign-in in it.
        """
        file = getattr(self._backend, "file_path", None)
        draft = _copy(Path(file)) if isinstance(file, str) and self._works_on(file) else None
        if not isinstance(file, str) or draft is None:
            yield
            return
        self._works_on(str(draft))
        try:
            yield
            with draft.open("rb") as written:
                os.fsync(written.fileno())
            _put(draft, Path(file).resolve())
        finally:
            self._works_on(file)
            draft.unlink(missing_ok=True)

    def _works_on(self, file: str) -> bool:
        """Point the back end to a file; False where it takes no other than its own."""
        try:
            self._backend.file_path = file  # type: ignore[attr-defined]  # as file back ends have
        except AttributeError:
            return False
        return True

    def _delete(self, name: str) -> None:
        """Both slots, then the pointer: while it is there, there may be more to delete."""
        with self._whole():
            for slot in "AB":
                # A slot may hold more chunks than its pointer says, of a longer secret before or of
                # a write that was killed. From the last, so that none is ever out of reach.
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

        The limit is for each entry, since a slow keyring is not a silent one; and what computes is
        not silent either, or a busy machine would be told that its keyring is locked.
        """
        results: list[Any] = []

        def run() -> None:
            try:
                with self._turn(self._turn_s * patience):
                    results.append((work(), None))
            except Exception as error:  # noqa: BLE001 -- back ends raise whatever they like
                results.append((None, error))

        restore = _terminal()
        thread = threading.Thread(target=run, daemon=True)
        self._beat, limit_s = time.monotonic(), self._timeout_s * patience
        latest, computed = self._beat + _BUSY_S, time.process_time()
        thread.start()
        try:
            while thread.is_alive() and (left_s := self._beat + limit_s - time.monotonic()) > 0:
                thread.join(min(left_s, 1))
                if time.process_time() > computed + 0.02 and time.monotonic() < latest:
                    self._beat, computed = time.monotonic(), time.process_time()
        finally:
            if not results:  # an interrupted join() says that the thread has ended
                self._left_behind.append(thread)
                restore()
        if not results:
            raise KeyringUnavailable(
                f"the keyring did not answer within {self._timeout_s:.0f} s; "
                "it may be waiting for someone to unlock it",
                hint=_WAY_OUT,
            )
        value, error = results[0]
        if isinstance(error, PsageError):
            raise error
        if error is not None:
            raise _unavailable(error) from error
        return value  # type: ignore[no-any-return]  # it came from work()


@contextmanager
def _held(
    path: Path, busy: Locked, limit_s: float, go_on: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold a lock that many may wait for; `busy` is raised where one has it for too long."""
    lock = filelock.FileLock(path, mode=0o600)
    holder, since = 0, time.monotonic()
    while not lock.is_locked:
        go_on()
        try:
            lock.acquire(timeout=0.5)
        except filelock.Timeout:
            with suppress(OSError):
                if (changed := path.stat().st_mtime_ns) != holder:
                    holder, since = changed, time.monotonic()
            if time.monotonic() - since > limit_s:
                raise busy from None
    try:
        with suppress(OSError):
            os.utime(path)  # tells those who wait that another one has it now
        yield
    finally:
        lock.release()


def _terminal() -> Callable[[], None]:
    """What puts the terminal back: a back end that asks for a password switched its echo off."""
    try:
        import termios  # not on Windows

        handle = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except (ImportError, OSError):
        return lambda: None
    try:
        state = termios.tcgetattr(handle)
    finally:
        os.close(handle)

    def restore() -> None:
        with suppress(OSError, termios.error):
            handle = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
            try:
                # In the background it is another program's, and this one would be stopped.
                if os.tcgetpgrp(handle) == os.getpgrp():
                    termios.tcsetattr(handle, termios.TCSANOW, state)
            finally:
                os.close(handle)

    return restore


def _copy(file: Path) -> Path | None:
    """A copy of a keyring's file beside it; None where none can be made there."""
    path = file.resolve()
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError:
        if os.access(path.parent, os.W_OK):
            raise
        return None
    os.close(handle)
    draft = Path(name)
    try:
        if path.exists():
            shutil.copyfile(path, draft)
            with suppress(OSError, AttributeError):  # root may be at work for another user
                os.chown(draft, path.stat().st_uid, path.stat().st_gid)
    except BaseException:
        draft.unlink()
        raise
    return draft


def _put(draft: Path, path: Path) -> None:
    try:
        draft.replace(path)
    except OSError:  # mounted by itself, as in containers, or open elsewhere on Windows
        shutil.copyfile(draft, path)


def _lock_file(backend: "KeyringBackend", ending: str) -> Path:
    """A lock beside the file that is to be guarded, or else in the keyring library's own folder.

    There it is the same one for all that use the file: whatever home folder, `HOME` or temporary
    folder the environment gives them.
    """
    from keyring.util import platform_

    if isinstance(file := getattr(backend, "file_path", None), str):
        path = Path(file).resolve()
    else:
        path = Path(platform_.data_root()) / "psage"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path.with_name(f"{path.name}{ending}")


def _keep(sign_in: Any) -> None:
    """Have the secrets of a sign-in never shown: what its own text leaves out."""
    redaction.keep(*(getattr(sign_in, one.name) for one in fields(sign_in) if not one.repr))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def _unavailable(error: Exception) -> KeyringUnavailable:
    from keyring.errors import KeyringLocked, NoKeyringError

    if isinstance(error, NoKeyringError):
        return KeyringUnavailable("there is no keyring on this machine", hint=_WAY_OUT)
    if isinstance(error, KeyringLocked):
        return KeyringUnavailable("the keyring is locked", hint=_WAY_OUT)
    # A back end may quote what it holds, in any encoding: of that no long word is shown but a path.
    long = r"(?<![\w/.-])(?!/)[\w+/=%-]{32,}|[\w+=%-]{32,}"
    words = str(error).strip().partition("\n")[0]
    if "\\x" in words or "\x00" in words:  # bytes, of which nobody knows what they say
        words = ""
    said = re.sub(long, redaction.GONE, words)
    said = redaction.redacted(said)[:_WORDS_LIMIT] or type(error).__name__
    return KeyringUnavailable(f"the keyring does not work: {said}", hint=_WAY_OUT)
