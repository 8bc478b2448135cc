"""One picture while it is drawn on: what there is to draw, how, and where text may still stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from streamkit.frame import Image
from streamkit.imaging.layout import size_of
from streamkit.imaging.scene import Scene
from streamkit.imaging.strokes import corners_of
from streamkit.imaging.style import Style
from streamkit.imaging.tabs import Tabs
from streamkit.imaging.text import Font

Edges: TypeAlias = Sequence[tuple[str, str]]
"""Names of keypoints between which there is a bone."""

BODY: Final[Edges] = (
    ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"),
    ("right_eye", "right_ear"), ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"), ("left_hip", "right_hip"),
    ("left_hip", "left_knee"), ("left_knee", "left_ankle"), ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
)  # fmt: skip
"""The 17 keypoints of people in COCO."""


class Canvas:
    """One picture while it is drawn on, and how."""

    def __init__(self, image: Image, scene: Scene, style: Style, skeleton: Edges) -> None:
        self.image, self.scene, self.style, self.skeleton = image, scene, style, skeleton
        self.size = size_of(image)
        self.font = Font.sized(style.text(self.size))
        self.tabs = Tabs(image, self.font)
        marks = scene.marks
        self.boxes = [] if marks is None else corners_of(marks.xyxy, self.size)
        self.order = _large_first(self.boxes)


def _large_first(boxes: Sequence[Sequence[int]]) -> list[int]:
    """Small boxes come out on top."""
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in boxes]
    return sorted(range(len(boxes)), key=lambda i: -areas[i])
