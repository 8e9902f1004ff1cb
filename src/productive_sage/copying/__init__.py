"""copy-invoice and credit-note: Productive's documents become Sage's, each exactly once.

Read this file from `copy` down: what an earlier run left open is settled, then each document asked
for is read, planned, sent as one recorded write, checked to the cent and followed up. "Invoice"
means either kind here, since Productive keeps both in one list. Nothing is printed here.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from productive_sage import markers, money, names, naming
from productive_sage.copying import (
    after,
    allocations,
    checks,
    crediting,
    doubles,
    drafts,
    matching,
    merge,
    send,
)
from productive_sage.copying.crediting import Credited
from productive_sage.copying.customers import Customers, NewCustomer
from productive_sage.copying.merge import Change, Merged, Version, Written
from productive_sage.copying.rates import Rates
from productive_sage.copying.recover import SEARCH_LAG, settle
from productive_sage.copying.send import shown
from productive_sage.desk import Desk
from productive_sage.errors import (
    AlreadyCopied,
    AlreadyCredited,
    ChangedInSage,
    CopyGone,
    CopyIsDraft,
    CopyLocked,
    CopyOutdated,
    CopyUnclear,
    CustomerDiffers,
    DocumentAmbiguous,
    InvoiceNotCopied,
    IsCreditNote,
    IsDraft,
    NoDefaultLedger,
    NotACreditNote,
    NotFound,
    NotShown,
    NumberAmbiguous,
    OutcomeUnknown,
    PsageError,
    Refused,
    RefusedBySage,
    TaxRateInvalid,
    TotalsDiffer,
    UpdateLapsed,
    UsageProblem,
)
from productive_sage.models import (
    CREDIT_NOTE,
    INVOICE,
    Contact,
    CustomerResult,
    Draft,
    FieldChange,
    Invoice,
    Kind,
    Notice,
    Outcome,
    SageDocument,
)
from productive_sage.naming import Name
from productive_sage.sage import bodies
from productive_sage.store import Intent, Link
from productive_sage.tax import Tax, country_of, percent_on, sends_taxes
from productive_sage.text import is_sage_id

log = logging.getLogger("psage.copying")

_SINGLE_SEARCHES = 10
"""Up to so many markers are searched one by one; for more, all markers are read at once."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the person asked for."""

    keys: tuple[str, ...]
    kind: Kind = INVOICE
    """As they were typed: ids, numbers, addresses."""
    by_number: bool = False
    by_id: bool = False
    customer: str | None = None
    create_customer: bool = False
    remember: bool = False
    """Bill the company to `customer` from now on, although it is not the company."""
    tax_rate: str | None = None
    """Id or name; None leaves it to the copy's present rate, the person, or the settings."""
    no_tax: bool = False
    again: str | None = None
    """`update` or `new`; None asks."""
    overwrite: bool = False
    """Whether an update makes the copy as Productive says, whatever was changed in Sage."""
    with_pdf: bool = True
    pdf: bytes | None = None
    """A person's file, in place of Productive's PDF."""

    def names(self, productive_id: str, number: str) -> bool:
        """Whether a document is asked for."""
        return any(name.fits(productive_id, number) for name in self.documents())

    def documents(self) -> list[Name]:
        """What is asked for. Raises as `naming.read`."""
        return naming.read(self.keys, as_number=self.by_number, as_id=self.by_id)

    def handed_pdf(self, invoice: Invoice) -> bytes | None:
        """The person's file where it is for this document."""
        is_meant = invoice.kind is self.kind and self.names(invoice.id, invoice.number)
        return self.pdf if is_meant else None


def copy(order: Order, desk: Desk) -> Iterator[Outcome]:
    """Copy the invoices in the order asked for; one outcome each, whatever happens to the others.

    First come the outcomes of what an earlier run left open, and last a second one, its last word,
    for each copy that turns out to be in Sage twice (see `last_words`). A dry run only plans.
    Raises what no document can get past: NoDefaultLedger, DifferentBusiness, a missing sign-in, a
    dead network.
    """
    began, made, is_stopped = time.monotonic(), list[Outcome](), False
    for outcome in _copy(order, desk):
        is_stopped |= outcome.error is not None and outcome.error.stops_batch
        is_new = outcome.action in ("created", "adopted", "differs") or _is_new(outcome)
        if outcome.sage_id and is_new:
            made.append(outcome)
        yield outcome
    is_alone = len(order.documents()) == 1 and order.kind is INVOICE  # it has looked for itself
    if made and not is_stopped and (not is_alone or any(map(_is_new, made))):
        taken = timedelta(seconds=time.monotonic() - began)
        yield from doubles.of_run(desk, made, desk.sage.now() - taken - SEARCH_LAG)


