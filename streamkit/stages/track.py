"""Gives each object of one stream a track: the same number as long as it is the same object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from streamkit.errors import ConfigError
from streamkit.events import Event
from streamkit.predictions import Detections, Floats, Ints, Result
from streamkit.stages.algorithms import Algorithm, Follower
from streamkit.stages.base import Gives, Manifest, Needs, Stage
from streamkit.stages.memory import StreamTime
from streamkit.stages.seen import Witness


@dataclass(slots=True)
class _Track:
    """What is remembered of one track beside the tracker's own state."""

    votes: Counter[int] = field(default_factory=Counter)
    box: Floats | None = None
    at: float = 0.0
    label: str = ""
    since: float = 0.0
    seen: float = 0.0
    id: str | None = None
    """Of the events of this track, once its start was told."""


@dataclass(slots=True, eq=False)
class _Last:
    """What the last inference found, as it came, and what was made of it."""

    found: Detections
    tracks: Ints
    classes: Ints
    shift: Floats


class Track(Stage):
    """Objects that were followed from frame to frame, with ``tracker_id``, from 1.

    Time is the frames' own: dropped frames are longer steps and nothing else, and a track that is
    not seen for ``lost_after`` seconds ends, at any rate. Numbers are never used twice in a
    stream, and streams know nothing of each other. Between two inferences objects keep their
    tracks.
    """

    manifest: ClassVar = Manifest(
        "Tracking",
        Needs(("detections",), stream=True),
        Gives(events=("track.start", "track.end"), columns=("tracker_id", "class_id", "xyxy")),
        stateful=True,
        examples=(
            "track",
            {"track": {"algorithm": "ocsort", "lost_after": 2, "events": True}},
        ),
    )

    def __init__(  # noqa: PLR0913 - each is an option of a document
        self,
        *,
        algorithm: Algorithm = "bytetrack",
        activate: float | None = None,
        high: float | None = None,
        overlap: float | None = None,
        confirm: int | None = None,
        lost_after: float = 1.0,
        rate: float = 30.0,
        lock_class: bool = True,
        mix_classes: bool = True,
        smooth: float = 0.0,
        end_on_gap: float | None = None,
        camera_moves: bool = False,
        untracked: bool = False,
        events: bool = False,
    ) -> None:
        """What is ``None`` is as the library has it.

        ``activate``: confidence a track begins with (not of ocsort). ``high``: confidence from
        which a detection is matched first (not of sort). ``overlap``: least IoU to match.
        ``confirm``: detections in a row, at the nominal ``rate``, before a track is told.
        ``lost_after``: seconds unseen after which a track ends. ``rate``: the nominal one, in
        frames per second. ``lock_class``: a track has the class that most of its detections had.
        ``mix_classes``: a track may go on as another class, for models that take one for the other;
        without, objects of different classes never share a track. ``smooth``: time constant in
        seconds by which boxes are steadied, 0 for not. ``end_on_gap``: a pause of the stream longer
        than these seconds ends all tracks, as a reconnection does. ``camera_moves``: make up for it
        (botsort only; needs the pixels). ``untracked``: keep what has no track (yet), as -1.
        ``events``: tell ``track.start`` and ``track.end``. Raises ``ConfigError``."""
        _check_times(lost_after, smooth, rate, end_on_gap)
        if camera_moves and not mix_classes:
            raise ConfigError("camera_moves needs mix_classes")
        self._mix = mix_classes
        self._options = _library_options(algorithm, activate, high, overlap, confirm, camera_moves)
        self._algorithm, self._rate, self._lost_after = algorithm, rate, lost_after
        self._lock, self._smooth, self._gap = lock_class, smooth, end_on_gap
        self._untracked, self._events, self._pixels = untracked, events, camera_moves
        self._time, self._at = StreamTime(), 0.0
        self._follower, self._fresh = self._new(), True
        self._first, self._highest = 1, 0
        self._tracks: dict[int, _Track] = {}
        self._last: _Last | None = None

    def __call__(self, result: Result) -> Result:
        found = result.prediction
        if not isinstance(found, Detections):
            return result
        if result.inferred:
            tracked, events = self._follow(found, result)
        else:
            tracked, events = self._carried(found), []
        left_out = result.left_out
        if not self._untracked and tracked.tracker_id is not None:
            known = tracked.tracker_id >= 0
            if not known.all():
                left_out = (*left_out, tracked[~known])
                tracked = tracked[known]
        told = tuple([*result.events, *events] if self._events else result.events)
        return replace(result, prediction=tracked, left_out=left_out, events=told, _wire=None)

    def succeed(self, old: Track) -> None:
        """Take the place of ``old`` in the middle of a stream: its numbers are not used again."""
        self._highest = max(self._highest, old._highest)
        self._first = self._highest + 1

    def _new(self) -> Follower:
        return Follower(
            self._algorithm, self._rate, self._lost_after, apart=not self._mix, **self._options
        )

    def _follow(self, found: Detections, result: Result) -> tuple[Detections, list[Event]]:
        at = self._time(result.frame)
        elapsed, self._at = at - self._at, at
        witness = Witness(result, "track")
        pause = self._gap is not None and elapsed > self._gap
        ended = self._end() if pause else []
        image = result.frame.image if self._pixels else None
        tracks = self._follower.update(found, None if self._fresh else elapsed, image)
        self._fresh = False
        tracks = np.where(tracks < 0, -1, tracks + self._first)
        tracked = self._remember(found, tracks, at)
        events = _ended(witness, ended + self._gone())
        for track in self._begun(tracks):
            state = self._tracks[track]
            events.append(witness.event("track.start", track, _told(state), phase="start"))
            state.id = events[-1].id
        return tracked, events

    def end(self, result: Result) -> Result:
        """All tracks end with the stream."""
        if self._events:
            ended = _ended(Witness(result, "track"), self._end())
            result.events = (*result.events, *ended)
        return result

    def _begun(self, tracks: Ints) -> list[int]:
        """The new ones: the library counts up."""
        new = sorted(track for track in tracks.tolist() if track > self._highest)
        self._highest = max(self._highest, *new) if new else self._highest
        return new

    def _end(self) -> list[tuple[int, _Track]]:
        """No track goes on; numbers do."""
        ended = list(self._tracks.items())
        self._tracks = {}
        self._follower, self._fresh = self._new(), True
        self._first = self._highest + 1
        return ended

    def _gone(self) -> list[tuple[int, _Track]]:
        """Those that the library has given up, now forgotten."""
        alive = self._follower.alive
        gone = [track for track in self._tracks if track - self._first not in alive]
        return [(track, self._tracks.pop(track)) for track in gone]

    def _remember(self, found: Detections, tracks: Ints, at: float) -> Detections:
        """The class and the box of each track, by what is known of it."""
        classes, boxes = found.class_id.copy(), found.xyxy.copy()
        for i in np.flatnonzero(tracks >= 0):
            state = self._tracks.setdefault(int(tracks[i]), _Track())
            if self._lock:
                classes[i] = _voted(state.votes, int(classes[i]))
            if self._smooth:
                boxes[i] = _steadied(state, boxes[i], at, self._smooth)
            if not state.label:
                state.since = at
            state.label, state.seen = found.names[classes[i]], at
        self._last = _Last(found, tracks, classes, boxes - found.xyxy)
        return replace(found, tracker_id=tracks, class_id=classes, xyxy=boxes)

    def _carried(self, found: Detections) -> Detections:
        """Objects that were moved on from the last inference, with what they were there."""
        last, nobody = self._last, np.full(len(found), -1, np.int64)
        if last is None:
            return replace(found, tracker_id=nobody)
        before = origins(found, last.found)
        known = before >= 0
        origin = before[known]
        tracks, classes, boxes = nobody, found.class_id.copy(), found.xyxy.copy()
        tracks[known], classes[known] = last.tracks[origin], last.classes[origin]
        boxes[known] += last.shift[origin]
        return replace(found, tracker_id=tracks, class_id=classes, xyxy=boxes)


