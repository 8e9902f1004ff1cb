"""How time goes in a run: a value, so that a test can hand in another."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Timing:
    """How time goes in a run, and how long it is patient; tests hand in their own."""

    utc: Callable[[], datetime] = _utc
    """This machine's time."""
    clock: Callable[[], float] = time.monotonic
    """Seconds since whenever, which are not set back."""
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    """From 0 to 1."""
    answer_s: float = 30.0
    """Each piece of an answer comes within this,"""
    deadline_s: float = 120.0
    """and all of it within this, however slowly it comes."""
    sign_in_s: float = 300.0
    """So long somebody may take to sign in with the browser,"""
    keyring_s: float = 10.0
    """and an entry of the keyring,"""
    unlocking_s: float = 120.0
    """where somebody is there who may have to type its password."""
