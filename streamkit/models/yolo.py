"""YOLO detectors with one anchor-free head of boxes and class scores: v8, v9, v11 and v12."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from streamkit.errors import InferenceError, ModelArtefactError
from streamkit.models.base import InferenceOptions, Outputs
from streamkit.models.boxes import candidates, corners, suppress
from streamkit.models.geometry import Geometry
from streamkit.models.onnx_model import OnnxModel
from streamkit.predictions import Detections, Ints

_MOST_ROWS: Final = 1 << 16
"""A damaged file may claim any number."""


class YoloDetector(OnnxModel):
    """Output 0 is (B, 4 + classes, N): centre x and y, width, height in input pixels; scores."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.names = self._names(self._rows() - 4)

    def _rows(self) -> int:
        """4 + classes, from the graph; from one run on nothing where it leaves that open."""
        shapes = self._session.output_shapes
        shape = shapes[0] if shapes else ()
        if len(shape) == 3 and shape[1] is None:
            width, height = self.recipe.size
            empty = np.zeros((self._fixed_batch or 1, 3, height, width), np.float32)
            shape = self._probe(empty)
        if len(shape) != 3 or not 5 <= (shape[1] or 0) <= _MOST_ROWS:
            raise ModelArtefactError(
                f"{self._package.weights}: the head of a YOLO detector is batch x (4 + classes) x "
                f"boxes, this one is {shape}"
            )
        return shape[1] or 0

    def _probe(self, empty: Any) -> tuple[int | None, ...]:
        try:
            return tuple(self.run(empty)[0].shape)
        except InferenceError as error:
            raise ModelArtefactError(str(error)) from error

    def finish(
        self, outputs: Outputs, index: int, geometry: Geometry, options: InferenceOptions
    ) -> Detections:
        """The objects of picture ``index``, best first, in its own pixels."""
        head = outputs[0][index]
        found = candidates(head[4:], options, self._wanted(options))
        boxes = corners(head[:4].take(found.index, axis=1))
        sound = np.flatnonzero(np.isfinite(boxes).all(axis=1))
        if len(sound) < len(boxes):  # broken weights, or float16 beyond its range
            found, boxes = found[sound], boxes[sound]
        kept = suppress(boxes, found.class_id, options)
        return Detections(
            xyxy=geometry.to_picture(boxes[kept]),
            confidence=found.confidence[kept],
            class_id=found.class_id[kept],
            names=self.names,
            image_size=geometry.size,
        )

    def _wanted(self, options: InferenceOptions) -> Ints | None:
        if options.class_filter is None:
            return None
        wanted = [i for i, name in enumerate(self.names) if name in options.class_filter]
        return np.array(wanted, np.int64)
