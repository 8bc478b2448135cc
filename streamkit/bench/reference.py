"""The documented methods of the field in plain NumPy and OpenCV: what ours is measured against.

Written from their description, step by step as it stands, neither tuned nor slowed down.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.frame import Image
from streamkit.predictions import Floats

Overlap: TypeAlias = Literal["documented", "iou"]
"""Shared area over that of the lesser box, in whole pixels; or over the union, as IoU is defined
and as ours is, which is what results can be compared with."""


def detections(
    head: Floats, confidence: float, threshold: float, overlap: Overlap = "documented"
) -> Floats:
    """(N, 7) rows x1, y1, x2, y2, confidence, best score, class id, best first, of a YOLOv8 head
    (4 + classes, boxes): transposed, with a column of confidence put in, then suppressed."""
    rows = head.T
    boxes, scores = rows[:, :4], rows[:, 4:]
    best = scores.max(axis=1, keepdims=True)
    return suppressed(np.concatenate((boxes, best, scores), axis=1), confidence, threshold, overlap)


def suppressed(rows: Floats, confidence: float, threshold: float, overlap: Overlap) -> Floats:
    """Rows of centre, size, confidence, scores to those that stay, class by class."""
    corners = np.empty_like(rows[:, :4])
    corners[:, 0] = rows[:, 0] - rows[:, 2] / 2
    corners[:, 1] = rows[:, 1] - rows[:, 3] / 2
    corners[:, 2] = rows[:, 0] + rows[:, 2] / 2
    corners[:, 3] = rows[:, 1] + rows[:, 3] / 2
    rows[:, :4] = corners
    rows = rows[rows[:, 4] >= confidence]
    scores = rows[:, 5:]
    class_id = np.argmax(scores, axis=1)[:, None]
    best = np.max(scores, axis=1)[:, None]
    found = np.concatenate((rows[:, :5], best, class_id.astype(np.float32)), axis=1)
    kept = [
        _greedy(found[found[:, 6] == label], threshold, overlap) for label in np.unique(found[:, 6])
    ]
    together = np.concatenate(kept) if kept else found
    return together[np.argsort(-together[:, 4])]


def _greedy(rows: Floats, threshold: float, overlap: Overlap) -> Floats:
    """The most confident row, then the most confident that it does not cover, and so on."""
    extra = 1 if overlap == "documented" else 0
    x1, y1, x2, y2 = rows[:, :4].T
    area = (x2 - x1 + extra) * (y2 - y1 + extra)
    order = np.argsort(rows[:, 4])
    picked = []
    while len(order) > 0:
        best, rest = order[-1], order[:-1]
        picked.append(best)
        width = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest]) + extra
        height = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest]) + extra
        shared = np.maximum(0, width) * np.maximum(0, height)
        whole = area[rest] if extra else area[best] + area[rest] - shared
        order = np.delete(
            order, np.concatenate(([len(rest)], np.where(shared / whole > threshold)[0]))
        )
    return rows[picked]


def masks(
    coefficients: Floats, prototypes: Floats, boxes: Floats, size: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """(N, height, width): the sigmoid of each object's planes, all of it resized to ``size``, cut
    off outside the object's box (in pixels of that size) and below a half."""
    count, height, width = prototypes.shape
    logits = coefficients @ prototypes.reshape(count, -1)
    soft = (1 / (1 + np.exp(-logits))).reshape(-1, height, width)
    return np.stack([_mask(plane, box, size) for plane, box in zip(soft, boxes, strict=True)])


def _mask(plane: Floats, box: Floats, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    import cv2

    full: Any = cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)
    x1, y1, x2, y2 = box
    column, row = np.arange(size[0])[None, :], np.arange(size[1])[:, None]
    full = full * ((column >= x1) * (column < x2) * (row >= y1) * (row < y2))
    full[full < 0.5] = 0
    return np.asarray(full > 0)


def stretched(image: Image, size: tuple[int, int]) -> Floats:
    """1 x 3 x height x width, RGB, 0..1, of a BGR picture: ``float32`` first, then its size."""
    import cv2

    return _as_input(cv2.resize(image.astype(np.float32), size))


def letterboxed(image: Image, size: tuple[int, int]) -> Floats:
    """The same in the picture's own shape, sized in ``uint8``, grey around it."""
    import cv2

    (width, height), (down, across) = size, image.shape[:2]
    scale = min(width / across, height / down)
    inner_w, inner_h = int(across * scale), int(down * scale)
    left, top = (width - inner_w) // 2, (height - inner_h) // 2
    edges = top, height - inner_h - top, left, width - inner_w - left
    small = cv2.resize(image, (inner_w, inner_h))
    return _as_input(cv2.copyMakeBorder(small, *edges, cv2.BORDER_CONSTANT, value=(114, 114, 114)))


def _as_input(resized: Any) -> Floats:
    """The order of channels, the planes, the type and the range, each in a pass of its own; and in
    one piece, as ONNX Runtime makes it of what it is given."""
    import cv2

    rgb = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB)
    planes = np.expand_dims(np.transpose(rgb, (2, 0, 1)).astype(np.float32), axis=0)
    planes /= 255.0
    return np.ascontiguousarray(planes)
