"""One run of a pipeline: who starts whom, who is joined after whom, and what ended it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamkit.delivery import Delivery
from streamkit.engine import Engine
from streamkit.errors import SourceError
from streamkit.events import EventType, Reporter
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
    on_end: Callable[[], None] | None = None


class Run:
    """Starts the streams, waits for them, then closes what they fed; left to right, always."""

    def __init__(self, parts: Parts) -> None:
        self.error: BaseException | None = None
        self.done = threading.Event()
        self._parts = parts
        self._changed = threading.Condition()
        self._lanes: list[Lane[VideoFrame]] = []
        self._stopped_at: float | None = None
        self._supervisor = threading.Thread(target=self._supervise, name="streamkit pipeline")

    def start(self, *, in_caller: Delivery | None = None) -> None:
        """Start every thread; ``in_caller`` is left to be run by the calling thread."""
        parts = self._parts
        try:
            parts.engine.start()
            ways = [self._way(stream) for stream in parts.streams]
        except BaseException:
            self._abandon()
            raise
        for delivery in parts.deliveries:
            delivery.on_end, delivery.on_over = self._wake, self.stop
            if delivery is not in_caller:
                delivery.start()
        parts.reporter.info(EventType.INFERENCE_THREAD_STARTED, CONTEXT)
        for begin in ways:
            begin()
        self._supervisor.start()

    def _abandon(self) -> None:
        """Undo a start that failed half-way: nothing is reading or writing yet."""
        for lane in self._lanes:
            lane.close(discard=True)
        self._parts.engine.stop(time.monotonic() + _GRACE)
        for delivery in self._parts.deliveries:
            delivery.shut()

    def _way(self, stream: Stream) -> Callable[[], None]:
        """Open a stream's lanes, before any stream starts, so that rounds know whom to wait for."""
        parts = self._parts
        lane = parts.engine.open(
            stream.dropped, lambda frame: parts.watchdog.on_model_inference_started([frame])
        )
        self._lanes.append(lane)
        outlets = [delivery.open() for delivery in parts.deliveries]
        stages = [self._note, *parts.stages()]

        def adopt(source: Source) -> None:
            lane.policy = stream.buffering.policy(live=source.live)
            for delivery, outlet in zip(parts.deliveries, outlets, strict=True):
                delivery.adopt(outlet, live=source.live)

        return lambda: stream.start(lane, stages, outlets, adopt, self._ended)

    def _note(self, result: Result) -> Result:
        frame = result.frame
        self._parts.watchdog.on_model_prediction_ready([frame])
        self._parts.reporter.debug(
            EventType.INFERENCE_COMPLETED,
            CONTEXT,
            frames_ids=[frame.frame_id],
            frames_timestamps=[frame.frame_timestamp],
            sources_id=[frame.source_id],
        )
        return result

    # -- ending ------------------------------------------------------------------------------

    def _ended(self, stream: Stream) -> None:
        """A stream has ended. A lost file leaves the others alone; anything else ends the run."""
        with self._changed:
            self.error = self.error or stream.error
            self._changed.notify_all()
        if stream.error is not None and not isinstance(stream.error, SourceError):
            self.stop()

    def stop(self) -> None:
        """End it, from any thread; returns at once."""
        with self._changed:
            if self._stopped_at is None:
                self._stopped_at = time.monotonic()
            self._changed.notify_all()
        for stream in self._parts.streams:
            stream.stop()

    def connected(self) -> BaseException | None:
        """Wait until every source has given a frame or failed; the first failure."""
        for stream in self._parts.streams:
            stream.machine.connected.wait()
        return next((s.error for s in self._parts.streams if s.error is not None), None)

    def _supervise(self) -> None:
        self._await(lambda: all(stream.ended for stream in self._parts.streams))
        self._join_streams()
        self._join_deliveries()
        self._parts.engine.stop(self._limit(_GRACE))
        if self.error is not None:
            self._parts.reporter.error(
                EventType.INFERENCE_ERROR, CONTEXT, self.error, "inference_thread"
            )
        self._parts.reporter.info(EventType.INFERENCE_THREAD_FINISHED, CONTEXT)
        try:
            if self._parts.on_end is not None:
                self._parts.on_end()
        except Exception as error:  # noqa: BLE001 - the user's function; join() raises it
            self.error = self.error or error
        finally:
            self.done.set()

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

    def _join_streams(self) -> None:
        for stream in self._parts.streams:
            stream.join(self._limit(_GRACE))

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
