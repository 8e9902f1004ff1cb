"""connect: sign in to Productive and to Sage, and keep it in the keyring."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, TypeVar

from productive_sage import naming
from productive_sage.desk import Ask
from productive_sage.errors import (
    NoSubscription,
    NotConnected,
    PsageError,
    Refused,
    RefusedByProductive,
    SignInExpired,
    SignInFailed,
    UsageProblem,
)
from productive_sage.errors.notices import Notice
from productive_sage.http.pool import Pool
from productive_sage.productive.calls import Token
from productive_sage.productive.client import ProductiveClient
from productive_sage.sage.calls import sage_http
from productive_sage.sage.client import SageClient
from productive_sage.settings import Endpoints
from productive_sage.setup import businesses, rights
from productive_sage.signin import oauth
from productive_sage.signin.callback import Listener
from productive_sage.signin.vault import ProductiveSignIn, SageSignIn, Vault
from productive_sage.store import Store

SERVICES = ("productive", "sage")
_ORGANIZATION = "organization"
"""The cursor in the store: whose Productive ids the links hold."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SignInOrder:
    """What to connect, and what was given for it; the empty rest is asked for."""

    services: tuple[str, ...]
    keeps: bool
    """Whether to leave alone what is connected already."""
    organization_id: str = ""
    token: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    business: str | None = None
    port: int = 8765
    opens_browser: bool = True
    pastes: bool = False


class SignInPerson(Ask, Protocol):
    """Whoever signs in: somebody at a terminal, or a script."""

    @property
    def can_ask(self) -> bool:
        """Whether somebody can answer."""

    def explain(self, text: str) -> None:
        """Say where to find what is asked next; only to somebody at a terminal."""

    def answer(self, question: str, flag: str) -> str:
        """Ask a question; without anybody to ask, InputNeeded names the flag."""

    def secret(self, what: str, variable: str, flag: str) -> str:
        """Ask without echo; InputNeeded names the variable and the flag."""

    def line(self, question: str) -> str:
        """Read one line, from a script too."""


@dataclass(frozen=True, slots=True)
class Place:
    """What signing in works with."""

    vault: Vault
    pool: Pool
    endpoints: Endpoints
    store: Store
    open_browser: Callable[[str], None]
    wait_s: float
    """So long somebody may take with the browser."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A service that is connected now, or was already."""

    service: str
    name: str
    """Of what psage works with there: the organisation, or the business and its country."""
    facts: Mapping[str, str]
    """As the public JSON contract names them."""
    is_new: bool
    notices: tuple[Notice, ...] = ()

    @classmethod
    def by(cls, sign_in: ProductiveSignIn | SageSignIn, *, is_new: bool = True) -> Self:
        """What may be told of a sign-in."""
        if isinstance(sign_in, ProductiveSignIn):
            facts = {
                "organization_id": sign_in.organization_id,
                "organization_name": sign_in.organization_name,
            }
            return cls("productive", sign_in.organization_name, facts, is_new)
        facts = {
            "business_id": sign_in.business_id,
            "business_name": sign_in.business_name,
            "country": sign_in.country,
        }
        return cls("sage", f"{sign_in.business_name} ({sign_in.country})", facts, is_new)


def connect(order: SignInOrder, place: Place, person: SignInPerson) -> Iterator[Connected]:
    """Sign in to one service after the other; each is stored before the next begins.

    Raises SignInFailed, InputNeeded, `different_organization` or `different_business`; what was
    stored before stays then.
    """
    if len(order.services) > 1 and not any(map(place.vault.holds, order.services)):
        person.explain(_BEFORE)
    for service in order.services:
        yield (
            _productive(order, place, person)
            if service == "productive"
            else _sage(order, place, person)
        )


_BEFORE = """\
You need an API token of an administrator of Productive, and Sage Accounting Standard or Plus with \
full access to Sales, Purchases and Contacts. (With Start, credit notes are not set against their \
invoices, and there is no foreign currency.) An app is registered with Sage on the way, which \
takes some minutes. Each sign-in is tried before it is kept, in this system's keyring."""


