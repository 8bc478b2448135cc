"""One stream in a run: the lanes it leads through, and whether it is still wanted."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamkit.frame import VideoFrame
from streamkit.predictions import Result
from streamkit.scheduler import Lane
from streamkit.streams.stream import Stream


@dataclass(eq=False)
class Way:
    """One stream in a run, and what it leads through."""

    stream: Stream
    lane: Lane[VideoFrame] | None = None
    outlets: list[Lane[Result]] = field(default_factory=list)
    started: bool = False
    removed: bool = False
    late: bool = False
    """Added to a run: nobody is to wait for it before its first frame."""

    def stop(self) -> None:
        """End its stream; what is on its way is dropped, counted."""
        self.stream.stop()

    def close(self) -> None:
        """Let nothing more through."""
        if self.lane is not None:
            self.lane.close(discard=True)
        for outlet in self.outlets:
            outlet.close(discard=True)

    def rest(self, idle: bool) -> None:
        """Whether somebody may wait for it."""
        if self.lane is not None:
            self.lane.rest(idle)
        for outlet in self.outlets:
            outlet.rest(idle)
