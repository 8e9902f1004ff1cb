"""customers: which company of Productive is billed to which contact in Sage, and why.

What copies remember of it is shown here, and a person's word put in its place.
"""

from dataclasses import dataclass
from typing import Any

from productive_sage import markers
from productive_sage.copying.matching import named_customers
from productive_sage.desk import Desk
from productive_sage.errors import NotFound, Refused
from productive_sage.kept import Contact
from productive_sage.naming import did_you_mean
from productive_sage.text import folded


@dataclass(frozen=True, slots=True)
class Billed:
    """A company and the contact its documents in one currency go to."""

    company_id: str
    company: str
    currency: str
    contact_id: str
    contact: str
    why: str

    def as_json(self) -> dict[str, Any]:
        """As the public contract has it."""
        return {
            "company": {"id": self.company_id, "name": self.company},
            "currency": self.currency,
            "contact": {"id": self.contact_id, "name": self.contact},
            "why": self.why,
        }


def look(desk: Desk) -> list[Billed]:
    """Every company psage knows the contact of."""
    known = desk.store.customers.all(desk.sage.business_id)
    if not known:
        return []
    companies = desk.productive.companies()
    contacts = {contact.id: contact for contact in desk.sage.contacts.all()}
    return [
        Billed(
            one.company_id,
            companies.get(one.company_id, ""),
            one.currency,
            one.contact_id,
            contacts[one.contact_id].name if one.contact_id in contacts else one.contact_name,
            _why(one.company_id, contacts.get(one.contact_id), is_agreed=one.is_agreed),
        )
        for one in known
    ]


def _why(company_id: str, contact: Contact | None, *, is_agreed: bool) -> str:
    if contact is None:
        return "it is not in Sage any more; the next copy looks for another"
    if is_agreed:
        return "somebody said so"
    if markers.in_guid(contact.marker) == company_id:
        return "psage made it"
    return "its name or tax number"


def link(desk: Desk, company: str, contact: str) -> Billed:
    """Bill a company to a contact from now on, in the contact's currency.

    Raises NotFound for the company, `customer_not_found` or `ambiguous_customer` for the contact.
    """
    company_id, name = _company(desk, company)
    customers = desk.sage.contacts.all()
    found = named_customers(customers, contact)
    if not found:
        names = {word: one.name for one in customers for word in (one.name, one.reference or "")}
        raise Refused(
            f"no customer in Sage has the id, name or reference `{contact}`",
            code="customer_not_found",
            hint=did_you_mean(contact, names) or "look up the name or the reference in Sage",
        )
    if len(found) > 1:
        shown = "; ".join(f"{one.name} (reference {one.reference or one.id})" for one in found)
        raise Refused(
            f"{len(found)} contacts in Sage are called `{contact}`: {shown}",
            code="ambiguous_customer",
            hint="name one by its reference or id",
        )
    currency = found[0].currency or desk.books().base_currency
    business = desk.sage.business_id
    desk.store.customers.remember(company_id, currency, business, found[0], is_agreed=True)
    return Billed(company_id, name, currency, found[0].id, found[0].name, "somebody said so")


def forget(desk: Desk, company: str) -> list[Billed]:
    """Look the contact of a company up anew the next time; gives what was known."""
    company_id, name = _company(desk, company)
    business = desk.sage.business_id
    known = [one for one in desk.store.customers.all(business) if one.company_id == company_id]
    if not known:
        raise NotFound(
            f"no contact is known for `{name}`", hint="`psage customers` shows those that are"
        )
    for one in known:
        desk.store.customers.forget(company_id, one.currency, business)
    return [
        Billed(company_id, name, one.currency, one.contact_id, one.contact_name, "forgotten")
        for one in known
    ]


def _company(desk: Desk, typed: str) -> tuple[str, str]:
    """The id and the name of a company, by either."""
    companies = desk.productive.companies()
    if typed.strip() in companies:
        return typed.strip(), companies[typed.strip()]
    found = [(key, name) for key, name in companies.items() if folded(name) == folded(typed)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(key for key, _ in found)
        raise NotFound(
            f"{len(found)} companies in Productive are called `{typed}`: ids {ids}",
            hint="name the one you mean by its id",
        )
    raise NotFound(
        f"Productive has no company `{typed}`, or does not show it to this token",
        hint=did_you_mean(typed, [*companies.values()]) or "give its name or id",
    )
