"""Predictions about parts of a picture: moved to their place in the whole, joined into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from streamkit.masks import Bitmap, Masks
from streamkit.predictions import (
    Classification,
    Detections,
    Floats,
    Ints,
    KeypointNames,
    MultiLabelClassification,
    Prediction,
)

Size: TypeAlias = tuple[int, int]
"""(width, height)"""
NOTHING: Bitmap = np.zeros((0, 0), np.uint8)
"""The shape of an object that has none."""


def moved(prediction: Prediction, by: tuple[int, int], size: Size) -> Prediction:
    """``prediction`` about a part of a picture of ``size`` that begins at ``by`` (left, top).

    Whole pixels are added and nothing is rounded or cut: the shapes stay bit for bit what they
    are. Predictions of a kind that has no places, or that is not known here, stay as they are.
    """
    if isinstance(prediction, Classification | MultiLabelClassification):
        return replace(prediction, image_size=size)
    return objects_moved(prediction, by, size) if isinstance(prediction, Detections) else prediction


def objects_moved(found: Detections, by: tuple[int, int], size: Size) -> Detections:
    """``moved``, for objects."""
    masks, keypoints = found.masks, found.keypoints
    return replace(
        found,
        xyxy=found.xyxy + np.array([*by, *by], np.float32),
        image_size=size,
        masks=None if masks is None else Masks(masks.bitmaps, _offsets(masks, by), size),
        keypoints=None if keypoints is None else points_moved(keypoints, by),
    )


def _offsets(masks: Masks, by: tuple[int, int]) -> Ints:
    """An object without a shape has no place either."""
    there = np.array([bitmap.size > 0 for bitmap in masks.bitmaps], np.bool_).reshape(-1, 1)
    return masks.offsets + there * np.array(by, np.int64)


def points_moved(keypoints: Floats, by: tuple[float, float] | Floats) -> Floats:
    """(..., 3) keypoints; those that are not there stay all 0."""
    points = keypoints.copy()
    points[..., :2] += np.asarray(by, np.float32) * keypoints.any(axis=-1, keepdims=True)
    return points


def shapes_moved(masks: Masks, by: Ints) -> Masks:
    """Each shape by its row of ``by`` (N, 2) whole pixels; what leaves the picture is cut off."""
    moved = [
        _cut(bitmap, offset, masks.image_size)
        for bitmap, offset in zip(masks.bitmaps, masks.offsets + by, strict=True)
    ]
    offsets = np.array([offset for _, offset in moved], np.int64).reshape(-1, 2)
    return Masks(tuple(bitmap for bitmap, _ in moved), offsets, masks.image_size)


def _cut(bitmap: Bitmap, offset: Ints, size: Size) -> tuple[Bitmap, tuple[int, int]]:
    """What is still in the picture; nothing begins at (0, 0)."""
    left, top = (int(side) for side in offset)
    inside = bitmap[max(0, -top) : max(0, size[1] - top), max(0, -left) : max(0, size[0] - left)]
    return inside, (max(0, left), max(0, top)) if inside.size else (0, 0)


def joined(first: Detections, *others: Detections) -> Detections:
    """All of these objects of one picture, in order.

    Classes are one by name, those of ``first`` keeping their numbers. What only some have, the
    others have not: track -1, an empty shape, keypoints of 0, no attributes, no parent.
    """
    if not others:
        return first
    every = (first, *others)
    names = tuple(dict.fromkeys(name for one in every for name in one.names))
    return replace(
        first,
        xyxy=np.concatenate([one.xyxy for one in every]),
        confidence=np.concatenate([one.confidence for one in every]),
        class_id=np.concatenate([renamed(one, names) for one in every]),
        names=names,
        tracker_id=_numbers([one.tracker_id for one in every], every),
        masks=_masks(every),
        keypoints=_keypoints(every),
        keypoint_names=_keypoint_names(every, names),
        attributes=_attributes(every),
        parent=_parents(every),
    )


def renamed(found: Detections, names: Sequence[str]) -> Ints:
    """The class ids of ``found`` by ``names``, which hold all of its own."""
    if tuple(names[: len(found.names)]) == found.names:
        return found.class_id
    number = np.array([names.index(name) for name in found.names], np.int64)
    return number[found.class_id] if len(number) else found.class_id


def _numbers(columns: Sequence[Ints | None], every: Sequence[Detections]) -> Ints | None:
    if all(column is None for column in columns):
        return None
    nobody = [np.full(len(one), -1, np.int64) for one in every]
    return np.concatenate([n if c is None else c for c, n in zip(columns, nobody, strict=True)])


def _parents(every: Sequence[Detections]) -> Ints | None:
    """Indices count on where objects come later."""
    columns, before = list[Ints | None](), 0
    for one in every:
        parent = one.parent
        columns.append(None if parent is None else np.where(parent < 0, -1, parent + before))
        before += len(one)
    return _numbers(columns, every)


def _masks(every: Sequence[Detections]) -> Masks | None:
    if all(one.masks is None for one in every):
        return None
    shapes = [one.masks or _shapeless(one) for one in every]
    bitmaps = tuple(bitmap for masks in shapes for bitmap in masks.bitmaps)
    return Masks(bitmaps, np.concatenate([m.offsets for m in shapes]), every[0].image_size)


def _shapeless(found: Detections) -> Masks:
    return Masks((NOTHING,) * len(found), np.zeros((len(found), 2), np.int64), found.image_size)


def _keypoints(every: Sequence[Detections]) -> Floats | None:
    columns = [one.keypoints for one in every]
    most = max((c.shape[1] for c in columns if c is not None), default=None)
    if most is None:
        return None
    rows = [np.zeros((len(one), most, 3), np.float32) for one in every]
    for row, column in zip(rows, columns, strict=True):
        if column is not None:
            row[:, : column.shape[1]] = column
    return np.concatenate(rows)


def _keypoint_names(every: Sequence[Detections], names: Sequence[str]) -> KeypointNames:
    """Of each class those of the first who names some."""
    if not any(one.keypoint_names for one in every):
        return ()
    known: dict[str, tuple[str, ...]] = {}
    for one in every:
        for name, points in zip(one.names, one.keypoint_names, strict=False):
            known[name] = known.get(name) or points
    return tuple(known.get(name, ()) for name in names)


def _attributes(every: Sequence[Detections]) -> tuple[dict[str, object], ...] | None:
    if all(one.attributes is None for one in every):
        return None
    return tuple(dict(a) for one in every for a in one.attributes or ({},) * len(one))
