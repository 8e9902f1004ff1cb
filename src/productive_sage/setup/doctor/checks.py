"""One check of the doctor, and what many of them come to.

A check returns what is well, or raises: Doubt for a warning, NotTried where one it stands on
failed, PsageError for a failure.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from productive_sage import config
from productive_sage.errors import (
    NoDefaultLedger,
    NotConnected,
    PsageError,
    code_of_a_look,
)
from productive_sage.errors.defects import Defect
from productive_sage.text import counted

log = logging.getLogger("psage.doctor")


OK, WARNING, FAILURE, NOT_TRIED = "ok", "warning", "failure", "not_tried"


SERVICES = ("Productive", "Sage")


_SIGN_IN = "sign-in"


MAKES_HOME = "`psage connect` makes it"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried."""

    name: str
    result: str
    """`ok`, `warning`, `failure`, or `not_tried` where one it stands on failed."""
    message: str
    remedy: str | None = None
    """What to do; None where all is well."""
    error: PsageError | None = None
    """Of a failure."""

    @property
    def exit_code(self) -> int:
        """What it demands: 2 set-up, 3 a sign-in, 4 a reader, 5 another time; 1 is a defect."""
        if self.error is None:
            return 0
        return code_of_a_look(self.error)

    def as_json(self) -> dict[str, Any]:
        """The check as the public JSON contract has it."""
        return {
            "name": self.name,
            "result": self.result,
            "message": self.message,
            "remedy": self.remedy,
        }


def worst(checks: Sequence[Check]) -> Check | None:
    """The failure that decides the exit code; None where nothing failed."""
    failed = [check for check in checks if check.error]
    return min(failed, key=lambda check: check.exit_code, default=None)


def findings(checks: Sequence[Check]) -> list[Check]:
    """What a person is to see to: where nothing is connected yet, that and not its wake."""
    found = [check for check in checks if check.result in (WARNING, FAILURE)]
    missing = [check for check in found if isinstance(check.error, NotConnected)]
    if len(missing) < len(SERVICES):
        return found
    rest = [one for one in found if one not in missing and not _is_new_home(one)]
    remedy = "run `psage connect`, then `psage configure`"
    return [*rest, Check(_SIGN_IN, FAILURE, "nothing is connected yet", remedy, missing[0].error)]


def _is_new_home(check: Check) -> bool:
    """Whether the trouble is only that nothing was set up yet."""
    is_not_made = check.name == "home" and check.remedy == MAKES_HOME
    return is_not_made or isinstance(check.error, NoDefaultLedger)


def summary(checks: Sequence[Check]) -> str:
    """How it all went, in a sentence."""
    results = [check.result for check in checks]
    failures, warnings = results.count(FAILURE), results.count(WARNING)
    if not failures and not warnings:
        return f"{counted(len(checks), 'check')}, and all is well"
    left = results.count(NOT_TRIED)
    if findings(checks)[-1].name == _SIGN_IN:
        return f"{counted(left, 'check')} can be made after that"
    return (
        f"{counted(len(checks), 'check')}: {counted(failures, 'failure')} and "
        f"{counted(warnings, 'warning')}{f'; {left} not tried' if left else ''}"
    )


class Doubt(Exception):
    """Something a person should know or see to, but no failure."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class NotTried(Doubt):
    """Another check failed that this one stands on."""


def not_tried(*on: str) -> NotTried:
    """The check cannot be made before these are seen to."""
    names = " and ".join(f"`{name.replace('_', ' ')}`" for name in on)
    return NotTried("not tried", f"see to {names} first, then run `psage doctor` again")


def tried(name: str, check: Callable[[], str]) -> Check:
    """Make a check; whatever it raises is what it found."""
    try:
        return Check(name, OK, check())
    except NotTried as stopped:
        return Check(name, NOT_TRIED, stopped.message, stopped.remedy)
    except Doubt as doubt:
        return Check(name, WARNING, doubt.message, doubt.remedy)
    except PsageError as error:
        message = "; ".join(line.removeprefix("- ") for line in error.message.splitlines())
        return Check(name, FAILURE, message.replace(":; ", ": "), _remedy(error.hint), error)
    except OSError as error:  # a folder nobody may look into, or a file in the place of one
        unusable = config.storage_error(error, Path(error.filename or "the home folder"))
        return Check(name, FAILURE, unusable.message, _remedy(unusable.hint), unusable)
    except Exception as error:  # a defect in one check must not hide the others
        log.exception("check %s", name)
        hint = "run `psage --verbose doctor` and report what the log says"
        defect = Defect(f"({type(error).__name__})", hint=hint)
        return Check(name, FAILURE, defect.message, defect.hint, defect)


def _remedy(hint: str | None) -> str:
    """A hint that names a command: the one that tells whether it helped, if no other."""
    again = "run `psage doctor` again"
    hint = (hint or "").replace("run the command again", again)
    return hint if "`" in hint else "; ".join(filter(None, (hint, f"then {again}")))
