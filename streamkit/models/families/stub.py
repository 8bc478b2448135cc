"""Version 0 of every project: a model without weights, which answers for its task alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from streamkit.errors import ModelArtefactError
from streamkit.frame import Image, VideoFrame
from streamkit.models.base import InferenceOptions, Outputs, Tensor
from streamkit.models.store.package import Package
from streamkit.predictions import StubPrediction

TASKS: Final = (
    "object-detection",
    "instance-segmentation",
    "classification",
    "keypoint-detection",
)


class StubModel:
    """Takes any picture; costs next to nothing."""

    names: tuple[str, ...] = ()
    max_batch = 16
    provider = path = "none"

    def __init__(self, package: Package, task: str) -> None:
        """Raises ``ModelArtefactError`` for a task that no model has."""
        self.model_id, self.task = package.model_id, task
        if self.task not in TASKS:
            text = f"{self.model_id} is a stub for {self.task!r}"
            raise ModelArtefactError(f"{text}; there are {', '.join(TASKS)}")

    def prepare(self, pictures: Sequence[VideoFrame | Image]) -> tuple[Tensor, Sequence[Any]]:
        """Nothing, once for each picture."""
        return np.zeros((len(pictures), 0), np.float32), [None] * len(pictures)

    def run(self, tensor: Tensor) -> Outputs:
        """What it was given."""
        return [tensor]

    def finish(
        self, _outputs: Outputs, _index: int, _geometry: Any, _options: InferenceOptions, /
    ) -> StubPrediction:
        """The same for every picture."""
        return StubPrediction(self.model_id, self.task)

    def close(self) -> None:
        """There is nothing to let go."""
