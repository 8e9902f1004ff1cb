"""A profile in one file: its records and its settings, and how they are put back.

The file is a zip with a manifest that says what is in it, with the SHA-256 of each. Sign-ins are in
the system's keyring, and never in it.
"""

import hashlib
import io
import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from productive_sage import __version__, files
from productive_sage.config import Home, storage_error
from productive_sage.errors import HomeUnusable, NotFound, PsageError, Refused, UsageProblem
from productive_sage.kept import SignedIn
from productive_sage.kinds import KINDS
from productive_sage.store import Store
from productive_sage.store.database import MIGRATIONS, replace_by, save_as
from productive_sage.text import counted

_FORMAT = 1
_MANIFEST, _RECORDS, _SETTINGS = "manifest.json", "records.db", "settings.toml"


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup says of itself, and what is in it."""

    psage: str
    """The version that made it."""
    profile: str
    made_at: datetime
    schema: int
    """The version of the records' tables; 0 where it holds none."""
    business: Mapping[str, str]
    """`id` and `name` of the Sage business; empty where none was connected."""
    documents: Mapping[str, int]
    """How many documents have a copy, by the code of their kind."""
    parts: Mapping[str, bytes] = field(repr=False)

    @property
    def facts(self) -> dict[str, Any]:
        """What is said of it, as JSON."""
        return {
            "psage": self.psage,
            "profile": self.profile,
            "made_at": self.made_at.isoformat(),
            "schema": self.schema,
            "business": dict(self.business),
            "documents": dict(self.documents),
        }

    @property
    def in_words(self) -> str:
        """What it holds: `records of 3 invoices and 1 credit note, and settings`."""
        if _RECORDS not in self.parts:
            return "settings, no records"
        counts = [counted(n, KINDS[code].name) for code, n in self.documents.items()]
        settings = ", and settings" if _SETTINGS in self.parts else ""
        return f"the records of {' and '.join(counts)}{settings}"


# --- making one


def make(home: Home, target: Path) -> Backup:
    """Write a backup of a profile, for its owner alone, over whatever is at `target`.

    Others may write to the records meanwhile: they are as at one moment. Raises NotFound where the
    profile has neither records nor settings, HomeUnusable where the records are damaged.
    """
    _check_target(home, target)
    parts = {}
    schema, business, documents = 0, dict[str, str](), dict[str, int]()
    if home.store.exists():
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / _RECORDS
            schema = save_as(home.store, copy)
            parts[_RECORDS] = copy.read_bytes()
            with Store(copy, read_only=True) as store:
                documents = store.copies.documents()
                business = _business(store)
    if home.config.exists():
        parts[_SETTINGS] = home.config.read_bytes()
    if not parts:
        raise NotFound(
            f"profile `{home.profile}` has neither records nor settings to back up",
            hint="look at `--profile` and PSAGE_HOME",
        )
    made = Backup(
        __version__,
        home.profile,
        datetime.now(UTC).replace(microsecond=0),
        schema,
        business,
        documents,
        parts,
    )
    try:
        files.put(target, _packed(made))
    except OSError as error:
        raise storage_error(error, target) from error
    return made


def _check_target(home: Home, target: Path) -> None:
    """Raises UsageProblem where a backup would replace what it is made of, or has no place."""
    if target.resolve() in {one.resolve() for one in (home.store, home.config, home.lock)}:
        raise UsageProblem(f"`{target}` belongs to psage itself", hint="name another file")
    if target.is_dir():
        raise UsageProblem(
            f"`{target}` is a folder", hint=f"name a file in it: `{target / 'psage-backup.zip'}`"
        )
    if not target.absolute().parent.is_dir():
        raise UsageProblem(f"there is no folder `{target.absolute().parent}`")


def _business(store: Store) -> dict[str, str]:
    """The Sage business that records belong to, by its copies or else by the sign-in."""
    known = store.cursors.sign_ins().get("Sage")
    ids = sorted(store.copies.businesses()) or ([known.id] if known else [])
    name = known.name if known and known.id in ids else ""
    return {"id": ids[0], "name": name} if ids else {}


def _packed(backup: Backup) -> bytes:
    digests = {name: hashlib.sha256(part).hexdigest() for name, part in backup.parts.items()}
    manifest = {"psage_backup": _FORMAT, **backup.facts, "sha256": digests}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_MANIFEST, json.dumps(manifest, indent=2) + "\n")
        for name, part in backup.parts.items():
            archive.writestr(name, part)
    return packed.getvalue()


# --- reading one


def read(file: Path) -> Backup:
    """Read a backup, all of it checked.

    Raises UsageProblem where there is no such file, `backup_unusable` where it is not a backup, is
    damaged, or was made by a newer psage.
    """
    if not file.is_file():
        raise UsageProblem(f"there is no file `{file}`", hint="name the backup to put back")
    try:
        with zipfile.ZipFile(file) as archive:
            if _MANIFEST not in archive.namelist():
                raise _foreign(file)
            manifest = json.loads(archive.read(_MANIFEST))
            if not isinstance(manifest, dict) or "psage_backup" not in manifest:
                raise _foreign(file)
            _check_age(file, manifest)
            digests = {
                name: digest
                for name, digest in manifest["sha256"].items()
                if name in (_RECORDS, _SETTINGS)
            }
            parts = {name: archive.read(name) for name in digests}
        for name, part in parts.items():
            if hashlib.sha256(part).hexdigest() != digests[name]:
                raise _damaged(file, f"`{name}` in it is not what was put there")
        return Backup(
            str(manifest["psage"]),
            str(manifest["profile"]),
            datetime.fromisoformat(manifest["made_at"]),
            int(manifest["schema"]),
            dict(manifest["business"]),
            {code: n for code, n in manifest["documents"].items() if code in KINDS},
            parts,
        )
    except zipfile.BadZipFile as error:
        # What begins as a zip was one: its end, with the list of what is in it, is missing.
        begins = _begins(file)
        raise (_damaged(file, str(error)) if begins == b"PK" else _foreign(file)) from None
    except OSError as error:
        raise storage_error(error, file) from error
    except (
        *(AttributeError, EOFError, KeyError, NotImplementedError),
        *(RuntimeError, TypeError, ValueError, zlib.error),
    ) as error:
        raise _damaged(file, str(error)) from None


