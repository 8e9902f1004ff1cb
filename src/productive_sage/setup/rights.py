"""What a sign-in may do, learned by reading alone: nothing is sent that could change anything."""

from collections.abc import Callable, Mapping

IN_PRODUCTIVE = {"invoices": "/invoices", "service types": "/service_types"}
IN_SAGE = {
    "invoices": "/sales_invoices",
    "credit notes": "/sales_credit_notes",
    "contacts": "/contacts",
    "settings": "/financial_settings",
}
"""Without these nothing can be copied."""
USEFUL_IN_SAGE = {"receipts": "/contact_payments", "allocations": "/contact_allocations"}
"""Sage shows allocations to a role with full access to Sales, Purchases and Contacts alone."""

GIVES = "an administrator of Sage can give your user Full access to"
WITHOUT_USEFUL = (
    "a payment is then seen through its invoice alone, a credit note must be set against its "
    "invoice by hand, and whether your user may write invoices only a copy shows"
)


def denied(refusal: Callable[[str], str | None], paths: Mapping[str, str]) -> str:
    """What may not be read of these, with the service's words; empty where all may."""
    found = {what: refusal(path) for what, path in paths.items()}
    return " and ".join(f"{what} ({words})" for what, words in found.items() if words)
