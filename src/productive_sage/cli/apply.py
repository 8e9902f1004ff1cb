"""`apply`: a saved plan is shown, or carried out exactly as it was made."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from productive_sage.cli import batches
from productive_sage.cli.common import UNSENT, DryRun, Json, Stopped, end, exclude
from productive_sage.cli.session import current
from productive_sage.errors import UsageProblem
from productive_sage.terminal import asking

if TYPE_CHECKING:
    from productive_sage.copying import Agree
    from productive_sage.copying.records import Outcome
    from productive_sage.copying.saved import SavedPlan

Form = Literal["table", "csv", "json", "html"]


def apply(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What copy-invoice or credit-note --plan saved.")
    ],
    show: Annotated[
        bool, typer.Option("--show", help="Show the plan as it was made; ask no service.")
    ] = False,
    form: Annotated[
        Form, typer.Option("--format", help="With --show: how it is printed.")
    ] = "table",
    report: batches.ReportFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it is sent.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Carry out a saved plan exactly, or say what changed since it was made.

    Example: psage apply march.json --show
    """
    from productive_sage.copying import plan_file

    saved = plan_file.read(file)
    if show:
        exclude("--show", True, "--dry-run", dry_run)
        exclude("--show", True, "--report", report is not None)
        exclude("--json", as_json, f"--format {form}", form not in ("table", "json"))
        _show(saved, file, "json" if as_json else form)
        return
    if form != "table":
        raise UsageProblem(
            f"`--format {form}` is how a plan is shown", hint="add `--show`, or leave it out"
        )
    _apply(saved, report, yes=yes, dry_run=dry_run, as_json=as_json)


def _show(saved: "SavedPlan", file: Path, form: Form) -> None:
    from productive_sage.terminal import planned, tables

    if form == "html" and sys.stdout.isatty():
        raise UsageProblem(
            "a page is for a browser, not for a terminal",
            hint=f"put it into a file: `psage apply {file} --show --format html > plan.html`",
        )

    def shown() -> None:
        if form == "csv":
            tables.sheet(planned.SHEET, planned.sheet(saved))
        elif form == "html":
            from productive_sage.terminal import plan_page

            print(plan_page.html(saved))
        else:
            planned.show(saved, verbose=current.verbose)

    end(shown, lambda: planned.as_json(saved), as_json=form == "json", dry_run=True)


def _apply(
    saved: "SavedPlan", report: Path | None, *, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Carry a plan out, show what became of each document, and end with the exit code."""
    from productive_sage.copying import hold
    from productive_sage.copying.answered import Replay
    from productive_sage.terminal import reports

    outcomes = [one.told for one in saved.documents if not one.plan]
    agree = cast("Agree", _agreed)
    if report:
        reports.check(report)
    if not as_json and not current.quiet:
        when = f"{saved.made_at.astimezone():%Y-%m-%d %H:%M}"
        asking.say(f"The plan was made on {when} by {saved.made_by}")
    if not (yes or dry_run):
        agree = batches.agreement(saved.order.kind, [*outcomes], what="a plan is carried out")

    stopped = Stopped(UNSENT if dry_run else None)
    check = partial(hold.check_settings, saved, current.profile)
    with current.desk(check, dry_run=dry_run) as desk, stopped:
        hold.check_books(saved, desk)
        replay = None if saved.answers is None else Replay(saved.answers)
        holder = hold.Hold(saved, desk)
        batches.run(saved.order, replace(desk, ask=replay), outcomes, agree, holder)
    batches.end(
        *(saved.order, outcomes, stopped),
        report=report,
        plan=None,
        as_json=as_json,
        dry_run=dry_run,
    )


def _agreed(_told: "Sequence[Outcome]") -> None:
    """Every document is planned and held against the file before the first is sent."""
