"""The same objects in the outputs of every family, each in the family's own layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamkit.models.base import InferenceOptions, Model
from streamkit.models.loading import load
from streamkit.models.preprocess import Switches
from streamkit.models.store.package import read_folder
from streamkit.predictions import Detections
from tests.models.graphs import NAMES, STRETCH, Head, write_heads

SIDE = 64
"""Of the models' inputs, in pixels."""

CELL = 4
"""Of the prototypes, in pixels of the input."""

PICTURE = np.full((96, 128, 3), (10, 100, 200), np.uint8)

KEYPOINTS = [
    {"object_class_id": 0, "keypoints": {"0": "head", "1": "tail"}, "edges": []},
    {"object_class_id": 1, "keypoints": {"0": "hub"}, "edges": []},
    {"object_class_id": 2, "keypoints": {}, "edges": []},
]


@dataclass(frozen=True)
class Thing:
    """An object in input pixels; ``box`` is centre and size. Its mask is the left half of its box,
    its keypoints are at the centre (0.9) and at the left top corner (0.3)."""

    box: tuple[float, float, float, float]
    score: float
    class_id: int

    @property
    def corners(self) -> tuple[float, float, float, float]:
        x, y, w, h = self.box
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2

    @property
    def keypoints(self) -> list[float]:
        left, top, _, _ = self.corners
        return [self.box[0], self.box[1], 0.9, left, top, 0.3]

    @property
    def plane(self) -> npt.NDArray[np.float32]:
        """8 in the left half of the box, -8 elsewhere, as (cells, cells)."""
        left, top, _, bottom = (int(side) // CELL for side in self.corners)
        plane = np.full((SIDE // CELL, SIDE // CELL), -8, np.float32)
        plane[top:bottom, left : int(self.box[0]) // CELL] = 8
        return plane


THINGS = (
    Thing((20, 16, 16, 8), 0.9, 0),
    Thing((48, 16, 8, 16), 0.8, 1),
    Thing((32, 48, 16, 8), 0.7, 2),
)

Extras = Callable[[Sequence[Thing]], list[list[float]]]


def no_extras(things: Sequence[Thing]) -> list[list[float]]:
    return [[] for _ in things]


def coefficients(things: Sequence[Thing]) -> list[list[float]]:
    return np.eye(len(things)).tolist()


def points(things: Sequence[Thing]) -> list[list[float]]:
    return [thing.keypoints for thing in things]


def table(rows: Sequence[Sequence[float]]) -> Head:
    return np.array(rows, np.float32)


def scores(things: Sequence[Thing], other: float = 0.1) -> Head:
    answer = np.full((len(things), len(NAMES)), other, np.float32)
    for row, thing in zip(answer, things, strict=True):
        row[thing.class_id] = thing.score
    return answer


def planes(things: Sequence[Thing]) -> Head:
    return np.stack([thing.plane for thing in things])


def columns(things: Sequence[Thing], extras: Extras) -> Head:
    boxes = table([thing.box for thing in things])
    return np.hstack((boxes, scores(things), table(extras(things)))).T


def with_objectness(things: Sequence[Thing], extras: Extras) -> Head:
    boxes = table([(*thing.box, thing.score) for thing in things])
    return np.hstack((boxes, np.sqrt(scores(things)), table(extras(things))))


def end_to_end(things: Sequence[Thing], extras: Extras) -> Head:
    boxes = table([(*thing.corners, thing.score, thing.class_id) for thing in things])
    return np.hstack((boxes, table(extras(things))))


def nas(things: Sequence[Thing]) -> list[Head]:
    return [table([thing.corners for thing in things]), scores(things)]


def detr(things: Sequence[Thing]) -> list[Head]:
    """Columns of logits: the background, then the classes."""
    boxes = table([thing.box for thing in things]) / SIDE
    likely = np.hstack((np.full((len(things), 1), 0.97), scores(things, 0.001)))
    return [boxes, np.log(likely / (1 - likely)).astype(np.float32)]


def detr_points(things: Sequence[Thing]) -> Head:
    """(Q, 4 columns x 2, 4): without precision, so that the confidence stays what it is."""
    answer = np.zeros((len(things), 4, 2, 4), np.float32)
    for row, thing in zip(answer, things, strict=True):
        slots = np.array(thing.keypoints, np.float32).reshape(2, 3)
        row[thing.class_id + 1, :, :2] = slots[:, :2] / SIDE
        row[thing.class_id + 1, :, 2] = np.log(slots[:, 2] / (1 - slots[:, 2]))
    return answer.reshape(len(things), 8, 4)


def yolact(things: Sequence[Thing]) -> list[Head]:
    """Priors half as large as the objects, and a tenth of their own size too far left and high."""
    boxes = table([thing.box for thing in things]) / SIDE
    size = boxes[:, 2:] / 2
    priors = np.hstack((boxes[:, :2] - 0.1 * size, size))
    told = table([[1, 1, np.log(2) / 0.2, np.log(2) / 0.2]] * len(things))
    likely = np.hstack((np.full((len(things), 1), 0.95, np.float32), scores(things)))
    return [told, likely, table(coefficients(things)), priors, planes(things).transpose(1, 2, 0)]


@dataclass(frozen=True)
class Layout:
    """How one family says it."""

    model_type: str
    task: str
    heads: Callable[[Sequence[Thing]], list[Head]]
    common: tuple[int, ...] = ()
    """Outputs without a batch."""
    background: bool = False

    @property
    def masked(self) -> bool:
        return self.task == "instance-segmentation"

    @property
    def posed(self) -> bool:
        return self.task == "keypoint-detection"

    def __str__(self) -> str:
        return f"{self.model_type} {self.task}"


DETECT, SEGMENT, POSE = "object-detection", "instance-segmentation", "keypoint-detection"

LAYOUTS = (
    Layout("yolov5v6n", DETECT, lambda t: [with_objectness(t, no_extras)]),
    Layout("yolov8s", DETECT, lambda t: [columns(t, no_extras)]),
    Layout("yolov9", DETECT, lambda t: [columns(t, no_extras)]),
    Layout("yolov10b", DETECT, lambda t: [end_to_end(t, no_extras)]),
    Layout("yolov11x", DETECT, lambda t: [columns(t, no_extras)]),
    Layout("yolov12l", DETECT, lambda t: [columns(t, no_extras)]),
    Layout("yolo26m", DETECT, lambda t: [end_to_end(t, no_extras)]),
    Layout("yolo_nas_s", DETECT, nas),
    Layout("rfdetr-base", DETECT, detr, background=True),
    Layout("yolov5-seg", SEGMENT, lambda t: [with_objectness(t, coefficients), planes(t)]),
    Layout(
        "yolov7-seg",
        SEGMENT,
        lambda t: [with_objectness(t, coefficients), *[np.zeros((3, 8))] * 3, planes(t)],
    ),
    Layout("yolov8n-seg", SEGMENT, lambda t: [columns(t, coefficients), planes(t)]),
    Layout("yolov9c-seg", SEGMENT, lambda t: [columns(t, coefficients), planes(t)]),
    Layout("yolov12n-seg", SEGMENT, lambda t: [columns(t, coefficients), planes(t)]),
    Layout("yolov11n-seg", SEGMENT, lambda t: [columns(t, coefficients), planes(t)]),
    Layout("yolo26n-seg", SEGMENT, lambda t: [end_to_end(t, coefficients), planes(t)]),
    Layout("yolact", SEGMENT, yolact, common=(3,)),
    Layout("rfdetr-seg-nano", SEGMENT, lambda t: [*detr(t), planes(t)], background=True),
    Layout("yolov8n-pose", POSE, lambda t: [columns(t, points)]),
    Layout("yolov11l-pose", POSE, lambda t: [columns(t, points)]),
    Layout("yolov12m-pose", POSE, lambda t: [columns(t, points)]),
    Layout("yolo26s-pose", POSE, lambda t: [end_to_end(t, points)]),
    Layout("rfdetr-keypoint-preview", POSE, lambda t: [*detr(t), detr_points(t)], background=True),
)


def write_model(
    folder: Path,
    layout: Layout,
    things: Sequence[Thing] = THINGS,
    *,
    preprocessing: Mapping[str, Any] = STRETCH,
    names: Sequence[str] = NAMES,
    **graph: Any,
) -> Path:
    """A folder in the documented layout that finds ``things`` in every picture."""
    folder.mkdir(parents=True)
    write_heads(folder / "weights.onnx", *layout.heads(things), common=layout.common, **graph)
    names = ["background_class83422", *names] if layout.background else names
    (folder / "class_names.txt").write_text("\n".join(names))
    (folder / "environment.json").write_text(json.dumps({"PREPROCESSING": preprocessing}))
    kind = {"project_task_type": layout.task, "model_type": layout.model_type}
    (folder / "model_type.json").write_text(json.dumps(kind))
    if layout.posed:
        (folder / "keypoints_metadata.json").write_text(json.dumps(KEYPOINTS))
    return folder


def model_of(
    folder: Path, layout: Layout, *args: Any, off: Switches | None = None, **kwargs: Any
) -> Model:
    return load(read_folder(write_model(folder, layout, *args, **kwargs), "toy/1"), off=off)


def detect(model: Model, *pictures: Any, **options: Any) -> list[Detections]:
    """What it finds in each; in ``PICTURE`` where none is given."""
    tensor, geometries = model.prepare(pictures or [PICTURE])
    outputs = model.run(tensor)
    wanted = InferenceOptions(**options)
    found = [model.finish(outputs, i, g, wanted) for i, g in enumerate(geometries)]
    assert all(isinstance(one, Detections) for one in found)
    return found  # type: ignore[return-value]
