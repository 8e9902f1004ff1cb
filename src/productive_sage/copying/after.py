"""What follows a copy: mark and number in Productive, the PDF, a credit note's allocation.

None of it can undo the copy. What a service refuses becomes a notice; what failed for the moment
stays `pending` in the store, and the next run does it.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal

from productive_sage import markers, money
from productive_sage.copying import allocations, doubles, in_sage, pdf_files
from productive_sage.copying.records import PdfResult
from productive_sage.desk import Desk
from productive_sage.errors import (
    CopyGone,
    PsageError,
    Refused,
    RefusedByProductive,
    RefusedBySage,
    UsageProblem,
)
from productive_sage.errors.defects import Defect, defects_told
from productive_sage.errors.notices import Notice
from productive_sage.http import Recorder
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import About, Link

UNTOLD = {
    "created": "create",
    "created-new": "create-new",
    "updated": "update",
    "released": "release",
}
"""Words in `pending` of a run that has not said yet what it did, and what that was."""

_LAST_TRY = "pdf-again"
"""In `pending` beside `pdf` where Sage has linked the PDF to nothing once already."""


@dataclass
class Done:
    """What the follow-ups did."""

    notices: list[Notice] = field(default_factory=list)
    pdf: PdfResult | None = None
    allocated: Decimal | None = None
    """What of a credit note is set against its invoice; None where that was not looked at."""
    left: set[str] = field(default_factory=set)
    """What the next run tries again, by its word in `pending`."""
    handed_over: dict[str, str] = field(default_factory=dict)
    """What is to be known of the PDF from now on, by its column."""

    @property
    def is_left(self) -> bool:
        """Whether there is something for the next run."""
        return bool(self.left)


def pending(desk: Desk, *, with_pdf: bool) -> frozenset[str]:
    """What is left to do after a copy, by the settings."""
    number = desk.settings.numbering == "sage" and desk.settings.write_number_back
    return frozenset(
        {"mark"} | ({"number"} if number else set()) | ({"pdf"} if with_pdf else set())
    )


def finish(
    desk: Desk, link: Link, invoice: Invoice | None, document: SageDocument, *, again: bool = False
) -> Done:
    """Do what is pending; `again` where an earlier try may have got half-way.

    Where `invoice` is None only what concerns Sage alone is done. A draft that was asked for is
    marked at once, so that no other machine makes it again. The rest waits until it is released:
    the number and Sage's PDF come then, an attachment needs a transaction, an allocation a booking.
    """
    done = Done(left=set(link.pending))
    if document.is_draft and not link.waits_for_release:
        return done  # what is not booked is no copy yet, so Productive is told nothing
    steps = _steps(desk, link, invoice, document, done, again=again)
    left = done.left
    left -= _done_with(desk, link, invoice, document)
    todo = _due(desk, left, document, invoice)
    for name in todo:
        if name not in left:
            continue  # done along with another
        _step(name, *steps[name], done=done)
        if name != todo[-1]:
            _keep(desk, link, done)
    left -= set(UNTOLD) | (set() if "pdf" in left else {_LAST_TRY})
    _keep(desk, link, done)
    return done


def _steps(
    desk: Desk,
    link: Link,
    invoice: Invoice | None,
    document: SageDocument,
    done: Done,
    *,
    again: bool,
) -> dict[str, tuple[Callable[[], None], str, str]]:
    """What may be to do, by its word in `pending`, with the notice where that fails."""
    number = invoice.number if invoice else desk.store.copies.number_of(link.productive_id)
    about = About(link.productive_id, number, document.currency)
    record = desk.store.events.recorder(about)

    def hand_over_pdf() -> None:
        if invoice is None:
            return
        if desk.settings.pdf == "productive":
            _from_productive(desk, link, invoice, document, about, again=again, done=done)
        else:
            _from_sage(desk, link, invoice, document, record, done=done)

    def patch(attributes: Mapping[str, object]) -> None:
        if invoice:
            desk.productive.invoices.change(invoice.id, attributes, record)

    return {
        "allocate": (
            lambda: _allocate(desk, link, document, record, done),
            "allocation_failed",
            f"{document.number} was not set against the invoice it credits",
        ),
        "mark": (
            lambda: patch(_mark(document)),
            "mark_refused",
            f"the {link.kind.name} in Productive could not be marked as copied",
        ),
        "number": (
            lambda: patch({"number": document.number}),
            "number_refused",
            f"Sage's number {document.number} could not be written to Productive",
        ),
        "pdf": (
            hand_over_pdf,
            "pdf_failed",
            "the PDF was not handed over",
        ),
    }


def _done_with(desk: Desk, link: Link, invoice: Invoice | None, document: SageDocument) -> set[str]:
    """What is not to be done any more."""
    words = set[str]()
    if "number" not in pending(desk, with_pdf=True):
        words.add("number")  # wanted by the settings of another day
    if _is_old(desk, link, invoice):
        # The invoice in Productive belongs to its latest copy.
        words |= {"mark", "number"} | ({"pdf"} if desk.settings.pdf == "sage" else set())
    if not document.is_draft:
        words.add("release")  # somebody has done it
    return words


def _due(desk: Desk, left: set[str], document: SageDocument, invoice: Invoice | None) -> list[str]:
    """What can be done now, in its order: Sage's PDF takes the mark along (see `_from_sage`)."""
    of_invoice = (
        ("pdf", "mark", "number") if desk.settings.pdf == "sage" else ("mark", "number", "pdf")
    )
    order = ("mark",) if document.is_draft else ("allocate", *of_invoice)
    return [name for name in order if name in left and (invoice or name == "allocate")]


