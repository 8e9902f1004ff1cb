"""Ctrl-C, and the signal that ends a service, where half of something is worse than waiting."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


_noted: list[int] = []
_holding: list[bool] = []


def came() -> bool:
    """Whether an interrupt is held back."""
    return bool(_noted)


class Twice(KeyboardInterrupt):
    """Somebody did not want to wait."""


@contextmanager
def held_back() -> Iterator[None]:
    """Finish the block, and raise KeyboardInterrupt then; a second Ctrl-C raises Twice at once.

    Inside another such block, or in a thread that is not the one interrupted, it is without effect.
    """
    if _holding or threading.current_thread() is not threading.main_thread():
        yield
        return
    _noted.clear()
    _holding.append(True)

    def note(number: int, _frame: Any) -> None:
        if _noted:
            raise Twice
        _noted.append(number)

    before = {}
    for one in _SIGNALS:
        if signal.getsignal(one) not in (signal.SIG_IGN, None):
            before[one] = signal.signal(one, note)
    try:
        yield
    except Twice:
        _noted.clear()
        raise
    finally:
        _holding.clear()
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
