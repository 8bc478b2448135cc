"""So many cameras on one model, really run for some seconds: how old do the results get?"""

from __future__ import annotations

import math
import os
import statistics
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import psutil

from streamkit.options import SourceReference
from streamkit.pipeline import InferencePipeline
from streamkit.predictions import Result

_SETTLE = 2.5
_ENOUGH = 0.9
"""The share of the wanted rate that a stream has to get."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one camera asks for."""

    clip: Path
    rate: float
    """Pictures a second that the camera sends."""
    fps: float
    """Predictions a second that are wanted of it."""
    model_id: str
    options: dict[str, Any]
    """More options of each stream."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it."""

    cameras: int
    fps: float
    """Wanted, per camera."""
    served: float
    """The lowest share of the wanted rate that any camera got."""
    age_p50: float
    age_p95: float
    age_p99: float
    cpu: float
    """Share of the machine."""
    others: float = 0.0
    """Share of the machine that other programs took meanwhile."""

    def fits(self, max_age: float) -> bool:
        """Old at most ``max_age`` seconds at p99, and nobody short of results."""
        return self.age_p99 <= max_age and self.served >= _ENOUGH

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def attempt(load: Load, cameras: int, seconds: float) -> Trial:
    """Run ``cameras`` replays of the clip through the model. Raises what loading the model does.

    Each has a rate a little of its own, like the crystals of cameras, so that they do not march
    in step.
    """
    ages: defaultdict[int, list[float]] = defaultdict(list)
    measuring = threading.Event()

    def note(result: Result) -> None:
        if measuring.is_set():
            ages[result.frame.source_id or 0].append(result.frame.age)

    pipeline = InferencePipeline.init(
        [_camera(load, number) for number in range(cameras)], load.model_id, on_result=note
    )
    with pipeline:
        time.sleep(_SETTLE)
        measuring.set()
        began, cpu = time.monotonic(), time.process_time()
        psutil.cpu_percent()  # from here on
        time.sleep(seconds)
        measuring.clear()
        spent, took = time.process_time() - cpu, time.monotonic() - began
        busy = psutil.cpu_percent() / 100
    wanted = min(load.fps, load.rate)
    served = min(len(ages[number]) for number in range(cameras)) / took / wanted
    share = spent / took / (os.cpu_count() or 1)
    p50, p95, p99 = _percentiles(list(chain(*ages.values())))
    others = max(0.0, busy - share)
    return Trial(cameras, load.fps, min(1.0, served), p50, p95, p99, share, others)


def _camera(load: Load, number: int) -> SourceReference:
    own = load.rate * (1 + 0.002 * ((number * 7) % 11 - 5))
    options = {"fps": own, "max_fps": load.fps, "share": False, **load.options}
    return SourceReference(f"replay:{load.clip}", options)


def _percentiles(ages: list[float]) -> tuple[float, float, float]:
    """The 50th, 95th and 99th; of hardly any results: nobody can say, so endless."""
    if len(ages) < 2:
        return math.inf, math.inf, math.inf
    cuts = statistics.quantiles(ages, n=100)
    return cuts[49], cuts[94], cuts[98]
