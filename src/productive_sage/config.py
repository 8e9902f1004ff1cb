"""Settings: a TOML file per profile, read into one frozen object, edited keeping comments.

The only module that imports tomlkit; reading uses the standard library.
"""

import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from productive_sage.errors import ConfigInvalid, DiskFull, HomeUnusable, PsageError, UsageProblem
from productive_sage.mapping import clean
from productive_sage.models import Endpoints, Settings

ENDPOINT_VARIABLES = {
    "sage_api": "PSAGE_SAGE_API_URL",
    "sage_authorize": "PSAGE_SAGE_AUTHORIZE_URL",
    "sage_token": "PSAGE_SAGE_TOKEN_URL",
    "sage_revoke": "PSAGE_SAGE_REVOKE_URL",
    "productive_api": "PSAGE_PRODUCTIVE_API_URL",
    "productive_files": "PSAGE_PRODUCTIVE_FILES_URL",
    "productive_upload": "PSAGE_PRODUCTIVE_UPLOAD_URL",
}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Home:
    """Where the files of one profile live."""

    folder: Path
    profile: str
    config: Path

    @property
    def ledger(self) -> Path:
        """The ledger: links, open intents, caches."""
        return self.folder / f"{self.profile}.db"

    @property
    def lock(self) -> Path:
        """Held by the one run that may write."""
        return self.folder / f"{self.profile}.lock"

    @property
    def token_lock(self) -> Path:
        """Held while a token is renewed."""
        return self.folder / f"{self.profile}.token.lock"

    @property
    def log(self) -> Path:
        """What `--verbose` and defects write to."""
        return self.folder / "logs" / "psage.log"


def open_home(folder: Path, profile: str, config: Path | None = None) -> Home:
    """Name the files of a profile, making the folder (mode 0700) where it is missing.

    Raises UsageProblem for a profile name that is not a plain word, HomeUnusable or DiskFull where
    the folder cannot be made.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", profile):
        raise UsageProblem(
            f"`{profile}` cannot be a profile name",
            hint="use letters, digits, `-` and `_`, at most 40",
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error
    return Home(folder, profile, config or folder / f"{profile}.toml")


def storage_error(error: OSError, path: Path) -> PsageError:
    """Say what a failed file operation means: a full disk passes, a read-only home does not."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"there is no room left to write `{path}`",
            hint="free some space and run the command again; nothing was lost",
        )
    return HomeUnusable(
        f"`{path}` cannot be used: {error.strerror or error}",
        hint="check its owner and mode, or point PSAGE_HOME to a folder psage may write to",
    )


# --- reading: every key, how it is checked, and what is allowed

_Check = Callable[[Any], str | None]


def _one_of(*allowed: str) -> _Check:
    words = " or ".join(f'"{word}"' for word in allowed)
    return lambda value: None if value in allowed else f"must be {words}"


def _a(kind: type, words: str) -> _Check:
    return lambda value: None if type(value) is kind else f"must be {words}"


def _digits(value: Any) -> str | None:
    return None if type(value) is int and 0 <= value <= 4 else "must be a number from 0 to 4"


def _rate(value: Any) -> str | None:
    return None if type(value) is int and 1 <= value <= 100 else "must be a number from 1 to 100"


def _sage_item(value: Any) -> str | None:
    if isinstance(value, str) and re.fullmatch(r"(service|product|stock_item):\S+", value):
        return None
    return 'must be "service:ID", "product:ID" or "stock_item:ID"'


def _address(value: Any) -> str | None:
    if not isinstance(value, str):
        return "must be an address in quotes"
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not an address"
    if not host or parts.username or parts.password:
        return "must be an address with a host and without a user name"
    if parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK):
        return None
    return "must begin with https:// (http:// is for this machine alone)"


_KEYS: dict[str, _Check] = {
    "numbering": _one_of("sage", "productive"),
    "write_number_back": _a(bool, "true or false"),
    "pdf": _one_of("productive", "sage"),
    "pdf_folder": _a(str, "a folder in quotes"),
    "default_ledger_account": _a(str, "a Sage ledger account id in quotes"),
    "default_tax_rate": _a(str, "a Sage tax rate id in quotes"),
    "goods_or_services": _one_of("SERVICES", "GOODS"),
    "sync_payments": _a(bool, "true or false"),
    "sync_payments_from": _a(date, "a date without quotes, like 2026-01-31"),
    "settlement_discount": _one_of("warn", "write_off"),
    "sage_calls_per_second": _rate,
}
_TABLES: dict[str, _Check] = {"items": _sage_item, "minor_digits": _digits, "endpoints": _address}


