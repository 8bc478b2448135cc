"""One run of a pipeline: who starts whom, who is joined after whom, and what ended it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamkit.delivery import Delivery
from streamkit.dispatch import Deliveries
from streamkit.engine import Engine
from streamkit.errors import ClosedError
from streamkit.events import EventType, Reporter, Throttle
from streamkit.frame import VideoFrame
from streamkit.freshness.carry import Carrier
from streamkit.predictions import Result
from streamkit.quality import share_of
from streamkit.sources.base import Source
from streamkit.streams.exchange import ExchangeableSource
from streamkit.streams.steps import Stage
from streamkit.streams.stream import Stream
from streamkit.watchdog import PipelineWatchDog
from streamkit.way import Restaging, Way

log = logging.getLogger(__name__)

CONTEXT = "inference_pipeline"

_DRAIN = 0.6
"""Seconds which sinks have, once a run is stopped, for what already waits for them."""
_EVENTS = 1.0
"""The same of sinks that are there for events: streams may still be ending."""
_GRACE = 1.2
"""Seconds after which threads that sit in foreign code are left behind."""
_ROUND = 0.2
"""Seconds between two looks whether a stream's reader is stuck."""
_REMOVAL = 1.5
"""The same for the threads of a stream that is removed."""


@dataclass(frozen=True)
class Parts:
    """What a run is made of."""

    engine: Engine
    streams: Sequence[Stream]
    deliveries: Sequence[Delivery]
    stages: Callable[[Stream], Sequence[Callable[[], Stage]]]
    """Make one stream's stages: their state belongs to the stream."""
    reporter: Reporter
    watchdog: PipelineWatchDog
    on_start: Callable[[], None] | None = None
    """Called before the first source is opened, so that it is always before ``on_end``."""
    on_end: Callable[[], None] | None = None
    keep_alive: bool = False
    """Go on when no stream is left, until stopped."""


