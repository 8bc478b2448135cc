"""From a camera's glass to the sink: we and other packages before the same RTSP camera, in turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import streamkit
from streamkit.bench.contestants import Subject, ours, peer
from streamkit.bench.measure import Spread
from streamkit.bench.race import Contestant
from streamkit.chaos.camera import Camera
from streamkit.chaos.lab import Lab
from streamkit.errors import ConfigError

LIVE = {"inference": "inference_live.py"}
"""The scripts of those that can be set before a camera."""
SECONDS = 8.0
SETTLE = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One package before one camera, over all rounds."""

    name: str
    fps: float
    """That the camera sends."""
    sink_rate: float | None
    delivered: Spread
    """Results per second."""
    age_p50: Spread
    age_p99: Spread
    growth: Spread
    """Seconds by which the age of the last half is above that of the first: it should be flat."""
    grown: Spread
    """Bytes by which the memory of the last half is above that of the first, in the median."""
    cpu: Spread
    """Cores that it keeps busy."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def watchers(subject: Subject, others: Mapping[str, Path], folder: Path) -> list[Contestant]:
    """We, and each package of ``others``. Raises ``ConfigError`` for those that cannot."""
    task = {"settle": SETTLE, "seconds": SECONDS, "root": str(Path(streamkit.__file__).parents[1])}
    command = [sys.executable, "-m", "streamkit.bench.watch"]
    found = [Contestant("streamkit", command, {**ours(subject).task, **task})]
    for name, python in others.items():
        if name not in LIVE:
            raise ConfigError(f"--against {name!r}: before a camera there is {', '.join(LIVE)}")
        them = peer(subject, name, python, folder)
        script = str(Path(them.command[1]).with_name(LIVE[name]))
        found.append(
            Contestant(name, [str(python), script], {**them.task, **task}, them.environment)
        )
    return found


def seen(
    contestants: Sequence[Contestant],
    fps: float,
    sink_rate: float | None,
    rounds: int,
    told: Callable[[str], None],
) -> list[Seen]:
    """Each before a camera of ``fps`` of its own lab, in turn."""
    goes: dict[str, list[dict[str, float]]] = {one.name: [] for one in contestants}
    for _ in range(rounds):
        for one in contestants:
            with Lab([Camera(name="clock", fps=fps, size=(640, 360))]) as lab:
                more = {"url": lab["clock"].url, "sink_rate": sink_rate}
                task = {**one.task, **more}
                go = Contestant(one.name, one.command, task, one.environment).report()
            goes[one.name].append(_figures(one.name, go))
            told(f"{one.name} at {fps:.0f} a second")
    return [_over_rounds(name, fps, sink_rate, found) for name, found in goes.items()]


def _figures(name: str, go: Mapping[str, Any]) -> dict[str, float]:
    ages = np.array(go["ages"])
    if len(ages) < 4:
        raise ConfigError(f"{name}: of {go['taken']} results {len(ages)} tell their age")
    half = len(ages) // 2
    cpu, resident = np.array(go["cpu"]), np.array(go["resident"])
    middle = len(resident) // 2
    return {
        "delivered": go["taken"] / go["seconds"],
        "age_p50": float(np.quantile(ages, 0.5)),
        "age_p99": float(np.quantile(ages, 0.99)),
        "growth": float(np.median(ages[half:]) - np.median(ages[:half])),
        "grown": float(np.median(resident[middle:]) - np.median(resident[:middle])),
        "cpu": float(cpu[-1] - cpu[0]) / go["seconds"],
    }


def _over_rounds(
    name: str, fps: float, sink_rate: float | None, found: Sequence[Mapping[str, float]]
) -> Seen:
    spreads = {key: Spread.of([go[key] for go in found]) for key in found[0]}
    return Seen(name, fps, sink_rate, **spreads)
