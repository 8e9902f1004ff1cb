"""Which document in Sage is the copy of which in Productive: known here, or made elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from productive_sage import markers
from productive_sage.copying import after, doubles, drafts, in_sage, versions
from productive_sage.copying.crediting import CreditedCopy
from productive_sage.copying.customers import Customers
from productive_sage.copying.versions import Version, Written
from productive_sage.desk import Desk
from productive_sage.errors import CopyGone, NotShown, Refused, RefusedBySage
from productive_sage.kinds import INVOICE, Kind
from productive_sage.productive.records import CreditedInvoice, Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link
from productive_sage.text import is_sage_id

_SINGLE_SEARCHES = 10
"""Up to so many markers are searched one by one; for more, all markers are read at once."""


@dataclass(frozen=True, slots=True)
class Found:
    """A copy made elsewhere that is linked now, in the place of making one."""

    invoice: Invoice
    link: Link


class Copies:
    """The copies of a run's documents, those psage knows and those made elsewhere."""

    def __init__(
        self,
        desk: Desk,
        kind: Kind,
        customers: Customers,
        *,
        takes_drafts: bool = False,
        listed: Mapping[str, SageDocument] | None = None,
    ) -> None:
        """`takes_drafts`: a draft is as good as a booked copy, since that is what is wanted.

        `listed` are whole documents that need not be read one by one to be linked, by id.
        """
        self._desk = desk
        self._takes_drafts = takes_drafts
        self._kind = kind
        self._customers = customers
        self._listed = listed or {}
        self._seen: dict[str, list[tuple[int, str]]] | None = None

    def look_for(self, invoice_ids: Sequence[str]) -> None:
        """In a large batch, read all markers at once, and once, instead of searching for each."""
        if self._seen is not None:
            return
        unknown = [key for key in invoice_ids if not self._desk.store.copies.of(key)]
        if len(unknown) > _SINGLE_SEARCHES:
            self._seen = _copies(self._desk, self._kind, "PRD-")

    def latest(self, invoice: Invoice, wanted: str | None) -> Link | None:
        """The latest copy psage knows; where Productive names another one, the records are old.

        Whoever wants a new one is asked again where that turns up, so it is not looked for here.
        """
        links = self._desk.store.copies.of(invoice.id)
        if links and wanted != "new" and doubles.unknown(invoice.export_id, links):
            return self.adopt(invoice) or links[-1]
        return links[-1] if links else None

    def adopt(self, invoice: Invoice) -> Link | None:
        """Link copies the store does not know; returns the last.

        They are found by their markers, or by the id psage left on the Productive invoice where
        Sage's search does not show a fresh document yet. Raises `copy_unclear` where it is not
        sure, CopyIsDraft for one that is not booked: once it is released, another copy is one too
        many.
        """
        desk, found = self._desk, self._unknown(invoice)
        # All are checked before any is linked: half of it would hide the question the next time.
        copies = [(n, self._only(invoice, documents)) for n, documents in sorted(found.items())]
        for _, document in copies:
            self._check_booked(invoice, document, is_wanted=self._takes_drafts)
            self._check_fit(invoice, document)
        credited = self.credited(invoice) if copies else None
        adopted = None
        for number, document in copies:
            adopted = Link.found(
                invoice.kind,
                invoice.id,
                number,
                desk.sage.business_id,
                document,
                credited_sage_id=credited.document.id if credited else None,
                written=as_made(document),
            )
            if not desk.dry_run:
                adopted = desk.store.copies.adopt(adopted, invoice.number)
        return adopted

    def _unknown(self, invoice: Invoice) -> dict[int, list[SageDocument]]:
        """What Sage holds under the invoice's markers and the store does not know, by number."""
        links = self._desk.store.copies.of(invoice.id)
        known, own = {link.copy_number for link in links}, {link.sage_id for link in links}
        seen = self._seen
        if seen is None or known or invoice.kind is not self._kind:
            seen = _copies(self._desk, invoice.kind, markers.of_copy(invoice.id, 1))
        found: dict[int, list[SageDocument]] = {}
        for number, sage_id in seen.get(invoice.id, []):
            if sage_id in own or not (document := self._whole(invoice.kind, sage_id)):
                continue
            if number in known:  # somebody duplicated the copy by hand
                document.check_booked(f"a second copy of {invoice.label}")
            else:
                found.setdefault(number, []).append(document)
        if not found and invoice.export_id not in own and (exported := self._exported(invoice)):
            marker = markers.in_reference(exported.reference) or ("", 1)
            if marker[1] not in known and (marker[0] == invoice.id or not known):
                found[marker[1]] = [exported]
        return found

    def _whole(self, kind: Kind, sage_id: str) -> SageDocument | None:
        return self._listed.get(sage_id) or self._desk.sage.documents.one(kind, sage_id)

    def _exported(self, invoice: Invoice) -> SageDocument | None:
        """The document whose id the Productive invoice holds; another system's id is none."""
        if not is_sage_id(invoice.export_id):
            return None
        try:
            return self._desk.sage.documents.one(invoice.kind, str(invoice.export_id))
        except RefusedBySage:
            return None

    def present(self, invoice: Invoice, link: Link) -> tuple[Link, SageDocument | None]:
        """A copy as it is in Sage, None where it was deleted. Raises CopyIsDraft unless it may be.

        Where two machines made it, and somebody voided the one known here, it is the other from
        now on. What Sage's answer gave a wrong id is found again by marker and number.
        """
        try:
            present = self._desk.sage.documents.known(invoice.kind, link.sage_id)
        except NotShown:
            link, present = self._double(invoice, link, number=link.sage_number) or (link, None)
            if present is None:
                raise
        if in_sage.gone(present):
            link, present = self._double(invoice, link) or (link, present)
        if present:
            is_wanted = link.waits_for_release or self._takes_drafts
            self._check_booked(invoice, present, is_wanted=is_wanted)
        return link, present

    def _check_booked(self, invoice: Invoice, document: SageDocument, *, is_wanted: bool) -> None:
        """Raises CopyIsDraft; not for a draft that `is_wanted`, but for a pro forma in any case."""
        if not (is_wanted and document.status == "DRAFT"):
            document.check_booked(f"the copy of {invoice.label}", invoice.typed)

    def _double(
        self, invoice: Invoice, link: Link, *, number: str | None = None
    ) -> tuple[Link, SageDocument] | None:
        """The living document with the marker of a copy that is gone, linked in its place.

        With a number, only the document that has it.
        """
        desk, wanted = self._desk, (invoice.id, link.copy_number)
        found = [
            document
            for sage_id, reference in desk.sage.documents.with_marker(
                invoice.kind, markers.of_copy(*wanted)
            )
            if markers.in_reference(reference) == wanted and sage_id != link.sage_id
            if (document := desk.sage.documents.one(invoice.kind, sage_id))
            and not in_sage.gone(document)
            and number in (None, document.number)
        ]
        if not found:
            return None
        document = self._only(invoice, found)
        self._check_fit(invoice, document)
        changes: dict[str, Any] = {
            "sage_id": document.id,
            "sage_number": document.number,
            "written": as_made(document),
            "pending": link.pending | {"mark"},
        }
        if not desk.dry_run:
            desk.store.copies.change(link, **changes)
        return replace(link, **changes), document

    def _only(self, invoice: Invoice, documents: list[SageDocument]) -> SageDocument:
        living = [document for document in documents if not in_sage.gone(document)]
        if len(living) > 1:
            numbers = ", ".join(document.number for document in living)
            raise Refused(
                f"Sage holds {len(living)} documents with the reference of {invoice.label}: "
                f"{numbers}",
                code="copy_unclear",
                hint="void the wrong one in Sage, or take `PRD-…` out of its reference there",
                details={"sage_ids": [document.id for document in living]},
            )
        return (living or documents)[0]

    def _check_fit(self, invoice: Invoice, document: SageDocument) -> None:
        """A reference is only text: the customer and the currency must be this invoice's too."""
        marker = markers.in_reference(document.reference)
        is_ours = marker is None or marker[0] == invoice.id
        if is_ours and (
            document.id == invoice.export_id
            or (
                document.currency == invoice.currency
                and self._customers.fits(invoice, document.contact_id, document.contact_name)
            )
        ):
            return
        raise Refused(
            f"{document.number} in Sage may be the copy of {invoice.label}, but its reference is "
            f"`{document.reference}`, and it is for `{document.contact_name}` in "
            f"{document.currency}",
            code="copy_unclear",
            hint=f'if it is the copy, say so with `--customer "{document.contact_name}"`; if not, '
            "take `PRD-…` out of its reference in Sage",
            details={"sage_id": document.id},
        )

    def credited(self, note: Invoice) -> CreditedCopy | None:
        """The copy of the invoice that is credited; None for an invoice.

        Raises `partial_credit`, `invoice_not_copied`, CopyGone, or `copy_outdated` where the copy
        is not what the credit note credits.
        """
        if note.kind is INVOICE:
            return None
        credited, desk = drafts.check_whole(note), self._desk
        link, read = self._latest_of(credited)
        if link is None:
            raise Refused(
                f"{note.label} credits {credited.label}, which has no copy in Sage",
                code="invoice_not_copied",
                hint=f"copy that first: `psage copy-invoice {credited.typed}`",
                details={"invoice": credited.id},
            )
        copy = self._listed.get(link.sage_id) or desk.sage.documents.known(INVOICE, link.sage_id)
        if copy is None or (gone := in_sage.gone(copy)):
            gone = gone if copy else "deleted"
            raise CopyGone(
                f"the copy {link.sage_number} of {credited.label}, which {note.label} credits, was "
                f"{gone} in Sage, so there is nothing to credit",
                hint="to have both in the books: "
                f"`psage copy-invoice {credited.typed} --create-new`, then this again",
                details={"sage_id": link.sage_id, "sage_number": link.sage_number},
            )
        what = f"the copy of {credited.label}, which {note.label} credits,"
        copy.check_booked(what, credited.typed)
        if (copy.currency, copy.net) != (credited.currency, credited.net):
            raise Refused(
                f"{note.label} credits {credited.net} {credited.currency} net of "
                f"{credited.label}, but its copy {copy.number} in Sage is {copy.net} "
                f"{copy.currency} net",
                code="copy_outdated",
                hint=f"bring the copy up to date: `psage copy-invoice {credited.typed} "
                "--update-existing`, then this again",
                details={"sage_id": copy.id},
            )
        if read and not desk.dry_run:  # adopted just now
            after.finish(desk, link, read, copy)
        return CreditedCopy(link, copy)

    def _latest_of(self, credited: CreditedInvoice) -> tuple[Link | None, Invoice | None]:
        """The latest copy of an invoice that is credited; the invoice too where it had to be read.

        It is read where the store knows no copy, or another one than Productive names.
        """
        links = self._desk.store.copies.of(credited.id)
        link = links[-1] if links else None
        if link and not doubles.unknown(credited.export_id, links):
            return link, None
        found, unreadable = self._desk.productive.invoices.read(ids=[credited.id])
        if credited.id in unreadable:
            raise unreadable[credited.id]
        if not found:
            return link, None
        return self.adopt(found[0]) or link, found[0]


