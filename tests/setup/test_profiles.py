"""Two profiles, two Productive organisations, two Sage businesses: nothing mixes.

Both sign in to one Sage, where the login sees both businesses; Productive is there twice, with the
same ids in both organisations, so that a mix-up would go unnoticed by ids alone.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from productive_sage.sandbox import CLIENT_ID, CLIENT_SECRET, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.signin.vault import Vault
from productive_sage.store import Store
from tests.conftest import MemoryKeyring, Psage, Result
from tests.harness.browser import LABS, MAIN, allow, browser_of, free_port
from tests.harness.processes import Hold, end, share_the_keyring, started

LABS_TOKEN = "labs-productive-token-3K"
COPY = ("copy-invoice", "123", "--no-tax", "--json")


@pytest.fixture(scope="module")
def second_productive() -> Iterator[Sandbox]:
    with Sandbox(limits=1000) as second:
        yield second


@pytest.fixture
def labs_productive(second_productive: Sandbox) -> Sandbox:
    """Organisation 4300, with a token of its own."""
    second = second_productive
    second.reset()
    state = json.dumps(second.dump()).replace('"4200"', '"4300"').replace("Pine", "Pine Labs")
    second.load(json.loads(state))
    second.productive._organization_id, second.productive._token = "4300", LABS_TOKEN
    return second


@pytest.fixture
def pointed(
    sandbox: Sandbox, labs_productive: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Sandbox:
    """Each profile's settings name its own services."""
    home.mkdir(mode=0o700, exist_ok=True)
    for profile, productive in (("agency", sandbox), ("labs", labs_productive)):
        sage = sandbox.environment()
        own = productive.environment()
        (home / f"{profile}.toml").write_text(
            "[endpoints]\n"
            f'sage_api = "{sage["PSAGE_SAGE_API_URL"]}"\n'
            f'sage_authorize = "{sage["PSAGE_SAGE_AUTHORIZE_URL"]}"\n'
            f'sage_token = "{sage["PSAGE_SAGE_TOKEN_URL"]}"\n'
            f'sage_revoke = "{sage["PSAGE_SAGE_REVOKE_URL"]}"\n'
            f'productive_api = "{own["PSAGE_PRODUCTIVE_API_URL"]}"\n'
            f'productive_files = "{own["PSAGE_PRODUCTIVE_FILES_URL"]}"\n'
            f'productive_upload = "{own["PSAGE_PRODUCTIVE_UPLOAD_URL"]}"\n'
        )
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)
    return sandbox


def sign_in(
    psage: Psage,
    monkeypatch: pytest.MonkeyPatch,
    profile: str,
    *,
    organization: str,
    token: str,
    business: str,
) -> Result:
    browser_of(monkeypatch)(allow)
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", token)
    result = psage(
        *("--profile", profile, "connect", "--force", "--organization-id", organization),
        *("--client-id", CLIENT_ID, "--port", str(free_port()), "--business", business, "--json"),
    )
    monkeypatch.delenv("PSAGE_PRODUCTIVE_TOKEN")
    return result


