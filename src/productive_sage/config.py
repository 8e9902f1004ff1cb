"""Settings: a TOML file per profile, read into one frozen object, edited keeping comments.

The only module that imports tomlkit; reading uses the standard library.
"""

import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from productive_sage import files
from productive_sage.errors import ConfigInvalid, HomeUnusable, PsageError, Temporary, UsageProblem
from productive_sage.naming import did_you_mean
from productive_sage.settings import SETTINGS, Endpoints, Settings
from productive_sage.settings.allowed import address_fault
from productive_sage.text import clean

ENDPOINT_VARIABLES = {
    "sage_api": "PSAGE_SAGE_API_URL",
    "sage_authorize": "PSAGE_SAGE_AUTHORIZE_URL",
    "sage_token": "PSAGE_SAGE_TOKEN_URL",
    "sage_revoke": "PSAGE_SAGE_REVOKE_URL",
    "productive_api": "PSAGE_PRODUCTIVE_API_URL",
    "productive_files": "PSAGE_PRODUCTIVE_FILES_URL",
    "productive_upload": "PSAGE_PRODUCTIVE_UPLOAD_URL",
}
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Home:
    """Where the files of one profile live."""

    folder: Path
    profile: str
    config: Path

    @property
    def store(self) -> Path:
        """The store: links, open intents, caches."""
        return self.folder / f"{self.profile}.db"

    @property
    def lock(self) -> Path:
        """Held by the one run that may write."""
        return self.folder / f"{self.profile}.lock"

    @property
    def log(self) -> Path:
        """What `--verbose` and defects write to."""
        return self.folder / "logs" / "psage.log"


def named_home(folder: Path, profile: str, config: Path | None = None) -> Home:
    """Name the files of a profile; none of them is made, nor looked for.

    Raises UsageProblem for a profile name that is not a plain word.
    """
    if not _PROFILE.fullmatch(profile):
        raise UsageProblem(
            f"`{profile}` cannot be a profile name",
            hint="use letters, digits, `-` and `_`, at most 40",
        )
    return Home(folder, profile, config or folder / f"{profile}.toml")


def open_home(folder: Path, profile: str, config: Path | None = None) -> Home:
    """Name the files of a profile, making the folder (mode 0700) where it is missing.

    Raises UsageProblem as `named_home` does, HomeUnusable or `disk_full` where it cannot be made.
    """
    home = named_home(folder, profile, config)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error
    return home


def profiles(folder: Path) -> list[str]:
    """The profiles that have settings or a store in a home folder."""
    names = {path.stem for ending in ("toml", "db") for path in folder.glob(f"*.{ending}")}
    return sorted(name for name in names if _PROFILE.fullmatch(name))


def storage_error(error: OSError, path: Path) -> PsageError:
    """Say what a failed file operation means: a full disk passes, a read-only home does not."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Temporary(
            f"there is no room left to write `{path}`",
            code="disk_full",
            hint="free some space and run the command again; nothing was lost",
        )
    return HomeUnusable(
        f"`{path}` cannot be used: {error.strerror or error}",
        hint="check its owner and mode, or point PSAGE_HOME to a folder psage may write to",
    )


# --- reading


def load(path: Path, environment: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Read the settings; a missing file means the defaults. Also returns warnings.

    Environment variables (see `ENDPOINT_VARIABLES`) win over the file.
    Raises ConfigInvalid naming every problem at once: file, key, value, what is allowed.
    """
    settings, warnings, problems = survey(path, environment)
    if problems:
        raise _invalid(path, problems)
    return settings, warnings


def survey(path: Path, environment: Mapping[str, str]) -> tuple[Settings, list[str], list[str]]:
    """What of the settings is allowed, the warnings, and the problems.

    In place of a value that is not allowed stands the default; an address is empty then, since
    nothing may go to another than was meant. Raises ConfigInvalid where it is no TOML.
    """
    problems: list[str] = []
    warnings: list[str] = []

    def checked(table: str, entries: Mapping[str, Any], known: Iterable[str]) -> Any:
        """The entries that are known and allowed."""
        good = {}
        for key, value in entries.items():
            declared = SETTINGS.get(table or key)
            name = f"{SETTINGS[table].name}.{key}" if table else key
            if key not in known or declared is None:
                near = did_you_mean(key, list(known))
                warnings.append(
                    f"`{path}`: the key `{name}` is not known and has no effect"
                    + (f"; {near}" if near else "")
                )
            elif fault := declared.check(key, value):
                problems.append(f"`{name} = {_shown(value)}` {fault}")
            else:
                good[key] = value
        return good

    written = _read(path)
    tables = {key: _taken(written, one.path) for key, one in SETTINGS.items() if one.is_table}
    values = checked("", written, [one.name for one in SETTINGS.values()])
    for name, table in tables.items():
        if not isinstance(table, dict):
            shown = SETTINGS[name].name
            problems.append(f"`{shown}` must be a table, `[{shown}]`")
            continue
        values[name] = checked(name, table, ENDPOINT_VARIABLES if name == "endpoints" else table)
    values["endpoints"], wrong = _endpoints(tables["endpoints"], environment)
    problems += wrong
    if values.get("sync_payments") and "sync_payments_from" not in values:
        problems.append("`sync_payments = true` needs `sync_payments_from`, a date")
    return Settings(**values), warnings, problems


