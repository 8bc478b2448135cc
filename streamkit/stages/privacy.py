"""Covers what is private before any sink sees the picture; what cannot be covered is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, get_args

import numpy as np

from streamkit.errors import ConfigError, FrameWithheldError
from streamkit.frame import Image
from streamkit.imaging.covers import Covering, Region, cover
from streamkit.imaging.marks import Labels, marks_of
from streamkit.imaging.palette import bgr
from streamkit.predictions import Detections, Floats, Result
from streamkit.stages.base import Gives, Manifest, Needs, Stage
from streamkit.stages.hold import Hold
from streamkit.stages.memory import StreamTime
from streamkit.stages.places import Point, Units, checked
from streamkit.stages.regions import Part, around, boxed, parts, polygons, shaped
from streamkit.stages.seen import names_of, of_classes


class Privacy(Stage):
    """Objects of some classes, or parts of the picture, covered for good.

    Stages before this one see the original picture, for they need it; stages after it, sinks and
    callbacks get a frame that has another picture and no way back to the original. Objects are
    covered wherever they are told to be: also between inferences, and for ``hold`` seconds where
    they are not found any more. Where that cannot be done (no prediction yet, one without places,
    an error) the frame is dropped as ``REDACTED``. Objects that have no track (yet) are covered,
    too. What the model does not find is not, nor what ``select`` and ``filter`` take away before.
    """

    manifest: ClassVar = Manifest(
        title="Privacy",
        needs=Needs(predictions=("detections",), picture=True, stream=True),
        gives=Gives(picture=True),
        stateful=True,
        stateless_with={"hold": 0},
        examples=(
            {"privacy": {"classes": ["person"]}},
            {"privacy": {"how": "blur", "part": "head", "classes": ["person"], "hold": 2}},
            {"privacy": {"objects": False, "zones": [[[0, 0], [0.3, 0], [0.3, 1]]],
                         "units": "fractions"}},
        ),
    )  # fmt: skip
    redacts: ClassVar = True
    """Who keeps encoded pictures of the stream must ask for this: they cannot be covered."""

    def __init__(  # noqa: PLR0913 - each is an option of a document
        self,
        *,
        how: Covering = "pixelate",
        objects: bool = True,
        classes: Sequence[str] = (),
        part: Part = "box",
        margin: float = 0.1,
        hold: float = 1.0,
        zones: Sequence[Sequence[Point]] = (),
        keep: Sequence[Sequence[Point]] = (),
        units: Units = "pixels",
        color: str = "#121418",
    ) -> None:
        """``how``: in blocks of their mean colour, in at most three by three blurred colours, or
        filled. ``objects``: cover what the model finds. ``classes``: of the objects to cover, all
        where none is named. ``part``: their box, their shape where the model tells it (else the
        box), or the head at the upper end of a person's box. ``margin``: by which share of its
        longer side a part is covered beyond it, twice that between inferences. ``hold``: seconds
        for which a place stays covered after its object was lost. ``zones``: polygons that are
        always covered. ``keep``: polygons outside of which everything is. ``color``: what is filled
        with. Raises ``ConfigError``."""
        if how not in get_args(Covering) or part not in get_args(Part):
            raise ConfigError(f"how is one of {get_args(Covering)}, part one of {get_args(Part)}")
        if not 0 <= margin <= 2 or not 0 <= hold <= 600:
            raise ConfigError("margin is from 0 to 2, hold from 0 to 600 seconds")
        if not objects and not zones and not keep:
            raise ConfigError("privacy: without objects, give zones to cover, or those to keep")
        self._how, self._part, self._margin, self._color = how, part, margin, _color(color)
        self._objects, self._classes = objects, names_of(classes)
        self._zones = [checked(zone, units, 3, "zones") for zone in zones]
        self._keep = [checked(zone, units, 3, "keep") for zone in keep]
        self._units = units
        self._time, self._hold = StreamTime(), Hold(hold)
        self._fixed: list[Region] = []
        self._size = (0, 0)

    def __call__(self, result: Result) -> Result:
        try:
            return self._redacted(result)
        except (FrameWithheldError, ConfigError):
            raise
        except Exception as error:  # whatever it was: a picture that is not covered is not shown
            told = f"{type(error).__name__}: {error}"
            raise FrameWithheldError(f"the picture could not be covered: {told}") from error

    def _redacted(self, result: Result) -> Result:
        if any(event.evidence for event in result.events):
            raise ConfigError("'evidence' before 'privacy' keeps pictures of what is private")
        image = _pixels(result.frame.image)
        size = (image.shape[1], image.shape[0])
        if size != self._size:
            self._fixed = polygons(self._zones, self._keep, self._units, size)
            self._size = size
        regions = [*self._fixed, *(self._private(result, size) if self._objects else ())]
        drawn = None if result.drawn is None else self._covered(result.drawn, regions)
        if drawn is not None and drawn.shape != image.shape:
            raise FrameWithheldError("what was drawn has another size than its frame")
        frame = result.frame.showing(self._covered(image, regions))
        return replace(result, frame=frame, drawn=drawn)

    def _covered(self, image: Image, regions: Sequence[Region]) -> Image:
        """A new picture."""
        copy = _pixels(image).copy()
        for region in regions:
            cover(copy, region, self._how, self._color)
        return copy

    def _private(self, result: Result, size: tuple[int, int]) -> list[Region]:
        """Where the objects are, and where those were that are not found any more."""
        found = [self._found(each, size) for each in (result.prediction, *result.left_out)]
        boxes = [parts(each, self._part) for each in found]
        every = np.concatenate(boxes)
        if not np.isfinite(every).all():
            raise FrameWithheldError("an object is at no place: its box is not finite")
        lost = self._hold(every, self._time(result.frame))
        margin = self._margin * (1 if result.inferred else 2)
        regions = list(boxed(around(lost, margin), size))
        for each, places in zip(found, boxes, strict=True):
            regions += self._regions(each, places, margin, size)
        return regions

    def _regions(
        self, found: Detections, boxes: Floats, margin: float, size: tuple[int, int]
    ) -> Sequence[Region]:
        if self._part == "shape" and found.masks is not None:
            return shaped(found.masks, boxes, margin, size)
        return boxed(around(boxes, margin), size)

    def _found(self, prediction: object, size: tuple[int, int]) -> Detections:
        """The objects to cover; also out of the neighbour's dictionary."""
        if isinstance(prediction, Detections):
            if prediction.image_size != size:
                raise FrameWithheldError("the prediction is about a picture of another size")
            return of_classes(prediction, self._classes)
        marks = marks_of(prediction, Labels(confidence=False, tracks=False))
        if marks is None:
            told = type(prediction).__name__
            raise FrameWithheldError(f"a prediction of type {told} does not tell what to cover")
        _same_size(prediction, size)
        wanted = [not self._classes or label in self._classes for label in marks.labels]
        return _bare(marks.xyxy[np.array(wanted, np.bool_)], size)


def _same_size(prediction: object, size: tuple[int, int]) -> None:
    """Raises ``FrameWithheldError`` where a dictionary says that it is about a picture of another
    size."""
    about = prediction.get("image") if isinstance(prediction, dict) else None
    if isinstance(about, dict):
        told = about.get("width", size[0]), about.get("height", size[1])
        if told != size:
            raise FrameWithheldError("the prediction is about a picture of another size")


def _bare(boxes: Floats, size: tuple[int, int]) -> Detections:
    """Boxes of which nothing else is known."""
    count = len(boxes)
    zeros = np.zeros(count, np.int64)
    return Detections(boxes, np.ones(count, np.float32), zeros, ("",), size)


def _pixels(image: Image) -> Image:
    """The same, if it is a picture: H x W x 3 ``uint8``."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise FrameWithheldError("the frame has no picture")
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise FrameWithheldError(f"the frame has no picture, but an array of {image.shape}")
    return image


def _color(code: str) -> tuple[int, int, int]:
    try:
        return bgr(code)
    except ValueError as error:
        raise ConfigError(str(error)) from error
