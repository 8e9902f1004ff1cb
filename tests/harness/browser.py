"""Somebody at a desk with a browser, who signs in to Sage."""

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from tests.conftest import consent

MAIN = "Harbour & Pine Ltd"
LABS = "Harbour & Pine Labs Ltd"
Browser = Callable[..., Callable[[], list[str]]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def browser_of(monkeypatch: pytest.MonkeyPatch) -> Browser:
    """A browser whose person does these things at Sage's page; what is returned gives the pages."""

    def person(*doings: Callable[[str], str]) -> Callable[[], list[str]]:
        pages: list[str] = []
        people: list[threading.Thread] = []

        def go(address: str) -> None:
            pages.extend(fetch(doing(address)) for doing in doings)

        def opened(address: str) -> bool:
            people.append(threading.Thread(target=go, args=(address,), daemon=True))
            people[-1].start()
            return True

        def seen() -> list[str]:
            for one in people:
                one.join(10)
            return pages

        monkeypatch.setattr("webbrowser.open", opened)
        at_a_desk(monkeypatch)
        return seen

    return person


def fetch(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=10) as reply:
            return f"{reply.status} {reply.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read().decode()}"


def at_a_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a screen, and nobody who came by SSH."""
    monkeypatch.setenv("DISPLAY", ":0")
    for name in ("SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)


def allow(address: str) -> str:
    return consent(address)
