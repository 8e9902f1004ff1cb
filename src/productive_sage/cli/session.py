"""What one run works with: the root options, and the files, locks and clients they lead to.

As in `cli`, what costs time to load is imported where it is used.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from productive_sage.errors import HomeUnusable, Locked, PsageError
from productive_sage.terminal import asking, progress

if TYPE_CHECKING:
    from productive_sage.config import Home
    from productive_sage.desk import Ask, Desk
    from productive_sage.http.pool import Pool
    from productive_sage.http.timing import Timing
    from productive_sage.settings import Settings
    from productive_sage.signin.oauth import SageTokens
    from productive_sage.signin.vault import ProductiveSignIn, Vault
    from productive_sage.store import Store

_SHORT_S = 7 * 86_400
"""A sign-in that ends sooner is warned about."""


@dataclass(slots=True)
class Session:
    """The root options, and what they lead to."""

    profile: str = "default"
    config: Path | None = None
    verbose: bool = False
    quiet: bool = False
    no_input: bool = False
    command: str = ""
    has_answered: bool = False
    """Whether the result, or with `--json` the document, is out."""
    handed_in: "Timing | None" = None

    def begin(self, timing: "Timing | None") -> None:
        """Forget the run before: one process may have several."""
        for one in fields(self):
            setattr(self, one.name, one.default)
        self.handed_in = timing

    @property
    def timing(self) -> "Timing":
        """How time goes: as everywhere, unless whoever began the run handed in something else."""
        from productive_sage.http.timing import Timing

        return self.handed_in or Timing()

    def connections(self) -> "AbstractContextManager[Pool]":
        """The connections to both services."""
        from productive_sage.http.pool import connect_pool

        return connect_pool(self.timing)

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody at a terminal who may be asked."""
        return not self.no_input and sys.stdin.isatty() and sys.stdout.isatty()

    @property
    def folder(self) -> Path:
        """The home folder, be it there or not."""
        folder = Path(os.environ.get("PSAGE_HOME") or typer.get_app_dir("psage"))
        try:
            return folder.expanduser()
        except RuntimeError:
            raise HomeUnusable(
                f"`{folder}` is in the home of a user this machine does not know",
                hint="point PSAGE_HOME to a folder psage may write to",
            ) from None

    def home(self) -> "Home":
        """The files of the profile; the folder is made where it is missing."""
        from productive_sage import config, logs
        from productive_sage.terminal import render

        render.name_profile(self.profile)
        home = config.open_home(self.folder, self.profile, self.config)
        logs.log_to(home.log, verbose=self.verbose)
        return home

    def home_as_it_is(self, profile: str) -> "Home":
        """The files of a profile, none of which is made for it; the log only where it has a place.

        For commands that change nothing, and work where a home cannot be used.
        """
        from productive_sage import config, logs

        home = config.named_home(self.folder, profile, self.config)
        logs.log_nothing()
        with suppress(PsageError, OSError):
            if home.log.parent.is_dir():
                logs.log_to(home.log, verbose=self.verbose)
        return home

    def settings(self, home: "Home") -> "Settings":
        """The settings as they are now; what is odd in the file is warned about."""
        from productive_sage import config

        settings, warnings = config.load(home.config, os.environ)
        for warning in warnings:
            warn(warning)
        return settings

    def vault(self, profile: str = "") -> "Vault":
        """The keyring's entries of a profile, of the run's own where none is named."""
        from productive_sage.signin.vault import Vault

        timing = self.timing
        timeout_s = timing.unlocking_s if self.can_ask else timing.keyring_s
        return Vault(profile or self.profile, timeout_s=timeout_s)

    def ask(self) -> "Ask | None":
        """How a use case asks; None where nobody can answer."""
        return self.person() if self.can_ask else None

    def person(self) -> asking.Person:
        """Whoever runs the command, be it a script."""
        return asking.Person(can_ask=self.can_ask, wants_to_know=not self.quiet)

    @contextmanager
    def desk(
        self, check: "Callable[[Settings], None]", *, dry_run: bool, read_only: bool = False
    ) -> Iterator["Desk"]:
        """Everything a use case works with; writing runs hold the profile's lock.

        `check` raises where the settings do not let the command run at all. `read_only`: no service
        is written to, whatever is done to psage's own records.
        """
        from dataclasses import replace

        from productive_sage import history

        home = self.home()
        settings = self.settings(home)
        check(settings)
        with ExitStack() as stack:
            if not dry_run:
                stack.enter_context(self.run_lock(home))
            desk = self.clients(home, settings, stack, read_only=dry_run or read_only)()
            if not dry_run:
                history.record_interrupted(desk.store, warn)
            yield replace(desk, ask=self.ask(), dry_run=dry_run, step=progress.step)

    @contextmanager
    def run_lock(self, home: "Home") -> Iterator[None]:
        """Let one writing run at a time work on a profile; the next one says who holds it."""
        import filelock

        from productive_sage import files
        from productive_sage.config import storage_error

        holder = home.lock.with_suffix(".holder")
        lock = filelock.FileLock(home.lock, timeout=0, mode=0o600)
        try:
            lock.acquire()
        except filelock.Timeout:
            try:
                who = holder.read_text(encoding="utf-8")
            except OSError:
                who = "another psage run"
            raise Locked(
                f"profile `{home.profile}` is in use: {who}",
                hint="wait for it to end and run the command again",
            ) from None
        except OSError as error:
            raise storage_error(error, home.lock) from error
        with ExitStack() as stack:
            stack.callback(lock.release)
            since = f"{datetime.now().astimezone():%Y-%m-%d %H:%M}"
            try:
                who = f"`psage {self.command}` (process {os.getpid()}) since {since}"
                files.put(holder, who.encode(), lasts=False)
            except OSError as error:
                raise storage_error(error, holder) from error
            stack.callback(holder.unlink, missing_ok=True)
            yield

    def clients(
        self, home: "Home", settings: "Settings", stack: ExitStack, *, read_only: bool = False
    ) -> "Callable[[], Desk]":
        """A function that opens store and clients at its first call, closed by `stack`."""
        opened: list[Desk] = []

        def opener() -> "Desk":
            if not opened:
                opened.append(self._opened(home, settings, stack, read_only=read_only))
            return opened[0]

        return opener

    def _opened(
        self, home: "Home", settings: "Settings", stack: ExitStack, *, read_only: bool
    ) -> "Desk":
        from productive_sage import history
        from productive_sage.desk import Desk
        from productive_sage.productive.calls import Token
        from productive_sage.productive.client import ProductiveClient
        from productive_sage.sage.calls import sage_http
        from productive_sage.sage.client import SageClient
        from productive_sage.signin.oauth import SageTokens
        from productive_sage.store import Store

        author = (history.user(), self.command)
        store = stack.enter_context(Store(home.store, by=author, warn=warn, now=self.timing.utc))
        vault = self.vault()
        sign_in = vault.productive()
        pool = stack.enter_context(self.connections())
        tokens = SageTokens(vault, sage_http(pool, settings.endpoints.sage_token))
        stack.callback(_warn_of_the_end, tokens)
        stack.callback(_remember, store, sign_in, tokens)
        productive = ProductiveClient(
            pool,
            settings.endpoints,
            Token(sign_in.token, sign_in.organization_id),
            minor_digits=settings.minor_digits,
            read_only=read_only,
        )
        http = sage_http(
            pool,
            settings.endpoints.sage_api,
            credentials=tokens,
            calls_per_second=settings.sage_calls_per_second,
            read_only=read_only,
        )
        folder = Path(settings.pdf_folder or home.folder / "pdf").expanduser()
        sage = SageClient(http, tokens.sign_in.business_id)
        return Desk(settings, store, productive, sage, folder)


