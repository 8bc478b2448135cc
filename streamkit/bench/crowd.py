"""How cost, age and memory grow with cameras, and what overload does to age."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from streamkit.bench.contestants import Subject, ours
from streamkit.bench.measure import Spread
from streamkit.bench.race import Contestant

Told = Callable[[str], None]
_FEW = 40
"""Inferences that tell what one costs."""
SECONDS = 6.0
"""That each measurement lasts."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many cameras on one model; spreads over the rounds."""

    cameras: int
    cpu: Spread
    """Cores used."""
    over: Spread
    """That, as a multiple of what their decodes and inferences cost alone."""
    served: Spread
    """Share of the predictions that were wanted."""
    age_p50: Spread
    age_p99: Spread
    resident: Spread
    """Bytes."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def crowds(
    subject: Subject, counts: Sequence[int], fps: float, rate: float, rounds: int, told: Told
) -> list[Crowd]:
    """Each count of cameras, ``fps`` predictions a second wanted of each."""
    return [_crowd(subject, count, fps, rate, rounds, told) for count in counts]


def _session(subject: Subject) -> float:
    """CPU seconds of one inference alone, as it is now: machines have moods."""
    command = [sys.executable, "-m", "streamkit.bench.floor"]
    report = Contestant("floor", command, {**ours(subject).task, "frames": _FEW}).report()
    return float(report["parts"]["session"])


def _crowd(
    subject: Subject,
    count: int,
    fps: float,
    rate: float,
    rounds: int,
    told: Told,
) -> Crowd:
    task = {**ours(subject).task, "cameras": count, "fps": fps, "rate": rate, "seconds": SECONDS}
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        session = _session(subject)
        alone = _child("decode", {**task, "only": "decode"})
        whole = _child(f"{count} cameras", task)
        decode = alone["cpu"] / max(1, alone["captured"])
        floor = decode * whole["captured"] + session * whole["delivered"]
        found.append({**whole, "floor": floor})
        told(f"{count} cameras")
    return Crowd(
        count,
        _spread(found, lambda f: f["cpu"] / f["seconds"]),
        _spread(found, lambda f: f["cpu"] / f["floor"]),
        _spread(found, lambda f: f["delivered"] / f["seconds"] / (count * min(fps, rate))),
        _spread(found, lambda f: f["age_p50"]),
        _spread(found, lambda f: f["age_p99"]),
        _spread(found, lambda f: f["resident"]),
    )


@dataclass(frozen=True, slots=True)
class Overload:
    """One camera that sends ``load`` times what the model can take."""

    load: float
    fps: float
    """Pictures a second that it sends."""
    model: Spread
    """Seconds of one picture in the model."""
    age_p50: Spread
    age_p99: Spread
    in_models: Spread
    """The p99 as a multiple of the model's time."""
    sink_rate: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def overloads(subject: Subject, loads: Sequence[float], rounds: int, told: Told) -> list[Overload]:
    """Each load, the model's own pace measured right before it; then a slow sink."""
    results = []
    for load in loads:
        found = []
        for _ in range(rounds):
            alone = pace(subject)
            whole = _child(f"{load:g}x", _one(subject, load * alone, None))
            found.append({**whole, "pace": alone})
            told(f"{load:g} times the load")
        results.append(_overload(load, found, None))
    return results


def behind_sink(subject: Subject, rate: float, sink: float, rounds: int, told: Told) -> Overload:
    """A camera of ``rate`` in front of a sink that takes ``sink`` results a second."""
    found = []
    for _ in range(rounds):
        whole = _child("slow sink", _one(subject, rate, sink))
        found.append({**whole, "pace": rate})
        told(f"a sink of {sink:g} a second")
    return _overload(1.0, found, sink)


def _one(subject: Subject, rate: float, sink: float | None) -> dict[str, Any]:
    task = {**ours(subject).task, "cameras": 1, "rate": rate, "seconds": SECONDS}
    return task if sink is None else {**task, "sink_rate": sink}


def pace(subject: Subject) -> float:
    """Pictures a second that the model takes, as many at a time as in a pipeline."""
    told = ours(subject).report()
    return float(told["frames"] / told["wall"])


def _overload(load: float, found: list[dict[str, float]], sink: float | None) -> Overload:
    return Overload(
        load,
        sum(f["pace"] for f in found) / len(found) * load,
        _spread(found, lambda f: f["model"]),
        _spread(found, lambda f: f["age_p50"]),
        _spread(found, lambda f: f["age_p99"]),
        _spread(found, lambda f: f["age_p99"] / f["model"]),
        sink,
    )


def _child(name: str, task: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "streamkit.bench.cameras"]
    return Contestant(name, command, task).report()


def _spread(
    found: Sequence[dict[str, float]], figure: Callable[[dict[str, float]], float]
) -> Spread:
    return Spread.of([figure(each) for each in found])
