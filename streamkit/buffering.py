"""The neighbour's names for keeping and dropping frames, and what they mean for a lane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from streamkit.errors import ConfigError
from streamkit.events import DropCause
from streamkit.scheduler import FINITE, LIVE, LanePolicy, Overflow

_UNBOUNDED = 512  # what a buffer of size 0, "unbounded" to the neighbour, may hold here


class BufferFillingStrategy(StrEnum):
    """What a full buffer does. Unset: WAIT for files, the newest wins for streams."""

    WAIT = "WAIT"
    DROP_OLDEST = "DROP_OLDEST"
    ADAPTIVE_DROP_OLDEST = "ADAPTIVE_DROP_OLDEST"
    DROP_LATEST = "DROP_LATEST"
    ADAPTIVE_DROP_LATEST = "ADAPTIVE_DROP_LATEST"


class BufferConsumptionStrategy(StrEnum):
    """LAZY: in order. EAGER: the newest, and what is older is dropped (counted)."""

    LAZY = "LAZY"
    EAGER = "EAGER"


class VideoProcessingMode(StrEnum):
    """The trade in one word; it concerns live sources, files always deliver every frame."""

    AUTO = "auto"
    EVERY_FRAME = "every_frame"
    FRESHEST = "freshest"
    LEGACY = "legacy"
    NONE = "none"


E = TypeVar("E", bound=StrEnum)


def choice(kind: type[E], value: str | E | None, name: str) -> E | None:
    """``value`` as a member of ``kind``, in any case; ``ConfigError`` names the choices."""
    if value is None:
        return None
    for member in kind:
        if member.value.lower() == str(getattr(value, "value", value)).lower():
            return member
    choices = ", ".join(member.value for member in kind)
    raise ConfigError(f"{name}={value!r}: choose one of {choices}")


_ON_FULL = {
    BufferFillingStrategy.WAIT: (Overflow.WAIT, DropCause.NEWER),
    BufferFillingStrategy.DROP_OLDEST: (Overflow.OLDEST, DropCause.OLDEST),
    BufferFillingStrategy.DROP_LATEST: (Overflow.LATEST, DropCause.LATEST),
    BufferFillingStrategy.ADAPTIVE_DROP_LATEST: (Overflow.LATEST, DropCause.LATEST),
}


@dataclass(frozen=True, slots=True)
class Buffering:
    """How the frames of a pipeline's sources wait for the model."""

    filling: BufferFillingStrategy | None = None
    consumption: BufferConsumptionStrategy | None = None
    mode: VideoProcessingMode = VideoProcessingMode.AUTO
    size: int = 64

    @property
    def capacity(self) -> int:
        """The most frames that may wait."""
        return self.size or _UNBOUNDED

    def policy(self, *, live: bool, max_staleness: float | None = None) -> LanePolicy:
        """What this means for a source of that kind, whose frames may grow that old (seconds)."""
        budget = self._budget(live, max_staleness)
        if self.filling in _ON_FULL:
            overflow, cause = _ON_FULL[self.filling]
            return LanePolicy(self.capacity, overflow, self._eager(live), budget, cause)
        if not live:
            return replace(FINITE, eager=self._eager(live))
        if self.mode is VideoProcessingMode.EVERY_FRAME:
            return LanePolicy(self.capacity, Overflow.OLDEST, cause=DropCause.OLDEST)
        return replace(LIVE, max_age=budget)

    def _eager(self, live: bool) -> bool:
        if self.consumption is None:
            return live
        return self.consumption is BufferConsumptionStrategy.EAGER

    def _budget(self, live: bool, max_staleness: float | None) -> float | None:
        wanted = self.mode is not VideoProcessingMode.EVERY_FRAME
        return max_staleness if live and wanted else None
