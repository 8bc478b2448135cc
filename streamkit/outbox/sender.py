"""The thread of one destination: next message, send, again later, dead letter."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from streamkit.errors import DeliveryFailedError, DeliveryRefusedError, OutboxError
from streamkit.events import Throttle
from streamkit.outbox.archive import trim
from streamkit.outbox.base import Destination
from streamkit.outbox.options import OutboxOptions
from streamkit.outbox.store import Entry, State, Store

log = logging.getLogger(__name__)

_LOOK: Final = 0.5
"""Seconds between two looks for what another process may have put, or whether it has gone."""
_TIDY: Final = 30.0
_TELL: Final = 30.0
"""Seconds between two log lines about a receiver that fails, perhaps for days."""
_ENDING: Final = 0.4
"""Seconds which a stop leaves to a ``send`` that was cancelled."""
_MOST_OWED: Final = 10_000
_LONGEST_PAUSE: Final = 3600.0
"""Whatever a receiver says."""


@dataclass(frozen=True, slots=True)
class _Hold:
    """A stream that waits because its oldest message failed."""

    until: float
    failures: int


def backoff(
    failures: int, options: OutboxOptions, chance: Callable[[], float] = random.random
) -> float:
    """Seconds to wait after so many failures in a row: exponential, with full jitter (Brooker,
    "Exponential Backoff and Jitter", AWS Architecture Blog 2015). ``chance``: 0 to 1."""
    most = min(options.longest_wait, options.first_wait * 2.0 ** min(failures - 1, 60))
    return chance() * most


class Lease:
    """The right to send to one destination: of one thread, in one of the processes that share the
    file. The system takes it back when that process ends, however it ends."""

    def __init__(self, path: Path, name: str) -> None:
        mark = hashlib.sha256(name.encode()).hexdigest()[:12]
        self._lock = FileLock(f"{path}.{mark}.lock", timeout=0, thread_local=False)

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._lock.is_locked

    def take(self) -> bool:
        """Whether it is ours now."""
        if not self.held:
            try:
                self._lock.acquire()
            except (Timeout, OSError):
                return False
        return True

    def give_back(self) -> None:
        """Somebody else may have it."""
        self._lock.release(force=True)


class Sender:
    """Sends what waits for one destination, in the order of each stream.

    A message that fails holds back its own stream only; a receiver that says for how long it wants
    to be left alone is. Waiting goes by the steady clock: setting the other one changes nothing.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        destination: Destination,
        options: OutboxOptions,
    ) -> None:
        self._store, self._name, self._options = store, name, options
        self._destination = destination
        self._steady = store.timeline.clock.steady
        self._lease = Lease(store.path, name)
        self._holds: dict[str, _Hold] = {}
        self._paused = self._tidied = self._steady()
        self._owed: dict[int, tuple[Entry, State, str | None]] = {}
        """What became of messages, where the disk did not take it."""
        self._changed = threading.Condition()
        self._nudged = self._stopping = False
        self._throttle = Throttle(_TELL)
        self.reason: str | None = None
        """What the last attempt failed with, if it did."""
        self._thread = threading.Thread(
            target=self._run, name=f"streamkit outbox {name}", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def leading(self) -> bool:
        """It is this process that sends to this destination."""
        return self._lease.held

    def use(self, destination: Destination, options: OutboxOptions) -> None:
        """Send there from the next message on; what fails on the old way was no attempt."""
        with self._changed:
            self._destination, self._options = destination, options
        self.nudge()

    def nudge(self) -> None:
        """Something was put."""
        with self._changed:
            self._nudged = True
            self._changed.notify_all()

    def stop(self) -> None:
        """End it within a second, whatever the receiver does; what is not sent stays."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._destination.close()
        self._thread.join(_ENDING)
        if self._thread.is_alive():
            log.warning("%s: a send does not end; its thread is left behind", self._name)

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._rest(self._careful_turn())
            self._try(self._pay)
            if self._owed:
                log.warning("%s: %d deliveries come twice: the disk took no note of them",
                            self._name, len(self._owed))  # fmt: skip
        finally:
            self._lease.give_back()

    def _rest(self, seconds: float) -> None:
        with self._changed:
            if seconds > 0 and not self._nudged and not self._stopping:
                self._changed.wait(seconds)
            self._nudged = False

    def _careful_turn(self) -> float:
        try:
            return self._turn()
        except OutboxError as error:
            self._tell(str(error))
        except Exception as error:  # noqa: BLE001 - a thread begins here, and must not end
            self._tell(repr(error))
        return _LOOK

    def _tell(self, said: str) -> None:
        if count := self._throttle.tick():
            log.warning("%s: %d times, last: %s", self._name, count, said)

    def _try(self, note: Callable[[], None]) -> None:
        """What the disk need not take for messages to be sent: they are in memory meanwhile."""
        try:
            note()
        except OutboxError as error:
            self._tell(str(error))

    def _turn(self) -> float:
        """Send what may be sent now; seconds until the next look."""
        if not self._lease.take():
            return _LOOK
        self._try(self._pay)
        self._try(self._tidy)
        if len(self._owed) > _MOST_OWED:
            return _LOOK
        now = self._steady()
        if now < self._paused:
            return min(self._paused - now, _LOOK)
        held = [stream for stream, hold in self._holds.items() if hold.until > now]
        destination = self._destination  # of this turn: another may be used from now on
        entries = self._store.next(
            self._name, destination.batch, without=held, except_for=self._owed
        )
        if not entries:
            ends = [self._holds[stream].until - now for stream in held]
            return min([*ends, _LOOK])
        if (left := self._lingers(entries, destination)) > 0:
            return min(left, _LOOK)
        self._deliver(entries, destination)
        return 0.0

    def _lingers(self, entries: Sequence[Entry], destination: Destination) -> float:
        """Seconds for which a batch that is not full may still wait."""
        linger = float(getattr(destination, "linger", 0.0))
        if linger <= 0 or len(entries) >= destination.batch:
            return 0.0
        return linger - (self._store.timeline.now() - entries[0].since)

    def _deliver(self, entries: Sequence[Entry], destination: Destination) -> bool:
        """Whether all of them are settled: sent, or dead letters."""
        try:
            destination.send([entry.message for entry in entries])
        except Exception as error:  # noqa: BLE001 - a stranger's destination: nothing is lost
            if destination is not self._destination:
                return False
            return self._failed_with(entries, error, destination)
        self.reason = None
        self._sent(entries)
        return True

    def _failed_with(
        self, entries: Sequence[Entry], error: Exception, destination: Destination
    ) -> bool:
        if isinstance(error, DeliveryRefusedError):
            self._sent(entries[: error.delivered])
            return self._refused(entries[error.delivered :], error, destination)
        if isinstance(error, DeliveryFailedError):
            self._sent(entries[: error.delivered])
            return self._failed(entries[error.delivered :], str(error), error.retry_after)
        return self._failed(entries, f"{type(error).__name__}: {error}", None)

    def _refused(
        self, entries: Sequence[Entry], error: DeliveryRefusedError, destination: Destination
    ) -> bool:
        if len(entries) == 1:
            log.warning("%s: dead letter %s: %s", self._name, entries[0].message.id, error)
            self._note(entries, State.DEAD, str(error))
            return True
        waiting: set[str] = set()  # streams of which one is not settled: none overtakes it
        for entry in entries:  # which one is it?
            if self._stopping or destination is not self._destination or self._pauses():
                return False
            stream = entry.message.stream
            if stream not in waiting and not self._deliver([entry], destination):
                waiting.add(stream)
        return not waiting

    def _pauses(self) -> bool:
        return self._steady() < self._paused

    def _sent(self, entries: Sequence[Entry]) -> None:
        if entries:
            self._note(entries, State.SENT, None)

    def _failed(self, entries: Sequence[Entry], reason: str, retry_after: float | None) -> bool:
        """Whether all of them are dead letters now."""
        if self._stopping or not entries:  # it was cancelled: that was no attempt
            return not entries
        self.reason = reason
        now, age = self._steady(), self._store.timeline.now()
        if retry_after is not None:
            self._paused = now + min(max(retry_after, 0.0), _LONGEST_PAUSE)
        for stream in {entry.message.stream for entry in entries}:
            failures = self._holds[stream].failures + 1 if stream in self._holds else 1
            self._holds[stream] = _Hold(now + backoff(failures, self._options), failures)
        late = [entry for entry in entries if age - entry.since >= self._options.keep_for]
        again = [entry for entry in entries if age - entry.since < self._options.keep_for]
        self._tell(reason)
        if late:
            self._note(late, State.DEAD, f"not delivered in time; last: {reason}")
        if again:
            self._try(lambda: self._store.retry(again, self._name, reason))
        return not again

    # -- what is noted -----------------------------------------------------------------------

    def _note(self, entries: Sequence[Entry], state: State, reason: str | None) -> None:
        """On the disk, or in memory until it takes it: these are not sent again meanwhile."""
        for entry in entries:
            self._holds.pop(entry.message.stream, None)
        self._owed |= {entry.seq: (entry, state, reason) for entry in entries}
        self._try(self._pay)

    def _pay(self) -> None:
        while self._owed:
            _, state, reason = next(iter(self._owed.values()))
            alike = [e for e, *what in self._owed.values() if what == [state, reason]]
            self._store.finish(alike, self._name, state, reason)
            for entry in alike:
                del self._owed[entry.seq]

    def _tidy(self) -> None:
        now = self._steady()
        if now >= self._tidied:
            gone = trim(self._store, self._name, self._options)
            self._tidied = now + (0.0 if gone else _TIDY)
