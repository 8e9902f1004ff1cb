"""What the shell offers, by the program as the shell calls it: offline and without complaints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage

PSAGE = str(Path(sys.executable).with_name("psage"))


@pytest.fixture
def used(services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch) -> Psage:
    """A profile with copies of an invoice and of its credit note; then the services are gone."""
    assert psage("configure", "--default-ledger", "4010", "--default-tax-rate", "").code == 0
    assert psage("copy-invoice", "111", "123", "--tax-rate", "GB_STANDARD", "--no-pdf").code == 0
    assert psage("credit-note", "110", "--no-pdf").code == 0
    for name in ("PSAGE_SAGE_API_URL", "PSAGE_PRODUCTIVE_API_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return psage


def offered(words: str, shell: str = "fish") -> list[tuple[str, str]]:
    """(word, meaning) of each offer for the last of the words."""
    asked = {
        "bash": {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": words},
        "fish": {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    done = subprocess.run(
        [PSAGE],
        env={**os.environ, **asked, "_PSAGE_COMPLETE": f"complete_{shell}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return [
        (word, meaning)
        for word, _, meaning in (line.partition("\t") for line in done.stdout.splitlines())
        if word
    ]


def test_commands(home: Path) -> None:
    found = dict(offered("psage c"))

    assert list(found) == ["copy-invoice", "credit-note", "connect", "configure", "customers"]
    assert found["copy-invoice"] == "Copy invoices from Productive into Sage."


def test_documents_that_are_copied(used: Psage) -> None:
    assert [word for word, _ in offered("psage copy-invoice ")] == ["123", "111"]
    assert offered("psage copy-invoice 11") == [("111", "INV-2026-011, SI-1 in Sage")]
    assert [word for word, _ in offered("psage credit-note ")] == ["110"]
    assert [word for word, _ in offered("psage sync-payments --invoice 1")] == ["123", "111"]
    assert [word for word, _ in offered("psage history --document 11")] == ["110", "111"]
    (number,) = offered("psage copy-invoice --number INV-2026-01")
    assert number[0] == "INV-2026-011"


def test_ledger_accounts_and_tax_rates(used: Psage) -> None:
    accounts = offered("psage configure --default-ledger 401")
    rates = offered("psage copy-invoice 9 --tax-rate GB_S")

    assert accounts == [("4010", "Sales - Services")]
    assert ("GB_STANDARD", "Standard 20.00%") in rates
    assert [word for word, _ in offered("psage credit-note 9 --tax-rate GB_STAN")] == [
        "GB_STANDARD"
    ]


def test_words_that_a_setting_may_have() -> None:
    assert [word for word, _ in offered("psage configure --pdf ")] == ["productive", "sage"]


def test_profiles_and_what_is_in_them(used: Psage, home: Path) -> None:
    (home / "other.toml").write_text("")

    assert [word for word, _ in offered("psage --profile ")] == ["default", "other"]
    assert offered("psage --profile other copy-invoice ") == []
    assert len(offered("psage --profile default copy-invoice ")) == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell(used: Psage, shell: str) -> None:
    assert "110" in str(offered("psage credit-note ", shell))


@pytest.mark.parametrize("content", [None, b"", b"no store at all"])
def test_nothing_is_offered_and_nothing_made_where_there_is_no_store(
    home: Path, content: bytes | None
) -> None:
    home.mkdir()
    if content is not None:
        (home / "default.db").write_bytes(content)

    assert offered("psage copy-invoice ") == []
    assert offered("psage copy-invoice 1 --tax-rate ") == []
    assert offered("psage --profile ../../etc copy-invoice ") == []
    assert [path.name for path in home.iterdir()] == ([] if content is None else ["default.db"])


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash on this machine")
def test_bash_itself_with_the_script_that_psage_prints(used: Psage) -> None:
    script = subprocess.run(
        [PSAGE, "--show-completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    lines = (
        'COMP_WORDS=(psage copy-invoice 1); COMP_CWORD=2; _psage_completion "$PSAGE"',
        'echo "${COMPREPLY[@]}"',
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join([script, *lines])],
        env={**os.environ, "PSAGE": PSAGE},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("123 111\n", "")


def test_tax_rates_that_cannot_be_used_are_not_offered(used: Psage) -> None:
    offers = [word for word, _ in offered("psage configure --default-tax-rate GB_")]

    assert "GB_EXEMPT" in offers
    assert {"GB_HIDDEN", "GB_REDUCED_2020"} & {*offers} == set()
