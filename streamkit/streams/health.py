"""Looks at the pictures of a live stream: frozen, damaged, black, covered; by a few samples each.

The limits of judging by pictures, which no threshold removes:

* A noise-free picture of a still scene (test patterns, a screen that is filmed by wire) is the
  same bit by bit, as a frozen one is; a real sensor's noise never is. Such a stream sets
  ``frozen_after=None``. A camera whose clock in the picture goes on is not frozen to us.
* A dark room without noise and a capped lens are one and the same black.
* What was covered before the first picture came is what the stream "usually" looks like; fog is
  a cover too; and under a cover so dark that the sensor's noise fills the picture nothing is told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from streamkit.errors import StreamErrorCode
from streamkit.frame import Plane

CORRUPT, FROZEN = StreamErrorCode.CORRUPT, StreamErrorCode.FROZEN
BLACK, COVERED = StreamErrorCode.BLACK, StreamErrorCode.COVERED

WHAT = {
    FROZEN: "the camera sends one and the same picture again and again",
    CORRUPT: "pictures arrive damaged",
    BLACK: "the picture is black",
    COVERED: "the picture shows nothing: the lens is covered, sprayed or far out of focus",
}

SAMPLES = 4096
"""At most about this many pixels are looked at."""
_PERIOD = 0.25
"""Seconds between two looks."""
_ARRIVALS = 5
"""So many looks at one and the same picture it takes at least."""
_HOLDS = 3.0
"""Seconds for which a picture has to be black or covered, or clean again after damage."""
_LEARN = 20
"""Looks after which it is known what the stream usually shows."""
_BLACK_LEVEL = 16.0
_DARK, _EVEN = 24.0, 4.0
"""Mean and spread below which a picture is black; the rest above ``_BLACK_LEVEL`` is noise."""
_USUAL_CONTRAST = 0.1
"""What never had more contrast than this cannot lose it."""


@dataclass(slots=True)
class Lasting:
    """Something that counts once it has been so for a while, and ends as slowly."""

    seconds: float
    active: bool = False
    _since: float | None = None

    def note(self, so: bool, now: float) -> None:
        """It is, or is not, so at ``now``."""
        if so == self.active:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= self.seconds:
            self.active, self._since = so, None


@dataclass(slots=True)
class Usual:
    """What a stream usually looks like: slow means over the looks at good pictures.

    Contrast and detail are in parts of the brightness, so that dusk, which dims everything alike,
    changes neither; what is held over a lens leaves nothing of both.
    """

    contrast: float = 0.0
    detail: float = 0.0
    looks: int = 0

    def learn(self, contrast: float, detail: float) -> None:
        """One more good picture."""
        self.looks += 1
        weight = max(1.0 / self.looks, 1.0 / 240)
        self.contrast += weight * (contrast - self.contrast)
        self.detail += weight * (detail - self.detail)

    def lacks(self, contrast: float, detail: float) -> bool:
        """Whether a picture has far less in it than there usually is."""
        known = self.looks >= _LEARN and self.contrast >= _USUAL_CONTRAST
        return known and contrast < 0.4 * self.contrast and detail < 0.35 * self.detail


@dataclass(slots=True)
class Sameness:
    """Since when one and the same picture comes.

    Each look compares another grid of pixels, bit by bit: it samples the present picture twice,
    where the last look said it would look now, and where the next one will. So what moves
    between the grid's points is met sooner or later, and nothing of the frame is kept.
    """

    since: float | None = None
    looks: int = 0
    _turn: int = 0
    _kept: Plane | None = None

    def look(self, luma: Plane, step: int, now: float) -> None:
        """Compare with the last picture."""
        kept, self._kept = self._kept, None
        same = kept is not None and np.array_equal(kept, _grid(luma, step, *_corner(self._turn)))
        self._turn += 1
        self._kept = _grid(luma, step, *_corner(self._turn)).copy()
        if not same:
            self.since, self.looks = now, 0
        self.looks += 1

    def lasts(self, seconds: float, now: float) -> bool:
        """Whether it has been one picture for so long."""
        return self.since is not None and self.looks > _ARRIVALS and now - self.since >= seconds


def _corner(turn: int) -> tuple[float, float]:
    """Where the grid begins, as fractions of its step: every place has its turn."""
    return turn * 0.7548776662 % 1.0, turn * 0.5698402910 % 1.0


def _grid(luma: Plane, step: int, down: float, across: float) -> Plane:
    return luma[int(down * step) :: step, int(across * step) :: step]


@dataclass(slots=True)
class Health:
    """What is wrong with one stream's pictures. Not for files, which are what they are.

    ``frozen_after`` seconds of one and the same picture make it frozen (``None``: never judged);
    ``view``: whether to judge black and covered. About 0.1 ms for each look, four looks a second.
    """

    frozen_after: float | None = 10.0
    view: bool = True
    frozen: bool = False
    frozen_since: float = 0.0
    """When the picture that does not change was first seen."""
    _tried: float | None = None
    _whole: bool = False
    """A whole picture has come by this connection."""
    _damaged: float | None = None
    _since: float | None = None
    """When the first damaged picture came after the last whole one."""
    _next: float = 0.0
    _size: tuple[int, ...] = ()
    _same: Sameness = field(default_factory=Sameness)
    _usual: Usual = field(default_factory=Usual)
    _black: Lasting = field(default_factory=lambda: Lasting(_HOLDS))
    _covered: Lasting = field(default_factory=lambda: Lasting(_HOLDS))

    def due(self, now: float) -> bool:
        """Whether the picture of ``now`` should be looked at: now and then, each while frozen."""
        return (self.view or self.frozen_after is not None) and (self.frozen or now >= self._next)

    def damaged(self, now: float) -> None:
        """A concealed picture came; there is nothing to be learnt from what it shows."""
        self._damaged = now
        self._since = now if self._since is None else self._since

    def clean(self) -> None:
        """A whole picture came. What came before the first of a connection was not damaged on its
        way: it refers to pictures from before that."""
        if not self._whole:
            self._damaged = None
        self._whole, self._since = True, None

    def look(self, luma: Plane, now: float) -> None:
        """Look at a whole picture (H x W ``uint8``) that came at ``now`` (monotonic seconds)."""
        if luma.shape != self._size:
            self.reset()
            self._size = luma.shape
        self._next = now + min(_PERIOD, (self.frozen_after or math.inf) / (2 * _ARRIVALS))
        step = max(1, math.ceil(math.sqrt(luma.size / SAMPLES)))
        self._judge_sameness(luma, step, now)
        if self.view and not self.frozen:
            self._judge_view(luma, step, now)

    def _judge_sameness(self, luma: Plane, step: int, now: float) -> None:
        if self.frozen_after is None:
            return
        self._same.look(luma, step, now)
        if self._same.looks == 1:
            self.frozen = False
        elif not self.frozen and self._same.lasts(self.frozen_after, now):
            self.frozen, self._tried = True, now
            self.frozen_since = self._same.since or now
        elif self.frozen and self._tried is None:
            self._tried = now

    def _judge_view(self, luma: Plane, step: int, now: float) -> None:
        points = luma[::step, :-1:step].astype(np.int16)
        points += luma[::step, 1::step][:, : points.shape[1]]  # two side by side: half the noise
        if not points.size:
            return
        mean, spread = float(points.mean()) / 2, float(points.std()) / 2
        steps = np.abs(np.diff(points, axis=1)) if points.shape[1] > 1 else points[:0]
        light = max(mean - _BLACK_LEVEL, 8.0)
        contrast, detail = spread / light, float(steps.mean() if steps.size else 0.0) / 2 / light
        dark = mean < _DARK and spread < _EVEN
        bare = not dark and self._usual.lacks(contrast, detail)
        self._black.note(dark, now)
        self._covered.note(bare, now)
        if not dark and not bare:
            self._usual.learn(contrast, detail)

    def troubles(self, now: float) -> frozenset[StreamErrorCode]:
        """What is wrong at ``now``."""
        found = {FROZEN} if self.frozen else set()
        if self._is_corrupt(now):
            found.add(CORRUPT)
        if self._black.active:
            found.add(BLACK)
        if self._covered.active:
            found.add(COVERED)
        return frozenset(found)

    def _is_corrupt(self, now: float) -> bool:
        """Until now, or a moment ago; but who connects between two key frames may have to wait."""
        if self._damaged is None or now - self._damaged >= _HOLDS:
            return False
        waited = self._since is not None and now - self._since >= _HOLDS
        return self._whole or waited

    def to_be_cured(self, now: float, patience: float | None) -> StreamErrorCode | None:
        """What a new connection may cure: frozen for another ``frozen_after`` since that was found
        or tried, or nothing but damaged pictures for ``patience`` seconds."""
        tried = self._tried if self.frozen else None
        if tried is not None and now - tried >= (self.frozen_after or math.inf):
            return FROZEN
        if patience is not None and self._since is not None and now - self._since >= patience:
            return CORRUPT
        return None

    def reconnected(self) -> None:
        """A new connection: a frozen picture stays frozen until another one comes, everything
        else that takes time begins anew."""
        self._damaged = self._since = self._tried = None
        self._whole = False
        if not self.frozen:
            self._same = Sameness()
        self._black, self._covered = Lasting(_HOLDS), Lasting(_HOLDS)

    def reset(self) -> None:
        """Another picture altogether: nothing is known of it."""
        self.frozen = False
        self._same, self._usual = Sameness(), Usual()
        self._black, self._covered = Lasting(_HOLDS), Lasting(_HOLDS)
