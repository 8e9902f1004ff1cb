"""`copy-invoice` and `credit-note`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from productive_sage.cli import batches
from productive_sage.cli.common import (
    UNSENT,
    DryRun,
    Json,
    Naming,
    Stopped,
    a_period,
    exclude,
    offered,
    with_groups,
)
from productive_sage.cli.session import current
from productive_sage.errors import Interrupted, UsageProblem

if TYPE_CHECKING:
    from productive_sage.copying import Agree
    from productive_sage.copying.order import CopyOrder
    from productive_sage.copying.records import Outcome
    from productive_sage.desk import Desk
    from productive_sage.kinds import Kind
    from productive_sage.register import Selection


@dataclass(frozen=True, slots=True)
class _Again:
    """What is wanted of a document that has a copy."""

    update_existing: Annotated[
        bool, typer.Option("--update-existing", help="Bring the latest copy up to date.")
    ] = False
    create_new: Annotated[bool, typer.Option("--create-new", help="Make another copy.")] = False
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="With --update-existing: as Productive says, whatever was changed in Sage.",
        ),
    ] = False

    def word(self) -> str | None:
        """`update`, `new`, or None to ask."""
        exclude("--update-existing", self.update_existing, "--create-new", self.create_new)
        if self.overwrite and not self.update_existing:
            raise UsageProblem(
                "`--overwrite` goes with `--update-existing`",
                hint="add `--update-existing`, or leave `--overwrite` out",
            )
        return "update" if self.update_existing else "new" if self.create_new else None


@dataclass(frozen=True, slots=True)
class _Booking:
    """Whether new copies are booked."""

    draft: Annotated[
        bool,
        typer.Option("--draft", help="Leave new copies drafts in Sage, for `psage release`."),
    ] = False
    booked: Annotated[
        bool, typer.Option("--booked", help="Book new copies, whatever the settings say.")
    ] = False

    def word(self, again: str | None) -> bool | None:
        """Whether they are left drafts; None as the settings say."""
        exclude("--draft", self.draft, "--booked", self.booked)
        for flag, is_given in (("--draft", self.draft), ("--booked", self.booked)):
            exclude(flag, is_given, "--update-existing", again == "update")
        return self.draft if self.draft or self.booked else None


@dataclass(frozen=True, slots=True)
class _Without:
    """What is left out of a copy, or comes from a person instead."""

    no_tax: Annotated[bool, typer.Option("--no-tax", help="No tax on the copy.")] = False
    no_pdf: Annotated[bool, typer.Option("--no-pdf", help="Leave the PDF out.")] = False
    pdf_file: Annotated[
        Path | None,
        typer.Option(
            "--pdf-file",
            metavar="FILE",
            help="The PDF of the one document, where Productive's API shows none.",
        ),
    ] = None

    def handed_pdf(self) -> bytes | None:
        """The content of `--pdf-file`, read before anything is sent."""
        from productive_sage.copying.pdf_files import read_pdf

        if self.pdf_file is None:
            return None
        exclude("--pdf-file", True, "--no-pdf", self.no_pdf)
        return read_pdf(self.pdf_file)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Which documents are selected instead of named, and what is done beside copying them."""

    all_uncopied: Annotated[
        bool, typer.Option("--all-uncopied", help="Every document that has no copy in Sage yet.")
    ] = False
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="Of those, the ones dated in this month.")
    ] = None
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="The ones from this day on.")
    ] = None
    until: Annotated[str | None, typer.Option(metavar="DATE", help="The ones to this day.")] = None
    company: Annotated[
        str | None, typer.Option(metavar="NAME", help="The ones of this company: name or id.")
    ] = None
    limit: Annotated[
        int | None, typer.Option(metavar="COUNT", help="At most so many, the oldest first.", min=1)
    ] = None
    report: batches.ReportFile = None
    retry_failed: Annotated[
        Path | None,
        typer.Option("--retry-failed", metavar="FILE", help="Take what failed from such a report."),
    ] = None
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="Send nothing; save the plan for psage apply FILE."
        ),
    ] = None
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a batch is sent.")] = (
        False
    )

    def check(self, words: Sequence[str], again: str | None) -> None:
        """Raises UsageProblem where the documents are said in two ways, or in none.

        `again` is what is wanted of those that have a copy.
        """
        narrowed = bool(self.month or self.since or self.until or self.company or self.limit)
        if narrowed and not self.all_uncopied:
            raise UsageProblem(
                "`--month`, `--since`, `--until`, `--company` and `--limit` choose among "
                "`--all-uncopied`",
                hint="add `--all-uncopied`, or name the documents",
            )
        exclude("--all-uncopied", self.all_uncopied, "--retry-failed", bool(self.retry_failed))
        for flag, word in (("--update-existing", "update"), ("--create-new", "new")):
            exclude("--all-uncopied", self.all_uncopied, flag, again == word)
        if self.plan and self.report and self.plan.resolve() == self.report.resolve():
            raise UsageProblem(
                f"`--plan` and `--report` name the same file, `{self.plan}`",
                hint="name another file for one of them",
            )
        if words and (self.all_uncopied or self.retry_failed):
            raise UsageProblem(
                "documents are named, and selected too",
                hint="name them, or leave them to `--all-uncopied` or `--retry-failed`",
            )
        if not (words or self.all_uncopied or self.retry_failed):
            raise UsageProblem(
                "no document is named",
                hint="give a number, an id or an address, or `--all-uncopied`",
            )

    def selection(self) -> "Selection":
        """What of the register is meant."""
        from productive_sage.register import NOT_COPIED, Selection

        first, last = a_period(self.month, self.since, self.until)
        return Selection(NOT_COPIED, first, last, self.company or "")


