"""What happens around a model's run, ours against the documented method of the field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from streamkit.bench import inputs, reference
from streamkit.bench.measure import Comparison, Work, compare
from streamkit.frame import Image, VideoFrame
from streamkit.predictions import Floats, Ints

if TYPE_CHECKING:
    from streamkit.masks import Masks
    from streamkit.models.geometry import Geometry
    from streamkit.models.preprocess import ResizeFormat

IOU: Final = 0.3
OBJECTS: Final = 50
WIDTH, HEIGHT = 1920, 1080
SQUARE: Final = (inputs.SIDE, inputs.SIDE)
_SEED: Final = 1
_BOXES: Final = 8400

Plain: TypeAlias = Callable[[Image, tuple[int, int]], Floats]

_WAYS: Final[tuple[tuple[ResizeFormat, Plain], ...]] = (
    ("Fit (grey edges) in", reference.letterboxed),
    ("Stretch to", reference.stretched),
)
_WHEN: Final = datetime(2026, 1, 1)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to be measured."""

    name: str
    plain: Work
    ours: Work
    target: float | None = None
    """How many times as fast it has to be; ``None``: nobody has said."""


def cases() -> Iterator[Case]:
    """All of them, over made-up inputs that are equal from run to run."""
    yield from _nms_cases()
    yield from _mask_cases()
    yield from _preparations()


def run(rounds: int, told: Callable[[Case, Comparison], None]) -> None:
    """Measure all cases; ``told`` hears of each as it is done."""
    for case in cases():
        told(case, compare(case.plain, case.ours, rounds))


def _preparations() -> Iterator[Case]:
    """Of a picture in BGR, and of a frame as the decoder leaves it, which both sides convert."""
    image, decoded = inputs.picture(_SEED, WIDTH, HEIGHT), inputs.decoded(_SEED, WIDTH, HEIGHT)
    for resize, plain in _WAYS:
        ours = partial(prepared, image, resize)
        yield Case(f"1080p BGR to 640, {resize}", partial(plain, image, SQUARE), ours, 5)
    for resize, plain in _WAYS:
        for name, planes in (("", False), (", from the planes", True)):
            work = partial(_converted, plain, decoded)
            ours = partial(_from_frame, decoded, resize, from_planes=planes)
            yield Case(f"1080p frame to 640, {resize}{name}", work, ours)


def _converted(plain: Plain, decoded: Any) -> Floats:
    return plain(decoded.to_ndarray(format="bgr24"), SQUARE)


def _from_frame(decoded: Any, resize: ResizeFormat, *, from_planes: bool) -> Floats:
    from streamkit.sources.decoding import DecodedPicture

    frame = VideoFrame(DecodedPicture(decoded), 1, _WHEN)
    return prepared(frame, resize, from_planes=from_planes)


def _nms_cases() -> Iterator[Case]:
    every, street = inputs.crowd(_SEED), inputs.head(_SEED)
    whole = Limits(_BOXES, _BOXES)
    asked = (
        ("NMS, 8400 x 80, every box a candidate, ours with its limits", every, 0.001, Limits(), 20),
        ("the same, ours without its limits", every, 0.001, whole, None),
        ("NMS, a street, confidence 0.001", street, 0.001, Limits(), None),
        ("NMS, a street, confidence 0.4", street, 0.4, Limits(), None),
    )
    for name, head, confidence, limits, target in asked:
        plain = partial(reference.detections, head, confidence, IOU)
        ours = partial(found, head, confidence, limits)
        yield Case(name, plain, ours, target)


def _mask_cases() -> Iterator[Case]:
    shapes = inputs.shapes(_SEED, OBJECTS)
    geometry = letterboxed()
    boxes = geometry.to_picture(shapes.boxes)
    ours = partial(masks, shapes, boxes, geometry)
    visible = np.ascontiguousarray(shapes.prototypes[:, 35:125])
    full = partial(reference.masks, shapes.coefficients, visible, boxes, (WIDTH, HEIGHT))
    yield Case(f"accurate masks, {OBJECTS} objects, 1080p", full, ours, 20)
    coarse = partial(reference.masks, shapes.coefficients, shapes.prototypes, shapes.boxes, SQUARE)
    yield Case("the same, the plain ones at 640 x 640 only", coarse, ours)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many candidates ours looks at, and how many objects it tells of; the plain method has no
    limit to the first."""

    candidates: int = 3000
    detections: int = 300


def found(
    head: Floats, confidence: float, limits: Limits | None = None
) -> tuple[Floats, Floats, Ints]:
    """Boxes, confidences and class ids in a YOLOv8 head, as the family finds them."""
    from streamkit.models.base import InferenceOptions
    from streamkit.models.boxes import candidates, corners, suppress

    limits = limits or Limits()
    options = InferenceOptions(
        confidence=confidence,
        iou_threshold=IOU,
        max_candidates=limits.candidates,
        max_detections=limits.detections,
    )
    likely = candidates(head[4:], options, None)
    boxes = corners(head[:4].take(likely.index, axis=1))
    kept = suppress(boxes, likely.class_id, options)
    return boxes[kept], likely.confidence[kept], likely.class_id[kept]


def letterboxed() -> Geometry:
    """Where a 1080p picture lies in an input of 640 x 640, in its own shape."""
    from streamkit.models.geometry import Geometry

    return Geometry((WIDTH, HEIGHT), (0, 0, WIDTH, HEIGHT), (0, 140, inputs.SIDE, 500))


def masks(shapes: inputs.Shapes, boxes: Floats, geometry: Geometry) -> Masks:
    """As the families of instance segmentation decode them; ``boxes`` in the picture."""
    from streamkit.models.base import InferenceOptions
    from streamkit.models.planes import Mixture, decode

    planes = Mixture(shapes.coefficients, shapes.prototypes)
    return decode(planes, boxes, geometry, SQUARE, InferenceOptions())


def prepared(
    picture: Image | VideoFrame, resize: ResizeFormat = "Stretch to", *, from_planes: bool = False
) -> Floats:
    """1 x 3 x 640 x 640, as a model prepares its input."""
    from streamkit.models.preprocess import Recipe

    tensor = np.empty((1, 3, *SQUARE), np.float32)
    Recipe(SQUARE, resize, from_planes=from_planes).write(picture, tensor[0])
    return tensor
