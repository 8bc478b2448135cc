"""Results on their way into one sink: a fair inbox with a lane per stream, and one thread."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeAlias

from streamkit.clock import HEED
from streamkit.errors import ClosedError, ConfigError
from streamkit.events import DropCause, EventType, Reporter, Throttle
from streamkit.freshness.demand import Lately, Taker
from streamkit.meters import Histogram
from streamkit.packets import Packets
from streamkit.predictions import Result
from streamkit.scheduler import FINITE, Lane, LanePolicy, Overflow, Scheduler, Ticket
from streamkit.sinks.base import Arrival, Hooks, Sink

log = logging.getLogger(__name__)

Write: TypeAlias = Callable[[Sequence[Result]], None]
_EVENTFUL = 64
"""Results with events of one stream that may wait for a sink that loses none."""


class Intake:
    """A stream's way into one sink: a lane, and what it lets through."""

    def __init__(
        self,
        lane: Lane[Result],
        *,
        takes_events: bool,
        lost: Callable[[], None],
        taker: Callable[[int], Taker],
    ) -> None:
        """``lost`` is told of events that came too late; ``taker`` says of a number of results that
        wait when the sink will come to them."""
        self.lane = lane
        self._taker = taker
        self._lost = lost
        self.takes_events = takes_events
        """Only results with events pass; else all do but those that close a stream."""

    def put(self, result: Result) -> None:
        """Offer a result. ``ClosedError`` once closed."""
        if not self.takes_events:
            if not result.closing:
                self.lane.put(result)
        elif result.events:
            try:
                self.lane.put(result)
            except ClosedError:
                self._lost()
                raise

    @property
    def taker(self) -> Taker:
        """The sink, as this stream sees it."""
        return self._taker(self.lane.waiting)

    def rest(self, idle: bool) -> None:
        """Whether somebody may wait for it."""
        self.lane.rest(idle)

    def close(self, *, discard: bool = False) -> None:
        """No more results. What waits is written, or dropped on ``discard``; events never are."""
        self.lane.close(discard=discard and not self.takes_events)


