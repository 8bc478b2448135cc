"""Where objects were that were seen a moment ago and are not seen now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streamkit.predictions import Floats

_SAME: Final = 0.3
"""IoU of where an object was expected and where one is, from which on it is the same."""
_MOST: Final = 1000
"""Places remembered at once; more are too many to be sure of."""


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where an object was seen last, and how it moved (pixels per second)."""

    box: Floats
    seen: float
    velocity: Floats

    def expected(self, at: float) -> Floats:
        moved: Floats = self.box + np.tile(self.velocity, 2) * np.float32(at - self.seen)
        return moved


class Hold:
    """Remembers for ``seconds`` every place whose object nobody has seen since.

    A place is given up only when a box is where its object was expected, one box for one place:
    without tracks, since those may change over. An object that was lost is taken to be anywhere
    between where it was and where it was going.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._places: list[_Place] = []

    def __call__(self, boxes: Floats, at: float) -> Floats:
        """(M, 4): places of the objects that are not among ``boxes`` (N, 4) at ``at`` seconds.
        Raises ``OverflowError`` where there are too many to remember."""
        if self._seconds <= 0:
            return np.empty((0, 4), np.float32)
        old = [place for place in self._places if at - place.seen <= self._seconds]
        continued = _pairs(np.array([p.expected(at) for p in old]).reshape(-1, 4), boxes)
        lost = [place for i, place in enumerate(old) if i not in continued]
        here = {j: i for i, j in continued.items()}
        now = [_next(old[here[j]] if j in here else None, box, at) for j, box in enumerate(boxes)]
        if len(lost) + len(now) > _MOST:
            raise OverflowError(f"more than {_MOST} objects within {self._seconds} s")
        self._places = lost + now
        return np.array([_between(place, at) for place in lost], np.float32).reshape(-1, 4)


def _next(before: _Place | None, box: Floats, at: float) -> _Place:
    if before is None or at <= before.seen:
        return _Place(box, at, np.zeros(2, np.float32))
    middle, last = (box[:2] + box[2:]) / 2, (before.box[:2] + before.box[2:]) / 2
    velocity: Floats = ((middle - last) / np.float32(at - before.seen)).astype(np.float32)
    return replace(before, box=box, seen=at, velocity=velocity)


def _between(place: _Place, at: float) -> Floats:
    """The box around where it was and where it would be now."""
    there = place.expected(at)
    return np.concatenate((np.minimum(place.box, there)[:2], np.maximum(place.box, there)[2:]))


def _pairs(expected: Floats, boxes: Floats) -> dict[int, int]:
    """Which place goes on as which box: the best overlap first."""
    pairs: dict[int, int] = {}
    overlap = _overlaps(expected, boxes)
    while overlap.size and overlap.max() >= _SAME:
        place, box = divmod(int(overlap.argmax()), overlap.shape[1])
        pairs[place] = box
        overlap[place] = overlap[:, box] = 0
    return pairs


def _overlaps(one: Floats, other: Floats) -> Floats:
    """(N, M) IoU."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    overlaps: Floats = common / np.maximum(areas[0][:, None] + areas[1] - common, 1e-6)
    return overlaps
