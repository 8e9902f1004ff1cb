"""No secret leaves the keyring but for the service it belongs to.

Canaries: after every command, on good days and bad ones, nothing psage printed or wrote holds a
token or the client secret, whole, in part or encoded. Every command runs with `--verbose`.
"""

import base64
import io
import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus

import pytest

from productive_sage import cli, copying
from productive_sage.http import Http
from productive_sage.http.verdicts import Judge
from productive_sage.productive.calls import Token
from productive_sage.productive.invoices import Invoices
from productive_sage.productive.pdfs import Pdfs
from productive_sage.sage import pdfs
from productive_sage.sage.client import SageClient
from productive_sage.sage.documents import Documents
from productive_sage.sandbox import CLIENT_ID, CLIENT_SECRET, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.setup import businesses, connect
from productive_sage.signin import oauth
from productive_sage.signin.vault import ProductiveSignIn, SageSignIn, Vault
from productive_sage.terminal import asking
from tests.conftest import MemoryKeyring, Psage, Result, consent, copies
from tests.harness.browser import at_a_desk
from tests.harness.days import after_the_first_copy, edit_a_line, own_log

COPY = ("copy-invoice", "123", "--tax-rate", "GB_STANDARD")
BATCH = ("copy-invoice", "123", "124", "125", "--tax-rate", "GB_STANDARD")
PRODUCTIVE = ("connect", "productive", "--organization-id", "4200")


# --- the canaries


class Canaries:
    """Every secret there was since the start of the test."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.productive = {PRODUCTIVE_TOKEN}
        self.client = {CLIENT_SECRET}
        self.access: set[str] = set()
        self.refresh: set[str] = set()
        self.grant: set[str] = set()

    def look(self) -> None:
        """Add what the sign-in page handed out, and what the keyring holds."""
        for call in self._sandbox.calls("auth", "POST"):
            form = parse_qs(call.body.decode())
            self.grant.update(form.get("code", []), form.get("code_verifier", []))
            self.refresh.update(form.get("refresh_token", []))
            try:
                answer = json.loads(call.reply_body)
            except ValueError:
                continue
            self.access.update([answer["access_token"]] if "access_token" in answer else [])
            self.refresh.update([answer["refresh_token"]] if "refresh_token" in answer else [])
        try:
            sign_in = Vault("default").sage()
        except Exception:  # noqa: BLE001 -- not signed in, or the keyring is broken on purpose
            return
        self.access.add(sign_in.access_token)
        self.refresh.add(sign_in.refresh_token)

    @property
    def all(self) -> set[str]:
        return self.productive | self.client | self.access | self.refresh | self.grant


def traces(secret: str) -> set[str]:
    """A secret as it may turn up: whole, its ends, and encoded."""
    raw = secret.encode()
    found = {secret, quote(secret, safe=""), quote_plus(secret), base64.b64encode(raw).decode()}
    return found | ({secret[:24], secret[-24:]} if len(secret) > 60 else set())


def held(content: bytes, secrets: set[str]) -> list[str]:
    """The secrets a content holds."""
    return [s for s in secrets if any(trace.encode() in content for trace in traces(s))]


@pytest.fixture
def canaries(offline: Sandbox) -> Canaries:
    canaries = Canaries(offline)
    canaries.look()
    return canaries


@pytest.fixture
def watched(psage: Psage, canaries: Canaries, tmp_path: Path) -> Psage:
    """Run a command, then look for canaries in all it said and wrote."""

    def run(*args: str) -> Result:
        canaries.look()
        with own_log():
            result = psage("--verbose", *args)
        canaries.look()
        assert held(result.out.encode(), canaries.all) == []
        assert held(result.err.encode(), canaries.all) == []
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        for path in files:
            assert held(path.read_bytes(), canaries.all) == [], path
            assert held(path.name.encode(), canaries.all) == []
        return result

    return run


@pytest.fixture
def signed_in(services: Sandbox, canaries: Canaries) -> Sandbox:
    """Configured and signed in, and the canaries know the tokens."""
    canaries.look()
    assert canaries.access
    assert canaries.refresh
    return services


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who allows psage in."""

    def visit(address: str) -> None:
        with urllib.request.urlopen(consent(address), timeout=10):
            pass

    def opened(address: str) -> bool:
        threading.Thread(target=visit, args=(address,), daemon=True).start()
        return True

    monkeypatch.setattr("webbrowser.open", opened)
    at_a_desk(monkeypatch)


