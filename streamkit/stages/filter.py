"""Keeps the detections that fit: by class, confidence, size, place, or an expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from streamkit.errors import ConfigError
from streamkit.predictions import Detections, Result
from streamkit.stages.base import Manifest, Needs, Stage
from streamkit.stages.expression import compiled
from streamkit.stages.places import Anchor, Flags, Point, Units, anchors, checked, inside, placed
from streamkit.stages.seen import names_of, of_classes


class Filter(Stage):
    """Detections that fit everything that is asked; the rest is dropped. No history is needed, and
    tracks are kept where there are some."""

    manifest: ClassVar = Manifest(
        "Filter",
        Needs(("detections",)),
        examples=(
            {"filter": {"where": "label == 'car' and height > 40", "smallest": 0.001}},
            {"filter": {"zone": [[0, 0], [1, 0], [1, 0.5], [0, 0.5]], "units": "fractions",
                        "outside": True}},
        ),
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - each is an option of a document
        self,
        *,
        classes: Sequence[str] = (),
        confidence: float = 0.0,
        smallest: float = 0.0,
        largest: float = 1.0,
        zone: Sequence[Point] = (),
        outside: bool = False,
        anchor: Anchor = "bottom",
        units: Units = "pixels",
        where: str = "",
    ) -> None:
        """``confidence``: at least so sure, 0..1. ``smallest``, ``largest``: share of the picture's
        area, inclusive. ``zone``: a polygon the anchor must be in. ``outside``: not in, but outside
        of it. ``where``: an expression over the columns of ``streamkit.stages.expression``, like
        ``label == "car" and height > 40``. Raises ``ConfigError``."""
        if not 0 <= confidence <= 1 or not 0 <= smallest <= largest <= 1:
            raise ConfigError("confidence, smallest and largest are from 0 to 1, in this order")
        self._classes, self._confidence = names_of(classes), confidence
        self._smallest, self._largest = smallest, largest
        self._zone = checked(zone, units, 3, "zone") if zone else ()
        self._outside, self._anchor, self._units = outside, anchor, units
        self._where = compiled(where) if where else None

    def __call__(self, result: Result) -> Result:
        found = result.prediction
        if not isinstance(found, Detections):
            return result
        kept = of_classes(found, self._classes)
        kept = kept[self._fit(kept)]
        if self._where is not None:
            kept = kept[self._where(kept)]
        return result if len(kept) == len(found) else replace(result, prediction=kept, _wire=None)

    def _fit(self, found: Detections) -> Flags:
        width, height = found.image_size
        area = (found.xyxy[:, 2:] - found.xyxy[:, :2]).prod(axis=1) / (width * height)
        fit: Flags = found.confidence >= np.float32(self._confidence)
        fit &= (area >= self._smallest) & (area <= self._largest)
        if self._zone:
            polygon = placed(self._zone, self._units, found.image_size)
            fit &= inside(anchors(found.xyxy, self._anchor), polygon) != self._outside
        return fit
