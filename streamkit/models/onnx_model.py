"""What families of ONNX models share: size and batch of the input, preparing, running."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from streamkit.errors import ModelArtefactError
from streamkit.frame import Image, VideoFrame
from streamkit.models.base import Outputs, Tensor
from streamkit.models.devices import CPU
from streamkit.models.geometry import Geometry
from streamkit.models.metadata import Metadata, read
from streamkit.models.preprocess import LETTERBOX, Recipe, Switches
from streamkit.models.session import Session
from streamkit.models.store.package import Package

_SIZE: Final = 640
_OPEN_BATCH: Final = 8
"""Pictures per run where graph and caller leave it open, on anything but a CPU: a CPU gains nothing
from batches that it does not gain from workers, and the first picture would wait for the last."""


class OnnxModel:
    """``prepare``, ``run`` and ``close`` of the ``Model`` contract; a family adds ``finish``.

    Holds nothing that changes, so every step may run on any number of threads.
    """

    def __init__(
        self,
        package: Package,
        session: Session,
        *,
        off: Switches | None = None,
        max_batch: int | None = None,
    ) -> None:
        """Raises ``ModelArtefactError`` where files and graph contradict each other."""
        self.model_id = package.model_id
        self.provider = session.provider
        self._package = package
        self._session = session
        self._metadata = read(session)
        batch = session.input_shape[0]
        self._fixed_batch = batch
        open_batch = max_batch or (1 if session.provider == CPU else _OPEN_BATCH)
        self.max_batch = batch or open_batch
        self.recipe = _recipe(package, session, self._metadata, off or Switches())

    def prepare(self, pictures: Sequence[VideoFrame | Image]) -> tuple[Tensor, Sequence[Geometry]]:
        """N x 3 x H x W ``float32``, RGB, 0..1; a fixed batch that is not full ends in zeros."""
        width, height = self.recipe.size
        count = self._fixed_batch or len(pictures)
        tensor = np.empty((count, 3, height, width), np.float32)
        tensor[len(pictures) :] = 0
        images = (p.image if isinstance(p, VideoFrame) else p for p in pictures)
        return tensor, [self.recipe.write(image, tensor[i]) for i, image in enumerate(images)]

    def run(self, tensor: Tensor) -> Outputs:
        """The graph's outputs. Raises ``InferenceError``."""
        return self._session.run(tensor)

    def close(self) -> None:
        """Let the session go."""
        self._session.close()

    def _names(self, classes: int) -> tuple[str, ...]:
        """The class names of a head with so many classes: the files', the graph's, or numbers."""
        names = self._package.names or self._metadata.names
        if names is None:
            return tuple(f"class_{i}" for i in range(classes))
        if len(names) != classes:
            raise ModelArtefactError(
                f"{self._package.weights}: the graph tells {classes} classes apart, "
                f"but there are {len(names)} class names"
            )
        return names


def _recipe(package: Package, session: Session, metadata: Metadata, off: Switches) -> Recipe:
    """The environment's steps, or a letterbox; for the graph's size, else the environment's."""
    preprocessing = package.environment.preprocessing if package.environment else None
    resize = preprocessing.resize if preprocessing else None
    asked = (resize.width, resize.height) if resize else metadata.size
    width, height = asked or (_SIZE, _SIZE)
    size = session.input_shape[3] or width, session.input_shape[2] or height
    return preprocessing.recipe(size, off) if preprocessing else Recipe(size, LETTERBOX)
