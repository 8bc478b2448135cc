"""Makes parts of a picture unrecognisable, for good: filled, in blocks, or blurred; 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, TypeAlias, cast

import cv2
import numpy as np
import numpy.typing as npt

from streamkit.frame import Image
from streamkit.imaging.layout import blank
from streamkit.imaging.palette import INK, Color
from streamkit.masks import Bitmap

Covering: TypeAlias = Literal["pixelate", "blur", "fill"]

_STEP: Final = 32
"""Steps between the colours that may be left of what was covered: eight of each channel."""
_SPOTS: Final = 3
"""Colours that blurring leaves, along the longer side."""
_BLOCKS: Final = 16
"""Blocks along the longer side of what is covered."""
_CONTRAST: Final = 22
"""Between the blocks, either way."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A part of a picture, all of it inside: right and bottom are not in it."""

    left: int
    top: int
    right: int
    bottom: int
    shape: Bitmap | None = None
    """Which pixels of it, 1 where they belong to it; ``None``: all."""


def cover(image: Image, region: Region, how: Covering, color: Color = INK) -> None:
    """Cover ``region`` of ``image`` (writable) so that nobody can bring back what was there.

    What is left of it: ``fill``, nothing; ``pixelate``, its mean colour in eight steps per channel
    (the blocks are a fixed pattern and say nothing); ``blur``, at most three by three such colours.
    Colours of finer blocks would tell faces apart, and many frames of them bring a face back.
    """
    there = image[region.top : region.bottom, region.left : region.right]
    if not there.size:
        return
    if how == "fill" and region.shape is None:
        corner = (region.right - 1, region.bottom - 1)
        cv2.rectangle(image, (region.left, region.top), corner, color, cv2.FILLED)
        return
    if how == "fill":
        painted = blank((there.shape[1], there.shape[0]), color)
    elif how == "pixelate":
        painted = _blocks(there, region)
    else:
        painted = _blurred(there)
    if region.shape is None:
        np.copyto(there, painted)
    else:
        cv2.copyTo(painted, np.ascontiguousarray(region.shape), there)


def rounded(colors: npt.NDArray[np.float64]) -> Image:
    """The nearest of the few colours that may be left."""
    steps = np.clip(colors, 0, 255).astype(np.int64) // _STEP
    return (steps * _STEP + _STEP // 2).astype(np.uint8)


def _blocks(there: Image, region: Region) -> Image:
    """The mean colour in blocks that stand still in the picture, whoever moves below them."""
    mean = rounded(np.array(cv2.mean(there, region.shape)[:3]))
    height, width = there.shape[:2]
    side = _side(max(width, height))
    top, left = region.top // side, region.left // side
    rows, columns = (region.bottom - 1) // side + 1, (region.right - 1) // side + 1
    pattern = _pattern()
    down = np.arange(top, rows) % len(pattern)
    across = np.arange(left, columns) % len(pattern)
    blocks = np.clip(mean.astype(np.int64) + pattern[down][:, across, None], 0, 255)
    size = ((columns - left) * side, (rows - top) * side)
    large = cv2.resize(blocks.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    y, x = region.top - top * side, region.left - left * side
    return cast(Image, large[y : y + height, x : x + width])


def _side(longer: int) -> int:
    """Pixels across a block, in powers of two, so that they change seldom; even, as chroma is."""
    side = 2
    while side * _BLOCKS < longer:
        side *= 2
    return max(2, side)


@cache
def _pattern() -> npt.NDArray[np.int64]:
    """How much brighter or darker each block is."""
    pattern = np.random.default_rng(7).integers(-_CONTRAST, _CONTRAST + 1, (61, 61))
    pattern.flags.writeable = False
    return pattern


def _blurred(there: Image) -> Image:
    height, width = there.shape[:2]
    across = max(1, round(_SPOTS * min(1.0, width / height)))
    down = max(1, round(_SPOTS * min(1.0, height / width)))
    small = cv2.resize(there, (across, down), interpolation=cv2.INTER_AREA)
    few = rounded(np.asarray(small, np.float64).reshape(down, across, 3))
    return cast(Image, cv2.resize(few, (width, height), interpolation=cv2.INTER_CUBIC))
