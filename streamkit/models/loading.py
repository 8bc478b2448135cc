"""From a package to a model: open its graph, find out what it is, hand it to its family."""

from __future__ import annotations

from streamkit.errors import ConfigError
from streamkit.models.base import Model
from streamkit.models.families.stub import StubModel
from streamkit.models.metadata import read
from streamkit.models.preprocess import Switches
from streamkit.models.recognition import recognise
from streamkit.models.registry import STUB, architecture_of, find, task_of
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
    kind = package.kind
    if kind is not None and kind.model_type == STUB:
        return StubModel(package, kind.project_task_type)
    task = kind.project_task_type if kind else None
    if architecture is None and kind is not None:
        architecture = architecture_of(kind.project_task_type, kind.model_type)
    session = Session(package.weights, execution)
    if architecture is None:
        architecture, task = recognise(session)
    family = find(architecture, task or _task(architecture, session))
    return family(package, session, off=off, max_batch=max_batch)


def _task(architecture: str, session: Session) -> str:
    """What the graph says it does, or the only thing the architecture can do."""
    if ":" in architecture:
        return ""
    told = read(session).task or task_of(architecture)
    if told is None and any(len(shape) == 4 for shape in session.output_shapes):  # masks, points
        raise ConfigError(
            f"{session.weights} does not say what it does: write -seg, -pose or -cls "
            f"after architecture={architecture!r}"
        )
    return told or "object-detection"
