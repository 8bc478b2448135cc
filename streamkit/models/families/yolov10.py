"""YOLOv10: the graph tells each object once."""

from __future__ import annotations

from streamkit.models.heads import EndToEndHead


class Yolov10Detector(EndToEndHead):
    """Boxes."""

    stride = 32
