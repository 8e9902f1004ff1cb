"""Files of Productive: the PDF of an invoice, and one that is attached to it."""

from typing import Any
from urllib.parse import urlsplit

from productive_sage.errors import ServiceUnavailable
from productive_sage.http import Http, Recorder
from productive_sage.http.documented import understood
from productive_sage.productive import parse
from productive_sage.productive.calls import Token


class Pdfs:
    """The PDFs of one organisation; `files` is where they lie, `storage` where they are put."""

    service = "Productive"

    def __init__(self, http: Http, *, files: Http, storage: Http, token: Token) -> None:
        self._http = http
        self._files = files
        self._storage = storage
        self._token = token

    @understood
    def fetch(self, url: str) -> bytes:
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
    def upload(self, record: Recorder, *, name: str, content: bytes) -> int:
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
        stored = self._storage.post_form("", policy, file=(name, content, "application/pdf"))
        data = {
            "type": "attachments",
            "id": parse.identity_of(made["id"]),
            "attributes": {"temp_url": stored.headers.get("location", "")},
        }
        path = f"/attachments/{made['id']}"
        self._http.write("PATCH", path, {"data": data}, record)
        return int(made["id"])
