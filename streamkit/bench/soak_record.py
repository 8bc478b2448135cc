"""What is known of a soak: samples, states, faults; and who counts by himself while it runs."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import psutil

from streamkit.events import StatusUpdate
from streamkit.meters import Histogram
from streamkit.predictions import Result

_TOLD: Final = ("SOURCE_LOST", "SOURCE_RECOVERED", "SOURCE_DEGRADED", "SOURCE_CHANGED")


@dataclass(frozen=True, slots=True)
class Held:
    """What the process holds: memory in MiB, native threads, file descriptors."""

    rss: float
    threads: int
    fds: int

    @classmethod
    def now(cls, process: psutil.Process) -> Held:
        """At this moment."""
        with process.oneshot():
            rss = process.memory_info().rss / 2**20
            return cls(round(rss, 3), process.num_threads(), process.num_fds())


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of the record; ``at`` in seconds from the beginning, ages in seconds."""

    at: float
    held: Held
    age_p50: float | None
    age_p99: float | None
    """Of what healthy streams delivered since the sample before; ``None`` if that was nothing."""
    captured: int
    delivered: int
    states: tuple[str, ...]


@dataclass(slots=True)
class Span:
    """Something that lasted; ``end`` is ``None`` while it does."""

    what: str
    begin: float
    end: float | None = None


@dataclass
class Record:
    """All that is known of a run, whole or up to where it was interrupted."""

    seed: int
    minutes: float
    budget: float
    """Seconds that a healthy frame may be old, at p99."""
    names: list[str]
    healthy: list[int]
    seconds: float = 0.0
    interrupted: bool = False
    samples: list[Sample] = field(default_factory=list)
    states: list[list[Span]] = field(default_factory=list)
    """Of each stream, its states one after another; ``RUNNING, DEGRADED`` is our word."""
    faults: list[list[Span]] = field(default_factory=list)
    """Of each camera, what the lab did to it."""
    events: list[dict[str, Any]] = field(default_factory=list)
    calm: list[Held] = field(default_factory=list)
    """Before the first fault, while all streams run."""
    calm_again: list[Held] = field(default_factory=list)
    """After the last one."""
    back: dict[str, float] = field(default_factory=dict)
    """Of each stream, the seconds from the end of its last fault until it delivered again."""
    streams: list[dict[str, Any]] = field(default_factory=list)
    """Accounts after the end."""
    seen: list[dict[str, int]] = field(default_factory=list)
    """Of each stream, what listeners and the sink counted by themselves."""
    unwritten: int = 0
    """Results that the sink had no time for, as its delivery counts them."""
    ages: list[float] = field(default_factory=list)
    """Of each healthy stream, the p99 of all its frames."""
    trouble: str | None = None
    """Why the faults stopped coming."""


class Watch:
    """A sink and a listener in one: counts by itself, for every stream."""

    capacity = 64

    def __init__(self, count: int, healthy: Sequence[int], began: float) -> None:
        self.seen = [Counter[str]() for _ in range(count)]
        self.events: list[dict[str, Any]] = []
        self._last = [0] * count
        self._ages = {number: Histogram() for number in healthy}
        self._window: list[float] = []
        self._lock = threading.Lock()
        self._began = began

    def write(self, result: Result) -> None:
        """One result that was delivered."""
        frame = result.frame
        number, age = frame.source_id or 0, frame.age
        with self._lock:
            self.seen[number]["delivered"] += 1
            self.seen[number]["out of order"] += frame.frame_id <= self._last[number]
            self._last[number] = frame.frame_id
            if number in self._ages:
                self._ages[number].add(age)
                self._window.append(age)

    def close(self) -> None:
        """Nothing is held."""

    def told(self, update: StatusUpdate) -> None:
        """One update."""
        number = update.payload.get("source_id")
        if number is None:
            return
        with self._lock:
            if update.event_type in ("FRAME_CAPTURED", "FRAME_DROPPED"):
                self.seen[number][update.event_type] += 1
            elif update.event_type in _TOLD:
                at = round(time.monotonic() - self._began, 3)
                self.seen[number][update.event_type] += 1
                code = update.payload.get("code")
                self.events.append(
                    {"at": at, "source_id": number, "event": update.event_type, "code": code}
                )

    def window(self) -> tuple[float, float] | tuple[None, None]:
        """Median and p99 of the ages since the last call."""
        with self._lock:
            ages, self._window = self._window, []
        if not ages:
            return None, None
        return float(np.quantile(ages, 0.5)), float(np.quantile(ages, 0.99))

    def ages(self) -> list[float]:
        """Of each healthy stream, the p99 of all; infinite for one that gave nothing."""
        with self._lock:
            return [a.quantile(0.99) if a.count else math.inf for a in self._ages.values()]
