"""Bringing a copy up to date without undoing anybody's work: a three-way comparison.

Three versions of a document are held side by side: what psage last wrote, what Sage holds now, and
what Productive says now. What only Productive changed is taken over. What only the bookkeeper
changed stays. Where both changed the same thing, or an amount was changed in Sage, a person has to
decide. Pure: no input or output, no clock.

A version is text by field, so that it can be kept; amounts are compared exactly all the same, since
each is written in one way only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import zip_longest

from productive_sage import markers, money
from productive_sage.copying.drafts import line_as_it_is
from productive_sage.copying.records import Draft, DraftLine
from productive_sage.copying.versions import (
    EXTRA,
    TYPE,
    Fields,
    Version,
    Written,
    amount_text,
    held_in,
    line_amount,
    of_draft,
    of_sage,
)
from productive_sage.sage.records import SageDocument, SageLine


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is not the same on both sides."""

    name: str
    """In words, such as `description of line 2`."""
    sage: str
    """What Sage holds, before any update."""
    productive: str
    """What Productive says; empty for a line that is gone there."""
    written: str | None = None
    """What psage last wrote; None where that is not known."""
    line_id: str = ""
    """Of the line in Sage; empty for a field of the document."""

    @property
    def field(self) -> str:
        """The field without its line."""
        return self.name.partition(" of line ")[0]


@dataclass(frozen=True, slots=True)
class Merged:
    """What an update would make of a copy."""

    draft: Draft
    """The whole document as it shall be, each line with the id of the one in Sage it changes."""
    takes_customer: bool
    """Whether it goes to the customer Productive's company has, not to the one it has in Sage."""
    changes: tuple[Change, ...]
    kept: tuple[Change, ...]
    """What only the bookkeeper changed."""
    conflicts: tuple[Change, ...]

    @property
    def theirs(self) -> list[tuple[str, str, str]]:
        """What the bookkeeper made, as (line in Sage, field, what psage wrote there)."""
        return [
            (one.line_id, one.field, one.written or "")
            for one in self.kept
            if one.written is not None or one.name == EXTRA
        ]


# --- the three versions


# --- the comparison


def merge(
    now: Draft,
    said: Version,
    present: SageDocument,
    written: Written | None,
    *,
    percent: Callable[[str], Decimal],
    overwrite: bool = False,
) -> Merged:
    """Say what becomes of a copy; `now` is the document as Productive has it, `said` its text.

    `written` None: nobody knows who changed what, so whatever differs is for a person to decide.
    `percent` gives the percentage of a tax rate by its id. `overwrite`: all as Productive says.
    """
    return _Merge(now, said, present, written, percent=percent, overwrite=overwrite).merged()


@dataclass(frozen=True, slots=True)
class _Pair:
    """A line of Productive, and the one in Sage that was made of it."""

    line: DraftLine | None
    """None where Productive has it no more."""
    present: SageLine | None
    """None for a new line, and where somebody deleted it in Sage."""
    then: Fields | None = None
    wrote: Fields | None = None


