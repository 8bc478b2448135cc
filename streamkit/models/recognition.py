"""What an ``.onnx`` file without a ``model_type.json`` is: by what it says, and by its outputs."""

from __future__ import annotations

from typing import Final

from streamkit.errors import ModelArtefactError
from streamkit.models.metadata import Metadata, read
from streamkit.models.registry import CLASSIFICATION, DETECTION, KEYPOINTS, SEGMENTATION
from streamkit.models.session import Session, Shape

_ROW: Final = 6
"""Columns of an object in an end-to-end head: box, confidence, class."""


def recognise(session: Session) -> tuple[str, str]:
    """(architecture, task); of architectures with the same outputs, one.

    Raises ``ModelArtefactError`` where the outputs could be those of several, or of none.
    """
    metadata = read(session)
    shapes = session.output_shapes
    task = metadata.task or (DETECTION if len(shapes) == 1 else "")
    if task == CLASSIFICATION and [len(shape) for shape in shapes] == [2]:
        return "yolov8", task
    extras = _extras(task, shapes, metadata)
    head = shapes[0] if shapes and len(shapes[0]) == 3 and extras is not None else None
    architecture = _by_head(head, extras or 0, metadata, task) if head else None
    if architecture is None:
        raise ModelArtefactError(
            f"{session.weights}: no known model has outputs {list(shapes)} (task {metadata.task}); "
            "YOLO models are recognised by theirs; say which architecture= it is"
        )
    return architecture, task


def is_dense(session: Session, extras: int | None) -> bool:
    """Whether output 0 has a column for each box, doubles and all, as YOLOv8 has, and not a row for
    each object: both are exported of YOLOv10 and YOLO26, the former unless asked otherwise.

    ``extras``: columns of an object beyond the six that all have; ``None`` where nobody knows.
    """
    head = session.output_shapes[0] if session.output_shapes else ()
    if len(head) != 3 or read(session).end_to_end:
        return False
    _, rows, columns = head
    if columns is None or rows is None or (extras is not None and columns == _ROW + extras):
        return False
    return rows < columns


def _extras(task: str, shapes: tuple[Shape, ...], metadata: Metadata) -> int | None:
    """How many columns a head has beyond boxes and classes; ``None``: there can be no such head."""
    if task == DETECTION and len(shapes) == 1:
        return 0
    if task == SEGMENTATION and [len(shape) for shape in shapes] == [3, 4]:
        return shapes[1][1]
    if task == KEYPOINTS and len(shapes) == 1 and metadata.keypoints:
        return metadata.keypoints[0] * metadata.keypoints[1]
    return None


def _by_head(head: Shape, extras: int, metadata: Metadata, task: str) -> str | None:
    """The architecture of a head of three dimensions."""
    _, rows, columns = head
    if metadata.end_to_end or (columns == _ROW + extras and metadata.names is None):
        fits = columns in (None, _ROW + extras)
        return ("yolov10" if task == DETECTION else "yolo26") if fits else None
    classes = len(metadata.names) if metadata.names else None
    if _stands(rows, columns, 4 + extras, classes):
        return "yolov8"
    rows_fit = rows is None or columns is None or columns < rows
    fits = columns == 5 + extras + classes if classes else False
    return "yolov5" if rows_fit and fits and task != KEYPOINTS else None


def _stands(rows: int | None, columns: int | None, least: int, classes: int | None) -> bool:
    """Each box is a column, as in v8 and later: as many rows as there must be, or few."""
    if rows is None or columns is None:
        return rows is None
    return rows == least + classes if classes else least < rows < columns
