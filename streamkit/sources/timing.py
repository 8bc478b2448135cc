"""When a live picture was taken, by which clock, and by how much that may be wrong."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import TypeAlias

from streamkit.errors import ConfigError
from streamkit.frame import Clock
from streamkit.sources.envelope import UNSEEN, Cadence, Envelope

Tick: TypeAlias = Callable[[], float]
"""A clock: seconds."""

CHOICES = ("auto", *map(str, Clock))
"""Which clock to use; ``auto``: the best there is, and the camera's own only while it agrees."""

HELD = ("h264", "hevc")
"""FFmpeg's parsers of these give a picture of RTP out when the next one begins."""
APART = 0.1
"""Seconds that two clocks set by NTP may be apart."""
BEHIND = 2.0
"""A camera whose pictures come later than this by its own clock has a wrong clock."""
KERNEL = 0.1
"""Seconds from exposure to the kernel's stamp on a picture of a webcam."""
_STEP = 0.001
_TOLD = 0.5
_EXPLAINED = 5.0
_ERA = 2.0**32
_TICK = 2e-6  # what a float of today and a microsecond can tell apart

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a picture was taken."""

    timestamp: datetime
    """Aware UTC; within one stream it never goes back, but for a step that is told in the log."""
    clock: Clock
    uncertainty: float
    """Seconds by which ``timestamp`` may be wrong, either way."""


@dataclass
class WallClock:
    """Unix time of monotonic instants, by one mapping. A step of the system clock is adopted and
    told once; time zones do not come into it."""

    reference: str
    monotonic: Tick = time.monotonic
    wall: Tick = time.time
    _offset: float | None = field(default=None, init=False)

    @property
    def offset(self) -> float:
        """Seconds from a monotonic instant to Unix time, as the system's clock has it now."""
        before, now, after = self.monotonic(), self.wall(), self.monotonic()
        fresh, unsure = now - (before + after) / 2, (after - before) / 2
        if self._offset is None:
            self._offset = fresh
        elif abs(fresh - self._offset) > unsure + _STEP:
            step, self._offset = fresh - self._offset, fresh
            if abs(step) > _TOLD:
                log.warning("%s: the system's clock was set by %+.3f s", self.reference, step)
        return self._offset


@dataclass
class SenderClock:
    """The camera's own clock, from its RTCP sender reports: Unix time less pts.

    FFmpeg gives every packet after the first report that report's time plus the RTP ticks since
    (RFC 3550, 6.4.1). Measured with 8.1: the first packet that has one has the next packet's, so
    an offset counts when it is seen twice. The median of five reports takes their jitter away.
    """

    stale: float | None = None
    """An offset from before pts began anew: not to be believed."""
    _seen: float | None = field(default=None, init=False)
    _reports: deque[float] = field(default_factory=lambda: deque(maxlen=5), init=False)

    def heard(self, pts: float, sent: float) -> None:
        """A packet of ``pts`` was taken at Unix time ``sent``, the camera says."""
        fresh, before, self._seen = sent - pts, self._seen, sent - pts
        if before is None or abs(fresh - before) > 0.002:
            return
        if self.stale is not None and abs(fresh - self.stale) < APART:
            return
        if self._reports and abs(fresh - self._reports[-1]) > APART:
            self._reports.clear()  # its clock was set
        if not self._reports or abs(fresh - self._reports[-1]) > 1e-5:
            self._reports.append(fresh)

    @property
    def offset(self) -> float | None:
        """``None`` before the first report."""
        return median(self._reports) if self._reports else None

    @property
    def jitter(self) -> float:
        """How far its reports differ."""
        return max(self._reports) - min(self._reports) if self._reports else 0.0


