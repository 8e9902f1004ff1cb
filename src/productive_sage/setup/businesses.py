"""Which of the businesses a sign-in sees is meant: named by id or name, or asked for.

One sign-in can see hundreds, and many of one name. What tells those apart, country and edition, is
read for the few that are shown.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from productive_sage.desk import Ask
from productive_sage.errors import InputNeeded, NoSubscription, ServiceRefused, SignInFailed
from productive_sage.sage.client import SageClient
from productive_sage.text import one_line

_EDITIONS = {"START": "Start", "ACCOUNTS": "Standard", "ACCOUNTING": "Plus"}
_FEW = 5
"""Businesses that a sentence names at most."""
_PAGE = 15
"""Businesses shown at once to somebody who is asked."""

Row = tuple[str, str]
"""(id, name)"""
ClientOf = Callable[[str], SageClient]
"""Makes the client that asks about a business; about none yet where its id is empty."""


def chosen(
    client_of: ClientOf,
    wanted: str | None,
    ask: Ask | None,
) -> Row:
    """The business meant: named, the only one, or asked for.

    Raises SignInFailed where none is, or where the name says too little, and InputNeeded where
    nobody can be asked.
    """
    rows = [(business_id, one_line(name)) for business_id, name in client_of("").businesses()]
    if not rows:
        raise SignInFailed(
            "this sign-in sees no business in Sage",
            hint="sign in as somebody who works in the business, or be invited to it in Sage",
        )
    if wanted is not None:
        return _named(rows, wanted, client_of)
    if len(rows) == 1:
        return rows[0]
    if ask is None:
        raise InputNeeded(
            f"this sign-in sees {len(rows)} businesses: {_some(rows, rows, client_of)}",
            hint="choose one with `--business ID|NAME`" + _more(rows),
            details=_details(rows),
        )
    return _asked(rows, client_of, ask)


def _named(rows: Sequence[Row], wanted: str, client_of: ClientOf) -> Row:
    word = _plain(wanted)
    found = [row for row in rows if _plain(row[0]) == word]
    found = found or [row for row in rows if _plain(row[1]) == word]
    if len(found) == 1:
        return found[0]
    if found:
        raise SignInFailed(
            f"this sign-in sees {len(found)} businesses called `{wanted}`: "
            f"{_some(found, rows, client_of)}",
            hint="name the one you mean by its id, `--business ID`" + _more(found),
            details=_details(found),
        )
    near = _holding(rows, word) or _like(rows, word) or rows
    raise SignInFailed(
        f"this sign-in sees no business `{wanted}`",
        hint=f"it sees {_some(near, rows, client_of)}" + _more(near),
        details=_details(near),
    )


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _holding(rows: Sequence[Row], word: str) -> list[Row]:
    return [row for row in rows if word in _plain(row[1]) or _plain(row[0]).startswith(word)]


def _like(rows: Sequence[Row], word: str) -> list[Row]:
    names = get_close_matches(word, [_plain(name) for _, name in rows], _FEW)
    return [row for row in rows if _plain(row[1]) in names]


def _some(rows: Sequence[Row], of: Sequence[Row], client_of: ClientOf) -> str:
    """The first few of them with their ids, and how many more there are."""
    shown = [f"{name} ({traits})" for _, name, traits in _described(rows[:_FEW], of, client_of)]
    rest = len(rows) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _more(rows: Sequence[Row]) -> str:
    if len(rows) <= _FEW:
        return ""
    return "; `psage connect sage` on a terminal searches all of them, `--json` names them"


def _details(rows: Sequence[Row]) -> dict[str, Any]:
    return {"businesses": [{"id": business_id, "name": name} for business_id, name in rows]}


def _described(
    rows: Sequence[Row], of: Sequence[Row], client_of: ClientOf
) -> Iterator[tuple[str, str, str]]:
    """(id, name, what tells it from others) of each; the last of several of a name is read."""
    times = Counter(_plain(name) for _, name in of)
    for business_id, name in rows:
        traits = _traits(business_id, client_of) if times[_plain(name)] > 1 else ""
        yield business_id, name, ", ".join(filter(None, (business_id, traits)))


def _traits(business_id: str, client_of: ClientOf) -> str:
    """Country and edition, as far as Sage shows them."""
    try:
        country, editions = client_of(business_id).traits(business_id)
    except NoSubscription:
        return "no active subscription"
    except ServiceRefused:
        return ""
    shown = [_EDITIONS.get(edition, edition) for edition in editions]
    return ", ".join(filter(None, (country, *shown)))


def _asked(
    rows: Sequence[Row],
    client_of: ClientOf,
    ask: Ask,
) -> Row:
    """Show a page at a time, and let the person search."""
    ask.say("Which business?")
    found, begin = list(rows), 0
    while True:
        end = _show(found, begin, rows, client_of, ask)
        word = _plain(ask.typed("Number"))
        if word.isdecimal() and 1 <= int(word) <= len(found):
            return found[int(word) - 1]
        if not word:
            begin = end % len(found)
        elif matches := _holding(rows, word):
            found, begin = matches, 0
        else:
            ask.say(f"`{word}` is in no name of a business, and no id begins so.")


def _show(
    found: Sequence[Row],
    begin: int,
    rows: Sequence[Row],
    client_of: ClientOf,
    ask: Ask,
) -> int:
    """Show a page of them with their numbers; returns where the next begins."""
    page = found[begin : begin + _PAGE]
    for number, (business_id, name, traits) in enumerate(
        _described(page, rows, client_of), begin + 1
    ):
        ask.say(name + ("" if traits == business_id else f" ({traits})"), f"{number:>3}  ")
    end = begin + len(page)
    if len(rows) > _PAGE:
        shown = f"{begin + 1} to {end} of {len(found)} are shown"
        ask.say(f"{shown}: type a number, part of a name to search for, or Enter to see more.")
    return end
