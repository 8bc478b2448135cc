"""What all detectors share: from the objects of a head, by suppression, to those of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from streamkit.models.base import InferenceOptions, Outputs
from streamkit.models.boxes import Bools, suppress
from streamkit.models.geometry import Geometry
from streamkit.models.onnx_model import OnnxModel
from streamkit.predictions import Detections, Floats, Ints


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
    """A family gives ``objects``, from a stock head, and perhaps ``more`` about them."""

    suppresses: ClassVar[bool] = True
    """Whether several boxes of a head may be one object; else the graph has seen to that."""

    def objects(self, outputs: Outputs, index: int, options: InferenceOptions) -> Objects:
        """Those of picture ``index`` that pass the threshold and the class filter, best first."""
        raise NotImplementedError

    def more(
        self,
        found: Detections,
        objects: Objects,
        outputs: Outputs,
        index: int,
        geometry: Geometry,
        options: InferenceOptions,
    ) -> Detections:
        """With what else the graph says about ``objects``, which are those of ``found``."""
        return found

    def finish(
        self, outputs: Outputs, index: int, geometry: Geometry, options: InferenceOptions
    ) -> Detections:
        """The objects of picture ``index``, best first, in its own pixels."""
        objects = self.objects(outputs, index, options)
        sound = np.isfinite(objects.boxes).all(axis=1)
        if not sound.all():  # broken weights, or float16 beyond its range
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
        return self.more(found, objects, outputs, index, geometry, options)

    def wanted(self, options: InferenceOptions) -> Ints | None:
        """The class ids of the class filter; ``None`` without one."""
        if options.class_filter is None:
            return None
        wanted = [i for i, name in enumerate(self.names) if name in options.class_filter]
        return np.array(wanted, np.int64)


class Head(Detector):
    """A detector whose boxes come with further columns: mask coefficients, keypoints."""

    def extras(self) -> int | None:
        """How many columns further there are; ``None``: what the class names leave over."""
        return 0

    def columns(self, outputs: Outputs, index: int, objects: Objects) -> Floats:
        """Those columns: (N, extras)."""
        raise NotImplementedError

    def classes(self, columns: int) -> int:
        """How many of ``columns`` are classes."""
        extras = self.extras()
        return len(self._known_names()) if extras is None else columns - extras

    def _name(self, columns: int) -> Any:
        ...
