"""disconnect: what the keyring holds, what Sage still honours, and a whole profile."""

from pathlib import Path

from productive_sage.config import Home, storage_error
from productive_sage.errors.notices import Notice
from productive_sage.http.pool import Pool
from productive_sage.sage.calls import sage_http
from productive_sage.settings import Endpoints
from productive_sage.signin import oauth
from productive_sage.signin.vault import Vault


def disconnect(service: str, vault: Vault, pool: Pool, endpoints: Endpoints | None) -> list[Notice]:
    """Delete a sign-in, revoking Sage's; Productive's token can only be deleted in Productive.

    `endpoints` is None where the settings that name them cannot be understood.
    """
    if service == "productive":
        vault.forget(service)
        return []
    if endpoints is None:
        vault.forget(service)
        trouble = "the settings, which may name its address, cannot be understood"
    else:
        trouble = oauth.forget(vault, sage_http(pool, endpoints.sage_revoke))
    if not trouble:
        return []
    message = (
        f"psage has forgotten its sign-in to Sage, but could not revoke it ({trouble}): its access "
        "may be removed in Sage, else it ends by itself within a month"
    )
    return [Notice("not_revoked", message)]


def purge(home: Home) -> list[Path]:
    """Delete the store, its saved older versions and the settings of a profile.

    The locks stay: they hold nothing, and somebody may be waiting for one. So does a settings file
    that `--config` names.
    """
    # The store before its `-wal`: SQLite throws that away beside an empty store, while a store
    # without it would have lost its last commits.
    names = (
        f"{home.profile}.db",
        f"{home.profile}.db-wal",
        f"{home.profile}.db-shm",
        f"{home.profile}.v*.db",
        f"{home.profile}.replaced-*",
        f"{home.profile}.toml",
    )
    found = [path for name in names for path in sorted(home.folder.glob(name))]
    for path in found:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, path) from error
    return found