def _endpoints(table: Any, environment: Mapping[str, str]) -> tuple[Endpoints, list[str]]:
    """The addresses of the file and of the environment, which counts; what is wrong in that."""
    named = {
        key: environment[name] for key, name in ENDPOINT_VARIABLES.items() if environment.get(name)
    }
    problems = [
        f"`{ENDPOINT_VARIABLES[key]}={value}` {fault}"
        for key, value in named.items()
        if (fault := address_fault(key, value))
    ]
    in_file = table if isinstance(table, dict) else dict.fromkeys(ENDPOINT_VARIABLES, "")
    addresses = {
        key: "" if address_fault(key, url) else url
        for key, url in {**in_file, **named}.items()
        if key in ENDPOINT_VARIABLES
    }
    return Endpoints(**addresses), problems


def _taken(written: dict[str, Any], path: tuple[str, ...]) -> Any:
    """What stands under a path of keys, which is taken out of there; an empty table where nothing.

    What else is in a table around it stays, to be told as not known.
    """
    first, *rest = path
    if not rest:
        return written.pop(first, {})
    around = written.get(first)
    if not isinstance(around, dict):
        return {}
    found = _taken(around, tuple(rest))
    for key in list(around):
        written[f"{first}.{key}"] = around.pop(key)
    del written[first]
    return found


def _invalid(path: Path, problems: list[str]) -> ConfigInvalid:
    several = f"{len(problems)} problems:\n- " if len(problems) > 1 else "a problem: "
    variables = [one for one in problems if one.startswith("`PSAGE_")]
    where = "in the environment" if variables == problems else f"in `{path}`"
    mended = "set the variable anew, or unset it" if variables else ""
    if variables != problems:
        mended = "mend the file" + (f", {mended}" if mended else "")
    return ConfigInvalid(
        f"the settings {where} have {several}" + "\n- ".join(problems),
        hint=f"{mended}, and run the command again",
        details={"file": str(path), "problems": problems},
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigInvalid(
            f"`{path}` is not valid TOML: {error}",
            hint=f"mend the file, or move it away and run `psage configure`: `{path}`",
        ) from None
    except OSError as error:
        raise storage_error(error, path) from error


def _text(path: Path) -> str:
    """The file as a person wrote it, without the sign some editors put in front of it."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def sources(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Where each setting comes from: `file` or `environment`; one that is missing is the default.

    An entry of a table is named like `items.11`.
    """
    found: dict[str, str] = {}
    written = _read(path)
    for one in SETTINGS.values():
        if one.is_table and isinstance(entries := _taken(written, one.path), dict):
            found |= dict.fromkeys((f"{one.name}.{key}" for key in entries), "file")
    found |= dict.fromkeys(written, "file")
    said = [key for key, name in ENDPOINT_VARIABLES.items() if environment.get(name)]
    return found | {f"endpoints.{key}": "environment" for key in said}


# --- editing

_NAMED = re.compile(r"(?:^|;\s*)psage: (.*)$")
"""What psage says behind a value, after what a person may have said there.

For whoever reads the file; psage itself never does, since a value may be changed by hand.
"""


def edit(path: Path, changes: Mapping[tuple[str, ...], tuple[Any, str]]) -> None:
    """Set keys, keeping comments, order and unknown keys; the file is replaced in one step.

    `changes` maps a path of keys to (value, name for its comment); the value None removes the key.
    """
    import tomlkit

    _read(path)
    text = _text(path)
    document = tomlkit.parse(text.replace("\r\n", "\n"))
    tables = [entry.trivia for _, entry in document.body if isinstance(entry, tomlkit.items.Table)]
    indents = [trivia.indent for trivia in tables]
    added: dict[str, tuple[Any, set[str]]] = {}
    for keys, (value, comment) in changes.items():
        table: Any = document
        for key in keys[:-1]:
            if key not in table:
                table[key] = tomlkit.table()
            table = table[key]
        if value is None:
            table.pop(keys[-1], None)
            continue
        if keys[-1] not in table:
            added.setdefault(".".join(keys[:-1]), (table, set()))[1].add(keys[-1])
        entry = tomlkit.item(value)
        if comment:
            person = _NAMED.sub("", _comment(table.get(keys[-1])))
            name = "psage: " + " ".join(clean(comment).split())
            entry.comment("; ".join(filter(None, (person, name))))
        table[keys[-1]] = entry
    for table, names in added.values():
        _move_up((table if table is document else table.value).body, names)
    for trivia, indent in zip(tables, indents, strict=True):
        trivia.indent = indent  # tomlkit would put an empty line below a table's comment
    written = tomlkit.dumps(document)
    _replace(path, written.replace("\n", "\r\n") if "\r\n" in text else written)


def _move_up(body: list[Any], added: set[str]) -> None:
    """Put new keys behind the last one there was, or else before the last empty line.

    tomlkit adds them behind a comment that belongs to the next table. Only the text is right
    afterwards, no longer tomlkit's index of it.
    """
    new = [entry for entry in body if entry[0] is not None and entry[0].key in added]
    if not new:
        return
    end = begin = body.index(new[0])
    while begin and body[begin - 1][0] is None:
        begin -= 1
    if not begin:
        empty = [n for n in range(end) if not body[n][1].as_string().strip()]
        begin = empty[-1] if empty else end
    body[begin : end + len(new)] = new + body[begin:end]


def _comment(entry: Any) -> str:
    """What stands behind a value in the file."""
    return entry.trivia.comment.lstrip("#").strip() if hasattr(entry, "trivia") else ""


def _replace(path: Path, content: str) -> None:
    path = path.resolve()  # a person's link to the file stays one
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
        files.put(path, content.encode(), mode=mode)
    except OSError as error:
        raise storage_error(error, path) from error
