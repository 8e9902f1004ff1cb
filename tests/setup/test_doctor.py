"""doctor: every check can fail, says what to do then, hides no other, and changes nothing."""

import hashlib
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import keyring
import pytest

from productive_sage.kept import OwnPayment
from productive_sage.sandbox import Sandbox
from productive_sage.setup.doctor import cron, machine
from productive_sage.signin.vault import ProductiveSignIn, Vault
from productive_sage.store import PaymentFacts, Store
from productive_sage.store.database import MIGRATIONS
from tests.conftest import A_COPY, MemoryKeyring, Psage, Result, writes

NAMES = (
    *("python", "home", "ledger", "settings", "keyring"),
    *("network_to_productive", "network_to_sage", "clock", "productive", "rights_in_productive"),
    *("sage", "rights_in_sage", "edition_of_sage"),
    *("ledger_account", "tax_rate", "items", "lock_date"),
)
SET_UP = ("configure", "--default-tax-rate", "GB_STANDARD", "--map-item", "Design=DESIGN")


@pytest.fixture
def well(beginning: Callable[..., Sandbox]) -> Sandbox:
    """Signed in, configured with an item and a tax rate, one invoice copied."""
    return beginning(SET_UP, ("copy-invoice", "123"))


def examined(psage: Psage, *options: str) -> Result:
    """Run it for scripts, and hold the document to what is promised of any."""
    result = psage("doctor", "--json", *options)
    checks = result.json["checks"]
    names = [check["name"] for check in checks]
    if "--cron" in options:
        names.remove("keyring_under_cron")
    assert names == list(NAMES)  # none hides another
    for check in checks:
        assert check.keys() == {"name", "result", "message", "remedy"}
        assert check["message"]
        assert "\n" not in check["message"]
        assert (check["remedy"] is None) == (check["result"] == "ok")
        assert check["result"] != "failure" or "`" in check["remedy"]
    failed = [check for check in checks if check["result"] == "failure"]
    assert (result.code == 0) == (not failed)
    assert ("error" in result.json) == bool(failed)
    return result


def amiss(result: Result) -> dict[str, str]:
    """The checks that are not well, but for those that were not tried."""
    return {
        check["name"]: check["result"]
        for check in result.json["checks"]
        if check["result"] not in ("ok", "not_tried")
    }


def said(result: Result, name: str) -> str:
    (check,) = [check for check in result.json["checks"] if check["name"] == name]
    return f"{check['message']} -> {check['remedy']}"


def contents(home: Path) -> dict[str, str]:
    files = [path for path in home.rglob("*") if path.is_file() and path.parent.name != "logs"]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def edit(home: Path, old: str, new: str) -> None:
    """Change the settings by hand."""
    text = (home / "default.toml").read_text()
    assert old in text
    (home / "default.toml").write_text(text.replace(old, new))


# --- all is well


def test_all_is_well(well: Sandbox, psage: Psage) -> None:
    result = examined(psage)

    assert result.code == 0
    assert amiss(result) == {}
    assert result.err == ""


def test_nothing_is_changed(well: Sandbox, psage: Psage, home: Path) -> None:
    before = contents(home)

    examined(psage)

    assert contents(home) == before
    assert writes(well) == []
    assert {call.method for call in well.calls()} == {"GET"}


def test_the_sign_in_is_renewed_where_it_is_time_and_stored(well: Sandbox, psage: Psage) -> None:
    before = Vault("default").sage()
    well.sign_in.expire_access_tokens()

    assert examined(psage).code == 0

    after = Vault("default").sage()
    assert after.refresh_token != before.refresh_token
    assert [call.path for call in well.calls("auth", "POST")] == ["/token"]


def test_people_get_a_line_for_each_check_and_a_word_for_each_result(
    well: Sandbox, psage: Psage, home: Path
) -> None:
    home.chmod(0o755)
    well.bookkeeper.hide_ledger_account(well.bookkeeper.ledger_account_id(4010))

    verbose, result = psage("--verbose", "doctor"), psage("doctor")

    lines = verbose.out.splitlines()
    assert result.code == verbose.code == 2
    assert len([line for line in lines if line.startswith("ok ")]) == len(NAMES) - 3
    assert result.out.splitlines() == [line for line in lines if not line.startswith("ok ")]
    lines = result.out.splitlines()
    assert lines[0].startswith("warning  home ")
    assert lines[1] == f"{'':31}-> close it with `chmod 0700 {home}`"
    assert "failure  ledger account " in result.out
    assert "-> choose another with `psage configure --default-ledger CODE`" in result.out
    assert lines[-1] == "17 checks: 2 failures and 1 warning"
    assert "\x1b" not in result.out


def test_one_line_says_that_all_is_well(well: Sandbox, psage: Psage) -> None:
    assert psage("doctor").out == "17 checks, and all is well\n"


