"""backup and restore: a profile in one file, and put back without losing what is there."""

import hashlib
import io
import json
import sqlite3
import stat
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import filelock
import pytest

from productive_sage.sandbox import CLIENT_SECRET, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.signin.vault import Vault
from productive_sage.store import Store, database
from tests.conftest import Psage, copies, forget, writes

COPY = ("copy-invoice", "123", "--no-tax", "--json")


@pytest.fixture
def file(services: Sandbox, psage: Psage, tmp_path: Path) -> Path:
    """A backup of a profile that copied an invoice."""
    assert psage(*COPY).code == 0
    file = tmp_path / "psage.zip"
    assert psage("backup", str(file)).code == 0
    return file


def rewritten(file: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """The backup with another manifest or other parts."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts.pop("manifest.json"))
    change(manifest, parts)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, part in parts.items():
            archive.writestr(name, part)
    file.write_bytes(packed.getvalue())
    return file


def test_a_backup_says_what_it_is_and_is_for_its_owner_alone(
    services: Sandbox, psage: Psage, home: Path, tmp_path: Path
) -> None:
    psage(*COPY)
    file = tmp_path / "psage.zip"

    result = psage("backup", str(file), "--json")

    assert result.code == 0
    assert result.json["backup"]["documents"] == {"invoice": 1, "credit_note": 0}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        for name in ("records.db", "settings.toml"):
            assert manifest["sha256"][name] == hashlib.sha256(archive.read(name)).hexdigest()
        assert archive.read("settings.toml") == (home / "default.toml").read_bytes()
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert manifest["profile"] == "default"
    assert manifest["schema"] == len(database.MIGRATIONS)
    assert manifest["business"] == {
        "id": Vault("default").sage().business_id,
        "name": "Harbour & Pine Ltd",
    }
    sign_in = Vault("default").sage()
    for secret in (PRODUCTIVE_TOKEN, CLIENT_SECRET, sign_in.access_token, sign_in.refresh_token):
        assert secret.encode() not in everything


def test_a_backup_holds_what_a_run_has_not_written_back_into_the_file_yet(
    services: Sandbox, psage: Psage, home: Path, tmp_path: Path
) -> None:
    psage("status")
    with Store(home / "default.db") as store:
        store.cursors.set({"a cursor": "of a run under way"})  # in the `-wal`

        assert psage("backup", str(tmp_path / "psage.zip")).code == 0

    with zipfile.ZipFile(tmp_path / "psage.zip") as archive:
        (tmp_path / "records.db").write_bytes(archive.read("records.db"))
    with Store(tmp_path / "records.db", read_only=True) as saved:
        assert saved.cursors.get("a cursor") == "of a run under way"


def test_an_existing_file_is_replaced_only_where_that_is_said(
    services: Sandbox, psage: Psage, tmp_path: Path
) -> None:
    file = tmp_path / "books.xlsx"
    file.write_text("a year's work")

    result = psage("--no-input", "backup", str(file))

    assert (result.code, "--yes" in result.err) == (2, True)
    assert file.read_text() == "a year's work"
    assert psage("backup", str(file), "--yes").code == 0
    assert zipfile.is_zipfile(file)


@pytest.mark.parametrize("name", ["default.db", "default.toml"])
def test_a_backup_never_replaces_what_it_is_made_of(
    services: Sandbox, psage: Psage, home: Path, name: str
) -> None:
    psage(*COPY)
    before = (home / name).read_bytes()

    assert psage("backup", str(home / name), "--yes").code == 2
    assert (home / name).read_bytes() == before


def test_damaged_records_are_not_made_a_backup_of(
    services: Sandbox, psage: Psage, home: Path, tmp_path: Path
) -> None:
    psage(*COPY)
    damage(home / "default.db")

    result = psage("backup", str(tmp_path / "psage.zip"))

    assert (result.code, "damaged" in result.err) == (2, True)
    assert not (tmp_path / "psage.zip").exists()


def test_a_profile_without_anything_has_no_backup(
    offline: Sandbox, psage: Psage, tmp_path: Path
) -> None:
    result = psage("backup", str(tmp_path / "psage.zip"))

    assert result.code == 4
    assert not (tmp_path / "psage.zip").exists()


def test_after_a_restore_on_a_new_machine_nothing_is_copied_again(
    file: Path, services: Sandbox, psage: Psage, home: Path
) -> None:
    settings = (home / "default.toml").read_bytes()
    forget(home)
    (home / "default.toml").unlink()

    result = psage("restore", str(file))

    assert result.code == 0
    assert "psage connect" in result.err
    assert (home / "default.toml").read_bytes() == settings
    assert stat.S_IMODE((home / "default.db").stat().st_mode) == 0o600
    services.clear_calls()
    again = psage(*COPY, "--update-existing")
    assert (again.code, again.only["action"]) == (0, "unchanged")
    assert writes(services) == []
    assert len(copies(services, "123")) == 1


def test_what_a_restore_replaces_is_kept_beside_it(
    file: Path, services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("copy-invoice", "124", "--no-tax", "--json")
    (home / "default.toml").write_text("# mine\n")

    result = psage("restore", str(file), "--yes", "--json")

    assert result.code == 0
    records, settings = map(Path, result.json["kept"])
    assert settings.read_text() == "# mine\n"
    assert stat.S_IMODE(records.stat().st_mode) == 0o600
    with Store(records, read_only=True) as before, Store(home / "default.db") as now:
        assert before.copies.latest("124")
        assert now.copies.latest("124") is None
        assert now.copies.latest("123")
    assert psage("disconnect", "--purge", "--yes").code == 0
    assert not records.exists()
    assert not settings.exists()


def test_a_restore_asks_before_it_replaces_anything(
    file: Path, services: Sandbox, psage: Psage, home: Path
) -> None:
    before = (home / "default.db").read_bytes()

    result = psage("--no-input", "restore", str(file))

    assert (result.code, "--yes" in result.err) == (2, True)
    assert (home / "default.db").read_bytes() == before


def test_a_restore_mends_damaged_records(
    file: Path, services: Sandbox, psage: Psage, home: Path
) -> None:
    damage(home / "default.db")
    damaged = (home / "default.db").read_bytes()

    result = psage("restore", str(file), "--yes", "--json")

    assert result.code == 0
    assert Path(result.json["kept"][0]).read_bytes() == damaged
    with Store(home / "default.db") as store:
        store.db.check_file()
        assert store.copies.latest("123")


def test_a_restore_waits_for_no_other_run(file: Path, psage: Psage, home: Path) -> None:
    before = (home / "default.db").read_bytes()
    with filelock.FileLock(home / "default.lock"):
        result = psage("restore", str(file), "--yes", "--json")

    assert (result.code, result.json["error"]["code"]) == (5, "locked")
    assert (home / "default.db").read_bytes() == before


def damage(path: Path) -> None:
    """Overwrite the middle of a file, as a bad disk may."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[5000:-4000] = b"\xff" * len(content[5000:-4000])
    path.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-300])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def other_records(file: Path) -> None:
    rewritten(file, lambda _, parts: parts.update({"records.db": b"other"}))


