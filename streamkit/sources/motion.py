"""How much of a picture moves, as its encoder saw it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from av.video.frame import VideoFrame as DecodedFrame

_STILL: Final = 1.0
"""Pixels: vectors up to this length are an encoder's choice, not motion."""


def motion_of(frame: DecodedFrame) -> float | None:
    """The part (0 to 1) of the picture's area under vectors longer than a pixel.

    ``None`` where nobody can say: a picture without vectors (a key frame; or they were not asked
    for, or the decoder gives none: FFmpeg's for H.265 and MJPEG, and all hardware). Blocks coded
    anew have no vector and do not count. Of blocks with two vectors only those count that point to
    the side, earlier or later, where more moves. A vector may also be the encoder's cheapest way
    to code noise: it is a hint, not a measurement.
    """
    found: Any = frame.side_data.get("MOTION_VECTORS")
    if found is None or frame.key_frame:
        return None
    vectors = found.to_ndarray()
    scale = np.maximum(vectors["motion_scale"], 1)
    moves = np.hypot(vectors["motion_x"] / scale, vectors["motion_y"] / scale) > _STILL
    area = vectors["w"].astype(np.int64) * vectors["h"]
    earlier = vectors["source"] < 0
    covered = max(int(area[moves & earlier].sum()), int(area[moves & ~earlier].sum()))
    return min(1.0, covered / (frame.width * frame.height))
