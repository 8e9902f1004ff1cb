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
        self._booked: list[deque[float]] = [deque(maxlen=window.calls) for window in windows]
        """When the latest calls of each window were or will be sent."""

    def book(self, now: float) -> float:
        """Seconds until the next call fits into every window, which has its place there from now.

        0 where it fits now. `now` is in seconds of a monotonic clock. Places are given in the order
        they are asked for.
        """
        at = now
        for window, booked in zip(self._windows, self._booked, strict=True):
            if len(booked) == window.calls:
                at = max(at, booked[0] + window.seconds)
        for booked in self._booked:
            booked.append(at)
        return at - now


def backoff_s(attempt: int, jitter: Callable[[], float]) -> float:
    """Seconds before the try after `attempt` (1 for the first): 0.5, 1, 2, 4 with jitter.

    `jitter` returns a number from 0 to 1; between half of the step and all of it is waited.
    """
    step = 0.5 * float(2 ** (attempt - 1))
    return step * (0.5 + jitter() / 2)


def is_affordable(*, attempt: int, spent_s: float, wait_s: float) -> bool:
    """Whether one more try fits the limits of attempts and time."""
    return attempt < MAX_ATTEMPTS and spent_s + wait_s <= BUDGET_S
