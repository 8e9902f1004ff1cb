"""The commands: each parses, opens what it needs, calls its use case and shows the result.

`main` is the only error boundary. Everything but typer and the errors is imported inside the
commands, so that `--help` costs nothing.
"""

import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from productive_sage import __version__
from productive_sage.errors import (
    HomeUnusable,
    InputNeeded,
    Locked,
    PsageError,
    UsageProblem,
)

if TYPE_CHECKING:
    from productive_sage.config import Home
    from productive_sage.copying import Order
    from productive_sage.desk import Ask, Desk
    from productive_sage.http import Pool
    from productive_sage.models import Outcome, Settings
    from productive_sage.oauth import SageTokens
    from productive_sage.vault import Vault

app = typer.Typer(
    name="psage",
    help="Copy invoices from Productive into Sage Accounting, each exactly once.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
connect_app = typer.Typer(
    help="Sign in to Productive and to Sage; the sign-in is kept in the system's keyring.",
    rich_markup_mode=None,
)
app.add_typer(connect_app, name="connect")

_INTERRUPTED = 130
_SHORT_S = 7 * 86_400
"""A sign-in that ends sooner is warned about."""
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@dataclass(slots=True)
class _Session:
    """The root options, and what they lead to."""

    profile: str = "default"
    config: Path | None = None
    verbose: bool = False
    quiet: bool = False
    no_input: bool = False
    command: str = ""

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody at a terminal who may be asked."""
        return not self.no_input and sys.stdin.isatty() and sys.stdout.isatty()

    def home(self) -> "Home":
        from productive_sage import config

        folder = Path(os.environ.get("PSAGE_HOME") or typer.get_app_dir("psage")).expanduser()
        home = config.open_home(folder, self.profile, self.config)
        _log_to(home, verbose=self.verbose)
        return home

    def settings(self, home: "Home") -> "Settings":
        from productive_sage import config, render

        settings, warnings = config.load(home.config, os.environ)
        for warning in warnings:
            with suppress(OSError):
                render.warning(warning)
        return settings

    def vault(self) -> "Vault":
        from productive_sage.vault import Vault

        # Somebody at a terminal may have to type the keyring's password.
        return Vault(self.profile, timeout_s=120.0 if self.can_ask else 10.0)

    def ask(self) -> "Ask | None":
        return _ask if self.can_ask else None


_session = _Session()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"psage {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    profile: Annotated[
        str, typer.Option(envvar="PSAGE_PROFILE", help="Which set of connections to use.")
    ] = "default",
    config: Annotated[
        Path | None,
        typer.Option(envvar="PSAGE_CONFIG", help="Another settings file.", dir_okay=False),
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
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print it and end."),
    ] = False,
) -> None:
    """Options before the command hold for every command."""
    _session.command = ctx.invoked_subcommand or ""
    _session.profile, _session.config = profile, config
    _session.verbose, _session.quiet, _session.no_input = verbose, quiet, no_input


# --- connect


@connect_app.command("productive")
def connect_productive(
    organization_id: Annotated[
        str, typer.Option(help="The number in Productive's address: app.productive.io/<id>-name.")
    ] = "",
    token_stdin: Annotated[bool, typer.Option(help="Read the API token from stdin.")] = False,
    as_json: _Json = False,
) -> None:
    """Sign in to Productive with an API token (asked for, or PSAGE_PRODUCTIVE_TOKEN).

    Example: psage connect productive --organization-id 4200
    """
    from productive_sage import connection, render

    organization_id = organization_id or _answer("Organisation id", "--organization-id")
    token = _secret("API token", "PSAGE_PRODUCTIVE_TOKEN", "--token-stdin", from_stdin=token_stdin)
    settings = _session.settings(_session.home())
    with _pool() as pool:
        sign_in = connection.connect_productive(
            _session.vault(),
            pool,
            settings.endpoints,
            organization_id=organization_id,
            token=token,
        )
    facts = {
        "organization_id": sign_in.organization_id,
        "organization_name": sign_in.organization_name,
    }
    with _output():
        if as_json:
            render.document("connect", _session.profile, exit_code=0, productive=facts)
        elif not _session.quiet:
            render.line(f"Connected to {sign_in.organization_name} in Productive")


@connect_app.command("sage")
def connect_sage(
    client_id: Annotated[str, typer.Option(help="Of the app registered with Sage.")] = "",
    client_secret_stdin: Annotated[
        bool, typer.Option(help="Read the client secret from stdin.")
    ] = False,
    port: Annotated[int, typer.Option(help="Of the redirect address.", min=1, max=65535)] = 8765,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address instead of opening it.")
    ] = False,
    paste: Annotated[
        bool, typer.Option("--paste", help="Ask for the redirected address; no listener.")
    ] = False,
    business: Annotated[
        str | None, typer.Option(help="Id or name, where there are several.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Sign in to Sage in the browser; the client secret is asked for, or PSAGE_SAGE_CLIENT_SECRET.

    Example: psage connect sage --client-id 1234abcd
    """
    import webbrowser

    from productive_sage import connection, render
    from productive_sage.ledger import Ledger

    client_id = client_id or _answer("Client id", "--client-id")
    secret = _secret(
        "Client secret",
        "PSAGE_SAGE_CLIENT_SECRET",
        "--client-secret-stdin",
        from_stdin=client_secret_stdin,
    )
    home = _session.home()
    settings = _session.settings(home)

    def show(address: str, redirect: str) -> None:
        print(f"The redirect address registered with Sage must be {redirect}", file=sys.stderr)
        print("Sign in to Sage at this address:", file=sys.stderr)
        print(address, file=sys.stderr, flush=True)

    way = connection.Way(
        port=port,
        show=show,
        open_browser=None if no_browser or paste else webbrowser.open,
        paste=(lambda: _line("The address the browser ended at")) if paste else None,
    )
    with _pool() as pool, Ledger(home.ledger) as ledger:
        sign_in = connection.connect_sage(
            _session.vault(),
            pool,
            settings.endpoints,
            client_id=client_id,
            client_secret=secret,
            way=way,
            business=business,
            ask=_session.ask(),
            linked_businesses=ledger.businesses(),
            token_lock=home.token_lock,
        )
    facts = {
        "business_id": sign_in.business_id,
        "business_name": sign_in.business_name,
        "country": sign_in.country,
    }
    with _output():
        if as_json:
            render.document("connect", _session.profile, exit_code=0, sage=facts)
        elif not _session.quiet:
            render.line(f"Connected to {sign_in.business_name} ({sign_in.country}) in Sage")


# --- configure


@app.command()
def configure(
    numbering: Annotated[
        str | None, typer.Option(help="Who numbers invoices: sage or productive.")
    ] = None,
    pdf: Annotated[str | None, typer.Option(help="Who makes the PDF: sage or productive.")] = None,
    default_ledger: Annotated[
        str | None, typer.Option(help="Ledger account for sales: code, id or name.")
    ] = None,
    map_item: Annotated[
        list[str] | None,
        typer.Option(help="SERVICE TYPE=ITEM; an empty item removes. Repeatable."),
    ] = None,
    default_tax_rate: Annotated[
        str | None, typer.Option(help="Sage tax rate: id or name; empty removes.")
    ] = None,
    sync_payments: Annotated[
        bool | None,
        typer.Option(
            "--sync-payments/--no-sync-payments", help="Bring payments from Sage to Productive."
        ),
    ] = None,
    sync_payments_from: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Leave payments of earlier days alone."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the settings.")] = False,
    as_json: _Json = False,
) -> None:
    """Set how invoices are copied; every value is checked against Sage before it is written.

    Example: psage configure --default-ledger 4000 --map-item "Design=DESIGN"
    """
    from dataclasses import asdict

    from productive_sage import render, wizard

    home = _session.home()
    settings = _session.settings(home)
    answers = wizard.Answers(
        numbering=numbering,
        pdf=pdf,
        default_ledger=default_ledger,
        default_tax_rate=default_tax_rate,
        map_items=tuple(map_item or ()),
        sync_payments=sync_payments,
        sync_payments_from=_date("--sync-payments-from", sync_payments_from),
    )
    if not (show and answers.are_empty()):
        with ExitStack() as stack:
            stack.enter_context(_run_lock(home, "configure"))
            desk = _clients(home, settings, stack)
            wizard.configure(
                home.config,
                settings,
                answers,
                sage=lambda: desk().sage,
                productive=lambda: desk().productive,
            )
        settings = _session.settings(home)
    with _output():
        if as_json:
            render.document(
                "configure",
                _session.profile,
                exit_code=0,
                settings=asdict(settings),
                file=str(home.config),
            )
        elif not _session.quiet:
            render.lines(wizard.shown(home.config, settings))
            print(f"in {home.config}", file=sys.stderr)


