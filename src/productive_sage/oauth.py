"""Sage's sign-in: authorisation code with a loopback redirect, and tokens that rotate.

The refresh token is good for one use: it is renewed under a lock that all processes of the profile
share, and the new one is stored before anything uses it.
"""

import base64
import hashlib
import hmac
import html
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import filelock

from productive_sage.errors import (
    Locked,
    OutcomeUnknown,
    RefusedBySage,
    ServiceUnavailable,
    SignInExpired,
    SignInFailed,
)
from productive_sage.http import Http
from productive_sage.vault import SageSignIn, Vault

_EARLY_S = 20
"""A token this close to its end is renewed before use."""
_LOCK_S = 60


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt to sign in: what the browser is sent with and what must come back."""

    url: str
    redirect_uri: str
    state: str
    verifier: str


def begin(authorize_url: str, client_id: str, port: int) -> Request:
    """Make the address a person opens to sign in to Sage, with a fresh state and PKCE verifier."""
    redirect_uri = f"http://127.0.0.1:{port}/callback"
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    query = urlencode(
        {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "scope": "full_access",
            "state": state,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
    )
    joint = "&" if "?" in authorize_url else "?"
    return Request(f"{authorize_url}{joint}{query}", redirect_uri, state, verifier)


def code_from(address: str, request: Request) -> str:
    """Take the authorisation code out of the address Sage sent the browser to.

    Raises SignInFailed where the person refused, or the address belongs to another attempt.
    """
    answer = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    if not hmac.compare_digest(answer.get("state", "").encode(), request.state.encode()):
        raise SignInFailed(
            "that address does not belong to this sign-in",
            hint="use the address of the page that opened last, or run `psage connect sage` again",
        )
    if "error" in answer:
        said = answer.get("error_description") or answer["error"]
        raise SignInFailed(
            f"Sage did not sign in: {said}",
            hint="run `psage connect sage` again and choose Allow",
        )
    if not answer.get("code"):
        raise SignInFailed("Sage sent no code", hint="run `psage connect sage` again")
    return answer["code"]


class Listener:
    """Waits on 127.0.0.1 for the browser to come back, once."""

    def __init__(self, port: int) -> None:
        """Raises SignInFailed where the port is in use."""
        try:
            # Threads, since a browser's spare connection must not hold up the real one.
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _Callback)
        except (OSError, OverflowError) as error:
            raise SignInFailed(
                f"port {port} cannot be listened on: {getattr(error, 'strerror', None) or error}",
                hint="choose another with `--port N`, and register its redirect address with Sage",
            ) from None

    def wait(self, request: Request, timeout_s: float) -> str:
        """Return the code; anything that is not this sign-in's answer is turned away.

        Raises SignInFailed on refusal or after `timeout_s`.
        """
        ends_at = time.monotonic() + timeout_s
        outcome: list[str | SignInFailed] = []
        self._server.timeout = 0.1
        self._server.psage = (request, outcome)  # type: ignore[attr-defined]  # for the handler
        with self._server:
            while not outcome:
                if time.monotonic() > ends_at:
                    raise SignInFailed(
                        f"nobody signed in within {timeout_s:.0f} s",
                        hint="run `psage connect sage` again",
                    )
                self._server.handle_request()
        if isinstance(outcome[0], SignInFailed):
            raise outcome[0]
        return outcome[0]


class _Callback(BaseHTTPRequestHandler):
    timeout = 5

    def do_GET(self) -> None:
        request, outcome = self.server.psage  # type: ignore[attr-defined]  # set in wait()
        if urlsplit(self.path).path != "/callback":
            self._page(404, "Nothing here", "This address only receives the answer of Sage.")
            return
        try:
            code = code_from(self.path, request)
        except SignInFailed as error:
            if "error=" not in self.path or "does not belong" in error.message:
                self._page(400, "This is not the sign-in psage waits for", error.message)
                return
            outcome.append(error)
            self._page(200, "Not connected", f"{error.message}. You can close this window.")
            return
        outcome.append(code)
        self._page(
            200,
            "Sage has answered",
            "Go back to the terminal: psage finishes there. You can close this window.",
        )

    def _page(self, status: int, title: str, text: str) -> None:
        body = _PAGE.format(title=html.escape(title), text=html.escape(text)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the library's name
        """Say nothing: the request line holds the code."""


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>psage: {title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1.1rem/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh;
  display: grid; place-items: center;
  background: light-dark(#f4f6f5, #14201a); color: light-dark(#17231d, #e7efe9) }}
main {{ max-width: 30rem; margin: 1rem; padding: 2rem 2.5rem; border-radius: .75rem;
  background: light-dark(#fff, #1e2d25); box-shadow: 0 1px 4px #0003 }}
h1 {{ font-size: 1.4rem; margin: 0 0 .5rem }} p {{ margin: 0 }}
</style></head><body><main><h1>{title}</h1><p>{text}</p></main></body></html>
"""