@pytest.fixture
def port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def log_of(home: Path) -> str:
    return (home / "logs" / "psage.log").read_text()


# --- every command


def test_no_command_is_missing_here() -> None:
    # `sandbox` and `demo` show and use secrets that are known to all and open nothing.
    groups = {str(group.name) for group in cli.app.registered_groups}
    commands = cli.app.registered_commands
    named = {c.name or getattr(c.callback, "__name__", "") for c in commands}
    assert groups | named == {
        "connect",
        "disconnect",
        "configure",
        "copy-invoice",
        "credit-note",
        "apply",
        "release",
        "sync-payments",
        "list",
        "open",
        "customers",
        "history",
        "status",
        "doctor",
        "reconcile",
        "backup",
        "restore",
        "rebuild",
        "sandbox",
        "demo",
    }


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["for people", "for scripts"])
def test_connecting_shows_no_secret(
    offline: Sandbox,
    watched: Psage,
    canaries: Canaries,
    browser: None,
    port: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    form: tuple[str, ...],
) -> None:
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", PRODUCTIVE_TOKEN)
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)
    sage = ("connect", "sage", "--client-id", CLIENT_ID, "--port", port)

    results = [
        watched(*PRODUCTIVE, *form),
        watched(*sage, "--business", "Harbour & Pine Ltd", *form),
        watched(*sage, *form),
        watched(*PRODUCTIVE[:-1], "4201", *form),
    ]

    assert [result.code for result in results] == [0, 0, 2, 3]
    assert canaries.access
    assert canaries.grant


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["for people", "for scripts"])
def test_walking_through_both_and_leaving_shows_no_secret(
    offline: Sandbox,
    watched: Psage,
    canaries: Canaries,
    browser: None,
    port: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    form: tuple[str, ...],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PRODUCTIVE_TOKEN}\n{CLIENT_SECRET}\n"))
    walk = ("connect", "--organization-id", "4200", "--client-id", CLIENT_ID, "--port", port)
    both = (*walk, "--business", "Harbour & Pine Ltd")

    results = [
        watched(*both, "--token-stdin", "--client-secret-stdin", *form),
        watched(*both, *form),
        watched("connect", "sage", "--port", port, *form),
        watched("--no-input", "disconnect", *form),
        watched("disconnect", "--yes", *form),
        watched("disconnect", "--yes", *form),
        watched("disconnect", "--purge", "--yes", *form),
    ]

    assert [result.code for result in results] == [0, 0, 2, 2, 0, 0, 0]
    assert offline.calls("auth", "POST", "/revoke")
    assert canaries.grant


EXCHANGES: dict[str, dict[str, Any]] = {
    "400": {"kind": "status", "status": 400, "body": {"error": "invalid_grant"}},
    "401": {"kind": "status", "status": 401, "body": {"error": "invalid_client"}},
    "500": {"kind": "status_after", "status": 500},
    "cut": {"kind": "cut_after"},
    "half a document": {"kind": "truncated"},
    "a page": {"kind": "html_after"},
    "elsewhere": {"kind": "status", "status": 307, "headers": {"Location": "http://127.0.0.1:1/"}},
}


@pytest.mark.parametrize("fault", list(EXCHANGES.values()), ids=list(EXCHANGES))
def test_no_failing_sign_in_shows_a_secret(
    offline: Sandbox,
    watched: Psage,
    browser: None,
    port: str,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, Any],
) -> None:
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)
    offline.fault(service="auth", path="/token", **fault)

    result = watched("connect", "sage", "--client-id", CLIENT_ID, "--port", port, "--json")

    assert result.code in {3, 5}


@pytest.mark.parametrize("fault", list(EXCHANGES.values()), ids=list(EXCHANGES))
def test_no_failing_revocation_shows_a_secret(
    signed_in: Sandbox, watched: Psage, fault: dict[str, Any]
) -> None:
    signed_in.fault(service="auth", path="/revoke", **fault)

    result = watched("disconnect", "--yes")

    assert result.code == 0
    assert "not revoke it" in result.err


