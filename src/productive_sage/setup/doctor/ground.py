"""What the checks stand on: what they were given, and what earlier ones found."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from productive_sage.config import Home
from productive_sage.errors import (
    KeyringUnavailable,
    NetworkDown,
    PsageError,
)
from productive_sage.http.pool import Pool
from productive_sage.productive.client import ProductiveClient
from productive_sage.sage.client import SageClient
from productive_sage.sage.records import LedgerAccount
from productive_sage.settings import Settings
from productive_sage.setup.doctor.checks import SERVICES, not_tried
from productive_sage.signin.vault import Vault

_T = TypeVar("_T")


class Ground:
    """What is to be examined, and what earlier checks found for those that stand on them."""

    def __init__(
        self,
        home: Home,
        vault: Vault,
        pool: Pool | PsageError,
        environment: Mapping[str, str],
        clock: Callable[[], float],
        settings: Settings | None = None,
    ) -> None:
        self.home = home
        self.vault = vault
        self.pool = pool
        self.environment = environment
        self.clock = clock
        self.settings = settings
        self.sign_ins: dict[str, Any] = {}
        """By service what the keyring holds, or the error in its place."""
        self.unreachable: dict[str, NetworkDown] = {}
        self.skews: dict[str, timedelta] = {}
        """By host how far its clock is ahead of this machine's."""
        self.productive: ProductiveClient | None = None
        self.sage: SageClient | None = None
        self.refusals: dict[str, str | None] = {}
        """By path what Sage said to a look at it."""
        self.accounts: list[LedgerAccount] | None = None

    def addresses(self, service: str) -> list[str]:
        """Where a service is talked to."""
        if self.settings is None:
            raise not_tried("settings")
        where = self.settings.endpoints
        urls = [where.sage_api, where.sage_token]
        if service == "Productive":
            urls = [where.productive_api, where.productive_files, where.productive_upload]
        if not all(urls):
            raise not_tried("settings")
        return urls

    def sign_in(self, service: str, read: Callable[[], _T]) -> _T:
        """What the keyring holds; asked once, since one that does not answer takes its time."""
        found = self.kept(service, read)
        if isinstance(found, KeyringUnavailable):
            raise not_tried("keyring")
        if isinstance(found, PsageError):
            raise found
        return found

    def kept(self, service: str, read: Callable[[], _T]) -> _T | PsageError:
        """The sign-in the keyring holds, or the error in its place; asked once."""
        if service not in self.sign_ins:
            try:
                self.sign_ins[service] = read()
            except PsageError as error:
                self.sign_ins[service] = error
        kept: _T | PsageError = self.sign_ins[service]
        return kept

    def stored(self) -> list[str]:
        """The services the keyring holds a sign-in to. Raises KeyringUnavailable."""
        self.kept("Productive", self.vault.productive)
        if not isinstance(self.sign_ins["Productive"], KeyringUnavailable):
            self.kept("Sage", self.vault.sage)
        for found in self.sign_ins.values():
            if isinstance(found, KeyringUnavailable):
                self.sign_ins = dict.fromkeys(SERVICES, found)
                raise found
        return [name for name, one in self.sign_ins.items() if not isinstance(one, PsageError)]

    def reachable(self, service: str) -> Settings:
        """The settings with the addresses of a service that answers."""
        self.addresses(service)
        is_closed = service in self.unreachable or isinstance(self.pool, PsageError)
        if self.settings is None or is_closed:
            raise not_tried(f"network_to_{service.lower()}")
        return self.settings

    def connections(self) -> Pool:
        """The connections to both services; raises what keeps them from being made."""
        if isinstance(self.pool, PsageError):
            raise self.pool
        return self.pool

    def client(self) -> SageClient:
        """The client of Sage, once its own check went well."""
        if self.sage is None:
            raise not_tried("sage")
        return self.sage

    def now(self) -> datetime:
        """By this machine's clock, UTC."""
        return datetime.fromtimestamp(self.clock(), UTC)

    def today(self) -> date:
        """By this machine's clock, in UTC."""
        return self.now().date()
