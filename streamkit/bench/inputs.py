"""Made-up pictures and outputs of models, as busy as a street; equal for equal seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from streamkit.frame import Image
from streamkit.predictions import Floats

SIDE: Final = 640
CLASSES: Final = 80
_STRIDES: Final = (8, 16, 32)
_STREET: Final = 70


def head(seed: int, objects: int = _STREET) -> Floats:
    """(4 + 80, 8400) ``float32``, as YOLOv8 answers to a picture with many objects.

    As on the busiest pictures of COCO with real weights, about 1,700 of the best scores are 0.001
    or more, 40 of them 0.4 or more; half are of two classes, and about 200 boxes survive NMS.
    """
    chance = np.random.default_rng(seed)
    centres, sizes = _anchors(), chance.uniform(20, 220, (objects, 2))
    places = chance.uniform(40, SIDE - 40, (objects, 2))
    distance = (((centres[:, None] - places) / sizes) ** 2).sum(axis=2)
    nearest, rows = distance.argmin(axis=1), np.arange(len(centres))
    near = np.exp(-distance[rows, nearest] * chance.uniform(40, 600, objects)[nearest])
    near *= 10 ** chance.uniform(-1.2, 0, len(centres))
    scores = 10 ** chance.uniform(-8, -3.8, (CLASSES, len(centres)))
    scores[(chance.geometric(0.5, objects) - 1)[nearest], rows] += 0.9 * near
    blur = np.where(near > 0.2, 0.03, 0.25)[:, None]
    jitter = chance.normal(0, 1, (len(centres), 4)) * blur * np.tile(sizes[nearest], 2)
    boxes = np.concatenate((places[nearest], sizes[nearest]), axis=1) + jitter
    return np.concatenate((boxes.T, scores)).astype(np.float32)


def crowd(seed: int) -> Floats:
    """(4 + 80, 8400) ``float32`` of boxes anywhere, each sure of some class."""
    chance = np.random.default_rng(seed)
    centres, sizes = chance.uniform(0, SIDE, (2, 8400)), chance.uniform(10, 200, (2, 8400))
    scores = chance.uniform(0, 1, (CLASSES, 8400))
    return np.concatenate((centres, sizes, scores)).astype(np.float32)


def _anchors() -> Floats:
    """(8400, 2) centres of cells, finest first."""
    grids = [np.arange(SIDE // s) * s + s / 2 for s in _STRIDES]
    points = [np.stack(np.meshgrid(g, g), axis=-1).reshape(-1, 2) for g in grids]
    return np.concatenate(points).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Shapes:
    """What a segmentation model tells about some objects of one picture."""

    coefficients: Floats
    """(N, 32)"""
    prototypes: Floats
    """(32, 160, 160)"""
    boxes: Floats
    """(N, 4) xyxy in pixels of the input of 640 x 640."""


def shapes(seed: int, objects: int) -> Shapes:
    """Objects of a tenth to a third of the input's sides, somewhere in it; blobs for masks."""
    chance = np.random.default_rng(seed)
    sizes = chance.uniform(SIDE / 10, SIDE / 3, (objects, 2))
    top = SIDE * 9 / 16 if objects else SIDE
    corner = chance.uniform(0, 1, (objects, 2)) * ((SIDE, top) - sizes) + (0, (SIDE - top) / 2)
    boxes = np.concatenate((corner, corner + sizes), axis=1).astype(np.float32)
    coarse = chance.normal(0, 1, (32, 12, 12)).astype(np.float32)
    prototypes = coarse.repeat(14, axis=1).repeat(14, axis=2)[:, :160, :160]
    return Shapes(_normal(chance, objects), _smooth(prototypes), boxes)


def _normal(chance: np.random.Generator, objects: int) -> Floats:
    return chance.normal(0, 1, (objects, 32)).astype(np.float32)


def _smooth(planes: Floats) -> Floats:
    """A running mean over 15 cells in both directions."""
    for axis in (1, 2):
        wide = np.pad(planes, [(0, 0), *((7, 8) if i == axis else (0, 0) for i in (1, 2))], "edge")
        sums: Any = np.cumsum(wide, axis=axis, dtype=np.float64)
        low, high = np.arange(160), np.arange(160) + 15
        planes = ((sums.take(high, axis) - sums.take(low, axis)) / 15).astype(np.float32)
    return planes


def decoded(seed: int, width: int, height: int) -> Any:
    """An ``av.VideoFrame`` of the same noise, 4:2:0, as decoders give it."""
    import av

    noise = av.VideoFrame.from_ndarray(picture(seed, width, height), format="bgr24")
    return noise.reformat(format="yuv420p")


def picture(seed: int, width: int = 1920, height: int = 1080) -> Image:
    """H x W x 3 ``uint8`` of noise; what it shows has no say in how long it takes."""
    chance = np.random.default_rng(seed)
    return chance.integers(0, 256, (height, width, 3), np.uint8)
