"""What follows a copy: the mark and number on the Productive invoice, and the PDF.

None of it can undo the copy. What a service refuses becomes a notice; what failed for the moment
stays `pending` in the ledger, and the next run does it.
"""

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from productive_sage import allocations, mapping, money
from productive_sage.config import storage_error
from productive_sage.desk import Desk
from productive_sage.errors import (
    CopyGone,
    PsageError,
    Refused,
    RefusedBySage,
    ServiceUnavailable,
)
from productive_sage.ledger import Link
from productive_sage.models import Invoice, Notice, PdfResult, SageDocument
from productive_sage.sage import PDF_LIMIT

log = logging.getLogger("psage.followups")

UNTOLD = {"created": "create", "created-new": "create-new", "updated": "update"}
"""Words in `pending` of a run that has not said yet what it did, and what that was."""


@dataclass
class Done:
    """What the follow-ups did."""

    notices: list[Notice] = field(default_factory=list)
    pdf: PdfResult | None = None
    allocated: Decimal | None = None
    """What of a credit note is set against its invoice; None where that was not looked at."""
    is_left: bool = False
    """Whether the next run has something to try again."""


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

    Where `invoice` is None only what concerns Sage alone is done.
    """
    done = Done()

    def hand_over_pdf() -> None:
        if invoice is None:
            return
        if desk.settings.pdf == "productive":
            _from_productive(desk, link, invoice, document, again=again, done=done)
        else:
            _from_sage(desk, link, invoice, document, done=done)

    def patch(attributes: Mapping[str, object]) -> None:
        if invoice:
            desk.productive.patch_invoice(invoice.id, attributes)

    steps: dict[str, tuple[Callable[[], None], str, str]] = {
        "allocate": (
            lambda: _allocate(desk, link, document, done),
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
    left = set(link.pending)
    if "number" not in pending(desk, with_pdf=True):
        left.discard("number")  # wanted by the settings of another day
    latest = desk.ledger.latest(link.productive_id)
    if latest and latest.id != link.id:
        # The invoice in Productive belongs to its latest copy.
        left -= {"mark", "number"} | ({"pdf"} if desk.settings.pdf == "sage" else set())
    for name in [name for name in steps if name in left and (invoice or name == "allocate")]:
        _step(name, *steps[name], left=left, done=done)
        _keep(desk, link, left, done)
    left -= set(UNTOLD)
    _keep(desk, link, left, done)
    done.is_left = bool(left)
    return done


def _allocate(desk: Desk, link: Link, document: SageDocument, done: Done) -> None:
    found = allocations.allocate(desk, link, document)
    done.allocated = found.amount
    if found.rest:
        currency = document.currency
        done.notices.append(
            Notice(
                "rest_on_account",
                f"{money.amount(found.amount, currency)} {currency} of {document.number} "
                f"{'are' if found.amount else 'is'} set against {found.invoice_number}; "
                f"{money.amount(found.rest, currency)} {currency} stay on the customer's account",
            )
        )


def _step(
    name: str, work: Callable[[], None], code: str, what: str, *, left: set[str], done: Done
) -> None:
    """Do one thing; a refusal ends it, any other failure leaves it to the next run.

    A credit note is set against its invoice in the end, so that is tried again in any case, unless
    one of the two is gone.
    """
    try:
        work()
    except PsageError as error:
        if isinstance(error, CopyGone) or (isinstance(error, Refused) and name != "allocate"):
            left.discard(name)
        later = "; the next run tries again" if name in left else ""
        if name == "allocate" and isinstance(error, RefusedBySage):
            later += (
                " (it needs an edition with allocations and full access to Sales, Purchases and "
                "Contacts; or set it against the invoice in Sage by hand)"
            )
        done.notices.append(Notice(code, f"{what}: {error.message}{later}"))
    except Exception:  # the copy stands, whatever happens to what follows it
        log.exception("%s", what)
        left.discard(name)
        done.notices.append(Notice(code, f"{what}: a defect of psage; the log has the details"))
    else:
        left.discard(name)


def _keep(desk: Desk, link: Link, left: set[str], done: Done) -> None:
    """Record what is left; where that fails the next run does some of it again."""
    try:
        desk.ledger.change_link(link, pending=frozenset(left))
    except PsageError as error:
        done.notices.append(Notice("not_recorded", f"the ledger was not updated: {error.message}"))


def _mark(document: SageDocument) -> dict[str, object]:
    mark: dict[str, object] = {"exported": True, "export_id": document.id}
    return mark | ({"export_invoice_url": document.url} if document.url else {})


def _from_productive(
    desk: Desk, link: Link, invoice: Invoice, document: SageDocument, *, again: bool, done: Done
) -> None:
    """Attach Productive's PDF to the Sage document, in place of the one psage attached before."""
    if not invoice.pdf_url:
        done.notices.append(
            Notice(
                "pdf_missing",
                f"Productive has no PDF of this {link.kind.name} yet, so none is attached",
            )
        )
        return
    content = desk.productive.pdf(invoice.pdf_url)
    _check(content)
    digest = hashlib.sha256(content).hexdigest()
    name = _file_name(invoice.number or document.number, mapping.marker(invoice.id, link.copy))
    done.pdf = PdfResult("productive", name, digest, attached=True)
    if digest == link.pdf_sha256:
        return
    done.pdf = PdfResult("productive", name, digest, attached=False)
    # An attachment has no key that makes it repeatable, and its content cannot be told from the
    # list: where an earlier try may have got half-way, attach afresh and remove all of ours.
    mine = f"({mapping.marker(invoice.id, link.copy)}).pdf"
    ours = (
        [i for i, n in desk.sage.attachments(link.kind, document.id) if n.endswith(mine)]
        if again
        else []
    )
    attached = desk.sage.attach(link.kind, document.id, name=name, content=content)
    for old in {*ours, *filter(None, [link.pdf_attachment_id])} - {attached}:
        desk.sage.delete_attachment(old)
    desk.ledger.change_link(link, pdf_sha256=digest, pdf_attachment_id=attached)
    done.pdf = PdfResult("productive", name, digest, attached=True)


