"""A small language for choosing detections: ``confidence > 0.5 and label in ["car", "bus"]``.

Comparisons (also chained), ``and``, ``or``, ``not``, ``in``, ``+ - * /``, numbers, texts and the
columns below; nothing else. What it means is decided here, over whole columns: no code is run, no
attribute is read and nothing is called.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.errors import ConfigError
from streamkit.predictions import Detections

Column: TypeAlias = npt.NDArray[Any]
Rule: TypeAlias = Callable[[Mapping[str, Column]], Any]

NUMBERS: Final = (
    "confidence", "x", "y", "left", "top", "right", "bottom", "width", "height", "area", "aspect",
    "class_id", "tracker_id",
)  # fmt: skip
"""``x`` and ``y`` are the middle, all in pixels; ``area`` is the share of the picture; ``aspect``
is width / height; ``tracker_id`` is -1 where there is none."""
TEXTS: Final = ("label",)
_LONGEST: Final = 1000

_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.In: lambda one, many: np.isin(one, many),
    ast.NotIn: lambda one, many: ~np.isin(one, many),
}  # fmt: skip
_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


def compiled(text: str) -> Callable[[Detections], npt.NDArray[np.bool_]]:
    """What ``text`` says, as a function from N detections to (N,) flags. Raises ``ConfigError`` for
    anything outside of the language, naming it."""
    if len(text) > _LONGEST:
        raise ConfigError(f"an expression has at most {_LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        kind, rule = _read(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"not an expression: {text!r}") from error
    if kind != "flag":
        raise ConfigError(f"{text!r} is a {kind}, not a condition")
    return lambda found: _flags(rule, found)


def _flags(rule: Rule, found: Detections) -> npt.NDArray[np.bool_]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.broadcast_to(np.asarray(rule(_columns(found)), np.bool_), (len(found),)).copy()


def _columns(found: Detections) -> dict[str, Column]:
    left, top, right, bottom = found.xyxy.astype(np.float64).T
    width, height = right - left, bottom - top
    nobody = np.full(len(found), -1, np.int64)
    return {
        "confidence": found.confidence, "x": (left + right) / 2, "y": (top + bottom) / 2,
        "left": left, "top": top, "right": right, "bottom": bottom, "width": width,
        "height": height, "area": width * height / (found.image_size[0] * found.image_size[1]),
        "aspect": width / np.maximum(height, 1e-9), "class_id": found.class_id,
        "tracker_id": nobody if found.tracker_id is None else found.tracker_id,
        "label": np.array(found.labels, np.str_),
    }  # fmt: skip


def _read(node: ast.expr) -> tuple[str, Rule]:
    """The kind of a node (number, text, list, flag) and what gives its column."""
    readers: dict[type[ast.expr], Callable[[Any], tuple[str, Rule]]] = {
        ast.BoolOp: _both, ast.UnaryOp: _unary, ast.Compare: _compare, ast.BinOp: _arithmetic,
        ast.Name: _column, ast.Constant: _constant, ast.List: _list, ast.Tuple: _list,
    }  # fmt: skip
    reader = readers.get(type(node))
    if reader is None:
        raise ConfigError(f"expressions know no {type(node).__name__}: {ast.unparse(node)!r}")
    return reader(node)


def _column(node: ast.Name) -> tuple[str, Rule]:
    name = node.id
    if name not in NUMBERS + TEXTS:
        raise ConfigError(f"no column {name!r}; known: {', '.join(NUMBERS + TEXTS)}")
    return ("text" if name in TEXTS else "number"), lambda columns: columns[name]


def _constant(node: ast.Constant) -> tuple[str, Rule]:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConfigError(f"expressions know numbers and texts, not {value!r}")
    if isinstance(value, int) and value >= 2**63:
        raise ConfigError("an expression has a number that is too large: the most is 2**63 - 1")
    return ("text" if isinstance(value, str) else "number"), lambda _: value


def _list(node: ast.List | ast.Tuple) -> tuple[str, Rule]:
    items = [_read(item) for item in node.elts]
    if not all(isinstance(item, ast.Constant) for item in node.elts) or not items:
        raise ConfigError(f"a list holds numbers or texts: {ast.unparse(node)!r}")
    if len({kind for kind, _ in items}) > 1:
        raise ConfigError(f"numbers and texts in one list: {ast.unparse(node)!r}")
    values = [rule({}) for _, rule in items]
    return f"list of {items[0][0]}", lambda _: values


def _both(node: ast.BoolOp) -> tuple[str, Rule]:
    rules = [_condition(value) for value in node.values]
    join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or

    def rule(columns: Mapping[str, Column]) -> Any:
        flags = rules[0](columns)
        for more in rules[1:]:
            flags = join(flags, more(columns))
        return flags

    return "flag", rule


def _unary(node: ast.UnaryOp) -> tuple[str, Rule]:
    if isinstance(node.op, ast.Not):
        rule = _condition(node.operand)
        return "flag", lambda columns: np.logical_not(rule(columns))
    if not isinstance(node.op, ast.USub):
        raise ConfigError(f"expressions know no such sign: {ast.unparse(node)!r}")
    number = _number(node.operand)
    return "number", lambda columns: -number(columns)


def _compare(node: ast.Compare) -> tuple[str, Rule]:
    sides = [_read(side) for side in (node.left, *node.comparators)]
    steps: list[Rule] = []
    for operation, one, other in zip(node.ops, sides, sides[1:], strict=False):
        steps.append(_step(node, operation, one, other))
    return "flag", lambda columns: reduce(np.logical_and, [step(columns) for step in steps])


def _step(
    node: ast.Compare, operation: ast.cmpop, one: tuple[str, Rule], other: tuple[str, Rule]
) -> Rule:
    wanted = f"list of {one[0]}" if isinstance(operation, ast.In | ast.NotIn) else one[0]
    ordered = isinstance(operation, ast.Lt | ast.LtE | ast.Gt | ast.GtE)
    compare = _COMPARE.get(type(operation))
    if compare is None or other[0] != wanted or (ordered and one[0] != "number"):
        raise ConfigError(f"cannot compare {one[0]} with {other[0]}: {ast.unparse(node)!r}")
    return lambda columns: compare(one[1](columns), other[1](columns))


def _arithmetic(node: ast.BinOp) -> tuple[str, Rule]:
    operation = _ARITHMETIC.get(type(node.op))
    if operation is None:
        raise ConfigError(f"expressions know + - * / only: {ast.unparse(node)!r}")
    one, other = _number(node.left), _number(node.right)
    return "number", lambda columns: operation(np.float64(one(columns)), other(columns))


def _number(node: ast.expr) -> Rule:
    kind, rule = _read(node)
    if kind != "number":
        raise ConfigError(f"{ast.unparse(node)!r} is a {kind}, not a number")
    return rule


def _condition(node: ast.expr) -> Rule:
    kind, rule = _read(node)
    if kind != "flag":
        raise ConfigError(f"{ast.unparse(node)!r} is a {kind}, not a condition")
    return rule
