"""How Sage's API v3.1 is asked: pages, ids, the business each answer is about, and refusals.

Pages: a list ends when `$next` is null (a page beyond the end repeats the last). Each reply names
the business it is about; another one than asked for stops everything.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from productive_sage.errors import (
    NoSubscription,
    OutcomeUnknown,
    PsageError,
    Refused,
    RefusedBySage,
    ServiceUnavailable,
)
from productive_sage.http import Credentials, Http, OnPage, Recorder, quietly
from productive_sage.http.answers import Reply
from productive_sage.http.documented import ODD, ours, reasons, understood
from productive_sage.http.pacing import MAX_ATTEMPTS, Limiter, Window
from productive_sage.http.pool import Pool
from productive_sage.sage import parse
from productive_sage.text import identity, quoted

_T = TypeVar("_T")
_WORDS = ("$message", "message", "error_description", "error", "$dataCode")
"""Where a refusal says why, the best first."""

EVER = datetime(2000, 1, 1, tzinfo=UTC)
"""Before any deletion that Sage could list."""
_ROWS_THAT_CAME_MEANWHILE = 200
"""A list may grow while it is read, but by no more than these."""
_PAGES = ((200, 2), (50, 2), (20, 1))
"""Rows a page, and how often it is tried so: a list that is too heavy for Sage ends in a 5xx."""


def words_of(document: Any) -> tuple[str, tuple[str, ...]]:
    """Sage's own words, and the fields it names.

    A 422 is mostly an array of messages, the first often an umbrella that says nothing; the token
    endpoint answers with an object.
    """
    said, fields = [], []
    for row in reasons(document):
        words = next(filter(None, map(row.get, _WORDS)), "")
        source = str(row.get("$source") or row.get("source") or "")
        if isinstance(words, str) and words:
            said.append(f"{words} [{source}]" if source else words)
        if source:
            fields.append(source)
    return "; ".join(dict.fromkeys(said)), tuple(dict.fromkeys(fields))


def _lapsed(words: str, body: str) -> PsageError | None:
    """What a 401 means where it stays after the token was renewed."""
    is_lapsed = "subscription" in body.casefold() or "AuthorizationFailure" in body
    return NoSubscription(words) if is_lapsed else None


def sage_http(
    pool: Pool,
    url: str,
    *,
    credentials: Credentials | None = None,
    calls_per_second: int = 10,
    read_only: bool = False,
) -> Http:
    """The transport for Sage's API or its token endpoint."""
    return Http(
        pool,
        url,
        refused=RefusedBySage,
        explain=words_of,
        lapsed=_lapsed,
        credentials=credentials,
        limiter=Limiter((Window(calls_per_second, 1.0),)),
        read_only=read_only,
    )