def last_words(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, without those that a later one of the same copy corrects."""
    last = {one.sage_id: one for one in outcomes if one.sage_id}
    return [one for one in outcomes if not one.sage_id or one is last[one.sage_id]]


def _copy(order: Order, desk: Desk) -> Iterator[Outcome]:
    if not desk.settings.default_ledger_account:
        raise NoDefaultLedger
    if order.pdf and len(order.documents()) > 1:
        raise UsageProblem(
            "`--pdf-file` is the PDF of one document",
            hint=f"for several, put files with the documents' numbers in their names into "
            f"`{desk.pdf_folder}`",
        )
    desk.check_business()
    naming.check(order.documents(), desk.productive.organization_id)
    desk = replace(desk, handed_pdf=order.handed_pdf)
    held: dict[str, Outcome] = {}
    try:
        for outcome in () if desk.dry_run else settle(desk, asked=order.names):
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
    unknown = {intent.source_id for intent in desk.store.open_intents()} if desk.dry_run else set()
    for source in sources:
        earlier = held.pop(source.id, None) if isinstance(source, Invoice) else None
        if not isinstance(source, Invoice):
            yield source
        elif earlier and _is_done(order, earlier) and (earlier.error or not _is_new(earlier)):
            yield earlier
        else:
            # What an earlier run had begun may be of another day: it is held against today's.
            again = "update" if earlier and _is_done(order, earlier) else order.again
            outcome = _not_tried(source, stopped_by) if stopped_by else run.attempt(source, again)
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
        is_final = earlier.error is not None and not isinstance(earlier.error, UpdateLapsed)
        return earlier.settled == "update" and is_final
    return bool(earlier.settled)


def _is_new(earlier: Outcome) -> bool:
    """Whether the copy an earlier run had begun was not known to be in Sage before."""
    return earlier.settled.startswith("create")


def _both(earlier: Outcome, later: Outcome) -> Outcome:
    """The later outcome of a document, with what the earlier one had to say."""
    if isinstance(earlier.error, UpdateLapsed):
        return later
    is_made = earlier.sage_id and not earlier.error and not later.sage_id
    if is_made and later.error and not isinstance(later.error, CopyIsDraft):
        return _not_as_asked(earlier, later.error)
    if _is_new(earlier) and later.action == "updated":
        later = replace(later, action="created")
    is_still_so = earlier.error or (_is_new(earlier) and later.action == "unchanged")
    main, other = (earlier, later) if is_still_so and not later.error else (later, earlier)
    return replace(
        main,
        notices=(*earlier.notices, *later.notices),
        pdf=main.pdf or other.pdf,
        settled=main.settled or other.settled,
    )


def _not_as_asked(earlier: Outcome, error: PsageError) -> Outcome:
    """A copy that is in Sage as an earlier run had sent it, and could not be made as asked now."""
    figures = f"{earlier.net} {earlier.currency} net, {earlier.total} in all"
    said = f"{earlier.label} is in Sage as {earlier.sage_number}, as begun before: {figures}"
    return replace(
        earlier,
        action="differs",
        error=TotalsDiffer(f"{said}; it is not as asked for now: {error.message}", hint=error.hint),
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
    names = order.documents()
    found, unreadable = desk.productive.invoices(
        ids=[name.id for name in names if name.id],
        numbers=[name.number for name in names if name.number],
    )
    for name in names:
        error = unreadable.get(name.id) or unreadable.get(name.number)
        # Where one that may be meant cannot be read, another is not taken in its place.
        hits = [i for i in found if name.fits(i.id, i.number) and not error]
        if not hits and not error:
            hits, unread = _in_capitals(name, desk)
            error = unread.get(name.number.upper())
        hits = [i for i in hits if i.kind is order.kind] or hits
        if len(hits) > 1 and desk.ask:
            hits = [hits[desk.ask(f"Which is `{name.typed}`?", [*map(_shown, hits)], None)]]
        if len(hits) == 1:
            yield hits[0]
            continue
        error = _ambiguous(order, name, hits) if hits else error or _missing(order, desk, name)
        number = "" if name.id else name.typed
        yield Outcome("refused", name.id, number=number, error=error, kind=order.kind)


def _in_capitals(name: Name, desk: Desk) -> tuple[list[Invoice], dict[str, PsageError]]:
    """What Productive has under a number in capitals: it may compare letter by letter."""
    capitals = name.number.upper()
    return desk.productive.invoices(numbers=[capitals]) if capitals != name.number else ([], {})


def _shown(invoice: Invoice) -> str:
    """What a person tells a document by: its number and id, customer, date and amount."""
    parts = [
        invoice.company.name,
        str(invoice.invoiced_on or ""),
        money.said(invoice.net + invoice.tax, invoice.currency),
    ]
    return f"{invoice.number or 'no number'} (id {invoice.id}): {', '.join(filter(None, parts))}"


def _ambiguous(order: Order, name: Name, hits: Sequence[Invoice]) -> PsageError:
    shown = "; ".join(map(_shown, hits))
    documents = [
        {
            "id": i.id,
            "number": i.number,
            "customer": i.company.name,
            "date": i.invoiced_on.isoformat() if i.invoiced_on else None,
            "total": money.amount(i.net + i.tax, i.currency),
            "currency": i.currency,
        }
        for i in hits
    ]
    if any(name.has_id(i.id) for i in hits):
        return DocumentAmbiguous(
            f"`{name.typed}` is the id of one document in Productive and the number of another: "
            f"{shown}",
            hint="say which with `--id` or `--number`",
            details={"documents": documents},
        )
    return NumberAmbiguous(
        f"{len(hits)} documents in Productive carry the number `{name.typed}`: {shown}",
        hint=f"name the one you mean by its id: `psage {order.kind.command} --id {hits[0].id}`",
        details={"documents": documents},
    )


def _missing(order: Order, desk: Desk, name: Name) -> PsageError:
    kind = order.kind.name
    if name.id:
        try:
            deleted_on = desk.productive.deleted_on(name.id)
        except PsageError:
            deleted_on = None  # not every token may read the list of deleted things
        if deleted_on:
            return NotFound(f"{kind} {name.id} was deleted in Productive on {deleted_on}")
    said = f"with the number `{name.typed}`" if name.number else f"with the id {name.id}"
    if name.id and name.number:
        said = f"with the id or the number `{name.typed}`"
    hint = f"look at the {kind} in Productive: its number is on it, and its id in its address"
    if name.number and (nearby := _nearby(desk, order.kind, name.number)):
        hint = nearby
    return NotFound(
        f"Productive has no {kind} {said}, or does not show it to this token", hint=hint
    )


def _nearby(desk: Desk, kind: Kind, number: str) -> str:
    """A question that names the documents whose numbers come near to one nobody knows."""
    known = [held for _, held, _ in desk.store.names(kind.code) if held]
    if part := naming.digits_of(number).lstrip("0"):
        with suppress(PsageError):
            known += desk.productive.numbers_like(part)
    return naming.did_you_mean(number, known)


def _not_tried(invoice: Invoice, stopped_by: PsageError) -> Outcome:
    error = stopped_by.reworded(f"{invoice.label} was not tried: {stopped_by.message}")
    return Outcome("failed", invoice.id, number=invoice.number, error=error, kind=invoice.kind)


# --- one invoice


class _Run:
    """The state of one run: customers, tax rates, and the copies seen in Sage."""

    def __init__(self, order: Order, desk: Desk) -> None:
        self._order = order
        self._desk = desk
        self._customers = Customers(
            desk,
            wanted=order.customer,
            always_new=order.create_customer,
            remember=order.remember,
        )
        self._rates = Rates(desk, wanted=order.tax_rate, no_tax=order.no_tax)
        self._seen: dict[str, list[tuple[int, str]]] | None = None
        # Of a dry run: by the copy's id, and by company and currency.
        self._would_credit: dict[str, Invoice] = {}
        self._would_make: dict[tuple[str, str], Invoice] = {}

    def look_for_copies(self, invoice_ids: Sequence[str]) -> None:
        """In a large batch, read all markers at once instead of searching for each."""
        unknown = [key for key in invoice_ids if not self._desk.store.links(key)]
        if len(unknown) > _SINGLE_SEARCHES:
            self._seen = _copies(self._desk, self._order.kind, "PRD-")

    def attempt(self, invoice: Invoice, again: str | None) -> Outcome:
        """Copy one invoice, `again` as in the order; whatever goes wrong is in the outcome."""
        try:
            return self._copy(invoice, again)
        except PsageError as error:
            outcome = send.failed(invoice.kind, invoice.id, invoice.number, error)
        except Exception:  # one document's defect must not stop the others
            log.exception("invoice %s", invoice.id)
            outcome = send.failed(
                invoice.kind,
                invoice.id,
                invoice.number,
                PsageError(
                    f"psage met something it does not expect with {invoice.label}",
                    hint="the log has the details; please report it",
                ),
            )
        made = self._customers.made(invoice)
        if made is None:
            return outcome
        said = f"the customer `{made.name}` was made in Sage before that; the next try bills it"
        notices = (*outcome.notices, Notice("customer_made", said))
        return replace(outcome, customer=made, notices=notices)

    def _copy(self, invoice: Invoice, wanted: str | None) -> Outcome:
        self._check_kind(invoice)
        if not invoice.is_finalised:
            raise IsDraft(f"{invoice.label} is a draft", hint="finalise it in Productive first")
        known, link = self._desk.store.latest(invoice.id), self._latest(invoice, wanted)
        if link is None:
            link = self._adopt(invoice)
            if link is None:
                return self._create(invoice, copy=1)
            if wanted is None:
                return self._adopted(invoice, link)
        known = known or link
        link, present = self._present(invoice, link)
        again = wanted or self._again(invoice, link, present)
        if again == "leave":
            return Outcome(
                "unchanged",
                invoice.id,
                number=invoice.number,
                **shown(present),
                kind=invoice.kind,
                allocated=send.allocated(link, present, after.Done()) if present else None,
            )
        if again == "new":
            if invoice.kind is CREDIT_NOTE and present and not drafts.gone(present):
                raise _still_credited(invoice, present)
            newer = self._adopt(invoice) or link
            if newer.sage_id != known.sage_id:
                raise _copied_elsewhere(invoice, newer)
            return self._create(invoice, copy=link.copy + 1)
        present = self._living(invoice, link, present)
        return self._update(invoice, link, present, overwrite=self._order.overwrite)

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
        gone = drafts.gone(present)
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
            hint=f"`psage {invoice.kind.command} {invoice.id} --update-existing` brings that up "
            "to date, `--create-new` makes another copy",
            details={"sage_id": link.sage_id, "sage_number": link.sage_number, "copy": link.copy},
        )

    def _living(self, invoice: Invoice, link: Link, present: SageDocument | None) -> SageDocument:
        """The copy, or CopyGone."""
        gone = drafts.gone(present)
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
        """Link copies the store does not know; returns the last.

        They are found by their markers, or by the id psage left on the Productive invoice where
        Sage's search does not show a fresh document yet. Raises CopyUnclear where it is not sure,
        CopyIsDraft for one that is not booked: once it is released, another copy is one too many.
        """
        desk = self._desk
        links = desk.store.links(invoice.id)
        known, own = {link.copy for link in links}, {link.sage_id for link in links}
        seen = self._seen
        if seen is None or known or invoice.kind is not self._order.kind:
            seen = _copies(desk, invoice.kind, markers.of_copy(invoice.id, 1))
        found: dict[int, list[SageDocument]] = {}
        for number, sage_id in seen.get(invoice.id, []):
            if sage_id in own or not (document := desk.sage.document(invoice.kind, sage_id)):
                continue
            if number in known:  # somebody duplicated the copy by hand
                document.check_booked(f"a second copy of {invoice.label}")
            else:
                found.setdefault(number, []).append(document)
        if not found and invoice.export_id not in own and (exported := self._exported(invoice)):
            mark = markers.in_reference(exported.reference) or ("", 1)
            if mark[1] not in known and (mark[0] == invoice.id or not known):
                found[mark[1]] = [exported]
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
                written=_as_made(document),
            )
            if not desk.dry_run:
                adopted = desk.store.adopt(adopted)
        return adopted

    def _exported(self, invoice: Invoice) -> SageDocument | None:
        """The document whose id the Productive invoice holds; another system's id is none."""
        if not is_sage_id(invoice.export_id):
            return None
        try:
            return self._desk.sage.document(invoice.kind, str(invoice.export_id))
        except RefusedBySage:
            return None

    def _present(self, invoice: Invoice, link: Link) -> tuple[Link, SageDocument | None]:
        """A copy as it is in Sage, None where it was deleted. Raises CopyIsDraft.

        Where two machines made it, and somebody voided the one known here, it is the other from
        now on. What Sage's answer gave a wrong id is found again by marker and number.
        """
        try:
            present = self._desk.sage.known(invoice.kind, link.sage_id)
        except NotShown:
            link, present = self._twin(invoice, link, number=link.sage_number) or (link, None)
            if present is None:
                raise
        if drafts.gone(present):
            link, present = self._twin(invoice, link) or (link, present)
        if present:
            present.check_booked(f"the copy of {invoice.label}")
        return link, present

    def _twin(
        self, invoice: Invoice, link: Link, *, number: str | None = None
    ) -> tuple[Link, SageDocument] | None:
        """The living document with the marker of a copy that is gone, linked in its place.

        With a number, only the document that has it.
        """
        desk, wanted = self._desk, (invoice.id, link.copy)
        found = [
            document
            for sage_id, reference in desk.sage.marked(invoice.kind, markers.of_copy(*wanted))
            if markers.in_reference(reference) == wanted and sage_id != link.sage_id
            if (document := desk.sage.document(invoice.kind, sage_id))
            and not drafts.gone(document)
            and number in (None, document.number)
        ]
        if not found:
            return None
        document = self._only(invoice, found)
        self._check_fit(invoice, document)
        changes: dict[str, Any] = {
            "sage_id": document.id,
            "sage_number": document.number,
            "written": _as_made(document),
            "pending": link.pending | {"mark"},
        }
        if not desk.dry_run:
            desk.store.change_link(link, **changes)
        return replace(link, **changes), document

    def _latest(self, invoice: Invoice, wanted: str | None) -> Link | None:
        """The latest copy psage knows; where Productive names another one, the records are old.

        Whoever wants a new one is asked again where that turns up, so it is not looked for here.
        """
        links = self._desk.store.links(invoice.id)
        if links and wanted != "new" and doubles.unknown(invoice.export_id, links):
            return self._adopt(invoice) or links[-1]
        return links[-1] if links else None

    def _only(self, invoice: Invoice, documents: list[SageDocument]) -> SageDocument:
        living = [document for document in documents if not drafts.gone(document)]
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
        mark = markers.in_reference(document.reference)
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
        present = self._living(invoice, link, self._desk.sage.known(link.kind, link.sage_id))
        done = after.Done()
        if not self._desk.dry_run:
            self._customers.remember(invoice, present.contact_id, present.contact_name)
            if self._order.pdf:
                link = replace(link, pending=link.pending | {"pdf"})
            done = after.finish(self._desk, link, invoice, present, again=True)
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
            allocated=send.allocated(link, present, done),
        )
        net = invoice.net if invoice.kind is INVOICE else -invoice.net
        if present.net == net and present.currency == invoice.currency:
            if abs(invoice.tax) == present.tax or self._order.no_tax:
                return outcome
            notice = Notice("tax_not_mirrored", drafts.both_taxes(invoice, present.tax))
            return replace(outcome, notices=(*outcome.notices, notice))
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

    def _credited(self, note: Invoice) -> Credited | None:
        """The copy of the invoice that is credited; None for an invoice.

        Raises PartialCredit, InvoiceNotCopied, CopyGone, or CopyOutdated where the copy is not what
        the credit note credits.
        """
        if note.kind is INVOICE:
            return None
        credited, desk = drafts.check_whole(note), self._desk
        links, found = desk.store.links(credited.id), list[Invoice]()
        link = links[-1] if links else None
        if link is None or doubles.unknown(credited.export_id, links):
            found, unreadable = desk.productive.invoices(ids=[credited.id])
            if credited.id in unreadable:
                raise unreadable[credited.id]
            link = (self._adopt(found[0]) if found else None) or link
        if link is None:
            raise InvoiceNotCopied(
                f"{note.label} credits {credited.label}, which has no copy in Sage",
                hint=f"copy that first: `psage copy-invoice {credited.id}`",
                details={"invoice": credited.id},
            )
        copy = desk.sage.known(INVOICE, link.sage_id)
        if copy is None or (gone := drafts.gone(copy)):
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
            after.finish(desk, link, found[0], copy)
        return Credited(link, copy)

    def _customer(self, invoice: Invoice, credited: Credited | None) -> Contact | NewCustomer:
        """Who is billed; a credit note is for whom its invoice's copy is for."""
        if credited is None:
            return self._customers.find(invoice)
        copy, wanted = credited.copy, self._order.customer
        billed = self._customers.seen(
            invoice, Contact(copy.contact_id, copy.contact_name, currency=copy.currency)
        )
        if wanted is not None and not matching.named_customers([billed], wanted):
            raise CustomerDiffers(
                f"{invoice.label} is for {copy.contact_name}, to whom {copy.number} is billed, "
                f"and not for `{wanted}`",
                hint="leave `--customer` out",
            )
        return billed

    # --- create

    def _create(self, invoice: Invoice, *, copy: int) -> Outcome:
        """Make a copy; once more, for another contact, where Sage has the known one no more."""
        try:
            return self._try_to_create(invoice, copy=copy)
        except RefusedBySage as error:
            is_of_contact = "contact" in f"{error.words} {error.fields}".lower()
            missing = self._customers.forget_missing(invoice) if is_of_contact else None
            if missing is None:
                raise
        outcome = self._try_to_create(invoice, copy=copy)
        said = (
            f"the contact `{missing.name}`, which was billed for {invoice.company.name} until now, "
            "is no longer in Sage, so it was looked up again"
        )
        return replace(outcome, notices=(*outcome.notices, Notice("customer_missing", said)))

    def _try_to_create(self, invoice: Invoice, *, copy: int) -> Outcome:
        desk = self._desk
        credited = self._credited(invoice)
        seen = crediting.check_first(desk, invoice, credited) if credited else None
        customer = self._customer(invoice, credited)
        owns_number = desk.settings.numbering == "productive"
        if owns_number and not invoice.number:
            raise Refused(
                f"{invoice.label} has no number, and Productive numbers documents",
                hint="give it a number in Productive",
            )
        number = invoice.number if owns_number else None
        country = self._country(invoice, customer)
        if credited:
            draft = self._credit_draft(invoice, credited, copy, number=number)
        else:
            is_new = isinstance(customer, NewCustomer)
            tax = self._rates.tax(invoice, country, kept=None, is_new_customer=is_new)
            draft = self._draft(invoice, tax, copy, number=number)
        draft = self._addressed(draft, invoice, customer)
        self._check_number(draft, None)
        checks.check(desk, invoice, draft, is_new_customer=isinstance(customer, NewCustomer))
        if desk.dry_run:
            return self._would_create(invoice, customer, draft, credited)
        # Others may have copied it since it was read; in a batch that can be a while ago.
        named = seen.id if seen else desk.productive.export_id(invoice.id)
        if outcome := self._made_meanwhile(invoice, copy, named):
            return outcome
        invoice = replace(invoice, export_id=named)
        if seen:
            raise _still_credited(invoice, seen)
        contact = self._customers.billed(invoice, customer)
        if isinstance(customer, NewCustomer):  # which took a while
            last = desk.productive.export_id(invoice.id)
            if outcome := self._made_meanwhile(invoice, copy, last):
                return outcome
        said = _said(draft, invoice, contact.id, country)
        intent = self._begin(
            invoice.kind.code, invoice, draft, contact, copy=copy, said=said, credited=credited
        )
        link, document = send.deliver_create(desk, intent)
        is_alone = len(self._order.documents()) == 1 and not credited
        named_before = doubles.named(desk, invoice.id) if is_alone else None
        outcome = self._conclude(
            "created", intent, link, document, invoice=invoice, customer=customer, draft=draft
        )
        if not is_alone:
            return outcome
        named_by_others = {named_before, doubles.named(desk, invoice.id)} - {named}
        return doubles.checked(desk, outcome, document, named_by_others)

    def _would_create(
        self,
        invoice: Invoice,
        customer: Contact | NewCustomer,
        draft: Draft,
        credited: Credited | None,
    ) -> Outcome:
        """What a real run would do after the documents planned before this one."""
        if credited:
            first = self._would_credit.setdefault(credited.copy.id, invoice)
            if first is not invoice:
                raise AlreadyCredited(
                    f"{invoice.label} credits {credited.copy.number} in Sage, as {first.label} "
                    "does, and an invoice is credited once"
                )
        if isinstance(customer, NewCustomer):
            key = (customer.company_id, customer.currency)
            first = self._would_make.setdefault(key, invoice)
            customer = replace(customer, is_planned=first is not invoice)
        planned = _planned("would_create", invoice, customer, draft, credited=credited)
        return self._with_lines(planned, draft)

    def _with_lines(self, planned: Outcome, draft: Draft) -> Outcome:
        """The plan with what people read of it: the draft, and what its ids are called."""
        accounts = {line.ledger_account_id for line in draft.lines}
        rates = {line.tax_rate_id for line in draft.lines if line.tax_rate_id}
        keys = {f"{names.ACCOUNT} {one}": one for one in accounts}
        keys |= {f"{names.TAX_RATE} {one}": one for one in rates}
        kept = self._desk.store.kept_names([*keys])
        read = {"draft": draft, "names": {keys[key]: name for key, name in kept.items()}}
        return replace(planned, planned={**(planned.planned or {}), **read})

    def _made_meanwhile(self, invoice: Invoice, copy: int, named: str | None) -> Outcome | None:
        """The outcome of a copy that Productive names by now, and did not when it was read.

        Raises AlreadyCopied where one more was asked for.
        """
        if named == invoice.export_id:
            return None
        invoice = replace(invoice, export_id=named)
        link = self._adopt(invoice)
        if link is None or (copy == 1 and self._order.again != "new"):
            return self._adopted(invoice, link) if link else None
        raise _copied_elsewhere(invoice, link)

    def _country(self, invoice: Invoice, customer: Contact | NewCustomer) -> str:
        """Where the customer is: Sage's word, else Productive's, else that of the tax number."""
        country, number = self._customers.country(invoice, customer), ""
        if isinstance(customer, Contact):
            number = self._customers.seen(invoice, customer).tax_number
        number = number or invoice.bill_to.tax_number or invoice.company.tax_number
        return country_of(country, number, invoice.bill_to.postal_code)

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
        contact: Contact,
        *,
        copy: int,
        said: Version,
        sage_id: str = "",
        before: Version | None = None,
        theirs: Sequence[tuple[str, str, str]] = (),
        credited: Credited | None = None,
    ) -> Intent:
        """Commit what is about to be sent.

        `before` is what an update found in Sage, `theirs` what of it stays (see `Merged.theirs`).
        """
        desk = self._desk
        payload = bodies.document_body(draft, contact.id)
        pending = after.pending(desk, with_pdf=self._order.with_pdf)
        context = {
            "kind": invoice.kind.code,
            "credited_sage_id": credited.copy.id if credited else None,
            "copy": copy,
            "sage_id": sage_id,
            "tax_rate_id": draft.tax_rate_id,
            "said": asdict(said),
            "before": asdict(before) if before else None,
            "theirs": theirs,
            "expected": drafts.expectation(draft),
            "pending": sorted(pending | ({"allocate"} if credited else set())),
            "number": invoice.number,
            "number_sent": draft.number is not None,
            "asked_new": self._order.again == "new",
            "company_id": invoice.company.id,
            "currency": invoice.currency,
            "contact_name": contact.name,
            "country": contact.country,
            "remember": self._customers.remembers(invoice, contact),
            "agreed": self._customers.is_agreed(invoice, contact),
        }
        return desk.store.begin(
            kind,
            invoice.id,
            desk.sage.business_id,
            payload=payload,
            context=context,
            at=desk.sage.now(),
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
        return send.conclude(
            self._desk,
            action,
            intent,
            link,
            document,
            invoice=invoice,
            customer=CustomerResult(contact_id, name, isinstance(customer, NewCustomer)),
            notices=draft.notices,
        )

    def _draft(self, invoice: Invoice, tax: Tax, copy: int, *, number: str | None) -> Draft:
        return drafts.sales_document(
            invoice,
            tax=tax,
            marker=markers.of_copy(invoice.id, copy),
            default_ledger_account=self._desk.settings.default_ledger_account,
            items=self._desk.items(invoice),
            number=number,
        )

    def _credit_draft(
        self, note: Invoice, credited: Credited, copy: int, *, number: str | None
    ) -> Draft:
        """The whole of the invoice's copy once more; raises where another tax is asked for."""
        draft = drafts.credit_document(
            note, credited.copy, marker=markers.of_copy(note.id, copy), number=number
        )
        order = self._order
        if order.no_tax or order.tax_rate is not None:
            crediting.check_tax(note, credited, draft, self._rates.tax(note, "", kept=None))
        return replace(draft, is_tax_sent=sends_taxes(self._desk.books().country))

    def _check_number(self, draft: Draft, own: Link | None) -> None:
        """A number psage gave to another copy cannot be used again, not even after a void."""
        if draft.number is None:
            return
        business_id = self._desk.sage.business_id
        for other in self._desk.store.numbered(draft.kind, draft.number, business_id):
            if own is None or other.id != own.id:
                raise send.number_taken(draft.number, other)

    # --- update

    def _update(
        self, invoice: Invoice, link: Link, present: SageDocument, *, overwrite: bool
    ) -> Outcome:
        credited = self._credited(invoice)
        written = Written.from_text(link.written) if link.written else None
        customer, is_asked = self._present_customer(
            invoice, present, credited, written, overwrite=overwrite
        )
        country = self._country(invoice, customer)
        draft = self._draft_of_update(invoice, link, present, customer, credited, written)
        is_for_same = isinstance(customer, Contact) and customer.id == present.contact_id
        if not is_for_same or (written and "address" in written.said.document):
            draft = self._addressed(draft, invoice, customer)
        billed = customer.id if isinstance(customer, Contact) else ""
        if not is_asked and written and "customer" in written.said.document:
            billed = written.said.document["customer"]  # Productive says what it said before
        said = _said(draft, invoice, billed, country)
        merged = merge.merge(
            draft,
            said,
            present,
            written,
            percent=partial(self._percent, invoice, present),
            overwrite=overwrite,
        )
        if merged.conflicts:
            if self._overwrites(invoice, present, merged):
                return self._update(invoice, link, present, overwrite=True)
            return self._conflicting(invoice, present, merged)
        is_known = self._is_tax_known(written, said)
        draft = drafts.retaxed(invoice, replace(merged.draft, is_tax_known=is_known))
        self._check_merged(invoice, draft, present, credited)
        notices = [*self._kept(present, customer, merged), *draft.notices]
        if not merged.changes:
            own = merge.own_part(merge.held_in(present), merged.theirs)
            written_now = Written(said, own).as_text()
            outcome = self._unchanged(invoice, link, present, notices, written_now)
            return _with_cents(outcome, draft)
        changes = tuple(self._named(present, customer, one) for one in merged.changes)
        changes += self._replaced_reference(present, draft)
        self._check_changeable(invoice, link, present, None if merged.takes_customer else credited)
        self._check_number(draft, link)
        # A date that was moved past its due date is Sage's to judge.
        if {"customer", "due date"} & {one.field for one in changes}:
            checks.check_dates(self._desk, invoice, draft)
        if not merged.takes_customer:
            customer = Contact(present.contact_id, present.contact_name, currency=present.currency)
        draft = replace(draft, notices=tuple(notices))
        if self._desk.dry_run:
            planned = _planned("would_update", invoice, customer, draft, present)
            return replace(self._with_lines(planned, draft), changes=changes)
        contact = self._customers.billed(invoice, customer)
        if merged.takes_customer:
            said = replace(said, document={**said.document, "customer": contact.id})
        intent = self._begin(
            "update",
            invoice,
            draft,
            contact,
            copy=link.copy,
            said=said,
            sage_id=link.sage_id,
            before=merge.held_in(present),
            theirs=merged.theirs,
        )
        link, document = send.deliver_update(self._desk, intent, link, present)
        outcome = self._conclude(
            "updated", intent, link, document, invoice=invoice, customer=customer, draft=draft
        )
        return replace(outcome, changes=changes)

    def _draft_of_update(
        self,
        invoice: Invoice,
        link: Link,
        present: SageDocument,
        customer: Contact | NewCustomer,
        credited: Credited | None,
        written: Written | None,
    ) -> Draft:
        """The copy as Productive says; a number Sage gave stays, whoever numbers the next one."""
        owns_number = link.number_sent and self._desk.settings.numbering == "productive"
        number = (invoice.number or None) if owns_number else None
        if credited:
            return self._credit_draft(invoice, credited, link.copy, number=number)
        country, kept = self._country(invoice, customer), self._kept_rate(invoice, link, present)
        before = written.said.document.get("country") if written else None
        is_for_same = isinstance(customer, Contact) and customer.id == present.contact_id
        if not before and not is_for_same:
            other = Contact(present.contact_id, present.contact_name, currency=present.currency)
            before = self._country(invoice, other)
        if before and country and self._rates.differ(before, country):
            kept = None  # on the country hangs the tax
        tax = self._rates.tax(invoice, country, kept=kept)
        return self._draft(invoice, tax, link.copy, number=number)

    def _is_tax_known(self, written: Written | None, said: Version) -> bool:
        """Whether what Productive charges is no news: said with an earlier write, or not wanted."""
        if self._order.no_tax:
            return True
        before = written.said.document.get("charged") if written else None
        return self._order.tax_rate is None and before == said.document["charged"]

    def _percent(self, invoice: Invoice, present: SageDocument, rate_id: str) -> Decimal:
        """The percentage of a rate that a line of the copy has in Sage; none for none."""
        if not rate_id:
            return money.ZERO
        for rate in self._desk.tax_rates():
            if rate.id == rate_id:
                day = drafts.date_of(invoice)
                return percent_on(rate, day, even_hidden=True)
        raise TaxRateInvalid(
            f"a line of {present.number}, the copy of {invoice.label}, has a tax rate Sage no "
            f"longer lists: `{rate_id}`",
            hint="choose another for the line in Sage, and run this again",
        )

    def _overwrites(self, invoice: Invoice, present: SageDocument, merged: Merged) -> bool:
        """Whether a person wants the copy as Productive says although Sage has other things."""
        if self._desk.ask is None:
            return False
        question = (
            f"The copy {present.number} of {invoice.label} was changed in Sage: "
            f"{_figures(self._named(present, None, one) for one in merged.conflicts)}"
        )
        answers = ["leave the copy as it is", "make it as Productive says"]
        return self._desk.ask(question, answers, 0) == 1

    def _conflicting(self, invoice: Invoice, present: SageDocument, merged: Merged) -> Outcome:
        named = [self._named(present, None, one) for one in merged.conflicts]
        command = f"psage {invoice.kind.command} {invoice.id} --update-existing --overwrite"
        error = ChangedInSage(
            f"the copy {present.number} of {invoice.label} was changed in Sage, so nothing was "
            f"written: {_figures(named)}",
            hint=f"to have it as Productive says: `{command}`; else put into "
            "Productive what Sage has",
            details={
                one.name: {"sage": name.old, "productive": name.new, "written": one.written}
                for one, name in zip(merged.conflicts, named, strict=True)
            },
        )
        return Outcome(
            "differs",
            invoice.id,
            number=invoice.number,
            **shown(present),
            error=error,
            kind=invoice.kind,
        )

    def _kept(
        self, present: SageDocument, customer: Contact | NewCustomer, merged: Merged
    ) -> list[Notice]:
        named = [self._named(present, customer, one) for one in merged.kept]
        return [
            Notice("kept", f"kept as it was changed in Sage: {_figures([one])}") for one in named
        ]

    def _named(
        self, present: SageDocument, customer: Contact | NewCustomer | None, change: Change
    ) -> FieldChange:
        """A change as people read it: names, not ids."""
        desk, field = self._desk, change.field
        names: dict[str, str] = {}
        if field == "tax rate":
            names = {rate.id: rate.name for rate in desk.tax_rates()}
        elif field == "ledger account":
            names = {
                one.id: f"{one.nominal_code} {one.name}".strip() for one in desk.ledger_accounts()
            }
        elif field == "item":
            names = desk.item_names()
        elif field == "customer":
            names = {present.contact_id: present.contact_name}
            if isinstance(customer, Contact):
                names.setdefault(customer.id, customer.name)
            elif customer:
                names[""] = str(customer.body["name"])
            for value in {change.sage, change.productive} - names.keys():
                if value and (found := desk.contact(value) or desk.sage.customer(value)):
                    names[value] = found.name
        old, new = (names.get(value, value) or "none" for value in (change.sage, change.productive))
        return FieldChange(change.name, old, new)

    def _present_customer(
        self,
        invoice: Invoice,
        present: SageDocument,
        credited: Credited | None,
        written: Written | None,
        *,
        overwrite: bool,
    ) -> tuple[Contact | NewCustomer, bool]:
        """Who is billed from now on, and whether Productive or a person now says so.

        The customer the copy has, unless one is asked for, or the company is another one now.
        """
        if credited:
            return self._customer(invoice, credited), overwrite
        company = written.said.document.get("company") if written else None
        if (
            self._order.customer is not None
            or self._order.create_customer
            or company not in (None, invoice.company.id)
        ):
            return self._customers.find(invoice), True
        linked = self._desk.store.customer(
            invoice.company.id, invoice.currency, self._desk.sage.business_id
        )
        if linked and linked.id == present.contact_id:
            return linked, False
        if overwrite and written and (before := written.said.document.get("customer")):
            return self._desk.sage.customer(before) or Contact(before, ""), True
        name, currency = present.contact_name, present.currency
        return Contact(present.contact_id, name, currency=currency), False

    def _kept_rate(self, invoice: Invoice, link: Link, present: SageDocument) -> str | None:
        """The tax rate the copy has, which an update keeps; None where one was asked for."""
        if self._order.no_tax or self._order.tax_rate is not None:
            return None
        if link.tax_rate_id is not None:
            return link.tax_rate_id
        rate = drafts.sage_line_tax_rate(present.lines)
        if rate is None and self._desk.ask is None:
            raise TaxRateInvalid(
                f"the lines of {present.number} in Sage carry different tax rates, and psage gives "
                f"all lines of {invoice.label} one",
                hint="say which with `--tax-rate` or `--no-tax`",
            )
        return rate

    def _replaced_reference(self, present: SageDocument, draft: Draft) -> tuple[FieldChange, ...]:
        """What stands in the place of the marker, which an update brings back."""
        is_as_it_was = present.reference == draft.marker
        return () if is_as_it_was else (FieldChange("reference", present.reference, draft.marker),)

    def _check_merged(
        self, invoice: Invoice, draft: Draft, present: SageDocument, credited: Credited | None
    ) -> None:
        """Raises CopyLocked for another currency, PartialCredit where something stays open."""
        if credited:
            crediting.check_whole(invoice, credited, draft)
        if draft.currency != present.currency:
            raise CopyLocked(
                f"the copy of {invoice.label} is in {present.currency}, and a document in Sage "
                f"keeps its currency; the {invoice.kind.name} is in {draft.currency} now",
                hint=f"`psage {invoice.kind.command} {invoice.id} --create-new` makes a new copy; "
                "then void the old one in Sage",
            )

    def _check_changeable(
        self, invoice: Invoice, link: Link, present: SageDocument, credited: Credited | None
    ) -> None:
        """Raises CopyLocked, or CustomerDiffers for a credit note that keeps its customer."""
        if credited:
            crediting.check_contact(invoice, credited, present)
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
        self,
        invoice: Invoice,
        link: Link,
        present: SageDocument,
        notices: list[Notice],
        written: str,
    ) -> Outcome:
        """Nothing to send; a PDF that changed in Productive is still replaced.

        `written` is what psage would have written: both sides may have made the same change.
        """
        desk = self._desk
        done = after.Done()
        if not desk.dry_run:
            if written != link.written:
                desk.store.change_link(link, written=written)
            pending = set(link.pending)
            if self._order.with_pdf and desk.settings.pdf == "productive":
                pending.add("pdf")
            link = replace(link, pending=frozenset(pending))
            done = after.finish(desk, link, invoice, present, again=True)
        return Outcome(
            "unchanged",
            invoice.id,
            number=invoice.number,
            **shown(present),
            pdf=done.pdf,
            notices=(*notices, *done.notices),
            kind=invoice.kind,
            allocated=send.allocated(link, present, done),
        )


