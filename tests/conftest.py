"""What every test stands on: the sandbox over real HTTP, a home and a keyring of its own.

After each test every request psage made and every reply of the sandbox is checked against the
contracts in `tests/contract`.
"""

import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import pytest
import typer.main

from productive_sage import cli
from productive_sage.cli import session
from productive_sage.http.timing import Timing
from productive_sage.sandbox import (
    CLIENT_ID,
    CLIENT_SECRET,
    ORGANIZATION_ID,
    PRODUCTIVE_TOKEN,
    Sandbox,
)
from productive_sage.signin.vault import ProductiveSignIn, SageSignIn, Vault
from productive_sage.store import CopyFacts
from tests.contract.check import problems

_MEMORY = Path("/dev/shm")
"""A disk that is none, where the system has one."""
SEQUENCES = 12
SAMPLED = {
    "test_backup.py": 3,
    "test_bad_days.py": 18,
    "test_batches.py": 4,
    "test_calls.py": 2,
    "test_commandline.py": 40,
    "test_completion.py": 2,
    "test_config.py": 3,
    "test_configure.py": 4,
    "test_connect.py": 8,
    "test_copy_invoice.py": 4,
    "test_crash.py": 40,
    "test_credit_crash.py": 32,
    "test_credit_note.py": 2,
    "test_customers.py": 4,
    "test_disconnect.py": 6,
    "test_doctor.py": 12,
    "test_elsewhere.py": 3,
    "test_history.py": 8,
    "test_http.py": 4,
    "test_interrupts.py": 6,
    "test_keyring_crowd.py": 3,
    "test_naming.py": 4,
    "test_night_shift.py": 8,
    "test_no_doubles.py": 4,
    "test_nothing_left.py": 4,
    "test_payments_machine.py": 4,
    "test_pdf.py": 4,
    "test_plans.py": 8,
    "test_preflight.py": 6,
    "test_preflight_standing.py": 4,
    "test_rebuild.py": 3,
    "test_recovery.py": 3,
    "test_register.py": 3,
    "test_replies.py": 2,
    "test_reports.py": 3,
    "test_sandbox.py": 3,
    "test_screens.py": 4,
    "test_secrets.py": 8,
    "test_signin_page.py": 4,
    "test_sync_crash.py": 32,
    "test_sync_faults.py": 160,
    "test_sync_payments.py": 2,
    "test_tax.py": 4,
    "test_tax_map.py": 2,
    "test_token_lock.py": 4,
    "test_two_homes.py": 4,
    "test_update.py": 3,
    "test_wizard.py": 16,
    "test_wrong_inputs.py": 4,
}
"""Of each table in these files `make check` plays every n-th case, `make torture` the others."""
_LONG = (
    *("test_demo.py", "test_screens.py", "test_reconcile.py", "test_races.py", "test_fuzz.py"),
    *("test_payments_machine.py", "test_kills.py", "test_batch_kills.py", "test_plan_kills.py"),
)
"""What takes many seconds begins first: at the end the others would wait for it."""
_REFUSALS = {400, 401, 403, 404, 409, 415, 422, 429}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", action="store_true", help="ask the real services, reading only")
    parser.addoption("--sequences", type=int, default=80, help="fresh histories of payments")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most of the long tables to `make torture`, and begin with what takes long."""
    played = Counter[str]()
    for item in items:
        table = item.nodeid.partition("[")[0]
        played[table] += 1
        if (played[table] - 1) % SAMPLED.get(item.path.name, 1):
            item.add_marker("torture")
    items.sort(key=lambda item: item.path.name not in _LONG)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: a worker often waits for a child or a terminal."""
    return (os.cpu_count() or 1) + 1


def pytest_configure() -> None:
    # On a real disk a quarter of the time goes into waiting for it.
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 4 * 2**30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job
        signal.signal(signal.SIGINT, signal.default_int_handler)


class MemoryKeyring(keyring.backend.KeyringBackend):
    """The real keyring API over a dictionary."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library's is not annotated
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, both streams, and the JSON document if it is one."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def results(self) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = self.json["results"]
        return results

    @property
    def only(self) -> dict[str, Any]:
        (result,) = self.results
        return result


Psage = Callable[..., Result]


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox(limits=1000) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Both services at the seed; checked against the contracts at the end."""
    if request.config.getoption("--live"):
        pytest.skip("with --live only the real services are asked")
    running_sandbox.reset()
    yield running_sandbox
    # A request that was refused on purpose may break the contract; an accepted one never.
    broken = [
        problem
        for call in running_sandbox.calls()
        for problem in problems(call)
        if not (": request:" in problem and call.status in _REFUSALS)
    ]
    assert broken == []


