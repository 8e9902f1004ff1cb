"""When to send, when to try again: pure rules, the clock is passed in."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MAX_ATTEMPTS = 5
BUDGET_S = 60.0
"""No try begins later than this after the first; a longer pause is the next run's business."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `calls` in any `seconds`."""

    calls: int
    seconds: float


class Limiter:
    """Keep to several windows at once; every attempt costs one call, retries included."""

    def __init__(self, windows: tuple[Window, ...]) -> None:
        self._windows = windows
        self._sent: list[deque[float]] = [deque() for _ in windows]

    def wait_s(self, now: float) -> float:
        """Seconds until the next call fits into every window; 0 when it fits now."""
        wait = 0.0
        for window, sent in zip(self._windows, self._sent, strict=True):
            while sent and sent[0] <= now - window.seconds:
                sent.popleft()
            if len(sent) >= window.calls:
                wait = max(wait, sent[-window.calls] + window.seconds - now)
        return wait

    def record(self, now: float) -> None:
        """Count one call sent at `now` (seconds of a monotonic clock)."""
        for sent in self._sent:
            sent.append(now)


def backoff_s(attempt: int, jitter: Callable[[], float]) -> float:
    """Seconds before the try after `attempt` (1 for the first): 0.5, 1, 2, 4 with jitter.

    `jitter` returns a number from 0 to 1; between half of the step and all of it is waited.
    """
    step = 0.5 * float(2 ** (attempt - 1))
    return step * (0.5 + jitter() / 2)


def is_affordable(*, attempt: int, spent_s: float, wait_s: float) -> bool:
    """Whether one more try fits the limits of attempts and time."""
    return attempt < MAX_ATTEMPTS and spent_s + wait_s <= BUDGET_S
