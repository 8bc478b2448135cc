"""What a model says about a frame, in columns; the neighbour's dictionaries only when asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from streamkit.frame import Image, VideoFrame

if TYPE_CHECKING:
    import supervision

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
Index: TypeAlias = npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice | list[int]
Wire: TypeAlias = dict[str, Any]
"""A plain dict, JSON-ready, with the neighbour's keys."""


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

    @classmethod
    def empty(cls, names: Sequence[str], image_size: tuple[int, int]) -> Detections:
        """No objects, with arrays of the right shapes."""
        floats = np.empty((0,), np.float32)
        return cls(floats.reshape(0, 4), floats, np.empty((0,), np.int64), tuple(names), image_size)

    def __len__(self) -> int:
        return len(self.confidence)

    def __getitem__(self, which: Index) -> Detections:
        """The chosen objects, by mask, indices or slice."""
        tracks = None if self.tracker_id is None else self.tracker_id[which]
        return replace(
            self,
            xyxy=self.xyxy[which],
            confidence=self.confidence[which],
            class_id=self.class_id[which],
            tracker_id=tracks,
        )

    @property
    def labels(self) -> list[str]:
        """The class name of each object."""
        return [self.names[i] for i in self.class_id.tolist()]

    def dict(self) -> Wire:
        """The wire form: ``{"image": {width, height}, "predictions": [{x, y, ...}]}``."""
        width, height = self.image_size
        return {"image": {"width": width, "height": height}, "predictions": self._rows()}

    def _rows(self) -> list[Wire]:
        x1, y1, x2, y2 = self.xyxy.T.astype(np.float64) if len(self) else np.empty((4, 0))
        columns: Wire = {
            "x": ((x1 + x2) / 2).tolist(),
            "y": ((y1 + y2) / 2).tolist(),
            "width": (x2 - x1).tolist(),
            "height": (y2 - y1).tolist(),
            "confidence": self.confidence.tolist(),
            "class": self.labels,
            "class_id": self.class_id.tolist(),
            "detection_id": [random_uuid() for _ in range(len(self))],
        }
        if self.tracker_id is not None:
            columns["tracker_id"] = self.tracker_id.tolist()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_supervision(self) -> supervision.Detections:
        """The same objects as ``supervision.Detections``, every field kept."""
        import supervision

        return supervision.Detections(
            xyxy=self.xyxy,
            confidence=self.confidence,
            class_id=self.class_id.astype(int),
            tracker_id=None if self.tracker_id is None else self.tracker_id.astype(int),
            data={"class_name": np.array(self.labels, dtype=str)},
            metadata={"image_size": self.image_size},
        )


@dataclass(slots=True, eq=False)
class Result:
    """One frame with what was found in it, and the picture to show."""

    frame: VideoFrame
    prediction: Any
    """A ``Prediction``, or whatever the user's own function returned."""
    drawn: Image | None = None
    """The picture with what a stage drew on it, a private copy; ``None`` while nobody drew."""
    _wire: Any = field(default=None, repr=False)

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


def random_uuid() -> str:
    """A version 4 UUID as text, several times faster than ``str(uuid.uuid4())`` (RFC 9562)."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