def copied_elsewhere(invoice: Invoice, link: Link) -> Refused:
    """The refusal of one more copy, where the last was made by another machine."""
    return Refused(
        f"Sage holds another copy of {invoice.label} that was not made by this profile: "
        f"`{markers.of_copy(invoice.id, link.copy_number)}`; it is linked now",
        code="already_copied",
        hint="look at it in Sage; run the command again if you want one more",
        details={
            "sage_id": link.sage_id,
            "sage_number": link.sage_number,
            "copy": link.copy_number,
        },
    )


def as_made(document: SageDocument) -> str | None:
    """What psage wrote, where it has no record of that: what is there, if nobody changed it."""
    if document.made_at is None or document.changed_at != document.made_at:
        return None
    nothing = Version({}, ())
    return Written(nothing, versions.held_in(document), is_as_planned=False).as_text()


def _copies(desk: Desk, kind: Kind, search: str) -> dict[str, list[tuple[int, str]]]:
    """(copy, Sage id) by Productive id, of the documents whose reference carries a marker."""
    copies: dict[str, list[tuple[int, str]]] = {}
    for sage_id, reference in desk.sage.documents.with_marker(kind, search):
        if marker := markers.in_reference(reference):
            copies.setdefault(marker[0], []).append((marker[1], sage_id))
    return copies


def living_copy(
    desk: Desk, invoice: Invoice, link: Link, present: SageDocument | None
) -> SageDocument:
    """The copy, or CopyGone."""
    gone = in_sage.gone(present)
    if present and not gone:
        return present
    command = f"psage {invoice.kind.command} {invoice.typed} --create-new"
    hint = f"if it shall be in the books again: `{command}`"
    if desk.settings.numbering == "productive":
        hint += (
            f"; its number is used up, so give the {invoice.kind.name} another in Productive first"
        )
    raise CopyGone(
        f"the copy {link.sage_number} of {invoice.label} was {gone} in Sage",
        hint=hint,
        details={"sage_id": link.sage_id, "sage_number": link.sage_number},
    )
