"""Keeps the detections somebody cares about: some classes, sure enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from streamkit.errors import ConfigError
from streamkit.predictions import Detections, Result
from streamkit.stages.base import Manifest, Needs, Stage


class Select(Stage):
    """Detections of the given classes with at least the given confidence; the rest is dropped."""

    manifest: ClassVar = Manifest(
        "Select",
        Needs(("detections",)),
        examples=({"select": {"classes": ["person", "car"], "confidence": 0.5}},),
    )

    def __init__(self, *, classes: Sequence[str] = (), confidence: float = 0.0) -> None:
        """``classes``: names to keep, all where empty. ``confidence``: 0..1, inclusive."""
        if isinstance(classes, str):
            raise ConfigError(f"classes must be a list of names, like [{classes}]")
        if not 0.0 <= confidence <= 1.0:
            raise ConfigError(f"confidence={confidence}: give a number from 0 to 1")
        self._classes = tuple(classes)
        self._confidence = confidence

    def __call__(self, result: Result) -> Result:
        found = result.prediction
        if not isinstance(found, Detections):
            return result
        keep = found.confidence >= np.float32(self._confidence)
        if self._classes:
            keep &= np.isin(found.class_id, self._wanted(found.names))
        return result if keep.all() else replace(result, prediction=found[keep], _wire=None)

    def _wanted(self, names: Sequence[str]) -> list[int]:
        unknown = [name for name in self._classes if name not in names]
        if unknown:
            raise ConfigError(
                f"the model knows no class {', '.join(unknown)}; it knows {', '.join(names)}"
            )
        return [names.index(name) for name in self._classes]