class _Merge:
    """Decides field by field, and collects what differs."""

    def __init__(
        self,
        now: Draft,
        said: Version,
        present: SageDocument,
        written: Written | None,
        *,
        percent: Callable[[str], Decimal],
        overwrite: bool,
    ) -> None:
        self._now, self._said, self._present = now, said, present
        self._held = held_in(present)
        self._then = written.said if written and written.is_as_planned else None
        self._written = written
        self._percent = percent
        self._overwrite = overwrite
        self._changes: list[Change] = []
        self._kept: list[Change] = []
        self._conflicts: list[Change] = []

    def merged(self) -> Merged:
        """Everything decided."""
        now, present = self._now, self._present
        has_marker = markers.in_reference(present.reference) == markers.in_reference(now.marker)
        takes = {
            name: self._takes_field(name)
            for name in self._said.document
            if name in self._held.document
        }
        lines = tuple(self._lines())
        net = sum((line.net for line in lines), money.ZERO)
        tax = sum((line.tax for line in lines), money.ZERO)
        draft = replace(
            now,
            invoiced_on=now.invoiced_on
            if takes["date"]
            else present.invoiced_on or now.invoiced_on,
            due_on=now.due_on if takes.get("due date") else present.due_on,
            number=now.number if takes.get("number") else None,
            reference=present.reference
            if has_marker and not takes.get("reference")
            else now.reference,
            notes=now.notes if takes.get("notes") else None,
            address=now.address if takes.get("address") or takes["customer"] else None,
            lines=lines,
            net=net,
            tax=tax,
            total=net + tax,
        )
        return Merged(
            draft,
            takes["customer"],
            tuple(self._changes),
            tuple(self._kept),
            tuple(self._conflicts),
        )

    def _takes_field(self, name: str) -> bool:
        now, present = self._said.document[name], self._held.document[name]
        if f"{name} from" in self._said.document:
            return self._takes_wording(name, now, present)
        then = _field(self._then.document if self._then else None, name)
        wrote = _field(self._written.held.document if self._written else None, name)
        if name == "address" and then in (None, now) and wrote in (None, present):
            return False  # Sage shows an address in its own way: only a change of one is seen
        return self._takes(name, now=now, present=present, then=then, wrote=wrote)

    def _takes_wording(self, name: str, now: str, present: str) -> bool:
        """Whether what a template of the settings says becomes so: for news in Productive alone.

        A change of the settings rewrites no copy, and what people write there is theirs.
        """
        change = Change(name, present, now, self._wrote(name))
        source = self._then.document.get(f"{name} from") if self._then else None
        is_new = source not in (None, self._said.document[f"{name} from"])
        is_edited = change.written not in (None, present)
        if now == present or not (is_new or is_edited or self._overwrite):
            return False
        is_taken = self._overwrite or not is_edited
        (self._changes if is_taken else self._kept).append(change)
        return is_taken

    def _wrote(self, name: str) -> str | None:
        """What psage last wrote of the document, where that is known: not to older records."""
        return self._written.held.document.get(name) if self._written else None

    def _takes(
        self,
        name: str,
        *,
        now: str,
        present: str,
        then: str | None,
        wrote: str | None,
        line_id: str = "",
        is_amount: bool = False,
    ) -> bool:
        """Whether a field becomes what Productive says; None is what is not known.

        An amount that was changed in Sage alone is not simply kept: both books differ then.
        """
        if now == present:
            return False
        change = Change(name, present, now, wrote, line_id)
        if self._overwrite:
            self._changes.append(change)
            return True
        is_new, is_edited = then is None or now != then, wrote is None or present != wrote
        if is_edited and (is_new or is_amount):
            self._conflicts.append(change)
        elif is_edited:
            self._kept.append(change)
        elif is_new:
            self._changes.append(change)
        return is_new and not is_edited

    # --- lines

    def _lines(self) -> Iterator[DraftLine]:
        """The lines as they shall be, in Productive's order; last what Sage alone has."""
        pairs, extra = self._pairs()
        for n, pair in enumerate(pairs, start=1):
            if pair.line is None:
                self._drop(pair)
            elif pair.present is None:
                self._add(n, pair, pair.line)
                yield pair.line
            else:
                yield self._line(n, pair, pair.line, pair.present)
        for line in extra:
            change = Change(EXTRA, _shown(line), "", line_id=line.id)
            if self._overwrite:
                self._changes.append(change)
                continue
            (self._conflicts if line.net or line.tax else self._kept).append(change)
            yield line_as_it_is(line)

    def _pairs(self) -> tuple[list[_Pair], list[SageLine]]:
        """Which line is which, those gone from Productive last; and the lines Sage alone has."""
        now, present, written = self._now.lines, self._present.lines, self._written
        if written is None or len(written.said.lines) != len(written.held.lines):
            before = {line["id"]: line for line in written.held.lines} if written else {}
            in_order = [
                _Pair(line, one, wrote=before.get(one.id) if one else None)
                for line, one in zip_longest(now, present)
            ]
            alone = [pair for pair in in_order if pair.line is None and pair.wrote is None]
            rest = [pair for pair in in_order if pair not in alone]
            return rest, [pair.present for pair in alone if pair.present]
        there: dict[str, SageLine] = {line.id: line for line in present}
        wrote = [line["id"] for line in written.held.lines]
        strange = [line for line in present if line.id not in wrote]
        missing = [key for key in wrote if key not in there]
        if len(strange) == len(missing):  # an editor may give a changed line another id
            there |= dict(zip(missing, strange, strict=True))
            strange = []
        known = {
            then["id"]: _Pair(None, there.get(held["id"]), then if self._then else None, held)
            for then, held in zip(written.said.lines, written.held.lines, strict=True)
        }
        nothing = _Pair(None, None)
        pairs = [replace(known.pop(line.source_id, nothing), line=line) for line in now]
        return [*pairs, *known.values()], strange

    def _drop(self, pair: _Pair) -> None:
        """A line Productive has no more goes, unless somebody worked on it in Sage."""
        if pair.present is None:
            return
        change = Change("a line Productive has no more", _shown(pair.present), "")
        is_edited = of_sage(pair.present) != {**(pair.wrote or {}), "id": pair.present.id}
        (self._conflicts if is_edited and not self._overwrite else self._changes).append(change)

    def _add(self, n: int, pair: _Pair, line: DraftLine) -> None:
        """A line Sage lacks: new in Productive, or deleted in Sage."""
        if pair.wrote is None:
            self._changes.append(Change(f"line {n}", "", _shown(line)))
        else:
            change = Change(f"line {n}", "(deleted)", _shown(line), pair.wrote["amount"])
            (self._changes if self._overwrite else self._conflicts).append(change)

    def _line(self, n: int, pair: _Pair, line: DraftLine, present: SageLine) -> DraftLine:
        now, held, merged = of_draft(line), of_sage(present), line_as_it_is(present)
        then, wrote = pair.then, pair.wrote
        is_rebooked = then is not None and then["service type"] != now["service type"]

        def takes(name: str, *, is_amount: bool = False) -> bool:
            """What follows the settings is not new by a change of these: they rewrite no copy."""
            follows = name in ("ledger account", "item") and not is_rebooked
            if name == "tax rate" and line.charged:
                follows = _field(then, "charged") == line.charged
            if name == TYPE:  # from none, and to none, it comes by the customer's country
                follows = then is None or bool(then.get(name)) is bool(now[name])
            return self._takes(
                f"{name} of line {n}",
                now=now[name],
                present=held[name],
                then=now[name] if follows else _field(then, name),
                wrote=_field(wrote, name),
                line_id=present.id,
                is_amount=is_amount,
            )

        if takes("description"):
            merged = replace(merged, description=line.description)
        is_amount = held["net"] not in (now["net"], _field(wrote, "net"))
        if takes("amount", is_amount=is_amount):
            merged = replace(
                merged,
                quantity=line.quantity,
                unit_price=line.unit_price,
                discount=line.discount,
                net=line.net,
            )
        if takes("ledger account"):
            merged = replace(merged, ledger_account_id=line.ledger_account_id)
        if takes("item"):
            merged = replace(merged, item=line.item)
        kind = line.goods_or_services
        if takes("tax rate"):
            merged = replace(merged, tax_rate_id=line.tax_rate_id, goods_or_services=kind)
        elif now["tax rate"] == held["tax rate"] and takes(TYPE):
            merged = replace(merged, goods_or_services=kind)
        return replace(merged, tax=self._tax(n, pair, line, merged, present))

    def _tax(
        self, n: int, pair: _Pair, line: DraftLine, merged: DraftLine, present: SageLine
    ) -> Decimal:
        """The tax of a line: as planned for the same rate and net, else what the rate gives."""
        then = _field(pair.then, "tax")
        if merged.net == line.net and self._is_same_rate(line, merged):
            tax = line.tax
        else:
            percent = self._percent(merged.tax_rate_id or "")
            tax = money.round_for_sage(merged.net * percent / 100, self._now.currency)
            then = amount_text(tax)  # it is the bookkeeper's rate, not a word of Productive's
        if (merged.net, merged.tax_rate_id or "") != (present.net, present.tax_rate_id):
            return tax
        takes = self._takes(
            f"tax of line {n}",
            now=amount_text(tax),
            present=amount_text(present.tax),
            then=then,
            wrote=_field(pair.wrote, "tax"),
            line_id=present.id,
            is_amount=True,
        )
        return tax if takes else present.tax

    def _is_same_rate(self, line: DraftLine, merged: DraftLine) -> bool:
        """Whether a line has the planned rate, or another in its place that comes to the same."""
        if merged.tax_rate_id == line.tax_rate_id or not line.charged:
            return merged.tax_rate_id == line.tax_rate_id
        ids = (merged.tax_rate_id or "", line.tax_rate_id or "")
        return len({self._percent(key) for key in ids}) == 1


def _field(fields: Fields | None, name: str) -> str | None:
    return None if fields is None else fields.get(name, "")


def _shown(line: DraftLine | SageLine) -> str:
    return f"{line.description}: {line_amount(line)}"
