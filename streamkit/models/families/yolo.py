"""YOLO without anchors: v8, v9, v11 and v12, for all four tasks."""

from __future__ import annotations

from typing import Any

from streamkit.models.classifier import Classifier
from streamkit.models.heads import ColumnHead
from streamkit.models.pose import ColumnPose
from streamkit.models.segmenter import ColumnSegmenter


class YoloDetector(ColumnHead):
    """Boxes."""

    stride = 32


class YoloSegmenter(ColumnSegmenter):
    """Boxes and masks."""

    stride = 32


class YoloPose(ColumnPose):
    """Boxes and keypoints."""

    stride = 32


class YoloClassifier(Classifier):
    """Classes of the whole picture; the graph itself ends in a softmax.

    In the neighbour's layout pictures are normalised by 0.5 and 0.5; a bare graph, as the authors'
    package exports it, wants 0..1 and the middle of the picture.
    """

    bare = "Fill (with center crop) in"
    softmax = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self._package.environment is not None:
            self.mean = self.std = (0.5, 0.5, 0.5)
