"""copy-invoice: Productive invoices become Sage sales invoices, each exactly once.

Read this file from `copy` down: what is asked for is read, planned, sent as one recorded write,
checked to the cent and followed up. Nothing is printed here.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from productive_sage import followups, journal, mapping
from productive_sage.customers import Customers, NewCustomer, deliver_contact, find_made
from productive_sage.desk import Desk
from productive_sage.errors import (
    AlreadyCopied,
    CopyGone,
    CopyLocked,
    IsCreditNote,
    IsDraft,
    NoDefaultLedger,
    NotFound,
    NumberAmbiguous,
    NumberTaken,
    OutcomeUnknown,
    PsageError,
    Refused,
    RefusedBySage,
    ServiceRefused,
    TaxRateInvalid,
    TotalsDiffer,
)
from productive_sage.ledger import Intent, Link
from productive_sage.mapping import Tax
from productive_sage.models import (
    Contact,
    CustomerResult,
    Draft,
    Invoice,
    Notice,
    Outcome,
    SageDocument,
)

log = logging.getLogger("psage.copying")

_SINGLE_SEARCHES = 10
"""Up to so many markers are searched one by one; for more, all markers are read at once."""
_KEY_LIFE = timedelta(days=1)
"""Sage keeps a key for days; psage relies on one."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the person asked for."""

    keys: tuple[str, ...]
    by_number: bool = False
    customer: str | None = None
    create_customer: bool = False
    tax_rate: str | None = None
    """Id or name; None leaves it to the copy's present rate, the person, or the settings."""
    no_tax: bool = False
    again: str | None = None
    """`update` or `new`; None asks."""
    with_pdf: bool = True


def copy(order: Order, desk: Desk) -> Iterator[Outcome]:
    """Copy the invoices in the order asked for; one outcome each, whatever happens to the others.

    First come the outcomes of writes that an earlier run left open. A dry run only plans.
    Raises what no document can get past: NoDefaultLedger, DifferentBusiness, a missing sign-in,
    a dead network before anything was read.
    """
    if not desk.settings.default_ledger_account:
        raise NoDefaultLedger
    desk.check_business()
    settled: dict[str, Outcome] = {}
    for outcome in () if desk.dry_run else settle(desk):
        earlier = settled.get(outcome.productive_id)
        if earlier is None or earlier.error is None:
            settled[outcome.productive_id] = outcome
    run = _Run(order, desk, settled)
    sources = list(_sources(order, desk))
    asked = {source.id for source in sources if isinstance(source, Invoice)}
    yield from (outcome for key, outcome in settled.items() if key not in asked)
    run.look_for_copies([source.id for source in sources if isinstance(source, Invoice)])
    stopped_by: PsageError | None = None
    for source in sources:
        if not isinstance(source, Invoice):
            yield source
        elif stopped_by:
            yield _not_tried(source, stopped_by)
        else:
            outcome = run.attempt(source)
            if isinstance(outcome.error, PsageError) and outcome.error.stops_batch:
                stopped_by = outcome.error
            yield outcome


def verdict(outcomes: Sequence[Outcome]) -> int:
    """The exit code of a batch: unknown outcomes first, then partial failure, then differences."""
    codes = [
        error.exit_code if isinstance(error, PsageError) else 1
        for error in (outcome.error for outcome in outcomes)
        if error is not None
    ]
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
        if len(hits) == 1:
            yield hits[0]
        elif hits:
            ids = ", ".join(invoice.id for invoice in hits)
            error: PsageError = NumberAmbiguous(
                f"{len(hits)} invoices in Productive carry the number `{key}`: ids {ids}",
                hint=f"copy the one you mean by its id: `psage copy-invoice {hits[0].id}`",
            )
            yield Outcome("refused", "", number=key, error=error)
        else:
            error = unreadable.get(key) or _missing(order, desk, key)
            yield (
                Outcome("refused", "", number=key, error=error)
                if order.by_number
                else Outcome("refused", key, error=error)
            )


def _missing(order: Order, desk: Desk, key: str) -> PsageError:
    if order.by_number:
        return NotFound(
            f"Productive has no invoice with the number `{key}`, or does not show it to this token",
            hint="numbers must match letter by letter; without `--number` psage takes ids",
        )
    if not key.isdecimal():
        return NotFound(
            f"`{key}` is not the id of a Productive invoice",
            hint=f"to copy by invoice number: `psage copy-invoice --number {key}`",
        )
    try:
        deleted_on = desk.productive.deleted_on(key)
    except PsageError:
        deleted_on = None  # not every token may read the list of deleted things
    if deleted_on:
        return NotFound(f"invoice {key} was deleted in Productive on {deleted_on}")
    return NotFound(
        f"Productive has no invoice {key}, or does not show it to this token",
        hint="the id is the number at the end of the invoice's address in Productive",
    )


