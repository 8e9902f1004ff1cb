"""The documents say what the program does."""

import re
import shlex
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from productive_sage.errors.causes import CAUSES
from productive_sage.sandbox import (
    CLIENT_ID,
    CLIENT_SECRET,
    ORGANIZATION_ID,
    PRODUCTIVE_TOKEN,
    Sandbox,
)
from tests.conftest import Psage, consent
from tests.harness.browser import at_a_desk

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_HOME = PROJECT["urls"]["Repository"]
_PLACES = (
    f"{_HOME}/blob/main/",
    f"{_HOME.replace('github.com', 'raw.githubusercontent.com')}/main/",
)
"""Where the package index finds the documents and the pictures of the README."""


def commands() -> list[str]:
    """The `psage` commands in the README's code blocks, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    found = [line.split(" #")[0].strip() for line in lines if line.startswith("psage ")]
    own = {"12345": ORGANIZATION_ID, "YOUR-CLIENT-ID": CLIENT_ID}
    return [" ".join(own.get(word, word) for word in line.split(" ")) for line in found]


def test_the_documents_of_the_house_name_each_module_and_none_that_is_gone() -> None:
    source = ROOT / "src" / "productive_sage"
    modules = [one.relative_to(source) for one in source.rglob("*.py")]
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"[a-z_]+", architecture))
    house = architecture + (ROOT / "CONTRIBUTING.md").read_text()
    files = set(re.findall(r"(?<![\w/])((?:[a-z_]+/)*[a-z_]+\.py)", house))
    there = {str(one) for one in (*modules, *ROOT.glob("tests/**/*.py"), *ROOT.glob("scripts/*"))}

    assert [str(one) for one in modules if one.stem not in named and one.stem[:2] != "__"] == []
    assert [one for one in files if not any(f"/{path}".endswith(f"/{one}") for path in there)] == []


def test_every_command_of_the_readme_runs_in_its_order(
    offline: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import threading
    import urllib.request

    def browser(address: str) -> bool:
        back = consent(address)
        threading.Thread(target=lambda: urllib.request.urlopen(back).close(), daemon=True).start()
        return True

    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", PRODUCTIVE_TOKEN)
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setattr("webbrowser.open", browser)
    at_a_desk(monkeypatch)
    monkeypatch.setattr("productive_sage.terminal.asking.confirm", lambda *_, **__: None)
    monkeypatch.setattr(
        "productive_sage.setup.businesses.chosen", lambda of, *_: of("").businesses()[0]
    )

    monkeypatch.chdir(tmp_path)  # a plan is a file of the person's
    done = {command: psage(*shlex.split(command)[1:]) for command in commands()}

    assert len(done) >= 14
    wrong = {command: result.err for command, result in done.items() if result.code != 0}
    # Of the sandbox's invoices most are not copied, and some cannot be: both are there to say it.
    telling = ("psage reconcile", "psage copy-invoice --all-uncopied")
    assert {command for command in wrong if not command.startswith(telling)} == set()


def test_the_reference_lists_every_exit_code() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", REFERENCE, re.MULTILINE)}

    assert listed == {cause.exit_code for cause in CAUSES.values()} | {0}


def test_the_readme_stays_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 150
    targets = re.findall(r'\]\(([^)]+)\)|(?:src|srcset)="([^"]+)"', README)
    own = [one or other for one, other in targets if not (one or other).startswith("https://")]
    assert len(own) >= 10
    for target in own:
        assert (ROOT / target).exists(), target


def test_on_the_package_index_every_link_leads_somewhere_too() -> None:
    """There a relative link would lead nowhere."""
    shown = ProjectMetadata(str(ROOT), PluginManager()).core.readme

    targets = re.findall(r'\]\(([^)]+)\)|(?:src|srcset)="([^"]+)"', shown)
    addresses = [one or other for one, other in targets]
    assert [target for target in addresses if not target.startswith("https://")] == []
    assert len([one for one in addresses if one.startswith(_PLACES)]) >= 10


def test_every_address_of_the_project_is_at_its_home() -> None:
    home = PROJECT["urls"]["Repository"]

    assert all(address.startswith(home) for address in PROJECT["urls"].values())
    assert set(re.findall(r"https://github\.com/[^/]+/[^/)#]+", README)) <= {home}


def test_the_links_of_the_other_documents_lead_somewhere() -> None:
    for file in [*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), (file, target)


def test_the_versions_that_are_named_are_those_that_are_taken() -> None:
    named = [one.rpartition(" ")[2] for one in PROJECT["classifiers"] if one.count(":: 3.")]

    assert PROJECT["requires-python"] == f">={named[0]}"
    assert f"Python](https://www.python.org/downloads/) {named[0]} or newer" in README


def test_error_codes_beyond_the_contract_are_in_the_changelog() -> None:
    contract = set(
        "not_connected sign_in_expired keyring_unavailable config_invalid no_default_ledger "
        "input_needed not_found is_draft is_credit_note already_copied ambiguous_customer "
        "customer_not_found tax_rate_invalid number_taken copy_locked copy_gone "
        "not_a_credit_note invoice_not_copied partial_credit payment_sync_off too_many_deletes "
        "different_business refused_by_sage refused_by_productive rate_limited "
        "service_unavailable network locked outcome_unknown totals_differ defect".split()
    )
    used = set(CAUSES)
    changelog = (ROOT / "CHANGELOG.md").read_text()

    assert {code for code in used - contract if f"`{code}`" not in changelog} == set()
    assert contract <= used


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["connect", "--help"],
        ["connect", "sage", "--help"],
        ["disconnect", "--help"],
        ["configure", "--help"],
        ["copy-invoice", "--help"],
        ["credit-note", "--help"],
        ["sync-payments", "--help"],
        ["history", "--help"],
        ["status", "--help"],
        ["doctor", "--help"],
        ["backup", "--help"],
        ["restore", "--help"],
        ["rebuild", "--help"],
        ["sandbox", "--help"],
        ["demo", "--help"],
    ],
)
def test_every_help_text_fits_80_columns_and_gives_an_example(
    psage: Psage, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    result = psage(*arguments)

    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 80
    assert "Example: psage" in result.out or arguments == ["--help"]


def test_no_index_host_and_no_path_of_a_machine_is_named() -> None:
    for name in ("constraints.txt", "pyproject.toml", "Makefile", ".ci/run"):
        text = (ROOT / name).read_text()
        for address in PROJECT["urls"].values():
            text = text.replace(f'"{address}"', "")
        for place in _PLACES:
            text = text.replace(place, "")
        assert "http://" not in text
        assert "https://" not in text
        assert "index-url" not in text


def test_the_wheel_holds_the_program_its_entry_point_and_the_licence(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry,) = [name for name in names if name.endswith("entry_points.txt")]
        entry_points = archive.read(entry).decode()
    assert "productive_sage/sandbox/seed.py" in names
    assert "psage = productive_sage.cli:main" in entry_points
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("tests/")]


def test_no_test_imports_from_a_test() -> None:
    """What several are played with lies in `tests/harness`, or in `conftest`."""
    from_a_test = re.compile(r"^(?:from|import) tests\..*\btest_\w+", re.MULTILINE)
    for file in (ROOT / "tests").rglob("*.py"):
        assert from_a_test.findall(file.read_text()) == [], file
