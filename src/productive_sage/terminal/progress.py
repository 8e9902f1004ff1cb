"""What a run is at, in one line on stderr of a terminal; gone before anything else is printed.

Written by hand: rich takes too long to load for something that is to be there at once.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable

_SHORTEST_S = 2.0
"""Before so long a time left would be a guess."""


class _Line:
    """The one line."""

    is_wanted = False
    is_shown = False
    began = 0.0
    task = ""
    clock: Callable[[], float] = time.monotonic


_line = _Line()


def begin(words: str, clock: Callable[[], float] = time.monotonic) -> None:
    """Say at once what a command is at, where stderr is a terminal."""
    _line.clock = clock
    _line.is_wanted = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    _line.task = ""
    say(words)


def say(words: str) -> None:
    """What is under way, without a count."""
    if not _line.is_wanted:
        return
    width = shutil.get_terminal_size().columns - 1
    _write(f"\r\x1b[K{words[:width]}")
    _line.is_shown = True


def step(task: str, done: int, total: int, amount: str = "") -> None:
    """How far a task is: `Copying: 3 of 12, 1,240.00 GBP, about 20 s left`.

    One of a single step needs none. A `total` of 0 is one that nobody knows; `amount` is what has
    been done so far, in words.
    """
    if not _line.is_wanted or total == 1:
        return
    if not total:
        say(f"{task}: {done}")
        return
    now = _line.clock()
    if task != _line.task:
        _line.task, _line.began = task, now
    done = min(done, total)
    so_far = f", {amount}" if amount else ""
    left = _left(now - _line.began, done, total)
    count = f"{task}: {done} of {total}"
    # Where there is no room for all of it, the time left counts more than the amount.
    lines = (count + so_far + left, count + left, count + left.replace(" about", ""), count)
    say(next((one for one in lines if len(one) < shutil.get_terminal_size().columns), count))


def _left(taken_s: float, done: int, total: int) -> str:
    """How long the rest takes if it goes on so."""
    if not done or done == total or taken_s < _SHORTEST_S:
        return ""
    left_s = taken_s / done * (total - done)
    minutes = round(left_s / 60)
    return (
        f", about {minutes} min left" if left_s >= 90 else f", about {max(1, round(left_s))} s left"
    )


def clear() -> None:
    """Take the line off the screen, before something else is printed or asked."""
    if _line.is_shown:
        _line.is_shown = False
        _write("\r\x1b[K")


def end() -> None:
    """Nothing more is to be seen of it."""
    clear()
    _line.is_wanted = False


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        _line.is_wanted = False
