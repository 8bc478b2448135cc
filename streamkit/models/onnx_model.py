"""What families of ONNX models share: size and batch of the input, preparing, running."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.errors import InferenceError, ModelArtefactError
from streamkit.frame import Image, VideoFrame
from streamkit.imaging.threads import one_each
from streamkit.models.base import Outputs, Tensor
from streamkit.models.devices import CPU
from streamkit.models.geometry import Geometry
from streamkit.models.metadata import read
from streamkit.models.preprocess import LETTERBOX, Recipe, ResizeFormat, Switches
from streamkit.models.session import Session, Shape
from streamkit.models.store.package import Package

Colour: TypeAlias = tuple[float, float, float]
"""Red, green, blue."""

Axes: TypeAlias = tuple[tuple[int, int], ...]
"""(output, axis)"""

_SIZE: Final = 640
_OPEN_BATCH: Final = 8
"""Pictures per run where graph and caller leave it open, on anything but a CPU: a CPU gains nothing
from batches that it does not gain from workers, and the first picture would wait for the last."""

_LARGEST: Final = 1 << 16
"""Columns of a head; a damaged file may claim any number."""


class OnnxModel:
    """``prepare``, ``run`` and ``close`` of the ``Model`` contract; a family adds ``finish``.

    Holds nothing that changes, so every step may run on any number of threads.
    """

    names: tuple[str, ...]
    """Class names, by class id; set by the family, which knows how many classes its head has."""
    layout: ClassVar[str] = "what no graph has"
    """The outputs that graphs of this family have, for people."""
    mean: Colour = (0, 0, 0)
    """Taken from each channel of 0..1 before the graph sees it."""
    std: Colour = (1, 1, 1)
    """What each channel is divided by then."""
    stride: ClassVar[int] = 1
    """Where a graph leaves its size open, it takes multiples of this."""
    bare: ClassVar[ResizeFormat] = LETTERBOX
    """How a picture gets the size of a graph that came without an ``environment.json``."""
    aligned: ClassVar[Axes] = ()
    """Sizes that must be equal."""
    common: ClassVar[frozenset[int]] = frozenset()
    """Outputs which are about no picture in particular; in all others the batch comes first."""

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
        self.provider, self.path = session.provider, session.path
        self._package = package
        self._session = session
        self._metadata = read(session)
        batch = session.input_shape[0]
        self.fixed_batch = batch
        """Of the graph; ``None`` where it is open."""
        open_batch = max_batch or (1 if session.provider == CPU else _OPEN_BATCH)
        self.max_batch = batch or open_batch
        self.recipe = self._recipe(off or Switches())
        width, height = self.recipe.size
        self.canvas = self._whole(width, 3), self._whole(height, 2)
        """(width, height) of the graph's input; the recipe fills it, or all but its edges."""
        self._shapes: dict[int, Shape] = {}
        one_each()

    def prepare(self, pictures: Sequence[VideoFrame | Image]) -> tuple[Tensor, Sequence[Geometry]]:
        """N x 3 x H x W ``float32``, RGB, normalised; a fixed batch not full ends in zeros."""
        (width, height), (outer_w, outer_h) = self.recipe.size, self.canvas
        used = len(pictures)
        tensor = np.empty((self.fixed_batch or used, 3, outer_h, outer_w), np.float32)
        tensor[used:] = tensor[:, :, height:] = tensor[:, :, :, width:] = 0
        inside = tensor[:used, :, :height, :width]
        geometries = [self.recipe.write(one, inside[i]) for i, one in enumerate(pictures)]
        self._normalise(inside)
        return tensor, geometries

    def run(self, tensor: Tensor) -> Outputs:
        """The graph's outputs, as they are. Raises ``InferenceError``."""
        outputs = self._session.run(tensor)
        if not self._sound(outputs, len(tensor)):
            raise InferenceError(self._unlike([output.shape for output in outputs]))
        return outputs

    def scaled(self, scale: float) -> Self | None:
        """See ``base.Scalable``: in multiples of 32, or of the stride if that is more."""
        if self._session.input_shape[2:] != (None, None):
            return None
        step = max(32, self.stride)
        width, height = (max(step, round(side * scale / step) * step) for side in self.recipe.size)
        other = copy.copy(self)
        other.recipe, other.canvas = replace(self.recipe, size=(width, height)), (width, height)
        try:
            other.run(np.zeros((self.fixed_batch or 1, 3, height, width), np.float32))
        except InferenceError:
            return None
        return other

    def of_picture(self, outputs: Outputs, index: int) -> Mapping[int, npt.NDArray[Any]]:
        """What the outputs that the family uses say about picture ``index`` of the batch."""
        return {i: outputs[i] if i in self.common else outputs[i][index] for i in self._shapes}

    def close(self) -> None:
        """Let the session go."""
        self._session.close()

    def names_of(self, classes: int) -> tuple[str, ...]:
        """The class names of a head with so many classes; numbers where nobody has named them."""
        names = self.given_names
        if names is None:
            return tuple(f"class_{i}" for i in range(classes))
        if len(names) != classes:
            raise ModelArtefactError(
                f"{self._package.weights}: the graph tells {classes} classes apart, "
                f"but there are {len(names)} class names"
            )
        return names

    @property
    def given_names(self) -> tuple[str, ...] | None:
        """The class names in the files or, failing that, in the graph."""
        return self._package.names or self._metadata.names

    def output(self, position: int, rank: int, *axes: int) -> list[int]:
        """The sizes of an output's ``axes``, which every run must then have; where the graph leaves
        them open, one run on nothing tells. ``ModelArtefactError`` if it has not ``rank`` of them.
        """
        shape = self._declared(position)
        if len(shape) == rank and None in [shape[axis] for axis in axes]:
            shape = self._probed(position)
        sizes = [shape[axis] or 0 for axis in axes] if len(shape) == rank else [0]
        if len(shape) != rank or not all(1 <= size <= _LARGEST for size in sizes):
            raise ModelArtefactError(self._unlike(self._session.output_shapes))
        self._shapes[position] = tuple(n if i in axes else None for i, n in enumerate(shape))
        return sizes

    def fixed(self, position: int, rank: int, sizes: Mapping[int, int]) -> None:
        """An output whose ``sizes`` (by axis) are those of the family. ``ModelArtefactError``."""
        if self.output(position, rank, *sizes) != list(sizes.values()):
            raise ModelArtefactError(self._unlike(self._session.output_shapes))

    def _declared(self, position: int) -> Shape:
        shapes = self._session.output_shapes
        return shapes[position] if position < len(shapes) else ()

    def _probed(self, position: int) -> Shape:
        width, height = self.canvas
        nothing = np.zeros((self.fixed_batch or 1, 3, height, width), np.float32)
        try:
            return tuple(self.run(nothing)[position].shape)
        except InferenceError as error:
            raise ModelArtefactError(str(error)) from error

    def _unlike(self, shapes: Sequence[Any]) -> str:
        return (
            f"{self._package.weights}: a graph of this family ({type(self).__name__}) answers with "
            f"{self.layout}; this one with {', '.join(map(str, shapes))}"
        )

    def _sound(self, outputs: Outputs, batch: int) -> bool:
        """Whether a run's outputs are what the family can read."""
        for position, shape in self._shapes.items():
            wanted = shape if position in self.common else (batch, *shape[1:])
            if position >= len(outputs) or not _fits(outputs[position], wanted):
                return False
        known = [(position, axis) for position, axis in self.aligned if position in self._shapes]
        return len({outputs[position].shape[axis] for position, axis in known}) <= 1

    def _normalise(self, tensor: Tensor) -> None:
        """In place; two passes, for families that need them."""
        if any(self.mean):
            tensor -= np.array(self.mean, np.float32)[:, None, None]
        if any(s != 1 for s in self.std):
            tensor *= (1 / np.array(self.std, np.float32))[:, None, None]

    def _whole(self, size: int, axis: int) -> int:
        """``size``, or where the graph leaves it open the next multiple of the stride."""
        return size if self._session.input_shape[axis] else -(-size // self.stride) * self.stride

    def _recipe(self, off: Switches) -> Recipe:
        """The environment's steps, or none; for the graph's size, else the environment's."""
        environment = self._package.environment
        preprocessing = environment.preprocessing if environment else None
        resize = preprocessing.resize if preprocessing else None
        asked = (resize.width, resize.height) if resize else self._metadata.size
        width, height = asked or (_SIZE, _SIZE)
        shape = self._session.input_shape
        size = shape[3] or width, shape[2] or height
        if preprocessing is not None:
            return preprocessing.recipe(size, off)
        return Recipe(size, self.bare, from_planes=off.planes)


def _fits(output: Any, shape: Shape) -> bool:
    """Whether an output is a float tensor of ``shape``."""
    if output.dtype.kind != "f" or output.ndim != len(shape):
        return False
    return all(want in (None, size) for want, size in zip(shape, output.shape, strict=True))
