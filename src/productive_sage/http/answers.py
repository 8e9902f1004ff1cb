"""An answer read to its end: unpacked within limits, parsed once, and what its headers say."""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, Self

import httpx

from productive_sage.text import clean, quoted

_PAUSE_WITHOUT_WORD_S = 60.0
_PAUSE_AT_MOST_S = 86_400.0
LARGEST_ANSWER = 50_000_000
"""Bytes of an answer at most, after it is unpacked."""
_EITHER_HEADER = 47
"""zlib's word for gzip or deflate, whichever it is."""
_DEEPEST = 50
"""So many levels of JSON at most; a documented answer has seven."""

NOT_JSON = object()


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer with a status below 400."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    document: Any = None
    """The parsed JSON, numbers with a point as `Decimal`; None unless JSON was asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """All of an answer, unpacked and parsed once."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    document: Any
    """The parsed JSON with its texts cleaned, or `NOT_JSON`."""

    @classmethod
    def of(cls, answer: httpx.Response) -> Self:
        """Read to the end, as far as an answer may go."""
        body = b"".join(_unpacked(answer))
        reason = clean(answer.reason_phrase)
        return cls(answer.status_code, reason, answer.headers, body, _json(body))

    @property
    def request_id(self) -> str:
        """The id the service gave the request, or empty; Sage spells the header in two ways."""
        found = self.headers.get("x-request-id") or self.headers.get("x_request_id")
        return quoted(found) if found else ""

    @property
    def pause_s(self) -> float:
        """How long a 429 asks to wait: Sage's `Retry-After`, Productive's `X-RateLimit-Reset`."""
        for name in ("retry-after", "x-ratelimit-reset"):
            word = self.headers.get(name, "")
            if word.isascii() and word.isdigit():
                return min(float(word), _PAUSE_AT_MOST_S)
        return _PAUSE_WITHOUT_WORD_S

    @property
    def date(self) -> datetime | None:
        """When it was sent by the service's clock, where it says so."""
        try:
            sent_at = parsedate_to_datetime(self.headers.get("date", ""))
        except (TypeError, ValueError):
            return None
        return sent_at if sent_at.tzinfo else None


def _unpacked(answer: httpx.Response) -> Iterator[bytes]:
    """The body piece by piece; a little that unpacks to very much is stopped on the way."""
    packing, left = answer.headers.get("content-encoding", "").strip().lower(), LARGEST_ANSWER
    unpack = (
        zlib.decompressobj(_EITHER_HEADER) if packing in ("gzip", "x-gzip", "deflate") else None
    )
    if unpack is None and packing not in ("", "identity"):
        raise httpx.DecodingError(f"it is packed as `{quoted(packing)}`, which nobody asked for")
    for piece in answer.iter_raw():
        try:
            plain = unpack.decompress(piece, left + 1) if unpack else piece
        except zlib.error as error:
            raise httpx.DecodingError(f"it cannot be unpacked: {error}") from error
        left -= len(plain)
        if left < 0:
            raise httpx.DecodingError(f"it is longer than {LARGEST_ANSWER // 1_000_000} MB")
        yield plain
    if unpack and not unpack.eof and left < LARGEST_ANSWER:
        raise httpx.DecodingError("it ends in the middle")


def _json(body: bytes) -> Any:
    try:
        document = json.loads(body, parse_float=Decimal, parse_constant=_no_number)
        return _cleaned(document, _DEEPEST)
    except (ValueError, ArithmeticError, RecursionError):
        return NOT_JSON


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _cleaned(document: Any, levels: int) -> Any:
    """A document whose texts are fit to be shown; ValueError where it is nested too deep."""
    if isinstance(document, str):
        return clean(document)
    if levels == 0:
        raise ValueError("nested too deep")
    if isinstance(document, list):
        return [_cleaned(one, levels - 1) for one in document]
    if isinstance(document, dict):
        return {clean(name): _cleaned(one, levels - 1) for name, one in document.items()}
    return document
