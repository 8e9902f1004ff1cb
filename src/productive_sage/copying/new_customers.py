"""Making a contact in Sage, and finding again one that was made."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from productive_sage.copying import bodies, write_once
from productive_sage.desk import Desk
from productive_sage.errors import (
    OutcomeUnknown,
    PsageError,
    RefusedBySage,
)
from productive_sage.errors.notices import Notice
from productive_sage.kept import Contact
from productive_sage.sage import parse
from productive_sage.store import ContactFacts, ContactIntent


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """A contact that has to be made first."""

    company_id: str
    currency: str
    country: str
    body: Mapping[str, Any]
    notices: tuple[Notice, ...]
    is_planned: bool = False
    """Whether a dry run has planned it for an earlier document."""


def make(desk: Desk, new: NewCustomer) -> Contact:
    """The contact, made in Sage now."""
    intent = desk.store.intents.begin(
        "contact",
        f"{new.company_id} {new.currency}",
        desk.sage.business_id,
        payload=new.body,
        facts=ContactFacts(new.company_id, new.currency, new.country),
        at=desk.sage.now(),
    )
    return deliver_contact(desk, intent)


def deliver_contact(desk: Desk, intent: ContactIntent, *, is_first: bool = True) -> Contact:
    """Send a contact intent, new or left over, and record what came of it."""
    sent = intent.payload
    try:
        contact = write_once.deliver(
            desk.store,
            intent,
            send=desk.sage.contacts.create,
            look=lambda: find_made(desk, intent),
            is_first=is_first,
        )
    except RefusedBySage as error:
        desk.doubt_facts()
        if error.status == 422:
            error.what = f"the customer `{sent['name']}`"
            values = bodies.blamed(f"{error.words} {' '.join(error.fields)}", sent)
            error.hint = (
                f"{' and '.join(values) or 'what psage sends of a customer'} came from Productive: "
                f"mend it in the billing address of `{sent['name']}` there, then run the command "
                "again"
            )
        raise
    made_at = datetime.fromisoformat(contact.made_at) if contact.made_at else None
    if write_once.is_of_old(intent, made_at) and desk.sage.contacts.known(contact.id) is None:
        return deliver_contact(desk, write_once.anew(desk.store, intent, at=desk.sage.now()))
    contact = replace(  # Sage's answer holds references, not what is in them
        contact,
        currency=contact.currency or str(sent["currency_id"]),
        country=contact.country or intent.facts.country,
        marker=contact.marker or str(sent["source_guid"]),
        tax_number=contact.tax_number or str(sent.get("tax_number", "")),
        has_address=parse.is_address(sent["main_address"]),
    )
    try:
        desk.store.intents.finish_contact(intent, contact)
        desk.keep_contact(contact)
    except PsageError as error:
        raise OutcomeUnknown(
            f"the customer `{contact.name}` is in Sage, but could not be recorded: {error.message}",
            hint=f"{error.hint}; the next run finds it",
        ) from error
    return contact


def find_made(desk: Desk, intent: ContactIntent) -> Contact | None:
    """The contact an intent made, found by psage's marker."""
    for contact in desk.sage.contacts.all():
        if contact.marker == intent.payload["source_guid"]:
            return contact
    return None
