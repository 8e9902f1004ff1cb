"""What is typed and where it is printed: no option without a value, and readers that may leave.

An empty value is mostly a variable of a script that is not set; what it would mean, such as "any
customer", is not what was meant.
"""

import io
import os
import stat
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from productive_sage.cli.session import current
from productive_sage.errors import UsageProblem
from productive_sage.terminal import progress

_BEGINS = {
    "configure": "Opening the keyring ...",
    "connect": "Opening the keyring ...",
    "copy-invoice": "Reading from Productive and Sage ...",
    "credit-note": "Reading from Productive and Sage ...",
    "customers": "Reading from Sage ...",
    "doctor": "Trying everything psage stands on ...",
    "list": "Reading from Productive ...",
    "open": "Looking for the document ...",
    "reconcile": "Reading both books ...",
    "status": "Asking both services ...",
    "release": "Reading from Productive and Sage ...",
    "sync-payments": "Reading what changed in Sage ...",
}
"""What is on the screen at once while a command that talks to a service begins."""
_TALKS_WITH = {"status": "--check"}
"""The option without which a command talks to nobody."""
_UNSEEN = frozenset(("--help", "-h", "--json", "--quiet", "-q", "--show", "--version", "-V"))
_F = TypeVar("_F", bound=Callable[..., Any])

_REMOVES = {"--default-tax-rate", "--reference", "--notes"}
"""Options that say something by an empty value."""


class _Group(TyperGroup):
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands by what they are for, each with its whole sentence, and the topics."""
        from productive_sage.cli import topics

        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.commands[name]
            row = (name, command.get_short_help_str(400))
            groups.setdefault(command.rich_help_panel, []).append(row)
        groups["Topics of `psage help TOPIC`"] = list(topics.titles().items())
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # Typer would end with 130 and say nothing
            raise typer.Abort from None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        args = _root_options_first(self, args)
        _refuse_empty(self, ctx, args)
        return super().parse_args(ctx, args)


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _refuse_empty(self, ctx, args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        said = ctx.params
        talks = said.get(_TALKS_WITH.get(str(self.name), "").strip("-"), True) and not said.get(
            "show"
        )
        for_script = current.quiet or said.get("as_json") or said.get("form") == "json"
        if self.name not in _BEGINS or not talks or for_script:
            progress.end()
        return super().invoke(ctx)


def begin_progress(args: Sequence[str]) -> None:
    """Say what is under way before anything is read or loaded; `_Command` judges it exactly."""
    command = next((word for word in args if word in _BEGINS), None)
    flags = {word for word in args if word.startswith("-")}
    if command and flags.isdisjoint(_UNSEEN) and _TALKS_WITH.get(command, "") in ("", *flags):
        progress.begin(_BEGINS[command])


class App(typer.Typer):
    """A Typer whose commands refuse an empty value of any option or argument, and say of which."""

    def __init__(self, **more: Any) -> None:
        super().__init__(cls=_Group, **more)

    def command(self, name: str | None = None, **more: Any) -> Callable[[_F], _F]:
        """As Typer's own."""
        return super().command(name, cls=_Command, **more)


def _root_options_first(group: TyperGroup, args: Sequence[str]) -> list[str]:
    """The words with the root options that stand behind the command put before it.

    A command's own option of that name is left where it is, and so is what is another's value.
    """
    roots, at = _options(group), 0
    while at < len(args) and args[at].startswith("-") and args[at] != "--":
        name, is_joined, _ = args[at].partition("=")
        at += 2 if roots.get(name) and not is_joined else 1
    command = group.commands.get(args[at]) if at < len(args) else None
    if command is None:
        return list(args)
    own, kept, moved = _options(command), list[str](), list[str]()
    words = iter(args[at + 1 :])
    for word in words:
        name, is_joined, _ = word.partition("=")
        if word == "--":
            kept += [word, *words]
            break
        goes_first = name in roots and name not in own
        to = moved if goes_first else kept
        to.append(word)
        if (roots if goes_first else own).get(name) and not is_joined:
            value = next(words, None)
            if value is None and goes_first:
                raise UsageProblem(
                    f"`{name}` needs a value",
                    hint="write what it is to be behind it; `psage --help` says what it takes",
                )
            to += [value] if value is not None else []
    return [*args[:at], *moved, args[at], *kept]


def _options(command: Any) -> dict[str, bool]:
    """Whether each option of a command takes a value, by every name it has."""
    return {
        name: not getattr(param, "is_flag", True)
        for param in command.params
        if param.param_type_name == "option"
        for name in (*param.opts, *param.secondary_opts)
    }


def _refuse_empty(command: TyperCommand | TyperGroup, ctx: Any, args: Sequence[str]) -> None:
    """Raises UsageProblem; looks at what was typed, before it becomes a number or a path."""
    if ctx.resilient_parsing:  # the shell is completing it
        return
    typed, _, _ = command.make_parser(ctx).parse_args(args=list(args))
    for param in command.params:
        value = typed.get(str(param.name))
        words = value if isinstance(value, list | tuple) else [value]
        if not any(isinstance(word, str) and not word.strip() for word in words):
            continue
        name = max(param.opts, key=len) if param.param_type_name == "option" else param.metavar
        name = str(name).strip("[].")
        if name in _REMOVES:
            continue
        raise UsageProblem(
            f"the value of `{name}` is empty",
            hint=f"give `{name}` a value or leave it out; in a script, look whether the variable "
            f"behind it is set; `{ctx.command_path} --help` shows what it takes",
        )


# --- readers that may leave


class _Forgiving(io.FileIO):
    """A pipe whose reader may leave before the end, as `head -1` does: the rest goes nowhere.

    What a command does, and the code it ends with, has nothing to do with who reads it.
    """

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if not _has_left(error):
                raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return len(data)


def _has_left(error: OSError) -> bool:
    # Windows says EINVAL of a pipe whose reader is gone.
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == 22)


def forgiving(stream: TextIO) -> TextIO:
    """The stream, or where it is a pipe, one in its place that does not mind a reader who left."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):  # closed, or no file at all
        return stream
    is_pipe = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    if not (is_pipe and isinstance(stream, io.TextIOWrapper)):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Forgiving(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        newline=None,
        line_buffering=stream.line_buffering or stream.write_through,
    )
