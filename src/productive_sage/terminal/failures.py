"""Documents that failed or were refused: those of one cause together, with one next step."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from productive_sage import naming
from productive_sage.terminal.render import error, fitted, out, runnable, sign

if TYPE_CHECKING:
    from productive_sage.copying.records import Outcome

_GOOD, _LOOK, _BAD = ("✓", "+", "green"), ("!", "!", "bold yellow"), ("✗", "x", "bold red")
_SYMBOLS = {"differs": _LOOK, "unknown": _LOOK, "refused": _BAD, "failed": _BAD}
_COMMAND = re.compile(r"`psage [^`]*`")
_OWN = "\ue001"
"""Stands for a document's own name where texts are compared; no text of people has it."""


@dataclass(frozen=True, slots=True)
class SharedCause:
    """Why some documents were not copied."""

    outcomes: "list[Outcome]"
    reasons: list[str]
    """One of each document, in its order, without its name; or a single one for all of them."""
    hint: str


def symbol(action: str) -> tuple[str, str]:
    """A sign that needs no colour for what became of a document, and its style."""
    shown, plain, style = _SYMBOLS.get(action, _GOOD)
    return sign(shown, plain), style


def causes(outcomes: "Sequence[Outcome]") -> list[SharedCause]:
    """The documents with an error, those that one next step helps together."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for one in outcomes:
        if one.error:
            groups.setdefault((one.error.code, _general(one)), []).append(one)
    return [_cause(those, hint) for (_, hint), those in groups.items()]


def _cause(outcomes: "list[Outcome]", hint: str) -> SharedCause:
    reasons = [
        one.error.message.removeprefix(one.label).lstrip(": ") for one in outcomes if one.error
    ]
    if len(reasons) > 1 and len(set(reasons)) == 1:
        is_each = any(one.error and one.error.message.startswith(one.label) for one in outcomes)
        reasons = [f"each {reasons[0]}" if is_each else reasons[0]]
    names = " ".join(dict.fromkeys(map(_typed, outcomes)))
    return SharedCause(outcomes, reasons, hint.replace(_OWN, names))


def _general(outcome: "Outcome") -> str:
    """The hint with the document's name taken out of its commands, which take several."""
    hint = (outcome.error and outcome.error.hint) or ""
    if not outcome.productive_id:
        return hint
    own = re.compile(rf"(?<= ){re.escape(_typed(outcome))}(?=[ `])")
    return _COMMAND.sub(lambda command: own.sub(_OWN, command[0]), hint)


def _typed(outcome: "Outcome") -> str:
    return naming.to_type(outcome.number, outcome.productive_id)


def show(cause: SharedCause) -> None:
    """Print a cause on stderr as errors are, with its one next step at the end."""
    *others, last = [one.error for one in cause.outcomes if one.error]
    for problem in others:
        bare = problem.reworded(problem.message)
        bare.hint = None
        error(bare)
    bare = last.reworded(last.message)
    bare.hint = cause.hint or None
    error(bare)


def show_rows(cause: SharedCause, words: Sequence[str], *, with_reasons: bool) -> None:
    """Print each document of a cause as a line of the table, and under it why and what to do."""
    from rich.text import Text

    for n, (one, word) in enumerate(zip(cause.outcomes, words, strict=True)):
        sign_, style = symbol(one.action)
        out().print(Text.assemble((sign_, style), f" {word}"))
        if with_reasons and (len(cause.reasons) > 1 or n == len(cause.outcomes) - 1):
            reason = cause.reasons[n if len(cause.reasons) > 1 else 0]
            _print_indented(reason)
    if with_reasons and cause.hint:
        _print_indented(f"next: {cause.hint}")


def _print_indented(text: str) -> None:
    for one in fitted(runnable(text), "    ", "    "):
        out().print(one)