def _with_cents(outcome: Outcome, draft: Draft) -> Outcome:
    """The outcome, which differs where the copy misses Productive's tax at the same rate."""
    due = draft.mirrored_tax
    if due in (None, draft.tax):
        return outcome
    return replace(
        outcome,
        action="differs",
        error=TotalsDiffer(
            f"the copy {outcome.sage_number} of {outcome.label} has {draft.tax} {draft.currency} "
            f"tax, Productive {due} {draft.currency} at the same rate",
            hint="look at the invoice in Productive; no rounding of the rate gives its tax",
        ),
    )


def _still_credited(note: Invoice, present: SageDocument) -> AlreadyCredited:
    """Two living credit notes would credit one invoice twice."""
    return AlreadyCredited(
        f"{note.label} has a living copy in Sage, {present.number} over "
        f"{money.said(present.total, present.currency)}, and an invoice is credited once",
        hint=f"`psage credit-note {note.id} --update-existing` brings it up to date; or void "
        f"{present.number} in Sage, and run this again",
        details={"sage_id": present.id, "sage_number": present.number},
    )


def _copied_elsewhere(invoice: Invoice, link: Link) -> AlreadyCopied:
    return AlreadyCopied(
        f"Sage holds another copy of {invoice.label} that was not made by this profile: "
        f"`{markers.of_copy(invoice.id, link.copy)}`; it is linked now",
        hint="look at it in Sage; run the command again if you want one more",
        details={"sage_id": link.sage_id, "sage_number": link.sage_number, "copy": link.copy},
    )


