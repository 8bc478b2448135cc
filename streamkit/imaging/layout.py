"""Pictures beside each other and inside each other: letterbox, mosaic; ``uint8``, one canvas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np

from streamkit.frame import Image
from streamkit.imaging.palette import BLACK, WHITE, Color

Size: TypeAlias = tuple[int, int]
"""(width, height) in pixels."""

_ONE_ROW = 3
"""Up to so many pictures stand in one row."""


class Place(NamedTuple):
    """Where a picture lands on a canvas, in pixels of the canvas."""

    left: int
    top: int
    width: int
    height: int


def size_of(image: Image) -> Size:
    """(width, height) of a picture."""
    return image.shape[1], image.shape[0]


def blank(size: Size, color: Color = BLACK) -> Image:
    """A picture of one colour."""
    width, height = size
    canvas: Image = np.empty((height, width, 3), np.uint8)
    paint(canvas, color)
    return canvas


def paint(canvas: Image, color: Color) -> None:
    """Fill with one colour (a grey one by ``memset``: NumPy spreads a triple 20 times slower)."""
    canvas[:] = color[0] if len(set(color)) == 1 else color


def fit(size: Size, into: Size) -> Place:
    """The largest centred place for a picture of ``size`` that keeps its aspect ratio."""
    scale = min(into[0] / size[0], into[1] / size[1])
    width = min(into[0], max(1, round(size[0] * scale)))
    height = min(into[1], max(1, round(size[1] * scale)))
    return Place((into[0] - width) // 2, (into[1] - height) // 2, width, height)


def paste(image: Image, canvas: Image, place: Place) -> None:
    """Scale ``image`` straight into its ``place`` on ``canvas``."""
    left, top, width, height = place
    there = canvas[top : top + height, left : left + width]
    if there.shape == image.shape:
        np.copyto(there, image)
        return
    # Averaging is 10 times slower than linear; below a third, linear would skip pixels.
    shrunk = width * 3 <= image.shape[1]
    cv2.resize(
        image, (width, height), there, interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_LINEAR
    )


def letterbox(image: Image, size: Size, color: Color = BLACK) -> Image:
    """A new picture of exactly ``size``: ``image`` centred and undistorted, bars in ``color``."""
    place = fit(size_of(image), size)
    full = (place.width, place.height) == size
    canvas: Image = np.empty((size[1], size[0], 3), np.uint8) if full else blank(size, color)
    paste(image, canvas, place)
    return canvas


def grid(count: int) -> tuple[int, int]:
    """(rows, columns) for so many pictures: one row up to three, then as square as possible."""
    if count <= _ONE_ROW:
        return 1, count
    columns = math.isqrt(count - 1) + 1
    return math.ceil(count / columns), columns


def tiles(
    images: Sequence[Image],
    *,
    tile: Size | None = None,
    margin: int = 15,
    margin_color: Color = WHITE,
    padding_color: Color = BLACK,
) -> Image:
    """A mosaic as large as its tiles ask for; a tile is as large as the average picture.

    Raises ``ValueError`` without pictures.
    """
    if not images:
        raise ValueError("a mosaic needs at least one picture")
    tile = tile or _average_size(images)
    rows, columns = grid(len(images))
    size = (
        columns * tile[0] + (columns - 1) * margin,
        rows * tile[1] + (rows - 1) * margin,
    )
    canvas = blank(size, margin_color)
    _fill(canvas, images, tile, margin, padding_color)
    return canvas


def mosaic(images: Sequence[Image], size: Size, *, margin: int = 4, color: Color = BLACK) -> Image:
    """A mosaic of exactly ``size``, every picture scaled once, straight into its tile.

    Raises ``ValueError`` without pictures, or where ``size`` has no room for them.
    """
    if not images:
        raise ValueError("a mosaic needs at least one picture")
    canvas = blank(size, color)
    _fill(canvas, images, tile_size(len(images), size, margin), margin, color)
    return canvas


def tile_size(count: int, size: Size, margin: int = 4) -> Size:
    """The size of a tile where ``mosaic`` puts ``count`` pictures into ``size``.

    Raises ``ValueError`` where there is no room for them.
    """
    rows, columns = grid(count)
    width = (size[0] - (columns - 1) * margin) // columns
    height = (size[1] - (rows - 1) * margin) // rows
    if min(width, height) < 1:
        raise ValueError(f"{count} pictures do not fit into {size[0]}x{size[1]}")
    return width, height


def _fill(
    canvas: Image, images: Sequence[Image], tile: Size, margin: int, padding_color: Color
) -> None:
    rows, columns = grid(len(images))
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        left, top = column * (tile[0] + margin), row * (tile[1] + margin)
        there = canvas[top : top + tile[1], left : left + tile[0]]
        image = images[index] if index < len(images) else None
        if image is None or size_of(image) != tile:
            paint(there, padding_color)
        if image is not None:
            paste(image, there, fit(size_of(image), tile))


def _average_size(images: Sequence[Image]) -> Size:
    widths, heights = zip(*(size_of(image) for image in images), strict=True)
    return round(sum(widths) / len(images)), round(sum(heights) / len(images))
