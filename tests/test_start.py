"""The start costs nothing that is not needed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "startup.py"


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


def test_help_starts_within_1_3_times_of_an_empty_typer_app() -> None:
    spec = importlib.util.spec_from_file_location("startup", SCRIPT)
    assert spec
    assert spec.loader
    startup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(startup)

    ratios = []
    for _ in range(3):  # the tests beside this one make a noisy machine
        times = startup.measure(rounds=8)
        ratios.append(times["psage --help"] / times["an empty typer app"])
        if ratios[-1] <= 1.3:
            break

    assert min(ratios) <= 1.3
