"""ONNX files as messages: the part of the format that rewriting a graph takes.

Fields and numbers are those of ``onnx.proto``; what is not named here passes through unseen, as
protobuf keeps unknown fields.
"""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

Node: TypeAlias = Any
Graph: TypeAlias = Any
Model: TypeAlias = Any

_PACKAGE: Final = "streamkit.graph_file"
_MANY: Final = 256 << 20
"""Bytes above which a file is left as it is: for a moment it is in memory three times."""

_F = descriptor_pb2.FieldDescriptorProto
_INT, _FLOAT, _STR, _BYTES, _PART = (
    _F.TYPE_INT64, _F.TYPE_FLOAT, _F.TYPE_STRING, _F.TYPE_BYTES, _F.TYPE_MESSAGE,
)  # fmt: skip
_SCHEMA: Final[dict[str, list[tuple[str, int, Any, bool, str]]]] = {
    # name, number, type, repeated, message
    "Tensor": [
        ("dims", 1, _INT, True, ""), ("data_type", 2, _INT, False, ""),
        ("name", 8, _STR, False, ""), ("raw_data", 9, _BYTES, False, ""),
        ("data_location", 14, _INT, False, ""),
    ],
    "Attribute": [
        ("name", 1, _STR, False, ""), ("i", 3, _INT, False, ""), ("t", 5, _PART, False, "Tensor"),
        ("ints", 8, _INT, True, ""), ("type", 20, _INT, False, ""),
    ],
    "Node": [
        ("input", 1, _STR, True, ""), ("output", 2, _STR, True, ""), ("name", 3, _STR, False, ""),
        ("op_type", 4, _STR, False, ""), ("attribute", 5, _PART, True, "Attribute"),
        ("domain", 7, _STR, False, ""),
    ],
    "Value": [("name", 1, _STR, False, "")],
    "Graph": [
        ("node", 1, _PART, True, "Node"), ("initializer", 5, _PART, True, "Tensor"),
        ("output", 12, _PART, True, "Value"), ("value_info", 13, _PART, True, "Value"),
    ],
    "Opset": [("domain", 1, _STR, False, ""), ("version", 2, _INT, False, "")],
    "Model": [("graph", 7, _PART, False, "Graph"), ("opset_import", 8, _PART, True, "Opset")],
}  # fmt: skip

_TYPES: Final[dict[int, type[np.generic]]] = {1: np.float32, 7: np.int64, 10: np.float16}
_EXTERNAL: Final = 1
_INT_ATTRIBUTE, _INTS_ATTRIBUTE = 2, 7


@functools.cache
def messages() -> SimpleNamespace:
    """Their classes, by name."""
    file = descriptor_pb2.FileDescriptorProto(
        name="streamkit/graph_file.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated, of in fields:
            label = _F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, type=kind, label=label)
            if of:
                added.type_name = f".{_PACKAGE}.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {n: pool.FindMessageTypeByName(f"{_PACKAGE}.{n}") for n in _SCHEMA}
    return SimpleNamespace(**{n: message_factory.GetMessageClass(d) for n, d in found.items()})


def load(path: Path) -> Model | None:
    """The model in a file; ``None`` for what is no such file, too large, or in several files."""
    try:
        if path.stat().st_size > _MANY:
            return None
        model = messages().Model.FromString(path.read_bytes())
    except (OSError, DecodeError):
        return None
    if any(tensor.data_location == _EXTERNAL for tensor in model.graph.initializer):
        return None
    return model


def array_of(tensor: Any) -> npt.NDArray[Any] | None:
    """The numbers of a tensor, where they are of a type known here and stored raw."""
    kind = _TYPES.get(tensor.data_type)
    if kind is None or not tensor.raw_data:
        return None
    numbers = np.frombuffer(tensor.raw_data, kind)
    return numbers.reshape(tuple(tensor.dims)) if numbers.size == np.prod(tensor.dims) else None


def tensor_of(name: str, numbers: npt.NDArray[Any]) -> Any:
    """A tensor with these numbers."""
    [kind] = [number for number, known in _TYPES.items() if numbers.dtype == known]
    raw = np.ascontiguousarray(numbers).tobytes()
    return messages().Tensor(name=name, data_type=kind, dims=numbers.shape, raw_data=raw)


def node_of(op_type: str, inputs: list[str], outputs: list[str], **ints: int | list[int]) -> Node:
    """A node, called as its first output, with attributes that are whole numbers or lists."""
    node = messages().Node(op_type=op_type, input=inputs, output=outputs, name=outputs[0])
    for name, value in ints.items():
        if isinstance(value, list):
            node.attribute.add(name=name, ints=value, type=_INTS_ATTRIBUTE)
        else:
            node.attribute.add(name=name, i=value, type=_INT_ATTRIBUTE)
    return node


def ints_of(node: Node, name: str) -> tuple[int, ...] | None:
    """An attribute that is one whole number, or a list of them; ``None`` where it is not set."""
    for attribute in node.attribute:
        if attribute.name == name:
            one = attribute.type == _INT_ATTRIBUTE
            return (attribute.i,) if one else tuple(attribute.ints)
    return None


def opset_of(model: Model) -> int:
    """The version of the usual operators; 0 where none is told."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
