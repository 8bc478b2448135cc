"""One source on its way through a pipeline: a reader thread and a stream thread, met in a lane."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, Final, Protocol

from streamkit.buffering import Buffering
from streamkit.errors import ClosedError
from streamkit.events import DropCause, EventType, Reporter
from streamkit.frame import VideoFrame
from streamkit.meters import Histogram, Tally
from streamkit.predictions import Result
from streamkit.recording.ring import PacketRing, RingOptions
from streamkit.scheduler import Lane, LanePolicy
from streamkit.sources.base import Source
from streamkit.streams.attempt import Attempt
from streamkit.streams.exchange import Exchange
from streamkit.streams.options import StreamOptions
from streamkit.streams.reader import Reader, account_for, tell
from streamkit.streams.reading import Reading
from streamkit.streams.state import CONTEXT, StateMachine, StreamState
from streamkit.streams.steps import Stage, Steps
from streamkit.streams.supervisor import Record, Supervisor


class OnEnd(Protocol):
    """Told that a stream has ended, and whether a model or stage failed rather than its source."""

    def __call__(self, stream: Stream, fatal: bool, /) -> None: ...


class Outlet(Protocol):
    """Where a stream's results go: its way into a sink, which takes those that it wants."""

    def put(self, item: Result) -> None: ...

    def rest(self, idle: bool) -> None: ...

    def close(self) -> None: ...


