"""How results look: a table for people, one JSON document for scripts, progress on stderr.

Only this package imports rich. Results go to stdout, everything else to stderr.
"""

import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from productive_sage import interrupts, money
from productive_sage.errors import Interrupted, PsageError
from productive_sage.redaction import redacted
from productive_sage.terminal import progress
from productive_sage.text import clean

if TYPE_CHECKING:  # rich is loaded where something is shown with it: JSON and `status` go without
    from rich.console import Console
    from rich.table import Table

    from productive_sage.copying.records import Outcome


_named_profile: list[str] = []


def out() -> "Console":
    """Standard output; without a terminal a line is as long as it needs to be."""
    from rich.console import Console

    progress.clear()
    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        width=None if sys.stdout.isatty() else 1000,
        soft_wrap=True,
    )


def err() -> "Console":
    """Standard error, for everything that is not the result; a terminal gets whole words."""
    from rich.console import Console

    progress.clear()
    piped = not sys.stderr.isatty()
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=piped)


def document(
    command: str, profile: str, *, exit_code: int, dry_run: bool = False, **content: Any
) -> None:
    """Print the one JSON document of a command, which says whether that was interrupted so far."""
    if interrupts.came() and "error" not in content:
        exit_code, content["error"] = Interrupted.exit_code, Interrupted().as_json()
    head = {
        "command": command,
        "profile": profile,
        "ok": exit_code == 0,
        "exit_code": exit_code,
        "dry_run": dry_run,
    }
    # Plain ASCII: every terminal, pipe and code page can take it; whole before any is printed.
    text = io.StringIO()
    for piece in json.JSONEncoder(indent=2).iterencode({**head, **fit_all(content)}):
        text.write(piece)
    print(text.getvalue())


class Rows(list[Any]):
    """A long list in a JSON document, of which each row is made only when it is written."""

    def __init__(self, rows: Sequence[Any], make: Callable[[Any], Any]) -> None:
        """`make` makes the JSON value of a row."""
        super().__init__()
        self._rows, self._make = rows, make

    def __len__(self) -> int:
        """How many rows there are, which the encoder asks first."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        """Each row, fit to be printed."""
        return (fit_all(self._make(row)) for row in self._rows)


def fit_all(value: Any) -> Any:
    """A JSON value without secrets, whose messages and hints name commands for their profile."""
    if isinstance(value, Mapping):
        return {
            str(key): fit_all(named(one) if key in ("message", "hint") else one)
            for key, one in value.items()
        }
    if isinstance(value, Rows):
        return value
    if isinstance(value, list | tuple | set):
        return [fit_all(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else redacted(str(value))


def fit(text: str) -> str:
    """What people and services wrote, fit to be seen: nothing that acts, no secret."""
    return redacted(clean(text))


def name_profile(profile: str) -> None:
    """Have messages say which profile they are about, unless it is the usual one."""
    _named_profile[:] = [] if profile == "default" else [profile]


def _told(message: str) -> str:
    """A message with the name of its profile."""
    name = "".join(f"profile `{name}`" for name in _named_profile)
    return runnable(message if name in message else f"{name}: {message}")


def runnable(text: str) -> str:
    """A text whose commands work on the profile it is about."""
    return fit(named(text))


def named(text: Any) -> Any:
    """A text whose commands say which profile they work on, where that is not the usual one."""
    for name in _named_profile if isinstance(text, str) else ():
        text = re.sub(r"`psage (?!--profile )", f"`psage --profile {name} ", text)
    return text


def sign(shown: str, plain: str) -> str:
    """A sign, or what stands for it where standard output's characters lack it."""
    try:
        shown.encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeError):
        return plain
    return shown


def is_one_screen() -> bool:
    """Whether a person sees standard output and standard error together."""
    return sys.stdout.isatty() and sys.stderr.isatty()


def error(problem: PsageError) -> None:
    """Print what went wrong, and what to do next after a blank line."""
    console = err()
    if problem.code == "interrupted" and console.is_terminal:
        console.print()  # or the error would stand behind the question
    say("error: ", "bold red", _told(problem.message))
    if problem.hint:
        console.print()
        say("hint: ", "bold", runnable(problem.hint))


def say(label: str, style: str, text: str) -> None:
    """Print a text on stderr, its label in colour where there is any."""
    from rich.text import Text

    console = err()
    lines = _wrapped(label + text, "", "") if console.is_terminal else [label + text]
    for n, line in enumerate(lines):
        begin = 0 if n else len(label)
        console.print(Text.assemble((line[:begin], style), line[begin:]))


def warning(message: str) -> None:
    """Print something worth knowing that stops nothing."""
    say("warning: ", "bold yellow", _told(message))


