"""What a person at a terminal is asked of a copy: who is billed, from proposals or a search."""

from collections.abc import Callable, Sequence

from productive_sage import naming
from productive_sage.desk import Ask
from productive_sage.kept import Contact
from productive_sage.productive.records import Invoice
from productive_sage.text import folded

_MOST = 9
"""So many customers found are shown; more call for a longer word."""
_SEARCH = ("s", "search for another customer")
BACK = ("b", "back to the customer")


class GoBack(Exception):
    """A person wants to answer the question before this one again."""


def customer(
    ask: Ask,
    invoice: Invoice,
    proposals: Sequence[Contact],
    everybody: Callable[[], Sequence[Contact]],
    *,
    is_sure: bool,
) -> Contact | None:
    """Who is billed, of the proposals or found by a search; None for a new customer.

    Enter takes the first answer where it `is_sure`.
    """
    question = f"Who is billed in Sage for {invoice.company.name}?"
    while True:
        new = "none of these: make a new one" if len(proposals) > 1 else "make a new customer"
        answers = [*map(shown, proposals), new]
        picked = ask(question, answers, 0 if is_sure else None, [_SEARCH])
        if picked < len(proposals):
            return proposals[picked]
        if picked == len(proposals):
            return None
        if found := _found(ask, everybody()):
            proposals, is_sure = found, False


def shall_stay(ask: Ask, invoice: Invoice, contact: Contact) -> bool:
    """Whether later invoices of the company go to a contact that is not the company, too."""
    question = f"`{contact.name}` is another name than {invoice.company.name}. Is it billed"
    return ask(question, ["this once", "from now on"], 0) == 1


def _found(ask: Ask, everybody: Sequence[Contact]) -> list[Contact]:
    """Those a word fits, else those whose names come near; empty where a person gives up."""
    while word := ask.typed("Name, reference, e-mail or tax number (Enter goes back)"):
        fields = {one.id: (one.name, one.reference, one.email, one.tax_number) for one in everybody}
        found = [
            one
            for one in everybody
            if any(folded(word) in folded(field) for field in fields[one.id])
        ]
        if not found:
            near = naming.near(word, [one.name for one in everybody])
            found = [one for one in everybody if one.name in near]
        if found:
            if len(found) > _MOST:
                ask.say(f"{len(found)} customers fit, the first {_MOST} are shown")
            return found[:_MOST]
        ask.say(f"No customer in Sage comes near to `{word}`")
    return []


def shown(contact: Contact) -> str:
    """A contact with what it is told apart by."""
    parts = [
        contact.reference and f"reference {contact.reference}",
        contact.email,
        contact.tax_number and f"tax number {contact.tax_number}",
    ]
    known = ", ".join(part for part in parts if part)
    return f"{contact.name} ({known})" if known else f"{contact.name} ({contact.id})"
