"""What several commands share: options, completion, and how a result gets out."""

import functools
import inspect
import os
import sys
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

import typer

from productive_sage import interrupts
from productive_sage.cli.session import current
from productive_sage.errors import Interrupted, PsageError, UsageProblem
from productive_sage.terminal import progress

if TYPE_CHECKING:
    from productive_sage.naming import Name

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Service = Literal["productive", "sage"]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]


@dataclass(frozen=True, slots=True)
class Naming:
    """How the documents that are typed are named."""

    number: Annotated[bool, typer.Option("--number", help="Digits are a number, not an id.")] = (
        False
    )
    by_id: Annotated[bool, typer.Option("--id", help="Digits are an id, not a number.")] = False

    def read(self, words: Sequence[str]) -> "list[Name]":
        """The documents named, each once."""
        from productive_sage import naming

        exclude("--number", self.number, "--id", self.by_id)
        return naming.read(words, as_number=self.number, as_id=self.by_id)


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """A command some of whose parameters are dataclasses, each field of which is an option."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    shown: list[inspect.Parameter] = []
    for one in inspect.signature(command).parameters.values():
        if one.name not in groups:
            shown.append(one.replace(kind=one.KEYWORD_ONLY, annotation=hints[one.name]))
            continue
        own = get_type_hints(groups[one.name], include_extras=True)
        shown += [
            one.replace(
                name=field.name,
                kind=one.KEYWORD_ONLY,
                default=field.default,
                annotation=own[field.name],
            )
            for field in fields(groups[one.name])
        ]

    @functools.wraps(command)
    def run(**said: Any) -> None:
        for name, kind in groups.items():
            said[name] = kind(**{field.name: said.pop(field.name) for field in fields(kind)})
        command(**said)

    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in shown}
    return run


# --- completion in the shell

_Offers = list[tuple[str, str]]


def offered(what: str) -> Callable[[typer.Context, str], _Offers]:
    """How the shell completes documents of a kind, `ledger accounts`, `tax rates` or `profiles`."""

    def offers(ctx: typer.Context, incomplete: str) -> _Offers:
        from productive_sage import config
        from productive_sage.terminal import completion

        try:
            root, folder = ctx.find_root().params, current.folder
            if what == "profiles":
                return [(name, "") for name in config.profiles(folder) if incomplete in name]
            store = config.named_home(folder, root.get("profile") or "default").store
            if what == "ledger accounts":
                return completion.accounts(store, incomplete)
            if what == "tax rates":
                return completion.tax_rates(store, incomplete, datetime.now(UTC).date())
            is_number = bool(ctx.params.get("number"))
            return completion.documents(store, what, incomplete, by_number=is_number)
        except Exception:  # noqa: BLE001 -- nothing is better than a traceback at the prompt
            return []

    return offers


def one_of(*words: str) -> Callable[[str], list[str]]:
    """How the shell completes one of a few words."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


@contextmanager
def output() -> Iterator[None]:
    """Print a result, whole; that nobody can take it changes nothing about what was done."""
    try:
        with interrupts.held_back():
            progress.clear()
            yield
            sys.stdout.flush()
            current.has_answered = True
    except interrupts.Twice:
        current.has_answered = True  # as far as it got: a second document would mend nothing
        raise
    except OSError as error:
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                # Or the interpreter would complain at its end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        with suppress(OSError):
            print(f"error: the result cannot be printed: {error.strerror}", file=sys.stderr)


UNSENT = Interrupted("interrupted; nothing was sent", hint="run the command again")
"""What an interrupt of a dry run is told as."""


class Stopped:
    """Keeps what stopped a command half-way, so that what it did by then is shown with that."""

    def __init__(self, interrupted: Interrupted | None = None) -> None:
        """`interrupted` is what an interrupt is told as, if not as usual."""
        self.error: PsageError | None = None
        self.interrupted = interrupted

    def __enter__(self) -> Self:
        """Nothing stopped it yet."""
        return self

    def __exit__(
        self, _kind: object, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """A defect is not kept: it passes on."""
        if isinstance(error, KeyboardInterrupt | typer.Abort):
            self.error = self.interrupted or Interrupted()
        elif isinstance(error, PsageError):
            self.error = error
        return self.error is not None


def end(
    show: Callable[[], None],
    content: Callable[[], Mapping[str, Any]],
    *,
    as_json: bool,
    error: PsageError | None = None,
    code: int | None = None,
    dry_run: bool = False,
) -> None:
    """Print what a command found or did, and end with its exit code unless that is 0.

    `show` prints it for people, `content` gives it as JSON. `error` is told with either; the exit
    code is the error's own where no other is given.
    """
    from productive_sage.terminal import render

    if code is None:
        code = error.exit_code if error else 0
    with output():
        if as_json:
            said = dict(content())
            if error:  # which goes before one of what was done by then
                said["error"] = error.as_json()
            name, profile = current.command, current.profile
            render.document(name, profile, exit_code=code, dry_run=dry_run, **said)
        else:
            show()
            if error:
                render.error(error)
    if code:
        raise typer.Exit(code)


@contextmanager
def stdout_aside() -> Iterator[None]:
    """Have programs started meanwhile print on stderr: stdout is for the result alone."""
    try:
        kept = os.dup(1)
    except OSError:  # closed
        yield
        return
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def of_profile() -> str:
    """Names the profile where it is not the usual one."""
    return "" if current.profile == "default" else f" (profile `{current.profile}`)"


def a_day(flag: str, value: str | None) -> date | None:
    """The day that a flag names. Raises UsageProblem."""
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise UsageProblem(
            f"`{flag} {value}` is not a date", hint="write it like 2026-01-31"
        ) from None


def _month(value: str) -> tuple[date, date]:
    """The first and the last day of a month."""
    try:
        first = date.fromisoformat(f"{value.strip()}-01")
    except ValueError:
        raise UsageProblem(f"`--month {value}` is no month", hint="write it like 2026-03") from None
    return first, first.replace(day=monthrange(first.year, first.month)[1])


def _time(since: str | None, until: str | None) -> tuple[date | None, date | None]:
    """The days of `--since` and `--until`.

    Raises UsageProblem, also where they are the wrong way round.
    """
    first, last = a_day("--since", since), a_day("--until", until)
    if first and last and first > last:
        raise UsageProblem(
            f"`--since {first}` is after `--until {last}`",
            hint=f"the other way round: `--since {last} --until {first}`",
        )
    return first, last


def a_period(
    month: str | None, since: str | None, until: str | None
) -> tuple[date | None, date | None]:
    """The first and the last day that are chosen; None where that side is open."""
    exclude("--month", month is not None, "--since", since is not None)
    exclude("--month", month is not None, "--until", until is not None)
    return _month(month) if month else _time(since, until)


def exclude(first: str, is_first: bool, second: str, is_second: bool) -> None:
    """Raises UsageProblem where both are given."""
    if is_first and is_second:
        raise UsageProblem(
            f"`{first}` and `{second}` exclude each other", hint="leave one of them out"
        )
