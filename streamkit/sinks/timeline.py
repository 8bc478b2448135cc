"""Where on a recording's own timeline a frame belongs, told by when it was really captured."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000


class Timeline:
    """Microseconds since the first frame. Gaps are kept; only broken clocks are corrected.

    A source's own positions strictly increase. Where its clock stands still, runs backwards or
    leaps by more than an hour (it was set; a sample in MP4 has 32 bits of microseconds), its
    frame follows the one before by ``1 / fps`` and the clock is believed again from there.
    Sources whose clocks agree within five seconds share one time; another one (a recording of
    last week beside a camera) starts where the timeline is when its first frame comes.
    """

    LEAP = 3600 * _SECOND
    AGREE = 5 * _SECOND

    def __init__(self, fps: float) -> None:
        self._step = round(_SECOND / fps)
        self._offsets: dict[Hashable, int] = {}
        self._positions: dict[Hashable, int] = {}
        self.newest = 0

    def place(self, source_id: Hashable, timestamp: datetime) -> int:
        """The position of this source's next frame (aware time in, microseconds out)."""
        now = (timestamp - _EPOCH) // _MICROSECOND
        if source_id not in self._offsets:
            self._offsets[source_id] = self._join(now)
        position = now - self._offsets[source_id]
        before = self._positions.get(source_id)
        if before is not None and not 0 < position - before <= self.LEAP:
            position = before + self._step
            self._offsets[source_id] = now - position
        self._positions[source_id] = position
        self.newest = max(self.newest, position)
        return position

    def forget(self, source_id: Hashable) -> None:
        """This source is gone."""
        self._offsets.pop(source_id, None)
        self._positions.pop(source_id, None)

    def _join(self, now: int) -> int:
        for offset in self._offsets.values():
            if abs(now - offset - self.newest) <= self.AGREE:
                return offset
        return now - self.newest