class Stream:
    """One source, across runs: its state, its account, its numbering.

    ``start`` makes two threads: the reader (source to lane: retries, numbers, thins) and the
    stream thread (lane to outlets: stages, delivery). Stopping travels by closing the lane.
    """

    def __init__(
        self,
        source_id: int,
        open_source: Callable[[], Source],
        reporter: Reporter,
        options: StreamOptions,
        buffering: Buffering,
    ) -> None:
        self.source_id = source_id
        self.buffering = buffering
        self.tally = Tally()
        self.source: Source | None = None
        self.error: BaseException | None = None
        self.machine = StateMachine(source_id, reporter)
        self.key: str | None = None
        """What a document calls it."""
        self.gone = False
        """It was removed from its pipeline, perhaps before anybody could start it."""
        self.options = options
        self.ring = PacketRing(RingOptions.of(options.keep_packets) or RingOptions())
        """Its latest packets, while it is to keep them."""
        self._exchange = Exchange(open_source)
        self._numbers = count(1)
        """Of its events, through all runs."""
        self._reporter = reporter
        self._outlets: Iterable[Outlet] = ()
        self._steps: Steps | None = None
        self._lock = threading.Lock()
        self._record = Record()
        self._supervisor = self._supervised(self.machine)
        self._reading: Reading | None = None
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """What it was called, or the source's printable reference, once it is known."""
        source = self.source
        if self.options.name is not None:
            return self.options.name
        return str(self.source_id) if source is None else source.reference

    def policy(self, *, live: bool) -> LanePolicy:
        """How its frames wait for the model."""
        return self.buffering.policy(live=live, max_staleness=self.options.max_staleness)

    @property
    def state(self) -> StreamState:
        """What it is doing."""
        return self.machine.state

    # -- the life of a run -------------------------------------------------------------------

    def start(
        self,
        lane: Lane[VideoFrame],
        stages: Sequence[Stage],
        outlets: Iterable[Outlet],
        adopt: Callable[[Source], None],
        on_end: OnEnd,
    ) -> None:
        """Read into ``lane``, which leads through the model back to the stages and ``outlets``.

        ``adopt`` is called when it is known what kind of source it is, ``on_end`` at the end,
        with whether a model or a stage failed rather than the source.
        """
        self.error = self.source = None
        self._lane, self._outlets = lane, outlets
        self._exchange.begin()
        self.ring.clear()
        self.machine = machine = StateMachine(self.source_id, self._reporter, self.state)
        self._supervisor = self._supervised(machine)
        machine.begin()
        self._reading = self._made_reading(machine, lane, adopt)
        steps = Steps(stages, self._reporter, lambda: self.name, self._numbers)
        self._steps = steps
        self._thread = threading.Thread(
            target=self._deliver,
            args=(machine, lane, steps, outlets, on_end),
            name=f"streamkit stream {self.source_id}",
            daemon=True,
        )
        self._reporter.info(EventType.CONSUMPTION_STARTED, CONTEXT, source_id=self.source_id)
        self._reading.start()
        self._thread.start()

    def _supervised(self, machine: StateMachine) -> Supervisor:
        """Who looks after one run; one left behind from an earlier run has its own."""
        reporter, options = self._reporter, self.options
        return Supervisor(
            machine, reporter, options, self.tally, self._record, self._rest, lambda: self.name
        )

    def _made_reading(
        self, machine: StateMachine, lane: Lane[VideoFrame], adopt: Callable[[Source], None]
    ) -> Reading:
        supervisor = self._supervisor

        def reader(attempt: Attempt) -> Reader:
            known = self.options, self.tally, supervisor, attempt, self.ring
            return Reader(machine, self._reporter, *known)

        def adopted(source: Source) -> None:
            with self._lock:
                wanted = not machine.stopped.is_set()
                if wanted:
                    self.source = source
            if wanted:
                adopt(source)

        def ended(error: BaseException | None) -> None:
            self._read_out(machine, supervisor, lane, error)

        return Reading(self.source_id, reader, self._exchange.open, adopted, lane, ended)

    def _read_out(
        self,
        machine: StateMachine,
        supervisor: Supervisor,
        lane: Lane[VideoFrame],
        error: BaseException | None,
    ) -> None:
        """The reader has ended."""
        supervisor.end()
        if error is not None:
            self._fail(error)
        self._reporter.info(EventType.CONSUMPTION_FINISHED, CONTEXT, source_id=self.source_id)
        machine.end(error)
        lane.close(error)

    def stop(self) -> None:
        """End the run, from any thread; returns at once. What is on its way is dropped, counted."""
        self.machine.terminate()
        if self._reading is not None:
            self._lane.close(discard=True)
            self._reading.interrupt()

    def patrol(self) -> None:
        """Look whether its source is stuck, and go on without the thread that is. Never waits."""
        if self._reading is not None:
            self._reading.patrol()

    def inside(self) -> bool:
        """Whether the calling thread is one of this stream's."""
        return threading.current_thread() in self._threads()

    def _threads(self) -> list[threading.Thread]:
        reading, thread = self._reading, self._thread
        threads = [*reading.threads, *reading.left] if reading is not None else []
        return threads if thread is None else [*threads, thread]

    def join(self, until: float | None = None) -> list[str]:
        """Wait for its threads, at most until ``until`` (monotonic seconds); who is left.

        Nobody waits without limit for one that was left behind in a native call.
        """
        left = self._reading.left if self._reading is not None else []
        for thread in self._threads():
            if thread.ident is None:  # Ctrl-C came before it was started
                continue
            if until is not None:
                thread.join(max(0.0, until - time.monotonic()))
            elif thread not in left:
                thread.join()
        return [thread.name for thread in self._threads() if thread.is_alive()]

    def switch(self, wanted: StreamState) -> None:
        """Pause (stop reading), mute (read and drop) or resume (RUNNING)."""
        self.machine.switch(wanted)
        self._rest()

    def adjust(self, options: StreamOptions) -> None:
        """Other options from the next frame on, without a gap. Raises ``ConfigError``, and changes
        nothing, where its consumer cannot do what is wanted."""
        source, reading = self.source, self._reading
        if reading is not None:
            self._lane.adjust(options)
            reading.adjust(options)
        self.options = options
        if source is not None:
            self._lane.follow(self.policy(live=source.live))

    def exchange(self, open_source: Callable[[], Source]) -> None:
        """Another source in place of the present one; frame ids and account go on."""
        self._exchange.replace(open_source)
        self._supervisor.hurry()

    def restage(
        self, stages: Sequence[Stage], leaving: Sequence[Stage], left: Callable[[], None]
    ) -> None:
        """Other stages in place of its own, from the next frame on; those that are ``leaving`` end
        before it, and ``left`` is called when they have."""
        if self._steps is not None:
            self._steps.exchange(stages, leaving, left)

    def _rest(self) -> None:
        with self._lock:
            idle = self.machine.resting
            self._lane.rest(idle)
            for outlet in self._outlets:
                outlet.rest(idle)

    def stats(self) -> dict[str, Any]:
        """The account: captured = delivered + dropped + in_flight; ages in seconds."""
        tally, source = self.tally, self.source
        return {
            "source_id": self.source_id,
            "source": self.name,
            "state": self.state.name,
            "total_frames": _total(source),
            "live": source.live if source else None,
            "decoding": getattr(source, "decoding", None),
            **tally.account(),
            "reconnects": tally.reconnects,
            **self._supervisor.stats(),
            "left_behind": self._left_behind(),
            "waiting": 0 if self._reading is None else self._lane.waiting,
            "fps": tally.fps,
            "ages": _ages(tally.age),
            "packets": self.ring.stats() if self.options.keep_packets else None,
            "age_p50": tally.age.quantile(0.5),
            "age_p95": tally.age.quantile(0.95),
            "age_p99": tally.age.quantile(0.99),
        }

    def _left_behind(self) -> int:
        """Threads that sit in calls which do not return: its own, and those of its connection."""
        shared: int = getattr(self.source, "left_behind", 0)
        return shared + (len(self._reading.left) if self._reading is not None else 0)

    def _fail(self, error: BaseException) -> None:
        self.error = error
        self._reporter.error(
            EventType.SOURCE_ERROR,
            CONTEXT,
            error,
            "stream_consumer_thread",
            source_id=self.source_id,
        )

    # -- the stream thread -------------------------------------------------------------------

    def _deliver(
        self,
        machine: StateMachine,
        lane: Lane[VideoFrame],
        steps: Steps,
        outlets: Iterable[Outlet],
        on_end: OnEnd,
    ) -> None:
        fatal = False
        try:
            for frame, prediction in lane:
                self._hand_on(frame, prediction, steps, outlets)
                lane.release()
        except BaseException as error:  # noqa: BLE001 - a thread begins here
            lane.close(error, discard=True, cause=DropCause.FAILED)
            if not machine.stopped.is_set():
                fatal = error is not self.error
                self.error = self.error or error
        finally:
            if (last := steps.end()) is not None:
                _put(last, outlets)
            for outlet in outlets:
                outlet.close()
            on_end(self, fatal)

    def _hand_on(
        self, frame: VideoFrame, prediction: Any, steps: Steps, outlets: Iterable[Outlet]
    ) -> None:
        try:
            result = steps(frame, prediction)
        except BaseException:
            self.dropped(frame, DropCause.FAILED)
            raise
        if isinstance(result, DropCause):
            self.dropped(frame, result)
            return
        _put(result, outlets)
        self.tally.deliver(frame.age)
        tell(self._reporter, EventType.FRAME_CONSUMED, CONTEXT, frame)

    def dropped(self, frame: VideoFrame, cause: DropCause) -> None:
        """Account for a frame of this stream that will not be delivered."""
        account_for(self.tally, self._reporter, frame, cause)


def _put(result: Result, outlets: Iterable[Outlet]) -> None:
    """Into each that still takes something."""
    for outlet in outlets:
        try:
            outlet.put(result)
        except ClosedError:  # cheaper than ``suppress``, once a frame and sink
            continue


AGES: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the histogram of ages, in seconds."""


def _ages(ages: Histogram) -> dict[str, Any]:
    """How many frames were at most so old at the sinks, how many there were, and their sum."""
    below = dict(zip(map(str, AGES), ages.below(AGES), strict=True))
    return {"count": ages.count, "sum": ages.total, "below": below}


def _total(source: Source | None) -> int:
    properties = source.properties if source else None
    return properties.total_frames if properties else -1
