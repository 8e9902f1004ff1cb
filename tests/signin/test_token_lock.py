"""One refresh token, good for one use, and many processes that want it."""

import json
import time
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Call, Sandbox
from productive_sage.signin import oauth
from productive_sage.signin.vault import Vault
from tests.conftest import Psage, Result
from tests.harness.processes import Hold, end, kill, share_the_keyring, started

PEEK = ("copy-invoice", "101", "--dry-run", "--json")
"""Asks Sage, and takes no lock but the token's."""
AT_ONCE = 6


@pytest.fixture
def shared(sandbox: Sandbox, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share_the_keyring(sandbox, tmp_path, monkeypatch)


@pytest.fixture
def stale(shared: None, services: Sandbox, psage: Psage) -> Sandbox:
    """The access token has run out; the one refresh token has not."""
    assert psage(*PEEK).code == 0
    vault = Vault("default")
    vault.save(replace(vault.sage(), access_until=0))
    services.sign_in.expire_access_tokens()
    services.clear_calls()
    return services


def renewals(sandbox: Sandbox) -> list[Call]:
    return sandbox.calls("auth", "POST", "/token")


def issued(call: Call) -> dict[str, Any]:
    tokens: dict[str, Any] = json.loads(call.reply_body)
    return tokens


def at_once(stale: Sandbox, *, all_know_by: str) -> list[Result]:
    """Run many that all need the new token before the first of them gets it.

    `all_know_by` is a request each makes, after which it holds the old token.
    """
    with (
        Hold(stale, path="/token", when="before") as renewal,
        Hold(stale, AT_ONCE, path=all_know_by, when="after") as last,
        ExitStack() as stack,
    ):
        processes = [stack.enter_context(started(*PEEK)) for _ in range(AT_ONCE)]
        renewal.reached(processes[0])
        last.reached(processes[-1])
        last.let_go()
        renewal.let_go()
        return [end(process) for process in processes]


def test_many_processes_renew_an_expired_token_once(stale: Sandbox) -> None:
    results = at_once(stale, all_know_by="/line_items")

    assert [result.code for result in results] == [0] * AT_ONCE
    (renewal,) = renewals(stale)
    assert Vault("default").sage().refresh_token == issued(renewal)["refresh_token"]
    assert Vault("default").sage().access_token == issued(renewal)["access_token"]


def test_many_processes_whose_token_sage_refuses_early_renew_it_once(stale: Sandbox) -> None:
    vault = Vault("default")
    vault.save(replace(vault.sage(), access_until=stale.clock.now().timestamp() + 300))

    results = at_once(stale, all_know_by="/sales_invoices")

    assert [result.code for result in results] == [0] * AT_ONCE
    (renewal,) = renewals(stale)
    assert Vault("default").sage().refresh_token == issued(renewal)["refresh_token"]


def test_those_who_wait_for_a_renewal_that_is_killed_do_it_themselves(stale: Sandbox) -> None:
    with (
        Hold(stale, path="/token", when="before") as renewal,
        Hold(stale, 3, path="/line_items", when="after") as last,
        started(*PEEK) as first,
    ):
        renewal.reached(first)
        with started(*PEEK) as second, started(*PEEK) as third:
            last.reached(third)
            last.let_go()
            kill(first)
            renewal.lose()
            results = [end(second), end(third)]

    assert [result.code for result in results] == [0, 0]
    assert len(renewals(stale)) == 1


def test_a_run_killed_at_the_first_use_of_a_new_token_has_stored_it(
    stale: Sandbox, psage: Psage
) -> None:
    with Hold(stale, path="/sales_invoices", when="before") as hold, started(*PEEK) as process:
        hold.reached(process)
        kill(process)
        hold.lose()

    assert psage(*PEEK).code == 0
    assert len(renewals(stale)) == 1


def test_a_renewal_killed_before_it_arrived_does_no_harm(stale: Sandbox, psage: Psage) -> None:
    with Hold(stale, path="/token", when="before") as hold, started(*PEEK) as process:
        hold.reached(process)
        kill(process)
        hold.lose()

    assert psage(*PEEK).code == 0
    assert len(renewals(stale)) == 1


def test_a_renewal_killed_before_its_answer_asks_to_connect_again(
    stale: Sandbox, psage: Psage
) -> None:
    with Hold(stale, path="/token", when="after") as hold, started(*PEEK) as process:
        hold.reached(process)
        kill(process)
        hold.lose()
    result = psage(*PEEK)

    assert result.code == 3
    assert result.only["error"]["code"] == "sign_in_expired"
    assert result.only["error"]["hint"] == "run `psage connect sage`"
    assert "Traceback" not in result.err


@pytest.mark.parametrize("kind", ["cut_after", "cut_mid"])
def test_a_renewal_whose_answer_is_lost_asks_to_connect_again(
    stale: Sandbox, psage: Psage, kind: str
) -> None:
    stale.fault(kind, service="auth", path="/token")

    first, second = psage(*PEEK), psage(*PEEK)

    assert (first.code, second.code) == (3, 3)
    assert first.only["error"]["code"] == "sign_in_expired"
    assert first.only["error"]["hint"] == "run `psage connect sage`"
    assert second.only["error"]["code"] == "sign_in_expired"
    # Never repeated blindly: one try each.
    assert len(renewals(stale)) == 2


def test_a_token_endpoint_that_is_down_passes(stale: Sandbox, psage: Psage) -> None:
    stale.fault("status", service="auth", path="/token", status=503)

    first, second = psage(*PEEK), psage(*PEEK)

    assert (first.code, second.code) == (5, 0)
    assert first.only["error"]["code"] == "service_unavailable"
    assert len(renewals(stale)) == 2


def test_a_run_that_renews_again_and_again_leaves_the_newest_token(
    stale: Sandbox, psage: Psage
) -> None:
    stale.access_token_lifetime_s = 1  # less than the margin psage keeps: stale at once

    first, second = psage(*PEEK), psage(*PEEK)

    assert (first.code, second.code) == (0, 0)
    assert len(renewals(stale)) > 2
    newest = renewals(stale)[-1]
    assert Vault("default").sage().refresh_token == issued(newest)["refresh_token"]


@pytest.mark.parametrize(
    "life",
    [None, 0, -5, True, "soon", [], {}, 10**30, "1e999999999", Decimal("0.5"), "9" * 5000],
    ids=lambda life: f"{type(life).__name__} {str(life)[:9]}",
)
def test_new_tokens_are_kept_whatever_is_said_of_their_lives(
    stale: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, life: Any
) -> None:
    # The old ones are used up: to drop the new ones for a number would be to lose the sign-in.
    odd = {} if life is None else dict.fromkeys(("expires_in", "refresh_token_expires_in"), life)
    monkeypatch.setattr(oauth, "_with_tokens", told(oauth._with_tokens, odd))

    result = psage(*PEEK)

    assert result.code == 0
    (renewal,) = renewals(stale)
    stored, now = Vault("default").sage(), time.time()
    assert stored.refresh_token == issued(renewal)["refresh_token"]
    assert stored.access_until == pytest.approx(now + 300, abs=60)
    assert stored.refresh_until == pytest.approx(now + 31 * 86_400, abs=60)


def told(read: Any, odd: dict[str, Any]) -> Any:
    """Read a reply that says other life times, or none."""

    def other(sign_in: Any, answer: dict[str, Any], now: float) -> Any:
        tokens = {key: value for key, value in answer.items() if "expires_in" not in key}
        return read(sign_in, tokens | odd, now)

    return other


def test_a_run_does_not_go_on_with_a_business_connected_meanwhile(
    stale: Sandbox, psage: Psage
) -> None:
    vault = Vault("default")
    other = replace(vault.sage(), business_id="0" * 32, business_name="Another Ltd")
    with Hold(stale, path="/invoices", when="before") as read, started(*PEEK) as process:
        read.reached(process)
        vault.save(other)
        read.let_go()
        result = end(process)

    assert (result.code, result.json["error"]["code"]) == (4, "different_business")
    assert "Another Ltd" in result.json["error"]["message"]
    assert renewals(stale) == []
