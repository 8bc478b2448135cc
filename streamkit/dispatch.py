"""From a pipeline's options to the deliveries of one run: a sink each, and the callbacks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from streamkit.buffering import VideoProcessingMode
from streamkit.delivery import Delivery, Write
from streamkit.errors import ConfigError
from streamkit.events import Reporter
from streamkit.options import OnPrediction, PipelineOptions, SinkMode
from streamkit.predictions import Result
from streamkit.sinks.base import Sink
from streamkit.way import Way

_PATIENCE = 1.2
"""Seconds which a sink that is taken out has for what waits for it."""


def deliveries_of(
    options: PipelineOptions, members: Callable[[], Sequence[int]], reporter: Reporter
) -> tuple[list[Delivery], Delivery | None]:
    """One for each sink, and the one that belongs on the thread that starts the run.

    ``members`` gives the ids of the sources there are. Raises what a sink is made with.
    """
    deliveries: list[Delivery] = []
    try:
        for number, given in enumerate(options.sinks):
            deliveries.append(delivery_to(given, number, reporter))
            _refuse_clash(deliveries)
    except BaseException:
        for delivery in deliveries:
            delivery.shut()
        raise
    if options.on_result is not None:
        deliveries.insert(0, _result_delivery(options.on_result, reporter))
    if options.on_prediction is not None:
        deliveries.insert(0, _callback(options.on_prediction, options, members, reporter))
    return deliveries, next((d for d in deliveries if d.main_thread), None)


def _refuse_clash(deliveries: Sequence[Delivery]) -> None:
    """Raise ``ConfigError`` where the last one shares a queue with another and means it otherwise:
    the messages of both would go one way."""
    *before, last = (delivery.receiver for delivery in deliveries)
    if last is not None and any(one is not None and last.clashes(one) for one in before):
        raise ConfigError(f"two sinks send to {last.name!r} in different ways: give each a name")


def delivery_to(given: Sink | Callable[[], Sink], number: int, reporter: Reporter) -> Delivery:
    """The way into one sink, the ``number``-th. Raises what the sink is made with."""
    sink = _made(given)
    name = f"{type(sink).__name__} {getattr(sink, 'path', number)}"
    delivery = Delivery.to(sink, name, reporter)
    delivery.given = given
    if (wants := getattr(given, "wants", None)) is not None:
        delivery.wants = wants
    return delivery


def _made(given: Sink | Callable[[], Sink]) -> Sink:
    """A sink as it is, or out of its class or function (a class looks like a sink, too)."""
    if isinstance(given, Sink) and not isinstance(given, type):
        return given
    return given()


def _result_delivery(on_result: Callable[[Result], Any], reporter: Reporter) -> Delivery:
    return Delivery("on_result", lambda batch: on_result(batch[0]), lambda: None, reporter)


def _callback(
    function: OnPrediction,
    options: PipelineOptions,
    members: Callable[[], Sequence[int]],
    reporter: Reporter,
) -> Delivery:
    adaptive = options.sink_mode is SinkMode.ADAPTIVE
    rounds = options.sink_mode is SinkMode.BATCH or (adaptive and len(members()) != 1)
    every = options.buffering.mode is VideoProcessingMode.EVERY_FRAME
    delivery = Delivery(
        "on_prediction",
        _in_rounds(function, members) if rounds else _one_by_one(function),
        lambda: None,
        reporter,
        capacity=options.queue_size if every else 1,
        rounds=rounds,
        max_wait=options.round_wait,
    )
    delivery.main_thread = True
    return delivery


def _one_by_one(function: Callable[[Any, Any], None]) -> Write:
    """Call ``function(prediction, frame)`` per frame, with plain dicts."""

    def write(results: Sequence[Result]) -> None:
        for result in results:
            function(result.wire, result.frame)

    return write


def _in_rounds(function: Callable[[Any, Any], None], members: Callable[[], Iterable[int]]) -> Write:
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


class Deliveries:
    """The sinks of one run; some may come and go while it lasts, and who goes through them sees all
    that there were when he began."""

    def __init__(
        self,
        deliveries: Sequence[Delivery],
        ways: Callable[[], Sequence[Way]],
        on_end: Callable[[], None],
        on_over: Callable[[], None],
    ) -> None:
        """``ways`` are those of the streams there are. ``on_end`` is called when a sink has been
        closed, ``on_over`` when one closed by itself."""
        self._ways = ways
        self._on_end, self._on_over = on_end, on_over
        self._lock = threading.Lock()
        self._now = tuple(deliveries)
        for delivery in deliveries:
            self._listen(delivery)

    def _listen(self, delivery: Delivery) -> None:
        delivery.on_end, delivery.on_over = self._on_end, self._on_over

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._now)

    def start(self, *, but: Delivery | None) -> None:
        """Each on a thread of its own; one is run by somebody else."""
        for delivery in self:
            if delivery is not but:
                delivery.start()

    def enter(self, delivery: Delivery) -> None:
        """One more, which starts."""
        self._listen(delivery)
        delivery.start()
        with self._lock:
            self._now = (*self._now, delivery)

    def rewire(self, delivery: Delivery) -> None:
        """Lead all streams that it wants into this one, and no others. One that is being opened
        comes by itself: it is not known yet what its stages hide."""
        for way in self._ways():
            if way.lane is not None:
                way.feed(delivery)

    def take_out(self, delivery: Delivery) -> None:
        """One less, within two seconds; what waits for it is written first."""
        with self._lock:
            self._now = tuple(each for each in self._now if each is not delivery)
        delivery.on_over = _nothing
        for way in self._ways():
            way.outlets.part(delivery)
        _end(delivery, time.monotonic())

    def forget(self, source_id: int) -> None:
        """This source is gone for good."""
        for delivery in self:
            delivery.forget(source_id)

    def close(self) -> None:
        """No more results for any of them; what waits is written."""
        for delivery in self:
            delivery.close()

    def abandon(self, until: float) -> None:
        """End all of them though the run has not begun."""
        for delivery in self:
            delivery.abandon()
        for delivery in self:
            delivery.join(until)


def _end(delivery: Delivery, now: float) -> None:
    delivery.close()
    if not delivery.inside() and not delivery.join(now + _PATIENCE):
        delivery.close(discard=True)
        delivery.join(now + 1.5 * _PATIENCE)


def _nothing() -> None:
    pass
