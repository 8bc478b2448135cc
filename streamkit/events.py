"""What happens to a pipeline, told to whoever listens: updates, their kinds, the reporter."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, TypeAlias

from streamkit.errors import StreamkitError

log = logging.getLogger(__name__)

Payload: TypeAlias = dict[str, Any]
"""JSON-ready."""


class UpdateSeverity(Enum):
    """How serious an update is; the values are those of ``logging``."""

    DEBUG = logging.DEBUG
    INFO = logging.INFO
    WARNING = logging.WARNING
    ERROR = logging.ERROR


class EventType(StrEnum):
    """The names of updates. Those of the neighbour are kept; ours are marked."""

    INFERENCE_THREAD_STARTED = "INFERENCE_THREAD_STARTED"
    INFERENCE_THREAD_FINISHED = "INFERENCE_THREAD_FINISHED"
    INFERENCE_COMPLETED = "INFERENCE_COMPLETED"
    INFERENCE_ERROR = "INFERENCE_ERROR"
    DISPATCHING_ERROR = "INFERENCE_RESULTS_DISPATCHING_ERROR"
    FRAME_CAPTURED = "FRAME_CAPTURED"
    FRAME_CONSUMED = "FRAME_CONSUMED"
    FRAME_DROPPED = "FRAME_DROPPED"
    SOURCE_STATE_UPDATE = "SOURCE_STATE_UPDATE"
    SOURCE_ERROR = "SOURCE_ERROR"
    CONNECTION_ATTEMPT_FAILED = "SOURCE_CONNECTION_ATTEMPT_FAILED"
    CONNECTION_LOST = "SOURCE_CONNECTION_LOST"
    SOURCE_LOST = "SOURCE_LOST"  # from here on: ours
    SOURCE_RECOVERED = "SOURCE_RECOVERED"
    SOURCE_DEGRADED = "SOURCE_DEGRADED"
    SOURCE_CHANGED = "SOURCE_CHANGED"
    SOURCE_ADDED = "SOURCE_ADDED"
    SOURCE_REMOVED = "SOURCE_REMOVED"
    QUALITY_CHANGED = "STREAM_QUALITY_CHANGED"
    ADMISSION_REFUSED = "STREAM_ADMISSION_REFUSED"
    CONSUMPTION_STARTED = "VIDEO_CONSUMPTION_STARTED"
    CONSUMPTION_FINISHED = "VIDEO_CONSUMPTION_FINISHED"
    MODEL_LOADED = "MODEL_LOADED"


class DropCause(StrEnum):
    """Why a captured frame was not delivered.

    The values are what updates carry, the first five as in the neighbour; accounts and tables use
    the names, in lower case.
    """

    MUTED = "Buffering not allowed at the moment"
    NEWER = "ADAPTIVE strategy"
    """A newer frame of the same live stream took its place before a model was free."""
    OLDEST = "DROP_OLDEST strategy"
    LATEST = "DROP_LATEST strategy"
    STALE = "STALENESS_BUDGET_EXCEEDED"
    RATE = "MAX_FPS"
    """Thinned on purpose by ``max_fps``."""
    STOPPED = "STOPPED"
    """Still on its way when the pipeline was stopped."""
    CONCEALED = "CONCEALED"
    """Made from damaged or missing data; parts of it were never seen by the camera."""
    FROZEN = "FROZEN"
    """The camera sends one and the same picture again and again."""
    STILL = "NO_MOTION"
    """Nothing moved, and a motion gate was asked for."""
    FAILED = "FAILED"
    """On its way through a model or stage that raised."""


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """One thing that happened. ``payload`` is small, JSON-friendly and free of secrets."""

    timestamp: datetime
    severity: UpdateSeverity
    event_type: str
    payload: dict[str, Any]
    context: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something seen in a stream: who crossed which line, who stays too long where.

    A stage raises it with the frame that shows it; it travels in ``Result.events``.
    """

    kind: str
    """``"line.in"``, ``"zone.enter"``, ...: the stage, a point, what happened."""
    stream: int | None
    """``source_id`` of the stream."""
    key: str
    """The name of the line, zone or rule it happened at."""
    at: datetime
    """When, aware UTC, by the frame's own clock."""
    frame_id: int
    tracker_id: int | None = None
    """Who, where one object did it."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """More, JSON-ready: ``{"class": "car", "dwell": 12.5}``."""

    def dict(self) -> Payload:
        """The wire form; ``at`` as RFC 3339 in UTC."""
        return {
            "kind": self.kind,
            "stream": self.stream,
            "key": self.key,
            "at": self.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "frame_id": self.frame_id,
            "tracker_id": self.tracker_id,
            "data": dict(self.data),
        }


StatusHandler: TypeAlias = Callable[[StatusUpdate], None]


class Throttle:
    """Lets one log line a second pass, and says how many it stands for."""

    def __init__(self, interval: float = 1.0) -> None:
        self._interval = interval
        self._count = 0
        self._next = 0.0

    def tick(self) -> int:
        """Count one; the number since the last line if it is time for another, else 0."""
        self._count += 1
        now = time.monotonic()
        if now < self._next:
            return 0
        self._next = now + self._interval
        count, self._count = self._count, 0
        return count


@dataclass(slots=True)
class Reporter:
    """Tells every handler, in the thread where it happened; a handler that raises hurts nobody."""

    handlers: list[StatusHandler] = field(default_factory=list)
    _failures: Throttle = field(default_factory=Throttle, repr=False)

    def __post_init__(self) -> None:
        self.handlers = list(self.handlers)

    def add(self, handlers: Iterable[StatusHandler]) -> None:
        """Listen from now on."""
        self.handlers.extend(handlers)

    def debug(self, event: EventType, context: str, **payload: Any) -> None:
        """Per-frame news: costs nothing while nobody listens, and is never logged."""
        if self.handlers:
            self._send(UpdateSeverity.DEBUG, event, context, payload)

    def info(self, event: EventType, context: str, **payload: Any) -> None:
        """A change of state."""
        log.info("%s %s", event.value, payload)
        self._send(UpdateSeverity.INFO, event, context, payload)

    def warning(self, event: EventType, context: str, **payload: Any) -> None:
        """Trouble that is being dealt with; who deals with it logs it, in words."""
        log.debug("%s %s", event.value, payload)
        self._send(UpdateSeverity.WARNING, event, context, payload)

    def error(
        self, event: EventType, context: str, error: BaseException, where: str, **payload: Any
    ) -> None:
        """Something failed: the neighbour's three keys, our stable code, and ``payload``.

        Not a log line of its own: what ends a run is raised, and a sink may fail at every frame.
        """
        payload |= describe(error) | {"error_context": where}
        log.debug("%s %s", event.value, payload)
        self._send(UpdateSeverity.ERROR, event, context, payload)

    def _send(
        self, severity: UpdateSeverity, event: EventType, context: str, payload: dict[str, Any]
    ) -> None:
        if not self.handlers:
            return
        update = StatusUpdate(datetime.now(), severity, event.value, payload, context)
        for handler in self.handlers:
            try:
                handler(update)
            except (Exception, SystemExit):  # a listener must not end what it listens to
                if count := self._failures.tick():
                    log.warning("status handlers failed %d times", count, exc_info=True)


def describe(error: BaseException) -> dict[str, str]:
    """An error as the payload of an update."""
    code = error.code if isinstance(error, StreamkitError) else type(error).__name__
    return {
        "error_type": type(error).__name__,
        "error_message": str(error),
        "error_code": str(code),
    }
