"""Sage's sign-in: consent page, authorisation codes, rotating refresh tokens."""

from __future__ import annotations

import base64
import hashlib
import html
import secrets
import threading
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode, urlsplit

from .server import Clock, Record, Reply, Request, Switches

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-client-secret-7Q"  # noqa: S105 - the imitation's own, known to all
CODE_LIFETIME_S = 60
REFRESH_LIFETIME_S = 2_678_400
_SCOPES = frozenset({"full_access", "readonly"})
_FORM = "application/x-www-form-urlencoded"
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Sage sandbox: allow access</title>
<style>body{{font:18px sans-serif;max-width:34em;margin:4em auto;padding:0 1em}}
a{{display:inline-block;margin-right:1em;padding:.6em 1.4em;border:1px solid #00713a;
color:#00713a;text-decoration:none}}a.allow{{background:#00713a;color:#fff}}</style></head>
<body><h1>Allow access to your accounts?</h1>
<p>The application <b>{client}</b> asks for <b>{scope}</b> to the books of Harbour &amp; Pine.</p>
<p><a class="allow" id="allow" href="{allow}">Allow</a>
<a id="refuse" href="{refuse}">Refuse</a>
<a id="fail" href="{fail}">Fail</a></p>
<p>This is the sandbox: nothing here reaches Sage.</p></body></html>
"""


def _digest(token: str) -> str:
    # The saved state holds no usable token, only what recognises one.
    return hashlib.sha256(token.encode()).hexdigest()


class SignIn:
    """Grants and tokens of the one registered client."""

    def __init__(self, switches: Switches, clock: Clock) -> None:
        self._switches = switches
        self._clock = clock
        self._lock = threading.Lock()
        self.data: Record = {}
        self.clear()

    def clear(self) -> None:
        """Forget every grant."""
        self.data = {"codes": {}, "access": {}, "refresh": {}}

    def scope_of(self, bearer: str) -> str | None:
        """Give the scope of a living access token, else None."""
        with self._lock:
            entry = self.data["access"].get(_digest(bearer))
        if entry is None or entry["until"] <= self._now():
            return None
        return str(entry["scope"])

    def expire_access_tokens(self) -> None:
        """Make every access token stale at once."""
        with self._lock:
            self.data["access"].clear()

    def grant(self) -> Record:
        """Both tokens, as an application has them that somebody has just agreed to."""
        with self._lock:
            return self._issued("full_access", secrets.token_hex(8))

    def handle(self, request: Request) -> Reply:
        """Answer one of the three sign-in addresses."""
        routes: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", "/oauth2/auth/central"): self._authorise,
            ("POST", "/token"): self._token,
            ("POST", "/revoke"): self._revoke,
        }
        route = routes.get((request.method, request.path))
        if route is None:
            known = any(path == request.path for _, path in routes)
            return Reply.of(405 if known else 404, {"error": "invalid_request"})
        with self._lock:
            return route(request)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    # -- consent ----------------------------------------------------------------------------

    def _authorise(self, request: Request) -> Reply:
        redirect_uri = request.first("redirect_uri")
        fatal = _fatal(request, redirect_uri)
        if fatal:
            # Nobody is sent to an address that was not checked.
            return _page(400, f"<!DOCTYPE html><h1>Invalid request</h1><p>{html.escape(fatal)}</p>")
        state = request.first("state")
        refusal = _refusal(request)
        consent = request.first("consent")
        if consent == "fail":
            # The other form of a refusal: the words in `reason`, and no state.
            words = "The application is not registered for this country"
            return _redirect(redirect_uri, {"error": "Invalid request", "reason": words})
        if consent == "refuse":
            refusal = ("access_denied", "The user denied the request")
        if refusal:
            error, words = refusal
            return _redirect(
                redirect_uri, {"error": error, "error_description": words, "state": state}
            )
        if consent != "allow":
            parameters = {name: values[0] for name, values in request.query.items()}
            parameters.pop("consent", None)
            base = f"{request.path}?{urlencode(parameters)}"
            return _page(
                200,
                _PAGE.format(
                    client=html.escape(request.first("client_id")),
                    scope=html.escape(request.first("scope")),
                    allow=html.escape(f"{base}&consent=allow"),
                    refuse=html.escape(f"{base}&consent=refuse"),
                    fail=html.escape(f"{base}&consent=fail"),
                ),
            )
        code = f"GB/{secrets.token_urlsafe(48)}"
        self.data["codes"][_digest(code)] = {
            "until": self._now() + CODE_LIFETIME_S,
            "redirect_uri": redirect_uri,
            "scope": request.first("scope"),
            "challenge": request.first("code_challenge"),
        }
        return _redirect(redirect_uri, {"code": code, "country": "GB", "state": state})

    # -- tokens -----------------------------------------------------------------------------

    def _token(self, request: Request) -> Reply:
        form = _form(request)
        if isinstance(form, Reply):
            return form
        match form.get("grant_type"):
            case "authorization_code":
                return self._by_code(form)
            case "refresh_token":
                return self._by_refresh(form)
        return _error(400, "unsupported_grant_type", "Unknown grant_type")

    def _by_code(self, form: dict[str, str]) -> Reply:
        # Popped whatever comes next: a code serves one attempt.
        entry = self.data["codes"].pop(_digest(form.get("code", "")), None)
        if entry is None or entry["until"] <= self._now():
            return _error(400, "invalid_grant", "The authorization code is invalid or expired")
        if entry["redirect_uri"] != form.get("redirect_uri"):
            return _error(400, "invalid_grant", "redirect_uri differs from the authorization")
        verifier = form.get("code_verifier", "")
        if entry["challenge"]:
            hashed = hashlib.sha256(verifier.encode()).digest()
            challenge = base64.urlsafe_b64encode(hashed).decode().rstrip("=")
            if not 43 <= len(verifier) <= 128 or challenge != entry["challenge"]:
                return _error(400, "invalid_grant", "The code verifier does not match")
        elif verifier:
            return _error(400, "invalid_grant", "A code verifier without a code challenge")
        return self._issue(entry["scope"], secrets.token_hex(8))

    def _by_refresh(self, form: dict[str, str]) -> Reply:
        entry = self.data["refresh"].pop(_digest(form.get("refresh_token", "")), None)
        if entry is None or entry["until"] <= self._now():
            return _error(400, "invalid_grant", "The refresh token is invalid or expired")
        return self._issue(entry["scope"], entry["grant"])

    def _issue(self, scope: str, grant: str) -> Reply:
        reply = Reply.of(200, self._issued(scope, grant))
        reply.headers["Cache-Control"] = "no-store"
        return reply

    def _issued(self, scope: str, grant: str) -> Record:
        access, refresh = secrets.token_urlsafe(675), secrets.token_urlsafe(1125)
        lifetime_s = int(self._switches.access_token_lifetime_s)
        now = self._now()
        self.data["access"] |= {
            _digest(access): {"until": now + lifetime_s, "scope": scope, "grant": grant}
        }
        self.data["refresh"] |= {
            _digest(refresh): {"until": now + REFRESH_LIFETIME_S, "scope": scope, "grant": grant}
        }
        return {
            "access_token": access,
            "token_type": "bearer",
            "expires_in": lifetime_s,
            "refresh_token": refresh,
            "refresh_token_expires_in": REFRESH_LIFETIME_S,
            "scope": scope,
            "requested_by_id": "5f0c1a52-6f3e-4b52-9c1d-6a5f1e0b7c11",
        }

    def _revoke(self, request: Request) -> Reply:
        form = _form(request)
        if isinstance(form, Reply):
            return form
        entry = self.data["refresh"].pop(_digest(form.get("token", "")), None)
        if entry:
            self.data["access"] = {
                digest: token
                for digest, token in self.data["access"].items()
                if token["grant"] != entry["grant"]
            }
        return Reply.of(200, {"success": "ok"})


def _fatal(request: Request, redirect_uri: str) -> str:
    if request.first("client_id") != CLIENT_ID:
        return "unknown client_id"
    if request.first("filter") != "apiv3.1":
        return "filter=apiv3.1 is missing"
    address = urlsplit(redirect_uri)
    try:
        port = address.port
    except ValueError:
        port = None
    if address.scheme != "http" or address.hostname not in {"127.0.0.1", "localhost"} or not port:
        return "redirect_uri is not registered for this client"
    return "redirect_uri has a fragment" if address.fragment else ""


def _refusal(request: Request) -> tuple[str, str] | None:
    if request.first("response_type") != "code":
        return "unsupported_response_type", "response_type must be code"
    if request.first("scope") not in _SCOPES:
        return "invalid_scope", "scope must be full_access or readonly"
    if not request.first("state"):
        return "invalid_request", "state is missing"
    if request.first("code_challenge") and request.first("code_challenge_method") != "S256":
        return "invalid_request", "code_challenge_method must be S256"
    return None


def _form(request: Request) -> dict[str, str] | Reply:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != _FORM:
        return _error(415, "invalid_request", f"The body must be {_FORM}")
    parsed = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    form = {name: values[0] for name, values in parsed.items()}
    same = secrets.compare_digest(
        f"{form.get('client_id')}\n{form.get('client_secret')}".encode(),
        f"{CLIENT_ID}\n{CLIENT_SECRET}".encode(),
    )
    return form if same else _error(401, "invalid_client", "Client authentication failed")


def _error(status: int, code: str, words: str) -> Reply:
    return Reply.of(status, {"error": code, "error_description": words})


def _page(status: int, content: str) -> Reply:
    return Reply(status, content.encode(), {"Content-Type": "text/html; charset=utf-8"})


def _redirect(address: str, parameters: dict[str, str]) -> Reply:
    joint = "&" if urlsplit(address).query else "?"
    return Reply(302, b"", {"Location": f"{address}{joint}{urlencode(parameters)}"})