class CaptureClock:
    """The capture times of one live source: ``begin`` per connection, ``heard`` per packet, ``at``
    per picture.

    ``rtcp``: the camera's own clock. Unknown to anybody here is whether it is right: by how much
    later pictures come than it says is known, and is stated, as are ``APART`` seconds at least.
    ``pts``: anchored at the least delayed arrivals, so late by what the camera and the shortest
    way take (up to ``UNSEEN``, stated). ``arrival``: when it came. In ``auto`` a camera whose clock
    disagrees with ours (pictures from the future, or ``BEHIND`` late) is timed by its pts.
    ``counted``: pts only count pictures. ``kernel``: pts are the system's monotonic clock.
    """

    def __init__(
        self,
        reference: str,
        choice: str = "auto",
        *,
        counted: bool = False,
        kernel: bool = False,
        monotonic: Tick = time.monotonic,
        wall: Tick = time.time,
    ) -> None:
        if choice not in CHOICES:
            raise ConfigError(f"clock is one of {', '.join(CHOICES)}, not {choice!r}")
        self.reference = reference
        self.held = False
        """Does each packet come out only when the next one begins to come (see ``HELD``)?"""
        self.counted = counted
        self._choice, self._kernel = choice, kernel
        self._monotonic = monotonic
        self._wall = WallClock(reference, monotonic, wall)
        self.skew: float | None = None
        """Seconds by which the camera's clock is ahead of ours, less the way its pictures take;
        ``None`` while it has sent no reports. May be read from any thread."""
        self._last: float | None = None
        self._told: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """A new connection: pts begin anew, the times go on."""
        now = self._monotonic()
        self._envelope, self._cadence = Envelope(now), Cadence(now)
        self._sender, self.skew = SenderClock(), None
        self._arrived = self._stamped = now
        self._came: float | None = None
        self._place: float | None = None
        self._agreed = False

    @property
    def arrived(self) -> float:
        """Monotonic instant at which the last packet was here."""
        return self._arrived

    def heard(self, pts: float | None, sent: float | None = None) -> None:
        """A packet came just now: its pts and its Unix time as the camera tells it (seconds)."""
        before, self._came = self._came, self._monotonic()
        self._arrived = self._came
        self._cadence.heard(self._arrived)
        if pts is None:
            return
        # What was held came out because this one had begun: it was here by then.
        there = before if self.held and before is not None else self._arrived
        if self._envelope.heard(pts, there):
            log.warning("%s: its timestamps began anew", self.reference)
            self._sender = SenderClock(self._sender.offset)
        if sent is not None:
            self._sender.heard(pts, sent)
            delay = self._delay()
            self.skew = None if delay is None else -delay

    def moment(self, pts: float | None) -> float:
        """Unix time at which the picture of ``pts`` was taken, as far as that is known now. For
        packets, which come in decoding order: nothing is steadied, and nothing remembered."""
        return self._target(pts)[0]

    def at(self, pts: float | None) -> Stamp:
        """When the picture of ``pts`` was taken."""
        moment, clock, uncertainty = self._target(pts)
        place = self._arrived if pts is None else pts
        passed = 0.0 if self._place is None else max(0.0, place - self._place)
        passed = min(passed, self._arrived - self._stamped)  # pts may run at any speed
        self._place, self._stamped = place, self._arrived
        steady = self._steadied(moment, passed)
        return Stamp(datetime.fromtimestamp(steady, UTC), clock, uncertainty + abs(steady - moment))

    def _target(self, pts: float | None) -> tuple[float, Clock, float]:
        """Unix time, clock, uncertainty."""
        wall, envelope = self._wall.offset, self._envelope
        if pts is not None and self._choice != "arrival":
            if self._choice != "pts" and (sender := self._sender.offset) is not None:
                delay = self._delay() or 0.0
                if self._agrees(delay) or self._choice == "rtcp":
                    unsure = self._sender.jitter + envelope.leapt
                    return pts + sender, Clock.RTCP, max(APART, abs(delay)) + unsure
            if self._kernel and 0.0 <= self._arrived - pts <= 1.0:
                return pts + wall, Clock.PTS, KERNEL
            if envelope.trusted and not self.counted:
                return pts + envelope.floor + wall, Clock.PTS, envelope.uncertainty
            if not self.counted:
                self._tell("its timestamps do not run like a clock: times are those of arrival")
        return self._arrived + wall, Clock.ARRIVAL, UNSEEN + self._cadence.lag

    def _delay(self) -> float | None:
        """How long the least delayed picture took by the camera's clock and ours."""
        sender = self._sender.offset
        if sender is None:
            return None
        envelope, wall = self._envelope, self._wall.offset
        delay = envelope.floor + wall - sender
        if not envelope.trusted:
            delay += envelope.lag
        return delay - round(delay / _ERA) * _ERA if abs(delay) > _ERA * 0.9 else delay

    def _agrees(self, delay: float) -> bool:
        margin = 1.25 if self._agreed else 1.0  # what is agreed is not dropped at a hair's breadth
        agreed = -APART * margin <= delay <= BEHIND * margin
        if not agreed and self._envelope.settled:
            late = "behind" if delay > 0 else "ahead of"
            text = "its clock is %.1f s %s ours: its pictures are timed by their arrival"
            self._tell(text, abs(delay), late)
        self._agreed = agreed
        return agreed

    def _steadied(self, moment: float, passed: float) -> float:
        """``moment``; where that goes back, time runs half as fast until it is caught up with."""
        last = self._last
        if last is not None:
            if last - moment > _EXPLAINED:
                log.warning("%s: capture times go back by %.1f s", self.reference, last - moment)
            else:
                moment = max(moment, last + max(passed / 2, _TICK))
        self._last = moment
        return moment

    def _tell(self, text: str, *values: object) -> None:
        if text not in self._told:
            self._told.add(text)
            log.warning("%s: " + text, self.reference, *values)