def _is_old(desk: Desk, link: Link, invoice: Invoice | None) -> bool:
    """Whether there is a later copy, known here or, made by another machine, to Productive."""
    latest = desk.store.copies.latest(link.productive_id)
    if latest and latest.id != link.id:
        return True
    if invoice is None:
        return False
    with suppress(PsageError):  # what cannot be read is no later copy
        if found := doubles.made_elsewhere(desk, link.kind, invoice):
            return found[0] > link.copy_number and not in_sage.gone(found[1])
    return False


def _allocate(desk: Desk, link: Link, document: SageDocument, record: Recorder, done: Done) -> None:
    found = allocations.allocate(desk, link, document, record)
    done.allocated = found.amount
    if found.rest:
        done.notices.append(rest_on_account(found, document.number, document.currency))


def rest_on_account(found: allocations.Allocated, number: str, currency: str) -> Notice:
    """What of a credit note is more than its invoice has open."""
    return Notice(
        "rest_on_account",
        f"{money.said(found.amount, currency)} of {number} "
        f"{'are' if found.amount else 'is'} set against {found.invoice_number}; "
        f"{money.said(found.rest, currency)} stay on the customer's account",
    )


def _step(name: str, work: Callable[[], None], code: str, what: str, *, done: Done) -> None:
    """Do one thing; a refusal ends it, any other failure leaves it to the next run.

    A credit note is set against its invoice in the end, so that is tried again in any case, unless
    one of the two is gone.
    """
    done.left.discard(name)
    try:
        with defects_told(what):
            work()
    except Defect:  # the copy stands, whatever happens to what follows it
        done.notices.append(Notice(code, f"{what}: a defect of psage; the log has the details"))
    except PsageError as error:
        is_no = isinstance(error, Refused | UsageProblem) and name != "allocate"
        if not (is_no or isinstance(error, CopyGone)):
            done.left.add(name)
        later = "; the next run tries again" if name in done.left else ""
        if name == "allocate" and isinstance(error, RefusedBySage):
            later += (
                " (it needs an edition with allocations and full access to Sales, Purchases and "
                "Contacts; or set it against the invoice in Sage by hand)"
            )
        done.notices.append(Notice(code, f"{what}: {error.message}{later}"))


def _keep(desk: Desk, link: Link, done: Done) -> None:
    """Record what is left; where that fails the next run does some of it again."""
    try:
        desk.store.copies.change(link, pending=frozenset(done.left), **done.handed_over)
    except PsageError as error:
        done.notices.append(
            Notice("not_recorded", f"psage's records were not updated: {error.message}")
        )


def _mark(document: SageDocument) -> dict[str, object]:
    mark: dict[str, object] = {"exported": True, "export_id": document.id}
    return mark | ({"export_invoice_url": document.url} if document.url else {})


def _from_productive(
    desk: Desk,
    link: Link,
    invoice: Invoice,
    document: SageDocument,
    about: About,
    *,
    again: bool,
    done: Done,
) -> None:
    """Attach Productive's PDF to the Sage document, in place of the one psage attached before."""
    content = _made_in_productive(desk, link, invoice, done)
    if content is None:
        return
    digest = hashlib.sha256(content).hexdigest()
    name = pdf_files.file_name(
        invoice.number or document.number, markers.of_copy(invoice.id, link.copy_number)
    )
    done.pdf = PdfResult("productive", name, digest, attached=True)
    if digest == link.pdf_sha256:
        return
    done.pdf = PdfResult("productive", name, digest, attached=False)
    # An attachment has no key that makes it repeatable, and its content cannot be told from the
    # list: where an earlier try may have got half-way, attach afresh and remove all of ours.
    mine = f"({markers.of_copy(invoice.id, link.copy_number)}).pdf"
    there = desk.sage.pdfs.attached(link.kind, document) if again else {}
    ours = [attachment for attachment, file in there.items() if file.endswith(mine)]
    record = desk.store.events.recorder(about)
    attached, is_linked = desk.sage.pdfs.attach(
        link.kind, document, record, name=name, content=content
    )
    if not is_linked:
        _take_back(desk, link, attached, name, about, done)
        return
    for old in {*ours, *filter(None, [link.pdf_attachment_id])} - {attached}:
        _remove(desk, old, there.get(old, ""), about)
    done.handed_over = {"pdf_sha256": digest, "pdf_attachment_id": attached}
    done.pdf = PdfResult("productive", name, digest, attached=True)


