"""connect: sign in to Productive and to Sage, and store what that gives in the keyring."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from productive_sage import oauth
from productive_sage.desk import Ask
from productive_sage.errors import (
    DifferentBusiness,
    InputNeeded,
    RefusedByProductive,
    SignInExpired,
    SignInFailed,
)
from productive_sage.http import Pool
from productive_sage.models import Endpoints
from productive_sage.productive import ProductiveClient, Token
from productive_sage.sage import SageClient, sage_http
from productive_sage.vault import ProductiveSignIn, SageSignIn, Vault

_WAIT_S = 300


def connect_productive(
    vault: Vault, pool: Pool, endpoints: Endpoints, *, organization_id: str, token: str
) -> ProductiveSignIn:
    """Try the token with a live call, then store it.

    Raises SignInFailed where Productive does not accept it; what was stored before stays.
    """
    _check_secret(token, "API token")
    client = ProductiveClient(pool, endpoints, Token(token, organization_id))
    try:
        name = client.organization_name()
    except (RefusedByProductive, SignInExpired) as error:
        raise SignInFailed(
            f"Productive did not accept the token: {error.message}",
            hint="make one in Productive under Settings, API integrations, and check the "
            "organisation id there",
        ) from None
    if name is None:
        raise SignInFailed(
            f"the token does not belong to organisation `{organization_id}`",
            hint="the organisation id is the number in Productive's address: "
            "app.productive.io/<id>-name",
        )
    sign_in = ProductiveSignIn(token, organization_id, name)
    vault.save(sign_in)
    return sign_in


def _check_secret(secret: str, what: str) -> None:
    """Refuse what cannot travel in a header, without quoting it."""
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise SignInFailed(
            f"the {what} holds characters that no {what} has",
            hint="copy it again, all of it and nothing around it",
        )


@dataclass(frozen=True, slots=True)
class Way:
    """How a person gets to Sage's sign-in page and back."""

    port: int
    show: Callable[[str, str], None]
    """Told the address to open and the redirect address to register."""
    open_browser: Callable[[str], bool] | None
    paste: Callable[[], str] | None
    """Asks for the redirected address instead of listening."""


def connect_sage(
    vault: Vault,
    pool: Pool,
    endpoints: Endpoints,
    *,
    client_id: str,
    client_secret: str,
    way: Way,
    business: str | None,
    ask: Ask | None,
    linked_businesses: set[str],
    token_lock: Path,
) -> SageSignIn:
    """Sign in with the authorisation-code grant, choose the business, store the tokens.

    `linked_businesses` are those the profile's copies belong to: raises DifferentBusiness for any
    other. Raises SignInFailed or InputNeeded; what was stored before stays then.
    """
    _check_secret(client_secret, "client secret")
    request = oauth.begin(endpoints.sage_authorize, client_id, way.port)
    sign_in = oauth.exchange(
        sage_http(pool, endpoints.sage_token),
        request,
        _code(request, way),
        client_id=client_id,
        client_secret=client_secret,
        now=time.time(),
    )
    client = SageClient(
        sage_http(pool, endpoints.sage_api, credentials=_JustSignedIn(sign_in.access_token)), ""
    )
    business_id = _chosen(client.businesses(), business, ask)
    if linked_businesses - {business_id}:
        raise DifferentBusiness(
            "this profile holds copies in another Sage business than the one chosen",
            hint="choose the former business, or use another `--profile` for this one",
            details={"chosen": business_id, "links": sorted(linked_businesses)},
        )
    name, country = client.country(business_id)
    sign_in = replace(sign_in, business_id=business_id, business_name=name, country=country)
    oauth.store(vault, sign_in, token_lock)
    return sign_in


def _code(request: oauth.Request, way: Way) -> str:
    """Send the person to Sage and wait for the code they come back with."""
    listener = None if way.paste else oauth.Listener(way.port)
    way.show(request.url, request.redirect_uri)
    if way.open_browser:
        way.open_browser(request.url)
    if listener:
        return listener.wait(request, _WAIT_S)
    return oauth.code_from(way.paste() if way.paste else "", request)


@dataclass(frozen=True, slots=True)
class _JustSignedIn:
    """The new token, before a business is chosen and anything is stored."""

    access_token: str

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}

    def renew(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "_JustSignedIn()"


def _chosen(businesses: Sequence[tuple[str, str]], wanted: str | None, ask: Ask | None) -> str:
    """The id of the business meant: named, the only one, or asked for."""
    names = ", ".join(f"{name} ({business_id})" for business_id, name in businesses)
    if wanted is not None:
        word = wanted.strip().casefold()
        found = [i for i, name in businesses if word in (i.casefold(), name.casefold())]
        if len(found) == 1:
            return found[0]
        raise SignInFailed(
            f"this sign-in sees {'no' if not found else 'more than one'} business `{wanted}`",
            hint=f"it sees: {names}",
        )
    if not businesses:
        raise SignInFailed("this sign-in sees no business in Sage")
    if len(businesses) == 1:
        return businesses[0][0]
    if ask is None:
        raise InputNeeded(
            f"this sign-in sees several businesses: {names}", hint="choose one with `--business ID`"
        )
    return businesses[ask("Which business?", [name for _, name in businesses], None)][0]
