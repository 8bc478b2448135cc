"""YOLOv7 with masks: rows as in v5, the prototypes after three outputs that only training needs."""

from __future__ import annotations

from streamkit.models.segmenter import RowSegmenter


class Yolov7Segmenter(RowSegmenter):
    """Boxes and masks."""

    stride = 32
    prototypes = 4
    layout = "batch x boxes x (5 + classes + M), ..., and fifth batch x M x height x width"
