"""Graphs rewritten before they are loaded: the same sums in less time on a CPU.

Two things that ONNX Runtime does not do by itself. It keeps convolutions in blocks of channels,
which ``Split`` cannot read: where one convolution is cut into parts, each part becomes a
convolution of its own, with its part of the weights. And it takes a softmax over a middle axis row
by row: the distance of a box's side, the mean of a few bins weighted by their softmax
(https://arxiv.org/abs/2006.04388), is taken as one quotient of two sums instead. Outputs keep their
names, order and shapes, and their numbers up to rounding.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf.message import EncodeError

from streamkit.models.graph_file import (
    Graph,
    Model,
    Node,
    array_of,
    ints_of,
    load,
    node_of,
    opset_of,
    tensor_of,
)

_OLDEST: Final = 13
"""Of operators: from here on, a softmax is about one axis, and the axes of a sum are an input."""
_AXES_ARE_INPUT: Final = 18
"""Of operators: from here on, the axes of a maximum are an input, too."""
_CHANNELS: Final = 1


def rewritten(weights: Path) -> bytes | None:
    """The model in a file, rewritten; ``None`` where there is nothing to gain, or to read: whether
    a file is damaged is for ONNX Runtime to say."""
    try:
        model = load(weights)
        if model is None or opset_of(model) < _OLDEST or not _Graph(model).rewrite():
            return None
        written: bytes = model.SerializeToString()
    except (ValueError, IndexError, EncodeError):
        return None
    return written


class _Graph:
    """A graph, who makes and who takes its values, and what is to become of it."""

    def __init__(self, model: Model) -> None:
        self._graph: Graph = model.graph
        self._nodes: list[Node] = list(self._graph.node)
        self._opset = opset_of(model)
        self._maker: dict[str, Node] = {}
        self._takers: dict[str, list[Node]] = defaultdict(list)
        for node in self._nodes:
            for name in node.output:
                self._maker[name] = node
            for name in node.input:
                self._takers[name].append(node)
        self._weights = {tensor.name: tensor for tensor in self._graph.initializer}
        self._shown = {value.name for value in self._graph.output}
        self._gone: set[int] = set()
        """Nodes that others take the place of."""
        self._instead: dict[int, list[Node]] = {}
        """Nodes in the place of one."""

    def rewrite(self) -> bool:
        """Whether anything has changed."""
        for node in self._nodes:
            if node.op_type == "Split":
                self._split_convolution(node)
            elif node.op_type == "Softmax":
                self._take_quotient(node)
        if self._gone:
            self._put()
        return bool(self._gone)

    def _put(self) -> None:
        nodes: list[Node] = []
        for node in self._nodes:
            nodes += self._instead.get(id(node), [] if id(node) in self._gone else [node])
        nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        used = {name for node in nodes for name in node.input} | self._shown
        made = {name for node in nodes for name in node.output}
        _keep(self._graph.initializer, used)
        _keep(self._graph.value_info, made)

    def _replace(self, old: list[Node], new: list[Node]) -> None:
        """``new`` stands where the first of ``old`` did."""
        self._gone |= {id(node) for node in old}
        self._instead[id(old[0])] = new

    def _new(self, name: str, numbers: npt.NDArray[Any]) -> str:
        self._graph.initializer.append(tensor_of(name, numbers))
        return name

    def _only(self, name: str, op_type: str) -> Node | None:
        """The one node that takes a value, if it is such a one and nobody else sees the value."""
        takers = self._takers[name]
        alone = len(takers) == 1 and name not in self._shown
        return takers[0] if alone and takers[0].op_type == op_type else None

    # -- a convolution that is cut into parts ------------------------------------------------

    def _split_convolution(self, split: Node) -> None:
        found = self._activated(split.input[0])
        if found is None or ints_of(split, "axis") != (_CHANNELS,):
            return
        conv, chain = found
        parts = len(split.output)
        known = [self._initial(value) for value in conv.input[1:]]
        numbers = [each for each in known if each is not None]
        if not numbers or len(numbers) < len(known):
            return
        channels = len(numbers[0])
        joined = [node for node in self._takers[split.input[0]] if node is not split]
        if (
            ints_of(conv, "group") not in (None, (1,))
            or not self._is_even(split, channels)
            or not all(_joins(node) for node in joined)
        ):
            return
        new: list[Node] = []
        for part, name in enumerate(split.output):
            cut = slice(part * channels // parts, (part + 1) * channels // parts)
            new += self._part(conv, chain, name, [each[cut] for each in numbers])
        for node in joined:
            whole = list(node.input)
            del node.input[:]
            for name in whole:
                node.input.extend(split.output if name == split.input[0] else [name])
        self._replace([conv, *chain, split], new)

    def _activated(self, name: str) -> tuple[Node, list[Node]] | None:
        """The convolution whose outcome this is, as it is or through a SiLU, and that SiLU."""
        maker = self._maker.get(name)
        if maker is None or name in self._shown:
            return None
        if maker.op_type == "Conv":
            return maker, []
        if maker.op_type != "Mul":
            return None
        for one, other in (tuple(maker.input), tuple(maker.input)[::-1]):
            gate, conv = self._maker.get(one), self._maker.get(other)
            if (
                gate is not None
                and conv is not None
                and (gate.op_type, conv.op_type) == ("Sigmoid", "Conv")
                and list(gate.input) == [other]
                and len(self._takers[one]) == 1
                and len(self._takers[other]) == 2
                and not {one, other} & self._shown
            ):
                return conv, [gate, maker]
        return None

    def _is_even(self, split: Node, channels: int) -> bool:
        parts = len(split.output)
        if channels % parts or not all(split.output):
            return False
        if len(split.input) < 2:
            return True
        sizes = self._constant(split.input[1])
        return sizes is not None and list(sizes) == [channels // parts] * parts

    def _initial(self, name: str) -> npt.NDArray[Any] | None:
        tensor = self._weights.get(name)
        return None if tensor is None else array_of(tensor)

    def _constant(self, name: str) -> npt.NDArray[Any] | None:
        if (known := self._initial(name)) is not None:
            return known
        maker = self._maker.get(name)
        if maker is None or maker.op_type != "Constant" or len(maker.attribute) != 1:
            return None
        return array_of(maker.attribute[0].t)

    def _part(
        self, conv: Node, chain: list[Node], name: str, numbers: list[npt.NDArray[Any]]
    ) -> list[Node]:
        """One part of a convolution, and of what follows it, that ends in ``name``."""
        kinds = ("weight", "bias")
        made = type(conv).FromString(conv.SerializeToString())
        del made.input[1:]
        made.input.extend(self._new(f"{name}/{k}", n) for k, n in zip(kinds, numbers, strict=False))
        nodes = [made, *(type(node).FromString(node.SerializeToString()) for node in chain)]
        final = nodes[-1].output[0]
        names = {n: f"{name}/{i}" for i, node in enumerate(nodes) for n in node.output}
        names[final] = name
        for node in nodes:
            node.name = f"{name}/{node.op_type}"
            for values in (node.input, node.output):
                values[:] = [names.get(value, value) for value in values]
        return nodes

    # -- the mean of bins, weighted by their softmax -----------------------------------------

    def _take_quotient(self, softmax: Node) -> None:
        turn = self._maker.get(softmax.input[0])
        mean = self._only(softmax.output[0], "Conv")
        if turn is None or mean is None or ints_of(softmax, "axis") != (1,):
            return
        last = self._only(mean.output[0], "Reshape")
        weights = self._initial(mean.input[1])
        if (
            last is None
            or turn.op_type != "Transpose"
            or ints_of(turn, "perm") != (0, 2, 1, 3)
            or self._only(turn.output[0], "Softmax") is None
            or len(mean.input) != 2
            or weights is None
            or weights.dtype != np.float32
            or (weights.shape[0], weights.shape[2:]) != (1, (1, 1))
            or ints_of(mean, "group") not in (None, (1,))
        ):
            return
        name, logits = mean.output[0], turn.input[0]  # (B, sides, bins, boxes)
        bins = weights.reshape(-1)
        both = self._new(f"{name}/bins", np.stack([bins, np.ones_like(bins)]))
        halves = self._new(f"{name}/halves", np.array([1, 1], np.int64))
        top, low, powers, sums = (f"{name}/{part}" for part in ("max", "sub", "exp", "sums"))
        above, below, quotient = (f"{name}/{part}" for part in ("above", "below", "quotient"))
        if self._opset < _AXES_ARE_INPUT:
            highest = node_of("ReduceMax", [logits], [top], axes=[2], keepdims=1)
        else:
            axes = self._new(f"{name}/axes", np.array([2], np.int64))
            highest = node_of("ReduceMax", [logits, axes], [top], keepdims=1)
        new = [
            highest,
            node_of("Sub", [logits, top], [low]),
            node_of("Exp", [low], [powers]),
            node_of("MatMul", [both, powers], [sums]),  # (B, sides, 2, boxes)
            node_of("Split", [sums, halves], [above, below], axis=2),
            node_of("Div", [above, below], [quotient]),
        ]
        last.input[0] = quotient
        self._replace([softmax, turn, mean], new)


def _joins(node: Node) -> bool:
    """Whether it puts channels side by side: then it may as well take them in parts."""
    return node.op_type == "Concat" and ints_of(node, "axis") == (_CHANNELS,)


def _keep(named: Any, names: set[str]) -> None:
    """Leave out what has another name."""
    for index in reversed(range(len(named))):
        if named[index].name not in names:
            del named[index]
