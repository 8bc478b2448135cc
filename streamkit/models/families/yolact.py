"""YOLACT (Bolya et al. 2019): boxes relative to priors, masks from prototypes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from streamkit.models.base import InferenceOptions, Outputs
from streamkit.models.boxes import candidates, corners
from streamkit.models.detector import Detector, Heads, Objects
from streamkit.models.geometry import Geometry
from streamkit.models.planes import Mixture, decode
from streamkit.predictions import Detections, Floats

_CENTRE, _SIZE = 0.1, 0.2
"""The unit in which a box is told from its prior, as in SSD (Liu et al. 2016)."""


class YolactSegmenter(Detector):
    """Outputs: places (B, P, 4), scores (B, P, 1 + classes) with the background first, coefficients
    (B, P, M), priors (P, 4) as centre and size in 0..1, prototypes (B, h, w, M)."""

    layout = (
        "batch x boxes x 4, batch x boxes x (1 + classes), batch x boxes x M, boxes x 4, and "
        "batch x height x width x M"
    )
    common = frozenset({3})
    aligned = ((0, 1), (1, 1), (2, 1), (3, 0))
    mean = (123.68 / 255, 116.78 / 255, 103.94 / 255)
    std = (58.40 / 255, 57.12 / 255, 57.38 / 255)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fixed(0, 3, {2: 4})
        self.fixed(3, 2, {1: 4})
        [mixes] = self.output(2, 3, 2)
        self.fixed(4, 4, {3: mixes})
        [columns] = self.output(1, 3, 2)
        self.names = self.names_of(columns - 1)

    def objects(self, heads: Heads, options: InferenceOptions) -> Objects:
        """See ``Detector``."""
        found = candidates(heads[1][:, 1:].T, options, self.wanted(options))
        told, priors = heads[0][found.index], heads[3][found.index]
        boxes = _boxes(told, priors) * np.tile(np.array(self.canvas, np.float32), 2)
        return Objects(boxes, found.confidence, found.class_id, found.index)

    def finish(
        self, outputs: Outputs, index: int, geometry: Geometry, options: InferenceOptions
    ) -> Detections:
        """As ``Detector``, with ``masks``."""
        found, objects, heads = self.detect(outputs, index, geometry, options)
        coefficients = heads[2][objects.index].astype(np.float32)
        planes = Mixture(coefficients, heads[4].transpose(2, 0, 1))
        masks = decode(planes, found.xyxy, geometry, self.canvas, options)
        return replace(found, masks=masks)


def _boxes(told: npt.NDArray[Any], priors: npt.NDArray[Any]) -> Floats:
    """(N, 4) xyxy in 0..1."""
    told, priors = told.astype(np.float32), priors.astype(np.float32)
    with np.errstate(all="ignore"):  # broken weights: for the caller to leave out
        centre = priors[:, :2] + told[:, :2] * _CENTRE * priors[:, 2:]
        size = priors[:, 2:] * np.exp(told[:, 2:] * _SIZE)
    return corners(np.concatenate((centre, size), axis=1).T)
