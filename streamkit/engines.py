"""The models of one pipeline: its own, and others that some of its sources want."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from streamkit.engine import Accept, ModelEngine, OnTake
from streamkit.errors import ClosedError, ConfigError
from streamkit.frame import VideoFrame
from streamkit.models.base import InferenceOptions
from streamkit.models.opened import StreamModels
from streamkit.scheduler import Lane, OnDrop, Takers
from streamkit.sources.base import Source
from streamkit.streams.options import StreamOptions


class Engines:
    """An ``Engine`` that leads each stream to the model it wants.

    A model of which nobody knew before the run is loaded when the source comes that wants it.
    """

    def __init__(
        self, model_id: Any, make: Callable[[Any], ModelEngine], others: Iterable[str | None] = ()
    ) -> None:
        """``others``: ids of models that sources want, ``None`` for the pipeline's own."""
        self._make, self._first = make, make(model_id)
        self._lock = threading.Lock()
        self._others = {name: make(name) for name in others if name is not None}
        self._started = False

    @property
    def _all(self) -> list[ModelEngine]:
        return [self._first, *self._others.values()]

    def load(self) -> None:
        """Load all of them: what is wrong with one is known before the start."""
        for engine in self._all:
            engine.load()

    def start(self) -> None:
        """See ``Engine``."""
        with self._lock:
            self._started = True
            for engine in self._all:
                engine.start()

    def open(
        self,
        on_drop: OnDrop[VideoFrame],
        on_take: OnTake,
        options: StreamOptions,
        takers: Takers = tuple,
    ) -> Lane[VideoFrame]:
        """See ``Engine``. Loads the model where nobody wanted it so far."""
        lane = self._of(options).open(on_drop, on_take, options, takers)
        _keep_model(lane, options)
        return lane

    def _of(self, options: StreamOptions) -> ModelEngine:
        name = options.model_id
        if name is None:
            return self._first
        return self._others.get(name) or self._fetched(name)

    def _fetched(self, name: str) -> ModelEngine:
        """Another one, in the middle of a run. Loading may take minutes: nobody waits for it who
        wants a model that is there, nor who wants to stop. Raises ``ClosedError`` then."""
        engine = self._make(name)
        engine.load()
        engine.start()
        with self._lock:
            known = self._others.get(name)
            if known is None and self._started:
                self._others = {**self._others, name: engine}
                return engine
        engine.stop(time.monotonic())
        if known is None:
            raise ClosedError("the pipeline is being stopped")
        return known

    def admit(self, lane: Lane[VideoFrame], options: StreamOptions, source: Source) -> None:
        """See ``Engine``."""
        self._of(options).admit(lane, options, source)
        _keep_model(lane, options)

    def stop(self, until: float | None = None) -> None:
        """See ``Engine``."""
        with self._lock:
            self._started = False
        for engine in self._all:
            engine.stop(until)

    def models(self, options: StreamOptions) -> StreamModels:
        """See ``Engine``."""
        return self._of(options).models(options)

    def names(self) -> Sequence[str]:
        """See ``Engine``: of the pipeline's own."""
        return self._first.names()

    def change(self, model_id: str, options: InferenceOptions, accept: Accept = any) -> None:
        """See ``Engine``: the pipeline's own; the others are asked for what sources want of them
        beside what is wanted of this one."""
        self._first.change(model_id, options, accept)
        for engine in self._others.values():
            engine.ask(options)

    def inside(self) -> bool:
        """See ``Engine``."""
        return any(engine.inside() for engine in self._all)

    def stats(self) -> dict[str, Any]:
        """Those of the pipeline's own model, with those of the ``others``, if there are any."""
        others = [engine.stats() for engine in self._others.values()]
        return {**self._first.stats(), **({"others": others} if others else {})}


def _keep_model(lane: Lane[VideoFrame], before: StreamOptions) -> None:
    """From now on the lane refuses to go over to another model."""
    adjust = lane.adjust

    def adjusted(after: StreamOptions) -> None:
        if before.model_id != after.model_id:
            raise ConfigError(
                "model: a source keeps its model; remove it, and add it with another one"
            )
        adjust(after)

    lane.adjust = adjusted
