"""The library's trackers, driven by elapsed time: any rate, dropped frames, lives in seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from math import ceil
from statistics import median
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from streamkit.frame import Image
from streamkit.predictions import Detections, Floats, Ints
from streamkit.stages.places import Points

Algorithm: TypeAlias = Literal["bytetrack", "ocsort", "botsort", "sort"]

_UNCOUNTED: Final = frozenset({"ocsort"})
"""They do not count the detection a track began with among those that confirm it."""
_APART: Final = 1e5
"""Pixels between the places of two classes that must not mix."""
_USUAL: Final = 15
"""Steps over which the usual one is taken."""
_SAME: Final = 1e-3
"""Share by which steps of one length may differ: times are told in microseconds."""
_RECENT: Final = 0.5
"""Seconds over which the pace of an object is taken. Boxes tremble by some percent of their size,
which half a second of walking outweighs; in more than one people turn. From 0.5 to 1 is alike on
drawn streets and crowds."""


@dataclass(slots=True)
class _Clock:
    """What the motion of every track of one stream needs to know of time."""

    rate: float
    """Nominal frames per second."""
    steady: bool
    """Places in the picture mean the same from frame to frame: the camera does not move."""
    now: float = 0.0
    """Nominal frames."""


class Follower:
    """One of the library's trackers for one stream, told how much time has passed.

    At the nominal rate everything is what the library does by itself. A longer step, because the
    stream is slow or frames were dropped, carries objects on at the pace they had lately; tracks
    live and are confirmed after as many seconds as at the nominal rate.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        rate: float,
        lost_after: float,
        *,
        apart: bool = False,
        **more: Any,
    ) -> None:
        """``rate``: the nominal one, in frames per second. ``apart``: objects of different classes
        never share a track. ``more``: of the library's tracker."""
        self._apart = apart
        self._clock = _Clock(rate, steady=not more.get("enable_cmc", False))
        kind, motion = _library()[algorithm]
        motion = partial(motion, clock=self._clock)
        self._tracker = kind(frame_rate=rate, state_estimator_class=motion, **more)
        self._lost_after = lost_after
        self._counted = int(algorithm not in _UNCOUNTED)
        self._confirm = self._tracker.minimum_consecutive_frames
        self._steps: deque[float] = deque(maxlen=_USUAL)

    @property
    def alive(self) -> set[int]:
        """The tracks that were told and may go on."""
        return {one.tracker_id for one in self._tracker.tracks if one.tracker_id >= 0}

    def update(self, found: Detections, elapsed: float | None, image: Image | None) -> Ints:
        """The track of each object, from 0; -1 for none (yet). ``elapsed``: seconds since the
        update before; ``None`` at the first."""
        import supervision

        self._tell(elapsed)
        boxes = found.xyxy.astype(np.float64)
        if self._apart:  # where no box of another class can be
            boxes += _APART * found.class_id[:, None]
        known = supervision.Detections(
            xyxy=boxes,
            confidence=found.confidence,
            class_id=found.class_id.astype(int),
            data={"place": np.arange(len(found))},
        )
        told = self._tracker.update(
            known, frame=image, timestamp=self._clock.now / self._clock.rate
        )
        tracks = np.full(len(found), -1, np.int64)
        if len(told) and told.tracker_id is not None:
            tracks[np.asarray(told.data["place"])] = told.tracker_id
        return tracks

    def _tell(self, elapsed: float | None) -> None:
        """What the time that has passed means to the library, which counts frames: a life is so
        many whole steps without the object, and the next may still find it; a confirmation is as
        many steps as make the time, but one at least."""
        clock, tracker = self._clock, self._tracker
        step = 1.0 if elapsed is None else elapsed * clock.rate
        clock.now += step
        if elapsed is not None:
            self._steps.append(step)
        usual = median(self._steps) if self._steps else step
        unseen = ceil(self._lost_after * clock.rate / usual - 1e-6)
        tracker.maximum_time_without_update = (unseen + 1.5) * usual / clock.rate
        steps = self._confirm - self._counted
        told_after = min(steps, max(1, ceil(steps / max(usual, 1.0) - 1e-6)))
        tracker.minimum_consecutive_frames = self._counted + told_after


