"""Questions at the terminal: choices, lines, secrets, confirmations; all on stderr."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from productive_sage.errors import InputNeeded, Interrupted, NotConfirmed
from productive_sage.redaction import keep, redacted
from productive_sage.terminal import progress

if TYPE_CHECKING:
    from productive_sage.config import Home
    from productive_sage.models import Invoice


def _prompt(question: str, **more: Any) -> Any:
    """As Typer asks, on a line that is free."""
    progress.clear()
    return typer.prompt(question, **more)


class Person:
    """Somebody at a terminal, as a use case asks (see `desk.Ask`)."""

    def __call__(
        self,
        question: str,
        answers: Sequence[str],
        default: int | None,
        keys: Sequence[tuple[str, str]] = (),
    ) -> int:
        """Ask until one of the answers is chosen, and give its place."""
        return choose(question, answers, default, keys)

    def typed(self, question: str) -> str:
        """What is typed at a question; empty for Enter alone."""
        return typed(question)

    def say(self, text: str) -> None:
        """Tell the person something."""
        say(text)

    def show(self, invoice: "Invoice") -> None:
        """Show a document as Productive has it."""
        from productive_sage.terminal import documents

        progress.clear()
        documents.show(invoice)


def choose(
    question: str,
    answers: Sequence[str],
    default: int | None,
    keys: Sequence[tuple[str, str]] = (),
) -> int:
    """Ask until one of the answers, or of the `keys` by its letter, is chosen; give its place."""
    progress.clear()
    typer.echo(redacted(question), err=True)
    named = [*((str(n), answer) for n, answer in enumerate(answers, start=1)), *keys]
    for name, answer in named:
        say(f"  {name}  {answer}")
    letters = "".join(f" or {key}" for key, _ in keys)
    places = {name: n for n, (name, _) in enumerate(named)}
    while True:
        usual = None if default is None else str(default + 1)
        try:
            chosen = str(_prompt(f"Number{letters}", default=usual, err=True)).strip()
        except typer.Abort:
            # Typer's Abort is an ordinary exception; Ctrl-C must pass where those are caught.
            raise KeyboardInterrupt from None
        if chosen.casefold() in places:
            return places[chosen.casefold()]
        typer.echo(f"Type a number from 1 to {len(answers)}{letters}", err=True)


def typed(question: str) -> str:
    """What a person types at a question; empty for Enter alone."""
    while True:
        try:
            typed = str(_prompt(question, default="", show_default=False, err=True)).strip()
            typed.encode()  # half a character could not be sent
            return typed
        except typer.Abort:
            raise KeyboardInterrupt from None
        except UnicodeError:
            typer.echo("That could not be read: type it again", err=True)


def answer(question: str, flag: str, *, can_ask: bool) -> str:
    """What is typed at a question; raises InputNeeded naming the flag where nobody can be asked."""
    if not can_ask:
        raise InputNeeded(f"{question.lower()} is missing", hint=f"pass `{flag}`")
    return str(_prompt(question, err=True)).strip()


def line(question: str, *, can_ask: bool) -> str:
    """One line from a person, or from a script on stdin."""
    if can_ask:
        return str(_prompt(question, err=True)).strip()
    typed = "" if sys.stdin.isatty() else sys.stdin.readline().strip()
    if not typed:
        raise InputNeeded(f"{question.lower()} is missing", hint="pipe it in, or use a terminal")
    return typed


def given(variable: str, flag: str, *, from_stdin: bool) -> str:
    """A secret from stdin or the environment, or empty; never from an argument."""
    if not from_stdin:
        return os.environ.get(variable, "").strip()
    secret = sys.stdin.readline().strip()
    keep(secret)
    if not secret:
        raise InputNeeded("stdin ended before the secret", hint=f"pipe it in with `{flag}`")
    return secret


def secret(what: str, variable: str, flag: str, *, can_ask: bool) -> str:
    """A secret typed without echo."""
    secret = ""
    if can_ask:
        secret = str(_prompt(what, hide_input=True, err=True)).strip()
        keep(secret)
    if not secret:
        raise InputNeeded(
            f"no {what} was given",
            hint=f"set {variable}, or pipe it in with `{flag}`",
        )
    return secret


def confirm(question: str, *, yes: bool, can_ask: bool) -> None:
    """Raises NotConfirmed unless a person says yes, or `--yes` did."""
    if yes:
        return
    if not can_ask:
        raise InputNeeded("this has to be confirmed", hint="pass `--yes`")
    with _nothing_done():
        progress.clear()
        is_meant = typer.confirm(question, err=True)
    if not is_meant:
        raise NotConfirmed


def confirm_purge(home: "Home", *, yes: bool, can_ask: bool) -> None:
    """Have the person type the profile's name: what goes cannot be had back."""
    if yes:
        return
    if not can_ask:
        raise InputNeeded("removing a profile has to be confirmed", hint="pass `--yes`")
    say(
        f"This removes profile `{home.profile}`: its sign-ins, and with {home.store.name} the "
        "record of what was copied. What is in Sage and in Productive stays."
    )
    with _nothing_done():
        name = str(_prompt("Type the name of the profile", err=True)).strip()
    if name != home.profile:
        raise NotConfirmed


@contextmanager
def _nothing_done() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, typer.Abort):
        raise Interrupted("interrupted; nothing was changed", hint=None) from None


def say(text: str) -> None:
    """Tell a person something; an address stays in one piece, so that it can be copied."""
    text = redacted(text)
    progress.clear()
    if " " in text.strip() and sys.stderr.isatty():
        from productive_sage.terminal import render

        step = re.match(r" +\w+  ", text)
        first = step[0] if step else ""
        render.paragraph(text[len(first) :], first, " " * len(first))
    else:
        print(text, file=sys.stderr, flush=True)
