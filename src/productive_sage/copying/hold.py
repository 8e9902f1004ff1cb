"""A saved plan held against what would be planned now: what is the same is carried out.

What is not is refused, and said: it was agreed to as it was, and somebody has to look again.
"""

from collections.abc import Callable, Sequence

from productive_sage.copying import drafts, in_sage
from productive_sage.copying.adopt import Found
from productive_sage.copying.plan import CopyPlan
from productive_sage.copying.records import Draft, Outcome
from productive_sage.copying.results import shown
from productive_sage.copying.saved import (
    ADOPT,
    CREATE,
    NEW,
    UPDATE,
    Deviation,
    Facts,
    PlannedDocument,
    SavedPlan,
    books_of,
    differing,
    facts,
    settings_of,
    source,
)
from productive_sage.desk import Desk
from productive_sage.errors import PsageError, Refused
from productive_sage.kept import Contact
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.settings import Settings
from productive_sage.store import Link
from productive_sage.text import folded, same_tax_number

_MOST = 4
"""So many changes are named in a sentence; `--json` has all."""
_OF_THE_PLAN = (2, 4, 7)
"""The exit codes of what speaks against a document, and not of a service that does not answer."""
Planned = CopyPlan | Found | Outcome


def check_settings(saved: SavedPlan, profile: str, settings: Settings) -> None:
    """Raises `plan_invalid` or `plan_changed` where the plan is not for this profile as it is."""
    if saved.profile != profile:
        raise PsageError(
            f"the plan was made for the profile `{saved.profile}`, and this is `{profile}`",
            code="plan_invalid",
            hint=f"`psage --profile {saved.profile} apply` carries it out",
        )
    changes = [*differing("the settings", saved.settings, settings_of(settings))]
    _check_whole(saved, changes)


def check_books(saved: SavedPlan, desk: Desk) -> None:
    """Raises `plan_invalid` or `plan_changed` where it is not for these books as they are."""
    ids = (desk.productive.organization_id, desk.sage.business_id)
    for service, place, known in zip(
        ("Productive", "Sage"), (saved.productive, saved.sage), ids, strict=True
    ):
        if place.id != known:
            raise PsageError(
                f"the plan was made for {place.shown} in {service}, and {known} is connected",
                code="plan_invalid",
                hint="apply it where it was made, or make a plan here",
            )
    desk.doubt_facts()  # what was read earlier today was perhaps read before the plan
    _check_whole(saved, [*differing("Sage", saved.books, books_of(desk))])


def _check_whole(saved: SavedPlan, changes: Sequence[Deviation]) -> None:
    if changes:
        raise Refused(
            f"not as it was when the plan was made: {_said(changes)}",
            code="plan_changed",
            hint=f"nothing was sent; make a new plan with `psage {saved.order.kind.command}`",
            details={"changes": [_as_json(one) for one in changes]},
        )


def _said(changes: Sequence[Deviation]) -> str:
    named = "; ".join(one.said for one in changes[:_MOST])
    return named if len(changes) <= _MOST else f"{named}; and {len(changes) - _MOST} more"


def _as_json(change: Deviation) -> dict[str, str]:
    return {
        "where": change.where,
        "field": change.field,
        "then": change.then,
        "now": change.now,
    }


