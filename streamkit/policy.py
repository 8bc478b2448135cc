"""What a lane keeps and drops, and what it gets of its consumer: values, and their names."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from streamkit.events import DropCause


class Aged(Protocol):
    """Something that knows how old it is."""

    @property
    def age(self) -> float:
        """Seconds since it arrived."""
        ...


T = TypeVar("T", bound=Aged)
OnDrop: TypeAlias = Callable[[T, DropCause], None]
Drops: TypeAlias = list[tuple[OnDrop[T], T, DropCause]]
"""Whom to tell of what, once no lock is held."""


class Overflow(StrEnum):
    """What a full lane does with one more item."""

    WAIT = "wait"
    OLDEST = "drop oldest"
    LATEST = "drop latest"


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """How a lane keeps or drops. ``LIVE`` and ``FINITE`` are what streams use unless told."""

    capacity: int = 1
    overflow: Overflow = Overflow.OLDEST
    eager: bool = False
    """Serve the newest waiting item and drop the older ones."""
    max_age: float | None = None
    """Seconds; an item older than this when its turn comes is dropped."""
    cause: DropCause = DropCause.NEWER
    """What to call it when an item is lost to a full lane."""


LIVE = LanePolicy()
FINITE = LanePolicy(capacity=2, overflow=Overflow.WAIT)


class Carried:
    """The type of ``CARRIED``."""

    def __repr__(self) -> str:
        return "CARRIED"


CARRIED: Final = Carried()
"""The value of an item that no worker has seen."""


@dataclass(frozen=True, slots=True)
class Share(Generic[T]):
    """What a lane gets of its consumer. Raises ``ValueError`` for a weight that is not above 0."""

    priority: int = 0
    """Lanes of a higher one go first."""
    weight: float = 1.0
    """The part that goes to this lane, among those of its priority that have something waiting."""
    wanted: Callable[[T], bool] | None = None
    """Which items go to a worker, asked once of each in order; the others are handed on, in their
    place, with ``CARRIED`` as their value. ``None``: all do."""
    stretch: int = 1
    """How many items, about, share one that goes to a worker: so much wider is the window."""

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight={self.weight!r}: give a number above 0")


def tell(drops: Drops[Any]) -> None:
    """Tell of dropped items; no lock is held."""
    for on_drop, item, cause in drops:
        on_drop(item, cause)
