"""The start costs nothing that is not needed."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "startup.py"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["copy-invoice", "--help"]])
def test_help_imports_neither_http_nor_keyring_nor_display(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom productive_sage import cli\n"
        f"code = cli.main({arguments!r})\n"
        "heavy = {'httpx', 'keyring', 'rich', 'sqlite3', 'tomlkit', 'filelock', 'ssl'}\n"
        "print(code, sorted(heavy & set(sys.modules)))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["for people", "for scripts"])
def test_status_imports_neither_http_nor_keyring_nor_display(
    services: Sandbox, psage: Psage, home: Path, form: list[str]
) -> None:
    copy_something(services, psage)
    program = (
        "import sys\nfrom productive_sage import cli\n"
        f"code = cli.main(['status', *{form!r}])\n"
        "heavy = {'httpx', 'keyring', 'rich', 'tomlkit', 'filelock', 'ssl', 'socket'}\n"
        "rooms = ('copying', 'payments', 'productive', 'sage')\n"
        "ours = {'productive_sage.http', 'productive_sage.signin.vault'}\n"
        "ours |= {f'productive_sage.{room}.records' for room in rooms}\n"
        "print(code, sorted((heavy | ours) & set(sys.modules)))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.bench
def test_status_takes_at_most_1_75_times_as_long_as_an_empty_typer_app(
    services: Sandbox,
    psage: Psage,
    home: Path,
    compiled: None,
) -> None:
    # That is less than 100 ms where the empty one takes 57, as on any machine of these years; to
    # load the display library or the records of documents as well would take it to twice.
    copy_something(services, psage)
    ratios = []
    for _ in range(3):  # the tests beside this one make a noisy machine
        times = startup().measure(rounds=8)
        ratios.append(times["psage status"] / times["an empty typer app"])
        if ratios[-1] <= 1.75:
            break

    assert min(ratios) <= 1.75


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installed psage is, whatever the folder of the sources holds."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "compiled"))


def copy_something(services: Sandbox, psage: Psage) -> None:
    assert psage("copy-invoice", "123", "--no-tax").code == 0


def startup() -> Any:
    spec = importlib.util.spec_from_file_location("startup", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.bench
def test_help_starts_within_1_3_times_of_an_empty_typer_app(compiled: None) -> None:
    ratios = []
    for _ in range(3):  # the tests beside this one make a noisy machine
        times = startup().measure(rounds=8)
        ratios.append(times["psage --help"] / times["an empty typer app"])
        if ratios[-1] <= 1.3:
            break

    assert min(ratios) <= 1.3
