"""IO binding: a session runs over buffers that are kept, on CUDA in page-locked memory."""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

Array: TypeAlias = npt.NDArray[Any]
Sizes: TypeAlias = tuple[int, ...]
Allocate: TypeAlias = Callable[[Sizes, "np.dtype[Any]"], Array]

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Bound:
    """Runs of one session, by any number of threads; each run has a set of buffers to itself."""

    def __init__(self, session: Any, allocate: Allocate = np.empty) -> None:
        """``session``: an ``onnxruntime.InferenceSession`` with one input."""
        self._session = session
        self._allocate = allocate
        self._idle: defaultdict[Sizes, list[_Buffers]] = defaultdict(list)
        self._lock = threading.Lock()

    def run(self, tensor: Array) -> list[Array]:
        """All outputs; they belong to the caller."""
        with self._lock:
            idle = self._idle[tensor.shape]
            buffers = idle.pop() if idle else None
        buffers = buffers or _Buffers(self._session, tensor, self._allocate)
        outputs = buffers.run(tensor)
        with self._lock:
            idle.append(buffers)
        return outputs


class Recorded:
    """Runs of a session whose sizes are all fixed, over buffers that stay on the device: what CUDA
    needs to record a run and replay it. One run at a time, as ONNX Runtime demands of CUDA graphs.
    Not verified on GPU.
    """

    def __init__(self, session: Any, device: str = "cuda") -> None:
        """``session``: an ``onnxruntime.InferenceSession`` with one input, all sizes fixed."""
        self._session = session
        self._lock = threading.Lock()
        self._binding = session.io_binding()
        [told] = session.get_inputs()
        self._input = _on_device(told, device)
        self._outputs = [_on_device(output, device) for output in session.get_outputs()]
        self._binding.bind_ortvalue_input(told.name, self._input)
        for output, value in zip(session.get_outputs(), self._outputs, strict=True):
            self._binding.bind_ortvalue_output(output.name, value)

    def run(self, tensor: Array) -> list[Array]:
        """All outputs; they belong to the caller. ``ValueError`` for another size."""
        if list(tensor.shape) != self._input.shape():
            raise ValueError(f"recorded for {self._input.shape()}")
        with self._lock:
            self._input.update_inplace(np.ascontiguousarray(tensor))
            self._session.run_with_iobinding(self._binding)
            return [np.array(value.numpy()) for value in self._outputs]


def _on_device(told: Any, device: str) -> Any:
    kind = _TYPES[told.type]
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(told.shape, kind, device, 0)


def recordable(inputs: Sequence[Any], outputs: Sequence[Any]) -> bool:
    """Whether every size is known beforehand, and every tensor a float one."""
    return all(
        one.type in _TYPES and all(isinstance(size, int) and size > 0 for size in one.shape)
        for one in (*inputs, *outputs)
    )


class _Buffers:
    """What one run needs: the input and those outputs whose sizes the graph tells beforehand are
    always at the same place; ONNX Runtime finds room for the others."""

    def __init__(self, session: Any, like: Array, allocate: Allocate) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._input = allocate(like.shape, like.dtype)
        name, told = session.get_inputs()[0].name, (like.dtype.type, like.shape)
        self._outputs = {o.name: _room(o, allocate) for o in session.get_outputs()}
        self._binding.bind_input(name, "cpu", 0, *told, _at(self._input))

    def run(self, tensor: Array) -> list[Array]:
        np.copyto(self._input, tensor)
        self._bind_outputs()
        self._session.run_with_iobinding(self._binding)
        values = self._binding.get_outputs()
        kept = self._outputs.values()
        return [v.numpy() if k is None else k.copy() for v, k in zip(values, kept, strict=True)]

    def _bind_outputs(self) -> None:
        self._binding.clear_binding_outputs()
        for name, kept in self._outputs.items():
            if kept is None:
                self._binding.bind_output(name, "cpu")
            else:
                told = kept.dtype.type, kept.shape, _at(kept)
                self._binding.bind_output(name, "cpu", 0, *told)


def _room(output: Any, allocate: Allocate) -> Array | None:
    """For an output whose sizes are all known."""
    known = all(isinstance(size, int) and size > 0 for size in output.shape)
    if not known or output.type not in _TYPES:
        return None
    return allocate(tuple(output.shape), np.dtype(_TYPES[output.type]))


def _at(array: Array) -> int:
    return int(array.ctypes.data)


def page_locked(runtime: ctypes.CDLL) -> Allocate:
    """Memory that the GPU reads and writes by itself, by way of the CUDA ``runtime``.

    Not verified on GPU.
    """

    def allocate(shape: Sizes, dtype: np.dtype[Any]) -> Array:
        size, place = math.prod(shape) * dtype.itemsize, ctypes.c_void_p()
        if runtime.cudaHostAlloc(ctypes.byref(place), ctypes.c_size_t(size), 0) or not place.value:
            raise MemoryError(f"CUDA has no {size} bytes of page-locked memory")
        address = place.value
        return owned(address, shape, dtype, lambda: runtime.cudaFreeHost(ctypes.c_void_p(address)))

    return allocate


def owned(address: int, shape: Sizes, dtype: np.dtype[Any], free: Callable[[], object]) -> Array:
    """The memory at ``address`` as an array; ``free`` is called when nothing refers to it."""
    memory: Any = (ctypes.c_char * (math.prod(shape) * dtype.itemsize)).from_address(address)
    weakref.finalize(memory, free)
    array: Array = np.frombuffer(memory, dtype)
    return array.reshape(shape)
