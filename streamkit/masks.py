"""The exact shapes of objects: one bitmap each, no larger than the object; outlines, RLE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from streamkit.predictions import Index

Bitmap: TypeAlias = npt.NDArray[np.uint8]
"""(height, width), 1 where the object is, else 0."""

Polygon: TypeAlias = npt.NDArray[np.int32]
"""(M, 2) x, y of pixels: filled, edge included (``cv2.fillPoly``), it gives the shape back."""

Rle: TypeAlias = dict[str, Any]
"""``{"size": [height, width], "counts": text}``, the compressed form of pycocotools."""


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """N shapes in one picture, each kept only where the object is."""

    bitmaps: Sequence[Bitmap]
    """In pixels of the picture; 0 x 0 for an object without a shape."""
    offsets: npt.NDArray[np.int64]
    """(N, 2): left and top of each bitmap in the picture."""
    image_size: tuple[int, int]
    """(width, height) of the picture."""

    def __len__(self) -> int:
        return len(self.bitmaps)

    def __getitem__(self, which: Index) -> Masks:
        """The chosen shapes, by mask, indices or slice."""
        chosen = np.arange(len(self))[which].tolist()
        bitmaps = tuple(self.bitmaps[i] for i in chosen)
        return Masks(bitmaps, self.offsets[which], self.image_size)

    @property
    def areas(self) -> npt.NDArray[np.int64]:
        """(N,) pixels of each shape."""
        return np.array([np.count_nonzero(bitmap) for bitmap in self.bitmaps], np.int64)

    def dense(self) -> npt.NDArray[np.bool_]:
        """(N, height, width): whole pictures, 2 MB per object at 1080p; for who insists on them."""
        width, height = self.image_size
        full = np.zeros((len(self), height, width), np.bool_)
        for plane, bitmap, (left, top) in zip(full, self.bitmaps, self.offsets, strict=True):
            h, w = bitmap.shape
            plane[top : top + h, left : left + w] = bitmap
        return full

    def polygons(self) -> list[list[Polygon]]:
        """The outer outlines of each shape, the largest first; holes are not told of."""
        return [_outlines(*shape) for shape in zip(self.bitmaps, self.offsets, strict=True)]

    def rle(self) -> list[Rle]:
        """Each shape as COCO writes it; nothing is lost."""
        width, height = self.image_size
        shapes = zip(self.bitmaps, self.offsets, strict=True)
        counts = (_counts(bitmap, offset, width, height) for bitmap, offset in shapes)
        return [{"size": [height, width], "counts": _text(count)} for count in counts]


def _outlines(bitmap: Bitmap, offset: npt.NDArray[np.int64]) -> list[Polygon]:
    import cv2

    if bitmap.size == 0:
        return []
    left, top = offset.tolist()
    contours, _ = cv2.findContours(
        bitmap, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top)
    )
    largest_first = sorted(contours, key=cv2.contourArea, reverse=True)
    return [np.asarray(contour, np.int32).reshape(-1, 2) for contour in largest_first]


def _counts(
    bitmap: Bitmap, offset: npt.NDArray[np.int64], width: int, height: int
) -> npt.NDArray[np.int64]:
    """Lengths of runs of 0 and 1 in turn, down the columns of the whole picture, 0 first."""
    h, w = bitmap.shape
    left, top = offset.tolist()
    fenced = np.zeros(w * (h + 1) + 1, np.uint8)  # a 0 before, and one below each column
    fenced[1:].reshape(w, h + 1)[:, :h] = bitmap.T
    column, row = np.divmod(np.flatnonzero(fenced[1:] != fenced[:-1]), h + 1)
    turns = (column + left) * height + row + top
    if h == height:  # a run that reaches the bottom may go on at the top of the next column
        goes_on = 2 * np.flatnonzero(turns[1:-1:2] == turns[2::2]) + 1
        turns = np.delete(turns, np.concatenate((goes_on, goes_on + 1)))
    if len(turns) and turns[-1] == width * height:
        turns = turns[:-1]
    counts: npt.NDArray[np.int64] = np.diff(turns, prepend=0, append=width * height)
    return counts


def _text(counts: npt.NDArray[np.int64]) -> str:
    """As pycocotools does: from the fourth on, the difference to the last but one; then in groups
    of five bits, lowest first, bit 6 where more follow, the last with the sign; plus 48."""
    rest = counts.copy()
    rest[3:] -= counts[1:-2]
    groups = []
    open_ = np.ones(len(rest), np.bool_)
    while open_.any():
        low, rest = rest & 31, rest >> 5
        more = np.where(low & 16, rest != -1, rest != 0)
        groups.append(np.where(open_, low + 48 + 32 * more, 0))
        open_ &= more
    codes = np.stack(groups, axis=1).astype(np.uint8)
    return codes[codes > 0].tobytes().decode("ascii")
