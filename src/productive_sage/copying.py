"""copy-invoice and credit-note: Productive's documents become Sage's, each exactly once.

Read this file from `copy` down: what an earlier run left open is settled, then each document asked
for is read, planned, sent as one recorded write, checked to the cent and followed up. "Invoice"
means either kind here, since Productive keeps both in one list. Nothing is printed here.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from productive_sage import allocations, delivery, followups, mapping
from productive_sage.customers import Customers, NewCustomer
from productive_sage.delivery import shown
from productive_sage.desk import Desk
from productive_sage.errors import (
    AlreadyCopied,
    CopyGone,
    CopyLocked,
    CopyOutdated,
    CopyUnclear,
    CustomerDiffers,
    InvoiceNotCopied,
    IsCreditNote,
    IsDraft,
    NoDefaultLedger,
    NotACreditNote,
    NotFound,
    NumberAmbiguous,
    OutcomeUnknown,
    PsageError,
    Refused,
    RefusedBySage,
    TaxRateInvalid,
    TotalsDiffer,
    UsageProblem,
)
from productive_sage.ledger import Intent, Link
from productive_sage.mapping import Tax
from productive_sage.models import (
    CREDIT_NOTE,
    INVOICE,
    Contact,
    CustomerResult,
    Draft,
    Invoice,
    Kind,
    Notice,
    Outcome,
    SageDocument,
)
from productive_sage.settling import settle

log = logging.getLogger("psage.copying")

_SINGLE_SEARCHES = 10
"""Up to so many markers are searched one by one; for more, all markers are read at once."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the person asked for."""

    keys: tuple[str, ...]
    kind: Kind = INVOICE
    by_number: bool = False
    customer: str | None = None
    create_customer: bool = False
    tax_rate: str | None = None
    """Id or name; None leaves it to the copy's present rate, the person, or the settings."""
    no_tax: bool = False
    again: str | None = None
    """`update` or `new`; None asks."""
    with_pdf: bool = True
    pdf: bytes | None = None
    """A person's file, in place of Productive's PDF."""

    def names(self, productive_id: str, number: str) -> bool:
        """Whether a document is asked for."""
        keys = [key.strip() for key in self.keys]
        return (number if self.by_number else productive_id) in keys

    def handed_pdf(self, invoice: Invoice) -> bytes | None:
        """The person's file where it is for this document."""
        is_meant = invoice.kind is self.kind and self.names(invoice.id, invoice.number)
        return self.pdf if is_meant else None


def copy(order: Order, desk: Desk) -> Iterator[Outcome]:
    """Copy the invoices in the order asked for; one outcome each, whatever happens to the others.

    First come the outcomes of what an earlier run left open. A dry run only plans. Raises what no
    document can get past: NoDefaultLedger, DifferentBusiness, a missing sign-in, a dead network.
    """
    if not desk.settings.default_ledger_account:
        raise NoDefaultLedger
    if order.pdf and len(order.keys) > 1:
        raise UsageProblem(
            "`--pdf-file` is the PDF of one document",
            hint=f"for several, put files with the documents' numbers in their names into "
            f"`{desk.pdf_folder}`",
        )
    desk.check_business()
    desk = replace(desk, handed_pdf=order.handed_pdf)
    held: dict[str, Outcome] = {}
    try:
        for outcome in () if desk.dry_run else settle(desk):
            if order.names(outcome.productive_id, outcome.number):
                earlier = held.get(outcome.productive_id)
                held[outcome.productive_id] = _both(earlier, outcome) if earlier else outcome
            else:
                yield outcome
        yield from _copy_each(order, desk, held)
    except (PsageError, KeyboardInterrupt):
        yield from held.values()  # what was settled is said, whatever else fails
        raise


def _copy_each(order: Order, desk: Desk, held: dict[str, Outcome]) -> Iterator[Outcome]:
    """One outcome for each invoice asked for; takes out of `held` what it has said."""
    sources = list(_sources(order, desk))
    invoices = [source for source in sources if isinstance(source, Invoice)]
    if order.customer is not None and len({invoice.company.id for invoice in invoices}) > 1:
        raise UsageProblem(
            "`--customer` names one customer, but these invoices are of several companies",
            hint="copy the invoices of one company at a time",
        )
    run = _Run(order, desk)
    run.look_for_copies([invoice.id for invoice in invoices])
    stopped_by: PsageError | None = None
    unknown = {intent.source_id for intent in desk.ledger.open_intents()} if desk.dry_run else set()
    for source in sources:
        earlier = held.pop(source.id, None) if isinstance(source, Invoice) else None
        if not isinstance(source, Invoice):
            yield source
        elif earlier and _is_done(order, earlier):
            yield earlier
        else:
            outcome = _not_tried(source, stopped_by) if stopped_by else run.attempt(source)
            if outcome.error and outcome.error.stops_batch:
                stopped_by = stopped_by or outcome.error
            if source.id in unknown:
                said = "an earlier write for it has no answer yet; a real run settles that first"
                notices = (*outcome.notices, Notice("open_write", said))
                outcome = replace(outcome, notices=notices)
            yield _both(earlier, outcome) if earlier else outcome
    yield from list(held.values())  # Productive no longer shows these
    held.clear()


