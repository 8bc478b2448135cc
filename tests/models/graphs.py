"""Small ONNX graphs with a known answer, and model folders around them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Head = npt.NDArray[np.floating[Any]]

NAMES = ("a", "b", "c")
STRETCH = {"resize": {"format": "Stretch to", "width": 64, "height": 64}}


def head(*rows: Sequence[float]) -> Head:
    """(4 + classes, N) from rows ``(cx, cy, w, h, score of class 0, ...)``."""
    return np.array(rows, np.float32).T


HEAD = head(
    (32, 32, 20, 20, 0.2, 0.9, 0.1),
    (33, 32, 20, 20, 0.3, 0.8, 0.1),  # IoU 19/21 with the first, the same class
    (33, 32, 20, 20, 0.7, 0.3, 0.1),  # the same place, another class
    (10, 10, 8, 8, 0.1, 0.1, 0.41),
    (60, 60, 20, 20, 0.1, 0.1, 0.4),  # reaches beyond the input
    (50, 10, 6, 6, 0.1, 0.1, 0.39),
)


def write_graph(
    path: Path,
    answer: Head = HEAD,
    *,
    size: tuple[int | str, int | str] = (64, 64),
    batch: int | str = 1,
    half: bool = False,
    brighter: int | None = None,
    open_rows: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A graph that answers ``answer`` to every picture of ``size`` (width, height).

    ``brighter``: the column whose scores grow by the mean of the picture (0..1), which tells the
    pictures of a batch apart.
    """
    kind, dtype = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    grows = np.zeros_like(answer)
    if brighter is not None:
        grows[4:, brighter] = 1
    constants = [
        numpy_helper.from_array(answer[None].astype(dtype), "answer"),
        numpy_helper.from_array(grows[None].astype(dtype), "grows"),
        numpy_helper.from_array(np.array([3], np.int64), "last"),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean", "last"], ["light"]),
        helper.make_node("Mul", ["light", "grows"], ["more"]),
        helper.make_node("Add", ["answer", "more"], ["output0"]),
    ]
    rows: int | str = "rows" if open_rows else answer.shape[0]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", kind, [batch, 3, size[1], size[0]])],
        [helper.make_tensor_value_info("output0", kind, [batch, rows, answer.shape[1]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, str(path))
    return path


def write_heads(
    path: Path,
    *answers: Head,
    size: tuple[int | str, int | str] = (64, 64),
    batch: int | str = 1,
    half: bool = False,
    common: Sequence[int] = (),
    open_axes: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A graph with several outputs that are the same for every picture.

    ``common``: those that have no batch. ``open_axes``: the graph tells the rank only.
    """
    kind, dtype = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    constants = [numpy_helper.from_array(np.array(0, dtype), "zero")]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    outputs = []
    for i, answer in enumerate(answers):
        alone = i in common
        full = answer if alone else answer[None]
        names = [f"answer{i}", f"shape{i}", f"nothing{i}", f"output{i}"]
        constants.append(numpy_helper.from_array(full.astype(dtype), names[0]))
        ones = np.array([1 if alone else -1] + [1] * (full.ndim - 1), np.int64)
        constants.append(numpy_helper.from_array(ones, names[1]))
        source = "zero" if alone else "nothing"
        nodes.append(helper.make_node("Reshape", [source, names[1]], [names[2]]))
        nodes.append(helper.make_node("Add", [names[0], names[2]], [names[3]]))
        shape = [*full.shape] if alone else [batch, *answer.shape]
        told = [f"o{i}_{axis}" for axis in range(full.ndim)] if open_axes else shape
        outputs.append(helper.make_tensor_value_info(names[3], kind, told))
    images = helper.make_tensor_value_info("images", kind, [batch, 3, size[1], size[0]])
    graph = helper.make_graph(nodes, "toy", [images], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, str(path))
    return path


def write_folder(
    folder: Path,
    answer: Head = HEAD,
    *,
    names: Sequence[str] = NAMES,
    preprocessing: Mapping[str, Any] | str | None = None,
    model_type: str = "yolov8n",
    task: str = "object-detection",
    weights: str = "weights.onnx",
    **graph: Any,
) -> Path:
    """A model in the documented layout."""
    folder.mkdir(parents=True)
    write_graph(folder / weights, answer, **graph)
    environment = {"PREPROCESSING": STRETCH if preprocessing is None else preprocessing}
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "class_names.txt").write_text("\n".join(names))
    kind = {"project_task_type": task, "model_type": model_type}
    (folder / "model_type.json").write_text(json.dumps(kind))
    return folder
