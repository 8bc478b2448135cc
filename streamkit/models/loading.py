"""From a package to a model: open its graph, find out what it is, hand it to its family."""

from __future__ import annotations

from typing import Final

from streamkit.errors import ConfigError
from streamkit.heap import give_back
from streamkit.models.base import Model
from streamkit.models.families.stub import StubModel
from streamkit.models.metadata import read
from streamkit.models.preprocess import Switches
from streamkit.models.recognition import is_dense, recognise
from streamkit.models.registry import (
    KEYPOINTS,
    SEGMENTATION,
    STUB,
    architecture_of,
    find,
    plain,
    plain_task,
    suffixes,
    task_of,
)
from streamkit.models.session import Execution, Session
from streamkit.models.store.package import Package

_EITHER: Final = ("yolov10", "yolo26")
"""Architectures whose graphs may suppress doubles, or leave it to us."""


def load(
    package: Package,
    execution: Execution | None = None,
    *,
    off: Switches | None = None,
    max_batch: int | None = None,
    architecture: str | None = None,
) -> Model:
    """The model. ``architecture``: of the registry, or ``"my_module:MyClass"``; else found out.

    Raises ``ModelArtefactError`` for bad files, ``ConfigError`` for a bad ``architecture``.
    """
    kind = package.kind
    if kind is not None and kind.model_type == STUB:
        return StubModel(package, kind.project_task_type)
    task = kind.project_task_type if kind else None
    if architecture is None and kind is not None:
        architecture = architecture_of(kind.project_task_type, kind.model_type)
    session = Session(package.weights, execution)
    give_back()  # what reading the file took
    if architecture is None:
        architecture, task = recognise(session)
    task = plain_task(task or _task(architecture, session))
    if plain(architecture)[0] in _EITHER and is_dense(session, _extras(task, session, package)):
        architecture = "yolov8"
    family = find(architecture, task)
    model = family(package, session, off=off, max_batch=max_batch)
    setattr(model, "task", task)  # noqa: B010 - a stranger's class need not know of it
    return model


def _extras(task: str, session: Session, package: Package) -> int | None:
    """Columns of an object beyond box, confidence and class."""
    shapes = session.output_shapes
    if task == SEGMENTATION:
        return shapes[1][1] if len(shapes) > 1 and len(shapes[1]) > 1 else None
    if task == KEYPOINTS:
        told = read(session).keypoints or (_most_keypoints(package), 3)
        return told[0] * told[1]
    return 0


def _most_keypoints(package: Package) -> int:
    return max(map(len, (package.keypoints or {}).values()), default=0)


def _task(architecture: str, session: Session) -> str:
    """What the graph says it does, or the only thing the architecture can do."""
    if ":" in architecture:
        return ""
    told = read(session).task or task_of(architecture)
    if told is None and any(len(shape) == 4 for shape in session.output_shapes):  # masks, points
        raise ConfigError(
            f"{session.weights} does not say what it does: write {suffixes(architecture)} "
            f"after architecture={architecture!r}"
        )
    return told or "object-detection"