@cache
def _library() -> Mapping[Algorithm, tuple[Any, Any]]:
    """Each tracker with its own motion model, made to take steps of any length."""
    from trackers import BoTSORTTracker, ByteTrackTracker, OCSORTTracker, SORTTracker
    from trackers.utils.state_representations import (
        XCYCSRStateEstimator,
        XCYCWHStateEstimator,
        XYXYStateEstimator,
    )

    corners = _timed(XYXYStateEstimator, (0, 1, 0, 1))
    shape = _timed(XCYCSRStateEstimator, (0, 1, 2))
    size = _timed(XCYCWHStateEstimator, (0, 1, 2, 2))
    return {
        "bytetrack": (ByteTrackTracker, corners),
        "sort": (SORTTracker, corners),
        "ocsort": (OCSORTTracker, shape),
        "botsort": (BoTSORTTracker, size),
    }


def _timed(model: Any, axes: tuple[int, ...]) -> Any:
    """``model`` for steps of any length. ``axes``: how each position of its state moves when the
    object does: 0 across, 1 down, 2 not.

    What the library's noise stands for, boxes that tremble from picture to picture, is the same in
    pixels however long the step is: its filter takes every step as one, and only its velocities
    (pixels per step) are stretched where steps change length. A velocity of a few trembling boxes
    is no good for a long way, so of a step only one nominal frame is gone by it, and the rest at
    the mean pace of the last moments. The library's own answer, which lets the noise grow with the
    fourth power of the step, loses 15 to 30 points of IDF1 at a sixth of the frames (bytetrack;
    drawn streets), and frame counts lose 9 to 13 where frames are missing in bursts.
    """
    where = np.array(axes)

    class Timed(model):  # type: ignore[misc]
        def __init__(self, bbox: Any, clock: _Clock) -> None:
            super().__init__(bbox)
            self._clock, self._step = clock, 0.0
            self._path = _Path(clock.now, bbox)

        def predict(self, frame_step: float = 1.0, frame_rate: float | None = None) -> None:  # noqa: ARG002 - the library's signature
            step, by = frame_step, frame_step / (self._step or frame_step)
            if self._step == 0 or abs(by - 1) > _SAME:
                self._step = step
                _stretch(self.kf, self._VEL_IDX, by)
            self.clamp_velocity()
            self.kf.predict()
            if step > 1 and self._clock.steady:
                told = self.kf.state[self._VEL_IDX, 0] / step
                self.kf.state[self._POS_IDX, 0] += (step - 1) * (self._path.pace[where] - told)

        def update(self, bbox: Any) -> None:
            super().update(bbox)
            self._path.add(self._clock.now, bbox, _RECENT * self._clock.rate)

        def get_state(self) -> dict[str, Any]:
            return {**super().get_state(), "step": self._step}

        def set_state(self, state: dict[str, Any]) -> None:
            super().set_state(state)
            self._step = state["step"]

    return Timed


def _stretch(kf: Any, velocity: Ints, by: float) -> None:
    """Velocities in pixels per step, for steps of another length."""
    covariance = kf.state_covariance.copy()
    covariance[velocity, :] *= by
    covariance[:, velocity] *= by
    kf.state[velocity] *= by
    kf.state_covariance = covariance


class _Path:
    """Where the middle of an object was found lately."""

    def __init__(self, at: float, box: Floats) -> None:
        self._found = deque([(at, (box[:2] + box[2:]) / 2)])

    def add(self, at: float, box: Floats, recent: float) -> None:
        """Found again; what is older than ``recent`` is forgotten."""
        found = self._found
        found.append((at, (box[:2] + box[2:]) / 2))
        while len(found) > 2 and at - found[0][0] > recent:
            found.popleft()

    @property
    def pace(self) -> Points:
        """Pixels per nominal frame: across, down, and 0."""
        (since, start), (last, here) = self._found[0], self._found[-1]
        return np.append((here - start) / max(last - since, 1e-6), 0.0)
