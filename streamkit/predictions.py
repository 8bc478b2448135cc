"""What a model says about a frame, in columns; the neighbour's dictionaries only when asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from streamkit.events import Event
from streamkit.frame import Image, VideoFrame
from streamkit.masks import Masks

if TYPE_CHECKING:
    import supervision

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
Index: TypeAlias = npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice | list[int]
Wire: TypeAlias = dict[str, Any]
"""A plain dict, JSON-ready, with the neighbour's keys."""
MaskFormat: TypeAlias = Literal["polygon", "rle"]
KeypointNames: TypeAlias = tuple[tuple[str, ...], ...]
"""For each class id the names of its keypoints, by keypoint id."""
Attributes: TypeAlias = Mapping[str, Any]
"""What else is known of one object, JSON-ready, by the name of the stage that found out:
``{"make": {"class": "tractor", "class_id": 4, "confidence": 0.93}}``. Never changed in place."""


@runtime_checkable
class Prediction(Protocol):
    """What every model answers with: a value that can be written down."""

    def dict(self) -> Wire:
        """The wire form."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Objects in one picture, as parallel arrays in pixels of that picture (N objects)."""

    xyxy: Floats
    """(N, 4) ``float32``: left, top, right, bottom; not rounded."""
    confidence: Floats
    """(N,) ``float32``, 0..1."""
    class_id: Ints
    """(N,) ``int64``: index into ``names``."""
    names: tuple[str, ...]
    """The model's class names, by reference."""
    image_size: tuple[int, int]
    """(width, height) of the picture."""
    tracker_id: Ints | None = None
    """(N,) ``int64``, once a tracker has seen them."""
    masks: Masks | None = None
    """The exact shape of each, from models that segment."""
    keypoints: Floats | None = None
    """(N, K, 3) ``float32``: x, y in pixels of the picture, confidence; all 0 where there is none
    (its confidence was too low, or the class has fewer than K)."""
    keypoint_names: KeypointNames = ()
    """By reference, like ``names``."""
    model_id: str | None = None
    """Which model said so."""
    attributes: tuple[Attributes, ...] | None = None
    """Of each object, once a stage has found out something; ``{}`` where there is nothing."""
    parent: Ints | None = None
    """(N,) ``int64``: index of the object in which another model found this one, -1 where it stands
    for itself."""

    @classmethod
    def empty(cls, names: Sequence[str], image_size: tuple[int, int]) -> Detections:
        """No objects, with arrays of the right shapes."""
        floats = np.empty((0,), np.float32)
        return cls(floats.reshape(0, 4), floats, np.empty((0,), np.int64), tuple(names), image_size)

    def __len__(self) -> int:
        return len(self.confidence)

    def __getitem__(self, which: Index) -> Detections:
        """The chosen objects, by mask, indices or slice."""
        optional: dict[str, Any] = {
            "tracker_id": self.tracker_id,
            "masks": self.masks,
            "keypoints": self.keypoints,
        }
        chosen = {name: column[which] for name, column in optional.items() if column is not None}
        if self.attributes is not None or self.parent is not None:
            chosen |= self._relations(np.arange(len(self))[which])
        return replace(
            self,
            xyxy=self.xyxy[which],
            confidence=self.confidence[which],
            class_id=self.class_id[which],
            **chosen,
        )

    def _relations(self, kept: Ints) -> dict[str, Any]:
        """Attributes and parents of the ``kept`` objects, which are counted anew."""
        chosen: dict[str, Any] = {}
        if self.attributes is not None:
            chosen["attributes"] = tuple(self.attributes[i] for i in kept.tolist())
        if self.parent is not None:
            number = np.full(len(self) + 1, -1, np.int64)  # its last is that of -1
            number[kept] = np.arange(len(kept))
            chosen["parent"] = number[self.parent[kept]]
        return chosen

    @property
    def labels(self) -> list[str]:
        """The class name of each object."""
        return [self.names[i] for i in self.class_id.tolist()]

    def dict(self, masks: MaskFormat = "polygon") -> Wire:
        """The wire form: ``{"image": {width, height}, "predictions": [{x, y, ...}]}``.

        What was found within another object has its ``detection_id`` as ``parent_id``.
        ``masks``: as ``points``, the largest outline of each object, or as COCO's ``rle``.
        """
        return {"image": _size(self.image_size), "predictions": self._rows(masks)}

    def _rows(self, masks: MaskFormat) -> list[Wire]:
        x1, y1, x2, y2 = self.xyxy.T.astype(np.float64) if len(self) else np.empty((4, 0))
        columns: Wire = {
            "x": ((x1 + x2) / 2).tolist(),
            "y": ((y1 + y2) / 2).tolist(),
            "width": (x2 - x1).tolist(),
            "height": (y2 - y1).tolist(),
            "confidence": self.confidence.tolist(),
            "class": self.labels,
        }
        if self.masks is not None:
            columns |= {"points": _points(self.masks)} if masks == "polygon" else {}
        columns["class_id"] = self.class_id.tolist()
        columns["detection_id"] = random_uuids(len(self))
        if self.masks is not None:
            columns |= {"rle": self.masks.rle()} if masks == "rle" else {}
            columns["mask_format"] = [masks] * len(self)
        if self.keypoints is not None:
            columns["keypoints"] = self._keypoint_rows(self.keypoints)
        if self.tracker_id is not None:
            columns["tracker_id"] = self.tracker_id.tolist()
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        self._relate(rows)
        return rows

    def _relate(self, rows: list[Wire]) -> None:
        """``parent_id``, the neighbour's key, and ``attributes``, ours: where there are some."""
        for row, parent in zip(rows, () if self.parent is None else self.parent, strict=False):
            if parent >= 0:
                row["parent_id"] = rows[parent]["detection_id"]
        for row, attributes in zip(rows, self.attributes or (), strict=False):
            if attributes:
                row["attributes"] = dict(attributes)

    def _keypoint_rows(self, keypoints: Floats) -> list[list[Wire]]:
        """Those that are there, of each object."""
        names = [self.keypoint_names[i] for i in self.class_id.tolist()]
        return [
            [
                {"x": x, "y": y, "confidence": c, "class_id": i, "class": name}
                for i, (name, (x, y, c)) in enumerate(zip(named, points, strict=False))
                if c > 0
            ]
            for named, points in zip(names, keypoints.tolist(), strict=True)
        ]

    def to_supervision(self) -> supervision.Detections:
        """The same objects as ``supervision.Detections``, every field kept: what has no place of
        its own there as ``data["keypoints"]``, ``data["attributes"]``, ``data["parent"]``."""
        import supervision

        data: dict[str, Any] = {"class_name": np.array(self.labels, dtype=str)}
        if self.keypoints is not None:
            data["keypoints"] = self.keypoints
        if self.attributes is not None:
            data["attributes"] = np.array(self.attributes, dtype=object)
        if self.parent is not None:
            data["parent"] = self.parent
        return supervision.Detections(
            xyxy=self.xyxy,
            mask=None if self.masks is None else self.masks.dense(),
            confidence=self.confidence,
            class_id=self.class_id.astype(int),
            tracker_id=None if self.tracker_id is None else self.tracker_id.astype(int),
            data=data,
            metadata={"image_size": self.image_size},
        )


