"""The commands: each parses, opens what it needs, calls its use case and shows the result.

`main` is the only error boundary. Everything but typer and the errors is imported inside the
commands, so that `--help` costs nothing.
"""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from productive_sage import __version__, interrupts, redaction
from productive_sage.cli import commandline
from productive_sage.cli.session import Session, open_pool, warn
from productive_sage.errors import ConfigInvalid, Interrupted, PsageError, UsageProblem
from productive_sage.terminal import asking

if TYPE_CHECKING:
    from productive_sage.config import Home
    from productive_sage.copying import Order
    from productive_sage.desk import Desk
    from productive_sage.http import Pool
    from productive_sage.models import Notice, Outcome, Settings
    from productive_sage.setup.connect import Connected, Talk
    from productive_sage.store.audit import Event

app = commandline.App(
    name="psage",
    help="Copy invoices from Productive into Sage Accounting, each exactly once.",
    epilog="Begin with `psage connect`, then `psage configure`. `psage help COMMAND` explains one.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
_Service = Literal["productive", "sage"]
_Number = Annotated[bool, typer.Option("--number", help="Digits are a number, not an id.")]
_Id = Annotated[bool, typer.Option("--id", help="Digits are an id, not a number.")]
_UpdateExisting = Annotated[
    bool, typer.Option("--update-existing", help="Bring the latest copy up to date.")
]
_CreateNew = Annotated[bool, typer.Option("--create-new", help="Make another copy.")]
_Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="With --update-existing: as Productive says, whatever was changed in Sage.",
    ),
]
_NoTax = Annotated[bool, typer.Option("--no-tax", help="No tax on the copy.")]
_NoPdf = Annotated[bool, typer.Option("--no-pdf", help="Leave the PDF out.")]
_PdfFile = Annotated[
    Path | None,
    typer.Option(
        "--pdf-file",
        metavar="FILE",
        help="The PDF of the one document, where Productive's API shows none.",
    ),
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")
]


_session = Session()


# --- completion in the shell

_Offers = list[tuple[str, str]]


def _offered(what: str) -> Callable[[typer.Context, str], _Offers]:
    """How the shell completes documents of a kind, `ledger accounts`, `tax rates` or `profiles`."""

    def offers(ctx: typer.Context, incomplete: str) -> _Offers:
        from productive_sage import config
        from productive_sage.terminal import completion

        try:
            root, folder = ctx.find_root().params, _session.folder
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


def _one_of(*words: str) -> Callable[[str], list[str]]:
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


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
            autocompletion=_offered("profiles"),
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
    _session.command = ctx.invoked_subcommand or ""
    _session.profile, _session.config = profile, config
    _session.verbose, _session.quiet, _session.no_input = verbose, quiet, no_input
    if not ctx.resilient_parsing and _session.command not in _MAKING:
        _check_place(profile, config)


_MAKING = frozenset(("", "configure", "connect", "demo", "sandbox"))
"""The commands that may make a profile or its settings, or need none."""


def _check_place(profile: str, settings: Path | None) -> None:
    """Raises UsageProblem for a settings file or a profile that is not there: a slip, mostly."""
    from productive_sage import config, naming

    if settings and not settings.exists():
        raise UsageProblem(
            f"the settings file `{settings}` does not exist",
            hint="look at `--config` and PSAGE_CONFIG; `psage configure` makes a new one",
        )
    known = config.profiles(_session.folder)
    if known and profile not in ("default", *known):
        raise UsageProblem(
            f"there is no profile `{profile}`",
            hint=naming.did_you_mean(profile, known)
            or f"there is {', '.join(f'`{one}`' for one in known)}; `psage --profile {profile} "
            "connect` makes a new one",
        )


# --- connect, disconnect


