"""Whether the keyring answers in a process with no more of an environment than cron gives it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from productive_sage.errors import (
    KeyringUnavailable,
    NotConnected,
    PsageError,
)
from productive_sage.redaction import redacted
from productive_sage.setup.doctor.checks import Doubt
from productive_sage.setup.doctor.ground import Ground
from productive_sage.signin.vault import Vault

_CRON_TIMEOUT_S = 60


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


def keyring(ground: Ground) -> str:
    """The same in a process with no more of an environment than cron gives it."""
    with_us = {name: value for name, value in ground.environment.items() if name in _CRON_HAS}
    lacks = sorted(
        name
        for name in ground.environment
        if name.startswith(_MATTERS_TO_A_KEYRING) and name not in {*with_us, *_FOR_CONNECT}
    )
    found = _asked_under_cron(ground.home.profile, {**with_us, "PATH": os.defpath})
    stored: list[str] = []
    with suppress(KeyringUnavailable):  # which is another check
        stored = ground.stored()
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
        raise Doubt(f"{said}, but {without}", "name them in the crontab line if they matter")
    return said


_PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[1])
from productive_sage.setup.doctor.cron import answer_for_cron
answer_for_cron(sys.argv[2])
"""


def _asked_under_cron(profile: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """What `answer_for_cron` says in a process with these variables and no terminal."""
    error = "psage cannot be started there"
    with suppress(OSError, ValueError, IndexError):
        try:
            done = subprocess.run(  # noqa: S603 -- this very Python
                [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parents[3]), profile],
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