def _size(image_size: tuple[int, int]) -> Wire:
    return {"width": image_size[0], "height": image_size[1]}


def _points(masks: Masks) -> list[list[Wire]]:
    largest = [outlines[0].tolist() if outlines else [] for outlines in masks.polygons()]
    return [[{"x": float(x), "y": float(y)} for x, y in polygon] for polygon in largest]


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """What a picture as a whole shows: the M classes that are likely enough, best first."""

    confidence: Floats
    """(M,) ``float32``, falling; over all classes the sum is 1."""
    class_id: Ints
    """(M,) ``int64``: index into ``names``."""
    names: tuple[str, ...]
    """The model's class names, by reference."""
    image_size: tuple[int, int]
    """(width, height) of the picture."""
    model_id: str | None = None
    """Which model said so."""

    def __len__(self) -> int:
        return len(self.confidence)

    @property
    def labels(self) -> list[str]:
        """The class names, best first."""
        return [self.names[i] for i in self.class_id.tolist()]

    def dict(self) -> Wire:
        """The wire form: ``predictions`` as a list, ``top`` (``""`` if none) and its confidence."""
        labels, confidences = self.labels, self.confidence.tolist()
        rows = zip(labels, self.class_id.tolist(), confidences, strict=True)
        return {
            "image": _size(self.image_size),
            "predictions": [{"class": n, "class_id": i, "confidence": c} for n, i, c in rows],
            "top": labels[0] if labels else "",
            "confidence": confidences[0] if confidences else 0.0,
        }


