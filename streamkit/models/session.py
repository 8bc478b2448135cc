"""ONNX Runtime sessions: opened from a file, described, run; its errors become ours here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from streamkit.errors import InferenceError, ModelArtefactError
from streamkit.models.base import Outputs
from streamkit.models.devices import usable

Shape: TypeAlias = tuple[int | None, ...]
"""Sizes of a tensor's dimensions; ``None`` where the graph leaves it open."""

PROVIDERS: Final = (
    "CUDAExecutionProvider",
    "OpenVINOExecutionProvider",
    "CoreMLExecutionProvider",
    "CPUExecutionProvider",
)

_LARGEST: Final = 16384
"""Pixels of a side; a damaged file may ask for anything."""

_ERRORS: Final[tuple[type[Exception], ...]] = (
    *(e for e in vars(native).values() if isinstance(e, type) and issubclass(e, Exception)),
    RuntimeError,
    ValueError,
    MemoryError,
)
"""What ONNX Runtime raises: classes without a common base of its own."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How models run on this machine: on what, and with how many threads per run."""

    providers: tuple[str, ...] = PROVIDERS
    """In order of preference; those which are not here are passed over."""
    required: tuple[str, ...] = ()
    """Without these nothing is loaded."""
    threads: int = 1


class Session:
    """One loaded graph. ``run`` may be called by any number of threads at the same time."""

    def __init__(self, weights: Path, execution: Execution | None = None) -> None:
        """Load ``weights``. Raises ``ModelArtefactError`` naming the file, ``ConfigError``."""
        execution = execution or Execution()
        providers = usable(execution.providers, execution.required)
        self.weights = weights
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(weights), _options(execution), providers=list(providers)
            )
            inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
            self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        except _ERRORS as error:
            raise ModelArtefactError(f"{weights} is no usable ONNX model: {error}") from error
        self.provider: str = self._session.get_providers()[0]
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
        feed = {self.input_name: tensor.astype(self.input_type, copy=False)}
        if self._session is None:
            raise InferenceError(f"{self.weights} has been closed")
        try:
            return self._session.run(None, feed)  # type: ignore[no-any-return]
        except _ERRORS as error:
            raise InferenceError(f"{self.weights} failed on {tensor.shape}: {error}") from error

    def close(self) -> None:
        """Let the graph and its memory go, as soon as no run uses it any more."""
        self._session = None


def _options(execution: Execution) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = execution.threads
    options.inter_op_num_threads = 1
    # A waiting thread that spins takes the core another worker or process needs: with a second busy
    # process on two cores, 202 to 217 ms a run while spinning against 82.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _shape(tensor: Any) -> Shape:
    return tuple(size if isinstance(size, int) and size > 0 else None for size in tensor.shape)
