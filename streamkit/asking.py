"""What a stage may ask of models: opened by name, on the instances that everybody shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeAlias

from streamkit.frame import Image
from streamkit.predictions import Prediction

ModelId: TypeAlias = Annotated[str, "a model's id or path"]
"""The annotation of an option that names a model: a document takes a relative path from its own
folder."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """In the place of an answer that did not come."""

    error: BaseException | None = None
    """What the model failed with; ``None``: it was not there in time."""


Answer: TypeAlias = Prediction | Unanswered


class OpenModel(Protocol):
    """A model that one stage of one stream asks, on the threads and in the batches of all who use
    the same."""

    @property
    def model_id(self) -> str:
        """As it was resolved; another one after a swap."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, by class id."""
        ...

    @property
    def sample(self) -> Prediction:
        """What it says about a grey picture: of which kind its answers are."""
        ...

    def ask(self, pictures: Sequence[Image], within: float | None = None) -> list[Answer]:
        """One answer for each picture (H x W x 3 ``uint8`` BGR, of any sizes), in their order.

        They go together, as far as a batch holds them, also with those of other streams. What is
        not there ``within`` so many seconds is left out. Raises ``ClosedError`` when the stream is
        being stopped.
        """
        ...

    def __call__(self, pictures: Sequence[Image]) -> list[Prediction]:
        """As ``ask``, without a limit. Raises what the model failed with."""
        ...


class ModelAccess(Protocol):
    """Given to ``stage.bind``; what was opened is closed with the stream."""

    def open(
        self, model: str | None = None, *, most: int = 16, priority: int = -1, **options: Any
    ) -> OpenModel:
        """Load a model, or find it loaded. ``None``: the pipeline's own, as it was asked for.

        ``most``: pictures that are under way at once; more go in turns. ``priority``: against the
        frames of streams, which have 0 unless told otherwise. ``options``: of the answers
        (``confidence``, ``iou_threshold``, ... as of ``InferenceOptions``). Raises ``ConfigError``,
        ``ModelError``.
        """
        ...
