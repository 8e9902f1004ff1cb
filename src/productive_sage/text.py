"""What people and services wrote: made fit to show."""

import html
import re
import unicodedata
from datetime import date
from typing import Any
from urllib.parse import urlsplit

_ID = re.compile(r"(?!0$)[A-Za-z0-9][\w.:-]{0,99}", re.ASCII)
_LONGEST_ADDRESS = 2000
_LONGEST_TEXT = 50_000
_QUOTED = 40
# What nobody sees, but a terminal obeys: directions, zero-width spaces, and joiners after plain
# letters (emojis, and scripts that join their letters, need them).
_UNSEEN = re.compile(
    r"[\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"
    r"|(?<=[\x00-\u024f])[\u200c\u200d]"
)


def clean(value: str) -> str:
    """Text without control characters and halves of characters, which nobody could send or show.

    Odd line breaks become plain ones, and Windows' own characters (an en dash at 0x96) what they
    were meant to be. What turns the direction of writing or takes no room is left out.
    """
    if value.isprintable():
        return value
    value = re.sub(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", "\n", value)
    value = re.sub(
        r"[\x80-\x9f]", lambda c: bytes([ord(c[0])]).decode("cp1252", "ignore") or " ", value
    )
    return _UNSEEN.sub("", re.sub(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]", "", value))


def quoted(value: Any, most: int = _QUOTED) -> str:
    """A value as a message may show it: clean, in one line, of at most 40 characters."""
    said = " ".join(clean(value[: 4 * most] if isinstance(value, str) else repr(value)).split())
    return said if len(said) <= most else said[: most - 1] + "…"


def identity(value: Any) -> str:
    """An id a service gave: a word of a sane length. Raises ValueError for anything else.

    So null, true, 0, `../x` or a megabyte of letters are never remembered, nor become a path.
    """
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    raise ValueError(f"`{quoted(value)}` is no id")


def text_of(value: Any) -> str:
    """A text of a service; empty where it is missing. Raises ValueError for anything else.

    A number or a list in its place is no name, and nothing to be booked.
    """
    if value is None:
        return ""
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT:
        return value
    raise ValueError(f"`{quoted(value)}` is no text")


def web_address(value: Any) -> str | None:
    """An address a browser may be sent to, or None: http and https alone."""
    if (
        not isinstance(value, str)
        or len(value) > _LONGEST_ADDRESS
        or re.search(r"[\s<>\"`]", value)
    ):
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return value if parts.scheme in ("http", "https") and parts.hostname else None


def day(value: Any) -> date | None:
    """The calendar day a service's date or instant begins with; None where it is missing or blank.

    Raises ValueError or TypeError for anything else.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"`{quoted(value)}` is not a date")
    return date.fromisoformat(value.strip()[:10]) if value.strip() else None


def one_line(value: str) -> str:
    """A name as it can stand within a line."""
    return " ".join(clean(value).split())


def is_sage_id(name: str | None) -> bool:
    """Whether an id has the form of those in Sage; Productive may hold another system's."""
    return bool(re.fullmatch("[0-9a-f]{32}", name or ""))


def bare(step: str) -> str:
    """A step that is just one command, without its backticks, to be run; others as they are."""
    return step[1:-1] if re.fullmatch("`[^`]+`", step) else step


# --- names and addresses


def tidy(value: str) -> str:
    """A name, or a line of an address, as people mean it.

    Entities are resolved, letters composed, spaces plain and single, and what nobody can see is
    gone; line breaks stay.
    """
    if value.isascii() and value.isprintable() and "&" not in value:  # as most are
        return " ".join(value.split())
    value = clean(value)
    for _ in range(3):  # `&amp;amp;`
        value = re.sub(
            r"&(#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);", lambda m: html.unescape(m[0]), value
        )
    seen = (one for one in unicodedata.normalize("NFC", value) if unicodedata.category(one) != "Cf")
    lines = "".join(seen).splitlines()
    return "\n".join(" ".join(line.split()) for line in lines).strip()


_ALIKE = str.maketrans(
    dict.fromkeys("‘’‚‛′`´ʼ", "'") | dict.fromkeys("“”„‟″«»", '"') | dict.fromkeys("‐‑‒–—―−", "-")
)


def counted(number: int, noun: str, several: str = "") -> str:
    """`1 payment`, `2 payments`; `several` is a plural of another form."""
    return f"{number} {noun if number == 1 else several or f'{noun}s'}"


def folded(name: str) -> str:
    """A name to be compared: equal for all ways in which one name is written."""
    plain = unicodedata.normalize("NFKC", tidy(name).translate(_ALIKE)).casefold()
    return " ".join(unicodedata.normalize("NFKC", plain).split())


def emails(written: str) -> tuple[list[str], list[str]]:
    """The e-mail addresses in a field, and what else is in it.

    People write several, `Name <a@b.example>`, and a dot at the end.
    """
    found: list[str] = []
    rest: list[str] = []
    outside_quotes = r'[,;|\n]+(?=(?:[^"]*"[^"]*")*[^"]*$)'
    for piece in re.split(outside_quotes, tidy(written)):
        bracketed = re.findall("<([^<>]*)>", piece)
        for word in bracketed or filter(None, re.split(r"[\s/]+", piece)):
            address = word.strip().strip("<>()[].\"'").removeprefix("mailto:")
            if not _is_email(address):
                rest.append(word)
            elif address.casefold() not in map(str.casefold, found):
                found.append(address)
    return found, rest


def _is_email(address: str) -> bool:
    from email.errors import MessageError  # here, since few runs need them
    from email.headerregistry import Address

    try:
        Address(addr_spec=address)
    except (MessageError, ValueError, IndexError):
        return False
    return bool(re.fullmatch(r"[^@\s.]+(?:\.[^@\s.]+)*@(?:[^@\s.]+\.)+[^@\s.]+", address))


def same_tax_number(one: str, other: str) -> bool | None:
    """Whether two tax numbers are one, with or without its country; None where one is missing."""
    first, second = _tax_number(one), _tax_number(other)
    if not first or not second:
        return None
    bodies = _without_country(first), _without_country(second)
    return first == second or first == bodies[1] or bodies[0] == second


def _tax_number(written: str) -> str:
    plain = re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", tidy(written))).upper()
    plain = re.sub(r"^(?:VATREGNO|VATNO|VAT|USTIDNR|USTID)|(?:MWST|TVA|IVA|MVA|VAT)$", "", plain)
    plain = re.sub("^XI", "GB", re.sub("^EL", "GR", plain))  # one number, two prefixes
    return plain if sum(one.isdigit() for one in plain) >= 4 else ""  # `n/a` is none


def _without_country(number: str) -> str:
    return re.sub("^(?:CHE|[A-Z]{2})(?=[0-9A-Z]{4})", "", number)
