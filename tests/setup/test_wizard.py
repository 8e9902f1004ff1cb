"""configure on a terminal: every question, every way out of it, and what the file says then.

The screens are kept in `tests/golden`. To renew one, delete its file and run the test twice.
"""

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import filelock
import pexpect
import pytest

from productive_sage import config
from productive_sage.cli import session
from productive_sage.sandbox import Sandbox
from productive_sage.settings import Settings
from productive_sage.setup import questions
from productive_sage.signin.vault import Vault
from productive_sage.store import Store, names
from tests.conftest import Psage, copies
from tests.harness.processes import run, share_the_keyring

GOLDEN = Path(__file__).parent.parent / "golden"
PROMPT = r"(?:Answer|\[Y/n/b\]): "
PATIENCE_S = 30

CHANGES = (
    *("", "1"),  # numbers: Sage, and back to Productive
    "2",  # PDF
    *("yes", "2026-02-30", "2026-02-01", "2"),  # payments
    "4010",
    *("DESIGN", "develop", "1", ""),  # service types: by code, searched for, none
    "lower rate 5.00%",
    "",  # booked
    "",
)
"""Answers to all there is, a slip among them, and Enter at the end."""

MINE = """\
# Settings of the agency
colour = "red" # not psage's

pdf = "sage"   # Anna, 2026-01-07
default_ledger_account = "{4010}" # agreed with Anna
sync_payments = true
sync_payments_from = 2026-01-01 # the switch-over

[items]
# the studio
"13" = "service:{DESIGN}" # strategy is design

# nobody knows why
[minor_digits]
JPY = 0
"""


# --- a person at a terminal


class Terminal:
    """psage on a terminal, and everything that was to be seen there."""

    def __init__(self, child: Any, home: Path, columns: int) -> None:
        self._child = child
        self._home = home
        self._columns = columns
        self._seen = child.logfile_read = io.StringIO()

    def type(self, *lines: str) -> None:
        """Answer the next prompts."""
        for line in lines:
            self._child.expect(PROMPT)
            self._child.sendline(line)

    def press(self, *keys: bytes) -> None:
        """Press keys at the next prompt."""
        self._child.expect(PROMPT)
        for key in keys:
            os.write(self._child.child_fd, key)

    def wait(self) -> None:
        """Wait for the next prompt, and let it stand."""
        self._child.expect(PROMPT)
        self._child.buffer = self._child.after  # for whoever answers it

    def end(self) -> int:
        """The exit code; psage must ask nothing more."""
        self._child.expect(pexpect.EOF)
        self._child.close()
        return int(self._child.exitstatus)

    @property
    def screen(self) -> str:
        """What was shown and typed and stayed, without the name of the folder."""
        text = self._seen.getvalue().replace("\r\n", "\n")
        text = re.sub(r"(\r\x1b\[K[^\r\n]*)*\r\x1b\[K", "", text)  # what is under way
        return text.replace(str(self._home), "~/psage")

    def assert_golden(self, name: str) -> None:
        """Compare with what a person found good to read, and look for what runs off the edge."""
        assert "\x1b" not in self.screen
        assert [line for line in self.screen.splitlines() if len(line) > self._columns] == []
        path = GOLDEN / f"{name}-{self._columns}.txt"
        if not path.exists():
            path.write_text(self.screen, encoding="utf-8")
            raise AssertionError(f"{path} is new: look at it")
        assert self.screen == path.read_text(encoding="utf-8")


