"""From a picture to a model's input: crop, contrast, grayscale, resize; and where it then lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from streamkit.errors import InferenceError
from streamkit.frame import Image, VideoFrame
from streamkit.models.base import Step, Tensor
from streamkit.models.geometry import Geometry
from streamkit.models.pixels import CONTRAST, ContrastType, Pixels, grayscale, mirrored
from streamkit.models.smooth import Smooth
from streamkit.models.yuv import Decoded

ResizeFormat: TypeAlias = Literal[
    "Stretch to",
    "Fit (black edges) in",
    "Fit (white edges) in",
    "Fit (grey edges) in",
    "Fit (reflect edges) in",
    "Fit within",
    "Fill (with center crop) in",
]
"""The names of ``PREPROCESSING.resize.format`` in ``environment.json``."""

LETTERBOX: Final[ResizeFormat] = "Fit (grey edges) in"
"""Grey 114, what Ultralytics exports were trained with."""

FILL: Final[ResizeFormat] = "Fill (with center crop) in"

Percent: TypeAlias = tuple[float, float, float, float]

_LONGEST: Final = 64
"""Times as long as wide."""

_EDGES: Final[Mapping[ResizeFormat, int | None]] = {
    "Fit (black edges) in": 0,
    "Fit (white edges) in": 255,
    "Fit (grey edges) in": 114,
    "Fit (reflect edges) in": None,
    "Fit within": 0,
}
"""Grey level around the picture, ``None``: its mirror image.

