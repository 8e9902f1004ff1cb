"""psage at night: the recipes of `docs/cron.md` as they stand there, and what the night may meet.

Every psage here is a process without a terminal, with an environment as empty as cron's or emptier.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from configparser import ConfigParser
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import keyring
import pytest
from keyring.core import load_keyring

import productive_sage
from productive_sage.errors import OutcomeUnknown, Temporary
from productive_sage.errors.causes import CAUSES
from productive_sage.sandbox import (
    CLIENT_ID,
    CLIENT_SECRET,
    ORGANIZATION_ID,
    PRODUCTIVE_TOKEN,
    Sandbox,
)
from productive_sage.sandbox.keyring import SandboxKeyring
from productive_sage.sandbox.run import environment
from productive_sage.signin.vault import ProductiveSignIn, Vault
from tests.conftest import Psage, Result, consent, copies, sage_sign_in, writes
from tests.harness.processes import Hold, end, kill, started

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "cron.md").read_text(encoding="utf-8")
HOME, KEY, PROGRAM = "/var/lib/psage", "/etc/psage/keyring-key", "/opt/psage/bin/psage"
"""What the recipes call the home folder, the file with the keyring's key, and the program."""
BUSINESS = "Harbour & Pine Ltd"
DAY = 86_400
PSAGE = ("-m", "productive_sage")
NIGHT = ("--quiet", "sync-payments")
SYNC = "sync_payments = true\nsync_payments_from = 2026-01-01\n"


def blocks(language: str, text: str = GUIDE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def block(language: str, having: str) -> str:
    (found,) = [one for one in blocks(language) if having in one]
    return found


def crontab_line(text: str) -> str:
    (lines,) = blocks("crontab", text)
    (line,) = lines.splitlines()
    return line


SERVICE, TIMER = block("ini", "[Service]"), block("ini", "[Timer]")


def settings(unit: str, name: str) -> list[str]:
    """The values of a key in a unit file; it may stand there more than once."""
    return re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)


def run(argv: list[str], variables: Mapping[str, str]) -> Result:
    """Run with these variables and no others, no terminal, and for no longer than 30 s."""
    done = subprocess.run(
        argv,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        timeout=30,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))


