"""Boxes and their labels on a copy of a picture, and the line of statistics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streamkit.frame import Image
from streamkit.imaging.layers import paint
from streamkit.imaging.layout import Place, Size, fit, letterbox, size_of
from streamkit.imaging.marks import Marks
from streamkit.imaging.palette import GREEN
from streamkit.imaging.scene import Scene
from streamkit.imaging.style import PLAIN, Style
from streamkit.imaging.text import Font

__all__ = ["Style", "annotated", "annotated_at", "draw", "draw_statistics"]


def annotated(image: Image, marks: Marks, style: Style = PLAIN) -> Image:
    """A private copy of ``image`` with ``marks`` drawn on it."""
    copy = image.copy()
    draw(copy, marks, style)
    return copy


def annotated_at(
    image: Image,
    marks: Marks,
    size: Size,
    style: Style = PLAIN,
) -> Image:
    """``image`` letterboxed to ``size``, ``marks`` drawn at that size, so text stays readable."""
    place = fit(size_of(image), size)
    canvas = letterbox(image, size)
    draw(canvas, _moved(marks, size_of(image), place), style)
    return canvas


def draw(image: Image, marks: Marks, style: Style = PLAIN) -> None:
    """Draw onto ``image`` (H x W x 3 ``uint8`` BGR, writable); small boxes come out on top."""
    if len(marks):
        paint(image, Scene(marks), style, ("boxes", "labels"))


def draw_statistics(image: Image, latency: float | None, throughput: float | None) -> None:
    """Write latency (seconds) and throughput (frames per second) in green at the lower left."""
    scale = min(max(image.shape[0] / 900, 0.4), 0.8)
    lines = (
        (f"LATENCY: {latency * 1000:.2f} ms" if latency is not None else "", 10),
        (f"THROUGHPUT: {throughput:.2f}" if throughput is not None else "", 10 + round(50 * scale)),
    )
    font = Font.sized(scale)
    for text, above in lines:
        if text:
            bottom = image.shape[0] - above
            behind = image[max(0, bottom - font.height) : bottom + font.baseline]
            behind[:, : 10 + font.width(text) + font.pad] //= 3  # readable on any picture
            font.put(image, text, 10, bottom, GREEN)


def _moved(marks: Marks, size: Size, place: Place) -> Marks:
    scale = np.array([place.width / size[0], place.height / size[1]] * 2, np.float32)
    offset = np.array([place.left, place.top] * 2, np.float32)
    return replace(marks, xyxy=marks.xyxy * scale + offset, masks=None, outlines=(), keypoints=())
