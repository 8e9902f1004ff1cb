"""A keyring back end for the sandbox alone: a plain file, for tokens that open nothing real.

Never chosen by itself; `psage sandbox` and `psage demo` name it in `PYTHON_KEYRING_BACKEND`. It
refuses to work unless psage is pointed at this machine, so that no real token can end up in it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from keyring.backend import KeyringBackend
from keyring.errors import KeyringError, PasswordDeleteError

FILE_VARIABLE = "PSAGE_SANDBOX_KEYRING"


class SandboxKeyring(KeyringBackend):
    """Entries in the JSON file that `PSAGE_SANDBOX_KEYRING` names."""

    priority = 0

    def __init__(self) -> None:
        """Need nothing; the file is found at each call."""
        super().__init__()  # type: ignore[no-untyped-call]  # the library's is not annotated

    @property
    def file_path(self) -> str:
        """Say where the entries are, as other file back ends do."""
        return str(_file())

    def get_password(self, service: str, username: str) -> str | None:
        """Give an entry, or None."""
        return self._entries().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store an entry, replacing the file in one step."""
        self._replace({**self._entries(), f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        """Forget an entry."""
        entries = self._entries()
        if entries.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError(service)
        self._replace(entries)

    def _entries(self) -> dict[str, str]:
        path = _file()
        if not path.exists():
            return {}
        entries: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return entries

    def _replace(self, entries: dict[str, str]) -> None:
        path = _file()
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(entries), encoding="utf-8")
        draft.replace(path)


def _file() -> Path:
    host = urlsplit(os.environ.get("PSAGE_SAGE_API_URL", "")).hostname
    if host != "127.0.0.1" or FILE_VARIABLE not in os.environ:
        message = "the sandbox's keyring is for the sandbox alone"
        raise KeyringError(message)
    return Path(os.environ[FILE_VARIABLE])
