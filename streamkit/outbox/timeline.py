"""The time of an outbox: it never goes back, whatever the machine's clock does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from; tests bring their own."""

    wall: Callable[[], float] = time.time
    """Seconds since 1970, as far as this machine knows; may be set."""
    steady: Callable[[], float] = time.monotonic
    """Seconds that only go forward while this process runs."""


@dataclass(slots=True)
class Timeline:
    """Seconds since the outbox was made, through restarts.

    While it is open they are counted by the steady clock. For the time between two runs the wall
    clock is believed where it went forward: a machine that starts in 1970 and learns later what
    year it is loses no time, and expires nothing by that leap.
    """

    clock: Clock = field(default_factory=Clock)
    _from: float = 0.0
    _since: float = 0.0

    def resume(self, time: float, wall: float) -> None:
        """Go on where an earlier run was at ``time``, when the wall clock showed ``wall``."""
        self._from = time + max(0.0, self.clock.wall() - wall)
        self._since = self.clock.steady()

    def now(self) -> float:
        """Seconds."""
        return self._from + max(0.0, self.clock.steady() - self._since)
