"""How far two ways to run a model say the same about the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

_SAME: Final = 0.8
"""IoU from which two boxes are the same."""
_LEEWAY: Final = 0.1
"""An object of one may be that much less certain in the other: it is not a different answer when
0.41 becomes 0.39."""

Told = dict[str, Any]
"""What a way says of one picture: ``boxes`` (N x 4), ``classes``, ``scores``."""


def agreement(exact: Sequence[Told], other: Sequence[Told], confidence: float) -> float:
    """The smaller of two shares: objects of ``exact`` that are in ``other``, and the reverse.

    1.0 where neither finds anything. Both lists hold objects from ``confidence`` less 0.1.
    """
    there = [_found(a, b, confidence) for a, b in zip(exact, other, strict=True)]
    back = [_found(b, a, confidence) for a, b in zip(exact, other, strict=True)]
    return min(_share(there), _share(back))


def _share(found: Sequence[tuple[int, int]]) -> float:
    objects = sum(number for _, number in found)
    return sum(met for met, _ in found) / objects if objects else 1.0


def _found(ours: Told, theirs: Told, confidence: float) -> tuple[int, int]:
    """How many certain objects of ``ours`` are among ``theirs``, and how many there are."""
    certain = [i for i, score in enumerate(ours["scores"]) if score >= confidence]
    free = [i for i, score in enumerate(theirs["scores"]) if score >= confidence - _LEEWAY]
    met = 0
    for i in certain:
        overlaps = [
            _iou(ours["boxes"][i], theirs["boxes"][j])
            if ours["classes"][i] == theirs["classes"][j]
            else 0.0
            for j in free
        ]
        if overlaps and max(overlaps) >= _SAME:
            free.pop(int(np.argmax(overlaps)))
            met += 1
    return met, len(certain)


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return float(both / (sum(areas) - both))
