"""Counters and histograms of bounded size: what came in, what went out, what was lost and why."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streamkit.events import DropCause


class Histogram:
    """Positive numbers in logarithmic buckets: quantiles within 2.5 %, a few hundred ints."""

    _GROWTH = math.log(1.05)
    _FLOOR = 1e-6

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._lock = threading.Lock()
        self.count = 0
        self.total = 0.0
        self.maximum = 0.0

    def add(self, value: float) -> None:
        """Count one value; zero and below count as the smallest."""
        bucket = round(math.log(max(value, self._FLOOR)) / self._GROWTH)
        with self._lock:
            self._buckets[bucket] += 1
            self.count += 1
            self.total += value
            self.maximum = max(self.maximum, value)

    @property
    def mean(self) -> float:
        """Arithmetic mean; 0 without values."""
        return self.total / self.count if self.count else 0.0

    def below(self, bounds: Sequence[float]) -> list[int]:
        """How many values lie at or below each of ``bounds``, within 2.5 %."""
        with self._lock:
            buckets = dict(self._buckets)
        tops = [math.log(bound) / self._GROWTH for bound in bounds]
        return [sum(n for bucket, n in buckets.items() if bucket <= top) for top in tops]

    def quantile(self, q: float) -> float:
        """The value below which a fraction ``q`` of all values lies; 0 without values."""
        with self._lock:
            wanted, seen = q * self.count, 0
            for bucket in sorted(self._buckets):
                seen += self._buckets[bucket]
                if seen >= wanted:
                    return min(math.exp(bucket * self._GROWTH), self.maximum)
        return 0.0


class Rate:
    """Events per second over a short window of times handed in (seconds, any clock)."""

    def __init__(self, window: int = 100) -> None:
        self._times: deque[float] = deque(maxlen=window)

    def tick(self, now: float) -> float:
        """Note an event; the rate over the window, 0.0 until there are two."""
        self._times.append(now)
        span = now - self._times[0]
        return (len(self._times) - 1) / span if span > 0 else 0.0


@dataclass(slots=True)
class Tally:
    """One stream's account: captured = delivered + dropped by cause + still in flight."""

    captured: int = 0
    delivered: int = 0
    reconnects: int = 0
    dropped: Counter[DropCause] = field(default_factory=Counter)
    age: Histogram = field(default_factory=Histogram)
    _span: tuple[float, float] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def capture(self) -> int:
        """Count a frame the source produced; its number."""
        with self._lock:
            self.captured += 1
            return self.captured

    def deliver(self, age: float) -> None:
        """Count a frame that reached the sinks, ``age`` seconds after it arrived."""
        now = time.monotonic()
        with self._lock:
            self.delivered += 1
            self._span = (self._span[0] if self._span else now, now)
        self.age.add(age)

    @property
    def fps(self) -> float:
        """Frames delivered per second between the first and the last of them."""
        first, last = self._span or (0.0, 0.0)
        return (self.delivered - 1) / (last - first) if last > first else 0.0

    def drop(self, cause: DropCause) -> None:
        """Count a frame that will not be delivered."""
        with self._lock:
            self.dropped[cause] += 1

    def account(self) -> dict[str, Any]:
        """All of it at one moment, so that it is exact also while frames flow."""
        with self._lock:
            return {
                "captured": self.captured,
                "delivered": self.delivered,
                "dropped": {cause.name.lower(): count for cause, count in self.dropped.items()},
                "in_flight": self.captured - self.delivered - self.dropped.total(),
            }
