"""What a way to run a model says of one picture, as plain values that travel between processes."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.frame import Image
from streamkit.models.base import InferenceOptions, Model
from streamkit.predictions import Classification, Detections, MultiLabelClassification

Told: TypeAlias = dict[str, Any]
"""``boxes`` (N x 4), ``classes``, ``scores``; ``masks`` and ``keypoints`` (N x K x 3) of models
that have them. A class of a whole picture counts as an object that fills it."""


def told(prediction: Any) -> Told:
    """Of any prediction."""
    if isinstance(prediction, Detections):
        return _objects(prediction)
    if isinstance(prediction, MultiLabelClassification):
        return _labels(prediction.class_id, prediction.scores[prediction.class_id])
    if isinstance(prediction, Classification):
        best = prediction.class_id[:1]
        return _labels(best, np.ones(len(best), np.float32))
    return {"boxes": [], "classes": [], "scores": []}


def said(model: Model, picture: Image, options: InferenceOptions) -> Told:
    """Of one picture; of a classifier its best class, however sure it is."""
    tensor, geometries = model.prepare([picture])
    outputs = model.run(tensor)
    found = model.finish(outputs, 0, geometries[0], options)
    if isinstance(found, Classification):
        found = model.finish(outputs, 0, geometries[0], replace(options, confidence=0.0))
    return told(found)


def _objects(found: Detections) -> Told:
    said: Told = {
        "boxes": found.xyxy.tolist(),
        "classes": found.class_id.tolist(),
        "scores": found.confidence.tolist(),
    }
    if found.keypoints is not None:
        said["keypoints"] = found.keypoints.tolist()
    if found.masks is not None:
        shapes = zip(found.masks.bitmaps, found.masks.offsets.tolist(), strict=True)
        said["masks"] = [_packed(bitmap, offset) for bitmap, offset in shapes]
    return said


def _labels(classes: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> Told:
    boxes = [[0.0, 0.0, 1.0, 1.0]] * len(classes)
    return {"boxes": boxes, "classes": classes.tolist(), "scores": scores.tolist()}


def _packed(bitmap: npt.NDArray[Any], offset: list[int]) -> dict[str, Any]:
    bits = base64.b64encode(np.packbits(np.asarray(bitmap) > 0).tobytes()).decode("ascii")
    return {"size": list(bitmap.shape), "offset": offset, "bits": bits}


def bitmap(mask: dict[str, Any]) -> tuple[npt.NDArray[np.bool_], tuple[int, int]]:
    """(H x W, (left, top)) of one of ``Told["masks"]``."""
    height, width = mask["size"]
    raw = np.frombuffer(base64.b64decode(mask["bits"]), np.uint8)
    left, top = mask["offset"]
    return np.unpackbits(raw, count=height * width).reshape(height, width) > 0, (left, top)