current = Session()
"""The one under way; Typer has no other place for the root options."""


def warn(message: str) -> None:
    """Print a warning, if anybody can still take it."""
    from productive_sage.terminal import render

    with suppress(OSError):
        render.warning(message)


def _warn_of_the_end(tokens: "SageTokens") -> None:
    """Say at the end of a run that the sign-in to Sage, renewed or not, will not last long."""
    left_s = tokens.sign_in.refresh_until - time.time()
    if left_s < _SHORT_S:
        day = datetime.fromtimestamp(tokens.sign_in.refresh_until).astimezone().date()
        warn(
            f"the sign-in to Sage ends on {day}, in {max(0, int(left_s // 86_400))} days, and "
            "this run could not prolong it: run `psage connect sage` before"
        )


def _remember(store: "Store", productive: "ProductiveSignIn", tokens: "SageTokens") -> None:
    """Record at the end of a run, for `status`, what of the sign-ins is no secret."""
    from dataclasses import replace

    until = time.time() if tokens.has_ended else tokens.sign_in.refresh_until
    sage = replace(tokens.sign_in, refresh_until=until)
    with suppress(PsageError):  # what the run did counts more
        store.cursors.remember_sign_in("Productive", productive.facts)
        store.cursors.remember_sign_in("Sage", sage.facts)
