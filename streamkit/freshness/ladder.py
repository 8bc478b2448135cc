"""The degradation ladder: step by step down while a model is overloaded, and up again, calmly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamkit import plugins
from streamkit.errors import ConfigError

_BUSY: Final = 0.95
_CALM: Final = 0.8
"""Part of the workers' time that may be used after a step up, by what is known before it."""
_STALE: Final = 0.01
_LOST: Final = 0.05
_MODEL_COST: Final = 0.5
"""What a smaller model is taken to cost; that it costs more is found out by trying."""
_TRIES_AGAIN: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradeOptions:
    """When steps are taken, and which. Times are seconds. ``ConfigError``."""

    budget: float | None = None
    """How old frames may be when the model takes them; ``None``: the least ``max_staleness`` of
    the streams, or half a second."""
    rates: tuple[float, ...] = (0.5, 0.25)
    """Parts of the rate of the streams of the lowest priority."""
    scales: tuple[float, ...] = (0.75, 0.5)
    """Parts of the model's input, across and down, where its graph leaves that open."""
    down_after: float = 2.0
    """Of overload, until the next step down."""
    up_after: float = 10.0
    """Of calm, until a step up; doubled each time a step up turns out to have been too much."""
    up_after_longest: float = 300.0

    def __post_init__(self) -> None:
        for name in ("budget", "down_after", "up_after", "up_after_longest"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"degrade: {name}={value!r}: give more than 0")
        for name in ("rates", "scales"):
            steps = getattr(self, name)
            falling = all(a > b for a, b in zip((1.0, *steps), steps, strict=False))
            if not falling or any(step <= 0 for step in steps):
                raise ConfigError(f"degrade: {name}={list(steps)!r}: falling, between 1 and 0")

    @classmethod
    def of(cls, given: bool | Mapping[str, Any]) -> DegradeOptions | None:
        """``True``, or some of the options by name; ``None``: never."""
        return plugins.switched(cls, "degrade", given)


@dataclass(frozen=True, slots=True)
class Rung:
    """One quality: everything that differs from the full one."""

    name: str = "full"
    rate: float = 1.0
    scale: float = 1.0
    model: str | None = None
    cost: float = 1.0
    """Estimated, as a part of that of the full quality."""


def rungs(options: DegradeOptions, models: Sequence[str], *, scalable: bool) -> list[Rung]:
    """All of them from the top: first the rate, then the input, then the models; each keeps what
    the ones above have given up, but that another model gets its own full input."""
    found = [Rung()]
    for rate in options.rates:
        found.append(Rung(f"rate {rate:g}", rate, cost=rate))
    lowest, cost = found[-1].rate, found[-1].cost
    for scale in options.scales if scalable else ():
        name = _named(lowest, f"input {scale:g}")
        found.append(Rung(name, lowest, scale, cost=cost * scale * scale))
    cost = found[-1].cost
    for model in models:
        cost *= _MODEL_COST
        found.append(Rung(_named(lowest, f"model {model}"), lowest, 1.0, model, cost))
    return found


def _named(rate: float, what: str) -> str:
    return what if rate == 1.0 else f"rate {rate:g}, {what}"


@dataclass(frozen=True, slots=True)
class Load:
    """How a model fared for a moment."""

    utilisation: float
    """Part of the workers' time that was used."""
    waited: float = 0.0
    """Seconds: how old 9 of 10 frames were at most when their turn came."""
    stale: float = 0.0
    """Part of the frames that were dropped for their age."""
    lost: float = 0.0
    """Part of the frames that had to make room for newer ones."""


@dataclass(frozen=True, slots=True)
class Change:
    """A step from one rung to the next."""

    before: Rung
    after: Rung
    why: str


class Ladder:
    """Decides by what is observed; times are given to it, and nothing is done here.

    A step up that brings the overload back doubles the wait for the next one (``up_after`` to
    ``up_after_longest``); one that holds for twice its wait lets it begin anew. So a load that
    lies between two rungs costs two steps per wait, and ever fewer.
    """

    def __init__(
        self,
        steps: Sequence[Rung],
        options: DegradeOptions,
        budget: float,
        at: Rung | None = None,
    ) -> None:
        """``budget``: seconds a frame may wait. Starts ``at`` one of the ``steps``, or on top."""
        self._steps, self._options, self._budget = steps, options, budget
        self._at = 0 if at is None else list(steps).index(at)
        self._patience = options.up_after
        self._overload = self._calm = 0.0
        self._last: float | None = None
        self._went_up: float | None = None

    @property
    def rung(self) -> Rung:
        """The present one."""
        return self._steps[self._at]

    def observe(self, now: float, load: Load) -> Change | None:
        """``load`` since the last time, at ``now`` (seconds): the step to be taken, if any."""
        passed = 0.0 if self._last is None else max(0.0, now - self._last)
        self._last = now
        why = self._trouble(load)
        calm = why is None and self._room_above(load)
        self._overload = max(0.0, self._overload + (passed if why else -passed))
        self._calm = self._calm + passed if calm else 0.0
        self._trust(now)
        if why and self._overload >= self._options.down_after:
            return self._down(now, why)
        if calm and self._calm >= self._patience:
            return self._step(-1, f"{load.utilisation:.0%} busy for {self._calm:.0f} s", now)
        return None

    def _trouble(self, load: Load) -> str | None:
        if load.stale > _STALE:
            return f"{load.stale:.0%} of frames too old"
        if load.waited > self._budget:
            return f"frames wait {load.waited * 1e3:.0f} of {self._budget * 1e3:.0f} ms"
        if load.utilisation > _BUSY and load.lost > _LOST:
            return f"{load.utilisation:.0%} busy, {load.lost:.0%} of frames lost to newer ones"
        return None

    def _room_above(self, load: Load) -> bool:
        if self._at == 0:
            return False
        more = self._steps[self._at - 1].cost / self.rung.cost
        return load.utilisation * more < _CALM and load.waited < self._budget / 2

    def _trust(self, now: float) -> None:
        """A step up has held."""
        if self._went_up is not None and now - self._went_up > _TRIES_AGAIN * self._patience:
            self._patience = self._options.up_after
            self._went_up = None

    def _down(self, now: float, why: str) -> Change | None:
        if self._went_up is not None:
            self._patience = min(_TRIES_AGAIN * self._patience, self._options.up_after_longest)
            self._went_up = None
        if self._at + 1 == len(self._steps):
            return None
        return self._step(1, why, now)

    def _step(self, by: int, why: str, now: float) -> Change:
        before = self.rung
        self._at += by
        self._overload = self._calm = 0.0
        if by < 0:
            self._went_up = now
        return Change(before, self.rung, why)