def test_what_was_not_tried_is_no_warning(well: Sandbox, psage: Psage, home: Path) -> None:
    well.sign_in.clear()

    result, shown = examined(psage), psage("doctor").out

    results = {check["name"]: check["result"] for check in result.json["checks"]}
    assert results["rights_in_sage"] == "not_tried"
    assert "not tried" in shown.splitlines()[-1]
    assert "rights in sage" not in shown


def test_quiet_shows_only_what_is_amiss(well: Sandbox, psage: Psage, home: Path) -> None:
    assert psage("--quiet", "doctor").out == ""
    home.chmod(0o755)

    assert len(psage("--quiet", "doctor").out.splitlines()) == 2


def test_on_a_new_machine_it_makes_nothing_and_says_where_to_begin(
    offline: Sandbox, psage: Psage, home: Path
) -> None:
    result = examined(psage)

    assert result.code == 2
    assert amiss(result) == {
        "home": "warning",
        "settings": "failure",
        "productive": "failure",
        "sage": "failure",
    }
    assert "`psage connect productive`" in said(result, "productive")
    assert not home.exists()


# --- this machine


def test_a_home_others_can_look_into_is_a_warning(well: Sandbox, psage: Psage, home: Path) -> None:
    home.chmod(0o750)

    result = examined(psage)

    assert (result.code, amiss(result)) == (0, {"home": "warning"})
    assert "(mode 0750)" in said(result, "home")


def test_settings_others_can_change_are_a_warning(well: Sandbox, psage: Psage, home: Path) -> None:
    (home / "default.toml").chmod(0o666)

    result = examined(psage)

    assert amiss(result) == {"home": "warning"}
    assert f"`chmod go-w {home / 'default.toml'}`" in said(result, "home")


def test_a_home_that_is_a_file_fails_and_the_rest_is_still_tried(
    offline: Sandbox, psage: Psage, home: Path
) -> None:
    home.write_text("not a folder")

    result = examined(psage)

    assert result.code == 2
    assert amiss(result)["home"] == "failure"
    assert "PSAGE_HOME" in said(result, "home")
    assert "clock" not in amiss(result) or sys.platform == "win32"