# --- Productive


def _productive(order: SignInOrder, place: Place, person: SignInPerson) -> Connected:
    stored = _stored(place.vault.productive)
    if stored and order.keeps:
        asked = naming.organization(order.organization_id)
        _check_same("--organization-id", asked, (stored.organization_id,), stored)
        place.store.cursors.remember_sign_in("Productive", stored.facts)
        return Connected.by(stored, is_new=False)
    organization_id = order.organization_id or (stored.organization_id if stored else "")
    if not (organization_id and order.token):
        person.explain(_ABOUT_PRODUCTIVE)
    for tries_left in reversed(range(_TRIES if person.can_ask and not order.token else 1)):
        organization_id = _organization_id(organization_id, person)
        _check_organization(stored, place.store, organization_id)
        try:
            sign_in = _productive_sign_in(organization_id, order.token, place, person)
        except SignInFailed as error:
            if not tries_left:
                raise
            person.say(f"{error.message}; {error.hint}.")
            if isinstance(error, _OtherOrganization) and not order.organization_id:
                organization_id = ""
        else:
            break
    place.vault.save(sign_in)
    place.store.cursors.set({_ORGANIZATION: sign_in.organization_id})
    place.store.cursors.remember_sign_in("Productive", sign_in.facts)
    return Connected.by(sign_in)


def _organization_id(given: str, person: SignInPerson) -> str:
    """The organisation's id, of what was given or is typed now."""
    organization_id = naming.organization(
        given or person.answer("Organisation id", "--organization-id")
    )
    if not (organization_id.isascii() and organization_id.isdecimal()):
        raise UsageProblem(
            f"`{organization_id}` is no organisation id",
            hint="it is the number in Productive's address, app.productive.io/<id>-name; the whole "
            "address will do",
        )
    return organization_id


def _productive_sign_in(
    organization_id: str, token: str, place: Place, person: SignInPerson
) -> ProductiveSignIn:
    """A sign-in that Productive accepts, with the token given or typed now."""
    token = token or person.secret("API token", "PSAGE_PRODUCTIVE_TOKEN", "--token-stdin")
    _check_secret(token, "API token")
    client = ProductiveClient(place.pool, place.endpoints, Token(token, organization_id))
    return ProductiveSignIn(token, organization_id, _organization_name(client, organization_id))


_TRIES = 3
"""So often somebody at a terminal may type a token."""


class _OtherOrganization(SignInFailed):
    """The token is good, but not for the organisation."""


_ABOUT_PRODUCTIVE = """\
Productive: as an administrator open Settings, API integrations, and generate a token that may \
read and write. Where Settings shows no API integrations, your role or your plan has none.
The organisation id is the number in Productive's address: app.productive.io/<id>-name (the whole \
address will do)"""


def _organization_name(client: ProductiveClient, organization_id: str) -> str:
    """Try the token with a live call."""
    try:
        name = client.organization_name()
    except (RefusedByProductive, SignInExpired) as error:
        why = "" if isinstance(error, SignInExpired) else f": {error.message}"
        raise SignInFailed(
            f"Productive did not accept the token{why}",
            hint="make one in Productive under Settings, API integrations, and check the "
            "organisation id there",
        ) from None
    if name is None:
        raise _OtherOrganization(
            f"the token does not belong to organisation `{organization_id}`",
            hint="the organisation id is the number in Productive's address: "
            "app.productive.io/<id>-name",
        )
    return name


def _check_organization(
    stored: ProductiveSignIn | None, store: Store, organization_id: str
) -> None:
    """The ids in the store mean something else in another organisation."""
    if not store.copies.businesses():
        return
    former = store.cursors.get(_ORGANIZATION) or (
        stored.organization_id if stored else organization_id
    )
    if former != organization_id:
        raise Refused(
            f"this profile holds copies from Productive organisation `{former}`, not from "
            f"`{organization_id}`",
            code="different_organization",
            hint="use another `--profile` for this one",
            details={"chosen": organization_id, "links": former},
        )


