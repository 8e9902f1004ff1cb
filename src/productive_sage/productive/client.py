"""The Productive API v2 as psage uses it: JSON:API unwrapped into records.

`calls` has what holds for every call, `amounts` how amounts are read; each of the other modules
has the calls of one subject.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from productive_sage.errors import RefusedByProductive
from productive_sage.http import Http
from productive_sage.http.documented import understood
from productive_sage.http.pacing import Limiter, Window
from productive_sage.http.pool import Pool
from productive_sage.productive import calls, parse
from productive_sage.productive.amounts import Reader
from productive_sage.productive.calls import MEDIA_TYPE, Token, words_of
from productive_sage.productive.invoices import Invoices
from productive_sage.productive.payments import Payments
from productive_sage.productive.pdfs import Pdfs
from productive_sage.productive.records import ChargedTax
from productive_sage.settings import Endpoints
from productive_sage.text import text_of


class ProductiveClient:
    """Calls about one organisation and its set-up."""

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
        self._token = token
        self.reader = Reader(minor_digits or {})
        self.invoices = Invoices(self._http, self.reader)
        self.payments = Payments(self._http, self.reader)
        self.pdfs = Pdfs(
            self._http,
            files=Http(pool, endpoints.productive_files, **common),
            storage=Http(pool, endpoints.productive_upload, **common),
            token=token,
        )

    def now(self) -> datetime:
        """Productive's time, by its last answer: the clock of this machine may be set meanwhile."""
        return self._http.now()

    @property
    def organization_id(self) -> str:
        """The organisation of the sign-in."""
        return self._token.organization_id

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
    def companies(self) -> dict[str, str]:
        """Name by id of every company this token may see."""
        rows = calls.rows(self._http, "/companies", {})
        return {
            parse.identity_of(row["id"]): text_of(row["attributes"].get("name")) for row, _ in rows
        }

    @understood
    def taxes(self) -> list[ChargedTax]:
        """The tax rates that lines may have, also those no longer in use."""
        return [parse.charged_tax(row) for row, _ in calls.rows(self._http, "/tax_rates", {})]
