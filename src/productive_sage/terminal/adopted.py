"""Copies that other machines made, which psage's records know from now on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from productive_sage.text import counted

if TYPE_CHECKING:
    from productive_sage.copying.records import FoundCopy


def said(copies: "Sequence[FoundCopy]") -> str:
    """How many there are."""
    were = "was" if len(copies) == 1 else "were"
    return f"{counted(len(copies), 'copy', 'copies')} made elsewhere {were} found and recorded"


def as_json(copies: "Sequence[FoundCopy]") -> list[dict[str, Any]]:
    """Each of them, for a script."""
    return [
        {
            "productive_id": one.entry.id,
            "number": one.entry.number or None,
            "kind": one.entry.kind.code,
            "sage_id": one.document.id,
            "sage_number": one.document.number,
        }
        for one in copies
    ]