def _failed(invoice: Invoice, error: PsageError) -> Outcome:
    name = f"invoice `{invoice.number or invoice.id}`"
    if isinstance(error, ServiceRefused):
        error = error.reworded(f"{error.service} refused {name} ({error.what}): {error.words}")
    elif name not in error.message:
        error = error.reworded(f"{name}: {error.message}")
    if isinstance(error, OutcomeUnknown):
        action = "unknown"
    else:
        action = "refused" if isinstance(error, Refused) else "failed"
    return Outcome(action, invoice.id, number=invoice.number, error=error)


def _not_tried(invoice: Invoice, stopped_by: PsageError) -> Outcome:
    name = f"invoice `{invoice.number or invoice.id}`"
    error = stopped_by.reworded(f"{name} was not tried: {stopped_by.message}")
    return Outcome("failed", invoice.id, number=invoice.number, error=error)


# --- one invoice


class _Run:
    """The state of one run: customers, copies seen in Sage, and the tax rate a person chose."""

    def __init__(self, order: Order, desk: Desk, settled: Mapping[str, Outcome]) -> None:
        self._order = order
        self._desk = desk
        self._settled = settled
        self._customers = Customers(desk, wanted=order.customer, always_new=order.create_customer)
        self._seen: dict[str, list[tuple[int, str]]] | None = None
        self._asked_rate: str | None = None

    def look_for_copies(self, invoice_ids: Sequence[str]) -> None:
        """In a large batch, read all markers at once instead of searching for each."""
        unknown = [key for key in invoice_ids if not self._desk.ledger.links(key)]
        if len(unknown) > _SINGLE_SEARCHES:
            self._seen = _copies(self._desk, "PRD-")

    def attempt(self, invoice: Invoice) -> Outcome:
        """Copy one invoice; whatever goes wrong is in the outcome."""
        try:
            return self._copy(invoice)
        except PsageError as error:
            return _failed(invoice, error)
        except Exception:  # one document's defect must not stop the others
            log.exception("invoice %s", invoice.id)
            return _failed(
                invoice,
                PsageError(
                    f"psage met something it does not expect with invoice `{invoice.number}`",
                    hint="the log has the details; please report it",
                ),
            )

    def _copy(self, invoice: Invoice) -> Outcome:
        name = f"invoice `{invoice.number or invoice.id}`"
        if invoice.is_credit_note:
            raise IsCreditNote(f"{name} is a credit note, which is not copied as an invoice")
        if not invoice.is_finalised:
            raise IsDraft(f"{name} is a draft", hint="finalise it in Productive first")
        if invoice.id in self._settled and self._order.again != "update":
            return self._settled[invoice.id]
        link = self._desk.ledger.latest(invoice.id)
        if link is None:
            link = self._adopt(invoice)
            if link is None:
                return self._create(invoice, copy=1)
            if self._order.again is None:
                return self._adopted(invoice, link)
        present = self._desk.sage.invoice(link.sage_id)
        again = self._again(invoice, link, present)
        if again == "leave":
            return Outcome("unchanged", invoice.id, number=invoice.number, **_shown(present))
        if again == "new":
            if newer := self._adopt(invoice):
                raise AlreadyCopied(
                    f"Sage holds another copy of {name} that was not made by this profile: "
                    f"`{mapping.marker(invoice.id, newer.copy)}`; it is linked now",
                    hint="look at it in Sage; run the command again if you want one more",
                )
            return self._create(invoice, copy=link.copy + 1)
        return self._update(invoice, link, self._editable(invoice, link, present))

    def _again(self, invoice: Invoice, link: Link, present: SageDocument | None) -> str:
        """What to do about an invoice that has a copy: update, new or leave."""
        gone = _is_gone(present)
        if self._order.again:
            return self._order.again
        name = f"invoice `{invoice.number or invoice.id}`"
        if self._desk.ask:
            if gone:
                question = f"The copy of {name} was {gone} in Sage."
                return ("leave", "new")[
                    self._desk.ask(question, ["leave it so", "create a new copy"], None)
                ]
            question = f"{name} was copied to Sage as {link.sage_number} already."
            answers = ["update the copy", "create a new one", "leave it"]
            return ("update", "new", "leave")[self._desk.ask(question, answers, None)]
        if gone:
            raise _gone(invoice, link, gone)
        raise AlreadyCopied(
            f"{name} was copied to Sage already, as {link.sage_number}",
            hint=f"`psage copy-invoice {invoice.id} --update-existing` brings that copy up to "
            "date, `--create-new` makes another one",
            details={"sage_id": link.sage_id, "sage_number": link.sage_number, "copy": link.copy},
        )

    def _editable(self, invoice: Invoice, link: Link, present: SageDocument | None) -> SageDocument:
        gone = _is_gone(present)
        if present is None or gone:
            raise _gone(invoice, link, gone or "deleted")
        return present

    # --- copies made elsewhere

    def _adopt(self, invoice: Invoice) -> Link | None:
        """Link copies the ledger does not know, found by their markers; returns the last."""
        desk = self._desk
        known = {link.copy for link in desk.ledger.links(invoice.id)}
        seen = self._seen
        if seen is None or known:
            seen = _copies(desk, mapping.marker(invoice.id, 1))
        adopted = None
        for number, sage_id in sorted(seen.get(invoice.id, [])):
            if number in known or not (document := desk.sage.invoice(sage_id)):
                continue
            adopted = Link.found(
                invoice.id, number, desk.sage.business_id, document.id, document.number
            )
            if not desk.dry_run:
                adopted = desk.ledger.adopt(adopted)
        return adopted

    def _adopted(self, invoice: Invoice, link: Link) -> Outcome:
        present = self._editable(invoice, link, self._desk.sage.invoice(link.sage_id))
        done = followups.Done()
        if not self._desk.dry_run:
            done = followups.finish(self._desk, link, invoice, present)
        outcome = Outcome(
            "adopted",
            invoice.id,
            number=invoice.number,
            **_shown(present),
            notices=(
                Notice("adopted", f"found in Sage by its reference `{present.reference}`"),
                *done.notices,
            ),
        )
        if present.net == invoice.net and present.currency == invoice.currency:
            return outcome
        return replace(
            outcome,
            action="differs",
            error=TotalsDiffer(
                f"the copy found in Sage has a net of {present.net} {present.currency}, the "
                f"invoice in Productive {invoice.net} {invoice.currency}",
                hint=f"`psage copy-invoice {invoice.id} --update-existing` brings it up to date",
            ),
        )

    # --- create

    def _create(self, invoice: Invoice, *, copy: int) -> Outcome:
        desk = self._desk
        customer = self._customers.find(invoice)
        tax = self._tax(invoice, self._customers.country(invoice, customer), kept=None)
        draft = self._draft(invoice, tax, copy)
        self._check_number(draft, None)
        notices = draft.notices
        if isinstance(customer, NewCustomer):
            notices = (*customer.notices, *notices)
        if desk.dry_run:
            return _planned("would_create", invoice, customer, replace(draft, notices=notices))
        created = isinstance(customer, NewCustomer)
        contact = self._customers.make(customer) if isinstance(customer, NewCustomer) else customer
        intent = desk.ledger.begin(
            "invoice",
            invoice.id,
            desk.sage.business_id,
            payload=mapping.invoice_body(draft, contact.id),
            context={
                "copy": copy,
                "tax_rate_id": tax.rate_id or "",
                "digest": mapping.digest(draft, contact.id),
                "expected": mapping.expectation(draft),
                "pending": sorted(followups.pending(desk, with_pdf=self._order.with_pdf)),
                "number": invoice.number,
            },
        )
        link, document = _deliver_invoice(desk, intent)
        self._customers.link(invoice, contact)
        shown = CustomerResult(contact.id, document.contact_name or contact.name, created)
        return _concluded(
            desk, "created", intent, link, invoice, document, customer=shown, notices=notices
        )

    def _draft(self, invoice: Invoice, tax: Tax, copy: int) -> Draft:
        settings = self._desk.settings
        owns_number = settings.numbering == "productive"
        if owns_number and not invoice.number:
            raise Refused(f"invoice {invoice.id} has no number, and Productive numbers invoices")
        draft = mapping.sales_invoice(
            invoice,
            tax=tax,
            marker=mapping.marker(invoice.id, copy),
            default_ledger_account=settings.default_ledger_account,
            items=self._desk.items(),
            number=invoice.number if owns_number else None,
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
        for other in self._desk.ledger.numbered(draft.number, self._desk.sage.business_id):
            if own is None or other.id != own.id:
                raise _number_taken(draft.number, other)

    # --- update

    def _update(self, invoice: Invoice, link: Link, present: SageDocument) -> Outcome:
        desk = self._desk
        contact: Contact | NewCustomer = Contact(
            present.contact_id, present.contact_name, currency=present.currency
        )
        if self._order.customer or self._order.create_customer:
            contact = self._customers.find(invoice)
        elif (
            linked := desk.ledger.customer(
                invoice.company.id, invoice.currency, desk.sage.business_id
            )
        ) and linked.id == present.contact_id:
            contact = linked
        kept = link.tax_rate_id
        if kept is None:
            kept = mapping.sage_line_tax_rate(present.lines)
        tax = self._tax(invoice, self._customers.country(invoice, contact), kept=kept)
        draft = self._draft(invoice, tax, link.copy)
        if isinstance(contact, Contact) and mapping.digest(draft, contact.id) == link.digest:
            return self._unchanged(invoice, link, present, draft)
        if draft.currency != present.currency:
            raise CopyLocked(
                f"the copy of invoice `{invoice.number}` is in {present.currency}, and a document "
                f"in Sage keeps its currency; the invoice is in {draft.currency} now",
                hint=f"`psage copy-invoice {invoice.id} --create-new` makes a new copy; "
                "then void the old one in Sage",
            )
        if reason := mapping.locked_because(present):
            raise CopyLocked(
                f"the copy {present.number} of invoice `{invoice.number}` cannot be changed in "
                f"Sage: {reason}",
                hint="either remove the receipt or allocation in Sage and run this again, or "
                "credit the invoice in Productive and invoice the difference",
                details={"sage_id": present.id, "status": present.status, "reason": reason},
            )
        self._check_number(draft, link)
        if desk.dry_run:
            return _planned("would_update", invoice, contact, draft, present)
        created = isinstance(contact, NewCustomer)
        if isinstance(contact, NewCustomer):
            contact = self._customers.make(contact)
        intent = desk.ledger.begin(
            "update",
            invoice.id,
            desk.sage.business_id,
            payload=mapping.invoice_body(draft, contact.id),
            context={
                "sage_id": link.sage_id,
                "copy": link.copy,
                "tax_rate_id": tax.rate_id or "",
                "digest": mapping.digest(draft, contact.id),
                "expected": mapping.expectation(draft),
                "pending": sorted(
                    link.pending | followups.pending(desk, with_pdf=self._order.with_pdf)
                ),
                "number": invoice.number,
            },
        )
        document = _deliver_update(desk, intent, link, present)
        self._customers.link(invoice, contact)
        shown = CustomerResult(contact.id, document.contact_name or contact.name, created)
        link = desk.ledger.latest(invoice.id) or link
        return _concluded(
            desk, "updated", intent, link, invoice, document, customer=shown, notices=draft.notices
        )

    def _unchanged(
        self, invoice: Invoice, link: Link, present: SageDocument, draft: Draft
    ) -> Outcome:
        """Nothing to send; a PDF that changed in Productive is still replaced."""
        desk = self._desk
        expected = mapping.expectation(draft)
        expected["number"] = None
        notices = list(draft.notices)
        if differ := mapping.differences(expected, present):
            notices.append(
                Notice(
                    "changed_in_sage",
                    "the copy was changed in Sage: "
                    + _figures(differ, "the copy psage made", "now"),
                )
            )
        done = followups.Done()
        if not desk.dry_run:
            pending = set(link.pending)
            if self._order.with_pdf and desk.settings.pdf == "productive" and invoice.pdf_url:
                pending.add("pdf")
            done = followups.finish(
                desk, replace(link, pending=frozenset(pending)), invoice, present, again=True
            )
        return Outcome(
            "unchanged",
            invoice.id,
            number=invoice.number,
            **_shown(present),
            pdf=done.pdf,
            notices=(*notices, *done.notices),
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
        if invoice.invoiced_on is None:
            raise Refused(f"invoice `{invoice.number}` has no invoice date")
        return Tax(found[0].id, mapping.percent_on(found[0], invoice.invoiced_on), kind)

    def _asked_or_configured(self, invoice: Invoice) -> str:
        """The rate a person chooses once for the run, else the configured one; empty for no tax."""
        desk = self._desk
        if desk.ask is None:
            return desk.settings.default_tax_rate
        if self._asked_rate is None:
            day = invoice.invoiced_on
            rates = [
                rate
                for rate in desk.tax_rates()
                if rate.is_visible and day and _is_valid(rate, day)
            ]
            rates.sort(key=lambda rate: rate.id != desk.settings.default_tax_rate)
            shown = [f"{rate.name} ({rate.id})" for rate in rates]
            choices = ["", *(rate.id for rate in rates)]
            labels = ["no tax", *shown]
            if desk.settings.default_tax_rate in choices[1:]:
                choices, labels = [*choices[1:], ""], [*labels[1:], "no tax"]
            answer = desk.ask("Which tax rate shall the copy carry?", labels, 0)
            self._asked_rate = choices[answer]
        return self._asked_rate


def _is_valid(rate: Any, day: Any) -> bool:
    try:
        mapping.percent_on(rate, day)
    except TaxRateInvalid:
        return False
    return True


def _is_gone(present: SageDocument | None) -> str | None:
    if present is None:
        return "deleted"
    return "voided" if present.status == "VOID" else None


def _gone(invoice: Invoice, link: Link, how: str) -> CopyGone:
    return CopyGone(
        f"the copy {link.sage_number} of invoice `{invoice.number}` was {how} in Sage",
        hint=f"if it shall be in the books again: `psage copy-invoice {invoice.id} --create-new`",
        details={"sage_id": link.sage_id, "sage_number": link.sage_number},
    )


def _number_taken(number: str, other: Link | None) -> NumberTaken:
    if other:
        known = f"the copy of Productive invoice {other.productive_id}"
        details = {"sage_id": other.sage_id, "productive_id": other.productive_id}
    else:
        known, details = "a document psage did not make, or one that was voided", {}
    return NumberTaken(
        f"the number `{number}` is used in Sage already, by {known}",
        hint="a number cannot be used twice, not even after a void: change it in Productive, "
        "update the copy that has it with `--update-existing`, or let Sage number "
        "(`psage configure --numbering sage`)",
        details={"number": number, **details},
    )


def _copies(desk: Desk, search: str) -> dict[str, list[tuple[int, str]]]:
    """(copy, Sage id) by Productive id, of the documents whose reference carries a marker."""
    copies: dict[str, list[tuple[int, str]]] = {}
    for sage_id, reference in desk.sage.marked_invoices(search):
        if mark := mapping.marked(reference):
            copies.setdefault(mark[0], []).append((mark[1], sage_id))
    return copies


# --- sending, new or left over by an earlier run


def _deliver_invoice(desk: Desk, intent: Intent) -> tuple[Link, SageDocument]:
    """Send an invoice intent and record what came of it."""
    try:
        document = journal.deliver(
            desk.ledger,
            intent,
            send=desk.sage.create_invoice,
            look=lambda: _find_made(desk, intent),
        )
    except RefusedBySage as error:
        raise _explained(error, intent) from None
    return _record(desk, intent, document), document


def _find_made(desk: Desk, intent: Intent) -> SageDocument | None:
    """The document an intent made, found by its marker."""
    wanted = (intent.source_id, intent.context["copy"])
    for sage_id, reference in desk.sage.marked_invoices(mapping.marker(*wanted)):
        if mapping.marked(reference) == wanted:
            return desk.sage.invoice(sage_id)
    return None


def _record(desk: Desk, intent: Intent, document: SageDocument) -> Link:
    try:
        return desk.ledger.finish_invoice(
            intent,
            sage_id=document.id,
            number=document.number,
            pending=frozenset(intent.context["pending"]),
        )
    except PsageError as error:
        raise OutcomeUnknown(
            f"the copy is in Sage as {document.number}, but could not be recorded: {error.message}",
            hint=f"{error.hint}; the next run finds the copy by its reference",
        ) from error


def _deliver_update(desk: Desk, intent: Intent, link: Link, present: SageDocument) -> SageDocument:
    """Send an update intent and record it.

    Sage changes lines by their ids, so a second try first reads them again: the first may have
    made new ones.
    """
    latest = [present]

    def look() -> None:
        found = desk.sage.invoice(link.sage_id)
        if found is None:
            raise OutcomeUnknown(f"Sage no longer has the copy {link.sage_number}")
        latest[0] = found

    def send(body: dict[str, Any]) -> SageDocument:
        return desk.sage.update_invoice(link.sage_id, mapping.update_body(body, latest[0]))

    try:
        document = journal.deliver(desk.ledger, intent, send=send, look=look)
    except RefusedBySage as error:
        raise _explained(error, intent) from None
    desk.ledger.finish_update(
        intent,
        link,
        sage_number=document.number,
        tax_rate_id=intent.context["tax_rate_id"],
        digest=intent.context["digest"],
        pending=frozenset(intent.context["pending"]),
    )
    return document


def _explained(error: RefusedBySage, intent: Intent) -> Refused:
    """Add the next step to Sage's refusal, where psage knows one."""
    number = intent.payload.get("invoice_number")
    if number and any("invoice_number" in field for field in error.fields):
        return _number_taken(str(number), None)
    fields = " ".join(error.fields)
    if "tax" in fields:
        error.hint = "choose the rate with `--tax-rate`, or `--no-tax`"
    elif "contact" in fields:
        error.hint = "choose the customer with `--customer`"
    elif "ledger" in fields:
        error.hint = "set another account with `psage configure --default-ledger`"
    return error


# --- results


def _concluded(
    desk: Desk,
    action: str,
    intent: Intent,
    link: Link,
    invoice: Invoice,
    document: SageDocument,
    *,
    customer: CustomerResult | None,
    notices: Sequence[Notice],
) -> Outcome:
    """Check Sage's answer against the plan, follow up, and say what became of the invoice."""
    done = followups.finish(desk, link, invoice, document, again=intent.kind == "update")
    outcome = Outcome(
        action,
        invoice.id,
        number=invoice.number,
        **{**_shown(document), **({"customer": customer} if customer else {})},
        pdf=done.pdf,
        notices=(*notices, *done.notices),
    )
    differ = mapping.differences(intent.context["expected"], document)
    if not differ:
        return outcome
    return replace(
        outcome,
        action="differs",
        error=TotalsDiffer(
            f"the copy {document.number} is in Sage, but not as planned: "
            + _figures(differ, "planned", "Sage has"),
            hint="look at the copy in Sage; psage has recorded it and will not copy again",
            details={
                name: {"planned": planned, "found": found}
                for name, (planned, found) in differ.items()
            },
        ),
    )


def _figures(differ: Mapping[str, tuple[str, str]], first: str, second: str) -> str:
    return "; ".join(f"{name} {first} {a}, {second} {b}" for name, (a, b) in differ.items())


def _shown(document: SageDocument | None) -> dict[str, Any]:
    """What every outcome says of the Sage document."""
    if document is None:
        return {}
    return {
        "sage_id": document.id,
        "sage_number": document.number,
        "sage_url": document.url,
        "customer": CustomerResult(document.contact_id, document.contact_name, created=False),
        "net": document.net,
        "tax": document.tax,
        "total": document.total,
        "currency": document.currency,
    }


def _planned(
    action: str,
    invoice: Invoice,
    customer: Contact | NewCustomer,
    draft: Draft,
    present: SageDocument | None = None,
) -> Outcome:
    """A dry run's outcome: the very bodies a real run would send."""
    requests: list[dict[str, Any]] = []
    if isinstance(customer, NewCustomer):
        shown = CustomerResult(None, str(customer.body["name"]), created=True)
        body = {"contact": dict(customer.body)}
        requests.append({"method": "POST", "path": "/contacts", "body": body})
        contact_id = "(the new customer)"
    else:
        shown = CustomerResult(customer.id, customer.name, created=False)
        contact_id = customer.id
    body = mapping.invoice_body(draft, contact_id)
    if present:
        path, method = f"/sales_invoices/{present.id}", "PUT"
        body = mapping.update_body(body, present)
    else:
        path, method = "/sales_invoices", "POST"
    requests.append({"method": method, "path": path, "body": {"sales_invoice": body}})
    return Outcome(
        action,
        invoice.id,
        number=invoice.number,
        sage_id=present.id if present else None,
        sage_number=present.number if present else draft.number,
        sage_url=present.url if present else None,
        customer=shown,
        net=draft.net,
        tax=draft.tax,
        total=draft.total,
        currency=draft.currency,
        notices=draft.notices,
        planned={"requests": requests},
    )


# --- settling what earlier runs left open


def settle(desk: Desk) -> Iterator[Outcome]:
    """Finish the writes whose outcome an earlier run did not learn, and what was left to follow.

    Looked for by the marker first; found: adopted. Not found: sent again with the same key while
    Sage surely remembers it; older ones never arrived, and are closed.
    """
    for intent in desk.ledger.open_intents():
        if intent.business_id != desk.sage.business_id:
            continue
        if intent.kind == "contact":
            # Refused: the copy that needs it plans afresh. Unknown: begin() guards the company.
            with contextlib.suppress(Refused, OutcomeUnknown):
                _settle_contact(desk, intent)
            continue
        try:
            outcome = _settle_invoice(desk, intent)
        except PsageError as error:
            number = str(intent.context["number"])
            if error.stops_batch:
                raise
            action = "refused" if isinstance(error, Refused) else "unknown"
            outcome = Outcome(action, intent.source_id, number=number, error=error, settled=True)
        if outcome:
            yield outcome
    yield from _complete(desk)


def _is_young(intent: Intent) -> bool:
    return timedelta(0) <= datetime.now(UTC) - intent.began_at < _KEY_LIFE


def _settle_contact(desk: Desk, intent: Intent) -> None:
    if found := find_made(desk, intent):
        desk.ledger.finish_contact(intent, found)
    elif _is_young(intent):
        deliver_contact(desk, intent)
    else:
        desk.ledger.close(intent, "lapsed", "never arrived")


def _settle_invoice(desk: Desk, intent: Intent) -> Outcome | None:
    found, _ = desk.productive.invoices(ids=[intent.source_id])
    if intent.kind == "update":
        return _settle_update(desk, intent, found)
    document = _find_made(desk, intent)
    if document:
        link = _record(desk, intent, document)
    elif _is_young(intent):
        link, document = _deliver_invoice(desk, intent)
    else:
        desk.ledger.close(intent, "lapsed", "never arrived")
        return None
    return _settled(desk, "created", intent, link, document, found)


def _settle_update(desk: Desk, intent: Intent, found: Sequence[Invoice]) -> Outcome | None:
    link = next(
        (i for i in desk.ledger.links(intent.source_id) if i.copy == intent.context["copy"]), None
    )
    present = desk.sage.invoice(str(intent.context["sage_id"]))
    if link is None or present is None or present.status == "VOID" or not _is_young(intent):
        desk.ledger.close(intent, "lapsed", "not sent again")
        if link:
            desk.ledger.change_link(link, digest=None)
        return None
    document = _deliver_update(desk, intent, link, present)
    link = next(i for i in desk.ledger.links(intent.source_id) if i.copy == link.copy)
    return _settled(desk, "updated", intent, link, document, found)


def _settled(
    desk: Desk,
    action: str,
    intent: Intent,
    link: Link,
    document: SageDocument,
    found: Sequence[Invoice],
) -> Outcome:
    notice = Notice("settled", "begun by an earlier run and completed now")
    if not found:
        return Outcome(
            action, intent.source_id, **_shown(document), notices=(notice,), settled=True
        )
    outcome = _concluded(
        desk, action, intent, link, found[0], document, customer=None, notices=(notice,)
    )
    return replace(outcome, settled=True)


def _complete(desk: Desk) -> Iterator[Outcome]:
    """Do what is left to do for copies that are in Sage already; a refusal stops nothing."""
    for link in desk.ledger.unfinished():
        if link.business_id != desk.sage.business_id:
            continue
        try:
            outcome = _completed(desk, link)
        except Refused as error:
            said = f"what an earlier run left to do after the copy cannot be done: {error.message}"
            outcome = Outcome(
                "unchanged",
                link.productive_id,
                sage_id=link.sage_id,
                sage_number=link.sage_number,
                notices=(Notice("not_completed", said),),
                settled=True,
            )
        if outcome:
            yield outcome


def _completed(desk: Desk, link: Link) -> Outcome | None:
    invoices, _ = desk.productive.invoices(ids=[link.productive_id])
    document = desk.sage.invoice(link.sage_id)
    if not invoices or document is None:
        desk.ledger.change_link(link, pending=frozenset())  # there is nothing left to do it to
        return None
    done = followups.finish(desk, link, invoices[0], document, again=True)
    notice = Notice("completed", "what an earlier run left to do after the copy is done")
    return Outcome(
        "unchanged",
        link.productive_id,
        number=invoices[0].number,
        **_shown(document),
        pdf=done.pdf,
        notices=(notice, *done.notices),
        settled=True,
    )
