"""The Productive API v2 as psage uses it: JSON:API unwrapped into records.

`calls` has what holds for every call, `documents` how amounts are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from productive_sage import lanes
from productive_sage.errors import (
    AmountsUnclear,
    OutcomeUnknown,
    PsageError,
    RefusedByProductive,
    ServiceUnavailable,
)
from productive_sage.http import Http, OnPage, Recorder, quietly
from productive_sage.http.documented import ODD, ours, understood
from productive_sage.http.pool import Pool
from productive_sage.pacing import Limiter, Window
from productive_sage.productive import calls, parse
from productive_sage.productive.calls import MEDIA_TYPE, Token, words_of
from productive_sage.productive.documents import Documents
from productive_sage.productive.records import Balance, Entry, Invoice, Payment
from productive_sage.settings import Endpoints
from productive_sage.text import day, quoted, text_of

_IDS_A_CALL = 50
_A_FEW = 10
"""So many reads are not worth asking for together: where the first fails the next is left out."""
_LISTED = {"include": "company,parent_invoice"}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document of the list that cannot be read."""

    id: str
    name: str
    """Its number, or its id where it has none."""
    on: date | None
    error: PsageError


@dataclass(frozen=True, slots=True)
class Listed:
    """What Productive's list of invoices and credit notes holds."""

    entries: list[Entry]
    unreadable: list[Unreadable]
    deleted: dict[str, date]
    """When those were deleted that the list shows all the same, by id."""


