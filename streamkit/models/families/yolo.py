"""YOLO without anchors: v8, v9, v11 and v12, for all four tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streamkit.models.classifier import Classifier
from streamkit.models.heads import ColumnHead
from streamkit.models.pose import ColumnPose
from streamkit.models.preprocess import FILL, Recipe, Switches
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

    In the neighbour's layout pictures are normalised by 0.5 and 0.5. A bare graph, as the authors'
    package exports it, wants 0..1 and what they show it: the middle of a picture whose shorter side
    has the size of the graph or, where that is no square, all of it; either way sized smoothly.
    """

    softmax = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self._package.environment is not None:
            self.mean = self.std = (0.5, 0.5, 0.5)

    def _recipe(self, off: Switches) -> Recipe:
        recipe = super()._recipe(off)
        if self._package.environment is not None:
            return recipe
        width, height = recipe.size
        return replace(recipe, resize=FILL if width == height else "Stretch to", smooth=True)
