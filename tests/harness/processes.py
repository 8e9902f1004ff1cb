"""psage as a real process, and a way to stop it at any request it makes.

The process inherits the environment of the test, so whatever the fixtures point psage to holds for
it as well; its keyring is the sandbox's file, because the one in memory ends with the process.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import keyring
import pytest

from productive_sage.sandbox import Sandbox
from productive_sage.sandbox.keyring import SandboxKeyring
from productive_sage.sandbox.run import environment
from tests.conftest import Result
from tests.harness.fast import Run

_PATIENCE_S = 20


def share_the_keyring(sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and those it starts use one home and one keyring file in `folder`."""
    for name, value in environment(sandbox, folder).items():
        monkeypatch.setenv(name, value)
    keyring.set_keyring(SandboxKeyring())


@contextmanager
def started(*args: str) -> Iterator[subprocess.Popen[str]]:
    """psage, running; it does not outlive the block, however that ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "productive_sage", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str]) -> Result:
    """Wait for a process; its code is minus the signal where one killed it."""
    out, err = process.communicate(timeout=_PATIENCE_S)
    return Result(process.returncode, out, err)


def kill(process: subprocess.Popen[str]) -> Result:
    """Take a process away as `kill -9` does, or a power cut."""
    process.kill()
    return end(process)


def run(*args: str) -> Result:
    """Run psage to its end."""
    with started(*args) as process:
        return end(process)


class Hold:
    """Holds up one request: the `nth` of a method and path (all, where none is named).

    `before` its work or `after` it, when the answer is ready but not sent. Whoever asked waits
    until `let_go`, or until the block ends.
    """

    def __init__(
        self, sandbox: Sandbox, nth: int = 1, *, when: str, method: str = "", path: str = ""
    ) -> None:
        self._desk: Any = sandbox._desk
        self._nth = nth
        self._when = when
        self._method = method
        self._path = path
        self._lock = threading.Lock()
        self._seen = 0
        self._reached = threading.Event()
        self._let_go = threading.Event()
        self._is_lost = False
        self._request = ""

    def __enter__(self) -> Self:
        """From now on requests are counted."""
        serve = self._serve_before = self._desk.serve
        self._desk.serve = lambda request, app: self._serve(serve, request, app)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go, and leave the requests alone; a failed test gets no more work done."""
        self._is_lost |= error is not None
        self._let_go.set()
        self._desk.serve = self._serve_before

    def reached(self, by: subprocess.Popen[str] | Run) -> str:
        """Wait until a process has made the request; returns it as `POST /contacts`."""
        ends_at = time.monotonic() + _PATIENCE_S
        while not self._reached.wait(0.05):
            if by.poll() is not None or time.monotonic() > ends_at:
                by.kill()
                left = by.end() if isinstance(by, Run) else end(by)
                raise AssertionError(f"the request was not made: {left}")
        return self._request

    def let_go(self) -> None:
        """Let the request have its work and its answer."""
        self._let_go.set()

    def lose(self) -> None:
        """Drop the request: it gets no answer, and no work either where it had none yet."""
        self._is_lost = True
        self._let_go.set()

    def _serve(self, serve: Callable[[Any, Any], Any], request: Any, app: Any) -> Any:
        if not self._is_the_one(request):
            return serve(request, app)
        outcome = serve(request, app) if self._when == "after" else None
        self._request = f"{request.method} {request.path}"
        self._reached.set()
        self._let_go.wait(_PATIENCE_S)
        if self._is_lost:
            raise ConnectionAbortedError
        return outcome or serve(request, app)

    def _is_the_one(self, request: Any) -> bool:
        if self._method not in ("", request.method) or not request.path.startswith(self._path):
            return False
        with self._lock:
            self._seen += 1
            return self._seen == self._nth
