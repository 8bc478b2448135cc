"""The library's trackers, driven by elapsed time: any rate, dropped frames, lives in seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import cache
from statistics import median
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from streamkit.frame import Image
from streamkit.predictions import Detections, Ints

if TYPE_CHECKING:
    from trackers.utils.iou import BIoU

Algorithm: TypeAlias = Literal["bytetrack", "ocsort", "botsort", "sort"]

_REACH: Final = 0.06
"""By how much boxes grow for matching, in their own sizes, per nominal frame that is missing."""
_FARTHEST: Final = 0.4
_LEAST: Final = {"ocsort": 1}
"""Matches without which no track is told, however slow the stream; ocsort does not count the
detection a track began with, the others do: 2."""
_APART: Final = 1e5
"""Pixels between the places of two classes that must not mix."""
_USUAL: Final = 15
"""Steps over which the usual one is taken."""


class Follower:
    """One of the library's trackers for one stream, told how much time has passed.

    A step of the library's motion models is the usual step of the stream, so a dropped frame is a
    longer step, with noise in proportion. Boxes of a slow stream overlap less: they reach further,
    the slower it is; and fewer of them confirm a track. Lives of tracks are in seconds. At the
    nominal rate everything is what the library does by itself.
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
        self._reach, self._tracker = _made(algorithm, rate, more)
        self._rate, self._lost_after = rate, lost_after
        self._confirm = self._tracker.minimum_consecutive_frames
        self._least = min(self._confirm, _LEAST.get(algorithm, 2))
        self._steps: deque[float] = deque(maxlen=_USUAL)
        self._now = 0.0

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
        told = self._tracker.update(known, frame=image, timestamp=self._now)
        tracks = np.full(len(found), -1, np.int64)
        if len(told) and told.tracker_id is not None:
            tracks[np.asarray(told.data["place"])] = told.tracker_id
        return tracks

    def _tell(self, elapsed: float | None) -> None:
        """What the time that has passed means to the library, which thinks in nominal frames."""
        if elapsed is not None:
            self._steps.append(elapsed)
        usual = median(self._steps) * self._rate if self._steps else 1.0
        slower, tracker = max(1.0, usual), self._tracker
        self._now += (1 / self._rate if elapsed is None else elapsed) / usual
        tracker.maximum_time_without_update = self._lost_after / usual + 1e-6
        confirm = 1 + round((self._confirm - 1) / slower)
        tracker.minimum_consecutive_frames = max(self._least, confirm)
        self._reach.buffer_ratio = min(_FARTHEST, _REACH * round(slower - 1))


def _made(algorithm: Algorithm, rate: float, more: Mapping[str, Any]) -> tuple[BIoU, Any]:
    from trackers.utils.iou import BIoU

    tracker, estimator = _library()[algorithm]
    reach = BIoU(buffer_ratio=0.0)
    return reach, tracker(frame_rate=rate, state_estimator_class=estimator, iou=reach, **more)


@cache
def _library() -> Mapping[Algorithm, tuple[Any, Any]]:
    """Each tracker with its own motion model, made to take steps of any length."""
    from trackers import BoTSORTTracker, ByteTrackTracker, OCSORTTracker, SORTTracker
    from trackers.utils.state_representations import (
        XCYCSRStateEstimator,
        XCYCWHStateEstimator,
        XYXYStateEstimator,
    )

    corners, shape, size = map(
        _timed, (XYXYStateEstimator, XCYCSRStateEstimator, XCYCWHStateEstimator)
    )
    return {
        "bytetrack": (ByteTrackTracker, corners),
        "sort": (SORTTracker, corners),
        "ocsort": (OCSORTTracker, shape),
        "botsort": (BoTSORTTracker, size),
    }


def _timed(model: Any) -> Any:
    """The library's own answer to a longer step drops the noise of the position and squares that
    of the velocity: at a sixth of the frames it loses 15 to 20 points of IDF1 against no answer at
    all (bytetrack, sort; the sample street). Noise in proportion to time is the same in one long
    step as in several short ones."""
    from trackers.utils.motion_models import constant_velocity_transition_matrix

    class Timed(model):  # type: ignore[misc]
        def predict(self, frame_step: float = 1.0, frame_rate: float | None = None) -> None:  # noqa: ARG002 - the library's signature
            self.clamp_velocity(frame_step)
            self.kf.transition_mtx = constant_velocity_transition_matrix(
                self.kf.dim_x, self._POS_IDX, self._VEL_IDX, frame_step
            )
            self.kf.process_noise = self.motion.process_noise.baseline_Q * frame_step
            self.kf.predict()

    return Timed
