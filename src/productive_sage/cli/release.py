"""`release`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from productive_sage.cli.common import (
    UNSENT,
    DryRun,
    Json,
    Naming,
    Stopped,
    end,
    offered,
    with_groups,
)
from productive_sage.cli.session import current
from productive_sage.errors import InputNeeded, UsageProblem
from productive_sage.terminal import asking
from productive_sage.text import counted

if TYPE_CHECKING:
    from productive_sage.copying import Agree
    from productive_sage.copying.records import Outcome


@with_groups
def release(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DOCUMENT...]",
            help="Documents copied as drafts: number, Productive id, or address in the browser.",
            autocompletion=offered(""),
        ),
    ] = None,
    *,
    naming: Naming,
    every: Annotated[
        bool, typer.Option("--all", help="Every copy that waits as a draft in Sage.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Book in Sage what was copied as a draft, once somebody has reviewed it.

    Example: psage release INV-2026-023
    """
    from productive_sage import copying
    from productive_sage.copying.release import ReleaseOrder
    from productive_sage.copying.release import release as released
    from productive_sage.terminal import copies, render

    names = naming.read(ids or ())
    if bool(names) == every:
        raise UsageProblem(
            "documents are named, and all are meant too" if every else "no document is named",
            hint="name them, or give `--all` for every draft that waits",
        )
    order = ReleaseOrder(tuple(one.typed for one in names), naming.number, naming.by_id)
    agree = None if yes or dry_run or not every else _agreement()
    outcomes: list[Outcome] = []
    stopped = Stopped(UNSENT if dry_run else None)
    with current.desk(lambda _settings: None, dry_run=dry_run) as desk, stopped:
        total = len(order.documents(desk).keys)
        task = "Looking" if dry_run else "Booking"
        render.collect(released(order, desk, agree), outcomes, task=task, total=total)
    outcomes = copying.last_words(outcomes)

    def show() -> None:
        quiet, verbose = current.quiet, current.verbose
        copies.show(outcomes, dry_run=dry_run, quiet=quiet, verbose=verbose)
        if not (outcomes or stopped.error or quiet):
            render.line("no copy waits to be released")

    end(
        show,
        lambda: copies.as_json(outcomes),
        as_json=as_json,
        error=stopped.error,
        code=None if stopped.error else copying.verdict(outcomes),
        dry_run=dry_run,
    )


def _agreement() -> "Agree":
    """How a person agrees to all. Raises InputNeeded where nobody can be asked."""
    from productive_sage.terminal import copies

    if not current.can_ask:
        raise InputNeeded(
            "all drafts are booked after somebody agrees",
            hint="look with `--dry-run`, then pass `--yes`",
        )

    def agree(told: "Sequence[Outcome]") -> None:
        sent = [one for one in told if one.action.startswith("would_")]
        if sent:
            copies.show_plan(told)
            drafts = counted(len(sent), "draft")
            asking.confirm(f"Book {drafts} in Sage?", yes=False, can_ask=True)

    return agree