def _check_same(
    flag: str, wanted: str, names: Sequence[str], stored: ProductiveSignIn | SageSignIn
) -> None:
    """Refuse to take what is connected already for something else that was asked for."""
    if wanted and wanted.strip().casefold() not in {name.casefold() for name in names}:
        one = Connected.by(stored)
        raise UsageProblem(
            f"`{flag} {wanted}` is not what {one.service.capitalize()} is connected to already, "
            f"{one.name}",
            hint="`--force` signs in again",
        )


def _check_secret(secret: str, what: str) -> None:
    """Refuse what cannot travel in a header, without quoting it."""
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise SignInFailed(
            f"the {what} holds characters that no {what} has",
            hint="copy it again, all of it and nothing around it",
        )


def _stored(read: Callable[[], _T]) -> _T | None:
    """A stored sign-in, or None; raises KeyringUnavailable where it cannot tell."""
    try:
        return read()
    except NotConnected:
        return None


# --- Sage


def _sage(order: SignInOrder, place: Place, person: SignInPerson) -> Connected:
    """Sign in with the authorisation-code grant, choose the business, store the tokens."""
    stored = _stored(place.vault.sage)
    if stored and order.keeps and stored.refresh_until > time.time():
        _check_same("--client-id", order.client_id, (stored.client_id,), stored)
        names = (stored.business_id, stored.business_name)
        _check_same("--business", order.business or "", names, stored)
        place.store.cursors.remember_sign_in("Sage", stored.facts)
        return Connected.by(stored, is_new=False)
    with ExitStack() as stack:
        # Before anything is typed: a port in use would make it vain.
        listener: Listener[SageSignIn] | None = None
        if not order.pastes:
            listener = stack.enter_context(Listener(order.port))
        client_id, client_secret = _client(order, stored, person)
        request = oauth.begin(place.endpoints.sage_authorize, client_id, order.port)
        token_http = sage_http(place.pool, place.endpoints.sage_token)

        def redeem(code: str) -> SageSignIn:
            return oauth.exchange(
                token_http,
                request,
                code,
                client_id=client_id,
                client_secret=client_secret,
                now=time.time(),
            )

        _show(request, order, place, person)
        if listener:
            sign_in = listener.wait(request, redeem, place.wait_s)
        else:
            sign_in = redeem(oauth.code_from(person.line("That address"), request))
    try:
        return _with_business(sign_in, order, place, person)
    except NoSubscription as error:
        error.hint = (
            "nothing was stored: have the subscription renewed in Sage, or choose another business "
            "with `--business ID`, then run `psage connect sage` again"
        )
        raise


def _client(order: SignInOrder, stored: SageSignIn | None, person: SignInPerson) -> tuple[str, str]:
    """Client id and client secret: as given, as stored, or asked for."""
    client_id, client_secret = order.client_id, order.client_secret
    if stored and client_id in ("", stored.client_id):
        client_id = stored.client_id
        # Somebody who names the client id anew has a reason to: that asks for the secret too.
        client_secret = client_secret or ("" if order.client_id else stored.client_secret)
    if not (client_id and client_secret):
        person.explain(_ABOUT_SAGE.format(redirect_uri=oauth.redirect_uri(order.port)))
    client_id = client_id or person.answer("Client id", "--client-id")
    client_secret = client_secret or person.secret(
        "Client secret", "PSAGE_SAGE_CLIENT_SECRET", "--client-secret-stdin"
    )
    _check_secret(client_secret, "client secret")
    return client_id, client_secret


_ABOUT_SAGE = """\
Sage: register an app, once.
  1  Open developer.sage.com, sign in or sign up, and create an app.
  2  Name: as you like, such as psage. E-mail: yours.
  3  Callback URLs: this address, letter by letter:

    {redirect_uri}

  4  Save. The app's page then shows its Client ID and its Client Secret."""