def _ended(witness: Witness, ended: Sequence[tuple[int, _Track]]) -> list[Event]:
    return [
        witness.event("track.end", track, _told(state), phase="end", id=state.id)
        for track, state in ended
        if state.id is not None
    ]


def _told(state: _Track) -> dict[str, object]:
    return {"class": state.label, "seconds": round(state.seen - state.since, 3)}


def _check_times(lost_after: float, smooth: float, rate: float, gap: float | None) -> None:
    above = rate > 0 and (gap is None or gap > 0)
    if lost_after < 0 or smooth < 0 or not above:
        raise ConfigError("lost_after and smooth must not be below 0; rate and end_on_gap above")


def _library_options(
    algorithm: Algorithm,
    activate: float | None,
    high: float | None,
    overlap: float | None,
    confirm: int | None,
    camera_moves: bool,
) -> dict[str, Any]:
    """The keywords of the library's tracker. Raises ``ConfigError`` for what it does not have."""
    if (activate is not None and algorithm == "ocsort") or (
        high is not None and algorithm == "sort"
    ):
        raise ConfigError(
            f"{algorithm} has no such threshold: activate is not of ocsort, high not of sort"
        )
    if camera_moves and algorithm != "botsort":
        raise ConfigError("camera_moves: only botsort makes up for it")
    if confirm is not None and confirm < 1:
        raise ConfigError("confirm must be at least 1")
    if not all(0 <= share <= 1 for share in (activate, high, overlap) if share is not None):
        raise ConfigError("activate, high and overlap are from 0 to 1")
    least = "minimum_iou_threshold" + ("_first_assoc" if algorithm == "botsort" else "")
    named = {
        "track_activation_threshold": activate,
        "high_conf_det_threshold": high,
        least: overlap,
        "minimum_consecutive_frames": confirm,
        "enable_cmc": camera_moves if algorithm == "botsort" else None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _voted(votes: Counter[int], now: int) -> int:
    """The class that most detections of a track had; of equals, the one that was first."""
    votes[now] += 1
    return max(votes, key=votes.__getitem__)


def _steadied(state: _Track, box: Floats, at: float, constant: float) -> Floats:
    """An exponential mean whose weights follow from the time between, not from the rate."""
    if state.box is not None:
        box = state.box + np.float32(1 - np.exp((state.at - at) / constant)) * (box - state.box)
    state.box, state.at = box, at
    return box


def origins(found: Detections, last: Detections) -> Ints:
    """Which object of the last inference each one is, -1 where none: what is carried keeps its
    class and its confidence to the bit; the nearest of several such."""
    same = found.class_id[:, None] == last.class_id
    same &= found.confidence[:, None] == last.confidence
    far = np.abs(found.xyxy[:, None] - last.xyxy).sum(axis=2)
    far[~same] = np.inf
    origins = np.full(len(found), -1, np.int64)
    while far.size and np.isfinite(far.min()):
        here, there = divmod(int(far.argmin()), far.shape[1])
        origins[here] = there
        far[here] = far[:, there] = np.inf
    return origins
