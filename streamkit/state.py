"""What a stream is doing, who may change that, and how others wait for it."""

from __future__ import annotations

import threading
from enum import Enum

from streamkit.errors import StreamOperationNotAllowedError
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


_OVER = (StreamState.NOT_STARTED, StreamState.ENDED, StreamState.ERROR)
_ALLOWED = {
    StreamState.PAUSED: (StreamState.RUNNING, StreamState.MUTED),
    StreamState.MUTED: (StreamState.RUNNING, StreamState.PAUSED),
    StreamState.RUNNING: (StreamState.PAUSED, StreamState.MUTED),
}


class StateMachine:
    """The state of one stream in one run; every change is told, and wakes who waits for it.

    A run has its own, so that a reader left behind in a native call, when it wakes at last, finds
    itself stopped and not in the next run.
    """

    def __init__(
        self, source_id: int, reporter: Reporter, state: StreamState = StreamState.NOT_STARTED
    ) -> None:
        self.source_id = source_id
        self.state = state
        self.stopped = threading.Event()
        """Set when the run is to end; waits between attempts end with it."""
        self.connected = threading.Event()
        """Set once the first frame has come, or never will."""
        self._changed = threading.Condition()
        self._reporter = reporter

    @property
    def over(self) -> bool:
        """Nothing (more) will come in this run."""
        return self.state in _OVER

    def begin(self) -> None:
        """The run starts."""
        self._enter(StreamState.INITIALISING)

    def running(self) -> None:
        """A picture has come."""
        if self.connected.is_set() and self.state is not StreamState.RESTARTING:
            return
        with self._changed:
            if self.state in (StreamState.INITIALISING, StreamState.RESTARTING):
                self._enter(StreamState.RUNNING)
        self.connected.set()

    def restarting(self) -> None:
        """The source was lost."""
        with self._changed:
            if self.state is not StreamState.TERMINATING:
                self._enter(StreamState.RESTARTING)

    def terminate(self) -> None:
        """The run is to end."""
        self.stopped.set()
        with self._changed:
            if not self.over:
                self._enter(StreamState.TERMINATING)
            self._changed.notify_all()

    def end(self, *, failed: bool) -> None:
        """The reader has ended."""
        with self._changed:
            self._enter(StreamState.ERROR if failed else StreamState.ENDED)
        self.connected.set()

    def switch(self, wanted: StreamState) -> None:
        """PAUSED, MUTED or RUNNING at the caller's wish; from any other state it is refused."""
        with self._changed:
            if self.state is wanted:
                return
            if self.state not in _ALLOWED[wanted]:
                raise StreamOperationNotAllowedError(
                    f"source {self.source_id} is {self.state.name}: cannot become {wanted.name}"
                )
            self._enter(wanted)
            self._changed.notify_all()

    def await_resume(self) -> None:
        """Wait while PAUSED."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.stopped.is_set() or self.state is not StreamState.PAUSED
            )

    def _enter(self, state: StreamState) -> None:
        previous, self.state = self.state, state
        if previous is not state:
            self._reporter.info(
                EventType.SOURCE_STATE_UPDATE,
                CONTEXT,
                previous_state=previous,
                new_state=state,
                source_id=self.source_id,
            )
