"""What a graph says about itself: ``metadata_props``, as Ultralytics exports write them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from streamkit.errors import ModelArtefactError
from streamkit.models.session import Session

TASKS: Final[Mapping[str, str]] = {
    "detect": "object-detection",
    "segment": "instance-segmentation",
    "pose": "keypoint-detection",
    "classify": "classification",
}

_LONGEST: Final = 1 << 20
"""Characters of a value; the names of a thousand classes take a fiftieth."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """``None`` where the graph is silent."""

    names: tuple[str, ...] | None = None
    task: str | None = None
    size: tuple[int, int] | None = None
    """(width, height) it was exported for."""
    end_to_end: bool = False
    """The graph does the suppression itself."""
    keypoints: tuple[int, int] | None = None
    """How many an object has, and how many columns each: 2, or 3 with a confidence."""


def read(session: Session) -> Metadata:
    """Raises ``ModelArtefactError`` naming the file and the key that is broken."""
    task = session.metadata.get("task")
    size = _literal(session, "imgsz")
    if size is not None and not _is_size(size):
        raise _broken(session, "imgsz")
    return Metadata(
        names=_names(session),
        task=TASKS.get(task, task) if task else None,
        size=(size[1], size[0]) if size else None,
        end_to_end=session.metadata.get("end2end") == "True",
        keypoints=_keypoints(session),
    )


def _keypoints(session: Session) -> tuple[int, int] | None:
    """``[17, 3]``."""
    shape = _literal(session, "kpt_shape")
    if shape is None:
        return None
    if not _is_size(shape) or shape[1] not in (2, 3):
        raise _broken(session, "kpt_shape")
    return shape[0], shape[1]


def _names(session: Session) -> tuple[str, ...] | None:
    """``{0: 'person', 1: 'bicycle'}`` or ``['person', 'bicycle']``."""
    names = _literal(session, "names")
    if names is None:
        return None
    if isinstance(names, dict) and sorted(names, key=repr) == sorted(range(len(names)), key=repr):
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list | tuple) or not names:
        raise _broken(session, "names")
    if not all(isinstance(name, str) and name.isprintable() for name in names):
        raise _broken(session, "names")
    return tuple(names)


def _is_size(value: Any) -> bool:
    pair = isinstance(value, list | tuple) and len(value) == 2
    return pair and all(isinstance(side, int) and 1 <= side <= 16384 for side in value)


def _literal(session: Session, key: str) -> Any:
    """The value under ``key``, a Python literal; ``None`` where there is no such key."""
    text = session.metadata.get(key)
    if text is None:
        return None
    try:
        return ast.literal_eval(text[:_LONGEST])
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise _broken(session, key) from error


def _broken(session: Session, key: str) -> ModelArtefactError:
    value = session.metadata[key][:80]
    return ModelArtefactError(f"{session.weights}: metadata {key!r} makes no sense: {value!r}")
