"""`reconcile`."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from productive_sage import __version__
from productive_sage.cli.common import Json, a_period, end, exclude
from productive_sage.cli.session import current
from productive_sage.errors import UsageProblem

if TYPE_CHECKING:
    from productive_sage.desk import Desk
    from productive_sage.terminal.page import Made


def reconcile(
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="The documents of this month.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="From this day on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="To this day.")] = None,
    form: Annotated[
        Literal["table", "csv", "json", "html"], typer.Option("--format", help="How it is printed.")
    ] = "table",
    adopt: Annotated[
        bool,
        typer.Option("--adopt", help="Let psage's records learn of copies that carry its marker."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Hold both books side by side, and show what differs with the command that mends it.

    Example: psage reconcile --month 2026-03
    """
    from productive_sage import reconcile as reconciling
    from productive_sage.terminal import reconciled, tables

    exclude("--json", as_json, f"--format {form}", form not in ("table", "json"))
    first, last = a_period(month, since, until)
    if form == "html" and sys.stdout.isatty():
        raise UsageProblem(
            "a page is for a browser, not for a terminal",
            hint="put it into a file: `psage reconcile --format html > reconciliation.html`",
        )
    time = reconciling.Time(first, last)
    # With `--adopt` psage's records are written to, which takes the run lock; no service ever is.
    with current.desk(lambda _settings: None, dry_run=not adopt, read_only=True) as desk:
        found = reconciling.reconcile(desk, time, adopt=adopt)
        made = _made(desk) if form == "html" else None

    def show() -> None:
        if form == "csv":
            tables.sheet(reconciled.SHEET, reconciled.sheet(found))
        elif made:
            from productive_sage.terminal import page

            print(page.html(found, made))
        else:
            reconciled.show(found, quiet=current.quiet)

    end(
        show,
        lambda: reconciled.as_json(found),
        as_json=as_json or form == "json",
        code=found.error.exit_code if found.error else 0,
    )


def _made(desk: "Desk") -> "Made":
    """Who makes the page, when, with what, and of which books."""
    from productive_sage import history
    from productive_sage.terminal.page import Made

    known = desk.store.cursors.sign_ins()
    ids = {"Productive": desk.productive.organization_id, "Sage": desk.sage.business_id}
    names = {service: one.name for service, one in known.items() if one and one.name}
    said = {service: f"{names.get(service, '')} ({key})".strip() for service, key in ids.items()}
    return Made(
        by=history.user(),
        at=datetime.now(UTC),
        version=__version__,
        profile=current.profile,
        organization=said["Productive"],
        business=said["Sage"],
    )
