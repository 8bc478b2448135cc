"""How many cameras fit on this machine: found by running them, not by adding up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from streamkit.doctor.trial import Load, Trial, attempt

_MOST = 256
_IN_THE_WAY = 0.25
_BUSY = 0.85
"""Of the machine, at the first guess."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to run here."""

    cameras: int
    model: str
    max_age: float
    """Seconds, of the oldest results but one in a hundred."""
    fps: float
    """Predictions a second and camera."""
    like: str | None = None
    """A clip or an address like those cameras."""
    margin: float = 0.2
    seconds: float = 6.0
    """How long each trial runs."""


@dataclass
class Plan:
    """Searches for the most cameras that ``max_age`` allows; ``margin`` of them are left free."""

    load: Load
    max_age: float
    margin: float = 0.2
    seconds: float = 6.0
    told: Callable[[Trial], None] = lambda _trial: None
    trials: list[Trial] = field(default_factory=list)

    def run(self, cameras: int) -> Answer:
        """Try ``cameras``, then more or fewer until it is known how many fit."""
        capacity = self._capacity(cameras)
        safe = math.floor(capacity * (1 - self.margin))
        slower = None if cameras <= safe else self._slower(cameras)
        return Answer(cameras, capacity, safe, slower, self.max_age, self.margin, self.trials)

    def _try(self, cameras: int, fps: float | None = None) -> bool:
        load = self.load if fps is None else replace(self.load, fps=fps)
        trial = attempt(load, cameras, self.seconds)
        self.trials.append(trial)
        self.told(trial)
        return trial.fits(self.max_age)

    def _capacity(self, cameras: int) -> int:
        """The largest number that fits, at most a quarter more than what is asked needs."""
        enough = min(_MOST, math.ceil(cameras / (1 - self.margin)))
        if not self._try(1):
            return 0
        if enough == 1 or self._try(enough):
            return enough
        good, bad = 1, enough
        guess = math.floor(_BUSY / max(self.trials[0].cpu, 1e-3))
        while bad - good > 1:
            middle = guess if good < guess < bad else (good + bad) // 2
            guess = 0
            if self._try(middle):
                good = middle
            else:
                bad = middle
        return good

    def _slower(self, cameras: int) -> float | None:
        """A rate at which all of them would fit, margin and all."""
        wanted = math.ceil(cameras / (1 - self.margin))
        for share in (2, 4, 8):
            if self._try(wanted, self.load.fps / share):
                return self.load.fps / share
        return None


@dataclass(frozen=True, slots=True)
class Answer:
    """How many fit, and what to do if that is too few."""

    cameras: int
    """Asked for."""
    capacity: int
    """Fit, with nothing left over. The search ends where the asked ones fit with their margin."""
    safe: int
    """Fit, with the margin."""
    slower: float | None
    """Predictions a second and camera at which the asked ones fit; ``None``: not looked for, or
    not found."""
    max_age: float
    margin: float
    trials: list[Trial]

    @property
    def fits(self) -> bool:
        """Whether the cameras asked for fit, with the margin."""
        return self.cameras <= self.safe

    @property
    def text(self) -> str:
        """In words."""
        kept = f"{100 * self.margin:.0f} % kept free"
        age = f"{1e3 * self.max_age:.0f} ms at p99"
        if self.fits:
            return f"{self.cameras} cameras fit ({age}, {kept})."
        if self.capacity == 0:
            return f"Not even one camera fits ({age}). {self._instead}"
        said = f"{self.cameras} cameras do not fit: {self.safe} do ({age}, {kept}; {self.capacity} "
        return f"{said}with nothing free). {self._instead}"

    @property
    def _instead(self) -> str:
        """What would help."""
        others = max((trial.others for trial in self.trials), default=0.0)
        if others > _IN_THE_WAY:
            said = f"Other programs took {100 * others:.0f} % of the machine: try again without. "
        else:
            said = ""
        if self.slower is not None:
            return said + f"At {self.slower:g} predictions a second and camera they would fit."
        return said + "A smaller model, a lower rate or another machine is needed."

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        told = {name: getattr(self, name) for name in self.__slots__ if name != "trials"}
        trials = [trial.as_dict() for trial in self.trials]
        return {**told, "fits": self.fits, "text": self.text, "trials": trials}
