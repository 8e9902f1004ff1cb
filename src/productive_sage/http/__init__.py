"""HTTP as psage needs it: one request loop that never repeats a write whose outcome is unknown.

The only package that imports httpx. A read is tried again after a broken connection or a 5xx; a
write only when nothing was sent or the service said 429. Everything else about a write is for the
caller to find out by looking, so it becomes `OutcomeUnknown`.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from productive_sage import lanes
from productive_sage.errors import (
    PsageError,
    ReadOnlyRun,
    ServiceRefused,
    ServiceUnavailable,
    SignInExpired,
    UsageProblem,
)
from productive_sage.http.answers import Answer, Reply
from productive_sage.http.documented import ours
from productive_sage.http.pacing import MAX_ATTEMPTS, Limiter, backoff_s, is_affordable
from productive_sage.http.pool import NO_ADDRESS, Pool, unusable_address, within
from productive_sage.http.verdicts import Call, Judge, TryAgain, Unauthorised
from productive_sage.text import quoted

log = logging.getLogger("psage.http")

_NO_PATH = re.compile(r"(?i)[\s#\\\x00-\x20\x7f-\x9f\ud800-\udfff]|/$|/(\.|%2e){1,2}(/|$)|.{2000}")
"""What an id that is none would make of an address: a list, another place, or no address at all."""


class Credentials(Protocol):
    """What proves to a service who is asking."""

    def headers(self) -> Mapping[str, str]:
        """Headers of the next request; may renew an expired token first."""

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Replace a token the service has just refused, unless another document has by now.

        `refused` are the headers it was sent in. False where there is nothing to renew.
        """


class NoCredentials:
    """For addresses that must not learn who is asking."""

    def headers(self) -> Mapping[str, str]:
        """Nothing at all."""
        return {}

    def renew(self, refused: Mapping[str, str]) -> bool:  # noqa: ARG002 -- as the others
        """Nothing to renew."""
        return False


@dataclass(frozen=True, slots=True)
class Write:
    """A request that may change something, before it is sent."""

    service: str
    method: str
    path: str
    body: Any


Recorder = Callable[[Write], Callable[[Reply | BaseException, str], None]]
"""Told of a write before it is sent; what it returns is told what came of it.

That is the reply or what is raised, and the id the service gave the request, or empty. Whoever
sends the write knows what it is about, and so hands the recorder along.
"""


OnPage = Callable[[int, int | None], None]
"""Told after each page of a long list how many rows there are so far, and of how many if known."""


def quietly(_rows: int, _of: int | None) -> None:
    """For lists nobody waits for."""


def never_lapsed(_words: str, _body: str) -> PsageError | None:
    """For services whose 401 always means that somebody has to sign in."""
    return None


