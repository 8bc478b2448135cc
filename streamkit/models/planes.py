"""From a model's coarse planes to the shapes of objects, sampled only where the objects are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.masks import Bitmap, Masks
from streamkit.models.base import InferenceOptions
from streamkit.models.boxes import Bools
from streamkit.models.geometry import Geometry
from streamkit.predictions import Floats, Ints

Size: TypeAlias = tuple[int, int]

_TIE: Final = 1e-9
"""Of a sample: a pixel's centre that lies on the border of two belongs to the second."""

_NOTHING: Bitmap = np.zeros((0, 0), np.uint8)
_NOTHING.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """N planes that are sums of prototypes, added up only where they are looked at: whole planes
    take 2 ms of a core for 50 objects or, where others want the cores too, 16."""

    coefficients: Floats
    """(N, M)"""
    prototypes: npt.NDArray[Any]
    """(M, h, w)"""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, h, w)"""
        return (len(self.coefficients), *self.prototypes.shape[1:])

    def __getitem__(self, where: tuple[int, slice, slice]) -> Floats:
        """A part of one plane."""
        index, rows, columns = where
        part = self.prototypes[:, rows, columns]
        flat = part.reshape(len(part), -1).astype(np.float32, copy=False)
        with np.errstate(all="ignore"):  # broken weights: what is not a number is not above 0
            plane: Floats = self.coefficients[index] @ flat
        return plane.reshape(part.shape[1:])


def decode(
    planes: Floats | Mixture,
    within: Floats,
    geometry: Geometry,
    canvas: Size,
    options: InferenceOptions,
) -> Masks:
    """Where each plane is above 0, in pixels of the picture.

    ``planes``: (N, h, w) logits that cover the model's input of ``canvas`` (width, height).
    ``within``: (N, 4) xyxy in the picture; a pixel is inside if its centre is. A sample is bilinear
    between the centres of cells; cells which show only padding have no say in the picture.

    Every pixel is as if the planes had been sampled for the whole picture: 50 objects of 200 x 300
    at 1080p take a twentieth of what that takes, or less.
    """
    width, height = geometry.size
    across = _axis(0, width, planes.shape[2], canvas[0], geometry, options)
    down = _axis(1, height, planes.shape[1], canvas[1], geometry, options)
    first = np.ceil(within[:, :2] - 0.5).astype(np.int64).clip(0)
    last = np.ceil(within[:, 2:] - 0.5).astype(np.int64).clip(None, geometry.size)
    found = [
        _shape(planes, index, across.part(left, right), down.part(top, bottom))
        for index, ((left, top), (right, bottom)) in enumerate(zip(first, last, strict=True))
    ]
    offsets = np.array([offset for _, offset in found], np.int64).reshape(-1, 2)
    return Masks(tuple(bitmap for bitmap, _ in found), offsets, geometry.size)


@dataclass(frozen=True, slots=True)
class _Axis:
    """For each pixel in a row (or column) of a picture, where its sample lies in a plane."""

    start: int
    """Of the first pixel, in the picture."""
    low: Ints
    """The cell before the sample, or the one it lies on; rises from pixel to pixel."""
    high: Ints
    """The cell after it."""
    weight: Floats
    """Of the cell after it."""
    sample: Ints | None
    """A number per sample: equal for pixels that share one; ``None``: each has its own."""

    def __len__(self) -> int:
        return len(self.low)

    def part(self, start: int, stop: int) -> _Axis:
        """Of pixels ``start`` to ``stop``, counted from the first."""
        cut = slice(start, max(start, stop))
        sample = None if self.sample is None else self.sample[cut]
        return _Axis(self.start + start, self.low[cut], self.high[cut], self.weight[cut], sample)

    @property
    def cells(self) -> slice:
        """All that have a say."""
        return slice(int(self.low[0]), int(self.high[-1]) + 1)

    def moved(self) -> _Axis:
        """With the first of its cells as number 0."""
        first = self.low[0]
        return _Axis(self.start, self.low - first, self.high - first, self.weight, self.sample)

    def touching(self, cells: Ints) -> _Axis:
        """The part between the first and last pixel in which ``cells`` (rising) have a say."""
        start = int(np.searchsorted(self.high, cells[0]))
        return self.part(start, int(np.searchsorted(self.low, cells[-1], side="right")))

    def samples(self) -> tuple[_Axis, Ints | None]:
        """One pixel of each sample, and which of them each pixel has; ``None``: each its own."""
        if self.sample is None:
            return self, None
        new = np.diff(self.sample, prepend=self.sample[0] - 1) > 0
        own = _Axis(self.start, self.low[new], self.high[new], self.weight[new], None)
        return own, np.cumsum(new) - 1


def _axis(
    way: int, pixels: int, cells: int, canvas: int, geometry: Geometry, options: InferenceOptions
) -> _Axis:
    """``way``: 0 across, 1 down."""
    scale, density = geometry.scale[way], cells / canvas
    seen_from, seen_to = geometry.placed[way] * density, geometry.placed[way + 2] * density
    inside = (np.arange(pixels) + 0.5 - geometry.region[way]) * scale + geometry.placed[way]
    place = inside * density
    grid = _samples(cells, canvas / scale, options)
    sample = None
    if grid:
        sample = np.floor(place * (grid / cells) + _TIE).astype(np.int64)
        place = (sample + 0.5) * (cells / grid)
    first = max(0, int(np.ceil(seen_from - 0.5)))
    last = min(cells, max(first + 1, int(np.ceil(seen_to - 0.5)))) - 1
    place = np.clip(place - 0.5, min(first, last), last)
    low = np.floor(place).astype(np.int64)
    weight = (place - low).astype(np.float32)
    return _Axis(0, low, np.minimum(low + 1, cells - 1), weight, sample)


def _samples(cells: int, whole: float, options: InferenceOptions) -> int:
    """How many samples the whole input is cut into; 0: one for each pixel of the picture.

    ``whole``: the input's length in pixels of the picture.
    """
    mode, share = options.mask_decode_mode, options.tradeoff_factor
    if mode == "accurate" or (mode == "tradeoff" and share == 1):
        return 0
    return cells if mode == "fast" else max(1, round(cells * (1 - share) + whole * share))


def _shape(
    planes: Floats | Mixture, index: int, across: _Axis, down: _Axis
) -> tuple[Bitmap, tuple[int, int]]:
    """The bitmap of what is above 0, and where it begins."""
    if len(across) == 0 or len(down) == 0:
        return _NOTHING, (0, 0)
    plane = planes[index, down.cells, across.cells]
    across, down = across.moved(), down.moved()
    positive = plane > 0
    rows, columns = (np.flatnonzero(positive.any(axis=i)) for i in (1, 0))
    if len(rows) == 0:
        return _NOTHING, (0, 0)
    across, down = across.touching(columns), down.touching(rows)
    if len(across) == 0 or len(down) == 0:
        return _NOTHING, (0, 0)
    (columns_of, column), (rows_of, row) = across.samples(), down.samples()
    bitmap = _sampled(plane[rows_of.cells], columns_of, rows_of.moved())
    bitmap = bitmap if row is None else bitmap.take(row, axis=0)
    bitmap = bitmap if column is None else bitmap.take(column, axis=1)
    return bitmap, (across.start, down.start)


def _sampled(plane: Floats, across: _Axis, down: _Axis) -> Bitmap:
    """First across, on the few rows of cells there are, then down; there a pixel between two cells
    of one sign has that sign, so that only those along an outline need be computed."""
    wide = plane.take(across.low, axis=1)
    wide += (plane.take(across.high, axis=1) - wide) * across.weight
    positive = wide > 0
    bitmap = positive.view(np.uint8).take(down.low, axis=0)
    _outline(bitmap, wide, positive, down)
    return bitmap


def _outline(bitmap: Bitmap, wide: Floats, positive: Bools, down: _Axis) -> None:
    """Fill in the pixels below a cell whose sign is not that of the next cell down."""
    cells = np.arange(len(wide))
    first, end = (np.searchsorted(down.low, cells, side=side) for side in ("left", "right"))
    turns = positive[:-1] != positive[1:]
    turns[first[:-1] == end[:-1]] = False
    cell, column = np.divmod(np.flatnonzero(turns), wide.shape[1])
    if len(cell) == 0:
        return
    rows = np.minimum(first[:, None] + np.arange((end - first).max()), end[:, None] - 1)
    value = wide[cell, column]
    values = down.weight[rows].take(cell, axis=0)
    values *= (wide[cell + 1, column] - value)[:, None]
    bitmap[rows.take(cell, axis=0), column[:, None]] = values > -value[:, None]
