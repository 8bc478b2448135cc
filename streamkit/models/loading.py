"""From a package to a model: open its graph, find out what it is, hand it to its family."""

from __future__ import annotations

from streamkit.errors import ModelArtefactError
from streamkit.models.base import Model
from streamkit.models.metadata import Metadata, read
from streamkit.models.preprocess import Switches
from streamkit.models.registry import architecture_of, find, plain
from streamkit.models.session import Execution, Session
from streamkit.models.store.package import Package


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
    task = package.kind.project_task_type if package.kind else None
    if architecture is None and package.kind is not None:
        architecture = architecture_of(package.kind.project_task_type, package.kind.model_type)
    session = Session(package.weights, execution)
    if architecture is None:
        architecture, task = recognise(session)
    task = task or read(session).task or "object-detection"
    family = find(plain(architecture), task)
    return family(package, session, off=off, max_batch=max_batch)


def recognise(session: Session) -> tuple[str, str]:
    """(architecture, task) of a graph without a ``model_type.json``, by the shape of its head."""
    metadata = read(session)
    shapes = session.output_shapes
    shape = shapes[0] if len(shapes) == 1 else ()
    detects = metadata.task in (None, "object-detection") and not metadata.end_to_end
    if detects and len(shape) == 3 and _has_columns(shape[1], shape[2], metadata):
        return "yolov8", "object-detection"
    raise ModelArtefactError(
        f"{session.weights}: no known model has outputs {list(shapes)} (task {metadata.task}); a "
        "YOLO detector has one, batch x (4 + classes) x boxes; say which architecture= it is"
    )


def _has_columns(rows: int | None, boxes: int | None, metadata: Metadata) -> bool:
    """Each box is a column, as in v8 and later: as many rows as there must be, or few."""
    if rows is None or boxes is None:
        return True
    return rows == 4 + len(metadata.names) if metadata.names else 4 < rows < boxes