def _is_done(order: Order, earlier: Outcome) -> bool:
    """Whether what an earlier run had begun is what this one is asked for."""
    if order.again == "new":
        return earlier.settled == "create-new"
    if order.again == "update":
        return earlier.settled == "update" and earlier.error is not None
    return bool(earlier.settled)


def _both(earlier: Outcome, later: Outcome) -> Outcome:
    """The later outcome of a document, with what the earlier one had to say."""
    main, other = (earlier, later) if earlier.error and not later.error else (later, earlier)
    return replace(
        main,
        notices=(*earlier.notices, *later.notices),
        pdf=main.pdf or other.pdf,
        settled=main.settled or other.settled,
    )


def verdict(outcomes: Sequence[Outcome]) -> int:
    """The exit code of a batch: unknown outcomes first, then partial failure, then differences."""
    codes = [outcome.error.exit_code for outcome in outcomes if outcome.error]
    failures = [code for code in codes if code != TotalsDiffer.exit_code]
    if OutcomeUnknown.exit_code in failures:
        return OutcomeUnknown.exit_code
    if failures and (len(failures) < len(outcomes) or len(set(failures)) > 1):
        return 6
    return min(failures or codes, default=0)


# --- what is asked for


def _sources(order: Order, desk: Desk) -> Iterator[Invoice | Outcome]:
    """The invoices to copy, and a refusal for each that cannot be read, in the order asked for."""
    keys = list(dict.fromkeys(key.strip() for key in order.keys))
    if order.by_number:
        found, unreadable = desk.productive.invoices(numbers=keys)
    else:
        found, unreadable = desk.productive.invoices(ids=[key for key in keys if key.isdecimal()])
    for key in keys:
        hits = [i for i in found if key == (i.number if order.by_number else i.id)]
        hits = [i for i in hits if i.kind is order.kind] or hits
        if len(hits) == 1:
            yield hits[0]
        elif hits:
            ids = ", ".join(invoice.id for invoice in hits)
            error: PsageError = NumberAmbiguous(
                f"{len(hits)} invoices in Productive carry the number `{key}`: ids {ids}",
                hint=f"copy the one you mean by its id: `psage {order.kind.command} {hits[0].id}`",
            )
            yield Outcome("refused", "", number=key, error=error, kind=order.kind)
        else:
            error = unreadable.get(key) or _missing(order, desk, key)
            yield (
                Outcome("refused", "", number=key, error=error, kind=order.kind)
                if order.by_number
                else Outcome("refused", key, error=error, kind=order.kind)
            )


def _missing(order: Order, desk: Desk, key: str) -> PsageError:
    if order.by_number:
        return NotFound(
            f"Productive has no {order.kind.name} with the number `{key}`, or does not show it to "
            "this token",
            hint="numbers must match letter by letter; without `--number` psage takes ids",
        )
    if not key.isdecimal():
        return NotFound(
            f"`{key}` is not the id of a Productive {order.kind.name}",
            hint=f"to copy by number: `psage {order.kind.command} --number {key}`",
        )
    try:
        deleted_on = desk.productive.deleted_on(key)
    except PsageError:
        deleted_on = None  # not every token may read the list of deleted things
    if deleted_on:
        return NotFound(f"{order.kind.name} {key} was deleted in Productive on {deleted_on}")
    return NotFound(
        f"Productive has no {order.kind.name} {key}, or does not show it to this token",
        hint=f"the id is the number at the end of the {order.kind.name}'s address in Productive",
    )


def _not_tried(invoice: Invoice, stopped_by: PsageError) -> Outcome:
    error = stopped_by.reworded(f"{invoice.label} was not tried: {stopped_by.message}")
    return Outcome("failed", invoice.id, number=invoice.number, error=error, kind=invoice.kind)