class Delivery:
    """One sink of a pipeline. A slow or failing sink loses its own results, counted, nobody else's.

    ``write`` gets one result at a time or, with ``rounds``, at most one result of each stream there
    is, gathered for at most ``max_wait`` seconds while live streams are among them.
    """

    def __init__(  # noqa: PLR0913 - how one sink is fed
        self,
        name: str,
        write: Write,
        close: Callable[[], None],
        reporter: Reporter,
        *,
        capacity: int = 1,
        rounds: bool = False,
        max_wait: float = 0.0,
        hooks: Hooks | None = None,
    ) -> None:
        self._hooks = hooks or Hooks()
        self.name = name
        self.given: object = None
        """What it was made from."""
        self.wants: Callable[[str | None], bool] = lambda _key: True
        """Whether results of the stream with this key go there."""
        self.takes_packets = False
        """It records streams as they came: they have to keep their packets."""
        self.main_thread = False
        """It wants to be run by the thread that starts the pipeline."""
        self.written = 0
        self.failed = 0
        self.error: Exception | None = None
        """What the sink failed with last."""
        self.dropped: Counter[DropCause] = Counter()
        self._counting = threading.Lock()
        self.age = Histogram()
        self._began: float | None = None
        """When the sink began with what it is about."""
        self._paces = Lately()
        self._write, self._close = write, close
        self._throttle = Throttle()
        self._reporter = reporter
        self._rounds = rounds
        self._capacity = max(capacity, 2 if rounds else 1)
        self._inbox: Scheduler[Result] = Scheduler(
            sys.maxsize if rounds else 1, max_wait if rounds else 0.0, one_per_lane=True
        )
        self._due = None if self._hooks.every is None else time.monotonic()
        """When the sink is to be called though nothing comes."""
        self._news: deque[tuple[int, Arrival | None]] = deque(maxlen=4096)
        """Sources that came, and those that are gone, in that order; the sink does not know yet."""
        self._known: set[int] = set()
        """Sources that it knows."""
        self.on_end: Callable[[], None] = lambda: None
        """Called when the sink has been closed."""
        self.on_over: Callable[[], None] = lambda: None
        """Called when the sink has closed by itself: somebody shut the window."""
        self.thread_id: int | None = None
        """The thread that calls the sink, or is about to."""
        self._finished = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def to(cls, sink: Sink, name: str, reporter: Reporter) -> Delivery:
        """The delivery into a native sink, one result at a time."""

        def write(results: Sequence[Result]) -> None:
            sink.write(results[0])
            if getattr(sink, "closed", False):
                delivery.on_over()

        hooks = Hooks.of(sink)
        capacity = int(getattr(sink, "capacity", 1))
        capacity = max(capacity, _EVENTFUL) if hooks.takes_events else capacity
        delivery = cls(name, write, sink.close, reporter, capacity=capacity, hooks=hooks)
        delivery.main_thread = bool(getattr(sink, "main_thread", False))
        delivery.takes_packets = bool(getattr(sink, "takes_packets", False))
        return delivery

    @property
    def takes_events(self) -> bool:
        """It gets only results that have events, and loses none: live streams wait for it, too."""
        return self._hooks.takes_events

    @property
    def receiver(self) -> Any:
        """Whom it sends to, if it sends."""
        return self._hooks.receiver

    def open(self) -> Intake:
        """A stream's way into this sink; ``adopt`` tells it what kind of stream that is."""
        lane = self._inbox.open(FINITE, on_drop=self._drop)
        return Intake(
            lane,
            takes_events=self.takes_events,
            lost=lambda: self._count(DropCause.STOPPED),
            taker=self._taker,
        )

    def _taker(self, waiting: int) -> Taker:
        """A sink of rounds waits for its slowest stream: nobody can say for how long."""
        began, pace = self._began, 0.0 if self._rounds else self._paces.least
        return Taker(-math.inf if began is None else began + pace, pace, waiting)

    def adopt(self, intake: Intake, *, live: bool, burst: int = 1) -> None:
        """Results of a live stream never wait for a slow sink; those of a finite one always do,
        and so do events.

        ``burst`` of them come at a time where a stream carries predictions between inferences.
        """
        drops = live or not self._hooks.waited_for
        policy = LanePolicy(max(self._capacity, burst)) if drops else FINITE
        if self.takes_events:
            policy = LanePolicy(self._capacity, Overflow.WAIT)
        intake.lane.follow(policy)

    def forget(self, source_id: int) -> None:
        """This source is gone for good: its sink is told, on its own thread."""
        if self._hooks.forget is not None:
            self._news.append((source_id, None))

    def introduce(self, source_id: int, name: Callable[[], str], packets: Packets | None) -> None:
        """A stream is about to start: its sink is told, on its own thread. Raises ``ConfigError``
        where it needs packets that are not kept."""
        if self.takes_packets and packets is None:
            raise ConfigError(
                f"{self.name} records the packets of every stream: give {name()} the option "
                "keep_packets: true, or record annotated video (the sink 'video') instead"
            )
        if self._hooks.follow is not None:
            self._news.append((source_id, (name, packets)))

    def _drop(self, _result: Result, cause: DropCause) -> None:
        self._count(cause)

    def _count(self, cause: DropCause) -> None:
        with self._counting:
            self.dropped[cause] += 1

    # -- the sink's thread -------------------------------------------------------------------

    def start(self) -> None:
        """Write from a thread of its own."""
        self._thread = threading.Thread(
            target=self.run, name=f"streamkit sink {self.name}", daemon=True
        )
        self._thread.start()

    def run(self) -> None:
        """Write until closed and drained, in the calling thread; then close the sink.

        Ctrl-C or ``sys.exit()`` in a callback ends the run; nobody waits for this sink any more.
        """
        self.thread_id = threading.get_ident()
        try:
            for batch in self._batches():
                if batch:
                    self._offer([ticket.item for ticket in batch])
                for ticket in batch:
                    ticket.complete()
                self._keep_time()
            self._see_out()
        except BaseException:  # a thread begins here, unless it is the caller's
            self.on_over()
            if self._thread is None:
                raise
        finally:
            self.close(discard=True)
            self._finish()

    def _batches(self) -> Iterator[list[Ticket[Result]]]:
        """What there is to write; nothing when the sink is to be called all the same."""
        while True:
            until = self._due
            if self._thread is None:  # the caller's thread
                heard = time.monotonic() + HEED
                until = heard if until is None else min(until, heard)
            try:
                yield self._inbox.take(until)
            except ClosedError:
                return

    def _keep_time(self) -> None:
        """Let a sink that wants it do what has to be done whether or not anything comes."""
        if self._hooks.every is None or self._due is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._hooks.every
        try:
            self._hear()
            self._hooks.tick()
        except Exception as error:  # noqa: BLE001 - a sink must not end the pipeline
            self._report(error)

    def _see_out(self) -> None:
        """All is written; a sink that sends gets the time it needs for that, unless hurried."""
        try:
            self._hooks.drain()
        except Exception as error:  # noqa: BLE001 - a sink must not end the pipeline
            self._report(error)

    def _finish(self) -> None:
        if self.takes_events and (lost := self.dropped.total()):
            log.warning("sink %s: %d results with events were not written", self.name, lost)
        try:
            self.shut()
        finally:
            self.thread_id = None
            self._finished.set()
            self.on_end()

    def _offer(self, results: list[Result]) -> None:
        for result in results:
            if not result.closing:
                self.age.add(result.frame.age)
        present = {result.frame.source_id or 0 for result in results}
        self._began = began = time.monotonic()
        try:
            self._hear(but=present)
            self._known |= present if self._hooks.forget is not None else set()
            self._write(results)
            self._hear()
        except Exception as error:  # noqa: BLE001 - a sink must not end the pipeline
            self.failed += len(results)
            self._report(error)
        else:
            self.written += len(results)
        self._paces.add(time.monotonic() - began)
        self._began = None

    def _hear(self, but: Collection[int] = ()) -> None:
        """Tell the sink who came, and let it forget who is gone; what is under way of ``but`` is
        written first."""
        for _ in range(len(self._news)):
            source_id, came = self._news.popleft()
            if came is not None and self._hooks.follow is not None:
                self._known.add(source_id)
                self._hooks.follow(source_id, *came)
            elif source_id in but:
                self._news.append((source_id, None))
            elif source_id in self._known and self._hooks.forget is not None:
                self._known.discard(source_id)
                self._hooks.forget(source_id)

    def shut(self) -> None:
        """Close the sink; what it fails with is told."""
        try:
            self._close()
        except Exception as error:  # noqa: BLE001 - a sink must not end the pipeline
            self.failed += 1
            self._report(error)

    def _report(self, error: Exception) -> None:
        self.error = error
        if count := self._throttle.tick():
            log.warning("sink %s failed %d times, last: %s", self.name, count, error)
        self._reporter.error(
            EventType.DISPATCHING_ERROR,
            "inference_pipeline",
            error,
            "inference_results_dispatching",
            sink=self.name,
        )

    # -- the end -----------------------------------------------------------------------------

    def close(self, *, discard: bool = False) -> None:
        """No more results; what waits is written first, or dropped and counted on ``discard``."""
        if discard:
            self._hooks.hurry()
        self._inbox.close(discard=discard)

    def join(self, until: float | None = None) -> bool:
        """Wait until the sink is closed, at most until ``until``: whether it is."""
        ended = self._finished.wait(None if until is None else max(0.0, until - time.monotonic()))
        if ended and self._thread is not None:
            self._thread.join()
        return ended

    @property
    def finished(self) -> bool:
        """The sink is closed."""
        return self._finished.is_set()

    def inside(self) -> bool:
        """Whether the calling thread is the one that calls the sink."""
        return threading.get_ident() == self.thread_id

    def abandon(self) -> None:
        """End it though the run has not begun."""
        self.close(discard=True)
        if self._thread is None:
            self._finish()

    def stats(self) -> dict[str, Any]:
        """What became of the results offered to this sink."""
        with self._counting:
            dropped = {cause.name.lower(): count for cause, count in self.dropped.items()}
        return {
            "sink": self.name,
            "written": self.written,
            "failed": self.failed,
            "error": None if self.error is None else str(self.error),
            "dropped": dropped,
            "waiting": self._inbox.waiting,
            "age_p50": self.age.quantile(0.5),
            "age_p95": self.age.quantile(0.95),
            "age_p99": self.age.quantile(0.99),
            **self._hooks.stats(),
        }