def _begins(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(2)


def _check_age(file: Path, manifest: Mapping[str, Any]) -> None:
    if manifest["psage_backup"] > _FORMAT or manifest["schema"] > len(MIGRATIONS):
        raise Refused(
            f"`{file}` was made by a newer psage ({manifest.get('psage')}; this is {__version__})",
            code="backup_unusable",
            hint="upgrade: `pipx upgrade productive-sage`",
        )


def _foreign(file: Path) -> Refused:
    return Refused(
        f"`{file}` is not a backup made by psage",
        code="backup_unusable",
        hint="`psage backup FILE` makes one",
    )


def _damaged(file: Path, why: str) -> Refused:
    return Refused(
        f"the backup `{file}` is damaged: {why}",
        code="backup_unusable",
        hint="take another one; without any, `psage help moving` says how the records come back",
    )


# --- putting it back


@dataclass(slots=True)
class Restored:
    """What a restore did."""

    written: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    """What it replaced, under its new name."""


def replaces(home: Home, backup: Backup) -> list[Path]:
    """The files of the profile that are there, and would be replaced."""
    found = [home.store] if _RECORDS in backup.parts and home.store.exists() else []
    if _SETTINGS in backup.parts and home.config.exists():
        found += [home.config] if home.config.read_bytes() != backup.parts[_SETTINGS] else []
    return found


def restore(home: Home, backup: Backup, file: Path) -> Restored:
    """Put records and settings back, keeping beside them what they replace.

    For who holds the run lock. Raises `different_business` where the profile's records are of
    another Sage business, `backup_unusable` where the records in the backup cannot be read.
    """
    done = Restored()
    stamp = f"replaced-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    replaced = replaces(home, backup)
    try:
        if _RECORDS in backup.parts:
            with tempfile.TemporaryDirectory() as folder:
                draft = Path(folder) / _RECORDS
                files.put(draft, backup.parts[_RECORDS])
                _prepare(home, draft, file)
                if home.store in replaced:
                    done.kept += _keep_records(home.store, stamp)
                replace_by(home.store, draft)
                done.written.append(home.store)
        if _SETTINGS in backup.parts and (home.config in replaced or not home.config.exists()):
            if home.config in replaced:
                kept = _free(home.folder / f"{home.profile}.{stamp}.toml")
                files.put(kept, home.config.read_bytes())
                done.kept.append(kept)
            files.put(home.config.resolve(), backup.parts[_SETTINGS])
            done.written.append(home.config)
    except OSError as error:
        raise storage_error(error, home.store) from error
    return done


def _prepare(home: Home, draft: Path, file: Path) -> None:
    """Check the records that are put back, and have them know this machine's sign-ins."""
    here: dict[str, SignedIn | None] = {}
    businesses = set[str]()
    if home.store.exists():
        try:
            with Store(home.store, read_only=True) as store:
                here, businesses = store.cursors.sign_ins(), store.copies.businesses()
        except PsageError:  # damaged: the reason to put a backup back, mostly
            here = {}
    try:
        with Store(draft) as store:
            store.db.check_file()
            theirs = store.copies.businesses()
            if businesses and theirs and not businesses & theirs:
                raise Refused(
                    f"the records in `{file}` are of the Sage business {', '.join(theirs)}, those "
                    f"of profile `{home.profile}` of {', '.join(businesses)}",
                    code="different_business",
                    hint="put it back into a profile of its own: `psage --profile NAME restore "
                    f"{file}`",
                )
            store.cursors.set_sign_ins(here)
    except HomeUnusable as error:
        raise _damaged(file, error.message) from None


def _keep_records(store: Path, stamp: str) -> list[Path]:
    """Copy the records that are replaced; damaged ones as the files they are, out of the way."""
    kept = _free(store.with_suffix(f".{stamp}.db"))
    try:
        save_as(store, kept)
    except HomeUnusable:
        kept.unlink(missing_ok=True)
        parts = [Path(f"{store}{ending}") for ending in ("", "-wal", "-shm")]
        moved = {
            one: kept.with_name(kept.name + one.name.removeprefix(store.name)) for one in parts
        }
        there = {one: to for one, to in moved.items() if one.exists()}
        for one, to in there.items():
            shutil.copy(one, to)
            to.chmod(0o600)
        for one in there:
            one.unlink()
        return [*there.values()]
    return [kept]


def _free(path: Path) -> Path:
    """The path, or one like it that is not taken."""
    n, free = 1, path
    while free.exists():
        n += 1
        free = path.with_stem(f"{path.stem}-{n}")
    return free
