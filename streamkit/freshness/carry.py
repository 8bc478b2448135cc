"""Between two inferences: which frames go to the model, and where its objects are in the others."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from streamkit.clock import Thinner
from streamkit.frame import VideoFrame
from streamkit.parts import points_moved, shapes_moved
from streamkit.policy import CARRIED
from streamkit.predictions import Detections, Floats, Ints, Result

Pairs: TypeAlias = tuple[Ints, Ints]
"""Indices of what belongs together, before and now."""

_OVERLAP: Final = 0.1
"""IoU from which on a box is taken for the one that was expected there."""
_REACH: Final = 1.0
"""How far from there, in sizes of the box, it may be if nothing overlaps it."""
_NEWEST: Final = 0.7
"""Weight of the velocity seen last, against the one before."""
_LONGEST: Final = 2.0
"""How far objects are moved along, in intervals between inferences; then they stay."""


def wanted(infer_every: int, infer_fps: float | None) -> Callable[[VideoFrame], bool] | None:
    """Which frames of one stream go to the model; ``None``: all of them."""
    if infer_fps is not None:
        thinner = Thinner(infer_fps)
        return lambda frame: thinner.passes(_seconds(frame))
    if infer_every == 1:
        return None
    numbers = itertools.cycle(range(infer_every))
    return lambda _frame: next(numbers) == 0


@dataclass(slots=True, eq=False)
class _Seen:
    """What an inference found, and when (seconds)."""

    prediction: object
    at: float
    interval: float = 0.0
    """Since the one before."""
    velocity: Floats | None = None
    """(N, 4): pixels per second of each side of each box; ``None``: not yet looked at."""

    def moved(self, found: Detections, at: float) -> Floats:
        """Where the boxes are expected at ``at``."""
        if self.velocity is None:
            return found.xyxy
        elapsed = min(max(0.0, at - self.at), _LONGEST * self.interval)
        moved: Floats = found.xyxy + self.velocity * np.float32(elapsed)
        return moved


class Carrier:
    """A stage that answers for frames the model has not seen, with ``Result.inferred`` ``False``.

    Each object is moved on by its own velocity, as the last inferences show it: a box belongs to
    the one of its class that was expected there. Shapes and keypoints move with their box and
    stay what they are otherwise; what has no place (classes of whole pictures, answers of a
    function of the user's) is repeated. Answers ``None`` before the first inference.
    """

    def __init__(self) -> None:
        self._last = _Seen(None, 0.0)
        self._before = self._last

    def __call__(self, result: Result) -> Result:
        at = _seconds(result.frame)
        if result.prediction is not CARRIED:
            self._before, self._last = self._last, _Seen(result.prediction, at)
            return result
        last = self._last
        result.inferred = False
        result.prediction = last.prediction
        if isinstance(last.prediction, Detections):
            if last.velocity is None:  # only now that somebody needs it
                self._learn(last.prediction)
            result.prediction = _kept(last.prediction, last.moved(last.prediction, at))
        return result

    def _learn(self, now: Detections) -> None:
        """How fast the objects of the last inference move, by the one before."""
        last, before = self._last, self._before
        last.velocity = np.zeros((len(now), 4), np.float32)
        last.interval = last.at - before.at
        if not isinstance(before.prediction, Detections) or not last.interval > 0:
            return
        there, here = _pairs(before.prediction, before.moved(before.prediction, last.at), now)
        seen = (now.xyxy[here] - before.prediction.xyxy[there]) / np.float32(last.interval)
        if before.velocity is not None:
            known = before.velocity[there]
            mixed = _NEWEST * seen + (1 - _NEWEST) * known
            seen = np.where(known.any(axis=1, keepdims=True), mixed, seen)
        last.velocity[here] = _steadied(seen)


def _steadied(velocity: Floats) -> Floats:
    """Boxes breathe more than their objects: half of what they grow is believed."""
    middle = (velocity[:, :2] + velocity[:, 2:]) / 2
    growth = (velocity[:, 2:] - velocity[:, :2]) / 4
    return np.concatenate((middle - growth, middle + growth), axis=1)


def _pairs(last: Detections, expected: Floats, now: Detections) -> Pairs:
    """Objects of one class that belong together: best overlap first, then the nearest."""
    if not len(last) or not len(now):
        nothing = np.empty(0, np.int64)
        return nothing, nothing
    other = last.class_id[:, None] != now.class_id
    overlap = np.where(other, 0, _overlaps(expected, now.xyxy))
    nearness = np.where(other, 0, _nearness(expected, now.xyxy))
    score = np.where(overlap >= _OVERLAP, 1 + overlap, nearness)
    pairs: list[tuple[int, int]] = []
    while (best := int(score.argmax())) >= 0 and score.flat[best] > 0:
        before, after = divmod(best, score.shape[1])
        pairs.append((before, after))
        score[before] = score[:, after] = 0
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _overlaps(one: Floats, other: Floats) -> Floats:
    """(N, M) IoU."""
    low = np.maximum(one[:, None, :2], other[:, :2])
    high = np.minimum(one[:, None, 2:], other[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    either = areas[0][:, None] + areas[1] - common
    overlap: Floats = common / np.maximum(either, 1e-6)
    return overlap


def _middles(boxes: Floats) -> Floats:
    """(N, 2)"""
    middles: Floats = (boxes[:, :2] + boxes[:, 2:]) / np.float32(2)
    return middles


def _nearness(one: Floats, other: Floats) -> Floats:
    """(N, M): 1 where the middles are at one place, 0 from ``_REACH`` sizes on, or where one is
    twice the size of the other."""
    middles = [_middles(boxes) for boxes in (one, other)]
    sizes = [(boxes[:, 2:] - boxes[:, :2]).max(axis=1) for boxes in (one, other)]
    apart = np.linalg.norm(middles[0][:, None] - middles[1], axis=2)
    largest = np.maximum(sizes[0][:, None], sizes[1])
    alike = largest < 2 * np.minimum(sizes[0][:, None], sizes[1])
    nearness: Floats = np.where(alike, 1 - apart / (_REACH * np.maximum(largest, 1e-6)), 0)
    return np.clip(nearness, 0, 1)


def _kept(last: Detections, moved: Floats) -> Detections:
    """``last`` at other places, without what has left the picture."""
    width, height = last.image_size
    edges = np.array((width, height, width, height), np.float32)
    boxes = np.clip(moved, 0, edges)
    inside = np.flatnonzero(((boxes[:, 2:] - boxes[:, :2]) > 0).all(axis=1))
    shift = _middles(moved[inside]) - _middles(last.xyxy[inside])
    found = replace(last[inside], xyxy=boxes[inside])
    masks, keypoints = found.masks, found.keypoints
    return replace(
        found,
        masks=None if masks is None else shapes_moved(masks, np.rint(shift).astype(np.int64)),
        keypoints=None if keypoints is None else points_moved(keypoints, shift[:, None]),
    )


def _seconds(frame: VideoFrame) -> float:
    """A file's own time, else when the frame arrived."""
    return frame.timestamp.timestamp() if frame.comes_from_video_file else frame.captured_at
