"""A command as a person sees it: on a terminal of its own where the system has such."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

_LIMIT_S = 60
"""No command shown takes longer; one that does is broken."""
_PASSING = re.compile(r"[^\n]*\r\x1b\[K")
"""A line that says what a command is at, and that it takes away again."""


def run(
    args: tuple[str, ...],
    environment: Mapping[str, str],
    *,
    columns: int = 0,
    see: Callable[[str], None] = lambda _: None,
) -> tuple[int, list[str]]:
    """Run psage and give its exit code and the lines it leaves, those of both streams.

    `columns` is the width of its terminal; 0 is a pipe, also where there are no terminals to be
    had. `see` gets each line at once. Nobody answers a question. A command still running after
    a minute is killed.
    """
    reading, writing = _terminal(columns) if columns else os.pipe()
    process = subprocess.Popen(  # noqa: S603 - our own commands
        [sys.executable, "-m", "productive_sage", *args],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
    )
    os.close(writing)
    overtime = threading.Timer(_LIMIT_S, process.kill)
    overtime.start()
    lines = []
    for line in _lines(reading):
        lines.append(line)
        see(line)
    code = process.wait()
    overtime.cancel()
    return code, lines


def _terminal(columns: int) -> tuple[int, int]:
    """Both ends of a terminal, or of a pipe on a system without them."""
    try:
        import fcntl
        import pty
        import struct
        import termios
    except ImportError:  # Windows
        return os.pipe()
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    return reading, writing


def _lines(reading: int) -> Iterator[str]:
    with os.fdopen(reading, "rb", buffering=0) as stream:
        rest = b""
        with suppress(OSError):  # Linux says so when the last writer of a terminal goes
            while chunk := stream.read(65536):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (_left(line.decode("utf-8", "replace")) for line in whole)
        if last := _left(rest.decode("utf-8", "replace")):
            yield last


def left(written: str) -> list[str]:
    """The lines that stay on the screen of all that was written to it."""
    return [_left(line) for line in written.split("\n")]


def _left(line: str) -> str:
    return _PASSING.sub("", line).rstrip("\r")