def exchange(
    http: Http, request: Request, code: str, *, client_id: str, client_secret: str, now: float
) -> SageSignIn:
    """Turn the code into tokens; it lives about a minute, so at once.

    Raises SignInFailed with Sage's words where it is refused.
    """
    try:
        reply = http.post_form(
            "",
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": request.redirect_uri,
                "client_id": client_id,
                "client_secret": client_secret,
                "code_verifier": request.verifier,
            },
        )
    except (RefusedBySage, OutcomeUnknown, SignInExpired) as error:
        raise SignInFailed(
            f"Sage did not accept the sign-in: {error.message}",
            hint="check client id and secret, and that the redirect address is registered with "
            "Sage letter by letter; then run `psage connect sage` again",
        ) from None
    blank = SageSignIn(client_id, client_secret, "", 0, "", 0)
    return _with_tokens(blank, reply.document, now)


def _with_tokens(sign_in: SageSignIn, answer: Any, now: float) -> SageSignIn:
    """Trust the life times in the reply."""
    try:
        return replace(
            sign_in,
            access_token=_token(answer["access_token"]),
            access_until=now + int(answer["expires_in"]),
            refresh_token=_token(answer["refresh_token"]),
            refresh_until=now + int(answer.get("refresh_token_expires_in", 31 * 86400)),
        )
    except (KeyError, TypeError, ValueError):
        raise SignInFailed(
            "Sage's answer holds no tokens", hint="run `psage connect sage` again"
        ) from None


def _token(value: Any) -> str:
    """A token that can travel in a header."""
    if not (isinstance(value, str) and value.isascii() and value.isprintable()):
        raise ValueError
    return value


def store(vault: Vault, sign_in: SageSignIn, lock: Path) -> None:
    """Store a new sign-in, not while another process is renewing the old one."""
    with _locked(lock):
        vault.save(sign_in)


@contextmanager
def _locked(lock: Path) -> Iterator[None]:
    try:
        with filelock.FileLock(lock, timeout=_LOCK_S, mode=0o600):
            yield
    except filelock.Timeout:
        raise Locked(
            "another psage process has been renewing the Sage sign-in for a minute",
            hint="run the command again",
        ) from None


class SageTokens:
    """The credentials of every Sage call: a fresh access token and the business it is for."""

    def __init__(
        self,
        vault: Vault,
        http: Http,
        lock: Path,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._vault = vault
        self._http = http
        self._lock = lock
        self._clock = clock
        self.sign_in = vault.sage()

    def headers(self) -> dict[str, str]:
        """A token with some life left, renewed before if need be."""
        if self.sign_in.access_until - _EARLY_S <= self._clock():
            self._refresh()
        return {
            "Authorization": f"Bearer {self.sign_in.access_token}",
            "X-Business": self.sign_in.business_id,
        }

    def renew(self) -> bool:
        """Sage refused the token although its time is not up."""
        self._refresh()
        return True

    def _refresh(self) -> None:
        """Renew once, whichever of the waiting processes comes first."""
        refused = self.sign_in.access_token
        with _locked(self._lock):
            self.sign_in = self._vault.sage()
            if (
                self.sign_in.access_token != refused
                and self.sign_in.access_until - _EARLY_S > self._clock()
            ):
                return
            renewed = self._renewed(self.sign_in)
            self._vault.save(renewed)
            self.sign_in = renewed

    def _renewed(self, sign_in: SageSignIn) -> SageSignIn:
        now = self._clock()
        if sign_in.refresh_until <= now:
            raise SignInExpired("Sage", "it was last used more than a month ago")
        try:
            reply = self._http.post_form(
                "",
                {
                    "grant_type": "refresh_token",
                    "refresh_token": sign_in.refresh_token,
                    "client_id": sign_in.client_id,
                    "client_secret": sign_in.client_secret,
                },
            )
        except RefusedBySage as error:
            raise SignInExpired("Sage", error.message) from None
        except OutcomeUnknown as error:
            if error.details.get("status"):
                raise ServiceUnavailable(
                    f"Sage could not renew the sign-in: {error.message}",
                    hint="try again in a few minutes",
                ) from None
            # The old token may be used up and the new one lost: only Sage knows.
            raise SignInExpired("Sage", "the answer to its renewal was lost") from None
        try:
            return _with_tokens(sign_in, reply.document, now)
        except SignInFailed as error:
            raise SignInExpired("Sage", error.message) from None
