"""Pace and patience: thin a stream to a rate, slow one down to it, wait between attempts."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass

HEED = 0.25
"""Seconds that the main thread waits at a time. Python's signal handlers run in it alone, and only
while it runs; but another thread may have been given the signal, which wakes nobody: Ctrl-C would
wait for as long as the main thread does."""


def heed(event: threading.Event, timeout: float | None = None) -> bool:
    """``event.wait(timeout)``, in which no signal is missed."""
    ends = None if timeout is None else time.monotonic() + timeout
    while not event.is_set():
        left = HEED if ends is None else min(HEED, ends - time.monotonic())
        if left <= 0:
            return False
        event.wait(left)
    return True


class Thinner:
    """Lets at most ``fps`` frames per second pass, judged by the frames' own times.

    A token bucket that holds two frames: a source faster than ``fps`` comes out at exactly
    ``fps``, a slower one untouched, and jitter of up to one interval costs nothing.
    """

    _SLACK = 1e-6

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._tokens = 1.0
        self._last: float | None = None

    def passes(self, at: float) -> bool:
        """Whether the frame taken at ``at`` (seconds, any steady clock) may go on."""
        elapsed = 0.0 if self._last is None else max(0.0, at - self._last)
        self._last = at
        self._tokens = min(2.0, self._tokens + elapsed * self._fps)
        if self._tokens < 1.0 - self._SLACK:
            return False
        self._tokens -= 1.0
        return True


class Pacer:
    """Slows its caller down to at most ``fps`` turns per second, without losing any."""

    def __init__(self, fps: float) -> None:
        self._interval = 1.0 / fps
        self._due: float | None = None

    def wait(self, stopped: threading.Event) -> None:
        """Block until it is time for the next turn, or ``stopped``."""
        now = time.monotonic()
        due = now if self._due is None else max(self._due, now - self._interval)
        stopped.wait(max(0.0, due - now))
        self._due = due + self._interval


@dataclass(slots=True)
class Backoff:
    """Exponential waits between attempts (seconds), each between half and all of its length.

    So the first wait is never longer than ``initial``, none is longer than ``longest``, and many
    streams that were lost together do not come back together.
    """

    initial: float
    longest: float
    attempts: int = 0

    def next(self) -> float:
        """How long to wait before the next attempt."""
        delay = min(self.longest, self.initial * 2.0 ** min(self.attempts, 32))
        self.attempts += 1
        return delay * random.uniform(0.5, 1.0)

    def most(self) -> float:
        """The longest wait at once, whatever the attempts were."""
        self.attempts += 1
        return self.longest * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It worked: the next trouble starts from the shortest wait again."""
        self.attempts = 0
