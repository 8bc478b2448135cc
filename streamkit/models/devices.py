"""Which ONNX Runtime providers can really run here, found out without making it complain."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import importlib.util
import io
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import onnxruntime

from streamkit.errors import ConfigError

log = logging.getLogger(__name__)

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"
OPENVINO: Final = "OpenVINOExecutionProvider"

_PLUGIN: Final = "onnxruntime_ep_openvino"


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable(wanted: Sequence[str], required: Sequence[str] = ()) -> tuple[str, ...]:
    """Those of ``wanted`` that this build has and this machine can run, and the CPU at the end.

    Raises ``ConfigError`` where a ``required`` one is missing.
    """
    built = onnxruntime.get_available_providers()
    able = [name for name in built if _runs_here(name)]
    if _asked_for_plugin(wanted, required) and OPENVINO not in able and openvino_devices():
        able.append(OPENVINO)
    missing = [name for name in required if name not in able]
    if missing:
        raise ConfigError(
            f"required ONNX Runtime providers are missing: {', '.join(missing)}; "
            f"this machine runs {', '.join(able)}"
        )
    return tuple(dict.fromkeys([*(name for name in wanted if name in able), CPU]))


def _asked_for_plugin(wanted: Sequence[str], required: Sequence[str]) -> bool:
    """The documented default names OpenVINO after CUDA, for builds that contain it. The plug-in,
    which would answer a little differently, is taken only by who names it first or requires it."""
    return OPENVINO in wanted[:1] or OPENVINO in required


@functools.cache
def openvino_devices() -> tuple[Any, ...]:
    """The processor, as the plug-in of ``onnxruntime-ep-openvino`` offers it; empty without it."""
    if importlib.util.find_spec(_PLUGIN) is None:
        return ()
    library = importlib.import_module(_PLUGIN).get_library_path()
    try:
        onnxruntime.register_execution_provider_library(_PLUGIN, library)
    except Exception as error:  # noqa: BLE001 - its classes have no base in common
        log.warning("%s is installed but does not load: %s", _PLUGIN, error)
        return ()
    found = [device for device in onnxruntime.get_ep_devices() if device.ep_name == OPENVINO]
    able = tuple(d for d in found if d.device.type == onnxruntime.OrtHardwareDeviceType.CPU)
    if not able:
        log.warning("%s is installed but has nothing to offer on this processor", _PLUGIN)
    return able


def _runs_here(provider: str) -> bool:
    return _NEEDS[provider]() if provider in _NEEDS else True


@functools.cache
def cuda_devices() -> int:
    """How many CUDA devices the driver shows; 0 without a driver.

    ONNX Runtime would find out too, by writing red lines to stderr and falling back to the CPU.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


@functools.cache
def _cuda_ready() -> bool:
    if cuda_devices() == 0:
        return False
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
        onnxruntime.preload_dlls()  # finds the CUDA and cuDNN wheels; before the first session
    missing = [name for name in _cuda_libraries() if not _loads(name)]
    if missing:
        log.warning(
            "there is a GPU, but not the libraries to use it (%s): running on the CPU; "
            "install the extra 'cuda'",
            ", ".join(missing),
        )
    return not missing


@functools.cache
def cuda_runtime() -> ctypes.CDLL | None:
    """The CUDA runtime that ONNX Runtime uses too; ``None`` where it is not there."""
    if sys.platform == "win32" or cuda_devices() == 0:
        return None
    try:
        return ctypes.CDLL(_cuda_libraries()[0])
    except OSError:
        return None


def _tensorrt_ready() -> bool:
    library = "nvinfer_10.dll" if sys.platform == "win32" else "libnvinfer.so.10"
    return _cuda_ready() and _loads(library)


def _cuda_libraries() -> list[str]:
    """Without these the CUDA provider does not load; they are not part of the driver."""
    if sys.platform == "win32":
        return []
    major = str(onnxruntime.cuda_version).split(".")[0]
    return [f"libcudart.so.{major}", f"libcublasLt.so.{major}", "libcudnn.so.9"]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


_NEEDS: Final[Mapping[str, Callable[[], bool]]] = {CUDA: _cuda_ready, TENSORRT: _tensorrt_ready}
