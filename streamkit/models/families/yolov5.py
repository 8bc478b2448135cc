"""YOLOv5: boxes with an objectness of their own, and masks."""

from __future__ import annotations

from streamkit.models.heads import RowHead
from streamkit.models.segmenter import RowSegmenter


class Yolov5Detector(RowHead):
    """Boxes."""

    stride = 32


class Yolov5Segmenter(RowSegmenter):
    """Boxes and masks."""

    stride = 32
