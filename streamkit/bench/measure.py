"""Two ways to do the same, timed in turn (A B A B), so that both meet the same noise."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Work = Callable[[], object]

_TURN: Final = 0.05
"""Seconds that a turn lasts at least; work that is quicker is repeated in it."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of several figures, and the least and greatest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: list[float]) -> Spread:
        """Of one figure or more."""
        return cls(float(np.median(figures)), min(figures), max(figures))

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"median": self.median, "low": self.low, "high": self.high}

    def text(self, factor: float, places: int) -> str:
        """For tables: each figure times ``factor``."""
        middle, low, high = (
            f"{factor * figure:.{places}f}" for figure in (self.median, self.low, self.high)
        )
        return f"{middle} ({low} - {high})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``plain`` against ``ours``: seconds per call, by the clock and of the CPU; their ratio."""

    plain: Spread
    ours: Spread
    plain_cpu: float
    ours_cpu: float
    ratio: Spread
    """How many times as long the plain one took, turn by turn."""
    rounds: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        spreads = {"plain": self.plain, "ours": self.ours, "ratio": self.ratio}
        told: dict[str, Any] = {name: s.as_dict() for name, s in spreads.items()}
        return told | {
            "plain_cpu": self.plain_cpu,
            "ours_cpu": self.ours_cpu,
            "rounds": self.rounds,
        }


def compare(plain: Work, ours: Work, rounds: int, turn: float = _TURN) -> Comparison:
    """Each is called once unmeasured, which also tells how often it fits in a turn."""
    repeats = [_repeats(work, turn) for work in (plain, ours)]
    wall: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for i, work in enumerate((plain, ours)):
            seconds, cpu_seconds = _timed(work, repeats[i])
            wall[i].append(seconds)
            cpu[i].append(cpu_seconds)
    ratios = [a / b for a, b in zip(*wall, strict=True)]
    plain_cpu, ours_cpu = (sum(spent) / rounds for spent in cpu)
    spreads = Spread.of(wall[0]), Spread.of(wall[1])
    return Comparison(*spreads, plain_cpu, ours_cpu, Spread.of(ratios), rounds)


def _repeats(work: Work, turn: float) -> int:
    work()
    seconds, _ = _timed(work, 1)
    return max(1, round(turn / seconds))


def _timed(work: Work, repeats: int) -> tuple[float, float]:
    """Seconds per call: by the clock, and of all threads of the process (as ``os.times``, which
    counts in hundredths)."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - began) / repeats, (time.process_time() - cpu) / repeats