@with_groups
def copy_invoice(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DOCUMENT...]",
            help="Invoices: number, Productive id, or address in the browser.",
            autocompletion=offered("invoice"),
        ),
    ] = None,
    *,
    naming: Naming,
    again: _Again,
    booking: _Booking,
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
            autocompletion=offered("tax rates"),
        ),
    ] = None,
    without: _Without,
    batch: _Batch,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Copy invoices from Productive into Sage.

    Example: psage copy-invoice 123 --update-existing
    """
    from productive_sage.kinds import INVOICE

    exclude("--customer", customer is not None, "--create-customer", create_customer)
    if remember and customer is None:
        raise UsageProblem(
            "`--remember` keeps a customer that `--customer` names, and none is named",
            hint="add `--customer NAME`, or leave `--remember` out",
        )
    batch.check(ids or (), again.word())
    order = _order(
        *(INVOICE, ids or (), naming, again, without),
        draft=booking.word(again.word()),
        customer=customer,
        create_customer=create_customer,
        remember=remember,
        tax_rate=tax_rate,
    )
    _copy(order, batch, dry_run=dry_run, as_json=as_json)


@with_groups
def credit_note(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DOCUMENT...]",
            help="Credit notes: number, Productive id, or address in the browser.",
            autocompletion=offered("credit_note"),
        ),
    ] = None,
    *,
    naming: Naming,
    again: _Again,
    booking: _Booking,
    customer: Annotated[
        str | None,
        typer.Option(metavar="CONTACT", help="Sage contact; that of the credited invoice's copy."),
    ] = None,
    tax_rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Sage tax rate: id, name or percentage; else the invoice's.",
            autocompletion=offered("tax rates"),
        ),
    ] = None,
    without: _Without,
    batch: _Batch,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Copy credit notes into Sage and set them against the copies of their invoices.

    Example: psage credit-note 130
    """
    from productive_sage.kinds import CREDIT_NOTE

    batch.check(ids or (), again.word())
    order = _order(
        *(CREDIT_NOTE, ids or (), naming, again, without),
        draft=booking.word(again.word()),
        customer=customer,
        tax_rate=tax_rate,
    )
    _copy(order, batch, dry_run=dry_run, as_json=as_json)


def _order(
    kind: "Kind",
    words: Sequence[str],
    naming: Naming,
    again: _Again,
    without: _Without,
    **more: Any,
) -> "CopyOrder":
    """What is asked for, as it was typed. Raises UsageProblem where that makes no sense."""
    from productive_sage.copying.order import CopyOrder

    exclude("--tax-rate", more["tax_rate"] is not None, "--no-tax", without.no_tax)
    names = naming.read(words)
    if words and not names:
        raise UsageProblem("no document is named", hint="give a number, an id or an address")
    return CopyOrder(
        keys=tuple(name.typed for name in names),
        kind=kind,
        by_number=naming.number,
        by_id=naming.by_id,
        no_tax=without.no_tax,
        again=again.word(),
        overwrite=again.overwrite,
        with_pdf=not without.no_pdf,
        pdf=without.handed_pdf(),
        **more,
    )


_NO_PLAN = Interrupted(
    "interrupted; nothing was sent, and no plan was saved", hint="run the command again"
)


