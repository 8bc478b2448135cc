"""What happens to a pipeline, told to whoever listens: updates, their kinds, the reporter."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from streamkit.errors import StreamkitError

log = logging.getLogger(__name__)

Payload: TypeAlias = dict[str, Any]
"""JSON-ready."""
WIRE_VERSION: Final = 1
"""Of ``Event.dict()``. Keys may be added within a version; none is renamed, removed or changed."""


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
    STAGE_FAILED = "STREAM_STAGE_FAILED"
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
    REDACTED = "REDACTED"
    """What is private in it could not be covered, so nobody sees it."""


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """One thing that happened. ``payload`` is small, JSON-friendly and free of secrets."""

    timestamp: datetime
    severity: UpdateSeverity
    event_type: str
    payload: dict[str, Any]
    context: str


def ulids(clock: Callable[[], int] = time.time_ns) -> Callable[[], str]:
    """Makes ids, from any thread: ``clock`` (nanoseconds) may be set back, they never go back."""
    from ulid import ULIDGenerator

    latest = 0

    def never_back() -> int:
        nonlocal latest
        latest = max(latest, clock() // 1_000_000)
        return latest

    making, generator = threading.Lock(), ULIDGenerator(never_back)

    def make() -> str:
        with making:
            return str(generator.generate())

    return make


@cache
def _own() -> Callable[[], str]:
    """Those of this process."""
    return ulids()


def new_id() -> str:
    """A ULID: 26 characters, unique, and greater than every one made before in this process."""
    return _own()()


Phase: TypeAlias = Literal["instant", "start", "update", "end"]
"""Where in the life of a happening an event stands; ``instant``: it has no duration."""
EvidenceKind: TypeAlias = Literal["snapshot", "crop", "clip"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A file that shows what an event tells, or why there is none."""

    kind: EvidenceKind
    path: str | None
    """Absolute; ``None`` where it could not be written. A clip may be complete only later."""
    what: str = ""
    """What it shows: ``"frame"``, ``"annotated frame"``, ``"object"``, ``"clip"``."""
    size: int | None = None
    """Bytes, where it is complete."""
    sha256: str | None = None
    """Of the file, in hexadecimal, where it is complete."""
    error: str | None = None
    """Why it could not be written."""

    def dict(self) -> Payload:
        """The wire form (``streamkit.wire.EvidenceWire``)."""
        return {
            "kind": self.kind,
            "path": self.path,
            "what": self.what,
            "size": self.size,
            "sha256": self.sha256,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Event:
    """Something seen in a stream: who crossed which line, who stays too long where.

    A stage raises it with the frame that shows it (``stages.seen.Witness``); it travels in
    ``Result.events``. What lasts is told in several events that share an ``id``: one ``start``,
    perhaps ``update``s, one ``end``, at the latest when the stream ends.
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
    id: str = field(default_factory=new_id)
    """ULID of what happened."""
    phase: Phase = "instant"
    source: str = ""
    """Name of the stream: the option ``name``, else its reference without credentials."""
    model: str | None = None
    """Id of the model that answered for this frame; ``None`` for a function of the user's."""
    clock: str | None = None
    """Where ``at`` comes from: a value of ``frame.Clock``."""
    uncertainty: float | None = None
    """By how many seconds ``at`` may be wrong; ``None``: nobody can say."""
    sequence: int | None = None
    """The number of the event among those of its stream, from 1, without gaps, in the order in
    which sinks get them; ``None`` until all stages have seen it."""
    evidence: tuple[Evidence, ...] = ()

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt to deliver this event, and different for any other."""
        if self.phase == "update":  # a happening may have any number of them
            return f"{self.id}.update.{self.kind}.{self.sequence or 0}"
        return f"{self.id}.{self.phase}"

    def dict(self) -> Payload:
        """The wire form (``streamkit.wire.EventWire``); ``at`` as RFC 3339 in UTC."""
        return {
            "version": WIRE_VERSION,
            "id": self.id,
            "phase": self.phase,
            "kind": self.kind,
            "stream": self.stream,
            "source": self.source,
            "sequence": self.sequence,
            "key": self.key,
            "at": self.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "clock": self.clock,
            "uncertainty": self.uncertainty,
            "frame_id": self.frame_id,
            "model": self.model,
            "tracker_id": self.tracker_id,
            "data": dict(self.data),
            "evidence": [each.dict() for each in self.evidence],
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
