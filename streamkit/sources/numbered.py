"""Pictures that carry their number in their pixels, so that loss and order can be read off them."""

from __future__ import annotations

import numpy as np

from streamkit.frame import Image

COLUMNS, ROWS = 12, 2
NUMBER_BITS, CHECK_BITS = 20, 4
LIMIT = 1 << NUMBER_BITS
_DARK, _LIGHT = 32, 224


def encode_number(number: int, width: int = 320, height: int = 240) -> Image:
    """A picture of ``number``: 24 dark or light fields on top, a square that moves below.

    The fields are large and far apart in brightness: they survive H.264 at any usual quality,
    scaling, and grey. Numbers count modulo 2**20. Needs at least 48 x 32 pixels.
    """
    if width < 4 * COLUMNS or height < 16 * ROWS:
        raise ValueError(f"a numbered picture needs at least 48 x 32 pixels, not {width}x{height}")
    image = np.full((height, width, 3), (96, 112, 128), np.uint8)
    edges_x, edges_y = _edges(width, height)
    for index, light in enumerate(_bits(number % LIMIT)):
        row, column = divmod(index, COLUMNS)
        field = np.s_[edges_y[row] : edges_y[row + 1], edges_x[column] : edges_x[column + 1]]
        image[field] = _LIGHT if light else _DARK
    side = height // 8
    left = number * max(1, width // 64) % (width - side)
    image[height // 2 : height // 2 + side, left : left + side] = (40, 40, 220)
    return image


def decode_number(image: Image) -> int:
    """The number in a picture of ``encode_number``. Raises ``ValueError`` if there is none."""
    height, width = image.shape[:2]
    edges_x, edges_y = _edges(width, height)
    bits = 0
    for index in range(COLUMNS * ROWS):
        row, column = divmod(index, COLUMNS)
        bits = bits << 1 | (_middle(image, edges_y[row : row + 2], edges_x[column : column + 2]))
    number, check = bits >> CHECK_BITS, bits & ((1 << CHECK_BITS) - 1)
    if check != _check(number):
        raise ValueError("no number can be read in this picture")
    return number


def _edges(width: int, height: int) -> tuple[list[int], list[int]]:
    across = [round(width * column / COLUMNS) for column in range(COLUMNS + 1)]
    down = [round(height * row / (4 * ROWS)) for row in range(ROWS + 1)]
    return across, down


def _bits(number: int) -> list[bool]:
    word = number << CHECK_BITS | _check(number)
    return [bool(word >> shift & 1) for shift in reversed(range(NUMBER_BITS + CHECK_BITS))]


def _check(number: int) -> int:
    """Four bits that an all-dark, all-light or half-decoded picture does not have by accident."""
    folded = number * 0x9E3779B1 & 0xFFFFFFFF
    return (folded >> 28 ^ 0b1010) & 0b1111


def _middle(image: Image, rows: list[int], columns: list[int]) -> bool:
    """Is the middle third of this field light?"""
    inset_y, inset_x = (rows[1] - rows[0]) // 3, (columns[1] - columns[0]) // 3
    field = image[
        rows[0] + inset_y : rows[1] - inset_y, columns[0] + inset_x : columns[1] - inset_x
    ]
    return float(field.mean()) > (_DARK + _LIGHT) / 2
