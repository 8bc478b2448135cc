"""Streams for the tests of stages: frames at given times, objects that move as told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from streamkit.frame import Clock, VideoFrame
from streamkit.predictions import Detections, Result

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
START = datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC)
NAMES = ("person", "bicycle", "car")
SIZE = (640, 480)
PIXELS = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


def frame(at: float, number: int = 1, *, source_id: int = 0, **more: Any) -> VideoFrame:
    """Taken ``at`` seconds after the start of a recording."""
    return VideoFrame(
        PIXELS,
        number,
        START + timedelta(seconds=at),
        source_id=source_id,
        **{"clock": Clock.PTS, "comes_from_video_file": True, **more},
    )


def objects(
    *rows: Sequence[float], tracked: bool = True, size: tuple[int, int] = SIZE
) -> Detections:
    """Each row: track, class, x and y of the foot; boxes are 40 x 80. Without ``tracked`` the
    first column says nothing."""
    table = np.array(rows, np.float32).reshape(-1, 4)
    x, y = table[:, 2], table[:, 3]
    return Detections(
        np.stack((x - 20, y - 80, x + 20, y), axis=1),
        np.full(len(table), 0.9, np.float32),
        table[:, 1].astype(np.int64),
        NAMES,
        size,
        tracker_id=table[:, 0].astype(np.int64) if tracked else None,
    )


def seen(at: float, *rows: Sequence[float], number: int = 1, **more: Any) -> Result:
    """One frame with these tracked objects."""
    return Result(frame(at, number, **more), objects(*rows))


def walk(
    stage: Callable[[Result], Result],
    path: Sequence[Sequence[float]],
    step: float = 0.1,
    first: int = 1,
) -> list[Result]:
    """One tracked object (number 7, a person) that is at each point of ``path`` in turn, from the
    ``first`` frame on."""
    numbered = enumerate(path, first)
    return [stage(seen((n - 1) * step, (7, 0, x, y), number=n)) for n, (x, y) in numbered]


@cache
def street() -> Any:
    """The drawn street, imported the way its own scripts do."""
    import importlib

    sys.path.insert(0, str(SAMPLES))
    try:
        return importlib.import_module("street.scene")
    finally:
        sys.path.remove(str(SAMPLES))


def crowd(seed: int, frames: int = 40, rate: float = 10.0) -> Iterator[tuple[float, Detections]]:
    """Times and untracked detections of people who walk about; the same for equal seeds."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    place = rng.uniform((60, 120), (580, 470), (count, 2))
    pace = rng.normal(0, 60, (count, 2))
    at = 0.0
    for _ in range(frames):
        at += float(rng.choice([1, 1, 1, 2, 5])) / rate
        shown = rng.random(count) > 0.1
        foot = place + pace * at + rng.normal(0, 1, (count, 2))
        rows = np.column_stack((np.zeros((count, 1)), rng.integers(0, 3, count), foot))
        yield at, objects(*rows[shown], tracked=False)
