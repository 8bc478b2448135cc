"""Eight bits for a graph: static quantisation by ONNX Runtime, all but the last layers of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from streamkit.errors import ConfigError, ModelArtefactError

if TYPE_CHECKING:
    import onnx

WEIGHTED: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_SMALL: Final = 64
"""A weight with no more numbers decodes (YOLOv8 sums 16 bins with one) and has learned nothing."""
LAYERS: Final = 2
"""Of the last layers that stay as they are."""
_LOW: Final = frozenset(
    {"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger"}
)


def require() -> None:
    """Raises ``ConfigError`` where the package ``onnx`` is not installed."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "quantising needs the package onnx: pip install 'streamkit[quantize]'"
        ) from error


def quantise(
    weights: Path,
    to: Path,
    tensors: Iterable[npt.NDArray[np.float32]],
    work: Path,
    layers: int = LAYERS,
) -> tuple[int, int]:
    """Write ``weights`` to ``to`` with eight bits: (nodes in eight bits, nodes that could be).

    QDQ; weights ``int8`` per channel and symmetric, in seven bits of the eight, so that no sum
    overflows on processors without VNNI; activations ``uint8`` between the least and the greatest
    that ``tensors`` (N x 3 x H x W each) gave rise to. The last ``layers`` stay ``float32``.
    Temporary files go to ``work``. Raises ``ModelArtefactError``.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    plain = _prepared(weights, work / "prepared.onnx")
    graph = onnx.load(str(plain), load_external_data=False).graph
    last = tail(graph, layers)
    able = [node for node in graph.node if node.op_type in WEIGHTED]
    done = [n for n in able if n.name not in last and n.op_type != "ConvTranspose"]
    if not done:
        raise ModelArtefactError(f"{weights}: there is nothing to quantise but its last layers")
    try:
        quantize_static(
            str(plain),
            str(to),
            _Reader(graph.input[0].name, tensors),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=sorted(WEIGHTED - {"ConvTranspose"}),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(last),
        )
    except _errors() as error:
        raise ModelArtefactError(f"{weights} cannot be quantised: {error}") from error
    return len(done), len(able)


def check(weights: Path) -> None:
    """Raises ``ModelArtefactError`` for what is in few bits already, or in parts."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(weights), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise ModelArtefactError(f"{weights} is no ONNX model: {error}") from error
    if any(node.op_type in _LOW for node in model.graph.node):
        raise ModelArtefactError(f"{weights} is quantised already: take the float32 export")
    kinds = {onnx.TensorProto.DataType.Name(t.data_type) for t in model.graph.initializer}
    if kinds & {"FLOAT16", "BFLOAT16"}:
        raise ModelArtefactError(f"{weights} is in half precision: take the float32 export")
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
        raise ModelArtefactError(f"{weights} keeps its numbers in other files: export it as one")


def _prepared(weights: Path, to: Path) -> Path:
    """Constants folded, normalisation folded into the convolutions, every node named, shapes
    written down: what quantisation works best on."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        quant_pre_process(str(weights), str(to), skip_symbolic_shape=True)
    except _errors() as error:
        raise ModelArtefactError(f"{weights} cannot be quantised: {error}") from error
    model = onnx.load(str(to))
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    onnx.save(model, str(to))
    return to


def _errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime's tools raise of graphs they cannot take: nothing all of it is kind of."""
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    theirs = (each for each in vars(native).values() if isinstance(each, type))
    ours = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
    return (*(each for each in theirs if issubclass(each, Exception)), *ours, OSError)


def tail(graph: onnx.GraphProto, layers: int = 1) -> set[str]:
    """Names of the nodes from the outputs back through the last ``layers`` that have learned
    something: boxes and scores are read off them, and eight bits would show."""
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    found: dict[str, int] = {}
    left = [(output.name, layers) for output in graph.output]
    while left:
        name, more = left.pop()
        node = maker.get(name)
        if node is None or more == 0 or found.get(node.name, 0) >= more:
            continue
        found[node.name] = more
        learned = max((sizes.get(each, 0) for each in node.input), default=0)
        spent = node.op_type in WEIGHTED and learned > _SMALL
        left += [(each, more - spent) for each in node.input]
    return set(found)


class _Reader:
    """What ONNX Runtime asks for the next input of a calibration."""

    def __init__(self, name: str, tensors: Iterable[npt.NDArray[np.float32]]) -> None:
        self._name = name
        self._tensors: Iterator[npt.NDArray[np.float32]] = iter(tensors)

    def get_next(self) -> dict[str, Any] | None:
        """``None`` at the end."""
        tensor = next(self._tensors, None)
        return None if tensor is None else {self._name: tensor}
