"""Decoded planes to a picture of a model's size, without one of full size in between."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamkit.frame import Image, Plane, VideoFrame
from streamkit.models.pixels import resize_into, resized


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame whose colours have not been converted: 1.5 bytes a pixel to be read, not 3.

    Scaled first and converted then: 0.4 ms for 1080p to 640 x 360, 1.0 the other way round.
    Colours are a level brighter, as FFmpeg's converter rounds down. On 80 pictures of COCO, one to
    three times the size of the input, AP moved by -0.0036 to 0.0028. It moves by 0.006 to 0.009 if
    they are shifted by one pixel, so that tells nothing for or against. As the input is not the
    same to the bit, it has to be asked for.
    """

    frame: VideoFrame
    planes: tuple[Plane, Plane, Plane]

    @classmethod
    def of(cls, frame: VideoFrame) -> Decoded | None:
        """``None`` where the frame is pixels already, or of another kind than 4:2:0."""
        picture = frame.picture
        coded = getattr(picture, "yuv420", None)  # isinstance takes 50 us for a protocol
        planes = None if coded is None else coded()
        return None if planes is None else cls(frame, planes)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)"""
        height, width = self.planes[0].shape
        return width, height

    def resized(self, size: tuple[int, int]) -> Image:
        """Bilinear to ``size`` (width, height), BGR; by way of its pixels where a side is odd."""
        width, height = size
        if width % 2 or height % 2:
            return resized(self.frame.image, size)
        whole = np.empty((height // 2 * 3, width), np.uint8)
        luma, *chroma = self.planes
        resize_into(luma, whole[:height])
        halves = whole[height:].reshape(2, height // 2, width // 2)
        for plane, half in zip(chroma, halves, strict=True):
            resize_into(plane, half)
        return cv2.cvtColor(whole, cv2.COLOR_YUV2BGR_I420)  # type: ignore[return-value]
