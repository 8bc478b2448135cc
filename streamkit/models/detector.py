"""What all detectors share: from the objects of a head, by suppression, to those of the picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.models.base import InferenceOptions, Outputs
from streamkit.models.boxes import Bools, suppress
from streamkit.models.geometry import Geometry
from streamkit.models.onnx_model import OnnxModel
from streamkit.predictions import Detections, Floats, Ints

Heads: TypeAlias = Mapping[int, npt.NDArray[Any]]
"""The outputs about one picture, by their position; those which the family uses."""


@dataclass(frozen=True, slots=True)
class Objects:
    """What a head found in one picture, as parallel arrays, best first."""

    boxes: Floats
    """(N, 4) xyxy in pixels of the model's input."""
    confidence: Floats
    class_id: Ints
    index: Ints
    """Where in the head they are."""

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, which: Ints | Bools | slice) -> Objects:
        return Objects(
            self.boxes[which], self.confidence[which], self.class_id[which], self.index[which]
        )


class Detector(OnnxModel):
    """A family gives ``objects``, often by a stock head, and may add to what ``finish`` tells."""

    suppresses: ClassVar[bool] = True
    """Whether several boxes of a head may be one object; else the graph has seen to that."""

    @abstractmethod
    def objects(self, heads: Heads, options: InferenceOptions) -> Objects:
        """Those of one picture that pass the threshold and the class filter, best first."""

    def detect(
        self, outputs: Outputs, index: int, geometry: Geometry, options: InferenceOptions
    ) -> tuple[Detections, Objects, Heads]:
        """The objects of picture ``index``, best first, in its own pixels; the same in those of the
        input; and the outputs about them, for what else they say."""
        heads = self.of_picture(outputs, index)
        objects = self.objects(heads, options)
        sound = np.flatnonzero(np.isfinite(objects.boxes).all(axis=1))
        if len(sound) < len(objects):  # broken weights, or float16 beyond its range
            objects = objects[sound]
        if self.suppresses:
            objects = objects[suppress(objects.boxes, objects.class_id, options)]
        objects = objects[: options.max_detections]
        found = Detections(
            xyxy=geometry.to_picture(objects.boxes),
            confidence=objects.confidence,
            class_id=objects.class_id,
            names=self.names,
            image_size=geometry.size,
        )
        return found, objects, heads

    def finish(
        self, outputs: Outputs, index: int, geometry: Geometry, options: InferenceOptions
    ) -> Detections:
        """The objects of picture ``index``, best first, in its own pixels."""
        return self.detect(outputs, index, geometry, options)[0]

    def wanted(self, options: InferenceOptions) -> Ints | None:
        """The class ids of the class filter; ``None`` without one."""
        if options.class_filter is None:
            return None
        wanted = [i for i, name in enumerate(self.names) if name in options.class_filter]
        return np.array(wanted, np.int64)
