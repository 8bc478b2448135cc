"""YOLO-NAS: boxes and scores in two outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamkit.models.base import InferenceOptions
from streamkit.models.boxes import candidates
from streamkit.models.detector import Detector, Heads, Objects


class YoloNasDetector(Detector):
    """Output 0 is (B, N, 4): left, top, right, bottom in input pixels; 1 is (B, N, classes)."""

    stride = 32
    layout = "batch x boxes x 4, and batch x boxes x classes"
    aligned = ((0, 1), (1, 1))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fixed(0, 3, {2: 4})
        [classes] = self.output(1, 3, 2)
        self.names = self.names_of(classes)

    def objects(self, heads: Heads, options: InferenceOptions) -> Objects:
        """See ``Detector``."""
        found = candidates(heads[1].T, options, self.wanted(options))
        boxes = heads[0][found.index].astype(np.float32)
        return Objects(boxes, found.confidence, found.class_id, found.index)