@dataclass(frozen=True, slots=True, eq=False)
class MultiLabelClassification:
    """What a picture shows, where several classes may be true at once."""

    scores: Floats
    """(C,) ``float32``: of every class, in the order of ``names``."""
    class_id: Ints
    """(M,) ``int64``: the classes that are confident enough, in the order of ``names``."""
    names: tuple[str, ...]
    """The model's class names, by reference."""
    image_size: tuple[int, int]
    """(width, height) of the picture."""
    model_id: str | None = None
    """Which model said so."""

    def __len__(self) -> int:
        return len(self.class_id)

    @property
    def labels(self) -> list[str]:
        """The names of the classes that are confident enough."""
        return [self.names[i] for i in self.class_id.tolist()]

    def dict(self) -> Wire:
        """The wire form: ``predictions`` by name, for every class, and ``predicted_classes``."""
        rows = enumerate(zip(self.names, self.scores.tolist(), strict=True))
        return {
            "image": _size(self.image_size),
            "predictions": {name: {"confidence": c, "class_id": i} for i, (name, c) in rows},
            "predicted_classes": self.labels,
        }


@dataclass(frozen=True, slots=True)
class StubPrediction:
    """The answer of version 0 of a model, which has not been trained yet."""

    model_id: str
    task_type: str

    def dict(self) -> Wire:
        """The wire form; who measured it adds ``time``."""
        return {"is_stub": True, "model_id": self.model_id, "task_type": self.task_type}


def said_by(model_id: str, prediction: Prediction) -> Prediction:
    """``prediction``, just made, with the model it came from, where it has a place for that. Nobody
    else has it yet: a copy (``replace``) of 13 columns took 15 us a frame."""
    if isinstance(prediction, Detections | Classification | MultiLabelClassification):
        object.__setattr__(prediction, "model_id", model_id)
    return prediction


@dataclass(slots=True, eq=False)
class Result:
    """One frame with what was found in it, and the picture to show."""

    frame: VideoFrame
    prediction: Any
    """A ``Prediction``, or whatever the user's own function returned."""
    inferred: bool = True
    """A model (or the user's function) has seen this very frame; else the prediction is carried
    over from the frames before it, moved along."""
    drawn: Image | None = None
    """The picture with what a stage drew on it, a private copy; ``None`` while nobody drew."""
    events: tuple[Event, ...] = ()
    """What the stages saw happen at this frame, in order."""
    measures: Mapping[str, Any] = field(default_factory=dict)
    """What the stages counted and measured, by the stage's name; JSON-ready."""
    source: str = ""
    """Name of the stream: the option ``name``, else its reference without credentials."""
    closing: bool = False
    """The stream has ended and this is its last frame once more, for the events that end with it:
    nothing new was seen, and it counts in no account. See ``stages.base.Stage``."""
    left_out: tuple[Detections, ...] = ()
    """Objects that were found, but are not in ``prediction``, for they have no track (yet): who
    may miss nobody, as ``privacy``, counts them, too."""
    _wire: Any = field(default=None, repr=False)

    @property
    def model(self) -> str | None:
        """Id of the model whose answer ``prediction`` is, or was carried over from; ``None`` for
        what a function of the user's returned."""
        model_id = getattr(self.prediction, "model_id", None)
        return model_id if isinstance(model_id, str) else None

    @property
    def image(self) -> Image:
        """The picture to show: H x W x 3 ``uint8`` BGR."""
        return self.frame.image if self.drawn is None else self.drawn

    @property
    def age(self) -> float:
        """Seconds since the frame arrived in this process."""
        return self.frame.age

    @property
    def wire(self) -> Any:
        """The prediction as a plain dict, built once and only because somebody asked."""
        if self._wire is None:
            prediction = self.prediction
            self._wire = prediction.dict() if isinstance(prediction, Prediction) else prediction
        return self._wire


def random_uuids(count: int) -> list[str]:
    """Version 4 UUIDs as text (RFC 9562), many times faster than ``str(uuid.uuid4())`` each."""
    digits = os.urandom(16 * count).hex()
    each = (digits[i : i + 32] for i in range(0, 32 * count, 32))
    return [f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:]}" for h in each]


_VARIANT: Final = dict(zip("0123456789abcdef", 4 * "89ab", strict=True))
"""A random digit with its upper two bits made 10."""
