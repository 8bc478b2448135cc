"""The picture of an answer, where a client asks for one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from streamkit.frame import Image, VideoFrame
from streamkit.predictions import Prediction, Result
from streamkit.stages.annotate import Annotate


@dataclass(frozen=True, slots=True)
class Look:
    """How predictions are drawn."""

    labels: bool = False
    stroke: int = 1
    inline: bool = True
    """It goes into the JSON, as base64."""


def drawn(image: Image, prediction: Prediction, look: Look) -> Image:
    """A private copy with what was found on it; the picture as it is where nothing can be."""
    stage = Annotate(names=look.labels, confidence=look.labels, thickness=look.stroke)
    return stage(Result(VideoFrame(image, 1, datetime.now()), prediction)).image
