"""One fast pass that draws boxes and their labels, and the line of statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import cv2
import numpy as np

from streamkit.frame import Image
from streamkit.imaging.layout import Place, Size, fit, letterbox, size_of
from streamkit.imaging.marks import Marks
from streamkit.imaging.palette import GREEN, PALETTE, Color, ink_on

_FONT = cv2.FONT_HERSHEY_SIMPLEX
"""OpenCV 5 draws it with its own TrueType face, every script included."""


@dataclass(frozen=True, slots=True)
class Style:
    """How things are drawn; widths follow the size of the picture unless they are given."""

    palette: Sequence[Color] = field(default=PALETTE)
    thickness: int | None = None
    """Width of lines in pixels."""
    text_scale: float | None = None
    """Size of text: 1.0 is 27 pixels high."""

    def color(self, key: int) -> Color:
        """The colour of an object, always the same for the same key."""
        return self.palette[key % len(self.palette)]

    def line(self, size: Size) -> int:
        """Width of a line on a picture of ``size``: two where video would lose one (4:2:0)."""
        return self.thickness or max(1 if min(size) < 200 else 2, round(min(size) / 400))

    def text(self, size: Size) -> float:
        """Scale of text on a picture of ``size``."""
        return self.text_scale or min(max(min(size) / 1300, 0.38), 2.0)


class _Font(NamedTuple):
    """Text measured once per picture."""

    scale: float
    weight: int
    height: int
    baseline: int
    pad: int

    @classmethod
    def sized(cls, scale: float) -> _Font:
        weight = max(1, round(scale * 2))
        (_, height), baseline = cv2.getTextSize("Ag", _FONT, scale, weight)
        return cls(scale, weight, height, baseline, max(3, round(scale * 9)))

    def width(self, text: str) -> int:
        return int(cv2.getTextSize(text, _FONT, self.scale, self.weight)[0][0])

    def put(self, image: Image, text: str, left: int, bottom: int, color: Color) -> None:
        cv2.putText(image, text, (left, bottom), _FONT, self.scale, color, self.weight, cv2.LINE_AA)


def annotated(image: Image, marks: Marks, style: Style = Style()) -> Image:
    """A private copy of ``image`` with ``marks`` drawn on it."""
    copy = image.copy()
    draw(copy, marks, style)
    return copy


def annotated_at(
    image: Image,
    marks: Marks,
    size: Size,
    style: Style = Style(),
) -> Image:
    """``image`` letterboxed to ``size``, ``marks`` drawn at that size, so text stays readable."""
    place = fit(size_of(image), size)
    canvas = letterbox(image, size)
    draw(canvas, _moved(marks, size_of(image), place), style)
    return canvas


def draw(image: Image, marks: Marks, style: Style = Style()) -> None:
    """Draw onto ``image`` (H x W x 3 ``uint8`` BGR, writable); small boxes come out on top."""
    if not len(marks):
        return
    size = size_of(image)
    corners = _corners(marks, size)
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    order = np.argsort(-areas, kind="stable").tolist()
    boxes: list[list[int]] = corners.tolist()
    width = style.line(size)
    for i in order:
        left, top, right, bottom = boxes[i]
        cv2.rectangle(image, (left, top), (right, bottom), style.color(marks.keys[i]), width)
    font = _Font.sized(style.text(size))
    for i in order:
        if marks.labels[i]:
            _tab(image, boxes[i], marks.labels[i], style.color(marks.keys[i]), font, width)


def draw_statistics(image: Image, latency: float | None, throughput: float | None) -> None:
    """Write latency (seconds) and throughput (frames per second) in green at the lower left."""
    scale = min(max(image.shape[0] / 900, 0.4), 0.8)
    lines = (
        (f"LATENCY: {latency * 1000:.2f} ms" if latency is not None else "", 10),
        (f"THROUGHPUT: {throughput:.2f}" if throughput is not None else "", 10 + round(50 * scale)),
    )
    font = _Font.sized(scale)
    for text, above in lines:
        if text:
            bottom = image.shape[0] - above
            behind = image[max(0, bottom - font.height) : bottom + font.baseline]
            behind[:, : 10 + font.width(text) + font.pad] //= 3  # readable on any picture
            font.put(image, text, 10, bottom, GREEN)


def _corners(marks: Marks, size: Size) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    limits = np.array([size[0] - 1, size[1] - 1] * 2, np.float32)
    finite = np.nan_to_num(marks.xyxy, nan=0.0)
    corners: np.ndarray[tuple[int, int], np.dtype[np.int32]] = np.rint(
        np.clip(finite, 0, limits)
    ).astype(np.int32)
    return corners


def _tab(image: Image, box: Sequence[int], text: str, color: Color, font: _Font, line: int) -> None:
    """A filled tab with the label, above the box where there is room, else inside its top."""
    width, height = font.width(text) + 2 * font.pad, font.height + font.baseline + font.pad
    left = max(0, min(box[0] - line // 2, image.shape[1] - width))
    bottom = box[1] if box[1] >= height else min(box[1] + height, image.shape[0])
    cv2.rectangle(image, (left, bottom - height), (left + width - 1, bottom), color, cv2.FILLED)
    font.put(image, text, left + font.pad, bottom - font.baseline - font.pad // 2, ink_on(color))


def _moved(marks: Marks, size: Size, place: Place) -> Marks:
    scale = np.array([place.width / size[0], place.height / size[1]] * 2, np.float32)
    offset = np.array([place.left, place.top] * 2, np.float32)
    return replace(marks, xyxy=marks.xyxy * scale + offset)
