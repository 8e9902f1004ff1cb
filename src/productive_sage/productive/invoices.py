"""The invoices and credit notes in Productive: read, listed, and changed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from productive_sage import lanes
from productive_sage.errors import AmountsUnclear, PsageError
from productive_sage.http import Http, OnPage, Recorder, quietly
from productive_sage.http.documented import ODD, ours, understood
from productive_sage.kinds import Kind
from productive_sage.productive import calls, parse
from productive_sage.productive.amounts import Reader
from productive_sage.productive.records import Entry, Invoice
from productive_sage.text import day, text_of

_A_FEW = 10
"""So many reads are not worth asking for together: where the first fails the next is left out."""
_LISTED = {"include": "company,parent_invoice"}
_READ = {"include": "company,bill_to,attachment,parent_invoice"}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document of the list that cannot be read."""

    id: str
    name: str
    """Its number, or its id where it has none."""
    on: date | None
    error: PsageError
    kind: Kind | None = None
    """None where Productive does not say plainly."""
    is_finalised: bool = True


@dataclass(frozen=True, slots=True)
class Listed:
    """What Productive's list of invoices and credit notes holds."""

    entries: list[Entry]
    unreadable: list[Unreadable]
    deleted: dict[str, date]
    """When those were deleted that the list shows all the same, by id."""