def line(text: str) -> None:
    """Print one sentence of a result, on a terminal in lines of whole words."""
    for one in fitted(text, "", ""):
        out().print(one)


def paragraph(text: str = "", first: str = "", later: str = "") -> None:
    """Print a text on stderr in lines no wider than the terminal, for somebody who is asked.

    `first` stands before the first line, `later` before the others.
    """
    for one in _wrapped(text, first, later):
        err().print(one)


def fitted(text: str, first: str, later: str) -> Iterable[str]:
    """The lines of a result: as `_wrapped` makes them for a terminal, else one."""
    return _wrapped(text, first, later) if sys.stdout.isatty() else [first + fit(text)]


def print_fitted(text: str, indent: str) -> None:
    """Print a text in lines that fit, each below an indent."""
    for one in fitted(text, indent, indent):
        out().print(one)


def _wrapped(text: str, first: str, later: str) -> Iterator[str]:
    """The lines of a text; a word longer than a line, or a command, is left to the terminal."""
    from rich.cells import cell_len

    width = max(shutil.get_terminal_size().columns - max(cell_len(first), cell_len(later)), 10)
    begin = first
    for one in held_together(fit(text)).split("\n"):
        line = ""
        for word in re.findall(r"\s*\S+", one):
            if line and cell_len(line + word) > width:
                yield f"{begin}{let_go(line)}"
                begin, line = later, word.lstrip()
            else:
                line += word
        yield f"{begin}{let_go(line)}".rstrip()
        begin = later


_NO_BREAK = "\ue000"
"""Stands for a space while a text is wrapped; no text of people or services has it."""
_WHOLE = re.compile(r"`[^`\n]*`|(?<!\S)-?\d[\d,.]* [A-Z]{3}\b")


def held_together(text: str) -> str:
    """Keep each command and each amount in one line: half a command might be copied and run."""
    return _WHOLE.sub(lambda found: found[0].replace(" ", _NO_BREAK), text)


def let_go(text: str) -> str:
    """The text without what `held_together` put into it."""
    return text.replace(_NO_BREAK, " ")


def collect(outcomes: "Iterable[Outcome]", into: "list[Outcome]", *, task: str, total: int) -> None:
    """Run through the outcomes of a task, showing how far that is.

    `into` holds what is finished even where the run is interrupted.
    """
    progress.step(task, 0, total)
    sums: dict[str, Decimal] = {}
    for outcome in outcomes:
        into.append(outcome)
        progress.step(task, len(into), total, in_all((outcome,), sums))


def in_all(outcomes: "Iterable[Outcome]", sums: dict[str, Decimal] | None = None) -> str:
    """What the documents that went well come to: `1,015.02 EUR + 6,397.56 GBP`.

    `sums` are those of documents before, by currency, to which these are added.
    """
    sums = {} if sums is None else sums
    for one in outcomes:
        if one.error is None and one.total is not None and one.currency:
            sums[one.currency] = sums.get(one.currency, Decimal(0)) + one.total
    return " + ".join(f"{separated(value, name)} {name}" for name, value in sums.items())


def fits(table: "Table") -> bool:
    """Whether a table has room: no number folded, no amount cut, and whole words elsewhere.

    Rich would rather shrink what must not wrap.
    """
    from rich.cells import cell_len

    needed = 0
    for column in table.columns:
        cells = [str(cell) for cell in (column.header, *column.cells)]
        words = cells if column.no_wrap else [word[:_WORD] for one in cells for word in one.split()]
        needed += max(map(cell_len, words), default=0) + 2
    return needed - 2 <= out().width


_WORD = 16
"""A longer word of a name may be folded."""
NARROW = 90
"""Below so many columns a document is a block of lines, not a row."""


def separated(value: Decimal, currency: str) -> str:
    """An amount for people, its thousands apart: `1,234.50`."""
    exact = shown_amount(value, currency) or ""
    whole, point, cents = exact.partition(".")
    return f"{int(whole):,}{point}{cents}" if whole not in ("-0", "") else exact


def shown_amount(value: Decimal | None, currency: str | None) -> str | None:
    """With all the currency's decimals, or as Sage sent it where it has more."""
    if value is None:
        return None
    if currency and money.is_exact(value, currency):
        return money.amount(value, currency)
    return money.text(value)


def as_one(errors: Sequence[PsageError], total: int) -> PsageError:
    """The error of the whole command: the documents' own where they agree."""
    if len({problem.code for problem in errors}) == 1:
        return errors[0]
    return PsageError(
        f"{len(errors)} of {total} documents need a look: see `results`",
        code="some_failed",
        hint="each of them says what to do next",
        details={"codes": [problem.code for problem in errors]},
    )
