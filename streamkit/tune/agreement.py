"""How far two ways to run a model say the same about the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from streamkit.tune.told import Told, bitmap

_SAME: Final = 0.8
"""IoU from which two boxes, or two masks, are the same."""
_NEAR: Final = 0.05
"""How far apart two keypoints may be that are the same, as a part of the root of the box's area."""
_POINTS: Final = 0.8
"""Share of the visible keypoints of an object that must be near."""
_VISIBLE: Final = 0.5
LEEWAY: Final = 0.1
"""An object of one may be that much less certain in the other: it is not a different answer when
0.41 becomes 0.39."""


def agreement(exact: Sequence[Told], other: Sequence[Told], confidence: float) -> float:
    """The smaller of two shares: objects of ``exact`` that are in ``other``, and the reverse.

    The same is: of one class, boxes (and masks, where there are any) with an IoU from 0.8, visible
    keypoints in their places. Of a picture with one class, or with several: these classes.
    1.0 where neither finds anything (see ``objects``). Both lists hold objects from ``confidence``
    less 0.1.
    """
    there = [_found(a, b, confidence) for a, b in zip(exact, other, strict=True)]
    back = [_found(b, a, confidence) for a, b in zip(exact, other, strict=True)]
    return min(_share(there), _share(back))


def objects(told: Sequence[Told], confidence: float) -> int:
    """How many there are to agree on: without any, two ways agree on nothing at all."""
    return sum(score >= confidence for one in told for score in one["scores"])


def _share(found: Sequence[tuple[int, int]]) -> float:
    objects = sum(number for _, number in found)
    return sum(met for met, _ in found) / objects if objects else 1.0


def _found(ours: Told, theirs: Told, confidence: float) -> tuple[int, int]:
    """How many certain objects of ``ours`` are among ``theirs``, and how many there are."""
    certain = [i for i, score in enumerate(ours["scores"]) if score >= confidence]
    free = [i for i, score in enumerate(theirs["scores"]) if score >= confidence - LEEWAY]
    met = 0
    for i in certain:
        overlaps = [_overlap(ours, i, theirs, j) for j in free]
        if overlaps and max(overlaps) >= _SAME:
            free.pop(int(np.argmax(overlaps)))
            met += 1
    return met, len(certain)


def _overlap(ours: Told, i: int, theirs: Told, j: int) -> float:
    """0..1, the least of what can be compared; 0 for different classes."""
    if ours["classes"][i] != theirs["classes"][j]:
        return 0.0
    overlap = _iou(ours["boxes"][i], theirs["boxes"][j])
    further: dict[str, Callable[[Told, int, Told, int], float]] = {
        "masks": _masks,
        "keypoints": _keypoints,
    }
    for name, compare in further.items():
        if overlap >= _SAME and name in ours and name in theirs:
            overlap = min(overlap, compare(ours, i, theirs, j))
    return overlap


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return float(both / (sum(areas) - both))


def _masks(ours: Told, i: int, theirs: Told, j: int) -> float:
    """IoU of two shapes; two empty ones are the same."""
    (one, (left, top)), (other, (left2, top2)) = (
        bitmap(ours["masks"][i]),
        bitmap(theirs["masks"][j]),
    )
    x, y = min(left, left2), min(top, top2)
    height = max(top + one.shape[0], top2 + other.shape[0]) - y
    width = max(left + one.shape[1], left2 + other.shape[1]) - x
    planes = np.zeros((2, height, width), np.bool_)
    for plane, shape, dx, dy in (
        (planes[0], one, left - x, top - y),
        (planes[1], other, left2 - x, top2 - y),
    ):
        plane[dy : dy + shape.shape[0], dx : dx + shape.shape[1]] = shape
    either = np.count_nonzero(planes[0] | planes[1])
    return np.count_nonzero(planes[0] & planes[1]) / either if either else 1.0


def _keypoints(ours: Told, i: int, theirs: Told, j: int) -> float:
    """1 where enough of the visible ones are near each other, else 0."""
    one, other = np.array(ours["keypoints"][i]), np.array(theirs["keypoints"][j])
    visible = one[:, 2] >= _VISIBLE
    if not visible.any():
        return 1.0
    left, top, right, bottom = ours["boxes"][i]
    limit = _NEAR * float(np.sqrt(max(0.0, (right - left) * (bottom - top))))
    apart = np.linalg.norm(one[visible, :2] - other[visible, :2], axis=1)
    return float(np.mean(apart <= limit) >= _POINTS)