def load(path: Path, environment: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Read the settings; a missing file means the defaults. Also returns warnings.

    Environment variables (see `ENDPOINT_VARIABLES`) win over the file.
    Raises ConfigInvalid naming every problem at once: file, key, value, what is allowed.
    """
    problems: list[str] = []
    warnings: list[str] = []

    def checked(name: str, entries: Mapping[str, Any], checks: Mapping[str, _Check]) -> Any:
        """The entries that are known and allowed."""
        good = {}
        for key, value in entries.items():
            if key not in checks:
                warnings.append(f"`{path}`: the key `{name}{key}` is not known and has no effect")
            elif fault := checks[key](value):
                problems.append(f"`{name}{key} = {_shown(value)}` {fault}")
            else:
                good[key] = value
        return good

    written = _read(path)
    tables = {key: written.pop(key, {}) for key in _TABLES}
    values = checked("", written, _KEYS)
    for name, table in tables.items():
        if not isinstance(table, dict):
            problems.append(f"`{name}` must be a table, `[{name}]`")
            continue
        known = ENDPOINT_VARIABLES if name == "endpoints" else table
        values[name] = checked(f"{name}.", table, dict.fromkeys(known, _TABLES[name]))
    from_environment = {
        key: environment[name] for key, name in ENDPOINT_VARIABLES.items() if environment.get(name)
    }
    problems += [
        f"`{ENDPOINT_VARIABLES[key]}={value}` {fault}"
        for key, value in from_environment.items()
        if (fault := _address(value))
    ]
    if values.get("sync_payments") and "sync_payments_from" not in values:
        problems.append("`sync_payments = true` needs `sync_payments_from`, a date")
    if problems:
        raise _invalid(path, problems)
    values["endpoints"] = Endpoints(**{**values["endpoints"], **from_environment})
    return Settings(**values), warnings


def _invalid(path: Path, problems: list[str]) -> ConfigInvalid:
    several = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ConfigInvalid(
        f"the settings in `{path}` have {several}: " + "; ".join(problems),
        hint=f"edit `{path}`, or set the value with `psage configure`",
        details={"file": str(path), "problems": problems},
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(
            f"`{path}` is not valid TOML: {error}",
            hint=f"mend the file, or move it away and run `psage configure`: `{path}`",
        ) from None
    except OSError as error:
        raise storage_error(error, path) from error


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


# --- editing


def edit(path: Path, changes: Mapping[tuple[str, ...], tuple[Any, str]]) -> None:
    """Set keys, keeping comments, order and unknown keys; the file is replaced in one step.

    `changes` maps a path of keys to (value, comment); the value None removes the key.
    """
    import tomlkit

    _read(path)
    document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
    for keys, (value, comment) in changes.items():
        table: Any = document
        for key in keys[:-1]:
            if key not in table:
                table[key] = tomlkit.table()
            table = table[key]
        if value is None:
            table.pop(keys[-1], None)
            continue
        entry = tomlkit.item(value)
        if comment:
            entry.comment(" ".join(clean(comment).split()))
        table[keys[-1]] = entry
    _replace(path, tomlkit.dumps(document))


def comments(path: Path) -> dict[str, str]:
    """The comment behind each key and each entry of `items`: the names `edit` wrote there."""
    import tomlkit

    document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
    entries: list[tuple[str, Any]] = [*document.items()]
    items = document.get("items")
    if isinstance(items, dict):
        entries += [(f"items.{key}", value) for key, value in items.items()]
    said = {
        key: value.trivia.comment.removeprefix("#").strip()
        for key, value in entries
        if hasattr(value, "trivia")
    }
    return {key: comment for key, comment in said.items() if comment}


def _replace(path: Path, content: str) -> None:
    """Write beside the file, then rename: a crash leaves the old file or the new one."""
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise storage_error(error, path) from error
