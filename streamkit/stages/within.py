"""What a second model found within an object, in pixels of the picture; it moves along with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.parts import objects_moved, shapes_moved
from streamkit.predictions import Detections, Floats, Ints

Bools: TypeAlias = npt.NDArray[np.bool_]

_SAME: Final = 0.6
"""IoU from which on two objects found in neighbouring crops are one."""


@dataclass(frozen=True, slots=True, eq=False)
class Within:
    """Objects found within another one, in pixels of the picture."""

    found: Detections
    box: Floats
    """(4,): where the other one was."""

    @classmethod
    def of(cls, found: Detections, place: Ints, box: Floats, size: tuple[int, int]) -> Within:
        """``found`` in the crop at ``place`` of a picture of ``size`` (width, height)."""
        return cls(objects_moved(found, (int(place[0]), int(place[1])), size), box)

    def at(self, box: Floats) -> Detections:
        """Moved and scaled as the other one was, which is at ``box`` now; shapes are only moved.
        What has left the picture is left out."""
        if (box == self.box).all():
            return self.found
        scale = (box[2:] - box[:2]) / np.maximum(self.box[2:] - self.box[:2], 1e-3)
        found = self.found
        boxes = _scaled(found.xyxy.reshape(-1, 2, 2), self.box, box, scale).reshape(-1, 4)
        middles = (boxes[:, :2] + boxes[:, 2:] - found.xyxy[:, :2] - found.xyxy[:, 2:]) / 2
        shift = np.rint(middles).astype(np.int64)
        boxes = np.clip(boxes, 0, np.array(found.image_size * 2, np.float32))
        points = found.keypoints
        moved = replace(
            found,
            xyxy=boxes,
            masks=None if found.masks is None else shapes_moved(found.masks, shift),
            keypoints=None if points is None else _points(points, self.box, box, scale),
        )
        return moved[np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))]


def _scaled(places: Floats, then: Floats, now: Floats, scale: Floats) -> Floats:
    """(..., 2) places about a box that was at ``then`` and is at ``now``."""
    moved: Floats = (places - then[:2]) * scale + now[:2]
    return moved


def _points(points: Floats, then: Floats, now: Floats, scale: Floats) -> Floats:
    """Those that are not there stay all 0."""
    there = points.any(axis=-1, keepdims=True)
    places = np.where(there, _scaled(points[..., :2], then, now, scale), 0)
    return np.concatenate((places, points[..., 2:]), axis=-1).astype(np.float32)


def itself(within: Detections, box: Floats) -> int | None:
    """Which of the objects found in its crop the object at ``box`` is: the surest that fits it;
    ``None`` where none overlaps."""
    low = np.maximum(within.xyxy[:, :2], box[:2])
    high = np.minimum(within.xyxy[:, 2:], box[2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = (within.xyxy[:, 2:] - within.xyxy[:, :2]).prod(axis=1)
    either = areas + (box[2:] - box[:2]).prod() - common
    score = within.confidence * common / np.maximum(either, 1e-6)
    return int(score.argmax()) if len(score) and score.max() > 0 else None


def distinct(found: Detections) -> Bools:
    """(N,) flags: which objects are not another, surer one of their class."""
    import supervision

    rows = np.column_stack((found.xyxy, found.confidence, found.class_id)).astype(np.float64)
    return np.asarray(supervision.box_non_max_suppression(rows, _SAME), np.bool_)
