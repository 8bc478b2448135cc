"""One stream in a run: the lanes it leads through, and whether it is still wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamkit.delivery import Delivery, Intake
from streamkit.errors import ClosedError
from streamkit.frame import VideoFrame
from streamkit.freshness.demand import Taker
from streamkit.models.opened import StreamModels
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
        self._over = False

    def __iter__(self) -> Iterator[Intake]:
        return iter(self._now)

    def feed(self, delivery: Delivery) -> bool:
        """Lead into this sink, too, and whether that is new. A stream that has ended leads nowhere,
        for the sink would wait for it, and none into a sink that takes nothing any more."""
        with self._lock:
            if self._over or delivery in self._feeds:
                return False
            try:
                self._feeds[delivery] = intake = delivery.open()
            except ClosedError:
                return False
            self._now = tuple(self._feeds.values())
            if self._kind is not None:
                live, burst = self._kind
                delivery.adopt(intake, live=live, burst=burst)
            return True

    def end(self, *, discard: bool = False) -> None:
        """Nothing comes any more."""
        with self._lock:
            self._over = True
        for intake in self:
            intake.close(discard=discard)

    def part(self, delivery: Delivery, *, discard: bool = False) -> bool:
        """Lead there no more, and whether it did; what waits there is written, or dropped."""
        with self._lock:
            intake = self._feeds.pop(delivery, None)
            self._now = tuple(self._feeds.values())
        if intake is not None:
            intake.close(discard=discard)
        return intake is not None

    def adopt(self, *, live: bool, burst: int) -> None:
        """It is known what kind of stream it is."""
        with self._lock:
            self._kind = live, burst
            for delivery, intake in self._feeds.items():
                delivery.adopt(intake, live=live, burst=burst)


@dataclass(frozen=True, slots=True)
class Restaging:
    """Other stages of one stream, made and ready."""

    go_over: Callable[[], None] = lambda: None
    """To them with the next frame; those that leave end before it."""
    give_up: Callable[[], None] = lambda: None
    """Let go of the new ones instead; nothing has changed."""


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
        try:
            for stage in stages:
                if (bind := getattr(stage, "bind", None)) is not None:
                    self._asked[id(stage)] = own = models.branch()
                    bind(own)
        except BaseException:
            self._unbind(stages)
            raise
        return stages

    def _unbind(self, stages: Sequence[Stage]) -> None:
        """Let go of the models that these stages asked."""
        until = time.monotonic() + _GRACE
        for stage in stages:
            if (models := self._asked.pop(id(stage), None)) is not None:
                models.close(until)

    def takers(self) -> Sequence[Taker]:
        """Who alone uses its results; nobody where a stage remembers what it sees."""
        if any(_remembers(stage) for stage in self.made):
            return ()
        return [outlet.taker for outlet in self.outlets if not outlet.takes_events]

    def feed(self, delivery: Delivery) -> None:
        """Lead into this sink, if it wants what this stream gives; else no more."""
        stream = self.stream
        if not delivery.wants(stream.key):
            records = delivery.takes_packets
            if self.outlets.part(delivery, discard=records) and records:
                delivery.forget(stream.source_id)  # else it would go on without results
        elif self.outlets.feed(delivery):
            private = any(getattr(stage, "redacts", False) for stage in self.made)
            ring = stream.ring if stream.options.keep_packets and not private else None
            delivery.introduce(stream.source_id, lambda: stream.name, ring)

    def restaged(self, makers: Sequence[Callable[[], Stage]]) -> Restaging:
        """Make those of its stages that it does not have. One whose maker equals an old one's
        stays, with what it remembers. Raises what a stage is made with."""
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
            leaving = [stage for _, stage in old]

            def left() -> None:
                _hand_over(leaving, new)
                self._unbind(leaving)

            self.stream.restage([*self.head, *stages], leaving, left)

        return Restaging(go_over, lambda: self._unbind(new))

    def stop(self) -> None:
        """End its stream; what is on its way is dropped, counted."""
        self.stream.stop()
        if self.models is not None:
            self.models.interrupt()

    def close(self) -> None:
        """Let nothing more through: its thread has ended, or is left behind, or never began."""
        if self.lane is not None:
            self.lane.close(discard=True)
        self.outlets.end(discard=True)

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


def _hand_over(leaving: Sequence[Stage], new: Sequence[Stage]) -> None:
    """What must go on although other options made another stage: see ``Stage.succeed``."""
    heirs = [stage for stage in new if hasattr(stage, "succeed")]
    for old in leaving:
        heir = next((each for each in heirs if type(each) is type(old)), None)
        if heir is not None:
            heirs.remove(heir)
            heir.succeed(old)


def _remembers(stage: Stage) -> bool:
    manifest = getattr(stage, "manifest", None)
    return manifest is None or manifest.stateful
