"""Models that see a part of a picture only: cut out first, moved back at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from streamkit.frame import Image, Plane, VideoFrame
from streamkit.models.base import InferenceOptions
from streamkit.parts import Size, moved
from streamkit.predictions import Prediction

Pixels: TypeAlias = tuple[int, int, int, int]
"""left, top, right, bottom in whole pixels of the picture"""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a frame as a picture of its own: planes stay planes, nothing is copied."""

    frame: VideoFrame
    place: Pixels

    @property
    def width(self) -> int:
        return self.place[2] - self.place[0]

    @property
    def height(self) -> int:
        return self.place[3] - self.place[1]

    def bgr(self) -> Image:
        """Out of the whole frame's pixels, which others may want, too."""
        left, top, right, bottom = self.place
        return self.frame.image[top:bottom, left:right]

    def yuv420(self) -> tuple[Plane, Plane, Plane] | None:
        """As ``frame.Yuv420`` has it; ``None`` where the part does not begin and end with whole
        chroma, or the frame is not of that kind."""
        whole, place = self.frame.picture, self.place
        coded = getattr(whole, "yuv420", None)  # isinstance takes 50 us for a protocol
        planes = None if coded is None else coded()
        if planes is None or any(side % 2 for side in place):
            return None
        left, top, right, bottom = place
        luma, *chroma = planes
        half = slice(top // 2, bottom // 2), slice(left // 2, right // 2)
        u, v = (plane[half] for plane in chroma)
        return luma[top:bottom, left:right], u, v


def pixels_of(region: tuple[float, float, float, float], size: Size) -> Pixels:
    """A region in parts of a picture of ``size`` (width, height), to the nearest even pixels, as
    chroma has half the size; at least 2 x 2, if there are so many."""
    (width, height), (x1, y1, x2, y2) = size, region
    left, right = _ends(x1, x2, width)
    top, bottom = _ends(y1, y2, height)
    return left, top, right, bottom


def _ends(first: float, last: float, length: int) -> tuple[int, int]:
    """An end at the border stays there, also where that is odd."""
    begin = min(2 * int(first * length / 2 + 0.5), max(0, length - 2) // 2 * 2)
    end = length if last == 1 else 2 * int(last * length / 2 + 0.5)
    return begin, min(length, max(begin + 2, end))


def size_of(picture: VideoFrame | Image) -> Size:
    """(width, height), without converting anything."""
    if isinstance(picture, VideoFrame):
        return picture.size
    return picture.shape[1], picture.shape[0]


def seen(
    pictures: Sequence[VideoFrame | Image], options: Sequence[InferenceOptions]
) -> Sequence[VideoFrame | Image]:
    """What the model is shown of each picture: all of it, or the region that is wanted."""
    if all(wanted.region is None for wanted in options):
        return pictures
    return [_cut(p, wanted) for p, wanted in zip(pictures, options, strict=True)]


def _cut(picture: VideoFrame | Image, options: InferenceOptions) -> VideoFrame | Image:
    if options.region is None:
        return picture
    left, top, right, bottom = pixels_of(options.region, size_of(picture))
    if isinstance(picture, VideoFrame):
        return _frame_of(picture, (left, top, right, bottom))
    return picture[top:bottom, left:right]


def _frame_of(frame: VideoFrame, place: Pixels) -> VideoFrame:
    return VideoFrame(
        Part(frame, place),
        frame.frame_id,
        frame.timestamp,
        source_id=frame.source_id,
        clock=frame.clock,
        captured_at=frame.captured_at,
    )


def placed(
    prediction: Prediction, picture: VideoFrame | Image, options: InferenceOptions
) -> Prediction:
    """What was found in the region of ``picture``, in pixels of the whole picture."""
    if options.region is None:
        return prediction
    size = size_of(picture)
    left, top, _, _ = pixels_of(options.region, size)
    return moved(prediction, (left, top), size)
