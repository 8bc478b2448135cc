"""Whether one more stream fits: what the streams need of a model against what it can do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from streamkit import plugins
from streamkit.errors import ConfigError

_PROBE: Final = 1.0
"""Seconds for which a model is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionOptions:
    """How streams are admitted. ``ConfigError`` for what makes no sense."""

    margin: float = 0.2
    """The part of the capacity that is kept free."""
    fps: float = 25.0
    """Frames per second of a live source that does not say how many it has."""
    capacity: float | None = None
    """Frames per second that the model can do on this machine; ``None``: measured at the start."""

    def __post_init__(self) -> None:
        if not 0 <= self.margin < 1:
            raise ConfigError(f"admission: margin={self.margin!r}: give a part, from 0 below 1")
        for name in ("fps", "capacity"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"admission: {name}={value!r}: give a number above 0")

    @classmethod
    def of(cls, given: bool | Mapping[str, Any]) -> AdmissionOptions | None:
        """``True``, or some of the options by name; ``None``: everything is admitted."""
        return plugins.switched(cls, "admission", given)


def rate(
    fps: float,
    *,
    max_fps: float | None = None,
    infer_every: int = 1,
    infer_fps: float | None = None,
) -> float:
    """Frames per second that reach the model from a source of ``fps``."""
    delivered = min(fps, max_fps) if max_fps else fps
    return min(delivered / infer_every, infer_fps) if infer_fps else delivered / infer_every


def capacity(seconds_per_frame: float, workers: int, *, margin: float = 0.0) -> float:
    """Frames per second that ``workers`` can do at the same time, each of them needing
    ``seconds_per_frame`` while all are at work, with the part ``margin`` kept free."""
    return workers / seconds_per_frame * (1.0 - margin)


def streams(there_is: float, each: float) -> int:
    """How many streams of ``each`` frames per second fit into ``there_is``."""
    return int(there_is / each + 1e-9)


def measured(
    run: Callable[[], object], workers: int, frames: int = 1, seconds: float = _PROBE
) -> float:
    """Frames per second when ``workers`` threads call ``run``, which does ``frames`` of them, for
    ``seconds``; the first call of each is not counted. Raises what ``run`` raises."""
    counts, errors = [0.0] * workers, list[Exception]()
    barrier = threading.Barrier(workers)

    def work(number: int) -> None:
        try:
            run()
            barrier.wait()
            began = time.monotonic()
            calls = 0
            while time.monotonic() - began < seconds:
                run()
                calls += 1
            counts[number] = calls / (time.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - a thread begins here; the caller raises it
            errors.append(error)
            barrier.abort()

    threads = [
        threading.Thread(target=work, args=(number,), name=f"streamkit probe {number}")
        for number in range(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(counts) * frames


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a stream fits, in frames per second at the model."""

    needed: float
    """By this stream."""
    taken: float
    """By those before it."""
    there_is: float
    """For all of them; the margin has been taken off."""

    @property
    def fits(self) -> bool:
        """It does."""
        return self.needed + self.taken <= self.there_is * (1 + 1e-9)

    @property
    def left(self) -> float:
        """What there is for this stream."""
        return max(0.0, self.there_is - self.taken)

    def text(self, name: str) -> str:
        """What is refused, by which numbers, and what would make it fit; for people."""
        if self.left >= 0.1:
            how = f"max_fps: {self.left:.1f}, infer_fps: {self.left:.1f}"
        else:
            how = "a lower max_fps or infer_fps for the others"
        return (
            f"{name} is refused: it needs {self.needed:.1f} frames/s of the model, of "
            f"{self.there_is:.1f} there are {self.left:.1f} left (others take {self.taken:.1f}); "
            f"it fits with {how}, a smaller model, or fewer streams"
        )

    def payload(self) -> dict[str, float]:
        """For events."""
        numbers = {"needed": self.needed, "taken": self.taken, "there_is": self.there_is}
        return {name: round(value, 2) for name, value in numbers.items()}


class Wanting(Protocol):
    """Who wants something until it is closed."""

    @property
    def closed(self) -> bool: ...


@dataclass(slots=True)
class _Entry:
    priority: int
    number: int
    fps: float
    admitted: bool = False


@dataclass(eq=False)
class Ledger:
    """Who wants how much of one model. Those that were admitted stay; among the others a higher
    priority goes first, then who came first."""

    _entries: dict[Wanting, _Entry] = field(default_factory=dict)
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, who: Wanting, fps: float, priority: int = 0) -> None:
        """``who`` wants ``fps`` frames per second: for the first time, or other than before."""
        with self._lock:
            before = self._entries.get(who)
            self._count += 1
            number = before.number if before else self._count
            admitted = before is not None and before.admitted
            self._entries[who] = _Entry(priority, number, fps, admitted)

    def change(self, who: Wanting, fps: float, priority: int) -> None:
        """``who`` wants something else than before, if it wants anything."""
        with self._lock:
            if (entry := self._entries.get(who)) is not None:
                entry.fps, entry.priority = fps, priority

    def leave(self, who: Wanting) -> None:
        """It wants nothing any more."""
        with self._lock:
            self._entries.pop(who, None)

    def sweep(self) -> None:
        """Those that have closed want nothing any more."""
        with self._lock:
            for gone in [who for who in self._entries if who.closed]:
                del self._entries[gone]

    def decide(self, who: Wanting, there_is: float) -> Verdict:
        """Whether ``who``, which has entered, fits into ``there_is``; if so, it is admitted, else
        it wants nothing any more. Those that have closed no longer count."""
        self.sweep()
        with self._lock:
            own = self._entries.get(who)
            if own is None:  # it has closed meanwhile, and will find out by itself
                return Verdict(0.0, 0.0, there_is)
            taken = sum(
                entry.fps
                for other, entry in self._entries.items()
                if other is not who and (entry.admitted or _goes_first(entry, own))
            )
            verdict = Verdict(own.fps, taken, there_is)
            own.admitted = verdict.fits
            if not verdict.fits:
                del self._entries[who]
            return verdict


def _goes_first(one: _Entry, other: _Entry) -> bool:
    return (-one.priority, one.number) < (-other.priority, other.number)
