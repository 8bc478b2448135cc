"""What a model is calibrated with, and what it is judged by: never the same pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamkit.errors import ConfigError
from streamkit.frame import Image
from streamkit.tune.pictures import bgr, pictures_of, spread
from streamkit.tune.truth import Truth

_LARGEST = 1280
_LEAST = 4
"""Pictures below which nothing can be said."""
JUDGED = 200
"""Annotated pictures that are looked at."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Two halves of what the user has given."""

    calibration: Sequence[Image]
    held_out: Sequence[Image]
    truth: Truth | None = None
    keys: Sequence[int] = ()
    """Of the annotated pictures that nothing was calibrated with."""


def halves(place: str, annotations: Path | None, count: int) -> Pictures:
    """At most ``count`` pictures for each half; of a clip its first half in time and its second,
    of a folder every other picture. Raises ``SourceError``, ``ConfigError``."""
    if annotations is not None:
        return _annotated(Path(place), annotations, count)
    found = list(_small(map(bgr, spread(pictures_of(place), 2 * count))))
    if len(found) < _LEAST:
        raise ConfigError(f"{place}: {len(found)} pictures are too few, give {_LEAST} at least")
    if Path(place).is_dir():
        return Pictures(found[::2], found[1::2])
    middle = len(found) // 2
    return Pictures(found[:middle], found[middle:])


def _annotated(folder: Path, annotations: Path, count: int) -> Pictures:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder: with annotations give that of the pictures")
    truth = Truth(annotations, folder)
    keys = list(truth.files)
    if len(keys) < _LEAST:
        raise ConfigError(f"{annotations} names {len(keys)} pictures that are there: too few")
    calibration = list(_small(map(truth.picture, spread(keys[::2], count))))
    judged = keys[1::2][:JUDGED]
    held_out = list(_small(map(truth.picture, judged[:count])))
    return Pictures(calibration, held_out, truth, judged)


def _small(pictures: Iterable[Image]) -> Iterator[Image]:
    """Of 1280 pixels at most, in their own shape: dozens are held, and the model's input is no
    larger."""
    import cv2

    for picture in pictures:
        height, width = picture.shape[:2]
        scale = _LARGEST / max(height, width)
        if scale >= 1:
            yield picture
            continue
        size = max(1, round(width * scale)), max(1, round(height * scale))
        yield cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[misc]
