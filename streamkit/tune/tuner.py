"""Goes through the candidates, in turn with the exact path, and chooses."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from streamkit.errors import StreamkitError
from streamkit.models.tuning import Tuning
from streamkit.tune.agreement import agreement
from streamkit.tune.candidates import Candidate, candidates, exact

Goal = Literal["throughput", "latency"]
_LIMIT = 600
_FINALISTS, _TURNS = 3, 3
_GAIN = 1.05
"""What is not at least this much better than the exact path is not worth a difference."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One candidate against the exact path, which was measured right before it."""

    candidate: Candidate
    fps: float
    cpu: float
    """CPU seconds per picture."""
    latency: float
    """Seconds of one picture at a time, median."""
    agreement: float
    speed: float
    """Its fps as a multiple of the exact path's."""
    quickness: float
    """The exact path's latency as a multiple of its own."""
    thrift: float
    """Its CPU per picture as a part of the exact path's."""
    failure: str | None = None

    def gain(self, goal: Goal) -> float:
        """How many times as good."""
        return self.speed if goal == "throughput" else self.quickness

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        figures = {n: getattr(self, n) for n in self.__slots__ if n != "candidate"}
        return {"name": self.candidate.name, **self.candidate.as_dict(), **figures}


@dataclass
class Tuner:
    """Tunes one model. ``told`` hears of each candidate as it has been measured."""

    weights: Path
    pictures: np.ndarray[Any, Any]
    providers: tuple[str, ...]
    cores: int
    inexact: bool
    """Whether ways may be tried that do not compute with float32."""
    goal: Goal = "throughput"
    bound: float = 0.99
    confidence: float = 0.4
    seconds: float = 3.0
    told: Callable[[Measured], None] = lambda _measured: None
    measured: list[Measured] = field(default_factory=list)

    def run(self) -> Tuning | None:
        """The best that agrees with the exact path; ``None`` where the exact path is the best."""
        with tempfile.TemporaryDirectory(prefix="streamkit-") as folder:
            path = Path(folder) / "pictures.npy"
            np.save(path, self.pictures, allow_pickle=False)
            self._go_through(path)
            best = self._confirmed(path)
        return None if best is None else _tuning(best, self.goal)

    def _confirmed(self, pictures: Path) -> Measured | None:
        """The best that is still better when it is measured several times: one measurement on a
        machine with other things to do may say anything."""
        able = [m for m in self.measured if m.failure is None and m.agreement >= self.bound]
        for likely in ordered(able, self.goal)[:_FINALISTS]:
            if likely.gain(self.goal) < _GAIN:
                return None
            again = sorted(
                (self._measure(likely.candidate, pictures) for _ in range(_TURNS)),
                key=lambda measured: measured.gain(self.goal),
            )
            middle = again[_TURNS // 2]
            if middle.failure is None and middle.gain(self.goal) >= _GAIN:
                self.measured[self.measured.index(likely)] = middle
                return middle
        return None

    def _go_through(self, pictures: Path) -> None:
        base = exact(self.cores)
        for candidate in candidates(self.cores, self.providers, inexact=self.inexact):
            if candidate != base:
                measured = self._measure(candidate, pictures)
                self.measured.append(measured)
                self.told(measured)

    def _measure(self, candidate: Candidate, pictures: Path) -> Measured:
        """The exact path, then the candidate."""
        try:
            against = self._child(exact(self.cores), pictures)
            return self._compared(candidate, against, self._child(candidate, pictures))
        except FailedError as failure:
            return _failed(candidate, str(failure))

    def _compared(
        self, candidate: Candidate, against: dict[str, Any], found: dict[str, Any]
    ) -> Measured:
        if found["provider"] != candidate.provider:
            return _failed(candidate, f"ran on {found['provider']} instead")
        return Measured(
            candidate,
            found["fps"],
            found["cpu"],
            found["latency"],
            agreement(against["says"], found["says"], self.confidence),
            found["fps"] / against["fps"],
            against["latency"] / found["latency"],
            found["cpu"] / against["cpu"],
        )

    def _child(self, candidate: Candidate, pictures: Path) -> dict[str, Any]:
        asked = {
            "candidate": candidate.as_dict(),
            "weights": str(self.weights),
            "pictures": str(pictures),
            "confidence": self.confidence,
            "seconds": self.seconds,
        }
        command = [sys.executable, "-m", "streamkit.tune.child", json.dumps(asked)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_LIMIT, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise FailedError("no end in sight") from error
        try:
            answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError):
            said = done.stderr.strip().splitlines()
            raise FailedError(said[-1] if said else f"ended with {done.returncode}") from None
        return answer


class FailedError(StreamkitError):
    """A candidate that cannot be measured."""


def _failed(candidate: Candidate, why: str) -> Measured:
    return Measured(candidate, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, why)


def _tuning(best: Measured, goal: Goal) -> Tuning:
    candidate = best.candidate
    return Tuning(
        provider=candidate.provider,
        precision=candidate.precision,
        threads=candidate.threads,
        workers=candidate.workers,
        spinning=candidate.spinning,
        goal=goal,
        agreement=best.agreement,
        speed=best.speed,
        cpu=best.thrift,
    )


def ordered(measured: Sequence[Measured], goal: Goal) -> list[Measured]:
    """The best first."""
    return sorted(measured, key=lambda each: -each.gain(goal))
