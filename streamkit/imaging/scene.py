"""What there is to draw of one result: objects, traces, zones, lines, counts, time; values only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamkit.frame import VideoFrame
from streamkit.imaging.marks import Labels, Marks, marks_of
from streamkit.imaging.strokes import Points, whole
from streamkit.predictions import Classification, MultiLabelClassification, Result

_TOLD: Final = 3
"""Classes of a whole picture that are named at most."""
_USUAL: Final = Labels()


@dataclass(frozen=True, slots=True, eq=False)
class Zone:
    """A polygon and what is in it."""

    text: str
    outline: Points
    busy: bool


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line with what crossed it; ``in`` is to the left of who walks along it."""

    text: str
    ends: Points


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """All of it, in pixels of the picture."""

    marks: Marks | None = None
    carried: bool = False
    """The objects were moved along: no model has seen this picture."""
    traces: Sequence[tuple[int, Points]] = ()
    """Track and path, oldest point first."""
    zones: Sequence[Zone] = ()
    lines: Sequence[Line] = ()
    headings: Sequence[str] = ()
    """What is true of the whole picture."""
    panel: Sequence[str] = ()
    stamp: str = ""

    @property
    def empty(self) -> bool:
        """Nothing was found that can be drawn, not even that there is nothing."""
        return self.marks is None and not (self.traces or self.zones or self.lines or self.headings)


def scene_of(result: Result, labels: Labels = _USUAL) -> Scene:
    """What there is to draw; what cannot be understood is left out. Never raises."""
    found = result.prediction
    kinds = [(name, m) for name, m in result.measures.items() if isinstance(m, Mapping)]
    return Scene(
        marks_of(found, labels),
        not result.inferred,
        [trace for _, measure in kinds for trace in _traces(measure)],
        [zone for name, measure in kinds if (zone := _zone(name, measure)) is not None],
        [line for name, measure in kinds if (line := _line(name, measure)) is not None],
        _headings(found, labels),
        [*_counts(found), *(row for name, measure in kinds for row in _rows(name, measure))],
        _stamp(result.frame, result.source),
    )


def _traces(measure: Mapping[str, Any]) -> Iterator[tuple[int, Points]]:
    if measure.get("kind") != "trails":
        return
    for path in measure.get("paths", ()):
        points = whole(path.get("points"))
        if points is not None and len(points) > 1:
            yield int(path.get("tracker_id", 0)), points


def _zone(name: str, measure: Mapping[str, Any]) -> Zone | None:
    if measure.get("kind") != "zone":
        return None
    outline, count = whole(measure.get("points")), measure.get("count", 0)
    return None if outline is None else Zone(f"{name} {count}", outline, bool(count))


def _line(name: str, measure: Mapping[str, Any]) -> Line | None:
    if measure.get("kind") != "line":
        return None
    ends = whole(measure.get("points"))
    if ends is None or len(ends) != 2:
        return None
    return Line(f"{name} in {measure.get('in', 0)} out {measure.get('out', 0)}", ends)


def _headings(found: object, labels: Labels) -> Sequence[str]:
    """The likeliest classes of a picture that was classified."""
    if isinstance(found, Classification):
        pairs = list(zip(found.labels, found.confidence.tolist(), strict=True))
    elif isinstance(found, MultiLabelClassification):
        scores = found.scores[found.class_id].tolist()
        pairs = sorted(zip(found.labels, scores, strict=True), key=lambda pair: -pair[1])
    else:
        return ()
    return [labels.text(name, sure, None) or name for name, sure in pairs[:_TOLD]]


def _counts(found: object) -> Sequence[str]:
    """How many of each class."""
    names = getattr(found, "labels", None)
    if not isinstance(names, list) or not hasattr(found, "xyxy"):
        return ()
    return [f"{name} {count}" for name, count in Counter(names).most_common()]


def _rows(name: str, measure: Mapping[str, Any]) -> Iterator[str]:
    """What a stage measured, in its plain numbers."""
    if measure.get("kind") in ("trails", "heat", "speed"):
        return
    numbers = [
        f"{key} {value:g}"
        for key, value in measure.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if numbers:
        yield f"{name}: {', '.join(numbers[:4])}"


def _stamp(frame: VideoFrame, source: str) -> str:
    """The stream's name, and when the picture was taken, by this machine's time zone."""
    taken = frame.timestamp.astimezone()
    name = source or ("" if frame.source_id is None else f"stream {frame.source_id}")
    return f"{taken:%Y-%m-%d %H:%M:%S}.{taken.microsecond // 100_000} {taken:%z}  {name}".rstrip()
