"""HTTP as psage needs it: one request loop that never repeats a write whose outcome is unknown.

The only module that imports httpx. A read is tried again after a broken connection or a 5xx; a
write only when nothing was sent or the service said 429. Everything else about a write is for the
caller to find out by looking, so it becomes `OutcomeUnknown`.
"""

import functools
import json
import logging
import os
import queue
import random
import re
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx

from productive_sage.errors import (
    ConfigInvalid,
    NetworkDown,
    OutcomeUnknown,
    PsageError,
    RateLimited,
    ReadOnlyRun,
    ServiceRefused,
    ServiceUnavailable,
    SignInExpired,
    UsageProblem,
)
from productive_sage.pacing import MAX_ATTEMPTS, Limiter, backoff_s, is_affordable
from productive_sage.redaction import redacted
from productive_sage.text import clean, quoted

log = logging.getLogger("psage.http")

Pool = httpx.Client
"""The connections both services share."""

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_NO_ADDRESS = (httpx.InvalidURL, UnicodeError, OverflowError)
_PAUSE_WITHOUT_WORD_S = 60.0
DEADLINE_S = 120.0
"""A request and all of its answer take no longer, however slowly they come."""
_PAUSE_AT_MOST_S = 86_400.0
LARGEST_ANSWER = 50_000_000
"""Bytes of an answer at most, after it is unpacked."""
_EITHER_HEADER = 47
"""zlib's word for gzip or deflate, whichever it is."""
_DEEPEST = 50
"""So many levels of JSON at most; a documented answer has seven."""
_LONGEST_WORDS = 1000
_SECRET_LENGTH = 12
"""Shorter values are ids and words, which an error may quote."""


_NO_PATH = re.compile(r"(?i)[\s#\\\x00-\x20\x7f-\x9f\ud800-\udfff]|/$|/(\.|%2e){1,2}(/|$)|.{2000}")
"""What an id that is none would make of an address: a list, another place, or no address at all."""


ODD = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)
"""What goes wrong where JSON is not of the documented shape."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def understood(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make a read raise ServiceUnavailable where the answer is not of the documented shape."""

    @functools.wraps(read)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except ODD as error:
            raise ServiceUnavailable(
                f"an answer of {getattr(args[0], 'service', 'the service')} is not what its "
                f"documentation says ({type(error).__name__}: {quoted(str(error), 200)})",
                hint="try again; if it stays so, report it to psage",
            ) from error

    return checked


def reasons(document: Any) -> Iterator[Mapping[str, Any]]:
    """The objects that say why something was refused: in an array, alone, or under `errors`.

    What a plain text says, or a map of fields of each, is told as a `message` with its `source`.
    """
    if isinstance(document, str):
        yield {"message": document}
    elif isinstance(document, list):
        for one in document:
            yield from reasons(one)
    elif isinstance(document, dict):
        yield document
        inner = document.get("errors", document.get("error"))
        if isinstance(inner, dict) and all(isinstance(said, list) for said in inner.values()):
            inner = [{"message": one, "source": key} for key, said in inner.items() for one in said]
        if "errors" in document or isinstance(inner, (dict, list)):
            yield from reasons(inner)


class Credentials(Protocol):
    """What proves to a service who is asking."""

    def headers(self) -> Mapping[str, str]:
        """Headers of the next request; may renew an expired token first."""

    def renew(self) -> bool:
        """Replace a token the service has just refused; False where there is nothing to renew."""


class NoCredentials:
    """For addresses that must not learn who is asking."""

    def headers(self) -> Mapping[str, str]:
        """Nothing at all."""
        return {}

    def renew(self) -> bool:
        """Nothing to renew."""
        return False


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer with a status below 400."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    document: Any = None
    """The parsed JSON, numbers with a point as `Decimal`; None unless JSON was asked for."""


@dataclass(frozen=True, slots=True)
class Write:
    """A request that may change something, before it is sent."""

    service: str
    method: str
    path: str
    body: Any


