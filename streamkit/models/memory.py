"""How much memory is left, on the machine and on its GPU."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

import psutil

Probe: TypeAlias = Callable[[], float | None]
"""The free part of some memory, 0..1; ``None`` where there is no such memory."""


def ram() -> float | None:
    """Of the machine's memory, what programs can still have."""
    memory = psutil.virtual_memory()
    return float(memory.available / memory.total)


def gpu() -> float | None:
    """Of the first NVIDIA GPU's memory, as its driver tells (NVML)."""
    library = _nvml()
    if library is None:
        return None
    handle, memory = ctypes.c_void_p(), _Memory()
    if library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) != 0:
        return None
    if library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) != 0 or not memory.total:
        return None
    return float(memory.free / memory.total)


class _Memory(ctypes.Structure):
    """``nvmlMemory_t``, in bytes."""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


@functools.cache
def _nvml() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return None
    return library if library.nvmlInit_v2() == 0 else None


class FreeMemory:
    """Whether any of the probed memories has less than ``threshold`` (0..1) free; 0: never."""

    def __init__(self, threshold: float, probes: Sequence[Probe] = (ram, gpu)) -> None:
        self._threshold = threshold
        self._probes = tuple(probes)

    def short(self) -> bool:
        """Whether models should be let go."""
        if self._threshold <= 0:
            return False
        free = [probe() for probe in self._probes]
        return any(part is not None and part < self._threshold for part in free)
