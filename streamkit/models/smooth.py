"""Smaller pictures in which every pixel has its say, as classifiers are trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import PIL.Image

from streamkit.frame import Image
from streamkit.models.pixels import Pixels


@dataclass(frozen=True, slots=True)
class Smooth(Pixels):
    """A picture in BGR, resized by a triangle as wide as the reduction: Pillow's bilinear filter.

    OpenCV's looks at four pixels however many there are, so that fine detail turns into noise.
    1080p to 398 x 224 takes 11 ms, against 0.4. Asking Pillow for the middle only would take 7, but
    it keeps the corners of a part in ``float32``, which moved probabilities by up to 0.015.
    """

    def resized(self, size: tuple[int, int]) -> Image:
        """See ``Resizable``."""
        whole = PIL.Image.fromarray(self.image)
        return np.asarray(whole.resize(size, PIL.Image.Resampling.BILINEAR))