@pytest.fixture
def both(pointed: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Both profiles are signed in and configured."""
    agency = {"organization": "4200", "token": PRODUCTIVE_TOKEN, "business": MAIN}
    labs = {"organization": "4300", "token": LABS_TOKEN, "business": LABS}
    for profile, given in (("agency", agency), ("labs", labs)):
        connected = sign_in(psage, monkeypatch, profile, **given)
        assert connected.code == 0, connected
        assert connected.json["profile"] == profile
        configured = psage("--profile", profile, "configure", "--default-ledger", "4010", "--json")
        assert configured.code == 0, configured
    return pointed


def test_each_profile_copies_from_its_organisation_into_its_business(
    both: Sandbox, labs_productive: Sandbox, psage: Psage, home: Path
) -> None:
    both.clear_calls()
    labs_productive.clear_calls()

    first = psage("--profile", "agency", *COPY)
    second = psage("--profile", "labs", *COPY)

    assert (first.only["action"], second.only["action"]) == ("created", "created")
    assert first.only["sage_id"] != second.only["sage_id"]
    businesses = {call.headers["x-business"] for call in both.calls("sage")}
    own = {profile: Vault(profile).sage().business_id for profile in ("agency", "labs")}
    assert businesses == set(own.values())
    for profile, result in (("agency", first), ("labs", second)):
        with Store(home / f"{profile}.db") as store:
            link = store.copies.latest("123")
            assert link
            assert (link.sage_id, link.business_id) == (result.only["sage_id"], own[profile])
            assert store.copies.businesses() == {own[profile]}
    assert {c.headers["x-auth-token"] for c in both.calls("productive")} == {PRODUCTIVE_TOKEN}
    assert {c.headers["x-auth-token"] for c in labs_productive.calls("productive")} == {LABS_TOKEN}
    assert labs_productive.calls("sage") == labs_productive.calls("auth") == []


def test_each_profile_has_tokens_of_its_own(both: Sandbox, psage: Psage) -> None:
    agency, labs = Vault("agency"), Vault("labs")
    before = labs.sage()
    assert agency.sage().refresh_token != before.refresh_token

    both.sign_in.expire_access_tokens()
    result = psage("--profile", "agency", *COPY)

    assert result.code == 0
    assert labs.sage() == before
    assert psage("--profile", "labs", *COPY).code == 0


def test_connecting_the_other_business_or_organisation_is_refused_and_nothing_stored(
    both: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, memory_keyring: MemoryKeyring
) -> None:
    psage("--profile", "labs", *COPY)
    before = dict(memory_keyring.entries)

    organisation = sign_in(
        psage, monkeypatch, "labs", organization="4200", token=PRODUCTIVE_TOKEN, business=LABS
    )
    business = sign_in(
        psage, monkeypatch, "labs", organization="4300", token=LABS_TOKEN, business=MAIN
    )

    assert organisation.json["error"]["code"] == "different_organization"
    assert business.json["error"]["code"] == "different_business"
    assert (organisation.code, business.code) == (4, 4)
    kept = {key: value for key, value in memory_keyring.entries.items() if "/sage" in key[0]}
    assert kept == {key: value for key, value in before.items() if "/sage" in key[0]}
    assert Vault("labs").productive().organization_id == "4300"


def test_disconnecting_and_purging_one_profile_leaves_the_other(
    both: Sandbox, psage: Psage, home: Path
) -> None:
    psage("--profile", "agency", *COPY)
    psage("--profile", "labs", *COPY)
    kept = (home / "labs.toml").read_bytes(), Vault("labs").sage(), Vault("labs").productive()

    result = psage("--profile", "agency", "disconnect", "--purge", "--yes")

    assert result.code == 0
    assert "Disconnected from Sage (profile `agency`)" in result.out
    assert not list(home.glob("agency.db*"))
    assert not (home / "agency.toml").exists()
    assert (
        (home / "labs.toml").read_bytes(),
        Vault("labs").sage(),
        Vault("labs").productive(),
    ) == kept
    assert psage("--profile", "labs", *COPY).json["error"]["code"] == "already_copied"


def test_one_profile_at_work_does_not_hold_up_the_other(
    sandbox: Sandbox,
    both_on_disk: None,
    psage: Psage,
) -> None:
    with Hold(sandbox, when="before") as hold, started("--profile", "agency", *COPY) as first:
        hold.reached(first)
        other = psage("--profile", "labs", "disconnect", "--yes", "--json")
        same = psage("--profile", "agency", "disconnect", "--yes", "--json")
        hold.let_go()
        finished = end(first)

    assert other.code == 0
    assert other.json["disconnected"] == ["productive", "sage"]
    assert same.json["error"]["code"] == "locked"
    assert finished.code == 0


@pytest.fixture
def both_on_disk(
    sandbox: Sandbox,
    labs_productive: Sandbox,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Both profiles for any process, with the keyring in a file."""
    share_the_keyring(sandbox, tmp_path, monkeypatch)
    for name in ("PRODUCTIVE_API", "PRODUCTIVE_FILES", "PRODUCTIVE_UPLOAD"):
        monkeypatch.delenv(f"PSAGE_{name}_URL")
    request.getfixturevalue("both")


# --- what is said


@pytest.mark.parametrize("profile", ["agency", "default"])
def test_a_message_names_its_profile_unless_it_is_the_usual_one(
    offline: Sandbox, psage: Psage, home: Path, profile: str
) -> None:
    home.mkdir()
    (home / f"{profile}.toml").write_text('default_ledger_account = "1"\nodd = 1\n')

    result = psage("--profile", profile, "copy-invoice", "101")

    named = "" if profile == "default" else "profile `agency`: "
    option = "" if profile == "default" else "--profile agency "
    assert result.code == 3
    assert f"warning: {named}`{home / profile}.toml`: the key `odd` is not known" in result.err
    assert f"error: {named}Productive is not connected" in result.err
    assert f"hint: run `psage {option}connect productive`" in result.err


def test_a_command_that_is_not_understood_is_answered_for_its_profile(psage: Psage) -> None:
    result = psage("--profile", "agency", "copy-invoice", "1", "--odd")

    assert result.code == 2
    assert "error: profile `agency`: " in result.err
    assert "`psage --profile agency copy-invoice --help`" in result.err


def test_the_name_of_one_command_s_profile_is_not_that_of_the_next(
    offline: Sandbox, psage: Psage
) -> None:
    psage("--profile", "agency", "copy-invoice", "101")

    assert "agency" not in psage("copy-invoice", "101").err


def test_a_message_that_names_its_profile_already_does_not_do_so_twice(
    offline: Sandbox, psage: Psage, home: Path
) -> None:
    import filelock

    home.mkdir()
    with filelock.FileLock(home / "agency.lock"):
        result = psage("--profile", "agency", "disconnect", "--purge", "--yes")

    assert result.code == 5
    assert result.err.startswith("error: profile `agency` is in use")


def test_what_is_connected_is_said_with_the_profile(
    pointed: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", LABS_TOKEN)

    result = psage("--profile", "labs", "connect", "productive", "--organization-id", "4300")

    assert result.out == "Connected to Harbour & Pine Labs in Productive (profile `labs`)\n"


def test_hints_in_json_name_the_profile_too(offline: Sandbox, psage: Psage) -> None:
    error = psage("--profile", "other", "copy-invoice", "1", "--json").json["error"]
    status = psage("--profile", "other", "status", "--json").json

    assert "`psage --profile other configure " in error["hint"]
    assert status["sage"]["next"] == "psage --profile other connect sage"
    assert "--profile other --profile other" not in str(status)
