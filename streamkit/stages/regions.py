"""Which pixels belong to an object, its head, or a polygon, with a margin around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np

from streamkit.imaging.covers import Region
from streamkit.masks import Bitmap, Masks
from streamkit.predictions import Detections, Floats
from streamkit.stages.places import Point, Units, placed

Part: TypeAlias = Literal["box", "shape", "head"]
"""Of an object: all of its box; the pixels that are it; a head at the upper end of the box."""

_HEAD: Final = 0.3
"""Share of a standing person's height in which the head is, with room to spare."""
_BUST: Final = 0.8
"""The same of the width, for those of whom only the upper part is seen."""
_LYING: Final = 1.2
"""Width to height from which on a head may be anywhere in the box."""
_FACE: Final = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


def parts(found: Detections, part: Part) -> Floats:
    """(N, 4) ``float32``: the box around that part of each object; corners in their order."""
    low = np.minimum(found.xyxy[:, :2], found.xyxy[:, 2:])
    high = np.maximum(found.xyxy[:, :2], found.xyxy[:, 2:])
    boxes: Floats = np.concatenate((low, high), axis=1).astype(np.float32)
    return _with_faces(_heads(boxes), found) if part == "head" else boxes


def _heads(boxes: Floats) -> Floats:
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    upper = np.minimum(height, np.maximum(_HEAD * height, _BUST * width))
    heads = boxes.copy()
    heads[:, 3] = boxes[:, 1] + np.where(width > _LYING * height, height, upper)
    return heads


def _with_faces(heads: Floats, found: Detections) -> Floats:
    """Heads that reach as far as the points of the face, and a head's size beyond them."""
    if found.keypoints is None or not found.keypoint_names:
        return heads
    heads = heads.copy()
    for i, class_id in enumerate(found.class_id.tolist()):
        names = found.keypoint_names[class_id]
        face = [p for name, p in zip(names, found.keypoints[i], strict=False) if name in _FACE]
        seen = np.array([point[:2] for point in face if point[2] > 0], np.float32).reshape(-1, 2)
        if len(seen):
            reach = max(float(np.ptp(seen, axis=0).max()), float((heads[i, 2] - heads[i, 0]) / 4))
            heads[i, :2] = np.minimum(heads[i, :2], seen.min(axis=0) - reach)
            heads[i, 2:] = np.maximum(heads[i, 2:], seen.max(axis=0) + reach)
    return heads


def around(boxes: Floats, margin: float) -> Floats:
    """Boxes that are larger by ``margin`` of their longer side, on every side."""
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)[:, None]
    grown: Floats = boxes + np.array((-1, -1, 1, 1), np.float32) * np.float32(margin) * longer
    return grown


def boxed(boxes: Floats, size: tuple[int, int]) -> list[Region]:
    """Every pixel that a box touches, of a picture of ``size`` (width, height)."""
    edges = np.array(size * 2, np.float64)
    low = np.clip(np.floor(boxes[:, :2].astype(np.float64)), 0, edges[:2])
    high = np.clip(np.ceil(boxes[:, 2:].astype(np.float64)), 0, edges[2:])
    sides = np.concatenate((low, high), axis=1).astype(np.int64).tolist()
    return [Region(*side) for side in sides if side[0] < side[2] and side[1] < side[3]]


def shaped(masks: Masks, boxes: Floats, margin: float, size: tuple[int, int]) -> list[Region]:
    """The pixels of each object and a margin; its box where it has no shape."""
    regions = []
    for bitmap, offset, box in zip(masks.bitmaps, masks.offsets.tolist(), boxes, strict=True):
        if bitmap.any():
            regions += _grown(bitmap, offset, margin, size)
        else:
            regions += boxed(around(box[None], margin), size)
    return regions


def _grown(
    bitmap: Bitmap, offset: Sequence[int], margin: float, size: tuple[int, int]
) -> list[Region]:
    height, width = bitmap.shape
    by = int(np.ceil(margin * max(height, width))) + 1
    fenced = np.pad(bitmap, by)
    far = cv2.distanceTransform((fenced == 0).astype(np.uint8), cv2.DIST_L2, 3)
    left, top = offset[0] - by, offset[1] - by
    cut = (slice(max(0, -top), max(0, size[1] - top)), slice(max(0, -left), max(0, size[0] - left)))
    shape: Bitmap = (far <= by).astype(np.uint8)[cut]
    if not shape.size:
        return []
    left, top = max(0, left), max(0, top)
    return [Region(left, top, left + shape.shape[1], top + shape.shape[0], shape)]


def polygons(
    zones: Sequence[Sequence[Point]],
    keep: Sequence[Sequence[Point]],
    units: Units,
    size: tuple[int, int],
) -> list[Region]:
    """What is always covered: all that is outside of ``keep``, and ``zones``."""
    regions = []
    if keep:
        shown = _filled(keep, units, size)
        regions.append(Region(0, 0, *size, 1 - shown))
    for zone in zones:
        shape = _filled([zone], units, size)
        left, top, width, height = cv2.boundingRect(shape)
        cut = np.ascontiguousarray(shape[top : top + height, left : left + width])
        if cut.size:
            regions.append(Region(left, top, left + width, top + height, cut))
    return regions


def _filled(outlines: Sequence[Sequence[Point]], units: Units, size: tuple[int, int]) -> Bitmap:
    """1 inside of the polygons, their edges included."""
    shape: Bitmap = np.zeros((size[1], size[0]), np.uint8)
    for outline in outlines:
        points = np.rint(np.clip(placed(outline, units, size), -1e6, 1e6)).astype(np.int32)
        cv2.fillPoly(shape, [points], (1,))
    return shape
