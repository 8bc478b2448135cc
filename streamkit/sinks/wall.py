"""Several streams in one picture, handed to another sink: recorded, shown or sent on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.frame import Clock, Image, VideoFrame
from streamkit.imaging.layout import Size
from streamkit.imaging.wall import Tile, wall
from streamkit.predictions import Result
from streamkit.sinks.base import Sink
from streamkit.sinks.timeline import Timeline

_SMALLEST: Final = 16
_PASSED_ON: Final = ("main_thread", "waited_for", "drain", "hurry", "stats")
"""What the inner sink says of itself, and wants to be told, that is true of the wall, too."""


@dataclass(slots=True, eq=False)
class _Seen:
    """The newest of one stream."""

    name: str
    picture: Image | None = None
    live: bool = True
    taken: datetime | None = None
    arrived: float = 0.0
    """Monotonic seconds."""


class WallSink(Sink):
    """The newest picture of each stream as tiles of one, ``fps`` times a second at most.

    Cameras make it go on: also while nothing comes from any of them, so that the wall shows who is
    away. Walls of recordings go by the recordings' own times. The inner sink gets a result without
    a prediction, of the one source 0.
    """

    def __init__(
        self,
        to: str = "video",
        *,
        size: Size = (1280, 720),
        fps: float = 10.0,
        names: bool = True,
        away_after: float = 3.0,
        **options: Any,
    ) -> None:
        """``to``: name of the sink that takes the pictures; further ``options`` are its own.
        ``size``: (width, height). ``away_after``: seconds after which a camera that sends nothing
        is said to be away. Raises ``ConfigError``, and what the inner sink raises."""
        if not 0 < fps <= 120 or away_after <= 0 or min(size) < _SMALLEST:
            raise ConfigError(
                f"fps is above 0, at most 120; away_after above 0; size at least {_SMALLEST} x "
                f"{_SMALLEST}"
            )
        self._inner = inner = _opened(to, {"size": size, "fps": fps}, options)
        self._size, self._names, self._away_after = (size[0], size[1]), names, away_after
        self._seen: dict[int, _Seen] = {}
        self._timeline = Timeline(fps)
        self._interval = round(750_000 / fps)  # three quarters: a clock that jitters is not late
        self._position, self._shown_at = -self._interval, 0.0
        self._start: datetime | None = None
        self._number = 0
        self._pace = 1 / fps
        self.every = min(self._pace, getattr(inner, "every", self._pace))
        self.path = getattr(inner, "path", to)
        for name in _PASSED_ON:
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))

    @property
    def closed(self) -> bool:
        """Somebody shut the inner sink: its window."""
        return bool(getattr(self._inner, "closed", False))

    def follow(self, source_id: int, name: Callable[[], str], _packets: object) -> None:
        """A stream is about to start: it has a tile from now on."""
        self._seen.setdefault(source_id, _Seen(name()))

    def write(self, result: Result) -> None:
        """Take the picture, and show the wall where it is time. Raises what the inner sink does."""
        frame, source_id = result.frame, result.frame.source_id or 0
        seen = self._seen.setdefault(source_id, _Seen(""))
        seen.name = result.source or seen.name or f"stream {source_id}"
        seen.picture, seen.taken = result.image, frame.timestamp
        seen.arrived, seen.live = time.monotonic(), not frame.comes_from_video_file
        self._start = self._start or frame.timestamp
        position = self._timeline.place(source_id, frame.timestamp)
        if position - self._position >= self._interval:
            self._show(position, frame.captured_at)

    def tick(self) -> None:
        """Nothing came for a while: cameras are away, which the wall is to show."""
        now = time.monotonic()
        if any(seen.live for seen in self._seen.values()) and now - self._shown_at >= self._pace:
            elapsed = round((now - self._shown_at) * 1_000_000) if self._number else 0
            self._show(max(0, self._position) + elapsed, now)
        if (tick := getattr(self._inner, "tick", None)) is not None:
            tick()

    def forget(self, source_id: int) -> None:
        """This source is gone, and its tile with it."""
        self._seen.pop(source_id, None)
        self._timeline.forget(source_id)

    def close(self) -> None:
        """Show what is not shown yet, then close the inner sink."""
        try:
            if self._number and self._timeline.newest > self._position:
                self._show(self._timeline.newest, time.monotonic())
        finally:
            self._inner.close()

    def _show(self, position: int, captured_at: float) -> None:
        self._position, self._shown_at = position, time.monotonic()
        self._start = self._start or datetime.now(UTC)
        self._number += 1
        if self._number == 1 and (follow := getattr(self._inner, "follow", None)) is not None:
            follow(0, lambda: "wall", None)
        tiles = [self._tile(seen) for _, seen in sorted(self._seen.items())]
        frame = VideoFrame(
            wall(tiles, self._size),
            self._number,
            self._start + timedelta(microseconds=position),
            source_id=0,
            clock=Clock.PTS,
            captured_at=captured_at,
        )
        self._inner.write(Result(frame, None, inferred=False, source="wall"))

    def _tile(self, seen: _Seen) -> Tile:
        name = seen.name if self._names else ""
        if seen.picture is None:
            return Tile(name, None, "no picture yet")
        away = seen.live and time.monotonic() - seen.arrived > self._away_after
        since = f"{seen.taken.astimezone():%H:%M:%S}" if away and seen.taken is not None else ""
        return Tile(name, seen.picture, f"no picture since {since}" if away else "")


def _opened(to: str, common: dict[str, Any], options: dict[str, Any]) -> Sink:
    """The inner sink, told of size and rate where it asks for them."""
    from streamkit.sinks import SINKS, open_sink

    made_by = plugins.load(SINKS, to)
    if getattr(made_by, "takes_events", False):
        raise ConfigError(f"a wall is made of pictures: {to!r} takes events")
    known = plugins.options_of(made_by)
    return open_sink(to, {k: v for k, v in common.items() if k in known} | options)
