"""How models run on this machine: ONNX Runtime's options, made from plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import onnxruntime

from streamkit.models.devices import CUDA, OPENVINO, TENSORRT

PROVIDERS: Final = (
    CUDA,
    OPENVINO,
    "CoreMLExecutionProvider",
    "CPUExecutionProvider",
)

Optimization: TypeAlias = Literal["disabled", "basic", "extended", "all"]
"""Levels of ONNX Runtime's graph optimisation."""

RunPath: TypeAlias = Literal["auto", "run", "iobinding"]
"""How tensors get in and out: ``run`` leaves it to ONNX Runtime; ``iobinding`` keeps buffers, on
CUDA in pinned memory; ``auto`` is ``iobinding`` on CUDA and TensorRT, else ``run``."""

Precision: TypeAlias = Literal["f32", "bf16", "auto"]
"""What OpenVINO computes with; ``auto`` is ``bf16`` on processors with AMX."""

_LEVELS: Final[Mapping[Optimization, Any]] = {
    "disabled": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


@dataclass(frozen=True, slots=True)
class Execution:
    """How models run on this machine: on what, and with how many threads per run."""

    providers: tuple[str, ...] = PROVIDERS
    """In order of preference; those which are not here are passed over."""
    required: tuple[str, ...] = ()
    """Without these nothing is loaded."""
    threads: int = 1
    """Of one run, within an operator."""
    inter_op_threads: int = 1
    """Of one run, for operators side by side; more than 1 lets them."""
    spinning: bool = False
    """Whether threads that wait for work burn their core: with a second busy process on two cores
    202 to 217 ms a run, against 82."""
    arena: bool = True
    """Whether memory on the CPU is kept for the next run."""
    optimization: Optimization = "all"
    rewrite: bool = True
    """Whether graphs may be rewritten before they are loaded, on a CPU: the same sums in less time.
    """
    path: RunPath = "auto"
    tensorrt_cache: Path | None = None
    """Where TensorRT's engines are kept; ``None``: nowhere, they are built at every start."""
    tensorrt_fp16: bool = True
    openvino_precision: Precision = "f32"
    cuda_graph: bool = False
    """CUDA records one run and replays it, which saves what starting each operator costs; only for
    graphs whose sizes are all fixed, over buffers that stay on the GPU, one run at a time."""


def session_options(execution: Execution, first: str) -> Any:
    """For a session whose ``first`` provider is known: TensorRT fuses by itself, and wants the
    graph as it is (not verified on GPU)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = execution.threads
    options.inter_op_num_threads = execution.inter_op_threads
    if execution.inter_op_threads > 1:
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    spinning = "1" if execution.spinning else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    options.add_session_config_entry("session.inter_op.allow_spinning", spinning)
    options.enable_cpu_mem_arena = execution.arena
    level: Optimization = "disabled" if first == TENSORRT else execution.optimization
    options.graph_optimization_level = _LEVELS[level]
    options.log_severity_level = 3
    return options


def provider_options(execution: Execution, provider: str, weights: Path) -> dict[str, str]:
    """What ONNX Runtime is told with the name of ``provider``; not verified on GPU."""
    if provider == TENSORRT:
        return _tensorrt(execution, weights)
    if provider == OPENVINO:
        return openvino_options(execution)
    if provider == CUDA and execution.cuda_graph:
        return {"enable_cuda_graph": "1"}
    return {}


def _tensorrt(execution: Execution, weights: Path) -> dict[str, str]:
    """An engine is told from others by the names in its graph, not by its weights: each content has
    a folder of its own, so that a new version of a model never runs the old one's engine."""
    options = {"trt_fp16_enable": str(execution.tensorrt_fp16)}
    if execution.cuda_graph:
        options["trt_cuda_graph_enable"] = "True"
    if execution.tensorrt_cache is not None:
        folder = execution.tensorrt_cache / _digest(weights)
        folder.mkdir(parents=True, exist_ok=True)
        options |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(folder)}
        options |= {"trt_timing_cache_enable": "True", "trt_timing_cache_path": str(folder)}
    return options


def _digest(weights: Path) -> str:
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def openvino_options(execution: Execution) -> dict[str, str]:
    """Latency first, and the precision that was asked for."""
    hints = {"PERFORMANCE_HINT": "LATENCY"}
    if execution.openvino_precision != "auto":
        hints["INFERENCE_PRECISION_HINT"] = execution.openvino_precision
    return {"load_config": json.dumps({"CPU": hints})}


def chosen_path(execution: Execution, provider: str) -> Literal["run", "iobinding"]:
    """The name of the way that will be taken on ``provider``."""
    if execution.path != "auto":
        return execution.path
    return "iobinding" if provider in (CUDA, TENSORRT) else "run"
