"""Numbers, time and name on a dark ground, in corners that labels leave free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import numpy as np

from streamkit.imaging.canvas import Canvas
from streamkit.imaging.palette import INK, WHITE
from streamkit.imaging.strokes import tint
from streamkit.imaging.style import Layer
from streamkit.imaging.text import written

Sides: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom."""


def _panel_rows(canvas: Canvas) -> list[str]:
    """Those for which there is room."""
    room = max(0, int(canvas.size[1] * 0.6) // canvas.tabs.height)
    return [written(row) for row in canvas.scene.panel[:room]]


def reserve(canvas: Canvas, layer: Layer) -> None:
    left, top, right, bottom = _PLACES[layer](canvas)
    canvas.tabs.take(left, top, right, bottom)


def _panel_place(canvas: Canvas) -> Sides:
    rows, tabs, pad = _panel_rows(canvas), canvas.tabs, canvas.font.pad
    if not rows:
        return 0, 0, 0, 0
    top = len(canvas.scene.headings) * tabs.height + pad
    wide = min(canvas.size[0] - pad, pad + max(tabs.width(row) for row in rows))
    return pad, top, wide, min(canvas.size[1], top + len(rows) * tabs.height + pad)


def panel(canvas: Canvas) -> None:
    """Numbers on a dark ground at the upper left."""
    left, top, right, bottom = _panel_place(canvas)
    if right <= left or bottom <= top:
        return
    shape = np.ones((bottom - top, right - left), np.uint8)
    tint(canvas.image, left, top, shape, INK, canvas.style.opacity("panel", 0.7))
    font, color = canvas.font, canvas.style.brush("panel").color or WHITE
    inside = canvas.image[top:bottom, left:right]
    for number, row in enumerate(_panel_rows(canvas), 1):
        font.put(inside, row, font.pad, number * canvas.tabs.height - font.baseline // 2, color)


def _stamp_place(canvas: Canvas) -> Sides:
    width, height = canvas.size
    wide = min(width, canvas.tabs.width(written(canvas.scene.stamp)))
    return width - wide, max(0, height - canvas.tabs.height), width, height


def stamp(canvas: Canvas) -> None:
    """Time and name at the lower right."""
    if not canvas.scene.stamp:
        return
    left, top, _, bottom = _stamp_place(canvas)
    shape = np.ones((bottom - top, canvas.size[0] - left), np.uint8)
    tint(canvas.image, left, top, shape, INK, canvas.style.opacity("stamp", 0.7))
    font, color = canvas.font, canvas.style.brush("stamp").color or WHITE
    base = canvas.tabs.height - font.baseline - font.pad // 2
    font.put(canvas.image[top:bottom, left:], written(canvas.scene.stamp), font.pad, base, color)


_PLACES: Final[Mapping[Layer, Callable[[Canvas], Sides]]] = {
    "panel": _panel_place,
    "stamp": _stamp_place,
}
