"""Sage's sign-in: authorisation code with a loopback redirect, and tokens that rotate.

The refresh token is good for one use: it is renewed under a lock that all processes of the profile
share, and the new one is stored before anything uses it.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from productive_sage import interrupts, lanes, redaction
from productive_sage.errors import (
    NotConnected,
    OutcomeUnknown,
    Refused,
    RefusedBySage,
    ServiceUnavailable,
    SignInExpired,
    SignInFailed,
    Temporary,
)
from productive_sage.http import Http
from productive_sage.signin.vault import SageSignIn, Vault

_EARLY_S = 20
"""A token this close to its end is renewed before use."""
_ACCESS_S, _REFRESH_S, _LONGEST_S = 300, 31 * 86_400, 3_650 * 86_400
"""How long Sage's tokens live where it does not say, and the longest that is believed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt to sign in: what the browser is sent with and what must come back."""

    url: str
    redirect_uri: str
    state: str
    verifier: str


def redirect_uri(port: int) -> str:
    """The address to register with Sage, which compares it letter by letter."""
    return f"http://127.0.0.1:{port}/callback"


def begin(authorize_url: str, client_id: str, port: int) -> Request:
    """Make the address a person opens to sign in to Sage, with a fresh state and PKCE verifier."""
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    redaction.keep(verifier)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    query = urlencode(
        {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri(port),
            "scope": "full_access",
            "state": state,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
    )
    joint = "&" if "?" in authorize_url else "?"
    return Request(f"{authorize_url}{joint}{query}", redirect_uri(port), state, verifier)


def is_answer(address: str, request: Request) -> bool:
    """Whether an address answers this attempt: it carries its state, or a refusal without any.

    Sage may refuse without giving the state back. Such an answer can only end the attempt, never
    stand for a consent, so nothing is lost by taking it from a stranger.
    """
    answer = _parameters(address)
    return _has_state(answer, request) or ("error" in answer and not answer.get("state"))


def _has_state(answer: Mapping[str, str], request: Request) -> bool:
    state = answer.get("state", "")
    return hmac.compare_digest(state.encode(errors="replace"), request.state.encode())


def _parameters(address: str) -> dict[str, str]:
    try:
        query = urlsplit(address.strip()).query
    except ValueError:  # not an address at all
        return {}
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}


def code_from(address: str, request: Request) -> str:
    """Take the authorisation code out of the address Sage sent the browser to.

    Raises SignInFailed where Sage or the person refused, or the address belongs to another attempt.
    """
    answer = _parameters(address)
    if not is_answer(address, request):
        raise SignInFailed(
            "that address does not belong to this sign-in",
            hint="use the address of the page that opened last, or run `psage connect sage` again",
        )
    if "error" in answer:
        raise _refusal(answer)
    if not answer.get("code"):
        raise SignInFailed("Sage sent no code", hint="run `psage connect sage` again")
    return answer["code"]


def _refusal(answer: Mapping[str, str]) -> SignInFailed:
    """What Sage says where it signs nobody in: in `error_description`, or in `reason`."""
    words = filter(None, (answer.get(name, "").strip() for name in ("error_description", "reason")))
    said = ": ".join(dict.fromkeys(words))
    if answer["error"] == "access_denied":
        return SignInFailed(
            f"access was refused on Sage's page{said and f' ({said})'}, so nothing was stored",
            hint="run `psage connect sage` again and choose Allow",
        )
    error = answer["error"].strip()
    return SignInFailed(
        f"Sage did not sign in: {': '.join(filter(None, (error, said))) or 'it does not say why'}",
        hint="check how the app is registered with Sage, then run `psage connect sage` again",
    )


def exchange(
    http: Http, request: Request, code: str, *, client_id: str, client_secret: str, now: float
) -> SageSignIn:
    """Turn the code into tokens; it lives about a minute, so at once.

    Raises SignInFailed with Sage's words where it is refused, ServiceUnavailable where it may work
    another time.
    """
    redaction.keep(code, client_secret)
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
    except SignInExpired as error:
        raise SignInFailed(
            f"Sage did not accept the client id with this client secret: {error.why}",
            hint="copy both again from the app registered with Sage, then run "
            "`psage connect sage --client-id ID` again",
        ) from None
    except RefusedBySage as error:
        raise SignInFailed(
            f"Sage did not accept the code of this sign-in: {error.words}",
            hint="a code lives for a minute and is good for one use: run `psage connect sage` "
            f"again; the app registered with Sage must name `{request.redirect_uri}`",
        ) from None
    except OutcomeUnknown as error:
        raise ServiceUnavailable(
            f"Sage did not complete the sign-in: {error.message}",
            hint="nothing was stored; run `psage connect sage` again in a few minutes",
        ) from None
    blank = SageSignIn(client_id, client_secret, "", 0, "", 0)
    return _with_tokens(blank, reply.document, now)


