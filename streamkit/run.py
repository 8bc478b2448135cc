"""One run of a pipeline: who starts whom, who is joined after whom, and what ended it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamkit.delivery import Delivery
from streamkit.engine import Engine
from streamkit.events import EventType, Reporter, Throttle
from streamkit.frame import VideoFrame
from streamkit.predictions import Result
from streamkit.scheduler import Lane
from streamkit.sources.base import Source
from streamkit.stream import Stage, Stream
from streamkit.watchdog import PipelineWatchDog

log = logging.getLogger(__name__)

CONTEXT = "inference_pipeline"

_DRAIN = 0.6
"""Seconds which sinks have, once a run is stopped, for what already waits for them."""
_GRACE = 1.2
"""Seconds after which threads that sit in foreign code are left behind."""


@dataclass(frozen=True)
class Parts:
    """What a run is made of."""

    engine: Engine
    streams: Sequence[Stream]
    deliveries: Sequence[Delivery]
    stages: Callable[[], Sequence[Stage]]
    """Makes one stream's stages: their state belongs to the stream."""
    reporter: Reporter
    watchdog: PipelineWatchDog
    on_start: Callable[[], None] | None = None
    """Called before the first source is opened, so that it is always before ``on_end``."""
    on_end: Callable[[], None] | None = None


