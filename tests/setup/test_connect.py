"""connect: the real grant against the sandbox, with a real listener."""

import html
import io
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import Any

import pexpect
import pytest

from productive_sage.errors import NotConnected
from productive_sage.sandbox import (
    CLIENT_ID,
    CLIENT_SECRET,
    ORGANIZATION_ID,
    PRODUCTIVE_TOKEN,
    Sandbox,
)
from productive_sage.signin import oauth
from productive_sage.signin.vault import ProductiveSignIn, Vault
from tests.conftest import MemoryKeyring, Psage, consent, writes
from tests.harness.browser import (
    LABS,
    MAIN,
    Browser,
    allow,
    at_a_desk,
    browser_of,
    fetch,
    free_port,
)
from tests.harness.processes import Hold, end, run, share_the_keyring, started

ORGANIZATION = ("--organization-id", "4200")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch, offline: Sandbox) -> None:
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", PRODUCTIVE_TOKEN)


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Browser:
    return browser_of(monkeypatch)


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
    browser: Browser,
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
    assert "You can close this window" in pages()[0]
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

    monkeypatch.setattr("productive_sage.signin.oauth.begin", watched)

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
    browser: Browser,
    memory_keyring: MemoryKeyring,
) -> None:
    before = dict(memory_keyring.entries)
    pages = browser(lambda address: consent(address, "refuse"))

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert result.code == 3
    assert "access was refused on Sage's page" in result.err
    assert "choose Allow" in result.err
    assert "Not signed in" in pages()[0]
    assert memory_keyring.entries == before


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("error=Invalid+request&reason=Not+registered", "Invalid request: Not registered"),
        (
            "error=Invalid%20request&reason=Not%20registered&state=",
            "Invalid request: Not registered",
        ),
        ("error=server_error&error_description=Down", "server_error: Down"),
        (
            "error=Invalid+request&error_description=A+b&reason=A+b",
            "did not sign in: Invalid request: A b",
        ),
        (
            "error=Invalid+request&reason=Not+registered&code=evil",
            "Invalid request: Not registered",
        ),
        ("error=access_denied", "access was refused on Sage's page, so nothing was stored"),
        ("error=access_denied&reason=Ask+Ann", "refused on Sage's page (Ask Ann), so nothing"),
        ("error=", "it does not say why"),
    ],
)
def test_a_refusal_without_state_ends_the_waiting_with_its_words(
    connected: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
    memory_keyring: MemoryKeyring,
    answer: str,
    words: str,
) -> None:
    before = dict(memory_keyring.entries)
    pages = browser(lambda _: f"http://127.0.0.1:{port}/callback?{answer}")

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert result.code == 3
    assert words in result.err
    assert "Not signed in" in pages()[0]
    assert html.escape(words) in pages()[0].replace("Access was", "access was")
    assert memory_keyring.entries == before
    assert connected.calls("auth", path="/token") == []


def test_the_reason_on_sages_page_is_said(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser
) -> None:
    browser(lambda address: consent(address, "fail"))

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port), "--json")

    assert result.code == 3
    assert result.json["error"]["code"] == "sign_in_failed"
    assert "not registered for this country" in result.json["error"]["message"]