OnWrite = Callable[[Write], Callable[[Reply | BaseException, str], None]]
"""Told of each write before it is sent; what it returns is told what came of it.

That is the reply or what is raised, and the id the service gave the request, or empty.
"""


def tell_nobody(_write: Write) -> Callable[[Reply | BaseException, str], None]:
    """For writes that nobody keeps a record of."""
    return lambda _outcome, _request_id: None


OnPage = Callable[[int, int | None], None]
"""Told after each page of a long list how many rows there are so far, and of how many if known."""


def quietly(_rows: int, _of: int | None) -> None:
    """For lists nobody waits for."""


def never_lapsed(_words: str, _body: str) -> PsageError | None:
    """For services whose 401 always means that somebody has to sign in."""
    return None


def connect_pool() -> Pool:
    """Open the connection pool both services share: its TLS context is the expensive part.

    Raises ConfigInvalid where the environment names certificates or a proxy that cannot be used.
    """
    try:
        return httpx.Client(
            timeout=httpx.Timeout(30.0, connect=10.0),
            follow_redirects=False,
            # What psage unpacks itself, within its limit.
            headers={"Accept-Encoding": "gzip, deflate"},
            # A proxy in the environment is for the outside, never for the sandbox or a test.
            mounts={"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None},
        )
    except OSError as error:
        raise _unusable("the certificates", "SSL_CERT_FILE", "SSL_CERT_DIR") from error
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise _unusable("the proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") from error


def _unusable(what: str, *names: str) -> ConfigInvalid:
    """Names the variables, never their values: a proxy's may hold a password."""
    named = " or ".join(one for one in os.environ if one.upper() in names) or "the system's setting"
    return ConfigInvalid(
        f"{what} that {named} names cannot be used",
        hint=f"correct {named}, or unset it, and run the command again",
    )


def _unusable_address(address: str, error: Exception) -> ConfigInvalid:
    return ConfigInvalid(
        f"the address `{quoted(address, 80)}` cannot be used: {quoted(str(error), 80)}",
        hint="correct it in the settings or in the environment",
    )


def answer_of(pool: Pool, origin: str) -> Mapping[str, str]:
    """The headers of whatever answers at `https://host`; no credentials are sent.

    Raises NetworkDown in the words of the network or of TLS.
    """

    def headers() -> Mapping[str, str]:
        with pool.stream("GET", f"{origin}/", timeout=10) as answer:
            return answer.headers

    try:
        return _within(DEADLINE_S, headers)
    except httpx.RequestError as error:
        hint = "check the network connection, and the proxy if there is one"
        if isinstance(_root(error), ssl.SSLError):
            hint = (
                "something between this machine and the service answers in its place: ask whoever "
                "runs the network, and name its certificates in SSL_CERT_FILE"
            )
        message = f"`{urlsplit(origin).netloc}` cannot be reached: {_why(error)}"
        raise NetworkDown(message, hint=hint) from error
    except _NO_ADDRESS as error:
        raise _unusable_address(origin, error) from error


class Http:
    """One service at one address, with its credentials, pace and way of saying no."""

    def __init__(  # noqa: PLR0913 -- what a test has in its hands as well
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
        on_write: OnWrite = tell_nobody,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`lapsed` gives the error of a 401, of its words and body, that no sign-in mends."""
        self.base_url = base_url.rstrip("/")
        self.service = refused.service
        self._pool = pool
        self._refused = refused
        self._explain = explain
        self._lapsed = lapsed
        self._has_lapsed = False
        self._credentials = credentials or NoCredentials()
        self._limiter = limiter or Limiter(())
        self._media_type = media_type
        self._read_only = read_only
        self._on_write = on_write
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._secrets: list[str] = []
        self._request_id = ""
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        """The service's time, by its last answer; this machine's before the first."""
        return datetime.now(UTC) + self._ahead

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
        try:
            return self._send("GET", path, tries=tries, params=params, accept=accept)
        except ODD as defect:
            # Or the caller would take it for an answer of an odd shape.
            raise RuntimeError(f"{self.service} could not be asked: {defect!r}") from defect

    def write(self, method: str, path: str, body: Any) -> Reply:
        """Send a JSON body once; `body` None sends none.

        Raises ServiceRefused for a definite no, OutcomeUnknown where the service may have done it.
        """
        headers = {} if body is None else {"Content-Type": self._media_type}
        try:
            content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise self._unsendable(path, error) from error
        self._request_id = ""
        tell = self._on_write(Write(self.service, method, path, body))
        try:
            reply = self._send(method, path, headers=headers, content=content)
        except BaseException as error:
            tell(error, self._request_id)
            raise
        tell(reply, self._request_id)
        return reply

    def post_form(
        self,
        path: str,
        fields: Mapping[str, str],
        file: tuple[str, bytes, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a form; `file` is (name, bytes, media type) and makes it a multipart form."""
        return self._send(
            "POST",
            path,
            headers=headers or {},
            form=dict(fields),
            file=file,
            accept="*/*" if file else "",
        )

    def _send(self, method: str, path: str, *, tries: int = MAX_ATTEMPTS, **request: Any) -> Reply:
        """Try until there is an answer, as often as the kind of request allows."""
        if self._read_only and method != "GET":
            raise ReadOnlyRun(f"a dry run tried to send {method} {path}")
        attempt, waited_s, renewed, began = 0, 0.0, False, self._clock()
        while True:
            attempt += 1
            try:
                return self._once(method, path, **request)
            except _Unauthorised as refusal:
                # Once it is known that a fresh token is refused as well, another is not asked for.
                if renewed or self._has_lapsed or not self._credentials.renew():
                    self._has_lapsed = not isinstance(refusal.final, SignInExpired)
                    raise refusal.final from None
                renewed = True
            except _TryAgain as failure:
                if attempt >= tries and isinstance(failure.final, ServiceUnavailable):
                    raise failure.final from None
                # A pause that was asked for counts without the time the answers took, or a whole
                # minute would never fit.
                if failure.after_s is None:
                    wait_s, spent_s = backoff_s(attempt, self._jitter), self._clock() - began
                else:
                    wait_s, spent_s = failure.after_s, waited_s
                waited_s += wait_s
                if not is_affordable(attempt=attempt, spent_s=spent_s, wait_s=wait_s):
                    raise failure.final from None
                log.info("%s: %s; again in %.1f s", self.service, failure, wait_s)
                self._sleep(wait_s)

    def _once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: str = "",
        content: bytes | None = None,
        form: dict[str, str] | None = None,
        file: tuple[str, bytes, str] | None = None,
    ) -> Reply:
        what = f"{method} {path or urlsplit(self.base_url).path}"
        writes = method != "GET"
        wants_json = not accept
        self._pace()
        own = self._credentials.headers()
        self._secrets = [*own.values(), *(form or {}).values(), *(params or {}).values()]
        self._request_id = ""
        address = self._address(path)
        given = {"Accept": accept or self._media_type, **own, **(headers or {})}
        files = {"file": file} if file else None

        def exchange() -> _Answer:
            with self._pool.stream(
                method,
                address,
                params=params,
                headers=given,
                content=content,
                data=form,
                files=files,
            ) as answer:
                return _Answer.of(answer)

        try:
            answer = _within(DEADLINE_S, exchange)
        except httpx.RequestError as error:
            raise self._lost(what, error, writes=writes) from error
        except _NO_ADDRESS as error:
            raise self._unsendable(path, error) from error
        self._ahead = _ahead(answer.headers.get("date", ""), self._ahead)
        failure = self._judge(what, answer, writes=writes, wants_json=wants_json)
        if failure is not None:
            raise failure
        document = answer.document if wants_json and answer.status != 204 else None
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
            return _unusable_address(self.base_url, error)
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
        while (wait_s := self._limiter.wait_s(self._clock())) > 0:
            self._sleep(wait_s)
        self._limiter.record(self._clock())

    def _judge(
        self, what: str, answer: "_Answer", *, writes: bool, wants_json: bool
    ) -> Exception | None:
        """None for a usable answer, else what is wrong with it."""
        status = answer.status
        self._request_id = _request_id(answer) or ""
        log.info("%s %s: %s %s", self.service, what, status, self._request_id)
        if status < 300:
            if not wants_json or status == 204 or answer.document is not _NOT_JSON:
                return None
            how = f"answered {status} but not with JSON"
            return self._useless(what, how, writes=writes, status=status)
        if status < 400 and not writes:
            return ServiceUnavailable(
                f"{self.service} answered {what} with a redirect ({status}), which psage does not "
                "follow: its sign-in is for the configured host alone",
                hint="check the configured addresses",
            )
        if status == 404 and not self._words(answer)[0]:
            # A gateway on the way has pages of its own; what is gone, the service says itself.
            return self._useless(what, "answered 404, but not in its own words", writes=writes)
        if 400 <= status < 500 and status != 408:
            return self._refusal(what, answer)
        how = f"answered {status} {self._words(answer)[0]}".rstrip()
        return self._useless(what, how, writes=writes, status=status)

    def _refusal(self, what: str, answer: "_Answer") -> Exception:
        """An answer that says nothing was done: wait, sign in again, or no."""
        status = answer.status
        words, fields = self._words(answer)
        if status == 429:
            wait_s = _pause_s(answer)
            message = f"{self.service} asks for a pause of {wait_s:.0f} s (429, {what})"
            hint = "nothing was lost; run the command again later"
            return _TryAgain(RateLimited(message, hint=hint), wait_s)
        if status == 409 and self.service == "Sage":
            # Another machine's POST is under way there, and Sage takes one at a time.
            busy = f"Sage is busy with another request of the same kind ({what}: {words or status})"
            hint = "nothing was sent twice; run the command again in a few minutes"
            return _TryAgain(ServiceUnavailable(busy, hint=hint, details={"status": status}))
        if status == 401:
            words = words or "401 Unauthorized"
            lapsed = self._lapsed(words, answer.body.decode(errors="replace"))
            return _Unauthorised(lapsed or SignInExpired(self.service, words))
        return self._refused.of(status)(
            what,
            words or answer.reason,
            status=status,
            fields=fields,
            request_id=_request_id(answer),
            headers=answer.headers,
        )

    def _useless(self, what: str, how: str, *, writes: bool, status: int = 0) -> Exception:
        """An answer that says nothing about whether the work was done; status 0 is no answer."""
        if writes:
            return OutcomeUnknown(
                f"{self.service} {how} to {what}: it may have been done or not",
                details={"status": status},
            )
        return _TryAgain(
            ServiceUnavailable(
                f"{self.service} {how} ({what})",
                hint="try again in a few minutes",
                details={"status": status},
            )
        )

    def _lost(self, what: str, error: httpx.RequestError, *, writes: bool) -> Exception:
        """What a broken connection means."""
        why = _why(error)
        log.info("%s %s: %s", self.service, what, why)
        if isinstance(error, _NOTHING_SENT):
            down = NetworkDown(
                f"{self.service} cannot be reached: {why}",
                hint="check the network connection; nothing was sent",
            )
            # A certificate that cannot be trusted will not be better in a second.
            return down if isinstance(_root(error), ssl.SSLError) else _TryAgain(down)
        return self._useless(what, f"broke off ({why}) in reply", writes=writes)

    def _words(self, answer: "_Answer") -> tuple[str, tuple[str, ...]]:
        """The service's own words and the fields it names, less any secret in them."""
        document = answer.document
        try:
            words, fields = ("", ()) if document is _NOT_JSON else self._explain(document)
        except ODD:
            return "", ()  # a refusal stays one, however oddly it is worded
        own = {part for value in self._secrets for part in value.split()}
        own = {part for part in own if len(part) >= _SECRET_LENGTH}
        said = [quoted(redacted(one, own), _LONGEST_WORDS) for one in (words, *fields)]
        return said[0], tuple(said[1:])


class _TryAgain(Exception):
    """Worth another try; `final` is raised when there is none left."""

    def __init__(self, final: PsageError, after_s: float | None = None) -> None:
        super().__init__(final.message)
        self.final = final
        self.after_s = after_s


class _Unauthorised(Exception):
    """401: renew once."""

    def __init__(self, final: PsageError) -> None:
        super().__init__(final.message)
        self.final = final


def _ahead(date: str, otherwise: timedelta) -> timedelta:
    """How far a service's clock is ahead of this one, by the `Date` of its answer."""
    try:
        return parsedate_to_datetime(date) - datetime.now(UTC)
    except (TypeError, ValueError):  # none, or one without a time zone
        return otherwise


_NOT_JSON = object()


@dataclass(frozen=True, slots=True)
class _Answer:
    """All of an answer, unpacked and parsed once."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    document: Any
    """The parsed JSON with its texts cleaned, or `_NOT_JSON`."""

    @classmethod
    def of(cls, answer: httpx.Response) -> "_Answer":
        """Read to the end, as far as an answer may go."""
        body = b"".join(_unpacked(answer))
        reason = clean(answer.reason_phrase)
        return cls(answer.status_code, reason, answer.headers, body, _json(body))


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


def _within(deadline_s: float, exchange: Callable[[], _T]) -> _T:
    """What it gives, or what is raised; ReadTimeout where all of it takes longer than the deadline.

    A thread of its own, since the time limits of a connection are for each piece: a byte now and
    then would keep it waiting for ever.
    """
    ends: queue.SimpleQueue[Callable[[], _T]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answer = exchange()
        except BaseException as error:  # noqa: BLE001 -- raised by whoever waits
            ends.put(functools.partial(_raise, error))
        else:
            ends.put(lambda: answer)

    threading.Thread(target=run, daemon=True).start()
    try:
        end = ends.get(timeout=deadline_s)
    except queue.Empty:
        raise httpx.ReadTimeout(f"no whole answer in {deadline_s:.0f} s") from None
    return end()


def _raise(error: BaseException) -> NoReturn:
    raise error


def _json(body: bytes) -> Any:
    try:
        document = json.loads(body, parse_float=Decimal, parse_constant=_no_number)
        return _cleaned(document, _DEEPEST)
    except (ValueError, ArithmeticError, RecursionError):
        return _NOT_JSON


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


def _request_id(answer: _Answer) -> str | None:
    """Sage spells the header in two ways."""
    headers = answer.headers
    found = headers.get("x-request-id") or headers.get("x_request_id")
    return quoted(found) if found else None


def _pause_s(answer: _Answer) -> float:
    """How long a 429 asks to wait: Sage's `Retry-After`, Productive's `X-RateLimit-Reset`."""
    for name in ("retry-after", "x-ratelimit-reset"):
        word = answer.headers.get(name, "")
        if word.isascii() and word.isdigit():
            return min(float(word), _PAUSE_AT_MOST_S)
    return _PAUSE_WITHOUT_WORD_S


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _why(error: httpx.RequestError) -> str:
    """The operating system's or TLS's own words, else httpx's."""
    if isinstance(error, httpx.LocalProtocolError):
        return "the request could not be put together"  # its own words quote the headers
    root = _root(error)
    if isinstance(root, OSError) and not isinstance(root, ssl.SSLError) and root.strerror:
        return root.strerror  # without its number
    return str(root) or str(error) or type(error).__name__
