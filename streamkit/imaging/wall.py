"""Several streams in one picture: a tile each, with its name, and what is the matter with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from streamkit.frame import Image
from streamkit.imaging.layout import Place, Size, blank, fit, paint, paste, size_of
from streamkit.imaging.palette import BLACK, Color
from streamkit.imaging.style import PLAIN
from streamkit.imaging.tabs import Tabs
from streamkit.imaging.text import Font

MARGIN: Final = 4
_GROUND: Color = (30, 27, 25)
_NAME: Color = (235, 232, 230)
_TROUBLE: Color = (0, 94, 213)
_SHAPE: Final = 16 / 9
_DIM: Final = 0.35
"""How bright a picture is that is not of now."""


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One stream on the wall."""

    name: str
    picture: Image | None
    """``None`` where there was none yet."""
    trouble: str = ""
    """What is the matter; then the picture is dimmed."""


def places(count: int, size: Size, margin: int = MARGIN) -> list[Place]:
    """Where each of ``count`` tiles stands on a picture of ``size``. Raises ``ValueError`` where
    there is no room for them."""
    columns = _columns(count, size)
    width = (size[0] - (columns - 1) * margin) // columns
    rows = -(-count // columns)
    height = (size[1] - (rows - 1) * margin) // rows
    if min(width, height) < 1:
        raise ValueError(f"{count} tiles do not fit into {size[0]}x{size[1]}")
    cells = (divmod(i, columns) for i in range(count))
    return [Place(c * (width + margin), r * (height + margin), width, height) for r, c in cells]


def _columns(count: int, size: Size) -> int:
    """So many that pictures of the usual shape come out largest."""

    def largest(columns: int) -> float:
        return min(size[0] / columns, size[1] / -(-count // columns) * _SHAPE)

    return max(range(count, 0, -1), key=largest)


def wall(tiles: Sequence[Tile], size: Size) -> Image:
    """One picture of ``size``; without tiles an empty one. Raises ``ValueError`` without room."""
    canvas = blank(size, BLACK)
    for tile, place in zip(tiles, places(len(tiles), size) if tiles else (), strict=True):
        left, top, width, height = place
        _fill(canvas[top : top + height, left : left + width], tile)
    return canvas


def _fill(there: Image, tile: Tile) -> None:
    size = size_of(there)
    paint(there, _GROUND if tile.picture is None else BLACK)
    if tile.picture is not None:
        paste(tile.picture, there, fit(size_of(tile.picture), size))
    if tile.trouble and tile.picture is not None:
        np.copyto(there, cv2.convertScaleAbs(there, alpha=_DIM))
    tabs = Tabs(there, Font.sized(PLAIN.text(size)))
    if tile.name:
        tabs.put(0, 0, tile.name, _NAME)
    if tile.trouble:
        middle = (size[1] - tabs.height) // 2
        tabs.put((size[0] - tabs.width(tile.trouble)) // 2, middle, tile.trouble, _TROUBLE)