class Http:
    """One service at one address, with its credentials, pace and way of saying no."""

    def __init__(
        self,
        pool: Pool,
        base_url: str,
        *,
        refused: type[ServiceRefused],
        explain: Callable[[Any], tuple[str, tuple[str, ...]]],
        lapsed: Callable[[str, str], PsageError | None] = never_lapsed,
        credentials: Credentials | None = None,
        limiter: Limiter | None = None,
        media_type: str = "application/json",
        read_only: bool = False,
    ) -> None:
        """`lapsed` gives the error of a 401, of its words and body, that no sign-in mends."""
        self.base_url = base_url.rstrip("/")
        self.service = refused.service
        self._pool = pool
        self._judge = Judge(refused, explain, lapsed)
        self._has_lapsed = False
        self._credentials = credentials or NoCredentials()
        self._limiter = limiter or Limiter(())
        self._media_type = media_type
        self._read_only = read_only
        self._timing = pool.timing
        self._ahead = timedelta(0)
        self._paused_until = 0.0

    def now(self) -> datetime:
        """The service's time, by its last answer; this machine's before the first."""
        return self._timing.utc() + self._ahead

    def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        accept: str = "",
        tries: int = MAX_ATTEMPTS,
    ) -> Reply:
        """Read; JSON unless `accept` names another media type.

        No more than `tries` where the service has no usable answer; fewer leave the caller some.
        """
        return self._send(Call("GET", path, params, accept=accept), tries=tries)

    def write(self, method: str, path: str, body: Any, record: Recorder) -> Reply:
        """Send a JSON body once, recorded before and after; `body` None sends none.

        Raises ServiceRefused for a definite no, OutcomeUnknown where the service may have done it.
        """
        call = Call(method, path)
        # Sage takes one POST at a time to a resource.
        with lanes.alone(f"{self.service} {path}") if method == "POST" else nullcontext():
            tell = record(Write(self.service, method, path, body))
            try:
                if body is not None:
                    call.headers = {"Content-Type": self._media_type}
                    call.content = self._encoded(path, body)
                reply = self._send(call)
            except BaseException as error:
                tell(error, call.request_id)
                raise
            tell(reply, call.request_id)
            return reply

    def _encoded(self, path: str, body: Any) -> bytes:
        try:
            return json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise self._unsendable(path, error) from error

    def post_form(
        self,
        path: str,
        fields: Mapping[str, str],
        file: tuple[str, bytes, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a form; `file` is (name, bytes, media type) and makes it a multipart form."""
        accept = "*/*" if file else ""
        return self._send(
            Call(
                "POST",
                path,
                headers=headers or {},
                accept=accept,
                form=dict(fields),
                file=file,
            )
        )

    def _send(self, call: Call, *, tries: int = MAX_ATTEMPTS) -> Reply:
        """Try until there is an answer, as often as the kind of request allows."""
        if self._read_only and call.writes:
            raise ReadOnlyRun(f"a dry run tried to send {call.method} {call.path}")
        call.what = f"{call.method} {call.path or urlsplit(self.base_url).path}"
        timing = self._timing
        attempt, waited_s, renewed, began = 0, 0.0, False, timing.clock()
        while True:
            attempt += 1
            try:
                # A caller would take a defect for an answer of an odd shape.
                with ours(f"{self.service} could not be asked"):
                    return self._once(call)
            except Unauthorised as refusal:
                # Once it is known that a fresh token is refused as well, another is not asked for.
                if renewed or self._has_lapsed or not self._credentials.renew(call.proof):
                    self._has_lapsed = not isinstance(refusal.final, SignInExpired)
                    raise refusal.final from None
                renewed = True
            except TryAgain as failure:
                if attempt >= tries and isinstance(failure.final, ServiceUnavailable):
                    raise failure.final from None
                # A pause that was asked for counts without the time the answers took, or a whole
                # minute would never fit.
                if failure.after_s is None:
                    wait_s, spent_s = backoff_s(attempt, timing.jitter), timing.clock() - began
                else:
                    wait_s, spent_s = failure.after_s, waited_s
                waited_s += wait_s
                if not is_affordable(attempt=attempt, spent_s=spent_s, wait_s=wait_s):
                    raise failure.final from None
                log.info("%s: %s; again in %.1f s", self.service, failure, wait_s)
                if failure.after_s is not None:
                    self._paused_until = max(self._paused_until, timing.clock() + wait_s)
                self._rest(wait_s)

    def _once(self, call: Call) -> Reply:
        self._pace()
        own = call.proof = self._credentials.headers()
        call.secrets = [*own.values(), *(call.form or {}).values(), *(call.params or {}).values()]
        call.request_id = ""
        address = self._address(call.path)
        given = {"Accept": call.accept or self._media_type, **own, **call.headers}
        files = {"file": call.file} if call.file else None

        def exchange() -> Answer:
            with self._pool.client.stream(
                call.method,
                address,
                params=call.params,
                headers=given,
                content=call.content,
                data=call.form,
                files=files,
            ) as answer:
                return Answer.of(answer)

        try:
            answer = within(self._timing.deadline_s, exchange)
        except httpx.RequestError as error:
            raise self._judge.lost(call, error) from error
        except NO_ADDRESS as error:
            raise self._unsendable(call.path, error) from error
        if answer.date:
            self._ahead = answer.date - self._timing.utc()
        call.request_id = answer.request_id
        failure = self._judge.judge(call, answer)
        if failure is not None:
            raise failure
        document = None if call.accept or answer.status == 204 else answer.document
        return Reply(answer.status, answer.headers, answer.body, document)

    def _unsendable(self, path: str, error: Exception) -> PsageError:
        """Whose the address or the text is that nothing can be sent with."""
        if isinstance(error, UnicodeEncodeError) and error.encoding != "idna":
            return UsageProblem(
                f"a text in the command or in the settings cannot be sent to {self.service}: it "
                "holds characters that are none",
                hint="type it again",
            )
        if path.startswith("/") or not path:
            return unusable_address(self.base_url, error)
        return ServiceUnavailable(
            f"{self.service} pointed to `{quoted(path)}`, which is no address"
        )

    def _address(self, path: str) -> str:
        """Join to the base; an absolute link may only lead to the same host."""
        if not path or path.startswith("/"):
            if _NO_PATH.search(path.partition("?")[0]):
                raise ServiceUnavailable(
                    f"an id {self.service} gave is none: `{quoted(path, 80)}` is no address there",
                    hint=f"nothing was sent; look at the record in {self.service}",
                )
            return self.base_url + path
        here, there = urlsplit(self.base_url), urlsplit(path)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise ServiceUnavailable(
                f"{self.service} pointed to another host (`{there.netloc}`); "
                "psage sends its sign-in to the configured host alone"
            )
        return path

    def _pace(self) -> None:
        """Wait for a place within the limits, in the order in which documents ask for one."""
        if lanes.is_shared() and (left_s := self._paused_until - self._timing.clock()) > 0:
            self._rest(left_s)  # another document was told to wait
        wait_s = self._limiter.book(self._timing.clock())
        if wait_s > 0:
            self._rest(wait_s)

    def _rest(self, seconds: float) -> None:
        with lanes.waiting():
            self._timing.sleep(seconds)
