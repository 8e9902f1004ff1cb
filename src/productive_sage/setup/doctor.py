"""doctor: try everything psage stands on, one check after the other; none hides another.

Nothing is written to a service, to the settings or to the store. Only the sign-in to Sage is
renewed where it is time, as by every run, and stored.
"""

import json
import logging
import os
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from productive_sage import __version__, config, tax
from productive_sage.basics import SOON, in_words
from productive_sage.config import Home
from productive_sage.errors import (
    ClockWrong,
    ConfigInvalid,
    DifferentBusiness,
    HomeUnusable,
    KeyringUnavailable,
    NetworkDown,
    NoDefaultLedger,
    NotConnected,
    PsageError,
    RightsMissing,
    SignInExpired,
    TaxRateInvalid,
    code_of_a_look,
)
from productive_sage.http import Pool, answer_of
from productive_sage.productive.client import ProductiveClient, Token
from productive_sage.redaction import redacted
from productive_sage.sage.client import SageClient, sage_http
from productive_sage.sage.records import Item, LedgerAccount
from productive_sage.settings import Settings
from productive_sage.setup import rights
from productive_sage.signin.oauth import SageTokens
from productive_sage.signin.vault import ProductiveSignIn, SageSignIn, Vault
from productive_sage.store import Store
from productive_sage.text import clean

log = logging.getLogger("psage.doctor")

