"""Results on their way into one sink: a fair inbox with a lane per stream, and one thread."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeAlias

from streamkit.events import DropCause, EventType, Reporter, Throttle
from streamkit.meters import Histogram
from streamkit.predictions import Result
from streamkit.scheduler import FINITE, Lane, LanePolicy, Scheduler
from streamkit.sinks.base import Sink

log = logging.getLogger(__name__)

Write: TypeAlias = Callable[[Sequence[Result]], None]


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
        forget: Callable[[int], None] | None = None,
    ) -> None:
        self.name = name
        self.main_thread = False
        """It wants to be run by the thread that starts the pipeline."""
        self.written = 0
        self.failed = 0
        self.error: Exception | None = None
        """What the sink failed with last."""
        self.dropped: Counter[DropCause] = Counter()
        self._counting = threading.Lock()
        self.age = Histogram()
        self._write, self._close = write, close
        self._throttle = Throttle()
        self._reporter = reporter
        self._capacity = max(capacity, 2 if rounds else 1)
        self._inbox: Scheduler[Result] = Scheduler(
            sys.maxsize if rounds else 1, max_wait if rounds else 0.0, one_per_lane=True
        )
        self._forget = forget
        self._known: set[int] = set()
        """Sources of which results were written."""
        self._gone: deque[int] = deque(maxlen=4096)
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

        capacity = int(getattr(sink, "capacity", 1))
        forget = getattr(sink, "forget", None)
        delivery = cls(name, write, sink.close, reporter, capacity=capacity, forget=forget)
        delivery.main_thread = bool(getattr(sink, "main_thread", False))
        return delivery

    def open(self) -> Lane[Result]:
        """A stream's lane into this sink; ``adopt`` tells it what kind of stream that is."""
        return self._inbox.open(FINITE, on_drop=self._drop)

    def adopt(self, lane: Lane[Result], *, live: bool, burst: int = 1) -> None:
        """Results of a live stream never wait for a slow sink; those of a finite one always do.

        ``burst`` of them come at a time where a stream carries predictions between inferences.
        """
        lane.follow(LanePolicy(max(self._capacity, burst)) if live else FINITE)

    def forget(self, source_id: int) -> None:
        """This source is gone for good: its sink is told, on its own thread."""
        if self._forget is not None:
            self._gone.append(source_id)

    def _drop(self, _result: Result, cause: DropCause) -> None:
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
            for batch in self._inbox:
                self._offer([ticket.item for ticket in batch])
                for ticket in batch:
                    ticket.complete()
        except BaseException:  # a thread begins here, unless it is the caller's
            self.on_over()
            if self._thread is None:
                raise
        finally:
            self.close(discard=True)
            self._finish()

    def _finish(self) -> None:
        try:
            self.shut()
        finally:
            self.thread_id = None
            self._finished.set()
            self.on_end()

    def _offer(self, results: list[Result]) -> None:
        for result in results:
            self.age.add(result.frame.age)
        present = {result.frame.source_id or 0 for result in results}
        try:
            self._clear(but=present)
            self._known |= present if self._forget is not None else set()
            self._write(results)
            self._clear()
        except Exception as error:  # noqa: BLE001 - a sink must not end the pipeline
            self.failed += len(results)
            self._report(error)
        else:
            self.written += len(results)

    def _clear(self, but: Collection[int] = ()) -> None:
        """Let the sink forget who is gone; what is under way of ``but`` is written first."""
        for _ in range(len(self._gone)):
            source_id = self._gone.popleft()
            if source_id in but:
                self._gone.append(source_id)
            elif source_id in self._known and self._forget is not None:
                self._known.discard(source_id)
                self._forget(source_id)

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
            "age_p50": self.age.quantile(0.5),
            "age_p95": self.age.quantile(0.95),
            "age_p99": self.age.quantile(0.99),
        }


def one_by_one(function: Callable[[Any, Any], None]) -> Write:
    """Call ``function(prediction, frame)`` per frame, with plain dicts."""

    def write(results: Sequence[Result]) -> None:
        for result in results:
            function(result.wire, result.frame)

    return write


def in_rounds(function: Callable[[Any, Any], None], members: Callable[[], Iterable[int]]) -> Write:
    """Call ``function(predictions, frames)`` per round: lists aligned to the ``members`` there are,
    in the order of their ids, ``None`` where one has nothing in this round. A result that was under
    way when its source was removed has a place, too."""

    def write(results: Sequence[Result]) -> None:
        found = {result.frame.source_id or 0: result for result in results}
        places = [found.get(source_id) for source_id in sorted({*members(), *found})]
        function(
            [None if result is None else result.wire for result in places],
            [None if result is None else result.frame for result in places],
        )

    return write
