"""What nobody foresaw: said in one sentence here, with its details in the log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from productive_sage.errors import PsageError

log = logging.getLogger("psage")


class Defect(PsageError):
    """Something nobody foresaw went wrong."""

    def __init__(
        self, what: str = "", *, hint: str = "the log has the details; please report it"
    ) -> None:
        """`what` says where psage met it."""
        super().__init__(f"psage met something it does not expect {what}".rstrip(), hint=hint)


@contextmanager
def defects_told(of: str, what: str = "") -> Iterator[None]:
    """Raises a Defect for whatever is raised in here and is no error of psage.

    So that the defect met with one document stops no other. `of` names it in the log.
    """
    try:
        yield
    except PsageError:
        raise
    except Exception as error:
        log.exception("%s", of)
        raise Defect(what) from error