OK, WARNING, FAILURE, NOT_TRIED = "ok", "warning", "failure", "not_tried"
_SERVICES = ("Productive", "Sage")
_LIBRARIES = ("httpx", "keyring", "typer", "rich", "tomlkit", "filelock")
_SLOW, _WRONG = timedelta(minutes=2), timedelta(minutes=5)
"""How far this machine's clock may be off: a token lives five minutes."""
_RECENT = timedelta(days=31)
"""A lock date this near may stop an invoice of this month or the last."""
_CRON_TIMEOUT_S = 60
_SIGN_IN = "sign-in"
_MAKES_HOME = "`psage connect` makes it"
_CRON_HAS = (
    *("HOME", "LOGNAME", "USER", "SHELL", "PSAGE_HOME"),
    # Windows gives these to a task; without SYSTEMROOT Python does not even start.
    *("SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "USERNAME", "USERDOMAIN", "TEMP"),
)
_MATTERS_TO_A_KEYRING = (
    *("PYTHON_KEYRING_", "KEYRING_PROPERTY_", "XDG_", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY"),
    *("WAYLAND_DISPLAY", "GNOME_KEYRING_", "PYTHONPATH", "PSAGE_"),
)

_FOR_CONNECT = ("PSAGE_PRODUCTIVE_TOKEN", "PSAGE_SAGE_CLIENT_SECRET")
"""No run but `connect` wants these, and a crontab is no place for them."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried."""

    name: str
    result: str
    """`ok`, `warning`, `failure`, or `not_tried` where one it stands on failed."""
    message: str
    remedy: str | None = None
    """What to do; None where all is well."""
    error: PsageError | None = None
    """Of a failure."""

    @property
    def exit_code(self) -> int:
        """What it demands: 2 set-up, 3 a sign-in, 4 a reader, 5 another time; 1 is a defect."""
        if self.error is None:
            return 0
        return code_of_a_look(self.error)

    def as_json(self) -> dict[str, Any]:
        """The check as the public JSON contract has it."""
        return {
            "name": self.name,
            "result": self.result,
            "message": self.message,
            "remedy": self.remedy,
        }


def worst(checks: Sequence[Check]) -> Check | None:
    """The failure that decides the exit code; None where nothing failed."""
    failed = [check for check in checks if check.error]
    return min(failed, key=lambda check: check.exit_code, default=None)


def findings(checks: Sequence[Check]) -> list[Check]:
    """What a person is to see to: where nothing is connected yet, that and not its wake."""
    found = [check for check in checks if check.result in (WARNING, FAILURE)]
    missing = [check for check in found if isinstance(check.error, NotConnected)]
    if len(missing) < len(_SERVICES):
        return found
    rest = [one for one in found if one not in missing and not _is_new_home(one)]
    remedy = "run `psage connect`, then `psage configure`"
    return [*rest, Check(_SIGN_IN, FAILURE, "nothing is connected yet", remedy, missing[0].error)]


def _is_new_home(check: Check) -> bool:
    """Whether the trouble is only that nothing was set up yet."""
    is_not_made = check.name == "home" and check.remedy == _MAKES_HOME
    return is_not_made or isinstance(check.error, NoDefaultLedger)


def summary(checks: Sequence[Check]) -> str:
    """How it all went, in a sentence."""
    results = [check.result for check in checks]
    failures, warnings = results.count(FAILURE), results.count(WARNING)
    if not failures and not warnings:
        return f"{_count(len(checks), 'check')}, and all is well"
    left = results.count(NOT_TRIED)
    if findings(checks)[-1].name == _SIGN_IN:
        return f"{_count(left, 'check')} can be made after that"
    return (
        f"{_count(len(checks), 'check')}: {_count(failures, 'failure')} and "
        f"{_count(warnings, 'warning')}{f'; {left} not tried' if left else ''}"
    )


def examine(
    home: Home,
    vault: Vault,
    pool: Pool | PsageError,
    environment: Mapping[str, str],
    *,
    with_cron: bool = False,
    clock: Callable[[], float] = time.time,
) -> Iterator[Check]:
    """Try everything; `clock` gives seconds since 1970 UTC.

    `pool` is what keeps a connection from being made at all where something does.
    """
    run = _Examination(home, vault, pool, environment, clock)
    for name, check in run.checks(with_cron=with_cron):
        yield _tried(name, check)


def ask(home: Home, vault: Vault, pool: Pool, settings: Settings) -> dict[str, PsageError | None]:
    """Ask both services whether the sign-ins hold, and record that in the store for `status`.

    By service: None where it does, else why not.
    """
    run = _Examination(home, vault, pool, {}, time.time, settings)
    answers = {service: run.answer(service) for service in _SERVICES}
    with suppress(PsageError):  # what is wrong with the store says whoever reads it next
        run.record(answers)
    return answers


class _Doubt(Exception):
    """Something a person should know or see to, but no failure."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class _NotTried(_Doubt):
    """Another check failed that this one stands on."""


def _not_tried(*on: str) -> _NotTried:
    names = " and ".join(f"`{name.replace('_', ' ')}`" for name in on)
    return _NotTried("not tried", f"see to {names} first, then run `psage doctor` again")


def _tried(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, OK, check())
    except _NotTried as stopped:
        return Check(name, NOT_TRIED, stopped.message, stopped.remedy)
    except _Doubt as doubt:
        return Check(name, WARNING, doubt.message, doubt.remedy)
    except PsageError as error:
        message = "; ".join(line.removeprefix("- ") for line in error.message.splitlines())
        return Check(name, FAILURE, message.replace(":; ", ": "), _remedy(error.hint), error)
    except OSError as error:  # a folder nobody may look into, or a file in the place of one
        unusable = config.storage_error(error, Path(error.filename or "the home folder"))
        return Check(name, FAILURE, unusable.message, _remedy(unusable.hint), unusable)
    except Exception as error:  # a defect in one check must not hide the others
        log.exception("check %s", name)
        defect = PsageError(
            f"psage met something it does not expect ({type(error).__name__})",
            hint="run `psage --verbose doctor` and report what the log says",
        )
        return Check(name, FAILURE, defect.message, defect.hint, defect)


def _remedy(hint: str | None) -> str:
    """A hint that names a command: the one that tells whether it helped, if no other."""
    again = "run `psage doctor` again"
    hint = (hint or "").replace("run the command again", again)
    return hint if "`" in hint else "; ".join(filter(None, (hint, f"then {again}")))


class _Examination:
    """The checks, and what earlier ones found for those that stand on them.

    A check returns what is well, or raises: _Doubt for a warning, PsageError for a failure.
    """

    def __init__(
        self,
        home: Home,
        vault: Vault,
        pool: Pool | PsageError,
        environment: Mapping[str, str],
        clock: Callable[[], float],
        settings: Settings | None = None,
    ) -> None:
        self._home = home
        self._vault = vault
        self._pool = pool
        self._environment = environment
        self._clock = clock
        self._settings = settings
        self._sign_ins: dict[str, Any] = {}
        """By service what the keyring holds, or the error in its place."""
        self._unreachable: dict[str, NetworkDown] = {}
        self._skews: dict[str, timedelta] = {}
        """By host how far its clock is ahead of this machine's."""
        self._productive: ProductiveClient | None = None
        self._sage: SageClient | None = None
        self._refusals: dict[str, str | None] = {}
        """By path what Sage said to a look at it."""
        self._accounts: list[LedgerAccount] | None = None

    def checks(self, *, with_cron: bool) -> Iterator[tuple[str, Callable[[], str]]]:
        """Each stands on those before it alone."""
        yield "python", self.python
        yield "home", self.home
        yield "ledger", self.store
        yield "settings", self.settings
        yield "keyring", self.keyring
        if with_cron:
            yield "keyring_under_cron", self.keyring_under_cron
        yield "network_to_productive", lambda: self.network("Productive")
        yield "network_to_sage", lambda: self.network("Sage")
        yield "clock", self.clock
        yield "productive", self.productive
        yield "rights_in_productive", self.rights_in_productive
        yield "sage", self.sage
        yield "rights_in_sage", self.rights_in_sage
        yield "edition_of_sage", self.edition_of_sage
        yield "ledger_account", self.ledger_account
        yield "tax_rate", self.tax_rate
        yield "items", self.items
        yield "lock_date", self.lock_date

    # --- this machine

    def python(self) -> str:
        """Versions, as whoever helps will ask for them."""
        python = ".".join(map(str, sys.version_info[:3]))
        libraries = ", ".join(f"{name} {metadata.version(name)}" for name in _LIBRARIES)
        system = f"{sys.platform}, {ssl.OPENSSL_VERSION}"
        return f"psage {__version__}, Python {python} on {system}; {libraries}"

    def home(self) -> str:
        """The folder and what is in it can be used, and by nobody else."""
        folder = self._home.folder
        if not folder.exists():
            raise _Doubt(f"there is no folder `{folder}` yet", _MAKES_HOME)
        if not folder.is_dir():
            raise HomeUnusable(
                f"`{folder}` is not a folder",
                hint="move it away, or point PSAGE_HOME to a folder, and run `psage doctor` again",
            )
        files = [path for path in (self._home.config, self._home.store) if path.exists()]
        for path in (folder, *files):
            needed = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
            if not os.access(path, needed):
                raise HomeUnusable(
                    f"this user cannot read and write `{path}`",
                    hint=f"give it back with `chown` and `chmod u+rw {path}`, or point PSAGE_HOME "
                    "to a folder of your own",
                )
        if sys.platform != "win32":
            _check_modes(folder, files)
        return f"`{folder}` is for this user alone"

    def store(self) -> str:
        """The file is whole, its records fit together, and no write is without an answer."""
        path = self._home.store
        if not path.exists():
            return "there is none yet; the first command that needs it makes it"
        with Store(path, read_only=True) as store:
            store.db.check_file()
            documents = sum(store.copies.documents().values())
            flaws = store.flaws()
            unknown = store.intents.count_open()
        if flaws:
            raise _Doubt(
                f"`{path}` is whole, but holds {' and '.join(flaws)}",
                "report it; `psage sync-payments --full` looks at every payment",
            )
        if unknown:
            said = "1 write has" if unknown == 1 else f"{unknown} writes have"
            raise _Doubt(f"{said} no answer yet", "`psage status` says which command finds out")
        return f"`{path}` is whole, with {_count(documents, 'copied document')}"

    def settings(self) -> str:
        """Every value is allowed, and every key is known."""
        path = self._home.config
        self._settings, warnings, problems = config.survey(path, self._environment)
        if problems:
            config.load(path, self._environment)  # raises what names all of them
        if not self._settings.default_ledger_account:
            raise NoDefaultLedger
        if warnings:
            raise _Doubt("; ".join(warnings), f"look for a slip of the pen in `{path}`")
        return f"`{path}` is understood"

    def keyring(self) -> str:
        """Both sign-ins can be read, which proves that it is there and unlocked."""
        stored = self._stored()
        if not stored:
            return "it answers, and holds no sign-in of this profile yet"
        return f"it answers, and holds the sign-in to {' and '.join(stored)}"

    def keyring_under_cron(self) -> str:
        """The same in a process with no more of an environment than cron gives it."""
        with_us = {name: value for name, value in self._environment.items() if name in _CRON_HAS}
        lacks = sorted(
            name
            for name in self._environment
            if name.startswith(_MATTERS_TO_A_KEYRING) and name not in {*with_us, *_FOR_CONNECT}
        )
        found = _asked_under_cron(self._home.profile, {**with_us, "PATH": os.defpath})
        stored: list[str] = []
        with suppress(KeyringUnavailable):  # which is another check
            stored = self._stored()
        missing = [name for name in stored if name not in found["stored"]]
        why = found["error"] or (missing and f"it holds no sign-in to {' and '.join(missing)}")
        without = f"cron does not have {', '.join(lacks)}"
        if why:
            raise KeyringUnavailable(
                f"in an environment as empty as cron's: {why}{f'; {without}' if lacks else ''}",
                hint="name in the crontab line, in front of `psage`, what the keyring needs, such "
                "as PYTHON_KEYRING_BACKEND and its key; `psage help cron` says more",
            )
        said = "it answers in an environment as empty as cron's"
        if [name for name in lacks if name.startswith("PSAGE_")]:
            raise _Doubt(f"{said}, but {without}", "name them in the crontab line if they matter")
        return said

    # --- the way to the services

    def network(self, service: str) -> str:
        """Every host of a service answers, whatever it says, with a certificate that is trusted."""
        urls = self._addresses(service)
        self._connections()
        origins = list(dict.fromkeys(map(_origin, urls)))
        with ThreadPoolExecutor(len(origins)) as threads:
            failures = list(filter(None, threads.map(self._look_at, origins)))
        # Without the hosts of Productive's files only PDFs stay behind.
        needed = set(map(_origin, urls if service == "Sage" else urls[:1]))
        for failure in failures:
            if failure.details["origin"] in needed:
                self._unreachable[service] = failure
        if failures:
            said = "; ".join(failure.message for failure in failures)
            raise NetworkDown(said, hint=failures[0].hint)
        is_safe = all(url.startswith("https:") for url in urls)
        how = "with a certificate that is trusted" if is_safe else "without TLS on this machine"
        hosts = ", ".join(urlsplit(origin).netloc for origin in origins)
        return f"{hosts}: reached, {how}"

    def _addresses(self, service: str) -> list[str]:
        """Where a service is talked to."""
        if self._settings is None:
            raise _not_tried("settings")
        where = self._settings.endpoints
        urls = [where.sage_api, where.sage_token]
        if service == "Productive":
            urls = [where.productive_api, where.productive_files, where.productive_upload]
        if not all(urls):
            raise _not_tried("settings")
        return urls

    def _look_at(self, origin: str) -> NetworkDown | None:
        try:
            headers = answer_of(self._connections(), origin)
        except NetworkDown as error:
            error.details["origin"] = origin
            return error
        with suppress(ValueError):
            theirs = parsedate_to_datetime(headers.get("date", ""))
            if theirs.tzinfo:
                self._skews[urlsplit(origin).netloc] = theirs - self._now()
        return None

    def clock(self) -> str:
        """The clock here is that of the services: the lives of tokens are measured with it."""
        if not self._skews:
            raise _not_tried("network_to_productive", "network_to_sage")
        host, skew = min(self._skews.items(), key=lambda pair: abs(pair[1]))
        off, way = abs(skew), "behind" if skew > timedelta(0) else "ahead of"
        said = f"this machine's clock is {off.total_seconds():.0f} s {way} that of {host}"
        remedy = "have it set from the network, for example by `sudo timedatectl set-ntp true`"
        if off > _WRONG:
            raise ClockWrong(said, hint=remedy)
        if off > _SLOW:
            raise _Doubt(said, remedy)
        return f"within {max(off.total_seconds(), 1):.0f} s of {host}"

    # --- Productive

    def productive(self) -> str:
        """Productive takes the token, and the token belongs to the organisation."""
        sign_in = self._sign_in("Productive", self._vault.productive)
        settings = self._reachable("Productive")
        client = ProductiveClient(
            self._connections(),
            settings.endpoints,
            Token(sign_in.token, sign_in.organization_id),
            read_only=True,
        )
        name = client.organization_name()
        if name is None:
            why = f"its token does not belong to organisation `{sign_in.organization_id}` any more"
            raise SignInExpired("Productive", why)
        self._productive = client
        return f"connected to {clean(name)} ({sign_in.organization_id})"

    def rights_in_productive(self) -> str:
        """The token may read what psage reads."""
        client = self._productive
        if client is None:
            raise _not_tried("productive")
        paths = dict(rights.IN_PRODUCTIVE)
        if self._settings and self._settings.sync_payments:
            paths["payments"] = "/payments"
        if denied := rights.denied(client.refusal, paths):
            raise RightsMissing(
                f"the token may not read {denied}",
                hint="an administrator of Productive can give its person the right; or make "
                "another token and run `psage connect productive`",
            )
        return f"may read {', '.join(paths)}; only writing shows what it may write"

    # --- Sage

    def sage(self) -> str:
        """Sage takes or renews the sign-in, which is for the business of the copies."""
        sign_in = self._sign_in("Sage", self._vault.sage)
        settings = self._reachable("Sage")
        token_http = sage_http(self._connections(), settings.endpoints.sage_token)
        tokens = SageTokens(self._vault, token_http, clock=self._clock)
        http = sage_http(
            self._connections(),
            settings.endpoints.sage_api,
            credentials=tokens,
            calls_per_second=settings.sage_calls_per_second,
            read_only=True,
        )
        client = SageClient(http, sign_in.business_id)
        try:
            name, country = client.country(sign_in.business_id)
            # The business itself may be shown where a dead subscription closes all the rest.
            self._refusals["/financial_settings"] = client.refusal("/financial_settings")
        finally:
            self._sign_ins["Sage"] = tokens.sign_in
        self._check_business(sign_in.business_id)
        self._sage = client
        if tokens.sign_in.scope == "readonly":
            raise RightsMissing(
                f"Sage lets psage read in {name}, but not write",
                hint="run `psage connect sage` with an app that may have full access",
            )
        until = datetime.fromtimestamp(tokens.sign_in.refresh_until, UTC)
        left = until - self._now()
        said = f"connected to {clean(name)} ({country})"
        said += f"; {in_words(until, left.days)}"
        if left < SOON:
            raise _Doubt(said, "run `psage connect sage`")
        return said

    def _check_business(self, business_id: str) -> None:
        if not self._home.store.exists():
            return
        with Store(self._home.store, read_only=True) as store:
            others = store.copies.businesses() - {business_id}
        if others:
            raise DifferentBusiness(
                "this profile holds copies in another Sage business than the one connected",
                hint="run `psage connect sage` and choose the former business, or use another "
                "`--profile` for this one",
                details={"connected": business_id, "links": sorted(others)},
            )

    def rights_in_sage(self) -> str:
        """Whoever signed in may see what psage needs."""
        sage = self._client()

        def refusal(path: str) -> str | None:
            return self._refusals[path] if path in self._refusals else sage.refusal(path)

        if denied := rights.denied(refusal, rights.IN_SAGE):
            raise RightsMissing(
                f"the sign-in may not read {denied}",
                hint=f"{rights.GIVES} Sales, Contacts and Settings; then run `psage doctor` again",
            )
        if denied := rights.denied(refusal, rights.USEFUL_IN_SAGE):
            raise _Doubt(
                f"the sign-in may not read {denied}: {rights.WITHOUT_USEFUL}",
                f"{rights.GIVES} Sales, Purchases and Contacts; then run `psage doctor` again",
            )
        names = ", ".join([*rights.IN_SAGE, *rights.USEFUL_IN_SAGE])
        return f"may read {names}, as only Full access to Sales, Purchases and Contacts lets it"

    def edition_of_sage(self) -> str:
        """The subscription is alive, and its edition has what psage uses."""
        subscriptions = self._client().subscriptions()
        active = [edition for edition, is_active in subscriptions if is_active]
        if not subscriptions:
            return "Sage does not say which edition this is"
        if not active:
            raise _Doubt("no subscription is active", "renew it in Sage, or it refuses every call")
        if set(active) == {"START"}:
            raise _Doubt(
                "Accounting Start has neither foreign currencies nor allocations: a credit note "
                "must be set against its invoice by hand",
                "upgrade in Sage to Standard or Plus if you need them",
            )
        return ", ".join(active)

    # --- what the settings name in Sage

    def ledger_account(self) -> str:
        """Sales can be booked to the default account."""
        sage = self._client()
        wanted = self._settings.default_ledger_account if self._settings else ""
        if not wanted:
            raise _not_tried("settings")
        self._accounts = sage.ledger_accounts()
        account = next((one for one in self._accounts if one.id == wanted), None)
        hint = "choose another with `psage configure --default-ledger CODE`"
        if account is None:
            raise ConfigInvalid(f"Sage has no ledger account `{wanted}` any more", hint=hint)
        if not account.is_for_sales:
            hint += ", or make it visible in sales in Sage under Chart of Accounts"
            raise ConfigInvalid(
                f"the ledger account {account.shown} is not for sales any more", hint=hint
            )
        return f"{account.shown} is there and for sales"

    def tax_rate(self) -> str:
        """The default tax rate can be used today."""
        sage = self._client()
        wanted = self._settings.default_tax_rate if self._settings else ""
        if not wanted:
            if sage.books().is_registered:
                return "none is set; a copy has no tax unless one is asked for"
            return "none is set, and the business, not registered for VAT in Sage, takes no tax"
        hint = "choose another with `psage configure --default-tax-rate ID`"
        try:
            rate = tax.find(sage.tax_rates(), wanted, self._today())
        except TaxRateInvalid as error:
            any_more = "" if error.details else " any more"
            raise ConfigInvalid(error.message + any_more, hint=hint) from None
        try:
            percent = tax.percent_on(rate, self._today())
        except TaxRateInvalid as error:
            raise ConfigInvalid(error.message, hint=hint) from None
        if not sage.books().is_registered:
            raise _Doubt(
                f"the business is not registered for VAT in Sage, which takes no tax from it, and "
                f"the default tax rate is {rate.name}",
                'remove it with `psage configure --default-tax-rate ""`; or register the business '
                "in Sage under Settings, Financial Settings, where it is",
            )
        return f"{rate.name} is there, {percent.normalize():f} % today"

    def items(self) -> str:
        """Each linked item can be sold, and its service type is in use."""
        sage = self._client()
        linked = self._settings.items if self._settings else {}
        if not linked:
            return "no service type is linked to one"
        if self._accounts is None:
            self._accounts = sage.ledger_accounts()
        types = self._productive.service_types() if self._productive else dict.fromkeys(linked, "")
        faults = []
        for service_type, reference in linked.items():
            fault = _fault(sage.item(*reference.split(":", 1)), reference, self._accounts)
            if fault:
                faults.append(f"that of `{types.get(service_type) or service_type}` {fault}")
        if faults:
            raise ConfigInvalid(
                f"of the linked items, {', and '.join(faults)}",
                hint='link another with `psage configure --map-item "SERVICE TYPE=ITEM"`',
            )
        if unused := [service_type for service_type in linked if service_type not in types]:
            raise _Doubt(
                f"an item is linked to the service type {' and '.join(unused)}, which Productive "
                "does not have in use",
                f"take `{unused[0]}` out of `[items]` in `{self._home.config}`",
            )
        return f"{_count(len(linked), 'linked item')}, there and active"

    def lock_date(self) -> str:
        """The closed period of Sage does not reach into days that are still invoiced."""
        locked = self._client().lock_date()
        if locked is None:
            return "no period is closed in Sage"
        said = f"Sage is closed up to and with {locked}"
        if locked > self._today() - _RECENT:
            raise _Doubt(
                f"{said}, and refuses a document of that time",
                "if invoices of that time are still to be copied, move the lockdown date in Sage "
                "under Settings, Accounting Dates",
            )
        return said

    # --- what the checks stand on

    def _sign_in(self, service: str, read: Callable[[], _T]) -> _T:
        """What the keyring holds; asked once, since one that does not answer takes its time."""
        found = self._kept(service, read)
        if isinstance(found, KeyringUnavailable):
            raise _not_tried("keyring")
        if isinstance(found, PsageError):
            raise found
        return found

    def _kept(self, service: str, read: Callable[[], _T]) -> _T | PsageError:
        if service not in self._sign_ins:
            try:
                self._sign_ins[service] = read()
            except PsageError as error:
                self._sign_ins[service] = error
        kept: _T | PsageError = self._sign_ins[service]
        return kept

    def _stored(self) -> list[str]:
        """The services the keyring holds a sign-in to. Raises KeyringUnavailable."""
        self._kept("Productive", self._vault.productive)
        if not isinstance(self._sign_ins["Productive"], KeyringUnavailable):
            self._kept("Sage", self._vault.sage)
        for found in self._sign_ins.values():
            if isinstance(found, KeyringUnavailable):
                self._sign_ins = dict.fromkeys(_SERVICES, found)
                raise found
        return [name for name, one in self._sign_ins.items() if not isinstance(one, PsageError)]

    def _reachable(self, service: str) -> Settings:
        self._addresses(service)
        is_closed = service in self._unreachable or isinstance(self._pool, PsageError)
        if self._settings is None or is_closed:
            raise _not_tried(f"network_to_{service.lower()}")
        return self._settings

    def _connections(self) -> Pool:
        if isinstance(self._pool, PsageError):
            raise self._pool
        return self._pool

    def _client(self) -> SageClient:
        if self._sage is None:
            raise _not_tried("sage")
        return self._sage

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _today(self) -> date:
        return self._now().date()

    # --- for `status --check`

    def answer(self, service: str) -> PsageError | None:
        """Why the sign-in to a service does not hold, or None where it does."""
        try:
            self._stored()
            if isinstance(missing := self._sign_ins[service], PsageError):
                return missing
            with suppress(NetworkDown):
                self.network(service)
            if down := self._unreachable.get(service):
                return down
            (self.productive if service == "Productive" else self.sage)()
        except _Doubt:
            pass
        except PsageError as error:
            return error
        return None

    def record(self, answers: Mapping[str, PsageError | None]) -> None:
        """Put into the store, making it if need be, what became known of the sign-ins."""
        known = {
            service: found
            for service, found in self._sign_ins.items()
            if isinstance(found, NotConnected | ProductiveSignIn | SageSignIn)
        }
        if not self._home.store.exists():
            if all(isinstance(found, NotConnected) for found in known.values()):
                return
            config.open_home(self._home.folder, self._home.profile)
        with Store(self._home.store) as store:
            for service, found in known.items():
                facts = None if isinstance(found, NotConnected) else found.facts
                if facts and isinstance(answers[service], SignInExpired):
                    facts = replace(facts, until=self._now())
                store.cursors.remember_sign_in(service, facts)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _check_modes(folder: Path, files: Sequence[Path]) -> None:
    """The folder is closed to others, so what they might change lies outside of it."""
    if (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o077:
        raise _Doubt(
            f"other users of this machine can look into `{folder}` (mode {mode:04o})",
            f"close it with `chmod 0700 {folder}`",
        )
    for path in files:
        if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o022:
            raise _Doubt(
                f"other users of this machine can change `{path}` (mode {mode:04o})",
                f"close it with `chmod go-w {path}`",
            )


def _fault(item: Item | None, reference: str, accounts: Sequence[LedgerAccount]) -> str:
    """Why an item cannot be sold; empty where it can."""
    if item is None:
        return f"({reference}) is gone from Sage"
    name = clean(item.code or item.name)
    if not item.is_active:
        return f"({name}) is not active in Sage"
    account = next((one for one in accounts if one.id == item.ledger_account_id), None)
    if account and not account.is_for_sales:
        return f"({name}) books to {account.shown}, which is not for sales"
    return ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# --- the keyring under cron

_PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[1])
from productive_sage.setup.doctor import answer_for_cron
answer_for_cron(sys.argv[2])
"""


def _asked_under_cron(profile: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """What `answer_for_cron` says in a process with these variables and no terminal."""
    error = "psage cannot be started there"
    with suppress(OSError, ValueError, IndexError):
        try:
            done = subprocess.run(  # noqa: S603 -- this very Python
                [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parents[2]), profile],
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                start_new_session=True,  # no terminal to ask for a password either
                timeout=_CRON_TIMEOUT_S,
                check=False,
            )
            answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            return answer
        except subprocess.TimeoutExpired:
            error = f"psage does not end within {_CRON_TIMEOUT_S} s"
    return {"stored": [], "error": error}


def answer_for_cron(profile: str) -> None:
    """Print which sign-ins the keyring holds, or why it does not work, as one line of JSON."""
    vault = Vault(profile)
    answer: dict[str, Any] = {"stored": [], "error": None}
    try:
        for service, read in (("Productive", vault.productive), ("Sage", vault.sage)):
            with suppress(NotConnected):
                read()
                answer["stored"].append(service)
    except PsageError as unavailable:
        answer["error"] = redacted(unavailable.message)
    print(json.dumps(answer), flush=True)
    os._exit(0)  # a keyring that waits for somebody would keep the process
