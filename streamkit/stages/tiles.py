"""A picture in overlapping tiles, and the objects found in them made one list again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.masks import Bitmap, Masks
from streamkit.parts import NOTHING, joined, objects_moved
from streamkit.predictions import Detections, Floats, Ints

Bools: TypeAlias = npt.NDArray[np.bool_]
Area: TypeAlias = tuple[float, float, float, float]
"""left, top, right, bottom as parts of a picture, 0..1"""

_TOUCHES: Final = 2.0
"""Pixels from the edge of a tile within which a box ends there because the tile does."""
_PIECE: Final = 0.5
"""Part of a cut box which lies in a better one of its class, from where on it is a piece of it."""
_SWALLOWED: Final = 0.8
"""The same for a box of any class that goes from end to end of its tile."""
_ALIGNED: Final = 0.5
"""IoU of two cut boxes along the seam from which on they are two ends of one object."""


def tiles(size: tuple[int, int], area: Area, columns: int, rows: int, overlap: float) -> Ints:
    """(``columns`` x ``rows``, 4) whole pixels, left, top, right, bottom, row by row: equal tiles
    that cover ``area`` of a picture of ``size`` (width, height); neighbours share ``overlap`` of a
    tile's side."""
    left, top, right, bottom = area
    across = _spans(left * size[0], right * size[0], columns, overlap)
    down = _spans(top * size[1], bottom * size[1], rows, overlap)
    return np.array([(x1, y1, x2, y2) for y1, y2 in down for x1, x2 in across], np.int64)


def _spans(first: float, last: float, count: int, overlap: float) -> list[tuple[int, int]]:
    length = (last - first) / (1 + (count - 1) * (1 - overlap))
    starts = [first + i * length * (1 - overlap) for i in range(count)]
    return [(int(start), int(np.ceil(min(start + length, last)))) for start in starts]


def merged(
    whole: Detections, found: Sequence[Detections], places: Sequence[Ints], same: float
) -> Detections:
    """What a look at the ``whole`` picture and looks at its tiles at ``places`` have ``found`` (in
    pixels of their tile), each object once, best first.

    Of two boxes of a class with an IoU above ``same`` the surer one stays, and one that no seam
    cuts before one that is cut. A cut box that lies in such a one is a piece of it; two cut boxes
    that meet at a seam are one object, whose box holds both.
    """
    size, views, sides = whole.image_size, [whole], [np.zeros((len(whole), 4), np.bool_)]
    for one, place in zip(found, places, strict=True):
        view = objects_moved(one, (int(place[0]), int(place[1])), size)
        views.append(view)
        sides.append(_cut_sides(view, place))
    every, cut = joined(*views), np.concatenate(sides)
    order = np.lexsort((-every.confidence, cut.any(axis=1)))
    every, cut = every[order], cut[order]
    kept = _kept(every, cut, same)
    every, cut = every[kept], cut[kept]
    together = _united(every, _groups(every, cut))
    return together[np.argsort(-together.confidence, kind="stable")]


def _cut_sides(found: Detections, place: Ints) -> Bools:
    """(N, 4): at which sides an object ends where its tile does, though the picture goes on."""
    width, height = found.image_size
    inner = np.array((place[0] > 0, place[1] > 0, place[2] < width, place[3] < height))
    at_end: Bools = (np.abs(found.xyxy - place) <= _TOUCHES) & inner
    return at_end


def _kept(found: Detections, sides: Bools, same: float) -> Ints:
    """Greedy: who is not what one before him is already."""
    cut: Bools = np.asarray(sides.any(axis=1))
    through: Bools = np.asarray((sides[:, :2] & sides[:, 2:]).any(axis=1))
    alike = found.class_id[:, None] == found.class_id
    iou, part = _overlaps(found.xyxy)
    double = alike & (iou > same)
    piece = cut[None, :] & ~cut[:, None] & alike & (part > _PIECE)
    piece |= through[None, :] & ~cut[:, None] & (part > _SWALLOWED)
    goes = np.triu(double | piece, 1)
    there = np.ones(len(found), np.bool_)
    for i in range(len(found)):
        if there[i]:
            there &= ~goes[i]
    return np.flatnonzero(there)


