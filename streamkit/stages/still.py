"""Finds tracked objects that stay where they are: parked, left behind, fallen asleep."""

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
from streamkit.stages.places import Anchor, Points, anchors
from streamkit.stages.seen import Witness, ids, names_of, of_classes, tell, tracks


@dataclass(slots=True)
class _Stay:
    """Where an object stopped, since when (seconds), and the id of what was told of that."""

    place: Points | None = None
    since: float = 0.0
    last: float = 0.0
    id: str | None = None
    label: str = ""


class Still(Stage):
    """Tracks that have moved less than ``radius`` (in longer sides of their box) for ``after``
    seconds: ``still.start`` once, ``still.end`` when they move on or are gone."""

    manifest: ClassVar = Manifest(
        "Stationary objects",
        Needs(("detections",), tracks=True, stream=True),
        Gives(events=("still.start", "still.end"), measures=("count", "tracks")),
        stateful=True,
        examples=({"steps": ["track", {"still": {"after": 0.5, "radius": 0.5}}]},),
    )

    def __init__(
        self,
        *,
        name: str = "still",
        after: float = 10.0,
        radius: float = 0.15,
        anchor: Anchor = "center",
        classes: Sequence[str] = (),
        patience: float = 2.0,
    ) -> None:
        """``after``: seconds without moving. ``radius``: how far is not moving, in longer sides of
        the box. ``patience``: seconds a track may be away and still be there. Raises
        ``ConfigError``."""
        if after <= 0 or radius <= 0 or patience < 0:
            raise ConfigError("after and radius must be above 0, patience not below")
        self._name, self._anchor, self._classes = name, anchor, names_of(classes)
        self._after, self._radius = after, radius
        self._patience = patience
        self._time, self._stays = StreamTime(), Memory(_Stay, patience)

    def __call__(self, result: Result) -> Result:
        if not isinstance(result.prediction, Detections):
            return result
        at = self._time(result.frame)
        found = of_classes(tracks(result.prediction, self._name), self._classes)
        events = self._watch(found, at, result) if result.inferred else []
        told = [
            {"tracker_id": track, **_told(stay)} for track, stay in self._stays.items() if stay.id
        ]
        return tell(
            result, self._name, {"kind": "still", "count": len(told), "tracks": told}, events
        )

    def end(self, result: Result) -> Result:
        """Whoever stands still does so until the stream ends."""
        witness, events = Witness(result, self._name), list(result.events)
        for track, stay in self._stays.items():
            events += _ended(witness, track, stay)
        self._stays = Memory(_Stay, self._patience)
        result.events = tuple(events)
        return result

    def _watch(self, found: Detections, at: float, result: Result) -> list[Event]:
        witness, events = Witness(result, self._name), []
        for track, stay in self._stays.forget(at, ids(found)):
            events += _ended(witness, track, stay)
        places = anchors(found.xyxy, self._anchor)
        reach = self._radius * (found.xyxy[:, 2:] - found.xyxy[:, :2]).max(axis=1)
        for i, (track, label) in enumerate(zip(ids(found), found.labels, strict=True)):
            stay = self._stays.seen(track, at)
            if stay.place is None or np.hypot(*(places[i] - stay.place)) > reach[i]:
                events += _ended(witness, track, stay)
                stay.place, stay.since, stay.id = places[i], at, None
            stay.last, stay.label = at, label
            if stay.id is None and at - stay.since >= self._after:
                events.append(witness.event("still.start", track, _told(stay), phase="start"))
                stay.id = events[-1].id
        return events


def _ended(witness: Witness, track: int, stay: _Stay) -> list[Event]:
    if stay.id is None:
        return []
    return [witness.event("still.end", track, _told(stay), phase="end", id=stay.id)]


def _told(stay: _Stay) -> dict[str, object]:
    return {"class": stay.label, "seconds": round(stay.last - stay.since, 3)}
