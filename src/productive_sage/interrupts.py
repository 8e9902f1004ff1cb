"""Ctrl-C, and the signal that ends a service, where half of something is worse than waiting."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


_noted: list[int] = []


def came() -> bool:
    """Whether an interrupt is held back."""
    return bool(_noted)


class Twice(KeyboardInterrupt):
    """Somebody did not want to wait."""


@contextmanager
def held_back() -> Iterator[None]:
    """Finish the block, and raise KeyboardInterrupt then; a second Ctrl-C raises Twice at once."""
    _noted.clear()

    def note(number: int, _frame: Any) -> None:
        if _noted:
            raise Twice
        _noted.append(number)

    before = {}
    for one in _SIGNALS:
        if signal.getsignal(one) not in (signal.SIG_IGN, None):
            try:
                before[one] = signal.signal(one, note)
            except ValueError:  # in no thread but the first, which is the one that is interrupted
                break
    try:
        yield
    except Twice:
        _noted.clear()
        raise
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        if came():
            _noted.clear()
            raise KeyboardInterrupt


def ignore() -> None:
    """From here on there is nothing left to interrupt."""
    with suppress(ValueError):  # as above
        for one in _SIGNALS:
            signal.signal(one, signal.SIG_IGN)