def _show(request: oauth.Request, order: SignInOrder, place: Place, person: SignInPerson) -> None:
    """Send the person to Sage's page, by opening it or by showing its address."""
    person.say(f"The callback URL registered with Sage must be {request.redirect_uri}")
    person.say("Sign in to Sage at this address:")
    person.say(request.url)
    if order.pastes:
        person.say("The browser ends at an address that may not load; copy all of it.")
    elif order.opens_browser:
        place.open_browser(request.url)
    if not order.pastes:
        minutes = int(place.wait_s // 60)
        person.say(f"Waiting for Sage's answer, at most {minutes} minutes; Ctrl-C ends it.")


def _with_business(
    sign_in: SageSignIn, order: SignInOrder, place: Place, person: SignInPerson
) -> Connected:
    """Choose the business, refuse one that the copies do not belong to, and store."""

    def client_of(business_id: str) -> SageClient:
        credentials = _JustSignedIn(sign_in.access_token, business_id)
        http = sage_http(place.pool, place.endpoints.sage_api, credentials=credentials)
        return SageClient(http, business_id)

    business_id, name = businesses.chosen(
        client_of, order.business, person if person.can_ask else None
    )
    linked = place.store.copies.businesses()
    if linked - {business_id}:
        known = place.store.cursors.sign_ins().get("Sage")
        former = known.name if known and known.id in linked else "another Sage business"
        raise Refused(
            f"this profile holds copies in {former}, and not in {name} ({business_id})",
            code="different_business",
            hint="choose the former business, or use another `--profile` for this one",
            details={"chosen": business_id, "links": sorted(linked)},
        )
    client = client_of(business_id)
    name, country = client.country(business_id)
    connected = replace(sign_in, business_id=business_id, business_name=name, country=country)
    oauth.store(place.vault, connected)
    place.store.cursors.remember_sign_in("Sage", connected.facts)
    return replace(Connected.by(connected), notices=_sage_notices(connected, client))


def _sage_notices(sign_in: SageSignIn, client: SageClient) -> tuple[Notice, ...]:
    """What keeps this sign-in from copying, as far as reading tells."""
    if sign_in.scope == "readonly":
        why = "Sage lets psage read, but not write, so nothing can be copied"
        what = "run `psage connect sage` with an app that may have full access"
        return (Notice("read_only_sign_in", f"{why}: {what}"),)
    try:
        if denied := rights.denied(client.refusal, rights.IN_SAGE):
            why = f"your user may not read {denied} in {sign_in.business_name}"
            what = f"so nothing can be copied: {rights.GIVES} Sales, Contacts and Settings"
            return (Notice("rights_missing", f"{why}, {what}"),)
        if denied := rights.denied(client.refusal, rights.USEFUL_IN_SAGE):
            why = f"your user may not read {denied} in {sign_in.business_name}"
            what = f"{rights.WITHOUT_USEFUL}; {rights.GIVES} Sales, Purchases and Contacts"
            return (Notice("rights_missing", f"{why}: {what}"),)
    except NoSubscription as error:
        return (Notice(error.code, f"{error.message}; {error.hint}"),)
    except PsageError:
        pass  # a bad moment tells nothing about rights
    return ()


@dataclass(frozen=True, slots=True)
class _JustSignedIn:
    """The new token, before a business is chosen and anything is stored."""

    access_token: str
    business_id: str = ""

    def headers(self) -> dict[str, str]:
        business = {"X-Business": self.business_id} if self.business_id else {}
        return {"Authorization": f"Bearer {self.access_token}", **business}

    def renew(self, refused: Mapping[str, str]) -> bool:  # noqa: ARG002 -- as the others
        return False

    def __repr__(self) -> str:
        return "_JustSignedIn()"


def why_no_browser(environment: Mapping[str, str], platform: str = sys.platform) -> str:
    """Why a browser opened here would not be seen by the person; empty where it would."""
    if environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"):
        return "this is an SSH session"
    shown = any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    return "" if shown or not platform.startswith("linux") else "this machine has no screen"