class Invoices:
    """The documents of one organisation."""

    service = "Productive"

    def __init__(self, http: Http, reader: Reader) -> None:
        self._http = http
        self._reader = reader

    @understood
    def read(
        self, *, ids: Sequence[str] = (), numbers: Sequence[str] = ()
    ) -> tuple[list[Invoice], dict[str, PsageError]]:
        """The invoices asked for, with lines; why others cannot be read, by id and by number.

        What Productive does not have, or does not show to this token, is in neither.
        """
        once, lines = self._rows_with_lines(ids, numbers)
        found: list[Invoice] = []
        unreadable: dict[str, PsageError] = {}
        for row, included in once.values():
            try:
                found.append(
                    self._reader.invoice(row, included, lines.get(parse.identity_of(row["id"]), []))
                )
            except PsageError as error:
                unreadable |= dict.fromkeys(parse.names(row), error)
            except ODD as error:
                odd = AmountsUnclear(
                    f"invoice `{parse.names(row)[-1]}` cannot be read ({error}); Productive sent "
                    "something its documentation does not know",
                    hint="look at the invoice in Productive; if it is right, report this to psage",
                )
                unreadable |= dict.fromkeys(parse.names(row), odd)
        return found, unreadable

    def _rows_with_lines(
        self, ids: Sequence[str], numbers: Sequence[str]
    ) -> tuple[dict[str, calls.RowOfPage], dict[str, list[calls.RowOfPage]]]:
        """Invoices and the lines of each, both by invoice id; of many ids both at the same time."""
        chunks = [*calls.chunks(ids)]
        reads = [
            calls.asked(self._http, some, "/invoices", "filter[id]", **_READ) for some in chunks
        ] + [
            calls.rows(self._http, "/invoices", {**_READ, "filter[number]": number})
            for number in numbers
        ]
        ahead = chunks if len(chunks) > 1 else []
        reads += [self._line_rows(some) for some in ahead]
        pages: list[list[calls.RowOfPage]] = lanes.gathered(
            [partial(list, read) for read in reads],
            at_once=8 if ahead or len(numbers) > _A_FEW else 1,
        )
        of_invoices = len(reads) - len(ahead)
        once = {
            parse.identity_of(row["id"]): (row, included)
            for page in pages[:of_invoices]
            for row, included in page
        }
        asked = {key for some in ahead for key in some}
        rest = [key for key in once if key not in asked]
        lines = dict[str, list[calls.RowOfPage]]()
        for page in (*pages[of_invoices:], self._line_rows(rest)):
            for row, included in page:
                if invoice := parse.related(row, "invoice", included):
                    lines.setdefault(parse.identity_of(invoice["id"]), []).append((row, included))
        return once, lines

    def _line_rows(self, invoice_ids: Sequence[str]) -> Iterator[calls.RowOfPage]:
        for some in calls.chunks(invoice_ids):
            include = "invoice,service,service_type,tax_rate"
            yield from calls.asked(
                self._http, some, "/line_items", "filter[invoice_id]", include=include
            )

    @understood
    def entries(
        self, since: date | None, until: date | None
    ) -> tuple[list[Entry], list[Unreadable]]:
        """The invoices and credit notes of a time, by their own dates, the oldest first.

        And others of it that cannot be read; none that was deleted.
        """
        listed = self._listed({"include": "company"}, since, until)
        found = sorted(listed.entries, key=lambda one: (one.invoiced_on or date.max, int(one.id)))
        return found, [one for one in listed.unreadable if one.id not in listed.deleted]

    @understood
    def entries_of(self, ids: Sequence[str]) -> dict[str, Entry]:
        """The documents of these ids as the list has them, by id; none that cannot be read."""
        found: dict[str, Entry] = {}
        for some in calls.chunks(ids):
            for row, included in calls.asked(
                self._http, some, "/invoices", "filter[id]", **_LISTED
            ):
                with suppress(PsageError):
                    entry = self._reader.entry(row, included)
                    found[entry.id] = entry
        return found

    @understood
    def listed(self, told: OnPage = quietly) -> Listed:
        """Every invoice and credit note, with the invoice that a credit note credits.

        `told` hears after each page how many there are so far.
        """
        return self._listed(_LISTED, None, None, told)

    def _listed(
        self,
        params: Mapping[str, str],
        since: date | None,
        until: date | None,
        told: OnPage = quietly,
    ) -> Listed:
        found, deleted = list[Entry](), dict[str, date]()
        unreadable = list[Unreadable]()
        for count, (row, included) in enumerate(
            calls.rows(self._http, "/invoices", params), start=1
        ):
            if count % 200 == 0:
                with ours("how far the reading is cannot be told"):
                    told(count, None)
            on = day(row["attributes"].get("invoiced_on"))
            if (since and (on is None or on < since)) or (until and (on is None or on > until)):
                continue
            if gone := day(row["attributes"].get("deleted_at")):
                deleted[parse.identity_of(row["id"])] = gone
            try:
                found.append(self._reader.entry(row, included))
            except PsageError as error:
                unreadable.append(_unreadable(row, on, error))
        return Listed(found, unreadable, deleted)

    @understood
    def numbers_like(self, part: str) -> list[str]:
        """Numbers of invoices and credit notes that contain a text; one page of them."""
        parameters = {"filter[number][contains]": part, "page[size]": "20"}
        rows = self._http.get("/invoices", parameters).document["data"]
        return [number for row in rows if (number := text_of(row["attributes"].get("number")))]

    @understood
    def export_id(self, invoice_id: str) -> str | None:
        """The id of its copy that an invoice names at this moment, or None."""
        row = self._http.get(f"/invoices/{parse.identity_of(invoice_id)}").document["data"]
        if parse.identity_of(row["id"]) != invoice_id:
            raise ValueError(f"invoice {invoice_id} was answered with {row['id']}")
        named = row["attributes"].get("export_id")
        return None if named is None else str(named)

    @understood
    def export_ids(self, invoice_ids: Sequence[str]) -> dict[str, str | None]:
        """The same of several, by their ids; those Productive does not show are missing."""
        found: dict[str, str | None] = {}
        for some in calls.chunks(invoice_ids):
            for row, _ in calls.asked(self._http, some, "/invoices", "filter[id]"):
                named = row["attributes"].get("export_id")
                found[parse.identity_of(row["id"])] = None if named is None else str(named)
        return found

    def deleted_on(self, invoice_id: str) -> date | None:
        """When the invoice was deleted, as far as this token may see deletions."""
        return self.deleted().get(invoice_id)

    @understood
    def deleted(self) -> dict[str, date]:
        """When invoices were deleted, by their ids, as far as this token may see deletions."""
        found: dict[str, date] = {}
        for row, _ in calls.rows(self._http, "/deleted_items", {"filter[item_type]": "invoice"}):
            deletion = row["attributes"]
            on = day(deletion.get("created_at"))
            if on and not day(deletion.get("recovered_at")):
                found[str(deletion["item_id"])] = on
        return found

    def change(self, invoice_id: str, attributes: Mapping[str, Any], record: Recorder) -> None:
        """Change writable attributes of an invoice; only these are sent."""
        calls.change(self._http, "invoices", invoice_id, attributes, record)


def _unreadable(row: Mapping[str, Any], on: date | None, error: PsageError) -> Unreadable:
    kind: Kind | None = None
    with suppress(PsageError):
        kind = parse.kind(row)
    is_finalised = parse.is_finalised(row["attributes"])
    key, name = parse.identity_of(row["id"]), parse.names(row)[-1]
    return Unreadable(key, name, on, error, kind, is_finalised)
