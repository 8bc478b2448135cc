"""RF-DETR: a fixed number of queries, each with a box, a logit per class, and perhaps more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from streamkit.errors import ModelArtefactError
from streamkit.models.base import InferenceOptions, Outputs
from streamkit.models.boxes import candidates, corners
from streamkit.models.detector import Detector, Heads, Objects
from streamkit.models.geometry import Geometry
from streamkit.models.onnx_model import Axes
from streamkit.models.planes import decode
from streamkit.models.pose import Keypoints
from streamkit.models.scores import sigmoid
from streamkit.predictions import Detections, Floats, Ints

BACKGROUND: Final = "background_class83422"
"""A class name that marks the column of logits which means nothing is there."""

_SELECTED: Final = 300
"""Objects with keypoints that are looked at, best first by their class alone, as by the authors."""

_FUSION: Final = 0.2
"""How much the expected error of its keypoints takes from an object's confidence."""


class RfDetrDetector(Detector):
    """Output 0 is (B, Q, 4): centre and size in 0..1 of the input; 1 is (B, Q, columns): logits.

    One query may be an object of several classes, as in the neighbour. Columns that stand for no
    class are left out first, so that they take no place among ``max_detections``.
    """

    suppresses = False
    bare = "Stretch to"
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    layout = "batch x queries x 4, and batch x queries x classes"
    aligned: ClassVar[Axes] = ((0, 1), (1, 1))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fixed(0, 3, {2: 4})
        [columns] = self.output(1, 3, 2)
        given = self.given_names or self.names_of(columns)
        self.names = tuple(name for name in given if name != BACKGROUND)
        background = given.index(BACKGROUND) if BACKGROUND in given else None
        labels = [i for i in range(columns) if i != background]
        self._column: Ints = np.array(labels[: len(self.names)], np.int64)
        """Of each class, as far as the graph has them."""

    def objects(self, heads: Heads, options: InferenceOptions) -> Objects:
        """See ``Detector``."""
        scores = sigmoid(heads[1][:, self._column]).T
        found = candidates(scores, replace(options, multi_label=True), self.wanted(options))
        sides = np.tile(np.array(self.canvas, np.float32), 2)
        with np.errstate(invalid="ignore"):  # infinities: left out later
            boxes = corners(heads[0][found.index].T) * sides
        return Objects(boxes, found.confidence, found.class_id, found.index)


class RfDetrSegmenter(RfDetrDetector):
    """Output 2 is (B, Q, h, w): a mask over the whole input for each query, as logits."""

    layout = f"{RfDetrDetector.layout}, and batch x queries x height x width"
    aligned = (*RfDetrDetector.aligned, (2, 1))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.output(2, 4)

    def finish(
        self, outputs: Outputs, index: int, geometry: Geometry, options: InferenceOptions
    ) -> Detections:
        """As ``Detector``, with ``masks``, which may reach beyond the boxes."""
        found, objects, heads = self.detect(outputs, index, geometry, options)
        planes = heads[2][objects.index].astype(np.float32)
        everywhere = np.tile(np.array(geometry.region, np.float32), (len(found), 1))
        return replace(found, masks=decode(planes, everywhere, geometry, self.canvas, options))


class RfDetrPose(Keypoints, RfDetrDetector):
    """Output 2 is (B, Q, columns x K, D), K slots for each column of logits: x and y in 0..1 of the
    input, the logit of being found, the logit of being visible, and, if D is 7 or more, the lower
    triangle L of the precision of x and y (L L' is the inverse of their covariance) as log L11, L21
    and log L22. Layout and fusion: the authors' package (rfdetr, Apache-2.0)."""

    layout = f"{RfDetrDetector.layout}, and batch x queries x keypoints x 8"
    aligned = (*RfDetrDetector.aligned, (2, 1))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.keypoint_names = self.named_keypoints()
        self._count = self.shape[0]
        slots, width = self.output(2, 4, 2, 3)
        if slots % self._count or width < 3:
            raise ModelArtefactError(self._unlike(self._session.output_shapes))
        with_slots = self._column[: len(self.names)] < slots // self._count
        known = (*with_slots.tolist(), *[False] * (len(self.names) - len(with_slots)))
        names = zip(self.keypoint_names, known, strict=True)
        self.keypoint_names = tuple(of_class if slot else () for of_class, slot in names)

    def objects(self, heads: Heads, options: InferenceOptions) -> Objects:
        """Those of ``RfDetrDetector``, less sure where their keypoints may be far off."""
        most = min(options.max_candidates, _SELECTED)
        found = super().objects(heads, replace(options, confidence=0.0, max_candidates=most))
        points = self._points(heads, found)
        if points.shape[2] >= 7:
            has = np.array([len(names) for names in self.keypoint_names], np.int64)
            there = np.arange(self._count) < has[found.class_id][:, None]
            found = replace(found, confidence=_fused(found.confidence, points, there))
        order = np.argsort(-found.confidence, kind="stable")
        found = found[order]
        return found[found.confidence >= options.confidence]

    def finish(
        self, outputs: Outputs, index: int, geometry: Geometry, options: InferenceOptions
    ) -> Detections:
        """As ``Detector``, with ``keypoints``."""
        found, objects, heads = self.detect(outputs, index, geometry, options)
        points = self._points(heads, objects)
        places = points[..., :2] * np.array(self.canvas, np.float32)
        return self.with_keypoints(found, places, sigmoid(points[..., 2]), geometry, options)

    def _points(self, heads: Heads, objects: Objects) -> npt.NDArray[Any]:
        """(N, K, D): the slots of each object's class."""
        head = heads[2]
        by_column = head.reshape(len(head), -1, self._count, head.shape[-1]).astype(np.float32)
        column = np.minimum(self._column[objects.class_id], by_column.shape[1] - 1)
        points: npt.NDArray[Any] = by_column[objects.index, column]
        return points


def _fused(confidence: Floats, points: npt.NDArray[Any], there: npt.NDArray[np.bool_]) -> Floats:
    """p / (1 + p), where p is the confidence times the mean trace of the covariances of the
    keypoints (weighted by how likely each is found) to the power of -0.2; objects without keypoints
    keep theirs."""
    log1, across, log2 = points[..., 4:7].astype(np.float64).transpose(2, 0, 1)
    with np.errstate(all="ignore"):  # broken weights
        weight = np.where(there, sigmoid(points[..., 2]), 0)
        trace = np.exp(-2 * log1) + np.exp(-2 * log2) + across**2 * np.exp(-2 * (log1 + log2))
        mean = (weight * trace).sum(axis=1) / weight.sum(axis=1)
        power = confidence * mean**-_FUSION
        fused = np.where(there.any(axis=1), power / (1 + power), confidence)
    return np.nan_to_num(fused).astype(np.float32)
