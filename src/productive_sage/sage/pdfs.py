"""The PDFs of documents in Sage: those it makes, and those attached to them."""

import base64
from collections.abc import Mapping
from functools import partial

from productive_sage.errors import RefusedBySage
from productive_sage.http import Recorder
from productive_sage.http.documented import understood
from productive_sage.kinds import Kind
from productive_sage.sage import parse
from productive_sage.sage.calls import Calls
from productive_sage.sage.records import SageDocument
from productive_sage.text import identity, text_of

PDF_LIMIT = 2_621_440
"""Bytes of an attachment at most."""


class Pdfs:
    """The PDFs of one business."""

    service = "Sage"

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @understood
    def made(self, kind: Kind, sage_id: str) -> bytes:
        """The PDF Sage makes, without marking the invoice as sent (which is Sage's default)."""
        params = {"mark_as_sent": "false"}
        path = f"{kind.path}/{sage_id}"
        return self._calls.file(path, params, "application/pdf")

    @understood
    def attached(self, kind: Kind, document: SageDocument) -> dict[str, str]:
        """File name by id of what is attached to a document or to its transaction."""
        names: dict[str, str] = {}
        for sage_id in filter(None, (document.id, document.transaction_id)):
            params = {
                "attachment_context_type_id": kind.context,
                "attachment_context_id": sage_id,
                "attributes": "file_name",
            }
            rows = self._calls.rows("/attachments", params)
            names |= {identity(row["id"]): text_of(row.get("file_name")) for row in rows}
        return names

    def attach(
        self, kind: Kind, document: SageDocument, record: Recorder, *, name: str, content: bytes
    ) -> tuple[str, bool]:
        """Attach a PDF; (the attachment's id, whether it is linked to the document).

        Not idempotent: look before a second try. The documents are no contexts Sage's guide knows,
        and a 201 may be an attachment linked to nothing: what linked for others is the transaction,
        so that goes along, and alone where the context is refused.
        """
        attachment = {
            "file": base64.b64encode(content).decode(),
            "file_name": name,
            "mime_type": "application/pdf",
        }
        if document.transaction_id:
            attachment["transaction_id"] = document.transaction_id
        context = {
            "attachment_context_type_id": kind.context,
            "attachment_context_id": document.id,
        }

        def send(more: Mapping[str, str]) -> tuple[str, bool]:
            body = {"attachment": {**attachment, **more}}
            return self._calls.written(
                "POST", "/attachments", body, record, partial(parse.attached, document)
            )

        try:
            return send(context)
        except RefusedBySage as error:
            # Not every refusal names a field; where one names another, that is what is wrong.
            may_be_it = all("attachment_context" in field for field in error.fields)
            if error.status != 422 or not (may_be_it and document.transaction_id):
                raise
            return send({})

    def detach(self, attachment_id: str, record: Recorder) -> None:
        """Remove an attachment psage made; already gone is fine."""
        self._calls.delete(f"/attachments/{attachment_id}", record)
