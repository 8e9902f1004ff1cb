"""Somebody presses Ctrl-C."""

import signal
from typing import Any

import pytest


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def interrupted_in(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Have somebody press Ctrl-C at the first call of a function."""
    work = getattr(owner, name)

    def interrupted(*args: Any, **more: Any) -> Any:
        monkeypatch.setattr(owner, name, work)
        ctrl_c()
        return work(*args, **more)

    monkeypatch.setattr(owner, name, interrupted)
