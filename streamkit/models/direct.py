"""A model called directly, on the caller's thread: pictures in, predictions out."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np

from streamkit.errors import ConfigError
from streamkit.frame import Image, VideoFrame
from streamkit.models.base import InferenceOptions
from streamkit.models.lease import Lease
from streamkit.predictions import Prediction


class LoadedModel:
    """What ``get_model`` gives. Shares its session with every stream that uses the same model.

    Holds the model loaded until ``close``, the end of ``with``, or its own end.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._shared = lease.shared
        self._end = weakref.finalize(self, lease.forget)
        self._end.atexit = False

    def close(self) -> None:
        """Let it go; more often does no harm."""
        if self._end.detach() is not None:
            self._lease.release()

    @property
    def model_id(self) -> str:
        """What it was asked for as, with aliases resolved."""
        return self._shared.model.model_id

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, by class id."""
        return self._shared.model.names

    @property
    def provider(self) -> str:
        """What runs it: an ONNX Runtime provider's name."""
        return self._shared.model.provider

    @property
    def path(self) -> str:
        """How tensors get in and out of it: ``run``, ``iobinding`` or ``iobinding+pinned``."""
        return self._shared.model.path

    def infer(
        self, image: VideoFrame | Image | Sequence[VideoFrame | Image], **options: Any
    ) -> list[Prediction]:
        """One prediction per picture (H x W x 3 ``uint8`` BGR, or a frame), in their order.

        Keywords are those of ``InferenceOptions``; ``ConfigError`` names them if one is unknown.
        """
        wanted = InferenceOptions.of(**options)
        if not self._end.alive:
            raise ConfigError(f"{self.model_id} has been closed")
        pictures = [image] if isinstance(image, VideoFrame | np.ndarray) else list(image)
        size = self._shared.model.max_batch
        predictions: list[Prediction] = []
        for start in range(0, len(pictures), size):
            batch = pictures[start : start + size]
            predictions += self._shared.infer(batch, [wanted] * len(batch))
        return predictions

    def __enter__(self) -> LoadedModel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