@contextmanager
def terminal(home: Path, *args: str, columns: int = 80) -> Iterator[Terminal]:
    """Run psage on a terminal of 24 lines; it does not outlive the block."""
    environment = {**os.environ, "PYTHONUTF8": "1", "TERM": "xterm"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    child = pexpect.spawn(
        sys.executable,
        ["-m", "productive_sage", *args],
        dimensions=(24, columns),
        encoding="utf-8",
        codec_errors="replace",
        env=environment,
        timeout=PATIENCE_S,
    )
    child.delaybeforesend = None
    try:
        yield Terminal(child, home, columns)
    finally:
        child.close(force=True)


@pytest.fixture
def shared(sandbox: Sandbox, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share_the_keyring(sandbox, tmp_path, monkeypatch)


@pytest.fixture
def books(shared: None, connected: Sandbox) -> Sandbox:
    """Signed in for any process; no settings yet."""
    return connected


@pytest.fixture
def file(books: Sandbox, home: Path) -> Path:
    """A settings file that a person wrote."""
    path = home / "default.toml"
    path.write_text(filled(books, MINE))
    return path


def filled(sandbox: Sandbox, text: str) -> str:
    """Put ids in for `{4010}` and `{DESIGN}`."""
    text = re.sub(r"{(\d+)}", lambda m: sandbox.bookkeeper.ledger_account_id(int(m[1])), text)
    return re.sub(r"{(\w+)}", lambda m: item_id(sandbox, m[1]), text)


def item_id(sandbox: Sandbox, code: str) -> str:
    rows = [
        row
        for table in ("services", "products")
        for row in sandbox.sage.books().table(table).values()
        if row["item_code"] == code
    ]
    return str(rows[0]["id"])


def settings(home: Path) -> Settings:
    return config.load(home / "default.toml", {})[0]


def add_accounts(sandbox: Sandbox, number: int) -> None:
    """Enough sales accounts for several screens."""
    table = sandbox.sage.books().table("ledger_accounts")
    model = table[sandbox.bookkeeper.ledger_account_id(4900)]
    for n in range(1, number + 1):
        account = {**deepcopy(model), "id": f"a{n:031d}", "name": f"Retainers, client {n}"}
        table[account["id"]] = account | {"nominal_code": 4100 + n}


# --- the whole walk


@pytest.mark.parametrize("columns", [80, 40])
def test_the_whole_walk_sets_everything(books: Sandbox, home: Path, columns: int) -> None:
    with terminal(home, "configure", columns=columns) as person:
        person.type(*CHANGES)

        assert person.end() == 0
    assert settings(home) == Settings(
        write_number_back=True,
        pdf="sage",
        sync_payments=True,
        sync_payments_from=date(2026, 2, 1),
        settlement_discount="write_off",
        default_ledger_account=books.bookkeeper.ledger_account_id(4010),
        items={
            "11": f"service:{item_id(books, 'DESIGN')}",
            "12": f"service:{item_id(books, 'DEV')}",
        },
        default_tax_rate="GB_LOWER",
    )
    text = (home / "default.toml").read_text()
    assert "# psage: Sales - Services (4010)\n" in text
    assert "# psage: Development -> DEV\n" in text
    person.assert_golden("walk")


@pytest.mark.parametrize("columns", [80, 40])
def test_enter_keeps_everything_and_writes_nothing(
    file: Path, home: Path, sandbox: Sandbox, columns: int
) -> None:
    file.write_text(file.read_text().replace('colour = "red"', "#"))
    before = file.read_bytes()
    with terminal(home, "configure", columns=columns) as person:
        person.type(*[""] * 12)

        assert person.end() == 0
    assert file.read_bytes() == before
    assert list(home.glob(".default*")) == []
    person.assert_golden("keep")


@pytest.mark.parametrize("columns", [80, 40])
def test_a_long_list_is_searched_by_name_and_by_code(
    books: Sandbox, home: Path, columns: int
) -> None:
    add_accounts(books, 40)
    with terminal(home, "configure", columns=columns) as person:
        person.type("", "", "", "")
        person.type("nothing like it", "client", "client 3", "5")
        person.type("nix", "e", "s")
        person.type("rate", "2", "", "n")

        assert person.end() == 0
    assert not (home / "default.toml").exists()
    person.assert_golden("search")


def test_going_back_leads_to_the_question_before_with_the_answer_as_it_is_now(
    books: Sandbox, home: Path
) -> None:
    with terminal(home, "configure") as person:
        person.type("2", "2", "yes", "2026-03-01", "b", "2026-04-01", "2")
        person.type("4000", "b", "4900", "s")
        person.type("b", "-", "s")  # from the tax rate to the service type that was skipped
        person.type("1", "", "b", "b", "2")  # from the summary to the tax rate
        person.type("", "y")

        assert person.end() == 0
    assert settings(home) == Settings(
        numbering="productive",
        pdf="sage",
        sync_payments=True,
        sync_payments_from=date(2026, 4, 1),
        settlement_discount="write_off",
        default_ledger_account=books.bookkeeper.ledger_account_id(4900),
        default_tax_rate="GB_LOWER",
    )
    assert 'Enter to keep "Sales - Products (4000)"' in unfolded(person.screen)
    assert "Set now: 2026-03-01." in person.screen
    assert "1  Sales - Products (4000) (current)" in person.screen


def test_all_the_way_back_and_to_another_end(books: Sandbox, home: Path) -> None:
    with terminal(home, "configure") as person:
        person.type("1", "yes", "2", "yes", "2026-03-01", "2", "4000", "s", "1", "")
        person.type(*["b"] * 10)  # at the first question it is a text like any other
        person.type("b", "2", "1", "no", "", "s", "", "")
        person.type("y")

        assert person.end() == 0
    # What belongs to an answer that was taken back is not written.
    assert settings(home) == Settings(
        numbering="productive",
        default_ledger_account=books.bookkeeper.ledger_account_id(4000),
        default_tax_rate="GB_STANDARD",
    )
    assert "sync" not in (home / "default.toml").read_text()
    assert "Type a number from 1 to 2." in person.screen


@pytest.mark.parametrize("at", range(len(CHANGES)))
def test_ctrl_c_at_any_question_changes_nothing(file: Path, home: Path, at: int) -> None:
    before = file.read_bytes()
    with terminal(home, "configure") as person:
        person.type(*CHANGES[:at])
        person.press(b"\x03")

        assert person.end() == 130
    assert "error: interrupted; nothing was changed" in re.sub(r"\x1b\[\d*m", "", person.screen)
    assert "Traceback" not in person.screen
    assert file.read_bytes() == before
    assert list(home.glob(".default*")) == []
    assert not (home / "default.holder").exists()


@pytest.mark.parametrize("at", [0, 7, len(CHANGES) - 1])
def test_the_end_of_input_changes_nothing_either(file: Path, home: Path, at: int) -> None:
    before = file.read_bytes()
    with terminal(home, "configure") as person:
        person.type(*CHANGES[:at])
        person.press(b"\x04")

        assert person.end() == 130
    assert file.read_bytes() == before


def test_no_at_the_end_changes_nothing(file: Path, home: Path) -> None:
    before = file.read_bytes()
    with terminal(home, "configure") as person:
        person.type(*CHANGES[:-1], "what?", "N")

        assert person.end() == 0
    assert "Type y, n or b." in person.screen
    assert "Nothing was written" in person.screen
    assert file.read_bytes() == before


def test_a_file_written_by_hand_keeps_its_comments_order_and_unknown_keys(
    file: Path, home: Path, books: Sandbox
) -> None:
    with terminal(home, "configure") as person:
        person.type("2", "1", "yes", "2026-02-01", "", "4000", "", "PRINT", "DEV", "zero", "1", "")

        assert person.end() == 0
    assert file.read_text() == filled(
        books,
        """\
# Settings of the agency
colour = "red" # not psage's

pdf = "productive"   # Anna, 2026-01-07
default_ledger_account = "{4000}" # agreed with Anna; psage: Sales - Products (4000)
sync_payments = true
sync_payments_from = 2026-02-01 # the switch-over
numbering = "productive"
default_tax_rate = "GB_ZERO" # psage: Zero Rated 0.00%

[items]
# the studio
"13" = "service:{DEV}" # strategy is design; psage: Strategy -> DEV
12 = "product:{PRINT}" # psage: Development -> PRINT

# nobody knows why
[minor_digits]
JPY = 0
""",
    )


def test_what_cannot_be_read_is_asked_again(books: Sandbox, home: Path) -> None:
    with terminal(home, "configure") as person:
        person.press(b"\xff\xfe\r")
        person.type("\x1b[2J1", "9" * 300, "", "", "", "", "4010", "s", "", "", "n")

        assert person.end() == 0
    assert "That could not be read: type it again" in person.screen


# --- together with others


def test_nobody_is_locked_out_while_a_person_thinks(file: Path, home: Path) -> None:
    with terminal(home, "configure") as person:
        person.type("2")
        person.wait()
        meanwhile = run("configure", "--pdf", "productive", "--json")
        person.type("", "no", "", "s", "", "", "y")
        person.type("", "", "", "", "s", "", "", "y")

        assert person.end() == 0
    assert meanwhile.code == 0
    assert "changed by somebody else meanwhile" in person.screen.replace("\n", " ")
    present = settings(home)
    assert (present.numbering, present.pdf, present.sync_payments) == (
        *("productive", "productive"),
        False,
    )


def test_a_run_at_the_wrong_moment_costs_no_answer(file: Path, home: Path) -> None:
    with terminal(home, "configure") as person:
        person.type("2", *[""] * 5, "s", "", "")
        person.wait()
        with filelock.FileLock(home / "default.lock"):
            person.type("y")
            person.wait()
            before = settings(home).numbering
        person.type("y")

        assert person.end() == 0
    assert "Not written: profile `default` is in use" in person.screen
    assert (before, settings(home).numbering) == ("sage", "productive")


def test_a_mistake_made_meanwhile_is_told_and_costs_no_answer(file: Path, home: Path) -> None:
    good = file.read_text()
    with terminal(home, "configure") as person:
        person.type("2", *[""] * 5, "s", "", "")
        person.wait()
        file.write_text(good.replace('"sage"', '"sagge"'))
        person.type("y")
        person.wait()
        file.write_text(good)
        person.type("y")

        assert person.end() == 0
    assert '`pdf = "sagge"` must be "productive" or "sage"' in person.screen.replace("\n", " ")
    assert settings(home).numbering == "productive"


# --- flags on a terminal


def test_flags_on_a_terminal_ask_nothing(file: Path, home: Path) -> None:
    with terminal(home, "configure", "--numbering", "productive") as person:
        assert person.end() == 0
    assert settings(home).numbering == "productive"


@pytest.mark.parametrize("columns", [80, 40])
def test_flags_without_the_obligatory_account_ask_for_it_alone(
    books: Sandbox, home: Path, columns: int
) -> None:
    with terminal(home, "--quiet", "configure", "--pdf", "sage", columns=columns) as person:
        person.type("", "b", "2")

        assert person.end() == 0
    assert settings(home) == Settings(
        pdf="sage", default_ledger_account=books.bookkeeper.ledger_account_id(4010)
    )
    person.assert_golden("ledger")


def test_ctrl_c_at_the_obligatory_account_writes_no_flag_either(books: Sandbox, home: Path) -> None:
    with terminal(home, "configure", "--pdf", "sage") as person:
        person.press(b"\x03")

        assert person.end() == 130
    assert not (home / "default.toml").exists()


@pytest.mark.parametrize("args", [("--no-input", "configure"), ("configure", "--json")])
def test_nobody_is_asked_who_does_not_want_to_be(
    books: Sandbox, home: Path, args: tuple[str, ...]
) -> None:
    with terminal(home, *args) as person:
        assert person.end() == 2
    assert "--default-ledger CODE|ID|NAME" in person.screen
    assert books.calls() == []


# --- the settings, shown


@pytest.mark.parametrize("columns", [80, 40])
def test_show_says_where_each_setting_comes_from(
    home: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(home)
    monkeypatch.setenv("PSAGE_SAGE_API_URL", "https://sage.example/v3.1")
    with terminal(home, "-v", "configure", "--show", columns=columns) as person:
        assert person.end() == 0
    person.assert_golden("show")


@pytest.mark.parametrize("columns", [80, 40])
def test_show_reads_as_sentences(home: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings(home)
    monkeypatch.setenv("PSAGE_SAGE_API_URL", "https://sage.example/v3.1")
    with terminal(home, "configure", "--show", columns=columns) as person:
        assert person.end() == 0
    person.assert_golden("sentences")


def write_settings(home: Path) -> None:
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "default.toml").write_text(
        'numbering = "sage" # as ever\n'
        'default_ledger_account = "0123456789abcdef" # mine; psage: Of before (4000)\n'
        'sync_payments_from = 2026-01-01\nitems.11 = "service:fedcba" # psage: Of -> before\n'
        "[minor_digits]\nJPY = 0\n"
        '[endpoints]\nsage_api = "https://other.example"\n'
        'productive_api = "https://api.productive.io/api/v2"\n'
    )
    with Store(home / "default.db") as store:
        names.keep(store, names.ACCOUNT, {"0123456789abcdef": "Sales - Services (4010)"})
        names.keep(store, names.ITEM, {"service:fedcba": "DESIGN"})
        names.keep(store, names.SERVICE_TYPE, {"11": "Design"})


def test_show_as_json_names_the_sources(
    home: Path, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(home)
    monkeypatch.setenv("PSAGE_SAGE_API_URL", "https://sage.example/v3.1")

    shown = psage("configure", "--show", "--json").json

    sources = shown["sources"]
    assert sources["numbering"] == sources["items.11"] == sources["minor_digits.JPY"] == "file"
    assert sources["pdf"] == sources["sync_payments"] == "default"
    assert sources["endpoints.sage_api"] == "environment"
    assert sources["endpoints.productive_api"] == "file"
    assert "endpoints.sage_token" not in sources
    assert shown["settings"]["endpoints"]["sage_api"] == "https://sage.example/v3.1"
    assert shown["file"] == str(home / "default.toml")


def test_show_in_a_pipe_is_one_line_a_setting(
    home: Path, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(home)
    monkeypatch.setenv("COLUMNS", "40")

    lines = psage("-v", "configure", "--show").out.splitlines()

    assert "numbering: sage (file)" in lines
    assert "default_ledger_account: Sales - Services (4010) [0123456789abcdef] (file)" in lines
    assert "items.11: Design -> DESIGN [service:fedcba] (file)" in lines
    assert "default_tax_rate: not set (default)" in lines


def test_show_without_a_file_says_so(home: Path, psage: Psage) -> None:
    result = psage("-v", "configure", "--show")

    assert {line.rpartition(" ")[2] for line in result.out.splitlines()} == {"(default)"}
    assert "which is not there yet" in result.err


def test_every_mistake_of_a_file_is_told_before_any_question(file: Path, home: Path) -> None:
    file.write_text('numbering = "both"\npdf = 3\nsync_payments_from = "2026-01-01"\n')

    with terminal(home, "configure") as person:
        assert person.end() == 2
    told = " ".join(re.sub(r"\x1b\[\d*m", "", person.screen).split())  # lines are wrapped
    assert "have 3 problems:" in told
    assert '- `numbering = "both"` must be "sage" or "productive" -' in told
    assert '- `pdf = 3` must be "productive" or "sage" -' in told
    assert '- `sync_payments_from = "2026-01-01"` must be a date without quotes, like 2026' in told


# --- without a terminal: everything a person may meet


def test_every_question_is_a_flag(psage: Psage) -> None:
    facts = questions.ServiceFacts(None, (), service_types={"11": "Design"})  # type: ignore[arg-type]
    flags = {
        "items": "--map-item",
        "default_ledger_account": "--default-ledger",
        "write_number_back": "--write-number-back",
    }
    help_text = psage("configure", "--help").out

    for question in questions.questions(Settings(), facts):
        name = question.key[0]
        assert flags.get(name, f"--{name.replace('_', '-')}") + " " in help_text.replace("/", " ")


def test_the_settings_that_only_the_walk_asked_for_have_flags(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    set_both = psage("configure", "--write-number-back", "--settlement-discount", "write_off")
    first = settings(home)
    unset = psage("configure", "--no-write-number-back", "--settlement-discount", "warn")
    second = settings(home)
    wrong = psage("configure", "--settlement-discount", "ignore", "--numbering", "x")

    assert (set_both.code, unset.code, wrong.code) == (0, 0, 2)
    assert (first.write_number_back, first.settlement_discount) == (True, "write_off")
    assert (second.write_number_back, second.settlement_discount) == (False, "warn")
    assert "`--settlement-discount ignore` must be `warn` or `write_off`" in wrong.err
    assert "`--numbering x` must be `sage` or `productive`" in wrong.err
    assert settings(home) == second


@pytest.mark.parametrize(
    "typed",
    ["2026-02-30", "31.01.2026", "01/31/2026", "20260131", "2026-W05-6", "2026-1-31", "today", "0"],
)
def test_a_date_is_checked_at_once(
    services: Sandbox, psage: Psage, answers: list[str], home: Path, typed: str
) -> None:
    answers += ["", "", "", "y", typed, "2026-01-31", "", "", "s", "", "", ""]

    result = psage("configure")

    assert result.code == 0
    assert answers == []
    assert f"`{typed}` is not a date" in result.err
    assert settings(home).sync_payments_from == date(2026, 1, 31)


def test_the_first_day_has_no_default(services: Sandbox, psage: Psage, answers: list[str]) -> None:
    answers += ["", "", "", "y", "", "-", "2026-01-31", "", "", "s", "", "", "n"]

    result = psage("configure")

    assert "An answer is needed here." in result.err
    assert answers == []


@pytest.mark.parametrize(("other", "words"), [(False, "Sage"), (True, "Productive")])
def test_a_service_that_is_down_is_named_before_the_first_question(
    services: Sandbox,
    psage: Psage,
    answers: list[str],
    home: Path,
    other: bool,
    words: str,
) -> None:
    before = (home / "default.toml").read_bytes()
    services.fault("status", service="productive" if other else "sage", status=503, times=99)

    result = psage("configure")

    assert result.code == 5
    assert words in result.err
    assert "Step 1" not in result.err
    assert (home / "default.toml").read_bytes() == before


@pytest.mark.parametrize("service", ["sage", "productive"])
def test_a_right_that_is_missing_is_named_before_the_first_question(
    services: Sandbox, psage: Psage, answers: list[str], service: str
) -> None:
    path = "/tax_rates" if service == "sage" else "/service_types"
    services.fault("status", service=service, path=path, status=403)

    result = psage("configure")

    assert result.code == 4
    assert service.title() in result.err
    assert "Step 1" not in result.err


def test_without_a_sign_in_no_question_is_put(
    offline: Sandbox, psage: Psage, answers: list[str]
) -> None:
    result = psage("configure")

    assert result.code == 3
    assert "psage connect" in result.err
    assert "Step 1" not in result.err


@pytest.mark.parametrize("status", [403, 503])
def test_a_search_that_fails_costs_no_answer(
    services: Sandbox, psage: Psage, answers: list[str], home: Path, status: int
) -> None:
    psage("configure", "--map-item", "Design=DESIGN")
    services.fault("status", path="/services", status=status, times=10 if status == 503 else 2)
    answers += ["2", "", "", "", "DEV", "s", "", "", "y"]

    result = psage("configure")

    assert result.code == 0
    assert answers == []
    assert f"Set now: service:{item_id(services, 'DESIGN')}." in unfolded(result.err)
    assert str(status) in result.err
    assert settings(home).numbering == "productive"


def test_a_sign_in_that_ends_during_the_walk_ends_it(
    services: Sandbox, psage: Psage, answers: list[str], home: Path
) -> None:
    before = (home / "default.toml").read_bytes()
    services.fault("status", path="/services", status=401, times=9)
    answers += ["2", "", "", "", "DESIGN"]

    result = psage("configure")

    assert result.code == 3
    assert "Sage" in result.err
    assert (home / "default.toml").read_bytes() == before


def test_ctrl_c_during_a_search_changes_nothing(
    services: Sandbox, psage: Psage, answers: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    before = (home / "default.toml").read_bytes()
    monkeypatch.setattr("productive_sage.sage.client.SageClient.items", interrupted)
    answers += ["2", "", "", "", "DESIGN"]

    result = psage("configure")

    assert result.code == 130
    assert "nothing was changed" in result.err
    assert (home / "default.toml").read_bytes() == before


def test_ctrl_c_after_the_write_does_not_deny_it(
    services: Sandbox, psage: Psage, answers: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "_warn_of_the_end", interrupted)
    answers += ["2", "", "", "", "s", "", "", "y"]

    result = psage("configure")

    assert "nothing was changed" not in result.err
    assert str(home / "default.toml") in result.out
    assert settings(home).numbering == "productive"


@pytest.mark.parametrize(
    "store", ["", 'default_ledger_account = "gone"\n', 'default_ledger_account = "{7500}"\n']
)
def test_an_account_that_is_not_for_sales_cannot_be_kept(
    connected: Sandbox, psage: Psage, answers: list[str], home: Path, store: str
) -> None:
    (home / "default.toml").write_text(filled(connected, store))
    answers += ["", "", "", "", "", "-", "7500", "4010", "s", "", "", "y"]

    result = psage("configure")

    assert answers == []
    assert "An answer is needed here." in result.err
    assert "`7500` is in no name or code of a sales account." in result.err
    assert ("which is no sales account in Sage" in result.err) is bool(store)
    assert settings(home).default_ledger_account == connected.bookkeeper.ledger_account_id(4010)


def test_business_books_without_sales_accounts_are_refused(
    connected: Sandbox, psage: Psage, answers: list[str]
) -> None:
    for code in (4000, 4010, 4900):
        connected.bookkeeper.hide_ledger_account(connected.bookkeeper.ledger_account_id(code))

    result = psage("configure")

    assert result.code == 4
    assert "no ledger account for sales" in result.err


def test_a_link_to_what_is_gone_or_not_active_is_pointed_out(
    services: Sandbox, psage: Psage, answers: list[str], home: Path
) -> None:
    path = home / "default.toml"
    links = '[items]\n11 = "service:gone"\n12 = "service:{OLD}"\n13 = "service:{DEV}"\n'
    path.write_text(path.read_text() + filled(services, links))
    answers += [*[""] * 5, "", "OLD", "-", "printed", "1", "", "", "y"]

    result = psage("configure")

    assert answers == []
    assert "Set now: service:gone, which is not in Sage: such lines are refused." in unfolded(
        result.err
    )
    assert "OLD, Fax advice (service), which is not active in Sage" in unfolded(result.err)
    assert "`OLD` is in no name or code of an active item" in unfolded(result.err)
    assert "Set now: DEV, Development (service)." in unfolded(result.err)
    assert dict(settings(home).items) == {
        "11": "service:gone",
        "13": f"product:{item_id(services, 'PRINT')}",
    }


def unfolded(text: str) -> str:
    return " ".join(text.split())


def test_a_tax_rate_that_ended_is_not_offered_and_the_default_can_be_removed(
    services: Sandbox, psage: Psage, answers: list[str], home: Path
) -> None:
    refused = psage("configure", "--default-tax-rate", "GB_REDUCED_2020")
    assert (refused.code, "not valid today" in refused.err) == (4, True)
    with (home / "default.toml").open("a") as file:
        file.write('default_tax_rate = "GB_REDUCED_2020"\n')
    answers += [*[""] * 5, "s", "reduced", "-", "", "y"]

    result = psage("configure")

    assert answers == []
    assert "GB_REDUCED_2020, which is no tax rate in Sage now" in unfolded(result.err)
    assert "`reduced` is in no name of a tax rate in Sage." in result.err
    assert "none, so no tax" in unfolded(result.err)
    assert "default_tax_rate" not in (home / "default.toml").read_text()


def test_several_of_one_name_are_listed_and_not_guessed(
    connected: Sandbox, psage: Psage, answers: list[str], home: Path
) -> None:
    table = connected.sage.books().table("ledger_accounts")
    namesake = {**table[connected.bookkeeper.ledger_account_id(4900)], "id": "f" * 32}
    table["f" * 32] = namesake | {"nominal_code": 4950}
    answers += ["", "", "", "", "OTHER INCOME", "2", "s", "", "", "y"]

    result = psage("configure")

    assert answers == []
    assert "  2  Other income (4950)\n" in result.err
    assert settings(home).default_ledger_account == "f" * 32


def test_service_types_of_one_name_are_told_apart_and_odd_names_stay_on_their_line(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    types = services.productive.table("service_types")
    types["11"]["attributes"]["name"] = types["12"]["attributes"]["name"] = "De\nsign\x1b[2J"
    types["13"]["attributes"]["name"] = ""
    answers += [""] * 10

    result = psage("configure")

    assert "Service type (13), 1 of 3\n" in result.err
    assert "Service type De sign[2J (11), 2 of 3\n" in result.err
    assert "Service type De sign[2J (12), 3 of 3\n" in result.err


def test_without_service_types_there_is_a_step_less(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    services.productive.table("service_types").clear()
    answers += [""] * 7

    result = psage("configure")

    assert answers == []
    assert "Step 5 of 6: Default tax rate" in result.err


def test_a_link_of_a_service_type_no_longer_in_use_stays_and_can_be_removed_by_its_id(
    services: Sandbox, psage: Psage, answers: list[str], home: Path
) -> None:
    path = home / "default.toml"
    path.write_text(path.read_text() + '[items]\n14 = "service:old"\n')
    answers += ["2", "", "", "", "s", "", "", ""]

    kept = psage("configure")
    link = settings(home).items["14"]
    removed = psage("configure", "--map-item", "14=")

    assert (kept.code, removed.code, link) == (0, 0, "service:old")
    assert dict(settings(home).items) == {}


# --- what a change means


@pytest.mark.parametrize("columns", [80, 40])
def test_changing_who_numbers_is_warned_about_where_it_is_chosen_and_at_the_end(
    file: Path, home: Path, columns: int
) -> None:
    file.write_text(file.read_text().replace('colour = "red"', "#"))
    assert run("copy-invoice", "123", "--no-tax", "--no-pdf").code == 0
    with terminal(home, "configure", columns=columns) as person:
        person.type("2", *[""] * 5, "s", "", "", "n")

        assert person.end() == 0
    person.assert_golden("numbering")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("sage", "productive", "the copy is refused until the number is changed in Productive"),
        ("productive", "sage", "check the next number in Sage's settings first"),
    ],
)
def test_changing_who_numbers_says_what_it_means_for_what_is_copied(
    services: Sandbox,
    psage: Psage,
    answers: list[str],
    home: Path,
    before: str,
    after: str,
    words: str,
) -> None:
    psage("configure", "--numbering", before)
    answers += ["1"]  # who is billed
    assert psage("copy-invoice", "123", "124", "--no-tax", "--no-pdf").code == 0
    numbers = [row["invoice_number"] for row in copies(services, "123")]
    answers += [after, *[""] * (4 if after == "sage" else 3), "s", "", "", "n"]

    asked = psage("configure")
    by_flag = psage("configure", "--numbering", after)
    again = psage("configure", "--numbering", after, "--json")
    (warning,) = psage("configure", "--numbering", before, "--json").json["warnings"]

    assert unfolded(asked.err).count(words) == 2  # where it is chosen, and in the summary
    assert "2 invoices are copied already and keep their numbers." in unfolded(asked.err)
    assert words in by_flag.err
    assert again.json["warnings"] == []
    assert warning["code"] == "numbering_changed"
    assert [row["invoice_number"] for row in copies(services, "123")] == numbers


def test_without_copies_changing_who_numbers_needs_no_word(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["2", "", "", "", "s", "", "n"]

    assert "Warning" not in psage("configure").err
    assert psage("configure", "--numbering", "productive", "--json").json["warnings"] == []


def test_another_business_than_that_of_the_copies_is_refused(
    services: Sandbox, psage: Psage, answers: list[str], home: Path
) -> None:
    answers += ["1"]  # who is billed
    assert psage("copy-invoice", "123", "--no-tax", "--no-pdf").code == 0
    sign_in = Vault("default").sage()
    other = next(key for key in services.sage.data["books"] if key != sign_in.business_id)
    Vault("default").save(replace(sign_in, business_id=other))

    result = psage("configure")

    assert result.code == 4
    assert "holds copies in another Sage business" in result.err
    assert "Step 1" not in result.err


def test_the_walk_asks_no_service_twice_for_the_same(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    psage("configure", "--map-item", "Design=DESIGN")
    services.clear_calls()
    answers += ["b", *[""] * 5, "b", "b", "b", *[""] * 7]

    psage("configure")

    asked = [f"{call.service} {call.path}" for call in services.calls()]
    assert answers == []
    assert sorted(asked) == sorted(set(asked)), json.dumps(asked)
