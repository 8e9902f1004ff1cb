"""What people find a copy by in Sage: the words beside the marker, and the internal notes. Pure."""

import re
from collections.abc import Iterator

from productive_sage.productive.records import Invoice
from productive_sage.productive.richtext import plain_text
from productive_sage.settings.allowed import PLACEHOLDERS
from productive_sage.text import one_line

REFERENCE_LIMIT = 25
"""Characters of Sage's `reference`."""
NOTES_LIMIT = 2000
"""Characters of Sage's `notes`."""
_AT_AN_END = " /|,;:·-"
"""What only separates, and has nothing to separate there."""
_HELD = "\0"
"""A space in a number, at which nothing is cut."""


def reference(template: str, invoice: Invoice, marker: str) -> str:
    """The words of a template and, at the end, the marker, which is never cut.

    The last marker in a reference is the one that counts, so words that look like one do no harm.
    Whole words go, and whole numbers: half a purchase order is another one's.
    """
    room = REFERENCE_LIMIT - len(marker) - 1
    words = _cut(_filled(" ".join(template.split()), invoice), room)
    return f"{words} {marker}" if words else marker


def notes(template: str, invoice: Invoice) -> str:
    """The notes; a line whose values are all empty is left out."""
    lines = (_filled(line, invoice) for line in template.splitlines())
    return _cut("\n".join(line for line in lines if line), NOTES_LIMIT)


def values(template: str, invoice: Invoice) -> str:
    """What a template takes from an invoice, by which a change in Productive is told."""
    return " | ".join(_value(invoice, name) for name in PLACEHOLDERS if f"{{{name}}}" in template)


def _filled(line: str, invoice: Invoice) -> str:
    names = list(_named(line))
    found = {name: _value(invoice, name) for name in names}
    if names and not any(found.values()):
        return ""
    for name, value in found.items():
        # Values are put in one after the other: no name may stand in one that went before.
        line = line.replace(f"{{{name}}}", value.replace("{", "(").replace("}", ")"))
    return " ".join(line.split()).strip(_AT_AN_END)


def _named(line: str) -> Iterator[str]:
    return (name for name in PLACEHOLDERS if f"{{{name}}}" in line)


def _value(invoice: Invoice, name: str) -> str:
    value = one_line(plain_text(getattr(invoice, name)))
    return value if name == "subject" else value.replace(" ", _HELD)


def _cut(text: str, room: int) -> str:
    if len(text) > room:
        whole = re.match(r"(.*\S)\s", text[: max(room, 0) + 1], re.DOTALL)
        text = (whole[1] if whole else text[: max(room, 0)]).strip(_AT_AN_END)
    return text.replace(_HELD, " ").strip()
