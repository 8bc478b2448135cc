"""What a model is: prepare pictures, run the graph, finish each; options travel per picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt

from streamkit.errors import ConfigError
from streamkit.frame import Image, VideoFrame
from streamkit.predictions import Prediction

Tensor: TypeAlias = npt.NDArray[np.float32]
Outputs: TypeAlias = Sequence[npt.NDArray[Any]]
MaskDecodeMode: TypeAlias = Literal["accurate", "tradeoff", "fast"]

Step: TypeAlias = Literal["static_crop", "contrast", "grayscale"]

_FRACTIONS: Final = ("confidence", "iou_threshold", "tradeoff_factor", "keypoint_confidence")


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """What one caller wants of a shared model; different callers share one session.

    Raises ``ConfigError`` where a value makes no sense.
    """

    confidence: float = 0.4
    """Keep objects with at least this confidence (inclusive)."""
    iou_threshold: float = 0.3
    """Suppress an object whose IoU with a better one of its class is above this."""
    class_agnostic_nms: bool = False
    """Let an object suppress those of other classes too."""
    max_candidates: int = 3000
    """Objects that enter NMS, best first."""
    max_detections: int = 300
    """Objects that leave it, best first."""
    class_filter: tuple[str, ...] | None = None
    """Only these class names, applied before both caps."""
    multi_label: bool = False
    """Let one box be an object of every class it is confident of, not of its best class alone.

    The way COCO figures are measured; in a stream it shows one thing under several names.
    """
    mask_decode_mode: MaskDecodeMode = "accurate"
    """How finely masks are sampled: per pixel of the picture, per cell of the model's own coarse
    planes (``fast``), or in between."""
    tradeoff_factor: float = 0.0
    """For ``tradeoff``: 0 is as ``fast``, 1 as ``accurate``."""
    keypoint_confidence: float = 0.0
    """Keep keypoints with at least this confidence (inclusive)."""
    region: tuple[float, float, float, float] | None = None
    """left, top, right, bottom as parts of the picture (0 .. 1): all that the model is shown."""
    without: frozenset[Step] = frozenset()
    """Steps of the model's own preparation to leave out for this picture."""
    input_scale: float = 1.0
    """Part of the model's usual input, across and down, where its graph leaves that open."""

    def __post_init__(self) -> None:
        for name in _FRACTIONS:
            value = getattr(self, name)
            if not isinstance(value, int | float | np.floating) or not 0 <= value <= 1:
                raise ConfigError(f"{name} must be from 0 to 1, not {value!r}")
        for name in ("max_candidates", "max_detections"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, not {getattr(self, name)!r}")
        choices = get_args(MaskDecodeMode)
        if self.mask_decode_mode not in choices:
            raise ConfigError(f"mask_decode_mode {self.mask_decode_mode!r} is none of {choices}")
        self._check_view()
        if unknown := set(self.without) - set(get_args(Step)):
            raise ConfigError(f"without={sorted(unknown)}: choose from {get_args(Step)}")
        if isinstance(self.class_filter, str):
            raise ConfigError(f"class_filter must be a list of names: [{self.class_filter!r}]")

    def _check_view(self) -> None:
        if not 0 < self.input_scale <= 1:
            raise ConfigError(f"input_scale must be above 0, up to 1, not {self.input_scale!r}")
        if self.region is not None:
            left, top, right, bottom = self.region
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise ConfigError(f"region must be parts of the picture, not {self.region!r}")

    def but(self, **given: Any) -> InferenceOptions:
        """These, but for what is ``given``; ``ConfigError`` as ``of`` has it."""
        return self.of(**{field.name: getattr(self, field.name) for field in fields(self)} | given)

    @classmethod
    def of(cls, **given: Any) -> InferenceOptions:
        """From keywords of a script or a request; ``ConfigError`` names what is not an option."""
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise ConfigError(f"no such option: {', '.join(unknown)}; there are {', '.join(names)}")
        wanted = given.get("class_filter")
        if wanted is not None and not isinstance(wanted, str):
            given["class_filter"] = tuple(wanted)
        if isinstance(given.get("region"), list):
            given["region"] = tuple(given["region"])
        try:
            return cls(**given)
        except TypeError as error:
            raise ConfigError(f"an option is of the wrong type: {error}") from error


class Model(Protocol):
    """A loaded model. All three steps may run on several threads at the same time."""

    model_id: str
    names: tuple[str, ...]
    """Class names, by class id."""
    max_batch: int
    """How many pictures one ``run`` takes at most; 1 for a graph with a fixed batch of one."""
    provider: str
    """What really runs it: an ONNX Runtime provider's name."""
    path: str
    """How tensors get in and out of it: ``run``, ``iobinding``, ``iobinding+pinned``."""

    def prepare(self, pictures: Sequence[VideoFrame | Image]) -> tuple[Tensor, Sequence[Any]]:
        """The graph's input for these pictures, and one geometry each, to map results back."""
        ...

    def run(self, tensor: Tensor) -> Outputs:
        """The graph's outputs, as they are."""
        ...

    def finish(
        self, outputs: Outputs, index: int, geometry: Any, options: InferenceOptions
    ) -> Prediction:
        """Picture ``index`` of the batch: decode, threshold, suppress, map back to its pixels."""
        ...

    def close(self) -> None:
        """Let the session go."""
        ...


@runtime_checkable
class Scalable(Protocol):
    """A model whose input may be smaller than usual."""

    def scaled(self, scale: float) -> Model | None:
        """The same, whose input is about that part of the usual one, across and down; ``None``
        where its graph does not take that. It lives and ends with the one it was made of."""
        ...