class ProductiveClient:
    """Calls about one organisation."""

    service = "Productive"

    def __init__(
        self,
        pool: Pool,
        endpoints: Endpoints,
        token: Token,
        *,
        minor_digits: Mapping[str, int] | None = None,
        read_only: bool = False,
    ) -> None:

        # A little longer than Productive's: one call may take longer on its way than another.
        limiter = Limiter((Window(100, 10.5), Window(4000, 1810.0)))
        common: dict[str, Any] = {
            "refused": RefusedByProductive,
            "explain": words_of,
            "read_only": read_only,
        }
        self._http = Http(
            pool,
            endpoints.productive_api,
            credentials=token,
            limiter=limiter,
            media_type=MEDIA_TYPE,
            **common,
        )

        self._files = Http(pool, endpoints.productive_files, **common)
        self._store = Http(pool, endpoints.productive_upload, **common)
        self._token = token
        self.documents = Documents(minor_digits or {})

    def now(self) -> datetime:
        """Productive's time, by its last answer: the clock of this machine may be set meanwhile."""
        return self._http.now()

    @understood
    def organization_name(self) -> str | None:
        """The name of the token's organisation, or None if the token does not belong to it."""
        params = {"include": "organization"}
        for row, included in calls.rows(self._http, "/organization_memberships", params):
            found = parse.related(row, "organization", included)
            if found and parse.identity_of(found["id"]) == self._token.organization_id:
                return text_of(found["attributes"].get("name"))
        return None

    def refusal(self, path: str) -> str | None:
        """Productive's words where this token may not read a list, else None."""
        try:
            self._http.get(path, {"page[after]": "", "page[size]": "1"})
        except RefusedByProductive as error:
            if error.status != 403:
                raise
            return error.words
        return None

    @understood
    def service_types(self) -> dict[str, str]:
        """Name by id of the service types in use."""
        rows = calls.rows(self._http, "/service_types", {"filter[status]": "1"})
        return {
            parse.identity_of(row["id"]): text_of(row["attributes"].get("name")) for row, _ in rows
        }

    @understood
    def invoices(
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
                    self.documents.invoice(
                        row, included, lines.get(parse.identity_of(row["id"]), [])
                    )
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
        chunks = [*_chunks(ids)]
        reads = [
            self._asked(some, "/invoices", "filter[id]", **_INVOICE_READ) for some in chunks
        ] + [
            calls.rows(self._http, "/invoices", {**_INVOICE_READ, "filter[number]": number})
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

    @understood
    def entries(
        self, since: date | None, until: date | None
    ) -> tuple[list[Entry], dict[str, PsageError]]:
        """The invoices and credit notes of a time, by their own dates, the oldest first.

        And why others of it cannot be read, by number, or by id where they have none.
        """
        listed = self._listed({"include": "company"}, since, until)
        found = sorted(listed.entries, key=lambda one: (one.invoiced_on or date.max, int(one.id)))
        return found, {one.name: one.error for one in listed.unreadable}

    @understood
    def entries_of(self, ids: Sequence[str]) -> dict[str, Entry]:
        """The documents of these ids as the list has them, by id; none that cannot be read."""
        found: dict[str, Entry] = {}
        for some in _chunks(ids):
            for row, included in self._asked(some, "/invoices", "filter[id]", **_LISTED):
                with suppress(PsageError):
                    entry = self.documents.entry(row, included)
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
                found.append(self.documents.entry(row, included))
            except PsageError as error:
                unreadable.append(
                    Unreadable(parse.identity_of(row["id"]), parse.names(row)[-1], on, error)
                )
        return Listed(found, unreadable, deleted)

    @understood
    def companies(self) -> dict[str, str]:
        """Name by id of every company this token may see."""
        rows = calls.rows(self._http, "/companies", {})
        return {
            parse.identity_of(row["id"]): text_of(row["attributes"].get("name")) for row, _ in rows
        }

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
        for some in _chunks(invoice_ids):
            for row, _ in self._asked(some, "/invoices", "filter[id]"):
                named = row["attributes"].get("export_id")
                found[parse.identity_of(row["id"])] = None if named is None else str(named)
        return found

    @property
    def organization_id(self) -> str:
        """The organisation of the sign-in."""
        return self._token.organization_id

    def deleted_on(self, invoice_id: str) -> date | None:
        """When the invoice was deleted, as far as this token may see deletions."""
        return self.deleted_invoices().get(invoice_id)

    @understood
    def deleted_invoices(self) -> dict[str, date]:
        """When invoices were deleted, by their ids, as far as this token may see deletions."""
        found: dict[str, date] = {}
        for row, _ in calls.rows(self._http, "/deleted_items", {"filter[item_type]": "invoice"}):
            deletion = row["attributes"]
            on = day(deletion.get("created_at"))
            if on and not day(deletion.get("recovered_at")):
                found[str(deletion["item_id"])] = on
        return found

    # --- writing back

    def patch_invoice(
        self, invoice_id: str, attributes: Mapping[str, Any], record: Recorder
    ) -> None:
        """Change writable attributes of an invoice; only these are sent."""
        self._change("invoices", invoice_id, attributes, record)

    def _change(self, kind: str, key: str, attributes: Mapping[str, Any], record: Recorder) -> None:
        """PATCH a record. Raises OutcomeUnknown where the answer is about another one, or none."""
        data = {"type": kind, "id": key, "attributes": dict(attributes)}
        reply = self._http.write("PATCH", f"/{kind}/{key}", {"data": data}, record)
        try:
            if (
                reply.status != 204
                and (found := parse.identity_of(reply.document["data"]["id"])) != key
            ):
                raise ValueError(f"it is about `{quoted(found)}`")
        except ODD as error:
            raise OutcomeUnknown(
                f"Productive's answer to PATCH /{kind}/{key} cannot be read "
                f"({quoted(str(error), 200)}): it may have been done or not"
            ) from None

    # --- payments

    @understood
    def payments(
        self, invoice_ids: Sequence[str]
    ) -> tuple[dict[str, list[Payment]], dict[str, PsageError]]:
        """The payments of the invoices asked for in the order of their ids; why some are unclear.

        Both by invoice id.
        """
        found: dict[str, list[Payment]] = {key: [] for key in invoice_ids}
        unreadable: dict[str, PsageError] = {}
        for some in _chunks(invoice_ids):
            for row, included in self._asked(
                some, "/payments", "filter[invoice_id]", include="invoice"
            ):
                invoice_id = parse.invoice_of(row, included)
                try:
                    found.setdefault(invoice_id, []).append(self.documents.payment(row, included))
                except PsageError as error:
                    unreadable[invoice_id] = error
        by_age = {key: sorted(rows, key=lambda one: int(one.id)) for key, rows in found.items()}
        return by_age, unreadable

    @understood
    def payment(self, payment_id: str) -> Payment | None:
        """One payment, or None where Productive answers 404."""
        try:
            path = f"/payments/{parse.identity_of(payment_id)}"
            reply = self._http.get(path, {"include": "invoice"})
        except RefusedByProductive as error:
            if error.status != 404:
                raise
            return None
        included = {
            (r["type"], parse.identity_of(r["id"])): r for r in reply.document.get("included") or []
        }
        payment = self.documents.payment(reply.document["data"], included)
        if payment.id != payment_id:
            raise ValueError(f"payment {payment_id} was answered with {payment.id}")
        return payment

    @understood
    def balances(
        self, invoice_ids: Sequence[str]
    ) -> tuple[dict[str, Balance], dict[str, PsageError]]:
        """What the invoices say of their payments, and why some are unclear; both by invoice id.

        Those Productive does not show are in neither.
        """
        found: dict[str, Balance] = {}
        unreadable: dict[str, PsageError] = {}
        for some in _chunks(invoice_ids):
            for row, _ in self._asked(some, "/invoices", "filter[id]"):
                try:
                    found[parse.identity_of(row["id"])] = self.documents.balance(row)
                except PsageError as error:
                    unreadable[parse.identity_of(row["id"])] = error
        return found, unreadable

    def create_payment(self, attributes: Mapping[str, Any], record: Recorder) -> str:
        """POST /payments and return the id; no key makes it repeatable, so look before a second."""
        data = {"type": "payments", "attributes": dict(attributes)}
        reply = self._http.write("POST", "/payments", {"data": data}, record)
        try:
            made = reply.document["data"]
            note = text_of(made["attributes"].get("note"))
            if any(line not in note for line in str(attributes.get("note") or "").splitlines()):
                raise ValueError(f"it is about the payment noted `{quoted(note)}`")
            return parse.identity_of(made["id"])
        except ODD as error:
            raise OutcomeUnknown(
                "Productive's answer to POST /payments cannot be read "
                f"({quoted(str(error), 200)}): it may have been done or not"
            ) from None

    def change_payment(
        self, payment_id: str, attributes: Mapping[str, Any], record: Recorder
    ) -> None:
        """Change writable attributes of a payment; only these are sent."""
        self._change("payments", payment_id, attributes, record)

    def delete_payment(self, payment_id: str, record: Recorder) -> bool:
        """Remove a payment psage wrote; False where Productive does not plainly say it is done."""
        try:
            reply = self._http.write("DELETE", f"/payments/{payment_id}", None, record)
        except RefusedByProductive as error:
            if error.status != 404:
                raise
            return False
        return reply.status == 204

    # --- PDFs

    @understood
    def pdf(self, url: str) -> bytes:
        """Fetch a file of Productive; the token goes to exactly the files host.

        Raises ServiceUnavailable for any other host, and for a redirect.
        """
        files, there = urlsplit(self._files.base_url), urlsplit(url)
        if (files.scheme, files.netloc) != (there.scheme, there.netloc):
            raise ServiceUnavailable(
                f"the PDF lies on `{there.netloc}`, which is not Productive's files host; "
                "psage does not send the token there"
            )
        params = dict(pair.split("=", 1) for pair in there.query.split("&") if "=" in pair)
        params["token"] = self._token.value
        return self._files.get(there.path, params, accept="application/pdf").body

    @understood
    def upload_pdf(self, record: Recorder, *, name: str, content: bytes) -> int:
        """Upload a PDF and return the attachment's id, not linked to anything yet."""
        attributes = {
            "name": name,
            "content_type": "application/pdf",
            "size": len(content),
            "attachable_type": "invoice",
        }
        data: dict[str, Any] = {"type": "attachments", "attributes": attributes}
        reply = self._http.write("POST", "/attachments", {"data": data}, record)
        made = reply.document["data"]
        policy = {key: str(value) for key, value in made["attributes"]["aws_policy"].items()}
        stored = self._store.post_form("", policy, file=(name, content, "application/pdf"))
        data = {
            "type": "attachments",
            "id": parse.identity_of(made["id"]),
            "attributes": {"temp_url": stored.headers.get("location", "")},
        }
        path = f"/attachments/{made['id']}"
        self._http.write("PATCH", path, {"data": data}, record)
        return int(made["id"])

    # --- reading

    def _asked(
        self, ids: Sequence[str], path: str, by: str, **params: str
    ) -> Iterator[calls.RowOfPage]:
        """The rows of a list that is asked for by ids, and for nothing else."""
        for row, included in calls.rows(self._http, path, {by: ",".join(ids), **params}):
            found = (
                parse.identity_of(row["id"])
                if by == "filter[id]"
                else parse.invoice_of(row, included)
            )
            if found not in ids:
                raise ValueError(f"the list {path} holds `{found}`, which was not asked for")
            yield row, included

    def _line_rows(self, invoice_ids: Sequence[str]) -> Iterator[calls.RowOfPage]:
        for some in _chunks(invoice_ids):
            include = "invoice,service,service_type,tax_rate"
            yield from self._asked(some, "/line_items", "filter[invoice_id]", include=include)


_INVOICE_READ = {"include": "company,bill_to,attachment,parent_invoice"}


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(ids), _IDS_A_CALL):
        yield ids[at : at + _IDS_A_CALL]
