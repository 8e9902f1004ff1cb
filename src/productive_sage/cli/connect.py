"""`connect` and `disconnect`: sign in to both services, and out."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from productive_sage.cli.common import Json, Service, Stopped, end, of_profile, output, stdout_aside
from productive_sage.cli.session import current
from productive_sage.errors import ConfigInvalid, Interrupted, PsageError, UsageProblem
from productive_sage.terminal import asking

if TYPE_CHECKING:
    from productive_sage.config import Home
    from productive_sage.errors.notices import Notice
    from productive_sage.setup.connect import Connected


def connect(
    service: Annotated[
        Service | None, typer.Argument(help="One alone; else both, less what is connected.")
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
        int, typer.Option(metavar="N", help="Port of the callback URL.", min=1, max=65535)
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
    as_json: Json = False,
) -> None:
    """Sign in to Productive and to Sage, and keep that in the system's keyring.

    Productive's API token and the client secret of the app registered with Sage are asked for, or
    come from PSAGE_PRODUCTIVE_TOKEN and PSAGE_SAGE_CLIENT_SECRET.

    Example: psage connect
    """
    from dataclasses import asdict

    from productive_sage.setup import connect as connection
    from productive_sage.store import Store

    for_productive = organization_id or token_stdin
    for_sage = client_id or client_secret_stdin or business or no_browser or paste
    if service == "sage" and for_productive:
        raise UsageProblem(
            "`psage connect sage` takes no options for Productive",
            hint="leave `sage` out to sign in to both",
        )
    if service == "productive" and for_sage:
        raise UsageProblem(
            "`psage connect productive` takes no options for Sage",
            hint="leave `productive` out to sign in to both",
        )
    order = connection.SignInOrder(
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
    stopped = Stopped(
        Interrupted(
            "the sign-in was interrupted; what was stored before stays valid",
            hint="run `psage connect` again",
        )
    )
    home = current.home()
    endpoints = current.settings(home).endpoints
    with current.connections() as pool, Store(home.store) as store, ExitStack() as aside:
        place = connection.Place(
            current.vault(),
            pool,
            endpoints,
            store,
            _browser(port, aside),
            current.timing.sign_in_s,
        )
        with stopped:
            for connected in connection.connect(order, place, current.person()):
                aside.close()
                done.append(connected)
                if not as_json:
                    _show_connected(connected)
            _say_what_is_next(home, is_wanted=not as_json)

    def content() -> dict[str, Any]:
        return {
            **{one.service: one.facts for one in done},
            "already_connected": [one.service for one in done if not one.is_new],
            "warnings": [asdict(notice) for one in done for notice in one.notices],
        }

    end(lambda: None, content, as_json=as_json, error=stopped.error)


def _say_what_is_next(home: "Home", *, is_wanted: bool) -> None:
    """What a person does after signing in."""
    if not (is_wanted and sys.stderr.isatty()) or current.quiet:
        return
    from productive_sage.terminal import render

    vault = current.vault()
    missing = [name for name in ("productive", "sage") if not vault.holds(name)]
    if missing:
        step = f"`psage connect {missing[0]}`"
    elif not current.settings(home).default_ledger_account:
        step = "`psage configure` asks how invoices are to be booked"
    else:
        step = "`psage copy-invoice NUMBER --dry-run` shows what would be booked"
    asking.say(f"Next: {render.named(step)}")


def _browser(port: int, aside: ExitStack) -> Callable[[str], None]:
    """How `connect` opens a page; `aside` keeps the browser's own words off stdout."""
    from productive_sage.setup.connect import why_no_browser

    def open_browser(address: str) -> None:
        if why := why_no_browser(os.environ):
            asking.say(
                f"No browser is opened: {why}. Open the address in a browser of this machine, or "
                f"of yours after `ssh -L {port}:127.0.0.1:{port} HOST`; or use `--paste`."
            )
            return
        aside.enter_context(stdout_aside())
        # In a thread: some commands end with the browser only, and the browser waits for psage.
        threading.Thread(target=_open_browser, args=(address,), daemon=True).start()

    return open_browser


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

    with output():
        if not current.quiet:
            word = "Connected to" if connected.is_new else "Connected already to"
            more = "" if connected.is_new else "; `--force` signs in again"
            where = f"{connected.name} in {connected.service.capitalize()}{of_profile()}"
            render.line(f"{word} {where}{more}")
        for notice in connected.notices:
            render.warning(notice.message)


def disconnect(
    service: Annotated[Service | None, typer.Argument(help="One alone; else both.")] = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the profile's links, history and settings too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Revoke psage's access to Sage, and delete what the keyring holds.

    Links, history and settings stay, so that connecting again makes no doubles.

    Example: psage disconnect sage
    """
    from dataclasses import asdict

    from productive_sage.setup import disconnect as signing_out
    from productive_sage.setup.connect import SERVICES
    from productive_sage.terminal import render

    if purge and service:
        raise UsageProblem(
            "`--purge` removes a whole profile, not one service of it",
            hint=f"leave `{service}` out, or leave `--purge` out to sign out of it alone",
        )
    home = current.home()
    try:
        endpoints = current.settings(home).endpoints
    except ConfigInvalid:  # whoever wants to leave must be able to
        endpoints = None
    vault = current.vault()
    services = (service,) if service else SERVICES
    stored = [name for name in services if vault.holds(name)]
    if purge:
        asking.confirm_purge(home, yes=yes, can_ask=current.can_ask)
    elif stored:
        names = " and ".join(name.capitalize() for name in stored)
        asking.confirm(
            f"Disconnect {names}{of_profile()}? psage's records and settings stay",
            yes=yes,
            can_ask=current.can_ask,
        )
    notices: list[Notice] = []
    removed: list[Path] = []
    with current.run_lock(home), current.connections() as pool:
        for name in stored:
            notices += signing_out.disconnect(name, vault, pool, endpoints)
            _forget(home, name.capitalize())
        if purge:
            removed = signing_out.purge(home)

    def show() -> None:
        _show_disconnected(stored, removed)
        for notice in notices:
            render.warning(notice.message)

    def content() -> dict[str, Any]:
        return {
            "disconnected": stored,
            "removed": [str(path) for path in removed],
            "warnings": [asdict(notice) for notice in notices],
        }

    end(show, content, as_json=as_json)


def _forget(home: "Home", service: str) -> None:
    """Have `status` know that a service is not connected any more."""
    from productive_sage.store import Store

    # A damaged store must not keep anybody from disconnecting.
    with suppress(PsageError):
        if home.store.exists():
            with Store(home.store) as store:
                store.cursors.remember_sign_in(service, None)


def _show_disconnected(stored: Sequence[str], removed: Sequence[Path]) -> None:
    from productive_sage.terminal import render

    if current.quiet:
        return
    for name in stored:
        render.line(f"Disconnected from {name.capitalize()}{of_profile()}")
        if name == "productive":
            asking.say(
                "Its API token stays valid until you delete it there: Settings, API integrations."
            )
    for path in removed:
        render.line(f"Removed {path}")
    if not (stored or removed):
        render.line(f"Nothing is connected{of_profile()}; nothing was changed")
