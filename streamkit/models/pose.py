"""Keypoints of objects: how many there are, what they are called, where they lie in the picture."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from streamkit.errors import ModelArtefactError
from streamkit.models.base import InferenceOptions, Outputs
from streamkit.models.detector import Detector
from streamkit.models.geometry import Geometry
from streamkit.models.heads import ColumnHead, EndToEndHead, Head
from streamkit.predictions import Detections, Floats, KeypointNames


class Keypoints(Detector):
    """A detector that knows the keypoints of its classes."""

    keypoint_names: KeypointNames
    """By class id; a family sets them to ``named_keypoints()`` once it has ``names``."""

    @cached_property
    def shape(self) -> tuple[int, int]:
        """How many keypoints an object has at most, and how many columns each takes."""
        told, named = self._metadata.keypoints, self._package.keypoints
        most = max(map(len, named.values()), default=0) if named is not None else None
        if told is None and not most:
            raise ModelArtefactError(f"{self._file}: the names of keypoints are missing")
        shape = told or (most or 0, 3)
        if most is not None and most > shape[0]:
            raise ModelArtefactError(f"{self._file}: {most} keypoints, the graph has {shape[0]}")
        return shape

    @property
    def _file(self) -> Path:
        return self._package.weights.parent / "keypoints_metadata.json"

    def named_keypoints(self) -> KeypointNames:
        """By class id; numbers where nobody has named them."""
        named = self._package.keypoints
        if named is None:
            numbers = tuple(f"keypoint_{i}" for i in range(self.shape[0]))
            return (numbers,) * len(self.names)
        return tuple(named.get(i, ()) for i in range(len(self.names)))

    def with_keypoints(
        self,
        found: Detections,
        places: Floats,
        confidence: Floats,
        geometry: Geometry,
        options: InferenceOptions,
    ) -> Detections:
        """``places`` (N, K, 2) in input pixels and their ``confidence`` (N, K), as far as they are
        confident enough and the class has them."""
        count = places.shape[1]
        points = np.zeros((*places.shape[:2], 3), np.float32)
        with np.errstate(all="ignore"):  # broken weights
            points[..., :2] = geometry.seen_points(places.reshape(-1, 2)).reshape(places.shape)
        points[..., 2] = confidence
        has = np.array([len(names) for names in self.keypoint_names], np.int64)[found.class_id]
        there = np.arange(count) < has[:, None]
        there &= (confidence >= options.keypoint_confidence) & np.isfinite(places).all(axis=2)
        points[~there] = 0
        return replace(found, keypoints=points, keypoint_names=self.keypoint_names)


class Columns(Keypoints, Head):
    """Each box comes with K times x, y in input pixels and, as a rule, a confidence 0..1."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.keypoint_names = self.named_keypoints()

    def extras(self) -> int:
        """See ``Head``."""
        count, width = self.shape
        return count * width

    def finish(
        self, outputs: Outputs, index: int, geometry: Geometry, options: InferenceOptions
    ) -> Detections:
        """As ``Detector``, with ``keypoints``."""
        found, objects, heads = self.detect(outputs, index, geometry, options)
        points = self.columns(heads, objects).reshape(-1, *self.shape)
        sure = np.ones(points.shape[:2], np.float32)
        confidence = points[..., 2] if self.shape[1] == 3 else sure
        return self.with_keypoints(found, points[..., :2], confidence, geometry, options)


class ColumnPose(Columns, ColumnHead):
    """YOLOv8 and v11."""

    layout = "batch x (4 + classes + 3 per keypoint) x boxes"


class EndToEndPose(Columns, EndToEndHead):
    """YOLO26."""

    layout = "batch x objects x (6 + 3 per keypoint)"