def damage(path: Path) -> None:
    """Spoil a table that nobody reads just now."""
    with sqlite3.connect(path) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'cache'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    db.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def raise_version(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (damage, "are damaged"),
        (lambda path: path.write_bytes(b"no database" * 999), "are damaged"),
        (raise_version, "newer psage"),
    ],
    ids=["a page", "all of it", "newer"],
)
def test_a_store_that_cannot_be_used_fails(
    well: Sandbox, psage: Psage, home: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(home / "default.db")
    before = contents(home)

    result = examined(psage)

    assert result.code == 2
    assert amiss(result)["ledger"] == "failure"
    assert words in said(result, "ledger")
    assert contents(home) == before


def test_a_store_of_an_older_psage_is_read_and_left(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    with sqlite3.connect(home / "default.db", isolation_level=None) as db:
        db.executescript(MIGRATIONS[0])
        db.execute("PRAGMA user_version = 1")
    db.close()
    before = contents(home)

    result = examined(psage)

    assert (result.code, amiss(result)) == (0, {})
    assert contents(home) == before


def test_records_that_do_not_fit_together_are_a_warning(
    well: Sandbox, psage: Psage, home: Path
) -> None:
    with Store(home / "default.db") as store:
        store.payments.record(OwnPayment("psage r/s", "999", "1", ""))
        (link,) = store.copies.of("123")
        store.copies.change(link, credited_sage_id="nothing")

    result = examined(psage)

    assert (result.code, amiss(result)) == (0, {"ledger": "warning"})
    words = said(result, "ledger")
    assert "1 payment of invoices without a copy and 1 credit note of invoices" in words


def test_writes_without_an_answer_are_a_warning(well: Sandbox, psage: Psage, home: Path) -> None:
    with Store(home / "default.db") as store:
        store.intents.begin("invoice", "7", well.sage.books().business_id, payload={}, facts=A_COPY)
        facts = PaymentFacts("7")
        store.intents.begin("payment", "psage r/s", "b", payload={}, facts=facts)

    result = examined(psage)

    assert amiss(result)["ledger"] == "warning"
    assert "2 writes have no answer yet -> `psage status`" in said(result, "ledger")


@pytest.mark.parametrize(
    ("text", "outcome", "words"),
    [
        ("", "failure", "--default-ledger CODE"),
        ('numbering = "me"\npdf = 7\n', "failure", "2 problems"),
        ("this is not TOML", "failure", "is not valid TOML"),
        ('default_ledger_account = "{}"\nnmbering = "sage"\n', "warning", "`nmbering`"),
    ],
    ids=["no account", "two problems", "no TOML", "slip of the pen"],
)
def test_settings_are_checked(
    well: Sandbox, psage: Psage, home: Path, text: str, outcome: str, words: str
) -> None:
    account = well.bookkeeper.ledger_account_id(4010)
    (home / "default.toml").write_text(text.replace("{}", account))

    result = examined(psage)

    assert amiss(result) == {"settings": outcome}
    assert result.code == (2 if outcome == "failure" else 0)
    assert words in said(result, "settings")


def test_a_wrong_value_does_not_keep_the_services_from_being_tried(
    well: Sandbox, psage: Psage, home: Path
) -> None:
    account = well.bookkeeper.ledger_account_id(4010)
    well.bookkeeper.hide_ledger_account(account)
    (home / "default.toml").write_text(f'numbering = 7\ndefault_ledger_account = "{account}"\n')

    result = examined(psage)

    assert amiss(result) == {"settings": "failure", "ledger_account": "failure"}


@pytest.mark.parametrize(
    "table", ['[endpoints]\nsage_api = "http://example.com"\n', 'endpoints = "x"\n']
)
def test_nothing_goes_to_another_address_than_was_meant(
    well: Sandbox, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    # The guard of conftest fails the test where anything left this machine.
    for name in well.environment():
        monkeypatch.delenv(name)
    (home / "default.toml").write_text(table)
    monkeypatch.setattr(machine, "answer_of", lambda pool, url: {})

    result = examined(psage)

    assert amiss(result)["settings"] == "failure"
    assert well.calls() == []
    assert said(result, "network_to_sage").startswith("not tried")
    assert said(result, "sage").startswith("not tried")


# --- the keyring


def test_a_broken_keyring_fails_once_and_the_rest_is_still_tried(
    well: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fail(self: MemoryKeyring, service: str, username: str) -> str:
        asked.append(service)
        raise OSError("locked away")

    monkeypatch.setattr(MemoryKeyring, "get_password", fail)

    result = examined(psage)

    assert (result.code, amiss(result)) == (3, {"keyring": "failure"})
    assert "locked away" in said(result, "keyring")
    assert len(asked) == 1  # one that does not answer takes its time


def test_a_keyring_that_never_answers_is_waited_for_once(
    well: Sandbox, psage: Psage, handed_in: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def silent(self: MemoryKeyring, service: str, username: str) -> None:
        asked.append(service)
        time.sleep(60)

    monkeypatch.setattr(MemoryKeyring, "get_password", silent)
    handed_in["timing"] = replace(handed_in["timing"], keyring_s=0.2)

    result = examined(psage)

    assert (result.code, amiss(result)) == (3, {"keyring": "failure"})
    assert len(asked) == 1


# The keyring library looks for `keyringrc.cfg`; this back end needs no key and no environment.
FILE_KEYRING = """
import json, pathlib
import keyring.backend
ENTRIES = pathlib.Path(__file__).with_name("entries.json")
class FileKeyring(keyring.backend.KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        return json.loads(ENTRIES.read_text()).get(f"{service} {username}")
    def set_password(self, service, username, password): ...
    def delete_password(self, service, username): ...
"""


@pytest.fixture
def file_keyring(
    well: Sandbox, memory_keyring: MemoryKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """What the keyring holds, found in a file by whoever has this HOME."""
    folder = tmp_path / "user" / ".config" / "python_keyring"
    folder.mkdir(parents=True)
    (folder / "filekeyring.py").write_text(FILE_KEYRING)
    entries = {
        f"{service} {user}": value for (service, user), value in memory_keyring.entries.items()
    }
    (folder / "entries.json").write_text(json.dumps(entries))
    (folder / "keyringrc.cfg").write_text(
        f"[backend]\ndefault-keyring=filekeyring.FileKeyring\nkeyring-path={folder}\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "PYTHON_KEYRING_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_cron_finds_a_keyring_that_needs_nothing_from_the_environment(
    file_keyring: Path, psage: Psage
) -> None:
    result = examined(psage, "--cron")

    assert (result.code, amiss(result)) == (0, {"keyring_under_cron": "warning"})
    assert "answers in an environment as empty as cron's" in said(result, "keyring_under_cron")
    # The sandbox itself is named in the environment.
    assert "cron does not have PSAGE_PRODUCTIVE_API_URL" in said(result, "keyring_under_cron")


def test_cron_is_all_right_where_nothing_is_named_in_the_environment(
    file_keyring: Path, home: Path
) -> None:
    variables = {"HOME": str(file_keyring.parent.parent), "PSAGE_HOME": str(home)}

    assert cron._asked_under_cron("default", variables) == {
        "stored": ["Productive", "Sage"],
        "error": None,
    }


def test_cron_without_its_keyring_fails_and_names_what_it_does_not_have(
    well: Sandbox, psage: Psage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "not.asked.for.in.this.Process")
    monkeypatch.setenv("KEYRING_PROPERTY_KEYRING_KEY", "canary-key")
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", "canary-key")

    result = psage("doctor", "--json", "--cron")

    words = said(result, "keyring_under_cron")
    assert result.code == 3
    assert result.json["error"]["code"] == "keyring_unavailable"
    assert amiss(result) == {"keyring_under_cron": "failure"}
    assert "KEYRING_PROPERTY_KEYRING_KEY" in words
    assert "PYTHON_KEYRING_BACKEND" in words
    assert "PSAGE_PRODUCTIVE_TOKEN" not in words  # a crontab is no place for it
    assert "`psage help cron`" in words
    assert "canary-key" not in result.out


def test_cron_with_another_keyring_fails(file_keyring: Path, psage: Psage) -> None:
    (file_keyring / "entries.json").write_text("{}")

    result = examined(psage, "--cron")

    assert (result.code, amiss(result)) == (3, {"keyring_under_cron": "failure"})
    assert "it holds no sign-in to Productive and Sage" in said(result, "keyring_under_cron")


def test_cron_does_not_have_the_keyring_that_the_environment_names(
    file_keyring: Path, psage: Psage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(file_keyring))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "filekeyring.FileKeyring")
    assert cron._asked_under_cron("default", os.environ)["stored"] == ["Productive", "Sage"]

    result = examined(psage, "--cron")

    assert (result.code, amiss(result)) == (3, {"keyring_under_cron": "failure"})
    assert "PYTHONPATH, PYTHON_KEYRING_BACKEND" in said(result, "keyring_under_cron")


def test_cron_is_tried_where_the_keyring_here_is_broken(
    file_keyring: Path, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: MemoryKeyring, service: str, username: str) -> str:
        raise OSError("locked away")

    monkeypatch.setattr(MemoryKeyring, "get_password", fail)

    result = examined(psage, "--cron")

    assert amiss(result) == {"keyring": "failure", "keyring_under_cron": "warning"}


def test_cron_with_a_keyring_that_ends_the_process_fails(file_keyring: Path, psage: Psage) -> None:
    (file_keyring / "filekeyring.py").write_text("import os\nos._exit(1)\n")

    result = examined(psage, "--cron")

    assert amiss(result) == {"keyring_under_cron": "failure"}
    assert "psage cannot be started there" in said(result, "keyring_under_cron")


def test_without_cron_nothing_is_started(
    well: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.run", lambda *args, **kwargs: pytest.fail("started"))

    assert examined(psage).code == 0


# --- the way there


def test_a_service_that_cannot_be_reached_fails_and_the_other_is_tried(
    well: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setenv("PSAGE_SAGE_API_URL", "http://127.0.0.1:9/v3.1")

    result = examined(psage)

    assert (result.code, amiss(result)) == (5, {"network_to_sage": "failure"})
    assert result.json["error"]["code"] == "network"
    assert "`127.0.0.1:9` cannot be reached" in said(result, "network_to_sage")
    assert "see to `network to sage` first" in said(result, "sage")
    assert waits == []


def test_without_the_hosts_of_files_the_rest_of_productive_is_tried(
    well: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSAGE_PRODUCTIVE_UPLOAD_URL", "http://127.0.0.1:9/upload")

    result = examined(psage)

    assert (result.code, amiss(result)) == (5, {"network_to_productive": "failure"})
    assert said(result, "productive").startswith("connected to")


def test_a_certificate_nobody_trusts_is_explained(
    well: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sandbox does not speak TLS, which is as good as a machine in the middle.
    url = well.environment()["PSAGE_SAGE_API_URL"].replace("http:", "https:")
    monkeypatch.setenv("PSAGE_SAGE_API_URL", url)

    result = examined(psage)

    assert (result.code, amiss(result)) == (5, {"network_to_sage": "failure"})
    assert "SSL_CERT_FILE" in said(result, "network_to_sage")


def test_no_credentials_go_to_where_it_only_knocks(well: Sandbox, psage: Psage) -> None:
    examined(psage)

    knocks = [call for call in well.calls() if call.path == "/"]
    assert {call.service for call in knocks} == {"sage", "productive", "files"}
    for call in knocks:
        assert {"authorization", "x-auth-token"} & call.headers.keys() == set()


@pytest.mark.parametrize(
    ("off", "outcome", "words"),
    [
        (timedelta(seconds=90), None, ""),
        (timedelta(seconds=-150), "warning", "ahead of"),
        (timedelta(seconds=150), "warning", "behind"),
        (timedelta(minutes=6), "failure", "behind"),
        (timedelta(days=-2), "failure", "ahead of"),
    ],
    ids=str,
)
def test_the_clock_is_held_against_the_services(
    well: Sandbox,
    psage: Psage,
    monkeypatch: pytest.MonkeyPatch,
    off: timedelta,
    outcome: str | None,
    words: str,
) -> None:
    monkeypatch.setattr(
        "http.server.BaseHTTPRequestHandler.date_time_string",
        lambda self, timestamp=None: format_datetime(datetime.now(UTC) + off, usegmt=True),
    )

    result = examined(psage)

    assert amiss(result) == ({"clock": outcome} if outcome else {})
    assert result.code == (2 if outcome == "failure" else 0)
    assert words in said(result, "clock")
    if outcome == "failure":
        assert result.json["error"]["code"] == "clock_wrong"


@pytest.mark.parametrize("header", ["", "yesterday"])
def test_services_that_do_not_tell_the_time_leave_the_clock_untried(
    well: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    monkeypatch.setattr(
        "http.server.BaseHTTPRequestHandler.date_time_string", lambda self, timestamp=None: header
    )

    result = examined(psage)

    assert (result.code, amiss(result)) == (0, {})
    assert said(result, "clock").startswith("not tried")


# --- sign-ins and rights


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ({"kind": "status", "status": 401}, 3, "`psage connect productive`"),
        ({"kind": "status", "status": 403}, 3, "administrator"),
        ({"kind": "empty_page"}, 3, "does not belong to organisation `4200`"),
        ({"kind": "status", "status": 500, "times": 9}, 5, "try again"),
    ],
    ids=["401", "403", "another organisation", "500"],
)
def test_a_token_productive_does_not_take_fails(
    well: Sandbox,
    psage: Psage,
    fault: dict[str, Any],
    code: int,
    words: str,
) -> None:
    well.fault(**fault, service="productive", path="/organization_memberships")

    result = examined(psage)

    assert (result.code, amiss(result)) == (code, {"productive": "failure"})
    assert words in said(result, "productive")


def test_a_token_that_may_not_read_invoices_fails(well: Sandbox, psage: Psage) -> None:
    well.fault("status", service="productive", path="/invoices", status=403)

    result = examined(psage)

    assert (result.code, amiss(result)) == (3, {"rights_in_productive": "failure"})
    assert result.json["error"]["code"] == "rights_missing"
    assert "may not read invoices" in said(result, "rights_in_productive")


def test_payments_are_tried_where_they_are_synchronised(well: Sandbox, psage: Psage) -> None:
    well.fault("status", service="productive", path="/payments", status=403, times=9)
    assert amiss(examined(psage)) == {}
    well._desk._faults.clear()
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    well.fault("status", service="productive", path="/payments", status=403, times=9)

    assert amiss(examined(psage)) == {"rights_in_productive": "failure"}


def test_a_sign_in_that_sage_ended_fails(well: Sandbox, psage: Psage) -> None:
    well.sign_in.clear()

    result = examined(psage)

    assert (result.code, amiss(result)) == (3, {"sage": "failure"})
    assert "`psage connect sage`" in said(result, "sage")
    assert "see to `sage` first" in said(result, "lock_date")


def test_a_sign_in_that_ends_within_a_week_is_a_warning(well: Sandbox, psage: Psage) -> None:
    vault = Vault("default")
    until = (datetime.now(UTC) + timedelta(days=3, hours=1)).timestamp()
    vault.save(replace(vault.sage(), refresh_until=until))

    result = examined(psage)

    assert (result.code, amiss(result)) == (0, {"sage": "warning"})
    assert "within 3 days" in said(result, "sage")


def test_a_sign_in_that_may_only_read_fails(well: Sandbox, psage: Psage) -> None:
    vault = Vault("default")
    vault.save(replace(vault.sage(), scope="readonly"))

    result = examined(psage)

    assert (result.code, amiss(result)) == (3, {"sage": "failure"})
    assert result.json["error"]["code"] == "rights_missing"


def test_another_business_than_that_of_the_copies_fails(well: Sandbox, psage: Psage) -> None:
    vault = Vault("default")
    other = next(key for key in well.sage.data["books"] if key != vault.sage().business_id)
    vault.save(replace(vault.sage(), business_id=other))

    result = examined(psage)

    assert (result.code, amiss(result)) == (3, {"sage": "failure"})
    assert result.json["error"]["code"] == "different_business"


@pytest.mark.parametrize(
    ("path", "outcome", "code"),
    [
        ("/sales_invoices", "failure", 3),
        ("/sales_credit_notes", "failure", 3),
        ("/contacts", "failure", 3),
        ("/financial_settings", "failure", 3),
        ("/contact_payments", "warning", 0),
        ("/contact_allocations", "warning", 0),
    ],
)
def test_a_right_that_is_missing_in_sage_is_named(
    well: Sandbox, psage: Psage, path: str, outcome: str, code: int
) -> None:
    well.fault("status", path=path, status=403)

    result = examined(psage)

    assert (result.code, amiss(result)) == (code, {"rights_in_sage": outcome})
    assert "(Forbidden (403)" in said(result, "rights_in_sage")
    assert "administrator" in said(result, "rights_in_sage")


@pytest.mark.parametrize(
    ("role", "outcome", "words"),
    [
        ({"sales": "NO_ACCESS"}, "failure", "may not read invoices"),
        ({"contacts": "NO_ACCESS"}, "failure", "may not read contacts"),
        ({"settings": "NO_ACCESS"}, "failure", "may not read settings"),
        ({"sales": "READ_ONLY"}, "warning", "may not read allocations"),
        ({"sales": "RESTRICTED"}, "warning", "may not read allocations"),
        ({"purchases": "NO_ACCESS"}, "warning", "may not read allocations"),
    ],
)
def test_a_role_without_a_right_is_found_by_reading(
    well: Sandbox, psage: Psage, role: dict[str, str], outcome: str, words: str
) -> None:
    well.bookkeeper.give_role(**role)

    result = examined(psage)

    assert amiss(result)["rights_in_sage"] == outcome
    assert words in said(result, "rights_in_sage")
    assert "an administrator of Sage can give your user" in said(result, "rights_in_sage")
    assert "psage connect" not in said(result, "rights_in_sage")
    assert writes(well) == []


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_subscription_that_has_ended_is_no_reason_to_sign_in_again(
    well: Sandbox, psage: Psage, is_shown: bool
) -> None:
    well.bookkeeper.end_subscription(shown=is_shown)

    result = examined(psage)

    assert (result.code, amiss(result)) == (4, {"sage": "failure"})
    assert result.json["error"]["code"] == "no_subscription"
    assert "No active subscription. (MSE)" in said(result, "sage")
    assert "signing in again changes nothing" in said(result, "sage")
    assert "psage connect" not in json.dumps(result.json)
    assert len(well.calls("auth", "POST", "/token")) == 1


@pytest.mark.parametrize("path", ["/ledger_accounts", "/tax_rates"])
def test_a_list_that_may_not_be_read_fails_in_its_check(
    well: Sandbox, psage: Psage, path: str
) -> None:
    well.fault("status", path=path, status=403)

    result = examined(psage)

    assert result.code == 3
    assert set(amiss(result).values()) == {"failure"}


@pytest.mark.parametrize(
    ("subscriptions", "outcome", "words"),
    [
        ([{"id": "START", "active": True}], "warning", "Accounting Start"),
        ([{"id": "ACCOUNTS", "active": False}], "warning", "no subscription is active"),
        ([{"id": "ACCOUNTS"}], None, "ACCOUNTS"),
        ([{"id": "START", "active": False}, {"id": "ACCOUNTING", "active": True}], None, "ACCOUN"),
        ([], None, "does not say"),
        (None, None, "does not say"),
    ],
)
def test_the_edition_of_sage_is_told(
    well: Sandbox,
    psage: Psage,
    subscriptions: list[dict[str, Any]] | None,
    outcome: str | None,
    words: str,
) -> None:
    key = well.sage.books().business_id
    business = {
        "id": key,
        "name": "Harbour & Pine Ltd",
        "country": {"id": "GB"},
        "subscriptions": subscriptions,
    }
    well.fault("status", path=f"/businesses/{key}", status=200, body=business, times=9)

    result = examined(psage)

    assert (result.code, amiss(result)) == (0, {"edition_of_sage": outcome} if outcome else {})
    assert words in said(result, "edition_of_sage")


# --- what the settings name in Sage


def test_an_account_that_is_gone_fails(well: Sandbox, psage: Psage, home: Path) -> None:
    (home / "default.toml").write_text('default_ledger_account = "gone"\n')

    result = examined(psage)

    assert (result.code, amiss(result)) == (2, {"ledger_account": "failure"})
    assert "`psage configure --default-ledger CODE`" in said(result, "ledger_account")


def test_an_account_that_is_hidden_fails_with_the_items_that_book_to_it(
    well: Sandbox, psage: Psage
) -> None:
    well.bookkeeper.hide_ledger_account(well.bookkeeper.ledger_account_id(4010))

    result = examined(psage)

    assert (result.code, amiss(result)) == (2, {"ledger_account": "failure", "items": "failure"})
    assert "Sales - Services (4010) is not for sales any more" in said(result, "ledger_account")


def test_a_tax_rate_that_is_gone_fails(well: Sandbox, psage: Psage, home: Path) -> None:
    edit(home, "GB_STANDARD", "GB_GONE")

    result = examined(psage)

    assert (result.code, amiss(result)) == (2, {"tax_rate": "failure"})
    assert "no tax rate `GB_GONE` any more" in said(result, "tax_rate")
    assert "`psage configure --default-tax-rate ID`" in said(result, "tax_rate")


def test_a_tax_rate_that_is_hidden_fails(well: Sandbox, psage: Psage) -> None:
    well.sage.books().table("tax_rates")["GB_STANDARD"]["is_visible"] = False

    result = examined(psage)

    assert (result.code, amiss(result)) == (2, {"tax_rate": "failure"})
    assert "is hidden in Sage" in said(result, "tax_rate")


def test_a_tax_rate_of_a_business_that_is_not_registered_is_a_warning(
    well: Sandbox, psage: Psage
) -> None:
    settings = {"base_currency": {"id": "GBP"}, "tax_scheme": {"id": "NOT_REGISTERED"}}
    well.fault("status", path="/financial_settings", status=200, body=settings, times=99)

    with_rate = examined(psage)
    psage("configure", "--default-tax-rate", "")
    without = examined(psage)

    assert (with_rate.code, amiss(with_rate)) == (0, {"tax_rate": "warning"})
    assert "not registered for VAT" in said(with_rate, "tax_rate")
    assert '`psage configure --default-tax-rate ""`' in said(with_rate, "tax_rate")
    assert amiss(without) == {}
    assert "not registered for VAT" in said(without, "tax_rate")


def test_an_item_that_is_gone_fails(well: Sandbox, psage: Psage, home: Path) -> None:
    edit(home, "service:", "service:0")

    result = examined(psage)

    assert (result.code, amiss(result)) == (2, {"items": "failure"})
    assert "that of `Design` (service:0" in said(result, "items")
    assert "is gone from Sage" in said(result, "items")
    assert "--map-item" in said(result, "items")


def test_an_item_that_is_not_active_fails(well: Sandbox, psage: Psage) -> None:
    for item in well.sage.books().table("services").values():
        item["active"] = False

    result = examined(psage)

    assert (result.code, amiss(result)) == (2, {"items": "failure"})
    assert "that of `Design` (DESIGN) is not active in Sage" in said(result, "items")


def test_a_service_type_that_is_no_more_is_a_warning(
    well: Sandbox, psage: Psage, home: Path
) -> None:
    edit(home, "11 =", "999 =")

    result = examined(psage)

    assert (result.code, amiss(result)) == (0, {"items": "warning"})
    assert "service type 999" in said(result, "items")


@pytest.mark.parametrize(
    ("until", "outcome"),
    [
        (None, None),
        (timedelta(days=-60), None),
        (timedelta(days=-10), "warning"),
        (timedelta(days=60), "warning"),
    ],
    ids=str,
)
def test_the_lock_date_is_told_and_warned_about_where_it_is_near(
    well: Sandbox, psage: Psage, until: timedelta | None, outcome: str | None
) -> None:
    day = datetime.now(UTC).date() + until if until else None
    well.bookkeeper.lock_period(str(day) if day else None)

    result = examined(psage)

    assert (result.code, amiss(result)) == (0, {"lock_date": outcome} if outcome else {})
    assert str(day or "no period is closed") in said(result, "lock_date")


# --- the verdict


def test_set_up_comes_before_a_sign_in_and_that_before_another_time(
    well: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("PSAGE_SAGE_API_URL", "http://127.0.0.1:9/v3.1")
    network = examined(psage).code
    vault = Vault("default")
    vault.save(ProductiveSignIn("wrong", "4200", "Harbour & Pine"))
    sign_in = examined(psage).code
    (home / "default.toml").write_text("")

    assert (network, sign_in, examined(psage).code) == (5, 3, 2)


def test_a_defect_in_one_check_does_not_hide_the_others(
    well: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    def stumble(self: Any) -> date:
        raise RuntimeError("stumbled")

    monkeypatch.setattr("productive_sage.sage.client.SageClient.lock_date", stumble)

    result = examined(psage)

    assert (result.code, amiss(result)) == (1, {"lock_date": "failure"})
    assert "stumbled" in (home / "logs" / "psage.log").read_text()


def test_another_profile_is_named_in_what_to_do(
    offline: Sandbox, psage: Psage, memory_keyring: MemoryKeyring
) -> None:
    result = psage("--profile", "labs", "doctor")

    assert "run `psage --profile labs connect`" in result.out
    assert keyring.get_keyring() is memory_keyring


def test_modes_are_as_psage_itself_makes_them(well: Sandbox, home: Path) -> None:
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "default.toml").stat().st_mode) & 0o022 == 0


# --- what cannot be read


def without_store(home: Path) -> Path:
    for file in home.glob("default.db*"):
        file.unlink()
    return home / "default.db"


def whole_store(home: Path) -> bytearray:
    """Its bytes, with nothing left beside the file."""
    with closing(sqlite3.connect(home / "default.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return bytearray((home / "default.db").read_bytes())


def cut(home: Path) -> None:
    content = whole_store(home)
    without_store(home).write_bytes(content[: len(content) // 2])


def eaten(home: Path) -> None:
    content = whole_store(home)
    for place in range(4096, len(content), 997):
        content[place] ^= 0xFF
    without_store(home).write_bytes(content)


def in_place_of_a_file(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("x")
    else:
        path.unlink(missing_ok=True)
        path.mkdir()


def in_a_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lambda home: in_place_of_a_file(home / "default.toml"), "settings"),
        (lambda home: in_a_circle(home / "default.toml"), "settings"),
        (lambda home: (home / "default.toml").write_bytes(b"\xff\xfe\x00"), "settings"),
        (lambda home: (home / "default.toml").write_text("a = [[["), "settings"),
        (lambda home: (home / "default.toml").write_text(f"a = {'[' * 5000}"), "settings"),
        (lambda home: without_store(home).mkdir(), "ledger"),
        (lambda home: without_store(home).write_bytes(b"x" * 4096), "ledger"),
        (cut, "ledger"),
        (eaten, "ledger"),
        (in_place_of_a_file, "home"),
    ],
    ids=(
        "settings-folder settings-circle settings-bytes settings-broken settings-deep "
        "ledger-folder ledger-bytes ledger-cut ledger-eaten home-file"
    ).split(),
)
def test_what_cannot_be_read_is_told_in_its_check_and_without_a_traceback(
    well: Sandbox, psage: Psage, home: Path, spoil: Callable[[Path], object], check: str
) -> None:
    spoil(home)

    for_scripts, for_people = examined(psage), psage("doctor")

    assert for_scripts.code == for_people.code == 2
    assert amiss(for_scripts)[check] == "failure"
    assert for_scripts.err == for_people.err == ""
    assert "does not expect" not in for_scripts.out
    assert "Traceback" not in for_people.out


@pytest.mark.parametrize(
    "body", [[], "null", 5, {"$items": [None], "data": [None]}, {"$items": "ab", "data": "ab"}]
)
@pytest.mark.parametrize(
    ("service", "path"),
    [("sage", "/"), ("sage", "/financial"), ("sage", "/sales"), ("productive", "/"), ("auth", "/")],
)
def test_an_odd_answer_is_told_in_its_check(
    well: Sandbox,
    psage: Psage,
    service: str,
    path: str,
    body: object,
) -> None:
    well.sign_in.expire_access_tokens()
    well.fault("status", service=service, path=path, status=200, body=body, times=99)

    result = examined(psage)
    well.clear_calls()  # whose odd answers are not the contract's

    assert result.code in (0, 3, 5)
    assert "does not expect" not in result.out
    assert result.err == ""


@pytest.mark.parametrize(
    ("name", "value"), [("SSL_CERT_FILE", "/nowhere"), ("HTTPS_PROXY", "ftp://nowhere")]
)
def test_an_environment_that_lets_nothing_out_hides_no_other_check(
    well: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    result = examined(psage)

    assert result.code == 2
    assert amiss(result) == {
        "network_to_productive": "failure",
        "network_to_sage": "failure",
    }
    assert name in said(result, "network_to_sage")


def test_a_defect_prints_no_traceback_where_there_is_no_log(home: Path) -> None:
    program = (
        "from productive_sage import cli\nfrom productive_sage.setup import doctor\n"
        "def stumble(ground):\n    raise RuntimeError('stumbled')\n"
        "doctor.machine.python = stumble\n"
        "print(cli.main(['doctor']))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "psage met something it does not expect (RuntimeError)" in done.stdout
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "1"


# --- for people


def test_where_nothing_is_connected_that_is_the_one_finding(offline: Sandbox, psage: Psage) -> None:
    result = psage("doctor")

    assert result.code == 2
    assert result.out.count("failure") == 1
    assert "warning" not in result.out
    assert "nothing is connected yet" in result.out
    assert "`psage connect`, then `psage configure`" in result.out
    assert "17" not in result.out.splitlines()[-1]
    everything = psage("-v", "doctor").out
    assert "Productive is not connected" in everything
    assert "Sage is not connected" in everything


def test_another_trouble_is_told_beside_it_that_nothing_is_connected(
    offline: Sandbox, psage: Psage, home: Path
) -> None:
    home.mkdir(mode=0o700)
    (home / "default.toml").write_text('numbering = "both"\n')

    shown = psage("doctor").out

    assert shown.count("failure") == 2
    assert "numbering" in shown


def test_with_one_service_connected_the_other_is_named(well: Sandbox, psage: Psage) -> None:
    Vault("default").forget("sage")

    shown = psage("doctor").out

    assert "`psage connect sage`" in shown
    assert "nothing is connected" not in shown


def test_the_columns_of_all_checks_line_up(
    well: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")

    lines = re.sub(r"\x1b\[[\d;]*m", "", psage("-v", "doctor").out).splitlines()[:-1]

    assert all(line[30] == " " and line[31:].strip() for line in lines)
    assert all(line[31] != " " for line in lines if line[0] != " ")
