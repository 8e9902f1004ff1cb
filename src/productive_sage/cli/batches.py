"""What the commands that copy many documents share: agreeing, running through them, the end."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from productive_sage.cli import common
from productive_sage.cli.session import current, warn
from productive_sage.errors import InputNeeded, PsageError
from productive_sage.terminal import asking
from productive_sage.text import counted

if TYPE_CHECKING:
    from productive_sage.cli.common import Stopped
    from productive_sage.copying import Agree, Check
    from productive_sage.copying.order import CopyOrder
    from productive_sage.copying.records import Outcome
    from productive_sage.desk import Desk
    from productive_sage.kinds import Kind

ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE", help="Write what became of each to a file: .csv or .json."
    ),
]


def agreement(kind: "Kind", known: "Sequence[Outcome]", *, what: str) -> "Agree":
    """How a person agrees; raises InputNeeded where nobody can be asked, saying `what` it is."""
    from productive_sage.terminal import copies

    if not current.can_ask:
        raise InputNeeded(
            f"{what} after somebody agrees",
            hint="look with `--dry-run`, then pass `--yes`",
        )

    def agree(told: "Sequence[Outcome]") -> None:
        copies.show_plan([*known, *told])
        sent = [one for one in told if one.action.startswith("would_")]
        if sent:
            documents = counted(len(sent), kind.name)
            how = ", as drafts" if any(one.is_draft for one in sent) else ""
            asking.confirm(f"Copy {documents} into Sage{how}?", yes=False, can_ask=True)

    return agree


def run(
    order: "CopyOrder",
    desk: "Desk",
    outcomes: "list[Outcome]",
    agree: "Agree | None" = None,
    check: "Check | None" = None,
) -> None:
    """Copy what is asked for, showing how far that is; each outcome is added when it is known."""
    from productive_sage import copying
    from productive_sage.terminal import render

    made = copying.copy(order, desk, agree, check)
    if order.keys:
        task = "Planning" if desk.dry_run else "Copying"
        render.collect(made, outcomes, task=task, total=len(order.keys))
    else:  # an earlier run may have left something to do all the same
        outcomes += made


def end(
    order: "CopyOrder",
    outcomes: "Sequence[Outcome]",
    stopped: "Stopped",
    *,
    report: Path | None,
    plan: Path | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Say what became of each document, report it, and end with the exit code.

    `plan` is the file a plan was saved in. A report has what was not reached too; where not even
    that is known, an earlier report stays as it is.
    """
    from productive_sage import copying
    from productive_sage.terminal import copies, render, reports

    told, is_saved = copying.last_words(outcomes), plan is not None and not stopped.error
    missed = not_reached(order, told, stopped.error) if stopped.error else []
    if report and (told or missed or not stopped.error):
        try:
            reports.write(report, [*told, *missed])
        except PsageError as error:  # what was done is shown all the same
            if stopped.error:
                warn(error.message)
            stopped.error = stopped.error or error
    saved: dict[str, Any] = {"plan": str(plan)} if is_saved else {}
    if missed:
        saved["not_reached"] = [one.productive_id or one.number for one in missed]

    def show() -> None:
        quiet, verbose = current.quiet, current.verbose
        copies.show(told, dry_run=dry_run, quiet=quiet, verbose=verbose)
        if not (told or stopped.error or quiet):
            render.line(f"no {order.kind.name} of these is left to copy")
        if told and missed:
            documents = counted(len(missed), order.kind.name)
            render.line(f"{documents} of {len(order.documents())} not reached")
        if is_saved and not quiet:
            asking.say(f"The plan is in {plan}: `psage apply {plan}` carries it out")

    common.end(
        show,
        lambda: {**copies.as_json(told), **saved},
        as_json=as_json,
        error=stopped.error,
        code=None if stopped.error else copying.verdict(told),
        dry_run=dry_run,
    )


def not_reached(
    order: "CopyOrder", outcomes: "Sequence[Outcome]", stopped_by: "PsageError"
) -> "list[Outcome]":
    """What was asked for, and had no outcome when the run was stopped."""
    from productive_sage import naming
    from productive_sage.copying import results

    ids = {one.productive_id for one in outcomes}
    numbers = {naming.folded(one.number) for one in outcomes}
    missed: list[Outcome] = []
    for name in order.documents():
        if name.id in ids or (name.number and naming.folded(name.number) in numbers):
            continue
        key = "" if name.number else name.id  # digits alone may be either
        number = order.numbers.get(name.id, name.number)
        missed.append(results.not_tried(order.kind, key, number, stopped_by))
    return missed