def _copy(order: "CopyOrder", batch: _Batch, *, dry_run: bool, as_json: bool) -> None:
    """Copy documents of either kind, show what became of each, and end with the exit code."""
    from productive_sage.copying import plan_file
    from productive_sage.terminal import reports

    outcomes: list[Outcome] = []
    selection = batch.selection() if batch.all_uncopied else None
    if batch.retry_failed:
        order, unnamed = _reported(order, reports.failed_in(batch.retry_failed))
        outcomes += unnamed
    if batch.report:
        reports.check(batch.report)
    if batch.plan:
        exclude("--plan", True, "--pdf-file", order.pdf is not None)
        plan_file.check_place(batch.plan)
    dry_run = dry_run or batch.plan is not None
    agree = _agreement(order, batch, outcomes, dry_run=dry_run)
    stopped = Stopped((_NO_PLAN if batch.plan else UNSENT) if dry_run else None)
    with current.desk(order.check, dry_run=dry_run) as desk, stopped:
        if selection:
            order, unread = _selected(order, selection, desk, batch.limit)
            outcomes += unread
        if batch.plan:
            _save(order, desk, batch.plan, outcomes)
            stopped.interrupted = None  # it is saved
        else:
            batches.run(order, desk, outcomes, agree)
    batches.end(
        order,
        outcomes,
        stopped,
        report=batch.report,
        plan=batch.plan,
        as_json=as_json,
        dry_run=dry_run,
    )


def _reported(
    order: "CopyOrder", failed: Sequence[tuple[str, str]]
) -> "tuple[CopyOrder, list[Outcome]]":
    """The order for what failed by a report, and a refusal for what it has no id of."""
    from productive_sage import naming
    from productive_sage.copying.records import Outcome
    from productive_sage.errors import Refused

    kind = order.kind
    unnamed = [
        Outcome(
            "refused",
            "",
            number=number,
            kind=kind,
            error=Refused(
                f"{kind.name} `{number}` has no id in the report, since it could not be read then",
                code="not_as_reported",
                hint=f"name it: `psage {kind.command} {naming.to_type(number, number)}`",
            ),
        )
        for key, number in failed
        if not key
    ]
    numbers = {key: number for key, number in failed if key}
    return replace(_chosen(order, numbers), is_reported=True), unnamed


def _chosen(order: "CopyOrder", numbers: dict[str, str]) -> "CopyOrder":
    """The order for documents that psage chose, by id."""
    keys = tuple(numbers)
    return replace(order, keys=keys, by_id=True, by_number=False, is_selected=True, numbers=numbers)


def _save(order: "CopyOrder", desk: "Desk", path: Path, outcomes: "list[Outcome]") -> None:
    """Plan, and save that; raises what no document got past, since that makes no plan."""
    from productive_sage import __version__, history
    from productive_sage.copying import plan_file
    from productive_sage.copying.saved import PlanKeeper

    keeper = PlanKeeper(order, desk)
    batches.run(keeper.order, keeper.desk, outcomes, check=keeper)
    for one in outcomes:
        if one.error and one.error.stops_batch:
            raise one.error
    made = keeper.saved(outcomes, history.user(), version=__version__, profile=current.profile)
    plan_file.write(path, made)


def _agreement(
    order: "CopyOrder", batch: _Batch, known: "Sequence[Outcome]", *, dry_run: bool
) -> "Agree | None":
    """How a person agrees to what psage selects; None where nobody has to.

    `known` are the outcomes by then, of documents that cannot be read.
    Raises InputNeeded where somebody has to, and nobody can be asked.
    """
    if batch.yes or dry_run or not (batch.all_uncopied or batch.retry_failed):
        return None
    return batches.agreement(order.kind, known, what="documents that psage selects are copied")


def _selected(
    order: "CopyOrder", selection: "Selection", desk: "Desk", limit: int | None
) -> "tuple[CopyOrder, list[Outcome]]":
    """The order for what is selected, the oldest first, and a refusal for what cannot be read."""
    from productive_sage import register
    from productive_sage.copying.records import Outcome

    found = register.look(desk, selection, waiting={})
    rows = [row.entry for row in found.rows if row.entry.kind is order.kind]
    rows.sort(key=lambda one: (one.invoiced_on or date.max, one.number))
    unread = [
        Outcome("refused", one.id, number=one.name, error=one.error, kind=order.kind)
        for one in found.unreadable
        if one.is_finalised
        and one.kind in (order.kind, None)
        and not desk.store.copies.latest(one.id)
        and not (selection.company or limit)  # whose company nobody knows
    ]
    return _chosen(order, {one.id: one.number for one in rows[:limit]}), unread