# --- one invoice


@dataclass(frozen=True, slots=True)
class _Credited:
    """The copy of the invoice a credit note credits."""

    link: Link
    copy: SageDocument


class _Run:
    """The state of one run: customers, copies seen in Sage, and the tax rate a person chose."""

    def __init__(self, order: Order, desk: Desk) -> None:
        self._order = order
        self._desk = desk
        self._customers = Customers(desk, wanted=order.customer, always_new=order.create_customer)
        self._seen: dict[str, list[tuple[int, str]]] | None = None
        self._asked_rate: str | None = None

    def look_for_copies(self, invoice_ids: Sequence[str]) -> None:
        """In a large batch, read all markers at once instead of searching for each."""
        unknown = [key for key in invoice_ids if not self._desk.ledger.links(key)]
        if len(unknown) > _SINGLE_SEARCHES:
            self._seen = _copies(self._desk, self._order.kind, "PRD-")

    def attempt(self, invoice: Invoice) -> Outcome:
        """Copy one invoice; whatever goes wrong is in the outcome."""
        try:
            return self._copy(invoice)
        except PsageError as error:
            outcome = delivery.failed(invoice.kind, invoice.id, invoice.number, error)
        except Exception:  # one document's defect must not stop the others
            log.exception("invoice %s", invoice.id)
            outcome = delivery.failed(
                invoice.kind,
                invoice.id,
                invoice.number,
                PsageError(
                    f"psage met something it does not expect with {invoice.label}",
                    hint="the log has the details; please report it",
                ),
            )
        made = self._customers.made(invoice)
        return replace(outcome, customer=made) if made else outcome

    def _copy(self, invoice: Invoice) -> Outcome:
        self._check_kind(invoice)
        if not invoice.is_finalised:
            raise IsDraft(f"{invoice.label} is a draft", hint="finalise it in Productive first")
        link = self._desk.ledger.latest(invoice.id)
        if link is None:
            link = self._adopt(invoice)
            if link is None:
                return self._create(invoice, copy=1)
            if self._order.again is None:
                return self._adopted(invoice, link)
        present = self._desk.sage.document(invoice.kind, link.sage_id)
        if present:
            present.check_booked(f"the copy of {invoice.label}")
        again = self._again(invoice, link, present)
        if again == "leave":
            return Outcome(
                "unchanged",
                invoice.id,
                number=invoice.number,
                **shown(present),
                kind=invoice.kind,
                allocated=delivery.allocated(link, present, followups.Done()) if present else None,
            )
        if again == "new":
            if newer := self._adopt(invoice):
                raise AlreadyCopied(
                    f"Sage holds another copy of {invoice.label} that was not made by this "
                    f"profile: `{mapping.marker(invoice.id, newer.copy)}`; it is linked now",
                    hint="look at it in Sage; run the command again if you want one more",
                )
            return self._create(invoice, copy=link.copy + 1)
        return self._update(invoice, link, self._living(invoice, link, present))

    def _check_kind(self, invoice: Invoice) -> None:
        if invoice.kind is self._order.kind:
            return
        if invoice.kind is CREDIT_NOTE:
            raise IsCreditNote(
                f"{invoice.label} is a credit note, which is not copied as an invoice",
                hint=f"copy it with `psage credit-note {invoice.id}`",
            )
        raise NotACreditNote(
            f"{invoice.label} is not a credit note",
            hint=f"copy it with `psage copy-invoice {invoice.id}`",
        )

    def _again(self, invoice: Invoice, link: Link, present: SageDocument | None) -> str:
        """What to do about an invoice that has a copy: update, new or leave."""
        gone = _is_gone(present)
        if self._order.again:
            return self._order.again
        if self._desk.ask:
            if gone:
                question = f"The copy of {invoice.label} was {gone} in Sage."
                answers = ["leave it so", "create a new copy"]
                return ("leave", "new")[self._desk.ask(question, answers, None)]
            question = f"{invoice.label} was copied to Sage as {link.sage_number} already."
            answers = ["update the copy", "create a new one", "leave it"]
            return ("update", "new", "leave")[self._desk.ask(question, answers, None)]
        self._living(invoice, link, present)
        raise AlreadyCopied(
            f"{invoice.label} was copied to Sage already, as {link.sage_number}",
            hint=f"`psage {invoice.kind.command} {invoice.id} --update-existing` brings that copy "
            "up to date, `--create-new` makes another one",
            details={"sage_id": link.sage_id, "sage_number": link.sage_number, "copy": link.copy},
        )

    def _living(self, invoice: Invoice, link: Link, present: SageDocument | None) -> SageDocument:
        """The copy, or CopyGone."""
        gone = _is_gone(present)
        if present and not gone:
            return present
        command = f"psage {invoice.kind.command} {invoice.id} --create-new"
        hint = f"if it shall be in the books again: `{command}`"
        if self._desk.settings.numbering == "productive":
            hint += (
                f"; its number is used up, so give the {invoice.kind.name} another in Productive "
                "first"
            )
        raise CopyGone(
            f"the copy {link.sage_number} of {invoice.label} was {gone} in Sage",
            hint=hint,
            details={"sage_id": link.sage_id, "sage_number": link.sage_number},
        )

    # --- copies made elsewhere

    def _adopt(self, invoice: Invoice) -> Link | None:
        """Link copies the ledger does not know; returns the last.

        They are found by their markers, or by the id psage left on the Productive invoice where
        Sage's search does not show a fresh document yet. Raises CopyUnclear where it is not sure,
        CopyIsDraft for one that is not booked: once it is released, another copy is one too many.
        """
        desk = self._desk
        links = desk.ledger.links(invoice.id)
        known, own = {link.copy for link in links}, {link.sage_id for link in links}
        seen = self._seen
        if seen is None or known or invoice.kind is not self._order.kind:
            seen = _copies(desk, invoice.kind, mapping.marker(invoice.id, 1))
        found: dict[int, list[SageDocument]] = {}
        for number, sage_id in seen.get(invoice.id, []):
            if sage_id in own or not (document := desk.sage.document(invoice.kind, sage_id)):
                continue
            if number in known:  # somebody duplicated the copy by hand
                document.check_booked(f"a second copy of {invoice.label}")
            else:
                found.setdefault(number, []).append(document)
        if not found and not known and (exported := self._exported(invoice)):
            found[(mapping.marked(exported.reference) or ("", 1))[1]] = [exported]
        # All are checked before any is linked: half of it would hide the question the next time.
        copies = [(n, self._only(invoice, documents)) for n, documents in sorted(found.items())]
        for _, document in copies:
            document.check_booked(f"the copy of {invoice.label}")
            self._check_fit(invoice, document)
        credited = self._credited(invoice) if copies else None
        adopted = None
        for number, document in copies:
            adopted = Link.found(
                invoice.kind,
                invoice.id,
                number,
                desk.sage.business_id,
                document,
                credited_sage_id=credited.copy.id if credited else None,
            )
            if not desk.dry_run:
                adopted = desk.ledger.adopt(adopted)
        return adopted

    def _exported(self, invoice: Invoice) -> SageDocument | None:
        """The document whose id the Productive invoice holds; another system's id is none."""
        if not re.fullmatch("[0-9a-f]{32}", invoice.export_id or ""):
            return None
        try:
            return self._desk.sage.document(invoice.kind, str(invoice.export_id))
        except RefusedBySage:
            return None

    def _only(self, invoice: Invoice, documents: list[SageDocument]) -> SageDocument:
        living = [document for document in documents if not _is_gone(document)]
        if len(living) > 1:
            numbers = ", ".join(document.number for document in living)
            raise CopyUnclear(
                f"Sage holds {len(living)} documents with the reference of {invoice.label}: "
                f"{numbers}",
                hint="void the wrong one in Sage, or take `PRD-…` out of its reference there",
                details={"sage_ids": [document.id for document in living]},
            )
        return (living or documents)[0]

    def _check_fit(self, invoice: Invoice, document: SageDocument) -> None:
        """A reference is only text: the customer and the currency must be this invoice's too."""
        mark = mapping.marked(document.reference)
        is_ours = mark is None or mark[0] == invoice.id
        if is_ours and (
            document.id == invoice.export_id
            or (
                document.currency == invoice.currency
                and self._customers.fits(invoice, document.contact_id, document.contact_name)
            )
        ):
            return
        raise CopyUnclear(
            f"{document.number} in Sage may be the copy of {invoice.label}, but its reference is "
            f"`{document.reference}`, and it is for `{document.contact_name}` in "
            f"{document.currency}",
            hint=f'if it is the copy, say so with `--customer "{document.contact_name}"`; if not, '
            "take `PRD-…` out of its reference in Sage",
            details={"sage_id": document.id},
        )

    def _adopted(self, invoice: Invoice, link: Link) -> Outcome:
        present = self._living(invoice, link, self._desk.sage.document(link.kind, link.sage_id))
        done = followups.Done()
        if not self._desk.dry_run:
            self._customers.remember(invoice, present.contact_id, present.contact_name)
            if self._order.pdf:
                link = replace(link, pending=link.pending | {"pdf"})
            done = followups.finish(self._desk, link, invoice, present, again=True)
        outcome = Outcome(
            "adopted",
            invoice.id,
            number=invoice.number,
            **shown(present),
            notices=(
                Notice("adopted", f"found in Sage (reference `{present.reference}`) and linked"),
                *done.notices,
            ),
            kind=invoice.kind,
            allocated=delivery.allocated(link, present, done),
        )
        net = invoice.net if invoice.kind is INVOICE else -invoice.net
        if present.net == net and present.currency == invoice.currency:
            return outcome
        return replace(
            outcome,
            action="differs",
            error=TotalsDiffer(
                f"the copy {present.number} of {invoice.label} found in Sage has a net of "
                f"{present.net} {present.currency}, the {invoice.kind.name} in Productive {net} "
                f"{invoice.currency}",
                hint=f"`psage {invoice.kind.command} {invoice.id} --update-existing` brings it up "
                "to date",
            ),
        )

    # --- the invoice a credit note credits

    def _credited(self, note: Invoice) -> _Credited | None:
        """The copy of the invoice that is credited; None for an invoice.

        Raises PartialCredit, InvoiceNotCopied, CopyGone, or CopyOutdated where the copy is not what
        the credit note credits.
        """
        if note.kind is INVOICE:
            return None
        credited, desk = mapping.check_whole(note), self._desk
        link, found = desk.ledger.latest(credited.id), list[Invoice]()
        if link is None:
            found, unreadable = desk.productive.invoices(ids=[credited.id])
            if credited.id in unreadable:
                raise unreadable[credited.id]
            link = self._adopt(found[0]) if found else None
        if link is None:
            raise InvoiceNotCopied(
                f"{note.label} credits {credited.label}, which has no copy in Sage",
                hint=f"copy that first: `psage copy-invoice {credited.id}`",
                details={"invoice": credited.id},
            )
        copy = desk.sage.document(INVOICE, link.sage_id)
        if copy is None or (gone := _is_gone(copy)):
            gone = gone if copy else "deleted"
            raise CopyGone(
                f"the copy {link.sage_number} of {credited.label}, which {note.label} credits, was "
                f"{gone} in Sage, so there is nothing to credit",
                hint=f"to have both in the books: `psage copy-invoice {credited.id} --create-new`, "
                "then this again",
                details={"sage_id": link.sage_id, "sage_number": link.sage_number},
            )
        copy.check_booked(f"the copy of {credited.label}, which {note.label} credits,")
        if (copy.currency, copy.net) != (credited.currency, credited.net):
            raise CopyOutdated(
                f"{note.label} credits {credited.net} {credited.currency} net of "
                f"{credited.label}, but its copy {copy.number} in Sage is {copy.net} "
                f"{copy.currency} net",
                hint=f"bring the copy up to date: `psage copy-invoice {credited.id} "
                "--update-existing`, then this again",
                details={"sage_id": copy.id},
            )
        if found and not desk.dry_run:  # adopted just now
            followups.finish(desk, link, found[0], copy)
        return _Credited(link, copy)

    def _customer(self, invoice: Invoice, credited: _Credited | None) -> Contact | NewCustomer:
        """Who is billed; a credit note is for whom its invoice's copy is for."""
        if credited is None:
            return self._customers.find(invoice)
        copy, wanted = credited.copy, self._order.customer
        billed = self._customers.seen(
            invoice, Contact(copy.contact_id, copy.contact_name, currency=copy.currency)
        )
        if wanted is not None and not mapping.named_customers([billed], wanted):
            raise CustomerDiffers(
                f"{invoice.label} is for {copy.contact_name}, to whom {copy.number} is billed, "
                f"and not for `{wanted}`",
                hint="leave `--customer` out",
            )
        return billed

    # --- create

    def _create(self, invoice: Invoice, *, copy: int) -> Outcome:
        desk = self._desk
        credited = self._credited(invoice)
        customer = self._customer(invoice, credited)
        kept = self._kept_rate(invoice, credited.link, credited.copy) if credited else None
        tax = self._tax(invoice, self._customers.country(invoice, customer), kept=kept)
        owns_number = desk.settings.numbering == "productive"
        if owns_number and not invoice.number:
            raise Refused(
                f"{invoice.label} has no number, and Productive numbers documents",
                hint="give it a number in Productive",
            )
        draft = self._draft(
            invoice,
            tax,
            copy,
            number=invoice.number if owns_number else None,
            original_on=credited.copy.invoiced_on if credited else None,
        )
        draft = self._addressed(draft, invoice, customer)
        self._check_number(draft, None)
        if desk.dry_run:
            return _planned("would_create", invoice, customer, draft, credited=credited)
        contact = self._customers.billed(invoice, customer)
        intent = self._begin(
            invoice.kind.code, invoice, draft, tax, contact, copy=copy, credited=credited
        )
        link, document = delivery.deliver_create(desk, intent)
        return self._conclude(
            "created", intent, link, document, invoice=invoice, customer=customer, draft=draft
        )

    def _addressed(self, draft: Draft, invoice: Invoice, customer: Contact | NewCustomer) -> Draft:
        """The draft with an address where it needs one, and what is to be said of the customer."""
        said = self._customers.notices(invoice, customer)
        address = self._customers.address(invoice, customer)
        return replace(draft, address=address, notices=(*said, *draft.notices))

    def _begin(
        self,
        kind: str,
        invoice: Invoice,
        draft: Draft,
        tax: Tax,
        contact: Contact,
        *,
        copy: int,
        sage_id: str = "",
        credited: _Credited | None = None,
    ) -> Intent:
        desk = self._desk
        payload = mapping.document_body(draft, contact.id)
        pending = followups.pending(desk, with_pdf=self._order.with_pdf)
        context = {
            "kind": invoice.kind.code,
            "credited_sage_id": credited.copy.id if credited else None,
            "copy": copy,
            "sage_id": sage_id,
            "tax_rate_id": tax.rate_id or "",
            "digest": mapping.digest(draft),
            "expected": mapping.expectation(draft),
            "pending": sorted(pending | ({"allocate"} if credited else set())),
            "number": invoice.number,
            "number_sent": draft.number is not None,
            "asked_new": self._order.again == "new",
            "company_id": invoice.company.id,
            "currency": invoice.currency,
            "contact_name": contact.name,
            "country": contact.country,
        }
        return desk.ledger.begin(
            kind, invoice.id, desk.sage.business_id, payload=payload, context=context
        )

    def _conclude(
        self,
        action: str,
        intent: Intent,
        link: Link,
        document: SageDocument,
        *,
        invoice: Invoice,
        customer: Contact | NewCustomer,
        draft: Draft,
    ) -> Outcome:
        contact_id = document.contact_id or str(intent.payload["contact_id"])
        name = document.contact_name or str(intent.context["contact_name"])
        return delivery.conclude(
            self._desk,
            action,
            intent,
            link,
            document,
            invoice=invoice,
            customer=CustomerResult(contact_id, name, isinstance(customer, NewCustomer)),
            notices=draft.notices,
        )

    def _draft(
        self,
        invoice: Invoice,
        tax: Tax,
        copy: int,
        *,
        number: str | None,
        original_on: date | None = None,
    ) -> Draft:
        draft = mapping.sales_document(
            invoice,
            tax=tax,
            marker=mapping.marker(invoice.id, copy),
            default_ledger_account=self._desk.settings.default_ledger_account,
            items=self._desk.items(),
            number=number,
            original_on=original_on,
        )
        if not tax.goods_or_services:
            return draft
        notice = Notice(
            "sold_abroad",
            f"the customer is outside GB: the lines go with {tax.rate_id} "
            f"as {tax.goods_or_services.lower()}",
        )
        return replace(draft, notices=(*draft.notices, notice))

    def _check_number(self, draft: Draft, own: Link | None) -> None:
        """A number psage gave to another copy cannot be used again, not even after a void."""
        if draft.number is None:
            return
        business_id = self._desk.sage.business_id
        for other in self._desk.ledger.numbered(draft.kind, draft.number, business_id):
            if own is None or other.id != own.id:
                raise delivery.number_taken(draft.number, other)

    # --- update

    def _update(self, invoice: Invoice, link: Link, present: SageDocument) -> Outcome:
        desk = self._desk
        credited = self._credited(invoice)
        customer = self._present_customer(invoice, present, credited)
        kept = self._kept_rate(invoice, link, present)
        tax = self._tax(invoice, self._customers.country(invoice, customer), kept=kept)
        # A number Sage gave stays, whoever numbers the next invoice.
        owns_number = link.number_sent and desk.settings.numbering == "productive"
        draft = self._draft(
            invoice,
            tax,
            link.copy,
            number=(invoice.number or None) if owns_number else None,
            original_on=credited.copy.invoiced_on if credited else None,
        )
        is_for_same = isinstance(customer, Contact) and customer.id == present.contact_id
        if not is_for_same:
            draft = self._addressed(draft, invoice, customer)
        is_same = is_for_same and draft.number in (None, present.number)
        if is_same and mapping.digest(draft) == link.digest:
            return self._unchanged(invoice, link, present, draft)
        self._check_changeable(invoice, link, draft, present)
        self._check_number(draft, link)
        if desk.dry_run:
            return _planned("would_update", invoice, customer, draft, present)
        contact = self._customers.billed(invoice, customer)
        desk.ledger.change_link(link, digest=None)  # until it is known what Sage holds
        intent = self._begin(
            "update", invoice, draft, tax, contact, copy=link.copy, sage_id=link.sage_id
        )
        link, document = delivery.deliver_update(desk, intent, link, present)
        return self._conclude(
            "updated", intent, link, document, invoice=invoice, customer=customer, draft=draft
        )

    def _present_customer(
        self, invoice: Invoice, present: SageDocument, credited: _Credited | None
    ) -> Contact | NewCustomer:
        """The customer asked for, else the one the copy is billed to."""
        if credited:
            return self._customer(invoice, credited)
        if self._order.customer is not None or self._order.create_customer:
            return self._customers.find(invoice)
        linked = self._desk.ledger.customer(
            invoice.company.id, invoice.currency, self._desk.sage.business_id
        )
        if linked and linked.id == present.contact_id:
            return linked
        return Contact(present.contact_id, present.contact_name, currency=present.currency)

    def _kept_rate(self, invoice: Invoice, link: Link, present: SageDocument) -> str | None:
        """The tax rate the copy has, which an update keeps; None where one was asked for."""
        if self._order.no_tax or self._order.tax_rate is not None:
            return None
        if link.tax_rate_id is not None:
            return link.tax_rate_id
        rate = mapping.sage_line_tax_rate(present.lines)
        if rate is None and self._desk.ask is None:
            raise TaxRateInvalid(
                f"the lines of {present.number} in Sage carry different tax rates, and psage gives "
                f"all lines of {invoice.label} one",
                hint="say which with `--tax-rate` or `--no-tax`",
            )
        return rate

    def _check_changeable(
        self, invoice: Invoice, link: Link, draft: Draft, present: SageDocument
    ) -> None:
        if draft.currency != present.currency:
            raise CopyLocked(
                f"the copy of {invoice.label} is in {present.currency}, and a document in Sage "
                f"keeps its currency; the {invoice.kind.name} is in {draft.currency} now",
                hint=f"`psage {invoice.kind.command} {invoice.id} --create-new` makes a new copy; "
                "then void the old one in Sage",
            )
        if reason := allocations.locked_because(link, present):
            ways = "credit the invoice in Productive and invoice the difference"
            if invoice.kind is CREDIT_NOTE:
                ways = "enter the difference in Sage by hand"
            raise CopyLocked(
                f"the copy {present.number} of {invoice.label} cannot be changed in Sage: {reason}",
                hint="either remove the receipt or allocation in Sage and run this again, or "
                + ways,
                details={"sage_id": present.id, "status": present.status, "reason": reason},
            )

    def _unchanged(
        self, invoice: Invoice, link: Link, present: SageDocument, draft: Draft
    ) -> Outcome:
        """Nothing to send; a PDF that changed in Productive is still replaced."""
        desk = self._desk
        expected = mapping.expectation(draft)
        notices = list(draft.notices)
        if differ := mapping.differences({**expected, "number": None}, present):
            said = delivery.figures(differ, "the copy psage made", "now")
            notices.append(Notice("changed_in_sage", f"the copy was changed in Sage: {said}"))
        done = followups.Done()
        if not desk.dry_run:
            pending = set(link.pending)
            if self._order.with_pdf and desk.settings.pdf == "productive":
                pending.add("pdf")
            link = replace(link, pending=frozenset(pending))
            done = followups.finish(desk, link, invoice, present, again=True)
        return Outcome(
            "unchanged",
            invoice.id,
            number=invoice.number,
            **shown(present),
            pdf=done.pdf,
            notices=(*notices, *done.notices),
            kind=invoice.kind,
            allocated=delivery.allocated(link, present, done),
        )

    # --- tax

    def _tax(self, invoice: Invoice, country: str, *, kept: str | None) -> Tax:
        """The rate of the whole copy: named, that of the present copy, asked for, configured, none.

        A business in GB must zero-rate a customer outside GB and say whether goods or services are
        sold; no tax means that rate then.
        """
        desk, order = self._desk, self._order
        rates = desk.tax_rates()
        home = desk.books().country
        abroad = home == "GB" and country not in ("", "GB")
        kind = desk.settings.goods_or_services if abroad else None
        wanted = "" if order.no_tax else order.tax_rate
        if wanted is None:
            wanted = kept if kept is not None else self._asked_or_configured(invoice)
        if not wanted or wanted == f"{home}_NO_TAX":
            nothing = mapping.no_tax(rates, home)
            return (
                replace(nothing, rate_id="GB_ZERO", goods_or_services=kind) if abroad else nothing
            )
        word = wanted.strip().casefold()
        found = [rate for rate in rates if word == rate.id.casefold()]
        found = found or [rate for rate in rates if word == rate.name.casefold()]
        if len(found) != 1:
            known = ", ".join(rate.id for rate in rates if rate.is_visible)
            raise TaxRateInvalid(
                f"Sage has {'no' if not found else 'more than one'} tax rate `{wanted}`",
                hint=f"the rates of this business: {known}",
            )
        rate = replace(found[0], is_visible=True) if wanted == kept else found[0]
        return Tax(rate.id, mapping.percent_on(rate, mapping.date_of(invoice)), kind)

    def _asked_or_configured(self, invoice: Invoice) -> str:
        """The rate a person chooses once for the run, else the configured one; empty for no tax."""
        desk = self._desk
        usual = desk.settings.default_tax_rate
        if desk.ask is None:
            return usual
        if self._asked_rate is None:
            day = mapping.date_of(invoice)
            rates = [r for r in desk.tax_rates() if mapping.is_valid(r, day)]
            choices = [("", "no tax"), *((r.id, f"{r.name} ({r.id})") for r in rates)]
            choices.sort(key=lambda choice: choice[0] != usual)  # Enter means the configured one
            labels = [label for _, label in choices]
            answer = desk.ask("Which tax rate shall the copy carry?", labels, 0)
            self._asked_rate = choices[answer][0]
        return self._asked_rate