class Run:
    """Starts the streams, waits for them, then closes what they fed; left to right, always.

    No lock is held while a listener, a source or a stage is called: streams may be added and
    removed from anywhere. Who starts a stream looks afterwards whether it is still wanted.
    """

    def __init__(self, parts: Parts) -> None:
        self.error: BaseException | None = None
        self.done = threading.Event()
        self._parts = parts
        self.deliveries = Deliveries(parts.deliveries, self._present, self._wake, self.stop)
        self._changed = threading.Condition()
        self._ways = {stream.source_id: Way(stream) for stream in parts.streams}
        self._throttle = Throttle()
        self._going = 0
        """Streams that were launched and have not ended."""
        self._launching = 0
        self._open = False
        """Streams may be launched: between the start and the end of the last."""
        self._over = False
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
        self.deliveries.start(but=in_caller)
        if in_caller is not None:
            in_caller.thread_id = self._starter
        parts.reporter.info(EventType.INFERENCE_THREAD_STARTED, CONTEXT)
        if parts.on_start is not None:
            parts.on_start()
        with self._changed:
            self._open = True
            ways = list(self._ways.values())
            self._going, self._launching = len(ways), len(ways)
        self._launch(ways)
        self._supervisor.start()

    def _abandon(self) -> None:
        """Undo a start that failed half-way."""
        with self._changed:
            self._over = True
        self.stop()
        for way in self._present():
            way.close()
        self._join_streams(_GRACE)
        self._parts.engine.stop(time.monotonic() + _GRACE)
        self.deliveries.abandon(time.monotonic() + _GRACE)
        self.done.set()

    # -- streams -----------------------------------------------------------------------------

    def add(self, stream: Stream) -> None:
        """One stream more, unless the run is over. Raises what its stages are made with."""
        way = Way(stream, late=True)
        with self._changed:
            if self._over or self._stopped_at is not None or stream.gone:
                return
            self._ways[stream.source_id] = way
            if not self._open:  # it is started with the others
                return
            self._going += 1
            self._launching += 1
        self._launch([way])

    def remove(self, stream: Stream) -> None:
        """End one stream within two seconds; a thread of it that sits in foreign code is left."""
        with self._changed:
            way = self._ways.pop(stream.source_id, None)
            if way is None:
                return
            way.removed = True
            started = way.started
        if not started:
            return
        began = time.monotonic()
        way.stop()
        way.let_go()
        if not stream.inside():
            stream.join(began + _REMOVAL)
            way.close()  # events that wait there are written even so
            if left := stream.join(began + 1.1 * _REMOVAL):
                log.warning("left behind in a native call: %s", ", ".join(left))
        self.deliveries.forget(stream.source_id)

    def restaged(self, stream: Stream, makers: Sequence[Callable[[], Stage]]) -> Restaging:
        """Other stages for a stream; see ``Way.restaged``."""
        with self._changed:
            way = self._ways.get(stream.source_id)
        return way.restaged(makers) if way is not None and way.started else Restaging()

    def attach(self, delivery: Delivery) -> None:
        """One sink more, for all streams there are and come, unless the run is over."""
        with self._changed:
            wanted = not self._over and self._stopped_at is None
            if wanted:
                self.deliveries.enter(delivery)
        if wanted:
            self.deliveries.rewire(delivery)
        else:
            delivery.abandon()

    def _launch(self, ways: Sequence[Way]) -> None:
        """All ways are open before the first stream starts, so that rounds know whom to wait for.

        A run that ends meanwhile has nothing open any more: nothing starts then.
        """
        waiting = list(ways)
        try:
            for way, start in [(way, self._opened(way)) for way in ways]:
                if self._wanted(way):
                    start()
                    waiting.remove(way)
                    self._reconsider(way)
        except ClosedError:
            if self._stopped_at is None:
                raise
        finally:
            self._give_up(waiting)
            with self._changed:
                self._launching -= len(ways)
                self._changed.notify_all()

    def _wanted(self, way: Way) -> bool:
        with self._changed:
            way.started = not way.removed and self._stopped_at is None
            return way.started

    def _reconsider(self, way: Way) -> None:
        """Whoever stopped it while it was being started may have come too early."""
        with self._changed:
            unwanted = way.removed or self._stopped_at is not None
        if unwanted:
            way.stop()
            way.let_go()

    def _give_up(self, ways: Sequence[Way]) -> None:
        """These have not been started."""
        for way in ways:
            if way.started:  # half of it
                way.stop()
            way.close()
            way.release(time.monotonic() + _GRACE)
            with self._changed:
                self._ways.pop(way.stream.source_id, None)
                self._going -= 1
            self.deliveries.forget(way.stream.source_id)

    def _opened(self, way: Way) -> Callable[[], None]:
        """Open a stream's lanes."""
        parts, stream = self._parts, way.stream
        way.makers = parts.stages(stream)
        way.made = way.bound([make() for make in way.makers], parts.engine.models(stream.options))
        way.lane = lane = parts.engine.open(
            stream.dropped, lambda frame: self._taken(way, frame), stream.options, way.takers
        )
        for delivery in self.deliveries:
            way.feed(delivery)
        if way.late:
            way.rest(True)
        way.head = (Carrier(), self._note)
        stages: list[Stage] = [*way.head, *way.made]

        def ended(stream: Stream, fatal: bool) -> None:
            way.outlets.end()
            way.release(self._limit(_GRACE) or time.monotonic() + _GRACE)
            self._ended(stream, fatal)

        def adopt(source: Source) -> None:
            if isinstance(source, ExchangeableSource):
                source.on_exchange = adopt
            parts.engine.admit(lane, stream.options, source)
            lane.follow(stream.policy(live=source.live))
            way.outlets.adopt(live=source.live, burst=share_of(stream.options).stretch)

        return lambda: stream.start(lane, stages, way.outlets, adopt, ended)

    def _taken(self, way: Way, frame: VideoFrame) -> None:
        if way.late:
            way.late = False
            way.rest(way.stream.machine.resting)
        self._tell(self._parts.watchdog.on_model_inference_started, frame)

    def _present(self) -> list[Way]:
        with self._changed:
            return list(self._ways.values())

    def _note(self, result: Result) -> Result:
        if not result.inferred:
            return result
        frame, reporter = result.frame, self._parts.reporter
        self._tell(self._parts.watchdog.on_model_prediction_ready, frame)
        if reporter.handlers:
            reporter.debug(
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
        for way in self._present():
            way.stop()

    def inside(self) -> bool:
        """Whether the calling thread is one that the end of the run waits for."""
        parts, me = self._parts, threading.current_thread()
        return (
            me is self._supervisor
            or me.ident == self._starter
            or parts.engine.inside()
            or any(way.stream.inside() for way in self._present())
            or any(delivery.inside() for delivery in self.deliveries)
        )

    def connected(self) -> BaseException | None:
        """Wait until every source has given a frame or failed; the first failure."""
        streams = [way.stream for way in self._present()]
        for stream in streams:
            stream.machine.connected.wait()
        return next((s.error for s in streams if s.error is not None), None)

    def _supervise(self) -> None:
        for step in (self._wind_down, self._tell_the_end, self._parts.on_end):
            try:
                if step is not None:
                    step()
            except BaseException as error:  # noqa: BLE001 - a thread begins here; join() raises it
                self.error = self.error or error
        self.done.set()

    def _wind_down(self) -> None:
        while not self._await(self._idle, over=True, seconds=_ROUND):
            for way in self._present():
                way.stream.patrol()
        self._await_launches()
        self._join_streams(_DRAIN)
        self._join_deliveries()
        if left := self._join_streams(_GRACE):
            log.warning("left behind in a native call: %s", ", ".join(left))
        for way in self._present():
            way.release(self._limit(_GRACE) or time.monotonic() + _GRACE)
        self._parts.engine.stop(self._limit(_GRACE))

    def _tell_the_end(self) -> None:
        reporter = self._parts.reporter
        if self.error is not None:
            reporter.error(EventType.INFERENCE_ERROR, CONTEXT, self.error, "inference_thread")
        reporter.info(EventType.INFERENCE_THREAD_FINISHED, CONTEXT)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _idle(self) -> bool:
        return self._going == 0 and not self._parts.keep_alive

    def _await(
        self, happened: Callable[[], bool], *, over: bool = False, seconds: float | None = None
    ) -> bool:
        """Wait for ``happened``, or for being stopped; then it is ``over``, if told so."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: self._stopped_at is not None or happened(), seconds
            )
            self._over |= over and came
            return came

    def _await_launches(self) -> None:
        """Who is starting a stream at this moment has to see that it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._launching == 0, _DRAIN)

    def _limit(self, seconds: float) -> float | None:
        """Until when to wait: for ever in a run that ends by itself."""
        return None if self._stopped_at is None else self._stopped_at + seconds

    def _join_streams(self, seconds: float) -> list[str]:
        """Wait for the streams; the names of threads that are left."""
        streams = [way.stream for way in self._present()]
        return [name for stream in streams for name in stream.join(self._limit(seconds))]

    def _join_deliveries(self) -> None:
        deliveries = self.deliveries
        deliveries.close()
        self._await(lambda: all(delivery.finished for delivery in deliveries))
        for delivery in deliveries:
            if not delivery.join(self._limit(_EVENTS if delivery.takes_events else _DRAIN)):
                delivery.close(discard=True)
        for delivery in deliveries:
            if not delivery.join(self._limit(_GRACE)):
                log.warning("sink %s is still writing; it is left behind", delivery.name)
