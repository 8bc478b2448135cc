"""Goes through the candidates, in turn with the exact path, and chooses."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from streamkit.errors import StreamkitError
from streamkit.models.tuning import Tuning
from streamkit.tune.agreement import agreement, objects
from streamkit.tune.candidates import Candidate, candidates, exact

Goal = Literal["throughput", "latency"]
_LIMIT = 600
_FINALISTS = 3
_GAIN = 1.05
"""What is not at least this much better than the exact path is not worth a difference."""
_JUDGED = 200
"""Pictures with annotations that are looked at."""
_LOST = 0.003
"""mAP that a faster way may lose."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One candidate against the exact path, which was measured right after it."""

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
    lost: float | None = None
    """mAP less than the exact path's, where there are annotations; they judge, then."""
    spread: tuple[float, float] | None = None
    """Of what it was chosen by: the least and the greatest of several turns."""

    def equal(self, bound: float) -> bool:
        """Whether it says the same as the exact path: by ``_LOST`` mAP, or a share of objects."""
        if self.failure is not None:
            return False
        return self.agreement >= bound if self.lost is None else self.lost <= _LOST

    def gain(self, goal: Goal) -> float:
        """How many times as good."""
        return self.speed if goal == "throughput" else self.quickness

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        figures = {n: getattr(self, n) for n in self.__slots__ if n != "candidate"}
        return {"name": self.candidate.name, **self.candidate.as_dict(), **figures}


@dataclass
class Tuner:
    """Tunes one model."""

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
    turns: int = 3
    """Of the likely ones, in turn, before one of them is chosen."""
    batches: bool = False
    """Whether the graph leaves the number of pictures of a run open."""
    annotations: Path | None = None
    """A COCO file about pictures in ``folder``."""
    folder: Path | None = None
    told: Callable[[Measured, int, int], None] = lambda _measured, _done, _all: None
    """Hears of each measurement, which one it was, and of how many."""
    measured: list[Measured] = field(default_factory=list)
    _done: int = 0
    _planned: int = 0

    def run(self) -> Tuning | None:
        """The best that agrees with the exact path; ``None`` where the exact path is the best."""
        with tempfile.TemporaryDirectory(prefix="streamkit-") as folder:
            path = Path(folder) / "pictures.npy"
            np.save(path, self.pictures, allow_pickle=False)
            self._go_through(path)
            best = self._confirmed(path)
        return None if best is None else _tuning(best, self.goal)

    def _confirmed(self, pictures: Path) -> Measured | None:
        """The best of those that were likely, measured several times in turn: one measurement on a
        machine with other things to do may say anything, and the best of many says too much."""
        able = [m for m in self.measured if m.equal(self.bound) and m.gain(self.goal) >= _GAIN]
        likely = ordered(able, self.goal)[:_FINALISTS]
        turns = [[self._again(one, pictures) for one in likely] for _ in range(self.turns)]
        found = [_middle([turn[i] for turn in turns], self.goal) for i in range(len(likely))]
        for before, after in zip(likely, found, strict=True):
            self.measured[self.measured.index(before)] = after
        steady = [m for m in found if m.equal(self.bound) and _steady(m, self.goal)]
        return next(iter(ordered(steady, self.goal)), None)

    def _again(self, likely: Measured, pictures: Path) -> Measured:
        """A further turn; what was found out about its mAP need not be found out again."""
        measured = self._measure(likely.candidate, pictures, judge=False)
        measured = replace(measured, lost=likely.lost)
        self._tell(measured)
        return measured

    def _go_through(self, pictures: Path) -> None:
        base = exact(self.cores)
        batches = self.batches and self.goal == "throughput"
        tried = candidates(self.cores, self.providers, inexact=self.inexact, batches=batches)
        waiting = [candidate for candidate in tried if candidate != base]
        self._planned = len(waiting) + _FINALISTS * self.turns
        for candidate in waiting:
            measured = self._measure(candidate, pictures, judge=candidate.precision != "f32")
            self.measured.append(measured)
            self._tell(measured)

    def _tell(self, measured: Measured) -> None:
        self._done += 1
        self.told(measured, self._done, max(self._done, self._planned))

    def _measure(self, candidate: Candidate, pictures: Path, *, judge: bool) -> Measured:
        """The exact path, then the candidate. ``judge``: by annotations too, if there are any."""
        try:
            against = self._child(exact(self.cores), pictures, judge=judge)
            return self._compared(candidate, against, self._child(candidate, pictures, judge=judge))
        except FailedError as failure:
            return _failed(candidate, str(failure))

    def _compared(
        self, candidate: Candidate, against: dict[str, Any], found: dict[str, Any]
    ) -> Measured:
        if found["provider"] != candidate.provider:
            return _failed(candidate, f"ran on {found['provider']} instead")
        lost = None
        if found["precision"] is not None:
            lost = against["precision"] - found["precision"]
        elif candidate.precision != "f32" and not objects(against["says"], self.confidence):
            return _failed(candidate, "the pictures show nothing to judge it by")
        return Measured(
            candidate,
            found["fps"],
            found["cpu"],
            found["latency"],
            agreement(against["says"], found["says"], self.confidence),
            found["fps"] / against["fps"],
            against["latency"] / found["latency"],
            found["cpu"] / against["cpu"],
            lost=lost,
        )

    def _child(self, candidate: Candidate, pictures: Path, *, judge: bool) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "candidate": candidate.as_dict(),
            "weights": str(self.weights),
            "pictures": str(pictures),
            "confidence": self.confidence,
            "seconds": self.seconds,
        }
        if judge and self.annotations is not None:
            asked |= {"annotations": str(self.annotations), "folder": str(self.folder)}
            asked["count"] = _JUDGED
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
        batch=candidate.batch if candidate.batch > 1 else None,
        goal=goal,
        agreement=best.agreement,
        speed=best.speed,
        cpu=best.thrift,
    )


def _middle(turns: Sequence[Measured], goal: Goal) -> Measured:
    """The median turn, with the spread of all; a failure where one failed."""
    again = sorted(turns, key=lambda measured: measured.gain(goal))
    failed = next((m for m in again if m.failure is not None), None)
    middle = failed or again[len(again) // 2]
    # What it says must be the same every time: the least agreement counts.
    least = min(m.agreement for m in again)
    return replace(middle, agreement=least, spread=(again[0].gain(goal), again[-1].gain(goal)))


def _steady(measured: Measured, goal: Goal) -> bool:
    """Better by enough in the middle, and not worse in the worst of its turns."""
    worst = measured.spread[0] if measured.spread else measured.gain(goal)
    return measured.gain(goal) >= _GAIN and worst >= 1.0


def ordered(measured: Sequence[Measured], goal: Goal) -> list[Measured]:
    """The best first."""
    return sorted(measured, key=lambda each: -each.gain(goal))