@app.command()
def connect(
    service: Annotated[
        _Service | None, typer.Argument(help="One alone; else both, less what is connected.")
    ] = None,
    organization_id: Annotated[
        str,
        typer.Option(
            metavar="ORGANISATION",
            help="Productive's address, or the number in it: app.productive.io/<id>-name.",
        ),
    ] = "",
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read Productive's API token from stdin.")
    ] = False,
    client_id: Annotated[
        str, typer.Option(metavar="ID", help="Of the app registered with Sage.")
    ] = "",
    client_secret_stdin: Annotated[
        bool,
        typer.Option(
            "--client-secret-stdin", help="Read its secret from stdin, the line after the token."
        ),
    ] = False,
    port: Annotated[
        int, typer.Option(metavar="N", help="Of the redirect address.", min=1, max=65535)
    ] = 8765,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address instead of opening it.")
    ] = False,
    paste: Annotated[
        bool, typer.Option("--paste", help="Ask for the redirected address; no listener.")
    ] = False,
    business: Annotated[
        str | None,
        typer.Option(metavar="BUSINESS", help="Id or name, where Sage shows several."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Sign in again to what is connected.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Sign in to Productive and to Sage, and keep that in the system's keyring.

    Productive's API token and the client secret of the app registered with Sage are asked for, or
    come from PSAGE_PRODUCTIVE_TOKEN and PSAGE_SAGE_CLIENT_SECRET.

    Example: psage connect
    """
    from dataclasses import asdict

    from productive_sage.setup import connect as connection
    from productive_sage.store import Store
    from productive_sage.terminal import render

    for_productive = organization_id or token_stdin
    for_sage = client_id or client_secret_stdin or business or no_browser or paste
    if service == "sage" and for_productive:
        raise UsageProblem("`psage connect sage` takes no options for Productive")
    if service == "productive" and for_sage:
        raise UsageProblem("`psage connect productive` takes no options for Sage")
    order = connection.Order(
        services=(service,) if service else connection.SERVICES,
        keeps=service is None and not force,
        organization_id=organization_id,
        # Both at once: where one service is skipped, its secret would be taken for the other's.
        token=asking.given("PSAGE_PRODUCTIVE_TOKEN", "--token-stdin", from_stdin=token_stdin),
        client_id=client_id,
        client_secret=asking.given(
            "PSAGE_SAGE_CLIENT_SECRET", "--client-secret-stdin", from_stdin=client_secret_stdin
        ),
        business=business,
        port=port,
        opens_browser=not no_browser,
        pastes=paste,
    )
    done: list[connection.Connected] = []
    failure: PsageError | None = None
    home = _session.home()
    endpoints = _session.settings(home).endpoints
    with open_pool() as pool, Store(home.store) as store, ExitStack() as aside:
        place = connection.Place(_session.vault(), pool, endpoints, store)
        try:
            for connected in connection.connect(order, place, _talk(port, aside)):
                aside.close()
                done.append(connected)
                if not as_json:
                    _show_connected(connected)
        except (KeyboardInterrupt, typer.Abort):
            failure = Interrupted(
                "the sign-in was interrupted; what was stored before stays valid",
                hint="run `psage connect` again",
            )
        except PsageError as error:
            failure = error
    if failure and not as_json:
        raise failure
    if as_json:
        content: dict[str, Any] = {one.service: one.facts for one in done}
        content["already_connected"] = [one.service for one in done if not one.is_new]
        content["warnings"] = [asdict(notice) for one in done for notice in one.notices]
        if failure:
            content["error"] = failure.as_json()
        code = failure.exit_code if failure else 0
        with _output():
            render.document("connect", _session.profile, exit_code=code, **content)
        raise typer.Exit(code)


def _talk(port: int, aside: ExitStack) -> "Talk":
    """How `connect` reaches the person; `aside` keeps the browser's own words off stdout."""
    from productive_sage.setup.connect import Talk, why_no_browser

    def explain(text: str) -> None:
        if _session.can_ask and not _session.quiet:
            for line in ("", *text.splitlines(), ""):
                asking.say(line)

    def open_browser(address: str) -> None:
        if why := why_no_browser(os.environ):
            asking.say(
                f"No browser is opened: {why}. Open the address in a browser of this machine, or "
                f"of yours after `ssh -L {port}:127.0.0.1:{port} HOST`; or use `--paste`."
            )
            return
        aside.enter_context(_stdout_aside())
        # In a thread: some commands end with the browser only, and the browser waits for psage.
        threading.Thread(target=_open_browser, args=(address,), daemon=True).start()

    return Talk(
        say=asking.say,
        explain=explain,
        answer=partial(asking.answer, can_ask=_session.can_ask),
        secret=partial(asking.secret, can_ask=_session.can_ask),
        line=partial(asking.line, can_ask=_session.can_ask),
        open_browser=open_browser,
        typed=asking.typed if _session.can_ask else None,
    )


def _open_browser(address: str) -> None:
    import webbrowser

    try:
        is_open = webbrowser.open(address)
    except (webbrowser.Error, OSError):
        is_open = False
    if not is_open:
        asking.say("No browser could be opened: open the address yourself, or use `--paste`.")


def _show_connected(connected: "Connected") -> None:
    from productive_sage.terminal import render

    with _output():
        if not _session.quiet:
            word = "Connected to" if connected.is_new else "Connected already to"
            more = "" if connected.is_new else "; `--force` signs in again"
            where = f"{connected.name} in {connected.service.capitalize()}{_of_profile()}"
            render.line(f"{word} {where}{more}")
        for notice in connected.notices:
            render.warning(notice.message)


@app.command()
def disconnect(
    service: Annotated[_Service | None, typer.Argument(help="One alone; else both.")] = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the profile's links, history and settings too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Revoke psage's access to Sage, and delete what the keyring holds.

    Links, history and settings stay, so that connecting again makes no doubles.

    Example: psage disconnect sage
    """
    from dataclasses import asdict

    from productive_sage.setup import connect as connection
    from productive_sage.terminal import render

    if purge and service:
        raise UsageProblem("`--purge` removes a whole profile, not one service of it")
    home = _session.home()
    try:
        endpoints = _session.settings(home).endpoints
    except ConfigInvalid:  # whoever wants to leave must be able to
        endpoints = None
    vault = _session.vault()
    services = (service,) if service else connection.SERVICES
    stored = [name for name in services if vault.holds(name)]
    if purge:
        asking.confirm_purge(home, yes=yes, can_ask=_session.can_ask)
    elif stored:
        names = " and ".join(name.capitalize() for name in stored)
        asking.confirm(
            f"Disconnect {names}{_of_profile()}? Links and history stay",
            yes=yes,
            can_ask=_session.can_ask,
        )
    notices: list[Notice] = []
    removed: list[Path] = []
    with _session.run_lock(home), open_pool() as pool:
        for name in stored:
            notices += connection.disconnect(name, vault, pool, endpoints)
            _forget(home, name.capitalize())
        if purge:
            removed = connection.purge(home)
    with _output():
        if as_json:
            render.document(
                "disconnect",
                _session.profile,
                exit_code=0,
                disconnected=stored,
                removed=[str(path) for path in removed],
                warnings=[asdict(notice) for notice in notices],
            )
            return
        _show_disconnected(stored, removed)
        for notice in notices:
            render.warning(notice.message)


def _forget(home: "Home", service: str) -> None:
    """Have `status` know that a service is not connected any more."""
    from productive_sage.store import Store

    # A damaged store must not keep anybody from disconnecting.
    with suppress(PsageError):
        if home.store.exists():
            with Store(home.store) as store:
                store.remember_sign_in(service, None)


def _show_disconnected(stored: Sequence[str], removed: Sequence[Path]) -> None:
    from productive_sage.terminal import render

    if _session.quiet:
        return
    for name in stored:
        render.line(f"Disconnected from {name.capitalize()}{_of_profile()}")
        if name == "productive":
            asking.say(
                "Its API token stays valid until you delete it there: Settings, API integrations."
            )
    for path in removed:
        render.line(f"Removed {path}")
    if not (stored or removed):
        render.line(f"Nothing is connected{_of_profile()}; nothing was changed")


# --- configure


@app.command()
def configure(
    numbering: Annotated[
        str | None,
        typer.Option(
            metavar="SERVICE",
            help="Who numbers invoices: sage or productive.",
            autocompletion=_one_of("sage", "productive"),
        ),
    ] = None,
    write_number_back: Annotated[
        bool | None,
        typer.Option(
            "--write-number-back/--no-write-number-back",
            help="Give the invoice in Productive the number Sage gave.",
        ),
    ] = None,
    pdf: Annotated[
        str | None,
        typer.Option(
            metavar="SERVICE",
            help="Who makes the PDF: sage or productive.",
            autocompletion=_one_of("sage", "productive"),
        ),
    ] = None,
    default_ledger: Annotated[
        str | None,
        typer.Option(
            metavar="ACCOUNT",
            help="Ledger account for sales: code, id or name.",
            autocompletion=_offered("ledger accounts"),
        ),
    ] = None,
    map_item: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE=ITEM", help="SERVICE TYPE=ITEM; an empty item removes. Repeatable."
        ),
    ] = None,
    default_tax_rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Sage tax rate for customers at home; empty removes.",
            autocompletion=_offered("tax rates"),
        ),
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
    settlement_discount: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="Discount for paying early, in Productive: warn or write_off.",
            autocompletion=_one_of("warn", "write_off"),
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the settings.")] = False,
    as_json: _Json = False,
) -> None:
    """Set how invoices are copied; on a terminal without options it asks for each setting.

    Every value is checked against Sage before it is written.

    Example: psage configure --default-ledger 4000 --map-item "Design=DESIGN"
    """
    from dataclasses import asdict, replace

    from productive_sage import config
    from productive_sage.setup import wizard
    from productive_sage.terminal import render

    home = _session.home()
    settings = _session.settings(home)
    answers = wizard.Answers(
        numbering=numbering,
        write_number_back=write_number_back,
        pdf=pdf,
        default_ledger=default_ledger,
        default_tax_rate=default_tax_rate,
        map_items=tuple(map_item or ()),
        sync_payments=sync_payments,
        sync_payments_from=_date("--sync-payments-from", sync_payments_from),
        settlement_discount=settlement_discount,
    )
    notice = former = None
    can_ask = _session.can_ask and not as_json
    if answers.are_empty() and can_ask and not show:
        _walk(home, settings)
        return
    if not (show and answers.are_empty()):
        if can_ask and not (settings.default_ledger_account or default_ledger):
            answers = replace(answers, default_ledger=_ledger_asked(home, settings))
        copied = _copied(home) if numbering else 0
        with ExitStack() as stack:
            stack.enter_context(_session.run_lock(home))
            before, _ = config.load(home.config, os.environ)
            former = wizard.shown(home.config, before, os.environ, _names(home, before))
            desk = _session.clients(home, before, stack)
            wizard.configure(home.config, before, answers, desk)
        settings, _ = config.load(home.config, os.environ)
        notice = wizard.numbering_notice(before.numbering, settings.numbering, copied)
    rows = wizard.shown(home.config, settings, os.environ, _names(home, settings))
    with _output():
        if as_json:
            render.document(
                "configure",
                _session.profile,
                exit_code=0,
                settings=asdict(settings),
                sources={key: source for key, (_, source) in rows.items()},
                file=str(home.config),
                warnings=[asdict(notice)] if notice else [],
            )
            return
        if former is not None and not _session.quiet:
            render.changed_settings(former, rows)
        elif not _session.quiet:
            render.settings(rows)
            there = "" if home.config.exists() else ", which is not there yet"
            print(f"file: {home.config}{there}", file=sys.stderr)
        if notice:
            render.warning(notice.message)


def _names(home: "Home", settings: "Settings") -> dict[str, str]:
    """What the ids in the settings are called, as far as this machine knows."""
    from productive_sage import names
    from productive_sage.store import Store

    with suppress(PsageError, OSError):
        if home.store.exists():
            with Store(home.store, read_only=True) as store:
                return names.of(settings, store)
    return {}


def _walk(home: "Home", settings: "Settings") -> None:
    """Ask for each setting; the profile is locked for the write, not while a person thinks."""
    from productive_sage import config
    from productive_sage.models import Settings
    from productive_sage.setup import wizard
    from productive_sage.terminal import render

    written: list[wizard.Changes] = []

    def save(seen: Settings, changes: wizard.Changes) -> Settings | None:
        with _session.run_lock(home):
            present, _ = config.load(home.config, os.environ)
            if present != seen:
                return present
            config.edit(home.config, changes)
            written.append(changes)
        return None

    render.paragraph(
        f"Settings of the profile {home.profile}. Nothing is written before you confirm it at "
        "the end; Ctrl-C stops at any time and changes nothing."
    )
    person = wizard.Person(render.paragraph, asking.typed)
    copied = _copied(home)
    with _asking(home, settings, written) as desk:
        today = datetime.now(UTC).date()
        facts = wizard.read_facts(desk, copied=copied, today=today)
        wizard.walk(person, settings, facts, save)
    with _output():
        if written and not _session.quiet:
            render.line("The settings are written to")
            print(home.config)


def _ledger_asked(home: "Home", settings: "Settings") -> str:
    """Ask for the one setting that is obligatory."""
    from productive_sage.setup import wizard
    from productive_sage.terminal import render

    with _asking(home, settings) as desk:
        person = wizard.Person(render.paragraph, asking.typed)
        return wizard.ask_ledger(person, wizard.read_accounts(desk))


@contextmanager
def _asking(home: "Home", settings: "Settings", written: Sequence[object] = ()) -> Iterator["Desk"]:
    """Both services, for questions about the settings; a Ctrl-C says what it left."""
    from productive_sage.terminal import render

    try:
        with ExitStack() as stack:
            render.paragraph("Reading what there is to choose from ...")
            desk = _session.clients(home, settings, stack)()
            desk.check_business()
            yield desk
    except KeyboardInterrupt:
        if not written:
            raise Interrupted(
                "interrupted; nothing was changed", hint="`psage configure` asks again"
            ) from None


def _copied(home: "Home") -> int:
    """How many invoices have a copy, as far as this machine knows."""
    from productive_sage.store import Store

    if not home.store.exists():
        return 0
    with Store(home.store) as store:
        return len({link.productive_id for link in store.copied_invoices()})


# --- copy-invoice, credit-note


@app.command("copy-invoice")
def copy_invoice(
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="DOCUMENT...",
            help="Invoices: number, Productive id, or address in the browser.",
            autocompletion=_offered("invoice"),
        ),
    ],
    number: _Number = False,
    by_id: _Id = False,
    update_existing: _UpdateExisting = False,
    create_new: _CreateNew = False,
    overwrite: _Overwrite = False,
    customer: Annotated[
        str | None,
        typer.Option(metavar="CONTACT", help="Sage contact: id, name or reference."),
    ] = None,
    create_customer: Annotated[
        bool, typer.Option("--create-customer", help="Make a new contact in Sage.")
    ] = False,
    remember: Annotated[
        bool, typer.Option("--remember", help="Bill the company to --customer from now on.")
    ] = False,
    tax_rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help='Sage tax rate: "Standard 20.00%", Standard, 20%, or its id.',
            autocompletion=_offered("tax rates"),
        ),
    ] = None,
    no_tax: _NoTax = False,
    no_pdf: _NoPdf = False,
    pdf_file: _PdfFile = None,
    dry_run: _DryRun = False,
    as_json: _Json = False,
) -> None:
    """Copy invoices from Productive into Sage.

    Example: psage copy-invoice 123 --update-existing
    """
    from productive_sage.copying import Order

    _exclude("--update-existing", update_existing, "--create-new", create_new)
    if overwrite and not update_existing:
        raise UsageProblem("`--overwrite` goes with `--update-existing`")
    _exclude("--tax-rate", tax_rate is not None, "--no-tax", no_tax)
    _exclude("--customer", customer is not None, "--create-customer", create_customer)
    if remember and customer is None:
        raise UsageProblem(
            "`--remember` keeps a customer that `--customer` names, and none is named",
            hint="add `--customer NAME`, or leave `--remember` out",
        )
    order = Order(
        keys=_typed(ids, number=number, by_id=by_id),
        by_number=number,
        by_id=by_id,
        customer=customer,
        create_customer=create_customer,
        remember=remember,
        tax_rate=tax_rate,
        no_tax=no_tax,
        again="update" if update_existing else "new" if create_new else None,
        overwrite=overwrite,
        with_pdf=not no_pdf,
        pdf=_handed_pdf(pdf_file, no_pdf=no_pdf),
    )
    _copy(order, dry_run=dry_run, as_json=as_json)


@app.command("credit-note")
def credit_note(
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="DOCUMENT...",
            help="Credit notes: number, Productive id, or address in the browser.",
            autocompletion=_offered("credit_note"),
        ),
    ],
    number: _Number = False,
    by_id: _Id = False,
    update_existing: _UpdateExisting = False,
    create_new: _CreateNew = False,
    overwrite: _Overwrite = False,
    customer: Annotated[
        str | None,
        typer.Option(metavar="CONTACT", help="Sage contact; that of the credited invoice's copy."),
    ] = None,
    tax_rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Sage tax rate: id, name or percentage; else the invoice's.",
            autocompletion=_offered("tax rates"),
        ),
    ] = None,
    no_tax: _NoTax = False,
    no_pdf: _NoPdf = False,
    pdf_file: _PdfFile = None,
    dry_run: _DryRun = False,
    as_json: _Json = False,
) -> None:
    """Copy credit notes into Sage and set them against the copies of their invoices.

    Example: psage credit-note 130
    """
    from productive_sage.copying import Order
    from productive_sage.models import CREDIT_NOTE

    _exclude("--update-existing", update_existing, "--create-new", create_new)
    if overwrite and not update_existing:
        raise UsageProblem("`--overwrite` goes with `--update-existing`")
    _exclude("--tax-rate", tax_rate is not None, "--no-tax", no_tax)
    order = Order(
        keys=_typed(ids, number=number, by_id=by_id),
        kind=CREDIT_NOTE,
        by_number=number,
        by_id=by_id,
        customer=customer,
        tax_rate=tax_rate,
        no_tax=no_tax,
        again="update" if update_existing else "new" if create_new else None,
        overwrite=overwrite,
        with_pdf=not no_pdf,
        pdf=_handed_pdf(pdf_file, no_pdf=no_pdf),
    )
    _copy(order, dry_run=dry_run, as_json=as_json)


def _typed(words: Sequence[str], *, number: bool, by_id: bool) -> tuple[str, ...]:
    """The documents named, each once."""
    from productive_sage import naming

    _exclude("--number", number, "--id", by_id)
    names = naming.read(words, as_number=number, as_id=by_id)
    if not names:
        raise UsageProblem("no document is named", hint="give a number, an id or an address")
    return tuple(name.typed for name in names)


def _handed_pdf(path: Path | None, *, no_pdf: bool) -> bytes | None:
    """The content of `--pdf-file`, read before anything is sent."""
    from productive_sage.copying.after import read_pdf

    if path is None:
        return None
    _exclude("--pdf-file", True, "--no-pdf", no_pdf)
    return read_pdf(path)


def _copy(order: "Order", *, dry_run: bool, as_json: bool) -> None:
    """Copy documents of either kind, show what became of each, and end with the exit code."""
    from productive_sage import copying
    from productive_sage.errors import NoDefaultLedger
    from productive_sage.terminal import render

    outcomes: list[Outcome] = []
    failure: PsageError | None = None

    def check(settings: "Settings") -> None:
        if not settings.default_ledger_account:
            raise NoDefaultLedger
        if order.pdf and settings.pdf == "sage":
            raise UsageProblem(
                "`--pdf-file` is for PDFs made in Productive, but by the settings Sage makes them",
                hint="leave it out, or run `psage configure --pdf productive`",
            )

    with _session.desk(check, dry_run=dry_run) as desk:
        try:
            render.collect(
                copying.copy(order, desk),
                outcomes,
                total=len(order.keys),
                quiet=_session.quiet or as_json,
            )
        except KeyboardInterrupt:
            failure = Interrupted()
        except PsageError as error:
            failure = error
    outcomes = copying.last_words(outcomes)
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
            quiet, verbose = _session.quiet, _session.verbose
            render.copies(outcomes, dry_run=dry_run, quiet=quiet, verbose=verbose)
            if failure:
                render.error(failure)
    raise typer.Exit(code)


# --- sync-payments


@app.command("sync-payments")
def sync_payments(
    documents: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DOCUMENT...]",
            help="Only these invoices: number, Productive id, or address in the browser.",
            autocompletion=_offered("invoice"),
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Read again what changed since this day.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Compare every copied invoice.")] = False,
    invoice: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DOCUMENT",
            help="Only this invoice, as an argument names it. Repeatable.",
            autocompletion=_offered("invoice"),
        ),
    ] = None,
    number: _Number = False,
    by_id: _Id = False,
    max_deletes: Annotated[
        int,
        typer.Option(metavar="COUNT", help="Stop before removing more payments than this.", min=0),
    ] = 20,
    dry_run: _DryRun = False,
    as_json: _Json = False,
) -> None:
    """Bring payments from Sage to Productive: new, changed and deleted ones.

    Example: psage --quiet sync-payments
    """
    from productive_sage import naming, payments
    from productive_sage.errors import PaymentSyncOff
    from productive_sage.models import Report
    from productive_sage.terminal import render

    _exclude("--since", since is not None, "--full", full)
    words = [*(documents or ()), *(invoice or ())]
    _exclude("naming invoices", bool(words), "--since or --full", since is not None or full)
    _exclude("--number", number, "--id", by_id)
    first = _date("--since", since)
    if first and first > date.today():  # noqa: DTZ011 -- the person's own calendar
        raise UsageProblem(f"`--since {first}` lies in the future")
    order = payments.Order(
        since=first,
        full=full,
        invoices=tuple(naming.read(words, as_number=number, as_id=by_id)),
        max_deletes=max_deletes,
    )
    report = Report(until=datetime.now(UTC))
    failure: PsageError | None = None

    def check(settings: "Settings") -> None:
        if not settings.sync_payments:
            raise PaymentSyncOff

    with _session.desk(check, dry_run=dry_run) as desk:
        try:
            payments.sync(order, desk, report)
        except KeyboardInterrupt:
            failure = Interrupted()
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


# --- list, open


@app.command("list")
def show_register(
    not_copied: Annotated[
        bool, typer.Option("--not-copied", help="Those that have no copy in Sage yet.")
    ] = False,
    copied: Annotated[bool, typer.Option("--copied", help="Those that have one.")] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Those that wait for somebody.")
    ] = False,
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="Those dated in this month.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="From this day on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="To this day.")] = None,
    company: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this company: name or Productive id.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Say what Sage has, too.")] = False,
    form: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How it is printed.")
    ] = "table",
    as_json: _Json = False,
) -> None:
    """Show the invoices and credit notes: what is not copied yet, what is, and what waits.

    Example: psage list --not-copied --month 2026-03
    """
    from productive_sage import register
    from productive_sage import status as statuses
    from productive_sage.terminal import render

    states = {"not copied": not_copied, "copied": copied, "waiting": waiting}
    if sum(states.values()) > 1:
        raise UsageProblem("`--not-copied`, `--copied` and `--waiting` exclude each other")
    _exclude("--month", month is not None, "--since or --until", bool(since or until))
    _exclude("--json", as_json, "--format csv", form == "csv")
    first, last = _month(month) if month else (_date("--since", since), _date("--until", until))
    if first and last and first > last:
        raise UsageProblem(f"`--since {first}` is after `--until {last}`")
    state = next((name for name, is_wanted in states.items() if is_wanted), "")
    selection = register.Selection(state, first, last, company or "")
    with _session.desk(lambda _settings: None, dry_run=True) as desk:
        desk.check_business()
        home = _session.home()
        now = datetime.now(UTC)
        waits = {
            one.productive_id: one.message
            for one in statuses.look(home, os.environ, now=now).waiting
            if one.productive_id
        }
        found = register.look(desk, selection, waiting=waits, check=check)
    with _output():
        if as_json or form == "json":
            content = register.as_json(found)
            render.document("list", _session.profile, exit_code=0, **content)
        elif form == "csv":
            more = register.IN_SAGE if check else []
            render.sheet([*register.SHEET, *more], register.sheet(found))
        else:
            render.register(found)
    if not (as_json or form == "json"):
        for error in found.unreadable.values():
            warn(f"not listed: {error.message}; {error.hint}")


def _month(value: str) -> tuple[date, date]:
    """The first and the last day of a month."""
    try:
        first = date.fromisoformat(f"{value.strip()}-01")
    except ValueError:
        raise UsageProblem(f"`--month {value}` is no month", hint="write it like 2026-03") from None
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return first, following - timedelta(days=1)


@app.command("open")
def open_document(
    document: Annotated[
        str,
        typer.Argument(
            metavar="DOCUMENT",
            help="Number, Productive id, or address in the browser.",
            autocompletion=_offered(""),
        ),
    ],
    number: _Number = False,
    by_id: _Id = False,
    productive: Annotated[
        bool, typer.Option("--productive", help="The document in Productive, not its copy.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Open a document's copy in Sage in the browser, or the document in Productive.

    Example: psage open INV-2026-023
    """
    import webbrowser

    from productive_sage import naming, register
    from productive_sage.terminal import render

    _exclude("--number", number, "--id", by_id)
    names = naming.read([document], as_number=number, as_id=by_id)
    if len(names) != 1:
        raise UsageProblem("one document can be opened at a time", hint="name one")
    with _session.desk(lambda _settings: None, dry_run=True) as desk:
        address = register.address(desk, names[0], in_productive=productive)
    with _output():
        if as_json:
            render.document("open", _session.profile, exit_code=0, address=address)
        else:
            render.line(address)
    if not as_json and sys.stdout.isatty():
        with _stdout_aside():
            webbrowser.open(address)


@app.command()
def customers(
    action: Annotated[
        Literal["link", "forget"] | None,
        typer.Argument(help="Bill a company to a contact from now on, or look it up anew."),
    ] = None,
    company: Annotated[
        str | None, typer.Argument(metavar="COMPANY", help="In Productive: its name or id.")
    ] = None,
    contact: Annotated[
        str | None,
        typer.Argument(metavar="CONTACT", help="In Sage: its name, reference or id."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show which company is billed to which contact in Sage, and why.

    Example: psage customers link "Northwind Traders Ltd" NORTH001
    """
    from productive_sage import billing
    from productive_sage.terminal import render

    wanted = {"link": 2, "forget": 1}.get(action or "", 0)
    if len([one for one in (company, contact) if one]) != wanted:
        raise UsageProblem(
            "`customers link` takes a company and a contact, `customers forget` a company",
            hint="`psage customers --help` shows what it takes",
        )
    with _session.desk(lambda _settings: None, dry_run=action is None) as desk:
        desk.check_business()
        if action == "link":
            found = [billing.link(desk, company or "", contact or "")]
        elif action == "forget":
            found = billing.forget(desk, company or "")
        else:
            found = billing.look(desk)
    with _output():
        if as_json:
            rows = [one.as_json() for one in found]
            render.document("customers", _session.profile, exit_code=0, customers=rows)
        else:
            render.customers(found)


# --- history


@app.command("history")
def show_history(
    document: Annotated[
        str | None,
        typer.Option(
            metavar="DOCUMENT",
            help="Of this one: id or number in either service, its address, or PRD-….",
            autocompletion=_offered(""),
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="From this day on, of your own calendar.")
    ] = None,
    form: Annotated[
        Literal["table", "json", "csv"], typer.Option("--format", help="How it is printed.")
    ] = "table",
    verify: Annotated[
        bool, typer.Option("--verify", help="Look whether a record was changed or is missing.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Show what psage wrote to the services: when, who, what was sent, and what came back.

    Example: psage history --document INV-2026-023 --since 2026-03-01
    """
    from productive_sage import naming
    from productive_sage.store import Store

    _exclude("--json", as_json, "--format csv", form == "csv")
    _exclude("--verify", verify, "--format csv", form == "csv")
    _exclude("--verify", verify, "--document or --since", bool(document or since))
    form = "json" if as_json else form
    wanted = ""
    if document:
        names = naming.read([document])
        if len(names) != 1:
            raise UsageProblem("`--document` names one document", hint="name one at a time")
        wanted = names[0].id if names[0].organization_id else names[0].typed
    day = max(date(1970, 1, 1), _date("--since", since) or date.min)  # all there can be
    first = datetime.combine(day, datetime.min.time()).astimezone()
    home = _session.home()
    records, last, events, under_way = 0, "", [], None
    if home.store.exists():
        with Store(home.store, read_only=True) as store:
            if verify:
                records, last = store.check_events()
            else:
                newest = _SHOWN + 1 if form == "table" else -1
                events = store.events(document=wanted, since=first, newest=newest)
                under_way = store.under_way()
    if verify:
        _print_verified(records, last, form)
    else:
        _print_history(events, under_way, form)


_SHOWN = 200
"""Records in a table at most: a person wants the newest, a script takes another form."""


def _print_verified(records: int, last: str, form: str) -> None:
    from productive_sage.terminal import render

    with _output():
        if form == "json":
            profile = _session.profile
            render.document("history", profile, exit_code=0, records=records, last_hash=last)
        elif not _session.quiet:
            end = f"; the hash of the last is {last}" if last else ""
            render.line(f"{records} records, each as it was written{end}")


def _print_history(events: "Sequence[Event]", under_way: "Event | None", form: str) -> None:
    from productive_sage import history
    from productive_sage.terminal import render

    with _output():
        if form == "json":
            render.document(
                "history",
                _session.profile,
                exit_code=0,
                events=render.history_as_json(events),
                under_way=render.history_as_json([under_way])[0] if under_way else None,
            )
        elif form == "csv":
            render.sheet(history.SHEET, history.sheet(events))
        elif events:
            render.history(events[-_SHOWN:])
        elif not _session.quiet:
            print("nothing is recorded", file=sys.stderr)
    if form == "table" and len(events) > _SHOWN:
        warn(
            f"these are the newest {_SHOWN} records; `--since` and `--document` choose others, "
            "`--format csv` prints all"
        )
    if under_way and form != "json":
        warn(
            f"`{under_way.what}` is under way just now, or psage was stopped in it; in that case "
            "the next run records it"
        )


# --- status, doctor


@app.command()
def status(
    check: Annotated[bool, typer.Option("--check", help="Ask both services too.")] = False,
    all_profiles: Annotated[
        bool, typer.Option("--all-profiles", help="Show every profile of the home folder.")
    ] = False,
    seen: Annotated[
        list[str] | None,
        typer.Option(metavar="ITEM", help="Take a waiting item off until it changes. Repeatable."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show what is connected, what is copied, and what waits for you.

    Without `--check` nobody is asked and nothing is opened but psage's own files.

    Example: psage status
    """
    from productive_sage import config
    from productive_sage import status as statuses
    from productive_sage.terminal import render

    _exclude("--seen", bool(seen), "--all-profiles", all_profiles)
    profiles = (config.profiles(_session.folder) if all_profiles else []) or [_session.profile]
    answers = {profile: _answers(profile) for profile in profiles} if check else {}
    now, found = datetime.now(UTC), []
    for profile in profiles:
        home = config.named_home(_session.folder, profile, _session.config)
        found.append(statuses.look(home, os.environ, now=now, answers=answers.get(profile)))
    if seen:
        items = [one.strip().lower() for one in seen]
        statuses.tick_off(found[0], items, make=_session.home)
    errors = [error for one in found for error in one.errors]
    code = statuses.exit_code(errors)
    with _output():
        if not as_json:
            render.status(found, now=now, quiet=_session.quiet)
        else:
            content = statuses.as_json(found[0])
            if all_profiles:
                rows = [{"profile": one.home.profile, **statuses.as_json(one)} for one in found]
                worst = statuses.worst(errors)
                content = {"profiles": rows} | ({"error": worst.as_json()} if worst else {})
            render.document("status", _session.profile, exit_code=code, **content)
    raise typer.Exit(code)


def _answers(profile: str) -> "dict[str, PsageError | None]":
    """What both services say to a profile's sign-ins; nothing where its settings are wrong."""
    from productive_sage import config
    from productive_sage.setup import doctor

    home = _session.home_as_it_is(profile)
    try:
        settings, _ = config.load(home.config, os.environ)
    except PsageError:
        return {}  # which is said with the rest
    with open_pool() as pool:
        return doctor.ask(home, _session.vault(profile), pool, settings)


@app.command()
def doctor(
    cron: Annotated[
        bool, typer.Option("--cron", help="Try the keyring as cron would find it, too.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Try everything psage stands on, and say what to do about what is amiss.

    Nothing is changed.

    Example: psage doctor --cron
    """
    from productive_sage.setup import doctor as doctors
    from productive_sage.terminal import render

    home = _session.home_as_it_is(_session.profile)
    render.name_profile(home.profile)
    checks: list[doctors.Check] = []
    with ExitStack() as stack:
        pool: Pool | PsageError
        try:
            pool = stack.enter_context(open_pool())
        except PsageError as error:  # which is told among the rest
            pool = error
        for check in doctors.examine(home, _session.vault(), pool, os.environ, with_cron=cron):
            checks.append(check)
            if not as_json:
                with _output():
                    render.check(check, verbose=_session.verbose)
    if not (as_json or _session.quiet):
        with _output():
            render.line(doctors.summary(checks))
    worst = doctors.worst(checks)
    code = worst.exit_code if worst else 0
    if as_json:
        content: dict[str, Any] = {"checks": [check.as_json() for check in checks]}
        if worst and worst.error:
            content["error"] = worst.error.as_json()
        with _output():
            render.document("doctor", _session.profile, exit_code=code, **content)
    raise typer.Exit(code)


# --- the bundled services


@app.command()
def sandbox(
    port: Annotated[
        int, typer.Option(metavar="N", help="First of three ports.", min=0, max=65533)
    ] = 8770,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the services' data in this file.", dir_okay=False),
    ] = None,
    latency: Annotated[
        int, typer.Option(metavar="MS", help="Milliseconds each answer takes.", min=0)
    ] = 0,
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
def _output() -> Iterator[None]:
    """Print a result, whole; that nobody can take it changes nothing about what was done."""
    try:
        with interrupts.held_back():
            yield
            sys.stdout.flush()
            _session.has_answered = True
    except interrupts.Twice:
        _session.has_answered = True  # as far as it got: a second document would mend nothing
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


@contextmanager
def _stdout_aside() -> Iterator[None]:
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


# --- small things


def _of_profile() -> str:
    """Names the profile where it is not the usual one."""
    return "" if _session.profile == "default" else f" (profile `{_session.profile}`)"


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
    args = _as_meant(sys.argv[1:] if argv is None else argv)
    global _session  # noqa: PLW0603 -- typer's callback has no other place for the root options
    _session = Session()
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
    try:
        return _run(args)
    finally:
        if argv is None:
            interrupts.ignore()


def _as_meant(args: Sequence[str]) -> list[str]:
    """The words, with `psage help COMMAND` and `psage version` as the options they stand for."""
    match list(args):
        case ["help", *rest]:
            return [*rest, "--help"]
        case ["version"]:
            return ["--version"]
        case words:
            return words or ["--help"]


def _run(args: Sequence[str]) -> int:
    try:
        result = app(args, prog_name="psage", standalone_mode=False)
    except PsageError as error:
        return _fail(args, error)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(args, Interrupted())
    except Exception as error:  # noqa: BLE001 -- the one boundary
        if hasattr(error, "format_message"):
            return _fail(args, UsageProblem(error.format_message(), hint=_usage_hint(error)))
        return _fail(args, _defect(error))
    return int(result or 0)


def _fail(args: Sequence[str], error: PsageError) -> int:
    from productive_sage.terminal import render

    render.name_profile(_session.profile)
    wants_json = "--json" in args or "--format json" in " ".join(args).replace("=", " ")
    with suppress(KeyboardInterrupt), _output():
        if wants_json and not _session.has_answered:
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
