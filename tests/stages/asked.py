"""Models for the tests of stages that ask some: told what to answer, they remember what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streamkit.asking import Answer, Unanswered
from streamkit.frame import Image
from streamkit.predictions import Classification, Detections, Prediction

Answers = Callable[[Image], Answer]
NAMES = ("dark", "bright")


def brightness(picture: Image) -> Classification:
    """Dark or bright, and how surely."""
    level = float(picture.mean()) / 255
    confidence = np.array([max(level, 1 - level)], np.float32)
    size = picture.shape[1], picture.shape[0]
    return Classification(confidence, np.array([int(level >= 0.5)]), NAMES, size)


class Told:
    """A model that answers by a function of the picture."""

    def __init__(self, answer: Answers, names: tuple[str, ...] = NAMES) -> None:
        self.answer, self.names = answer, names
        self.model_id = "told/1"
        self.rounds: list[list[tuple[int, int]]] = []
        """Sizes (width, height) of the pictures of each ask."""
        self.within: float | None = None
        said = answer(np.full((240, 320, 3), 114, np.uint8))
        assert not isinstance(said, Unanswered)
        self.sample: Prediction = said

    def ask(self, pictures: Sequence[Image], within: float | None = None) -> list[Answer]:
        self.rounds.append([(picture.shape[1], picture.shape[0]) for picture in pictures])
        self.within = within
        return [self.answer(picture) for picture in pictures]

    def __call__(self, pictures: Sequence[Image]) -> list[Prediction]:
        return [a for a in self.ask(pictures) if not isinstance(a, Unanswered)]

    @property
    def asked(self) -> int:
        """How many pictures."""
        return sum(map(len, self.rounds))


class Access:
    """Opens one and the same model under every name."""

    def __init__(self, model: Told) -> None:
        self.model = model
        self.opened: list[tuple[str | None, dict[str, Any]]] = []

    def open(self, model: str | None = None, **options: Any) -> Told:
        self.opened.append((model, options))
        return self.model


def nothing(picture: Image) -> Detections:
    """A detector that finds nothing."""
    return Detections.empty(("face",), (picture.shape[1], picture.shape[0]))


def bind(stage: object, answer: Answers = brightness) -> None:
    """Give ``stage`` its model, if it wants one; slices want objects."""
    if (wants := getattr(stage, "bind", None)) is not None:
        cascade = type(stage).__name__ == "Cascade"
        wants(Access(Told(answer if cascade else nothing)))