def _made_in_productive(desk: Desk, link: Link, invoice: Invoice, done: Done) -> bytes | None:
    """The PDF a person hands over, else Productive's, else the file named after the document."""
    if content := desk.handed_pdf(invoice):
        return content
    if invoice.pdf_url:
        content = desk.productive.pdfs.fetch(invoice.pdf_url)
        pdf_files.check(content)
        return content
    files = pdf_files.named_after(desk.pdf_folder, invoice.number)
    if len(files) == 1:
        return pdf_files.read_pdf(files[0])
    if files:
        names = ", ".join(f"`{file.name}`" for file in files)
        said = f"several files in `{desk.pdf_folder}` are named after it, so none is attached"
        done.notices.append(Notice("pdf_ambiguous", f"{said}: {names}"))
    elif link.pdf_sha256 is None:
        done.notices.append(
            Notice(
                "pdf_missing",
                "Productive shows no PDF, so none is attached; name a file with `--pdf-file`, or "
                f"put it into `{desk.pdf_folder}` under a name with the document's number, and run "
                "the command with `--update-existing`",
            )
        )
    return None


def _remove(desk: Desk, attachment_id: str, name: str, about: About) -> None:
    about = replace(about, removed={"file": name} if name else {})
    desk.sage.pdfs.detach(attachment_id, desk.store.events.recorder(about))


def _take_back(
    desk: Desk, link: Link, attachment_id: str, name: str, about: About, done: Done
) -> None:
    """Remove the attachment Sage linked to nothing; the next run tries once more, none after it."""
    if _LAST_TRY in link.pending:
        later = "attach it in Sage by hand"
    else:
        later = "the next run tries once more"
        done.left |= {"pdf", _LAST_TRY}
    try:
        _remove(desk, attachment_id, name, about)
        gone = "it was taken back"
    except PsageError as error:
        gone = f"attachment {attachment_id} could not be taken back ({error.message})"
    said = f"Sage took the PDF `{name}`, but linked it to no document; {gone}; {later}"
    done.notices.append(Notice("pdf_not_attached", said))


def _from_sage(
    desk: Desk,
    link: Link,
    invoice: Invoice,
    document: SageDocument,
    record: Recorder,
    *,
    done: Done,
) -> None:
    """Keep Sage's PDF in the folder and make it the invoice's PDF in Productive.

    Done once more it changes nothing. The mark goes along with it, or a batch would meet
    Productive's limits: 100 calls in 10 seconds are three for each of Sage's POSTs.
    """
    content = desk.sage.pdfs.made(link.kind, document.id)
    pdf_files.check(content)
    digest = hashlib.sha256(content).hexdigest()
    name = pdf_files.file_name(document.number, markers.of_copy(invoice.id, link.copy_number))
    path = desk.pdf_folder / name
    pdf_files.save(path, content)
    done.pdf = PdfResult("sage", str(path), digest, attached=False)
    if digest != link.pdf_sha256:
        attachment = desk.productive.pdfs.upload(record, name=name, content=content)
        _link_pdf(desk, invoice, document, attachment, record, done=done)
        done.handed_over = {"pdf_sha256": digest}
    done.pdf = PdfResult("sage", str(path), digest, attached=True)


def _link_pdf(
    desk: Desk,
    invoice: Invoice,
    document: SageDocument,
    attachment: int,
    record: Recorder,
    *,
    done: Done,
) -> None:
    """Make an attachment the invoice's PDF, with the mark where due; without, if refused."""
    own, mark = {"attachment_id": attachment}, _mark(document) if "mark" in done.left else {}
    try:
        desk.productive.invoices.change(invoice.id, {**mark, **own}, record)
    except RefusedByProductive:
        if not mark:
            raise
        desk.productive.invoices.change(invoice.id, own, record)
    else:
        done.left.discard("mark")
