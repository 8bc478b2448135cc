"""Counts who crosses a line, each way and by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from streamkit.errors import ConfigError
from streamkit.events import Event
from streamkit.predictions import Detections, Result
from streamkit.stages.base import Gives, Manifest, Needs, Stage
from streamkit.stages.memory import Memory, StreamTime
from streamkit.stages.places import (
    Anchor,
    Point,
    Points,
    Units,
    anchors,
    beside,
    checked,
    meets,
    placed,
)
from streamkit.stages.seen import Witness, ids, names_of, of_classes, tell, tracks


@dataclass(slots=True)
class _Track:
    """Where one object was with respect to the line."""

    sure: int = 0
    """The side on which it was last seen well away from the line: 1 right, -1 left, 0 never."""
    side: int = 0
    """The side on which it was last seen at all."""
    point: Points | None = None
    """Where that was."""
    between: bool = False
    """Its last change of sides went between the line's ends."""


class Line(Stage):
    """Crossings of a line by tracked objects.

    A crossing counts once the object is clear of the line on the other side, and if the step that
    changed sides went between the line's ends: however fast the object is, however many frames
    were dropped, and only once where it stops on the line and its box trembles. supervision's
    line forgets who is not beside the segment in the very frame after, and counts trembling
    unless told to wait for a number of frames.
    """

    manifest: ClassVar = Manifest(
        "Line crossing",
        Needs(("detections",), tracks=True, stream=True),
        Gives(events=("line.in", "line.out"), measures=("points", "in", "out", "classes")),
        stateful=True,
        examples=(
            {"steps": ["track", {"line": {"start": [320, 0], "end": [320, 360]}}]},
            {"steps": ["track", {"line": {"name": "gate", "start": [0, 0.5], "end": [1, 0.5],
                                          "units": "fractions", "classes": ["car"]}}]},
        ),
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - each is an option of a document
        self,
        *,
        start: Point,
        end: Point,
        name: str = "line",
        anchor: Anchor = "bottom",
        classes: Sequence[str] = (),
        margin: float = 0.1,
        units: Units = "pixels",
        keep: float = 60.0,
    ) -> None:
        """``start``, ``end``: its ends. ``in`` is from the right-hand to the left-hand side of
        somebody who walks from ``start`` to ``end``, as seen in the picture (as in supervision);
        ``out`` the other way. ``margin``: how far from the line an object is clear of it, in
        shorter sides of its box. ``keep``: seconds after which a track that is away is forgotten.
        Raises ``ConfigError``."""
        ends = checked((start, end), units, 2, "line")
        if ends[0] == ends[1]:
            raise ConfigError("start and end of a line must differ")
        if margin < 0 or keep <= 0:
            raise ConfigError("margin must not be below 0, keep must be above 0")
        self._ends, self._units, self._anchor = ends, units, anchor
        self._name, self._classes, self._margin = name, names_of(classes), margin
        self._time = StreamTime()
        self._memory = Memory(_Track, keep)
        self._counts: dict[str, dict[str, int]] = {}

    def __call__(self, result: Result) -> Result:
        if not isinstance(result.prediction, Detections):
            return result
        ends = placed(self._ends, self._units, result.prediction.image_size)
        at = self._time(result.frame)
        found = of_classes(tracks(result.prediction, self._name), self._classes)
        events = self._watch(found, ends, at, result) if result.inferred else []
        return tell(result, self._name, self._measure(ends), events)

    def _watch(self, found: Detections, ends: Points, at: float, result: Result) -> list[Event]:
        points = anchors(found.xyxy, self._anchor)
        away = beside(points, *ends)
        clear = self._margin * (found.xyxy[:, 2:] - found.xyxy[:, :2]).min(axis=1)
        witness, events = Witness(result, self._name), []
        for i, (track, label) in enumerate(zip(ids(found), found.labels, strict=True)):
            state = self._memory.seen(track, at)
            _step(state, points[i], float(away[i]), ends)
            if state.side and abs(away[i]) >= clear[i] and (way := _settle(state)):
                self._count(label, way)
                events.append(witness.event(f"line.{way}", track, {"class": label}))
        self._memory.forget(at)
        return events

    def _count(self, label: str, way: str) -> None:
        self._counts.setdefault(label, {"in": 0, "out": 0})[way] += 1

    def _measure(self, ends: Points) -> dict[str, object]:
        return {
            "kind": "line",
            "points": ends.tolist(),
            "in": sum(count["in"] for count in self._counts.values()),
            "out": sum(count["out"] for count in self._counts.values()),
            "classes": {label: dict(count) for label, count in self._counts.items()},
        }


def _step(state: _Track, point: Points, away: float, ends: Points) -> None:
    """The object is now at ``point``; on the line itself it has not changed sides yet."""
    side = int(np.sign(away))
    if side == 0:
        return
    if state.point is not None and side != state.side:
        state.between = meets(state.point, point, *ends)
    state.side, state.point = side, point


def _settle(state: _Track) -> str:
    """The object is clear of the line: which way it crossed since it last was, if it did."""
    crossed = state.sure == -state.side and state.between
    state.sure = state.side
    return ("out" if state.side > 0 else "in") if crossed else ""
