"""The connections both services share, and what goes wrong with them before any answer."""

import functools
import os
import queue
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

import httpx

from productive_sage import lanes
from productive_sage.errors import ConfigInvalid, NetworkDown
from productive_sage.http.timing import Timing
from productive_sage.text import quoted

NO_ADDRESS = (httpx.InvalidURL, UnicodeError, OverflowError)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Pool:
    """The connections both services share, and how time goes for what is sent over them."""

    client: httpx.Client
    timing: Timing


@contextmanager
def connect_pool(timing: Timing) -> Iterator[Pool]:
    """Open the connections both services share: their TLS context is the expensive part.

    Raises ConfigInvalid where the environment names certificates or a proxy that cannot be used.
    """
    try:
        client = httpx.Client(
            timeout=httpx.Timeout(timing.answer_s, connect=min(timing.answer_s, 10.0)),
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
    with client:
        yield Pool(client, timing)


def _unusable(what: str, *names: str) -> ConfigInvalid:
    """Names the variables, never their values: a proxy's may hold a password."""
    named = " or ".join(one for one in os.environ if one.upper() in names) or "the system's setting"
    return ConfigInvalid(
        f"{what} that {named} names cannot be used",
        hint=f"correct {named}, or unset it, and run the command again",
    )


def unusable_address(address: str, error: Exception) -> ConfigInvalid:
    """An address of the settings or the environment that nothing can be sent to."""
    return ConfigInvalid(
        f"the address `{quoted(address, 80)}` cannot be used: {quoted(str(error), 80)}",
        hint="correct it in the settings or in the environment",
    )


def answer_of(pool: Pool, origin: str) -> Mapping[str, str]:
    """The headers of whatever answers at `https://host`; no credentials are sent.

    Raises NetworkDown in the words of the network or of TLS.
    """

    def headers() -> Mapping[str, str]:
        with pool.client.stream("GET", f"{origin}/", timeout=10) as answer:
            return answer.headers

    try:
        return within(pool.timing.deadline_s, headers)
    except httpx.RequestError as error:
        hint = "check the network connection, and the proxy if there is one"
        if isinstance(root(error), ssl.SSLError):
            hint = (
                "something between this machine and the service answers in its place: ask whoever "
                "runs the network, and name its certificates in SSL_CERT_FILE"
            )
        message = f"`{urlsplit(origin).netloc}` cannot be reached: {why(error)}"
        raise NetworkDown(message, hint=hint) from error
    except NO_ADDRESS as error:
        raise unusable_address(origin, error) from error


def within(deadline_s: float, exchange: Callable[[], _T]) -> _T:
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
        with lanes.waiting():
            end = ends.get(timeout=deadline_s)
    except queue.Empty:
        raise httpx.ReadTimeout(f"no whole answer in {deadline_s:.0f} s") from None
    return end()


def _raise(error: BaseException) -> NoReturn:
    raise error


def root(error: BaseException) -> BaseException:
    """The error that all others of a chain come from."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def why(error: httpx.RequestError) -> str:
    """The operating system's or TLS's own words, else httpx's."""
    if isinstance(error, httpx.LocalProtocolError):
        return "the request could not be put together"  # its own words quote the headers
    first = root(error)
    if isinstance(first, OSError) and not isinstance(first, ssl.SSLError) and first.strerror:
        return first.strerror  # without its number
    return str(first) or str(error) or type(error).__name__
