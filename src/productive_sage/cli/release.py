"""`release`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from productive_sage.cli import batches
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
    from productive_sage.copying.order import CopyOrder
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
    from productive_sage.copying.order import CopyOrder
    from productive_sage.copying.release import ReleaseOrder
    from productive_sage.copying.release import release as released
    from productive_sage.terminal import render

    names = naming.read(ids or ())
    if bool(names) == every:
        raise UsageProblem(
            "documents are named, and all are meant too" if every else "no document is named",
            hint="name them, or give `--all` for every draft that waits",
        )
    order = ReleaseOrder(tuple(one.typed for one in names), naming.number, naming.by_id)
    agree = None if yes or dry_run or not every else _agreement()
    outcomes: list[Outcome] = []
    wanted = CopyOrder(())
    stopped = Stopped(UNSENT if dry_run else None)
    with current.desk(lambda _settings: None, dry_run=dry_run) as desk, stopped:
        wanted = order.documents(desk)
        task = "Looking" if dry_run else "Booking"
        render.collect(released(order, desk, agree), outcomes, task=task, total=len(wanted.keys))
    _end(wanted, copying.last_words(outcomes), stopped, as_json=as_json, dry_run=dry_run)


def _end(
    wanted: "CopyOrder",
    outcomes: "Sequence[Outcome]",
    stopped: Stopped,
    *,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Say what became of each draft, and end with the exit code."""
    from productive_sage import copying
    from productive_sage.terminal import copies, render

    missed = batches.not_reached(wanted, outcomes, stopped.error) if stopped.error else []

    def show() -> None:
        quiet, verbose = current.quiet, current.verbose
        copies.show(outcomes, dry_run=dry_run, quiet=quiet, verbose=verbose)
        if not (outcomes or stopped.error or quiet):
            render.line("no copy waits to be released")
        if outcomes and missed:
            render.line(f"{counted(len(missed), 'document')} of {len(wanted.keys)} not reached")

    def content() -> dict[str, Any]:
        left = {"not_reached": [one.productive_id or one.number for one in missed]}
        return {**copies.as_json(outcomes), **(left if missed else {})}

    end(
        show,
        content,
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
