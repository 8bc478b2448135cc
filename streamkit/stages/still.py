"""Finds tracked objects that stay where they are: parked, left behind, fallen asleep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamkit.errors import ConfigError
from streamkit.events import Event
from streamkit.predictions import Detections, Result
from streamkit.stages.base import Stage
from streamkit.stages.memory import Memory, StreamTime
from streamkit.stages.places import Anchor, Points, anchors
from streamkit.stages.seen import Witness, ids, names_of, of_classes, tell, tracks


@dataclass(slots=True)
class _Stay:
    """Where an object stopped, since when (seconds), and whether it was told."""

    place: Points | None = None
    since: float = 0.0
    last: float = 0.0
    told: bool = False
    label: str = ""


class Still(Stage):
    """Tracks that have moved less than ``radius`` (in longer sides of their box) for ``after``
    seconds: ``still.start`` once, ``still.end`` when they move on or are gone."""

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
        """``patience``: seconds a track may be away and still be there. Raises ``ConfigError``."""
        if after <= 0 or radius <= 0 or patience < 0:
            raise ConfigError("after and radius must be above 0, patience not below")
        self._name, self._anchor, self._classes = name, anchor, names_of(classes)
        self._after, self._radius = after, radius
        self._time, self._stays = StreamTime(), Memory(_Stay, patience)

    def __call__(self, result: Result) -> Result:
        if not isinstance(result.prediction, Detections):
            return result
        at = self._time(result.frame)
        found = of_classes(tracks(result.prediction, self._name), self._classes)
        events = self._watch(found, at, result) if result.inferred else []
        told = [
            {"tracker_id": track, **_told(stay)} for track, stay in self._stays.items() if stay.told
        ]
        return tell(
            result, self._name, {"kind": "still", "count": len(told), "tracks": told}, events
        )

    def _watch(self, found: Detections, at: float, result: Result) -> list[Event]:
        witness, events = Witness(result.frame, self._name), []
        for track, stay in self._stays.forget(at):
            events += _ended(witness, track, stay)
        places = anchors(found.xyxy, self._anchor)
        reach = self._radius * (found.xyxy[:, 2:] - found.xyxy[:, :2]).max(axis=1)
        for i, (track, label) in enumerate(zip(ids(found), found.labels, strict=True)):
            stay = self._stays.seen(track, at)
            if stay.place is None or np.hypot(*(places[i] - stay.place)) > reach[i]:
                events += _ended(witness, track, stay)
                stay.place, stay.since, stay.told = places[i], at, False
            stay.last, stay.label = at, label
            if not stay.told and at - stay.since >= self._after:
                stay.told = True
                events.append(witness.event("still.start", track, _told(stay)))
        return events


def _ended(witness: Witness, track: int, stay: _Stay) -> list[Event]:
    return [witness.event("still.end", track, _told(stay))] if stay.told else []


def _told(stay: _Stay) -> dict[str, object]:
    return {"class": stay.label, "seconds": round(stay.last - stay.since, 3)}
