"""How one stream fares, told once: outages, what is wrong with its picture, the next try."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamkit.errors import SourceError, StreamErrorCode
from streamkit.events import EventType, Reporter, Throttle
from streamkit.heap import Heap
from streamkit.meters import Tally
from streamkit.streams.health import WHAT, Health
from streamkit.streams.options import StreamOptions
from streamkit.streams.retry import LOSSES, WINDOW, Retry
from streamkit.streams.state import CONTEXT, StateMachine, StreamState

log = logging.getLogger(__name__)

_UNSTABLE = StreamErrorCode.UNSTABLE
_GLANCE = 0.2
"""Seconds between two looks whether somebody is in a hurry."""
_LOOP = f"it keeps failing: {LOSSES} losses within {WINDOW:g} s"


@dataclass(slots=True)
class Record:
    """What happened to a stream so far, across runs."""

    outages: int = 0
    downtime: float = 0.0
    """Seconds without good pictures, of the outages that are over."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Since when (monotonic seconds), and why."""

    since: float
    code: StreamErrorCode


@dataclass(eq=False)
class Supervisor:
    """One run of one stream. Called by whoever reads it at the moment, one thread at a time."""

    machine: StateMachine
    reporter: Reporter
    options: StreamOptions
    tally: Tally
    record: Record
    on_rest: Callable[[], None]
    """Told when the machine begins or ceases to rest."""
    name: Callable[[], str]
    health: Health = field(init=False)
    outage: Outage | None = field(default=None, init=False)
    troubles: dict[StreamErrorCode, float] = field(default_factory=dict, init=False)
    """What is wrong while pictures come, since when."""
    next_try: float | None = field(default=None, init=False)
    """When the source is tried again (monotonic seconds)."""
    size: tuple[int, int] | None = field(default=None, init=False)
    codec: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.health = Health(self.options.frozen_after, self.options.watch_view)
        self._retry = Retry(self.options)
        self._good = time.monotonic()
        self._unstable = False
        self._throttle = Throttle()
        self._hurried = False
        self._heap = Heap()

    # -- losing and finding ------------------------------------------------------------------

    def lost(self, error: SourceError) -> None:
        """The source was lost, or could not be opened: note when to try again, and tell."""
        now = time.monotonic()
        delay = self._retry.failed(error.code, now)
        self.next_try = now + delay
        first, there = self.outage is None, self.machine.connected.is_set()
        if first:
            self.outage = Outage(self._good, error.code)
            self.record.outages += 1
            self.troubles = {code: at for code, at in self.troubles.items() if code is _UNSTABLE}
        again = f"; {_LOOP}" if self._retry.looping else ""
        self.machine.restarting(error.code, f"{error}{again}")
        self._tell_loss(error, was_there=first and there)
        if first:
            self._tell(EventType.SOURCE_LOST, error, next_try_in=round(delay, 3), connected=there)
        self._say(f"{error}{again}; next try in {delay:.1f} s")
        self._tell_loop()
        self.on_rest()

    def _tell_loss(self, error: SourceError, *, was_there: bool) -> None:
        kind = EventType.CONNECTION_LOST if was_there else EventType.CONNECTION_ATTEMPT_FAILED
        self._tell(kind, error)

    def _tell(self, kind: EventType, error: SourceError, **more: Any) -> None:
        self.reporter.warning(
            kind,
            CONTEXT,
            source_id=self.machine.source_id,
            code=str(error.code),
            message=str(error),
            **more,
        )

    def wait(self) -> None:
        """Wait until it is time to try again, or for the end."""
        while self.next_try is not None and not self.machine.stopped.is_set():
            left = max(0.0, self.next_try - time.monotonic())
            self.machine.stopped.wait(min(left, _GLANCE))
            if self._hurried or time.monotonic() >= self.next_try:
                self.next_try = None
        self._hurried = False

    def hurry(self) -> None:
        """Do not wait for the next try, from any thread: something else is to be tried."""
        self._hurried = True

    def adjust(self, options: StreamOptions) -> None:
        """Other options from now on, from any thread."""
        before, self.options = self.options, options
        if _judging(before) != _judging(options):
            self.health = Health(options.frozen_after, options.watch_view)
        if _waits(before) != _waits(options):
            self._retry = Retry(options)

    def crowded(self, left: int) -> None:
        """It cannot be tried again while so many threads are left behind."""
        why = f"{left} of its threads sit in calls that do not return; waiting for one of them"
        self.machine.restarting(StreamErrorCode.TIMEOUT, why)
        self._say(why)

    def passed(self, seconds: float) -> None:
        """So long nothing was wanted of it: that is no downtime."""
        self._good += seconds
        if self.outage is not None:
            self.outage = Outage(self.outage.since + seconds, self.outage.code)

    def good(self, now: float) -> None:
        """A picture came that may be delivered."""
        self._good = now
        if self.outage is not None:
            self._recovered(self.outage, now)
        self._retry.worked(now)
        self.machine.running()
        if self._unstable and self._retry.stable(now):
            self._retry.settle()
            self._tell_loop()

    def _recovered(self, outage: Outage, now: float) -> None:
        self.outage, downtime = None, now - outage.since
        self.record.downtime += downtime
        self.tally.reconnects += self.machine.connected.is_set()
        self._say(f"pictures again after {downtime:.1f} s")
        self._heap.give_back()
        self._tell_recovery("lost", outage.code, downtime)
        self.machine.running()
        self._explain()
        self.on_rest()

    def _tell_recovery(self, what: str, code: StreamErrorCode, downtime: float) -> None:
        self.reporter.info(
            EventType.SOURCE_RECOVERED,
            CONTEXT,
            source_id=self.machine.source_id,
            downtime=round(downtime, 3),
            recovered_from=what,
            code=str(code),
        )

    def end(self) -> None:
        """The run is over, and with it an outage."""
        outage, self.outage, self.next_try = self.outage, None, None
        self.troubles = {}
        if outage is not None:
            self.record.downtime += time.monotonic() - outage.since

    # -- pictures come, but something is wrong -----------------------------------------------

    def judged(self, now: float) -> None:
        """Tell what has become wrong with the pictures, and what is well again."""
        wrong = self.health.troubles(now)
        if self.outage is not None or wrong == self.troubles.keys() - {_UNSTABLE}:
            return
        for code in wrong - self.troubles.keys():
            since = self.health.frozen_since if code is StreamErrorCode.FROZEN else now
            self._degraded(code, WHAT[code], since)
        for code in self.troubles.keys() - wrong - {_UNSTABLE}:
            self._healed(code, now)

    def _degraded(self, code: StreamErrorCode, what: str, since: float) -> None:
        self.troubles = {**self.troubles, code: since}
        self._explain()
        self._say(what)
        self.reporter.warning(
            EventType.SOURCE_DEGRADED,
            CONTEXT,
            source_id=self.machine.source_id,
            code=str(code),
            what=what,
            since=round(time.monotonic() - since, 3),
        )

    def _healed(self, code: StreamErrorCode, now: float) -> None:
        since = self.troubles[code]
        self.troubles = {other: at for other, at in self.troubles.items() if other is not code}
        self._explain()
        self._say(f"no longer so: {WHAT.get(code, _LOOP)}")
        self._tell_recovery("degraded", code, now - since)

    def _tell_loop(self) -> None:
        """That it fails again and again, once; and once that it has become stable."""
        if self._retry.looping is self._unstable:
            return
        self._unstable = self._retry.looping
        if self._unstable:
            self._degraded(_UNSTABLE, _LOOP, time.monotonic())
        else:
            self._healed(_UNSTABLE, time.monotonic())

    def _explain(self) -> None:
        """The reason of a state in which pictures come; of a lost one it is what it was lost by."""
        if self.outage is None:
            code = self.degraded
            self.machine.explain(code, "" if code is None else WHAT.get(code, _LOOP))

    def changed(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """The picture has another size or comes by another codec."""
        self._say(f"the picture changed from {before} to {after}")
        self.reporter.info(
            EventType.SOURCE_CHANGED,
            CONTEXT,
            source_id=self.machine.source_id,
            before=before,
            after=after,
        )

    # -- how it is -------------------------------------------------------------------------

    @property
    def degraded(self) -> StreamErrorCode | None:
        """The worst that is wrong while pictures come."""
        return min(self.troubles, key=list(StreamErrorCode).index, default=None)

    def stats(self) -> dict[str, Any]:
        """State, reason and outages; times in seconds."""
        now, machine, outage, next_try = time.monotonic(), self.machine, self.outage, self.next_try
        lost = 0.0 if outage is None else now - outage.since
        idle = machine.state is StreamState.PAUSED
        return {
            "since": now - machine.since,
            "code": None if machine.code is None else str(machine.code),
            "reason": machine.reason,
            "next_try_in": None if next_try is None or idle else max(0.0, next_try - now),
            "degraded": None if self.degraded is None else str(self.degraded),
            "outages": self.record.outages,
            "downtime": self.record.downtime + lost,
        }

    def _say(self, text: str) -> None:
        """In the log, at most once a second, in words, by name."""
        if count := self._throttle.tick():
            name = self.name()
            more = f" ({count - 1} lines more were left out)" if count > 1 else ""
            log.warning("%s%s", text if text.startswith(name) else f"{name}: {text}", more)


def _judging(options: StreamOptions) -> tuple[object, ...]:
    return options.frozen_after, options.watch_view


def _waits(options: StreamOptions) -> tuple[float, ...]:
    plain = options.restart_delay, options.restart_delay_max, options.stable_after
    wrong = options.wrong_delay, options.wrong_delay_max
    return *plain, *wrong, options.auth_delay, options.auth_delay_max
