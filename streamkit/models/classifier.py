"""Classification of whole pictures: one class or, where several may be true, each for itself."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from streamkit.models.base import InferenceOptions, Outputs
from streamkit.models.geometry import Geometry
from streamkit.models.onnx_model import OnnxModel
from streamkit.models.scores import softmax
from streamkit.predictions import Classification, Floats, MultiLabelClassification

MULTI_LABEL = "multi-label-classification"


class Classifier(OnnxModel):
    """Output 0 is (B, classes). Several may be true at once where the environment or the task says
    so; the graph then contains the sigmoid."""

    layout = "batch x classes"
    softmax: ClassVar[bool] = True
    """Whether the graph leaves it to us."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        environment, kind = self._package.environment, self._package.kind
        told = environment is not None and environment.multiclass
        self.multi_label = told or (kind is not None and kind.project_task_type == MULTI_LABEL)
        [classes] = self.output(0, 2, 1)
        self.names = self.names_of(classes)

    def finish(
        self, outputs: Outputs, index: int, geometry: Geometry, options: InferenceOptions
    ) -> Classification | MultiLabelClassification:
        """The classes of picture ``index`` with at least ``options.confidence``."""
        row = outputs[0][index]
        if self.multi_label:
            scores = row.astype(np.float32)
            likely = np.flatnonzero(self._likely(scores, options))
            return MultiLabelClassification(scores, likely, self.names, geometry.size)
        scores = softmax(row) if self.softmax else row.astype(np.float32)
        likely = np.flatnonzero(self._likely(scores, options))
        likely = likely[np.argsort(-scores[likely], kind="stable")]
        return Classification(scores[likely], likely, self.names, geometry.size)

    def _likely(self, scores: Floats, options: InferenceOptions) -> Any:
        chosen = scores >= options.confidence
        if options.class_filter is not None:
            chosen &= np.isin(self.names, options.class_filter)
        return chosen
