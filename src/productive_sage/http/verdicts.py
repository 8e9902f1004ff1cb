"""What an answer means for the request: whether it is usable, a no, or says nothing at all.

Of a write that has no plain answer nobody knows whether it was done: that is `OutcomeUnknown`.
"""

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from productive_sage.errors import (
    NetworkDown,
    OutcomeUnknown,
    PsageError,
    RateLimited,
    ServiceRefused,
    ServiceUnavailable,
    SignInExpired,
)
from productive_sage.http.answers import NOT_JSON, Answer
from productive_sage.http.documented import ODD
from productive_sage.http.pool import root, why
from productive_sage.redaction import redacted
from productive_sage.text import quoted

log = logging.getLogger("psage.http")

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_LONGEST_WORDS = 1000
_SECRET_LENGTH = 12
"""Shorter values are ids and words, which an error may quote."""


@dataclass(slots=True)
class Call:
    """One request and what is known of it; of several at once each has its own."""

    method: str
    path: str
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    accept: str = ""
    """The media type that is wanted; empty for JSON."""
    content: bytes | None = None
    form: dict[str, str] | None = None
    file: tuple[str, bytes, str] | None = None
    """(name, bytes, media type)."""
    what: str = ""
    """The request in words: `GET /invoices`."""
    proof: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The headers by which the last try said who asks."""
    secrets: list[str] = field(default_factory=list, repr=False)
    """What the last try carried that no error may quote."""
    request_id: str = ""
    """The id the service gave the last try, or empty."""

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"


class TryAgain(Exception):
    """Worth another try; `final` is raised when there is none left."""

    def __init__(self, final: PsageError, after_s: float | None = None) -> None:
        super().__init__(final.message)
        self.final = final
        self.after_s = after_s


class Unauthorised(Exception):
    """401: renew once."""

    def __init__(self, final: PsageError) -> None:
        super().__init__(final.message)
        self.final = final


@dataclass(frozen=True, slots=True)
class Judge:
    """How one service's answers are judged."""

    refused: type[ServiceRefused]
    explain: Callable[[Any], tuple[str, tuple[str, ...]]]
    """The words of a refusal and the fields it names."""
    lapsed: Callable[[str, str], PsageError | None]
    """The error of a 401, of its words and body, that no sign-in mends."""

    @property
    def service(self) -> str:
        """Whose answers they are."""
        return self.refused.service

    def judge(self, call: Call, answer: Answer) -> Exception | None:
        """None for a usable answer, else what is wrong with it."""
        status = answer.status
        log.info("%s %s: %s %s", self.service, call.what, status, answer.request_id)
        if status < 300:
            if call.accept or status == 204 or answer.document is not NOT_JSON:
                return None
            return self._useless(call, f"answered {status} but not with JSON", status=status)
        if status < 400 and not call.writes:
            return ServiceUnavailable(
                f"{self.service} answered {call.what} with a redirect ({status}), which psage does "
                "not follow: its sign-in is for the configured host alone",
                hint="check the configured addresses",
            )
        if status == 404 and not self._words(call, answer)[0]:
            # A gateway on the way has pages of its own; what is gone, the service says itself.
            return self._useless(call, "answered 404, but not in its own words")
        if 400 <= status < 500 and status != 408:
            return self._refusal(call, answer)
        how = f"answered {status} {self._words(call, answer)[0]}".rstrip()
        return self._useless(call, how, status=status)

    def _refusal(self, call: Call, answer: Answer) -> Exception:
        """An answer that says nothing was done: wait, sign in again, or no."""
        status, what = answer.status, call.what
        words, fields = self._words(call, answer)
        if status == 429:
            wait_s = answer.pause_s
            message = f"{self.service} asks for a pause of {wait_s:.0f} s (429, {what})"
            hint = "nothing was lost; run the command again later"
            return TryAgain(RateLimited(message, hint=hint), wait_s)
        if status == 409 and self.service == "Sage":
            # Another machine's POST is under way there, and Sage takes one at a time.
            busy = f"Sage is busy with another request of the same kind ({what}: {words or status})"
            hint = "nothing was sent twice; run the command again in a few minutes"
            return TryAgain(ServiceUnavailable(busy, hint=hint, details={"status": status}))
        if status == 401:
            words = words or "401 Unauthorized"
            lapsed = self.lapsed(words, answer.body.decode(errors="replace"))
            return Unauthorised(lapsed or SignInExpired(self.service, words))
        return self.refused.of(status)(
            what,
            words or answer.reason,
            status=status,
            fields=fields,
            request_id=answer.request_id or None,
            headers=answer.headers,
        )

    def _useless(self, call: Call, how: str, *, status: int = 0) -> Exception:
        """An answer that says nothing about whether the work was done; status 0 is no answer."""
        if call.writes:
            return OutcomeUnknown(
                f"{self.service} {how} to {call.what}: it may have been done or not",
                details={"status": status},
            )
        return TryAgain(
            ServiceUnavailable(
                f"{self.service} {how} ({call.what})",
                hint="try again in a few minutes",
                details={"status": status},
            )
        )

    def lost(self, call: Call, error: httpx.RequestError) -> Exception:
        """What a broken connection means."""
        reason = why(error)
        log.info("%s %s: %s", self.service, call.what, reason)
        if isinstance(error, _NOTHING_SENT):
            down = NetworkDown(
                f"{self.service} cannot be reached: {reason}",
                hint="check the network connection; nothing was sent",
            )
            # A certificate that cannot be trusted will not be better in a second.
            return down if isinstance(root(error), ssl.SSLError) else TryAgain(down)
        return self._useless(call, f"broke off ({reason}) in reply")

    def _words(self, call: Call, answer: Answer) -> tuple[str, tuple[str, ...]]:
        """The service's own words and the fields it names, less any secret in them."""
        document = answer.document
        try:
            words, fields = ("", ()) if document is NOT_JSON else self.explain(document)
        except ODD:
            return "", ()  # a refusal stays one, however oddly it is worded
        own = {part for value in call.secrets for part in value.split()}
        own = {part for part in own if len(part) >= _SECRET_LENGTH}
        said = [quoted(redacted(one, own), _LONGEST_WORDS) for one in (words, *fields)]
        return said[0], tuple(said[1:])
