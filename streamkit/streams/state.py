"""What a stream is doing, who may change that, and how others wait for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Container
from enum import Enum

from streamkit.errors import SourceError, StreamErrorCode, StreamOperationNotAllowedError
from streamkit.events import EventType, Reporter

CONTEXT = "video_source"


class StreamState(Enum):
    """The names and values are the neighbour's."""

    NOT_STARTED = "NOT_STARTED"
    INITIALISING = "INITIALISING"
    RESTARTING = "RESTARTING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    MUTED = "MUTED"
    TERMINATING = "TERMINATING"
    ENDED = "ENDED"
    ERROR = "ERROR"


_REASONS = {
    StreamState.NOT_STARTED: "it was not started",
    StreamState.INITIALISING: "it is being opened",
    StreamState.RESTARTING: "it was lost",
    StreamState.RUNNING: "pictures are coming",
    StreamState.PAUSED: "paused on request",
    StreamState.MUTED: "muted on request: pictures come, and are dropped",
    StreamState.TERMINATING: "it is being stopped",
    StreamState.ENDED: "it came to its end, or was stopped",
    StreamState.ERROR: "it failed",
}
_OVER = (StreamState.NOT_STARTED, StreamState.ENDED, StreamState.ERROR)
_COMING = (StreamState.INITIALISING, StreamState.RESTARTING)
_GOING = (*_COMING, StreamState.RUNNING, StreamState.PAUSED, StreamState.MUTED)


class StateMachine:
    """The state of one stream in one run; every change is told, and wakes who waits for it.

    A run has its own, so that a reader left behind in a native call, when it wakes at last, finds
    itself stopped and not in the next run. Changes are told in order and without a lock held:
    who is told may do anything, end the run included.
    """

    def __init__(
        self, source_id: int, reporter: Reporter, state: StreamState = StreamState.NOT_STARTED
    ) -> None:
        self.source_id = source_id
        self.state = state
        self.since = time.monotonic()
        """When the present state began."""
        self.code: StreamErrorCode | None = None
        self.reason = _REASONS[state]
        """Why it is in this state, in plain words; ``code`` where an error is behind it."""
        self.stopped = threading.Event()
        """Set when the run is to end; waits between attempts end with it."""
        self.connected = threading.Event()
        """Set once the first frame has come, or never will."""
        self._loss: tuple[StreamErrorCode | None, str] | None = None
        self._end: tuple[StreamErrorCode | None, str] | None = None
        self._changed = threading.Condition()
        self._reporter = reporter
        self._untold: deque[tuple[StreamState, StreamState]] = deque()
        self._telling = threading.Lock()

    @property
    def over(self) -> bool:
        """Nothing (more) will come in this run."""
        return self.state in _OVER

    @property
    def resting(self) -> bool:
        """No frames are to be expected for now."""
        return self.state not in (StreamState.INITIALISING, StreamState.RUNNING)

    def begin(self) -> None:
        """The run starts."""
        self._move(StreamState.INITIALISING)

    def running(self) -> None:
        """A good picture has come."""
        self._loss = None
        if not self.connected.is_set() or self.state is StreamState.RESTARTING:
            self._move(StreamState.RUNNING, _COMING)
            self.connected.set()

    def restarting(self, code: StreamErrorCode | None = None, reason: str = "") -> None:
        """The source was lost; a stream that was paused or muted stays so."""
        self._loss = code, reason or _REASONS[StreamState.RESTARTING]
        self._move(StreamState.RESTARTING, (*_COMING, StreamState.RUNNING))
        self.explain()

    def explain(self, code: StreamErrorCode | None = None, reason: str = "") -> None:
        """Say what is wrong while it runs (by default nothing; a loss is told in any case)."""
        with self._changed:
            self.code, self.reason = self._why(self.state)
            if reason and self.state in (StreamState.RUNNING, StreamState.MUTED):
                self.code, self.reason = code, reason

    def _why(self, state: StreamState) -> tuple[StreamErrorCode | None, str]:
        if self._loss is not None and state in (StreamState.RESTARTING, StreamState.MUTED):
            return self._loss
        return self._end if state in _OVER and self._end else (None, _REASONS[state])

    def terminate(self) -> None:
        """The run is to end."""
        self.stopped.set()
        self.connected.set()
        self._move(StreamState.TERMINATING, _GOING)

    def end(self, error: BaseException | None) -> None:
        """The reader has ended, because of ``error`` if there was one."""
        if error is not None:
            code = error.code if isinstance(error, SourceError) else None
            self._end = code, str(error) or type(error).__name__
        self._move(StreamState.ENDED if error is None else StreamState.ERROR)
        self.connected.set()

    def switch(self, wanted: StreamState) -> None:
        """PAUSED, MUTED or RUNNING at the caller's wish, which also holds for a source that is
        still to come (back). Refused when the run is over or about to be."""
        if wanted is StreamState.RUNNING and self.state in _COMING:
            return
        if wanted is StreamState.RUNNING and self._loss is not None:
            wanted = StreamState.RESTARTING
        elif wanted is StreamState.RUNNING and not self.connected.is_set():
            wanted = StreamState.INITIALISING
        if not self._move(wanted, _GOING):
            raise StreamOperationNotAllowedError(
                f"source {self.source_id} is {self.state.name}: cannot become {wanted.name}"
            )

    def await_resume(self) -> bool:
        """Wait while PAUSED; whether the run goes on."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.stopped.is_set() or self.state is not StreamState.PAUSED
            )
        return not self.stopped.is_set()

    def _move(
        self, state: StreamState, allowed: Container[StreamState] = tuple(StreamState)
    ) -> bool:
        """Enter ``state`` from one of those ``allowed``: whether it is entered."""
        with self._changed:
            if self.state not in allowed:
                return False
            if self.state is not state:
                self._untold.append((self.state, state))
                self.since = time.monotonic()
                self.code, self.reason = self._why(state)
            self.state = state
            self._changed.notify_all()
        self._tell()
        return True

    def _tell(self) -> None:
        """Tell what is untold, unless somebody is at it, who will then tell this too."""
        while self._untold and self._telling.acquire(blocking=False):
            try:
                while self._untold:
                    self._report(*self._untold.popleft())
            finally:
                self._telling.release()

    def _report(self, previous: StreamState, state: StreamState) -> None:
        self._reporter.info(
            EventType.SOURCE_STATE_UPDATE,
            CONTEXT,
            previous_state=previous,
            new_state=state,
            source_id=self.source_id,
        )
