"""Documents that failed or were refused: those of one cause together, with one next step."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from productive_sage import naming
from productive_sage.terminal.render import error, fitted, out, runnable, sign
from productive_sage.text import counted

if TYPE_CHECKING:
    from productive_sage.copying.records import Outcome

_GOOD, _LOOK, _BAD = ("✓", "+", "green"), ("!", "!", "bold yellow"), ("✗", "x", "bold red")
_SYMBOLS = {"differs": _LOOK, "unknown": _LOOK, "refused": _BAD, "failed": _BAD}
_COMMAND = re.compile(r"`psage [^`]*`")
_OWN = "\ue001"
"""Stands for a document's own name where texts are compared; no text of people has it."""


_PASSING = re.compile(r"(?<=/)(?:[0-9a-f]{32}|\d+)(?=[/) ])| \(request [^)]*\)")
"""What stands in a text for one request alone: ids in its path, and the service's name for it."""


@dataclass(frozen=True, slots=True)
class SharedCause:
    """Why some documents were not copied."""

    outcomes: "list[Outcome]"
    reasons: list[str]
    """One of each document, in its order, the same for the same reason."""
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
    names = " ".join(dict.fromkeys(map(_typed, outcomes)))
    return SharedCause(outcomes, [*map(_reason, outcomes)], hint.replace(_OWN, names))


def _reason(outcome: "Outcome") -> str:
    """Why a document failed, so that it can be compared."""
    return alike(outcome, outcome.error.message if outcome.error else "")


def alike(outcome: "Outcome", message: str) -> str:
    """What is said of a document, so that it can be compared with what is said of others."""
    return _PASSING.sub("", message.replace(outcome.label, _OWN))


def of_each(said: str) -> str:
    """What is `alike` of several documents, in words that do not name them."""
    return said.removeprefix(f"{_OWN}: ").replace(_OWN, "each")


def _said(outcomes: "Sequence[Outcome]") -> str:
    """One reason of these documents in words that do not name them."""
    first = outcomes[0]
    if len(outcomes) == 1 and first.error:
        return first.error.message.removeprefix(first.label).lstrip(": ")
    return of_each(_reason(first))


def _general(outcome: "Outcome") -> str:
    """The hint with the document's name taken out of its commands, which take several."""
    hint = (outcome.error and outcome.error.hint) or ""
    if not outcome.productive_id:
        return hint
    own = re.compile(rf"(?<= ){re.escape(_typed(outcome))}(?=[ `])")
    return _COMMAND.sub(lambda command: own.sub(_OWN, command[0]), hint)


def _typed(outcome: "Outcome") -> str:
    return naming.to_type(outcome.number, outcome.productive_id)


def labels(outcomes: "Sequence[Outcome]") -> str:
    """How a sentence names documents."""
    if len(outcomes) == 1:
        return outcomes[0].label
    kinds = {outcome.kind.name for outcome in outcomes}
    names = ", ".join(outcome.number or outcome.productive_id for outcome in outcomes)
    return f"{counted(len(outcomes), kinds.pop() if len(kinds) == 1 else 'document')} ({names})"


def show(cause: SharedCause) -> None:
    """Print a cause on stderr as errors are: each reason once, the one next step at the end."""
    groups: dict[str, list[Outcome]] = {}
    for one, reason in zip(cause.outcomes, cause.reasons, strict=True):
        groups.setdefault(reason, []).append(one)
    for n, those in enumerate(groups.values(), start=1):
        problem = those[0].error
        if problem is None:
            continue
        said = problem.message if len(those) == 1 else f"{labels(those)}: {_said(those)}"
        bare = problem.reworded(said)
        bare.hint = (cause.hint or None) if n == len(groups) else None
        error(bare)


def show_rows(cause: SharedCause, words: Sequence[str], *, with_reasons: bool) -> None:
    """Print each document of a cause as a line of the table, and under it why and what to do.

    Where the next has the same reason, that stands under the last of them.
    """
    from rich.text import Text

    alike: list[Outcome] = []
    followed_by = [*cause.reasons[1:], None]
    rows = zip(cause.outcomes, words, cause.reasons, followed_by, strict=True)
    for one, word, reason, following in rows:
        sign_, style = symbol(one.action)
        out().print(Text.assemble((sign_, style), f" {word}"))
        alike.append(one)
        if reason != following:
            if with_reasons:
                _print_indented(_said(alike))
            alike = []
    if with_reasons and cause.hint:
        _print_indented(f"next: {cause.hint}")


def _print_indented(text: str) -> None:
    for one in fitted(runnable(text), "    ", "    "):
        out().print(one)
