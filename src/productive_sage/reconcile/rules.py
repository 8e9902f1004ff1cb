"""What is found where both sides of a document are held together. Pure.

Read from `findings` down. What is compared are the documents' own figures; what was paid is in
`paid`, what several documents say together in `credited`.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields, replace
from decimal import Decimal

from productive_sage import money, naming
from productive_sage.copying import matching
from productive_sage.kinds import CREDIT_NOTE
from productive_sage.productive.records import Address, Entry
from productive_sage.reconcile import obstacles
from productive_sage.reconcile.sides import (
    NOTE,
    Booked,
    BookFinding,
    Comparable,
    Figure,
    Pair,
    Records,
    comparable,
)
from productive_sage.text import folded

_SHOWN = {"net": "net", "tax": "tax", "total": "total", "on": "date", "due": "due date"}
_AMOUNTS = frozenset(("net", "tax", "total"))


def findings(
    pair: Pair,
    records: Records,
    numbers: Collection[str],
    invoice: Pair | None = None,
    notes: Sequence[Pair] = (),
) -> Iterator[BookFinding]:
    """What is to be said of one document, but for payments and credits.

    `numbers` are those that name several documents, `invoice` is what a credit note credits,
    `notes` are the credit notes of an invoice.
    """
    name = named(pair, numbers)
    if said := records.open_writes.get(pair.productive_id):
        yield _unknown(pair, said, name)
    elif pair.billed is None:
        if not _is_settled(pair, invoice, notes):
            yield from _without_invoice(pair, records, name)
    elif pair.booked is None or pair.booked.is_void:
        if pair.is_due_in_books:
            yield _without_copy(pair, records, name, invoice)
    elif pair.booked.document.is_draft:
        yield _draft(pair, name)
    else:
        yield from _of_copy(pair, pair.booked, records, name)


def named(pair: Pair, numbers: Collection[str]) -> str:
    """How a command names the document: by its number, where that is one word and just its own."""
    if pair.number.strip().casefold() in numbers:
        return pair.productive_id
    return naming.to_type(pair.number, pair.productive_id)


def update(pair: Pair, name: str, *, overwrite: bool = False) -> str:
    """The command that brings a copy up to date."""
    more = " --overwrite" if overwrite else ""
    return f"psage {pair.kind.command} {name} --update-existing{more}"


# --- one of the two is missing


def both(pair: Pair, name: str = "total") -> Figure:
    """A figure of a document; what is void or a draft has none in the books."""
    booked = pair.booked if pair.booked and pair.booked.is_booked else None
    here, there = (getattr(one, name) if one else None for one in (pair.billed, booked))
    return Figure(name, here, there)


def _unknown(pair: Pair, said: str, name: str) -> BookFinding:
    what = f"psage {pair.kind.command} {name}"
    if "payment" in said:
        what = f"psage sync-payments {name}"
    return BookFinding(
        "outcome_unknown",
        f"{said} and never answered for; nothing is sent twice",
        (both(pair),),
        what,
        "the command first finds out what became of it",
    )


def _is_settled(pair: Pair, invoice: Pair | None, notes: Sequence[Pair]) -> bool:
    """Whether a copy that Productive shows no more comes to nothing with what credits it.

    A credit note that Productive still shows leaves that side with less.
    """
    if pair.kind is CREDIT_NOTE:
        whole = invoice and invoice.billed is None and invoice.booked and invoice.booked.is_booked
        is_whole = bool(whole and invoice and invoice.booked and invoice.booked.is_credited)
        return is_whole and bool(pair.booked and not pair.booked.open)
    is_credited = pair.booked is not None and pair.booked.is_credited
    return is_credited and not any(one.is_due_in_books and one.booked for one in notes)


def _without_invoice(pair: Pair, records: Records, name: str) -> Iterator[BookFinding]:
    if pair.booked is None or not pair.booked.is_booked:
        return
    number = pair.booked.document.number
    figures = (both(pair), Figure("open", None, pair.booked.open))
    command = f"psage open {name}"
    if on := records.deleted_in_productive.get(pair.productive_id):
        yield BookFinding(
            "deleted_in_productive",
            f"it was deleted in Productive on {on}, and its copy {number} is still in the books",
            figures,
            command,
            f"void or credit {number} in Sage if it is not owed, else restore it in Productive",
        )
    elif pair.copied is None:
        yield BookFinding(
            "not_in_records",
            f"{number} in Sage carries psage's marker, but neither psage's records nor Productive "
            "know it",
            figures,
            f"psage history --document {pair.productive_id}",
            f"take `PRD-{pair.productive_id}` out of its reference in Sage if it is no copy",
        )
    else:
        yield BookFinding(
            "not_in_productive",
            "Productive does not show it, and has no record of its deletion that this token sees",
            figures,
            command,
            "see whether the token may see the document; void or credit the copy if it is not owed",
        )


def _without_copy(pair: Pair, records: Records, name: str, invoice: Pair | None) -> BookFinding:
    figures = (both(pair),)
    command = f"psage {pair.kind.command} {name}"
    anew = f"{command} --create-new"
    obstacle = obstacles.of_copy(pair, records, invoice)
    at_hand = f"psage open {name} --productive"
    if pair.booked:
        otherwise = "where it is not owed, credit it in Productive instead"
        return BookFinding(
            "copy_voided",
            f"its copy {pair.booked.document.number} was voided in Sage",
            figures,
            at_hand if obstacle else anew,
            f"{obstacle}; then `{anew}`; {otherwise}" if obstacle else otherwise,
        )
    if pair.copied is None:
        return BookFinding(
            "never_copied",
            "it is finalised, and was never copied",
            figures,
            at_hand if obstacle else command,
            obstacle,
        )
    if pair.copied.sage_id in records.deleted_in_sage:
        said = f"its copy {pair.copied.sage_number} was deleted in Sage"
        step = f"{obstacle}; then `{anew}`" if obstacle else ""
        return BookFinding("copy_deleted", said, figures, at_hand if obstacle else anew, step)
    return BookFinding(
        "copy_not_shown",
        f"Sage does not show its copy {pair.copied.sage_number}, and has no record of its deletion",
        figures,
        f"psage open {name}",
        "look for it in Sage; see whether the sign-in still reaches the business",
    )


def _draft(pair: Pair, name: str) -> BookFinding:
    return BookFinding(
        "draft_not_released",
        "its copy is a draft in Sage, and so in no book",
        (both(pair),),
        f"psage release {name}",
        "look at it in Sage first, or delete it there",
    )


def _draft_beside(pair: Pair, booked: Booked, name: str) -> BookFinding:
    number = booked.document.number
    return BookFinding(
        "draft_not_released",
        f"a further copy is a draft in Sage, beside {number}, which is in the books",
        (both(pair),),
        f"psage open {name}",
        f"delete the draft in Sage; or void {number} there, then `psage release {name}`",
    )


# --- both are there


def _of_copy(pair: Pair, booked: Booked, records: Records, name: str) -> Iterator[BookFinding]:
    if pair.copied is None:
        yield BookFinding(
            "not_in_records",
            f"{booked.document.number} in Sage carries psage's marker, and psage's records do not "
            "know it",
            (both(pair),),
            "psage reconcile --adopt",
            "it may have been made on another computer",
        )
    if pair.others:
        yield _twice(pair, booked, name)
    if pair.drafts:
        yield _draft_beside(pair, booked, name)
    if pair.billed and not pair.billed.is_finalised:
        yield BookFinding(
            "changed_in_productive",
            "it is a draft in Productive again",
            (Figure("state", "draft", "booked"), both(pair)),
            f"psage open {name} --productive",
            f"finalise it in Productive, or void {booked.document.number} in Sage",
        )
        return
    yield from _differences(pair, booked, records, name)
    yield from _customer(pair, booked, records, name)


def _twice(pair: Pair, booked: Booked, name: str) -> BookFinding:
    every = sorted((booked, *pair.others), key=lambda one: (str(one.document.made_at), one.id))
    numbers = " and ".join(one.document.number for one in every)
    # A further copy that was asked for replaces the one before; of one copy made twice, the first
    # is the same on every machine (as in copying/doubles.py), whichever Productive names by now.
    numbers_of = {one.id: one.marker[1] if one.marker else 1 for one in every}
    latest = max(numbers_of.values())
    kept = next(one for one in every if numbers_of[one.id] == latest)
    why = "which is the latest copy" if len({*numbers_of.values()}) > 1 else "which was made first"
    surplus = " and ".join(one.document.number for one in every if one is not kept)
    is_known = pair.copied is not None and pair.copied.sage_id == kept.id
    after = "" if is_known else "; then `psage reconcile --adopt`"
    total = sum((one.total for one in every), Decimal(0))
    here = pair.billed.total if pair.billed else None
    return BookFinding(
        "copied_twice",
        f"it is in Sage {len(every)} times, and all are in the books: {numbers}",
        (Figure("total", here, total),),
        f"psage open {name}",
        f"void {surplus} in Sage and keep {kept.document.number}, {why}; move receipts "
        f"there{after}",
    )


def _differences(pair: Pair, booked: Booked, records: Records, name: str) -> Iterator[BookFinding]:
    """What differs, by who changed it since psage wrote the copy."""
    if pair.billed is None:
        return
    if another := _of_another_sort(pair, pair.billed, booked, name):
        yield another
        return
    here, there = comparable(pair.billed), booked.facts
    differing = [
        one.name
        for one in fields(Comparable)
        if None not in (getattr(here, one.name), getattr(there, one.name))
        and getattr(here, one.name) != getattr(there, one.name)
    ]
    said = pair.copied.said if pair.copied else Comparable()
    held = pair.copied.held if pair.copied else Comparable()
    changed = [one for one in differing if _is_changed(said, here, one)]
    edited = [one for one in differing if _is_changed(held, there, one)]
    agreed = [one for one in differing if one == "tax" and _is_agreed(said, held, here, there)]
    rest = [one for one in differing if one not in (*changed, *edited, *agreed)]
    if not {"net", "tax"} & {*differing} and pair.billed.total != booked.total:
        rest.append("total")  # which one side does not add up to
    obstacle = obstacles.of_update(pair, booked, records)
    if changed:
        yield _mended(_changed(pair, changed, name), obstacle, name)
    if edited:
        yield _mended(_edited(pair, booked, edited, name), obstacle, name)
    if agreed:
        yield _taxed(pair, name)
    if rest:
        command = update(pair, name, overwrite=True)
        differ = BookFinding("differs", f"{_words(rest)} differ", _figures(pair, rest), command)
        yield _mended(differ, obstacle, name)


def _mended(finding: BookFinding, obstacle: str, name: str) -> BookFinding:
    """The finding with what has to be done before its command would be taken."""
    if not obstacle:
        return finding
    step = "; ".join(filter(None, (finding.step, f"{obstacle}; then `{finding.command}`")))
    return replace(finding, command=f"psage open {name}", step=step)


def _is_agreed(said: Comparable, held: Comparable, here: Comparable, there: Comparable) -> bool:
    """Whether the tax differs as it did when the copy was made, since taxes are not mirrored.

    Nobody knows what was said then of a copy that was found again: there the same net is enough.
    """
    is_as_said = said.tax == here.tax or (said.tax is None and here.net == there.net)
    return is_as_said and held.tax in (None, there.tax)


def _of_another_sort(pair: Pair, billed: Entry, booked: Booked, name: str) -> BookFinding | None:
    """Where the two sides cannot be compared figure by figure."""
    number = booked.document.number
    if billed.kind is not booked.kind:
        figure = Figure("kind", billed.kind.name, booked.kind.name)
        command = f"psage open {name}"
        step = f"look at both; void {number} in Sage if Productive is right"
    elif billed.currency != booked.document.currency:
        figure = Figure("currency", billed.currency, booked.document.currency)
        command = f"psage open {name}"
        step = f"void {number} in Sage, then `psage {pair.kind.command} {name} --create-new`"
    else:
        return None
    said = f"the two sides differ in {figure.name}"
    return BookFinding("differs", said, (figure, both(pair)), command, step)


def _is_changed(before: Comparable, now: Comparable, name: str) -> bool:
    return getattr(before, name) not in (None, getattr(now, name))


def _figures(pair: Pair, names: list[str]) -> tuple[Figure, ...]:
    here = comparable(pair.billed) if pair.billed else Comparable()
    there = pair.booked.facts if pair.booked else Comparable()
    shown = [one for one in names if one != "total"]
    figures = [Figure(_SHOWN[one], getattr(here, one), getattr(there, one)) for one in shown]
    if _AMOUNTS & {*names}:
        figures.append(both(pair))
    return tuple(figures)


def _words(names: list[str]) -> str:
    return " and ".join(_SHOWN[one] for one in names)


def _changed(pair: Pair, names: list[str], name: str) -> BookFinding:
    said = pair.copied.said if pair.copied else Comparable()
    was = _told(pair, said, names)
    return BookFinding(
        "changed_in_productive",
        f"{_words(names)} changed in Productive since it was copied",
        _figures(pair, names),
        update(pair, name),
        f"before: {was}",
    )


def _edited(pair: Pair, booked: Booked, names: list[str], name: str) -> BookFinding:
    held = pair.copied.held if pair.copied else Comparable()
    was = _told(pair, held, names)
    return BookFinding(
        "edited_in_sage",
        f"somebody edited {_words(names)} of {booked.document.number} in Sage",
        _figures(pair, names),
        update(pair, name, overwrite=True),
        f"psage wrote: {was}; where Sage is right, put it right in Productive instead",
    )


def _told(pair: Pair, of: Comparable, names: list[str]) -> str:
    values = [(_SHOWN[one], getattr(of, one)) for one in names]
    return ", ".join(
        f"{name} {money.said(value, pair.currency) if isinstance(value, Decimal) else value}"
        for name, value in values
    )


def _taxed(pair: Pair, name: str) -> BookFinding:
    return BookFinding(
        "tax_not_mirrored",
        "the copy has another tax than Productive charges: taxes are not mirrored",
        _figures(pair, ["tax"]),
        f"{update(pair, name)} --tax-rate RATE",
        severity=NOTE,
    )


def _customer(pair: Pair, booked: Booked, records: Records, name: str) -> Iterator[BookFinding]:
    entry, document = pair.billed, booked.document
    if entry is None or not entry.company.id or _is_company(pair, booked, records):
        return
    finding = BookFinding(
        "customer_differs",
        f"{document.number} is billed to another customer than the company",
        (Figure("customer", entry.company.name, document.contact_name), both(pair)),
        update(pair, name, overwrite=True),
        "if it is the same after all: "
        f"`psage customers link {entry.company.id} {document.contact_id}`",
    )
    yield _mended(finding, obstacles.of_update(pair, booked, records), name)


def _is_company(pair: Pair, booked: Booked, records: Records) -> bool:
    """Whether the contact of a copy is the company, by a person's word or by what shows it."""
    entry, document = pair.billed, booked.document
    if entry is None:
        return True
    known, is_agreed = records.customers.get((entry.company.id, entry.currency), ("", False))
    if is_agreed and known == document.contact_id:
        return True
    contact = (records.contacts or {}).get(document.contact_id)
    if contact is None:
        name = folded(document.contact_name)
        return known == document.contact_id or name == folded(entry.company.name)
    if matching.is_another(contact, entry.company, Address()):
        return False
    return known == contact.id or matching.is_company(contact, entry.company, Address())
