"""The checks of this machine: its files, its keyring, its clock and the way to the services."""

import os
import ssl
import stat
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from productive_sage import __version__, config
from productive_sage.errors import HomeUnusable, NetworkDown, NoDefaultLedger, PsageError
from productive_sage.http.pool import answer_of
from productive_sage.setup.doctor.checks import MAKES_HOME, Doubt, not_tried
from productive_sage.setup.doctor.ground import Ground
from productive_sage.store import Store
from productive_sage.text import counted

_LIBRARIES = ("httpx", "keyring", "typer", "rich", "tomlkit", "filelock")


_SLOW, _WRONG = timedelta(minutes=2), timedelta(minutes=5)
"""How far this machine's clock may be off: a token lives five minutes."""


def python(_ground: Ground) -> str:
    """Versions, as whoever helps will ask for them."""
    python = ".".join(map(str, sys.version_info[:3]))
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in _LIBRARIES)
    system = f"{sys.platform}, {ssl.OPENSSL_VERSION}"
    return f"psage {__version__}, Python {python} on {system}; {libraries}"


def home(ground: Ground) -> str:
    """The folder and what is in it can be used, and by nobody else."""
    folder = ground.home.folder
    if not folder.exists():
        raise Doubt(f"there is no folder `{folder}` yet", MAKES_HOME)
    if not folder.is_dir():
        raise HomeUnusable(
            f"`{folder}` is not a folder",
            hint="move it away, or point PSAGE_HOME to a folder, and run `psage doctor` again",
        )
    files = [path for path in (ground.home.config, ground.home.store) if path.exists()]
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


def store(ground: Ground) -> str:
    """The file is whole, its records fit together, and no write is without an answer."""
    path = ground.home.store
    if not path.exists():
        return "there is none yet; the first command that needs it makes it"
    with Store(path, read_only=True) as store:
        store.db.check_file()
        documents = sum(store.copies.documents().values())
        flaws = store.flaws()
        unknown = store.intents.count_open()
    if flaws:
        raise Doubt(
            f"`{path}` is whole, but holds {' and '.join(flaws)}",
            "report it; `psage sync-payments --full` looks at every payment",
        )
    if unknown:
        said = "1 write has" if unknown == 1 else f"{unknown} writes have"
        raise Doubt(f"{said} no answer yet", "`psage status` says which command finds out")
    return f"`{path}` is whole, with {counted(documents, 'copied document')}"


def settings(ground: Ground) -> str:
    """Every value is allowed, and every key is known."""
    path = ground.home.config
    ground.settings, warnings, problems = config.survey(path, ground.environment)
    if problems:
        config.load(path, ground.environment)  # raises what names all of them
    if not ground.settings.default_ledger_account:
        raise NoDefaultLedger
    if warnings:
        raise Doubt("; ".join(warnings), f"look for a slip of the pen in `{path}`")
    return f"`{path}` is understood"


def keyring(ground: Ground) -> str:
    """Both sign-ins can be read, which proves that it is there and unlocked."""
    stored = ground.stored()
    if not stored:
        return "it answers, and holds no sign-in of this profile yet"
    return f"it answers, and holds the sign-in to {' and '.join(stored)}"


def network(ground: Ground, service: str) -> str:
    """Every host of a service answers, whatever it says, with a certificate that is trusted."""
    urls = ground.addresses(service)
    ground.connections()
    origins = list(dict.fromkeys(map(_origin, urls)))
    with ThreadPoolExecutor(len(origins)) as threads:
        failures = list(filter(None, threads.map(partial(_look_at, ground), origins)))
    # Without the hosts of Productive's files only PDFs stay behind.
    needed = set(map(_origin, urls if service == "Sage" else urls[:1]))
    for failure in failures:
        if failure.details["origin"] in needed:
            ground.unreachable[service] = failure
    if failures:
        said = "; ".join(failure.message for failure in failures)
        raise NetworkDown(said, hint=failures[0].hint)
    is_safe = all(url.startswith("https:") for url in urls)
    how = "with a certificate that is trusted" if is_safe else "without TLS on this machine"
    hosts = ", ".join(urlsplit(origin).netloc for origin in origins)
    return f"{hosts}: reached, {how}"


def _look_at(ground: Ground, origin: str) -> NetworkDown | None:
    try:
        headers = answer_of(ground.connections(), origin)
    except NetworkDown as error:
        error.details["origin"] = origin
        return error
    with suppress(ValueError):
        theirs = parsedate_to_datetime(headers.get("date", ""))
        if theirs.tzinfo:
            ground.skews[urlsplit(origin).netloc] = theirs - ground.now()
    return None


def clock(ground: Ground) -> str:
    """The clock here is that of the services: the lives of tokens are measured with it."""
    if not ground.skews:
        raise not_tried("network_to_productive", "network_to_sage")
    host, skew = min(ground.skews.items(), key=lambda pair: abs(pair[1]))
    off, way = abs(skew), "behind" if skew > timedelta(0) else "ahead of"
    said = f"this machine's clock is {off.total_seconds():.0f} s {way} that of {host}"
    remedy = "have it set from the network, for example by `sudo timedatectl set-ntp true`"
    if off > _WRONG:
        raise PsageError(said, code="clock_wrong", hint=remedy)
    if off > _SLOW:
        raise Doubt(said, remedy)
    return f"within {max(off.total_seconds(), 1):.0f} s of {host}"


def _check_modes(folder: Path, files: Sequence[Path]) -> None:
    """The folder is closed to others, so what they might change lies outside of it."""
    if (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o077:
        raise Doubt(
            f"other users of this machine can look into `{folder}` (mode {mode:04o})",
            f"close it with `chmod 0700 {folder}`",
        )
    for path in files:
        if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o022:
            raise Doubt(
                f"other users of this machine can change `{path}` (mode {mode:04o})",
                f"close it with `chmod go-w {path}`",
            )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
