"""`copy-invoice` and `credit-note`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from productive_sage.cli.common import (
    DryRun,
    Id,
    Json,
    Number,
    exclude,
    offered,
    output,
)
from productive_sage.cli.session import current
from productive_sage.errors import Interrupted, PsageError, UsageProblem

if TYPE_CHECKING:
    from productive_sage.copying.order import Order
    from productive_sage.models import Outcome, Settings

UpdateExisting = Annotated[
    bool, typer.Option("--update-existing", help="Bring the latest copy up to date.")
]
CreateNew = Annotated[bool, typer.Option("--create-new", help="Make another copy.")]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="With --update-existing: as Productive says, whatever was changed in Sage.",
    ),
]
NoTax = Annotated[bool, typer.Option("--no-tax", help="No tax on the copy.")]
NoPdf = Annotated[bool, typer.Option("--no-pdf", help="Leave the PDF out.")]
PdfFile = Annotated[
    Path | None,
    typer.Option(
        "--pdf-file",
        metavar="FILE",
        help="The PDF of the one document, where Productive's API shows none.",
    ),
]


def copy_invoice(
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="DOCUMENT...",
            help="Invoices: number, Productive id, or address in the browser.",
            autocompletion=offered("invoice"),
        ),
    ],
    number: Number = False,
    by_id: Id = False,
    update_existing: UpdateExisting = False,
    create_new: CreateNew = False,
    overwrite: Overwrite = False,
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
    no_tax: NoTax = False,
    no_pdf: NoPdf = False,
    pdf_file: PdfFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Copy invoices from Productive into Sage.

    Example: psage copy-invoice 123 --update-existing
    """
    from productive_sage.copying.order import Order

    exclude("--update-existing", update_existing, "--create-new", create_new)
    if overwrite and not update_existing:
        raise UsageProblem("`--overwrite` goes with `--update-existing`")
    exclude("--tax-rate", tax_rate is not None, "--no-tax", no_tax)
    exclude("--customer", customer is not None, "--create-customer", create_customer)
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


def credit_note(
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="DOCUMENT...",
            help="Credit notes: number, Productive id, or address in the browser.",
            autocompletion=offered("credit_note"),
        ),
    ],
    number: Number = False,
    by_id: Id = False,
    update_existing: UpdateExisting = False,
    create_new: CreateNew = False,
    overwrite: Overwrite = False,
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
    no_tax: NoTax = False,
    no_pdf: NoPdf = False,
    pdf_file: PdfFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Copy credit notes into Sage and set them against the copies of their invoices.

    Example: psage credit-note 130
    """
    from productive_sage.copying.order import Order
    from productive_sage.models import CREDIT_NOTE

    exclude("--update-existing", update_existing, "--create-new", create_new)
    if overwrite and not update_existing:
        raise UsageProblem("`--overwrite` goes with `--update-existing`")
    exclude("--tax-rate", tax_rate is not None, "--no-tax", no_tax)
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

    exclude("--number", number, "--id", by_id)
    names = naming.read(words, as_number=number, as_id=by_id)
    if not names:
        raise UsageProblem("no document is named", hint="give a number, an id or an address")
    return tuple(name.typed for name in names)


def _handed_pdf(path: Path | None, *, no_pdf: bool) -> bytes | None:
    """The content of `--pdf-file`, read before anything is sent."""
    from productive_sage.copying.after import read_pdf

    if path is None:
        return None
    exclude("--pdf-file", True, "--no-pdf", no_pdf)
    return read_pdf(path)


def _copy(order: "Order", *, dry_run: bool, as_json: bool) -> None:
    """Copy documents of either kind, show what became of each, and end with the exit code."""
    from productive_sage import copying
    from productive_sage.errors import NoDefaultLedger
    from productive_sage.terminal import copies, render

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

    with current.desk(check, dry_run=dry_run) as desk:
        try:
            render.collect(
                copying.copy(order, desk),
                outcomes,
                total=len(order.keys),
            )
        except KeyboardInterrupt:
            failure = Interrupted()
        except PsageError as error:
            failure = error
    outcomes = copying.last_words(outcomes)
    code = failure.exit_code if failure else copying.verdict(outcomes)
    with output():
        if as_json:
            content = copies.as_json(outcomes)
            if failure:
                content["error"] = failure.as_json()
            render.document(
                order.kind.command, current.profile, exit_code=code, dry_run=dry_run, **content
            )
        else:
            quiet, verbose = current.quiet, current.verbose
            copies.show(outcomes, dry_run=dry_run, quiet=quiet, verbose=verbose)
            if failure:
                render.error(failure)
    raise typer.Exit(code)