class Hold:
    """Judges each document of a saved plan by what would be planned now (see `copying.Check`)."""

    def __init__(self, saved: SavedPlan, desk: Desk) -> None:
        self._saved = saved
        self._desk = desk
        self._documents = {one.told.productive_id: one for one in saved.documents if one.plan}

    def __call__(self, invoice: Invoice, plan: Callable[[], Planned]) -> Planned:
        """The plan, where it is the saved one; the outcome where it is done, or differs.

        Raises `plan_changed`, naming what is not as it was.
        """
        document = self._documents[invoice.id]
        saved = document.plan or {}
        if link := self._made_since(invoice, saved):
            return self._done(invoice, document, link)
        self._check(invoice, [*differing("Productive", document.source, source(invoice))])
        now = plan()
        if isinstance(now, Outcome):
            return self._unplanned(invoice, now)
        if isinstance(now, Found):
            return self._found(invoice, document, now)
        if saved["action"] == UPDATE and now.is_idle:
            return now  # carried out by an earlier run, or by somebody
        self._check(invoice, [*_in_sage(saved, facts(now), now.customer)])
        return now

    def _made_since(self, invoice: Invoice, saved: Facts) -> Link | None:
        """The copy that was to be made, where psage knows of it by now."""
        links = self._desk.store.copies.of(invoice.id)
        if saved["action"] == CREATE:
            return next((link for link in links if link.copy_number == saved["which copy"]), None)
        if saved["action"] == ADOPT:
            wanted = saved["copy"]["id"]
            return next((link for link in links if link.sage_id == wanted), None)
        return None

    def _done(self, invoice: Invoice, document: PlannedDocument, link: Link) -> Outcome:
        """That a document is copied already, exactly as it was planned."""
        present = self._desk.sage.documents.known(link.kind, link.sage_id)
        self._check_made(invoice, document, link, present)
        return Outcome(
            "unchanged",
            invoice.id,
            number=invoice.number,
            **shown(present),
            kind=invoice.kind,
        )

    def _found(self, invoice: Invoice, document: PlannedDocument, now: Found) -> Found:
        """A copy of another machine, where it is the planned one, or as planned."""
        present = self._desk.sage.documents.known(now.link.kind, now.link.sage_id)
        self._check_made(invoice, document, now.link, present)
        return now

    def _check_made(
        self, invoice: Invoice, document: PlannedDocument, link: Link, present: SageDocument | None
    ) -> None:
        saved, number = document.plan or {}, link.sage_number
        if present is None or (gone := in_sage.gone(present)):
            became = f"{number}, {gone}" if present else f"{number}, deleted"
            self._check(invoice, [Deviation("Sage", "copy", "", became)])
            return
        if saved["action"] == ADOPT:
            wanted = saved["copy"]["id"]
            differ = {} if present.id == wanted else {"copy": (wanted, present.id)}
        else:
            draft: Draft = (document.told.planned or {})["draft"]
            is_draft = draft.is_unbooked and present.is_draft  # or it was released since
            expected = {**drafts.expectation(draft), "is_draft": is_draft}
            differ = drafts.differences(expected, present)
            billed = saved["customer"].get("id", present.contact_id)
            if billed != present.contact_id:
                differ["customer"] = (saved["customer"]["name"], present.contact_name)
            if present.invoiced_on != draft.invoiced_on:
                differ["date"] = (str(draft.invoiced_on), str(present.invoiced_on))
        changes = [Deviation("Sage", f"{name} of {number}", *pair) for name, pair in differ.items()]
        self._check(invoice, changes)

    def _unplanned(self, invoice: Invoice, now: Outcome) -> Outcome:
        """That a document can no longer be copied, and why; a silent service says so itself."""
        error = now.error
        if error and (error.exit_code not in _OF_THE_PLAN or error.code == "plan_changed"):
            return now
        said = error.message if error else f"it would be {now.action}"
        raise Refused(
            f"{invoice.label} is not as it was when the plan was made: {said}",
            code="plan_changed",
            hint=error.hint if error else self._hint(invoice),
            details={"changes": [], "error": error.as_json() if error else None},
        )

    def _check(self, invoice: Invoice, changes: Sequence[Deviation]) -> None:
        if changes:
            raise Refused(
                f"{invoice.label} is not as it was when the plan was made: {_said(changes)}",
                code="plan_changed",
                hint=self._hint(invoice),
                details={"changes": [_as_json(one) for one in changes]},
            )

    def _hint(self, invoice: Invoice) -> str:
        command = f"psage {invoice.kind.command} {invoice.typed}"
        return f"nothing was sent for it; `{command} --dry-run` shows what it would be now"


def _in_sage(saved: Facts, now: Facts, customer: object) -> list[Deviation]:
    """What would be done otherwise, though Productive and the settings are as they were."""
    then, now = dict(saved), dict(now)
    sent = then.pop("sent"), now.pop("sent")
    billed = then.pop("customer"), now.pop("customer")
    warned = then.pop("warnings"), now.pop("warnings")
    changes = [] if _is_that_one(billed[0], customer) else _billed(*billed)
    changes += differing("Sage", then, now)
    # What is sent follows from all else, and says something new where nothing else does.
    changes = changes or [*differing("Sage", *sent)]
    if new := [code for code in warned[1] if code not in warned[0]]:
        changes.append(Deviation("what is warned of", "news", "", ", ".join(new)))
    return changes


def _billed(then: Facts, now: Facts) -> list[Deviation]:
    if then.get("id") == now.get("id"):
        return [*differing("Sage", then, now, ("customer",))]
    return [Deviation("Sage", "customer", *map(_customer_shown, (then, now)))]


def _customer_shown(customer: Facts) -> str:
    if NEW in customer:
        return f"{customer[NEW]['name']} (new)"
    return f"{customer['name']} ({customer['id']})"


def _is_that_one(saved: Facts, customer: object) -> bool:
    """Whether a contact is the one that was to be made, as it was to be."""
    if NEW not in saved or not isinstance(customer, Contact):
        return False
    body = saved[NEW]
    return (
        customer.marker == body["source_guid"]
        and folded(customer.name) == folded(body["name"])
        and same_tax_number(customer.tax_number, body.get("tax_number", "")) is not False
    )