@pytest.mark.parametrize(
    ("owner", "name"),
    [(oauth, "_revoke"), (oauth, "forget"), (Vault, "forget")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_defect_while_disconnecting_puts_no_secret_into_its_traceback(
    signed_in: Sandbox,
    watched: Psage,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
) -> None:
    monkeypatch.setattr(owner, name, _stumble)

    result = watched("disconnect", "--yes")

    assert result.code == 1
    assert "Traceback" in log_of(home)


@pytest.mark.parametrize(
    ("command", "secret"),
    [
        ((*PRODUCTIVE, "--token-stdin"), PRODUCTIVE_TOKEN),
        ((*PRODUCTIVE, "--token-stdin"), "canary-of-somebody-else"),
    ],
    ids=["right", "wrong"],
)
def test_a_token_that_is_piped_in_is_not_shown(
    offline: Sandbox,
    watched: Psage,
    canaries: Canaries,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    secret: str,
) -> None:
    canaries.productive.add(secret)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{secret}\n"))

    result = watched(*command)

    assert result.code == (0 if secret == PRODUCTIVE_TOKEN else 3)


def test_a_token_of_another_organisation_is_not_shown(
    offline: Sandbox, watched: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", PRODUCTIVE_TOKEN)
    offline.fault("empty_page", service="productive", path="/organization_memberships")

    result = watched(*PRODUCTIVE)

    assert result.code == 3
    assert "does not belong to organisation" in result.err


def test_a_wrong_client_secret_is_not_shown(
    offline: Sandbox,
    watched: Psage,
    canaries: Canaries,
    browser: None,
    port: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    canaries.client.add("canary-client-secret")
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", "canary-client-secret")

    result = watched("connect", "sage", "--client-id", CLIENT_ID, "--port", port)

    assert result.code == 3


@pytest.mark.parametrize(
    "arguments",
    [("--token", "canary-1"), ("--token=canary-1",), ("--client-secret=canary-1",)],
    ids=" ".join,
)
def test_a_secret_as_an_argument_is_neither_taken_nor_repeated(
    offline: Sandbox, watched: Psage, canaries: Canaries, arguments: tuple[str, ...]
) -> None:
    canaries.productive.add("canary-1")

    result = watched(*PRODUCTIVE, *arguments)

    assert result.code == 2
    assert offline.calls() == []


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["for people", "for scripts"])
def test_working_shows_no_secret(
    signed_in: Sandbox, watched: Psage, home: Path, form: tuple[str, ...]
) -> None:
    signed_in.sign_in.expire_access_tokens()
    results = [
        watched("configure", "--show", *form),
        watched(
            *("configure", "--default-ledger", "4010", "--default-tax-rate", "GB_STANDARD"),
            *("--map-item", "Design=DESIGN", *form),
        ),
        watched(*COPY, "--dry-run", *form),
        watched(*COPY, *form),
    ]
    plan = str(home.parent / "plan.json")
    results += [
        watched("copy-invoice", "101", "--no-tax", "--plan", plan, *form),
        watched("apply", plan, "--show", *form),
        watched("apply", plan, "--show", "--format", "html"),
        watched("apply", plan, "--yes", *form),
    ]
    edit_a_line(signed_in)
    results += [
        watched(*COPY, "--update-existing", *form),
        watched("configure", "--pdf", "sage", *form),
        watched("copy-invoice", "124", "--no-tax", *form),
        watched("copy-invoice", "111", "--no-tax", *form),
        watched("credit-note", "110", *form),
        watched("copy-invoice", "125", "--draft", "--no-tax", *form),
        watched("release", "125", *form),
        watched("history", *form),
        watched("history", "--document", "123", "--format", "csv"),
        watched("history", "--verify", *form),
        watched("list", "--check", *form),
        watched("open", "123", *form),
        watched("customers", *form),
        watched("--version"),
        watched("copy-invoice", "--help"),
        watched("credit-note", "--help"),
        watched("sync-payments", "--help"),
        watched("status", *form),
        watched("status", "--check", *form),
        watched("doctor", *form),
    ]

    assert [result.code for result in results] == [0] * len(results)
    assert "POST /sales_invoices" in log_of(home)


# --- failures

REFUSALS: dict[str, list[dict[str, Any]]] = {
    "Productive 401": [{"kind": "status", "status": 401, "service": "productive"}],
    "Productive 403": [{"kind": "status", "status": 403, "service": "productive"}],
    "Productive 500": [{"kind": "status", "service": "productive", "times": 5}],
    "Productive cut": [{"kind": "cut_mid", "service": "productive", "times": 5}],
    "Productive HTML": [{"kind": "html", "service": "productive", "times": 5}],
    "Productive half": [{"kind": "truncated", "service": "productive", "times": 5}],
    "mark 403": [
        {"kind": "status", "status": 403, "service": "productive", "method": "PATCH", "times": 9}
    ],
    "mark cut": [{"kind": "cut_after", "service": "productive", "method": "PATCH", "times": 9}],
    "Sage 401": [{"kind": "status", "status": 401, "times": 9}],
    "Sage 403": [{"kind": "status", "status": 403, "method": "POST"}],
    "Sage 422": [{"kind": "status", "status": 422, "method": "POST", "path": "/sales_invoices"}],
    "Sage 429": [{"kind": "status", "status": 429, "headers": {"Retry-After": "999"}}],
    "Sage 500": [{"kind": "status", "method": "POST", "path": "/sales_invoices", "times": 2}],
    "Sage cut": [{"kind": "cut_before", "method": "POST", "path": "/sales_invoices", "times": 2}],
    "Sage half": [{"kind": "truncated", "method": "POST", "times": 2}],
    "Sage HTML": [{"kind": "html", "method": "POST", "times": 2}],
    "odd JSON": [{"kind": "status", "status": 200, "body": {"odd": 1}, "times": 9}],
    "files 403": [{"kind": "status", "status": 403, "service": "files", "times": 5}],
    "files 500": [{"kind": "status", "service": "files", "times": 5}],
    "files cut": [{"kind": "cut_mid", "service": "files", "times": 5}],
    "files HTML": [{"kind": "html", "service": "files", "times": 5}],
}
RENEWALS: dict[str, dict[str, Any]] = {
    "400": {"kind": "status", "status": 400, "body": {"error": "invalid_grant"}},
    "401": {"kind": "status", "status": 401, "body": {"error": "invalid_client"}},
    "422": {"kind": "status", "status": 422},
    "429": {"kind": "status", "status": 429, "headers": {"Retry-After": "999"}},
    "500": {"kind": "status_after", "status": 500},
    "cut before": {"kind": "cut_before"},
    "cut after": {"kind": "cut_after"},
    "cut in the middle": {"kind": "cut_mid"},
    "half a document": {"kind": "truncated"},
    "a page": {"kind": "html_after"},
    "no refresh token": {
        "kind": "status",
        "status": 200,
        "body": {"access_token": "canary-access", "expires_in": 300},
    },
    "no number": {
        "kind": "status",
        "status": 200,
        "body": {
            "access_token": "canary-access",
            "refresh_token": "canary-refresh",
            "expires_in": "canary-refresh",
        },
    },
    "a list": {"kind": "status", "status": 200, "body": [{"access_token": "canary-access"}]},
    "a header's end in a token": {
        "kind": "status",
        "status": 200,
        "body": {
            "access_token": "canary-access\r\nX: 1",
            "refresh_token": "canary-refresh",
            "expires_in": 300,
        },
    },
}


def test_no_list_of_processes_shows_a_secret(
    signed_in: Sandbox, watched: Psage, canaries: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    class Recorded(subprocess.Popen[Any]):
        def __init__(self, args: Any, *more: Any, **options: Any) -> None:
            started.append(args)
            super().__init__(args, *more, **options)

    monkeypatch.setattr("subprocess.Popen", Recorded)

    for command in (
        ("doctor", "--cron"),
        ("copy-invoice", "103", "--no-tax"),
        ("disconnect", "-y"),
    ):
        watched(*command)

    assert started
    assert held(repr(started).encode(), canaries.all) == []


@pytest.mark.parametrize("faults", list(REFUSALS.values()), ids=list(REFUSALS))
def test_no_failure_shows_a_secret(
    signed_in: Sandbox, watched: Psage, home: Path, faults: list[dict[str, Any]]
) -> None:
    for fault in faults:
        signed_in.fault(**fault)

    result = watched(*COPY)
    again = watched(*COPY, "--json")

    assert any(call.faulted for call in signed_in.calls())
    assert result.code in {0, 1, 3, 4, 5, 8}
    assert again.json["command"] == "copy-invoice"
    assert "Sage" in log_of(home) or "Productive" in log_of(home)


@pytest.mark.parametrize("fault", list(RENEWALS.values()), ids=list(RENEWALS))
def test_no_failing_renewal_shows_a_secret(
    signed_in: Sandbox, watched: Psage, canaries: Canaries, fault: dict[str, Any]
) -> None:
    canaries.access.add("canary-access")
    canaries.refresh.add("canary-refresh")
    signed_in.sign_in.expire_access_tokens()
    signed_in.fault(service="auth", method="POST", path="/token", **fault)

    result = watched(*COPY)

    assert result.code in {3, 5}
    assert copies(signed_in, "123") == []


def test_a_sign_in_revoked_in_the_middle_shows_no_secret(
    signed_in: Sandbox, watched: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_first_copy(signed_in, monkeypatch, signed_in.sign_in.clear)

    result = watched(*BATCH, "--json")

    assert result.code == 6


@pytest.mark.parametrize(
    "token",
    ["canary-one\ncanary-two", "canary-one\x00canary-two", "canary-one\u20accanary-two"],
    ids=["line end", "control character", "not ASCII"],
)
def test_a_token_that_cannot_be_a_header_is_refused_and_not_shown(
    offline: Sandbox,
    watched: Psage,
    canaries: Canaries,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
) -> None:
    canaries.productive |= {"canary-one", "canary-two"}
    # An environment cannot hold all of these.
    monkeypatch.setattr(asking.Person, "secret", lambda *args, **kwargs: token)

    result = watched(*PRODUCTIVE)

    assert result.code in {2, 3}


def test_what_the_keyring_holds_is_not_shown_where_it_makes_no_sense(
    signed_in: Sandbox, watched: Psage, memory_keyring: MemoryKeyring
) -> None:
    secret = Vault("default").sage().refresh_token
    vault = Vault("default")
    vault._write("sage", f'{{"refresh_token": "{secret}"')

    result = watched(*COPY)

    assert result.code == 3


def test_a_keyring_that_breaks_while_storing_shows_no_secret(
    signed_in: Sandbox, watched: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: MemoryKeyring, service: str, username: str, password: str) -> None:
        raise OSError("the keyring is gone")

    signed_in.sign_in.expire_access_tokens()
    monkeypatch.setattr(MemoryKeyring, "set_password", fail)

    result = watched(*COPY)

    assert result.code == 3
    assert "the keyring is gone" in result.err


@pytest.mark.parametrize(
    "quoted",
    [str, repr, json.dumps, quote, lambda held: base64.b64encode(held.encode()), lambda h: h[900:]],
    ids=["as it is", "repr", "JSON", "address", "base64", "half"],
)
@pytest.mark.parametrize("call", ["get_password", "set_password"])
def test_a_keyring_that_quotes_what_it_holds_shows_no_secret(
    signed_in: Sandbox,
    watched: Psage,
    memory_keyring: MemoryKeyring,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    quoted: Callable[[str], Any],
) -> None:
    def fail(self: MemoryKeyring, service: str, username: str, password: str = "") -> str | None:
        held = password or self.entries.get((service, username), "")
        if "access_token" not in held:  # the first thing that is asked for is no secret
            return held
        raise ValueError(f"the entry cannot be taken: {quoted(held)}")

    signed_in.sign_in.expire_access_tokens()
    monkeypatch.setattr(MemoryKeyring, call, fail)

    results = [watched(*COPY), watched(*COPY, "--json"), watched("doctor", "--json")]

    assert {result.code for result in results} <= {3, 4}
    assert "the entry cannot be taken" in results[0].err


def test_a_service_that_quotes_a_secret_anywhere_shows_none(
    signed_in: Sandbox, watched: Psage
) -> None:
    secret = Vault("default").sage().access_token
    said = {"$severity": "error", "$message": f"Bearer {secret[:200]}?", "$source": secret}
    for status in (422, 403, 404):
        signed_in.fault(
            kind="status",
            status=status,
            method="POST",
            path="/sales_invoices",
            body=[said],
            headers={"X-Request-Id": secret},
        )

        results = [watched(*COPY, "--json"), watched("history", "--json"), watched("history")]

        assert results[0].code == 4
    assert results[1].json["events"]


@pytest.mark.parametrize("secret", ["hunter-22", "hun@ter22", "hun/ter22", "hun%2Fter22"])
def test_a_password_in_an_address_is_not_shown(
    signed_in: Sandbox,
    psage: Psage,
    watched: Psage,
    canaries: Canaries,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    secret: str,
) -> None:
    canaries.productive |= {secret, "ter22"}
    address = f"https://user:{secret}@sage.example/v3.1"
    with monkeypatch.context() as there:
        there.setenv("PSAGE_SAGE_API_URL", address)
        results = [watched(*COPY, *form) for form in ((), ("--json",))]
        results += [watched("doctor", "--json"), watched("status", "--json")]
    assert {result.code for result in results} == {2}
    assert "PSAGE_SAGE_API_URL" in results[0].err

    (home / "default.toml").write_text(f'[endpoints]\nsage_token = "{address}"\n')
    results = [psage(*COPY), psage(*COPY, "--json"), psage("configure", "--show", "--json")]
    assert "endpoints.sage_token" in results[0].err
    assert held("".join(one.out + one.err for one in results).encode(), canaries.all) == []


# --- defects


def _stumble(*args: Any, **kwargs: Any) -> Any:
    """Fail with everything in view, as a careless message would."""
    seen = [*args, *kwargs.values()]
    raise RuntimeError(f"stumbled over {seen!r} {[getattr(s, 'sign_in', '') for s in seen]!r}")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (SageClient, "books"),
        (Documents, "create"),
        (pdfs.Pdfs, "attach"),
        (Invoices, "read"),
        (Invoices, "change"),
        (Pdfs, "fetch"),
        (Token, "headers"),
        (Http, "_address"),
        (Judge, "judge"),
        (oauth.SageTokens, "headers"),
        (oauth.SageTokens, "_renewed"),
        (Vault, "save"),
        (copying, "sources"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_defect_puts_no_secret_into_its_traceback(
    signed_in: Sandbox,
    watched: Psage,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
) -> None:
    signed_in.sign_in.expire_access_tokens()
    monkeypatch.setattr(owner, name, _stumble)

    result = watched(*COPY)

    assert result.code in {0, 1, 3, 8}  # 0: one after the copy is a warning
    assert "Traceback" not in result.out + result.err
    assert "stumbled over" in log_of(home)
    assert "Traceback" in log_of(home)


def test_a_traceback_that_quotes_a_secret_is_written_without_it(
    signed_in: Sandbox, watched: Psage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quote_it(client: SageClient, *_: Any) -> None:
        headers = client._http._credentials.headers()
        raise RuntimeError(f"{headers} {headers['Authorization'][60:160]}")

    monkeypatch.setattr(SageClient, "books", quote_it)

    result = watched(*COPY)

    assert result.code in {1, 8}
    assert "RuntimeError: {'Authorization': 'Bearer …" in log_of(home)


def test_a_defect_while_connecting_puts_no_secret_into_its_traceback(
    offline: Sandbox,
    watched: Psage,
    home: Path,
    browser: None,
    port: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setattr(businesses, "chosen", _stumble)

    result = watched("connect", "sage", "--client-id", CLIENT_ID, "--port", port)

    assert result.code == 1
    assert "stumbled over" in log_of(home)


def test_objects_that_hold_secrets_do_not_show_them(signed_in: Sandbox, canaries: Canaries) -> None:
    vault = Vault("default")
    sage, productive = vault.sage(), vault.productive()
    shown = [
        sage,
        productive,
        vault,
        Token(productive.token, productive.organization_id),
        connect._JustSignedIn(sage.access_token),
        oauth.SageTokens(vault, Http.__new__(Http)),
        {"in a list": [sage, productive]},
    ]

    text = "".join(f"{one!r} {one!s} {one}" for one in shown)

    assert held(text.encode(), canaries.all) == []
    assert "SageSignIn(client_id='sandbox-client'" in text


def test_each_field_that_holds_a_secret_is_left_out_of_repr() -> None:
    sage = SageSignIn("id", "canary-1", "canary-2", 1.0, "canary-3", 2.0)
    productive = ProductiveSignIn("canary-4", "4200", "Harbour & Pine")

    assert "canary" not in f"{sage!r}{productive!r}{Token('canary-5', '4200')!r}"


# --- who is told


def places(sandbox: Sandbox, secrets: set[str]) -> set[str]:
    """Where in the requests any of the secrets turned up."""
    found = set()
    for call in sandbox.calls():
        for name, value in call.headers.items():
            if held(value.encode(), secrets):
                found.add(f"{call.service} header {name}")
        for name, values in call.query.items():
            if held(" ".join(values).encode(), secrets):
                found.add(f"{call.service} {call.method} query {name}")
        if held(call.path.encode(), secrets):
            found.add(f"{call.service} path")
        if held(call.body, secrets):
            found.add(f"{call.service} body")
    return found


def test_each_secret_goes_to_its_own_service_alone(
    offline: Sandbox,
    watched: Psage,
    canaries: Canaries,
    browser: None,
    port: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", PRODUCTIVE_TOKEN)
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)

    codes = [
        watched(*PRODUCTIVE).code,
        watched(
            *("connect", "sage", "--client-id", CLIENT_ID, "--port", port),
            *("--business", "Harbour & Pine Ltd"),
        ).code,
        watched("configure", "--default-ledger", "4010", "--map-item", "Design=DESIGN").code,
        watched(*COPY).code,
    ]
    offline.sign_in.expire_access_tokens()
    codes += [
        watched("configure", "--pdf", "sage").code,
        watched("copy-invoice", "124", "--no-tax").code,
    ]

    assert codes == [0] * 6
    assert {call.service for call in offline.calls("files")} == {"files"}
    assert offline.calls("files", "POST", "/upload")
    assert places(offline, canaries.productive) == {
        "productive header x-auth-token",
        "files GET query token",
    }
    assert places(offline, canaries.client) == {"auth body"}
    assert places(offline, canaries.access) == {"sage header authorization"}
    assert places(offline, canaries.refresh) == {"auth body"}


def test_a_redirect_of_the_files_host_gets_no_token(
    signed_in: Sandbox, watched: Psage, canaries: Canaries
) -> None:
    signed_in.files_redirect = True

    result = watched(*COPY)

    assert result.code == 0
    assert "the PDF was not handed over" in result.err
    assert signed_in.calls("files", "GET")
    assert signed_in.calls("sage", path="/moved") == []
    assert places(signed_in, canaries.productive) == {
        "productive header x-auth-token",
        "files GET query token",
    }


def test_a_redirect_of_the_files_host_is_not_tried_again_and_again(
    signed_in: Sandbox, watched: Psage
) -> None:
    signed_in.files_redirect = True

    watched(*COPY)

    assert len(signed_in.calls("files", "GET")) == 1


def test_a_pdf_on_another_host_gets_no_token(
    signed_in: Sandbox, watched: Psage, canaries: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_in.productive, "files_url", signed_in.sage_url)

    result = watched(*COPY)

    assert result.code == 0
    assert "not Productive's files host" in result.err
    assert signed_in.calls("files") == []
    assert signed_in.calls("sage", path="/attachments/files") == []
    assert places(signed_in, canaries.productive) == {"productive header x-auth-token"}


def test_a_page_that_leads_to_another_host_gets_no_token(
    signed_in: Sandbox, watched: Psage, canaries: Canaries
) -> None:
    elsewhere = {"data": [], "links": {"next": f"{signed_in.sage_url}/steal"}}
    signed_in.fault("status", service="productive", path="/invoices", status=200, body=elsewhere)

    result = watched(*COPY)

    assert result.code == 5
    assert "another host" in result.err
    assert signed_in.calls("sage") == []
    assert places(signed_in, canaries.productive) == {"productive header x-auth-token"}


def test_a_page_of_sage_that_leads_to_another_host_gets_no_token(
    signed_in: Sandbox, watched: Psage, canaries: Canaries
) -> None:
    elsewhere = {"$items": [], "$next": f"{signed_in.productive_url}/steal"}
    signed_in.fault("status", method="GET", path="/sales_invoices", status=200, body=elsewhere)

    result = watched(*COPY)

    assert result.code == 5
    assert "another host" in result.err
    assert places(signed_in, canaries.access) == {"sage header authorization"}


# --- the canaries sing


@pytest.mark.parametrize("wrap", [str, quote_plus, lambda s: base64.b64encode(s.encode()).decode()])
def test_a_leak_would_be_found(wrap: Callable[[str], str]) -> None:
    secret = "a token/with = signs"

    assert held(f"Authorization: Bearer {wrap(secret)} and so on".encode(), {secret}) == [secret]


def test_half_a_long_token_would_be_found() -> None:
    secret = "".join(str(n) for n in range(200))

    assert held(secret[:30].encode(), {secret}) == [secret]
    assert held(secret[-30:].encode(), {secret}) == [secret]
    assert held(b"something else", {secret}) == []
