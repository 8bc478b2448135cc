"""What may be changed of a pipeline at any time: sources, their stages, sinks, the model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from streamkit.delivery import Delivery
from streamkit.dispatch import delivery_to
from streamkit.engine import Accept, Engine
from streamkit.errors import ConfigError
from streamkit.events import Reporter
from streamkit.options import (
    PipelineOptions,
    SourceReference,
    StreamPlan,
    inference_options,
    plan,
)
from streamkit.roster import Roster
from streamkit.run import Run
from streamkit.settings import Settings
from streamkit.sinks.base import Sink
from streamkit.streams.options import StreamOptions
from streamkit.streams.steps import Stage
from streamkit.streams.stream import Stream
from streamkit.way import Restaging


class Changeable:
    """The part of a pipeline that is concerned with changes; what is not changed does not notice.

    Each may be called in any state and from any thread, also in a callback.
    """

    _engine: Engine
    _options: PipelineOptions
    _reporter: Reporter
    _roster: Roster
    _lock: threading.RLock
    _deliveries: list[Delivery]
    _run: Run | None
    _numbers: Iterator[int]

    # -- sources, at any time ----------------------------------------------------------------

    def add_source(self, reference: Any, **options: Any) -> int:
        """One more source; its id, which no other source of this pipeline ever gets.

        ``options`` are those of its stream (``max_fps``, ``name``, ...) and of its adapter
        (``transport``, ``password``, ...). While running it starts at once, else with the next run;
        the other streams do not notice. May be called in a callback. Raises ``ConfigError``
        before anything starts; that it cannot be opened is told like any loss.
        """
        if not isinstance(reference, SourceReference):
            reference = SourceReference(reference)
        made = self.plan(replace(reference, options={**reference.options, **options}))
        with self._lock:
            stream, run = self._roster.enter(made), self._run
        self._roster.welcome(stream)
        try:
            if run is not None:
                run.add(stream)
        except BaseException:
            self.remove_source(stream.source_id)
            raise
        return stream.source_id

    def remove_source(self, source_id: int) -> dict[str, Any]:
        """End one source within two seconds; its final account, also kept in ``stats``.

        What is on its way is dropped and counted. A run whose last source is removed ends, unless
        the pipeline is to ``keep_alive``. Raises ``ConfigError`` for an id that is not there.
        """
        with self._lock:
            stream, run = self._roster.take_out(source_id), self._run
        if run is not None:
            run.remove(stream)
        return self._roster.bury(stream)

    def reconfigure_source(self, source_id: int, **changes: Any) -> None:
        """Change options of one source; ids of frames and account go on, others do not notice.

        Options of the stream take effect on the next frame. Options of the adapter, ``share`` and
        another ``reference`` let go of the present connection and open the new one. Returns at
        once. Raises ``ConfigError`` before anything is changed.
        """
        self._roster.reconfigure(source_id, changes)

    def plans(self) -> dict[int, StreamPlan]:
        """What is wanted of each source, by its id."""
        return self._roster.plans()

    def plan(self, reference: SourceReference) -> StreamPlan:
        """What would be wanted of a source that is added now. Raises ``ConfigError``."""
        return plan(reference, None, self._options.stream)

    def set_usual(self, options: StreamOptions) -> None:
        """What is wanted of sources that are added from now on and do not say otherwise."""
        with self._lock:
            self._options = replace(self._options, stream=options)

    # -- stages ------------------------------------------------------------------------------

    def restaged(self, source_id: int, makers: Sequence[Callable[[], Stage]]) -> Restaging:
        """Make other stages for one source, to go over to or to give up. Makers that equal old ones
        keep their stages, with what those remember; who leaves is ended, and its last events go
        with the next frame. Raises what a stage is made with, and ``ConfigError`` for an id that is
        not there; nothing has changed then."""
        (stream,) = self._roster.find(source_id)
        run = self._run
        made = run.restaged(stream, makers) if run is not None and self._running() else Restaging()

        def go_over() -> None:
            self._roster.restage(source_id, tuple(makers))
            made.go_over()

        return Restaging(go_over, made.give_up)

    def _makers_for(self, stream: Stream) -> Sequence[Callable[[], Stage]]:
        """A source that came from a document has its own."""
        own = self._roster.plans().get(stream.source_id)
        return self._options.stages if own is None or own.stages is None else own.stages

    # -- sinks -------------------------------------------------------------------------------

    def sinks(self) -> list[object]:
        """What the sinks of the present (or the next) run were made from, in order."""
        with self._lock:
            present = [delivery.given for delivery in self._deliveries if delivery.given]
            return present if self._running() else list(self._options.sinks)

    def made_sink(self, given: Sink | Callable[[], Sink]) -> Delivery | None:
        """Make a sink for the run that goes on, not yet in use; ``None`` without one. Raises what
        it is made with, and ``ConfigError`` for one that wants the main thread."""
        if not self._running():
            return None
        delivery = delivery_to(given, next(self._numbers), self._reporter)
        if delivery.main_thread:
            delivery.abandon()
            raise ConfigError(f"{delivery.name} wants the main thread: it takes a restart")
        return delivery

    def add_sink(self, given: Sink | Callable[[], Sink], made: Delivery | None = None) -> None:
        """One sink more, at once. ``made`` is what ``made_sink`` gave; else it is made now."""
        made = made or self.made_sink(given)
        with self._lock:
            self._options = replace(self._options, sinks=[*self._options.sinks, given])
            run = self._run if self._running() else None
            if run is not None and made is not None:
                self._deliveries.append(made)
        if made is not None and run is None:
            made.abandon()
        elif made is not None and run is not None:
            self._attach(run, given, made)

    def _attach(self, run: Run, given: object, made: Delivery) -> None:
        try:
            run.attach(made)
        except BaseException:  # it wants packets that some stream does not keep
            self.remove_sink(given)
            raise

    def remove_sink(self, given: object) -> None:
        """One sink less, by what it was made from: what waits for it is written, for a second and
        a bit, then it is closed. Raises ``ConfigError`` for one that is not there."""
        with self._lock:
            kept = _without(self._options.sinks, given)
            if kept is None:
                raise ConfigError("no such sink")
            self._options = replace(self._options, sinks=kept)
            gone = next((d for d in self._deliveries if d.given is given), None)
            run = self._run if self._running() else None
            if gone is not None and run is not None:
                self._deliveries.remove(gone)
        if gone is not None and run is not None:
            run.deliveries.take_out(gone)

    def rewire_sink(self, given: object, after: Sink | Callable[[], Sink]) -> None:
        """A sink goes on as it is, fed by those streams that ``after``, which would make the same,
        wants. Raises ``ConfigError`` for one that is not there."""
        with self._lock:
            sinks = list(self._options.sinks)
            place = next((i for i, each in enumerate(sinks) if each is given), None)
            if place is None:
                raise ConfigError("no such sink")
            sinks[place] = after
            self._options = replace(self._options, sinks=sinks)
            delivery = next((d for d in self._deliveries if d.given is given), None)
            run = self._run if self._running() else None
        if delivery is not None and run is not None:
            delivery.given, delivery.wants = after, getattr(after, "wants", delivery.wants)
            run.deliveries.rewire(delivery)

    def _running(self) -> bool:
        return self._run is not None and not self._run.done.is_set()

    # -- the model ---------------------------------------------------------------------------

    @property
    def class_names(self) -> Sequence[str]:
        """Of the pipeline's model; none where nobody knows (yet)."""
        return self._engine.names()

    def change_model(self, model_id: str, accept: Accept = any, **asked: Any) -> None:
        """Another model for all sources that use the pipeline's, from their next batch on, and
        what is wanted of it (``confidence``, ...). Raises what loading it raises, and what
        ``accept`` raises when it is told the new one's class names; nothing has changed then, as
        where others of this process use the present one, too."""
        self._engine.change(model_id, inference_options(Settings.load(), **asked), accept)
        for stream in self._roster.streams:
            stream.adjust(stream.options)


def _without(sinks: Sequence[Any], given: object) -> list[Any] | None:
    for number, each in enumerate(sinks):
        if each is given:
            return [*sinks[:number], *sinks[number + 1 :]]
    return None
