"""How late a live frame may go to the model, so that its result is fresh when a sink takes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

LATELY: Final = 8
"""How many durations are remembered."""


class Lately:
    """The least and the most of the last few durations; one thread adds, any may read."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=LATELY)
        self.least = self.most = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self._last.append(seconds)
        self.least, self.most = min(self._last), max(self._last)


@dataclass(frozen=True, slots=True)
class Taker:
    """A sink, as one of its streams sees it."""

    free: float
    """When it is done with what it has begun (monotonic seconds)."""
    pace: float
    """Seconds that it takes for a result, at least."""
    waiting: int
    """Results of the stream that it has not begun."""


Takers: TypeAlias = Callable[[], Sequence[Taker]]


def held(now: float, run: float, under_way: Sequence[float], takers: Iterable[Taker]) -> float:
    """Seconds for which a frame should not go to the model yet: until then, the result would only
    wait for the sinks, and a newer frame may come.

    ``run`` is how long a frame takes to its sinks, ``under_way`` when those began that have not
    got there. The sink that takes it first decides; without any there is no reason to wait. Too
    long a ``run`` and too short a ``pace`` make it go too early, never too late.
    """
    soonest: float | None = None
    for taker in takers:
        due = max(now, taker.free) + taker.pace * taker.waiting
        for began in under_way:
            due = max(due, began + run) + taker.pace
        soonest = due if soonest is None else min(soonest, due)
    return 0.0 if soonest is None else max(0.0, soonest - run - now)
