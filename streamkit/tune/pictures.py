"""What accuracy is judged by: pictures of the user's own, out of a folder or a clip."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from streamkit.errors import ConfigError
from streamkit.frame import Image
from streamkit.sources import open_source

T = TypeVar("T")

_LARGEST = 1280
"""Longer sides are scaled down: it is the model's answer that is compared, at its own size."""


def gathered(place: str | None, count: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """``count`` pictures of one size, spread over a clip or folder; noise without a ``place``.

    N x H x W x 3 ``uint8`` BGR. Raises ``SourceError``, ``ConfigError``.
    """
    if place is None:
        random = np.random.default_rng(1)
        shape = (min(count, 4), max(size[1], 32), max(size[0], 32), 3)
        return random.integers(0, 256, shape, dtype=np.uint8)
    pictures = [bgr(picture) for picture in spread(pictures_of(place), count)]
    if not pictures:
        raise ConfigError(f"{place}: there are no pictures in it")
    height, width = pictures[0].shape[:2]
    scale = min(1.0, _LARGEST / max(height, width))
    wanted = round(width * scale), round(height * scale)
    return np.stack([_of_size(picture, wanted) for picture in pictures])


def _of_size(picture: Image, size: tuple[int, int]) -> Image:
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    import cv2

    scaled: Image = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return scaled


def pictures_of(place: str) -> Iterable[Any]:
    """Of a folder or clip, 2000 at most, as they are decoded (see ``bgr``): most of them are not
    used, and converting costs more than decoding. Raises ``SourceError``."""
    source = open_source(Path(place) if Path(place).exists() else place)
    with closing(source.read()) as captures:
        for capture in itertools.islice(captures, 2000):
            yield capture.picture


def bgr(picture: Any) -> Image:
    """H x W x 3 of what ``pictures_of`` yields."""
    found: Image = picture if isinstance(picture, np.ndarray) else picture.bgr()
    return found


def spread(pictures: Iterable[T], count: int) -> list[T]:
    """At most ``count``, evenly out of however many come; never more than twice as many held."""
    kept: list[T] = []
    step = 1
    for number, picture in enumerate(pictures):
        if number % step == 0:
            kept.append(picture)
        if len(kept) >= 2 * count:
            kept, step = kept[::2], 2 * step
    return (
        kept[:count] if len(kept) <= count else [kept[i * len(kept) // count] for i in range(count)]
    )