def _overlaps(boxes: Floats) -> tuple[Floats, Floats]:
    """(N, N) IoU; and which part of each column's box lies in the row's."""
    low = np.maximum(boxes[:, None, :2], boxes[:, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    either = areas[:, None] + areas - common
    return common / np.maximum(either, 1e-6), common / np.maximum(areas, 1e-6)


def _groups(found: Detections, sides: Bools) -> list[list[int]]:
    """Indices of what is one object, where more than one piece is it: cut boxes that meet."""
    pieces = np.flatnonzero(sides.any(axis=1))
    leader = list(range(len(found)))
    alike = found.class_id[pieces, None] == found.class_id[pieces]
    meeting = np.argwhere(np.triu(_meet(found.xyxy[pieces], sides[pieces]) & alike, 1))
    for one, other in pieces[meeting].tolist():
        old, new = leader[other], leader[one]
        leader = [new if each == old else each for each in leader]
    groups: dict[int, list[int]] = {}
    for index, first in enumerate(leader):
        groups.setdefault(first, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def _meet(boxes: Floats, sides: Bools) -> Bools:
    """(N, N): which boxes overlap, one cut where the other goes on, and are as wide there."""
    common = np.minimum(boxes[:, None, 2:], boxes[:, 2:]) - np.maximum(
        boxes[:, None, :2], boxes[:, :2]
    )
    both = np.maximum(boxes[:, None, 2:], boxes[:, 2:]) - np.minimum(
        boxes[:, None, :2], boxes[:, :2]
    )
    opposite = (sides[:, None, :2] & sides[:, 2:]) | (sides[:, None, 2:] & sides[:, :2])
    wide = common / np.maximum(both, 1e-6) > _ALIGNED
    meet: Bools = (common > 0).all(axis=2) & (opposite & wide[..., ::-1]).any(axis=2)
    return meet


def _united(found: Detections, groups: Sequence[Sequence[int]]) -> Detections:
    """Of each group its surest, which comes first, with the box and the shape of all."""
    if not groups:
        return found
    boxes = found.xyxy.copy()
    bitmaps, offsets = _shapes(found.masks)
    for group in groups:
        first, members = group[0], boxes[list(group)]
        boxes[first, :2], boxes[first, 2:] = members[:, :2].min(axis=0), members[:, 2:].max(axis=0)
        if found.masks is not None:
            bitmaps[first], offsets[first] = _union(found.masks[list(group)])
    masks = found.masks and Masks(tuple(bitmaps), np.array(offsets), found.image_size)
    gone = [index for group in groups for index in group[1:]]
    kept = np.setdiff1d(np.arange(len(found)), gone)
    return replace(found, xyxy=boxes, masks=masks)[kept]


def _shapes(masks: Masks | None) -> tuple[list[Bitmap], list[Ints]]:
    return ([], []) if masks is None else (list(masks.bitmaps), list(masks.offsets))


def _union(masks: Masks) -> tuple[Bitmap, Ints]:
    """One shape of several, and where it begins."""
    there = [(b, o) for b, o in zip(masks.bitmaps, masks.offsets, strict=True) if b.size]
    if not there:
        return NOTHING, np.zeros(2, np.int64)
    low = np.min([offset for _, offset in there], axis=0)
    high = np.max([offset + bitmap.shape[::-1] for bitmap, offset in there], axis=0)
    whole = np.zeros((high - low)[::-1], np.uint8)
    for bitmap, offset in there:
        (left, top), (height, width) = offset - low, bitmap.shape
        whole[top : top + height, left : left + width] |= bitmap
    return whole, low
