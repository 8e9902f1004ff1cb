"""The demo shows the real commands, leaves nothing behind, and can fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from productive_sage.sandbox.demo import Demo


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PATH": os.environ["PATH"],
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "HTTP_PROXY": "http://127.0.0.1:9",  # nothing may go through it
    }
    for folder in ("home", "tmp"):
        (tmp_path / folder).mkdir()
    return subprocess.run(
        [sys.executable, "-m", "productive_sage", "demo", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_demo_keeps_its_promises_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = run(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything as promised" in done.stdout
    assert "$ psage copy-invoice 123" in done.stdout
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_broken_promise_is_exit_1_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from productive_sage.sandbox import demo

    monkeypatch.setattr(Demo, "walk", lambda self: self._promise(False, "Sage holds it once"))

    code = demo.demonstrate(as_json=True)

    report = json.loads(capsys.readouterr().out)
    assert code == 1
    assert report["ok"] is False
    assert report["error"]["message"] == "Sage holds it once"