``Fit within`` keeps the shape and adds nothing; a graph that wants one size leaves no choice but to
fill up, which is done in black and evenly, as the neighbour does.
"""


@dataclass(frozen=True, slots=True)
class Switches:
    """Steps a model asks for and the user does not want (``DISABLE_PREPROC_...``)."""

    auto_orient: bool = False
    static_crop: bool = False
    contrast: bool = False
    grayscale: bool = False
    planes: bool = False
    """Not off but on (``STREAMKIT_PREPARE_PATH=planes``): see ``Decoded``."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one model wants done to a picture, in this order: crop, contrast, grayscale, resize.

    ``auto_orient`` (EXIF) is for whoever decodes files; a video frame has no such tag.
    """

    size: tuple[int, int]
    """(width, height) of the model's input."""
    resize: ResizeFormat = "Stretch to"
    crop: Percent | None = None
    """left, top, right, bottom in percent of the picture."""
    contrast: ContrastType | None = None
    grayscale: bool = False
    auto_orient: bool = True
    from_planes: bool = False
    """Whether a frame whose colours have not been converted is scaled first (see ``Decoded``)."""
    smooth: bool = False
    """Whether every pixel has a say in the smaller picture (see ``Smooth``)."""

    def write(self, picture: Any, planes: Tensor) -> Geometry:
        """Fill ``planes`` (3 x H x W ``float32``, RGB, 0..1) with ``picture``; where it then lies.

        ``picture``: a frame, or H x W (x 1, 3 or 4) ``uint8``, BGR. ``InferenceError`` for anything
        else.
        """
        if isinstance(picture, Plain):
            return self.less(picture.without).write(picture.picture, planes)
        if isinstance(picture, VideoFrame):
            decoded = Decoded.of(picture) if self._needs_no_pixels() else None
            if decoded is not None:
                return replace(self._place(decoded, planes), from_planes=True)
            picture = picture.image
        image = as_bgr(picture)
        height, width = image.shape[:2]
        left, top, right, bottom = self._visible(width, height)
        image = image[top:bottom, left:right]
        if self.contrast is not None:
            image = CONTRAST[self.contrast](np.ascontiguousarray(image))
        if self.grayscale:
            image = grayscale(image)
        inner = self._place(Smooth(image) if self.smooth else Pixels(image), planes)
        x1, y1, x2, y2 = inner.region
        return Geometry((width, height), (x1 + left, y1 + top, x2 + left, y2 + top), inner.placed)

    def less(self, without: frozenset[Step]) -> Recipe:
        """The same without some of its steps."""
        return replace(
            self,
            crop=None if "static_crop" in without else self.crop,
            contrast=None if "contrast" in without else self.contrast,
            grayscale=self.grayscale and "grayscale" not in without,
        )

    def _place(self, source: Resizable, planes: Tensor) -> Geometry:
        """All of it, or as much as the way to resize shows."""
        if self.resize == "Stretch to":
            write_planes(source.resized(self.size), planes)
            return Geometry(source.size, (0, 0, *source.size), (0, 0, *self.size))
        fitted = _fill if self.resize == FILL else self._fit
        return fitted(source, planes)

    def _needs_no_pixels(self) -> bool:
        steps = self.crop is not None or self.contrast is not None or self.grayscale
        return self.from_planes and not (steps or self.smooth)

    def _visible(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The static crop in whole pixels, at least one of them."""
        left, top, right, bottom = 0, 0, width, height
        if self.crop is not None:
            x1, y1, x2, y2 = self.crop
            left, top = int(x1 / 100 * width), int(y1 / 100 * height)
            right = max(left + 1, int(x2 / 100 * width))
            bottom = max(top + 1, int(y2 / 100 * height))
        if self.resize != FILL:
            return left, top, right, bottom
        return _without_ends(left, top, right, bottom)

    def _fit(self, source: Resizable, planes: Tensor) -> Geometry:
        """The whole picture in its own shape, in the middle of the input."""
        (width, height), (outer_w, outer_h) = source.size, self.size
        scale = min(outer_w / width, outer_h / height)
        inner_w, inner_h = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (outer_w - inner_w) // 2, (outer_h - inner_h) // 2
        small = source.resized((inner_w, inner_h))
        edge = _EDGES[self.resize]
        if edge is None:
            _write_mirrored(small, planes, left, top)
        else:
            _write_edges(planes, edge / np.float32(255), left, top, inner_w, inner_h)
            write_planes(small, planes[:, top : top + inner_h, left : left + inner_w])
        placed = (left, top, left + inner_w, top + inner_h)
        return Geometry((width, height), (0, 0, width, height), placed)


@dataclass(frozen=True, slots=True)
class Plain:
    """A picture whose caller wants some steps left out."""

    picture: VideoFrame | Image
    without: frozenset[Step]


class Resizable(Protocol):
    """A picture, in whatever form."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)"""
        ...

    def resized(self, size: tuple[int, int]) -> Image:
        """Bilinear to ``size`` (width, height), BGR."""
        ...


def as_bgr(picture: Any) -> Image:
    """A picture with three channels; gray is repeated, alpha is left out."""
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or 0 in picture.shape:
        raise InferenceError(_complaint(picture))
    if picture.ndim == 2:
        picture = picture[..., None]
    channels = picture.shape[2] if picture.ndim == 3 else 0
    if channels not in (1, 3, 4):
        raise InferenceError(_complaint(picture))
    return np.repeat(picture, 3, axis=2) if channels == 1 else picture[..., :3]


def _complaint(picture: Any) -> str:
    found = type(picture).__name__
    if isinstance(picture, np.ndarray):
        found = f"{picture.dtype} of shape {picture.shape}"
    return f"a picture must be uint8 of height x width x 3 (BGR), not {found}"


def _fill(source: Resizable, planes: Tensor) -> Geometry:
    """The input full of picture: its middle in its own shape, the rest cut off; whole pixels of the
    longer side and of what is cut off as ``torchvision.transforms`` counts them."""
    (width, height), (outer_h, outer_w) = source.size, planes.shape[1:]
    if outer_w * height >= outer_h * width:
        inner_w, inner_h = outer_w, max(outer_h, int(outer_w * height / width))
    else:
        inner_w, inner_h = max(outer_w, int(outer_h * width / height)), outer_h
    left, top = round((inner_w - outer_w) / 2), round((inner_h - outer_h) / 2)
    large = source.resized((inner_w, inner_h))
    write_planes(large[top : top + outer_h, left : left + outer_w], planes)
    across, down = width / inner_w, height / inner_h
    region = left * across, top * down, (left + outer_w) * across, (top + outer_h) * down
    return Geometry((width, height), region, (0, 0, outer_w, outer_h))


def _without_ends(left: int, top: int, right: int, bottom: int) -> tuple[int, int, int, int]:
    """The middle of a picture that is nothing but long: the size of all of it, as large as a model
    that shows the middle wants it, would be any number of gigabytes."""
    width, height = right - left, bottom - top
    across, down = (max(0, (a - _LONGEST * b) // 2) for a, b in ((width, height), (height, width)))
    return left + across, top + down, right - across, bottom - down


def write_planes(image: npt.NDArray[np.uint8], planes: Tensor) -> None:
    """H x W x 3 BGR ``uint8`` into 3 x H x W RGB ``float32`` / 255, in one pass over each channel.

    640 x 640: 0.7 ms, against 7.5 ms for ``cv2.dnn.blobFromImage`` and 7.3 ms for the usual chain
    of flip, transpose, copy, ``astype`` and division; the values are those of the chain, exactly.
    """
    for channel, plane in zip(reversed(cv2.split(image)), planes, strict=True):
        np.divide(channel, np.float32(255), out=plane)


def _write_mirrored(image: npt.NDArray[np.uint8], planes: Tensor, left: int, top: int) -> None:
    height, width = image.shape[:2]
    bottom, right = planes.shape[1] - top - height, planes.shape[2] - left - width
    write_planes(mirrored(image, (top, bottom, left, right)), planes)


def _write_edges(
    planes: Tensor, value: np.float32, left: int, top: int, width: int, height: int
) -> None:
    planes[:, :top] = planes[:, top + height :] = value
    middle = planes[:, top : top + height]
    middle[:, :, :left] = middle[:, :, left + width :] = value
