"""What a stage may remember of its stream: the stream's own time, and who was seen when."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from streamkit.errors import StreamRequiredError
from streamkit.frame import VideoFrame

_STEP: Final = 1 / 30
"""Seconds between two frames of a recording whose own times do not rise."""
_LEAP: Final = 5.0
"""By how many seconds a camera's clock may run ahead of ours before it was set, not late."""
_CROWD: Final = 10_000
"""Tracks remembered at once; the one seen longest ago makes room."""

State = TypeVar("State")


class StreamTime:
    """Seconds since the first frame of a stream, as its frames were taken; never goes back.

    By the frames' own times, so that dropped frames and any rate are no matter. A camera's clock
    that goes back, leaps or gives way to a better one is bridged with when the frames arrived.
    """

    def __init__(self) -> None:
        self._last: VideoFrame | None = None
        self._now = 0.0

    def __call__(self, frame: VideoFrame) -> float:
        """Seconds; more than at the frame before. Raises ``StreamRequiredError`` for a frame of
        another stream, or an earlier one: whoever remembers is of no use for both."""
        if self._last is not None:
            _follows(self._last, frame)
            self._now += _between(self._last, frame)
        self._last = frame
        return self._now


def _follows(last: VideoFrame, frame: VideoFrame) -> None:
    if frame.source_id != last.source_id:
        raise StreamRequiredError(
            f"one stage got frames of the streams {last.source_id} and {frame.source_id}: "
            "make one for each stream"
        )
    if frame.frame_id < last.frame_id:
        raise StreamRequiredError(
            f"frame {frame.frame_id} came after {last.frame_id}: stages that remember need the "
            "frames of a stream in order"
        )


def _between(last: VideoFrame, frame: VideoFrame) -> float:
    taken = (frame.timestamp - last.timestamp).total_seconds()
    if frame.comes_from_video_file is not False:
        return taken if taken > 0 else _STEP
    arrived = max(frame.captured_at - last.captured_at, 1e-3)
    set_anew = frame.clock is not last.clock or taken > arrived + _LEAP
    return arrived if set_anew or taken <= 0 else taken


class Memory(Generic[State]):
    """Something for each track, forgotten ``keep`` seconds after the track was last seen."""

    def __init__(self, new: Callable[[], State], keep: float) -> None:
        self._new = new
        self._keep = keep
        self._states: OrderedDict[int, tuple[float, State]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def seen(self, track: int, at: float) -> State:
        """What is remembered of ``track``, who is there at ``at``."""
        _, state = self._states.pop(track, (at, None))
        if state is None:
            state = self._new()
        self._states[track] = (at, state)
        return state

    def get(self, track: int) -> State | None:
        """What is remembered of ``track``, without saying that it is there."""
        return self._states.get(track, (0.0, None))[1]

    def forget(self, at: float, present: Iterable[int] = ()) -> list[tuple[int, State]]:
        """Who has been away for too long, now forgotten; never one of the ``present``, however
        long ago the frame before was."""
        for track in present:
            if track in self._states:
                self.seen(track, at)
        gone = []
        while self._states:
            track, (seen, state) = next(iter(self._states.items()))
            if at - seen <= self._keep and len(self._states) <= _CROWD:
                break
            gone.append((track, state))
            del self._states[track]
        return gone

    def items(self) -> list[tuple[int, State]]:
        """Everybody remembered, by track."""
        return [(track, state) for track, (_, state) in self._states.items()]
