"""connect: the real grant against the sandbox, with a real listener."""

import io
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from productive_sage import oauth
from productive_sage.sandbox import CLIENT_ID, CLIENT_SECRET, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.vault import Vault
from tests.conftest import MemoryKeyring, Psage, consent

MAIN = "Harbour & Pine Ltd"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch, offline: Sandbox) -> None:
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", PRODUCTIVE_TOKEN)


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A browser whose person does these things at Sage's page; returns the pages seen."""

    def person(*doings: Callable[[str], str]) -> list[str]:
        pages: list[str] = []

        def go(address: str) -> None:
            pages.extend(fetch(doing(address)) for doing in doings)

        def open_(address: str) -> bool:
            threading.Thread(target=go, args=(address,), daemon=True).start()
            return True

        monkeypatch.setattr("webbrowser.open", open_)
        return pages

    return person


def fetch(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=10) as reply:
            return f"{reply.status} {reply.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read().decode()}"


def allow(address: str) -> str:
    return consent(address)


# --- Productive


def test_a_productive_token_is_tried_and_stored(
    offline: Sandbox, psage: Psage, secret: None
) -> None:
    result = psage("connect", "productive", "--organization-id", "4200", "--json")

    assert result.code == 0
    assert result.json["productive"] == {
        "organization_id": "4200",
        "organization_name": "Harbour & Pine",
    }
    assert Vault("default").productive().token == PRODUCTIVE_TOKEN


@pytest.mark.parametrize(
    ("organization", "token"), [("4200", "mistyped-token"), ("4711", PRODUCTIVE_TOKEN)]
)
def test_a_wrong_token_or_organisation_is_refused_and_the_old_one_stays(
    connected: Sandbox,
    psage: Psage,
    monkeypatch: pytest.MonkeyPatch,
    organization: str,
    token: str,
) -> None:
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", token)

    result = psage("connect", "productive", "--organization-id", organization, "--json")

    assert result.code == 3
    assert result.json["error"]["code"] == "sign_in_failed"
    assert token not in result.out
    assert Vault("default").productive().token == PRODUCTIVE_TOKEN


def test_a_missing_secret_with_nobody_to_ask_names_the_variable_and_the_flag(
    offline: Sandbox, psage: Psage
) -> None:
    result = psage("connect", "productive", "--organization-id", "4200")

    assert result.code == 2
    assert "PSAGE_PRODUCTIVE_TOKEN" in result.err
    assert "--token-stdin" in result.err


def test_a_token_comes_from_stdin(
    offline: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipe = tmp_path / "token"
    pipe.write_text(f"{PRODUCTIVE_TOKEN}\n")
    with pipe.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)

        result = psage("connect", "productive", "--organization-id", "4200", "--token-stdin")

    assert result.code == 0


# --- Sage