def _is_gone(present: SageDocument | None) -> str | None:
    if present is None:
        return "deleted"
    return "voided" if present.status == "VOID" else None


def _copies(desk: Desk, kind: Kind, search: str) -> dict[str, list[tuple[int, str]]]:
    """(copy, Sage id) by Productive id, of the documents whose reference carries a marker."""
    copies: dict[str, list[tuple[int, str]]] = {}
    for sage_id, reference in desk.sage.marked(kind, search):
        if mark := mapping.marked(reference):
            copies.setdefault(mark[0], []).append((mark[1], sage_id))
    return copies


# --- results


def _planned(
    action: str,
    invoice: Invoice,
    customer: Contact | NewCustomer,
    draft: Draft,
    present: SageDocument | None = None,
    *,
    credited: _Credited | None = None,
) -> Outcome:
    """A dry run's outcome: the very bodies a real run would send."""
    requests: list[dict[str, Any]] = []
    if isinstance(customer, NewCustomer):
        result = CustomerResult(None, str(customer.body["name"]), created=True)
        body = {"contact": dict(customer.body)}
        requests.append({"method": "POST", "path": "/contacts", "body": body})
        contact_id = "(the new customer)"
    else:
        result = CustomerResult(customer.id, customer.name, created=False)
        contact_id = customer.id
    body, kind = mapping.document_body(draft, contact_id), draft.kind
    if present:
        path, method = f"{kind.path}/{present.id}", "PUT"
        body = mapping.update_body(kind, body, present)
    else:
        path, method = kind.path, "POST"
    requests.append({"method": method, "path": path, "body": {kind.field: body}})
    allocated = min(allocations.outstanding(credited.copy), draft.total) if credited else None
    return Outcome(
        action,
        invoice.id,
        number=invoice.number,
        sage_id=present.id if present else None,
        sage_number=present.number if present else draft.number,
        sage_url=present.url if present else None,
        customer=result,
        net=draft.net,
        tax=draft.tax,
        total=draft.total,
        currency=draft.currency,
        notices=draft.notices,
        planned={"requests": requests},
        kind=kind,
        allocated=allocated,
    )