@pytest.fixture(autouse=True)
def memory_keyring(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MemoryKeyring]:
    memory = MemoryKeyring()
    if request.config.getoption("--live"):
        yield memory
        return
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))  # where its locks are
    before = keyring.get_keyring()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def loopback_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches beyond this machine, but for those asked to."""
    if request.config.getoption("--live"):
        return
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in (
            "127.0.0.1",
            "::1",
        ):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def waits() -> list[float]:
    """Each pause psage would have made; `test_http` judges the pauses themselves."""
    return []


@pytest.fixture
def handed_in(waits: list[float]) -> dict[str, Any]:
    """What `cli.main` is handed in beside the words: a time in which nobody waits.

    A second goes by whenever somebody looks at the clock, so that no limit on calls is reached.
    """
    ticks = itertools.count()
    timing = Timing(clock=lambda: float(next(ticks)), sleep=waits.append, sign_in_s=30)
    return {"timing": timing}


_shared_context = cache(ssl.create_default_context)
_built = cache(typer.main.get_command)


@pytest.fixture(autouse=True)
def build_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a command's time, the certificates and the tree of commands cost more than its work."""
    monkeypatch.setattr(ssl, "create_default_context", _shared_context)
    monkeypatch.setattr(typer.main, "get_command", _built)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and no environment of the person's own."""
    for name in [name for name in os.environ if name.startswith("PSAGE_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("PSAGE_HOME", str(folder))
    monkeypatch.setenv("NO_COLOR", "1")
    return folder


@pytest.fixture
def psage(home: Path, capsys: pytest.CaptureFixture[str], handed_in: dict[str, Any]) -> Psage:
    """Run a command through `cli.main`, as the installed program does."""

    def run(*args: str) -> Result:
        capsys.readouterr()
        code = cli.main(args, **handed_in)
        streams = capsys.readouterr()
        return Result(code, streams.out, streams.err)

    return run


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody at a terminal types these, in order, at each prompt."""
    typed: list[str] = []
    monkeypatch.setattr(session.Session, "can_ask", property(lambda self: True))
    monkeypatch.setattr("typer.prompt", lambda *args, **kwargs: typed.pop(0))
    return typed


@pytest.fixture
def offline(sandbox: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """psage pointed at the sandbox, signed in nowhere."""
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    return sandbox


@pytest.fixture
def connected(offline: Sandbox, home: Path) -> Sandbox:
    """Signed in to both services."""
    home.mkdir(mode=0o700)
    vault = Vault("default")
    vault.save(ProductiveSignIn(PRODUCTIVE_TOKEN, ORGANIZATION_ID, "Harbour & Pine"))
    vault.save(sage_sign_in(offline))
    offline.clear_calls()
    return offline


@pytest.fixture
def services(connected: Sandbox, home: Path) -> Sandbox:
    """Signed in and configured: sales go to ledger account 4010."""
    account = connected.bookkeeper.ledger_account_id(4010)
    (home / "default.toml").write_text(f'default_ledger_account = "{account}"\n')
    return connected


_BEGINNINGS: dict[str, tuple[dict[str, Any], dict[str, bytes]]] = {}


@pytest.fixture
def beginning(services: Sandbox, home: Path, psage: Psage) -> Callable[..., Sandbox]:
    """Run commands once, and later only put back what they left: both services and the home."""

    def begin(*commands: tuple[str, ...]) -> Sandbox:
        name = repr(commands)
        if name not in _BEGINNINGS:
            for command in commands:
                assert psage(*command).code == 0
            files = {one.name: one.read_bytes() for one in home.iterdir() if one.is_file()}
            _BEGINNINGS[name] = services.dump(), files
        state, files = _BEGINNINGS[name]
        services.load(state)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
        for file, content in files.items():
            (home / file).write_bytes(content)
            (home / file).chmod(0o600)
        Vault("default").save(sage_sign_in(services))
        services.clear_calls()
        return services

    return begin


def sage_sign_in(sandbox: Sandbox) -> SageSignIn:
    """Be signed in to the sandbox's Sage, as if somebody had agreed at its page."""
    now = sandbox.clock.now().timestamp()
    answer = sandbox.sign_in.grant()
    (business,) = [
        key
        for key, books in sandbox.sage.data["books"].items()
        if books["business"]["name"] == "Harbour & Pine Ltd"
    ]
    return SageSignIn(
        CLIENT_ID,
        CLIENT_SECRET,
        answer["access_token"],
        now + answer["expires_in"],
        answer["refresh_token"],
        now + answer["refresh_token_expires_in"],
        business,
        "Harbour & Pine Ltd",
        "GB",
    )


def consent(address: str, answer: str = "allow") -> str:
    """Be the person at Sage's page; returns the address the browser is sent to."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            return None

    opener = urllib.request.build_opener(Stay)
    try:
        with opener.open(f"{address}&consent={answer}"):
            raise AssertionError("the consent page did not redirect")
    except urllib.error.HTTPError as reply:
        reply.close()
        return str(reply.headers["Location"])


def copies(sandbox: Sandbox, productive_id: str) -> list[dict[str, Any]]:
    """The documents in Sage that carry the invoice's marker, void ones too."""
    marker = f"PRD-{productive_id}"
    return [
        row
        for row in sandbox.sage.invoices.values()
        if row["reference"] == marker or str(row["reference"]).startswith(f"{marker}-")
    ]


def writes(sandbox: Sandbox, service: str | None = None) -> list[str]:
    """Every write the services saw, as `POST /contacts`."""
    return [
        f"{call.method} {call.path}"
        for call in sandbox.calls(service)
        if call.method != "GET" and call.service in ("sage", "productive")
    ]


def forget_contacts(home: Path) -> None:
    """As on the next day."""
    with closing(sqlite3.connect(home / "default.db")) as db, db:
        db.execute("DELETE FROM cache WHERE key LIKE 'contact %'")


def forget(home: Path) -> None:
    """Lose the store."""
    for file in home.glob("default.db*"):
        file.unlink()


def first_line(sandbox: Sandbox, productive_id: str) -> str:
    """The id of an invoice's first line in Productive."""
    lines = sandbox.productive.line_items
    return next(key for key, row in lines.items() if row["invoice_id"] == productive_id)


A_COPY = CopyFacts(
    copy=1,
    number="INV-7",
    currency="GBP",
    company_id="507",
    contact_name="Juniper",
    country="GB",
    tax_rate_id="",
    said={},
    expected={},
    pending=(),
    number_sent=False,
)
"""What is known of a copy when it is begun."""