def _with_tokens(sign_in: SageSignIn, answer: Any, now: float) -> SageSignIn:
    """Take the tokens of a reply: the ones before are used up, so nothing else in it matters."""
    try:
        access, refresh = _token(answer["access_token"]), _token(answer["refresh_token"])
    except (KeyError, TypeError, ValueError):
        raise SignInFailed(
            "Sage's answer holds no tokens", hint="run `psage connect sage` again"
        ) from None
    redaction.keep(access, refresh)
    scope = answer.get("scope")
    return replace(
        sign_in,
        access_token=access,
        access_until=now + _life_s(answer.get("expires_in"), _ACCESS_S),
        refresh_token=refresh,
        refresh_until=now + _life_s(answer.get("refresh_token_expires_in"), _REFRESH_S),
        scope=scope if isinstance(scope, str) else sign_in.scope,
    )


def _life_s(said: Any, usual_s: int) -> int:
    """How long a token lives by its reply; `usual_s` where that is missing or cannot be."""
    try:
        life_s = Decimal(str(said))
        return int(life_s) if 1 <= life_s <= _LONGEST_S else usual_s
    except (ArithmeticError, ValueError):
        return usual_s


def _token(value: Any) -> str:
    """A token that can travel in a header."""
    if not (isinstance(value, str) and value.isascii() and value.isprintable()):
        raise ValueError
    return value


def store(vault: Vault, sign_in: SageSignIn) -> None:
    """Store a new sign-in, not while another process is renewing the old one."""
    with vault.renewing():
        vault.save(sign_in)


def forget(vault: Vault, http: Http) -> str:
    """Revoke the sign-in at Sage and delete it here, not while another process is renewing it.

    Returns why Sage may not have revoked it, empty where it has; it is deleted all the same.
    """
    with vault.renewing():
        # In this order, or a kill in between would leave a token that nobody can revoke.
        trouble = _revoke(vault, http)
        vault.forget("sage")
    return trouble


def _revoke(vault: Vault, http: Http) -> str:
    try:
        sign_in = vault.sage()
        form = {
            "client_id": sign_in.client_id,
            "client_secret": sign_in.client_secret,
            "token": sign_in.refresh_token,
        }
        answer = http.post_form("", form).document
    except NotConnected:
        return "what the keyring holds is damaged"
    except SignInExpired as error:
        return error.why
    except (Temporary, RefusedBySage, OutcomeUnknown) as error:
        return error.message
    done = isinstance(answer, dict) and answer.get("success") == "ok"
    return "" if done else "Sage's answer does not say that it did"


class SageTokens:
    """The credentials of every Sage call: a fresh access token and the business it is for."""

    def __init__(
        self,
        vault: Vault,
        http: Http,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._vault = vault
        self._http = http
        self._clock = clock
        self.sign_in = vault.sage()
        self._ended: tuple[str, str] | None = None
        """The refresh token that Sage no longer takes, and why."""

    @property
    def has_ended(self) -> bool:
        """Whether Sage no longer renews it, so that only signing in again helps."""
        return self._ended is not None

    def headers(self) -> dict[str, str]:
        """A token with some life left, renewed before if need be."""
        if not self._is_fresh():
            self._refresh(self.sign_in.access_token)
        return {
            "Authorization": f"Bearer {self.sign_in.access_token}",
            "X-Business": self.sign_in.business_id,
        }

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Sage refused the token although its time is not up."""
        self._refresh(refused.get("Authorization", "").removeprefix("Bearer "))
        return True

    def _is_fresh(self) -> bool:
        return self.sign_in.access_until - _EARLY_S > self._clock()

    def _refresh(self, refused: str) -> None:
        """Renew once, whichever of the waiting documents and processes comes first."""
        business_id = self.sign_in.business_id
        with lanes.alone("the sign-in to Sage"), self._vault.renewing():
            stored = self._vault.sage()
            if stored.business_id != business_id:  # the rest of this run would be asked of it
                raise Refused(
                    f"somebody has connected another Sage business, {stored.business_name}, while "
                    f"this ran with {self.sign_in.business_name}",
                    code="different_business",
                    hint="run the command again; each profile name is for one business, in every "
                    "home folder",
                    details={"connected": stored.business_id, "began_with": business_id},
                )
            self.sign_in = stored
            if self.sign_in.access_token != refused and self._is_fresh():
                return
            if self._ended and self._ended[0] == stored.refresh_token:  # another document asked
                raise SignInExpired("Sage", self._ended[1])
            # The old token is used up by asking: until the new one is stored, nobody interrupts.
            with interrupts.held_back():
                try:
                    renewed = self._renewed(self.sign_in)
                except SignInExpired as error:
                    self._ended = stored.refresh_token, error.why
                    raise
                self._vault.save(renewed, patience=12)
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
