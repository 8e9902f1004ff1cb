"""Which contact in Sage is a company of Productive. Pure."""

from collections.abc import Sequence

from productive_sage import markers
from productive_sage.kept import Contact
from productive_sage.productive.records import Address, Company
from productive_sage.text import emails, folded, same_tax_number


def matching_customers(
    contacts: Sequence[Contact],
    company: Company,
    bill_to: Address,
    *,
    currency: str,
    base_currency: str,
) -> tuple[list[Contact], list[Contact]]:
    """The contacts that are this company in this currency, and those only a person can tell.

    psage's own marker decides; else the tax number and the name. An e-mail address alone is a
    question, and so is a contact of psage's own that has got another tax number.
    """
    usable = [
        contact
        for contact in contacts
        if (contact.currency or base_currency) == currency and not is_of_another(contact, company)
    ]
    ours: list[Contact] = []
    odd: list[Contact] = []
    for contact in usable:
        if markers.in_guid(contact.marker) == company.id:
            (odd if _has_other_tax_number(contact, company, bill_to) else ours).append(contact)
    if ours:
        return ours, []
    alike = [contact for contact in usable if is_company(contact, company, bill_to)]
    if odd:
        return [], [*odd, *alike]
    if alike:
        sure = [one for one in alike if _has_name(one, company) and _has_tax(one, company, bill_to)]
        return sure or alike, []
    known = {email.casefold() for email in emails(bill_to.email)[0]}
    return [], [
        contact
        for contact in usable
        if known & {email.casefold() for email in emails(contact.email)[0]}
        and not _has_other_tax_number(contact, company, bill_to)
    ]


def is_company(contact: Contact, company: Company, bill_to: Address) -> bool:
    """Whether psage's marker, the tax number or the name says so, and none of them otherwise."""
    if is_another(contact, company, bill_to):
        return False
    return (
        markers.in_guid(contact.marker) == company.id
        or _has_tax(contact, company, bill_to)
        or _has_name(contact, company)
    )


def is_another(contact: Contact, company: Company, bill_to: Address) -> bool:
    """Whether psage's marker or the tax number says that the contact is another company."""
    return is_of_another(contact, company) or _has_other_tax_number(contact, company, bill_to)


def is_of_another(contact: Contact, company: Company) -> bool:
    """Whether psage's marker says that the contact is another company."""
    return markers.in_guid(contact.marker) not in (None, company.id)


def _has_name(contact: Contact, company: Company) -> bool:
    return bool(company.name) and folded(contact.name) == folded(company.name)


def _has_tax(contact: Contact, company: Company, bill_to: Address) -> bool:
    return True in _tax_numbers(contact, company, bill_to)


def _has_other_tax_number(contact: Contact, company: Company, bill_to: Address) -> bool:
    """Whether both have tax numbers, and no two of them are one."""
    same = _tax_numbers(contact, company, bill_to)
    return False in same and True not in same


def _tax_numbers(contact: Contact, company: Company, bill_to: Address) -> set[bool | None]:
    numbers = (company.tax_number, bill_to.tax_number)
    return {same_tax_number(contact.tax_number, number) for number in numbers}


def named_customers(contacts: Sequence[Contact], wanted: str) -> list[Contact]:
    """The contacts a person means by an id, an exact name or a reference."""
    word = folded(wanted)
    by_id = [contact for contact in contacts if contact.id == wanted.strip()]
    return by_id or [
        contact
        for contact in contacts
        if word and word in (folded(contact.name), folded(contact.reference))
    ]
