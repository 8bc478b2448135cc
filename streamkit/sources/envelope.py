"""When the pictures of a camera would have come with nothing in their way, told from what came."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from statistics import median

UNSEEN = 0.5
"""Seconds from the shutter to here that no receiver can see: exposing, encoding, the shortest way
through the network. Cameras of today take 0.05 to 0.4; one that takes longer is beyond any bound
that rests on arrivals alone."""
DRIFT = 200e-6
"""How far a camera's crystal may run from ours: 100 ppm are cheap, 200 are broken."""
BACKLOG = 5.0
"""Seconds of older pictures that a server may hand to a newcomer before it is live."""
LIAR = 10.0
"""Pts that lag this far behind the clock are no clock: nobody keeps 10 s of live video back."""
_QUIET = 0.5
_FALL = 0.01
_BACK = 2.0
_AHEAD = 0.5


@dataclass
class Envelope:
    """The smallest ``arrival - pts`` ever, let rise by ``DRIFT``: jitter and bursts only add to it.

    A picture of ``pts`` was taken at ``pts + floor`` (monotonic seconds) at the latest, and at most
    ``UNSEEN`` before that. With no window there is nothing to be forgotten in a long congestion.
    """

    opened: float
    """Monotonic instant at which the connection was begun."""
    floor: float = inf
    trusted: bool = True
    """False once pts have turned out to be no clock."""
    _pts: float = field(default=0.0, init=False)
    _arrived: float = field(default=-inf, init=False)
    _touched: float = field(default=0.0, init=False)
    _fell: float = field(default=0.0, init=False)
    _since_fall: int = field(default=0, init=False)
    _packets: int = field(default=0, init=False)
    _since: float = field(default=0.0, init=False)
    _doubt: float = field(default=0.0, init=False)
    leapt: float = field(default=0.0, init=False)
    """Seconds by which pts may have leapt without being found out."""
    _above: float = field(default=0.0, init=False)
    settled: bool = field(default=False, init=False)
    """Has the floor stood still for a while? Until then pictures are a backlog."""
    _lowest: list[float] = field(default_factory=lambda: [inf, inf], init=False)
    _second: float = field(default=0.0, init=False)

    def heard(self, pts: float, arrived: float) -> bool:
        """A packet of ``pts`` was there at ``arrived``. True where its pts began anew."""
        above = arrived - pts
        anew = self._arrived > -inf and self._jumped(pts, above)
        if self._arrived == -inf or anew:
            before = self.opened if self._arrived == -inf else self._arrived
            known = BACKLOG if self._arrived == -inf else self.lag + self.leapt + _QUIET
            doubt = known + arrived - before  # it was taken after what came before
            self._anchor(above, arrived, doubt)
        else:
            self._doubt_leaps(above, pts, arrived)
            self._follow(above, arrived)
        self._pts, self._arrived = pts, arrived
        return anew

    @property
    def lag(self) -> float:
        """Seconds by which the latest second came later than the floor says, and still rises."""
        before, now = self._lowest
        if now == inf or self.floor == inf:
            return 0.0
        rise = max(0.0, now - before) if before < inf else 0.0
        return max(0.0, now + rise - self.floor)

    @property
    def uncertainty(self) -> float:
        """Seconds by which ``pts + floor`` may be wrong."""
        drifted = 2 * DRIFT * max(0.0, self._arrived - self._touched)
        return UNSEEN + drifted + self.lag + self.leapt + (0.0 if self.settled else self._doubt)

    def _jumped(self, pts: float, above: float) -> bool:
        """Forward by more than the floor allows, or back by more than B-pictures go back."""
        return pts < self._pts - _BACK or (self.settled and above < self.floor - _AHEAD)

    def _anchor(self, above: float, arrived: float, doubt: float) -> None:
        self.floor, self._doubt = above, doubt
        self._touched = self._fell = self._since = self._second = arrived
        self._since_fall, self._packets, self.settled, self.leapt = 0, 0, False, 0.0
        self._lowest = [inf, above]

    def _follow(self, above: float, arrived: float) -> None:
        floor = self.floor + DRIFT * (arrived - self._arrived)
        if above <= floor:
            self._touched = arrived
        self._packets, self._since_fall = self._packets + 1, self._since_fall + 1
        if above < floor - _FALL:
            self._fell, self._since_fall = arrived, 0
        self.settled |= arrived - self._fell > _QUIET and self._since_fall >= 4
        self.floor = min(floor, above)
        self._remember(above, arrived)
        falls = not self.settled and arrived - self._since > LIAR and self._packets > 50
        lags = inf > self._lowest[0] > self.floor + LIAR  # a whole second of them
        self.trusted &= not (lags or falls)

    def _doubt_leaps(self, above: float, pts: float, arrived: float) -> None:
        """In a burst nobody can tell a camera that left something out from pts that leapt, and
        nobody can tell a small step back from pictures in another order."""
        gap, was_late = pts - self._pts, self._above == self._arrived
        if above > self.floor + 0.1:
            self._above = arrived
        late = was_late or self._above == arrived
        if gap < -_AHEAD or (gap > _AHEAD and late):
            self.leapt = max(self.leapt, abs(gap), abs(gap - arrived + self._arrived))
        elif arrived - self._above > _QUIET:
            self.leapt = 0.0

    def _remember(self, above: float, arrived: float) -> None:
        if arrived - self._second >= 1.0:
            self._lowest, self._second = [self._lowest[1], inf], arrived
        self._lowest[1] = min(self._lowest[1], above)


@dataclass
class Cadence:
    """How far behind pictures without times may be: what came late, less what was caught up.

    For a camera of a steady rate. One that is read more slowly than it sends looks steady too.
    """

    opened: float
    lag: float = field(default=0.0, init=False)
    """Seconds by which the latest picture may have been held up."""
    _gaps: list[float] = field(default_factory=list, init=False)
    _usual: float = field(default=0.0, init=False)
    _arrived: float = field(default=-inf, init=False)
    _count: int = field(default=0, init=False)

    def heard(self, arrived: float) -> None:
        """A packet came."""
        if self._arrived == -inf:
            self.lag = arrived - self.opened
        else:
            gap = arrived - self._arrived
            self._learn(gap)
            kept = max(0.0, 1.0 - min(gap, self._usual) / LIAR)
            self.lag = max(0.0, self.lag * kept + gap - self._usual)
        self._arrived = arrived

    def _learn(self, gap: float) -> None:
        self._gaps.append(gap)
        self._count += 1
        if len(self._gaps) > 300:
            del self._gaps[:100]
        if self._count < 16:
            self._usual = min(self._gaps)
        elif self._count % 16 == 0:
            self._usual = median(self._gaps)
