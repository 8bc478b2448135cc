"""Instance segmentation by prototypes: planes for the whole picture, mixed for each object."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from streamkit.models.base import InferenceOptions, Outputs
from streamkit.models.geometry import Geometry
from streamkit.models.heads import ColumnHead, EndToEndHead, Head, RowHead
from streamkit.models.planes import Mixture, decode
from streamkit.predictions import Detections


class Prototypes(Head):
    """One output is (B, M, h, w): planes over the whole input. A mask is where their sum, weighted
    by the object's M coefficients, is above 0 (its sigmoid above 0.5), inside its box.

    Between cells it is the sum that is interpolated, as the authors do today; the neighbour takes
    the sigmoid first, which moves outlines by a part of a cell.
    """

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
        planes = Mixture(self.columns(heads, objects), heads[self.prototypes])
        masks = decode(planes, found.xyxy, geometry, self.canvas, options)
        return replace(found, masks=masks)


class ColumnSegmenter(Prototypes, ColumnHead):
    """YOLOv8 and v11."""

    layout = "batch x (4 + classes + M) x boxes, and batch x M x height x width"


class RowSegmenter(Prototypes, RowHead):
    """YOLOv5 and, with its planes elsewhere, v7."""

    layout = "batch x boxes x (5 + classes + M), and batch x M x height x width"


class EndToEndSegmenter(Prototypes, EndToEndHead):
    """YOLO26."""

    layout = "batch x objects x (6 + M), and batch x M x height x width"