@pytest.mark.parametrize(
    "answer", ["code=evil", "code=evil&state=", "", "reason=x", "error=x&state=y"]
)
def test_without_state_nothing_but_a_refusal_counts(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser, answer: str
) -> None:
    pages = browser(lambda _: f"http://127.0.0.1:{port}/callback?{answer}", allow)

    result = psage(
        *("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port), "--business", MAIN)
    )

    assert result.code == 0
    assert [page[:3] for page in pages()] == ["400", "200"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:8765/callback?error=Invalid+request&reason=Not+yours", "Not yours"),
        ("http://127.0.0.1:8765/callback?code=evil", "does not belong to this sign-in"),
    ],
)
def test_a_pasted_refusal_needs_no_state_and_a_pasted_code_does(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    words: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{address}\n"))

    result = psage("connect", "sage", "--paste", "--client-id", CLIENT_ID)

    assert result.code == 3
    assert words in result.err
    assert offline.calls("auth", path="/token") == []


def test_a_foreign_callback_is_turned_away_and_the_real_one_still_counts(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
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
    assert [page[:3] for page in pages()] == ["400", "400", "404", "200"]


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_several_businesses_and_nobody_to_ask_is_exit_2_listing_them(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
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
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", "not-the-secret")
    browser(allow)

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert result.code == 3
    assert "did not accept the client id with this client secret" in result.err
    assert "psage connect sage --client-id ID" in result.err
    assert "not-the-secret" not in result.err


def test_a_port_in_use_is_found_before_anything_is_typed_and_the_next_step_named(
    offline: Sandbox, psage: Psage, answers: list[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answers += [CLIENT_ID, CLIENT_SECRET]

        result = psage("connect", "sage", "--port", str(port))

    assert result.code == 3
    assert f"port {port} is in use" in result.err
    assert f"--port {port + 1}" in result.err
    assert f"http://127.0.0.1:{port + 1}/callback" in result.err
    assert answers == [CLIENT_ID, CLIENT_SECRET]


def test_nobody_signing_in_ends_after_the_time_limit(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
    handed_in: dict[str, Any],
) -> None:
    browser()
    handed_in["timing"] = replace(handed_in["timing"], sign_in_s=0.2)

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert result.code == 3
    assert "nobody signed in" in result.err


def test_another_business_than_the_copies_belong_to_is_refused_and_nothing_stored(
    services: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
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
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser
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


def test_an_answer_of_another_sign_in_is_counted_where_no_other_comes(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
    handed_in: dict[str, Any],
) -> None:
    pages = browser(lambda _: f"http://127.0.0.1:{port}/callback?code=stolen&state=guessed")
    handed_in["timing"] = replace(handed_in["timing"], sign_in_s=1.5)

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert result.code == 3
    assert "answers of other sign-ins were turned away: 1" in result.err
    assert f"http://127.0.0.1:{port}/callback" in result.err.split("hint:")[1]
    assert "another sign-in" in pages()[0]
    assert offline.calls("auth", "POST") == []


def test_a_second_answer_is_turned_away_while_the_first_is_redeemed(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser
) -> None:
    second: list[str] = []

    with Hold(offline, path="/token", when="before") as exchange:

        def twice(address: str) -> str:
            back = consent(address)

            def again() -> None:
                assert exchange._reached.wait(10)
                second.append(fetch(back))
                exchange.let_go()

            threading.Thread(target=again, daemon=True).start()
            return back

        pages = browser(twice)
        result = psage(
            *("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port)),
            *("--business", MAIN),
        )

    assert result.code == 0
    assert second[0].startswith("409")
    assert "takes no second one" in second[0]
    assert pages()[0].startswith("200")
    assert len(offline.calls("auth", "POST", "/token")) == 1


def test_a_code_that_has_run_out_is_said_to_be_just_that(
    connected: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
    memory_keyring: MemoryKeyring,
) -> None:
    before = dict(memory_keyring.entries)

    def linger(address: str) -> str:
        back = consent(address)
        connected.clock.offset_s += 61
        return back

    pages = browser(linger)
    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))
    connected.clock.offset_s = 0

    assert result.code == 3
    assert "did not accept the code of this sign-in" in result.err
    assert "lives for a minute" in result.err
    assert "did not accept the code" in pages()[0]
    assert memory_keyring.entries == before


@pytest.mark.parametrize("kind", ["status", "cut_after", "html_after"])
def test_a_token_endpoint_in_trouble_is_temporary_and_nothing_is_stored(
    connected: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
    memory_keyring: MemoryKeyring,
    kind: str,
) -> None:
    before = dict(memory_keyring.entries)
    connected.fault(kind, service="auth", path="/token", status=503)
    browser(allow)

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port), "--json")

    assert result.code == 5
    assert result.json["error"]["code"] == "service_unavailable"
    assert "nothing was stored" in result.json["error"]["hint"]
    assert memory_keyring.entries == before
    # The code may be used up: never sent again.
    assert len(connected.calls("auth", "POST", "/token")) == 1


def test_a_token_endpoint_that_leads_elsewhere_is_not_followed(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser
) -> None:
    elsewhere = {"Location": f"{offline.productive_url}/steal"}
    offline.fault("status", service="auth", path="/token", status=307, headers=elsewhere)
    browser(allow)

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert result.code == 5
    assert offline.calls("productive") == []


@pytest.mark.parametrize("is_broken", [False, True])
def test_where_no_browser_opens_the_address_is_there_to_be_opened_by_hand(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    handed_in: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    is_broken: bool,
) -> None:
    def fail(address: str) -> bool:
        if is_broken:
            raise webbrowser.Error("could not locate runnable browser")
        return False

    monkeypatch.setattr("webbrowser.open", fail)
    handed_in["timing"] = replace(handed_in["timing"], sign_in_s=1)
    at_a_desk(monkeypatch)

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert "No browser could be opened" in result.err
    assert "`--paste`" in result.err
    assert [line for line in result.err.splitlines() if line.startswith("http")]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("SSH_CONNECTION", "192.0.2.7 1 192.0.2.8 22", "SSH session"), ("DISPLAY", "", "no screen")],
)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
def test_a_browser_nobody_would_see_is_not_opened(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    handed_in: dict[str, Any],
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    words: str,
) -> None:
    pages = browser(allow)
    handed_in["timing"] = replace(handed_in["timing"], sign_in_s=0.3)
    for other in ("WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert pages() == []
    assert words in result.err
    assert f"ssh -L {port}:127.0.0.1:{port}" in result.err
    assert [line for line in result.err.splitlines() if line.startswith("http")]


def test_each_attempt_has_a_state_and_a_verifier_nobody_can_guess() -> None:
    requests = [oauth.begin("https://sage.test/auth?filter=apiv3.1", "id", 8765) for _ in range(50)]

    assert len({request.state for request in requests}) == 50
    assert len({request.verifier for request in requests}) == 50
    assert min(len(request.state) for request in requests) >= 43  # 256 bits
    assert all(request.verifier not in request.url for request in requests)
    assert not oauth.is_answer(f"/callback?code=x&state={requests[0].state}", requests[1])
    assert not oauth.is_answer("/callback?code=x", requests[1])


# --- rights


def test_a_sign_in_that_may_only_read_is_stored_and_said(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser
) -> None:
    browser(lambda address: consent(address.replace("full_access", "readonly")))

    result = psage(
        *("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port)),
        *("--business", MAIN, "--json"),
    )

    assert result.code == 0
    (warning,) = result.json["warnings"]
    assert warning["code"] == "read_only_sign_in"
    assert "Sage lets psage read, but not write" in warning["message"]
    assert Vault("default").sage().scope == "readonly"


SAGE = ("connect", "sage", "--client-id", CLIENT_ID)


@pytest.mark.parametrize(
    ("role", "words", "way_out"),
    [
        ({"sales": "NO_ACCESS"}, "may not read invoices", "Full access to Sales, Contacts"),
        ({"settings": "NO_ACCESS"}, "may not read settings", "Full access to Sales, Contacts"),
        ({"sales": "READ_ONLY"}, "may not read allocations", "Full access to Sales, Purchases"),
        ({"purchases": "READ_ONLY"}, "may not read allocations", "Full access to Sales, Purchases"),
    ],
)
def test_a_right_that_is_missing_in_sage_is_said_with_who_can_give_it(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
    role: dict[str, str],
    words: str,
    way_out: str,
) -> None:
    offline.bookkeeper.give_role(**role)
    browser(allow)

    result = psage(*SAGE, "--port", str(port), "--business", MAIN, "--json")

    assert result.code == 0
    (warning,) = result.json["warnings"]
    assert warning["code"] == "rights_missing"
    assert words in warning["message"]
    assert f"an administrator of Sage can give your user {way_out}" in warning["message"]
    assert "psage connect" not in warning["message"]


def test_rights_are_learned_by_reading_alone(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser
) -> None:
    browser(allow)

    result = psage(
        *("connect", *ORGANIZATION, "--client-id", CLIENT_ID, "--port", str(port)),
        *("--business", MAIN, "--json"),
    )

    assert result.code == 0
    assert result.json["warnings"] == []
    assert writes(offline) == []


@pytest.mark.parametrize("status", [500, 422, 429])
def test_an_answer_that_tells_nothing_about_rights_is_no_warning(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
    status: int,
) -> None:
    headers = {"Retry-After": "999"}
    offline.fault("status", path="/sales_invoices", status=status, times=9, headers=headers)
    browser(allow)

    result = psage(*SAGE, "--port", str(port), "--business", MAIN, "--json")

    assert result.code == 0
    assert result.json["warnings"] == []


# --- businesses of one name


@pytest.fixture
def many(offline: Sandbox) -> list[str]:
    """The ids of three hundred businesses of one name: the first in Ireland, the second Start."""
    first = offline.bookkeeper.add_business("Example Ltd", country="IE")
    second = offline.bookkeeper.add_business("Example Ltd", edition="START")
    more = [offline.bookkeeper.add_business("Example Ltd") for _ in range(298)]
    return [first, second, *more]


def looks(sandbox: Sandbox) -> int:
    """How often a single business was looked at."""
    return len(sandbox.calls("sage", "GET", "/businesses/"))


@pytest.mark.parametrize("name", ["Example Ltd", " example  ltd "])
def test_a_name_that_occurs_often_is_refused_with_what_tells_them_apart(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
    many: list[str],
    name: str,
    memory_keyring: MemoryKeyring,
) -> None:
    browser(allow)

    result = psage(*SAGE, "--port", str(port), "--business", name, "--json")

    assert result.code == 3
    error = result.json["error"]
    assert "300 businesses called" in error["message"]
    assert f"Example Ltd ({many[0]}, IE, Plus)" in error["message"]
    assert f"Example Ltd ({many[1]}, GB, Start)" in error["message"]
    assert "and 295 more" in error["message"]
    assert "`--business ID`" in error["hint"]
    assert len(error["message"] + error["hint"]) < 700
    assert [one["id"] for one in error["details"]["businesses"]] == many
    assert looks(offline) == 5
    assert memory_keyring.entries == {}


def test_one_of_a_name_is_taken_by_its_id(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser, many: list[str]
) -> None:
    browser(allow)

    result = psage(*SAGE, "--port", str(port), "--business", many[0].upper(), "--json")

    assert result.json["sage"] == {
        "business_id": many[0],
        "business_name": "Example Ltd",
        "country": "IE",
    }
    assert looks(offline) == 1


@pytest.mark.parametrize(
    ("wanted", "near"),
    [("Harbor & Pine Ltd", MAIN), ("pine", LABS), ("Nobody", "Example Ltd"), ("xample", "and 295")],
)
def test_a_business_that_is_not_there_is_refused_with_a_few_that_are(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
    many: list[str],
    wanted: str,
    near: str,
) -> None:
    browser(allow)

    result = psage(*SAGE, "--port", str(port), "--business", wanted, "--json")

    assert result.code == 3
    error = result.json["error"]
    assert f"no business `{wanted}`" in error["message"]
    assert near in error["hint"]
    assert len(error["hint"]) < 600
    assert looks(offline) <= 5


def test_several_of_one_name_and_nobody_to_ask_are_a_few_in_the_sentence_and_all_in_json(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser, many: list[str]
) -> None:
    browser(allow)

    result = psage(*SAGE, "--port", str(port), "--json")

    assert result.code == 2
    error = result.json["error"]
    assert error["code"] == "input_needed"
    assert f"{MAIN} (" in error["message"]
    assert "and 297 more" in error["message"]
    assert "searches all of them" in error["hint"]
    assert len(error["details"]["businesses"]) == 302
    assert looks(offline) == 3


def test_on_a_terminal_one_of_hundreds_is_found_by_page_and_by_search(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    port: int,
    browser: Browser,
    answers: list[str],
    many: list[str],
) -> None:
    browser(allow)
    answers += ["", "xyz", many[77][:12], "1"]

    result = psage(*SAGE, "--port", str(port), "--force")

    assert result.code == 0
    assert Vault("default").sage().business_id == many[77]
    assert f"  1  {MAIN}\n" in result.err
    assert f"  3  Example Ltd ({many[0]}, IE, Plus)" in result.err
    assert f" 30  Example Ltd ({many[27]}, GB, Plus)" in result.err
    assert "16 to 30 of 302 are shown" in result.err
    assert "\n 31  " not in result.err
    assert "`xyz` is in no name of a business" in result.err
    assert looks(offline) < 50


def test_a_business_that_cannot_be_looked_at_is_listed_all_the_same(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser
) -> None:
    dead = offline.bookkeeper.add_business("Example Ltd")
    other = offline.bookkeeper.add_business("Example Ltd")
    offline.bookkeeper.end_subscription(dead)
    offline.fault("status", path=f"/businesses/{other}", status=403)
    browser(allow)

    result = psage(*SAGE, "--port", str(port), "--business", "Example Ltd")

    assert result.code == 3
    assert f"Example Ltd ({dead}, no active subscription), Example Ltd ({other})" in result.err


# --- a subscription that has ended


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_business_without_subscription_is_said_to_be_that(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser, is_shown: bool
) -> None:
    offline.bookkeeper.end_subscription(shown=is_shown)
    browser(allow)

    result = psage(*SAGE, "--port", str(port), "--business", MAIN, "--json")

    assert result.code == (0 if is_shown else 4)
    said = result.json["warnings"][0] if is_shown else result.json["error"]
    assert said["code"] == "no_subscription"
    assert "No active subscription. (MSE)" in said["message"]


def test_another_business_than_the_one_without_subscription_can_be_connected(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser
) -> None:
    offline.bookkeeper.end_subscription()
    browser(allow)

    result = psage(*SAGE, "--port", str(port), "--business", LABS, "--json")

    assert (result.code, result.json["warnings"]) == (0, [])


# --- the walk through both


def test_connect_alone_signs_in_to_both_services(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser
) -> None:
    browser(allow)

    result = psage(
        *("connect", *ORGANIZATION, "--client-id", CLIENT_ID, "--port", str(port)),
        *("--business", MAIN, "--json"),
    )

    assert result.code == 0
    assert result.json["command"] == "connect"
    assert result.json["productive"]["organization_name"] == "Harbour & Pine"
    assert result.json["sage"]["business_name"] == MAIN
    assert result.json["already_connected"] == []
    assert Vault("default").productive().organization_id == "4200"
    assert Vault("default").sage().business_name == MAIN


def test_connect_alone_leaves_what_is_connected_alone(
    connected: Sandbox, psage: Psage, memory_keyring: MemoryKeyring
) -> None:
    before = dict(memory_keyring.entries)

    for_people = psage("connect")
    for_scripts = psage("connect", "--json")

    assert for_people.code == 0
    assert "Connected already to Harbour & Pine in Productive" in for_people.out
    assert "Connected already to Harbour & Pine Ltd (GB) in Sage; `--force`" in for_people.out
    assert for_scripts.json["already_connected"] == ["productive", "sage"]
    assert for_scripts.json["sage"]["business_name"] == MAIN
    assert memory_keyring.entries == before
    assert connected.calls() == []


def test_force_signs_in_again_to_both_with_what_was_typed_before(
    connected: Sandbox,
    psage: Psage,
    port: int,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", PRODUCTIVE_TOKEN)
    before = Vault("default").sage()
    browser(allow)

    result = psage("connect", "--force", "--port", str(port), "--business", MAIN, "--json")

    assert result.code == 0
    assert result.json["already_connected"] == []
    after = Vault("default").sage()
    assert after.refresh_token != before.refresh_token
    assert (after.client_id, after.client_secret) == (CLIENT_ID, CLIENT_SECRET)
    assert connected.calls("productive", path="/organization_memberships")


def test_a_sign_in_that_has_ended_is_not_taken_for_connected(
    connected: Sandbox, psage: Psage, port: int, browser: Browser
) -> None:
    vault = Vault("default")
    vault.save(replace(vault.sage(), refresh_until=time.time() - 1))
    browser(allow)

    result = psage("connect", "--port", str(port), "--business", MAIN, "--json")

    assert result.code == 0
    assert result.json["already_connected"] == ["productive"]
    assert vault.sage().refresh_until > time.time()


def test_naming_the_client_id_again_asks_for_its_secret_again(
    connected: Sandbox, psage: Psage, port: int, handed_in: dict[str, Any]
) -> None:
    handed_in["timing"] = replace(handed_in["timing"], sign_in_s=0.2)

    result = psage("connect", "sage", "--client-id", CLIENT_ID, "--port", str(port))

    assert result.code == 2
    assert "PSAGE_SAGE_CLIENT_SECRET" in result.err
    assert "--client-secret-stdin" in result.err


@pytest.mark.parametrize("is_connected", [False, True], ids=["new", "Productive skipped"])
def test_both_secrets_come_from_stdin_a_line_each(
    offline: Sandbox,
    psage: Psage,
    port: int,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    is_connected: bool,
) -> None:
    if is_connected:
        Vault("default").save(ProductiveSignIn(PRODUCTIVE_TOKEN, "4200", "Harbour & Pine"))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PRODUCTIVE_TOKEN}\n{CLIENT_SECRET}\n"))
    browser(allow)

    result = psage(
        *("connect", *ORGANIZATION, "--token-stdin", "--client-id", CLIENT_ID),
        *("--client-secret-stdin", "--port", str(port), "--business", MAIN, "--json"),
    )

    assert result.code == 0
    assert result.json["already_connected"] == (["productive"] if is_connected else [])
    assert Vault("default").sage().client_secret == CLIENT_SECRET
    # The token has gone nowhere but to Productive.
    assert not [c for c in offline.calls("auth") if PRODUCTIVE_TOKEN.encode() in c.body]


def test_a_stdin_that_ends_too_early_is_said(
    offline: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PRODUCTIVE_TOKEN}\n"))

    result = psage("connect", *ORGANIZATION, "--token-stdin", "--client-secret-stdin")

    assert result.code == 2
    assert "--client-secret-stdin" in result.err
    assert offline.calls() == []


def test_what_was_connected_before_a_failure_stays_and_is_in_the_document(
    offline: Sandbox, psage: Psage, secret: None, port: int, browser: Browser
) -> None:
    browser(lambda address: consent(address, "refuse"))

    result = psage(
        *("connect", *ORGANIZATION, "--client-id", CLIENT_ID, "--port", str(port), "--json"),
    )

    assert result.code == 3
    assert result.json["ok"] is False
    assert result.json["productive"]["organization_id"] == "4200"
    assert result.json["error"]["code"] == "sign_in_failed"
    assert Vault("default").productive().token == PRODUCTIVE_TOKEN
    with pytest.raises(NotConnected):
        Vault("default").sage()


@pytest.mark.parametrize(
    "arguments",
    [
        ("sage", "--organization-id", "4200"),
        ("sage", "--token-stdin"),
        ("productive", "--client-id", CLIENT_ID),
        ("productive", "--paste"),
    ],
    ids=" ".join,
)
def test_options_of_the_other_service_are_refused(
    offline: Sandbox, psage: Psage, arguments: tuple[str, ...]
) -> None:
    result = psage("connect", *arguments)

    assert result.code == 2
    assert "takes no options for" in result.err


def test_another_organisation_than_the_copies_come_from_is_refused(
    services: Sandbox, psage: Psage, secret: None, memory_keyring: MemoryKeyring
) -> None:
    psage("copy-invoice", "101")
    before = dict(memory_keyring.entries)

    result = psage("connect", "productive", "--organization-id", "4300", "--json")

    assert result.code == 4
    assert result.json["error"]["code"] == "different_organization"
    assert memory_keyring.entries == before


# --- at a terminal, and as a process


@pytest.fixture
def shared(sandbox: Sandbox, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For other processes: the sandbox's addresses and a keyring in a file; no secrets."""
    share_the_keyring(sandbox, tmp_path, monkeypatch)
    for name in ("PSAGE_PRODUCTIVE_TOKEN", "PSAGE_SAGE_CLIENT_SECRET"):
        monkeypatch.delenv(name)


def test_a_person_may_type_a_token_three_times(
    offline: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["4200", "a-slip", "another slip", PRODUCTIVE_TOKEN]
    assert psage("connect", "productive").code == 0
    assert answers == []

    answers += ["a-slip"] * 4
    result = psage("connect", "productive", "--organization-id", "4200", "--force")

    assert (result.code, len(answers)) == (3, 1)
    assert "a-slip" not in result.out + result.err


def test_a_script_is_not_asked_for_another_token(
    offline: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", "a-slip")

    assert psage("connect", "productive", "--organization-id", "4200", "--json").code == 3
    assert len(offline.calls("productive")) == 1


@pytest.mark.parametrize("is_configured", [False, True])
def test_the_last_line_says_what_comes_next(
    connected: Sandbox,
    psage: Psage,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_configured: bool,
) -> None:
    if is_configured:
        (home / "default.toml").write_text('default_ledger_account = "0a1b"\n')
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    last = psage("connect").err.splitlines()[-1]

    assert ("copy-invoice" if is_configured else "psage configure") in last
    assert "Next:" not in psage("--quiet", "connect").err + psage("connect", "--json").err


def test_somebody_at_a_terminal_is_led_through_both_services(
    shared: None, home: Path, port: int
) -> None:
    seen = io.StringIO()
    child = pexpect.spawn(
        sys.executable,
        ["-m", "productive_sage", "connect", "--no-browser", "--port", str(port)],
        dimensions=(40, 200),
        encoding="utf-8",
        timeout=30,
    )
    child.logfile_read = seen
    child.delaybeforesend = None
    try:
        child.expect_exact("administrator of Productive")
        child.expect_exact("Settings, API integrations")
        child.expect_exact("Organisation id: ")
        child.sendline("4200")
        child.expect_exact("API token: ")
        child.sendline("a-slip")
        child.expect_exact("did not accept the token")
        child.expect_exact("API token: ")
        child.sendline(PRODUCTIVE_TOKEN)
        child.expect_exact("Connected to Harbour & Pine in Productive")
        child.expect_exact("developer.sage.com")
        child.expect_exact("Callback URLs")
        child.expect_exact(f"\r\n    http://127.0.0.1:{port}/callback\r\n")
        child.expect_exact("Client id: ")
        child.sendline(CLIENT_ID)
        child.expect_exact("Client secret: ")
        child.sendline(CLIENT_SECRET)
        child.expect(r"(http://\S+/oauth2/\S+)\r\n")
        page = fetch(consent(child.match.group(1)))
        child.expect_exact("Which business?")
        child.expect(rf"(\d)  {MAIN}\r\n")
        child.sendline(child.match.group(1))
        child.expect_exact("Connected to Harbour & Pine Ltd (GB) in Sage")
        child.expect_exact("Next: `psage configure`")
        child.expect(pexpect.EOF)
        child.close()
    finally:
        child.close(force=True)

    assert child.exitstatus == 0
    assert "goes on in the terminal" in page
    assert "a-slip" not in seen.getvalue()
    assert PRODUCTIVE_TOKEN not in seen.getvalue()
    assert CLIENT_SECRET not in seen.getvalue()
    assert Vault("default").sage().business_name == MAIN


def listening(process: subprocess.Popen[str]) -> str:
    """The address psage prints, once it waits for the browser."""
    assert process.stderr
    lines = iter(process.stderr.readline, "")
    address = next(line.strip() for line in lines if line.startswith("http"))
    assert "Waiting for Sage" in next(lines)
    return address


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_while_waiting_has_its_own_sentence_and_changes_nothing(
    shared: None, connected: Sandbox, tmp_path: Path, port: int
) -> None:
    before = (tmp_path / "keyring.json").read_text()

    with started("connect", "sage", "--no-browser", "--port", str(port)) as process:
        listening(process)
        process.send_signal(signal.SIGINT)
        result = end(process)

    assert result.code == 130
    assert "the sign-in was interrupted; what was stored before stays valid" in result.err
    assert "Traceback" not in result.err
    assert (tmp_path / "keyring.json").read_text() == before


def test_ctrl_c_at_a_prompt_has_the_same_sentence(shared: None, home: Path, port: int) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "productive_sage", "connect", "--port", str(port)],
        dimensions=(24, 200),
        encoding="utf-8",
        timeout=30,
    )
    try:
        child.expect_exact("Organisation id: ")
        child.sendline("4200")
        child.expect_exact("API token: ")
        child.sendcontrol("c")
        child.expect_exact("the sign-in was interrupted; what was stored before stays valid")
        child.expect(pexpect.EOF)
        child.close()
    finally:
        child.close(force=True)

    assert child.exitstatus == 130


@pytest.mark.skipif(sys.platform != "linux", reason="the browser is a shell script")
def test_what_a_browser_prints_stays_out_of_the_document(
    shared: None, connected: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    # It ends only with the page, as a browser started by its command does.
    script = tmp_path / "browser"
    script.write_text(
        "#!/bin/sh\necho Opening in existing browser session.\n"
        f'exec {sys.executable} -c "import sys, urllib.request as u\n'
        'u.urlopen(sys.argv[1] + \'&consent=allow\').read()" "$1"\n'
    )
    script.chmod(0o755)
    at_a_desk(monkeypatch)
    monkeypatch.setenv("BROWSER", f"{script} %s")

    result = run("connect", "sage", "--port", str(port), "--business", MAIN, "--json")

    assert result.code == 0, result
    assert result.json["sage"]["business_name"] == MAIN
    assert "Opening in existing" in result.err


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


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("--organization-id", "777"), "Harbour & Pine"),
        (("--client-id", "another"), MAIN),
        (("--business", "Harbour & Pine Labs Ltd"), MAIN),
    ],
)
def test_what_is_connected_is_not_taken_for_something_else(
    connected: Sandbox, psage: Psage, options: tuple[str, str], name: str
) -> None:
    result = psage("connect", *options)

    assert result.code == 2
    assert f"`{options[0]} {options[1]}` is not what" in result.err
    assert name in result.err
    assert "`--force`" in result.err
    assert psage("connect", "--business", MAIN, "--organization-id", ORGANIZATION_ID).code == 0


@pytest.mark.parametrize(("typed", "code"), [(" 4200 ", 0), ("42\n00", 2), ("42é", 2)])
def test_an_organisation_id_is_looked_at_before_it_is_sent(
    offline: Sandbox, psage: Psage, secret: None, typed: str, code: int
) -> None:
    result = psage("connect", "productive", "--organization-id", typed)

    assert result.code == code
    assert bool(offline.calls()) == (code == 0)


@pytest.mark.parametrize(
    ("piped", "code", "words"),
    [
        ("", 2, "that address is missing"),
        ("http://127.0.0.1:8765/callback?state=\udcff&code=1\n", 3, "does not belong to this"),
    ],
)
def test_an_address_that_is_none_is_said_to_be_that(
    offline: Sandbox,
    psage: Psage,
    secret: None,
    monkeypatch: pytest.MonkeyPatch,
    piped: str,
    code: int,
    words: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(piped))

    result = psage("connect", "sage", "--paste", "--client-id", CLIENT_ID)

    assert result.code == code
    assert words in result.err
