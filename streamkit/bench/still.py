"""A model that costs nothing: what is left of a pipeline's CPU is decoding and our own work."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from streamkit.bench.inputs import SIDE, head
from streamkit.errors import ConfigError
from streamkit.predictions import Floats

_TOP, _BOTTOM = 170.0, 470.0
_SEED: Final = 5


def still(path: Path, objects: int) -> Path:
    """A graph in the layout of YOLOv8 at 640 x 640, which sees nothing and always answers with
    ``objects`` objects, each of which some doubles have to be told from.

    Needs the package ``onnx``; raises ``ConfigError`` where that is missing.
    """
    path.write_bytes(_graph(answer(objects)))
    return path


def answer(objects: int) -> Floats:
    """(84, 8400) of a busy street, in which so many objects are sure and stand apart; there are
    eight boxes for each, as real heads give them."""
    street = head(_SEED)
    street[4:] = np.minimum(street[4:], 0.1)
    columns = max(1, round((objects * 16 / 9) ** 0.5))
    rows = -(-objects // columns) or 1
    for number in range(objects):
        row, column = divmod(number, columns)
        width, height = SIDE / columns, (_BOTTOM - _TOP) / rows
        place = (column + 0.5) * width, _TOP + (row + 0.5) * height, 0.7 * width, 0.7 * height
        some = slice(8 * number, 8 * number + 8)
        street[:4, some] = np.array(place, np.float32)[:, None] + np.linspace(-1, 1, 8)
        street[4 + number % 7, some] = 0.9 - 0.04 * np.arange(8) - 0.005 * number
    return street


def _graph(answered: Floats) -> bytes:
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise ConfigError("this needs onnx: pip install onnx") from None
    told = numpy_helper.from_array(answered[None], "told")
    pictures = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, list(told.dims))
    corner = [
        numpy_helper.from_array(np.array(ends, np.int64), name)
        for name, ends in (("from", [0, 0, 0, 0]), ("to", [1, 1, 1, 1]))
    ]
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    flat = numpy_helper.from_array(np.array([1, 1, 1], np.int64), "flat")
    nodes = [
        helper.make_node("Slice", ["images", "from", "to"], ["pixel"]),
        helper.make_node("Mul", ["pixel", "zero"], ["none"]),
        helper.make_node("Reshape", ["none", "flat"], ["nothing"]),
        helper.make_node("Add", ["told", "nothing"], ["output0"]),
    ]
    graph = helper.make_graph(nodes, "still", [pictures], [output], [told, *corner, zero, flat])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(made.SerializeToString())
