"""Writes that were begun: on disk before a byte is sent, ended together with what they made."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from productive_sage import markers
from productive_sage.errors import OutcomeUnknown, StoreConflict
from productive_sage.kept import Contact
from productive_sage.redaction import redacted
from productive_sage.store import audit
from productive_sage.store.audit import Event
from productive_sage.store.begun import (
    ContactFacts,
    ContactIntent,
    CopyFacts,
    CopyIntent,
    Facts,
    Intent,
    PaymentFacts,
    PaymentIntent,
)
from productive_sage.store.copies import CopyRecords, Link
from productive_sage.store.customers import CustomerRecords
from productive_sage.store.database import Database, as_text
from productive_sage.store.events import Events

if TYPE_CHECKING:  # reading the records needs no HTTP
    from productive_sage.http import Recorder

State = Literal["done", "refused", "lapsed"]
"""How a write ended: it made something, the service said no, or it never arrived."""
_OF_DOCUMENTS = "kind NOT IN ('contact', 'payment')"


class Intents:
    """The writes of a profile; at most one of a kind is open for a source."""

    def __init__(
        self, db: Database, events: Events, copies: CopyRecords, customers: CustomerRecords
    ) -> None:
        self._db = db
        self._events = events
        self._copies = copies
        self._customers = customers
        self._announced: dict[int, Event] = {}
        """By intent: what the log has of it before it is sent for the first time."""

    def begin(
        self,
        kind: str,
        source_id: str,
        business_id: str,
        *,
        payload: Mapping[str, Any],
        facts: Facts,
        at: datetime | None = None,
    ) -> Intent[Facts]:
        """Commit that a write is about to be sent, `at` the service's time where that is known.

        So does the log, but for an update: another write may have to go before it. Raises
        OutcomeUnknown where one of the same kind for the same source is still open.
        """
        key, began_at = self._key(kind, business_id, payload), self._db.now()
        sent_at = at or began_at
        intent = Intent(0, kind, source_id, business_id, key, payload, facts, sent_at, began_at)
        try:
            with self._db.write():
                number = self._db.run(
                    "INSERT INTO intent (kind, source_id, business_id, idempotency_id, payload, "
                    "context, state, began_at) VALUES (?, ?, ?, ?, ?, ?, 'sending', ?)",
                    kind,
                    source_id,
                    business_id,
                    key,
                    json.dumps(payload),
                    json.dumps({**_columns(facts), "sent_at": as_text(sent_at)}),
                    as_text(began_at),
                )
                intent = replace(intent, id=number)
                self._announced.pop(number, None)  # of one that was not committed
                if kind != "update":
                    self._announce(intent)
        except StoreConflict:
            raise OutcomeUnknown(
                f"an earlier write for `{source_id}` is still without an answer",
                hint="run the command again: it finishes that first",
            ) from None
        return intent

    def _announce(self, intent: Intent[Any]) -> None:
        service = "productive" if isinstance(intent.facts, PaymentFacts) else "sage"
        path = intent.path + (audit.RELEASE if intent.kind == "release" else "")
        with self._events.beside(f"POST {path}"):
            event = audit.sent(service, "POST", path, intent.body, intent.about)
            self._announced[intent.id] = self._events.announce(event)

    def recorder(self, intent: Intent[Any]) -> "Recorder":
        """What records each time that an intent is sent."""
        return self._events.recorder(intent.about, self._announced.pop(intent.id, None))

    def _key(self, kind: str, business_id: str, payload: Mapping[str, Any]) -> str:
        """What makes a write repeatable: the same on every machine that would send the same.

        So Sage itself makes one document of two POSTs. Another generation where the service has
        answered one already: with a no, or with something that shall be made anew.
        """
        import hashlib  # here, since reading needs none and `status` is in a hurry

        content = json.dumps([business_id, kind, _essential(payload)], sort_keys=True)
        answered = "SELECT 1 FROM intent WHERE idempotency_id = ? AND state IN ('done', 'refused')"
        generations = itertools.count()
        while True:
            text = f"{next(generations)} {content}"
            key = hashlib.sha256(text.encode()).hexdigest()[:32]
            if not self._db.rows(answered, key):
                return key

    def has_made_customers(self, since: datetime) -> bool:
        """Whether psage has made a contact since."""
        return bool(
            self._db.rows(
                "SELECT 1 FROM intent WHERE kind = 'contact' AND state = 'done' AND ended_at >= ? "
                "LIMIT 1",
                as_text(since),
            )
        )

    def count_open(self) -> int:
        """How many writes have no answer yet."""
        rows = self._db.rows("SELECT count(*) FROM intent WHERE state = 'sending'")
        return int(rows[0][0])

    def open_copies(self) -> list[CopyIntent]:
        """The copies, updates and releases whose end nobody knows, oldest first."""
        return self._open(_OF_DOCUMENTS, CopyFacts)

    def mark(self) -> int:
        """What tells writes that are begun from now on from those before."""
        rows = self._db.rows("SELECT coalesce(max(id), 0) FROM intent")
        return int(rows[0][0])

    def copies_since(self, mark: int, *, is_open: bool) -> list[CopyIntent]:
        """The copies, updates and releases begun since, that are open or have made something."""
        state = "sending" if is_open else "done"
        return self._found(state, _OF_DOCUMENTS, CopyFacts, mark)

    def open_contacts(self) -> list[ContactIntent]:
        """The new contacts whose end nobody knows, oldest first."""
        return self._open("kind = 'contact'", ContactFacts)

    def open_payments(self) -> list[PaymentIntent]:
        """The new Productive payments whose end nobody knows, oldest first."""
        return self._open("kind = 'payment'", PaymentFacts)

    def _open(self, condition: str, facts: type[Facts]) -> list[Intent[Facts]]:
        return self._found("sending", condition, facts)

    def _found(
        self, state: str, condition: str, facts: type[Facts], mark: int = 0
    ) -> list[Intent[Facts]]:
        rows = self._db.rows(
            "SELECT id, kind, source_id, business_id, idempotency_id, payload, context, began_at "
            f"FROM intent WHERE state = ? AND id > ? AND {condition} ORDER BY id",
            state,
            mark,
        )
        names = {one.name for one in fields(facts)}
        found = list[Intent[Facts]]()
        for row in rows:
            known = json.loads(row["context"])
            began_at = datetime.fromisoformat(row["began_at"])
            sent_at = datetime.fromisoformat(known.get("sent_at", row["began_at"]))
            found.append(
                Intent(
                    row["id"],
                    row["kind"],
                    row["source_id"],
                    row["business_id"],
                    row["idempotency_id"],
                    json.loads(row["payload"]),
                    facts(**{name: _frozen(known[name]) for name in names & known.keys()}),
                    sent_at,
                    began_at,
                )
            )
        return found

    def finish_create(
        self,
        intent: CopyIntent,
        *,
        sage_id: str,
        number: str,
        written: str | None,
        pending: frozenset[str],
    ) -> Link:
        """Record a new copy and end its intent in one transaction."""
        facts, kind = intent.facts, intent.document_kind
        with self._db.write():
            answer = {"id": sage_id, "number": number}
            self.end(intent, "done", path=f"{kind.path}/{sage_id}", answer=answer)
            link = self._copies.record(
                productive_id=intent.source_id,
                copy=facts.copy,
                business_id=intent.business_id,
                sage_id=sage_id,
                sage_number=number,
                tax_rate_id=facts.tax_rate_id,
                number_sent=facts.number_sent,
                written=written,
                pending=pending,
                kind=kind.code,
                credited_sage_id=facts.credited_sage_id,
            )
            self._remember_billed(intent)
        return link

    def finish_update(
        self,
        intent: CopyIntent,
        link: Link,
        *,
        sage_number: str,
        tax_rate_id: str,
        written: str,
        pending: frozenset[str],
    ) -> Link:
        """Record what an update changed and end its intent in one transaction."""
        with self._db.write():
            path = f"{intent.document_kind.path}/{link.sage_id}"
            answer = {"id": link.sage_id, "number": sage_number}
            self.end(intent, "done", path=path, answer=answer)
            changed = {"sage_number": sage_number, "tax_rate_id": tax_rate_id, "written": written}
            self._copies.change(link, **changed, pending=pending)
            self._remember_billed(intent)
        return next(
            i for i in self._copies.of(link.productive_id) if i.copy_number == link.copy_number
        )

    def finish_release(
        self, intent: CopyIntent, link: Link, *, sage_number: str, pending: frozenset[str]
    ) -> Link:
        """Record that a draft is booked and end its intent in one transaction."""
        with self._db.write():
            path = f"{intent.document_kind.path}/{link.sage_id}"
            self.end(intent, "done", path=path, answer={"id": link.sage_id, "number": sage_number})
            self._copies.change(link, sage_number=sage_number, pending=pending)
        return replace(link, sage_number=sage_number, pending=pending)

    def finish_contact(self, intent: ContactIntent, contact: Contact) -> None:
        """Record a new customer and end its intent in one transaction."""
        with self._db.write():
            answer = {"id": contact.id, "contact": contact.name}
            self.end(intent, "done", path=f"/contacts/{contact.id}", answer=answer)
            facts = intent.facts
            self._customers.remember(
                facts.company_id, facts.currency, intent.business_id, contact, is_unused=True
            )

    def _remember_billed(self, intent: CopyIntent) -> None:
        """Bill the company to the contact of this copy from now on, unless it was meant once."""
        facts = intent.facts
        if not facts.remember:
            return
        contact_id = str(intent.payload["contact_id"])
        contact = Contact(contact_id, facts.contact_name, country=facts.country)
        self._customers.remember(
            facts.company_id,
            facts.currency,
            intent.business_id,
            contact,
            is_agreed=facts.agreed,
        )

    def end(
        self,
        intent: Intent[Any],
        state: State,
        words: str = "",
        *,
        path: str = "",
        answer: Mapping[str, str] | None = None,
    ) -> None:
        """End an intent, and tell the log; `path` and `answer` say what it made, if anything.

        One that made nothing is `refused`, or `lapsed` where it never arrived.
        """
        with self._db.write():
            self._db.run(
                "UPDATE intent SET state = ?, words = ?, ended_at = ? WHERE id = ?",
                state,
                redacted(words),
                as_text(self._db.now()),
                intent.id,
            )
            with self._events.beside("settle"):
                self._record_outcome(intent, state, path, answer or {"words": words})

    def _record_outcome(
        self, intent: Intent[Any], state: State, path: str, answer: Mapping[str, str]
    ) -> None:
        """Record in the log how an intent ended, where the write's own answer is not in it.

        So it is after a lost answer, and where psage was stopped before it recorded one.
        """
        is_payment, about = isinstance(intent.facts, PaymentFacts), intent.about
        key, column = intent.idempotency_id, "key"
        if is_payment:
            key = intent.source_id
        elif intent.is_change:  # no key, but it tells what it changes
            key, column = "", "path"
        value = key or intent.path
        if self._events.has_outcome(column, value, since=intent.began_at, made=path, state=state):
            return
        self._events.append(
            Event(
                service="productive" if is_payment else "sage",
                what="settle",
                document=about.document,
                number=about.number,
                path=path or intent.path,
                key=key,
                figures=audit.in_currency(audit.figures(intent.payload), about.currency),
                result=state,
                answer=answer,
            )
        )


def _columns(facts: Facts) -> dict[str, Any]:
    """What is stored of them; they hold plain values, which need not be copied to be written."""
    return {one.name: getattr(facts, one.name) for one in fields(facts)}


def _essential(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent without what people find it by, on which two machines need not agree.

    Of the reference only the marker says which document it is.
    """
    essential = {name: value for name, value in payload.items() if name != "notes"}
    if marker := markers.in_reference(str(payload.get("reference") or "")):
        essential["reference"] = markers.of_copy(*marker)
    return essential


def _frozen(value: Any) -> Any:
    """A value out of JSON, its lists as the tuples they were."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
