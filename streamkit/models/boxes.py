"""Boxes: which of a head's many candidates are objects. Thresholds, caps and greedy NMS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.models.base import InferenceOptions
from streamkit.models.nms import suppressed
from streamkit.predictions import Floats, Ints

Bools: TypeAlias = npt.NDArray[np.bool_]
Scores: TypeAlias = npt.NDArray[Any]
"""(classes, N) ``float32`` or ``float16``."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Possible objects as parallel arrays: where in the head, how sure, what; best first."""

    index: Ints
    confidence: Floats
    class_id: Ints

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, which: Ints | Bools | slice) -> Candidates:
        return Candidates(self.index[which], self.confidence[which], self.class_id[which])


def candidates(scores: Scores, options: InferenceOptions, wanted: Ints | None) -> Candidates:
    """What passes the threshold and the class filter, the best ``max_candidates`` of it.

    ``scores``: (classes, N), as the head gives them, neither copied nor transposed: at 80 x 8400
    the threshold costs 0.1 ms, and what follows sees only what passed. ``wanted``: class ids.
    """
    if options.multi_label:
        return best(_every_class(scores, options.confidence), options, wanted)
    confidence = scores.max(axis=0)
    index = np.flatnonzero(confidence >= options.confidence)
    if wanted is None:  # then what is cut off needs no class
        index = index[_order(confidence[index], options.max_candidates)]
    found = Candidates(index, confidence[index].astype(np.float32), scores[:, index].argmax(axis=0))
    return found if wanted is None else best(found, options, wanted)


def _every_class(scores: Scores, confidence: float) -> Candidates:
    flat = np.flatnonzero(scores >= confidence)  # 2-D nonzero takes five times as long
    class_id, index = np.divmod(flat, scores.shape[1])
    return Candidates(index, scores[class_id, index].astype(np.float32), class_id)


def best(found: Candidates, options: InferenceOptions, wanted: Ints | None) -> Candidates:
    """The ``max_candidates`` most confident of the wanted classes, in order; equals stay in the
    order of the head."""
    if wanted is not None:
        found = found[np.isin(found.class_id, wanted)]
    return found[_order(found.confidence, options.max_candidates)]


def _order(confidence: Scores, most: int) -> Ints:
    """Indices of the ``most`` greatest, in order; equals as they stand."""
    if len(confidence) <= most:
        return np.argsort(-confidence, kind="stable")
    worst = np.partition(confidence, -most)[-most]
    likely = np.flatnonzero(confidence >= worst)
    return likely[np.argsort(-confidence[likely], kind="stable")[:most]]


def corners(centred: npt.NDArray[Any]) -> Floats:
    """(4, N) centre x, centre y, width, height to (N, 4) left, top, right, bottom ``float32``."""
    x, y, width, height = centred.astype(np.float32)
    half_w, half_h = width / 2, height / 2
    with np.errstate(invalid="ignore", over="ignore"):  # infinities: for the caller to leave out
        return np.stack((x - half_w, y - half_h, x + half_w, y + half_h), axis=1)


def suppress(boxes: Floats, class_id: Ints, options: InferenceOptions) -> Ints:
    """Exact greedy NMS: indices of what stays of (N, 4) ``boxes``, which come best first.

    A box goes if its IoU with a better one that stays is above ``iou_threshold`` and, unless
    ``class_agnostic_nms``, their classes are equal. Ends with ``max_detections`` kept.
    """
    pools = np.zeros_like(class_id) if options.class_agnostic_nms else class_id
    return suppressed(boxes, pools, options.iou_threshold, options.max_detections)