class Server:
    """A machine with psage as the guide sets it up: its names stand for places in `folder`."""

    def __init__(self, folder: Path, home: Path) -> None:
        program, key = folder / "psage", folder / "keyring-key"
        # The real program and the real encryption, but with a cheap way from the key to the cipher.
        source = Path(productive_sage.__file__).parent.parent
        program.write_text(
            textwrap.dedent(f"""\
                #!{sys.executable}
                import sys
                sys.path.insert(0, {str(source)!r})
                from keyrings.cryptfile.cryptfile import ArgonAESEncryption
                ArgonAESEncryption.time_cost, ArgonAESEncryption.memory_cost = 1, 64
                from productive_sage.cli import main
                sys.exit(main())
                """)
        )
        program.chmod(0o755)
        key.touch(mode=0o600)
        key.write_text("correct horse battery staple\n")
        self.home, self.key = home, key
        self._places = {HOME: home, KEY: key, PROGRAM: program}

    def here(self, recipe: str) -> str:
        for name, place in self._places.items():
            assert not re.search(r"[\s'\"$]", str(place))
            recipe = recipe.replace(name, str(place))
        return recipe

    def shell(self, script: str) -> Result:
        """As `env -i /bin/sh -c`, which is cron's way with less in the environment."""
        return run(["/bin/sh", "-c", self.here(script)], {})

    def sign_in(self) -> None:
        """Follow the guide, with a person at the browser."""
        own = {"12345": ORGANIZATION_ID, "4000": "4010", "YOUR-CLIENT-ID": CLIENT_ID}
        script = self.here(block("sh", "connect sage")).replace(
            "connect sage", f"connect sage --business {shlex.quote(BUSINESS)}"
        )
        for name, value in own.items():
            script = script.replace(name, value)
        secrets = {
            "PSAGE_PRODUCTIVE_TOKEN": PRODUCTIVE_TOKEN,
            "PSAGE_SAGE_CLIENT_SECRET": CLIENT_SECRET,
        }
        process = subprocess.Popen(
            ["/bin/sh", "-ec", script],
            env=secrets,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdin
            assert process.stderr
            said = ""
            for line in process.stderr:
                said += line
                if line.startswith("http"):
                    process.stdin.write(consent(line.strip()) + "\n")
                    process.stdin.flush()
            process.communicate(timeout=30)
        assert process.returncode == 0, said

    def sign_in_quickly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Leave what the guide's commands would leave."""
        vault = Vault("default")
        productive, sage = vault.productive(), vault.sage()
        monkeypatch.setenv("XDG_DATA_HOME", str(self.home))
        monkeypatch.setenv("KEYRING_PROPERTY_KEYRING_KEY", self.key.read_text().strip())
        backend = load_keyring("keyrings.cryptfile.cryptfile.CryptFileKeyring")
        monkeypatch.setattr(type(backend), "time_cost", 1)
        monkeypatch.setattr(type(backend), "memory_cost", 64)
        keyring.set_keyring(backend)
        vault = Vault("default")
        vault.save(productive)
        vault.save(sage)
        file = self.home / "default.toml"
        file.write_text(f"{SYNC}{file.read_text()}")


@pytest.fixture
def server(services: Sandbox, home: Path, tmp_path: Path, psage: Psage) -> Server:
    """A server on which invoice 123 was copied; it is signed in for a person, not for the night."""
    file = home / "default.toml"
    addresses = services.environment()
    names = (
        "sage_api sage_authorize sage_token sage_revoke "
        "productive_api productive_files productive_upload"
    ).split()
    endpoints = [f'{name} = "{addresses[f"PSAGE_{name.upper()}_URL"]}"' for name in names]
    file.write_text(file.read_text() + "\n".join(["[endpoints]", *endpoints]) + "\n")
    assert psage("copy-invoice", "123", "--no-tax", "--no-pdf").code == 0
    return Server(tmp_path, home)


def copy_of(sandbox: Sandbox, productive_id: str = "123") -> str:
    (copy,) = copies(sandbox, productive_id)
    return str(copy["id"])


def mirrored(sandbox: Sandbox) -> list[tuple[int, str]]:
    """The amount and the first line of the note of each payment psage made in Productive."""
    return [
        (row["amount"], row["note"].splitlines()[0])
        for row in sandbox.productive.payments.values()
        if "psage" in (row["note"] or "")
    ]


# --- the recipes


def test_the_readme_and_the_guide_give_the_same_crontab_line() -> None:
    line = crontab_line(GUIDE)

    assert crontab_line(README) == line
    assert re.match(r"\d+ \d+ \* \* \* \S", line)
    assert "%" not in line  # cron would cut the command there
    assert all(name in line for name in (HOME, KEY, f"{PROGRAM} --quiet sync-payments"))


def test_the_guide_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", GUIDE, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}

    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        assert target.startswith("#")
        assert target[1:] in anchors


def test_after_the_guides_sign_in_the_crontab_line_brings_a_payment_and_says_nothing(
    server: Server, services: Sandbox
) -> None:
    command = crontab_line(README).split(maxsplit=5)[5]
    server.sign_in()

    before = server.shell(command)
    services.bookkeeper.pay(copy_of(services), "100.00", reference="Überweisung 7")
    services.clear_calls()
    after = server.shell(command)
    sent = writes(services, "productive")
    again = server.shell(command)

    assert before == after == again == Result(0, "", "")
    assert sent == ["POST /payments"]
    assert mirrored(services) == [(10_000, "Sage receipt Überweisung 7")]
    stored = (server.home / "python_keyring" / "cryptfile_pass.cfg").read_text()
    assert PRODUCTIVE_TOKEN not in stored


def test_the_guides_test_by_hand_says_what_it_promises(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = block("sh", "env -i")
    line = crontab_line(GUIDE).split(maxsplit=5)[5]
    assert f"'{line.replace('--quiet ', '')}'" in command
    server.sign_in_quickly(monkeypatch)

    result = server.shell(command)

    assert result.err == ""
    assert result.out == "1 invoice checked, 0 payments changed\nended with 0\n"


def test_the_service_of_the_guide_brings_a_payment_with_the_key_systemd_hands_over(
    server: Server, services: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.sign_in_quickly(monkeypatch)
    (credential,) = settings(SERVICE, "LoadCredential")
    name, file = credential.split(":")
    assert file == KEY
    handed_over = tmp_path / "credentials"
    handed_over.mkdir()
    shutil.copy(server.key, handed_over / name)
    (line,) = settings(SERVICE, "ExecStart")
    assert "$" not in line.replace("$$", "")  # or systemd would put its own variable there
    argv = shlex.split(server.here(line.replace("$$", "$")))
    variables = dict(
        server.here(value).split("=", 1) for value in settings(SERVICE, "Environment")
    ) | {"CREDENTIALS_DIRECTORY": str(handed_over)}
    services.bookkeeper.pay(copy_of(services), "25.00", reference="BACS 0042")

    result = run(argv, variables)
    server.key.unlink()  # not the file but the credential is what it reads
    again = run(argv, variables)
    (handed_over / name).write_text("another key\n")
    wrong = run(argv, variables)
    (handed_over / name).unlink()
    missing = run(argv, variables)

    assert result == again == Result(0, "", "")
    assert mirrored(services) == [(2_500, "Sage receipt BACS 0042")]
    assert (wrong.code, missing.code) == (3, 3)
    for words, said in (("MAC check failed", wrong.err), ("Invalid blank password", missing.err)):
        assert f"the keyring does not work: {words}" in said
        assert words in GUIDE


def test_the_service_repeats_what_passes_by_itself_and_nothing_else() -> None:
    codes = {cause.exit_code for cause in CAUSES.values()}
    temporary = {Temporary.exit_code, OutcomeUnknown.exit_code}
    (never,) = settings(SERVICE, "RestartPreventExitStatus")

    assert settings(SERVICE, "Restart") == ["on-failure"]
    assert set(map(int, never.split())) == codes - temporary
    assert f"Environment=PSAGE_HOME={HOME}" in SERVICE
    assert settings(SERVICE, "StateDirectory") == [Path(HOME).name]


def test_the_timer_runs_once_a_night_and_makes_up_for_a_missed_one() -> None:
    timer = ConfigParser(interpolation=None)
    timer.optionxform = str  # type: ignore[assignment,method-assign]  # as the library documents it
    timer.read_string(TIMER)

    assert dict(timer["Timer"]) == {
        "OnCalendar": "*-*-* 04:17:00",
        "RandomizedDelaySec": "15min",
        "Persistent": "true",
    }
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_systemd_takes_both_units(tmp_path: Path) -> None:
    units = [tmp_path / "psage.service", tmp_path / "psage.timer"]
    encrypted = tmp_path / "psage-encrypted.service"
    (other,) = re.findall(r"`(LoadCredentialEncrypted=\S+)`", GUIDE)
    units[0].write_text(SERVICE)
    units[1].write_text(TIMER)
    encrypted.write_text(re.sub(r"^LoadCredential=.*$", other, SERVICE, flags=re.MULTILINE))

    result = run(["systemd-analyze", "verify", *map(str, [*units, encrypted])], os.environ)

    assert [line for line in result.err.splitlines() if "psage" in line] == []
    assert result.code == 0


@pytest.mark.parametrize(
    ("codes", "last"),
    [
        ([0], 0),
        ([5, 0], 0),
        ([8, 5, 0], 0),
        ([5, 5, 8], 8),
        ([5, 3], 3),
        ([4], 4),
    ],
)
def test_the_guides_wrapper_tries_again_after_5_and_8_only(
    tmp_path: Path, codes: list[int], last: int
) -> None:
    psage = tmp_path / "psage"
    psage.write_text(
        f"#!/bin/sh\ncd {shlex.quote(str(tmp_path))}\n"
        'echo "$*" >>asked\nn=$(wc -l <asked)\n'
        f"set -- {' '.join(map(str, codes))}\nshift $((n - 1))\n"
        """[ "$1" = 0 ] || printf 'try %s: 100%% \\\\n %s\\n' "$n" "$1" >&2\nexit "$1"\n"""
    )
    psage.chmod(0o755)
    wrapper = block("sh", "for pause").replace(PROGRAM, str(psage))
    assert "900 1800 0" in wrapper

    result = run(["/bin/sh", "-c", wrapper.replace("900 1800 0", "0 0 0")], {})

    assert (tmp_path / "asked").read_text() == "--quiet sync-payments\n" * len(codes)
    said = f"try {len(codes)}: 100% \\n {last}\n" if last else ""
    assert result == Result(last, "", said)


# --- what the night may meet


@pytest.fixture
def night(
    offline: Sandbox, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, psage: Psage
) -> Sandbox:
    """Invoices 123 and 124 are copied, all processes share the sandbox's keyring, sync is on."""
    for name, value in environment(offline, tmp_path).items():
        monkeypatch.setenv(name, value)
    keyring.set_keyring(SandboxKeyring())
    home.mkdir(mode=0o700)
    vault = Vault("default")
    vault.save(ProductiveSignIn(PRODUCTIVE_TOKEN, ORGANIZATION_ID, "Harbour & Pine"))
    vault.save(sage_sign_in(offline))
    account = offline.bookkeeper.ledger_account_id(4010)
    (home / "default.toml").write_text(f'default_ledger_account = "{account}"\n{SYNC}')
    assert psage("copy-invoice", "123", "124", "--no-tax", "--no-pdf").code == 0
    offline.clear_calls()
    return offline


def in_the_dark(sandbox: Sandbox, home: Path, *args: str) -> Result:
    """Run psage with nothing in its environment but where the sandbox is, and its keyring."""
    variables = environment(sandbox, home.parent) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return run([sys.executable, *PSAGE, *args], variables)


def test_without_a_terminal_there_are_no_colours_and_no_progress(
    night: Sandbox, home: Path
) -> None:
    night.bookkeeper.pay(copy_of(night), "10.00")
    night.bookkeeper.void(copy_of(night, "124"))

    result = in_the_dark(night, home, "sync-payments")
    batch = in_the_dark(night, home, "copy-invoice", "123", "125", "--no-tax", "--no-pdf")

    assert result.code == 0
    assert "10.00" in result.out
    assert "warning: " in result.err
    assert (batch.code, "copied" in batch.out, "error: " in batch.err) == (6, True, True)
    for text in (result.out, result.err, batch.out, batch.err):
        assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2500-\u259f]", text) is None


def test_what_somebody_should_look_at_is_said_with_quiet_too_and_only_on_stderr(
    night: Sandbox, home: Path
) -> None:
    night.bookkeeper.void(copy_of(night, "124"))

    result = in_the_dark(night, home, *NIGHT)

    assert (result.code, result.out) == (0, "")
    assert "its copy was voided in Sage" in result.err
    assert result.err.count("--create-new") == 1


def test_the_second_run_ends_at_once_with_5_and_names_the_first(night: Sandbox, home: Path) -> None:
    with Hold(night, when="before") as hold, started(*NIGHT) as first:
        hold.reached(first)
        second = in_the_dark(night, home, *NIGHT)  # ends while the first is still held
        hold.let_go()
        finished = end(first)

    assert finished == Result(0, "", "")
    assert (second.code, second.out) == (5, "")
    assert re.search(
        rf"profile `default` is in use: `psage sync-payments` \(process {first.pid}\) "
        r"since \d{4}-\d\d-\d\d \d\d:\d\d",
        second.err,
    )


def test_a_night_that_was_killed_does_not_stop_the_next_one(night: Sandbox, home: Path) -> None:
    with Hold(night, when="before") as hold, started(*NIGHT) as first:
        hold.reached(first)
        kill(first)
        hold.lose()
    assert str(first.pid) in (home / "default.holder").read_text()

    assert in_the_dark(night, home, *NIGHT) == Result(0, "", "")


SILENT = """\
import threading
import keyring.backend

class Keyring(keyring.backend.KeyringBackend):
    priority = 1

    def get_password(self, service, username):
        threading.Event().wait()

    set_password = get_password
"""
BARE = """\
import sys
import keyring.core

keyring.core.init_backend(lambda one: type(one).__module__.startswith("keyring.backends."))
from productive_sage.cli import main
sys.exit(main())
"""
"""psage where nobody installed another back end beside keyring's own."""


@pytest.mark.skipif(sys.platform != "linux", reason="the system's own keyring must not be asked")
@pytest.mark.parametrize(
    ("program", "backend", "words"),
    [
        (PSAGE, "keyring.backends.fail.Keyring", "there is no keyring on this machine"),
        (("-c", BARE), None, "there is no keyring on this machine"),
        (PSAGE, "keyring.backends.SecretService.Keyring", "the keyring does not work: "),
        (PSAGE, "silent.Keyring", "the keyring did not answer within 10 s"),
    ],
    ids=["absent", "none_found", "no_session_bus", "hangs"],
)
def test_without_a_keyring_that_answers_the_night_ends_with_3_and_names_the_way_out(
    night: Sandbox,
    home: Path,
    tmp_path: Path,
    program: tuple[str, ...],
    backend: str | None,
    words: str,
) -> None:
    (tmp_path / "silent.py").write_text(SILENT)
    variables = environment(night, tmp_path) | {
        "PYTHONPATH": os.pathsep.join([*sys.path, str(tmp_path)]),
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
    }
    del variables["PYTHON_KEYRING_BACKEND"]
    if backend:
        variables["PYTHON_KEYRING_BACKEND"] = backend

    result = run([sys.executable, *program, *NIGHT], variables)

    assert (result.code, result.out) == (3, "")
    assert result.err.startswith(f"error: {words}")
    hint = result.err.split("hint: ")[1]
    assert "PYTHON_KEYRING_BACKEND" in hint
    assert "`psage help servers`" in hint
    assert night.calls() == []


@pytest.mark.parametrize(
    ("days", "is_renewed", "is_warned"), [(3, False, True), (3, True, True), (20, False, False)]
)
def test_a_sign_in_near_its_end_is_warned_about_in_every_run(
    night: Sandbox,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
    is_renewed: bool,
    is_warned: bool,
) -> None:
    lifetime_s = days * DAY + 3600
    vault = Vault("default")
    now = time.time()
    if is_renewed:  # with another one that is as short
        monkeypatch.setattr("productive_sage.sandbox.signin.REFRESH_LIFETIME_S", lifetime_s)
        vault.save(replace(vault.sage(), access_until=now, refresh_until=now + 60))
    else:
        vault.save(replace(vault.sage(), access_until=now + 300, refresh_until=now + lifetime_s))
    night.clear_calls()

    results = [in_the_dark(night, home, *NIGHT) for _ in range(2)]

    assert len(night.calls("auth", "POST", "/token")) == is_renewed
    day = datetime.fromtimestamp(vault.sage().refresh_until, UTC).date()
    for result in results:
        assert (result.code, result.out) == (0, "")
        if is_warned:
            assert f"warning: the sign-in to Sage ends on {day}, in {days} days" in result.err
            assert "`psage connect sage`" in result.err
        else:
            assert result.err == ""


def test_every_night_prolongs_the_sign_in(night: Sandbox, home: Path) -> None:
    vault = Vault("default")
    soon = time.time() + 3 * DAY
    vault.save(replace(vault.sage(), access_until=0, refresh_until=soon))

    result = in_the_dark(night, home, *NIGHT)

    assert result == Result(0, "", "")
    assert vault.sage().refresh_until > soon + 27 * DAY


def test_where_the_sync_is_switched_off_the_night_ends_with_4_and_asks_nobody(
    night: Sandbox, home: Path
) -> None:
    (home / "default.toml").write_text("")

    result = in_the_dark(night, home, *NIGHT)
    as_json = in_the_dark(night, home, *NIGHT, "--json")

    assert (result.code, result.out) == (4, "")
    assert "the payment sync is switched off in the settings" in result.err
    assert "the payment sync is switched off in the settings" in GUIDE
    assert as_json.json["error"]["code"] == "payment_sync_off"
    assert (as_json.code, as_json.err) == (4, "")
    assert night.calls() == []