# --- copy-invoice, credit-note


@app.command("copy-invoice")
def copy_invoice(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Productive invoice ids.")],
    number: Annotated[
        bool, typer.Option("--number", help="The arguments are invoice numbers.")
    ] = False,
    update_existing: Annotated[
        bool, typer.Option("--update-existing", help="Bring the latest copy up to date.")
    ] = False,
    create_new: Annotated[bool, typer.Option("--create-new", help="Make another copy.")] = False,
    customer: Annotated[
        str | None, typer.Option(help="Sage contact: id, exact name or reference.")
    ] = None,
    create_customer: Annotated[
        bool, typer.Option("--create-customer", help="Make a new contact in Sage.")
    ] = False,
    tax_rate: Annotated[str | None, typer.Option(help="Sage tax rate: id or name.")] = None,
    no_tax: Annotated[bool, typer.Option("--no-tax", help="No tax on the copy.")] = False,
    no_pdf: Annotated[bool, typer.Option("--no-pdf", help="Leave the PDF out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent; send nothing.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Copy invoices from Productive into Sage.

    Example: psage copy-invoice 123 --update-existing
    """
    from productive_sage.copying import Order

    _exclude("--update-existing", update_existing, "--create-new", create_new)
    _exclude("--tax-rate", tax_rate is not None, "--no-tax", no_tax)
    _exclude("--customer", customer is not None, "--create-customer", create_customer)
    order = Order(
        keys=tuple(ids),
        by_number=number,
        customer=customer,
        create_customer=create_customer,
        tax_rate=tax_rate,
        no_tax=no_tax,
        again="update" if update_existing else "new" if create_new else None,
        with_pdf=not no_pdf,
    )
    _copy(order, dry_run=dry_run, as_json=as_json)


@app.command("credit-note")
def credit_note(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Productive credit note ids.")],
    number: Annotated[
        bool, typer.Option("--number", help="The arguments are credit note numbers.")
    ] = False,
    update_existing: Annotated[
        bool, typer.Option("--update-existing", help="Bring the latest copy up to date.")
    ] = False,
    create_new: Annotated[bool, typer.Option("--create-new", help="Make another copy.")] = False,
    customer: Annotated[
        str | None, typer.Option(help="Sage contact; that of the credited invoice's copy.")
    ] = None,
    tax_rate: Annotated[
        str | None, typer.Option(help="Sage tax rate: id or name; else the invoice's.")
    ] = None,
    no_tax: Annotated[bool, typer.Option("--no-tax", help="No tax on the copy.")] = False,
    no_pdf: Annotated[bool, typer.Option("--no-pdf", help="Leave the PDF out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent; send nothing.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Copy credit notes into Sage and set them against the copies of their invoices.

    Example: psage credit-note 130
    """
    from productive_sage.copying import Order
    from productive_sage.models import CREDIT_NOTE

    _exclude("--update-existing", update_existing, "--create-new", create_new)
    _exclude("--tax-rate", tax_rate is not None, "--no-tax", no_tax)
    order = Order(
        keys=tuple(ids),
        kind=CREDIT_NOTE,
        by_number=number,
        customer=customer,
        tax_rate=tax_rate,
        no_tax=no_tax,
        again="update" if update_existing else "new" if create_new else None,
        with_pdf=not no_pdf,
    )
    _copy(order, dry_run=dry_run, as_json=as_json)


def _copy(order: "Order", *, dry_run: bool, as_json: bool) -> None:
    """Copy documents of either kind, show what became of each, and end with the exit code."""
    from productive_sage import copying, render
    from productive_sage.errors import NoDefaultLedger

    outcomes: list[Outcome] = []
    failure: PsageError | None = None

    def check(settings: "Settings") -> None:
        if not settings.default_ledger_account:
            raise NoDefaultLedger

    with _desk(order.kind.command, check, dry_run=dry_run) as desk:
        try:
            render.collect(
                copying.copy(order, desk),
                outcomes,
                total=len(order.keys),
                quiet=_session.quiet or as_json,
            )
        except KeyboardInterrupt:
            failure = _interruption()
        except PsageError as error:
            failure = error
    code = failure.exit_code if failure else copying.verdict(outcomes)
    with _output():
        if as_json:
            content = render.copies_as_json(outcomes)
            if failure:
                content["error"] = failure.as_json()
            render.document(
                order.kind.command, _session.profile, exit_code=code, dry_run=dry_run, **content
            )
        else:
            render.copies(outcomes, dry_run=dry_run, quiet=_session.quiet)
            if failure:
                render.error(failure)
    raise typer.Exit(code)


# --- sync-payments


@app.command("sync-payments")
def sync_payments(
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Read again what changed since this day.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Compare every copied invoice.")] = False,
    invoice: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this invoice. Repeatable.")
    ] = None,
    max_deletes: Annotated[
        int, typer.Option(help="Stop before removing more payments than this.", min=0)
    ] = 20,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Bring payments from Sage to Productive: new, changed and deleted ones.

    Example: psage --quiet sync-payments
    """
    from productive_sage import payments, render
    from productive_sage.errors import PaymentSyncOff
    from productive_sage.models import Report

    _exclude("--since", since is not None, "--full", full)
    _exclude("--invoice", bool(invoice), "--since or --full", since is not None or full)
    order = payments.Order(
        since=_date("--since", since),
        full=full,
        invoices=tuple(dict.fromkeys(invoice or ())),
        max_deletes=max_deletes,
    )
    report = Report(until=datetime.now(UTC))
    failure: PsageError | None = None

    def check(settings: "Settings") -> None:
        if not settings.sync_payments:
            raise PaymentSyncOff

    with _desk("sync-payments", check, dry_run=dry_run) as desk:
        try:
            payments.sync(order, desk, report)
        except KeyboardInterrupt:
            failure = _interruption()
        except PsageError as error:
            failure = error
    code = failure.exit_code if failure else report.verdict()
    with _output():
        if as_json:
            content = render.payments_as_json(report)
            if failure:
                content["error"] = failure.as_json()
            render.document(
                "sync-payments", _session.profile, exit_code=code, dry_run=dry_run, **content
            )
        else:
            render.payments(report, dry_run=dry_run, quiet=_session.quiet)
            if failure:
                render.error(failure)
    raise typer.Exit(code)


# --- the bundled services


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="First of three ports.", min=0, max=65533)] = 8770,
    state: Annotated[
        Path | None, typer.Option(help="Keep the services' data in this file.", dir_okay=False)
    ] = None,
    latency: Annotated[int, typer.Option(help="Milliseconds each answer takes.", min=0)] = 0,
) -> None:
    """Run imitations of both services on this machine, to try any command against.

    Example: psage sandbox, then paste what it prints into another terminal
    """
    from productive_sage.sandbox.run import serve

    raise typer.Exit(serve(port=port, state=state, latency_ms=latency))


@app.command()
def demo(as_json: _Json = False) -> None:
    """Watch an invoice travel from Productive into Sage, on the bundled services.

    Example: psage demo
    """
    from productive_sage.sandbox.demo import demonstrate

    raise typer.Exit(demonstrate(as_json=as_json))


# --- opening things


@contextmanager
def _pool() -> Iterator["Pool"]:
    from productive_sage.http import connect_pool

    with connect_pool() as pool:
        yield pool


@contextmanager
def _desk(command: str, check: "Callable[[Settings], None]", *, dry_run: bool) -> Iterator["Desk"]:
    """Everything a use case works with; writing runs hold the profile's lock.

    `check` raises where the settings do not let the command run at all.
    """
    from dataclasses import replace

    home = _session.home()
    settings = _session.settings(home)
    check(settings)
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(_run_lock(home, command))
        desk = _clients(home, settings, stack, read_only=dry_run)()
        yield replace(desk, ask=_session.ask(), dry_run=dry_run)


def _clients(
    home: "Home", settings: "Settings", stack: ExitStack, *, read_only: bool = False
) -> Any:
    """A function that opens ledger and clients at its first call, to be closed by `stack`."""
    opened: list[Desk] = []

    def opener() -> "Desk":
        from productive_sage.desk import Desk
        from productive_sage.ledger import Ledger
        from productive_sage.oauth import SageTokens
        from productive_sage.productive import ProductiveClient, Token
        from productive_sage.sage import SageClient, sage_http

        if opened:
            return opened[0]
        ledger = stack.enter_context(Ledger(home.ledger))
        vault = _session.vault()
        sign_in = vault.productive()
        pool = stack.enter_context(_pool())
        tokens = SageTokens(vault, sage_http(pool, settings.endpoints.sage_token), home.token_lock)
        stack.callback(_warn_of_the_end, tokens)
        productive = ProductiveClient(
            pool,
            settings.endpoints,
            Token(sign_in.token, sign_in.organization_id),
            minor_digits=settings.minor_digits,
            read_only=read_only,
        )
        http = sage_http(
            pool,
            settings.endpoints.sage_api,
            credentials=tokens,
            calls_per_second=settings.sage_calls_per_second,
            read_only=read_only,
        )
        folder = Path(settings.pdf_folder) if settings.pdf_folder else home.folder / "pdf"
        sage = SageClient(http, tokens.sign_in.business_id)
        opened.append(Desk(settings, ledger, productive, sage, folder.expanduser()))
        return opened[0]

    return opener


def _warn_of_the_end(tokens: "SageTokens") -> None:
    """Say at the end of a run that the sign-in to Sage, renewed or not, will not last long."""
    from productive_sage import render

    left_s = tokens.sign_in.refresh_until - time.time()
    if left_s < _SHORT_S:
        day = datetime.fromtimestamp(tokens.sign_in.refresh_until, UTC).date()
        with suppress(OSError):
            render.warning(
                f"the sign-in to Sage ends on {day}, in {max(0, int(left_s // 86_400))} days, and "
                "has not been prolonged: run `psage connect sage` before"
            )


@contextmanager
def _run_lock(home: "Home", command: str) -> Iterator[None]:
    """Let one writing run at a time work on a profile; the next one says who holds it."""
    import filelock

    from productive_sage.config import storage_error

    holder = home.lock.with_suffix(".holder")
    lock = filelock.FileLock(home.lock, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except filelock.Timeout:
        try:
            who = holder.read_text(encoding="utf-8")
        except OSError:
            who = "another psage run"
        raise Locked(
            f"profile `{home.profile}` is in use: {who}",
            hint="wait for it to end and run the command again",
        ) from None
    except OSError as error:
        raise storage_error(error, home.lock) from error
    with ExitStack() as stack:
        stack.callback(lock.release)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            holder.write_text(f"`psage {command}` (process {os.getpid()}) since {since}")
        except OSError as error:
            raise storage_error(error, holder) from error
        stack.callback(holder.unlink, missing_ok=True)
        yield


@contextmanager
def _output() -> Iterator[None]:
    """Print a result; that nobody can take it changes nothing about what was done."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                # Or the interpreter would complain at its end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            with suppress(OSError):
                print(f"error: the result cannot be printed: {error.strerror}", file=sys.stderr)


# --- asking


def _ask(question: str, answers: Sequence[str], default: int | None) -> int:
    from productive_sage import render

    with render.aside():
        return _asked(question, answers, default)


def _asked(question: str, answers: Sequence[str], default: int | None) -> int:
    typer.echo(question, err=True)
    for n, answer in enumerate(answers, start=1):
        typer.echo(f"  {n}  {answer}", err=True)
    while True:
        usual = None if default is None else str(default + 1)
        try:
            chosen = str(typer.prompt("Number", default=usual, err=True)).strip()
        except typer.Abort:
            # Typer's Abort is an ordinary exception; Ctrl-C must pass where those are caught.
            raise KeyboardInterrupt from None
        if chosen.isdecimal() and 1 <= int(chosen) <= len(answers):
            return int(chosen) - 1
        typer.echo(f"Type a number from 1 to {len(answers)}", err=True)


def _answer(question: str, flag: str) -> str:
    if not _session.can_ask:
        raise InputNeeded(f"{question.lower()} is missing", hint=f"pass `{flag}`")
    return str(typer.prompt(question, err=True)).strip()


def _line(question: str) -> str:
    """One line from a person, or from a script on stdin."""
    if _session.can_ask:
        return str(typer.prompt(question, err=True)).strip()
    return sys.stdin.readline().strip()


def _secret(what: str, variable: str, flag: str, *, from_stdin: bool) -> str:
    """A secret from stdin, the environment or a hidden prompt; never from an argument."""
    secret = sys.stdin.readline().strip() if from_stdin else os.environ.get(variable, "").strip()
    if not secret and not from_stdin and _session.can_ask:
        secret = str(typer.prompt(what, hide_input=True, err=True)).strip()
    if not secret:
        raise InputNeeded(
            f"no {what} was given",
            hint=f"set {variable}, or pipe it in with `{flag}`",
        )
    return secret


def _date(flag: str, value: str | None) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise UsageProblem(
            f"`{flag} {value}` is not a date", hint="write it like 2026-01-31"
        ) from None


def _exclude(first: str, is_first: bool, second: str, is_second: bool) -> None:
    if is_first and is_second:
        raise UsageProblem(f"`{first}` and `{second}` exclude each other")


# --- the boundary


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; no error passes beyond this function."""
    args = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    global _session  # noqa: PLW0603 -- typer's callback has no other place for the root options
    _session = _Session()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # a daemon may have closed them
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 -- for good
            setattr(sys, name, stream)
    for stream in (sys.stdout, sys.stderr):
        # A code page that lacks a character must not cost the result.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # A terminated run ends like an interrupted one: what is finished is recorded and said.
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        result = app(args, prog_name="psage", standalone_mode=False)
    except PsageError as error:
        return _fail(args, error)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(args, _interruption())
    except Exception as error:  # noqa: BLE001 -- the one boundary
        if hasattr(error, "format_message"):
            return _fail(args, UsageProblem(error.format_message(), hint=_usage_hint(error)))
        return _fail(args, _defect(error))
    return int(result or 0)


class _Interrupted(PsageError):
    code = "interrupted"
    exit_code = _INTERRUPTED


def _interruption() -> PsageError:
    return _Interrupted(
        "interrupted; every finished document is recorded",
        hint="run the command again: what was under way is settled first",
    )


def _fail(args: Sequence[str], error: PsageError) -> int:
    from productive_sage import render

    with _output():
        if "--json" in args:
            render.document(
                _session.command,
                _session.profile,
                exit_code=error.exit_code,
                dry_run="--dry-run" in args,
                error=error.as_json(),
            )
        else:
            render.error(error)
    return error.exit_code


def _usage_hint(error: Any) -> str:
    path = getattr(getattr(error, "ctx", None), "command_path", "psage")
    return f"`{path} --help` shows what it takes"


def _defect(error: Exception) -> PsageError:
    """An error nobody foresaw: a short message here, the details in the log."""
    import logging

    where = "the log could not be written"
    try:
        home = _session.home()
        logging.getLogger("psage").error("defect", exc_info=error)
        where = f"the details are in `{home.log}`"
    except (PsageError, OSError):
        pass
    return PsageError(
        f"psage met something it does not expect ({type(error).__name__})",
        hint=f"{where}; please report it",
    )


def _log_to(home: "Home", *, verbose: bool) -> None:
    """Write psage's own log, never that of the HTTP library, whose lines hold addresses.

    The file is made by its first record: without `--verbose` only defects are recorded.
    """
    import logging
    from logging.handlers import RotatingFileHandler

    try:
        home.log.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise HomeUnusable(f"the log `{home.log}` cannot be written: {error.strerror}") from error
    handler = RotatingFileHandler(
        home.log, maxBytes=1_000_000, backupCount=3, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(name)s %(message)s"))
    logger = logging.getLogger("psage")
    for old in logger.handlers:
        old.close()
    logger.handlers = [handler]
    logger.setLevel(logging.INFO if verbose else logging.ERROR)
    logger.propagate = False
    logging.raiseExceptions = False  # a log that cannot be written is no reason to complain
