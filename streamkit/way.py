"""One stream in a run: the lanes it leads through, and whether it is still wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamkit.delivery import Delivery, Intake
from streamkit.frame import VideoFrame
from streamkit.models.opened import StreamModels
from streamkit.predictions import Result
from streamkit.scheduler import Lane
from streamkit.streams.steps import Stage
from streamkit.streams.stream import Stream

_GRACE: Final = 1.0
"""Seconds for the runs of a model whose last user a stage was that leaves."""


class Outlets:
    """The ways of one stream into its sinks. Sinks come and go while the stream's thread goes
    through them: it sees all that there were when it began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._feeds: dict[Delivery, Intake] = {}
        self._now: tuple[Intake, ...] = ()
        self._kind: tuple[bool, int] | None = None

    def __iter__(self) -> Iterator[Intake]:
        return iter(self._now)

    def feed(self, delivery: Delivery) -> None:
        """Lead into this sink, too; ``ClosedError`` where it takes nothing any more."""
        with self._lock:
            if delivery in self._feeds:
                return
            self._feeds[delivery] = intake = delivery.open()
            self._now = tuple(self._feeds.values())
            if self._kind is not None:
                live, burst = self._kind
                delivery.adopt(intake, live=live, burst=burst)

    def part(self, delivery: Delivery) -> None:
        """Lead there no more; what waits there is written."""
        with self._lock:
            intake = self._feeds.pop(delivery, None)
            self._now = tuple(self._feeds.values())
        if intake is not None:
            intake.close()

    def adopt(self, *, live: bool, burst: int) -> None:
        """It is known what kind of stream it is."""
        with self._lock:
            self._kind = live, burst
            for delivery, intake in self._feeds.items():
                delivery.adopt(intake, live=live, burst=burst)


class _LetGo:
    """Leaves behind a stage that asked models, and is ended like one, on the stream's thread."""

    def __init__(self, models: StreamModels) -> None:
        self._models = models

    def __call__(self, result: Result) -> Result:
        return result

    def end(self, result: Result) -> Result:
        self._models.close(time.monotonic() + _GRACE)
        return result


@dataclass(eq=False)
class Way:
    """One stream in a run, and what it leads through."""

    stream: Stream
    lane: Lane[VideoFrame] | None = None
    outlets: Outlets = field(default_factory=Outlets)
    head: Sequence[Stage] = ()
    """Stages that every stream has."""
    makers: Sequence[Callable[[], Stage]] = ()
    """What made its others."""
    made: Sequence[Stage] = ()
    """They, in the same order."""
    started: bool = False
    removed: bool = False
    models: StreamModels | None = None
    """What its stages opened."""
    _asked: dict[int, StreamModels] = field(default_factory=dict)
    """Of those that did, by the stage (its ``id``)."""
    late: bool = False
    """Added to a run: nobody is to wait for it before its first frame."""

    def bound(self, stages: Sequence[Stage], models: StreamModels) -> Sequence[Stage]:
        """Its stages, with the models they ask loaded."""
        self.models = models
        for stage in stages:
            if (bind := getattr(stage, "bind", None)) is not None:
                self._asked[id(stage)] = own = models.branch()
                try:
                    bind(own)
                except BaseException:
                    own.close(time.monotonic() + _GRACE)
                    raise
        return stages

    def _without(self, leaving: Sequence[Stage]) -> Sequence[Stage]:
        """Behind stages that leave, what lets go of the models they asked."""
        asked = [self._asked.pop(id(stage), None) for stage in leaving]
        return [*leaving, *(_LetGo(models) for models in asked if models is not None)]

    def feed(self, delivery: Delivery) -> None:
        """Lead into this sink, if it wants what this stream gives; else no more."""
        stream = self.stream
        if not delivery.wants(stream.key):
            self.outlets.part(delivery)
        else:
            self.outlets.feed(delivery)
            private = any(getattr(stage, "redacts", False) for stage in self.made)
            ring = stream.ring if stream.options.keep_packets and not private else None
            delivery.introduce(stream.source_id, lambda: stream.name, ring)

    def restaged(self, makers: Sequence[Callable[[], Stage]]) -> Callable[[], None]:
        """Make those of its stages that it does not have, and how to go over to all of them with
        the next frame. One whose maker equals an old one's stays, with what it remembers. Raises
        what a stage is made with."""
        old = list(zip(self.makers, self.made, strict=True))
        stages: list[Stage] = []
        new: list[Stage] = []
        for make in makers:
            place = next((i for i, (known, _) in enumerate(old) if known == make), None)
            stage = make() if place is None else old.pop(place)[1]
            new += [stage] if place is None else []
            stages.append(stage)
        if self.models is not None:
            self.bound(new, self.models)

        def go_over() -> None:
            self.makers, self.made = tuple(makers), stages
            leaving = self._without([stage for _, stage in old])
            self.stream.restage([*self.head, *stages], leaving)

        return go_over

    def stop(self) -> None:
        """End its stream; what is on its way is dropped, counted."""
        self.stream.stop()
        if self.models is not None:
            self.models.interrupt()

    def close(self) -> None:
        """Let nothing more through: its thread has ended, or is left behind, or never began."""
        if self.lane is not None:
            self.lane.close(discard=True)
        for outlet in self.outlets:
            outlet.close(discard=True)

    def let_go(self) -> None:
        """Let nothing more through but the events with which its stream ends."""
        if self.lane is not None:
            self.lane.close(discard=True)
        for outlet in self.outlets:
            if not outlet.takes_events:
                outlet.close(discard=True)

    def release(self, until: float) -> None:
        """Its stages have been called for the last time: let go of what they opened."""
        if self.models is not None:
            self.models.close(until)

    def rest(self, idle: bool) -> None:
        """Whether somebody may wait for it."""
        if self.lane is not None:
            self.lane.rest(idle)
        for outlet in self.outlets:
            outlet.rest(idle)
