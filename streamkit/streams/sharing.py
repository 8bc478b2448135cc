"""One connection to a camera, several streams that read it: hubs with a thread each, and seats."""

from __future__ import annotations

import copy
import functools
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from streamkit.errors import ConfigError, SourceError, StreamErrorCode
from streamkit.recording.ring import PacketRing
from streamkit.sources import base
from streamkit.sources.base import Capture, Captures, Source, SourceProperties, Thrifty
from streamkit.streams.shared_picture import SharedPicture

_SILENT = 5.0
"""Seconds of silence after which a connection that somebody gave up is given up by all."""
_CLOSING = 2.0
"""Seconds which the last to leave waits until the camera is let go; then it is left behind."""
_GLANCE = 0.1
MOST_LEFT = 4
"""So many threads may sit in native calls of one camera that do not return; then nobody opens it
again before one of them has come back."""


class Seat:
    """One consumer's place at a hub: a mailbox of one, in which the newest picture waits."""

    def __init__(self, wanted: float | None, rings: Sequence[PacketRing] = ()) -> None:
        self.wanted = wanted
        """Pictures per second it will use; ``None``: all."""
        self.rings = rings
        """Where it wants the packets to go as well."""
        self._changed = threading.Condition()
        self._capture: Capture | None = None
        self._missed = 0
        self._error: BaseException | None = None
        self._left = False

    def put(self, capture: Capture) -> None:
        """Never waits: a picture that was not taken makes room, and is counted."""
        with self._changed:
            self._missed += self._capture is not None
            self._capture = capture
            self._changed.notify_all()

    def end(self, error: BaseException) -> None:
        """The connection is gone; told after the last picture."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def leave(self) -> None:
        """Nothing more is wanted, from any thread."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def take(self) -> Capture | None:
        """Wait for a picture; ``None`` after ``leave``. Raises what ended the connection."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or self._capture or self._error)
            if self._left:
                return None
            capture, missed = self._capture, self._missed
            self._capture, self._missed = None, 0
            if capture is None and self._error is not None:
                raise copy.copy(self._error) from self._error  # each thread has its own to raise
        return replace(capture, missed=missed) if capture and missed else capture


class Hub:
    """One connection: a thread that reads a source and hands every picture to every seat."""

    def __init__(self, key: Hashable, opened: Opened, before: Hub | None, forget: Forget) -> None:
        self.key = key
        self.seats: tuple[Seat, ...] = ()
        """Changed under the lock of ``Connections``."""
        self.source: Source | None = None
        self.closed = threading.Event()
        """Nobody wants it: its source was interrupted, for good."""
        self.deserted = False
        """Somebody left since the last picture."""
        self._opened, self._before, self._forget = opened, before, forget
        self._heard = self._closed_at = time.monotonic()
        self._wanting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="streamkit camera", daemon=True)

    def start(self) -> None:
        """Connect and read, until lost or closed."""
        self._thread.start()

    @property
    def named(self) -> str:
        """What errors call it."""
        return "a camera" if self.source is None else self.source.reference

    @property
    def properties(self) -> SourceProperties | None:
        """What the camera declares, once it is known."""
        return None if self.source is None else self.source.properties

    @property
    def given_up(self) -> bool:
        """One of its readers has lost patience: it hangs in a way its source does not notice."""
        return self.deserted and time.monotonic() - self._heard > _SILENT

    def close(self, wait: float = 0.0) -> None:
        """Let the camera go, and wait at most so many seconds until that is done."""
        self._closed_at = time.monotonic()
        self.closed.set()
        if (source := self.source) is not None:
            source.interrupt()
        if wait:
            self._thread.join(wait)

    def want(self) -> None:
        """Tell the source the most that anybody wants, and who keeps its packets."""
        with self._wanting:
            if self.source is not None:
                self._keep(self.source)
            wants = [seat.wanted for seat in self.seats]
            source: object = self.source
            if wants and isinstance(source, Thrifty):
                known = [wanted for wanted in wants if wanted is not None]
                source.want(max(known) if len(known) == len(wants) else None)

    def _keep(self, source: Source) -> None:
        """Who wants packets where there are none is told; nobody else is."""
        seats = self.seats
        try:
            base.keep_packets(source, [ring for seat in seats for ring in seat.rings])
        except ConfigError as error:
            for seat in seats:
                if seat.rings:
                    seat.end(error)

    def _run(self) -> None:
        self._tell(self._ended())

    def _tell(self, error: BaseException) -> None:
        """What is wrong with packets is wrong for those who want them: the others come back."""
        seats = self._forget(self)
        kept = isinstance(error, ConfigError) and any(seat.rings for seat in seats)
        lost = SourceError(f"{self.named}: it is opened again", StreamErrorCode.LOST)
        for seat in seats:
            seat.end(lost if kept and not seat.rings else error)

    def _ended(self) -> BaseException:
        """Read to the end; what ended it. Neither here nor in ``_run``, which its traceback leads
        to, may a variable hold it or a seat: in such a circle the decoder and its threads lived
        on until the garbage collector came by."""
        try:
            self._read()
        except BaseException as caught:  # noqa: BLE001 - a thread begins here
            return caught
        return SourceError(f"{self.named}: it gives no more pictures", StreamErrorCode.LOST)

    def _read(self) -> None:
        while self._before is not None and self._before.busy and not self.closed.is_set():
            self._before._thread.join(_GLANCE)  # a webcam cannot be opened twice
        self._before = None
        if self.closed.is_set():
            return
        self.source = source = self._opened(self)
        if self.closed.is_set():
            return
        self.want()
        with closing(source.read()) as captures:
            for capture in captures:
                self._hand_out(capture)
                if self.closed.is_set():
                    return

    @property
    def busy(self) -> bool:
        """Its camera has not been let go yet, and this may still be hoped for."""
        return self._thread.is_alive() and time.monotonic() - self._closed_at < _CLOSING

    def _hand_out(self, capture: Capture) -> None:
        self._heard, self.deserted = time.monotonic(), False
        seats, picture = self.seats, capture.picture
        if len(seats) > 1 and not isinstance(picture, np.ndarray):
            picture = SharedPicture(picture)
        shared = replace(capture, picture=picture, arrived=capture.arrived or self._heard)
        for seat in seats:
            seat.put(shared)


Opened: TypeAlias = Callable[[Hub], Source]
Forget: TypeAlias = Callable[[Hub], tuple[Seat, ...]]


class Connections:
    """The connections that may be shared, by what they were opened with."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hubs: dict[Hashable, Hub] = {}
        self._closing: dict[Hashable, tuple[Hub, ...]] = {}
        """Those which have been given up or left, and whose thread has not ended."""

    def __len__(self) -> int:
        return len(self._hubs)

    def left(self, key: Hashable) -> int:
        """How many threads of connections that were closed sit in calls that do not return."""
        return sum(not hub.busy for hub in self._closing.get(key, ()))

    def join(self, key: Hashable, seat: Seat, opened: Opened) -> Hub:
        """Sit down at the connection of ``key``, which is ``opened`` unless it is there.

        Raises ``SourceError`` TIMEOUT where too many before it hang.
        """
        with self._lock:
            hub, hung = self._hubs.get(key), None
            if hub is not None and hub.given_up:
                hung, hub = hub, None
                self._close(hung)
            if (new := hub is None) and len(self._closing.get(key, ())) < MOST_LEFT:
                hub = self._hubs[key] = self._made(key, opened)
            if hub is not None:
                hub.seats = (*hub.seats, seat)
        if hung is not None:
            self._abandon(hung)
        if hub is None:
            text = f"{MOST_LEFT} threads sit in calls to it that do not return; waiting for one"
            raise SourceError(text, StreamErrorCode.TIMEOUT)
        if new:
            self._start(hub)
        else:
            hub.want()
        return hub

    def _made(self, key: Hashable, opened: Opened) -> Hub:
        before = self._closing.get(key, (None,))[-1]
        return Hub(key, opened, before, self._forget)

    def _start(self, hub: Hub) -> None:
        try:
            hub.start()
        except RuntimeError as error:  # the machine has no thread to spare
            lost = SourceError(f"no thread can be started ({error})", StreamErrorCode.LOST)
            for seat in self._forget(hub):
                seat.end(lost)

    def _close(self, hub: Hub) -> None:
        """The lock is held. Nobody finds it any more; its thread is remembered until it ends."""
        del self._hubs[hub.key]
        self._closing[hub.key] = (*self._closing.get(hub.key, ()), hub)

    def leave(self, hub: Hub, seat: Seat) -> None:
        """Stand up; the last one closes the connection and waits for that, within limits."""
        with self._lock:
            hub.seats = tuple(other for other in hub.seats if other is not seat)
            hub.deserted = True
            if last := (not hub.seats and self._hubs.get(hub.key) is hub):
                self._close(hub)
        if last:
            hub.close(_CLOSING)
        elif hub.seats:
            hub.want()

    def _abandon(self, hub: Hub) -> None:
        hub.close()
        text = f"{hub.named}: nothing came for {_SILENT:g} s, it is opened again"
        for seat in hub.seats:
            seat.end(SourceError(text, StreamErrorCode.TIMEOUT))

    def _forget(self, hub: Hub) -> tuple[Seat, ...]:
        """This one has ended; who sat there."""
        with self._lock:
            if self._hubs.get(hub.key) is hub:
                del self._hubs[hub.key]
            left = tuple(h for h in self._closing.pop(hub.key, ()) if h is not hub)
            if left:
                self._closing[hub.key] = left
            return hub.seats


