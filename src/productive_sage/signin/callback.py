"""The browser's way back from Sage: a listener on this machine for one answer, and its page.

After RFC 8252: bound to 127.0.0.1, open only while somebody signs in, and led on to nowhere. The
page loads nothing and runs nothing.
"""

import base64
import errno
import hashlib
import html
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Generic, TypeVar

from productive_sage.errors import PsageError, SignInFailed
from productive_sage.redaction import redacted
from productive_sage.signin import oauth

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Page:
    status: int
    title: str
    text: str
    mark: str = "no"
    """`yes` or `no`: the sign above the title."""
    is_last: bool = False
    """Whether it answers the one valid request."""


class Listener(ThreadingTCPServer, Generic[_T]):
    """Waits for the browser to come back, once."""

    # Threads, since a browser's spare connection must not hold up the real one.
    daemon_threads = True
    # On Windows this would let another program share the port, and read the code.
    allow_reuse_address = sys.platform != "win32"
    timeout = 0.1

    def __init__(self, port: int) -> None:
        """Raises SignInFailed where the port cannot be had."""
        self._attempt: tuple[oauth.Request, Callable[[str], _T]] | None = None
        self._claim = threading.Lock()
        self.answered = threading.Event()
        """Set when the last page is sent."""
        self._results: list[_T] = []
        self._error: BaseException | None = None
        self._strangers = 0
        try:
            super().__init__(("127.0.0.1", port), _Visit)
        except (OSError, OverflowError) as error:
            raise _no_port(port, error) from None

    def server_bind(self) -> None:
        """Take the port, for this process alone."""
        if sys.platform == "win32":  # nor may one that was there before share it
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        super().server_bind()

    def wait(self, request: oauth.Request, redeem: Callable[[str], _T], timeout_s: float) -> _T:
        """What `redeem` makes of the code; the page tells the person how that went.

        Anything but the answer to `request` is turned away. Raises SignInFailed on refusal or
        after `timeout_s`, and what `redeem` raises.
        """
        self._attempt = request, redeem
        ends_at = time.monotonic() + timeout_s
        while not self.answered.is_set():
            if time.monotonic() > ends_at and not self._claim.locked():
                raise _nobody_came(request, timeout_s, self._strangers)
            self.handle_request()
        if self._error is not None:
            raise self._error
        return self._results[0]

    def visited(self, address: str) -> _Page:
        """What to show for an address; called in the thread of its visitor."""
        if self._attempt is None or address.partition("?")[0] != "/callback":
            return _Page(404, "Nothing here", "This address only receives Sage's answer.")
        request, redeem = self._attempt
        if not oauth.is_answer(address, request):
            self._strangers += 1
            return _Page(
                400,
                "Not this sign-in",
                "This answer belongs to another sign-in than the one psage waits for. Go on in "
                "the window that psage opened last.",
            )
        # Never released: the first answer is the only one.
        if not self._claim.acquire(blocking=False):
            return _Page(
                409,
                "Answered already",
                "psage has had the answer of this sign-in, and takes no second one.",
            )
        # A code is good for one use, so nothing can be done with the address in the browser's
        # history once the page shows.
        title, text, mark = "Not signed in", "psage met something it does not expect.", "no"
        try:
            self._results.append(redeem(oauth.code_from(address, request)))
        except PsageError as error:
            self._error = error
            text = redacted(f"{error.message[:1].upper()}{error.message[1:]}.")
        except BaseException as error:  # noqa: BLE001 -- raised in the thread that waits
            self._error = error
        else:
            title, mark = "Signed in to Sage", "yes"
            text = "psage has what it needs, and goes on in the terminal."
        return _Page(200, title, text, mark, is_last=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that hangs up is no news."""


def _no_port(port: int, error: OSError | OverflowError) -> SignInFailed:
    other = port + 1 if 1024 <= port < 65535 else 8765
    hint = f"choose another with `--port {other}`, and register `{oauth.redirect_uri(other)}`"
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        return SignInFailed(f"port {port} is in use by another program", hint=f"{hint} with Sage")
    why = getattr(error, "strerror", None) or error
    return SignInFailed(f"port {port} cannot be listened on: {why}", hint=f"{hint} with Sage")


def _nobody_came(request: oauth.Request, timeout_s: float, strangers: int) -> SignInFailed:
    more = f"; answers of other sign-ins were turned away: {strangers}" if strangers else ""
    return SignInFailed(
        f"nobody signed in within {timeout_s:.0f} s{more}",
        hint="run `psage connect sage` again; where Sage's page shows an error, check the client "
        f"id, and that `{request.redirect_uri}` is registered with Sage letter by letter; where "
        "the browser is on another machine, use `psage connect sage --paste`",
    )


class _Visit(BaseHTTPRequestHandler):
    server: Listener[Any]
    timeout = 5
    server_version = "psage"
    sys_version = ""

    def do_GET(self) -> None:
        page = self.server.visited(self.path)
        try:
            self._send(page)
        finally:
            if page.is_last:
                self.server.answered.set()

    def _send(self, page: _Page) -> None:
        body = _written(page)
        self.send_response(page.status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the library's name
        """Say nothing: the request line holds the code."""


# --- the page

_STYLE = """
:root { color-scheme: light dark; --ground: #eef2f0; --card: #fff; --edge: #dbe3de;
  --ink: #14211b; --soft: #55645c; --yes: #0a7a43; --no: #b3341f }
@media (prefers-color-scheme: dark) { :root { --ground: #0f1613; --card: #18221d;
  --edge: #2b3932; --ink: #e8efeb; --soft: #a3b3aa; --yes: #4cc88a; --no: #ff8f7a } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; padding: 1.5rem; display: grid; place-items: center;
  background: var(--ground); color: var(--ink);
  font: 1.0625rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
main { width: 100%; max-width: 29rem; padding: 2.25rem 2.25rem 1.5rem; border-radius: 1rem;
  background: var(--card); border: 1px solid var(--edge); box-shadow: 0 .5rem 2rem #0000001a }
svg { display: block; width: 2.75rem; height: 2.75rem; fill: none; stroke: currentColor;
  stroke-width: 2; stroke-linecap: round; stroke-linejoin: round }
.yes { color: var(--yes) } .no { color: var(--no) }
h1 { margin: 1rem 0 .5rem; font-size: 1.5rem; line-height: 1.25; letter-spacing: -.01em }
p { margin: 0 0 .75rem; overflow-wrap: anywhere }
.close { color: var(--soft) }
footer { margin-top: 1.5rem; padding-top: 1rem; border-top: 1px solid var(--edge);
  color: var(--soft); font-size: .875rem }
"""
_POLICY = (
    "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; style-src 'sha256-"
    f"{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
_MARKS = {
    "yes": '<circle cx="12" cy="12" r="10"/><path d="M7.5 12.5l3 3 6-6.5"/>',
    "no": '<circle cx="12" cy="12" r="10"/><path d="M12 7v6M12 16.5v.01"/>',
}


def _written(page: _Page) -> bytes:
    title, text = html.escape(page.title), html.escape(page.text)
    more = "" if page.mark == "yes" else "What to do next is said in the terminal. "
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>psage: {title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><style>{_STYLE}</style></head>
<body><main>
<svg class="{page.mark}" viewBox="0 0 24 24" aria-hidden="true">{_MARKS[page.mark]}</svg>
<h1>{title}</h1><p>{text}</p><p class="close">{more}You can close this window.</p>
<footer>psage, on this computer</footer></main></body></html>
""".encode()
