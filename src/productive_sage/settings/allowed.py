"""What a setting may hold: each check gives what is wrong, or None."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from productive_sage.settings.declared import Check, Word


def one_of(words: tuple[Word, ...]) -> Check:
    """One of these words."""
    allowed = [word.value for word in words]
    if True in allowed:
        return of_kind(bool, "true or false")
    named = " or ".join(f'"{value}"' for value in allowed)
    return lambda _, value: None if value in allowed else f"must be {named}"


def of_kind(kind: type, words: str) -> Check:
    """A value of this Python type."""
    return lambda _, value: None if type(value) is kind else f"must be {words}"


def pace(_: str, value: Any) -> str | None:
    """A number of calls a second that Sage bears."""
    return None if type(value) is int and 1 <= value <= 100 else "must be a number from 1 to 100"


def decimals(currency: str, value: Any) -> str | None:
    """As many decimals as ISO 4217 gives a currency, or two, as Productive counts most of them.

    Any other number books a hundredfold or a hundredth, and no figure of Productive's shows it.
    """
    from productive_sage import money

    if not re.fullmatch("[A-Z]{3}", currency):
        return "is not for a currency: write three capital letters, like JPY"
    usual = money.digits(currency)
    allowed = sorted({usual, 2})
    if type(value) is int and value in allowed:
        return None
    return (
        f"must be {' or '.join(map(str, allowed))}, since {currency} has {usual or 'no'} decimals"
    )


def folder(_: str, value: Any) -> str | None:
    """A folder that can be named on this machine."""
    if not isinstance(value, str) or "\0" in value:
        return "must be a folder in quotes"
    try:
        Path(value).expanduser()
    except RuntimeError:
        return "is in the home of a user this machine does not know"
    return None


def sage_item(_: str, value: Any) -> str | None:
    """An item in Sage: its kind and its id."""
    if isinstance(value, str) and re.fullmatch(r"(service|product|stock_item):[\w-]+", value):
        return None
    return 'must be "service:ID", "product:ID" or "stock_item:ID"'


PLACEHOLDERS = ("number", "purchase_order", "subject")
"""What a template may take from a document of Productive."""


def template(_: str, value: Any) -> str | None:
    """Text with known placeholders."""
    if not isinstance(value, str):
        return "must be a text in quotes"
    if not value.replace("\n", "").isprintable():
        return "holds a tab, or another character that cannot be shown: write a space instead"
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    left = re.sub("|".join(rf"\{{{name}\}}" for name in PLACEHOLDERS), "", value)
    if unknown := re.search(r"\{[^{}]*\}|[{}]", left):
        return f"holds `{unknown[0]}`, which is not known; known are {known}"
    return None


def rate_name(_: str, value: Any) -> str | None:
    """The id or name of a tax rate."""
    is_one = isinstance(value, str) and value.strip()
    return None if is_one else "must be a Sage tax rate in quotes: its id, or its name"


_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def address_fault(_key: str, value: Any) -> str | None:
    """Why secrets may not go to an address, None if they may."""
    if not isinstance(value, str):
        return "must be an address in quotes"
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not an address, such as https://example.com"
    if " " in value or not value.isprintable():
        return "is not an address, such as https://example.com"
    if not host or parts.username or parts.password:
        return "must be a whole address such as https://example.com, without a user name"
    if parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK):
        return None
    return "must begin with https:// (http:// is for this machine alone)"
