"""The reader threads of one run of one stream: the one that reads, and those left behind."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamkit.errors import ClosedError, SourceError, StreamErrorCode
from streamkit.frame import VideoFrame
from streamkit.scheduler import Lane
from streamkit.sources.base import Source
from streamkit.streams.attempt import Attempt
from streamkit.streams.options import StreamOptions
from streamkit.streams.reader import Reader
from streamkit.streams.state import StateMachine, StreamState

log = logging.getLogger(__name__)

MOST_LEFT = 4
"""So many threads of a stream may sit in native calls that do not return; then it waits for one."""
_ASLEEP = 2.0
"""Seconds between two patrols, which come far more often: the process, or the machine, was held."""
_GOODBYE = 2.0
"""Seconds a source that was given up has to let go of its camera before the next one asks."""


@dataclass(frozen=True)
class Fault:
    """Why a reader thread takes over from another."""

    stuck: Attempt
    error: SourceError | None
    """``None`` where nothing was wanted of the source: it is let go of, not lost."""


class Reading:
    """Reads a source in a thread; goes on in another one, with a new source, when that is stuck.

    A native call cannot be ended from outside. So the thread that sits in it is left behind: its
    source is interrupted, and when it wakes its attempt is over, before it can touch anything.
    """

    def __init__(
        self,
        source_id: int,
        reader: Callable[[Attempt], Reader],
        open_source: Callable[[], Source],
        adopt: Callable[[Source], None],
        lane: Lane[VideoFrame],
        on_end: Callable[[BaseException | None], None],
    ) -> None:
        self._halted = False
        self._looked = time.monotonic()
        self._id, self._reader, self._open = source_id, reader, open_source
        self._adopt, self._lane, self._on_end = adopt, lane, on_end
        self._left: list[threading.Thread] = []
        self._given_up: list[Attempt] = []
        self._thread, self._current = self._made(None)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def interrupt(self) -> None:
        """End the read that goes on, once the machine is stopped."""
        for attempt in (self._current.attempt, *self._given_up):
            if attempt.source is not None and not attempt.ended.is_set():
                interrupt(attempt.source)

    def adjust(self, options: StreamOptions) -> None:
        """Other options from the next frame on."""
        self._current.adjust(options)

    @property
    def threads(self) -> list[threading.Thread]:
        """The one that reads."""
        return [self._thread]

    @property
    def left(self) -> list[threading.Thread]:
        """Those that still sit in calls nobody waits for."""
        return [thread for thread in self._left if thread.is_alive()]

    # -- from outside ------------------------------------------------------------------------

    def patrol(self) -> None:
        """Look after the reader; if it is stuck, go on without it. Never waits.

        Stuck is a live source that gives no picture for too long, whatever it is doing. Time in
        which nobody looked because the process was stopped does not count.
        """
        reader, attempt, now = self._current, self._current.attempt, time.monotonic()
        passed, self._looked = now - self._looked, now
        if passed > _ASLEEP:
            attempt.excuse(passed)
        if self._halted:
            self._resume()
            return
        if not attempt.live or reader.machine.stopped.is_set():
            return
        options = reader.options
        limit = attempt.overdue(now, options.first_frame_timeout, options.stall_timeout)
        if limit is not None and attempt.give_up(now - limit):
            idle = reader.machine.state is StreamState.PAUSED
            self._take_over(Fault(attempt, None if idle else _overdue(attempt, limit)))

    def _take_over(self, fault: Fault) -> None:
        self._left = [*self.left, self._thread]
        present = [attempt for attempt in self._given_up if not attempt.ended.is_set()]
        self._given_up = [*present, fault.stuck]
        self._thread, self._current = self._made(fault)
        self._resume()

    def _resume(self) -> None:
        try:
            self._thread.start()
            self._halted = False
        except RuntimeError:  # the machine has no thread to spare; the next patrol tries again
            self._halted = True

    def _made(self, fault: Fault | None) -> tuple[threading.Thread, Reader]:
        attempt = Attempt()
        attempt.instead_of_live = fault is not None
        reader = self._reader(attempt)
        thread = threading.Thread(
            target=self._read,
            args=(reader, fault),
            name=f"streamkit reader {self._id}",
            daemon=True,
        )
        return thread, reader

    # -- the reader thread -------------------------------------------------------------------

    def _read(self, reader: Reader, fault: Fault | None) -> None:
        error: BaseException | None = None
        try:
            source = self._first(reader) if fault is None else self._next(reader, fault)
            if source is not None:
                reader.feed(source, self._lane)
        except ClosedError:
            pass
        except BaseException as caught:  # noqa: BLE001 - a thread begins here
            error = None if reader.machine.stopped.is_set() else caught
        reader.attempt.ended.set()
        if not reader.attempt.given_up:
            self.interrupt()  # nobody else is going to tell those left behind
            self._on_end(error)

    def _first(self, reader: Reader) -> Source:
        source = self._opened(reader)
        self._adopt(source)
        return source

    def _opened(self, reader: Reader) -> Source:
        attempt = reader.attempt
        with attempt:
            source = self._open()
        attempt.source = source
        return source

    def _next(self, reader: Reader, fault: Fault) -> Source | None:
        """Tell the loss, and open a new source in place of one that is stuck."""
        if fault.error is not None:
            reader.lost(fault.error, live=True)
        self._await_room(reader)
        while reader.await_resume():
            try:
                source = self._opened(reader)
            except SourceError as error:
                reader.lost(error, live=True)
                reader.supervisor.wait()
                continue
            self._relieve(fault.stuck, source, reader.machine)
            self._adopt(source)
            reader.supervisor.wait()
            return source
        return None

    def _await_room(self, reader: Reader) -> None:
        """Not one more thread while too many are left behind."""
        told = False
        while (count := len(self.left)) >= MOST_LEFT and not reader.machine.stopped.wait(0.1):
            if not told:
                reader.supervisor.crowded(count)
                told = True

    def _relieve(self, stuck: Attempt, source: Source, machine: StateMachine) -> None:
        """Wait until the one before is gone: a while, or, where there is only this one source
        (somebody gave it ready-made), until it comes back from its call."""
        same = source is stuck.source
        if not same and stuck.source is not None:
            interrupt(stuck.source)
        until = time.monotonic() + _GOODBYE
        while not stuck.ended.wait(0.05) and not machine.stopped.is_set():
            if not same and time.monotonic() > until:
                log.warning("a thread of %s is left behind in a native call", source.reference)
                return


def interrupt(source: Source) -> None:
    """Interrupt it, whoever wrote it."""
    try:
        source.interrupt()
    except Exception:  # a stranger's adapter must not keep the others from being stopped
        log.warning("%s cannot be interrupted", source.reference, exc_info=True)


def _overdue(attempt: Attempt, limit: float) -> SourceError:
    what = f"no picture for {limit:g} s"
    if not attempt.seen:
        what = f"no picture came within {limit:g} s of connecting"
    reference = attempt.source.reference if attempt.source is not None else None
    text = f"{reference}: {what}" if reference else what
    return SourceError(text, StreamErrorCode.TIMEOUT, source_reference=reference)
