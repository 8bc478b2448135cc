"""Which pictures of a stream suffice for the rate that is wanted, by the stream's own rhythm."""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from streamkit.sources.bitstream import Need


class Effort(IntEnum):
    """How many of a stream's pictures are decoded; the values are those of ``Need``."""

    KEY = Need.KEY
    REFERENCE = Need.REFERENCE
    ALL = Need.DISPOSABLE


_TOLERANCE = 1.1
"""A gap may be longer than the wanted interval by this factor: cameras are not exact."""
_PATIENCE = 1.5
"""An effort that was chosen is given up when a gap is longer than this many intervals."""
_GAPS = {Effort.KEY: 3, Effort.REFERENCE: 10}
"""So many gaps are looked at before an effort is trusted."""
_BREAK = 30.0
"""Seconds: longer than any distance between key frames that is of use; the clock was set."""


class Economy:
    """Watches how far apart the pictures of each kind are, and chooses the cheapest that do.

    Judged by the longest of the last gaps, not by their mean: cameras stretch their groups of
    pictures when nothing moves.
    """

    def __init__(self) -> None:
        self.effort = Effort.ALL
        """What is being done."""
        self._gaps = {effort: _Gaps(count) for effort, count in _GAPS.items()}
        self._spares = False

    def note(self, need: Need, at: float | None) -> None:
        """A packet came, at ``at`` seconds of its stream's time."""
        self._spares |= need is Need.DISPOSABLE
        if at is not None:
            for effort, gaps in self._gaps.items():
                gaps.note(at, need <= effort.value)

    def choice(self, wanted: float | None) -> tuple[Effort, str]:
        """The cheapest effort that gives ``wanted`` pictures per second, and why."""
        if not wanted:
            return Effort.ALL, "every picture is wanted"
        for effort, gaps in self._gaps.items():
            limit = (_PATIENCE if self.effort <= effort else _TOLERANCE) / wanted
            of_use = effort is Effort.KEY or self._spares
            if of_use and gaps.known and gaps.longest <= limit:
                kind = f"{effort.name.lower()} frames"
                every = f"at most {gaps.longest:.3g} s apart"
                return effort, f"{kind} are {every}, {wanted:g} fps are wanted"
        if not self._gaps[Effort.KEY].known:
            return Effort.ALL, "its rhythm is not known yet"
        apart = self._gaps[Effort.KEY].longest
        return Effort.ALL, f"key frames are up to {apart:.3g} s apart, {wanted:g} fps are wanted"


class _Gaps:
    """The last distances between pictures of a kind, the one that is still open included."""

    def __init__(self, count: int) -> None:
        self._closed: deque[float] = deque(maxlen=count)
        self._last: float | None = None
        self._now = 0.0

    @property
    def known(self) -> bool:
        """Have enough been seen?"""
        return len(self._closed) == self._closed.maxlen

    @property
    def longest(self) -> float:
        """Seconds."""
        last = self._now if self._last is None else self._last
        return max(max(self._closed, default=0.0), self._now - last)

    def note(self, at: float, counts: bool) -> None:
        """Time goes on to ``at``; with a picture of this kind, if it ``counts``."""
        if self._last is not None and not -1.0 < at - self._last < _BREAK:
            self._closed.clear()
            self._last = None
        self._now = max(at, self._last) if self._last is not None else at
        if counts:
            if self._last is not None and at > self._last:
                self._closed.append(at - self._last)
            self._last = at if self._last is None else max(at, self._last)
