"""From a source into a lane: numbering, counting, thinning; connecting again after a loss."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from streamkit.clock import Backoff, Pacer, Thinner
from streamkit.errors import SourceError, StreamErrorCode
from streamkit.events import DropCause, EventType, Reporter
from streamkit.frame import Clock, VideoFrame
from streamkit.meters import Rate, Tally
from streamkit.scheduler import Lane
from streamkit.sources.base import Capture, Source
from streamkit.state import CONTEXT, StateMachine, StreamState
from streamkit.stream_options import StreamOptions

log = logging.getLogger(__name__)

_CONSUMER = "video_source.video_consumer"
_LOST = StreamErrorCode.LOST


Check: TypeAlias = Callable[[VideoFrame], DropCause | None]
"""Why a frame goes no further, or ``None``."""


@dataclass(eq=False)
class Reader:
    """Reads one source; everything that is specific to one stream, and nothing of threads."""

    machine: StateMachine
    reporter: Reporter
    options: StreamOptions
    tally: Tally
    on_rest: Callable[[], None]
    """Told when the machine begins or ceases to rest."""

    def feed(self, source: Source, lane: Lane[VideoFrame]) -> None:
        """Everything ``source`` gives, into ``lane``. ``ClosedError`` when the lane is closed."""
        checks = self._checks(source)
        rate = Rate()
        for capture in self._captures(source):
            arrived = time.monotonic()
            frame = self._frame(source, capture, arrived, rate.tick(arrived))
            self.reporter.debug(EventType.FRAME_CAPTURED, CONTEXT, **identity(frame))
            cause = next((cause for check in checks if (cause := check(frame))), None)
            if cause is None:
                self._offer(lane, frame)
            else:
                self.drop(frame, cause)

    def _offer(self, lane: Lane[VideoFrame], frame: VideoFrame) -> None:
        try:
            lane.put(frame)
        except BaseException:
            self.drop(frame, DropCause.STOPPED)
            raise

    def drop(self, frame: VideoFrame, cause: DropCause) -> None:
        """Account for a frame that will not be delivered."""
        account_for(self.tally, self.reporter, frame, cause)

    def _frame(
        self, source: Source, capture: Capture, arrived: float, measured: float
    ) -> VideoFrame:
        declared = source.properties.fps if source.properties else 0.0
        number = self.tally.capture()
        try:
            return VideoFrame(
                capture.picture,
                number,
                capture.timestamp,
                fps=declared or None,
                measured_fps=measured if source.live else declared or None,
                source_id=self.machine.source_id,
                comes_from_video_file=not source.live,
                clock=capture.clock,
                uncertainty=capture.uncertainty,
                captured_at=arrived,
            )
        except Exception:  # a source that gives no proper captures
            self.tally.drop(DropCause.FAILED)
            raise

    def _checks(self, source: Source) -> list[Check]:
        """What a frame has to pass on its way into the lane, in this order."""
        return [self._unmuted, self._rate(source)]

    def _unmuted(self, _frame: VideoFrame) -> DropCause | None:
        return DropCause.MUTED if self.machine.state is StreamState.MUTED else None

    def _rate(self, source: Source) -> Check:
        fps = self.options.max_fps
        if fps is None:
            return lambda _frame: None
        if source.live or self.options.thin_files:
            thinner = Thinner(fps)
            return lambda frame: None if thinner.passes(_seconds(frame)) else DropCause.RATE
        pacer = Pacer(fps)
        return lambda _frame: pacer.wait(self.machine.stopped)

    # -- connecting, losing, reconnecting ----------------------------------------------------

    def _captures(self, source: Source) -> Iterator[Capture]:
        """What the source gives, through losses and pauses, until it ends or is stopped."""
        backoff = Backoff(self.options.restart_delay, self.options.restart_delay_max)
        lost_at: float | None = None
        while self.machine.await_resume():
            try:
                for capture in self._reading(source):
                    if lost_at is not None:
                        self._recovered(source, lost_at)
                        backoff.reset()
                        lost_at = None
                    self.machine.running()
                    yield capture
                if not source.live:
                    return
            except SourceError as error:
                if not self._may_retry(source, error):
                    raise
                self._lost(error, first=lost_at is None)
                lost_at = lost_at or time.monotonic()
                delay = backoff.next()
                log.warning("%s; next try in %.1f s", error, delay)
                self.machine.stopped.wait(delay)

    def _reading(self, source: Source) -> Iterator[Capture]:
        """One go at the source. A pause holds a finite one; a live one is let go, so that what
        comes after the pause is new."""
        with closing(source.read()) as captures:
            for capture in captures:
                if source.live and self.machine.state is StreamState.PAUSED:
                    return
                if not self.machine.await_resume():
                    return
                yield capture
        if source.live:
            raise SourceError(f"{source.reference}: it gives no more pictures", _LOST)

    def _may_retry(self, source: Source, error: SourceError) -> bool:
        if self.machine.stopped.is_set() or error.code is StreamErrorCode.INTERRUPTED:
            return False
        return source.live and (self.options.retry_first or self.machine.connected.is_set())

    def _lost(self, error: SourceError, *, first: bool) -> None:
        was_there = first and self.machine.connected.is_set()
        self.reporter.warning(
            EventType.CONNECTION_LOST if was_there else EventType.CONNECTION_ATTEMPT_FAILED,
            CONTEXT,
            source_id=self.machine.source_id,
            code=str(error.code),
            message=str(error),
        )
        self.machine.restarting()
        self.on_rest()

    def _recovered(self, source: Source, lost_at: float) -> None:
        downtime = time.monotonic() - lost_at
        log.warning("%s: pictures again after %.1f s", source.reference, downtime)
        self.tally.reconnects += self.machine.connected.is_set()
        self.reporter.info(
            EventType.SOURCE_RECOVERED,
            CONTEXT,
            source_id=self.machine.source_id,
            downtime=round(downtime, 3),
        )
        self.machine.running()
        self.on_rest()


def account_for(tally: Tally, reporter: Reporter, frame: VideoFrame, cause: DropCause) -> None:
    """Count a lost frame, and tell of it."""
    tally.drop(cause)
    reporter.debug(EventType.FRAME_DROPPED, _CONSUMER, cause=cause.value, **identity(frame))


def identity(frame: VideoFrame) -> dict[str, object]:
    """A frame as the payload of an update."""
    return {
        "frame_timestamp": frame.frame_timestamp,
        "frame_id": frame.frame_id,
        "source_id": frame.source_id,
    }


def _seconds(frame: VideoFrame) -> float:
    """The time by which a frame is thinned: its own clock, or when it arrived."""
    return frame.captured_at if frame.clock is Clock.ARRIVAL else frame.timestamp.timestamp()
