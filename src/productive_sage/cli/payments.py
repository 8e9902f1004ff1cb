"""`sync-payments`."""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from productive_sage.cli.common import DryRun, Id, Json, Number, a_day, exclude, offered, output
from productive_sage.cli.session import current
from productive_sage.errors import Interrupted, PsageError, UsageProblem

if TYPE_CHECKING:
    from productive_sage.settings import Settings


def sync_payments(
    documents: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DOCUMENT...]",
            help="Only these invoices: number, Productive id, or address in the browser.",
            autocompletion=offered("invoice"),
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
            autocompletion=offered("invoice"),
        ),
    ] = None,
    number: Number = False,
    by_id: Id = False,
    max_deletes: Annotated[
        int,
        typer.Option(metavar="COUNT", help="Stop before removing more payments than this.", min=0),
    ] = 20,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Bring payments from Sage to Productive: new, changed and deleted ones.

    Example: psage --quiet sync-payments
    """
    from productive_sage import naming, payments
    from productive_sage.errors import PaymentSyncOff
    from productive_sage.payments.records import Report
    from productive_sage.terminal import render, synced

    exclude("--since", since is not None, "--full", full)
    words = [*(documents or ()), *(invoice or ())]
    exclude("naming invoices", bool(words), "--since or --full", since is not None or full)
    exclude("--number", number, "--id", by_id)
    first = a_day("--since", since)
    if first and first > date.today():  # noqa: DTZ011 -- the person's own calendar
        raise UsageProblem(
            f"`--since {first}` lies in the future",
            hint="name a day that is over, or leave `--since` out",
        )
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

    with current.desk(check, dry_run=dry_run) as desk:
        try:
            payments.sync(order, desk, report)
        except KeyboardInterrupt:
            failure = Interrupted()
        except PsageError as error:
            failure = error
    code = failure.exit_code if failure else report.verdict()
    with output():
        if as_json:
            content = synced.as_json(report)
            if failure:
                content["error"] = failure.as_json()
            render.document(
                "sync-payments", current.profile, exit_code=code, dry_run=dry_run, **content
            )
        else:
            synced.show(report, dry_run=dry_run, quiet=current.quiet)
            if failure:
                render.error(failure)
    raise typer.Exit(code)
