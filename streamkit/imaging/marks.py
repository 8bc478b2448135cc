"""What there is to draw, in columns: made from detections or from the neighbour's dictionaries."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from streamkit.predictions import Detections, Floats

ColorBy: TypeAlias = Literal["class", "track"]


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """N boxes to draw."""

    xyxy: Floats
    """(N, 4) ``float32``: left, top, right, bottom in pixels of the picture."""
    labels: Sequence[str]
    """What the tab of each box says; no tab where it is empty."""
    keys: Sequence[int]
    """What chooses each colour: equal keys, equal colours."""

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Labels:
    """What a label says and what its colour stands for."""

    names: bool = True
    confidence: bool = True
    tracks: bool = True
    color_by: ColorBy = "class"

    def text(self, name: str, confidence: float, track: int | None) -> str:
        """For example ``person 0.87 #12``."""
        parts = (
            name if self.names else "",
            f"{confidence:.2f}" if self.confidence else "",
            f"#{track}" if self.tracks and track is not None and track >= 0 else "",
        )
        return " ".join(part for part in parts if part)


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
    rows = zip(detections.labels, detections.confidence.tolist(), tracks, strict=True)
    texts = [labels.text(*row) for row in rows]
    return Marks(detections.xyxy, texts, _keys(classes, tracks, labels.color_by))


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
    texts = [labels.text(*row) for row in zip(names, scores, tracks, strict=True)]
    classes = [_class_key(row) for row in rows]
    return Marks(xyxy, texts, _keys(classes, tracks, labels.color_by))


def _class_key(row: Mapping[str, Any]) -> int:
    number = row.get("class_id")
    return zlib.crc32(str(row["class"]).encode()) if number is None else int(number)


def _keys(classes: Sequence[int], tracks: Sequence[int | None], color_by: ColorBy) -> Sequence[int]:
    if color_by == "class":
        return classes
    return [k if t is None else t for k, t in zip(classes, tracks, strict=True)]
