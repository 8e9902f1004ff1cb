"""The texts by which psage finds again what it made in the two services.

A copy carries one in Sage's reference, a contact in its `source_guid`, a payment in a line of its
note in Productive.
"""

import re

_IN_REFERENCE = re.compile(r"(?i)(?<![\w-])PRD-(\d+)(?:-([1-9]\d*))?(?![\w-])")
_IN_GUID = re.compile(r"productive-company-(\d+)(?:-[A-Z]{3})?")
_IN_NOTE = re.compile(r"psage (\w+)/(\w+)( discount)?")


def of_copy(invoice_id: str, copy_number: int) -> str:
    """The reference of a copy: `PRD-123`, the second copy `PRD-123-2`."""
    return f"PRD-{invoice_id}" if copy_number == 1 else f"PRD-{invoice_id}-{copy_number}"


def in_reference(reference: str) -> tuple[str, int] | None:
    """(Productive id, copy number) if the reference holds a marker, else None.

    People add to references, before and behind; of several markers the last counts.
    """
    found = _IN_REFERENCE.findall(reference)
    return (found[-1][0], int(found[-1][1] or 1)) if found else None


def of_company(company_id: str, currency: str, base_currency: str) -> str:
    """The `source_guid` of a contact psage made for a Productive company."""
    plain = f"productive-company-{company_id}"
    return plain if currency == base_currency else f"{plain}-{currency}"


def in_guid(source_guid: str) -> str | None:
    """The Productive id of the company a contact was made for; None where psage did not make it."""
    found = _IN_GUID.fullmatch(source_guid.strip())
    return found[1] if found else None


def in_note(note: str) -> str | None:
    """The marker in a payment's note, or None; people add to notes, before and behind."""
    for line in note.splitlines():
        if found := _IN_NOTE.fullmatch(line.strip()):
            return found[0]
    return None