class Calls:
    """Calls about one business; none is chosen yet where `business_id` is empty."""

    service = "Sage"

    def __init__(self, http: Http, business_id: str) -> None:
        self._http = http
        self.business_id = business_id

    def delete(self, path: str, record: Recorder) -> None:
        """DELETE a record; already gone is fine."""
        try:
            self.checked(self._http.write("DELETE", path, None, record))
        except RefusedBySage as error:
            if error.status != 404:
                raise

    def checked(self, reply: Reply) -> Reply:
        """A reply about the business that was asked for."""
        self._check_business(reply.headers)
        return reply

    def _check_business(self, headers: Mapping[str, str]) -> None:
        answered = headers.get("x-business", self.business_id)
        if self.business_id and answered != self.business_id:
            raise Refused(
                f"Sage answered for business `{quoted(answered)}`, not for `{self.business_id}`",
                code="different_business",
                hint="run `psage connect sage` and choose the business of this profile",
                details={"asked": self.business_id, "answered": quoted(answered)},
            )

    def get(
        self, path: str, params: Mapping[str, str] | None = None, *, tries: int = MAX_ATTEMPTS
    ) -> dict[str, Any]:
        """GET an object. Raises TypeError for an answer that is none."""
        document = self.checked(self._http.get(path, params, tries=tries)).document
        if not isinstance(document, dict):
            raise TypeError(f"GET {path} is not an object")
        return document

    def get_or_none(
        self, path: str, params: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        """As `get`, None where Sage answers 404 for this business."""
        try:
            return self.get(path, params)
        except RefusedBySage as error:
            if error.status != 404:
                raise
            if self.business_id and not error.headers.get("x-business"):
                raise ServiceUnavailable(
                    f"Sage answered GET {path} with 404, but does not say of which business",
                    hint="try again in a few minutes",
                ) from None
            self._check_business(error.headers)  # missing from another business is not missing
            return None

    def one(
        self, path: str, sage_id: str, params: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        """The record of this id, or None where Sage answers 404; another's is no answer."""
        row = self.get_or_none(f"{path}/{identity(sage_id)}", params)
        if row is not None:
            parse.check_about(identity(row["id"]), sage_id)
        return row

    def file(self, path: str, params: Mapping[str, str], media_type: str) -> bytes:
        """What a path gives in another form than JSON."""
        return self.checked(self._http.get(path, params, accept=media_type)).body

    @understood
    def deleted(self, path: str, since: datetime) -> set[str]:
        """The ids of what was deleted after an instant, of one list."""
        rows = self.rows(path, {"deleted_since": parse.instant(since)})
        return {identity(row["id"]) for row in rows}

    def rows(self, path: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        """Every row of a list; raises ServiceUnavailable where it is shorter than it says."""
        return self.read(path, params, lambda row: row)

    def read(
        self,
        path: str,
        params: Mapping[str, str],
        parse: Callable[[dict[str, Any]], _T],
        told: OnPage = quietly,
    ) -> list[_T]:
        """As `rows`, each parsed as soon as its page is there; `told` hears how many there are."""
        rows, total = list[_T](), 0
        for size, tries in _PAGES:
            rows, total = [], 0
            try:
                for page in self._pages(path, {"items_per_page": str(size), **params}, tries):
                    rows += map(parse, page["$items"])
                    # What is deleted between two pages moves a row from the second to the first.
                    total = max(total, int(page.get("$total", 0)))
                    with ours("how far the reading is cannot be told"):
                        told(len(rows), total)
                break
            except ServiceUnavailable as error:
                is_heavy = "status" in error.details  # or it is the sign-in that has no answer
                if not is_heavy or (size, tries) == _PAGES[-1]:
                    raise
        if len(rows) < total:
            raise ServiceUnavailable(
                f"Sage says that {path} has {total} entries, but sent {len(rows)}",
                hint="try again in a few minutes",
            )
        return rows

    def _pages(self, path: str, params: Mapping[str, str], tries: int) -> Iterator[dict[str, Any]]:
        page, seen = self.get(path, params, tries=tries), set[str]()
        rows, is_empty = 0, False
        while True:
            yield page
            following = page.get("$next")
            if not following:
                return
            if not isinstance(following, str):
                raise TypeError(f"the list {path} names `{quoted(following)}` as its next page")
            rows += len(page["$items"])
            is_too_long = rows > int(page.get("$total", rows)) + _ROWS_THAT_CAME_MEANWHILE
            was_empty, is_empty = is_empty, not page["$items"]
            if following in seen or (was_empty and is_empty) or is_too_long:
                raise ValueError(f"the list {path} never ends: it names one more page")
            seen.add(following)
            page = self.get(following, tries=tries)

    def written(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        record: Recorder,
        parse: Callable[[Mapping[str, Any]], _T],
    ) -> _T:
        """Send; an answer of another business, or one that makes no sense, tells nothing."""
        reply = self._http.write(method, path, body, record)
        try:
            return parse(self.checked(reply).document)
        except (PsageError, *ODD) as error:
            raise OutcomeUnknown(
                f"Sage's answer to {method} {path} cannot be read ({quoted(str(error), 200)}): "
                "it may have been done or not"
            ) from None
