"""Heat laid over a picture: where the most seconds were, it is red; in 8 bits."""

from __future__ import annotations

from typing import Final, cast

import cv2
import numpy as np

from streamkit.frame import Image
from streamkit.predictions import Floats

_MOST: Final = 0.6
"""Opacity where it is warm; what is cold shines through."""
_SPREAD: Final = 1 / 100
"""Of the picture's width: an object is no point, and single cells would not be seen."""


def warmed(image: Image, seconds: Floats) -> Image:
    """A new picture: ``image`` (H x W x 3 BGR) with ``seconds`` (rows x cells) over it, spread a
    little, by the root of their share of the hottest place: beside where somebody stood for long,
    those who passed are to be seen, too."""
    if not (seconds.size and float(seconds.max()) > 0):
        return image.copy()
    spread = cv2.GaussianBlur(seconds, (0, 0), max(0.3, _SPREAD * seconds.shape[1]))
    share = np.sqrt(spread / spread.max())
    weight = (_MOST * np.clip(share * 4, 0, 1))[..., None]
    colors = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    # Mixed where cells are few; pictures are only scaled, multiplied and added.
    over = np.rint(colors * weight).astype(np.uint8)
    under = np.rint(255 * (1 - weight)).astype(np.uint8).repeat(3, axis=2)
    size = (image.shape[1], image.shape[0])
    over, under = (
        cv2.resize(small, size, interpolation=cv2.INTER_LINEAR) for small in (over, under)
    )
    return cast(Image, cv2.add(cv2.multiply(image, under, scale=1 / 255), over))
