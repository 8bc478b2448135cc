"""YOLO26: the graph tells each object once, with its mask or its keypoints."""

from __future__ import annotations

from streamkit.models.heads import EndToEndHead
from streamkit.models.pose import EndToEndPose
from streamkit.models.segmenter import EndToEndSegmenter


class Yolo26Detector(EndToEndHead):
    """Boxes."""

    stride = 32


class Yolo26Segmenter(EndToEndSegmenter):
    """Boxes and masks."""

    stride = 32


class Yolo26Pose(EndToEndPose):
    """Boxes and keypoints."""

    stride = 32
