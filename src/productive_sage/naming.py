"""How people name a Productive document: by its id, its number, or its address in the browser."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from productive_sage.errors import DocumentElsewhere, UsageProblem
from productive_sage.text import quoted

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(?i)https?://[^/?#]+/(\d+)[^/?#]*/(?:[^?#]*/)?invoices/(\d+)(?!\d)")
_AN_ID = re.compile(r"[1-9][0-9]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Name:
    """A document as somebody named it."""

    typed: str
    id: str = ""
    """Its id, where that may be meant."""
    number: str = ""
    """Its number, where that may be meant; digits alone may be both."""
    organization_id: str = ""
    """Of the organisation an address is of."""

    def fits(self, productive_id: str, number: str) -> bool:
        """Whether a document may be meant."""
        return self.has_id(productive_id) or self.has_number(number)

    def has_id(self, productive_id: str) -> bool:
        """Whether the id is this one."""
        return bool(self.id) and self.id == productive_id

    def has_number(self, number: str) -> bool:
        """Whether the number is this one; case and the space around it do not count."""
        return bool(self.number) and folded(self.number) == folded(number)


def folded(number: str) -> str:
    """A number as it is compared."""
    return number.strip().casefold()


def read(words: Iterable[str], *, as_number: bool = False, as_id: bool = False) -> list[Name]:
    """The documents that words of a command line name, each once; commas part them too.

    `as_number` and `as_id`: what a word is that may be either. Raises UsageProblem for a word that
    can be no id, and for an address that is no document's.
    """
    found: dict[tuple[str, str], Name] = {}
    for word in words:
        parts = [word] if _ADDRESS.match(word.strip()) else word.split(",")
        for typed in filter(None, (part.strip() for part in parts)):
            name = _read(typed, as_number=as_number, as_id=as_id)
            found.setdefault((name.id, folded(name.number)), name)
    return list(found.values())


def check(names: Iterable[Name], organization_id: str) -> None:
    """Raises DocumentElsewhere where an address is of another organisation."""
    for name in names:
        if name.organization_id not in ("", organization_id):
            raise DocumentElsewhere(
                f"`{quoted(name.typed, 200)}` is a document of organisation "
                f"{name.organization_id} in Productive, and this profile is connected to "
                f"{organization_id}",
                hint="choose the profile of that organisation with `--profile`",
            )


def _read(typed: str, *, as_number: bool, as_id: bool) -> Name:
    if _ADDRESS.match(typed):
        return _read_address(typed)
    is_id = bool(_AN_ID.fullmatch(typed))
    if as_number:
        return Name(typed, number=typed)
    if as_id:
        if not is_id:
            raise UsageProblem(
                f"`{quoted(typed)}` is no id of a Productive document: an id is digits alone",
                hint="leave `--id` out to name it by its number",
            )
        return Name(typed, id=typed)
    return Name(typed, id=typed if is_id else "", number=typed)


def _read_address(typed: str) -> Name:
    found = _IN_ADDRESS.match(typed)
    if not found:
        raise UsageProblem(
            f"`{quoted(typed, 200)}` is not the address of an invoice or credit note in Productive",
            hint="open the document in Productive and copy the address of that page, or give its "
            "number",
        )
    return Name(typed, id=found[2], organization_id=found[1])


def organization(typed: str) -> str:
    """The id of an organisation out of its address, `4200-name` or the id; else what was typed."""
    found = re.fullmatch(
        r"(?:https?://)?(?:[\w.-]+/)?(\d+)(?:-[^/?#]*)?(?:[/?#].*)?", typed.strip()
    )
    return found[1] if found else typed.strip()


def digits_of(number: str) -> str:
    """The last digits of a number, by which similar ones are searched for; empty for none."""
    found = re.findall(r"\d+", number)
    return found[-1] if found else ""


def near(wanted: str, known: Sequence[str], count: int = 3) -> list[str]:
    """Those of the names that come near to one that was typed, the nearest first."""
    by_key = {folded(one): one for one in reversed(known)}
    tail = digits_of(wanted).lstrip("0")
    keys = [key for key in by_key if tail and digits_of(key).lstrip("0") == tail]
    keys.sort(key=lambda key: -difflib.SequenceMatcher(None, folded(wanted), key).ratio())
    keys += difflib.get_close_matches(folded(wanted), list(by_key), count, 0.6)
    return [by_key[key] for key in list(dict.fromkeys(keys))[:count]]


def did_you_mean(wanted: str, known: Sequence[str] | Mapping[str, str]) -> str:
    """A question that names what comes near, or nothing.

    A mapping gives for each word by which something is known how people see it.
    """
    shown = known if isinstance(known, Mapping) else {one: one for one in known}
    found = dict.fromkeys(shown[one] for one in near(wanted, [one for one in shown if one]))
    return f"did you mean {' or '.join(f'`{one}`' for one in found)}?" if found else ""
