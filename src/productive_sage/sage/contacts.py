"""The contacts in Sage that are customers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from productive_sage.errors import ServiceUnavailable
from productive_sage.http import Recorder
from productive_sage.http.documented import understood
from productive_sage.kept import Contact
from productive_sage.sage import parse
from productive_sage.sage.calls import EVER, Calls
from productive_sage.text import day

_FIELDS = {
    "attributes": "name,reference,currency,email,main_address,main_contact_person,source_guid,"
    "tax_number,created_at,deleted_at,is_active",
    # Or what an address and a person hold would not be shown, in the answer for one contact either.
    "nested_attributes": "all",
}


class Contacts:
    """The customers of one business."""

    service = "Sage"

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @understood
    def all(self, since: datetime | None = None) -> list[Contact]:
        """Every one of them, or those made or changed since; 200 a call."""
        params = {"contact_type_id": "CUSTOMER", **_FIELDS}
        if since:
            params["updated_or_created_since"] = parse.instant(since)
        rows = self._calls.rows("/contacts", params)
        return [parse.contact(row) for row in rows if not day(row.get("deleted_at"))]

    @understood
    def one(self, contact_id: str) -> Contact | None:
        """One contact, or None where Sage has no such id."""
        row = self._calls.one("/contacts", contact_id, _FIELDS)
        return None if row is None or day(row.get("deleted_at")) else parse.contact(row)

    def known(self, contact_id: str) -> Contact | None:
        """A contact that is known to have been there, or None where Sage says it was deleted.

        Raises ServiceUnavailable where Sage does not show it and has no record of its deletion.
        """
        contact = self.one(contact_id)
        if contact is None and contact_id not in self._calls.deleted("/contacts", EVER):
            raise ServiceUnavailable(
                f"Sage does not show the contact `{contact_id}`, but has no record of its deletion "
                "either",
                hint="try again later; if it stays so, look for the contact in Sage",
            )
        return contact

    def create(self, body: Mapping[str, Any], record: Recorder) -> Contact:
        """POST /contacts; see `Http.write` for what is raised."""

        def read(row: Mapping[str, Any]) -> Contact:
            contact = parse.contact(row)
            # Sage's own sample of an answer does not repeat the marker.
            sent = ("source_guid", contact.marker) if contact.marker else ("name", contact.name)
            parse.check_about(sent[1], str(body.get(sent[0]) or ""))
            return contact

        return self._calls.written("POST", "/contacts", {"contact": body}, record, read)
