"""From a source into a lane: numbering, counting, thinning; connecting again after a loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from streamkit.clock import Pacer, Thinner
from streamkit.errors import SourceError, StreamErrorCode
from streamkit.events import DropCause, EventType, Reporter
from streamkit.frame import Clock, VideoFrame
from streamkit.freshness.gate import GateOptions, MotionGate
from streamkit.meters import Rate, Tally
from streamkit.recording.ring import PacketRing, RingOptions
from streamkit.scheduler import Lane
from streamkit.sources.base import Capture, Source, Thrifty, keep_packets
from streamkit.streams.attempt import Attempt
from streamkit.streams.health import WHAT
from streamkit.streams.options import StreamOptions
from streamkit.streams.state import CONTEXT, StateMachine, StreamState
from streamkit.streams.supervisor import Supervisor

_CONSUMER = "video_source.video_consumer"
_LOST = StreamErrorCode.LOST


Check: TypeAlias = Callable[[VideoFrame], DropCause | None]
"""Why a frame goes no further, or ``None``."""


@dataclass(eq=False)
class Reader:
    """Reads one source; everything that is specific to one stream, and nothing of threads."""

    machine: StateMachine
    reporter: Reporter
    options: StreamOptions
    tally: Tally
    supervisor: Supervisor
    attempt: Attempt
    """Entered for every call into the source, so that others see where it is stuck."""
    ring: PacketRing
    """Its latest packets, while they are to be kept."""

    def adjust(self, options: StreamOptions) -> None:
        """Other options from the next frame on, from any thread."""
        self.options = options
        self.supervisor.adjust(options)

    def feed(self, source: Source, lane: Lane[VideoFrame]) -> None:
        """Everything ``source`` gives, through losses and pauses, into ``lane``.

        Returns at the end or when stopped; ``ClosedError`` when the lane is closed, or when the
        attempt was given up. What a source fails with for good is raised.
        """
        take = self._intake(source, lane)
        while self.await_resume():
            try:
                self._attend(source, take)
                if not source.live:
                    return
            except SourceError as error:
                self.lost(error, live=source.live)
                self.supervisor.wait()

    def _intake(self, source: Source, lane: Lane[VideoFrame]) -> Callable[[Capture], None]:
        """What happens to each capture: numbered, judged, checked, and offered or dropped."""
        held, checks, rate = (self.options, source.live), self._checks(source), Rate()

        def take(capture: Capture) -> None:
            nonlocal held, checks
            if held[0] is not self.options or held[1] is not source.live:
                held, checks = (self.options, source.live), self._checks(source)
            for _ in range(capture.missed):
                self.tally.capture()
                self.tally.drop(DropCause.NEWER)
            arrived = capture.arrived or time.monotonic()
            frame = self._frame(source, capture, arrived, rate.tick(arrived))
            tell(self.reporter, EventType.FRAME_CAPTURED, CONTEXT, frame)
            was_lost = self.supervisor.outage is not None
            cause = self._judged(source, frame, checks, concealed=capture.concealed)
            if was_lost and self.supervisor.outage is None:
                lane.expire()  # nothing from before is passed off as new
            if cause is None:
                self._offer(lane, frame)
            else:
                self.drop(frame, cause)

        return take

    def _judged(
        self, source: Source, frame: VideoFrame, checks: list[Check], *, concealed: bool
    ) -> DropCause | None:
        try:
            self._note_size(source, frame)
            unfit = self._unfit(frame, concealed=concealed) if source.live else None
            if unfit is not None:
                return unfit
            self.supervisor.good(frame.captured_at)
            return next((cause for check in checks if (cause := check(frame))), None)
        except BaseException:
            self.drop(frame, DropCause.FAILED)
            raise

    def _unfit(self, frame: VideoFrame, *, concealed: bool) -> DropCause | None:
        """What is wrong with a live picture, unless it is wanted all the same."""
        health, now = self.supervisor.health, frame.captured_at
        if concealed:
            health.damaged(now)
        else:
            health.clean()
            if health.due(now):
                health.look(frame.luma, now)
        self.supervisor.judged(now)
        if concealed and not self.options.accept_concealed:
            return DropCause.CONCEALED
        return DropCause.FROZEN if health.frozen and not self.options.accept_frozen else None

    def _note_size(self, source: Source, frame: VideoFrame) -> None:
        """Tell when the picture has another size than before, also after a reconnection."""
        codec = getattr(source.properties, "codec", None)
        now, before = (frame.size, codec), (self.supervisor.size, self.supervisor.codec)
        if now == before:
            return
        self.supervisor.size, self.supervisor.codec = now
        if before[0] is None:
            return
        if source.properties is not None and source.live:
            width, height = frame.size
            source.properties = replace(source.properties, width=width, height=height)
        self.supervisor.health.reset()
        self.supervisor.changed(_format(*before), _format(*now))

    def _offer(self, lane: Lane[VideoFrame], frame: VideoFrame) -> None:
        try:
            lane.put(frame)
        except BaseException:
            self.drop(frame, DropCause.STOPPED)
            raise

    def drop(self, frame: VideoFrame, cause: DropCause) -> None:
        """Account for a frame that will not be delivered."""
        account_for(self.tally, self.reporter, frame, cause)

    def _frame(
        self, source: Source, capture: Capture, arrived: float, measured: float
    ) -> VideoFrame:
        declared = source.properties.fps if source.properties else 0.0
        number = self.tally.capture()
        try:
            return VideoFrame(
                capture.picture,
                number,
                capture.timestamp,
                fps=declared or None,
                measured_fps=measured if source.live else declared or None,
                source_id=self.machine.source_id,
                comes_from_video_file=not source.live,
                clock=capture.clock,
                uncertainty=capture.uncertainty,
                captured_at=arrived,
                packets=self.ring if self.options.keep_packets else None,
            )
        except Exception:  # a source that gives no proper captures
            self.tally.drop(DropCause.FAILED)
            raise

    def _checks(self, source: Source) -> list[Check]:
        """What a frame has to pass on its way into the lane, in this order."""
        gate = GateOptions.of(self.options.motion_gate)
        return [self._unmuted, self._rate(source), *([MotionGate(gate)] if gate else [])]

    def _unmuted(self, _frame: VideoFrame) -> DropCause | None:
        return DropCause.MUTED if self.machine.state is StreamState.MUTED else None

    def _rate(self, source: Source) -> Check:
        fps = self.options.max_fps
        if fps is None:
            return lambda _frame: None
        if source.live or self.options.thin_files:
            thinner = Thinner(fps)
            return lambda frame: None if thinner.passes(_seconds(frame)) else DropCause.RATE
        pacer = Pacer(fps)
        return lambda _frame: pacer.wait(self.machine.stopped)

    # -- connecting, losing, reconnecting ----------------------------------------------------

    def await_resume(self) -> bool:
        """Wait while paused; whether the run goes on."""
        began = time.monotonic()
        goes_on = self.machine.await_resume()
        self.supervisor.passed(time.monotonic() - began)
        return goes_on

    def _attend(self, source: Source, take: Callable[[Capture], None]) -> None:
        """One go at the source. A pause holds a finite one; a live one is let go, so that what
        comes after the pause is new."""
        self.attempt.anew()
        self.supervisor.health.reconnected()
        told = self._tell(source)
        with self.attempt:
            captures = source.read()
        try:
            while (capture := self._next(captures)) is not None:
                if told is not self.options:
                    told = self._tell(source)
                if source.live and self.machine.state is StreamState.PAUSED:
                    return
                if not self.machine.await_resume():
                    return
                take(capture)
                self._cure(source)
        finally:
            with self.attempt:
                captures.close()
        if source.live:
            raise SourceError(f"{source.reference}: it gives no more pictures", _LOST)

    def _tell(self, source: Source) -> StreamOptions:
        """How much of it will be used, and whether to keep its packets; what was told."""
        options = self.options
        if (kept := RingOptions.of(options.keep_packets)) is not None:
            self.ring.limit(kept)
        else:
            self.ring.clear()
        keep_packets(source, () if kept is None else (self.ring,))
        if isinstance(source, Thrifty):
            source.want(options.max_fps)
        return options

    def _next(self, captures: Iterator[Capture]) -> Capture | None:
        with self.attempt:
            capture = next(captures, None)
        self.attempt.seen = True
        return capture

    def _cure(self, source: Source) -> None:
        """Let go of a source that gives nothing but pictures nobody wants."""
        options, now = self.options, time.monotonic()
        patience = None if options.accept_concealed else options.stall_timeout
        code = self.supervisor.health.to_be_cured(now, patience) if source.live else None
        if code is None or (code is StreamErrorCode.FROZEN and options.accept_frozen):
            return
        text = f"{source.reference}: {WHAT[code]}"
        raise SourceError(text, code, source_reference=source.reference)

    def lost(self, error: SourceError, *, live: bool) -> None:
        """The source was lost, or could not be opened; raises ``error`` if that is the end."""
        if self.machine.stopped.is_set() or error.code is StreamErrorCode.INTERRUPTED or not live:
            raise error
        if not (self.options.retry_first or self.machine.connected.is_set()):
            raise error
        self.supervisor.lost(error)


def _format(size: tuple[int, int] | None, codec: str | None) -> dict[str, object]:
    width, height = size or (None, None)
    return {"width": width, "height": height, "codec": codec}


def account_for(tally: Tally, reporter: Reporter, frame: VideoFrame, cause: DropCause) -> None:
    """Count a lost frame, and tell of it."""
    tally.drop(cause)
    tell(reporter, EventType.FRAME_DROPPED, _CONSUMER, frame, cause=cause.value)


def tell(
    reporter: Reporter, event: EventType, context: str, frame: VideoFrame, **more: object
) -> None:
    """Tell what happened to a frame; nothing is put together while nobody listens."""
    if reporter.handlers:
        reporter.debug(
            event,
            context,
            frame_timestamp=frame.frame_timestamp,
            frame_id=frame.frame_id,
            source_id=frame.source_id,
            **more,
        )


def _seconds(frame: VideoFrame) -> float:
    """The time by which a frame is thinned: its own clock, or when it arrived."""
    return frame.captured_at if frame.clock is Clock.ARRIVAL else frame.timestamp.timestamp()
