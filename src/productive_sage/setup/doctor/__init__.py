"""doctor: try everything psage stands on, one check after the other; none hides another.

Nothing is written to a service, to the settings or to the store. Only the sign-in to Sage is
renewed where it is time, as by every run, and stored.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from productive_sage import config
from productive_sage.config import Home
from productive_sage.errors import NetworkDown, NotConnected, PsageError, SignInExpired
from productive_sage.http.pool import Pool
from productive_sage.settings import Settings
from productive_sage.setup.doctor import cron, machine, services
from productive_sage.setup.doctor.checks import (
    SERVICES,
    Check,
    Doubt,
    findings,
    summary,
    tried,
    worst,
)
from productive_sage.setup.doctor.ground import Ground
from productive_sage.signin.vault import ProductiveSignIn, SageSignIn, Vault
from productive_sage.store import Store

__all__ = ["Check", "ask", "examine", "findings", "summary", "worst"]


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
    ground = Ground(home, vault, pool, environment, clock)
    for name, check in _checks(with_cron=with_cron):
        yield tried(name, partial(check, ground))


def _checks(*, with_cron: bool) -> Iterator[tuple[str, Callable[[Ground], str]]]:
    """Each stands on those before it alone."""
    yield "python", machine.python
    yield "home", machine.home
    yield "ledger", machine.store
    yield "settings", machine.settings
    yield "keyring", machine.keyring
    if with_cron:
        yield "keyring_under_cron", cron.keyring
    yield "network_to_productive", partial(machine.network, service="Productive")
    yield "network_to_sage", partial(machine.network, service="Sage")
    yield "clock", machine.clock
    yield "productive", services.productive
    yield "rights_in_productive", services.rights_in_productive
    yield "sage", services.sage
    yield "rights_in_sage", services.rights_in_sage
    yield "edition_of_sage", services.edition_of_sage
    yield "ledger_account", services.ledger_account
    yield "tax_rate", services.tax_rate
    yield "items", services.items
    yield "lock_date", services.lock_date


# --- for `status --check`


def ask(home: Home, vault: Vault, pool: Pool, settings: Settings) -> dict[str, PsageError | None]:
    """Ask both services whether the sign-ins hold, and record that in the store for `status`.

    By service: None where it does, else why not.
    """
    ground = Ground(home, vault, pool, {}, time.time, settings)
    answers = {service: _answer(ground, service) for service in SERVICES}
    with suppress(PsageError):  # what is wrong with the store says whoever reads it next
        _record(ground, answers)
    return answers


def _answer(ground: Ground, service: str) -> PsageError | None:
    """Why the sign-in to a service does not hold, or None where it does."""
    try:
        ground.stored()
        if isinstance(missing := ground.sign_ins[service], PsageError):
            return missing
        with suppress(NetworkDown):
            machine.network(ground, service)
        if down := ground.unreachable.get(service):
            return down
        (services.productive if service == "Productive" else services.sage)(ground)
    except Doubt:
        pass
    except PsageError as error:
        return error
    return None


def _record(ground: Ground, answers: Mapping[str, PsageError | None]) -> None:
    """Put into the store, making it if need be, what became known of the sign-ins."""
    known = {
        service: found
        for service, found in ground.sign_ins.items()
        if isinstance(found, NotConnected | ProductiveSignIn | SageSignIn)
    }
    if not ground.home.store.exists():
        if all(isinstance(found, NotConnected) for found in known.values()):
            return
        config.open_home(ground.home.folder, ground.home.profile)
    with Store(ground.home.store) as store:
        for service, found in known.items():
            facts = None if isinstance(found, NotConnected) else found.facts
            if facts and isinstance(answers[service], SignInExpired):
                facts = replace(facts, until=ground.now())
            store.cursors.remember_sign_in(service, facts)
