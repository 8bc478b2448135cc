"""Instance segmentation by prototypes: planes for the whole picture, mixed for each object."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from streamkit.models.base import InferenceOptions, Outputs
from streamkit.models.geometry import Geometry
from streamkit.models.heads import ColumnHead, EndToEndHead, Head, RowHead
from streamkit.models.planes import decode
from streamkit.predictions import Detections, Floats


class Prototypes(Head):
    """One output is (B, M, h, w): planes over the whole input. A mask is where their sum, weighted
    by the object's M coefficients, is above 0 (its sigmoid above 0.5), inside its box."""

    prototypes: ClassVar[int] = 1
    """Which output."""

    def extras(self) -> int:
        """One coefficient for each plane."""
        return self.output(self.prototypes, 4, 1)[0]

    def finish(
        self, outputs: Outputs, index: int, geometry: Geometry, options: InferenceOptions
    ) -> Detections:
        """As ``Detector``, with ``masks``."""
        found, objects, heads = self.detect(outputs, index, geometry, options)
        planes = mixed(self.columns(heads, objects), heads[self.prototypes])
        masks = decode(planes, found.xyxy, geometry, self.canvas, options)
        return replace(found, masks=masks)


def mixed(coefficients: Floats, prototypes: Floats) -> Floats:
    """(N, h, w) from (N, M) and (M, h, w)."""
    flat = prototypes.reshape(len(prototypes), -1).astype(np.float32, copy=False)
    with np.errstate(all="ignore"):  # broken weights: what is not a number is not above 0
        planes: Floats = coefficients @ flat
    return planes.reshape(-1, *prototypes.shape[1:])


class ColumnSegmenter(Prototypes, ColumnHead):
    """YOLOv8 and v11."""

    layout = "batch x (4 + classes + M) x boxes, and batch x M x height x width"


class RowSegmenter(Prototypes, RowHead):
    """YOLOv5 and, with its planes elsewhere, v7."""

    layout = "batch x boxes x (5 + classes + M), and batch x M x height x width"


class EndToEndSegmenter(Prototypes, EndToEndHead):
    """YOLO26."""

    layout = "batch x objects x (6 + M), and batch x M x height x width"
