"""Watches a zone: who is in it, who comes and goes, how long they stay, who stays too long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from streamkit.errors import ConfigError
from streamkit.events import Event, Phase
from streamkit.predictions import Detections, Result
from streamkit.stages.base import Gives, Manifest, Needs, Stage
from streamkit.stages.memory import Memory, StreamTime
from streamkit.stages.places import Anchor, Point, Points, Units, anchors, checked, inside, placed
from streamkit.stages.seen import Witness, ids, names_of, of_classes, tell, tracks


@dataclass(slots=True)
class _Visit:
    """One object in the zone, or about to be; seconds of the stream's time."""

    label: str = ""
    since: float = 0.0
    """When it was first seen inside."""
    last: float = 0.0
    """When it was last seen inside."""
    id: str | None = None
    """Of the events of this visit, once its entering was told."""
    loitered: bool = False

    @property
    def dwell(self) -> float:
        return round(self.last - self.since, 3)

    def event(self, witness: Witness, kind: str, track: int, phase: Phase) -> Event:
        """One of this visit."""
        return witness.event(kind, track, _told(self), phase=phase, id=self.id)


class Zone(Stage):
    """A polygon and the objects whose anchor is in it.

    Who is away or outside for less than ``patience`` seconds (hidden, a trembling box) has not
    left; who was inside for less than ``settle`` seconds has not entered. What a visit lasts is
    told from the first to the last moment it was seen. Without ``tracks`` objects are only
    counted, and no track stage is needed.
    """

    manifest: ClassVar = Manifest(
        "Zone",
        Needs(("detections",), tracks=True, stream=True),
        Gives(
            events=("zone.enter", "zone.loiter", "zone.leave"),
            measures=("points", "count", "classes", "entered", "left", "inside"),
        ),
        stateful=True,
        stateless_with={"tracks": False},
        examples=(
            {"steps": ["track", {"zone": {"polygon": [[80, 60], [560, 60], [560, 300], [80, 300]],
                                          "loiter": 2.5, "classes": ["person"]}}]},
            {"steps": ["track", {"zone": {"name": "door", "units": "fractions", "settle": 0.2,
                                          "polygon": [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]}}]},
            {"zone": {"polygon": [[0, 0], [640, 0], [640, 360]], "tracks": False}},
        ),
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - each is an option of a document
        self,
        *,
        polygon: Sequence[Point],
        name: str = "zone",
        anchor: Anchor = "bottom",
        classes: Sequence[str] = (),
        loiter: float | None = None,
        settle: float = 0.0,
        patience: float = 1.0,
        units: Units = "pixels",
        tracks: bool = True,
    ) -> None:
        """``polygon``: its corners. ``loiter``: seconds of stay after which ``zone.loiter`` is
        told, once a visit. ``settle``: seconds inside before somebody has entered. ``patience``:
        seconds away or outside before somebody has left. ``tracks``: whether to follow objects.
        Raises ``ConfigError``."""
        if (loiter is not None and loiter <= 0) or settle < 0 or patience < 0:
            raise ConfigError("loiter must be above 0, settle and patience must not be below 0")
        if loiter is not None and not tracks:
            raise ConfigError("loiter needs tracks")
        self._polygon = checked(polygon, units, 3, "polygon")
        self._units, self._anchor, self._tracks = units, anchor, tracks
        self._name, self._classes = name, names_of(classes)
        self._loiter, self._settle = loiter, settle
        self._time = StreamTime()
        self._patience = patience
        self._visits = Memory(_Visit, patience)
        self._entered = self._left = 0

    def __call__(self, result: Result) -> Result:
        if not isinstance(result.prediction, Detections):
            return result
        found, at = result.prediction, self._time(result.frame)
        polygon = placed(self._polygon, self._units, found.image_size)
        found = of_classes(tracks(found, self._name) if self._tracks else found, self._classes)
        present = found[inside(anchors(found.xyxy, self._anchor), polygon)]
        if not self._tracks:
            return tell(result, self._name, self._measure(polygon, Counter(present.labels)))
        events = self._watch(present, at, result) if result.inferred else []
        return tell(result, self._name, self._measured(polygon), events)

    def end(self, result: Result) -> Result:
        """Everybody leaves with the stream."""
        witness, events = Witness(result, self._name), list(result.events)
        for track, visit in self._visits.items():
            events += self._leaves(witness, track, visit)
        self._visits = Memory(_Visit, self._patience)
        result.events = tuple(events)
        return result

    def _watch(self, present: Detections, at: float, result: Result) -> list[Event]:
        witness, events = Witness(result, self._name), []
        for track, visit in self._visits.forget(at, ids(present)):
            events += self._leaves(witness, track, visit)
        for track, label in zip(ids(present), present.labels, strict=True):
            visit = self._visits.seen(track, at)
            if not visit.label:
                visit.since = at
            visit.label, visit.last = label, at
            events += self._stays(witness, track, visit)
        return events

    def _stays(self, witness: Witness, track: int, visit: _Visit) -> list[Event]:
        events = []
        if visit.id is None and visit.dwell >= self._settle:
            self._entered += 1
            entered = witness.event("zone.enter", track, {"class": visit.label}, phase="start")
            visit.id = entered.id
            events.append(entered)
        long = self._loiter is not None and visit.dwell >= self._loiter
        if long and visit.id is not None and not visit.loitered:
            visit.loitered = True
            events.append(visit.event(witness, "zone.loiter", track, "update"))
        return events

    def _leaves(self, witness: Witness, track: int, visit: _Visit) -> list[Event]:
        if visit.id is None:
            return []
        self._left += 1
        return [visit.event(witness, "zone.leave", track, "end")]

    def _measured(self, polygon: Points) -> dict[str, object]:
        visits = [(track, visit) for track, visit in self._visits.items() if visit.id]
        inside = [{"tracker_id": track, **_told(visit)} for track, visit in visits]
        counts = Counter(visit.label for _, visit in visits)
        more = {"entered": self._entered, "left": self._left, "inside": inside}
        return self._measure(polygon, counts) | more

    def _measure(self, polygon: Points, counts: Counter[str]) -> dict[str, object]:
        return {
            "kind": "zone",
            "points": polygon.tolist(),
            "count": counts.total(),
            "classes": dict(counts),
        }


def _told(visit: _Visit) -> dict[str, object]:
    return {"class": visit.label, "dwell": visit.dwell}
