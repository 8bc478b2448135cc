"""What there is to draw, in columns: made from detections or from the neighbour's dictionaries."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from streamkit.masks import Masks, Polygon
from streamkit.predictions import Detections, Floats

ColorBy: TypeAlias = Literal["class", "track", "fixed"]
"""``fixed``: all objects have the first colour."""


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """N boxes to draw."""

    xyxy: Floats
    """(N, 4) ``float32``: left, top, right, bottom in pixels of the picture."""
    labels: Sequence[str]
    """What the tab of each box says; no tab where it is empty."""
    keys: Sequence[int]
    """What chooses each colour: equal keys, equal colours."""
    tracks: Sequence[int | None] = ()
    """Of each box, where they are known."""
    masks: Masks | None = None
    outlines: Sequence[Sequence[Polygon]] = ()
    """Of each object, where there are no masks to take them from."""
    keypoints: Sequence[tuple[Sequence[str], Floats]] = ()
    """Of each object: their names, and (K, 3) x, y and confidence; 0 where there is none."""

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Labels:
    """What a label says and what its colour stands for."""

    names: bool = True
    confidence: bool = True
    tracks: bool = True
    color_by: ColorBy = "class"
    attributes: bool = True

    def text(
        self,
        name: str,
        confidence: float,
        track: int | None,
        attributes: Mapping[str, Any] | None = None,
    ) -> str:
        """For example ``person 0.87 #12 | standing 0.93``."""
        parts = (
            name if self.names else "",
            f"{confidence:.2f}" if self.confidence else "",
            f"#{track}" if self.tracks and track is not None and track >= 0 else "",
        )
        told = [" ".join(part for part in parts if part)]
        if self.attributes and attributes:
            told += [self._attribute(value) for value in attributes.values()]
        return " | ".join(part for part in told if part)

    def _attribute(self, value: Any) -> str:
        """What a stage found out about an object: a class, or a plain value."""
        if not isinstance(value, Mapping):
            return str(value)
        name, confidence = value.get("class"), value.get("confidence")
        if name is None:
            return ""
        sure = self.confidence and isinstance(confidence, float)
        return f"{name} {confidence:.2f}" if sure else str(name)


def marks_of(prediction: object, labels: Labels = Labels()) -> Marks | None:
    """What to draw for a prediction, columns or dictionary; ``None`` where it has no boxes."""
    if isinstance(prediction, Detections):
        return marks_from_detections(prediction, labels)
    try:
        return marks_from_dict(prediction, labels)
    except (TypeError, KeyError, ValueError):
        return None


def marks_from_detections(
    detections: Detections,
    labels: Labels = Labels(),
) -> Marks:
    """What to draw for detections."""
    classes = detections.class_id.tolist()
    ids = detections.tracker_id
    tracks: Sequence[int | None] = [None] * len(classes) if ids is None else ids.tolist()
    more = detections.attributes or [None] * len(classes)
    rows = zip(detections.labels, detections.confidence.tolist(), tracks, more, strict=True)
    texts = [labels.text(*row) for row in rows]
    return Marks(
        detections.xyxy,
        texts,
        _keys(classes, tracks, labels.color_by),
        tracks,
        detections.masks,
        keypoints=_keypoints(detections),
    )


def _keypoints(detections: Detections) -> Sequence[tuple[Sequence[str], Floats]]:
    if detections.keypoints is None:
        return ()
    known = detections.keypoint_names
    names = [known[i] if i < len(known) else () for i in detections.class_id.tolist()]
    return list(zip(names, detections.keypoints, strict=True))


def marks_from_dict(prediction: Any, labels: Labels = Labels()) -> Marks:
    """What to draw for ``{"predictions": [{x, y, width, height, class, ...}]}`` (centres, pixels).

    Raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is not that.
    """
    rows: list[Mapping[str, Any]] = list(prediction["predictions"])
    boxes = [(row["x"], row["y"], row["width"], row["height"]) for row in rows]
    centred = np.array(boxes, np.float32).reshape(-1, 4)
    half = centred[:, 2:] / 2
    xyxy = np.concatenate([centred[:, :2] - half, centred[:, :2] + half], axis=1)
    names = [str(row["class"]) for row in rows]
    tracks = [row.get("tracker_id") for row in rows]
    scores = [float(row.get("confidence", 1.0)) for row in rows]
    more = [row.get("attributes") for row in rows]
    texts = [labels.text(*row) for row in zip(names, scores, tracks, more, strict=True)]
    classes = [_class_key(row) for row in rows]
    return Marks(
        xyxy,
        texts,
        _keys(classes, tracks, labels.color_by),
        tracks,
        outlines=[_outline(row) for row in rows],
        keypoints=[_named_points(row) for row in rows],
    )


def _outline(row: Mapping[str, Any]) -> Sequence[Polygon]:
    points = [(point["x"], point["y"]) for point in row.get("points", ())]
    whole = np.rint(np.nan_to_num(np.array(points, np.float64)).clip(-1e6, 1e6))
    return [whole.astype(np.int32)] if points else []


def _named_points(row: Mapping[str, Any]) -> tuple[Sequence[str], Floats]:
    points = list(row.get("keypoints", ()))
    places = [(p["x"], p["y"], p.get("confidence", 1.0)) for p in points]
    names = [str(point.get("class", "")) for point in points]
    return names, np.array(places, np.float32).reshape(-1, 3)


def _class_key(row: Mapping[str, Any]) -> int:
    number = row.get("class_id")
    return zlib.crc32(str(row["class"]).encode()) if number is None else int(number)


def _keys(classes: Sequence[int], tracks: Sequence[int | None], color_by: ColorBy) -> Sequence[int]:
    if color_by == "fixed":
        return [0] * len(classes)
    if color_by == "class":
        return classes
    return [k if t is None else t for k, t in zip(classes, tracks, strict=True)]
