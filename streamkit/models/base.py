"""What a model is: prepare pictures, run the graph, finish each picture; options travel per picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.frame import Image, VideoFrame
from streamkit.predictions import Prediction

Tensor: TypeAlias = npt.NDArray[np.float32]
Outputs: TypeAlias = Sequence[npt.NDArray[Any]]
MaskDecodeMode: TypeAlias = Literal["accurate", "tradeoff", "fast"]


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """What one caller wants of a shared model; different callers share one session."""

    confidence: float = 0.4
    """Keep objects with at least this confidence (inclusive)."""
    iou_threshold: float = 0.3
    """Suppress an object whose IoU with a better one of its class is above this."""
    class_agnostic_nms: bool = False
    max_candidates: int = 3000
    """Objects that enter NMS, best first."""
    max_detections: int = 300
    class_filter: tuple[str, ...] | None = None
    """Only these class names, applied before ``max_detections``."""
    mask_decode_mode: MaskDecodeMode = "accurate"
    tradeoff_factor: float = 0.0


class Model(Protocol):
    """A loaded model. All three steps may run on several threads at the same time."""

    model_id: str
    names: tuple[str, ...]
    max_batch: int
    """How many pictures one ``run`` takes at most; 1 for a graph with a fixed batch of one."""

    def prepare(self, pictures: Sequence[VideoFrame | Image]) -> tuple[Tensor, Sequence[Any]]:
        """The graph's input for these pictures, and one geometry each, to map results back."""
        ...

    def run(self, tensor: Tensor) -> Outputs:
        """The graph's outputs, as they are."""
        ...

    def finish(
        self, outputs: Outputs, index: int, geometry: Any, options: InferenceOptions
    ) -> Prediction:
        """Picture ``index`` of the batch: decode, threshold, suppress, map back to its pixels."""
        ...

    def close(self) -> None:
        """Let the session go."""
        ...
