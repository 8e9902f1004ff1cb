"""How people name a Productive document: by its id, its number, or its address in the browser."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from productive_sage.errors import Refused, UsageProblem
from productive_sage.text import quoted

_ADDRESS = re.compile(r"https?://|[\w.-]*(?:productive\.io|sage(?:one)?\.com)/", re.IGNORECASE)
"""How an address begins; browsers do not show the first part of it, and some do not copy it."""
_IN_ADDRESS = re.compile(r"(?i)(?:https?://)?[^/?#]+/(\d+)[^/?#]*/(?:[^?#]*/)?invoices/(\d+)(?!\d)")
_PLAIN = re.compile(r"[a-z0-9][\w./-]*", re.ASCII | re.IGNORECASE)
"""What every shell takes as it is."""
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
    """Raises `document_elsewhere` where an address is of another organisation."""
    for name in names:
        if name.organization_id not in ("", organization_id):
            raise Refused(
                f"`{quoted(name.typed, 200)}` is a document of organisation "
                f"{name.organization_id} in Productive, and this profile is connected to "
                f"{organization_id}",
                code="document_elsewhere",
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


def to_type(number: str, productive_id: str) -> str:
    """How a command names a document: by its number, where that can be typed as it is.

    Digits alone may be the id of another document, and a shell has its own ideas of other signs.
    """
    number = number.strip()
    if not _PLAIN.fullmatch(number) or number.isdecimal() or _ADDRESS.match(number):
        return productive_id
    return number


def advice(typed: str, known: Iterable[tuple[str, str, str]] = ()) -> str:
    """How a document that nobody knows is to be typed, where what was typed shows the slip.

    `known` are the copies: id, number, number in Sage.
    """
    for productive_id, number, sage_number in known:
        if sage_number and folded(sage_number) == folded(typed):
            return (
                f"`{typed}` is the number of a copy in Sage; the document in Productive is "
                f"`{number or productive_id}`"
            )
    plain = unicodedata.normalize("NFKC", typed)
    plain = "".join(str(int(one)) if one.isdecimal() else one for one in plain).strip(_AROUND)
    if re.search(r"[;|]", plain):
        return "part several documents by spaces or commas"
    if re.search(r"[*?]", plain) or plain.casefold() == "all" or _RANGE.fullmatch(plain):
        return "several are chosen by `psage copy-invoice --all-uncopied`, with `--month` and so on"
    if found := re.fullmatch(r"(?i)PRD-(\d+)\S*|\+?0*([1-9]\d*)(?:\.0+)?", plain):
        plain = found[1] or found[2]
    return f"did you mean `{plain}`?" if plain and plain != typed.strip() else ""


_AROUND = "#\"'`\u00b4\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb \t"
"""What people put around a number, and is no part of it."""
_RANGE = re.compile(r"[1-9]\d*(?:-|\.\.+|\u2013)[1-9]\d*")


def digits_of(number: str) -> str:
    """The last digits of a number, by which similar ones are searched for; empty for none."""
    found = re.findall(r"\d+", number)
    return found[-1] if found else ""


def near(wanted: str, known: Sequence[str], count: int = 3) -> list[str]:
    """Those of the names that come near to one that was typed, the nearest first.

    A name comes near by its last digits, by its letters, or by how it begins.
    """
    by_key = {folded(one): one for one in reversed(known)}
    typed = folded(wanted)
    tail = digits_of(wanted).lstrip("0")
    keys = [key for key in by_key if tail and digits_of(key).lstrip("0") == tail]
    keys.sort(key=lambda key: -_likeness(typed, key))
    keys += difflib.get_close_matches(typed, list(by_key), count, 0.6)
    if len(typed) >= _BEGINNING:
        begun = [key for key in by_key if _likeness(typed, key[: len(typed)]) >= _ALIKE]
        keys += sorted(begun, key=lambda key: -_likeness(typed, key[: len(typed)]))
    return [by_key[key] for key in list(dict.fromkeys(keys))[:count]]


_BEGINNING = 4
_ALIKE = 0.8
"""So many letters of a name are a beginning of it, if they are so much alike."""


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def did_you_mean(wanted: str, known: Sequence[str] | Mapping[str, str]) -> str:
    """A question that names what comes near, or nothing.

    A mapping gives for each word by which something is known how people see it.
    """
    shown = known if isinstance(known, Mapping) else {one: one for one in known}
    found = dict.fromkeys(shown[one] for one in near(wanted, [one for one in shown if one]))
    return f"did you mean {' or '.join(f'`{one}`' for one in found)}?" if found else ""
