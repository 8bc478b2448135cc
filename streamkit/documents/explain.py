"""What is wrong with the shape of a document, in words; and the part of it that is right."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from streamkit import plugins
from streamkit.documents.places import Path, Places, Problem, shown

Spec = TypeVar("Spec", bound=BaseModel)
_STEP = "a name, or one name with its options, like {video: {path: out.mp4}}"


def explained(error: ValidationError, values: Any, places: Places) -> list[Problem]:
    """A problem for each error of a validation."""
    found: dict[Path, Problem] = {}
    for each in error.errors():
        path = tuple(part for part in each["loc"] if part != "for_")
        told = each["type"] not in ("extra_forbidden", "missing")
        value = shown(path, _at(values, path), places) if told else ""
        says = _says(each["type"], each["msg"], path)
        found.setdefault(path, Problem(path, says, value))
    return list(found.values())


def _says(kind: str, message: str, path: Path) -> str:
    if kind == "extra_forbidden":
        known = _known(path[:-1])
        return f"unknown key{plugins.nearest(str(path[-1]), known)}; known: {', '.join(known)}"
    if kind == "missing":
        return "it has to be given"
    if kind in ("model_type", "dict_type") and path[-2:-1] in (("stages",), ("sinks",)):
        return f"give {_STEP}"
    if kind == "dict_type" and path[-1] == "options":
        return "give its options by name, like {path: out.mp4}"
    return message.removeprefix("Value error, ")


def _known(path: Path) -> tuple[str, ...]:
    """The keys that a mapping at ``path`` of a document takes."""
    from streamkit.spec import PipelineSpec

    kind: Any = PipelineSpec
    for part in path:
        if isinstance(part, int) or not _is_model(kind):
            continue
        field = kind.model_fields.get(part)
        kind = _model_in(field.annotation) if field is not None else kind
    return tuple(f.alias or name for name, f in kind.model_fields.items())


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _model_in(annotation: Any) -> Any:
    """The schema that an annotation holds somewhere."""
    if _is_model(annotation):
        return annotation
    inner = (_model_in(each) for each in get_args(annotation))
    return next((each for each in inner if each is not None), None)


def _at(values: Any, path: Path) -> Any:
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return None
    return values


def partly(kind: type[Spec], values: dict[str, Any], wrong: Sequence[Problem]) -> Spec | None:
    """The document without what is wrong in it, so that the rest of it can be looked at, too;
    ``None`` where too little is left."""
    rest = copy.deepcopy(values)
    for path in sorted((problem.path for problem in wrong), key=_last_first, reverse=True):
        _remove(rest, path)
    try:
        return kind.model_validate(rest)
    except ValidationError:
        return None


def _last_first(path: Path) -> list[str]:
    return [str(part) for part in path]


def _remove(values: Any, path: Path) -> None:
    """Take out what is wrong at ``path``: of a list an item, in whose place something stands that
    nobody looks at, so that the others keep theirs; else the key."""
    for depth, part in enumerate(path):
        inner = _at(values, path[:depth])
        if isinstance(part, int) and isinstance(inner, list) and part < len(inner):
            inner[part] = {"reference": ""} if path[depth - 1] == "sources" else {"name": ""}
            return
    for depth in range(len(path), 0, -1):
        inner = _at(values, path[: depth - 1])
        if isinstance(inner, dict) and path[depth - 1] in inner:
            del inner[path[depth - 1]]
            return
