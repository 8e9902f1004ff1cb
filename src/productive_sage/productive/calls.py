"""How Productive's API v2 is asked: the token, lists by cursor, and refusals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from productive_sage.errors import OutcomeUnknown, ServiceUnavailable
from productive_sage.http import Http, Recorder
from productive_sage.http.documented import ODD, reasons
from productive_sage.productive import parse
from productive_sage.text import quoted

MEDIA_TYPE = "application/vnd.api+json"
_IDS_A_CALL = 50


def words_of(document: Any) -> tuple[str, tuple[str, ...]]:
    """Productive's own words, and the attributes it points to."""
    said, fields = [], []
    for error in reasons(document):
        source = error.get("source")
        pointer = str(source.get("pointer") or "") if isinstance(source, dict) else source
        best = [error.get("title"), error.get("detail")]
        words = " ".join(filter(None, best)) or error.get("message") or error.get("error")
        if isinstance(words, str) and words:
            said.append(f"{words} [{pointer}]" if pointer else words)
        if pointer:
            fields.append(str(pointer))
    return "; ".join(dict.fromkeys(said)), tuple(dict.fromkeys(fields))


@dataclass(frozen=True, slots=True)
class Token:
    """The API token; it does not expire and is sent to Productive's API alone."""

    value: str
    organization_id: str

    def headers(self) -> dict[str, str]:
        """The two headers of every call."""
        return {
            "X-Auth-Token": self.value,
            "X-Organization-Id": self.organization_id,
            "Content-Type": MEDIA_TYPE,
        }

    def renew(self, refused: Mapping[str, str]) -> bool:  # noqa: ARG002 -- as Sage's
        """Only a person can make a new one."""
        return False

    def __repr__(self) -> str:
        return f"Token(organization_id={self.organization_id!r})"


RowOfPage = tuple[dict[str, Any], parse.Included]
"""A row of a list, with the records that its page included."""


def rows(http: Http, path: str, params: Mapping[str, str]) -> Iterator[RowOfPage]:
    """Every row, each with the records its page included.

    By cursor; where the answer counts pages and links none, by number.
    """
    page = http.get(path, {"page[after]": "", "page[size]": "200", **params}).document
    seen, rows, is_empty = set[str](), 0, False
    while True:
        included = {
            (row["type"], parse.identity_of(row["id"])): row for row in page.get("included") or []
        }
        for row in page["data"]:
            yield row, included
        rows += len(page["data"])
        following, meta = (page.get("links") or {}).get("next"), page.get("meta") or {}
        was_empty, is_empty = is_empty, not page["data"]
        if following in seen or (following and was_empty and is_empty):
            raise ValueError(f"the list {path} never ends: it names one more page")
        if following:
            seen.add(following)
            page = http.get(following).document
        elif (number := meta.get("current_page") or 0) < (meta.get("total_pages") or 0):
            numbered = {"page[number]": str(number + 1), "page[size]": "200", **params}
            page = http.get(path, numbered).document
            if page["meta"]["current_page"] != number + 1:
                raise ValueError(f"page {number + 1} of {path} is another")
        else:
            break
    if rows < (total := meta.get("total_count") or 0):
        raise ServiceUnavailable(
            f"Productive says that {path} has {total} entries, but sent {rows}",
            hint="try again in a few minutes",
        )


def asked(http: Http, ids: Sequence[str], path: str, by: str, **params: str) -> Iterator[RowOfPage]:
    """The rows of a list that is asked for by ids, and for nothing else."""
    for row, included in rows(http, path, {by: ",".join(ids), **params}):
        found = (
            parse.identity_of(row["id"]) if by == "filter[id]" else parse.invoice_of(row, included)
        )
        if found not in ids:
            raise ValueError(f"the list {path} holds `{found}`, which was not asked for")
        yield row, included


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids in parts that fit into one call."""
    for at in range(0, len(ids), _IDS_A_CALL):
        yield ids[at : at + _IDS_A_CALL]


def change(
    http: Http, kind: str, key: str, attributes: Mapping[str, Any], record: Recorder
) -> None:
    """PATCH a record. Raises OutcomeUnknown where the answer is about another one, or none."""
    data = {"type": kind, "id": key, "attributes": dict(attributes)}
    reply = http.write("PATCH", f"/{kind}/{key}", {"data": data}, record)
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
