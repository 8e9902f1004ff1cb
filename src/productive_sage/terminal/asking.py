"""Questions at the terminal: choices, lines, secrets, confirmations; all on stderr."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from productive_sage.errors import InputNeeded, Interrupted, NotConfirmed
from productive_sage.redaction import keep, redacted
from productive_sage.terminal import progress
from productive_sage.text import clean

if TYPE_CHECKING:
    from productive_sage.config import Home
    from productive_sage.productive.records import Invoice


def _prompt(question: str, **more: Any) -> Any:
    """As Typer asks, on a line that is free."""
    progress.clear()
    return typer.prompt(question, **more)


def say(text: str = "", first: str = "") -> None:
    """Tell a person something, `first` before its first line and as much room before the others.

    An address stays in one piece, so that it can be copied.
    """
    progress.clear()
    if (first or " " in text.strip()) and sys.stderr.isatty():
        from productive_sage.terminal import render

        render.paragraph(text, first, " " * len(first))
    else:
        print(first + redacted(clean(text)), file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever runs psage, as use cases reach them: `desk.Ask`, or `connect.SignInPerson`."""

    can_ask: bool = True
    """False for a script, which can answer with flags and on stdin alone."""
    wants_to_know: bool = True
    """False where nothing is to be explained."""
    say = staticmethod(say)

    def __call__(
        self,
        question: str,
        answers: Sequence[str],
        default: int | None,
        keys: Sequence[tuple[str, str]] = (),
    ) -> int:
        """Ask until one of the answers, or of the `keys` by its letter, is chosen; its place."""
        say(question)
        named = [*((str(n), answer) for n, answer in enumerate(answers, start=1)), *keys]
        for name, answer in named:
            say(answer, f"  {name}  ")
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

    def typed(self, question: str) -> str:
        """What is typed at a question; empty for Enter alone."""
        while True:
            try:
                typed = str(_prompt(question, default="", show_default=False, err=True)).strip()
                typed.encode()  # half a character could not be sent
                return typed
            except typer.Abort:
                raise KeyboardInterrupt from None
            except UnicodeError:
                typer.echo("That could not be read: type it again", err=True)

    def show(self, invoice: "Invoice") -> None:
        """Show a document as Productive has it."""
        from productive_sage.terminal import documents

        progress.clear()
        documents.show(invoice)

    def explain(self, text: str) -> None:
        """Say where to find what is asked next, in lines, to somebody at a terminal."""
        if not (self.can_ask and self.wants_to_know):
            return
        for line in ("", *text.splitlines(), ""):
            step = re.match(r" +\d+  ", line)
            first = step[0] if step else ""
            say(line[len(first) :], first)

    def answer(self, question: str, flag: str) -> str:
        """What is typed at a question; InputNeeded names the flag where nobody can be asked."""
        if not self.can_ask:
            raise InputNeeded(f"{question.lower()} is missing", hint=f"pass `{flag}`")
        return str(_prompt(question, err=True)).strip()

    def line(self, question: str) -> str:
        """One line from a person, or from a script on stdin."""
        if self.can_ask:
            return str(_prompt(question, err=True)).strip()
        typed = "" if sys.stdin.isatty() else sys.stdin.readline().strip()
        if not typed:
            raise InputNeeded(
                f"{question.lower()} is missing", hint="pipe it in, or use a terminal"
            )
        return typed

    def secret(self, what: str, variable: str, flag: str) -> str:
        """A secret typed without echo; InputNeeded names the variable and the flag."""
        secret = ""
        if self.can_ask:
            secret = str(_prompt(what, hide_input=True, err=True)).strip()
            keep(secret)
        if not secret:
            raise InputNeeded(
                f"no {what} was given",
                hint=f"set {variable}, or pipe it in with `{flag}`",
            )
        return secret


def given(variable: str, flag: str, *, from_stdin: bool) -> str:
    """A secret from stdin or the environment, or empty; never from an argument."""
    if not from_stdin:
        return os.environ.get(variable, "").strip()
    secret = sys.stdin.readline().strip()
    keep(secret)
    if not secret:
        raise InputNeeded("stdin ended before the secret", hint=f"pipe it in with `{flag}`")
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