def test_signing_in_to_sage_stores_tokens_and_the_chosen_business(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Callable[..., list[str]],
) -> None:
    pages = browser(allow)

    result = psage(
        *("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port)),
        *("--business", "harbour & pine ltd", "--json"),
    )

    assert result.code == 0
    assert result.json["sage"]["business_name"] == MAIN
    assert result.json["sage"]["country"] == "GB"
    assert f"http://127.0.0.1:{port}/callback" in result.err
    assert "You can close this window" in pages[0]
    sign_in = Vault("default").sage()
    assert sign_in.business_id == result.json["sage"]["business_id"]
    assert sign_in.access_until > time.time()
    grant = offline.calls("auth", "POST", "/token")[0]
    assert b"code_verifier=" in grant.body


def test_no_browser_prints_the_address_as_a_line_of_its_own(
    offline: Sandbox, psage: Psage, secret: None, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    class Watching(io.StringIO):
        def write(self, text: str) -> int:
            if text.startswith("http"):
                threading.Thread(target=lambda: fetch(consent(text)), daemon=True).start()
            return super().write(text)

    before, sys.stderr = sys.stderr, Watching()
    try:
        result = psage(
            *("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port)),
            *("--no-browser", "--business", MAIN),
        )
    finally:
        said, sys.stderr = sys.stderr, before

    assert result.code == 0
    assert isinstance(said, Watching)
    assert [line for line in said.getvalue().splitlines() if line.startswith("http")]


def test_paste_takes_the_redirected_address_from_a_line(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    answers: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(
        "typer.prompt",
        lambda *args, **kwargs: consent(shown[-1]),
    )
    begin = oauth.begin

    def watched(authorize_url: str, client_id: str, port: int) -> oauth.Request:
        request = begin(authorize_url, client_id, port)
        shown.append(request.url)
        return request

    monkeypatch.setattr("productive_sage.oauth.begin", watched)

    result = psage(
        *("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port)),
        *("--paste", "--business", MAIN),
    )

    assert result.code == 0
    assert Vault("default").sage().business_name == MAIN


def test_a_refused_consent_is_said_and_the_old_sign_in_stays(
    connected: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Callable[..., list[str]],
    memory_keyring: MemoryKeyring,
) -> None:
    before = dict(memory_keyring.entries)
    pages = browser(lambda address: consent(address, "refuse"))

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert result.code == 3
    assert "did not sign in" in result.err
    assert "Not connected" in pages[0]
    assert memory_keyring.entries == before


def test_a_foreign_callback_is_turned_away_and_the_real_one_still_counts(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Callable[..., list[str]],
) -> None:
    here = f"http://127.0.0.1:{port}"
    pages = browser(
        lambda _: f"{here}/callback?code=evil&state=guessed",
        lambda _: f"{here}/callback?error=access_denied&state=guessed",
        lambda _: f"{here}/favicon.ico",
        allow,
    )

    result = psage(
        *("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port), "--business", MAIN)
    )

    assert result.code == 0
    assert [page[:3] for page in pages[:3]] == ["400", "400", "404"]


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_several_businesses_and_nobody_to_ask_is_exit_2_listing_them(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Callable[..., list[str]],
    flags: tuple[str, ...],
    memory_keyring: MemoryKeyring,
) -> None:
    browser(allow)

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port), *flags)

    assert result.code == 2
    assert "Harbour & Pine Labs Ltd" in result.out + result.err
    assert memory_keyring.entries == {}


def test_a_wrong_client_secret_is_sages_refusal(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", "not-the-secret")
    browser(allow)

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert result.code == 3
    assert "did not accept the sign-in" in result.err
    assert "not-the-secret" not in result.err


def test_a_port_in_use_names_the_flag(offline: Sandbox, psage: Psage, secret: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        result = psage(
            "connect", "sage", "--client-id", CLIENT_ID, "--port", str(taken.getsockname()[1])
        )

    assert result.code == 3
    assert "--port" in result.err


def test_nobody_signing_in_ends_after_the_time_limit(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("productive_sage.connection._WAIT_S", 0.2)
    browser()

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert result.code == 3
    assert "nobody signed in" in result.err


def test_another_business_than_the_copies_belong_to_is_refused_and_nothing_stored(
    services: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Callable[..., list[str]],
    memory_keyring: MemoryKeyring,
) -> None:
    psage("copy-invoice", "101")
    before = dict(memory_keyring.entries)
    browser(allow)

    result = psage(
        *("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port)),
        *("--business", "Harbour & Pine Labs Ltd", "--json"),
    )

    assert result.code == 4
    assert result.json["error"]["code"] == "different_business"
    assert memory_keyring.entries == before


def test_the_listener_is_on_loopback_alone(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Callable[..., list[str]]
) -> None:
    seen: list[str] = []

    def look(address: str) -> str:
        rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
        local = [row.split()[1] for row in rows]
        seen.extend(entry.split(":")[0] for entry in local if entry.endswith(f":{port:04X}"))
        return consent(address)

    browser(look)

    psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port), "--business", MAIN)

    assert set(seen) == {"0100007F"}


# --- refreshing


def test_an_expired_access_token_is_renewed_and_the_rotated_one_stored(
    services: Sandbox, psage: Psage
) -> None:
    before = Vault("default").sage()
    services.sign_in.expire_access_tokens()

    result = psage("copy-invoice", "101")

    after = Vault("default").sage()
    assert result.code == 0
    assert after.refresh_token != before.refresh_token
    assert len(services.calls("auth", "POST", "/token")) == 1


def test_a_dead_refresh_token_asks_to_connect_again(services: Sandbox, psage: Psage) -> None:
    services.sign_in.expire_access_tokens()
    services.fault(
        "status", service="auth", path="/token", status=400, body={"error": "invalid_grant"}
    )

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 3
    assert result.json["error"]["code"] == "sign_in_expired"
    assert "psage connect sage" in result.json["error"]["hint"]


def test_a_keyring_that_cannot_store_the_rotated_token_is_heard_of_at_once(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.sign_in.expire_access_tokens()

    def full(self: MemoryKeyring, service: str, username: str, password: str) -> None:
        raise RuntimeError("no space")

    monkeypatch.setattr(MemoryKeyring, "set_password", full)

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 3
    assert result.json["error"]["code"] == "keyring_unavailable"
    assert services.calls("sage", "POST") == []
