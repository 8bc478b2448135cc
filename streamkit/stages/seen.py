"""What analytic stages share: the tracks of a result, and how they tell what they saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamkit.errors import ConfigError, TrackingRequiredError
from streamkit.events import Event, Phase, new_id
from streamkit.predictions import Detections, Result


def tracks(found: Detections, stage: str) -> Detections:
    """The objects that have a track. Raises ``TrackingRequiredError`` if nobody tracked them."""
    if found.tracker_id is None:
        raise TrackingRequiredError(
            f"{stage!r} follows objects through time: put a 'track' stage before it"
        )
    known = found.tracker_id >= 0
    return found if known.all() else found[known]


def ids(found: Detections) -> list[int]:
    """The track of each object."""
    return [] if found.tracker_id is None else found.tracker_id.tolist()


def of_classes(found: Detections, classes: Sequence[str]) -> Detections:
    """The objects of these classes; all of them where none is named. A name that the model does
    not know is an error of the pipeline: raises ``ConfigError``."""
    if not classes:
        return found
    unknown = [name for name in classes if name not in found.names]
    if unknown:
        raise ConfigError(
            f"the model knows no class {', '.join(unknown)}; it knows {', '.join(found.names)}"
        )
    wanted = [found.names.index(name) for name in classes]
    return found[np.isin(found.class_id, wanted)]


def names_of(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names as given. Raises ``ConfigError`` for one name that should be a list."""
    if isinstance(classes, str):
        raise ConfigError(f"classes must be a list of names, like [{classes}]")
    return tuple(classes)


def tell(result: Result, name: str, measure: object, events: Iterable[Event] = ()) -> Result:
    """``result`` with what the stage ``name`` measured and saw; a second stage of one name is told
    apart by a number."""
    key, number = name, 1
    while key in result.measures:
        number += 1
        key = f"{name}-{number}"
    result.measures = {**result.measures, key: measure}
    result.events = (*result.events, *events)
    return result


@dataclass(frozen=True, slots=True)
class Witness:
    """Makes the events of one result at one place (a line, a zone, a rule)."""

    result: Result
    key: str

    def event(
        self,
        kind: str,
        track: int | None = None,
        data: Mapping[str, Any] | None = None,
        *,
        phase: Phase = "instant",
        id: str | None = None,
    ) -> Event:
        """Something that happened, told with this result's frame, source and model.

        What lasts begins with ``phase="start"``; its ``update`` and ``end`` are given the ``id`` of
        that event.
        """
        result, frame = self.result, self.result.frame
        return Event(
            kind,
            frame.source_id,
            self.key,
            frame.timestamp,
            frame.frame_id,
            track,
            dict(data or {}),
            id or new_id(),
            phase,
            source=result.source,
            model=result.model,
            clock=frame.clock.value,
            uncertainty=frame.uncertainty,
        )
