"""ONNX Runtime sessions: opened from a file, described, run; its errors become ours here."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from streamkit.errors import InferenceError, ModelArtefactError
from streamkit.models.base import Outputs
from streamkit.models.binding import Bound, Recorded, page_locked, recordable
from streamkit.models.devices import (
    CPU,
    CUDA,
    OPENVINO,
    TENSORRT,
    cuda_runtime,
    openvino_devices,
    usable,
)
from streamkit.models.execution import (
    Execution,
    chosen_path,
    openvino_options,
    provider_options,
    session_options,
)
from streamkit.models.rewriting import rewritten

log = logging.getLogger(__name__)

__all__ = ["Execution", "Session", "Shape"]

Shape: TypeAlias = tuple[int | None, ...]
"""Sizes of a tensor's dimensions; ``None`` where the graph leaves it open."""

_LARGEST: Final = 16384
"""Pixels of a side; a damaged file may ask for anything."""

_ERRORS: Final[tuple[type[Exception], ...]] = (
    *(e for e in vars(native).values() if isinstance(e, type) and issubclass(e, Exception)),
    RuntimeError,
    ValueError,
    MemoryError,
)
"""What ONNX Runtime raises: classes without a common base of its own."""


class Session:
    """One loaded graph. ``run`` may be called by any number of threads at the same time."""

    def __init__(self, weights: Path, execution: Execution | None = None) -> None:
        """Load ``weights``. Raises ``ModelArtefactError`` naming the file, ``ConfigError``."""
        execution = execution or Execution()
        providers = usable(execution.providers, execution.required)
        self.weights = weights
        self.path: str
        """How tensors get in and out: ``run``, ``iobinding``, ``iobinding+pinned`` or
        ``iobinding+graph``; ``+rewritten`` where the graph was (``models.rewriting``)."""
        try:
            execution = _recording(weights, execution, providers[0])
            self._session: Any
            self._session, way = _loaded(weights, execution, providers)
            inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
            self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        except _ERRORS as error:
            raise ModelArtefactError(f"{weights} is no usable ONNX model: {error}") from error
        self.provider: str = self._session.get_providers()[0]
        self._bound, path = _bound(self._session, execution, self.provider)
        self.path = path + way
        self.input_name, self.input_shape, self.input_type = self._only_picture(inputs)
        self.output_shapes: tuple[Shape, ...] = tuple(_shape(output) for output in outputs)

    def _only_picture(self, inputs: list[Any]) -> tuple[str, Shape, type[np.floating[Any]]]:
        types: dict[str, type[np.floating[Any]]] = {
            "tensor(float)": np.float32,
            "tensor(float16)": np.float16,
        }
        found = ", ".join(f"{i.name} {i.type}{i.shape}" for i in inputs)
        shape = _shape(inputs[0]) if len(inputs) == 1 else ()
        usable = len(shape) == 4 and shape[1] in (3, None) and inputs[0].type in types
        if not usable or max(size or 0 for size in shape) > _LARGEST:
            raise ModelArtefactError(
                f"{self.weights}: a model must take one float tensor of batch x 3 x height x "
                f"width, this one takes {found or 'nothing'}"
            )
        name: str = inputs[0].name
        return name, shape, types[inputs[0].type]

    def run(self, tensor: npt.NDArray[np.floating[Any]]) -> Outputs:
        """All outputs for N x 3 x H x W, cast to what the graph takes. ``InferenceError``."""
        tensor = tensor.astype(self.input_type, copy=False)
        session, bound = self._session, self._bound
        if session is None:
            raise InferenceError(f"{self.weights} has been closed")
        try:
            if bound is not None:
                return bound.run(tensor)
            return session.run(None, {self.input_name: tensor})  # type: ignore[no-any-return]
        except _ERRORS as error:
            raise InferenceError(f"{self.weights} failed on {tensor.shape}: {error}") from error

    def close(self) -> None:
        """Let the graph and its memory go, as soon as no run uses it any more."""
        self._session = self._bound = None


def _loaded(weights: Path, execution: Execution, providers: Sequence[str]) -> tuple[Any, str]:
    """The file or, on a CPU, what it is rewritten to, and what to call that. Other providers fuse
    what they find in their own way."""
    if execution.rewrite and execution.optimization == "all" and providers[0] == CPU:
        graph = rewritten(weights)
        try:
            if graph is not None:
                session = _opened(weights, graph, execution, providers)
                session._model_bytes = None  # a copy, for starting anew with other providers
                return session, "+rewritten"
        except _ERRORS as error:
            log.warning("%s is loaded as it is; rewritten it fails: %s", weights, error)
    return _opened(weights, str(weights), execution, providers), ""


def _opened(
    weights: Path, graph: str | bytes, execution: Execution, providers: Sequence[str]
) -> Any:
    options = session_options(execution, providers[0])
    if providers[0] == OPENVINO and OPENVINO not in onnxruntime.get_available_providers():
        options.add_provider_for_devices(list(openvino_devices()[:1]), openvino_options(execution))
        return onnxruntime.InferenceSession(graph, options)
    told = [(name, provider_options(execution, name, weights)) for name in providers]
    return onnxruntime.InferenceSession(graph, options, providers=told)


def _recording(weights: Path, execution: Execution, provider: str) -> Execution:
    """``execution``, with CUDA graphs only where they can be."""
    if not execution.cuda_graph:
        return execution
    gpu = provider in (CUDA, TENSORRT) and chosen_path(execution, provider) == "iobinding"
    if gpu:
        plain = session_options(replace(execution, optimization="disabled"), CPU)
        look = onnxruntime.InferenceSession(str(weights), plain, providers=[CPU])
        gpu = recordable(look.get_inputs(), look.get_outputs())
    if not gpu:
        log.warning(
            "%s: no CUDA graph: that needs CUDA or TensorRT, IO binding and fixed sizes", weights
        )
    return execution if gpu else replace(execution, cuda_graph=False)


def _bound(
    session: Any, execution: Execution, provider: str
) -> tuple[Bound | Recorded | None, str]:
    """Buffers that are kept, where they are wanted, and the name of the way that is taken."""
    if execution.cuda_graph and provider in (CUDA, TENSORRT):
        return Recorded(session), "iobinding+graph"
    if chosen_path(execution, provider) == "run":
        return None, "run"
    runtime = cuda_runtime() if provider in (CUDA, TENSORRT) else None
    if runtime is None:
        return Bound(session), "iobinding"
    return Bound(session, page_locked(runtime)), "iobinding+pinned"


def _shape(tensor: Any) -> Shape:
    return tuple(size if isinstance(size, int) and size > 0 else None for size in tensor.shape)