def other_settings(file: Path) -> None:
    rewritten(file, lambda _, parts: parts.update({"settings.toml": b"# others"}))


def no_records(file: Path) -> None:
    rewritten(file, lambda _, parts: parts.clear())


def no_date(file: Path) -> None:
    rewritten(file, lambda manifest, _: manifest.update(made_at="yesterday"))


def no_database(file: Path) -> None:
    def change(manifest: dict[str, Any], parts: dict[str, bytes]) -> None:
        parts["records.db"] = b"no database" * 100
        manifest["sha256"]["records.db"] = hashlib.sha256(parts["records.db"]).hexdigest()

    rewritten(file, change)


def damaged_records(file: Path) -> None:
    """As of a backup that was made of damaged records."""

    def change(manifest: dict[str, Any], parts: dict[str, bytes]) -> None:
        content = bytearray(parts["records.db"])
        content[-3000:] = b"\xff" * 3000
        parts["records.db"] = bytes(content)
        manifest["sha256"]["records.db"] = hashlib.sha256(content).hexdigest()

    rewritten(file, change)


@pytest.mark.parametrize(
    "spoil",
    [cut, flip, other_records, other_settings, no_records, no_date, no_database, damaged_records],
)
def test_a_damaged_backup_changes_nothing(
    file: Path, psage: Psage, home: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(file)
    before = {one.name: one.read_bytes() for one in home.iterdir() if one.is_file()}

    result = psage("restore", str(file), "--yes", "--json")

    assert (result.code, result.json["error"]["code"]) == (4, "backup_unusable")
    assert "is damaged" in result.json["error"]["message"]
    assert {one.name: one.read_bytes() for one in home.iterdir() if one.is_file()} == before


@pytest.mark.parametrize("what", ["text", "zip"])
def test_a_foreign_file_is_no_backup(file: Path, psage: Psage, what: str) -> None:
    file.write_text("an invoice")
    if what == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("invoice.pdf", "an invoice")

    result = psage("restore", str(file), "--yes", "--json")

    assert (result.code, result.json["error"]["code"]) == (4, "backup_unusable")
    assert "not a backup made by psage" in result.json["error"]["message"]


@pytest.mark.parametrize("key", ["schema", "psage_backup"])
def test_a_backup_of_a_newer_psage_is_refused(
    file: Path, psage: Psage, home: Path, key: str
) -> None:
    rewritten(file, lambda manifest, _: manifest.update({key: 99}))

    result = psage("restore", str(file), "--yes", "--json")

    assert (result.code, result.json["error"]["code"]) == (4, "backup_unusable")
    assert "newer psage" in result.json["error"]["message"]


def test_records_of_another_business_are_not_put_in_their_place(
    file: Path, psage: Psage, home: Path
) -> None:
    with closing(sqlite3.connect(home / "default.db")) as db, db:
        db.execute("UPDATE link SET business_id = 'another'")
    before = (home / "default.db").read_bytes()

    result = psage("restore", str(file), "--yes", "--json")

    assert (result.code, result.json["error"]["code"]) == (4, "different_business")
    assert (home / "default.db").read_bytes() == before


def test_the_backup_of_another_profile_is_asked_about(file: Path, psage: Psage, home: Path) -> None:
    result = psage("--no-input", "--profile", "labs", "restore", str(file))
    assert (result.code, (home / "labs.db").exists()) == (2, False)

    assert psage("--profile", "labs", "restore", str(file), "--yes").code == 0
    with Store(home / "labs.db") as store:
        assert store.copies.latest("123")
        assert store.cursors.sign_ins() == {}  # which are this machine's own matter


def test_this_machines_sign_ins_outlive_a_restore(file: Path, psage: Psage, home: Path) -> None:
    with Store(home / "default.db") as store:
        before = store.cursors.sign_ins()
        store.cursors.remember_sign_in("Productive", None)

    assert psage("restore", str(file), "--yes").code == 0

    with Store(home / "default.db") as store:
        assert store.cursors.sign_ins() == {**before, "Productive": None}


def test_a_backup_of_an_older_psage_is_brought_up_to_date(
    file: Path, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = (*database.MIGRATIONS, "ALTER TABLE cache ADD COLUMN extra TEXT;")
    monkeypatch.setattr(database, "MIGRATIONS", more)
    monkeypatch.setattr("productive_sage.setup.backup.MIGRATIONS", more)

    assert psage("restore", str(file), "--yes").code == 0

    with closing(sqlite3.connect(home / "default.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(more),)
        assert db.execute("SELECT count(extra) FROM cache").fetchone() == (0,)
