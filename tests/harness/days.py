"""Days on which nobody sleeps, or somebody meddles."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, Result, first_line


@contextmanager
def own_log() -> Iterator[None]:
    """Log as the installed program does, without pytest's handlers to catch what is dropped."""
    logger, root = logging.getLogger("psage"), logging.getLogger()
    before = logger.handlers, root.handlers, logger.propagate, logging.raiseExceptions
    logger.handlers, root.handlers, logging.raiseExceptions = [], [], True
    try:
        yield
    finally:
        for handler in logger.handlers:
            with suppress(OSError):
                handler.close()
        logger.handlers, root.handlers, logger.propagate, logging.raiseExceptions = before


@pytest.fixture
def psage(psage: Psage) -> Psage:
    """Run a command with a log of its own."""

    def run(*args: str) -> Result:
        with own_log():
            return psage(*args)

    return run


def edit_a_line(sandbox: Sandbox) -> None:
    sandbox.agency.edit_line(first_line(sandbox, "123"), quantity="12")


def after_the_first_copy(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]
) -> None:
    """Act once, after the first invoice of a batch was made in Sage; the second waits for that."""
    handle = sandbox.sage.handle
    todo = [act]

    def watched(request: Any) -> Any:
        reply = handle(request)
        if (request.method, request.path) == ("POST", "/sales_invoices") and todo:
            todo.pop()()
        return reply

    monkeypatch.setattr(sandbox.sage, "handle", watched)