def _from_sage(
    desk: Desk, link: Link, invoice: Invoice, document: SageDocument, *, done: Done
) -> None:
    """Keep Sage's PDF in the folder and make it the invoice's PDF in Productive.

    Done once more it changes nothing.
    """
    content = desk.sage.pdf(link.kind, document.id)
    _check(content)
    digest = hashlib.sha256(content).hexdigest()
    name = _file_name(document.number, mapping.marker(invoice.id, link.copy))
    path = desk.pdf_folder / name
    _save(path, content)
    done.pdf = PdfResult("sage", str(path), digest, attached=False)
    if digest != link.pdf_sha256:
        attachment = desk.productive.upload_pdf(name=name, content=content)
        desk.productive.patch_invoice(invoice.id, {"attachment_id": attachment})
        desk.ledger.change_link(link, pdf_sha256=digest)
    done.pdf = PdfResult("sage", str(path), digest, attached=True)


def _check(content: bytes) -> None:
    if not content.startswith(b"%PDF"):
        raise ServiceUnavailable("what arrived is not a PDF")
    if len(content) > PDF_LIMIT:
        raise Refused(f"it has {len(content)} bytes, and Sage takes {PDF_LIMIT} at most")


def _file_name(number: str, marker: str) -> str:
    """A name that is safe on every system and tells psage's own file: `INV-7 (PRD-123).pdf`."""
    safe = re.sub(r"[^\w.+-]+", "-", number).strip(".-")
    return f"{safe} ({marker}).pdf".strip()


def _save(path: Path, content: bytes) -> None:
    """Replace the file in one step."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)  # noqa: PTH105 -- says that it replaces
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise storage_error(error, path) from error