class SharedSource:
    """One consumer's view of a live source: reading joins the connection, closing leaves it.

    What the connection gives and meets reaches every consumer. Pictures that a slow one did not
    take are counted in ``Capture.missed`` of its next; it holds nobody.
    """

    def __init__(
        self,
        key: Hashable,
        source: Source,
        open_source: Callable[[], Source],
        connections: Connections,
    ) -> None:
        self.live = source.live
        self.reference = source.reference
        self.properties: SourceProperties | None = None
        self._key, self._open, self._connections = key, open_source, connections
        self._source = source
        self._hub: Hub | None = None
        self._opener: Hub | None = None
        """The last connection that was made with this view's own source."""
        self._seat: Seat | None = None
        self._wanted: float | None = None
        self._rings: Sequence[PacketRing] = ()
        self._stopped = threading.Event()

    def read(self) -> Captures:
        """Pictures from the next one on. Raises what the connection met."""
        self._seat = seat = Seat(self._wanted, self._rings)
        if self._stopped.is_set():
            return
        self._hub = hub = self._connections.join(self._key, seat, self._fresh)
        try:
            known: SourceProperties | None = None
            while (capture := seat.take()) is not None:
                if hub.properties is not known:
                    self.properties = known = hub.properties
                yield capture
        finally:
            self._seat = None
            self._connections.leave(hub, seat)

    def _fresh(self, hub: Hub) -> Source:
        """A source nobody interrupted; looking at an address once is enough. In a hub's thread."""
        if self._opener is not None and self._opener.closed.is_set():
            self._source = self._open()
        self._opener = hub
        return self._source

    def interrupt(self) -> None:
        """Stop for good, from any thread, at once; other consumers do not notice."""
        self._stopped.set()
        if (seat := self._seat) is not None:
            seat.leave()

    @property
    def left_behind(self) -> int:
        """Threads of this camera's connections that hang, and were given up."""
        return self._connections.left(self._key)

    def want(self, fps: float | None) -> None:
        """The most that any consumer wants is what is decoded."""
        self._wanted = fps
        if (seat := self._seat) is not None and (hub := self._hub) is not None:
            seat.wanted = fps
            hub.want()

    def keep(self, rings: Sequence[PacketRing]) -> None:
        """Its packets are put into these, too; what has none ends with a ``ConfigError``."""
        self._rings = rings
        if (seat := self._seat) is not None and (hub := self._hub) is not None:
            seat.rings = rings
            hub.want()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        hub = self._hub
        return getattr(self._source if hub is None else hub.source or self._source, name)


@functools.cache
def default_connections() -> Connections:
    """The process's own."""
    return Connections()
