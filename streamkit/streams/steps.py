"""The stages of one stream during one run: in order, apart from each other, and ended with it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np

from streamkit.errors import (
    ClosedError,
    ConfigError,
    FrameWithheldError,
    StreamRequiredError,
    TrackingRequiredError,
)
from streamkit.events import DropCause, Event, EventType, Reporter, Throttle
from streamkit.frame import Image, VideoFrame
from streamkit.predictions import Result
from streamkit.streams.state import CONTEXT

log = logging.getLogger(__name__)

Stage: TypeAlias = Callable[[Result], Result]

_WRONG: Final = (ConfigError, StreamRequiredError, TrackingRequiredError)
"""What is wrong with the pipeline itself: no frame will ever pass."""
_KEPT: Final = 10_000
"""Events that wait at a stage which fails again and again; then the oldest are lost."""


@dataclass(frozen=True, slots=True)
class _Last:
    """What of the last result is needed to end with; not the result, which others have."""

    frame: VideoFrame
    prediction: Any
    drawn: Image | None


class Steps:
    """One stream's stages, called from its thread.

    A stage with a ``manifest`` that fails costs the stream that frame, never its events: they wait
    and pass the stage with the next frame. A stage without (a function of the user's) and what is
    wrong with the pipeline itself (``ConfigError``, ``TrackingRequiredError``,
    ``StreamRequiredError``) end the run.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        reporter: Reporter,
        name: Callable[[], str],
        numbers: Iterator[int],
    ) -> None:
        """``name`` of the stream, ``numbers`` for its events."""
        self._stages, self._reporter = stages, reporter
        self._name, self._numbers = name, numbers
        self._held: dict[int, deque[Event]] = {}
        """Events of frames that were lost, by the stage (its ``id``) they have not passed."""
        self._owed: tuple[Event, ...] = ()
        """What stages that left in the middle of the stream ended with."""
        self._throttle = Throttle()
        self._last: _Last | None = None
        self._next: deque[tuple[Sequence[Stage], Sequence[Stage], Callable[[], None]]] = deque()
        """Stages to go over to, those that leave, and whom to tell; by whoever changes the stream.
        """

    def exchange(
        self, stages: Sequence[Stage], leaving: Sequence[Stage], left: Callable[[], None]
    ) -> None:
        """Go over to these with the next frame; those that are ``leaving`` are ended first, and
        what they end with goes with that frame; then ``left`` is called. From any thread."""
        self._next.append((stages, leaving, left))

    def _go_over(self) -> None:
        while self._next:
            before = self._stages
            self._stages, leaving, left = self._next.popleft()
            if self._last is not None:
                self._part(before, leaving, self._last)
            left()

    def _part(self, before: Sequence[Stage], leaving: Sequence[Stage], last: _Last) -> None:
        """End those that leave. What they end with goes on to the next stage that stays, with the
        next frame; what none was behind of goes with that frame."""
        gone, staying = {id(stage) for stage in leaving}, {id(stage) for stage in self._stages}
        run: list[Stage] = []
        for stage in before:
            if id(stage) in gone:
                run.append(stage)
            elif run and id(stage) in staying:
                events = self._closed_with(run, last).events
                self._held.setdefault(id(stage), deque(maxlen=_KEPT)).extend(events)
                run = []
        if run:
            self._owed += self._closed_with(run, last).events

    def __call__(self, frame: VideoFrame, prediction: Any) -> Result | DropCause:
        """What comes out, or why nothing does. Raises what ends the run."""
        self._go_over()
        result = Result(frame, prediction, source=self._name())
        for stage in self._stages:
            result.events = events = self._with_held(stage, result.events)
            try:
                result = _result(stage(result), stage)
            except BaseException as error:  # told, or handed on to who ends the run
                self._held[id(stage)] = deque(events, _KEPT)
                self._last = self._last or _Last(_black(frame), None, None)
                if not isinstance(error, Exception) or _ends_the_run(stage, error):
                    raise
                if isinstance(error, ClosedError):  # it waited for a model; the stream is stopped
                    return DropCause.STOPPED
                self._tell(stage, error, frame)
                withheld = isinstance(error, FrameWithheldError)
                return DropCause.REDACTED if withheld else DropCause.FAILED
        self._last = _Last(result.frame, result.prediction, result.drawn)
        return self._numbered(self._with_owed(result))

    def end(self) -> Result | None:
        """End every stage that can be ended, once: what the stream closes with, where it closes
        with events. Never raises."""
        self._go_over()
        last, self._last = self._last, None
        if last is None:
            return None
        closing = self._with_owed(self._closed_with(self._stages, last))
        return self._numbered(closing) if closing.events else None

    def _closed_with(self, stages: Sequence[Stage], last: _Last) -> Result:
        closing = Result(
            last.frame,
            last.prediction,
            inferred=False,
            drawn=last.drawn,
            source=self._name(),
            closing=True,
        )
        for stage in stages:
            closing.events = events = self._with_held(stage, closing.events)
            closing.measures = {}
            try:
                if callable(end := getattr(stage, "end", None)):
                    closing.events = tuple(end(closing).events)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the others are to end, too
                closing.events = events
                self._tell(stage, error, last.frame)
        return closing

    def _with_held(self, stage: Stage, events: tuple[Event, ...]) -> tuple[Event, ...]:
        held = self._held.pop(id(stage), None)
        return (*held, *events) if held else events

    def _with_owed(self, result: Result) -> Result:
        if self._owed:
            result.events, self._owed = (*self._owed, *result.events), ()
        return result

    def _numbered(self, result: Result) -> Result:
        """In the order in which sinks get them; what a stage of somebody's did not say is added."""
        if result.events:
            result.events = tuple(
                replace(event, sequence=next(self._numbers), source=event.source or result.source)
                for event in result.events
            )
        return result

    def _tell(self, stage: Stage, error: BaseException, frame: VideoFrame) -> None:
        """Once a second, for every frame since."""
        count = self._throttle.tick()
        if not count:
            return
        name = _name_of(stage)
        log.warning(
            "%s: stage %s failed %d times, last: %r", self._name(), name, count, error,
            exc_info=error,
        )  # fmt: skip
        self._reporter.error(
            EventType.STAGE_FAILED,
            CONTEXT,
            error,
            "stream_stage",
            source_id=frame.source_id,
            frame_id=frame.frame_id,
            stage=name,
            count=count,
        )


def _name_of(stage: Stage) -> str:
    return str(getattr(stage, "__name__", type(stage).__name__))


def _result(given: object, stage: Stage) -> Result:
    if not isinstance(given, Result):
        raise TypeError(f"stage {_name_of(stage)} gave {given!r:.80} instead of a result")
    return given


def _black(frame: VideoFrame) -> VideoFrame:
    """``frame`` without its picture, which perhaps nobody was to see."""
    width, height = frame.size
    return VideoFrame(
        np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3)),
        frame.frame_id,
        frame.timestamp,
        source_id=frame.source_id,
        comes_from_video_file=frame.comes_from_video_file,
        clock=frame.clock,
        uncertainty=frame.uncertainty,
        captured_at=frame.captured_at,
    )


def _ends_the_run(stage: Stage, error: Exception) -> bool:
    """Nobody said that this stage may lose a frame, or it would lose all of them."""
    if isinstance(error, FrameWithheldError):
        return False
    return not hasattr(stage, "manifest") or isinstance(error, _WRONG)
