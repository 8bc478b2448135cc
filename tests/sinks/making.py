"""Frames, predictions and results for the tests of sinks, stages and imaging."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from streamkit.frame import Clock, VideoFrame
from streamkit.predictions import Detections, Result
from streamkit.sources.numbered import encode_number

START = datetime(2026, 3, 29, 0, 59, 59, 900_000, tzinfo=UTC)
"""A tenth of a second before clocks in Europe leap to summer time."""

NAMES = ("person", "bicycle", "car")


def frame(
    number: int = 1,
    *,
    at: float = 0.0,
    source_id: int | None = 0,
    size: tuple[int, int] = (320, 240),
    start: datetime = START,
) -> VideoFrame:
    """A picture of ``number``, taken ``at`` seconds after ``start``."""
    return VideoFrame(
        encode_number(number, *size),
        frame_id=number,
        frame_timestamp=start + timedelta(seconds=at),
        source_id=source_id,
        clock=Clock.PTS,
    )


def detections(*, tracked: bool = False, size: tuple[int, int] = (320, 240)) -> Detections:
    """A person and a car."""
    return Detections(
        xyxy=np.array([[40, 100, 100, 220], [150.25, 120, 300, 200]], np.float32),
        confidence=np.array([0.875, 0.5], np.float32),
        class_id=np.array([0, 2], np.int64),
        names=NAMES,
        image_size=size,
        tracker_id=np.array([12, -1], np.int64) if tracked else None,
    )


def result(number: int = 1, *, prediction: Any = None, **how: Any) -> Result:
    """A frame with a person and a car in it, unless told otherwise."""
    return Result(frame(number, **how), detections() if prediction is None else prediction)


def classification() -> dict[str, Any]:
    """What a classifier answers with: nothing to draw a box around."""
    return {"predictions": [{"class": "cat", "class_id": 0, "confidence": 0.9}], "top": "cat"}
