"""Relative paths of a document, taken from its folder: of sources, models, and options of steps."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Final, Literal, get_args

from streamkit import plugins
from streamkit.asking import ModelId
from streamkit.errors import ConfigError

_PLACE: Final = re.compile(r"^(\$\{|[a-z][a-z0-9+.-]*:|\d+$|/|~)", re.IGNORECASE)
"""A URL, ``module:Class``, a camera index, an absolute or a home path: not relative."""
_REPLAY: Final = "replay:"


def placed_source(reference: str | int, folder: Path) -> str | int:
    """The reference of a source; only a path is changed."""
    if isinstance(reference, str) and reference.startswith(_REPLAY):
        return f"{_REPLAY}{placed_source(reference.removeprefix(_REPLAY), folder)}"
    relative = isinstance(reference, str) and bool(reference) and not _PLACE.match(reference)
    return _under(folder, str(reference)) if relative else reference


def placed_model(model_id: str, folder: Path, named: Collection[str] = ()) -> str:
    """A path is what cannot be a model id (``./x``, ``../x``, ``x.onnx``), or is there; never a
    name of the document."""
    if model_id in named or _PLACE.match(model_id):
        return model_id
    relative = model_id.startswith(("./", "../")) or model_id.endswith(".onnx")
    relative = relative or (bool(model_id) and kind_of(folder / model_id) == "folder")
    return _under(folder, model_id) if relative else model_id


def kind_of(path: Path) -> Literal["file", "folder", "other"] | None:
    """What is there; ``None``: nothing, or nothing that can be looked at (a name too long)."""
    try:
        if not path.exists():
            return None
        return "folder" if path.is_dir() else "file" if path.is_file() else "other"
    except (OSError, ValueError):
        return None


def placed_options(
    table: Mapping[str, str],
    name: str,
    options: Mapping[str, Any],
    folder: Path,
    named: Collection[str] = (),
) -> dict[str, Any]:
    """Options of a stage or sink: those whose annotation names ``Path`` are paths, those of a
    ``ModelId`` models."""
    try:
        made_by = plugins.load(table, name)
    except ConfigError:  # it is told when the document is checked
        return dict(options)
    paths = path_options(made_by)
    if (inner := inner_of(table, made_by, options)) is not None:
        paths |= path_options(plugins.load(table, inner))
    placed = {k: _placed(v, folder) for k, v in options.items() if k in paths}
    for option in model_options(plugins.parameters_of(made_by)):
        if isinstance(model_id := options.get(option), str):
            placed[option] = placed_model(model_id, folder, named)
    return {**options, **placed}


def inner_of(
    table: Mapping[str, str], made_by: Callable[..., Any], options: Mapping[str, Any]
) -> str | None:
    """The name of the sink that one hands its further options to: it has a parameter ``to``, and
    takes any. ``None`` for all others, and where there is no such sink."""
    to = plugins.parameters_of(made_by).get("to")
    if to is None or not plugins.takes_any(made_by):
        return None
    name = options.get("to", to.default)
    return name if isinstance(name, str) and name in table else None


def model_options(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """Names of the options that name a model."""
    return [name for name, p in parameters.items() if ModelId in _types(p.annotation)]


def path_options(made_by: Callable[..., Any]) -> set[str]:
    """Names of the options that are paths."""
    parameters = plugins.parameters_of(made_by).values()
    return {p.name for p in parameters if any(map(_is_path, _types(p.annotation)))}


def _types(annotation: Any) -> Iterator[Any]:
    """Every type an annotation names, inside unions and lists, too."""
    yield annotation
    for inner in get_args(annotation):
        yield from _types(inner)


def _is_path(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, PurePath)


def _placed(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_placed(each, folder) for each in value]
    if isinstance(value, dict) and "path" in value:  # options of what has a path, like an outbox
        return {**value, "path": _placed(value["path"], folder)}
    if not isinstance(value, str) or not value or _PLACE.match(value):
        return value
    return _under(folder, value)


def _under(folder: Path, text: str) -> str:
    try:
        return str((folder / text).resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, a zero byte: who opens it tells
        return str(folder / text)