def _said(draft: Draft, invoice: Invoice, contact_id: str, country: str) -> Version:
    company, charged = invoice.company.id, invoice.tax
    return merge.said_by(draft, contact_id, company=company, country=country, charged=charged)


def _as_made(document: SageDocument) -> str | None:
    """What is in Sage, where psage has no record of it: as it was made, if nobody changed it."""
    if document.made_at is None or document.changed_at != document.made_at:
        return None
    nothing = Version({}, ())
    return Written(nothing, merge.held_in(document), is_as_planned=False).as_text()


def _figures(changes: Iterable[FieldChange]) -> str:
    return "; ".join(f"{one.field}: Sage {one.old}, Productive {one.new}" for one in changes)


def _copies(desk: Desk, kind: Kind, search: str) -> dict[str, list[tuple[int, str]]]:
    """(copy, Sage id) by Productive id, of the documents whose reference carries a marker."""
    copies: dict[str, list[tuple[int, str]]] = {}
    for sage_id, reference in desk.sage.marked(kind, search):
        if mark := markers.in_reference(reference):
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
    credited: Credited | None = None,
) -> Outcome:
    """A dry run's outcome: the very bodies a real run would send."""
    requests: list[dict[str, Any]] = []
    if isinstance(customer, NewCustomer):
        name, is_first = str(customer.body["name"]), not customer.is_planned
        result = CustomerResult(None, name, created=is_first)
        if is_first:
            body = {"contact": dict(customer.body)}
            requests.append({"method": "POST", "path": "/contacts", "body": body})
        contact_id = "(the new customer)"
    else:
        result = CustomerResult(customer.id, customer.name, created=False)
        contact_id = customer.id
    body, kind = bodies.document_body(draft, contact_id), draft.kind
    if present:
        path, method = f"{kind.path}/{present.id}", "PUT"
        body = bodies.update_body(kind, body, present)
    else:
        path, method = kind.path, "POST"
    requests.append({"method": method, "path": path, "body": {kind.field: body}})
    allocated, notices = None, draft.notices
    if credited:
        allocated = min(allocations.outstanding(credited.copy), draft.total)
        plan = allocations.Allocated(allocated, draft.total - allocated, credited.copy.number)
        if plan.rest:
            said = after.rest_on_account(plan, "the credit note", draft.currency)
            notices = (*notices, said)
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
        notices=notices,
        planned={"requests": requests},
        kind=kind,
        allocated=allocated,
    )
