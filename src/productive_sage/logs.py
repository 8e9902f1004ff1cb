"""psage's own log, never that of the HTTP library, whose lines hold addresses."""

import logging
import os
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from productive_sage.errors import HomeUnusable
from productive_sage.redaction import redacted


def log_to(file: Path, *, verbose: bool) -> None:
    """Write to a file, which is made by its first record: else only defects are recorded."""
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise HomeUnusable(f"the log `{file}` cannot be written: {error.strerror}") from error
    handler = _OwnersFile(file, maxBytes=1_000_000, backupCount=3, encoding="utf-8", delay=True)
    handler.setFormatter(_Redacted("%(asctime)s %(process)d %(name)s %(message)s"))
    _hand_to(handler).setLevel(logging.INFO if verbose else logging.ERROR)
    logging.raiseExceptions = False  # a log that cannot be written is no reason to complain


def log_nothing() -> None:
    """Have nobody take the records: Python would print them, tracebacks and all."""
    _hand_to(logging.NullHandler())


def _hand_to(handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger("psage")
    for old in logger.handlers:
        old.close()
    logger.handlers = [handler]
    logger.propagate = False
    return logger


class _Redacted(logging.Formatter):
    """Lines and tracebacks without secrets, whatever an exception quotes."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class _OwnersFile(RotatingFileHandler):
    """A log that its owner alone can read; where a link stands in its place, none is written."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(self.baseFilename, flags, 0o600)
        with suppress(AttributeError, OSError):  # one of an older psage, that others could read
            os.fchmod(handle, 0o600)
        return os.fdopen(handle, "a", encoding=self.encoding, errors="backslashreplace")
