"""The stock heads of YOLO detectors: where boxes, scores and further columns are in an output."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from streamkit.errors import ModelArtefactError
from streamkit.models.base import InferenceOptions
from streamkit.models.boxes import Candidates, Scores, best, candidates, corners
from streamkit.models.detector import Detector, Heads, Objects
from streamkit.predictions import Floats, Ints


class Head(Detector):
    """A detector whose boxes may come with further columns: mask coefficients, keypoints."""

    def extras(self) -> int:
        """How many further columns there are."""
        return 0

    @abstractmethod
    def columns(self, heads: Heads, objects: Objects) -> Floats:
        """The further columns of ``objects``: (N, extras) ``float32``."""

    def _classes(self, columns: int) -> tuple[str, ...]:
        """The names of as many classes as there are columns without the further ones."""
        extras = self.extras()
        if columns <= extras:
            raise ModelArtefactError(self._unlike(self._session.output_shapes))
        return self.names_of(columns - extras)


class ColumnHead(Head):
    """Output 0 is (B, 4 + classes + extras, N), one column a box: centre x and y, width and height
    in input pixels, then scores 0..1, the best of which is the confidence. YOLOv8 and later."""

    layout = "batch x (4 + classes) x boxes"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        [rows] = self.output(0, 3, 1)
        self.names = self._classes(rows - 4)

    def objects(self, heads: Heads, options: InferenceOptions) -> Objects:
        """See ``Detector``."""
        head = heads[0]
        scores = head[4 : 4 + len(self.names)]
        found = candidates(scores, options, self.wanted(options))
        return _objects(corners(head[:4].take(found.index, axis=1)), found)

    def columns(self, heads: Heads, objects: Objects) -> Floats:
        """See ``Head``."""
        extras = heads[0][4 + len(self.names) :]
        return np.asarray(extras.take(objects.index, axis=1).T, np.float32)


class RowHead(Head):
    """Output 0 is (B, N, 5 + classes + extras), one row a box: centre x and y, width and height in
    input pixels, objectness, scores; all 0..1. YOLOv5 and v7.

    The confidence is the product of objectness and score, as the authors have it, and as it gives
    the better precision. In the neighbour's layout (with an ``environment.json``) it is the
    objectness alone, as there, so that thresholds keep their meaning; unless with ``multi_label``.
    """

    layout = "batch x boxes x (5 + classes)"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        [columns] = self.output(0, 3, 2)
        self.names = self._classes(columns - 5)

    def objects(self, heads: Heads, options: InferenceOptions) -> Objects:
        """See ``Detector``."""
        head = heads[0]
        # The product is never above the objectness, so what that rules out need not be looked at.
        likely = np.flatnonzero(head[:, 4] >= options.confidence)
        head = head[likely]
        scores = head[:, 5 : 5 + len(self.names)]
        if options.multi_label or self._package.environment is None:
            found = candidates((scores * head[:, 4:5]).T, options, self.wanted(options))
        else:
            found = self._by_objectness(head[:, 4], scores, options)
        boxes = corners(head[found.index, :4].T)
        return _objects(boxes, found, likely[found.index])

    def columns(self, heads: Heads, objects: Objects) -> Floats:
        """See ``Head``."""
        return np.asarray(heads[0][objects.index, 5 + len(self.names) :], np.float32)

    def _by_objectness(
        self, objectness: Scores, scores: Scores, options: InferenceOptions
    ) -> Candidates:
        class_id = scores.argmax(axis=1)
        index = np.arange(len(class_id))
        found = Candidates(index, objectness.astype(np.float32), class_id)
        return best(found, options, self.wanted(options))


class EndToEndHead(Head):
    """Output 0 is (B, K, 6 + extras), one row an object: left, top, right, bottom in input pixels,
    confidence, class id; the graph has suppressed doubles. YOLOv10 and YOLO26."""

    suppresses = False
    layout = "batch x objects x 6"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        names = self.given_names
        if names is None:
            raise ModelArtefactError(
                f"{self._package.weights}: the head does not tell how many classes there are, and "
                "nothing names them; class_names.txt is missing"
            )
        self.names = names
        [columns] = self.output(0, 3, 2)
        if columns != 6 + self.extras():
            raise ModelArtefactError(self._unlike(self._session.output_shapes))

    def objects(self, heads: Heads, options: InferenceOptions) -> Objects:
        """See ``Detector``."""
        head = heads[0].astype(np.float32)
        known = (head[:, 5] >= 0) & (head[:, 5] < len(self.names))
        likely = np.flatnonzero((head[:, 4] >= options.confidence) & known)
        found = Candidates(likely, head[likely, 4], head[likely, 5].astype(np.int64))
        found = best(found, options, self.wanted(options))
        return _objects(head[found.index, :4], found)

    def columns(self, heads: Heads, objects: Objects) -> Floats:
        """See ``Head``."""
        return np.asarray(heads[0][objects.index, 6:], np.float32)


def _objects(boxes: Floats, found: Candidates, index: Ints | None = None) -> Objects:
    places = found.index if index is None else index
    return Objects(boxes, found.confidence, found.class_id, places)
