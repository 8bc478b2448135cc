"""Parts of a picture around objects, for a second model to look at."""

from __future__ import annotations

import numpy as np

from streamkit.errors import ConfigError
from streamkit.frame import Image, VideoFrame
from streamkit.predictions import Floats, Ints


def crops(boxes: Floats, padding: float, size: tuple[int, int]) -> Ints:
    """(N, 4) whole pixels around ``boxes``, left, top, right, bottom, inside a picture of ``size``
    (width, height); each side is moved out by ``padding`` of the box's width or height. Empty for
    boxes outside."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2) * np.float32(padding)
    sides[:, :2] *= -1
    wanted = boxes + sides
    whole = np.concatenate((np.floor(wanted[:, :2]), np.ceil(wanted[:, 2:])), axis=1)
    edges = np.array(size * 2, np.float32)
    inside: Ints = np.clip(np.nan_to_num(whole), 0, edges).astype(np.int64)
    return inside


def check_deadline(deadline: float | None) -> None:
    """Raises ``ConfigError`` unless one can wait so long."""
    if deadline is not None and not deadline > 0:
        raise ConfigError(f"deadline={deadline}: give seconds, or none")


def patience(frame: VideoFrame, deadline: float | None) -> float | None:
    """Seconds to wait for answers about parts of ``frame``: a recording waits and loses nothing."""
    return deadline if frame.comes_from_video_file is False else None


def cut(image: Image, place: Ints) -> Image:
    """The part of ``image`` at ``place``; nothing is copied."""
    left, top, right, bottom = place.tolist()
    return image[top:bottom, left:right]