class Run:
    """Starts the streams, waits for them, then closes what they fed; left to right, always."""

    def __init__(self, parts: Parts) -> None:
        self.error: BaseException | None = None
        self.done = threading.Event()
        self._parts = parts
        self._changed = threading.Condition()
        self._lanes: list[Lane[VideoFrame]] = []
        self._throttle = Throttle()
        self._going = len(parts.streams)
        self._stopped_at: float | None = None
        self._starter: int | None = None
        self._supervisor = threading.Thread(target=self._supervise, name="streamkit pipeline")

    def start(self, *, in_caller: Delivery | None = None) -> None:
        """Start every thread; ``in_caller`` is left to be run by the calling thread.

        A ``stop`` that came meanwhile takes effect at the end.
        """
        self._starter = threading.get_ident()
        try:
            self._begin(in_caller)
        except BaseException:
            self._abandon()
            raise
        finally:
            self._starter = None
        if self._stopped_at is not None:
            self.stop()

    def _begin(self, in_caller: Delivery | None) -> None:
        parts = self._parts
        parts.engine.start()
        ways = [self._way(stream) for stream in parts.streams]
        for delivery in parts.deliveries:
            delivery.on_end, delivery.on_over = self._wake, self.stop
            if delivery is not in_caller:
                delivery.start()
        if in_caller is not None:
            in_caller.thread_id = self._starter
        parts.reporter.info(EventType.INFERENCE_THREAD_STARTED, CONTEXT)
        if parts.on_start is not None:
            parts.on_start()
        for begin in ways:
            begin()
        self._supervisor.start()

    def _abandon(self) -> None:
        """Undo a start that failed half-way."""
        self.stop()
        for lane in self._lanes:
            lane.close(discard=True)
        self._join_streams(_GRACE)
        self._parts.engine.stop(time.monotonic() + _GRACE)
        for delivery in self._parts.deliveries:
            delivery.abandon()
        for delivery in self._parts.deliveries:
            delivery.join(time.monotonic() + _GRACE)
        self.done.set()

    def _way(self, stream: Stream) -> Callable[[], None]:
        """Open a stream's lanes, before any stream starts, so that rounds know whom to wait for."""
        parts = self._parts
        lane = parts.engine.open(
            stream.dropped,
            lambda frame: self._tell(parts.watchdog.on_model_inference_started, frame),
        )
        self._lanes.append(lane)
        outlets = [delivery.open() for delivery in parts.deliveries]
        stages = [self._note, *parts.stages()]

        def adopt(source: Source) -> None:
            lane.follow(stream.policy(live=source.live))
            for delivery, outlet in zip(parts.deliveries, outlets, strict=True):
                delivery.adopt(outlet, live=source.live)

        return lambda: stream.start(lane, stages, outlets, adopt, self._ended)

    def _note(self, result: Result) -> Result:
        frame = result.frame
        self._tell(self._parts.watchdog.on_model_prediction_ready, frame)
        self._parts.reporter.debug(
            EventType.INFERENCE_COMPLETED,
            CONTEXT,
            frames_ids=[frame.frame_id],
            frames_timestamps=[frame.frame_timestamp],
            sources_id=[frame.source_id],
        )
        return result

    def _tell(self, listener: Callable[[list[VideoFrame]], None], frame: VideoFrame) -> None:
        """Tell the watchdog; like any listener, it must not end what it listens to."""
        try:
            listener([frame])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's listener
            if count := self._throttle.tick():
                log.warning("watchdog failed %d times, last: %r", count, error)

    # -- ending ------------------------------------------------------------------------------

    def _ended(self, stream: Stream, fatal: bool) -> None:
        """A stream has ended. A lost source leaves the others alone; what is ``fatal``, because a
        model or a stage failed, ends the run."""
        with self._changed:
            self.error = self.error or stream.error
        if fatal:
            self.stop()
        with self._changed:
            self._going -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """End it, from any thread; returns at once."""
        with self._changed:
            if self._stopped_at is None:
                self._stopped_at = time.monotonic()
            self._changed.notify_all()
        for stream in self._parts.streams:
            stream.stop()

    def inside(self) -> bool:
        """Whether the calling thread is one that the end of the run waits for."""
        parts, me = self._parts, threading.current_thread()
        return (
            me is self._supervisor
            or me.ident == self._starter
            or parts.engine.inside()
            or any(stream.inside() for stream in parts.streams)
            or any(delivery.inside() for delivery in parts.deliveries)
        )

    def connected(self) -> BaseException | None:
        """Wait until every source has given a frame or failed; the first failure."""
        for stream in self._parts.streams:
            stream.machine.connected.wait()
        return next((s.error for s in self._parts.streams if s.error is not None), None)

    def _supervise(self) -> None:
        for step in (self._wind_down, self._tell_the_end, self._parts.on_end):
            try:
                if step is not None:
                    step()
            except BaseException as error:  # noqa: BLE001 - a thread begins here; join() raises it
                self.error = self.error or error
        self.done.set()

    def _wind_down(self) -> None:
        self._await(lambda: self._going == 0)
        self._join_streams(_DRAIN)
        self._join_deliveries()
        if left := self._join_streams(_GRACE):
            log.warning("left behind in a native call: %s", ", ".join(left))
        self._parts.engine.stop(self._limit(_GRACE))

    def _tell_the_end(self) -> None:
        reporter = self._parts.reporter
        if self.error is not None:
            reporter.error(EventType.INFERENCE_ERROR, CONTEXT, self.error, "inference_thread")
        reporter.info(EventType.INFERENCE_THREAD_FINISHED, CONTEXT)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _await(self, happened: Callable[[], bool]) -> None:
        """Wait for ``happened``, or for being stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped_at is not None or happened())

    def _limit(self, seconds: float) -> float | None:
        """Until when to wait: for ever in a run that ends by itself."""
        return None if self._stopped_at is None else self._stopped_at + seconds

    def _join_streams(self, seconds: float) -> list[str]:
        """Wait for the streams; the names of threads that are left."""
        return [name for s in self._parts.streams for name in s.join(self._limit(seconds))]

    def _join_deliveries(self) -> None:
        deliveries = self._parts.deliveries
        for delivery in deliveries:
            delivery.close()
        self._await(lambda: all(delivery.finished for delivery in deliveries))
        for delivery in deliveries:
            if not delivery.join(self._limit(_DRAIN)):
                delivery.close(discard=True)
        for delivery in deliveries:
            if not delivery.join(self._limit(_GRACE)):
                log.warning("sink %s is still writing; it is left behind", delivery.name)
