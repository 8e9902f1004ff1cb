"""`sync-payments`."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer

from productive_sage.cli.common import (
    UNSENT,
    DryRun,
    Json,
    Naming,
    Stopped,
    a_day,
    end,
    exclude,
    offered,
    with_groups,
)
from productive_sage.cli.session import current
from productive_sage.errors import UsageProblem


@with_groups
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
    *,
    naming: Naming,
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
    from productive_sage import payments
    from productive_sage.payments.records import Synced
    from productive_sage.terminal import synced

    exclude("--since", since is not None, "--full", full)
    words = [*(documents or ()), *(invoice or ())]
    exclude("naming invoices", bool(words), "--since or --full", since is not None or full)
    first = a_day("--since", since)
    if first and first > date.today():  # noqa: DTZ011 -- the person's own calendar
        raise UsageProblem(
            f"`--since {first}` lies in the future",
            hint="name a day that is over, or leave `--since` out",
        )
    order = payments.SyncOrder(
        since=first,
        full=full,
        invoices=tuple(naming.read(words)),
        max_deletes=max_deletes,
    )
    done = Synced(until=datetime.now(UTC))
    stopped = Stopped(UNSENT if dry_run else None)
    with current.desk(payments.check, dry_run=dry_run) as desk, stopped:
        payments.sync(order, desk, done)
    end(
        lambda: synced.show(done, dry_run=dry_run, quiet=current.quiet),
        lambda: synced.as_json(done),
        as_json=as_json,
        error=stopped.error,
        code=None if stopped.error else done.verdict(),
        dry_run=dry_run,
    )
