"""From a pipeline's options to the deliveries of one run: a sink each, and the callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamkit.buffering import VideoProcessingMode
from streamkit.delivery import Delivery, in_rounds, one_by_one
from streamkit.events import Reporter
from streamkit.options import OnPrediction, PipelineOptions, SinkMode
from streamkit.predictions import Result
from streamkit.sinks.base import Sink


def deliveries_of(
    options: PipelineOptions, members: Callable[[], Sequence[int]], reporter: Reporter
) -> tuple[list[Delivery], Delivery | None]:
    """One for each sink, and the one that belongs on the thread that starts the run.

    ``members`` gives the ids of the sources there are. Raises what a sink is made with.
    """
    deliveries: list[Delivery] = []
    try:
        for number, given in enumerate(options.sinks):
            sink = _made(given)
            name = f"{type(sink).__name__} {getattr(sink, 'path', number)}"
            deliveries.append(Delivery.to(sink, name, reporter))
    except BaseException:
        for delivery in deliveries:
            delivery.shut()
        raise
    if options.on_result is not None:
        deliveries.insert(0, _result_delivery(options.on_result, reporter))
    if options.on_prediction is not None:
        deliveries.insert(0, _callback(options.on_prediction, options, members, reporter))
    return deliveries, next((d for d in deliveries if d.main_thread), None)


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
        in_rounds(function, members) if rounds else one_by_one(function),
        lambda: None,
        reporter,
        capacity=options.queue_size if every else 1,
        rounds=rounds,
        max_wait=options.round_wait,
    )
    delivery.main_thread = True
    return delivery
