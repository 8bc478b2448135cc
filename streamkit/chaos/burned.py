"""Read the capture moment that a clock camera burns into its pictures."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamkit.chaos.server.picture import BITS, BLOCK, coded, rows_of_blocks

_UNSURE = 40
"""A block whose mean is this near to mid-grey is neither black nor white."""


def read(luma: NDArray[Any]) -> tuple[int, int] | None:
    """``(frame_number, unix_microseconds)`` of a picture, or ``None`` where it cannot be told.

    ``luma`` is the Y plane, (height, width) uint8, at the camera's own size. A checksum covers
    both values: a concealed or half-decoded picture gives ``None``, never a wrong moment.
    """
    height, width = luma.shape
    columns, rows = width // BLOCK, rows_of_blocks(width) if width >= BLOCK else 0
    if not rows or rows * BLOCK > height:
        return None
    grid = luma[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    means = grid[:, 4:12, :, 4:12].mean(axis=(1, 3)).reshape(-1)[:BITS]
    if (abs(means - 126) < _UNSURE).any():
        return None
    code = np.packbits(means > 126).tobytes()
    microseconds, number = struct.unpack_from(">QI", code)
    return (number, microseconds) if coded(number, microseconds) == code else None
