"""The commands: each parses, opens what it needs, calls its use case and shows the result.

`main` is the only error boundary. Everything but typer and the errors is imported inside the
commands, so that `--help` costs nothing.
"""

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from productive_sage import __version__, interrupts, redaction
from productive_sage.cli import (
    apply,
    commandline,
    configure,
    connect,
    copy,
    look,
    payments,
    reconcile,
    records,
    release,
    trial,
)
from productive_sage.cli.common import offered, output
from productive_sage.cli.session import current
from productive_sage.errors import Interrupted, PsageError, UsageProblem
from productive_sage.errors.defects import Defect
from productive_sage.terminal import progress

if TYPE_CHECKING:
    from productive_sage.http.timing import Timing

app = commandline.App(
    name="psage",
    help="Copy invoices from Productive into Sage Accounting, each exactly once.",
    epilog="Begin with `psage connect`, then `psage configure`. `psage help COMMAND` explains one.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"psage {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    profile: Annotated[
        str,
        typer.Option(
            envvar="PSAGE_PROFILE",
            metavar="NAME",
            help="Which set of connections to use.",
            autocompletion=offered("profiles"),
        ),
    ] = "default",
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="PSAGE_CONFIG", metavar="FILE", help="Another settings file.", dir_okay=False
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Write details to the log.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only what needs attention.")
    ] = False,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", is_eager=True, callback=_print_version, help="Print it and end."
        ),
    ] = False,
) -> None:
    """Options of every command; they may stand before it or after it."""
    current.command = ctx.invoked_subcommand or ""
    current.profile, current.config = profile, config
    current.verbose, current.quiet, current.no_input = verbose, quiet, no_input
    if not ctx.resilient_parsing and current.command not in _MAKING:
        _check_place(profile, config)


_MAKING = frozenset(("", "configure", "connect", "demo", "restore", "sandbox"))
"""The commands that may make a profile or its settings, or need none."""


def _check_place(profile: str, settings: Path | None) -> None:
    """Raises UsageProblem for a settings file or a profile that is not there: a slip, mostly."""
    from productive_sage import config, naming

    if settings and not settings.exists():
        raise UsageProblem(
            f"the settings file `{settings}` does not exist",
            hint="look at `--config` and PSAGE_CONFIG; `psage configure` makes a new one",
        )
    config.named_home(current.folder, profile)
    known = config.profiles(current.folder)
    if known and profile not in ("default", *known):
        raise UsageProblem(
            f"there is no profile `{profile}`",
            hint=naming.did_you_mean(profile, known)
            or f"there is {', '.join(f'`{one}`' for one in known)}; `psage --profile {profile} "
            "connect` makes a new one",
        )


_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Every day": {
        "copy-invoice": copy.copy_invoice,
        "credit-note": copy.credit_note,
        "apply": apply.apply,
        "release": release.release,
        "sync-payments": payments.sync_payments,
        "list": look.show_register,
        "open": look.open_document,
    },
    "Set-up": {
        "connect": connect.connect,
        "configure": configure.configure,
        "customers": look.customers,
        "disconnect": connect.disconnect,
    },
    "Look and mend": {
        "status": look.status,
        "reconcile": reconcile.reconcile,
        "history": look.show_history,
        "doctor": look.doctor,
        "backup": records.backup,
        "restore": records.restore,
        "rebuild": records.rebuild,
    },
    "Try it": {"demo": trial.demo, "sandbox": trial.sandbox},
}
"""As `--help` shows them, by what they are for."""
_NAMES = [name for commands in _COMMANDS.values() for name in commands]
for _group, _commands in _COMMANDS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_group)(_command)


# --- the boundary


def main(argv: Sequence[str] | None = None, timing: "Timing | None" = None) -> int:
    """Run one command and return its exit code; no error passes beyond this function.

    `timing` is how time goes in it, where that is not as everywhere.
    """
    args = _as_meant(sys.argv[1:] if argv is None else argv)
    current.begin(timing)
    redaction.forget()
    redaction.keep_environment(os.environ)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # a daemon may have closed them
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 -- for good
            setattr(sys, name, stream)
    sys.stdout, sys.stderr = map(commandline.forgiving, (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        # A code page that lacks a character must not cost the result.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # A terminated run ends like an interrupted one: what is finished is recorded and said.
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    commandline.begin_progress(args)
    try:
        return _run(args)
    finally:
        progress.end()
        if argv is None:
            interrupts.ignore()


def _as_meant(args: Sequence[str]) -> list[str]:
    """The words, with `psage help COMMAND` and `psage version` as the options they stand for."""
    match list(args):
        case ["help", word, *rest] if word in _NAMES or word.startswith("-"):
            return [word, *rest, "--help"]
        case ["help"]:
            return ["--help"]
        case ["version"]:
            return ["--version"]
        case words:
            return words or ["--help"]


def _show_topic(word: str) -> int:
    from productive_sage.cli import topics

    with output():
        print(topics.text(word, _NAMES))
    return 0


def _run(args: Sequence[str]) -> int:
    try:
        if args[0] == "help":  # and a topic, as a command became its --help
            return _show_topic(args[1])
        result = app(args, prog_name="psage", standalone_mode=False)
    except PsageError as error:
        return _fail(args, error)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(args, Interrupted())
    except Exception as error:  # noqa: BLE001 -- the one boundary
        if hasattr(error, "format_message"):
            from productive_sage.cli import slips

            return _fail(args, slips.problem(error, typer.main.get_command(app), args))
        return _fail(args, _defect(error))
    return int(result or 0)


def _fail(args: Sequence[str], error: PsageError) -> int:
    from productive_sage.terminal import render

    render.name_profile(current.profile)
    wants_json = "--json" in args or "--format json" in " ".join(args).replace("=", " ")
    with suppress(KeyboardInterrupt), output():
        if wants_json and not current.has_answered:
            render.document(
                current.command,
                current.profile,
                exit_code=error.exit_code,
                dry_run="--dry-run" in args,
                error=error.as_json(),
            )
        else:
            render.error(error)
    return error.exit_code


def _defect(error: Exception) -> PsageError:
    """An error nobody foresaw: a short message here, the details in the log."""
    import logging

    where = "the log could not be written"
    try:
        home = current.home()
        logging.getLogger("psage").error("defect", exc_info=error)
        where = f"the details are in `{home.log}`"
    except (PsageError, OSError):
        pass
    return Defect(f"({type(error).__name__})", hint=f"{where}; please report it")
